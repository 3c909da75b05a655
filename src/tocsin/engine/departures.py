"""How an accepted event sets out: routed and given places before its commit, sent on or taken back after it.

What publishers post ready-made (`ingest`) and what triggers fire (`activities`) both leave by here.
"""

from collections.abc import Sequence
from typing import Any

from tocsin.clock import Millis
from tocsin.engine.cluster.bell import Bell
from tocsin.engine.directory import AccountView, WebhookView
from tocsin.engine.dispatching.dispatcher import Dispatcher
from tocsin.engine.routing import match
from tocsin.ids import IdSource
from tocsin.model import DeliveryId, EventId
from tocsin.store.port import Claimed, NewDelivery, NewEvent
from tocsin.telemetry import Metrics

# Deliveries that are written with their event; more than that are fanned out by a durable job, in pieces.
INLINE_DELIVERIES = 100


class Departures:
    def __init__(self, *, dispatcher: Dispatcher, bell: Bell, id_source: IdSource, metrics: Metrics) -> None:
        self._dispatcher = dispatcher
        self._bell = bell
        self._id_source = id_source
        self._metrics = metrics

    def book(
        self,
        view: AccountView,
        type: str,
        data: bytes,
        value: Any,
        *,
        timestamp: Millis,
        accepted_at: Millis,
        source: str,
        visitor_id: str | None,
        external_id: str | None = None,
        digest: bytes = b"",
    ) -> NewEvent:
        """The event with a delivery for each webhook that it goes to, places reserved in their lanes.

        Ends in exactly one of `depart` and `cancel`. Nothing but the commit may be awaited until then: a reserved
        place is kept from others.

        Args:
            data: the body as it is kept; `value` is the same, parsed, for filters.
        """
        hooks = match(view, type, timestamp, value)
        id_source = self._id_source
        event_id = EventId(id_source.next())
        inline = len(hooks) <= INLINE_DELIVERIES
        return NewEvent(
            id=event_id,
            account_id=view.account.id,
            type=type,
            timestamp=timestamp,
            accepted_at=accepted_at,
            data=data,
            external_id=external_id,
            digest=digest,
            source=source,
            config_version=view.account.config_version,
            matched=len(hooks),
            visitor_id=visitor_id,
            deliveries=self._deliveries(hooks, accepted_at) if inline else (),
            fan_out=not inline,
        )

    def _deliveries(self, hooks: Sequence[WebhookView], now: Millis) -> tuple[NewDelivery, ...]:
        if not hooks:
            return ()
        id_source = self._id_source
        reserve = self._dispatcher.reserve
        return tuple(
            [
                NewDelivery(id=DeliveryId(id_source.next()), webhook_id=hook.webhook.id, claimed=reserve(hook, now))
                for hook in hooks
            ]
        )

    def depart(self, event: NewEvent, now: Millis) -> None:
        """It is durable: its deliveries go to their lanes."""
        self._metrics.events_accepted += 1
        self._metrics.deliveries_created += len(event.deliveries)
        dispatcher = self._dispatcher
        if event.fan_out:
            self._bell.job_written()
        for delivery in event.deliveries:
            if delivery.claimed:
                dispatcher.hand_over(
                    Claimed(
                        id=delivery.id,
                        event_id=event.id,
                        webhook_id=delivery.webhook_id,
                        account_id=event.account_id,
                        type=event.type,
                        timestamp=event.timestamp,
                        data=event.data,
                        attempts=0,
                        tries=0,
                        claim_count=1,
                        config_version=event.config_version,
                    ),
                    now,
                )
            else:
                dispatcher.stored(delivery.webhook_id, event.account_id, event.accepted_at)

    def cancel(self, event: NewEvent) -> None:
        """It was not taken: its places are free again."""
        for delivery in event.deliveries:
            if delivery.claimed:
                self._dispatcher.unreserve(delivery.webhook_id)
