"""The seam between Tocsin and its database: role protocols and what passes through them.

A store holds:

    append-only     event, attempt, webhook_version, audit
    live            delivery, lane (webhooks whose deliveries are failing), fan-out jobs, notice
    small           account, api_key, event_type, webhook, idempotency, dedupe

Which lanes have a backlog and when each is next due is derived from the deliveries that wait; no row repeats it. How
the rows are laid out is each store's own affair (SQLite: ``docs/decisions/0002-sqlite-schema.md``).

Errors, from any call: `errors.Unavailable` where the database cannot answer now (nothing was changed, or, said in
`code="commit_unknown"`, it is unknown whether it was).
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from tocsin.clock import Millis
from tocsin.model import (
    Account,
    AccountId,
    ApiKey,
    Attempt,
    Delivery,
    DeliveryId,
    DeliveryState,
    Event,
    EventId,
    EventType,
    KeyId,
    Notice,
    Trigger,
    Webhook,
    WebhookId,
    WebhookSettings,
    WebhookState,
)

# === the journal: the hot path ====================================================================================


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
    config_version: int  # matched by; another one in the store means `Stale`
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


class ClaimAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`next_due`: of each lane asked for, when its first delivery that still waits is due; None: none waits."""

    claimed: tuple[Claimed, ...]
    next_due: Mapping[WebhookId, Millis | None]


NOTHING_CLAIMED = ClaimAnswer(claimed=(), next_due={})


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a claimed delivery after one attempt.

    `state` is final (succeeded, failed, cancelled) or `RETRYING` with `due_at`.
    """

    delivery_id: DeliveryId
    attempt: Attempt
    state: DeliveryState
    due_at: Millis | None
    tries: int  # the new count
    settled_at: Millis


class LaneFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a new owner must know of a lane that is not simply empty and well."""

    webhook_id: WebhookId
    account_id: AccountId
    next_due: Millis | None
    failing_since: Millis | None  # start of the unbroken run of failed attempts
    warned_at: Millis | None


class Journal(Protocol):
    """Events, deliveries and attempts as they move. Every write carries the owner's `epoch`; a stale one is refused
    with `Unavailable(code="not_owner")`, and nothing of it is written.
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
        (see `Settlement`: it ends as `SUCCEEDED`, or as it was).

        Returns:
            The delivery; or its state where it cannot be taken (`SENDING`, `DIGESTED`, or its body is gone and it is
            final); or None where the account has none such.
        """
        ...

    async def settle(self, settlements: Sequence[Settlement], epoch: int) -> None: ...

    async def settle_manual(self, settlement: Settlement, epoch: int) -> DeliveryState:
        """Writes a manual attempt: on `SUCCEEDED` the delivery ends so; otherwise it is put back as it was."""
        ...

    async def release(self, delivery_ids: Sequence[DeliveryId], epoch: int) -> None:
        """Gives claimed deliveries back unsent: they wait again, with the due time they had."""
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
    ) -> None:
        """Keeps (or, with None, forgets) since when a webhook's attempts have failed without a break; and the warning
        of it, both or neither.
        """
        ...

    async def lanes(self, after: int, limit: int) -> Sequence[LaneFacts]:
        """The lanes with a backlog or a streak, by webhook id beyond `after`: how an owner learns of them."""
        ...


class Ownership(Protocol):
    """Who owns the shards. One process owns all of SQLite: its file is locked while it runs."""

    async def acquire(self, now: Millis) -> int:
        """Becomes the owner and gives back, to its waiting state, what the one before had claimed; a manual attempt
        that was under way leaves its delivery as it was.

        Returns:
            The epoch that every write must carry.
        """
        ...


# === what people change ===========================================================================================


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Who changed what: written to the audit log in the change's own transaction. Never holds a secret."""

    at: Millis
    actor: str  # "operator", "key_…", "system"
    action: str  # "webhook.created"
    subject: str  # "wh_…"
    detail: Mapping[str, object] = msgspec.field(default_factory=dict)
    request_id: str | None = None


class AuditEntry(Change, frozen=True, kw_only=True):
    id: int
    account_id: AccountId | None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Where a list goes on: newest first, ids strictly below `before`. One more than `limit` rows are answered
    where there are more.
    """

    limit: int
    before: int | None = None


class Accounts(Protocol):
    async def add(self, account: Account, key: ApiKey, change: Change) -> None:
        """Raises `Conflict(code="external_id_taken")`."""
        ...

    async def get(self, account_id: AccountId) -> Account | None: ...

    async def by_external_id(self, external_id: str) -> Account | None: ...

    async def list(self, page: Page) -> Sequence[Account]: ...

    async def profiles(self) -> Mapping[str, int]:
        """The profiles that accounts have, and how many each; reads every account."""
        ...

    async def change(self, account: Account, change: Change) -> Account:
        """Replaces it and raises its `config_version`; answers it as stored."""
        ...

    async def remove(self, account_id: AccountId, change: Change) -> bool:
        """Removes the account with its keys and webhooks at once; its events, deliveries and logs are no longer
        reachable and are purged by and by. Waiting deliveries are never sent.
        """
        ...


class Keys(Protocol):
    async def add(self, key: ApiKey, change: Change) -> None: ...

    async def by_digest(self, digest: bytes) -> ApiKey | None:
        """Revoked ones too."""
        ...

    async def list(self, account_id: AccountId | None, page: Page) -> Sequence[ApiKey]: ...

    async def revoke(self, account_id: AccountId | None, key_id: KeyId, at: Millis, change: Change) -> bool: ...

    async def revoked_since(self, at: Millis) -> Sequence[KeyId]:
        """Keys revoked, or whose account was removed, at that time or later: what a process must forget."""
        ...

    async def note_use(self, used: Mapping[KeyId, Millis]) -> None: ...

    async def operator_key_exists(self) -> bool: ...


class Catalogue(Protocol):
    """The accounts' own event types. A change raises the account's `config_version`."""

    async def list(self, account_id: AccountId) -> Sequence[EventType]: ...

    async def put(self, account_id: AccountId, event_type: EventType, limit: int, change: Change) -> bool:
        """True where it is new. Raises `Conflict(code="event_type_limit")` beyond `limit` of them."""
        ...

    async def remove(self, account_id: AccountId, name: str, change: Change) -> bool: ...


class Webhooks(Protocol):
    """Every change writes a new version, raises the account's `config_version`, and answers the webhook as stored
    (`version`, `from_config`, `updated_at` are the store's to set).
    """

    async def add(self, webhook: Webhook, limit: int | None, change: Change) -> Webhook:
        """Raises `Conflict(code="webhook_limit")` where the account already has `limit` of them."""
        ...

    async def get(self, account_id: AccountId, webhook_id: WebhookId) -> Webhook | None:
        """None also once it is deleted."""
        ...

    async def list(self, account_id: AccountId, page: Page) -> Sequence[Webhook]: ...

    async def change(
        self,
        account_id: AccountId,
        webhook_id: WebhookId,
        edit: "WebhookEdit",
        change: Change,
        notice: Notice | None = None,
    ) -> Webhook | None:
        """Changes what `edit` names, and keeps the notice of it exactly where it was changed; None where there is no
        such webhook. Raises `Conflict(code="changed_meanwhile")` where `edit.if_version` is not the current one.
        """
        ...

    async def remove(self, account_id: AccountId, webhook_id: WebhookId, change: Change) -> bool:
        """It matches nothing any more and its waiting deliveries are cancelled by and by (`drop_waiting`)."""
        ...

    async def as_of(self, account_id: AccountId, config_version: int) -> Sequence[Webhook]:
        """Every webhook in the version in force when the account's settings had that number (deleted ones too, as
        `deleted`, where they were deleted by then but exist in a version). `sealed` is empty but for the version in
        force now: what a secret was before is not kept.
        """
        ...


class WebhookEdit(msgspec.Struct, frozen=True, kw_only=True):
    """The parts to change; None leaves a part as it is."""

    if_version: int | None = None
    if_state: WebhookState | None = None  # in another state, nothing is changed and the webhook answered as it is
    settings: WebhookSettings | None = None
    sealed: bytes | None = None
    state: WebhookState | None = None
    status_reason: str | None = None  # taken with `state`
    muted_until: Millis | None = None  # 0: no longer muted


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What decides an account's routing, read in one transaction."""

    account: Account
    event_types: tuple[EventType, ...]
    webhooks: tuple[Webhook, ...]


class Snapshots(Protocol):
    async def snapshot(self, account_id: AccountId) -> Snapshot | None: ...


class Notices(Protocol):
    """E-mails to be sent: at most one for each webhook, the newest word on it. They are written with the change that
    they tell of (`Webhooks.change`, `Journal.note_streak`), due at once; a warning never takes the place of the news
    that the webhook was stopped.
    """

    async def due(self, now: Millis, limit: int) -> Sequence[Notice]:
        """The longest due first."""
        ...

    async def next_due(self) -> Millis | None:
        """When the first is due; None where there is none."""
        ...

    async def postpone(self, notice: Notice, until: Millis) -> None:
        """Has it tried again then, with one more to its `tries`. Nothing, where a newer one took its place."""
        ...

    async def remove(self, notice: Notice) -> None:
        """Forgets it: it was sent, or never will be. Nothing, where a newer one took its place."""
        ...


# === what people read =============================================================================================


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    type: str | None = None
    since: Millis | None = None  # by when it was accepted
    until: Millis | None = None  # exclusive
    source: str | None = None
    external_id: str | None = None


class DeliveryFilter(msgspec.Struct, frozen=True, kw_only=True):
    webhook_id: WebhookId | None = None
    event_id: EventId | None = None
    type: str | None = None
    state: DeliveryState | None = None
    status_code: int | None = None
    channel: str | None = None
    since: Millis | None = None  # by when it was made
    until: Millis | None = None


class Records(Protocol):
    """Lists look at a bounded number of rows; where a filter passes over more, the page ends early with a place to go
    on from. `next_before` None means that nothing is left. Here a page holds at most `limit` rows.
    """

    async def events(self, account_id: AccountId, where: EventFilter, page: Page) -> tuple[Sequence[Event], int | None]:
        """Rows (without `data`), and `next_before`."""
        ...

    async def event(self, account_id: AccountId, event_id: EventId) -> Event | None: ...

    async def deliveries(
        self, account_id: AccountId, where: DeliveryFilter, page: Page
    ) -> tuple[Sequence[Delivery], int | None]: ...

    async def delivery(self, account_id: AccountId, delivery_id: DeliveryId) -> Delivery | None: ...

    async def attempts(self, account_id: AccountId, delivery_id: DeliveryId) -> Sequence[Attempt]: ...

    async def audit(self, account_id: AccountId | None, page: Page) -> Sequence[AuditEntry]:
        """Of one account; with None, of all and of none: the operator's view."""
        ...

    async def counts(self) -> Mapping[str, int]:
        """Gauges for metrics, cheap to read: ``waiting`` (bounded count), ``fan_out_jobs``, ``notices``,
        ``file_bytes``.
        """
        ...


# === requests repeated ============================================================================================


class StoredAnswer(msgspec.Struct, frozen=True, kw_only=True):
    digest: bytes  # SHA-256 of the request's body
    status: int | None  # None: still running
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Idempotency(Protocol):
    async def begin(
        self, account_id: AccountId | None, route: str, key: str, digest: bytes, now: Millis, expires_at: Millis
    ) -> StoredAnswer | None:
        """Takes the key: None where it is new (or expired, or its holder's process is gone), else what is there."""
        ...

    async def finish(self, account_id: AccountId | None, route: str, key: str, answer: StoredAnswer) -> None: ...

    async def abandon(self, account_id: AccountId | None, route: str, key: str) -> None:
        """Frees a key whose request was refused or failed, so that it can be tried again."""
        ...


# === housekeeping =================================================================================================


class Purged(msgspec.Struct, frozen=True, kw_only=True):
    bodies: int = 0
    events: int = 0
    deliveries: int = 0
    attempts: int = 0
    dedupe: int = 0
    idempotency: int = 0
    accounts: int = 0


class Housekeeping(Protocol):
    async def purge(
        self, *, bodies_before: Millis, logs_before: Millis, dedupe_before: Millis, now: Millis, limit: int
    ) -> Purged:
        """Removes up to `limit` rows of each kind that are older; never anything of a delivery that has not ended."""
        ...

    async def check(self) -> Sequence[str]:
        """What is wrong with the database, for `tocsin doctor`; empty: nothing."""
        ...

    async def meta(self, name: str) -> str | None: ...

    async def set_meta(self, name: str, value: str) -> None: ...


class Store(Protocol):
    """All roles of one database, and its life."""

    @property
    def journal(self) -> Journal: ...
    @property
    def ownership(self) -> Ownership: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def catalogue(self) -> Catalogue: ...
    @property
    def webhooks(self) -> Webhooks: ...
    @property
    def snapshots(self) -> Snapshots: ...
    @property
    def notices(self) -> Notices: ...
    @property
    def records(self) -> Records: ...
    @property
    def idempotency(self) -> Idempotency: ...
    @property
    def housekeeping(self) -> Housekeeping: ...

    async def ready(self) -> bool:
        """Reachable, and its schema is this program's."""
        ...

    async def close(self) -> None:
        """Finishes what was begun and lets the database go."""
        ...
