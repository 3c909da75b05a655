"""Alerts and backtests through the API."""

import threading
from typing import Any

import pytest

from tests.api.site import LocalShop, Site
from tests.triggers.house import item
from tocsin import ids
from tocsin.model import AccountId
from tocsin.triggers.activity import Kind

NEW: dict[str, Any] = {"metric": "clicks", "op": ">=", "threshold": "3", "window_s": 600}


def post(site: Site, shop: LocalShop, *items: Any) -> None:
    number = ids.parse("acc_", shop.id)
    assert number is not None
    site.run(site.app.activities.take(AccountId(number), items))


def test_an_alert_is_made_read_listed_and_removed(shop: LocalShop) -> None:
    """With its defaults, and gone when it is gone."""
    made = shop.post("/v1/alerts", {**NEW, "threshold": 2.5, "campaign": 7, "name": "busy"})
    assert made["id"].startswith("alr_")
    known = {name: made[name] for name in ("threshold", "campaign", "name", "min_count", "cooldown_s", "armed")}
    assert known == {
        "threshold": "2.5",
        "campaign": "7",
        "name": "busy",
        "min_count": 0,
        "cooldown_s": 3600,
        "armed": True,
    }
    path = f"/v1/alerts/{made['id']}"
    assert shop.get(path)["created_at"] == made["created_at"]
    assert [one["id"] for one in shop.get("/v1/alerts")["data"]] == [made["id"]]
    assert shop.call("DELETE", path).status == 204
    assert shop.call("DELETE", path).code == shop.call("GET", path).code == "not_found"


def test_lists_have_pages(shop: LocalShop) -> None:
    """Newest first, nothing skipped and nothing twice."""
    made = [shop.post("/v1/alerts", NEW)["id"] for _ in range(5)]
    assert [one["id"] for one in shop.pages("/v1/alerts", limit=2)] == made[::-1]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"metric": "likes"}, "/metric"),
        ({"op": "=="}, "/op"),
        ({"threshold": "-1"}, "/threshold"),
        ({"threshold": "NaN"}, "/threshold"),
        ({"threshold": "Infinity"}, "/threshold"),
        ({"threshold": "1e-9"}, "/threshold"),
        ({"threshold": "1e999999"}, "/threshold"),
        ({"threshold": "three"}, "/threshold"),
        ({"window_s": 59}, "/window_s"),
        ({"cooldown_s": -1}, "/cooldown_s"),
        ({"min_count": 1.5}, "/min_count"),
        ({"campaign": ""}, "/campaign"),
        ({"windows": 3}, "/windows"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/alerts", "/v1/alerts/backtest"])
def test_what_is_wrong_with_an_alert_is_pointed_at(
    shop: LocalShop, path: str, change: dict[str, Any], pointer: str
) -> None:
    """The same when it is only asked about."""
    answer = shop.call("POST", path, {**NEW, **change})
    assert (answer.status, answer.code) == (422, "invalid")
    assert [fault["pointer"] for fault in answer.json["errors"]] == [pointer]


def test_a_hundred_alerts_and_no_more(shop: LocalShop) -> None:
    """The limit is said, and one less makes room."""
    for _ in range(100):
        last = shop.post("/v1/alerts", NEW)
    assert shop.call("POST", "/v1/alerts", NEW).code == "alert_limit"
    shop.call("DELETE", f"/v1/alerts/{last['id']}")
    assert shop.call("POST", "/v1/alerts", NEW).status == 201


def test_alerts_are_their_accounts_own(shop: LocalShop, other: LocalShop) -> None:
    """Another account neither sees nor removes them."""
    made = shop.post("/v1/alerts", NEW)
    assert other.get("/v1/alerts")["data"] == []
    assert other.call("GET", f"/v1/alerts/{made['id']}").code == "not_found"
    assert other.call("DELETE", f"/v1/alerts/{made['id']}").code == "not_found"
    assert shop.get(f"/v1/alerts/{made['id']}")["id"] == made["id"]


def test_backtests_are_asked_over_http(site: Site, shop: LocalShop) -> None:
    """An alert's firings by day; nothing is made."""
    post(site, shop, *(item(Kind.CLICK, click_id=number) for number in range(4)))
    found = shop.call("POST", "/v1/alerts/backtest", {**NEW, "days": 1}).json
    assert (found["complete"], found["looked_at"], found["fired"]) == (True, 4, 1)
    assert (found["firings"][0]["value"], found["firings"][0]["count"]) == ("3", 3)
    assert sum(found["by_day"].values()) == 1
    assert shop.get("/v1/alerts")["data"] == []


def test_a_webhooks_backtest(site: Site, shop: LocalShop) -> None:
    """By its own events and filter, or by others in their place; the samples are real events."""
    published = [shop.publish("campaign.paused") for _ in range(3)] + [shop.publish("billing.updated")]
    path = "/v1/webhooks/backtest"
    found = shop.call("POST", path, {"events": ["campaign.*"]}).json
    assert (found["sent"], found["looked_at"], found["complete"]) == (3, 4, True)
    assert [one["event_id"] for one in found["samples"]] == [one["id"] for one in published[2::-1]]
    assert [list(types) for types in found["by_day"].values()] == [["campaign.paused"]]
    hook = shop.post(
        "/v1/webhooks", {"url": "http://127.0.0.1:8443/", "events": ["campaign.paused"], "filter": "has(data.nothing)"}
    )
    assert shop.call("POST", path, {"webhook_id": hook["id"]}).json["sent"] == 0
    assert shop.call("POST", path, {"webhook_id": hook["id"], "filter": "has(data.campaign)"}).json["sent"] == 3
    assert shop.call("POST", path, {"webhook_id": hook["id"], "events": ["billing.updated"]}).json["looked_at"] == 4
    assert shop.call("POST", path, {}).json["errors"][0]["pointer"] == "/events"
    assert shop.call("POST", path, {"events": ["nothing.*"]}).code == "unknown_event_type"
    assert shop.call("POST", path, {"events": ["*"], "filter": "data."}).code == "filter_invalid"
    assert shop.call("POST", path, {"webhook_id": "wh_0000000000000"}).code == "not_found"


def test_a_long_backtest_keeps_nobody_waiting(site: Site, shop: LocalShop) -> None:
    """While one is answered, others are served."""
    for _ in range(10):
        post(site, shop, *(item(Kind.CLICK, click_id=number) for number in range(1_000)))
    done = threading.Event()
    answers: list[Any] = []

    def ask() -> None:
        answers.append(shop.call("POST", "/v1/alerts/backtest", {**NEW, "days": 1}))
        done.set()

    asking = threading.Thread(target=ask)
    asking.start()
    served = 0
    while not done.is_set():
        assert site.operator.call("GET", "/v1/accounts").status == 200
        served += 1
    asking.join()
    assert answers[0].json["looked_at"] == 10_000
    assert served > 3


CLICKS = {"activities": [{"kind": "click", "click_id": n, "campaign": {"id": 7, "name": "Spring"}} for n in range(3)]}


@pytest.mark.parametrize("profile", ["standard", "cloakradar"])
def test_an_alert_fires_by_what_is_posted(site: Site, profile: str) -> None:
    """Three clicks over HTTP make one event of the dialect's own shape, and the alert waits for its return."""
    shop = site.operator.shop(profile=profile)
    made = shop.post("/v1/alerts", {**NEW, "campaign": 7, "name": "busy"})
    results = shop.post("/v1/activity", CLICKS)["results"]
    assert [[event["type"] for event in one["events"]].count("alert.threshold") for one in results] == [0, 0, 1]
    fired = next(event for event in results[2]["events"] if event["type"] == "alert.threshold")
    data = shop.get(f"/v1/events/{fired['id']}")["data"]
    assert (data["metric"], data["op"], float(data["threshold"]), float(data["value"])) == ("clicks", ">=", 3, 3)
    assert made["id"] in str(data)
    known = shop.get(f"/v1/alerts/{made['id']}")
    assert (known["armed"], known["value"], known["count"]) == (False, "3", 3)
    assert known["last_fired_at"] is not None


@pytest.mark.parametrize("profile", ["clickdefender", "trcker", "visits", "cue"])
def test_dialects_without_an_event_for_alerts_have_none(site: Site, profile: str) -> None:
    """An alert that could never tell is refused; a backtest tells all the same."""
    shop = site.operator.shop(profile=profile)
    assert shop.call("POST", "/v1/alerts", NEW).code == "alerts_unsupported"
    assert shop.post("/v1/activity", CLICKS)
    assert shop.call("POST", "/v1/alerts/backtest", NEW).json["fired"] == 1
