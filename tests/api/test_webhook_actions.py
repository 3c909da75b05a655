"""What can be done with a webhook, and with a delivery."""

import json
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.api.site import HOOK, LocalShop
from tests.support.api import CLICK
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tests.support.waiting import until


def test_a_test_answers_what_happened(shop: LocalShop, receiver: LedgerReceiver):
    """A test sends the type's example, signed and marked, and answers with the attempt as it went."""
    made = shop.webhook(receiver.url("/t"), ["conversion.*"], enabled=False, headers={"X-Token": "t0ken"})
    receiver.script("/t", Answer(503, body=b"\xff\xfe"), Answer(204))
    down = shop.post(f"/v1/webhooks/{made['id']}/test", {"type": CLICK})
    assert (down["trigger"], down["outcome"], down["status_code"], down["n"]) == ("test", "http_error", 503, 1)
    assert (down["response"]["body"], down["response"]["body_encoding"]) == ("//4=", "base64")
    up = shop.post(f"/v1/webhooks/{made['id']}/test")
    assert (up["outcome"], up["status_code"], up["error"]) == ("succeeded", 204, None)
    assert json.loads(up["request"]["body"])["type"].startswith("conversion.")
    first, _ = receiver.wait_for("/t", 2)
    assert first.headers["tocsin-test"] == "true"
    assert first.headers["x-token"] == "t0ken"
    assert json.loads(first.body)["data"] == shop.example(CLICK)
    Webhook(made["secret"]).verify(first.body, first.headers)
    assert down["request"]["headers"]["X-Token"] == "***"
    assert shop.deliveries() == []
    assert shop.call("POST", f"/v1/webhooks/{made['id']}/test", {"type": "clik"}).code == "unknown_event_type"


def test_a_preview_sends_nothing(shop: LocalShop, receiver: LedgerReceiver):
    """A preview shows the request that a type's example, or a real event, would make."""
    made = shop.webhook(receiver.url("/p"), ["conversion.*"], headers={"X-Token": "t0ken"})
    event = shop.publish(CLICK)
    path = f"/v1/webhooks/{made['id']}/preview"
    example = shop.post(path, {"type": CLICK})
    assert json.loads(example["body"])["data"] == shop.example(CLICK)
    assert example["headers"]["X-Token"] == "***"
    real = shop.post(path, {"event_id": event["id"]})
    assert real["headers"]["webhook-id"] == event["id"]
    Webhook(made["secret"]).verify(real["body"], {name.lower(): value for name, value in real["headers"].items()})
    assert json.loads(shop.post(path)["body"])["type"].startswith("conversion.")
    assert receiver.arrivals("/p") == []
    assert shop.call("POST", path, {"event_id": "evt_0000000000000"}).code == "not_found"
    assert shop.call("POST", path, {"event_id": "x"}).status == 422
    assert shop.call("POST", path, {"type": "clik"}).code == "unknown_event_type"
    assert shop.call("POST", path, {"type": CLICK, "event_id": event["id"]}).status == 422


def test_disabling_and_enabling(shop: LocalShop):
    """A disabled webhook says since when and why; enabling clears that; both can be repeated."""
    made = shop.webhook(HOOK)
    path = f"/v1/webhooks/{made['id']}"
    off = shop.post(f"{path}/disable", {"reason": "maintenance"})
    assert (off["status"], off["enabled"], off["status_reason"]) == ("disabled", False, "maintenance")
    assert shop.post(f"{path}/disable") == off
    on = shop.post(f"{path}/enable")
    assert (on["status"], on["enabled"], on["status_reason"], on["dropped"]) == ("active", True, None, 0)
    assert shop.post(f"{path}/enable") == on
    assert on["status_since"] >= off["status_since"]
    assert shop.call("POST", f"{path}/enable", {"held": "forget"}).status == 422


def test_held_deliveries_can_be_dropped(shop: LocalShop, receiver: LedgerReceiver):
    """Enabling with drop cancels what was held, and says how much that was."""
    receiver.script("/d", Answer(500))
    made = shop.webhook(receiver.url("/d"))
    events = [shop.publish()["id"] for _ in range(3)]
    until(lambda: all(one["status"] == "retrying" for one in shop.deliveries()), "three retries wait")
    shop.post(f"/v1/webhooks/{made['id']}/disable")
    assert shop.post(f"/v1/webhooks/{made['id']}/enable", {"held": "drop"})["dropped"] == 3
    assert {one["event_id"]: one["status"] for one in shop.deliveries()} == dict.fromkeys(events, "cancelled")


@pytest.mark.parametrize("hours", [-1, 721, "1", None])
def test_mutes_have_bounds(shop: LocalShop, hours: Any):
    """A mute lasts up to thirty days."""
    made = shop.webhook(HOOK)
    assert shop.call("POST", f"/v1/webhooks/{made['id']}/mute", {"hours": hours}).status == 422


def test_a_mute_begins_and_ends(shop: LocalShop):
    """A muted webhook says until when; 0 hours end it."""
    made = shop.webhook(HOOK)
    muted = shop.post(f"/v1/webhooks/{made['id']}/mute", {"hours": 0.5})
    assert muted["muted_until"] > muted["updated_at"]
    assert muted["status"] == "active"
    assert shop.post(f"/v1/webhooks/{made['id']}/mute", {"hours": 0})["muted_until"] is None


def test_rotating_a_secret(shop: LocalShop, receiver: LedgerReceiver):
    """During the overlap both secrets sign; activating leaves the new one alone."""
    made = shop.webhook(receiver.url("/r"))
    path = f"/v1/webhooks/{made['id']}"
    assert shop.call("POST", f"{path}/rotate-secret/activate").code == "no_rotation"
    rotated = shop.post(f"{path}/rotate-secret", {"overlap_s": 600})
    assert rotated["secret"] not in (None, made["secret"])
    assert rotated["secret_overlap_until"] > rotated["updated_at"]

    def signed_by() -> set[str]:
        shop.post(f"{path}/test")
        arrival = receiver.arrivals("/r")[-1]
        return {
            name for name, secret in (("old", made["secret"]), ("new", rotated["secret"])) if _fits(secret, arrival)
        }

    assert signed_by() == {"old", "new"}
    assert shop.post(f"{path}/rotate-secret/activate")["secret_overlap_until"] is None
    assert signed_by() == {"new"}


def _fits(secret: str, arrival: Any) -> bool:
    try:
        Webhook(secret).verify(arrival.body, arrival.headers)
    except Exception:  # noqa: BLE001 - the package's own error, of a name it does not export everywhere
        return False
    return True


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"overlap_s": -1}, "invalid", "/overlap_s"),
        ({"overlap_s": 604_801}, "invalid", "/overlap_s"),
        ({"secret": "short"}, "secret_invalid", "/secret"),
        ({"secret": "whsec_" + "A" * 32}, "invalid", "/secret"),
    ],
)
def test_rotations_that_cannot_be(shop: LocalShop, body: dict[str, Any], code: str, pointer: str):
    """An overlap has bounds, and a new secret is well-formed and another one."""
    made = shop.post("/v1/webhooks", {"url": HOOK, "events": ["*"], "secret": "whsec_" + "A" * 32})
    answer = shop.call("POST", f"/v1/webhooks/{made['id']}/rotate-secret", body)
    assert (answer.code, answer.json["errors"][0]["pointer"]) == (code, pointer)


# --- deliveries ---------------------------------------------------------------------------------------------------


def test_a_delivery_carries_its_attempts(shop: LocalShop, receiver: LedgerReceiver):
    """Every attempt shows the request as it was sent and the answer as it came."""
    receiver.script("/a", Answer(500, body=b"first"), Answer(200, body="dänk".encode()))
    made = shop.webhook(receiver.url("/a"), headers={"X-Token": "t0ken"})
    event = shop.publish()
    delivery = until(lambda: shop.delivery_of(event["id"], made["id"]), "a delivery")
    until(lambda: shop.delivery(delivery["id"])["attempts"], "an attempt")
    retried = shop.post(f"/v1/deliveries/{delivery['id']}/retry")
    assert (retried["trigger"], retried["n"], retried["outcome"]) == ("manual", 2, "succeeded")
    found = shop.delivery(delivery["id"])
    assert (found["status"], found["status_code"], found["attempt_count"]) == ("succeeded", 200, 2)
    assert (found["next_attempt_at"], found["finished_at"] is None) == (None, False)
    first, second = found["attempts"]
    assert second == retried
    assert (first["response"]["body"], second["response"]["body"]) == ("first", "dänk")
    arrivals = receiver.wait_for("/a", 2)
    assert [attempt["request"]["body"].encode() for attempt in found["attempts"]] == [one.body for one in arrivals]
    assert first["request"]["headers"]["X-Token"] == "***"
    assert first["error"]
    assert first["peer"]


def test_cancelling(shop: LocalShop, receiver: LedgerReceiver):
    """A waiting delivery can be cancelled, twice without harm; one that has ended cannot."""
    receiver.script("/c", Answer(500))
    made = shop.webhook(receiver.url("/c"))
    event = shop.publish()
    delivery = shop.wait_delivery(event["id"], made["id"], "retrying")
    path = f"/v1/deliveries/{delivery['id']}/cancel"
    assert shop.post(path)["status"] == "cancelled"
    assert shop.post(path)["status"] == "cancelled"
    shop.post(f"/v1/webhooks/{made['id']}/disable")
    assert shop.call("POST", f"/v1/deliveries/{delivery['id']}/retry").code == "webhook_disabled"
    receiver.script("/c", Answer(200))
    shop.post(f"/v1/webhooks/{made['id']}/enable")
    done = shop.wait_delivery(shop.publish()["id"], made["id"], "succeeded")
    assert shop.call("POST", f"/v1/deliveries/{done['id']}/cancel").code == "already_ended"
    assert shop.call("POST", "/v1/deliveries/dlv_0000000000000/cancel").code == "not_found"


def test_deliveries_are_found(shop: LocalShop, receiver: LedgerReceiver):
    """The list's filters find what they say, and pages neither skip nor repeat."""
    receiver.script("/bad", Answer(404))
    good, bad = shop.webhook(receiver.url("/good")), shop.webhook(receiver.url("/bad"), [CLICK])
    click, other = shop.publish(CLICK), shop.publish("conversion.created")
    until(lambda: {one["status_code"] for one in shop.deliveries()} == {200, 404}, "all attempts made")

    def found(**where: Any) -> set[tuple[str, str]]:
        return {(one["event_id"], one["webhook_id"]) for one in shop.pages("/v1/deliveries", limit=1, **where)}

    everything = {(click["id"], good["id"]), (click["id"], bad["id"]), (other["id"], good["id"])}
    assert found() == everything
    assert found(webhook=bad["id"]) == {(click["id"], bad["id"])}
    assert found(event=other["id"]) == {(other["id"], good["id"])}
    assert found(type=CLICK) == {(click["id"], good["id"]), (click["id"], bad["id"])}
    assert found(status="succeeded") == {(click["id"], good["id"]), (other["id"], good["id"])}
    assert found(status="retrying", code=404) == {(click["id"], bad["id"])}
    assert found(channel="standard") == everything
    assert found(channel="slack") == set()
    assert found(since="2026-01-01T00:00:00Z") == everything
    assert found(until="2026-01-01T00:00:00Z") == set()
