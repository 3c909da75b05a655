"""Stops, kills and starts: what was accepted is delivered by whoever comes next."""

import http.client
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import apsw

from tests.support.api import CLICK
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tests.support.server import Server
from tests.support.waiting import until

StartServer = Callable[..., Server]


def _succeeded(server: Server) -> int:
    """How many deliveries are written down as such, in the database of a server that is dead."""
    with closing(apsw.Connection(str(server.db))) as database:
        [[number]] = database.execute("SELECT count(*) FROM delivery WHERE state = 20")
    return int(number)


def test_a_stop_under_load_loses_and_repeats_nothing(start_server: StartServer, receiver: LedgerReceiver) -> None:
    """SIGTERM while events pour in: it ends within 35 s, and after the next start each accepted event has arrived
    exactly once.
    """
    server = start_server()
    shop = server.operator.shop()
    hook = shop.webhook(receiver.url("/load"), max_in_flight=20)
    receiver.trust("/load", hook["secret"])
    receiver.script("/load", Answer(after_s=0.03))  # slower than they come: a backlog grows
    shop.example(CLICK)
    accepted: list[str] = []

    def publish() -> None:
        while True:
            try:
                answer = shop.call("POST", "/v1/events/batch", {"events": [shop.event() for _ in range(10)]})
            except (OSError, http.client.HTTPException):
                return
            if answer.status != 202:
                return
            accepted.extend(result["id"] for result in answer.json["results"])

    publishers = [threading.Thread(target=publish, daemon=True) for _ in range(4)]
    for publisher in publishers:
        publisher.start()
    receiver.wait_for("/load", 100)
    assert server.stop() == 0
    for publisher in publishers:
        publisher.join(10)
    assert not any(publisher.is_alive() for publisher in publishers)
    assert len(receiver.arrivals("/load")) < len(accepted), "there was no backlog to lose"

    server.restart()
    shop.change(hook["id"], max_in_flight=None)
    receiver.script("/load", Answer())
    receiver.wait_for("/load", len(accepted), 40)
    until(lambda: not shop.deliveries(status="pending"), "all settled")
    assert receiver.counts("/load") == dict.fromkeys(accepted, 1)
    assert all(arrival.verified for arrival in receiver.arrivals("/load"))


def test_a_start_takes_up_the_backlog(start_server: StartServer, receiver: LedgerReceiver) -> None:
    """Deliveries that had not been sent when the server was killed go out after the next start."""
    server = start_server()
    shop = server.operator.shop()
    shop.webhook(receiver.url("/slow"), max_in_flight=1)
    receiver.script("/slow", Answer(after_s=0.02))
    receipts = shop.publish_batch([shop.event() for _ in range(60)])
    receiver.wait_for("/slow", 3)
    server.kill9()
    taken = len(receiver.arrivals("/slow"))
    assert taken < 60
    unsettled = taken - _succeeded(server)  # under way, or answered and not written down yet
    server.restart()
    until(lambda: {receipt["id"] for receipt in receipts} == set(receiver.counts("/slow")), "all of the backlog")
    # And one that was on its way, and not in the ledger yet.
    assert 60 <= sum(receiver.counts("/slow").values()) <= 60 + unsettled + 1, unsettled


def test_a_start_takes_up_due_retries(start_server: StartServer, receiver: LedgerReceiver) -> None:
    """A retry that fell due while the server was down is made after it is back, as the next attempt in the log."""
    server = start_server(retry_scale=0.2)  # the first retry comes after one second
    shop = server.operator.shop()
    hook = shop.webhook(receiver.url("/down"))
    receiver.script("/down", Answer(500), Answer())
    receipt = shop.publish()
    shop.wait_delivery(receipt["id"], hook["id"], "retrying")
    assert server.stop() == 0
    failed_at = receiver.arrivals("/down")[0].answered_at
    server.restart()
    second = receiver.wait_for("/down", 2)[1]
    assert second.at >= failed_at + 1.0
    assert len(shop.wait_delivery(receipt["id"], hook["id"], "succeeded")["attempts"]) == 2


def test_an_event_for_many_webhooks_survives_a_kill(start_server: StartServer, receiver: LedgerReceiver) -> None:
    """One event for 600 webhooks is fanned out in pieces by a durable job: killed when the first deliveries are
    claimed, it still reaches each webhook, and none twice but those that were under way.
    """
    server = start_server()
    shop = server.operator.shop()
    paths = [f"/fan-{i}" for i in range(600)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: shop.webhook(receiver.url(path)), paths))
    server.restart("after_claim:2")
    receipt = shop.publish()
    assert receipt["matched"] == len(paths)
    assert server.wait_end(20) == -signal.SIGKILL
    before = {path for path in paths if receiver.arrivals(path)}
    assert len(before) < len(paths), "it died too late"

    server.restart()
    until(lambda: all(receiver.arrivals(path) for path in paths), "each webhook reached", 30)
    until(lambda: len(shop.deliveries(event=receipt["id"], status="succeeded")) == len(paths), "all settled", 30)
    assert {arrival.id for arrival in receiver.arrivals()} == {receipt["id"]}
    assert {path for path in paths if len(receiver.arrivals(path)) > 1} <= before
    assert max(len(receiver.arrivals(path)) for path in paths) <= 2
