"""Accounts and their keys."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.api.site import HOOK, LocalShop, Site
from tocsin.clock import ManualClock
from tocsin.control.keyring import Keyring
from tocsin.errors import Unavailable


def test_an_account_comes_with_its_first_key(site: Site):
    """Making an account answers it with a key that works at once and is never shown again."""
    made = site.operator.post(
        "/v1/accounts",
        {"name": "Shoes", "timezone": "Europe/Berlin", "external_id": "shop-1", "notify_email": "a@example.com"},
    )
    assert made["key"].startswith("tsn_")
    found = site.api(made["key"]).get(f"/v1/accounts/{made['id']}")
    assert found == {name: value for name, value in made.items() if name != "key"}
    assert (found["name"], found["profile"], found["timezone"]) == ("Shoes", "standard", "Europe/Berlin")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "x" * 201}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"name": "a\n"}, "/name"),
        ({"name": "x", "profile": "standart"}, "/profile"),
        ({"name": "x", "timezone": "Europe/Berln"}, "/timezone"),
        ({"name": "x", "timezone": "../../etc/passwd"}, "/timezone"),
        ({"name": "x", "external_id": "a b"}, "/external_id"),
        ({"name": "x", "external_id": "a\n"}, "/external_id"),
        ({"name": "x", "notify_email": "nobody"}, "/notify_email"),
        ({"name": "x", "settings": {"treshold": 3}}, "/settings/treshold"),
        ({"name": "x", "settings": {"triggers": {"points": {"honeypot": 101}}}}, "/settings/triggers/points/honeypot"),
        ({"name": "x", "settings": {"triggers": {"points": {"honypot": 1}}}}, "/settings/triggers/points"),
        ({"name": "x", "settings": {"triggers": {"suspicious_from": 80}}}, "/settings/triggers"),
    ],
)
def test_accounts_that_cannot_be(site: Site, body: Any, pointer: str):
    """What is wrong with an account is pointed at."""
    answer = site.operator.call("POST", "/v1/accounts", body)
    assert (answer.status, [fault["pointer"] for fault in answer.json["errors"]]) == (422, [pointer])


def test_an_external_id_belongs_to_one_account(site: Site, shop: LocalShop):
    """No two accounts have the same external id."""
    site.operator.shop(external_id="one")
    assert site.operator.call("POST", "/v1/accounts", {"name": "x", "external_id": "one"}).code == "external_id_taken"
    path = f"/v1/accounts/{shop.id}"
    assert site.operator.call("PATCH", path, {"external_id": "one"}).code == "external_id_taken"


@pytest.mark.parametrize("value", ["one", "nobody-has-it", None])
def test_an_account_cannot_choose_its_external_id(site: Site, value: str | None):
    """It names the account to others, so only the operator gives it; and nobody learns from a refusal whose it is."""
    site.operator.call("POST", "/v1/accounts", {"name": "x", "external_id": "one"})
    shop = site.operator.shop(external_id=f"own-{value}")
    path = f"/v1/accounts/{shop.id}"
    answer = shop.call("PATCH", path, {"external_id": value, "name": "new"})
    assert (answer.status, answer.code, answer.json["errors"][0]["pointer"]) == (403, "operator_only", "/external_id")
    assert shop.get(path)["external_id"] == f"own-{value}"
    assert shop.ok("PATCH", path, {"external_id": f"own-{value}", "name": "new"})["name"] == "new"
    assert site.operator.ok("PATCH", path, {"external_id": f"own-{value}-2"})["external_id"] == f"own-{value}-2"


@pytest.mark.parametrize("value", ["tsn_", "tsn_0000", "tk_shop"])
def test_an_external_id_cannot_look_like_a_key(site: Site, shop: LocalShop, value: str):
    """Where a key or an external id can be given, nobody has to guess which of them it is."""
    made = site.operator.call("POST", "/v1/accounts", {"name": "x", "external_id": value})
    changed = site.operator.call("PATCH", f"/v1/accounts/{shop.id}", {"external_id": value})
    for answer in (made, changed):
        assert (answer.code, answer.json["errors"][0]["pointer"]) == ("invalid", "/external_id")


def test_accounts_are_listed_newest_first(site: Site):
    """Pages of accounts neither skip nor repeat, also while accounts are made."""
    made = [site.operator.shop(f"n{n}").id for n in range(5)]
    first = site.operator.get("/v1/accounts", limit=2)
    assert [one["id"] for one in first["data"]] == made[:2:-1]
    site.operator.shop("late")
    second = site.operator.get("/v1/accounts", limit=2, cursor=first["next_cursor"])
    assert [one["id"] for one in second["data"]] == made[2:0:-1]


def test_changing_an_account(site: Site, shop: LocalShop):
    """A patch changes what it names, empties with null, and leaves the rest."""
    path = f"/v1/accounts/{shop.id}"
    site.operator.ok("PATCH", path, {"external_id": "x-1", "notify_email": "a@example.com"})
    changed = shop.ok("PATCH", path, {"timezone": "Asia/Tokyo", "notify_email": None})
    assert (changed["timezone"], changed["notify_email"], changed["external_id"]) == ("Asia/Tokyo", None, "x-1")
    assert shop.get(path) == changed
    assert shop.call("PATCH", path, {"timezone": "Nowhere"}).status == 422
    assert shop.call("PATCH", path, {"profile": "trcker"}).status == 422


def test_a_removed_account_is_gone_at_once(site: Site):
    """With an account go its keys, and everything behind them."""
    shop = site.operator.shop()
    shop.webhook(HOOK)
    event = shop.event()
    assert shop.call("DELETE", f"/v1/accounts/{shop.id}").code == "operator_only"
    assert site.operator.call("DELETE", f"/v1/accounts/{shop.id}").status == 204
    assert shop.call("GET", "/v1/webhooks").code == "unknown_key"
    assert shop.call("POST", "/v1/events", event).code == "unknown_key"
    assert site.operator.call("GET", f"/v1/accounts/{shop.id}").status == 404
    assert site.operator.call("DELETE", f"/v1/accounts/{shop.id}").status == 404
    assert site.operator.call("GET", "/v1/webhooks", headers={"Tocsin-Account": shop.id}).status == 404


# --- keys ---------------------------------------------------------------------------------------------------------


def test_a_key_is_shown_once(shop: LocalShop):
    """A new key is answered once; lists show how it begins."""
    made = shop.post("/v1/keys", {"name": "checkout", "scopes": ["publish"]})
    listed = {key["id"]: key for key in shop.get("/v1/keys")["data"]}[made["id"]]
    assert made["key"].startswith(listed["hint"])
    assert "key" not in listed
    assert (listed["name"], listed["scopes"], listed["account_id"]) == ("checkout", ["publish"], shop.id)


def test_a_key_cannot_give_what_it_has_not(site: Site, shop: LocalShop):
    """A key with few scopes cannot make one with more."""
    manager = site.api(shop.post("/v1/keys", {"scopes": ["manage"]})["key"])
    answer = manager.call("POST", "/v1/keys", {"scopes": ["manage", "publish"]})
    assert (answer.code, answer.json["errors"][0]["pointer"]) == ("missing_scope", "/scopes")
    assert manager.call("POST", "/v1/keys", {"scopes": ["manage"]}).status == 201
    assert manager.call("POST", "/v1/keys", {"scopes": []}).status == 422


def test_a_revoked_key_is_refused(site: Site, shop: LocalShop):
    """A revocation is in force with its answer, here; the key stays in the list."""
    made = shop.post("/v1/keys")
    api = site.api(made["key"])
    assert api.call("GET", "/v1/keys").status == 200
    assert shop.call("DELETE", f"/v1/keys/{made['id']}").status == 204
    for method, path in (("GET", "/v1/keys"), ("POST", "/v1/events")):
        assert api.call(method, path, b"{}").code == "unknown_key"
    assert shop.call("DELETE", f"/v1/keys/{made['id']}").code == "not_found"
    assert {key["id"]: key for key in shop.get("/v1/keys")["data"]}[made["id"]]["revoked_at"]


def test_operators_keys(site: Site):
    """An operator who names no account makes operator's keys, and cannot revoke the one in hand."""
    second = site.operator.post("/v1/keys", {"name": "second"})
    assert second["account_id"] is None
    api = site.api(second["key"])
    assert api.call("DELETE", f"/v1/keys/{second['id']}").code == "key_in_use"
    assert api.call("GET", "/v1/accounts").status == 200
    assert site.operator.call("DELETE", f"/v1/keys/{second['id']}").status == 204
    assert api.call("GET", "/v1/accounts").code == "unknown_key"


def test_when_a_key_was_used_is_noted(tmp_path: Path):
    """Uses are kept in the store, at the latest when the server stops."""
    with Site(tmp_path) as site:
        shop = site.operator.shop()
        unused = shop.post("/v1/keys")
        shop.publish()
        site.run(site.app.keyring.close())
        keys = {key["id"]: key for key in shop.get("/v1/keys")["data"]}
        assert keys.pop(unused["id"])["last_used_at"] is None
        assert all(key["last_used_at"] for key in keys.values())


def test_a_revocation_reaches_every_process(site: Site, shop: LocalShop):
    """Another process forgets a revoked key with its next poll, and a removed account's keys too."""

    async def look(keyring: Keyring, key: str) -> bool:
        return await keyring.principal(key) is not None

    elsewhere = Keyring(site.app.store.keys, site.app.services.clock)
    site.run(elsewhere.poll())
    made = shop.post("/v1/keys")
    gone = site.operator.shop()
    assert site.run(look(elsewhere, made["key"]))
    assert site.run(look(elsewhere, gone.key))
    shop.call("DELETE", f"/v1/keys/{made['id']}")
    site.operator.call("DELETE", f"/v1/accounts/{gone.id}")
    assert elsewhere.known(made["key"]) is not None  # it has not asked yet
    site.run(elsewhere.poll())
    assert elsewhere.known(made["key"]) is None
    assert not site.run(look(elsewhere, made["key"]))
    assert not site.run(look(elsewhere, gone.key))


def test_what_cannot_be_verified_is_not_trusted(site: Site, shop: LocalShop):
    """While revocations cannot be read, a remembered key counts for less than two seconds."""

    class Silent:
        """The store's keys, which no longer say what was revoked."""

        by_digest = staticmethod(site.app.store.keys.by_digest)

        async def revoked_since(self, at: int) -> None:
            raise Unavailable("gone")

    clock = ManualClock()
    keyring = Keyring(site.app.store.keys, clock)
    site.run(keyring.poll())
    site.run(keyring.principal(shop.key))
    assert keyring.known(shop.key) is not None
    keyring._keys = Silent()
    site.run(keyring.poll())
    clock.advance(1.0)
    assert keyring.known(shop.key) is not None
    clock.advance(1.0)
    assert keyring.known(shop.key) is None
    assert asyncio.run_coroutine_threadsafe(keyring.principal(shop.key), site._loop).result(5) is not None


def test_the_setting_replaces_the_operators_key(tmp_path: Path):
    """A changed TOCSIN_ADMIN_KEY puts the former one out of force; keys made by hand stay."""
    with Site(tmp_path) as first:
        by_hand = first.operator.post("/v1/keys")["key"]
    with Site(tmp_path) as second:
        assert second.operator.call("GET", "/v1/accounts").status == 200
        assert second.api(by_hand).call("GET", "/v1/accounts").status == 200
        assert second.api(first.operator_key).call("GET", "/v1/accounts").code == "unknown_key"


def test_the_operators_first_key_is_made_once(tmp_path: Path):
    """Without a setting, the first start makes the operator's key, and later ones do not."""
    with Site(tmp_path, admin_key=None) as first:
        made = first.app.made_operator_key
        assert first.api(made).call("GET", "/v1/accounts").status == 200
    with Site(tmp_path, admin_key=None) as second:
        assert second.app.made_operator_key is None
        assert second.api(made).call("GET", "/v1/accounts").status == 200


def test_an_account_has_thresholds_of_its_own(site: Site):
    """Those given replace those before, what is left out is as it comes, and null is all as it comes."""
    thresholds = {"points": {"honeypot": 0}, "windows": {"rapid_clicks": 9}, "fraud_from": 90}
    shop = site.operator.shop(settings={"triggers": thresholds, "mask_ips": True})
    path = f"/v1/accounts/{shop.id}"
    assert shop.get(path)["settings"] == {"triggers": thresholds, "mask_ips": True}
    for given, kept in (
        ({"brand_threshold": 60, "labels_days": 30}, {"brand_threshold": 60}),
        (None, None),
    ):
        changed = shop.ok("PATCH", path, {"settings": {"triggers": given}})
        assert changed["settings"].get("triggers") == kept
        assert changed["settings"]["mask_ips"] is True
