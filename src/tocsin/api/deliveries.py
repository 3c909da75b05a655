"""Deliveries: each event's way to each webhook, with every attempt."""

from typing import Annotated, Any

import msgspec

from tocsin.api import attempts, wire
from tocsin.api.attempts import AttemptShown
from tocsin.api.operations import Access, Answer, Call, Reply, operation
from tocsin.api.queries import id_of, since_until
from tocsin.api.wire import DeliveryIdText, DigestIdText, EventIdText, Instant, PageQuery, WebhookIdText
from tocsin.control.values import Instant as InstantAsked
from tocsin.engine.rendering import body_of
from tocsin.errors import Fault, NotFound
from tocsin.faults import invalid
from tocsin.model import (
    CHANNEL_NAMES,
    DIGEST_TYPE,
    OWN_SOURCE,
    STANDARD,
    Delivery,
    DeliveryId,
    DeliveryState,
    Event,
    EventId,
    WebhookId,
)
from tocsin.nearest import did_you_mean
from tocsin.store.port import DeliveryFilter

# Whose delivery log shows postbacks beside webhooks filters by this word (Trcker's document, "Common questions").
_OTHER_WORDS = {"webhook": STANDARD}

EXAMPLE: dict[str, Any] = {
    "id": "dlv_06f3k9w2zq8rt",
    "event_id": "evt_06f3k9w2zq8rt",
    "webhook_id": "wh_06f3k9w2zq8rt",
    "type": "click.created",
    "channel": "standard",
    "status": "retrying",
    "status_code": 500,
    "attempt_count": 1,
    "next_attempt_at": "2026-01-01T00:00:05.300Z",
    "created_at": "2026-01-01T00:00:00.000Z",
    "finished_at": None,
    "digest_id": None,
    "members": None,
}

# What was folded, and what it was folded into.
_MEMBER_EXAMPLE: dict[str, Any] = {
    **EXAMPLE,
    "type": "fraud.detected",
    "channel": "slack",
    "status": "digested",
    "status_code": None,
    "attempt_count": 0,
    "next_attempt_at": None,
    "finished_at": "2026-01-01T00:00:00.100Z",
    "digest_id": "dig_06f3k9w2zq8rv",
}
_DIGEST_EXAMPLE: dict[str, Any] = {
    **EXAMPLE,
    "id": "dig_06f3k9w2zq8rv",
    "event_id": "evt_06f3k9w2zq8rv",
    "type": DIGEST_TYPE,
    "channel": "slack",
    "status": "succeeded",
    "status_code": 200,
    "next_attempt_at": None,
    "finished_at": "2026-01-01T00:01:00.200Z",
    "members": 17,
}


class DeliveryShown(msgspec.Struct, frozen=True, kw_only=True):
    """`status_code`: of the last attempt. `attempt_count`: all of them, manual ones too. `digest_id`: what it was
    folded into. `members`: of a digest, for how many deliveries it stands.
    """

    id: DeliveryIdText
    event_id: EventIdText
    webhook_id: WebhookIdText
    type: str
    channel: str
    status: DeliveryState
    status_code: int | None
    attempt_count: int
    next_attempt_at: Instant | None
    created_at: Instant
    finished_at: Instant | None
    digest_id: DigestIdText | None
    members: Annotated[int, msgspec.Meta(ge=0)] | None


class DeliveryDetail(DeliveryShown, frozen=True, kw_only=True):
    """`digest_status`: what became of what it was folded into; null too where that is no longer kept. `attempts`:
    oldest first.
    """

    digest_status: DeliveryState | None
    attempts: list[AttemptShown]


class DeliveryList(msgspec.Struct, frozen=True, kw_only=True):
    data: list[DeliveryShown]
    next_cursor: str | None
    has_more: bool


class DeliveryQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    webhook: Annotated[str, msgspec.Meta(max_length=32, examples=["wh_06f3k9w2zq8rt"])] | None = None
    event: Annotated[str, msgspec.Meta(max_length=32, examples=["evt_06f3k9w2zq8rt"])] | None = None
    digest: (
        Annotated[
            str, msgspec.Meta(max_length=32, description="what was folded into it", examples=["dig_06f3k9w2zq8rt"])
        ]
        | None
    ) = None
    type: Annotated[str, msgspec.Meta(max_length=128, examples=["click.created"])] | None = None
    status: DeliveryState | None = None
    code: Annotated[int, msgspec.Meta(ge=100, le=999, description="status code of the last attempt")] | None = None
    channel: (
        Annotated[
            str,
            msgspec.Meta(
                max_length=64,
                description="`webhook` is another word for `standard`",
                extra_json_schema={"enum": [*CHANNEL_NAMES, *_OTHER_WORDS]},
            ),
        ]
        | None
    ) = None
    since: InstantAsked | None = None
    until: InstantAsked | None = None


def fields(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": wire.delivery_id(delivery.id, delivery.type),
        "event_id": wire.event_id(delivery.event_id),
        "webhook_id": wire.webhook_id(delivery.webhook_id),
        "type": delivery.type,
        "channel": delivery.channel,
        "status": delivery.state,
        "status_code": delivery.status_code,
        "attempt_count": delivery.attempts,
        "next_attempt_at": wire.instant(delivery.due_at),
        "created_at": wire.made_at(delivery.id),
        "finished_at": wire.instant(delivery.finished_at),
        "digest_id": None if delivery.digest_id is None else wire.digest_id(delivery.digest_id),
        "members": delivery.members,
    }


def shown(delivery: Delivery) -> DeliveryShown:
    return DeliveryShown(**fields(delivery))


@operation(
    "GET",
    "/v1/deliveries",
    access=Access.READ,
    query=DeliveryQuery,
    answers=(
        Answer(
            200,
            DeliveryList,
            "Newest first",
            {"data": [_DIGEST_EXAMPLE, _MEMBER_EXAMPLE, EXAMPLE], "next_cursor": None, "has_more": False},
        ),
    ),
)
async def list_deliveries(call: Call) -> Reply:
    """List deliveries.

    Digests are among them: one message for many deliveries, whose ids begin with `dig_`. What was folded into one is
    listed with `digest=`; where one digest was folded into another, because it could not be sent in time, it stands
    there with its own members.

    Where a filter passes over very many, a page can be short, or empty, and still have more after it.
    """
    asked: DeliveryQuery = call.query
    since, until = since_until(asked.since, asked.until)
    where = DeliveryFilter(
        webhook_id=None if asked.webhook is None else WebhookId(id_of("wh_", asked.webhook, "?webhook")),
        event_id=None if asked.event is None else EventId(id_of("evt_", asked.event, "?event")),
        digest_id=None if asked.digest is None else DeliveryId(id_of("dig_", asked.digest, "?digest", "dlv_")),
        type=asked.type,
        state=asked.status,
        status_code=asked.code,
        channel=None if asked.channel is None else _channel(asked.channel),
        since=since,
        until=until,
    )
    rows, before = await call.services.store.records.deliveries(call.account_id, where, asked.page())
    return Reply(
        200,
        DeliveryList(
            data=[shown(row) for row in rows],
            next_cursor=None if before is None else wire.cursor(before),
            has_more=before is not None,
        ),
    )


@operation(
    "GET",
    "/v1/deliveries/{delivery_id}",
    access=Access.READ,
    answers=(
        Answer(
            200,
            DeliveryDetail,
            "The delivery with its attempts",
            {**EXAMPLE, "digest_status": None, "attempts": [attempts.EXAMPLE]},
        ),
    ),
)
async def get_delivery(call: Call) -> Reply:
    """Read a delivery with every attempt.

    Requests as they were sent, with secrets masked, and answers as they came, their bodies to the 16th KiB.
    """
    records = call.services.store.records
    delivery_id = DeliveryId(call.ids["delivery_id"])
    delivery = await _delivery(call)
    made = await records.attempts(call.account_id, delivery_id)
    body = None
    if any(attempt.request_body is None for attempt in made):
        event = await records.event(call.account_id, delivery.event_id)
        body = await _body(call, event, delivery)
    ordered = sorted(made, key=lambda attempt: (attempt.n, attempt.id))
    detail = DeliveryDetail(
        **fields(delivery),
        digest_status=await _digest_status(call, delivery),
        attempts=[attempts.shown(attempt, body) for attempt in ordered],
    )
    return Reply(200, detail)


@operation(
    "POST",
    "/v1/deliveries/{delivery_id}/retry",
    access=Access.MANAGE,
    answers=(Answer(200, AttemptShown, "The attempt as it went", {**attempts.EXAMPLE, "trigger": "manual"}),),
    problems=("webhook_disabled", "webhook_gone", "attempt_under_way", "not_retryable"),
)
async def retry_delivery(call: Call) -> Reply:
    """Try a delivery again now.

    Whatever its state. Answers when the attempt has ended, with its real outcome; a failed one leaves the delivery as
    it was and takes nothing from its schedule.
    """
    attempt = await call.services.manual.retry_now(call.account_id, DeliveryId(call.ids["delivery_id"]))
    delivery = await _delivery(call)
    event = await call.services.store.records.event(call.account_id, delivery.event_id)
    return Reply(200, attempts.shown(attempt, await _body(call, event, delivery)))


@operation(
    "POST",
    "/v1/deliveries/{delivery_id}/cancel",
    access=Access.MANAGE,
    answers=(Answer(200, DeliveryShown, "The delivery as it is now", {**EXAMPLE, "status": "cancelled"}),),
    problems=("attempt_under_way", "already_ended"),
)
async def cancel_delivery(call: Call) -> Reply:
    """Cancel a delivery that waits.

    Cancelling one that is cancelled is no error.
    """
    await call.services.manual.cancel(call.account_id, DeliveryId(call.ids["delivery_id"]))
    return Reply(200, shown(await _delivery(call)))


def _channel(name: str) -> str:
    """Raises `Invalid`: a filter by what is no channel is a slip, not an empty list."""
    known = (*CHANNEL_NAMES, *_OTHER_WORDS)
    if name not in known:
        hint = did_you_mean(name, known) or f"; there are {', '.join(known)}"
        raise invalid([Fault("?channel", f"no channel is called {name!r}{hint}")])
    return _OTHER_WORDS.get(name, name)


async def _delivery(call: Call) -> Delivery:
    found = await call.services.store.records.delivery(call.account_id, DeliveryId(call.ids["delivery_id"]))
    if found is None:
        raise NotFound("there is no such delivery")
    return found


async def _digest_status(call: Call, delivery: Delivery) -> DeliveryState | None:
    """A member inherits the outcome of its digest, or of that one's, where it was folded too.

    Each of these was sent once at least before it was folded into the next, which goes on where its schedule was: so
    they are no more than the schedule has attempts.
    """
    status = None
    while delivery.digest_id is not None:
        digest = await call.services.store.records.delivery(call.account_id, delivery.digest_id)
        if digest is None:
            return None
        delivery, status = digest, digest.state
    return status


async def _body(call: Call, event: Event | None, delivery: Delivery) -> bytes | None:
    """The body that the attempts sent: it depends on event and account alone, and so is made again, not kept.

    Not so that of other channels: their attempts keep it, unless it was erased.
    """
    if event is None or delivery.channel != STANDARD or event.source == OWN_SOURCE:
        return None
    view = await call.services.directory.fresh(call.account_id)
    return body_of(view.account, view.profile, delivery.webhook_id, event)


OPERATIONS = (list_deliveries, get_delivery, retry_delivery, cancel_delivery)
