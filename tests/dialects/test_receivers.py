"""Each document's own receiver code, on the runtime that it is written for, judges what a real server delivers."""

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.dialects.conftest import Starter
from tests.dialects.receiving import RECEIVERS, Arrival, Subscription, event_id_of, event_types, subscribe
from tests.support.server import Server
from tests.support.waiting import until


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    with ExitStack() as stack:
        yield Starter(tmp_path_factory.mktemp("receivers"), stack)


@pytest.fixture(scope="module")
def subscriptions(server: Server, starter: Starter) -> Callable[[str], Subscription]:
    made: dict[str, Subscription] = {}

    def subscription(name: str) -> Subscription:
        if name not in made:
            kind = RECEIVERS[name]
            made[name] = subscribe(server.operator.shop(name, kind.profile), kind, starter)
        return made[name]

    return subscription


@pytest.fixture(params=RECEIVERS)
def subscription(request: pytest.FixtureRequest, subscriptions: Callable[[str], Subscription]) -> Subscription:
    return subscriptions(request.param)


def those(condition: Callable[[Any], bool]) -> pytest.MarkDecorator:
    """Only with the receivers of a kind."""
    names = [name for name, kind in RECEIVERS.items() if condition(kind)]
    return pytest.mark.parametrize("subscription", names, indirect=True)


# --- what is sent is verified -------------------------------------------------------------------------------------

_DEEP = json.loads("[" * 60 + '{"a":' * 60 + "1.0" + "}" * 60 + "]" * 60)

# What a re-serialising or re-encoding receiver could trip over, as keys beside those of the type's own example.
_NUMBERS = {
    "numbers": [1.0, 45.00, 1e5, -0.0, 0.1 + 0.2, 1e21, 1e-7, 1.5e300, 5e-324, 9007199254740991, -9007199254740991],
    "10": {"2": "two", "1": "one", "b": "b", "a": "a"},
    "2": 1e-6,
    "01": "no index",
    "4294967295": "no index either",
    "__proto__": {"polluted": 1.0},
}
_TEXTS = {
    "lines": "\u2028 \u2029 \u0085 \r\n \t \x00 \x1f \x7f",
    "quotes": "\"'`\\ </script> & %00 https://example.com/a?b=c#d",
    "emoji": "👩‍👩‍👧 🇺🇦 \U0010ffff",
    "right to left": "שלום \u202eمرحبا",
    "marks": "e\u0301 \ufeff \u200b ﷽ ß İ ı",
    "ключ 🔑": "値",
}
_LARGE = {"long": "0123456789abcdef" * 2_500 + "é€😀" * 1_000, "deep": _DEEP, "wide": list(range(3_000))}

VARIATIONS: dict[str, tuple[dict[str, Any], Callable[[Any], str]]] = {
    "its example": ({}, json.dumps),
    "numbers and keys, indented": (_NUMBERS, lambda value: json.dumps(value, indent=2)),
    "texts": (_TEXTS, lambda value: json.dumps(value, ensure_ascii=False)),
    "texts, escaped wherever they can be": (_TEXTS, lambda value: json.dumps(value).replace("/", "\\/")),
    "large": (_LARGE, json.dumps),
}


def test_every_event_type_verifies(subscription: Subscription) -> None:
    """Every type, with data that is spelled in every way: verified at the first attempt, and nothing altered."""
    shop, receiver = subscription.shop, subscription.receiver
    published: dict[str, tuple[str, str]] = {}
    for type_ in event_types(shop):
        for name, (extra, spell) in VARIATIONS.items():
            event = {"type": type_["name"], "data": type_["example"] | extra}
            receipt = shop.ok("POST", "/v1/events", spell(event).encode())
            assert receipt["matched"] == 1
            published[receipt["id"]] = type_["name"], name

    def arrived() -> dict[str, Arrival]:
        ids = [(arrival.headers["webhook-id"], arrival) for arrival in list(receiver.ledger)]
        return {id_: arrival for id_, arrival in ids if id_ in published}

    until(lambda: published.keys() <= arrived().keys(), lambda: f"{len(published)} arrivals, of {len(arrived())}", 30)
    for id_, arrival in arrived().items():
        assert arrival.verified, (published[id_], arrival)
        extra, _ = VARIATIONS[published[id_][1]]
        data = arrival.json.get("data", arrival.json)
        assert {key: data[key] for key in extra} == extra
    until(
        lambda: len(shop.deliveries(webhook=subscription.id, status="succeeded")) >= len(published),
        lambda: f"{len(published)} deliveries succeeded: {shop.deliveries(webhook=subscription.id)}",
    )
    assert [len(receiver.of(id_)) for id_ in published] == [1] * len(published)


def test_a_test_of_every_event_type_verifies(subscription: Subscription) -> None:
    """What `/v1/webhooks/{id}/test` sends is signed like anything else."""
    for type_ in event_types(subscription.shop):
        attempt = subscription.test(type_["name"])
        assert (attempt["outcome"], attempt["status_code"]) == ("succeeded", 200)
        arrival = subscription.receiver.last_of(event_id_of(attempt))
        assert arrival.verified
        assert arrival.headers["tocsin-test"] == "true"
        assert arrival.body.decode() == attempt["request"]["body"]


# --- what was changed on the way is refused -----------------------------------------------------------------------


@pytest.fixture
def delivered(subscription: Subscription) -> Arrival:
    """A real delivery, as its receiver got it."""
    arrival = subscription.receiver.last_of(subscription.publish())
    assert arrival.verified
    return arrival


def _flipped(text: bytes, at: float) -> bytes:
    """One byte changed, so far into the text (from 0 to 1)."""
    position = round(at * (len(text) - 1))
    return text[:position] + bytes([text[position] ^ 1]) + text[position + 1 :]


def _other_digit(signature: str, position: int) -> str:
    """Another hex digit there."""
    end = None if position == -1 else position + 1
    return signature[:position] + ("0" if signature[position] != "0" else "1") + (signature[end:] if end else "")


def test_the_same_request_again_verifies(subscription: Subscription, delivered: Arrival) -> None:
    """No dialect forbids it: without a timestamp a receiver cannot tell, and within five minutes trcker's need not.

    This is also what shows that the refusals below are due to what they change.
    """
    assert subscription.receiver.hear(delivered.body, delivered.headers).verified


@those(lambda kind: kind.covers_body)
@pytest.mark.parametrize("at", [0, 0.25, 0.5, 0.75, 1])
def test_a_flipped_byte_in_the_body_is_refused(subscription: Subscription, delivered: Arrival, at: float) -> None:
    """Wherever it is, in the envelope or in the data."""
    arrival = subscription.receiver.hear(_flipped(delivered.body, at), delivered.headers)
    assert arrival.status == 401 or (arrival.status == 500 and "SyntaxError" in str(arrival.fault))


@those(lambda kind: not kind.covers_body)
def test_a_token_says_nothing_about_the_body(subscription: Subscription, delivered: Arrival) -> None:
    """Who knows the token may send anything: that is all that the document's default promises."""
    assert subscription.receiver.hear(_flipped(delivered.body, 0.5), delivered.headers).verified


@pytest.mark.parametrize("position", [-1, -2, -9])
def test_a_changed_signature_is_refused(subscription: Subscription, delivered: Arrival, position: int) -> None:
    """One hex digit (or character of the token) is enough."""
    header = subscription.kind.header
    changed = _other_digit(delivered.headers[header], position)
    assert changed != delivered.headers[header]
    assert subscription.receiver.hear(delivered.body, delivered.headers | {header: changed}).status == 401


@pytest.mark.parametrize("signature", [None, "", "sha256=", "t=,v1="])
def test_a_missing_signature_is_refused(subscription: Subscription, delivered: Arrival, signature: str | None) -> None:
    """Some of the documents' code throws then, which is no 2xx either."""
    header = subscription.kind.header
    headers = {name: value for name, value in delivered.headers.items() if name != header}
    if signature is not None:
        headers[header] = signature
    assert subscription.receiver.hear(delivered.body, headers).status in (401, 500)


def test_another_secret_is_refused(subscription: Subscription) -> None:
    """A delivery for another webhook, made with that one's secret, is refused; the attempt says so."""
    settings = {**subscription.kind.webhook, "secret": "a_secret_of_another_webhook"}
    other = subscription.shop.webhook(subscription.receiver.url, **settings)
    attempt = subscription.shop.post(f"/v1/webhooks/{other['id']}/test")
    arrival = subscription.receiver.last_of(event_id_of(attempt))
    subscription.shop.ok("DELETE", f"/v1/webhooks/{other['id']}")
    assert subscription.kind.header in arrival.headers
    assert (attempt["outcome"], attempt["status_code"]) == ("http_error", arrival.status)
    assert arrival.status in (401, 500)


@those(lambda kind: kind.covers_body)
def test_another_spelling_of_the_body(subscription: Subscription, delivered: Arrival) -> None:
    """The signature is over the bytes: only a receiver that writes the body again takes another spelling of it."""
    respelled = json.dumps(delivered.json, indent=1, ensure_ascii=False).encode()
    arrival = subscription.receiver.hear(respelled, delivered.headers)
    assert arrival.status == (200 if subscription.kind.rewrites_body else 401)


# --- timestamps ---------------------------------------------------------------------------------------------------


@those(lambda kind: kind.max_age_s is not None)
@pytest.mark.parametrize(("age_s", "status"), [(0, 200), (290, 200), (310, 401), (86_400, 401)])
def test_an_old_timestamp_is_refused(subscription: Subscription, delivered: Arrival, age_s: int, status: int) -> None:
    """A delivery that was recorded and is sent again more than five minutes later, with its valid signature."""
    at = str(int(time.time()) - age_s)
    digest = hmac.new(subscription.secret.encode(), f"{at}.".encode() + delivered.body, hashlib.sha256).hexdigest()
    signed = delivered.headers | {subscription.kind.header: f"t={at},v1={digest}"}
    assert subscription.receiver.hear(delivered.body, signed).status == status


@those(lambda kind: kind.max_age_s is not None)
def test_a_timestamp_made_younger_is_refused(subscription: Subscription, delivered: Arrival) -> None:
    """The timestamp is signed too: an old delivery cannot be passed off as a new one."""
    header = subscription.kind.header
    younger = re.sub(r"t=(\d+)", lambda match: f"t={int(match[1]) + 1}", delivered.headers[header])
    assert subscription.receiver.hear(delivered.body, delivered.headers | {header: younger}).status == 401
