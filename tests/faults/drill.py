"""One fault drill: publish to real processes, let one die where the plan says, start it again, gather the evidence."""

import hashlib
import hmac
import http.client
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from tests.faults.evidence import Evidence, Fault, Receipt
from tests.faults.lives import Lives
from tests.faults.plans import ACCOUNTS, RETRY_SCALE, Plan
from tests.sender.names import NameServer
from tests.support.api import Json, Shop
from tests.support.cluster import Fleet
from tests.support.receiver import Arrival, LedgerReceiver, Script
from tests.support.replies import Answer, Reply
from tests.support.waiting import until

T = TypeVar("T")

DONE_WITHIN_S = 90.0

# Receivers are here; whatever else is on loopback is none of the fleet's business.
_ALLOWED = "127.0.0.1/32"
_REFUSED = "127.0.0.2"
_TURNCOAT = "turncoat.example"

_ENDED = {"succeeded", "failed"}


class Signed:
    """Cue's signature, as its document has it verified."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        expected = "sha256=" + hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, headers.get("cue-signature", "")):
            raise ValueError("Cue-Signature does not fit")


class Decoy:
    """What listens at an address that must not be dialled, and counts who did. The name that leads there led to an
    allowed address for as long as webhooks were made, where nobody listens at that port.
    """

    def __init__(self) -> None:
        self.connections = 0
        self.turned = False
        self._names = NameServer(lambda name, _: self._where() if name == _TURNCOAT else 3)
        self._socket = socket.create_server((_REFUSED, 0), backlog=128)
        self._thread = threading.Thread(target=self._count, daemon=True)
        self.url = f"http://{_TURNCOAT}:{self._socket.getsockname()[1]}"
        self.name_server = self._names.address

    def __enter__(self) -> Self:
        self._names.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._socket.close()
        self._names.__exit__()

    def _where(self) -> list[str]:
        return [_REFUSED] if self.turned else ["127.0.0.1"]

    def _count(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()


class Drill:
    """The plan's publishers and receivers around a fleet that runs."""

    def __init__(self, plan: Plan, fleet: Fleet, receiver: LedgerReceiver, decoy: Decoy) -> None:
        self.plan = plan
        self.fleet = fleet
        self.receiver = receiver
        self.decoy = decoy
        self.shops: list[Shop] = []
        self.receipts: defaultdict[int, list[Receipt]] = defaultdict(list)
        self.hook_ids: list[str] = []
        self.scripts: list[Script] = []  # by hook: how its receiver answers
        self._failed: list[Exception] = []  # of the publishers
        self._publishers: list[threading.Thread] = []

    # --- the course of a drill ------------------------------------------------------------------------------------

    def subscribe(self) -> None:
        """Makes the accounts and their webhooks."""
        for n, account in enumerate(ACCOUNTS):
            shop = self.fleet.operator.shop(f"shop {n}", account.profile)
            shop.example(account.click)  # asked for now: there may be no server to ask later
            self.shops.append(shop)
        for n, hook in enumerate(self.plan.hooks):
            where = f"{self.decoy.url}{hook.path}" if hook.refused else self.receiver.url(hook.path)
            account = ACCOUNTS[hook.account]
            made = self.shops[hook.account].webhook(where, [account.click])
            self.hook_ids.append(made["id"])
            secret = made["secret"]
            self.receiver.trust(hook.path, Signed(secret) if account.profile == "cue" else secret)
            self.scripts.append(self._answers_of(n))
            self.receiver.script(hook.path, self.scripts[n])
        self.decoy.turned = True

    def publish(self, pause_s: float = 0.0) -> None:
        """Lets the publishers begin, each in a thread.

        Args:
            pause_s: between two requests of one publisher.
        """
        for n in range(self.plan.publishers):
            requests = self.plan.requests[n :: self.plan.publishers]
            self._publishers.append(threading.Thread(target=self._publish, args=(requests, pause_s), daemon=True))
            self._publishers[-1].start()

    def evidence(self, faults: list[Fault]) -> Evidence:
        paths = [hook.path for hook in self.plan.hooks]
        return Evidence(
            plan=self.plan,
            faults=faults,
            receipts=dict(self.receipts),
            hook_ids=self.hook_ids,
            ledger=[self.receiver.arrivals(path) for path in paths],
            elsewhere=[arrival for arrival in self.receiver.arrivals() if arrival.path not in paths],
            events=[list(shop.pages("/v1/events")) for shop in self.shops],
            deliveries=[[shop.delivery(one["id"]) for one in shop.deliveries()] for shop in self.shops],
            strangers=self._ask_for_what_is_anothers(),
            dialled=self.decoy.connections,
        )

    def done(self) -> bool:
        """Everything was accepted, has arrived and has ended."""
        if self._failed:
            raise self._failed[0]
        if any(publisher.is_alive() for publisher in self._publishers) or self.missing():
            return False
        time.sleep(0.03)  # what follows is work for the server
        try:
            listed = [delivery for shop in self.shops for delivery in shop.deliveries()]
        except (OSError, http.client.HTTPException):
            return False
        return all(delivery["status"] in _ENDED for delivery in listed)

    # --- receivers ------------------------------------------------------------------------------------------------

    def _answers_of(self, hook: int) -> Script:
        seen: defaultdict[int, int] = defaultdict(int)

        def answer(arrival: Arrival) -> Reply:
            number = arrival.data["number"]
            seen[number] += 1
            fails = seen[number] <= self.plan.failures.get((hook, number), 0)
            return Answer(500 if fails else 200, after_s=self.plan.hooks[hook].delay_s)

        return answer

    def missing(self) -> list[str]:
        """What has not arrived yet, for people."""
        return [
            f"{hook.path} lacks {len(lacking)} of {len(self.plan.wanted(n))}"
            for n, hook in enumerate(self.plan.hooks)
            if (lacking := self.lacking(n))
        ]

    def lacking(self, hook: int) -> set[int]:
        """The events that a webhook is to take, and has not taken yet."""
        wanted = {number for number in self.plan.wanted(hook) if self.plan.state(hook, number) == "succeeded"}
        return wanted - {arrival.data["number"] for arrival in self.receiver.arrivals(self._path(hook)) if arrival.ok}

    def _path(self, hook: int) -> str:
        return self.plan.hooks[hook].path

    # --- publishers -----------------------------------------------------------------------------------------------

    def _publish(self, requests: tuple[tuple[int, ...], ...], pause_s: float) -> None:
        try:
            for numbers in requests:
                self._publish_one(numbers)
                if self.plan.quiet:
                    self._insist(lambda n=numbers[0]: self._settled(n))
                time.sleep(pause_s)
        except Exception as error:  # noqa: BLE001 - raised again where the drill waits
            self._failed.append(error)

    def _publish_one(self, numbers: tuple[int, ...]) -> None:
        shop, type_ = self._of(numbers[0])
        events = [shop.event(type_, f"drill-{number}", number=number) for number in numbers]
        if len(events) == 1:
            told = [self._insist(lambda: self._accepted(shop, "/v1/events", events[0]))]
        else:
            told = self._insist(lambda: self._accepted(shop, "/v1/events/batch", {"events": events}))["results"]
        for number, receipt in zip(numbers, told, strict=True):
            self.receipts[number].append(Receipt(receipt["id"], receipt["duplicate"], time.time()))

    def _accepted(self, shop: Shop, path: str, body: Json) -> Json | None:
        answer = shop.call("POST", path, body)
        assert answer.status in {200, 202, 503}, f"{path}: {answer.status} {answer.body.decode()}"
        return None if answer.status == 503 else answer.json

    def _settled(self, number: int) -> bool:
        """Each delivery of the event has ended."""
        shop, _ = self._of(number)
        found = shop.deliveries(event=self.receipts[number][-1].id)
        wanted = sum(number in self.plan.wanted(hook) for hook in range(len(self.plan.hooks)))
        return len(found) == wanted and all(one["status"] in _ENDED for one in found)

    def _of(self, number: int) -> tuple[Shop, str]:
        account = self.plan.accounts[number]
        return self.shops[account], ACCOUNTS[account].click

    def _insist(self, ask: Callable[[], T | None]) -> T:
        """Asks until there is an answer, as a publisher does whose server has died."""

        def look() -> T | None:
            try:
                return ask()
            except (OSError, http.client.HTTPException):
                return None

        return until(look, f"an answer ({self.plan})", DONE_WITHIN_S)  # type: ignore[return-value]

    # --- strangers ------------------------------------------------------------------------------------------------

    def _ask_for_what_is_anothers(self) -> list[int]:
        """What each account is answered when it asks for something that the other has."""
        asked: list[tuple[Shop, str]] = []
        for shop, other in (self.shops, self.shops[::-1]):
            asked += [(shop, f"/v1/webhooks/{hook}") for hook in self._hooks_of(other)[:1]]
            for kind in ("events", "deliveries"):
                found = other.get(f"/v1/{kind}", limit=1)["data"]
                asked += [(shop, f"/v1/{kind}/{one['id']}") for one in found]
        return [shop.call("GET", path).status for shop, path in asked]

    def _hooks_of(self, shop: Shop) -> list[str]:
        account = self.shops.index(shop)
        return [id_ for id_, hook in zip(self.hook_ids, self.plan.hooks, strict=True) if hook.account == account]


@contextmanager
def scene(plan: Plan, folder: Path, **settings: Any) -> Iterator[Drill]:
    """A drill whose fleet is not started yet."""
    with LedgerReceiver() as receiver, Decoy() as decoy:
        around = {"retry_scale": RETRY_SCALE, "allow_networks": _ALLOWED, "dns_servers": decoy.name_server}
        with Fleet(plan.shape, folder, **(around | settings)) as fleet:
            yield Drill(plan, fleet, receiver, decoy)


def run(plan: Plan, folder: Path) -> Evidence:
    """Has the plan's processes die at its failpoints."""
    with scene(plan, folder) as drill:
        lives = Lives(drill.fleet, plan.kills, revive=plan.revive)
        lives.start(drill.subscribe)
        drill.publish()
        lives.until(drill.done, lambda: f"all delivered ({plan}): {drill.missing()}", DONE_WITHIN_S)
        return drill.evidence(lives.faults)
