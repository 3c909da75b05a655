"""The daily summary: who is counted as what, on which day, and when it is sent."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.triggers.deciding import Memory, activity, instant, judged
from tests.triggers.house import House, item
from tocsin.clock import rfc3339
from tocsin.triggers.activity import Kind
from tocsin.triggers.occurrences import Occurrence
from tocsin.triggers.rules import summaries

BY = {"midnight": summaries.midnight}


class Days(Memory):
    def see(self, at: str | int, label: str, *rules: str, accepted_at: str | int | None = None, **visitor: Any) -> None:
        click = activity("click", at, accepted_at=accepted_at, visitor=visitor)
        assert not self.apply(lambda ctx: summaries.count(ctx, click), judged(label, *rules))

    def open(self, at: str) -> None:
        self.apply(lambda ctx: summaries.keep_time(ctx, instant(at)))

    def until(self, then: str | int) -> list[Occurrence]:
        return self.wait_until(then, BY)


def summed(found: Sequence[Occurrence]) -> list[tuple[Any, ...]]:
    """Date, clean, suspicious, fraud."""
    keys = ("date", "clean_count", "suspicious_count", "fraud_count")
    return [tuple(occurrence.facts["summary"][key] for key in keys) for occurrence in found]


def test_each_visitor_counts_once_at_the_highest_label() -> None:
    """A visitor that rises leaves the lower label, one that falls stays; rules count visitors, not clicks."""
    days = Days()
    days.open("2024-01-04T00:00:00Z")
    days.see("2024-01-04T10:00:00Z", "CLEAN", "vpn_detected", id="a")
    days.see("2024-01-04T10:00:01Z", "FRAUD", "vpn_detected", "honeypot", id="a")
    days.see("2024-01-04T10:00:02Z", "CLEAN", id="a")
    days.see("2024-01-04T10:00:03Z", "SUSPICIOUS", "vpn_detected", id="b")
    days.see("2024-01-04T10:00:04Z", "CLEAN", id="c")
    (found,) = days.until("2024-01-05T00:00:00Z")
    assert found.name == "daily_summary"
    assert rfc3339(found.at) == "2024-01-05T00:00:00.000Z"
    summary = found.facts["summary"]
    assert summed([found]) == [("2024-01-04", 1, 1, 1)]
    assert (summary["total_visitors"], summary["fraud_rate"], str(summary["fraud_percent"])) == (3, "33.3%", "33.3")
    assert summary["top_rules"] == [{"rule": "vpn_detected", "count": 2}, {"rule": "honeypot", "count": 1}]


def test_who_is_a_visitor() -> None:
    """By id; without one by address; with neither, everybody is somebody else. An id may look like an address."""
    days = Days()
    for visitor in ({"id": 7}, {"id": "7"}, {"ip": "192.0.2.1"}, {"ip": "192.0.2.1"}, {"id": "192.0.2.1"}, {}, {}):
        days.see("2024-01-04T10:00:00Z", "CLEAN", **visitor)
    assert summed(days.until("2024-01-05T00:00:00Z")) == [("2024-01-04", 5, 0, 0)]


def test_the_figures_of_the_document() -> None:
    """25 of 1,250 are 2.0%; a day without anybody is 0.0% and is sent as well."""
    days = Days()
    for number in range(1250):
        label = "FRAUD" if number < 25 else "SUSPICIOUS" if number < 70 else "CLEAN"
        days.see("2024-01-04T10:00:00Z", label, id=number)
    first, zero = days.until("2024-01-06T00:00:00Z")
    assert summed([first, zero]) == [("2024-01-04", 1180, 45, 25), ("2024-01-05", 0, 0, 0)]
    assert first.facts["summary"]["fraud_rate"] == "2.0%"
    assert zero.facts["summary"]["fraud_rate"] == "0.0%"
    assert zero.facts["summary"]["top_rules"] == []


def test_at_most_five_rules_falling_and_ties_by_name() -> None:
    """The top of six rules."""
    days = Days()
    for number, rules in enumerate([("f", "a"), ("f", "b"), ("c",), ("d",), ("e", "b")]):
        days.see("2024-01-04T10:00:00Z", "CLEAN", *rules, id=number)
    (found,) = days.until("2024-01-05T00:00:00Z")
    assert [(rule["rule"], rule["count"]) for rule in found.facts["summary"]["top_rules"]] == [
        ("b", 2),
        ("f", 2),
        ("a", 1),
        ("c", 1),
        ("d", 1),
    ]


def test_after_a_downtime_over_midnights_each_day_is_summed_up_once() -> None:
    """What came before the timers had run counts on its own day; every day comes once, in order, then no more."""
    days = Days()
    days.see("2024-01-04T10:00:00Z", "FRAUD", id="a")
    days.see("2024-01-07T00:30:00Z", "CLEAN", id="a")
    days.see("2024-01-05T10:00:00Z", "SUSPICIOUS", id="a")
    assert summed(days.until("2024-01-07T12:00:00Z")) == [
        ("2024-01-04", 0, 0, 1),
        ("2024-01-05", 0, 1, 0),
        ("2024-01-06", 0, 0, 0),
    ]
    assert not days.until("2024-01-07T23:59:59Z")
    assert summed(days.until("2024-01-08T00:00:00Z")) == [("2024-01-07", 1, 0, 0)]


def test_what_comes_after_the_summary_counts_on_the_open_day() -> None:
    """Nothing that was reported changes, and nothing is uncounted."""
    days = Days()
    days.see("2024-01-04T10:00:00Z", "CLEAN", id="a")
    assert summed(days.until("2024-01-05T00:00:00Z")) == [("2024-01-04", 1, 0, 0)]
    days.see("2024-01-04T23:59:59Z", "FRAUD", id="a", accepted_at="2024-01-05T00:00:01Z")
    days.see("2024-01-05T09:00:00Z", "CLEAN", id="a")
    assert summed(days.until("2024-01-06T00:00:00Z")) == [("2024-01-05", 0, 0, 1)]


def test_a_first_posting_of_old_facts_sends_no_old_summaries() -> None:
    """An account's first day is the one in which it begins, however old the facts that it posts first."""
    days = Days()
    days.see("2023-06-01T10:00:00Z", "FRAUD", id="a", accepted_at="2024-01-04T12:00:00Z")
    assert summed(days.until("2024-01-05T00:00:00Z")) == [("2024-01-04", 0, 0, 1)]


@pytest.mark.parametrize(
    ("zone", "opened", "midnights"),
    [
        ("Europe/Berlin", "2026-03-28T12:00:00Z", ["2026-03-28T23:00", "2026-03-29T22:00", "2026-03-30T22:00"]),
        ("Europe/Berlin", "2026-10-24T12:00:00Z", ["2026-10-24T22:00", "2026-10-25T23:00", "2026-10-26T23:00"]),
        ("Asia/Beirut", "2026-03-28T12:00:00Z", ["2026-03-28T22:00", "2026-03-29T21:00", "2026-03-30T21:00"]),
        ("Pacific/Kiritimati", "2024-02-28T09:00:00Z", ["2024-02-28T10:00", "2024-02-29T10:00", "2024-03-01T10:00"]),
        ("Pacific/Pago_Pago", "2024-02-28T12:00:00Z", ["2024-02-29T11:00", "2024-03-01T11:00", "2024-03-02T11:00"]),
    ],
)
def test_midnight_is_the_zones_own(zone: str, opened: str, midnights: list[str]) -> None:
    """Over both changes of the clocks, where midnight is skipped, at +14 and at -11, over a leap day."""
    days = Days(zone)
    days.open(opened)
    found = days.until(f"{midnights[-1]}:00Z")
    assert [rfc3339(occurrence.at).removesuffix(":00.000Z") for occurrence in found] == midnights


def test_a_skipped_date_is_not_summed_up() -> None:
    """Samoa had no 30 December 2011."""
    days = Days("Pacific/Apia")
    days.open("2011-12-29T20:00:00Z")
    assert [date for date, *_ in summed(days.until("2011-12-31T10:00:00Z"))] == ["2011-12-29", "2011-12-31"]


@pytest.mark.parametrize(
    ("before", "after", "due"),
    [
        ("Europe/Berlin", "America/New_York", "2026-06-02T04:00:00.000Z"),
        ("Europe/Berlin", "Asia/Tokyo", "2026-06-01T15:00:00.000Z"),
    ],
)
def test_a_change_of_zone_moves_midnight(before: str, after: str, due: str) -> None:
    """The open date ends at its midnight in the new zone; the dates go on without a gap, and none comes twice."""
    days = Days(before)
    days.open("2026-06-01T12:00:00Z")
    days.see("2026-06-01T12:00:00Z", "FRAUD", id="a")
    days.zone = after
    days.open("2026-06-01T14:00:00Z")
    assert rfc3339(days.timers["midnight"]) == due
    found = days.until("2026-06-04T00:00:00Z")
    assert [date for date, *_ in summed(found)][:2] == ["2026-06-01", "2026-06-02"]
    assert summed(found)[0] == ("2026-06-01", 0, 0, 1)


def test_a_midnight_that_was_set_in_the_zone_before_waits_for_the_new_one() -> None:
    """A timer that runs too early sums up nothing; it is set to the day's end."""
    days = Days("Europe/Berlin")
    days.open("2026-06-01T12:00:00Z")
    days.zone = "America/New_York"
    assert not days.until("2026-06-01T22:00:00Z")
    assert summed(days.until("2026-06-02T04:00:00Z")) == [("2026-06-01", 0, 0, 0)]


@settings(max_examples=60)
@given(
    seen=st.lists(
        st.tuples(
            st.integers(0, 4 * 86_400_000 - 1),
            st.sampled_from("abc"),
            st.sampled_from(summaries.LABELS),
            st.sets(st.sampled_from(["r1", "r2", "r3"])),
        ),
        max_size=30,
    )
)
def test_summaries_equal_a_recount(seen: list[tuple[int, str, str, set[str]]]) -> None:
    """Whatever the order in which the facts of four open days come."""
    days = Days()
    start = instant("2026-01-01T00:00:00Z")
    days.open("2026-01-01T00:00:00Z")
    highest: dict[tuple[int, str], int] = defaultdict(int)
    held: dict[tuple[int, str], set[str]] = defaultdict(set)
    for offset, visitor, label, rules in seen:
        days.see(start + offset, label, *sorted(rules), id=visitor)
        key = (offset // 86_400_000, visitor)
        highest[key] = max(highest[key], summaries.LABELS.index(label))
        held[key] |= rules
    found = days.until(start + 4 * 86_400_000)
    assert len(found) == 4
    for number, occurrence in enumerate(found):
        labels = [label for (day, _), label in highest.items() if day == number]
        assert summed([occurrence])[0][1:] == tuple(labels.count(label) for label in range(3))
        counted = {rule["rule"]: rule["count"] for rule in occurrence.facts["summary"]["top_rules"]}
        assert counted == {
            rule: count
            for rule in ("r1", "r2", "r3")
            if (count := sum(rule in rules for (day, _), rules in held.items() if day == number))
        }


async def test_after_a_downtime_the_dialects_own_summaries_come_once_each(house: House) -> None:
    """A server that was down over three midnights sends three summaries in the document's shape, and no more later."""
    account = await house.world.account(profile="clickdefender", timezone="Europe/Berlin")
    await house.app.openings.open(account)
    clicks = [
        item(Kind.CLICK, click_id=f"c{number}", visitor={"id": f"v{number}"}, signals={"score": score})
        for number, score in enumerate([10, 50, 90, 95])
    ]
    await house.taken(*clicks, account_id=account.id)
    house.clock.advance(3 * 86_400)
    for _ in range(2):
        await house.reopen()
        await house.app.timers.run_due()
    found = [data["summary"] for kind, _, data in await house.fired(account.id) if kind == "daily_summary"]
    assert [summary["date"] for summary in found] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert found[0] == {
        "date": "2026-01-01",
        "totalVisitors": 4,
        "cleanCount": 1,
        "suspiciousCount": 1,
        "fraudCount": 2,
        "fraudRate": "50.0%",
        "topRules": [],
    }
    assert (found[1]["totalVisitors"], found[1]["fraudRate"]) == (0, "0.0%")
