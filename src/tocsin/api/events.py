"""Events: published one by one or in batches, listed, and explained."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import orjson
from msgspec import UNSET, Meta, UnsetType

from tocsin.api import deliveries, wire
from tocsin.api.decoding import decode_body
from tocsin.api.deliveries import DeliveryShown
from tocsin.api.operations import MAX_BATCH_BYTES, Access, Answer, Call, Reply, operation
from tocsin.api.problems import Problem, problem
from tocsin.api.queries import since_until
from tocsin.api.services import Services
from tocsin.api.wire import EventIdText, Instant, PageQuery, WebhookIdText
from tocsin.clock import rfc3339
from tocsin.control.values import ExternalId, millis
from tocsin.control.values import Instant as InstantAsked
from tocsin.engine.ingest import Receipt
from tocsin.engine.routing import explain
from tocsin.errors import Fault, NotFound, Unavailable
from tocsin.model import OWN_SOURCE, AccountId, Event, EventId
from tocsin.profiles.jsjson import stabilise
from tocsin.store.port import DeliveryFilter, EventFilter, Page

log = logging.getLogger(__name__)

MAX_BATCH = 1_000  # CONTRACT §3

# Events of a batch that are looked at before others get their turn: some milliseconds.
_SLICE = 16

# Deliveries shown with their event; the rest are at /v1/deliveries?event=….
_DELIVERIES_SHOWN = 250

# Webhooks explained before others get their turn.
_EXPLAINED_AT_ONCE = 100

_RECEIPT_EXAMPLE: dict[str, Any] = {
    "id": "evt_06f3k9w2zq8rt",
    "type": "click.created",
    "timestamp": "2026-01-01T00:00:00.000Z",
    "matched": 2,
    "duplicate": False,
}
_NEW_EXAMPLE: dict[str, Any] = {
    "type": "click.created",
    "data": {"click_id": "c-4711", "country": "DE"},
    "external_id": "c-4711",
    "timestamp": "2026-01-01T00:00:00Z",
}
_EXAMPLE: dict[str, Any] = {
    "id": "evt_06f3k9w2zq8rt",
    "type": "click.created",
    "timestamp": "2026-01-01T00:00:00.000Z",
    "accepted_at": "2026-01-01T00:00:00.100Z",
    "external_id": "c-4711",
    "source": "api",
    "matched": 1,
}


class NewEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`data` is judged by the schema of its type. `external_id` makes publishing repeatable: the same content again is
    answered as a duplicate. `timestamp`: when it happened; left out, now.
    """

    type: Annotated[str, Meta(examples=["click.created"])]
    data: msgspec.Raw
    external_id: ExternalId | None = None
    timestamp: InstantAsked | None = None


class NewEvents(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    events: Annotated[list[NewEvent], Meta(min_length=1, max_length=MAX_BATCH)]


class NewEventsRaw(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same, its items left for later, so that each can be refused on its own."""

    events: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MAX_BATCH)]


class ReceiptShown(msgspec.Struct, frozen=True, kw_only=True):
    """`matched`: to how many webhooks it goes. `duplicate`: its external_id was known; `id` is the first one's, and
    nothing is sent.
    """

    id: EventIdText
    type: str
    timestamp: Instant
    matched: int
    duplicate: bool


class BatchResult(msgspec.Struct, frozen=True, kw_only=True):
    """`refused`: only `error` is set, pointing into the whole request; otherwise the receipt's keys are."""

    status: Literal["accepted", "duplicate", "refused"]
    id: EventIdText | UnsetType = UNSET
    type: str | UnsetType = UNSET
    timestamp: Instant | UnsetType = UNSET
    matched: int | UnsetType = UNSET
    duplicate: bool | UnsetType = UNSET
    error: Problem | UnsetType = UNSET


class BatchResults(msgspec.Struct, frozen=True, kw_only=True):
    """One result for each event, in order."""

    results: list[BatchResult]


class EventShown(msgspec.Struct, frozen=True, kw_only=True):
    id: EventIdText
    type: str
    timestamp: Instant
    accepted_at: Instant
    external_id: str | None
    source: str
    matched: int


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the event went to a webhook, by the webhook's settings of that time, and why."""

    webhook_id: WebhookIdText
    matched: bool
    reason: str


class EventDetail(EventShown, frozen=True, kw_only=True):
    """`data` null: retention has taken it. `deliveries`: the newest 250; the rest are at /v1/deliveries?event=…."""

    data: msgspec.Raw
    deliveries: list[DeliveryShown]
    routing: list[Why]


class EventList(msgspec.Struct, frozen=True, kw_only=True):
    data: list[EventShown]
    next_cursor: str | None
    has_more: bool


class EventQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`since` and `until` bound when it was accepted."""

    type: Annotated[str, Meta(max_length=128, examples=["click.created"])] | None = None
    since: InstantAsked | None = None
    until: InstantAsked | None = None
    source: Annotated[str, Meta(max_length=32, examples=["api"])] | None = None
    external_id: Annotated[str, Meta(max_length=128, examples=["c-4711"])] | None = None


# --- publishing ---------------------------------------------------------------------------------------------------


def check_outer(body: bytes, data: bytes) -> None:
    """Finds duplicate keys around `data`, which a decoder would pass over in silence.

    Raises:
        Invalid: `data_invalid`.
    """
    at = body.find(data)
    outer = body[:at] + body[at + len(data) :]
    # Around its data an event is some hundred bytes. A key that is there once, unescaped, is not there twice; whatever
    # looks otherwise is looked at exactly.
    if (
        outer.count(b'"data"') > 1
        or outer.count(b'"type"') > 1
        or outer.count(b'"external_id"') > 1
        or outer.count(b'"timestamp"') > 1
        or b"\\" in outer
    ):
        stabilise(body, "")


async def publish(services: Services, account_id: AccountId, body: bytes, new: NewEvent) -> Receipt:
    """Raises as `Ingest.publish` does."""
    data = bytes(new.data)
    check_outer(body, data)
    return await services.ingest.publish(
        account_id,
        new.type,
        data,
        external_id=new.external_id,
        timestamp=None if new.timestamp is None else millis(new.timestamp, "/timestamp"),
    )


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return {
        "id": wire.event_id(receipt.id),
        "type": receipt.type,
        "timestamp": rfc3339(receipt.timestamp),
        "matched": receipt.matched,
        "duplicate": receipt.duplicate,
    }


@operation(
    "POST",
    "/v1/events",
    access=Access.PUBLISH,
    body=NewEvent,
    body_example=_NEW_EXAMPLE,
    answers=(
        Answer(200, ReceiptShown, "Known already: nothing is sent", {**_RECEIPT_EXAMPLE, "duplicate": True}),
        Answer(202, ReceiptShown, "The event and its deliveries are durable", _RECEIPT_EXAMPLE),
    ),
    makes="event_id",
    problems=("unknown_event_type", "data_invalid", "external_id_conflict", "unstorable", "overloaded"),
)
async def publish_event(call: Call) -> Reply:
    """Publish an event.

    Answered once the event and all of its deliveries are durable.
    """
    receipt = await publish(call.services, call.account_id, call.raw, call.body)
    return Reply(200 if receipt.duplicate else 202, ReceiptShown(**_receipt(receipt)))


@operation(
    "POST",
    "/v1/events/batch",
    access=Access.PUBLISH,
    body=NewEventsRaw,
    body_shown=NewEvents,
    body_example={"events": [_NEW_EXAMPLE]},
    max_body_bytes=MAX_BATCH_BYTES,
    answers=(
        Answer(
            202,
            BatchResults,
            "Each accepted or refused on its own",
            {
                "results": [
                    {"status": "accepted", **_RECEIPT_EXAMPLE},
                    {
                        "status": "refused",
                        "error": {
                            "type": "/docs/errors/unknown_event_type",
                            "title": "There is no such event type",
                            "status": 422,
                            "detail": "there is no event type 'clik.created' in this account",
                            "code": "unknown_event_type",
                            "request_id": "req_06f3k9w2zq8rt",
                            "errors": [{"pointer": "/events/1/type", "detail": "did you mean click.created?"}],
                        },
                    },
                ]
            },
        ),
    ),
    problems=("overloaded",),
)
async def publish_events(call: Call) -> Reply:
    """Publish up to 1000 events.

    Each is accepted or refused on its own, and answered in order; what was accepted is durable.
    """
    raw: Sequence[msgspec.Raw] = call.body.events
    tasks: list[asyncio.Task[Receipt]] = []
    for index, one in enumerate(raw):
        tasks.append(asyncio.create_task(_publish_item(call, bytes(one))))
        if index % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if len(errors) == len(outcomes) and all(isinstance(error, Unavailable) for error in errors):
        raise errors[0]
    for error in errors:
        if isinstance(error, NotFound) or not isinstance(error, Exception):
            raise error  # the account is gone, or we are being cancelled
    results = [
        _refusal(call, index, outcome)
        if isinstance(outcome, Exception)
        else BatchResult(status="duplicate" if outcome.duplicate else "accepted", **_receipt(outcome))
        for index, outcome in enumerate(outcomes)
        if not isinstance(outcome, BaseException) or isinstance(outcome, Exception)
    ]
    return Reply(202, BatchResults(results=results))


async def _publish_item(call: Call, body: bytes) -> Receipt:
    return await publish(call.services, call.account_id, body, decode_body(body, NewEvent))


def _refusal(call: Call, index: int, error: Exception) -> BatchResult:
    found = problem(error, call.request_id)
    if found.status == 500:
        fields = {"request_id": call.request_id, "operation": publish_events.id, "status": 500}
        log.error("request_failed", exc_info=error, extra=fields)
    call.services.metrics.refused(found.code)
    at = f"/events/{index}"
    faults = tuple(Fault(at + fault.pointer, fault.detail) for fault in found.errors)
    detail = at + found.detail if found.detail.startswith("/") else found.detail
    return BatchResult(status="refused", error=msgspec.structs.replace(found, detail=detail, errors=faults))


# --- reading ------------------------------------------------------------------------------------------------------


def _fields(event: Event) -> dict[str, Any]:
    return {
        "id": wire.event_id(event.id),
        "type": event.type,
        "timestamp": rfc3339(event.timestamp),
        "accepted_at": rfc3339(event.accepted_at),
        "external_id": event.external_id,
        "source": event.source,
        "matched": event.matched,
    }


@operation(
    "GET",
    "/v1/events",
    access=Access.READ,
    query=EventQuery,
    answers=(Answer(200, EventList, "Newest first", {"data": [_EXAMPLE], "next_cursor": None, "has_more": False}),),
)
async def list_events(call: Call) -> Reply:
    """List events.

    Where a filter passes over very many, a page can be short, or empty, and still have more after it.
    """
    asked: EventQuery = call.query
    since, until = since_until(asked.since, asked.until)
    where = EventFilter(type=asked.type, since=since, until=until, source=asked.source, external_id=asked.external_id)
    rows, before = await call.services.store.records.events(call.account_id, where, asked.page())
    return Reply(
        200,
        EventList(
            data=[EventShown(**_fields(row)) for row in rows],
            next_cursor=None if before is None else wire.cursor(before),
            has_more=before is not None,
        ),
    )


@operation(
    "GET",
    "/v1/events/{event_id}",
    access=Access.READ,
    answers=(
        Answer(
            200,
            EventDetail,
            "The event with its deliveries, and why it went where",
            {
                **_EXAMPLE,
                "data": _NEW_EXAMPLE["data"],
                "deliveries": [deliveries.EXAMPLE],
                "routing": [
                    {
                        "webhook_id": "wh_06f3k9w2zq8rt",
                        "matched": True,
                        "reason": "it is subscribed to click.created",
                    }
                ],
            },
        ),
    ),
)
async def get_event(call: Call) -> Reply:
    """Read an event.

    With its deliveries and, for every webhook that the account had then, why it was matched or not, by the settings of
    that time.
    """
    store = call.services.store
    event = await store.records.event(call.account_id, EventId(call.ids["event_id"]))
    if event is None:
        raise NotFound("there is no such event")
    made, _ = await store.records.deliveries(
        call.account_id, DeliveryFilter(event_id=event.id), Page(limit=_DELIVERIES_SHOWN)
    )
    return Reply(
        200,
        EventDetail(
            **_fields(event),
            data=msgspec.Raw(b"null" if event.data is None else event.data),
            deliveries=[deliveries.shown(row) for row in made],
            routing=await _routing(call, event),
        ),
    )


async def _routing(call: Call, event: Event) -> list[Why]:
    if event.source == OWN_SOURCE:
        return []  # made for its webhook, and offered to none
    data = None if event.data is None else orjson.loads(event.data)
    hooks = [
        hook
        for hook in await call.services.store.webhooks.as_of(call.account_id, event.config_version)
        if not hook.deleted
    ]
    found: list[Why] = []
    for at in range(0, len(hooks), _EXPLAINED_AT_ONCE):
        if at:
            await asyncio.sleep(0)
        found.extend(
            Why(webhook_id=wire.webhook_id(verdict.webhook_id), matched=verdict.matched, reason=verdict.reason)
            for verdict in explain(hooks[at : at + _EXPLAINED_AT_ONCE], event.type, event.timestamp, data)
        )
    return found


OPERATIONS = (publish_event, publish_events, list_events, get_event)
