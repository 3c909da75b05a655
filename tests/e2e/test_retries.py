"""Retries for real, on the profile's schedule, with `TOCSIN_RETRY_SCALE` making hours into seconds."""

import itertools
import time
from collections.abc import Callable
from email.utils import formatdate

from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer, Reset
from tests.support.server import Server
from tocsin.clock import parse_rfc3339

# CONTRACT §4, standard: 5s 5m 30m 2h 5h 10h 14h 20h 24h.
SCHEDULE_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)

StartServer = Callable[..., Server]


def test_retries_follow_the_schedule(start_server: StartServer, receiver: LedgerReceiver) -> None:
    """Nine retries, each counted from the end of the attempt before it: never early, 10 % or 1 s late at most."""
    scale = 0.00003  # 75.6 hours become 8 seconds
    shop = start_server(retry_scale=scale).operator.shop()
    hook = shop.webhook(receiver.url("/down"))
    receiver.script("/down", Answer(500, after_s=0.05))
    receipt = shop.publish()

    delivery = shop.wait_delivery(receipt["id"], hook["id"], "failed", 30)
    arrivals = receiver.arrivals("/down")
    assert len(arrivals) == len(SCHEDULE_S) + 1
    for delay_s, (before, after) in zip(SCHEDULE_S, itertools.pairwise(arrivals), strict=True):
        waited_s = after.at - before.answered_at
        least_s = delay_s * scale
        assert least_s <= waited_s <= least_s + max(0.1 * least_s, 1.0)
    attempts = delivery["attempts"]
    assert sorted(attempt["n"] for attempt in attempts) == list(range(1, 11))
    assert {attempt["status_code"] for attempt in attempts} == {500}


def test_a_retry_carries_the_same_id_and_a_fresh_signature(start_server: StartServer, receiver: LedgerReceiver) -> None:
    """The id is the receiver's to deduplicate by; the timestamp is the attempt's own, and verifies."""
    shop = start_server(retry_scale=0.3).operator.shop()  # 5 s become 1.5: another second, another timestamp
    hook = shop.webhook(receiver.url("/flaky"))
    receiver.trust("/flaky", hook["secret"])
    receiver.script("/flaky", Reset(), Answer())
    shop.publish()
    first, second = receiver.wait_for("/flaky", 2)
    assert first.id == second.id
    assert first.body == second.body
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    assert first.verified
    assert second.verified


def test_retry_after_lengthens_a_delay(start_server: StartServer, receiver: LedgerReceiver) -> None:
    """Seconds and dates on 429 and 503 are honoured; without them, and on other statuses, the schedule counts."""
    shop = start_server(retry_scale=0.002).operator.shop()  # 5 s become 10 ms
    at = int(time.time()) + 3
    asked = {
        "/seconds": Answer(429, {"Retry-After": "2"}),
        "/date": Answer(503, {"Retry-After": formatdate(at, usegmt=True)}),
        "/junk": Answer(503, {"Retry-After": "soon"}),
        "/other": Answer(500, {"Retry-After": "2"}),
    }
    for path, answer in asked.items():
        receiver.script(path, answer, Answer())
        shop.webhook(receiver.url(path))
    shop.publish()

    waited_s = {}
    for path in asked:
        first, second = receiver.wait_for(path, 2)
        waited_s[path] = second.at - first.answered_at
    assert 2.0 <= waited_s["/seconds"] <= 3.0
    assert at <= receiver.arrivals("/date")[1].at <= at + 1.0
    assert 0.01 <= waited_s["/junk"] <= 1.01
    assert 0.01 <= waited_s["/other"] <= 1.01


def test_a_day_is_the_longest_wait_that_a_receiver_can_ask_for(
    start_server: StartServer, receiver: LedgerReceiver
) -> None:
    """`Retry-After: 1000000000` puts the next attempt 24 hours off, and no further."""
    shop = start_server().operator.shop()
    hook = shop.webhook(receiver.url("/later"))
    receiver.script("/later", Answer(503, {"Retry-After": "1000000000"}))
    receipt = shop.publish()
    delivery = shop.wait_delivery(receipt["id"], hook["id"], "retrying")
    next_s = parse_rfc3339(delivery["next_attempt_at"]) / 1000
    wait_s = next_s - receiver.arrivals("/later")[0].answered_at
    assert 86_400 <= wait_s <= 86_400 * 1.1


def test_a_manual_retry_answers_with_what_really_happened(start_server: StartServer, receiver: LedgerReceiver) -> None:
    """A delivery that waits for its next attempt can be sent now; the answer is that attempt."""
    shop = start_server().operator.shop()
    hook = shop.webhook(receiver.url("/mended"))
    receiver.script("/mended", Answer(500), Answer(502), Answer(200, body=b"at last"))
    receipt = shop.publish()
    delivery = shop.wait_delivery(receipt["id"], hook["id"], "retrying")

    still_down = shop.post(f"/v1/deliveries/{delivery['id']}/retry")
    assert (still_down["outcome"], still_down["status_code"]) == ("http_error", 502)
    assert shop.delivery(delivery["id"])["status"] == "retrying"
    up = shop.post(f"/v1/deliveries/{delivery['id']}/retry")
    assert (up["outcome"], up["status_code"]) == ("succeeded", 200)
    assert shop.delivery(delivery["id"])["status"] == "succeeded"
    assert [attempt["n"] for attempt in shop.delivery(delivery["id"])["attempts"]] in ([1, 2, 3], [3, 2, 1])
