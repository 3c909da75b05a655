"""Conversions: their status, their hold, what their click knows of them, and one that comes again."""

from decimal import Decimal
from typing import Any

import pytest

from tests.triggers.deciding import activity, instant
from tests.triggers.market import NOON, OFFER, Account, names
from tocsin.clock import Millis, rfc3339
from tocsin.errors import Conflict, Invalid
from tocsin.triggers.activity import Kind
from tocsin.triggers.decide import decide
from tocsin.triggers.rules import conversions
from tocsin.triggers.rules.campaigns import Campaign
from tocsin.triggers.rules.conversions import Conversion


@pytest.mark.parametrize(
    ("posted", "offer", "status"),
    [
        ({}, {}, "approved"),
        ({}, {"hold_s": 60}, "pending"),
        ({}, {"default_status": "pending"}, "pending"),
        ({}, {"default_status": "approved", "hold_s": 60}, "approved"),
        ({"status": "approved"}, {"hold_s": 60}, "approved"),
        ({"status": "pending"}, {"default_status": "approved"}, "pending"),
    ],
)
def test_status_is_the_activitys_then_the_offers_then_by_hold(posted, offer, status) -> None:
    """Each source gives way to the one before it."""
    account = Account()
    account.offer(**offer)
    (found,) = account.convert(offer=OFFER, **posted)
    assert (found.name, found.facts["status"]) == ("conversion", status)


def test_what_is_pending_is_approved_once_its_hold_is_over() -> None:
    """At that very instant, as it was recorded, and only once."""
    account = Account()
    account.offer(hold_s=3600)
    account.convert(offer=OFFER, transaction_id="t", sub1="a")
    assert account.until("2026-03-14T12:59:59Z") == []
    (found,) = account.until("2026-03-14T13:00:00Z")
    assert (found.name, rfc3339(found.at)) == ("conversion_approved", "2026-03-14T13:00:00.000Z")
    told = {name: found.facts[name] for name in ("conversion_id", "payout", "transaction_id", "sub1", "automatic")}
    assert told == {
        "conversion_id": "c1",
        "payout": Decimal("45.00"),
        "transaction_id": "t",
        "sub1": "a",
        "automatic": True,
    }
    assert found.facts["offer"] == {"id": "o1", "name": "Shoes"}
    assert account.until("2027-03-14T12:00:00Z") == []


@pytest.mark.parametrize("status", ["approved", "rejected"])
def test_a_status_by_hand_ends_the_hold(status) -> None:
    """Nothing fires when it would have been over."""
    account = Account()
    account.offer(hold_s=3600)
    account.convert(offer=OFFER)
    (found,) = account.post("conversion_status", conversion_id="c1", status=status, reason="checked")
    assert (found.name, found.facts["status"]) == (f"conversion_{status}", status)
    assert (found.facts["automatic"], found.facts["reason"]) == (False, "checked")
    assert account.timers == {}


def test_a_conversion_can_be_charged_back_and_reinstated() -> None:
    """Every change fires; the status that it has already does not."""
    account = Account()
    account.convert()
    steps = ["approved", "rejected", "rejected", "approved"]
    found = [names(account.post("conversion_status", conversion_id="c1", status=status)) for status in steps]
    assert found == [[], ["conversion_rejected"], [], ["conversion_approved"]]


def test_the_status_of_an_unknown_conversion_is_refused() -> None:
    """With the place and the remedy."""
    with pytest.raises(Invalid) as refused:
        Account().post("conversion_status", conversion_id="c9", status="approved")
    assert (refused.value.code, refused.value.faults[0].pointer) == ("unknown_conversion", "/conversion_id")


def test_the_same_conversion_again_changes_nothing() -> None:
    """Neither events nor counts, whatever the JSON type of its id."""
    account = Account()
    account.offer(caps={"daily": 2})
    account.convert(7, offer=OFFER, campaign={"id": "k"})
    before = dict(account.values)
    assert account.convert("7", offer=OFFER, campaign={"id": "k"}) == []
    assert account.values == before


def test_the_same_conversion_again_is_not_counted_by_the_rules_after_it() -> None:
    """Alerts count conversions, too."""
    account = Account()
    counted: list[int] = []
    by = {Kind.CONVERSION: (conversions.recorded, lambda ctx, activity: counted.append(activity.id))}
    posted = [activity("conversion", NOON, conversion_id=id_, payout=1, currency="USD") for id_ in ("a", "a", "b")]
    for one in posted:
        account.apply(lambda ctx, one=one: decide(ctx, one, by))
    assert sorted(set(counted)) == [posted[0].id, posted[2].id]


def test_a_known_conversion_with_another_status_changes_its_status() -> None:
    """As an advertiser's second postback does."""
    account = Account()
    account.convert(status="pending")
    assert names(account.convert(status="approved")) == ["conversion_approved"]
    assert account.convert(status="pending") == []


@pytest.mark.parametrize(
    "other", [{"payout": Decimal(46)}, {"currency": "EUR"}, {"revenue": Decimal(2)}, {"offer": {"id": "o2"}}]
)
def test_another_conversion_under_a_known_id_is_refused(other) -> None:
    """And what is recorded stays."""
    account = Account()
    account.convert(offer=OFFER, revenue=Decimal(1))
    before = dict(account.values)
    with pytest.raises(Conflict) as refused:
        account.convert(**{"offer": OFFER, **other})
    assert refused.value.code == "conversion_conflict"
    assert account.values == before


def test_a_conversion_takes_from_its_click_what_it_does_not_say() -> None:
    """Campaign, offer, partner and visitor; its own word stands."""
    account = Account()
    click = activity(
        "click",
        NOON,
        click_id=5,
        campaign={"id": 7, "name": "Spring"},
        offer=OFFER,
        partner={"id": "p"},
        visitor={"id": "v", "country": "DE", "device": "mobile", "canvas": "x" * 99},
    )
    account.apply(lambda ctx: conversions.remember_click(ctx, click))
    (found,) = account.convert(click_id="5", partner={"id": "q"}, visitor={"country": "NL"})
    assert found.facts["campaign"] == {"id": 7, "name": "Spring"}
    assert found.facts["offer"] == {"id": "o1"}
    assert found.facts["partner"] == {"id": "q"}
    assert found.facts["visitor"] == {"id": "v", "country": "NL", "device": "mobile"}
    assert account.get("campaign:7", Campaign).conversions == 1


def test_another_visitor_than_the_clicks_takes_nothing_from_it() -> None:
    """A purchase on another device is not shown with the first one's country."""
    account = Account()
    click = activity("click", NOON, click_id="x", visitor={"id": "v", "country": "DE"})
    account.apply(lambda ctx: conversions.remember_click(ctx, click))
    (found,) = account.convert(click_id="x", visitor={"id": "w"})
    assert found.facts["visitor"] == {"id": "w"}


def test_without_a_payout_the_offers_counts() -> None:
    """And none at all is nothing."""
    account = Account()
    account.offer(payout=Decimal("12.50"))
    paid = [
        account.convert(id_, payout=None, offer=offer)[0].facts["payout"] for id_, offer in (("a", OFFER), ("b", None))
    ]
    assert paid == [Decimal("12.50"), Decimal(0)]


def test_a_held_conversion_is_remembered_beyond_its_hold() -> None:
    """90 days from when it is over, so that it can be approved and charged back."""
    account = Account()
    account.offer(hold_s=200 * 86_400)
    posted = activity("conversion", NOON, conversion_id="c", payout=1, currency="USD", offer=OFFER)
    untils: list[Millis | None] = []

    def change(ctx: Any) -> None:
        decide(ctx, posted)
        ctx.state.keep()
        untils.append(ctx.state.changes().puts["conversion:c"][1])

    account.apply(change)
    assert untils[-1] == instant(NOON) + 290 * 86_400_000
    assert account.get("conversion:c", Conversion).status == "pending"
