"""Alerts: a metric over the last `window_s` seconds, compared with a threshold by every activity that moves it.

`alerts` holds an account's alerts, ``alert:<id>`` what each has measured. Time is told by the activities' own `at`: an
alert's present is the latest it has seen. The window is 60 slots of a sixtieth of `window_s`, the present one included,
so it reaches back between 59 and 60 sixtieths. A late fact counts in its own slot; one older than the window is no part
of it any more.

Facts leave the window when nothing happens, too: that is looked at, slot by slot, before the next activity is counted,
so that an alert re-arms in the silence between two bursts. For an alert that a falling metric fires (< and <=) a timer
stands at the slot in which silence would fire it; it judges only once it has watched for a whole window.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Literal, overload

import msgspec
from msgspec import Meta

from tocsin.clock import Millis
from tocsin.triggers.activity import Activity, Kind
from tocsin.triggers.context import Context
from tocsin.triggers.occurrences import Judgement
from tocsin.triggers.rules import conversions, traffic

Metric = Literal["clicks", "conversions", "conversion_rate", "fraud_rate", "bot_rate", "ctr", "spend", "payout"]
Op = Literal[">", ">=", "<", "<="]

MOST = 100  # alerts an account: each is compared by every activity
SLOTS = 60
RATES = frozenset({"conversion_rate", "fraud_rate", "bot_rate", "ctr"})  # in percent
# Where all that is left of an activity is its log (backtests), its reasons tell of automation.
_AUTOMATION = frozenset({"bot_user_agent", "webdriver_present"})
_COMPARE: Mapping[str, Callable[[Decimal, Decimal], bool]] = {
    ">": Decimal.__gt__,
    ">=": Decimal.__ge__,
    "<": Decimal.__lt__,
    "<=": Decimal.__le__,
}


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """`min_count`: how much must lie in the window for the alert to hold: clicks (clicks, conversion_rate), judged
    clicks and visits (fraud_rate, bot_rate), impressions (ctr), conversions (conversions, payout), postings (spend).
    """

    id: str
    metric: Metric
    op: Op
    threshold: Decimal
    window_s: Annotated[int, Meta(ge=SLOTS)]
    campaign: str | None = None
    min_count: int = 0
    cooldown_s: int = 0
    name: str | None = None
    created_at: Millis

    def slot(self, at: int) -> int:
        return at * SLOTS // (self.window_s * 1000)

    def begins(self, slot: int) -> Millis:
        return Millis(-(-slot * self.window_s * 1000 // SLOTS))

    @property
    def by_falling(self) -> bool:
        return self.op in ("<", "<=")


class Alerts(msgspec.Struct, frozen=True):
    """In the order in which they were made."""

    items: tuple[Alert, ...] = ()


class Part(msgspec.Struct, frozen=True, array_like=True):
    """What an activity adds, or a slot or the window holds: `count` out of `of`, or `amount` by `of` postings."""

    count: int = 0
    of: int = 0
    amount: Decimal = Decimal(0)

    def plus(self, other: "Part") -> "Part":
        return Part(self.count + other.count, self.of + other.of, self.amount + other.amount)

    def minus(self, other: "Part") -> "Part":
        return Part(self.count - other.count, self.of - other.of, self.amount - other.amount)


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """What one alert has measured."""

    present: Millis  # the latest that it has seen
    slots: tuple[tuple[int, Part], ...] = ()  # those with something in them, at most SLOTS, rising
    total: Part = Part()
    armed: bool = True
    came_back: bool = False  # since it fired
    fired_at: Millis = Millis(0)
    timer_at: Millis | None = None
    campaign_name: str | None = None  # as its activity last called it


class Firing(msgspec.Struct, frozen=True, kw_only=True):
    at: Millis
    value: Decimal
    of: int


# --- what an activity adds --------------------------------------------------------------------------------------------


def part_of(
    alert: Alert,
    activity: Activity,
    judgement: Judgement | None,
    campaign: str | None,
    payout: Decimal | None = None,
) -> Part | None:
    """None: the activity does not move the alert's metric. `payout`: what was recorded of a conversion; its offer's,
    where it says none.
    """
    if alert.campaign is not None and alert.campaign != campaign:
        return None
    metric = alert.metric
    kind = activity.kind
    click, conversion = kind is Kind.CLICK, kind is Kind.CONVERSION
    if metric == "clicks":
        return Part(1, 1) if click else None
    if metric == "conversions":
        return Part(1, 1) if conversion else None
    if metric == "conversion_rate":
        return Part(0, 1) if click else Part(1, 0) if conversion else None
    if metric == "ctr":
        return Part(1, 0) if click else Part(0, 1) if kind is Kind.IMPRESSION else None
    if metric == "spend":
        return Part(1, 1, _amount(activity, "amount")) if kind is Kind.SPEND else None
    if metric == "payout":
        return Part(1, 1, _amount(activity, "payout") if payout is None else payout) if conversion else None
    if judgement is None:
        return None
    held = judgement.label == "FRAUD" if metric == "fraud_rate" else _automated(activity, judgement)
    return Part(int(held), 1)


def _amount(activity: Activity, name: str) -> Decimal:
    found = activity.data.get(name)
    return Decimal(0) if found is None else Decimal(str(found))


def _automated(activity: Activity, judgement: Judgement) -> bool:
    return traffic.automated(activity) or any(rule in _AUTOMATION for rule, _ in judgement.reasons)


def _campaign(ctx: Context, activity: Activity) -> str | None:
    """The activity's own; a conversion's may be known from its click only."""
    own = activity.id_of("campaign")
    if own is None:
        for found in ctx.found:
            campaign = found.facts.get("campaign")
            if isinstance(campaign, dict) and campaign.get("id") is not None:
                return str(campaign["id"])
    return own


def _payout(ctx: Context, activity: Activity) -> Decimal | None:
    """As `conversions.recorded` has just kept it."""
    id_ = activity.data.get("conversion_id") if activity.kind is Kind.CONVERSION else None
    known = None if id_ is None else ctx.state.get(conversions.key_of(id_), conversions.Conversion)
    return None if known is None else known.payout


# --- what an alert makes of it ----------------------------------------------------------------------------------------


def value(alert: Alert, total: Part) -> Decimal | None:
    """The metric; None: a rate of nothing."""
    if alert.metric in RATES:
        return None if total.of == 0 else Decimal(100 * total.count) / total.of
    return total.amount if alert.metric in ("spend", "payout") else Decimal(total.count)


def holds(alert: Alert, watch: Watch) -> bool:
    """Whether the metric is beyond the threshold now, with enough counted and, for a falling one, watched enough."""
    found = value(alert, watch.total)
    if found is None or watch.total.of < alert.min_count:
        return False
    if alert.by_falling and watch.present < alert.created_at + alert.window_s * 1000:
        return False
    return _COMPARE[alert.op](found, alert.threshold)


def begin(alert: Alert) -> Watch:
    """An alert that has measured nothing yet."""
    return Watch(present=alert.created_at)


def measure(alert: Alert, watch: Watch, at: Millis, part: Part) -> tuple[Watch, list[Firing]]:
    """What an activity at that time changes, and when it fired: in the silence before, or now."""
    watch, fired = advance(alert, watch, at)
    slot = alert.slot(at)
    if slot <= alert.slot(watch.present) - SLOTS:
        return watch, fired
    slots = dict(watch.slots)
    slots[slot] = slots.get(slot, Part()).plus(part)
    watch = msgspec.structs.replace(watch, slots=tuple(sorted(slots.items())), total=watch.total.plus(part))
    return _judge(alert, watch, fired)


def advance(alert: Alert, watch: Watch, at: Millis) -> tuple[Watch, list[Firing]]:
    """Lets time pass until then, stopping where something changes by time alone."""
    fired: list[Firing] = []
    while (mark := _next_change(alert, watch)) is not None and mark <= at:
        watch, fired = _judge(alert, _forget(alert, watch, mark), fired)
    if at > watch.present:
        watch, fired = _judge(alert, msgspec.structs.replace(watch, present=at), fired)
    return watch, fired


def _next_change(alert: Alert, watch: Watch) -> Millis | None:
    """When facts leave the window, the cool-down ends, or a falling metric has been watched for long enough."""
    marks = [alert.begins(watch.slots[0][0] + SLOTS)] if watch.slots else []
    if watch.came_back and not watch.armed:
        marks.append(Millis(watch.fired_at + alert.cooldown_s * 1000))
    if alert.by_falling:
        marks.append(Millis(alert.created_at + alert.window_s * 1000))
    return min((mark for mark in marks if mark > watch.present), default=None)


def _forget(alert: Alert, watch: Watch, present: Millis) -> Watch:
    oldest = alert.slot(present) - SLOTS
    total = watch.total
    for slot, part in watch.slots:
        if slot > oldest:
            break
        total = total.minus(part)
    kept = tuple(item for item in watch.slots if item[0] > oldest)
    return msgspec.structs.replace(watch, present=max(present, watch.present), slots=kept, total=total)


def _judge(alert: Alert, watch: Watch, fired: list[Firing]) -> tuple[Watch, list[Firing]]:
    beyond = holds(alert, watch)
    armed, came_back, fired_at = watch.armed, watch.came_back, watch.fired_at
    if not armed:
        came_back = came_back or not beyond
        armed = came_back and watch.present >= fired_at + alert.cooldown_s * 1000
    if armed and beyond:
        armed, came_back, fired_at = False, False, watch.present
        found = value(alert, watch.total)
        assert found is not None  # else it would not hold
        fired = [*fired, Firing(at=watch.present, value=found, of=watch.total.of)]
    if (armed, came_back, fired_at) == (watch.armed, watch.came_back, watch.fired_at):
        return watch, fired
    return msgspec.structs.replace(watch, armed=armed, came_back=came_back, fired_at=fired_at), fired


def silent_until(alert: Alert, watch: Watch) -> Millis | None:
    """When the alert will fire if nothing more happens; None: it will not."""
    if not alert.by_falling:
        return None
    while (mark := _next_change(alert, watch)) is not None:
        watch, fired = advance(alert, watch, mark)
        if fired:
            return fired[0].at
    return None


# --- rules ------------------------------------------------------------------------------------------------------------


def count(ctx: Context, activity: Activity) -> None:
    """Measures for each alert that the activity concerns, after the rules that judge it and find its campaign."""
    if "alert" not in ctx.wanted:
        return
    known = ctx.state.get("alerts", Alerts)
    if known is None:
        return
    campaign, payout = _campaign(ctx, activity), _payout(ctx, activity)
    moved = [
        (alert, part)
        for alert in known.items
        if (part := part_of(alert, activity, ctx.judgement, campaign, payout)) is not None
    ]
    ctx.state.need(*(f"alert:{alert.id}" for alert, _ in moved))
    for alert, part in moved:
        before = ctx.state.get(f"alert:{alert.id}", Watch) or begin(alert)
        watch, fired = measure(alert, _named(alert, before, activity), activity.at, part)
        _keep(ctx, alert, before, watch, fired)


def _named(alert: Alert, watch: Watch, activity: Activity) -> Watch:
    """An event of a silence, too, calls the campaign by its name."""
    campaign = activity.data.get("campaign")
    name = campaign.get("name") if alert.campaign is not None and isinstance(campaign, dict) else None
    if not isinstance(name, str) or name == watch.campaign_name:
        return watch
    return msgspec.structs.replace(watch, campaign_name=name)


def silence(ctx: Context, name: str, due_at: Millis) -> None:
    """The timer's rule: nothing has happened since, or not enough."""
    id_ = name.partition(":")[2]
    known = ctx.state.get("alerts", Alerts) or Alerts()
    for alert in known.items:
        if alert.id == id_:
            before = ctx.state.get(name, Watch) or begin(alert)
            watch, fired = advance(alert, before, due_at)
            _keep(ctx, alert, msgspec.structs.replace(before, timer_at=None), watch, fired)


def add(ctx: Context, alert: Alert) -> None:
    """The caller sees to it that there are fewer than `MOST`."""
    known = ctx.state.get("alerts", Alerts) or Alerts()
    ctx.state.put("alerts", Alerts((*known.items, alert)))
    watch = begin(alert)
    _keep(ctx, alert, watch, watch, [])


def remove(ctx: Context, id_: str) -> bool:
    """False: there is none of that id."""
    known = ctx.state.get("alerts", Alerts) or Alerts()
    kept = tuple(alert for alert in known.items if alert.id != id_)
    if len(kept) == len(known.items):
        return False
    ctx.state.put("alerts", Alerts(kept))
    ctx.state.drop(f"alert:{id_}")
    ctx.state.clear_timer(f"alert:{id_}")
    return True


def _keep(ctx: Context, alert: Alert, before: Watch, watch: Watch, fired: list[Firing]) -> None:
    # The timer is set anew when a slot begins, when it has run, or when the alert fires or re-arms. Within a slot more
    # facts hardly change when silence would fire it: the timer may be a sixtieth of the window late or find nothing.
    fresh = watch.timer_at is None or before.timer_at is None
    fresh = fresh or alert.slot(watch.present) != alert.slot(before.present)
    if alert.by_falling and (fresh or fired or watch.armed != before.armed):
        due = silent_until(alert, watch)
        if due is not None:
            ctx.state.set_timer(f"alert:{alert.id}", due)
        elif before.timer_at is not None:
            ctx.state.clear_timer(f"alert:{alert.id}")
        watch = msgspec.structs.replace(watch, timer_at=due)
    ctx.state.put(f"alert:{alert.id}", watch)
    for firing in fired:
        ctx.occur("alert", firing.at, {"alert": shown(alert, firing, watch.campaign_name)})


@overload
def readable(alert: Alert, found: Decimal) -> Decimal: ...
@overload
def readable(alert: Alert, found: Decimal | None) -> Decimal | None: ...
def readable(alert: Alert, found: Decimal | None) -> Decimal | None:
    """A rate to four decimals, without zeroes at its end."""
    if found is None or alert.metric not in RATES:
        return found
    found = found.quantize(Decimal("0.0001")).normalize()
    return found.quantize(Decimal(1)) if found == found.to_integral_value() else found


def shown(alert: Alert, firing: Firing, campaign_name: str | None) -> dict[str, object]:
    """The facts of the occurrence; what the alert does not have is left out."""
    facts: dict[str, object] = {
        "id": alert.id,
        "metric": alert.metric,
        "op": alert.op,
        "threshold": alert.threshold,
        "value": readable(alert, firing.value),
        "window_s": alert.window_s,
        "count": firing.of,
    }
    if alert.name is not None:
        facts["name"] = alert.name
    if alert.campaign is not None:
        facts["campaign"] = {"id": alert.campaign} | ({} if campaign_name is None else {"name": campaign_name})
    return facts
