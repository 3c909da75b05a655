"""The document of `visits` names no algorithm: a token in a header that its user sets is enough."""

import pytest

from tests.dialects.conftest import Starter
from tests.dialects.receiving import RECEIVERS, Subscription, event_id_of, event_types
from tests.support.server import Server

TOKEN = "t0ken of/the+user=="
TOKENS = RECEIVERS["visits-python-token"]


@pytest.mark.parametrize("spelling", ["X-Webhook-Signature", "x-webhook-signature"])
def test_a_token_among_the_custom_headers_verifies(server: Server, start_receiver: Starter, spelling: str) -> None:
    """As the document has it set up: the header is sent once, with the user's value; another header beside it stays."""
    shop = server.operator.shop(profile="visits")
    receiver = start_receiver(TOKENS, TOKEN)
    hook = shop.webhook(receiver.url, headers={spelling: TOKEN, "X-Version": "2"})
    subscription = Subscription(shop, hook, receiver)
    for type_ in event_types(shop):
        assert subscription.test(type_["name"])["status_code"] == 200
    arrival = receiver.last_of(subscription.publish())
    assert arrival.verified
    assert (arrival.headers[TOKENS.header], arrival.headers["x-version"]) == (TOKEN, "2")
    assert hook["secret"] == TOKEN
    assert TOKEN not in str(shop.status(hook["id"])) + str(subscription.test())


def test_a_token_in_a_header_of_any_name_can_be_changed(server: Server, start_receiver: Starter) -> None:
    """A new value takes the old one's place at once; a change of something else leaves it."""
    kind = RECEIVERS["visits-python-own-header"]
    shop = server.operator.shop(profile="visits")
    old, new = start_receiver(kind, "old-token"), start_receiver(kind, "new-token")
    hook = shop.webhook(old.url, headers={"X-CRM-Key": "old-token"}, **kind.webhook)
    subscription = Subscription(shop, hook, old)
    assert subscription.test()["status_code"] == 200
    subscription.point_to(new)
    assert subscription.test()["status_code"] == 401
    shop.change(hook["id"], headers={"x-crm-key": "new-token"})
    arrival = new.last_of(event_id_of(subscription.test()))
    assert arrival.verified
    assert arrival.headers[kind.header] == "new-token"


@pytest.mark.parametrize(
    ("more", "pointers"),
    [
        ({"secret": "another-token"}, ["/secret", "/headers/X-Webhook-Signature"]),
        ({"options": {"signature": "hmac"}}, ["/headers/X-Webhook-Signature", "/options/signature"]),
    ],
)
def test_a_header_cannot_carry_two_things(server: Server, more: dict[str, object], pointers: list[str]) -> None:
    """Neither two tokens nor a token and a digest; a token that is given twice alike is one."""
    shop = server.operator.shop(profile="visits")
    asked = {"url": "https://203.0.113.7/", "events": ["*"], "headers": {"X-Webhook-Signature": "a-token"}}
    refused = shop.call("POST", "/v1/webhooks", asked | more)
    assert (refused.status, [error["pointer"] for error in refused.json["errors"]]) == (422, pointers)
    asked["url"] = "http://127.0.0.1:65535/"
    assert shop.post("/v1/webhooks", asked | {"secret": "a-token"})["secret"] == "a-token"
