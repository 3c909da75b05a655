"""What all sides know when a drill has ended."""

from dataclasses import dataclass, field

from tests.faults.plans import Plan
from tests.support.api import Json
from tests.support.receiver import Arrival


@dataclass(frozen=True)
class Receipt:
    """What a publisher was told of an event, and when: seconds since 1970."""

    id: str
    duplicate: bool
    at: float


@dataclass(frozen=True)
class Fault:
    """A process was killed, or frozen and woken again; in seconds since 1970, at most some hundredths late."""

    process: int
    at: float
    until: float | None = None  # when it was woken; None: it was killed


@dataclass(frozen=True)
class Evidence:
    plan: Plan
    faults: list[Fault]
    receipts: dict[int, list[Receipt]]  # by event number
    hook_ids: list[str]
    ledger: list[list[Arrival]]  # by hook: what arrived at its path
    elsewhere: list[Arrival]  # what arrived at no hook's path
    events: list[list[Json]]  # by account: as the API lists them to it
    deliveries: list[list[Json]]  # by account: as the API lists them to it, each with its attempts
    strangers: list[int] = field(default_factory=list)  # the statuses, where an account asked for the other's things
    dialled: int = 0  # connections to the address that must not be dialled

    @property
    def ids(self) -> dict[int, str]:
        """By event number."""
        return {number: receipts[0].id for number, receipts in self.receipts.items()}

    def arrivals(self, delivery: Json) -> list[Arrival]:
        """Of one delivery, in order."""
        ledger = self.ledger[self.hook_ids.index(delivery["webhook_id"])]
        return [arrival for arrival in ledger if arrival.id == delivery["event_id"]]
