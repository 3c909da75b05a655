"""The daily summary: each visitor once, at the highest label of the day; sent at midnight in the account's time zone.

`day` says which date is open, ``day:<date>`` holds a date's counters, and what a visitor has been counted for lies
under ``visitor_day:<id>``, or, without an id, ``address_day:<ip>``. A fact counts on the date of its `at` while that
has not been summed up, else on the date that is open. Dates follow one another without a gap, also when the account
moves to another time zone: the open date then ends at its midnight there, at once where that has passed.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

import msgspec

from tocsin.clock import Millis
from tocsin.triggers.activity import Activity
from tocsin.triggers.context import Context
from tocsin.triggers.windows import Window, day, following, window

TIMER = "midnight"
LABELS = ("CLEAN", "SUSPICIOUS", "FRAUD")  # as they rise
# The document shows two; CONTRACT §5 says five.
TOP_RULES = 5
# There are twelve rules of ours. A producer's own reasons may be named anything: what a day counts apart is bounded.
_RULES_A_DAY = 100
_RULES_A_VISITOR = 20
# A visitor's part of a day is needed until midnight has come; a server may have been down for a week.
_VISITOR_KEPT = timedelta(days=8) // timedelta(milliseconds=1)


class OpenDay(msgspec.Struct, frozen=True):
    """The first date that is not summed up, and the zone by whose midnight its timer is set."""

    date: str
    zone: str


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Of one date. `rules`: for how many of its visitors each held."""

    labels: tuple[int, int, int] = (0, 0, 0)
    rules: Mapping[str, int] = {}


class Sight(msgspec.Struct, frozen=True):
    """What a visitor has been counted for on a date."""

    date: str
    label: int
    rules: tuple[str, ...]


class VisitorDays(msgspec.Struct, frozen=True):
    """Only of dates that are open: one, or two around midnight, or those of a downtime."""

    sights: tuple[Sight, ...] = ()


def visitor_key(activity: Activity) -> str | None:
    """Who is counted once: the visitor by its id, else by the address; None: nobody can be told from others."""
    if activity.visitor_id is not None:
        return f"visitor_day:{activity.visitor_id}"
    visitor = activity.data.get("visitor")
    address = visitor.get("ip") if isinstance(visitor, dict) else None
    return None if address is None else f"address_day:{address}"


def keep_time(ctx: Context, now: Millis) -> None:
    """Opens an account's first day, and sets its midnight; anew where the account's time zone is another by now."""
    if "daily_summary" in ctx.wanted:
        _open(ctx, now)


def count(ctx: Context, activity: Activity) -> None:
    """Counts the visitor of a click or visit that was judged."""
    if "daily_summary" not in ctx.wanted or ctx.judgement is None:
        return
    key = visitor_key(activity)
    ctx.state.need("day", *([] if key is None else [key]))
    # The day of acceptance: what is posted first may be months old, and shall not fire a summary for each day since.
    first = _open(ctx, activity.accepted_at)
    its = window("daily", activity.at, ctx.timezone).name
    on = max(its, first)
    known = None if key is None else ctx.state.get(key, VisitorDays)
    sights = {sight.date: sight for sight in (known.sights if known else ()) if sight.date >= first}
    before = sights.get(on)
    label = LABELS.index(ctx.judgement.label)
    held = tuple(dict.fromkeys(rule for rule, _ in ctx.judgement.reasons))
    sight = _rise(before, on, label, held)
    if sight == before:
        return
    counts = ctx.state.get(f"day:{on}", Counts) or Counts()
    ctx.state.put(f"day:{on}", _counted(counts, before, sight))
    if key is not None:
        sights[on] = sight
        until = max(day(date.fromisoformat(on), ctx.timezone).end or 0, activity.accepted_at) + _VISITOR_KEPT
        ctx.state.put(key, VisitorDays(tuple(sights.values())), until=Millis(until))


def midnight(ctx: Context, _name: str, due_at: Millis) -> None:
    """Sums up the open date, zero or not, and opens the next. After a downtime it is due at once for each date."""
    opened = ctx.state.get("day", OpenDay)
    if opened is None:  # its day was never opened: nothing is known of what ended
        keep_time(ctx, due_at)
        return
    over = day(date.fromisoformat(opened.date), ctx.timezone)
    if over.end is None or over.end > due_at:  # the account has moved west since
        _set(ctx, over)
        return
    counts = ctx.state.get(f"day:{opened.date}", Counts) or Counts()
    ctx.state.drop(f"day:{opened.date}")
    _set(ctx, following("daily", over, ctx.timezone))
    ctx.occur("daily_summary", over.end, {"summary": _summary(opened.date, ctx.timezone.key, counts)})


def _open(ctx: Context, now: Millis) -> str:
    """The first date that is not summed up."""
    opened = ctx.state.get("day", OpenDay)
    if opened is None:
        today = window("daily", now, ctx.timezone)
        _set(ctx, today)
        return today.name
    if opened.zone != ctx.timezone.key:
        _set(ctx, day(date.fromisoformat(opened.date), ctx.timezone))
    return opened.date


def _set(ctx: Context, opened: Window) -> None:
    assert opened.end is not None  # a day's window has an end
    ctx.state.put("day", OpenDay(opened.name, ctx.timezone.key))
    ctx.state.set_timer(TIMER, opened.end)


def _rise(before: Sight | None, on: str, label: int, held: tuple[str, ...]) -> Sight:
    if before is None:
        return Sight(on, label, held[:_RULES_A_VISITOR])
    new = tuple(rule for rule in held if rule not in before.rules)
    return Sight(on, max(label, before.label), (before.rules + new)[:_RULES_A_VISITOR])


def _counted(counts: Counts, before: Sight | None, sight: Sight) -> Counts:
    labels = list(counts.labels)
    if before is not None:
        labels[before.label] -= 1
    labels[sight.label] += 1
    rules = dict(counts.rules)
    for rule in sight.rules[len(before.rules) if before else 0 :]:
        if rule in rules or len(rules) < _RULES_A_DAY:
            rules[rule] = rules.get(rule, 0) + 1
    return Counts(labels=(labels[0], labels[1], labels[2]), rules=rules)


def _summary(shown: str, zone: str | None, counts: Counts) -> dict[str, object]:
    clean, suspicious, fraud = counts.labels
    total = clean + suspicious + fraud
    # One decimal, half up: 2.0, and 0.0 where nobody came.
    percent = (Decimal(100 * fraud) / max(total, 1)).quantize(Decimal("0.1"), ROUND_HALF_UP)
    top = sorted(counts.rules.items(), key=lambda item: (-item[1], item[0]))[:TOP_RULES]
    return {
        "date": shown,
        "timezone": zone,
        "total_visitors": total,
        "clean_count": clean,
        "suspicious_count": suspicious,
        "fraud_count": fraud,
        "fraud_rate": f"{percent}%",
        "fraud_percent": percent,
        "top_rules": [{"rule": rule, "count": held} for rule, held in top],
    }
