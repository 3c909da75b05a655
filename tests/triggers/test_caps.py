"""Caps: what they count in which window, when they fire, and which campaign they pause."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.triggers.deciding import instant
from tests.triggers.market import NOON, OFFER, Account, names
from tocsin.clock import rfc3339
from tocsin.triggers.rules.offers import WINDOWS, Offer
from tocsin.triggers.windows import window

CAMPAIGN = {"id": "k", "name": "Spring"}


class Shop(Account):
    _next = 0

    def sell(self, at: str | int = NOON, **data: object) -> list[str]:
        self._next += 1
        return names(self.convert(self._next, at, offer=OFFER, **data)[1:])


def test_a_cap_fires_when_its_count_is_reached_and_recording_goes_on() -> None:
    """Once, with what people want to know."""
    shop = Shop()
    shop.offer(caps={"daily": 2}, timezone="Europe/Berlin")
    assert shop.sell() == []
    cap, paused = shop.convert("z", offer=OFFER, campaign=CAMPAIGN, partner={"id": "p"})[1:]
    assert (cap.name, paused.name) == ("cap", "campaign_paused")
    shown = {**cap.facts["cap"]}
    assert rfc3339(shown.pop("window_start")) == "2026-03-13T23:00:00.000Z"
    assert rfc3339(shown.pop("window_end")) == "2026-03-14T23:00:00.000Z"
    assert shown == {"window": "daily", "limit": 2, "count": 2, "timezone": "Europe/Berlin"}
    assert cap.facts["offer"] == {"id": "o1", "name": "Shoes"}
    assert (cap.facts["conversion_id"], cap.facts["partner"]) == ("z", {"id": "p"})
    assert (paused.facts["reason"], paused.facts["campaign"]["status"]) == ("cap_reached", "paused")
    assert [shop.sell(campaign=CAMPAIGN) for _ in range(3)] == [[], [], []]
    assert shop.get("offer:o1", Offer).windows["daily"].amount == 5


def test_all_four_windows_count_and_fire_by_themselves() -> None:
    """One conversion can reach them all; the campaign is paused once."""
    shop = Shop()
    shop.offer(caps=dict.fromkeys(WINDOWS, 1))
    assert shop.sell(campaign=CAMPAIGN) == ["cap", "campaign_paused", "cap", "cap", "cap"]


@pytest.mark.parametrize("state", ["pending", "approved"])
def test_pending_and_approved_count_and_a_rejection_takes_nothing_back(state) -> None:
    """What was reported stays."""
    shop = Shop()
    shop.offer(caps={"global": 2})
    shop.convert("a", offer=OFFER, status=state)
    shop.post("conversion_status", conversion_id="a", status="rejected")
    assert shop.sell() == ["cap"]


def test_a_cap_fires_again_only_if_it_is_raised_and_reached_again() -> None:
    """Lowered, taken away, set as it was: it does not."""
    shop = Shop()
    found = []
    for limit in (2, 1, None, 2, 3, 3, 9, 6, 7):  # the nth is in force for the nth conversion
        shop.offer(caps={} if limit is None else {"weekly": limit})
        found.append(shop.sell())
    #    2: one of two; 1: two, lowered; 3: five of three, raised; 9: not reached; 6 and 7: raised since 3, reached
    assert found == [[], ["cap"], [], ["cap"], ["cap"], [], [], ["cap"], ["cap"]]


def test_a_cap_that_is_lowered_to_what_is_counted_fires_with_the_next_conversion() -> None:
    """So that the event names the conversion and its campaign."""
    shop = Shop()
    shop.offer(caps={"daily": 100})
    assert [shop.sell() for _ in range(3)] == [[], [], []]
    shop.offer(caps={"daily": 2})
    assert shop.sell() == ["cap"]


def test_each_window_starts_anew_and_pauses_anew() -> None:
    """A daily cap's pause is over with its day, though nobody resumed the campaign."""
    shop = Shop()
    shop.offer(caps={"daily": 1})
    days = ["2024-02-28", "2024-02-29", "2024-03-01"]
    assert [shop.sell(f"{day}T10:00:00Z", campaign=CAMPAIGN) for day in days] == [["cap", "campaign_paused"]] * 3
    assert shop.sell("2024-03-01T23:59:59Z", campaign=CAMPAIGN) == []


def test_another_cap_pauses_after_the_day_whose_cap_paused() -> None:
    """The pause had its day; within it, another cap pauses nothing that is paused."""
    shop = Shop()
    shop.offer(caps={"daily": 1, "weekly": 2, "monthly": 3})
    assert shop.sell("2026-03-10T10:00:00Z", campaign=CAMPAIGN) == ["cap", "campaign_paused"]
    shop.offer(caps={"weekly": 2, "monthly": 3})
    assert shop.sell("2026-03-11T10:00:00Z", campaign=CAMPAIGN) == ["cap", "campaign_paused"]
    assert shop.sell("2026-03-11T10:00:00Z", campaign=CAMPAIGN) == ["cap"]


def test_a_late_conversion_counts_in_the_window_that_is_open() -> None:
    """A window that was closed is not opened again."""
    shop = Shop()
    shop.offer(caps={"daily": 2})
    assert shop.sell("2026-03-14T10:00:00Z") == []
    assert shop.sell("2026-03-15T10:00:00Z") == []
    assert shop.sell("2026-03-14T23:00:00Z") == ["cap"]
    assert shop.get("offer:o1", Offer).windows["daily"].name == "2026-03-15"


def test_a_cap_set_in_the_middle_of_its_window_knows_what_came_before() -> None:
    """Offers are counted from their first mention."""
    shop = Shop()
    assert [shop.sell() for _ in range(2)] == [[], []]
    shop.offer(caps={"monthly": 3})
    assert shop.sell() == ["cap"]


def test_another_time_zone_takes_over_where_the_open_window_ends() -> None:
    """Windows follow one another without a gap."""
    shop = Shop("Pacific/Kiritimati")
    shop.offer()
    shop.sell("2026-03-14T08:00:00Z")  # the 14th there ends at 10:00 UTC
    shop.offer(timezone="Pacific/Pago_Pago")
    shop.sell("2026-03-14T09:59:59Z")
    assert shop.get("offer:o1", Offer).windows["daily"].amount == 2
    shop.sell("2026-03-14T10:00:00Z")
    day = shop.get("offer:o1", Offer).windows["daily"]
    assert (rfc3339(day.start), rfc3339(day.end)) == ("2026-03-14T10:00:00.000Z", "2026-03-14T11:00:00.000Z")
    assert day.amount == 1


# Both changes of the clocks, a midnight that they skip and one that they repeat, the outermost zones, a leap day, the
# ends of weeks, months and years.
PLACES = [
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("America/Havana", "2026-11-01"),
    ("Africa/Cairo", "2026-04-24"),
    ("Pacific/Kiritimati", "2024-02-29"),
    ("Pacific/Pago_Pago", "2024-02-29"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("UTC", "2026-12-31"),
]


@settings(max_examples=60)
@given(
    place=st.sampled_from(PLACES),
    minutes=st.lists(st.integers(-2 * 1440, 3 * 1440), min_size=1, max_size=25).map(sorted),
    limits=st.lists(st.integers(1, 6), min_size=1, max_size=4),
)
def test_counts_equal_a_recount_and_a_cap_fires_once_a_window_and_limit(place, minutes, limits) -> None:
    """Whatever the zone's clocks do; the oracle counts the posted list anew by each window's bounds."""
    zone, date = place
    base = instant(int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp() * 1000))
    shop = Shop()
    fired: Counter[tuple[str, int, int]] = Counter()
    due: Counter[tuple[str, int, int]] = Counter()
    highest: dict[tuple[str, int], int] = {}
    ats: list[int] = []
    for number, minute in enumerate(minutes):
        caps = {kind: limits[(number + place) % len(limits)] for place, kind in enumerate(WINDOWS)}
        shop.offer(timezone=zone, caps=caps)
        at = base + minute * 60_000
        ats.append(at)
        for one in shop.convert(number, at, offer=OFFER)[1:]:
            cap = one.facts["cap"]
            start = 0 if cap["window_end"] is None else cap["window_start"]
            fired[(cap["window"], start, cap["limit"])] += 1
        offer = shop.get("offer:o1", Offer)
        for kind in WINDOWS:
            bounds = window(kind, instant(at), ZoneInfo(zone))
            recount = sum(bounds.start <= one and (bounds.end is None or one < bounds.end) for one in ats)
            assert offer.windows[kind].amount == recount
            place_ = (kind, bounds.start)
            if recount >= caps[kind] > highest.get(place_, 0):
                highest[place_] = caps[kind]
                due[(*place_, caps[kind])] += 1
    assert fired == due
    assert set(fired.values()) <= {1}


@settings(max_examples=50)
@given(hours=st.lists(st.integers(0, 24 * 9), min_size=1, max_size=30))
def test_in_any_order_nothing_is_uncounted(hours) -> None:
    """What is late is in the open window; a plain model of the rule says which."""
    shop = Shop("Europe/Berlin")
    start = datetime(2026, 3, 25, tzinfo=UTC)
    open_day, count = None, 0
    for number, hour in enumerate(hours):
        at = start + timedelta(hours=hour)
        shop.convert(number, int(at.timestamp() * 1000), offer=OFFER)
        day = at.astimezone(ZoneInfo("Europe/Berlin")).date()
        if open_day is None or day > open_day:
            open_day, count = day, 0
        count += 1
    offer = shop.get("offer:o1", Offer)
    assert (offer.windows["daily"].name, offer.windows["daily"].amount) == (open_day.isoformat(), Decimal(count))
    assert offer.windows["global"].amount == len(hours)
