"""Events, deliveries and attempts as they move: the hot path."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from tocsin.clock import Millis
from tocsin.model import AccountId, Attempt, DeliveryId, DeliveryState, EventId, Notice, Trigger, WebhookId
from tocsin.shards import ALL


class NewDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """`claimed`: the caller owns the lane, has room, and sends it as soon as it is durable."""

    id: DeliveryId
    webhook_id: WebhookId
    claimed: bool


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event with its deliveries: durable together or not at all."""

    id: EventId
    account_id: AccountId
    type: str
    timestamp: Millis
    accepted_at: Millis
    data: bytes
    external_id: str | None
    digest: bytes  # 16 bytes over what makes two events the same content; used only with an `external_id`
    source: str
    config_version: int  # matched by; another one in the store means `Stale`, but for source `model.OWN_SOURCE`
    matched: int
    visitor_id: str | None
    deliveries: tuple[NewDelivery, ...]
    fan_out: bool = False  # more webhooks than are written at once: `deliveries` is empty, a job is recorded


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """Durable."""


class Duplicate(msgspec.Struct, frozen=True, kw_only=True):
    """The external id is known, with the same content: this is the first one."""

    event_id: EventId
    timestamp: Millis
    matched: int


class ContentConflict(msgspec.Struct, frozen=True, kw_only=True):
    """The external id is known, with other content."""

    event_id: EventId


class Stale(msgspec.Struct, frozen=True, kw_only=True):
    """The account changed since the event was matched: match again."""


class AccountGone(msgspec.Struct, frozen=True, kw_only=True):
    """The account was deleted."""


class Unstorable(msgspec.Struct, frozen=True, kw_only=True):
    """The database refuses this very event; the others of its batch are not concerned."""

    reason: str


Ingested = Accepted | Duplicate | ContentConflict | Stale | AccountGone | Unstorable


class FanOutJob(msgspec.Struct, frozen=True, kw_only=True):
    """An event whose deliveries are still being written, webhook ids in rising order."""

    event_id: EventId
    account_id: AccountId
    config_version: int
    after: int  # the last webhook id done


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery given to its lane's owner, with all that is needed to render it."""

    id: DeliveryId
    event_id: EventId
    webhook_id: WebhookId
    account_id: AccountId
    type: str
    timestamp: Millis
    data: bytes
    attempts: int  # made so far
    tries: int  # scheduled attempts that count against the schedule, so far
    claim_count: int  # how often it was claimed since its last settled attempt: 1 unless owners died with it
    trigger: Trigger = Trigger.SCHEDULE
    message: str | None = None  # of a digest that was sent before: the service's name for the message
    revision: int = 0  # of a digest: see `OpenDigest`
    config_version: int = (
        0  # by which its event was matched: whoever sends it knows what the account had then, at least
    )


class ClaimAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`next_due`: of each lane asked for, when its first delivery that still waits is due; None: none waits."""

    claimed: tuple[Claimed, ...]
    next_due: Mapping[WebhookId, Millis | None]


NOTHING_CLAIMED = ClaimAnswer(claimed=(), next_due={})


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a claimed delivery after one attempt.

    `state` is final (succeeded, failed, cancelled), or, with `due_at`, `RETRYING` or (a digest that goes on)
    `PENDING`. `message`: what the service calls the message that was sent; kept of digests, as the newest said.
    """

    delivery_id: DeliveryId
    attempt: Attempt
    state: DeliveryState
    due_at: Millis | None
    tries: int  # the new count
    settled_at: Millis
    message: str | None = None


class LaneFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a new owner must know of a lane that is not simply empty and well."""

    webhook_id: WebhookId
    account_id: AccountId
    shard: int
    next_due: Millis | None
    failing_since: Millis | None  # start of the run of failed attempts, as it counts since the webhook was enabled
    unbroken_since: Millis | None  # nothing has succeeded since then, whether it was enabled meanwhile or not
    warned_at: Millis | None


class InHands(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that is claimed."""

    id: DeliveryId
    webhook_id: WebhookId
    account_id: AccountId


class Journal(Protocol):
    """Events, deliveries and attempts as they move. Every write carries its node's `epoch` (see `Cluster`); one that
    has ended is refused with `Unavailable(code="not_owner")`, and nothing of it is written.
    """

    async def ingest(self, events: Sequence[NewEvent], epoch: int) -> Sequence[Ingested]:
        """Writes all events with their deliveries in one transaction; answers when they are durable, in order."""
        ...

    async def fan_out_jobs(self, limit: int) -> Sequence[FanOutJob]: ...

    async def fan_out(
        self, job: FanOutJob, deliveries: Sequence[NewDelivery], *, after: int, done: bool, due_at: Millis
    ) -> None:
        """Writes a chunk of a job's deliveries and its progress; `done` removes the job."""
        ...

    async def claim(
        self, wants: Sequence[tuple[WebhookId, int]], now: Millis, epoch: int, max_bytes: int = 16 << 20
    ) -> ClaimAnswer:
        """Takes the first `n` due deliveries of each lane, oldest due first, and marks them as being sent.

        Stops once their bodies exceed `max_bytes` (after at least one); the lanes not reached keep their `next_due`.
        """
        ...

    async def claim_one(
        self, account_id: AccountId, delivery_id: DeliveryId, now: Millis, epoch: int
    ) -> Claimed | DeliveryState | None:
        """Takes one delivery for a manual retry, whatever its state, and remembers that state until it is settled
        (see `Settlement`: it ends as `SUCCEEDED`, or as it was). A digest takes no more members from then on.

        Returns:
            The delivery; or its state where it cannot be taken (`SENDING`, `DIGESTED`, or its body is gone and it is
            final); or None where the account has none such.
        """
        ...

    async def settle(self, settlements: Sequence[Settlement], epoch: int) -> Sequence[DeliveryId]:
        """Writes what became of deliveries, of one that is named twice the first.

        Returns:
            The deliveries whose outcome was refused, because the owner of `epoch` is not sending them any more: nothing
            of it was written.
        """
        ...

    async def settle_manual(self, settlement: Settlement, epoch: int) -> DeliveryState:
        """Writes a manual attempt: on `SUCCEEDED` the delivery ends so; otherwise it is put back as it was. Refused as
        by `settle`; the state tells.
        """
        ...

    async def release(self, delivery_ids: Sequence[DeliveryId], epoch: int) -> None:
        """Gives claimed deliveries back unsent: they wait again, with the due time they had. Those that the owner of
        `epoch` is not sending stay as they are.
        """
        ...

    async def claimed(self, epoch: int) -> Sequence[InHands]:
        """All that is claimed under the epoch and neither settled nor given back."""
        ...

    async def cancel(self, account_id: AccountId, delivery_id: DeliveryId, now: Millis) -> DeliveryState | None:
        """Ends a waiting delivery as cancelled; answers the state that it is in afterwards, None where unknown."""
        ...

    async def drop_waiting(self, webhook_id: WebhookId, now: Millis, limit: int) -> int:
        """Ends up to `limit` waiting deliveries of a webhook as cancelled; how many. 0: none is left."""
        ...

    async def note_streak(
        self,
        webhook_id: WebhookId,
        failing_since: Millis | None,
        warned_at: Millis | None,
        notice: Notice | None = None,
        *,
        unbroken_since: Millis | None = None,
    ) -> None:
        """Keeps (or, with `failing_since` None, forgets) since when a webhook's attempts have failed; and the warning
        of it, both or neither. `unbroken_since` None: as it is kept already, else the same as `failing_since`.
        """
        ...

    async def lanes(self, after: int, limit: int, shards: frozenset[int] = ALL) -> Sequence[LaneFacts]:
        """The lanes of these shards with a backlog or a streak, by webhook id beyond `after`: how an owner learns of
        them. An empty answer means the end; one of fewer than `limit` does not.
        """
        ...
