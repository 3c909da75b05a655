"""Another account's things are not there: every address with an id of A answers B with 404."""

import re

import pytest

from tests.api.conformity import profile_of
from tests.api.site import HOOK, LocalShop, Site
from tests.support.waiting import until
from tocsin.api import routes
from tocsin.api.operations import Operation

_WITH_ID = [one for one in routes.OPERATIONS if re.search(r"\{\w+_id\}", one.path)]


@pytest.fixture(scope="module")
def things(site: Site) -> dict[str, str]:
    """One id of each kind, all of account A."""
    shop = site.operator.shop("A")
    hook = shop.webhook(HOOK)
    event = shop.publish(external_id="mine")
    delivery = until(lambda: shop.delivery_of(event["id"], hook["id"]), "a delivery")
    key = shop.post("/v1/keys")
    return {
        "account_id": shop.id,
        "webhook_id": hook["id"],
        "event_id": event["id"],
        "delivery_id": delivery["id"],
        "key_id": key["id"],
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
    for path in ("/v1/webhooks", "/v1/events", "/v1/deliveries", "/v1/keys", "/v1/audit"):
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
