"""Webhooks: made, changed, read, removed."""

import base64
import json
from typing import Any

import pytest

from tests.api.site import HOOK, LocalShop, Site
from tests.support.api import CLICK

NEW = {"url": HOOK, "events": ["*"]}


def test_a_webhook_shows_its_secret_once(shop: LocalShop):
    """The answer to making a webhook holds its secret; no other does, and header values are masked."""
    made = shop.post("/v1/webhooks", {**NEW, "name": "a", "headers": {"X-Token": "t0ken"}})
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert made["headers"] == {"X-Token": "***"}
    path = f"/v1/webhooks/{made['id']}"
    for answer in (shop.call("GET", path), shop.call("GET", "/v1/webhooks"), shop.call("PATCH", path, {"name": "b"})):
        assert answer.status == 200
        assert secret.encode() not in answer.body
        assert b"t0ken" not in answer.body
    assert shop.get("/v1/webhooks")["data"] == [shop.get(path)]


def test_nothing_secret_is_kept_in_the_clear(site: Site, shop: LocalShop):
    """Secrets and header values are found neither in the database's files nor in the audit log."""
    secret = shop.post("/v1/webhooks", {**NEW, "headers": {"X-Token": "c1eartext"}})["secret"]
    path = site.app.settings.sqlite_path()
    kept = b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*"))
    assert CLICK.encode() not in secret.encode()
    for text in (secret, "c1eartext", shop.key):
        assert text.encode() not in kept
    assert b"c1eartext" not in shop.call("GET", "/v1/audit").body


def test_a_given_secret_is_taken(shop: LocalShop):
    """A secret of the standard form is taken; any other is refused with how to mend it, and never repeated."""
    given = "whsec_" + "A" * 32
    assert shop.post("/v1/webhooks", {**NEW, "secret": given})["secret"] == given
    answer = shop.call("POST", "/v1/webhooks", {**NEW, "secret": "hunter2"})
    assert (answer.code, answer.json["errors"][0]["pointer"]) == ("secret_invalid", "/secret")
    assert b"hunter2" not in answer.body


def test_an_asymmetric_secret_shows_its_public_key(shop: LocalShop):
    """A webhook that signs with ed25519 shows the key that its receiver verifies with."""
    given = "whsk_" + base64.b64encode(bytes(range(32))).decode()
    made = shop.post("/v1/webhooks", {**NEW, "secret": given})
    found = shop.get(f"/v1/webhooks/{made['id']}")
    assert found["public_key"].startswith("whpk_")
    assert given not in json.dumps(found)
    assert shop.webhook(HOOK)["public_key"] is None


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"url": ""}, "invalid", "/url"),
        ({"url": "ftp://example.com/"}, "url_refused", "/url"),
        ({"url": "http://10.0.0.1/"}, "url_refused", "/url"),
        ({"url": "http://169.254.169.254/latest"}, "url_refused", "/url"),
        ({"url": "http://user:pw@127.0.0.1:9999/"}, "url_refused", "/url"),
        ({"url": "https://example.com/" + "x" * 3000}, "invalid", "/url"),
        ({"events": []}, "invalid", "/events"),
        ({"events": ["clik.created"]}, "unknown_event_type", "/events/0"),
        ({"events": ["*", "clik.*"]}, "unknown_event_type", "/events/1"),
        ({"events": ["click*"]}, "unknown_event_type", "/events/0"),
        ({"events": ["*"] * 501}, "invalid", "/events"),
        ({"filter": "data.a ="}, "filter_invalid", "/filter"),
        ({"filter": "data.a.all(x, data.b.all(y, x == y))"}, "filter_invalid", "/filter"),
        ({"filter": "x" * 4097}, "invalid", "/filter"),
        ({"headers": {"Host": "x"}}, "header_refused", "/headers/Host"),
        ({"headers": {"webhook-id": "x"}}, "header_refused", "/headers/webhook-id"),
        ({"headers": {"X-A": "a\r\nB: c"}}, "header_refused", "/headers/X-A"),
        ({"headers": {f"X-{n}": "" for n in range(21)}}, "invalid", "/headers"),
        ({"rate_limit": 0}, "invalid", "/rate_limit"),
        ({"rate_limit": 1e9}, "invalid", "/rate_limit"),
        ({"max_in_flight": 0}, "invalid", "/max_in_flight"),
        ({"max_in_flight": 257}, "invalid", "/max_in_flight"),
        ({"options": {"digest": {}}}, "option_invalid", "/options/digest"),
        ({"name": "a\tb"}, "invalid", "/name"),
        ({"description": "x" * 2001}, "invalid", "/description"),
        ({"enabled": "yes"}, "invalid", "/enabled"),
    ],
)
def test_webhooks_that_cannot_be(shop: LocalShop, change: dict[str, Any], code: str, pointer: str):
    """What is wrong with a webhook is pointed at, the same when it is made and when it is changed."""
    answer = shop.call("POST", "/v1/webhooks", {**NEW, **change})
    assert (answer.status, answer.code, answer.json["errors"][0]["pointer"]) == (422, code, pointer)
    made = shop.webhook(HOOK)
    if pointer != "/headers" or code != "invalid":  # a patch may name more headers than a webhook may have
        answer = shop.call("PATCH", f"/v1/webhooks/{made['id']}", change)
        assert (answer.status, answer.code, answer.json["errors"][0]["pointer"]) == (422, code, pointer)
    assert shop.get(f"/v1/webhooks/{made['id']}")["url"] == HOOK


def test_unknown_events_are_told_the_nearest(shop: LocalShop):
    """A slip in an event's name is answered with the names that were probably meant."""
    answer = shop.call("POST", "/v1/webhooks", {**NEW, "events": ["clik.created", "conversions.*"]})
    first, second = (fault["detail"] for fault in answer.json["errors"])
    assert "'click.created'" in first
    assert "'conversion.*'" in second


def test_channels_that_this_version_has(shop: LocalShop):
    """An unknown channel is answered with those that there are."""
    answer = shop.call("POST", "/v1/webhooks", {**NEW, "channel": "carrier-pigeon"})
    assert "standard" in answer.json["errors"][0]["detail"]


def test_a_name_that_does_not_resolve_is_kept(tmp_path: Any):
    """An address whose name cannot be resolved now is saved: its attempts will tell."""
    with Site(tmp_path, dns_servers="127.0.0.1:9") as site:
        made = site.operator.shop().webhook("https://nowhere.example/hooks")
        assert made["url"] == "https://nowhere.example/hooks"


def test_a_patch_is_a_merge(shop: LocalShop):
    """A patch changes what it names, removes with null, and leaves the rest, header by header."""
    made = shop.webhook(
        HOOK, [CLICK], name="a", filter="true", rate_limit=5, headers={"X-One": "1", "X-Two": "2", "X-Three": "3"}
    )
    changed = shop.change(
        made["id"],
        events=["*", CLICK, "*"],
        filter=None,
        rate_limit=None,
        max_in_flight=3,
        headers={"x-one": None, "X-TWO": "two", "X-Four": "4"},
    )
    assert changed["events"] == ["*", CLICK]
    assert (changed["name"], changed["filter"], changed["rate_limit"], changed["max_in_flight"]) == ("a", None, None, 3)
    assert sorted(changed["headers"]) == ["X-Four", "X-Three", "X-Two"]
    assert shop.change(made["id"], headers=None)["headers"] == {}
    assert shop.change(made["id"], enabled=False)["status"] == "disabled"
    assert shop.change(made["id"], enabled=True)["status"] == "active"


def test_a_patch_that_changes_nothing(shop: LocalShop):
    """Repeating what a webhook already is leaves no trace."""
    made = shop.webhook(HOOK, [CLICK], name="a")
    entries = len(shop.get("/v1/audit")["data"])
    shop.change(made["id"], name="a", events=[CLICK])
    shop.change(made["id"])
    assert len(shop.get("/v1/audit")["data"]) == entries


def test_a_change_is_in_force_with_its_answer(shop: LocalShop):
    """Events that are accepted after a change was answered are matched by it."""
    made = shop.webhook(HOOK, ["conversion.*"])
    for patterns, matched in ((["*"], 1), (["conversion.*"], 0), ([CLICK], 1)):
        shop.change(made["id"], events=patterns)
        assert shop.publish()["matched"] == matched
    shop.ok("DELETE", f"/v1/webhooks/{made['id']}")
    assert shop.publish()["matched"] == 0


def test_a_deleted_webhook_is_gone(shop: LocalShop):
    """A deleted webhook answers 404 to everything, and its deliveries stay readable."""
    made = shop.webhook(HOOK)
    event = shop.publish()
    path = f"/v1/webhooks/{made['id']}"
    assert shop.call("DELETE", path).status == 204
    for method, at in (("GET", path), ("PATCH", path), ("DELETE", path), ("POST", f"{path}/test")):
        assert shop.call(method, at, None if method in ("GET", "DELETE") else {}).code == "not_found"
    assert shop.get("/v1/webhooks")["data"] == []
    [delivery] = shop.deliveries(event=event["id"])
    assert shop.delivery(delivery["id"])["webhook_id"] == made["id"]


def test_webhooks_are_listed_newest_first(shop: LocalShop):
    """Pages of webhooks neither skip nor repeat."""
    made = [shop.webhook(HOOK)["id"] for _ in range(5)]
    assert [one["id"] for one in shop.pages("/v1/webhooks", limit=2)] == made[::-1]


def test_who_changed_what_is_kept(site: Site, shop: LocalShop):
    """Every change stands in the audit log with its author and its request."""
    made = shop.call("POST", "/v1/webhooks", NEW)
    site.operator.call("PATCH", f"/v1/webhooks/{made.json['id']}", {"name": "b"}, headers={"Tocsin-Account": shop.id})
    changed, created, *_ = shop.get("/v1/audit")["data"]
    assert (created["action"], created["subject"]) == ("webhook.created", made.json["id"])
    assert created["actor"].startswith("key_")
    assert created["request_id"] == made.headers["request-id"]
    assert (changed["actor"], changed["action"], changed["detail"]) == (
        "operator",
        "webhook.changed",
        {"changed": ["name"]},
    )
    assert {entry["account_id"] for entry in shop.get("/v1/audit")["data"]} == {shop.id}
    everything = [entry["subject"] for entry in site.operator.get("/v1/audit")["data"]]
    assert made.json["id"] in everything


def test_a_macro_that_is_not_known_is_refused(shop: LocalShop) -> None:
    """With what was meant, when a postback's address is saved and when it is changed."""
    asked = {"events": ["conversion.created"], "channel": "postback"}
    made = shop.post("/v1/webhooks", {**asked, "url": f"{HOOK}?c={{click_id}}"})
    wrong = f"{HOOK}?c={{clickid}}"
    for refused in (
        shop.call("POST", "/v1/webhooks", {**asked, "url": wrong}),
        shop.call("PATCH", f"/v1/webhooks/{made['id']}", {"url": wrong}),
    ):
        assert (refused.status, refused.code) == (422, "unknown_macro")
        assert "{click_id}" in refused.json["errors"][0]["detail"]
