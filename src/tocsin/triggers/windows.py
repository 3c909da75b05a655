"""Calendar windows in a time zone: days, weeks from Monday, months, and the one that never ends.

A window begins at the first instant at which the zone's calendar shows its first date or a later one, and ends where
the next begins. So windows of a kind follow one another without gap or overlap, whatever clocks do: a midnight that
does not exist (clocks go from 23:59 to 01:00) is the instant of the jump; one that comes twice counts when it comes
first, and what the clocks then repeat of the day before belongs to the new day; a date that is skipped (Samoa had no
30 December 2011) has no window.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from tocsin.clock import Millis

WindowKind = Literal["daily", "weekly", "monthly", "global"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)  # offsets and their changes are whole seconds (RFC 9636)
# Every day of several years in a few zones; an entry is some 300 bytes.
_REMEMBERED = 4_096


class Window(msgspec.Struct, frozen=True):
    """From `start` to before `end`; the global window has no end."""

    start: Millis
    end: Millis | None
    name: str  # "2026-03-29", "2026-W13", "2026-03", "global"


GLOBAL = Window(Millis(0), None, "global")


def window(kind: WindowKind, at: Millis, zone: ZoneInfo) -> Window:
    """The window of that kind in which the instant lies. For the years 1970 to 9998."""
    if kind == "global":
        return GLOBAL
    local = datetime.fromtimestamp(at // 1000, zone).date()
    found = _window(kind, _first(kind, local), zone)
    while found.end is not None and found.end <= at:  # the clocks repeat the end of a window that is over
        found = following(kind, found, zone)
    return found


def following(kind: WindowKind, before: Window, zone: ZoneInfo) -> Window:
    """The window that begins where that one ends. The global window has none: it follows itself."""
    if before.end is None:
        return before
    # At its first instant the calendar shows the first date or, where that was skipped, a later one.
    return _window(kind, _first(kind, datetime.fromtimestamp(before.end // 1000, zone).date()), zone)


def day(shown: date, zone: ZoneInfo) -> Window:
    """The window of that date; of no length where it was skipped."""
    return _window("daily", shown, zone)


def first_showing(shown: date, zone: ZoneInfo, clock: time = time()) -> Millis:
    """The first instant at which the zone's calendar and clocks show this or a later time."""
    wanted = datetime.combine(shown, clock)
    # Of the instants at which clocks show it, the first (PEP 495: fold 0). Where they jump over it, `fold` 0 reads it
    # by the offset before the jump and 1 by the one after: the jump lies between the two.
    early, late = sorted(wanted.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if _shows(early, zone) != wanted:
        while late - early > _SECOND:
            middle = early + (late - early) // 2
            middle = middle.replace(microsecond=0)
            early, late = (early, middle) if _shows(middle, zone) >= wanted else (middle, late)
        return _millis(late)
    return _millis(early)


def _first(kind: WindowKind, shown: date) -> date:
    if kind == "weekly":
        return shown - shown.weekday() * _DAY
    return shown.replace(day=1) if kind == "monthly" else shown


@lru_cache(maxsize=_REMEMBERED)
def _window(kind: WindowKind, first: date, zone: ZoneInfo) -> Window:
    if kind == "daily":
        return Window(first_showing(first, zone), first_showing(first + _DAY, zone), first.isoformat())
    if kind == "weekly":
        year, week, _ = first.isocalendar()
        return Window(first_showing(first, zone), first_showing(first + 7 * _DAY, zone), f"{year:04d}-W{week:02d}")
    after = (first + 31 * _DAY).replace(day=1)
    return Window(first_showing(first, zone), first_showing(after, zone), f"{first:%Y-%m}")


def _shows(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None)


def _millis(at: datetime) -> Millis:
    return Millis((at - _EPOCH) // _SECOND * 1000)
