"""Windows of webhooks that gather, and the digests that their deliveries are folded into."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from tocsin.clock import Millis
from tocsin.model import AccountId, Delivery, DeliveryId, EventId, WebhookId
from tocsin.store.port.settings import Page

# The key of a summary under which everything lies that may tell of a visitor, of any shape: top offenders, the one
# event's data. An erasure makes it null; nothing outside of it may name or describe a visitor.
NAMED: Final = "named"


class DigestKind(StrEnum):
    SUMMARY = "summary"  # one message at the end of its window
    INCIDENT = "incident"  # one message that is edited while it goes on


class OpenDigest(msgspec.Struct, frozen=True, kw_only=True):
    """A digest that takes members: a durable delivery of an event of its own, of the type `model.DIGEST_TYPE`.

    `summary` is that event's data, whole, as a JSON object; see `NAMED`. `message`: the service's name for the message
    once it was sent; kept by `Journal.settle`, not by `gather`. `revision` is the store's: 0 for a new one, and
    otherwise handed back as it was read.
    """

    delivery_id: DeliveryId
    event_id: EventId
    kind: DigestKind
    opened_at: Millis
    due_at: Millis  # when it is sent (an incident: next)
    summary: bytes
    message: str | None = None
    tries: int = 0  # what its delivery has used of its schedule; more than none where it took in one that had failed
    revision: int = 0  # how often an erasure changed its summary, or it was closed to be sent by hand


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook's window as it stands: `sent` messages of it went out on their own."""

    webhook_id: WebhookId
    opened_at: Millis
    ends_at: Millis
    sent: int
    open: tuple[OpenDigest, ...] = ()  # at most one of each kind


class Fold(msgspec.Struct, frozen=True, kw_only=True):
    """Claimed deliveries that end as `DIGESTED`, and the digest that they are folded into, as it is with them.

    Members may be digests themselves.
    """

    members: tuple[DeliveryId, ...]
    into: OpenDigest


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """What one claim of a lane that gathers comes to, at an instant: it is when members ended."""

    account_id: AccountId
    at: Millis
    window: Window
    folds: tuple[Fold, ...] = ()


class Digests(Protocol):
    async def window(self, webhook_id: WebhookId) -> Window | None:
        """How it stands, with its open digests; None: none was ever opened, or it was forgotten.

        A digest is open until a `gather` of its webhook no longer names it, or its delivery has ended.
        """
        ...

    async def gather(self, gathered: Sequence[Gathered], epoch: int) -> None:
        """Writes windows, folds and digests in one transaction; a stale epoch: `Unavailable(code="not_owner")`.

        Members that are no longer being sent are passed over. A digest that is new is made, event and delivery, and
        waits until `due_at`; one that waits is changed; of one that is being sent only its event's data are. A digest
        in `window.open` that no fold names is changed alike; where both name one, the fold counts. One that is not in
        `window.open` is closed, with what a fold into it says: it takes no more members. Of an account that was removed
        nothing is written.

        Raises:
            Conflict: `changed_meanwhile`: a digest that is named has ended (it was cancelled), or an erasure changed
                it. Nothing is written; read the windows again and gather anew.
        """
        ...

    async def members(self, account_id: AccountId, digest_id: DeliveryId, page: Page) -> Sequence[Delivery]:
        """The deliveries folded into a digest, newest first; `page.limit` of them at most, plus one."""
        ...
