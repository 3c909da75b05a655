"""Windows of webhooks that gather, and the digests that their deliveries are folded into."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from tocsin.clock import Millis
from tocsin.model import AccountId, Delivery, DeliveryId, EventId, WebhookId
from tocsin.store.port.settings import Page


class DigestKind(StrEnum):
    SUMMARY = "summary"  # one message at the end of its window
    INCIDENT = "incident"  # one message that is edited while it goes on


class OpenDigest(msgspec.Struct, frozen=True, kw_only=True):
    """A digest that takes members: a durable delivery of an event of its own, of the type `model.DIGEST_TYPE`.

    `summary` is that event's data, whole, as JSON. `message`: the service's name for the message once it was sent.
    """

    delivery_id: DeliveryId
    event_id: EventId
    kind: DigestKind
    opened_at: Millis
    due_at: Millis  # when it is sent (an incident: next)
    summary: bytes
    message: str | None = None


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook's window as it stands: `sent` messages of it went out on their own."""

    webhook_id: WebhookId
    opened_at: Millis
    ends_at: Millis
    sent: int
    open: tuple[OpenDigest, ...] = ()  # at most one of each kind


class Fold(msgspec.Struct, frozen=True, kw_only=True):
    """Claimed deliveries that end as `DIGESTED`, and the digest that they are folded into, as it is with them."""

    members: tuple[DeliveryId, ...]
    into: OpenDigest


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """What one claim of a lane that gathers comes to."""

    account_id: AccountId
    window: Window
    folds: tuple[Fold, ...] = ()


class Digests(Protocol):
    async def window(self, webhook_id: WebhookId) -> Window | None:
        """How it stands, with its open digests; None: none was ever opened, or it was forgotten."""
        ...

    async def gather(self, gathered: Sequence[Gathered], epoch: int) -> None:
        """Writes windows, folds and digests in one transaction; a stale epoch: `Unavailable(code="not_owner")`.

        Members that are no longer being sent are passed over. A digest that is new is made, event and delivery, and
        waits until `due_at`; one that waits is changed; of one that is being sent only its event's data are. A digest
        in `window.open` that no fold names is changed alike.
        """
        ...

    async def members(self, account_id: AccountId, digest_id: DeliveryId, page: Page) -> Sequence[Delivery]:
        """The deliveries folded into a digest, newest first; `page.limit` of them at most, plus one."""
        ...
