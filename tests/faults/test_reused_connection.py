"""A connection that was kept and dies unanswered when it is used again, as load balancers do to their clients."""

from collections.abc import Callable

from tests.support.receiver import LedgerReceiver
from tests.support.replies import CloseWhenReused
from tests.support.server import Server


def test_a_reused_connection_that_dies_unanswered_loses_nothing(
    start_server: Callable[..., Server], receiver: LedgerReceiver
) -> None:
    """Every event is taken exactly once, and whatever else arrived is in the log: as an attempt that lost its
    connection, or as an attempt that says it was sent again.
    """
    shop = start_server(retry_scale=0.002).operator.shop()
    hook = shop.webhook(receiver.url("/balanced"))
    receiver.trust("/balanced", hook["secret"])
    receiver.script("/balanced", CloseWhenReused())
    events = []
    for _ in range(20):
        events.append(shop.publish()["id"])
        shop.wait_delivery(events[-1], hook["id"], "succeeded")  # one by one, so that the connection is at rest

    arrivals = receiver.arrivals("/balanced")
    assert any(arrival.nth_on_connection > 1 for arrival in arrivals), "no connection was ever used again"
    assert all(arrival.verified for arrival in arrivals)
    assert sorted(arrival.id for arrival in arrivals if arrival.ok) == sorted(events)
    for event in events:
        attempts = shop.delivery_of(event, hook["id"])["attempts"]
        told = sum(2 if attempt["resent"] else 1 for attempt in attempts)
        assert told == receiver.counts("/balanced")[event]
