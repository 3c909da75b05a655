"""`POST /v1/activity`: one or a batch, each accepted or refused on its own."""

import json
import re
from typing import Any

import pytest

from tests.api.site import LocalShop, Site
from tests.support.api import Json
from tocsin.api.activity_examples import EXAMPLES
from tocsin.triggers.activity import Kind


def click(**more: Json) -> dict[str, Any]:
    return {"kind": "click", "click_id": "c", "visitor": {"ip": "198.51.100.7"}, **more}


def post(shop: LocalShop, body: Json | bytes) -> list[Any]:
    answer = shop.call("POST", "/v1/activity", body)
    assert answer.status == 202, answer.body
    return list(answer.json["results"])


def faults(shop: LocalShop, body: Json | bytes) -> dict[str, str]:
    answer = shop.call("POST", "/v1/activity", body)
    assert answer.status == 422, answer.body
    return {fault["pointer"]: fault["detail"] for fault in answer.json["errors"]}


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.CONVERSION_STATUS])
def test_every_kinds_example_is_taken(shop: LocalShop, kind: Kind):
    """What the description shows can be posted as it stands."""
    (result,) = post(shop, dict(EXAMPLES[kind]))
    assert result["status"] == "accepted"
    assert result["duplicate"] is False
    assert result["id"].startswith("act_")


def test_clicks_and_visits_are_scored(shop: LocalShop):
    """The answer says score, label and why; other kinds have none."""
    (result,) = post(shop, click(signals={"webdriver": True, "plugins": 0}))
    assert (result["score"], result["label"]) == (75, "FRAUD")
    assert result["reasons"] == [
        {"rule": "webdriver_present", "points": 60},
        {"rule": "missing_plugins", "points": 15},
    ]
    (result,) = post(shop, dict(EXAMPLES[Kind.SPEND]))
    assert "score" not in result


def test_the_same_again_is_a_duplicate(shop: LocalShop):
    """A known external_id with the same content gets the first one's answer; however its JSON is laid out."""
    first, again = (post(shop, click(external_id="a"))[0] for _ in range(2))
    assert again == {**first, "status": "duplicate", "duplicate": True}
    spaced = json.dumps(click(external_id="a"), indent=2).encode()
    assert post(shop, spaced)[0]["duplicate"] is True


def test_other_content_under_a_known_external_id_is_a_conflict(shop: LocalShop):
    """409, as for events; another instant is other content too."""
    post(shop, click(external_id="a"))
    for other in (click(external_id="a", session_id="s"), click(external_id="a", at="2026-01-01T00:00:00Z")):
        answer = shop.call("POST", "/v1/activity", other)
        assert (answer.status, answer.code) == (409, "external_id_conflict")


def test_in_a_batch_each_is_accepted_or_refused_on_its_own(shop: LocalShop):
    """In order, with pointers into the whole request."""
    results = post(
        shop,
        {
            "activities": [
                click(click_id="1"),
                {"kind": "clik"},
                click(click_id="2", visitor={"ip": "nowhere"}),
                "text",
                click(click_id="3"),
            ]
        },
    )
    assert [result["status"] for result in results] == ["accepted", "refused", "refused", "refused", "accepted"]
    errors = [result["error"] for result in results if "error" in result]
    assert [error["errors"][0]["pointer"] for error in errors] == [
        "/activities/1/kind",
        "/activities/2/visitor/ip",
        "/activities/3",
    ]
    assert "click" in errors[0]["errors"][0]["detail"]
    assert errors[1]["detail"].startswith("/activities/2/visitor/ip: ")


def test_a_single_refused_one_is_422_with_all_its_faults(shop: LocalShop):
    """Every value at fault is named, not only the first."""
    found = faults(
        shop,
        {
            "kind": "conversion",
            "payout": "4,50",
            "currency": "euro!",
            "sub1": {},
            "at": "yesterday",
        },
    )
    assert found.keys() == {"/at"}
    found = faults(shop, {"kind": "conversion", "payout": "4,50", "currency": "EUR"})
    assert found.keys() == {"/payout"}
    found = faults(shop, {"kind": "conversion", "conversionId": "k", "payout": "4.50", "currency": "euro!", "sub1": {}})
    assert found.keys() == {"/conversion_id", "/currency", "/sub1"}
    assert "conversionId" in found["/conversion_id"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/kind"),
        ({"kind": 7}, "/kind"),
        ({"kind": "click", "click_id": "c", "external_id": "a b"}, "/external_id"),
        ({"kind": "click", "click_id": "c", "at": "2026-01-01T00:00:00"}, "/at"),
        ({"kind": "click", "click_id": "c", "at": "1969-12-31T23:59:59Z"}, "/at"),
        ({"kind": "click", "click_id": "c", "at": "2999-01-01T00:00:00Z"}, "/at"),
        ({"kind": "click", "activities": [{"kind": "click", "click_id": "c"}]}, "/kind"),
        ({"activities": []}, "/activities"),
        (b'{"kind":"click","click_id":"a","click_id":"b"}', "/click_id"),
        (b'{"kind":"click","click_id":"a","context":{"n":12345678901234567890}}', "/context/n"),
        ({"kind": "click", "click_id": "c", "context": {"page": "x" * 70_000}}, ""),
    ],
)
def test_what_cannot_be_taken_is_pointed_to(shop: LocalShop, body: Any, pointer: str):
    """A 422 names the value, by its pointer in the activity."""
    assert pointer in faults(shop, body)


def test_what_is_no_json_is_said_so(shop: LocalShop):
    """A 400, as everywhere."""
    answer = shop.call("POST", "/v1/activity", b'{"kind":')
    assert (answer.status, answer.code) == (400, "malformed_json")


def test_a_batch_has_a_thousand_at_most(shop: LocalShop):
    """One more is refused as a whole; a thousand are answered one by one."""
    many = [click(click_id=str(n)) for n in range(1_001)]
    assert "/activities" in faults(shop, {"activities": many})
    assert len(post(shop, {"activities": many[:-1]})) == 1_000


def test_publishing_needs_its_scope(shop: LocalShop, site: Site):
    """A key that only reads gets a 403."""
    key = shop.post("/v1/keys", {"name": "reader", "scopes": ["read"]})["key"]
    answer = site.api(key).call("POST", "/v1/activity", click())
    assert (answer.status, answer.code) == (403, "missing_scope")


def test_an_idempotency_key_repeats_the_answer(shop: LocalShop):
    """The same body under the same key is answered, not counted, again."""
    headers = {"Idempotency-Key": "once"}
    first = shop.call("POST", "/v1/activity", click(), headers=headers)
    again = shop.call("POST", "/v1/activity", click(), headers=headers)
    assert again.json == first.json
    assert again.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    "body",
    [
        click(external_id="a", signals={"webdriver": True}),
        {"activities": [click(external_id="a"), {"kind": "clik"}, click(external_id="a")]},
        {"activities": [click(external_id="a")], "kind": "click"},
        {"activities": []},
        click(visitor={"ip": "nowhere"}),
        {},
        b"",
        b"{",
        b"\xff",
        b"[" * 2_000,
        b"[]",
    ],
)
def test_plain_requests_are_answered_as_all_others(shop: LocalShop, site: Site, body: Json | bytes):
    """The short way in and the framework's give the same answer, but for the ids."""
    twin = site.operator.shop()
    plain = shop.call("POST", "/v1/activity", body)
    other = twin.call("POST", "/v1/activity", body, headers={"Tocsin-Account": twin.id})
    assert (plain.status, sorted(plain.headers)) == (other.status, sorted(other.headers))
    assert plain.headers["content-type"] == other.headers["content-type"]
    made = re.compile(r"(act|evt|req)_[0-9a-z]{13}")
    assert made.sub("", json.dumps(plain.json)) == made.sub("", json.dumps(other.json))


def test_amounts_are_exact_and_the_rest_is_json(shop: LocalShop):
    """A number of more digits than a double keeps is no amount; as a text, and elsewhere, it may have them."""
    body = b'{"kind":"conversion","conversion_id":"k%d","currency":"EUR","payout":%s}'
    assert faults(shop, body % (1, b"0.12345678901234567")) == {
        "/payout": "a number of more than 15 digits is not the same everywhere; send the amount as a text"
    }
    for n, payout in enumerate((b"0.1", b"45", b"4.5e1", b'"123456789012.123456789"')):
        assert post(shop, body % (n, payout))[0]["status"] == "accepted"
    post(shop, b'{"kind":"click","click_id":"a","context":{"n":0.12345678901234567}}')
