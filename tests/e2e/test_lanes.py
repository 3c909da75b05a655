"""Each webhook has a lane of its own: a slow one delays nobody, and its limits hold."""

import pytest

from tests.support.api import Shop
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer, Hang
from tests.support.server import Server
from tests.support.waiting import until


@pytest.fixture
def shop(server: Server) -> Shop:
    return server.operator.shop()


def test_a_hanging_receiver_delays_no_other(shop: Shop, receiver: LedgerReceiver) -> None:
    """Everything for ten healthy webhooks has arrived while all that went to the hanging one still waits."""
    healthy = [f"/healthy-{i}" for i in range(10)]
    hanging = shop.webhook(receiver.url("/hanging"))
    receiver.script("/hanging", Hang())
    for path in healthy:
        shop.webhook(receiver.url(path))
    for _ in range(10):
        shop.publish_batch([shop.event() for _ in range(20)])
    for path in healthy:
        receiver.wait_for(path, 200)
        assert set(receiver.counts(path).values()) == {1}
    states = {delivery["status"] for delivery in shop.deliveries(webhook=hanging["id"])}
    assert receiver.in_flight("/hanging") >= 1
    assert states <= {"pending", "sending", "retrying"}


def test_max_in_flight_is_never_exceeded(shop: Shop, receiver: LedgerReceiver) -> None:
    """A webhook's receiver sees as many requests at once as it allows, and no more, also after a change."""
    hook = shop.webhook(receiver.url("/narrow"), max_in_flight=3)
    receiver.script("/narrow", Answer(after_s=0.02))
    shop.publish_batch([shop.event() for _ in range(60)])
    receiver.wait_for("/narrow", 60)
    assert receiver.most_at_once("/narrow") == 3

    shop.change(hook["id"], max_in_flight=1, url=receiver.url("/narrower"))
    receiver.script("/narrower", Answer(after_s=0.02))
    shop.publish_batch([shop.event() for _ in range(20)])
    receiver.wait_for("/narrower", 20)
    assert receiver.most_at_once("/narrower") == 1


def test_the_rate_limit_holds(shop: Shop, receiver: LedgerReceiver) -> None:
    """However many deliveries wait, they start at the webhook's pace, and all arrive."""
    rate = 20
    shop.webhook(receiver.url("/paced"), rate_limit=rate)
    shop.publish_batch([shop.event() for _ in range(50)])
    arrivals = receiver.wait_for("/paced", 50)
    gaps = [later.at - earlier.at for earlier, later in zip(arrivals, arrivals[rate:], strict=False)]
    assert min(gaps) >= 0.9  # twenty starts apart is a second; requests themselves take some milliseconds
    assert set(receiver.counts("/paced").values()) == {1}


def test_one_accounts_backlog_delays_no_other_account(server: Server, shop: Shop, receiver: LedgerReceiver) -> None:
    """An account with hundreds of hanging deliveries takes nothing from another one's."""
    receiver.script("/flooded", Hang())
    shop.webhook(receiver.url("/flooded"))
    shop.publish_batch([shop.event() for _ in range(500)])
    until(lambda: receiver.in_flight("/flooded") >= 1, "the flood at its receiver")
    other = server.operator.shop("other")
    other.webhook(receiver.url("/other"))
    receipts = [other.publish() for _ in range(20)]
    receiver.wait_for("/other", 20)
    assert receiver.counts("/other") == {receipt["id"]: 1 for receipt in receipts}
    assert not any(arrival.ok for arrival in receiver.arrivals("/flooded"))


def test_one_account_cannot_take_all_places(server: Server, shop: Shop, receiver: LedgerReceiver) -> None:
    """Its webhooks could have more attempts under way than the server has places, and none of them ends."""
    paths = [f"/many-{n}" for n in range(160)]
    for path in paths:
        shop.webhook(receiver.url(path))
        receiver.script(path, Hang())
    other = server.operator.shop("beside many")
    other.webhook(receiver.url("/beside"))
    shop.publish_batch([shop.event() for _ in range(10)])
    until(lambda: sum(receiver.in_flight(path) for path in paths) >= 450, "half of the places taken")
    for _ in range(20):
        other.publish()
    receiver.wait_for("/beside", 20)
    arrived = sum(len(receiver.arrivals(path)) for path in paths)
    assert arrived == sum(receiver.in_flight(path) for path in paths), "before any of them was given up"
