"""Webhooks that are disabled, muted or gone: what waits is held, not lost, and the reason is told."""

import time
from collections.abc import Callable

import pytest

from tests.support.api import Shop
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tests.support.server import Server
from tests.support.waiting import until

StartServer = Callable[..., Server]


@pytest.fixture
def shop(start_server: StartServer) -> Shop:
    return start_server(retry_scale=0.1).operator.shop()  # the first retry comes after half a second


def test_410_disables_at_once(shop: Shop, receiver: LedgerReceiver) -> None:
    """A receiver that answers 410 gets nothing more, and the webhook says why."""
    hook = shop.webhook(receiver.url("/gone"))
    receiver.script("/gone", Answer(410))
    shop.publish()
    until(lambda: shop.status(hook["id"])["status"] == "disabled", "disabled")
    assert "410" in shop.status(hook["id"])["status_reason"]
    assert shop.publish()["matched"] == 0
    assert len(receiver.arrivals("/gone")) == 1


def test_a_disabled_webhook_holds_and_then_resumes(shop: Shop, receiver: LedgerReceiver) -> None:
    """What waited when a webhook was disabled goes out once it is enabled; what came meanwhile made no delivery."""
    hook = shop.webhook(receiver.url("/held"))
    receiver.script("/held", Answer(500), Answer())
    waiting = shop.publish()
    shop.wait_delivery(waiting["id"], hook["id"], "retrying")
    shop.post(f"/v1/webhooks/{hook['id']}/disable")
    meanwhile = shop.publish()
    assert meanwhile["matched"] == 0

    # Another webhook's traffic and a passed due time show that it is held, not merely late.
    shop.webhook(receiver.url("/other"))
    shop.publish()
    receiver.wait_for("/other", 1)
    failed_at = receiver.arrivals("/held")[0].answered_at
    until(lambda: time.time() > failed_at + 1.5, "a second beyond the retry's time")
    assert len(receiver.arrivals("/held")) == 1
    assert shop.delivery_of(waiting["id"], hook["id"])["status"] == "retrying"

    shop.post(f"/v1/webhooks/{hook['id']}/enable", {"held": "resume"})
    receiver.wait_for("/held", 2)
    shop.wait_delivery(waiting["id"], hook["id"], "succeeded")
    assert set(receiver.counts("/held")) == {waiting["id"]}


def test_enabling_can_drop_what_was_held(shop: Shop, receiver: LedgerReceiver) -> None:
    """With ``held: drop`` the waiting deliveries end as cancelled, and new events are delivered again."""
    hook = shop.webhook(receiver.url("/dropped"))
    receiver.script("/dropped", Answer(500), Answer())
    waiting = shop.publish()
    shop.wait_delivery(waiting["id"], hook["id"], "retrying")
    shop.post(f"/v1/webhooks/{hook['id']}/disable")
    shop.post(f"/v1/webhooks/{hook['id']}/enable", {"held": "drop"})
    shop.wait_delivery(waiting["id"], hook["id"], "cancelled")
    fresh = shop.publish()
    receiver.wait_for("/dropped", 2)
    assert receiver.counts("/dropped") == {waiting["id"]: 1, fresh["id"]: 1}


def test_a_muted_webhook_holds_until_it_is_unmuted(shop: Shop, receiver: LedgerReceiver) -> None:
    """Events that come while a webhook is muted wait for it and arrive once, when the mute is lifted."""
    hook = shop.webhook(receiver.url("/muted"))
    shop.post(f"/v1/webhooks/{hook['id']}/mute", {"hours": 1})
    receipts = [shop.publish() for _ in range(5)]
    shop.webhook(receiver.url("/other"))
    shop.publish()
    receiver.wait_for("/other", 1)
    assert [receipt["matched"] for receipt in receipts] == [1] * 5
    assert receiver.arrivals("/muted") == []
    shop.post(f"/v1/webhooks/{hook['id']}/mute", {"hours": 0})
    receiver.wait_for("/muted", 5)
    assert {receipt["id"] for receipt in receipts} <= set(receiver.counts("/muted"))
    assert set(receiver.counts("/muted").values()) == {1}


def test_a_test_is_sent_while_disabled(shop: Shop, receiver: LedgerReceiver) -> None:
    """A test goes out marked as one, answers with the attempt as it went, and needs no enabled webhook."""
    hook = shop.webhook(receiver.url("/tested"), enabled=False)
    receiver.trust("/tested", hook["secret"])
    receiver.script("/tested", Answer(418, body=b"short and stout"))
    attempt = shop.post(f"/v1/webhooks/{hook['id']}/test")
    [arrival] = receiver.wait_for("/tested", 1)
    assert arrival.headers["tocsin-test"] == "true"
    assert arrival.verified
    assert attempt["status_code"] == 418
    assert attempt["outcome"] == "http_error"
    assert shop.status(hook["id"])["status"] == "disabled"


def test_a_deleted_webhook_gets_nothing_more(shop: Shop, receiver: LedgerReceiver) -> None:
    """Deleting a webhook ends its waiting deliveries and its matches."""
    hook = shop.webhook(receiver.url("/deleted"))
    receiver.script("/deleted", Answer(500))
    waiting = shop.publish()
    shop.wait_delivery(waiting["id"], hook["id"], "retrying")
    shop.ok("DELETE", f"/v1/webhooks/{hook['id']}")
    shop.wait_delivery(waiting["id"], hook["id"], "cancelled")
    assert shop.publish()["matched"] == 0
    assert len(receiver.arrivals("/deleted")) == 1


def test_a_webhook_that_failed_says_so_and_its_events_are_kept(start_server: StartServer, receiver: LedgerReceiver):
    """In a dialect that gives a webhook up with a delivery, what comes then makes no deliveries, and says why."""
    shop = start_server(retry_scale=0.0001).operator.shop(profile="cloakradar")
    hook = shop.webhook(receiver.url("/failing"))
    receiver.script("/failing", Answer(500))
    doomed = shop.publish("click.new")
    shop.wait_delivery(doomed["id"], hook["id"], "failed")
    until(lambda: shop.status(hook["id"])["status"] == "failed", "failed")
    assert "500" in shop.status(hook["id"])["status_reason"]
    assert shop.publish("click.new")["matched"] == 0
    meanwhile = shop.get(f"/v1/events/{shop.publish('click.new')['id']}")
    assert meanwhile["data"] == shop.example("click.new")
    assert meanwhile["deliveries"] == []
    [why] = meanwhile["routing"]
    assert (why["webhook_id"], why["matched"]) == (hook["id"], False)
    assert "failed" in why["reason"]
    shop.post(f"/v1/webhooks/{hook['id']}/enable")
    assert shop.publish("click.new")["matched"] == 1
    until(lambda: len(receiver.counts("/failing")) == 2, "the new one's arrival")
