"""The nouns, frozen; the states; and which state may follow which.

Instants are `Millis`; ids are integers inside (`tocsin.ids` shows them). What a user writes as JSON stays bytes.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NewType

import msgspec

from tocsin.clock import Millis
from tocsin.shards import shard_of

AccountId = NewType("AccountId", int)
KeyId = NewType("KeyId", int)
WebhookId = NewType("WebhookId", int)
EventId = NewType("EventId", int)
DeliveryId = NewType("DeliveryId", int)
NoticeId = NewType("NoticeId", int)


# --- accounts and keys ------------------------------------------------------------------------------------------


class Scope(StrEnum):
    """What a key may do."""

    PUBLISH = "publish"
    MANAGE = "manage"
    READ = "read"


ALL_SCOPES = frozenset(Scope)


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant. `config_version` rises with every change that decides what is delivered where."""

    id: AccountId
    name: str
    profile: str
    timezone: str
    external_id: str | None
    notify_email: str | None
    settings: Mapping[str, object]
    config_version: int
    created_at: Millis
    updated_at: Millis


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A credential; the secret itself is known only as a SHA-256 digest."""

    id: KeyId
    account_id: AccountId | None  # None: the operator's
    name: str
    hint: str  # its first characters, enough to recognise it
    digest: bytes  # SHA-256 of the whole key
    scopes: frozenset[Scope]
    created_at: Millis
    last_used_at: Millis | None
    revoked_at: Millis | None


# --- catalogue --------------------------------------------------------------------------------------------------


class EventType(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a catalogue: of the profile, or an account's own (`standard` only)."""

    name: str
    description: str
    schema: Mapping[str, object]  # JSON Schema 2020-12 of `data`
    example: Mapping[str, object]  # an instance of `data`
    source: str  # the document that names it, or "account" for an account's own
    extension: bool  # ours, not the document's


# --- webhooks ---------------------------------------------------------------------------------------------------

# Stands for a credential wherever one would be shown.
MASK = "***"
# CONTRACT §1: every channel that a webhook can have.
STANDARD = "standard"
CHANNEL_NAMES = (STANDARD, "slack", "telegram", "discord", "email", "postback")


class WebhookState(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"
    FAILED = "failed"


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What may be shown of a webhook's settings; the rest is sealed in `Webhook.sealed`."""

    url_shown: str  # the address; credentials of chat addresses masked
    events: tuple[str, ...]  # exact names, "prefix.*", "*"
    name: str = ""
    description: str = ""
    channel: str = STANDARD
    filter: str | None = None  # CEL over `event` and `data`
    header_names: tuple[str, ...] = ()
    rate_limit: float | None = None  # deliveries a second
    max_in_flight: int | None = None
    options: Mapping[str, object] = msgspec.field(default_factory=dict)
    confirmed_at: Millis | None = None  # when whoever reads at its address agreed; of channels that ask
    shard: int | None = None  # of its address, where others may have to keep one pace with it; None: its own

    @property
    def signed(self) -> bool:
        """Programs receive and verify it, in a dialect; the other channels have forms of their own."""
        return self.channel == STANDARD

    @property
    def unconfirmed(self) -> bool:
        """Mail goes to people who may have no part in Tocsin: only to those who agreed."""
        return self.channel == "email" and self.confirmed_at is None


class WebhookSecrets(msgspec.Struct, frozen=True, kw_only=True):
    """What is encrypted at rest, as JSON, bound to account and webhook."""

    url: str
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    secret: str | None = None
    previous_secret: str | None = None
    overlap_until: Millis | None = None  # until then the previous secret counts


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription as it is now: its newest version.

    Versions are append-only; `from_config` is the account's `config_version` from which this one was in force.
    """

    id: WebhookId
    account_id: AccountId
    version: int
    from_config: int
    state: WebhookState
    status_reason: str | None
    status_since: Millis
    muted_until: Millis | None
    settings: WebhookSettings
    sealed: bytes
    created_at: Millis
    updated_at: Millis
    deleted: bool = False

    @property
    def shard(self) -> int:
        """Where it is sent for: see `tocsin.shards`."""
        given = self.settings.shard
        return shard_of(self.id.to_bytes(8, "big")) if given is None else given


class NoticeKind(StrEnum):
    """What a webhook's owner is told, or its reader asked. The two that end it are named as the state that it is then
    in.
    """

    FAILING = "failing"
    DISABLED = "disabled"
    FAILED = "failed"
    CONFIRM = "confirm"  # goes to the webhook's own address


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """An e-mail about a webhook that is still to be sent. Holds what happened; whom to tell, and how the webhook
    is called, is read when it is sent.
    """

    id: NoticeId
    account_id: AccountId
    webhook_id: WebhookId
    kind: NoticeKind
    reason: str  # a sentence for people
    at: Millis
    tries: int = 0  # that failed, of this very notice


# --- events -----------------------------------------------------------------------------------------------------


# Event types of Tocsin's own begin so; nobody else's may. They are routed to nobody and listed nowhere, but have
# deliveries: a digest of what was folded, a word on a webhook that was stopped.
OWN_TYPES = "tocsin."
OWN_SOURCE = "tocsin"
DIGEST_TYPE = "tocsin.digest"
NOTICE_TYPE = "tocsin.notice"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable thing that happened. `data` is its body as compact, ECMAScript-stable JSON.

    `data` is None once retention has taken the body.
    """

    id: EventId
    account_id: AccountId
    type: str
    timestamp: Millis  # when it happened, by the publisher
    accepted_at: Millis
    data: bytes | None
    external_id: str | None
    source: str  # "api", "activity", "test"; "tocsin": one of `OWN_TYPES`
    config_version: int  # the account's settings that it was matched by
    matched: int  # how many webhooks
    visitor_id: str | None


# --- deliveries -------------------------------------------------------------------------------------------------


class DeliveryState(StrEnum):
    PENDING = "pending"
    SENDING = "sending"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DIGESTED = "digested"


WAITING = frozenset({DeliveryState.PENDING, DeliveryState.RETRYING})
FINAL = frozenset({DeliveryState.SUCCEEDED, DeliveryState.FAILED, DeliveryState.CANCELLED, DeliveryState.DIGESTED})

# Which state may follow which. A manual retry opens a final delivery again; it ends in `succeeded`, or as it was.
TRANSITIONS: Mapping[DeliveryState, frozenset[DeliveryState]] = {
    DeliveryState.PENDING: frozenset({DeliveryState.SENDING, DeliveryState.CANCELLED, DeliveryState.DIGESTED}),
    DeliveryState.SENDING: frozenset(
        {DeliveryState.PENDING, DeliveryState.RETRYING, *FINAL}  # PENDING: given back unsent
    ),
    DeliveryState.RETRYING: frozenset({DeliveryState.SENDING, DeliveryState.CANCELLED, DeliveryState.DIGESTED}),
    DeliveryState.SUCCEEDED: frozenset({DeliveryState.SENDING}),
    DeliveryState.FAILED: frozenset({DeliveryState.SENDING}),
    DeliveryState.CANCELLED: frozenset({DeliveryState.SENDING}),
    DeliveryState.DIGESTED: frozenset(),
}


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one webhook."""

    id: DeliveryId
    event_id: EventId
    webhook_id: WebhookId
    account_id: AccountId
    type: str  # the event's
    channel: str
    state: DeliveryState
    attempts: int  # all of them, manual ones too
    due_at: Millis | None  # next attempt, while waiting
    finished_at: Millis | None
    status_code: int | None  # of the last attempt
    replay_id: int | None = None
    digest_id: DeliveryId | None = None  # the one that it was folded into
    members: int | None = None  # of a digest: for how many deliveries it stands


# --- attempts ---------------------------------------------------------------------------------------------------


class OutcomeKind(StrEnum):
    """How one attempt ended. Only `SUCCEEDED` is success."""

    SUCCEEDED = "succeeded"  # any 2xx in time
    REDIRECTED = "redirected"  # 3xx: never followed
    HTTP_ERROR = "http_error"  # any other status
    TIMEOUT = "timeout"  # the time limit passed before the answer's end
    DNS_ERROR = "dns_error"  # the name did not resolve
    CONNECT_ERROR = "connect_error"  # nothing answers at that address
    TLS_ERROR = "tls_error"  # no trusted, encrypted connection
    CONNECTION_LOST = "connection_lost"  # closed or reset before the answer's end: it may have been received
    PROTOCOL_ERROR = "protocol_error"  # the answer is not HTTP, or its headers exceed all bounds
    BLOCKED = "blocked"  # the outbound guard refused the address
    MAIL_ERROR = "mail_error"  # the mail server answered otherwise than 2xx: its reply code is the status code
    UNSENDABLE = "unsendable"  # nothing was sent: the event cannot be rendered for this webhook


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request, ready to send: what a channel renders and the sender sends.

    Of a mail, `method` is ``MAIL``, `url` its ``mailto:`` address and `body` the whole of it (RFC 5322).
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timeout_s: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one request ended, as it really went."""

    kind: OutcomeKind
    status_code: int | None = None  # set wherever a status line came, also when the answer broke off later
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""  # at most the first 16 KiB
    body_truncated: bool = False
    error: str | None = None  # one plain sentence
    duration_us: int = 0
    peer: str | None = None  # the address that it was connected to
    resent: bool = False  # the client had to send it a second time on a fresh connection

    @property
    def ok(self) -> bool:
        return self.kind is OutcomeKind.SUCCEEDED


class Trigger(StrEnum):
    """Why an attempt was made."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    TEST = "test"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try of a delivery, for the log. Header values that are secret are masked before they come here."""

    id: int
    delivery_id: DeliveryId
    n: int  # 1, 2, …
    trigger: Trigger
    started_at: Millis
    outcome: Outcome
    method: str
    url_shown: str
    request_headers: tuple[tuple[str, str], ...]
    request_body: bytes | None  # None: as rendered from the event, see `engine.rendering`
    webhook_version: int
