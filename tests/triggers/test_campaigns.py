"""Campaigns: made, changed, paused and resumed, each said once, and what is counted of them."""

from decimal import Decimal

import pytest

from tests.triggers.market import NOON, OFFER, Account, names
from tocsin.errors import Invalid


class Desk(Account):
    def act(self, action: str, at: str = NOON, *, id: str | int = "k", **campaign: object) -> list[str]:
        return names(self.post("campaign", at, action=action, campaign={"id": id, **campaign}))


def test_a_campaign_is_made_once() -> None:
    """Made again it is changed, if anything is new."""
    desk = Desk()
    assert desk.act("created", name="Spring") == ["campaign_created"]
    assert desk.act("created", name="Spring") == []
    assert desk.act("created", name="Summer") == ["campaign_updated"]


def test_a_campaign_that_was_only_mentioned_can_still_be_made() -> None:
    """Its first mention knew nothing of it but its id."""
    desk = Desk()
    desk.post("click", campaign={"id": 7, "name": "Spring"})
    assert desk.known("7").name == "Spring"
    assert desk.act("created", id="7", name="Spring") == ["campaign_created"]
    assert desk.known("7").clicks == 1


def test_what_is_posted_of_a_campaign_is_shown_with_what_is_known() -> None:
    """Unknown keys too; the id in the JSON type that it came in."""
    desk = Desk()
    desk.act("created", id="7", name="Spring", budget=Decimal(100), target_audience={"keywords": ["a"]})
    (found,) = desk.post("campaign", action="updated", campaign={"id": 7, "daily_budget": Decimal(5), "colour": "red"})
    assert found.facts["changed"] == ["daily_budget"]
    assert found.facts["campaign"] == {
        "id": 7,
        "name": "Spring",
        "budget": Decimal(100),
        "daily_budget": Decimal(5),
        "target_audience": {"keywords": ["a"]},
        "status": "active",
        "colour": "red",
    }


def test_a_pause_and_its_end_fire_once_per_transition() -> None:
    """What is paused is not paused again, what runs is not resumed."""
    desk = Desk()
    desk.act("created")
    actions = ["paused", "paused", "resumed", "resumed", "paused", "updated"]
    assert [desk.act(action) for action in actions] == [
        ["campaign_paused"],
        [],
        ["campaign_resumed"],
        [],
        ["campaign_paused"],
        ["campaign_updated"],
    ]
    assert desk.known().status == "paused"


def test_a_campaign_can_be_made_paused_and_paused_by_its_status() -> None:
    """What is made so was never paused; what runs is."""
    desk = Desk()
    (made,) = desk.post("campaign", action="created", campaign={"id": "k", "status": "paused"})
    assert (made.name, made.facts["campaign"]["status"]) == ("campaign_created", "paused")
    assert desk.act("paused") == []
    assert desk.act("updated", status="active") == ["campaign_updated", "campaign_resumed"]
    assert desk.act("updated", status="paused") == ["campaign_updated", "campaign_paused"]


@pytest.mark.parametrize("action", ["created", "updated", "paused", "resumed"])
def test_whatever_comes_first_of_an_unknown_campaign_is_said(action) -> None:
    """It may have lived long before it was told to this account."""
    assert Desk().act(action) == [f"campaign_{action}"]


def test_the_reason_of_a_pause_is_told() -> None:
    """By hand, unless the activity says otherwise."""
    desk = Desk()
    (found,) = desk.post("campaign", action="paused", campaign={"id": "k"})
    assert (found.facts["reason"], found.facts["campaign"]["status"]) == ("manual", "paused")
    desk.act("resumed")
    (found,) = desk.post("campaign", action="paused", reason="policy", campaign={"id": "k"})
    assert found.facts["reason"] == "policy"


def test_a_cap_does_not_pause_what_is_paused_by_hand() -> None:
    """Nor does its window's end resume it."""
    desk = Desk()
    desk.act("paused")
    desk.offer(caps={"daily": 1})
    assert names(desk.convert("a", offer=OFFER, campaign={"id": "k"})) == ["conversion", "cap"]
    assert names(desk.convert("b", "2026-03-15T12:00:00Z", offer=OFFER, campaign={"id": "k"})) == ["conversion", "cap"]


def test_a_pause_that_is_over_is_not_shown() -> None:
    """The day after its cap was reached the campaign runs."""
    desk = Desk()
    desk.offer(caps={"daily": 1})
    desk.convert("a", offer=OFFER, campaign={"id": "k"})
    (found,) = desk.post("campaign", "2026-03-14T23:59:59Z", action="updated", campaign={"id": "k"})
    assert found.facts["campaign"]["status"] == "paused"
    (found,) = desk.post("campaign", "2026-03-15T00:00:00Z", action="updated", campaign={"id": "k"})
    assert found.facts["campaign"]["status"] == "active"


def test_a_cap_that_is_raised_and_reached_again_pauses_again() -> None:
    """Its raise ended the pause."""
    desk = Desk()
    found = []
    for limit in (1, 2):
        desk.offer(caps={"daily": limit})
        found += names(desk.convert(limit, offer=OFFER, campaign={"id": "k"}))
    assert found == ["conversion", "cap", "campaign_paused"] * 2


@pytest.mark.parametrize("window", ["daily", "global"])
def test_a_pause_that_lasts_takes_over_from_a_caps(window) -> None:
    """By hand, and then by the budget: the second changes nothing."""
    desk = Desk()
    desk.offer(caps={window: 1})
    desk.campaign(budget=Decimal(1))
    desk.convert("a", offer=OFFER, campaign={"id": "k"})
    assert desk.act("paused") == ["campaign_paused"]
    assert "campaign_paused" not in names(desk.spend(1))
    assert desk.known().pause is not None
    assert (desk.known().pause.reason, desk.known().pause.until) == ("manual", None)


def test_another_currency_is_refused() -> None:
    """Amounts of two currencies are never added up."""
    desk = Desk()
    desk.act("created", currency="EUR")
    with pytest.raises(Invalid) as refused:
        desk.act("updated", currency="USD")
    assert refused.value.faults[0].pointer == "/campaign/currency"


def test_setting_a_campaign_fires_as_the_activity_does() -> None:
    """Made, then changed by what differs; nothing where nothing does."""
    account = Account()
    assert names(account.campaign(budget=Decimal(5))) == ["campaign_created"]
    assert account.campaign(budget=Decimal("5.00")) == []
    (found,) = account.campaign(budget=Decimal(6), alert_percents=(50,))
    assert found.facts["changed"] == ["budget", "alert_percents"]


def test_a_large_audience_is_passed_on_but_not_remembered() -> None:
    """What is kept is read with every click."""
    desk = Desk()
    large = {"keywords": ["word"] * 2000}
    (found,) = desk.post("campaign", action="created", campaign={"id": "k", "target_audience": large})
    assert found.facts["campaign"]["target_audience"] == large
    assert desk.known().target_audience is None


def test_impressions_clicks_and_conversions_are_counted_once_each() -> None:
    """A conversion that comes again is none."""
    desk = Desk()
    for kind, times in (("impression", 5), ("click", 3)):
        for _ in range(times):
            desk.post(kind, campaign={"id": 7})
    for _ in range(2):
        desk.convert("c", campaign={"id": "7"})
    known = desk.known("7")
    assert (known.impressions, known.clicks, known.conversions) == (5, 3, 1)
