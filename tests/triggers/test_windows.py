"""Calendar windows in every zone, against an oracle that looks at the clock every half minute."""

import zoneinfo
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tocsin.clock import Millis, parse_rfc3339, rfc3339
from tocsin.triggers.windows import GLOBAL, WindowKind, day, following, window

ZONES = sorted(zoneinfo.available_timezones() - {"localtime"})
KINDS = ("daily", "weekly", "monthly")
HALF_MINUTE = timedelta(seconds=30)  # Liberia was 44 min 30 s behind until 1972; no other clock was between minutes


def at(text: str) -> Millis:
    return parse_rfc3339(text)


def first_shown(shown: date, zone: ZoneInfo) -> Millis:
    """The oracle: looks at the clock from 40 hours before that midnight in UTC, until it shows the date."""
    then = datetime(shown.year, shown.month, shown.day, tzinfo=UTC) - timedelta(hours=40)
    while then.astimezone(zone).date() < shown:
        then += HALF_MINUTE
    return Millis(int(then.timestamp()) * 1000)


def period(kind: WindowKind, shown: date) -> tuple[date, date]:
    if kind == "daily":
        return shown, shown + timedelta(days=1)
    if kind == "weekly":
        while shown.isoweekday() != 1:
            shown -= timedelta(days=1)
        return shown, shown + timedelta(days=7)
    first = shown.replace(day=1)
    return first, date(shown.year + shown.month // 12, shown.month % 12 + 1, 1)


def expected(kind: WindowKind, instant: Millis, zone: ZoneInfo) -> tuple[Millis, Millis]:
    shown = datetime.fromtimestamp(instant / 1000, zone).date()
    while True:
        first, after = period(kind, shown)
        start, end = first_shown(first, zone), first_shown(after, zone)
        if instant < end:
            return start, end
        shown = after


@settings(max_examples=60)
@given(
    zone=st.sampled_from(ZONES),
    kind=st.sampled_from(KINDS),
    instant=st.integers(0, at("2040-01-01T00:00:00Z")).map(Millis),
)
@example("America/St_Johns", "daily", at("2010-11-07T02:31:30Z"))  # from 00:01 back to 23:01
@example("Pacific/Apia", "daily", at("2011-12-30T09:59:59.999Z"))
@example("Pacific/Kwajalein", "weekly", at("1993-08-21T12:00:00Z"))
@example("Africa/Monrovia", "monthly", at("1972-01-01T00:44:29.999Z"))
def test_a_window_is_what_the_calendar_on_the_wall_shows(zone: str, kind: WindowKind, instant: Millis) -> None:
    """The window of an instant begins and ends where somebody who watches the calendar there sees it begin and end."""
    found = window(kind, instant, ZoneInfo(zone))
    assert (found.start, found.end) == expected(kind, instant, ZoneInfo(zone))
    assert found.start <= instant < found.end


def changes(zone: ZoneInfo) -> list[int]:
    """The hours in which the offset changes, from 1970 to 2040."""
    step = 21_600
    offsets = [zone.utcoffset(datetime.fromtimestamp(then, zone)) for then in range(0, 2_208_988_800, step)]
    return [place * step for place in range(len(offsets) - 1) if offsets[place] != offsets[place + 1]]


@settings(max_examples=40)
@given(data=st.data(), zone=st.sampled_from(ZONES), kind=st.sampled_from(KINDS))
def test_around_every_change_of_the_clocks(data: st.DataObject, zone: str, kind: WindowKind) -> None:
    """Near a change of the offset, where days are short, long, skipped or repeated, the windows are still right."""
    near = data.draw(st.sampled_from(changes(ZoneInfo(zone)) or [0]))
    instant = Millis(max(0, near * 1000 + data.draw(st.integers(-90_000_000, 90_000_000))))
    found = window(kind, instant, ZoneInfo(zone))
    assert (found.start, found.end) == expected(kind, instant, ZoneInfo(zone))


@settings(max_examples=150)
@given(
    zone=st.sampled_from(ZONES),
    kind=st.sampled_from(KINDS),
    instant=st.integers(0, at("2040-01-01T00:00:00Z")).map(Millis),
)
def test_windows_follow_one_another(zone: str, kind: WindowKind, instant: Millis) -> None:
    """A window's last and next instants, and what follows it, agree; every instant of a window names the same one."""
    here = ZoneInfo(zone)
    found = window(kind, instant, here)
    assert window(kind, found.start, here) == window(kind, Millis(found.end - 1), here) == found
    after = following(kind, found, here)
    assert after == window(kind, found.end, here)
    assert after.start == found.end


@pytest.mark.parametrize(
    ("zone", "kind", "inside", "start", "end", "name"),
    [
        ("Europe/Berlin", "daily", "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00", "2026-03-29"),
        ("Europe/Berlin", "daily", "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00", "2026-10-25"),
        ("Europe/Berlin", "weekly", "2026-03-29T12:00", "2026-03-22T23:00", "2026-03-29T22:00", "2026-W13"),
        ("Europe/Berlin", "monthly", "2024-02-29T22:59", "2024-01-31T23:00", "2024-02-29T23:00", "2024-02"),
        ("UTC", "weekly", "2027-01-01T00:00", "2026-12-28T00:00", "2027-01-04T00:00", "2026-W53"),
        ("UTC", "daily", "2024-02-29T00:00", "2024-02-29T00:00", "2024-03-01T00:00", "2024-02-29"),
        ("UTC", "monthly", "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00", "2026-12"),
        # No midnight: clocks go from 24:00 to 01:00.
        ("Asia/Beirut", "daily", "2026-03-29T12:00", "2026-03-28T22:00", "2026-03-29T21:00", "2026-03-29"),
        ("America/Havana", "daily", "2026-03-08T12:00", "2026-03-08T05:00", "2026-03-09T04:00", "2026-03-08"),
        # Two midnights: clocks go from 01:00 to 00:00; the day begins with the first.
        ("America/Havana", "daily", "2026-11-01T12:00", "2026-11-01T04:00", "2026-11-02T05:00", "2026-11-01"),
        # From 24:00 back to 23:00: the day has 25 hours, and midnight comes once.
        ("America/Asuncion", "daily", "2024-03-23T12:00", "2024-03-23T03:00", "2024-03-24T04:00", "2024-03-23"),
        ("Pacific/Kiritimati", "daily", "2026-01-01T00:00", "2025-12-31T10:00", "2026-01-01T10:00", "2026-01-01"),
        ("Pacific/Pago_Pago", "daily", "2026-01-01T00:00", "2025-12-31T11:00", "2026-01-01T11:00", "2025-12-31"),
        ("Asia/Kathmandu", "daily", "2026-01-01T00:00", "2025-12-31T18:15", "2026-01-01T18:15", "2026-01-01"),
        # Half an hour of daylight saving.
        ("Australia/Lord_Howe", "daily", "2026-04-05T00:00", "2026-04-04T13:00", "2026-04-05T13:30", "2026-04-05"),
        # 30 December 2011 never was: the day after the 29th is the 31st.
        ("Pacific/Apia", "daily", "2011-12-30T10:00", "2011-12-30T10:00", "2011-12-31T10:00", "2011-12-31"),
    ],
)  # fmt: skip
def test_windows_by_hand(zone: str, kind: WindowKind, inside: str, start: str, end: str, name: str) -> None:
    """Known days, weeks and months: changes of the clocks both ways, leap day, ends of years, far zones."""
    found = window(kind, at(f"{inside}:00Z"), ZoneInfo(zone))
    minutes = [rfc3339(instant).removesuffix(":00.000Z") for instant in (found.start, found.end)]
    assert [*minutes, found.name] == [start, end, name]


def test_a_skipped_date_has_no_window() -> None:
    """What the calendar never showed has no length, and the day before is followed by the day after."""
    apia = ZoneInfo("Pacific/Apia")
    skipped = day(date(2011, 12, 30), apia)
    assert skipped.start == skipped.end
    assert following("daily", day(date(2011, 12, 29), apia), apia).name == "2011-12-31"


def test_the_global_window_never_ends() -> None:
    """One window for all time."""
    assert window("global", at("2026-01-01T00:00:00Z"), ZoneInfo("UTC")) is GLOBAL
    assert GLOBAL.end is None
    assert following("global", GLOBAL, ZoneInfo("UTC")) is GLOBAL
