"""What a webhook's events and filter would have sent."""

import msgspec

from tocsin.api import wire
from tocsin.api.alerts import DAY_MS, Days
from tocsin.api.operations import Access, Answer, Call, Reply, operation
from tocsin.api.queries import id_of
from tocsin.api.wire import EventIdText, Instant, WebhookIdText
from tocsin.clock import Millis, rfc3339
from tocsin.control.webhook_bodies import Filter, Patterns
from tocsin.control.webhook_checks import check_events
from tocsin.engine.filtering.filters import compile_filter
from tocsin.errors import Fault, Invalid
from tocsin.model import WebhookId

_EXAMPLE = {
    "since": "2025-12-25T00:00:00.000Z",
    "until": "2026-01-01T00:00:00.000Z",
    "complete": True,
    "looked_at": 1_204,
    "sent": 3,
    "by_day": {"2025-12-28": {"fraud.detected": 2}, "2025-12-30": {"fraud.detected": 1}},
    "failed": 0,
    "gone": 0,
    "samples": [
        {"event_id": "evt_06f3k9w2zq8rt", "type": "fraud.detected", "timestamp": "2025-12-30T08:00:00.000Z"},
    ],
}


class WebhookBacktestAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`webhook_id`: begin with what this webhook has; `events` and `filter`, where given, stand in its place."""

    webhook_id: WebhookIdText | None = None
    events: Patterns | None = None
    filter: Filter | None = None
    days: Days = 7


class SampleShown(msgspec.Struct, frozen=True, kw_only=True):
    event_id: EventIdText
    type: str
    timestamp: Instant


class WebhookBacktestShown(msgspec.Struct, frozen=True, kw_only=True):
    """`complete` false: there was more than one question may look at; `since` says how far back it came. `by_day`: in
    the account's time zone. `failed`: the filter could not judge them; `gone`: their bodies are no longer kept.
    `samples`: the ten newest that would have been sent.
    """

    since: Instant
    until: Instant
    complete: bool
    looked_at: int
    sent: int
    by_day: dict[str, dict[str, int]]
    failed: int
    gone: int
    samples: list[SampleShown]


@operation(
    "POST",
    "/v1/webhooks/backtest",
    access=Access.READ,
    body=WebhookBacktestAsked,
    body_example={"events": ["fraud.detected"], "filter": "data.score >= 90", "days": 7},
    answers=(Answer(200, WebhookBacktestShown, "What would have been sent", _EXAMPLE),),
    problems=("unknown_event_type", "filter_invalid"),
)
async def backtest_webhook(call: Call) -> Reply:
    """Ask what a webhook would have been sent.

    Its events and its filter over the events that are kept of the last days. Nothing is made and nothing is sent.
    """
    asked: WebhookBacktestAsked = call.body
    services = call.services
    patterns, text = asked.events, asked.filter
    if asked.webhook_id is not None:
        number = WebhookId(id_of("wh_", asked.webhook_id, "/webhook_id"))
        known = (await services.control.webhooks.get(call.account_id, number)).settings
        patterns = known.events if patterns is None else patterns
        text = known.filter if text is None else text
    if patterns is None:
        detail = "name events, or a webhook to take them from"
        raise Invalid("which events?", faults=[Fault("/events", detail)])
    patterns = check_events(await services.directory.fresh(call.account_id), tuple(patterns))
    now = Millis(services.clock.now_ms() + 1)  # with what was accepted in this very millisecond
    found = await services.backtests.filter(
        call.account_id,
        patterns,
        None if text is None else compile_filter(text),
        Millis(max(0, now - asked.days * DAY_MS)),
        now,
    )
    return Reply(
        200,
        WebhookBacktestShown(
            since=rfc3339(found.since),
            until=rfc3339(found.until),
            complete=found.complete,
            looked_at=found.looked_at,
            sent=sum(sum(types.values()) for types in found.sent.values()),
            by_day={day: dict(types) for day, types in found.sent.items()},
            failed=found.failed,
            gone=found.gone,
            samples=[
                SampleShown(event_id=wire.event_id(one.event_id), type=one.type, timestamp=rfc3339(one.timestamp))
                for one in found.samples
            ],
        ),
    )


OPERATIONS = (backtest_webhook,)
