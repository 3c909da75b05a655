"""One event's journey for real: published, delivered, signed, and told truthfully in the log."""

import pytest
from standardwebhooks import Webhook

import tocsin
from tests.support.api import CLICK, Shop
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tests.support.server import Server


@pytest.fixture
def shop(server: Server) -> Shop:
    return server.operator.shop()


def test_an_event_arrives_signed_and_is_in_the_log(shop: Shop, receiver: LedgerReceiver) -> None:
    """What the receiver got and answered is what the log shows, and the reference package verifies it."""
    hook = shop.webhook(receiver.url("/shop?from=tocsin"), [CLICK])
    path = "/shop?from=tocsin"
    receiver.script(path, Answer(201, {"X-Request-Id": "r-1"}, b'{"thanks": true}'))

    receipt = shop.publish(CLICK, external_id="order-7")
    [arrival] = receiver.wait_for(path, 1)

    assert receipt["matched"] == 1
    assert receipt["duplicate"] is False
    assert arrival.method == "POST"
    assert arrival.headers["content-type"] == "application/json"
    assert arrival.headers["user-agent"] == f"Tocsin/{tocsin.__version__}"
    assert arrival.id == receipt["id"]
    assert arrival.json["type"] == CLICK
    assert arrival.data == shop.example(CLICK)
    Webhook(hook["secret"]).verify(arrival.body, arrival.headers)

    [attempt] = shop.wait_delivery(receipt["id"], hook["id"], "succeeded")["attempts"]
    assert attempt["n"] == 1
    assert attempt["outcome"] == "succeeded"
    assert attempt["status_code"] == 201
    assert attempt["error"] is None
    assert attempt["request"]["body"].encode() == arrival.body
    sent = {name.lower(): value for name, value in attempt["request"]["headers"].items()}
    assert sent["webhook-id"] == receipt["id"]
    assert sent["content-type"] == "application/json"
    assert attempt["response"]["body"] == '{"thanks": true}'
    answered = {name.lower(): value for name, value in attempt["response"]["headers"].items()}
    assert answered["x-request-id"] == "r-1"


def test_a_batch_is_judged_item_by_item(shop: Shop, receiver: LedgerReceiver) -> None:
    """In a batch the good events are delivered and the bad ones refused, each in its place."""
    receiver.trust("/batch", shop.webhook(receiver.url("/batch"))["secret"])
    bad = {"type": "no.such_type", "data": {}}
    first, refused, last = shop.publish_batch([shop.event(), bad, shop.event()])
    arrivals = receiver.wait_for("/batch", 2)
    assert {arrival.id for arrival in arrivals} == {first["id"], last["id"]}
    assert all(arrival.verified for arrival in arrivals)
    assert "id" not in refused


def test_the_same_external_id_is_delivered_once(shop: Shop, receiver: LedgerReceiver) -> None:
    """A repeated post is answered with the first one's id and sends nothing; other content is refused."""
    shop.webhook(receiver.url("/once"))
    first = shop.publish(CLICK, external_id="c-1", n=1)
    again = shop.publish(CLICK, external_id="c-1", n=1)
    other = shop.call("POST", "/v1/events", shop.event(CLICK, "c-1", n=2))
    after = shop.publish(CLICK, external_id="c-2", n=3)
    receiver.wait_for("/once", 2)
    assert (again["id"], again["duplicate"]) == (first["id"], True)
    assert (other.status, other.code) == (409, "external_id_conflict")
    assert receiver.counts("/once") == {first["id"]: 1, after["id"]: 1}


def test_an_accounts_own_event_type_is_delivered(shop: Shop, receiver: LedgerReceiver) -> None:
    """A custom type takes what its schema allows, refuses the rest with a pointer, and travels like any other."""
    shop.ok(
        "PUT",
        "/v1/event-types/tide.turned",
        {
            "description": "The tide has turned.",
            "schema": {"type": "object", "required": ["height_cm"], "properties": {"height_cm": {"type": "integer"}}},
            "example": {"height_cm": 310},
        },
    )
    receiver.trust("/tide", shop.webhook(receiver.url("/tide"), ["tide.*"])["secret"])
    refused = shop.call("POST", "/v1/events", {"type": "tide.turned", "data": {"height_cm": "high"}})
    shop.post("/v1/events", {"type": "tide.turned", "data": {"height_cm": 42}})
    [arrival] = receiver.wait_for("/tide", 1)
    assert arrival.verified
    assert arrival.data == {"height_cm": 42}
    assert refused.status == 422
    assert refused.json["errors"][0]["pointer"] == "/data/height_cm"


def test_a_change_is_in_force_for_the_next_event(shop: Shop, receiver: LedgerReceiver) -> None:
    """Every event published after a change was answered goes where the change says."""
    hook = shop.webhook(receiver.url("/turn-0"))
    for turn in range(1, 21):
        shop.change(hook["id"], url=receiver.url(f"/turn-{turn}"))
        shop.publish(turn=turn)
    for turn in range(1, 21):
        assert [arrival.data["turn"] for arrival in receiver.wait_for(f"/turn-{turn}", 1)] == [turn]
    assert receiver.arrivals("/turn-0") == []


def test_types_and_filters_decide_what_arrives(shop: Shop, receiver: LedgerReceiver) -> None:
    """A webhook gets the types that it names and, of these, what its filter lets through."""
    shop.webhook(receiver.url("/clicks"), ["click.*"])
    shop.webhook(receiver.url("/conversions"), ["conversion.created"])
    shop.webhook(receiver.url("/dear"), [CLICK], filter="data.price > 10")
    cheap = shop.publish(CLICK, price=5)
    dear = shop.publish(CLICK, price=50)
    converted = shop.publish("conversion.created")
    receiver.wait_for("/clicks", 2)
    receiver.wait_for("/conversions", 1)
    receiver.wait_for("/dear", 1)
    assert [receipt["matched"] for receipt in (cheap, dear, converted)] == [1, 2, 1]
    assert receiver.counts("/clicks") == {cheap["id"]: 1, dear["id"]: 1}
    assert receiver.counts("/conversions") == {converted["id"]: 1}
    assert receiver.counts("/dear") == {dear["id"]: 1}


def test_a_rotated_secret_signs_beside_the_old_one(shop: Shop, receiver: LedgerReceiver) -> None:
    """During the overlap both secrets verify; with an overlap of nothing the old one no longer does."""
    hook = shop.webhook(receiver.url("/rotated"))
    second = shop.post(f"/v1/webhooks/{hook['id']}/rotate-secret", {"overlap_s": 3600})["secret"]
    shop.publish()
    [arrival] = receiver.wait_for("/rotated", 1)
    for secret in (hook["secret"], second):
        Webhook(secret).verify(arrival.body, arrival.headers)

    third = shop.post(f"/v1/webhooks/{hook['id']}/rotate-secret", {"overlap_s": 0})["secret"]
    receiver.trust("/rotated", third)
    shop.publish()
    arrival = receiver.wait_for("/rotated", 2)[1]
    assert arrival.verified
    assert len(arrival.headers["webhook-signature"].split()) == 1


def test_custom_headers_are_sent(shop: Shop, receiver: LedgerReceiver) -> None:
    """A webhook's own headers go with every delivery and come back from the API without their values."""
    hook = shop.webhook(receiver.url("/headers"), headers={"X-Api-Token": "t0p-s3cret"})
    shop.publish()
    [arrival] = receiver.wait_for("/headers", 1)
    assert arrival.headers["x-api-token"] == "t0p-s3cret"
    assert "t0p-s3cret" not in str(shop.status(hook["id"]))
    assert "t0p-s3cret" not in str(shop.deliveries()) + str(shop.delivery(shop.deliveries()[0]["id"]))
