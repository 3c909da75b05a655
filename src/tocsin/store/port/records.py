"""What people read."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from tocsin.clock import Millis
from tocsin.model import AccountId, Attempt, Delivery, DeliveryId, DeliveryState, Event, EventId, WebhookId
from tocsin.store.port.settings import AuditEntry, Page


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
    digest_id: DeliveryId | None = None  # what was folded into it
    since: Millis | None = None  # by when it was made
    until: Millis | None = None


class Records(Protocol):
    """Lists look at a bounded number of rows; where a filter passes over more, the page ends early with a place to go
    on from. `next_before` None means that nothing is left. Here a page holds at most `limit` rows.
    """

    async def events(self, account_id: AccountId, where: EventFilter, page: Page) -> tuple[Sequence[Event], int | None]:
        """Rows (without `data`), and `next_before`; none of Tocsin's own (`model.OWN_TYPES`)."""
        ...

    async def event(self, account_id: AccountId, event_id: EventId) -> Event | None:
        """With its `data`; one of Tocsin's own too."""
        ...

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
