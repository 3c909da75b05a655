"""Budgets: what is spent in all and today, what fires at which percentage, and what a spent budget does."""

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.triggers.market import Account, names
from tocsin.errors import Invalid
from tocsin.triggers.occurrences import Occurrence


def passed(found: list[Occurrence]) -> list[tuple[str, int]]:
    budgets = [one.facts["budget"] for one in found if one.name == "budget_threshold"]
    return [(budget["scope"], budget["percent"]) for budget in budgets]


def test_each_percentage_fires_once_when_it_is_reached() -> None:
    """With what was spent of what, and of which campaign."""
    account = Account()
    account.campaign(budget=Decimal(100))
    assert account.spend("79.99") == []
    (found,) = account.spend("0.01", currency="EUR")
    assert found.facts["budget"] == {
        "scope": "total",
        "percent": 80,
        "amount": Decimal(100),
        "spent": Decimal("80.00"),
        "period_start": account.known().created_at,
    }
    assert found.facts["campaign"]["name"] == "Spring"
    assert found.facts["currency"] == "EUR"
    assert account.spend("10") == []


def test_one_spending_can_pass_several_percentages_and_budgets() -> None:
    """In rising order, the total before the day."""
    account = Account()
    account.campaign(budget=Decimal(100), daily_budget=Decimal(50), alert_percents=(100, 50, 90))
    found = account.spend(95)
    assert passed(found) == [("total", 50), ("total", 90), ("daily", 50), ("daily", 90), ("daily", 100)]


def test_the_total_budgets_end_pauses_the_campaign() -> None:
    """Once; spending that goes on is counted."""
    account = Account()
    account.campaign(budget=Decimal(100), currency="EUR")
    account.post("impression", campaign={"id": "k"})
    for _ in range(3):
        account.post("impression", campaign={"id": "k"})
    account.post("click", campaign={"id": "k"})
    account.convert(campaign={"id": "k"})
    found = account.spend("100.37")
    assert names(found) == ["budget_threshold", "budget_threshold", "budget_exhausted", "campaign_paused"]
    exhausted, paused = found[2:]
    assert exhausted.facts["budget"] == {"amount": Decimal(100), "spent": Decimal("100.37")}
    assert exhausted.facts["performance"] == {
        "impressions": 4,
        "clicks": 1,
        "conversions": 1,
        "ctr": Decimal("25.00"),
        "average_cpb": Decimal("100.37"),
    }
    assert (paused.facts["reason"], paused.facts["detail"]) == ("budget_exhausted", "100.37 of 100 EUR spent")
    assert account.spend(1) == []
    assert account.known().spent == Decimal("101.37")


def test_a_raise_arms_anew_and_ends_the_pause() -> None:
    """Each percentage of the new budget fires when it is reached, and its end pauses again."""
    account = Account()
    account.campaign(budget=Decimal(100))
    account.spend(100)
    assert names(account.campaign(budget=Decimal(200))) == ["campaign_updated", "campaign_resumed"]
    assert account.known().status == "active"
    assert account.spend(59) == []
    assert passed(account.spend(1)) == [("total", 80)]
    found = account.spend(40)
    assert names(found) == ["budget_threshold", "budget_exhausted", "campaign_paused"]


def test_a_raise_by_an_activity_ends_the_pause_too() -> None:
    """So each pause that is told lies between two runs; one by hand stays."""
    account = Account()
    account.campaign(budget=Decimal(100))
    account.spend(100)

    def post(action: str, **campaign: object) -> list[str]:
        return names(account.post("campaign", action=action, campaign={"id": "k", **campaign}))

    assert post("updated", target_audience={"age": "18-34"}) == ["campaign_updated"]
    assert account.known().status == "paused"
    assert post("updated", budget=Decimal(200)) == ["campaign_updated", "campaign_resumed"]
    assert account.known().status == "active"
    assert names(account.spend(100))[-1] == "campaign_paused"
    post("resumed")
    post("paused")
    assert post("updated", budget=Decimal(300)) == ["campaign_updated"]
    assert account.known().status == "paused"


def test_lowered_and_set_back_it_fires_no_second_time() -> None:
    """Only a budget above all for which it fired arms it."""
    account = Account()
    account.campaign(budget=Decimal(100))
    assert passed(account.spend(85)) == [("total", 80)]
    account.campaign(budget=Decimal(90))
    assert account.spend(1) == []
    account.campaign(budget=Decimal(100))
    assert account.spend(1) == []
    account.campaign(budget=Decimal(101))
    assert passed(account.spend(1)) == [("total", 80)]


def test_a_day_begins_anew_in_the_campaigns_time_zone() -> None:
    """Else in the account's; spending that comes late counts in the open day."""
    account = Account("Pacific/Kiritimati")
    account.campaign(daily_budget=Decimal(10), timezone="America/New_York")
    assert passed(account.spend(10, "2026-03-08T04:59:59Z")) == [("daily", 80), ("daily", 100)]  # the 7th
    assert passed(account.spend(7, "2026-03-08T05:00:00Z")) == []
    assert passed(account.spend(1, "2026-03-08T04:00:00Z")) == [("daily", 80)]
    (found,) = account.spend(2, "2026-03-09T03:59:59Z")  # a day of 23 hours
    assert found.facts["budget"]["date"] == "2026-03-08"
    account.spend(1, "2026-03-09T04:00:00Z")
    assert account.known().day is not None
    assert account.known().day.amount == 1


def test_a_correction_lowers_the_sums_and_fires_nothing() -> None:
    """Nor does it arm what has fired."""
    account = Account()
    account.campaign(budget=Decimal(100))
    account.spend(90)
    assert account.spend(-50) == []
    assert account.known().spent == 40
    assert account.spend(45) == []


def test_a_correction_does_not_fire_what_a_budget_that_was_set_later_has_reached() -> None:
    """The next spending does."""
    account = Account()
    account.spend(95)
    account.campaign(budget=Decimal(100))
    assert account.spend(-1) == []
    assert passed(account.spend(1)) == [("total", 80)]


def test_an_amount_of_another_currency_is_refused() -> None:
    """And counts nowhere; one without a currency is the campaign's."""
    account = Account()
    account.spend(1, currency="EUR")
    with pytest.raises(Invalid) as refused:
        account.spend(1, currency="USD")
    assert (refused.value.code, refused.value.faults[0].pointer) == ("currency_mismatch", "/currency")
    account.spend(2)
    assert account.known().spent == 3


def test_a_budget_of_nothing_is_none() -> None:
    """It has no percentages."""
    account = Account()
    account.campaign(budget=Decimal(0), daily_budget=Decimal(0))
    assert account.spend(1) == []


@settings(max_examples=80)
@given(
    amounts=st.lists(st.tuples(st.integers(-300, 4000), st.integers(0, 12)), min_size=1, max_size=25),
    percents=st.sets(st.integers(1, 200), min_size=1, max_size=4),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago"]),
)
def test_sums_equal_a_recount_and_each_percentage_fires_once_a_period(amounts, percents, zone) -> None:
    """Exactly, to the cent; days over both changes of the clocks."""
    account = Account()
    account.campaign(budget=Decimal(100), daily_budget=Decimal(30), alert_percents=tuple(percents), timezone=zone)
    at = datetime(2026, 3, 7, tzinfo=UTC).timestamp()
    total = Decimal(0)
    days: dict[str, Decimal] = {}
    fired: Counter[tuple[str, str, int]] = Counter()
    due: set[tuple[str, str, int]] = set()
    for cents, hours in amounts:
        at += hours * 3600
        amount = Decimal(cents) / 100
        day = datetime.fromtimestamp(at, ZoneInfo(zone)).date().isoformat()
        total += amount
        days[day] = days.get(day, Decimal(0)) + amount
        for one in account.spend(str(amount), int(at * 1000)):
            if one.name == "budget_threshold":
                budget = one.facts["budget"]
                fired[(budget["scope"], budget.get("date", ""), budget["percent"])] += 1
        if amount > 0:
            due |= {("total", "", percent) for percent in percents if total >= percent}
            due |= {("daily", day, percent) for percent in percents if days[day] * 100 >= 30 * percent}
        known = account.known()
        assert known.total is not None
        assert known.day is not None
        assert (known.spent, known.day.amount, known.day.name) == (total, days[day], day)
    assert set(fired) == due
    assert set(fired.values()) <= {1}
