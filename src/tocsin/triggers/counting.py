"""Sums over calendar windows, what fires when one of them reaches a limit, and how fast they grow.

A window closes when a later one is opened: what comes after that, with an `at` before, counts in the window that is
open. So nothing is uncounted, and nothing that was reported changes.
"""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from zoneinfo import ZoneInfo

import msgspec

from tocsin.clock import Millis
from tocsin.triggers.windows import WindowKind, window

HOUR_MS = 3_600_000
# A day of hours: the pace knows nights, and follows a change within a day.
PACE_HOURS = 24

# Hours since 1970 and what was counted in each; rising, PACE_HOURS at most.
Ring = tuple[tuple[int, Decimal], ...]


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """The open window of one kind. `fired`: by mark, the limit for which it has fired."""

    start: Millis
    end: Millis | None
    name: str
    amount: Decimal = Decimal(0)
    fired: Mapping[str, Decimal] = {}


def opened(period: Period | None, kind: WindowKind, at: Millis, zone: ZoneInfo) -> Period:
    """The window in which a fact of that time counts: the open one, or a later one that it opens.

    Where the time zone has changed, the open window keeps its end and the next begins there.
    """
    if period is not None and (period.end is None or at < period.end):
        return period
    found = window(kind, at, zone)
    start = found.start if period is None or period.end is None else max(found.start, period.end)
    return Period(start=start, end=found.end, name=found.name)


def add(period: Period, amount: Decimal) -> Period:
    return msgspec.structs.replace(period, amount=period.amount + amount)


def reach(period: Period, mark: str, threshold: Decimal, limit: Decimal) -> Period | None:
    """The period with the mark noted, if the sum has reached the threshold; None: it has not, or that was said already.

    A mark fires once a period, and again only for a limit that is higher than all for which it has.
    """
    before = period.fired.get(mark)
    if period.amount < threshold or (before is not None and limit <= before):
        return None
    return msgspec.structs.replace(period, fired={**period.fired, mark: limit})


def note(ring: Ring, at: Millis, amount: Decimal) -> Ring:
    """What came more than a day late is no part of the pace."""
    hour = at // HOUR_MS
    newest = max(hour, ring[-1][0]) if ring else hour
    if hour <= newest - PACE_HOURS:
        return ring
    hours = {of: sum_ for of, sum_ in ring if of > newest - PACE_HOURS}
    hours[hour] = hours.get(hour, Decimal(0)) + amount
    return tuple(sorted(hours.items()))


def pace(ring: Ring, now: Millis) -> Decimal | None:
    """An hour's amount: what the last 24 hours held (the present one and the 23 before), by the time since the first of
    them that held anything began, an hour at least. None: they held nothing.
    """
    present = now // HOUR_MS
    recent = [(hour, amount) for hour, amount in ring if hour > present - PACE_HOURS]
    if not recent:
        return None
    since = max(now - recent[0][0] * HOUR_MS, HOUR_MS)
    return sum((amount for _, amount in recent), Decimal(0)) * HOUR_MS / since


def expected_at(period: Period, limit: Decimal, ring: Ring, now: Millis) -> Millis | None:
    """When the limit will be reached at the present pace; None: it is, or will not be before the window ends."""
    left = limit - period.amount
    hourly = pace(ring, now)
    if left <= 0 or hourly is None or hourly <= 0:
        return None
    at = now + int((left / hourly * HOUR_MS).to_integral_value(ROUND_CEILING))
    return None if at >= (period.end or _NEVER) else Millis(at)


_NEVER = 253_370_764_800_000  # the year 9999: beyond it no instant is shown
