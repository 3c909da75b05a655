"""Postbacks from the API to a tracker's address: called with an event's values, logged without credentials."""

from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.support.api import ApiAnswer, Shop
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tests.support.server import Server
from tests.support.waiting import until

StartServer = Callable[..., Server]

QUERY = "?key=abc123&cid={click_id}&sum={payout}&cur={currency}&st={status}&id={event_id}&c={data.visitor.country}"


@pytest.fixture
def shop(start_server: StartServer) -> Shop:
    return start_server(retry_scale=0.1).operator.shop()


def _create(shop: Shop, url: str, **more: object) -> ApiAnswer:
    asked = {"url": url, "channel": "postback", "events": ["conversion.*"]} | more
    return shop.call("POST", "/v1/webhooks", asked)


def _postback(shop: Shop, url: str, **more: object) -> str:
    made = _create(shop, url, **more)
    assert made.status == 201, made.body
    assert made.json["secret"] is None
    return str(made.json["id"])


def _publish(shop: Shop, type_: str = "conversion.created", **data: object) -> str:
    return str(shop.publish(type_, **data)["id"])


def test_a_conversion_calls_the_address(shop: Shop, receiver: LedgerReceiver) -> None:
    """With its values, encoded; the log shows what was called, but for the key."""
    hook = _postback(shop, receiver.url("/pb") + QUERY, options={"statuses": {"approved": "1"}})
    shown = shop.status(hook)["url"]
    assert shown == receiver.url("/pb") + QUERY.replace("abc123", "***")
    event = _publish(shop, click_id="clk 1&ü", payout="45.00", currency="EUR", status="approved")
    delivery = shop.wait_delivery(event, hook, "succeeded")
    [arrival] = receiver.arrivals()
    assert (arrival.method, arrival.body) == ("GET", b"")
    assert arrival.headers["webhook-id"] == event
    query = dict(parse_qsl(urlsplit(arrival.path).query, keep_blank_values=True))
    assert query == {
        "key": "abc123",
        "cid": "clk 1&ü",
        "sum": "45.00",
        "cur": "EUR",
        "st": "1",
        "id": event,
        "c": query["c"],
    }
    assert len(query["c"]) == 2
    [attempt] = shop.delivery(delivery["id"])["attempts"]
    assert attempt["request"]["url"] == receiver.url("") + arrival.path.replace("abc123", "***")
    assert (attempt["request"]["method"], attempt["request"]["body"]) == ("GET", None)


def test_a_post_sends_a_form_and_is_tried_again(shop: Shop, receiver: LedgerReceiver) -> None:
    """By the schedule, as any webhook; each time the same."""
    receiver.script("/form", Answer(500), Answer(204))
    hook = _postback(shop, receiver.url("/form") + QUERY, options={"method": "POST"})
    event = _publish(shop, click_id="c1")
    delivery = shop.wait_delivery(event, hook, "succeeded")
    first, second = receiver.arrivals("/form")
    assert first.body == second.body
    assert (first.method, first.headers["content-type"]) == ("POST", "application/x-www-form-urlencoded")
    assert dict(parse_qsl(first.body.decode()))["cid"] == "c1"
    attempts = shop.delivery(delivery["id"])["attempts"]
    assert [one["request"]["body"] for one in attempts] == [first.body.decode().replace("abc123", "***")] * 2


def test_what_is_called_may_say_the_key_again(shop: Shop, receiver: LedgerReceiver) -> None:
    """The log shows its answer without it, as it shows the address."""
    key = "k3y-that-nobody-sees"
    echo = f"not here: /pb?key={key}&cid=c1".encode()
    receiver.script("/pb", Answer(404, {"Link": f"</pb?key={key}>"}, echo), Answer(204))
    hook = _postback(shop, receiver.url("/pb") + f"?key={key}&cid={{click_id}}", options={"method": "POST"})
    event = _publish(shop, click_id="c1")
    delivery = shop.delivery(shop.wait_delivery(event, hook, "succeeded")["id"])
    assert key not in str(delivery)
    first = delivery["attempts"][0]["response"]
    assert (first["body"], first["headers"]["Link"]) == ("not here: /pb?key=***&cid=c1", "</pb?key=***>")


def test_a_postback_is_conditional_by_its_filter(shop: Shop, receiver: LedgerReceiver) -> None:
    """What the filter does not take is not called for."""
    hook = _postback(shop, receiver.url("/pb?cid={click_id}"), filter='data.status == "approved"')
    _publish(shop, click_id="no", status="pending")
    event = _publish(shop, click_id="yes", status="approved")
    shop.wait_delivery(event, hook, "succeeded")
    assert [arrival.path for arrival in receiver.arrivals()] == ["/pb?cid=yes"]


def test_a_preview_and_a_test_show_the_address_as_it_is_called(shop: Shop, receiver: LedgerReceiver) -> None:
    """Without its credentials."""
    hook = _postback(shop, receiver.url("/pb?token=abc123&type={event}"))
    preview = shop.post(f"/v1/webhooks/{hook}/preview", {"type": "conversion.approved"})
    assert (preview["method"], preview["url"]) == ("GET", receiver.url("/pb?token=***&type=conversion.approved"))
    attempt = shop.post(f"/v1/webhooks/{hook}/test", {"type": "conversion.rejected"})
    assert "token=***&type=conversion.rejected" in str(attempt)
    assert "abc123" not in str(attempt)
    until(receiver.arrivals, "called")
    [arrival] = receiver.arrivals()
    assert arrival.path == "/pb?token=abc123&type=conversion.rejected"


def test_macros_are_checked_when_an_address_or_its_events_are_saved(shop: Shop, receiver: LedgerReceiver) -> None:
    """Also when only the events change."""
    url = receiver.url("/pb?c={data.visitor.contry}&x={clickid}")
    refused = _create(shop, url)
    assert (refused.status, refused.code) == (422, "unknown_macro")
    details = [error["detail"] for error in refused.json["errors"]]
    assert "{data.visitor.country}" in details[0]
    assert "{click_id}" in details[1]
    hook = _postback(shop, receiver.url("/pb?c={data.conversion_id}"))
    refused = shop.call("PATCH", f"/v1/webhooks/{hook}", {"events": ["click.created"]})
    assert (refused.status, refused.code) == (422, "unknown_macro")
    refused = shop.call("PATCH", f"/v1/webhooks/{hook}", {"url": receiver.url("/{click_id}?{")})
    assert (refused.status, refused.code) == (422, "url_refused")
    refused = _create(shop, "https://{country}.example.com/")
    assert (refused.status, refused.code) == (422, "url_refused")
    refused = _create(shop, receiver.url("/pb"), options={"method": "PUT"})
    assert (refused.status, refused.code) == (422, "option_invalid")
    refused = _create(shop, receiver.url("/pb"), headers={"X-Key": "1"})
    assert refused.status == 422


def test_addresses_of_visitors_are_masked_as_the_account_says(
    start_server: StartServer, receiver: LedgerReceiver
) -> None:
    """No further: a postback is for a program."""
    server = start_server()
    for masked, seen in ((True, "203.0.x.x"), (False, "203.0.113.24")):
        shop = server.operator.shop(f"masks {masked}", settings={"mask_ips": masked})
        hook = _postback(shop, receiver.url(f"/{masked}?ip={{ip}}"))
        event = _publish(shop, visitor={"id": "v1", "ip": "203.0.113.24"})
        shop.wait_delivery(event, hook, "succeeded")
        assert receiver.arrivals(f"/{masked}?ip={seen}")


def test_values_that_cannot_be_sent_fail_at_once(shop: Shop, receiver: LedgerReceiver) -> None:
    """An address that an event's values lead astray is called never: no later try would find others."""
    hook = _postback(shop, receiver.url("/pb") + "/{click_id}/done")
    event = _publish(shop, click_id="..")
    delivery = shop.wait_delivery(event, hook, "failed")
    [attempt] = shop.delivery(delivery["id"])["attempts"]
    assert attempt["outcome"] == "unsendable"
    assert "another place" in attempt["error"]
    assert receiver.arrivals() == []
