"""Secrets rotate while the documents' receivers, each of which knows one secret, go on verifying. CONTRACT §3."""

from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.dialects.conftest import Starter
from tests.dialects.receiving import NOWHERE, RECEIVERS, Receiver, Subscription, event_id_of, subscribe
from tests.support.api import Json, Shop
from tests.support.receiver import LedgerReceiver
from tests.support.server import Server
from tests.support.waiting import until
from tocsin.profiles import load

# One for each profile, where what is shown does not depend on how its code compares.
ONE_EACH = ["cloakradar-php", "clickdefender-node", "trcker-node", "visits-python-token", "cue-python"]

_WAITED_FOR_S = 1  # a first retry that comes this soon is waited for; others are asked for


class Rotating(Subscription):
    def __init__(self, shop: Shop, hook: Json, receiver: Receiver, start: Starter) -> None:
        super().__init__(shop, hook, receiver)
        self.start = start

    def rotate(self, overlap_s: int) -> Receiver:
        """Gives it a new secret; a receiver that knows only that one."""
        answer = self.shop.post(f"/v1/webhooks/{self.id}/rotate-secret", {"overlap_s": overlap_s})
        assert answer["secret"] not in (None, self.secret)
        return self.start(self.kind, answer["secret"])

    def activate(self) -> None:
        self.shop.post(f"/v1/webhooks/{self.id}/rotate-secret/activate")

    def verified_by(self, receiver: Receiver) -> bool:
        """Whether a receiver verifies an event that is published now."""
        self.point_to(receiver)
        return receiver.last_of(self.publish()).verified

    def refused_by(self, receiver: Receiver) -> bool:
        """Whether it refuses a test; no delivery stays behind to be retried."""
        self.point_to(receiver)
        attempt = self.test()
        arrival = receiver.last_of(event_id_of(attempt))
        assert attempt["status_code"] == arrival.status
        assert self.kind.header in arrival.headers
        return not arrival.verified


@pytest.fixture
def rotating(request: pytest.FixtureRequest, server: Server, start_receiver: Starter) -> Rotating:
    kind = RECEIVERS[request.param]
    subscription = subscribe(server.operator.shop(request.param, kind.profile), kind, start_receiver)
    return Rotating(subscription.shop, subscription.hook, subscription.receiver, start_receiver)


each_receiver = pytest.mark.parametrize("rotating", RECEIVERS, indirect=True)
each_profile = pytest.mark.parametrize("rotating", ONE_EACH, indirect=True)


# --- dialects with one signature ----------------------------------------------------------------------------------


@each_receiver
def test_the_old_secret_signs_until_the_new_one_is_activated(rotating: Rotating) -> None:
    """The receiver goes on with what it knows; once it has been given the new secret, that is activated."""
    old, new = rotating.receiver, rotating.rotate(3600)
    assert rotating.verified_by(old)
    assert rotating.refused_by(new)
    rotating.activate()
    assert rotating.verified_by(new)
    assert rotating.refused_by(old)


@each_receiver
def test_without_an_overlap_the_new_secret_signs_at_once(rotating: Rotating) -> None:
    """As after a leak: what knows the old one only refuses from then on."""
    old, new = rotating.receiver, rotating.rotate(0)
    assert rotating.refused_by(old)
    assert rotating.verified_by(new)


@each_profile
def test_a_second_rotation_keeps_the_secret_in_use(rotating: Rotating) -> None:
    """The secret of the first one was never in use: it is passed over, and the receiver notices nothing."""
    old, second, third = rotating.receiver, rotating.rotate(3600), rotating.rotate(3600)
    assert rotating.verified_by(old)
    rotating.activate()
    assert rotating.verified_by(third)
    assert rotating.refused_by(second)
    assert rotating.refused_by(old)


@each_profile
def test_an_overlap_ends_by_itself(rotating: Rotating) -> None:
    """To the millisecond that the webhook shows: before it the old secret signs, after it the new one."""
    new = rotating.rotate(1)
    ends_at = rotating.shop.status(rotating.id)["secret_overlap_until"]
    attempt = rotating.test()
    assert (attempt["status_code"] == 200) == (attempt["started_at"] < ends_at)
    end = datetime.fromisoformat(ends_at)
    until(lambda: datetime.now(UTC) > end, "the overlap's end")
    assert rotating.verified_by(new)
    assert rotating.refused_by(rotating.receiver)
    assert rotating.shop.status(rotating.id)["secret_overlap_until"] is None


# --- deliveries that began before ---------------------------------------------------------------------------------


def _begun(rotating: Rotating) -> str:
    """A delivery whose first attempt found nobody there."""
    rotating.shop.change(rotating.id, url=NOWHERE)
    event_id = rotating.publish()
    rotating.shop.wait_delivery(event_id, rotating.id, "retrying")
    return event_id


def _retried(rotating: Rotating, event_id: str, receiver: Receiver) -> bool:
    """Whether the receiver verifies the next retry, and so ends the delivery."""
    rotating.point_to(receiver)
    if load(rotating.kind.profile).schedule_s[0] > _WAITED_FOR_S:
        delivery = rotating.shop.delivery_of(event_id, rotating.id)
        rotating.shop.post(f"/v1/deliveries/{delivery['id']}/retry")
    delivery = rotating.shop.wait_delivery(event_id, rotating.id, "succeeded", 30)
    assert len(delivery["attempts"]) >= 2
    assert [attempt["outcome"] == "succeeded" for attempt in delivery["attempts"]].index(True) > 0
    # The ledger comes through a pipe, and may be behind the API.
    return until(lambda: receiver.last_of(event_id).verified, "a request that verifies")


@each_profile
@pytest.mark.parametrize("overlap_s", [3600, 0])
def test_a_retry_is_signed_with_the_secret_of_its_own_moment(rotating: Rotating, overlap_s: int) -> None:
    """A delivery that began before a rotation is no exception: each attempt is signed afresh."""
    event_id = _begun(rotating)
    new = rotating.rotate(overlap_s)
    assert _retried(rotating, event_id, rotating.receiver if overlap_s else new)


@each_profile
def test_what_a_receiver_refused_too_early_verifies_after_the_activation(rotating: Rotating) -> None:
    """A receiver that was given the new secret too soon refuses; activating mends the deliveries that wait."""
    new = rotating.rotate(3600)
    rotating.point_to(new)
    event_id = rotating.publish()
    assert not new.last_of(event_id).verified
    rotating.shop.wait_delivery(event_id, rotating.id, "retrying")
    rotating.activate()
    assert _retried(rotating, event_id, new)


# --- without a secret ---------------------------------------------------------------------------------------------


def test_a_webhook_without_a_secret_gets_one_by_rotation(server: Server, start_receiver: Starter) -> None:
    """trcker signs only if a secret was given; a rotation gives one, which signs at once: there is no old one."""
    kind = RECEIVERS["trcker-node"]
    shop = server.operator.shop("unsigned", kind.profile)
    unaware = start_receiver(kind, "no webhook has this secret")
    hook = shop.webhook(unaware.url)
    assert hook["secret"] is None
    rotating = Rotating(shop, hook, unaware, start_receiver)
    attempt = rotating.test()
    unsigned = unaware.last_of(event_id_of(attempt))
    assert kind.header not in unsigned.headers
    assert {"x-trcker-event", "x-trcker-webhook-id"} <= unsigned.headers.keys()

    aware = rotating.rotate(3600)
    assert rotating.verified_by(aware)
    assert rotating.refused_by(unaware)
    assert rotating.shop.status(hook["id"])["secret_overlap_until"] is None


# --- the dialect whose header holds two ---------------------------------------------------------------------------


def _verifies(secret: str, receiver: LedgerReceiver, event_id: str) -> bool:
    until(lambda: receiver.counts("/")[event_id], "its arrival")
    [arrival] = [arrival for arrival in receiver.arrivals("/") if arrival.id == event_id]
    try:
        Webhook(secret).verify(arrival.body, arrival.headers)
    except WebhookVerificationError:
        return False
    return True


def test_standard_signs_with_both(server: Server, receiver: LedgerReceiver) -> None:
    """Either secret verifies during the overlap, and the new one alone after it, by the reference code."""
    shop = server.operator.shop()
    hook = shop.webhook(receiver.url("/"))
    path = f"/v1/webhooks/{hook['id']}/rotate-secret"
    old, new = hook["secret"], shop.post(path, {"overlap_s": 3600})["secret"]
    event_id = shop.publish()["id"]
    assert [_verifies(secret, receiver, event_id) for secret in (old, new)] == [True, True]
    shop.post(f"{path}/activate")
    event_id = shop.publish()["id"]
    assert [_verifies(secret, receiver, event_id) for secret in (old, new)] == [False, True]
    last = shop.post(path, {"overlap_s": 0})["secret"]
    event_id = shop.publish()["id"]
    assert [_verifies(secret, receiver, event_id) for secret in (old, new, last)] == [False, False, True]
