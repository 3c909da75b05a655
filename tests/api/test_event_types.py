"""The catalogue of an account."""

from typing import Any

import pytest

from tests.api.site import LocalShop

SCHEMA = {"type": "object", "required": ["total"], "properties": {"total": {"type": "string"}}}
PAID = {"description": "Paid.", "schema": SCHEMA, "example": {"total": "45.00"}}


def test_the_profiles_catalogue_is_there(shop: LocalShop):
    """A new account has its profile's event types, each with schema, example and source."""
    types = {one["name"]: one for one in shop.get("/v1/event-types")["data"]}
    assert "click.created" in types
    assert sorted(types) == list(types)
    assert all(one["schema"] and one["example"] and one["source"] for one in types.values())
    assert shop.get("/v1/event-types/click.created") == types["click.created"]


def test_long_catalogues_have_pages(shop: LocalShop):
    """Pages by name neither skip nor repeat."""
    assert list(shop.pages("/v1/event-types", limit=4)) == list(shop.pages("/v1/event-types"))


def test_an_account_adds_its_own(shop: LocalShop):
    """An own event type can be published, subscribed to, replaced and removed."""
    path = "/v1/event-types/order.paid"
    assert shop.call("POST", "/v1/events", {"type": "order.paid", "data": {"total": "1"}}).code == "unknown_event_type"
    made = shop.call("PUT", path, PAID)
    assert (made.status, made.json) == (201, {"name": "order.paid", **PAID, "source": "account", "extension": True})
    assert shop.publish("order.paid")["type"] == "order.paid"
    refused = shop.call("POST", "/v1/events", {"type": "order.paid", "data": {"total": 1}})
    assert (refused.code, refused.json["errors"][0]["pointer"]) == ("data_invalid", "/data/total")
    replaced = shop.call("PUT", path, {**PAID, "schema": {"type": "object"}})
    assert (replaced.status, replaced.json["schema"]) == (200, {"type": "object"})
    assert shop.call("POST", "/v1/events", {"type": "order.paid", "data": {"total": 1}}).status == 202
    assert shop.call("DELETE", path).status == 204
    assert shop.call("DELETE", path).code == "not_found"
    assert shop.call("GET", path).code == "not_found"
    assert shop.call("POST", "/v1/events", {"type": "order.paid", "data": {"total": 1}}).code == "unknown_event_type"


@pytest.mark.parametrize(
    ("name", "body", "code", "pointer"),
    [
        ("click.created", PAID, "event_type_reserved", None),
        ("tocsin.digest", PAID, "event_type_reserved", None),
        ("tocsin.mine", PAID, "event_type_reserved", None),
        ("Order.Paid", PAID, "event_type_name", None),
        ("order..paid", PAID, "event_type_name", None),
        ("order.paid\n", PAID, "event_type_name", None),
        ("x" * 129, PAID, "event_type_name", None),
        ("order.paid", {**PAID, "example": {"total": 1}}, "example_invalid", "/example/total"),
        ("order.paid", {**PAID, "example": {"total": "1", "id": 2**53}}, "invalid", "/example/id"),
        ("order.paid", {**PAID, "example": []}, "invalid", "/example"),
        ("order.paid", {**PAID, "example": {"total": "x" * 70_000}}, "invalid", "/example"),
        ("order.paid", {**PAID, "schema": True}, "invalid", "/schema"),
        ("order.paid", {**PAID, "schema": {"type": "objekt"}}, "schema_invalid", "/schema/type"),
        ("order.paid", {"schema": {}}, "invalid", "/example"),
    ],
)
def test_event_types_that_cannot_be(shop: LocalShop, name: str, body: Any, code: str, pointer: str | None):
    """What is wrong with an event type is pointed at."""
    answer = shop.call("PUT", f"/v1/event-types/{name}", body)
    assert answer.code == code
    assert [fault["pointer"] for fault in answer.json.get("errors", [])] == ([pointer] if pointer else [])


@pytest.mark.parametrize("ref", ["file:///etc/passwd", "http://127.0.0.1:9/schema.json", "other.json", "#/nowhere"])
def test_schemas_fetch_nothing(shop: LocalShop, ref: str):
    """A schema that refers to something outside itself is refused, not followed."""
    body = {"schema": {"type": "object", "properties": {"a": {"$ref": ref}}}, "example": {}}
    assert shop.call("PUT", "/v1/event-types/a.b", body).code == "schema_invalid"


def test_what_the_profile_owns_stays(shop: LocalShop):
    """The profile's event types cannot be removed."""
    assert shop.call("DELETE", "/v1/event-types/click.created").code == "event_type_reserved"


def test_a_slip_is_told_the_nearest(shop: LocalShop):
    """An event type that is not there is answered with the nearest that is."""
    answer = shop.call("GET", "/v1/event-types/clik.created")
    assert "did you mean 'click.created'" in answer.json["detail"]
