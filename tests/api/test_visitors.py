"""Erasing a visitor over HTTP."""

from urllib.parse import quote

import pytest

from tests.api.site import HOOK, LocalShop, Site
from tests.support.waiting import until


@pytest.mark.parametrize("visitor", ["v-1", "é/🙂 %2F?#", "..", "a//b"])
def test_a_visitor_is_erased_with_a_report(site: Site, visitor: str):
    """The body of each event of the visitor goes, of the caller's account alone, whatever the visitor is called."""
    shop, other = site.operator.shop("A"), site.operator.shop("B")
    hook = shop.webhook(HOOK)
    mine = shop.publish(visitor={"id": visitor})
    beside = shop.publish(visitor={"id": visitor + "2"})
    theirs = other.publish(visitor={"id": visitor})
    until(lambda: shop.delivery_of(mine["id"], hook["id"])["status"] != "sending", "an attempt")
    report = shop.ok("DELETE", f"/v1/visitors/{quote(visitor, safe='')}")
    assert report == {"events": 1, "deliveries": 1, "attempts": 0, "digests": 0, "activities": 0, "remembered": 0}
    erased = shop.get(f"/v1/events/{mine['id']}")
    assert erased["data"] is None
    assert visitor not in str(erased)
    assert shop.delivery_of(mine["id"], hook["id"])["status"] == "cancelled"
    assert shop.get(f"/v1/events/{beside['id']}")["data"]["visitor"]["id"] == visitor + "2"
    assert other.get(f"/v1/events/{theirs['id']}")["data"]["visitor"]["id"] == visitor
    again = shop.ok("DELETE", f"/v1/visitors/{quote(visitor, safe='')}")
    assert set(again.values()) == {0}
    (second, first, *_) = shop.get("/v1/audit")["data"]
    assert (first["action"], first["detail"]) == ("visitor.erased", report)
    assert first["subject"] == second["subject"]
    assert visitor not in first["subject"]


def test_a_long_id(shop: LocalShop):
    """An event's visitor is found by an id of any length."""
    shop.publish(visitor={"id": "x" * 300})
    assert shop.ok("DELETE", f"/v1/visitors/{'x' * 300}")["events"] == 1


def test_only_who_manages_may_erase(site: Site, shop: LocalShop):
    """A key that may not change settings erases nobody."""
    key = shop.post("/v1/keys", {"scopes": ["publish", "read"]})
    answer = site.api(key["key"]).call("DELETE", "/v1/visitors/v-1")
    assert (answer.status, answer.code) == (403, "missing_scope")


def test_an_id_longer_than_any(shop: LocalShop):
    """An id that no visitor can have is refused."""
    answer = shop.call("DELETE", f"/v1/visitors/{'x' * 1_025}")
    assert (answer.status, answer.code) == (422, "invalid")


def test_who_has_no_id_is_erased_by_the_address(shop: LocalShop):
    """A visitor that activities named by an address alone is known by it: events, activities and memory go."""
    mine, other = "203.0.113.99", "203.0.113.98"
    for ip in (mine, other):
        for number in range(2):
            click = {"kind": "click", "click_id": f"{ip}-{number}", "visitor": {"ip": ip}, "signals": {"score": 90}}
            shop.call("POST", "/v1/activity", click)
    report = shop.ok("DELETE", f"/v1/visitors/{mine}")
    assert (report["events"], report["activities"]) == (4, 2)  # a click and a fraud each
    assert report["remembered"] >= 4
    kept = [shop.get(f"/v1/events/{one['id']}")["data"] for one in shop.get("/v1/events")["data"]]
    assert sum(data is None for data in kept) == 4
    assert mine not in str(kept)
    assert str(kept).count(other) >= 4
    assert set(shop.ok("DELETE", f"/v1/visitors/{mine}").values()) == {0}
