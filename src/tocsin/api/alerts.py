"""Alerts: a metric that passes a threshold; and what one would have told in the past."""

from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from tocsin import ids
from tocsin.api import wire
from tocsin.api.operations import Access, Answer, Call, Reply, operation
from tocsin.api.wire import EXAMPLE_NUMBER, AlertIdText, Instant, PageQuery
from tocsin.clock import Millis, rfc3339
from tocsin.control.alerts import NewAlert
from tocsin.engine.activity.backtest import AlertBacktest
from tocsin.triggers.rules import alerts
from tocsin.triggers.rules.alerts import Alert, Metric, Op, Watch

Days = Annotated[int, Meta(ge=1, le=90, description="how many days back")]

DAY_MS = 86_400_000

_NEW_EXAMPLE = {"metric": "fraud_rate", "op": ">", "threshold": "5", "window_s": 3600, "min_count": 100}
_EXAMPLE = {
    "id": ids.show("alr_", EXAMPLE_NUMBER),
    "name": None,
    "metric": "fraud_rate",
    "op": ">",
    "threshold": "5",
    "window_s": 3600,
    "campaign": None,
    "min_count": 100,
    "cooldown_s": 3600,
    "created_at": "2026-01-01T00:00:00.000Z",
    "value": "1.25",
    "count": 240,
    "armed": True,
    "last_fired_at": None,
}
_BACKTEST_EXAMPLE = {
    "since": "2025-12-25T00:00:00.000Z",
    "until": "2026-01-01T00:00:00.000Z",
    "complete": True,
    "looked_at": 68_210,
    "fired": 1,
    "by_day": {"2025-12-28": 1},
    "firings": [{"at": "2025-12-28T14:02:11.000Z", "value": "5.1282", "count": 117}],
}


class AlertShown(msgspec.Struct, frozen=True, kw_only=True):
    """`value`: the metric over the window until now, null for a rate of nothing; `count`: how much was counted for it.
    `armed`: false from when it fired until the metric has come back and the cool-down has passed.
    """

    id: AlertIdText
    name: str | None
    metric: Metric
    op: Op
    threshold: Decimal
    window_s: int
    campaign: str | None
    min_count: int
    cooldown_s: int
    created_at: Instant
    value: Decimal | None
    count: int
    armed: bool
    last_fired_at: Instant | None


class AlertList(msgspec.Struct, frozen=True, kw_only=True):
    data: list[AlertShown]
    next_cursor: str | None
    has_more: bool


class AlertBacktestAsked(NewAlert, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An alert as it would be made, and how far back to look."""

    days: Days = 7


class FiringShown(msgspec.Struct, frozen=True, kw_only=True):
    at: Instant
    value: Decimal
    count: int


class AlertBacktestShown(msgspec.Struct, frozen=True, kw_only=True):
    """`complete` false: there was more than one question may look at; `until` says how far it came. `by_day`: in the
    account's time zone, days without any left out. `firings`: the first hundred.
    """

    since: Instant
    until: Instant
    complete: bool
    looked_at: int
    fired: int
    by_day: dict[str, int]
    firings: list[FiringShown]


def _shown(alert: Alert, watch: Watch) -> AlertShown:
    return AlertShown(
        id=alert.id,
        name=alert.name,
        metric=alert.metric,
        op=alert.op,
        threshold=alert.threshold,
        window_s=alert.window_s,
        campaign=alert.campaign,
        min_count=alert.min_count,
        cooldown_s=alert.cooldown_s,
        created_at=rfc3339(alert.created_at),
        value=alerts.readable(alert, alerts.value(alert, watch.total)),
        count=watch.total.of,
        armed=watch.armed,
        last_fired_at=wire.instant(watch.fired_at or None),
    )


@operation(
    "POST",
    "/v1/alerts",
    access=Access.MANAGE,
    body=NewAlert,
    body_example=_NEW_EXAMPLE,
    answers=(Answer(201, AlertShown, "The alert", {**_EXAMPLE, "value": None, "count": 0}),),
    problems=("alert_limit", "alerts_unsupported"),
    makes="alert_id",
)
async def create_alert(call: Call) -> Reply:
    """Make an alert.

    It measures from now on and fires when the metric passes the threshold over the window; again once the metric has
    come back and the cool-down has passed. An account has at most 100.
    """
    alert = await call.services.control.alerts.create(call.actor, call.account_id, call.body)
    return Reply(201, _shown(alert, alerts.begin(alert)))


@operation(
    "GET",
    "/v1/alerts",
    access=Access.READ,
    query=PageQuery,
    answers=(Answer(200, AlertList, "Newest first", {"data": [_EXAMPLE], "next_cursor": None, "has_more": False}),),
)
async def list_alerts(call: Call) -> Reply:
    """List alerts, each with what it measures."""
    page = call.query.page()
    found = [
        (number, alert, watch)
        for alert, watch in await call.services.control.alerts.list(call.account_id)
        if (number := ids.parse("alr_", alert.id)) is not None and (page.before is None or number < page.before)
    ]
    rows, after = wire.cut(found, page, lambda row: row[0])
    data = [_shown(alert, watch) for _, alert, watch in rows]
    return Reply(200, AlertList(data=data, next_cursor=after, has_more=after is not None))


@operation(
    "POST",
    "/v1/alerts/backtest",
    access=Access.READ,
    body=AlertBacktestAsked,
    body_example={**_NEW_EXAMPLE, "days": 7},
    answers=(Answer(200, AlertBacktestShown, "When it would have fired", _BACKTEST_EXAMPLE),),
)
async def backtest_alert(call: Call) -> Reply:
    """Ask when an alert would have fired.

    Over the activities that are kept of the last days, by the same rules. Nothing is made and nothing is sent.
    """
    asked: AlertBacktestAsked = call.body
    now = Millis(call.services.clock.now_ms() + 1)  # with what was accepted in this very millisecond
    alert = asked.alert(0, Millis(max(0, now - asked.days * DAY_MS)))
    return Reply(200, _backtest_shown(alert, await call.services.backtests.alert(call.account_id, alert, now)))


def _backtest_shown(alert: Alert, found: AlertBacktest) -> AlertBacktestShown:
    return AlertBacktestShown(
        since=rfc3339(found.since),
        until=rfc3339(found.until),
        complete=found.complete,
        looked_at=found.looked_at,
        fired=found.fired,
        by_day=dict(found.by_day),
        firings=[
            FiringShown(at=rfc3339(one.at), value=alerts.readable(alert, one.value), count=one.of)
            for one in found.firings
        ],
    )


@operation(
    "GET",
    "/v1/alerts/{alert_id}",
    access=Access.READ,
    answers=(Answer(200, AlertShown, "The alert", _EXAMPLE),),
)
async def get_alert(call: Call) -> Reply:
    """Read an alert, with what it measures."""
    return Reply(200, _shown(*await call.services.control.alerts.get(call.account_id, call.ids["alert_id"])))


@operation(
    "DELETE",
    "/v1/alerts/{alert_id}",
    access=Access.MANAGE,
    answers=(Answer(204, None, "It is gone"),),
)
async def delete_alert(call: Call) -> Reply:
    """Remove an alert.

    What it has measured goes with it; events that it fired stay.
    """
    await call.services.control.alerts.remove(call.actor, call.account_id, call.ids["alert_id"])
    return Reply(204)


OPERATIONS = (create_alert, list_alerts, backtest_alert, get_alert, delete_alert)
