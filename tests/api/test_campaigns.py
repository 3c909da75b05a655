"""Offers, campaigns and partners through the API: set, read, listed, and what setting them fires."""

from typing import Any

import pytest

from tests.api.site import LocalOperator, LocalShop, Site
from tests.support.waiting import until
from tocsin.clock import ManualClock, Millis, parse_rfc3339, rfc3339

OFFER = {"name": "Shoes", "payout": "45.00", "hold_s": 3600, "timezone": "Europe/Berlin", "caps": {"daily": 10}}


def act(shop: LocalShop, kind: str, **data: Any) -> Any:
    """What became of one activity."""
    (result,) = shop.post("/v1/activity", {"kind": kind, **data})["results"]
    return result


def convert(shop: LocalShop, number: int, **data: Any) -> list[str]:
    paid = {"conversion_id": f"c{number}", "payout": 1, "currency": "EUR", "offer": {"id": "o"}, **data}
    return [event["type"] for event in act(shop, "conversion", **paid)["events"]]


def put(shop: LocalShop, path: str, body: Any) -> Any:
    return shop.ok("PUT", path, body)


def types(shop: LocalShop) -> list[str]:
    """Of all events, in the order in which they were made."""
    return [event["type"] for event in shop.pages("/v1/events")][::-1]


def test_an_offer_is_set_whole(shop: LocalShop) -> None:
    """What is left out is no more; what is counted stays."""
    made = put(shop, "/v1/offers/o", OFFER)
    assert {name: made[name] for name in ("id", "name", "payout", "hold_s", "default_status", "timezone")} == {
        "id": "o",
        "name": "Shoes",
        "payout": "45.00",
        "hold_s": 3600,
        "default_status": None,
        "timezone": "Europe/Berlin",
    }
    assert made["caps"] == {"daily": 10, "weekly": None, "monthly": None, "global": None}
    assert convert(shop, 1) == ["conversion.created"]
    changed = put(shop, "/v1/offers/o", {"name": "Boots", "caps": {"global": 3}})
    assert (changed["payout"], changed["hold_s"], changed["timezone"]) == (None, None, None)
    standing = {kind: (one["count"], one["limit"]) for kind, one in changed["standing"].items()}
    assert standing == {"daily": (1, None), "weekly": (1, None), "monthly": (1, None), "global": (1, 3)}
    read = shop.get("/v1/offers/o")
    assert (read["name"], read["caps"]) == (changed["name"], changed["caps"])


def test_setting_the_same_again_changes_nothing(shop: LocalShop) -> None:
    """So a request may be repeated."""
    for path, body in (
        ("/v1/offers/o", OFFER),
        ("/v1/campaigns/k", {"name": "Spring", "budget": 5}),
        ("/v1/partners/p", {"name": "Clickwell", "status": "applied"}),
    ):
        assert put(shop, path, body) == put(shop, path, body)
    assert types(shop) == ["campaign.created", "partner.applied"]


def test_setting_a_campaign_fires_what_the_activity_does(shop: LocalShop) -> None:
    """Made, then changed, with what has."""
    made = put(shop, "/v1/campaigns/k", {"name": "Spring", "budget": "100.00", "currency": "eur"})
    assert (made["status"], made["budget"], made["currency"], made["alert_percents"]) == (
        "active",
        "100.00",
        "EUR",
        [80, 100],
    )
    put(shop, "/v1/campaigns/k", {"name": "Spring", "budget": "200.00", "alert_percents": [100, 50]})
    assert types(shop) == ["campaign.created", "campaign.updated"]
    (updated,) = [one for one in shop.pages("/v1/events") if one["type"] == "campaign.updated"]
    assert shop.get(f"/v1/events/{updated['id']}")["data"]["changed"] == ["budget", "alert_percents"]


def test_setting_a_partner_fires_what_the_activity_does(shop: LocalShop) -> None:
    """A name alone does not."""
    put(shop, "/v1/partners/p", {"name": "Clickwell"})
    put(shop, "/v1/partners/p", {"name": "Clickwell", "status": "approved"})
    put(shop, "/v1/partners/p", {"name": "Clickwell Network"})
    banned = put(shop, "/v1/partners/p", {"name": "Clickwell Network", "status": "banned", "reason": "bots"})
    assert (banned["status"], banned["reason"]) == ("banned", "bots")
    assert types(shop) == ["partner.approved", "partner.banned"]


def test_who_set_what_is_in_the_audit_log(shop: LocalShop) -> None:
    """Each change once; a request that changes nothing leaves no entry."""
    for _ in range(2):
        put(shop, "/v1/offers/o%2F1", OFFER)
        put(shop, "/v1/campaigns/k", {"name": "Spring", "budget": "5.00"})
    entries = [one for one in shop.pages("/v1/audit") if one["action"].endswith(".set")]
    assert [(one["action"], one["subject"]) for one in entries] == [
        ("campaign.set", "campaign:k"),
        ("offer.set", "offer:o/1"),
    ]
    assert entries[0]["actor"].startswith("key_")
    assert entries[0]["detail"]["budget"] == "5.00"


def test_a_cap_is_reached_over_http(shop: LocalShop) -> None:
    """The event, the pause, and where both are shown."""
    put(shop, "/v1/offers/o", {"name": "Shoes", "caps": {"daily": 2}})
    campaign = {"campaign": {"id": 7, "name": "Spring"}}
    assert convert(shop, 1, **campaign) == ["conversion.created"]
    assert convert(shop, 2, **campaign) == ["conversion.created", "cap.reached"]
    assert convert(shop, 3, **campaign) == ["conversion.created"]
    daily = shop.get("/v1/offers/o")["standing"]["daily"]
    assert (daily["count"], daily["reached"], daily["expected_at"]) == (3, True, None)
    paused = shop.get("/v1/campaigns/7")
    assert (paused["status"], paused["paused_until"]) == ("paused", daily["window_end"])
    assert "daily cap of 2" in paused["status_reason"]


def test_a_budget_is_spent_over_http(shop: LocalShop) -> None:
    """To the cent; and raised."""
    put(shop, "/v1/campaigns/k", {"name": "Spring", "budget": "10.00", "daily_budget": "8.00"})
    found = act(shop, "spend", campaign={"id": "k"}, amount="8.10", currency="EUR")
    assert [event["type"] for event in found["events"]] == ["budget.threshold"] * 3
    shown = shop.get("/v1/campaigns/k")
    assert (shown["spent"], shown["standing"]["total"]["percent"]) == ("8.10", "81.00")
    assert (shown["standing"]["daily"]["percent"], shown["standing"]["daily"]["reached"]) == ("101.25", True)
    found = act(shop, "spend", campaign={"id": "k"}, amount=1.9)
    assert [event["type"] for event in found["events"]] == ["budget.threshold", "budget.exhausted", "campaign.paused"]
    assert shop.get("/v1/campaigns/k")["status"] == "paused"
    assert put(shop, "/v1/campaigns/k", {"name": "Spring", "budget": 20})["status"] == "active"
    assert types(shop)[-2:] == ["campaign.updated", "campaign.resumed"]
    refused = shop.call("PUT", "/v1/campaigns/k", {"name": "Spring", "currency": "USD"})
    assert (refused.status, refused.code) == (422, "currency_mismatch")


def test_standing_is_as_of_now_and_tells_when_a_cap_will_be_reached(tmp_path) -> None:
    """At the pace of the hours before; not where the window ends first; and a window that is over counts nothing."""
    clock = ManualClock(Millis(parse_rfc3339("2026-03-14T10:00:00Z")))
    with Site(tmp_path, clock=clock) as site:
        shop = site.operator.shop()
        put(shop, "/v1/offers/o", {"name": "Shoes", "caps": {"daily": 12, "weekly": 80}})
        for number in range(4):
            convert(shop, number)
        clock.advance(7200)
        standing = shop.get("/v1/offers/o")
        assert standing["per_hour"] == "2.0000"
        assert standing["standing"]["daily"]["expected_at"] == "2026-03-14T16:00:00.000Z"
        assert standing["standing"]["weekly"]["expected_at"] is None  # in 38 hours, and the week has 36
        clock.advance(12 * 3600)
        tomorrow = shop.get("/v1/offers/o")["standing"]
        assert (tomorrow["daily"]["window"], tomorrow["daily"]["count"], tomorrow["weekly"]["count"]) == (
            "2026-03-15",
            0,
            4,
        )
        clock.advance(86_400)
        quiet = shop.get("/v1/offers/o")
        assert (quiet["per_hour"], quiet["standing"]["daily"]["expected_at"]) == (None, None)


@pytest.mark.parametrize("noun", ["offers", "campaigns", "partners"])
def test_lists_are_by_id_and_have_pages(shop: LocalShop, other: LocalShop, noun: str) -> None:
    """Nothing skipped, nothing twice, nothing of another account or another noun."""
    names = ["b", "a", "Ä", "a/b", "10", "9", "a b"]
    for name in names:
        path = f"/v1/{noun}/{name.replace('/', '%2F').replace(' ', '%20').replace('Ä', '%C3%84')}"
        assert put(shop, path, {"name": name})["id"] == name
    put(other, f"/v1/{noun}/z", {"name": "z"})
    for each in {"offers", "campaigns", "partners"} - {noun}:
        assert shop.get(f"/v1/{each}")["data"] == []
    assert [one["id"] for one in shop.pages(f"/v1/{noun}", limit=2)] == sorted(names)
    assert other.call("GET", f"/v1/{noun}/a").code == "not_found"


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/v1/offers/o", {}, "/name"),
        ("/v1/offers/o", {"payout": "-1"}, "/payout"),
        ("/v1/offers/o", {"payout": "NaN"}, "/payout"),
        ("/v1/offers/o", {"payout": "1e99"}, "/payout"),
        ("/v1/offers/o", {"hold_s": -1}, "/hold_s"),
        ("/v1/offers/o", {"default_status": "rejected"}, "/default_status"),
        ("/v1/offers/o", {"timezone": "Europe/Bonn"}, "/timezone"),
        ("/v1/offers/o", {"caps": {"daily": 0}}, "/caps/daily"),
        ("/v1/offers/o", {"caps": {"hourly": 1}}, "/caps/hourly"),
        ("/v1/campaigns/k", {"budget": "lots"}, "/budget"),
        ("/v1/campaigns/k", {"daily_budget": "0.0000000001"}, "/daily_budget"),
        ("/v1/campaigns/k", {"alert_percents": [0]}, "/alert_percents/0"),
        ("/v1/campaigns/k", {"currency": "€"}, "/currency"),
        ("/v1/campaigns/k", {"bugdet": 1}, "/bugdet"),
        ("/v1/partners/p", {"status": "fired"}, "/status"),
    ],
)
def test_what_is_wrong_is_pointed_at(shop: LocalShop, path: str, body: dict[str, Any], pointer: str) -> None:
    """And nothing is set."""
    name = {} if pointer == "/name" else {"name": "x"}
    answer = shop.call("PUT", path, {**name, **body})
    assert (answer.status, answer.code) == (422, "invalid")
    assert pointer in [fault["pointer"] for fault in answer.json["errors"]]
    assert shop.call("GET", path).status == 404


def test_a_conversion_is_approved_once_its_hold_is_over(tmp_path) -> None:
    """By the timer, at the very instant."""
    clock = ManualClock(Millis(parse_rfc3339("2026-03-14T10:00:00Z")))
    with Site(tmp_path, clock=clock) as site:
        shop: LocalShop = LocalOperator.shop(site.operator)
        put(shop, "/v1/offers/o", {"name": "Shoes", "hold_s": 60})
        assert convert(shop, 1) == ["conversion.created"]
        clock.advance(60)
        until(lambda: "conversion.approved" in types(shop), "the approval")
        (event,) = [one for one in shop.pages("/v1/events") if one["type"] == "conversion.approved"]
        assert event["timestamp"] == rfc3339(parse_rfc3339("2026-03-14T10:01:00Z"))


def test_a_known_conversion_id_with_other_amounts_is_refused(shop: LocalShop) -> None:
    """409, as for an external_id; and the status of one that is unknown 422."""
    convert(shop, 1)
    again = {"kind": "conversion", "conversion_id": "c1", "payout": 2, "currency": "EUR", "offer": {"id": "o"}}
    answer = shop.call("POST", "/v1/activity", again)
    assert (answer.status, answer.code) == (409, "conversion_conflict")
    answer = shop.call(
        "POST", "/v1/activity", {"kind": "conversion_status", "conversion_id": "zz", "status": "approved"}
    )
    assert (answer.status, answer.code) == (422, "unknown_conversion")
