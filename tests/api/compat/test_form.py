"""What clients of the two surfaces see: names, lists, errors; and that it is the same thing as in `/v1`."""

import re
from typing import Any

import jsonschema_rs
import pytest

from tests.api.site import HOOK, LocalShop, Site
from tests.support.api import ApiAnswer
from tocsin import profiles
from tocsin.api import compat_cue, compat_trcker
from tocsin.security.keys import PREFIXES

TRCKER, CUE = "/api/public/webhooks", "/api/v1/webhooks"
PATHS = {"trcker": TRCKER, "cue": CUE}
NEW: dict[str, Any] = {
    "trcker": {"url": HOOK, "events": ["conversion.created"]},
    "cue": {"url": HOOK, "events": ["ad.click"]},
}
EACH = pytest.mark.parametrize("profile", ["trcker", "cue"])


def request_id(answer: ApiAnswer) -> str:
    """In the body, under the surface's own name."""
    return str(answer.error.get("requestId") or answer.error["request_id"])


@EACH
def test_both_sides_see_the_same_webhooks(site: Site, profile: str):
    """What is made, changed or deleted on one side is so on the other."""
    shop, path = site.operator.shop(profile=profile), PATHS[profile]
    here = shop.ok("POST", path, NEW[profile])
    there = shop.webhook(HOOK, NEW[profile]["events"], description="made in /v1")
    for listed in (shop.get(path), shop.get("/v1/webhooks")):
        assert [one["id"] for one in listed["data"]] == [there["id"], here["id"]]
    assert shop.get(f"/v1/webhooks/{here['id']}")["events"] == NEW[profile]["events"]
    shop.ok("POST", f"/v1/webhooks/{here['id']}/disable", {"reason": "a holiday"})
    [_, shown] = shop.get(path)["data"]
    reason = shown["statusReason" if profile == "trcker" else "status_reason"]
    assert (shown["status"], reason) == ("disabled", "a holiday")
    shop.ok("DELETE", f"{path}/{there['id']}")
    assert shop.call("GET", f"/v1/webhooks/{there['id']}").status == 404


def test_trcker_instants_have_three_decimals(site: Site):
    """Names and instants are in the hand of the document's payloads; without an external id the brand is our id."""
    shop = site.operator.shop(profile="trcker")
    made = shop.ok("POST", TRCKER, NEW["trcker"])
    assert list(made) == [
        "id",
        "url",
        "events",
        "brandId",
        "status",
        "statusReason",
        "createdAt",
        "updatedAt",
        "secret",
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", made["createdAt"])
    assert (made["brandId"], made["secret"]) == (shop.id, None)


def test_trcker_payload_schemas_take_the_payloads(site: Site):
    """Each event's schema stands by itself, takes its example, and refuses what lacks a key or has a wrong value."""
    shop = site.operator.shop(profile="trcker")
    found = shop.get("/api/public/webhook-events")["data"]
    for one in found:
        validator = jsonschema_rs.Draft202012Validator(one["payloadSchema"])
        assert validator.is_valid(one["example"])
        for key in one["example"]:
            assert not validator.is_valid({name: value for name, value in one["example"].items() if name != key})
        assert not validator.is_valid({**one["example"], "event": "something.else"})
        for key, value in one["example"]["data"].items():
            wrong = {"an": ["object"]} if not isinstance(value, dict) else "a text"
            if key in one["payloadSchema"]["$defs"]["data"]["properties"]:
                assert not validator.is_valid({**one["example"], "data": {**one["example"]["data"], key: wrong}}), key


def test_cue_switches_a_webhook(site: Site):
    """`active` switches it, at its making and later; instants are in whole seconds."""
    shop = site.operator.shop(profile="cue")
    made = shop.ok("POST", CUE, {**NEW["cue"], "active": False, "secret": "the-one-that-my-receiver-has"})
    assert (made["active"], made["status"], made["secret"]) == (False, "disabled", "the-one-that-my-receiver-has")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["created"])
    changed = shop.ok("PATCH", f"{CUE}/{made['id']}", {"active": True, "description": "now", "url": f"{HOOK}/2"})
    assert (changed["active"], changed["description"], changed["url"]) == (True, "now", f"{HOOK}/2")
    assert shop.ok("PATCH", f"{CUE}/{made['id']}", {}) == changed
    tested = shop.ok("POST", f"{CUE}/{made['id']}/test", {"type": "campaign.created"})
    assert '"type":"campaign.created"' in tested["request"]["body"]
    assert shop.call("POST", f"{CUE}/{made['id']}/test", {"type": "campaign.crated"}).code == "unknown_event_type"


@EACH
def test_lists_go_on(site: Site, profile: str):
    """Who asks for no limit gets all at once; who pages gets each once."""
    shop, path = site.operator.shop(profile=profile), PATHS[profile]
    made = [shop.ok("POST", path, NEW[profile])["id"] for _ in range(60)]
    names = ("nextCursor", "hasMore") if profile == "trcker" else ("next_cursor", "has_more")
    whole = shop.get(path)
    assert ([one["id"] for one in whole["data"]], *(whole[name] for name in names)) == (made[::-1], None, False)
    paged: list[str] = []
    page: Any = {names[0]: None, names[1]: True}
    while page[names[1]]:
        page = shop.get(path, limit=25, cursor=page[names[0]])
        paged += [one["id"] for one in page["data"]]
    assert paged == made[::-1]
    for wrong in ("?limit=0", "?limit=251", "?cursor=x", "?page=2"):
        assert shop.call("GET", path + wrong).status == 422


@EACH
def test_repeating_a_request(site: Site, profile: str):
    """An Idempotency-Key works as in /v1; a repeated answer leaves the secret out."""
    shop, path = site.operator.shop(profile=profile), PATHS[profile]
    key = {"Idempotency-Key": "once"}
    body = {**NEW[profile], "secret": "something-long-enough"}
    first, again = (shop.call("POST", path, body, headers=key) for _ in range(2))
    assert (first.status, again.status, again.headers["idempotency-replayed"]) == (201, 201, "true")
    assert again.json == {name: value for name, value in first.json.items() if name != "secret"}
    assert len(shop.get(path)["data"]) == 1
    assert shop.call("POST", path, NEW[profile], headers=key).code == "idempotency_key_reused"


# --- what is refused ----------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Any, str, str, str]] = {
    "a slip": ({"secert": "x"}, "invalid", "/secert", "did you mean 'secret'?"),
    "a slip beside": ({"event": ["*"]}, "invalid", "/event", "did you mean 'events'?"),
    "a wrong type": ({"events": "ad.click"}, "invalid", "/events", "expected array"),
    "a wrong item": ({"events": [3]}, "invalid", "/events/0", "expected string"),
    "no event": ({"events": []}, "invalid", "/events", "length"),
    "a private address": ({"url": "https://10.0.0.7/x"}, "url_refused", "/url", "10.0.0.7"),
    "a metadata address": ({"url": "http://169.254.169.254/"}, "url_refused", "/url", "169.254.169.254"),
    "no address": ({"url": "example"}, "url_refused", "/url", ""),
    "a long secret": ({"secret": "x" * 513}, "invalid", "/secret", "512"),
}


@EACH
@pytest.mark.parametrize("row", WRONG)
def test_values_at_fault_are_pointed_at(site: Site, profile: str, row: str):
    """Each has its pointer, and the message alone says what is wrong."""
    shop = site.operator.shop(profile=profile)
    body, code, pointer, says = WRONG[row]
    answer = shop.call("POST", PATHS[profile], {**NEW[profile], **body})
    assert (answer.status, answer.code) == (422, code)
    assert [one["pointer"] for one in answer.error["details"]] == [pointer]
    assert says in answer.error["message"]
    assert answer.error["details"][0]["message"] in answer.error["message"]
    assert shop.get("/v1/webhooks")["data"] == []


@EACH
def test_an_unknown_event_is_told_the_nearest(site: Site, profile: str):
    """A slip in an event's name is answered with the name that was meant."""
    name = NEW[profile]["events"][0]
    answer = site.operator.shop(profile=profile).call("POST", PATHS[profile], {"url": HOOK, "events": [f"{name}s"]})
    assert (answer.code, answer.error["details"][0]["pointer"]) == ("unknown_event_type", "/events/0")
    assert f"did you mean '{name}'" in answer.error["message"]


@EACH
def test_what_is_not_known_is_passed_over(site: Site, profile: str):
    """A client may send more than its document shows; what looks like no slip does no harm."""
    shop = site.operator.shop(profile=profile)
    more = {"metadata": {"team": "growth"}, "version": 2, "filter": "no CEL at all", "rate": None}
    made = shop.ok("POST", PATHS[profile], {**NEW[profile], **more})
    assert not set(more) & set(made)
    many = {f"k{n}": n for n in range(50_000)}
    assert shop.call("POST", PATHS[profile], {**NEW[profile], **many}).status == 201


def test_errors_have_the_surfaces_form(site: Site):
    """Every error below a prefix is one object under `error`, with the status, code and headers of /v1."""
    shops = {name: site.operator.shop(profile=name) for name in PATHS}
    for name, path in PATHS.items():
        prefix, shop, nobody = path.rpartition("/")[0], shops[name], site.api()
        for answer, status, code, header in (
            (nobody.call("GET", path), 401, "missing_key", "www-authenticate"),
            (site.api("tsn_nothing").call("GET", path), 401, "unknown_key", "www-authenticate"),
            (shop.call("PUT", path), 405, "method_not_allowed", "allow"),
            (shop.call("GET", f"{prefix}/nothing"), 404, "not_found", None),
            (shop.call("GET", f"{path}/"), 404, "not_found", None),
            (shop.call("GET", prefix), 404, "not_found", None),
            (shop.call("DELETE", f"{path}/webhook-123"), 404, "not_found", None),
            (shop.call("POST", path, b"{"), 400, "malformed_json", None),
            (shop.call("POST", path, b" " * (1 << 20) + b"{}"), 413, "body_too_large", "connection"),
            (site.operator.call("GET", path), 400, "account_required", None),
        ):
            assert (answer.status, answer.code) == (status, code)
            assert answer.headers["content-type"] == "application/json"
            assert request_id(answer) == answer.headers["request-id"]
            assert answer.error["docs"] == f"/docs/errors/{code}"
            assert answer.error["message"]
            assert header is None or header in answer.headers
            named = "requestId" if name == "trcker" else "request_id"
            assert set(answer.json) == {"error"}
            assert set(answer.error) == {"code", "message", "details", "docs", named}
    for path in ("/api", "/api/publicity", "/api/v10/webhooks", "/v1/nothing"):
        assert site.api().call("GET", path).headers["content-type"] == "application/problem+json"


@EACH
def test_accounts_of_other_profiles_are_sent_to_v1(site: Site, profile: str):
    """An account that the surface is not for is told where to go, whatever it asks."""
    path = PATHS[profile]
    for other in sorted(set(profiles.names()) - {profile}):
        shop = site.operator.shop(profile=other)
        for method, at in (("GET", path), ("POST", path), ("DELETE", f"{path}/wh_0000000000000")):
            answer = shop.call(method, at, NEW[profile] if method == "POST" else None)
            assert (answer.status, answer.code) == (403, "wrong_profile")
            assert "/v1" in answer.error["message"]
            assert other in answer.error["message"]


@EACH
def test_accounts_do_not_meet(site: Site, shop: LocalShop, profile: str):
    """No list shows another account's webhooks; the operator's key works in the account that it names."""
    mine, other = site.operator.shop("mine", profile), site.operator.shop("other", profile)
    made = mine.ok("POST", PATHS[profile], NEW[profile])
    assert other.get(PATHS[profile])["data"] == []
    for account, ids in ((mine, [made["id"]]), (other, [])):
        found = site.operator.ok("GET", PATHS[profile], headers={"Tocsin-Account": account.id})
        assert [one["id"] for one in found["data"]] == ids
    assert site.operator.call("GET", PATHS[profile], headers={"Tocsin-Account": shop.id}).code == "wrong_profile"
    assert mine.call("GET", PATHS[profile], headers={"Tocsin-Account": other.id}).code == "not_found"


def test_every_key_looks_like_one():
    """What tells keys from names knows how the keys of every profile begin."""
    assert {profiles.load(name).key_prefix for name in profiles.names()} <= set(PREFIXES)
    assert {compat_trcker.SURFACE.name, compat_cue.SURFACE.name} <= set(profiles.names())
