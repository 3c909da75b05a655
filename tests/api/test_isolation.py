"""Another account's things are not there: every address with an id of A answers B with 404."""

import re
from typing import Any

import pytest

from tests.api.conformity import profile_of
from tests.api.site import HOOK, LocalShop, Site
from tests.support.waiting import until
from tocsin.api import routes
from tocsin.api.operations import Operation

_WITH_ID = [one for one in routes.OPERATIONS if re.search(r"\{\w+_id\}", one.path)]

# Ids that accounts choose: the same one is another thing in each account.
_CHOSEN = ("offer", "campaign", "partner", "visitor")
_WITH_CHOSEN = [one for one in routes.OPERATIONS if any(f"{{{name}}}" in one.path for name in _CHOSEN)]

ALERT = {"metric": "clicks", "op": ">", "threshold": "0", "window_s": 3600, "name": "mine"}

ACTIVITIES = (
    {"kind": "click", "external_id": "a1", "click_id": "k", "visitor": {"id": "v", "ip": "198.51.100.7"}},
    {"kind": "conversion", "external_id": "a2", "conversion_id": "x", "payout": "5.00", "currency": "EUR"}
    | {"offer": {"id": "o"}, "campaign": {"id": "k", "name": "mine"}, "visitor": {"id": "v"}},
    {"kind": "spend", "external_id": "a3", "campaign": {"id": "k"}, "amount": "9.00", "currency": "EUR"},
)
SET = {
    "offer": {"name": "mine", "caps": {"daily": 1}},
    "campaign": {"name": "mine", "budget": "10.00", "currency": "EUR"},
    "partner": {"name": "mine", "status": "approved"},
}


def known(shop: LocalShop) -> dict[str, Any]:
    """All that an account can read of what triggers know, and of what it caused; but for what time alone changes."""
    nouns = ("offers", "campaigns", "partners", "alerts", "postback-tokens", "events")
    return {noun: [_still(one) for one in shop.pages(f"/v1/{noun}")] for noun in nouns}


def _still(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _still(one) for name, one in value.items() if name not in ("per_hour", "expected_at")}


@pytest.fixture
def trader(site: Site) -> LocalShop:
    """An account with one of everything, called as everybody's might be."""
    shop = site.operator.shop("trader")
    for noun, body in SET.items():
        shop.ok("PUT", f"/v1/{noun}s/{noun[0]}", body)
    shop.post("/v1/alerts", ALERT)
    shop.post("/v1/postback-tokens", {"name": "mine"})
    assert {one["status"] for one in shop.post("/v1/activity", {"activities": ACTIVITIES})["results"]} == {"accepted"}
    return shop


@pytest.fixture(scope="module")
def things(site: Site) -> dict[str, str]:
    """One id of each kind, all of account A."""
    shop = site.operator.shop("A")
    hook = shop.webhook(HOOK)
    event = shop.publish(external_id="mine")
    delivery = until(lambda: shop.delivery_of(event["id"], hook["id"]), "a delivery")
    key = shop.post("/v1/keys")
    token = shop.post("/v1/postback-tokens", {"name": "mine"})
    alert = shop.post("/v1/alerts", ALERT)
    return {
        "account_id": shop.id,
        "webhook_id": hook["id"],
        "event_id": event["id"],
        "delivery_id": delivery["id"],
        "key_id": key["id"],
        "alert_id": alert["id"],
        "token_id": token["id"],
    }


@pytest.mark.parametrize("operation", _WITH_ID, ids=lambda one: one.id)
@pytest.mark.parametrize("who", ["another account", "the operator for another account"])
def test_nothing_of_another_account_is_there(site: Site, things: dict[str, str], operation: Operation, who: str):
    """Every operation on an id of A, asked with B's key, answers as if there were no such thing."""
    other = site.operator.shop("B", profile_of(operation))
    api = other if who == "another account" else site.operator
    headers = {} if api is other else {"Tocsin-Account": other.id}
    body = operation.body_example if operation.body is not None else None
    answer = api.call(operation.method, operation.path.format_map(things), body, headers=headers)
    if operation.access == "operator" and api is other:
        assert answer.code == "operator_only"
    else:
        assert (answer.status, answer.code) == (404, "not_found")
    for id_ in things.values():
        assert id_ not in answer.body.decode()


def test_lists_hold_only_ones_own(site: Site, things: dict[str, str]):
    """No list, and no filter by an id of A, shows B anything of A."""
    other = site.operator.shop("B")
    lists = ("webhooks", "events", "deliveries", "keys", "audit", "alerts", "postback-tokens")
    for path in (f"/v1/{noun}" for noun in lists):
        found = other.call("GET", path).body.decode()
        assert not any(id_ in found for id_ in things.values()), path
    for query in (
        f"/v1/deliveries?webhook={things['webhook_id']}",
        f"/v1/deliveries?event={things['event_id']}",
        "/v1/events?external_id=mine",
    ):
        assert other.call("GET", query).json["data"] == []


def test_previews_see_only_ones_own_events(site: Site, things: dict[str, str]):
    """B's webhook cannot be previewed on A's event."""
    other = site.operator.shop("B")
    hook = other.webhook(HOOK)
    answer = other.call("POST", f"/v1/webhooks/{hook['id']}/preview", {"event_id": things["event_id"]})
    assert answer.code == "not_found"


def test_external_ids_are_an_accounts_own(site: Site, things: dict[str, str]):
    """Two accounts can use the same external id for different events."""
    other = site.operator.shop("B")
    receipt = other.publish(external_id="mine", n=2)
    assert (receipt["duplicate"], receipt["id"] == things["event_id"]) == (False, False)


def test_events_go_to_ones_own_webhooks(site: Site, shop: LocalShop, other: LocalShop):
    """An event matches no webhook of another account."""
    shop.webhook(HOOK)
    assert other.publish()["matched"] == 0


# --- what triggers know ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [one for one in _WITH_CHOSEN if one.method == "GET"], ids=lambda one: one.id)
def test_what_another_account_calls_so_is_not_there(trader: LocalShop, other: LocalShop, operation: Operation):
    """An id that A has chosen is nothing to B."""
    path = operation.path.format(offer="o", campaign="c", partner="p", visitor="v")
    assert trader.call("GET", path).status == 200
    answer = other.call("GET", path)
    assert (answer.status, answer.code) == (404, "not_found")


def test_the_same_ids_are_each_accounts_own(trader: LocalShop, other: LocalShop):
    """B sets, posts and erases under A's very ids: A's counters, pauses, labels, external ids and log stay."""
    before = known(trader)
    assert all(before.values())
    assert not any(known(other).values())
    for noun, body in SET.items():
        made = other.ok("PUT", f"/v1/{noun}s/{noun[0]}", body | {"name": "theirs"})
        assert made["name"] == "theirs"
    offer = other.get("/v1/offers/o")
    assert {one["count"] for one in offer["standing"].values()} == {0}
    assert other.get("/v1/campaigns/c")["spent"] == "0"
    results = other.post("/v1/activity", {"activities": ACTIVITIES})["results"]
    assert [(one["status"], one["duplicate"]) for one in results] == [("accepted", False)] * len(ACTIVITIES)
    assert "cap.reached" in [event["type"] for event in results[1]["events"]]
    erased = other.ok("DELETE", "/v1/visitors/v")
    assert erased["activities"] > 0
    assert known(trader) == before
    again = trader.post("/v1/activity", {"activities": ACTIVITIES})["results"]
    assert [one["duplicate"] for one in again] == [True] * len(ACTIVITIES)
    erased = trader.ok("DELETE", "/v1/visitors/v")
    assert erased["activities"] > 0


def test_a_conversions_status_is_its_own_accounts(trader: LocalShop, other: LocalShop):
    """B cannot approve, reject or learn of A's conversion."""
    change = {"kind": "conversion_status", "conversion_id": "x", "status": "rejected"}
    answer = other.call("POST", "/v1/activity", change)
    assert (answer.status, answer.code) == (422, "unknown_conversion")
    assert trader.post("/v1/activity", change)["results"][0]["status"] == "accepted"


def test_backtests_look_at_ones_own(trader: LocalShop, other: LocalShop):
    """An alert and a filter would have told B nothing of what A posted."""
    found = [shop.post("/v1/alerts/backtest", ALERT) for shop in (trader, other)]
    assert [(one["looked_at"] > 0, one["fired"]) for one in found] == [(True, 1), (False, 0)]
    asked = {"events": ["*"], "days": 7}
    found = [shop.post("/v1/webhooks/backtest", asked) for shop in (trader, other)]
    assert [one["looked_at"] > 0 for one in found] == [True, False]
    hook = trader.webhook(HOOK)
    assert other.call("POST", "/v1/webhooks/backtest", {"webhook_id": hook["id"]}).code == "not_found"


def test_a_postback_counts_for_its_tokens_account(site: Site, trader: LocalShop, other: LocalShop):
    """Each advertiser's call reaches the one account whose token it is, and rejects nothing of another's."""
    mine, theirs = (shop.post("/v1/postback-tokens", {})["path"] for shop in (trader, other))
    sale = "txid=7&payout=5&currency=EUR&offer_id=o"
    for path, shop in ((mine, trader), (theirs, other)):
        before = len(list(other.pages("/v1/events"))), len(list(trader.pages("/v1/events")))
        assert site.ask("GET", f"{path}?{sale}").status == 200
        after = len(list(other.pages("/v1/events"))), len(list(trader.pages("/v1/events")))
        grown = [now > then for then, now in zip(before, after, strict=True)]
        assert grown == [shop is other, shop is trader]
