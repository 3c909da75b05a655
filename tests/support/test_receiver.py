"""The ledger itself: a receiver that overlooks something would make every end-to-end test pass."""

import http.client
import threading
from datetime import UTC, datetime

from standardwebhooks import Webhook

from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer, CloseWhenReused
from tests.support.waiting import until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = '{"type":"click.created","timestamp":"2026-01-01T00:00:00Z","data":{"n":1}}'


def _post(receiver: LedgerReceiver, path: str, *, secret: str = SECRET, times: int = 1) -> list[int | None]:
    """Posts over one connection as long as it lasts; the statuses, None where no answer came."""
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=5)
    at = datetime.now(UTC)
    statuses: list[int | None] = []
    for _ in range(times):
        headers = {
            "Webhook-Id": "evt_1",
            "Webhook-Timestamp": str(int(at.timestamp())),
            "Webhook-Signature": Webhook(secret).sign("evt_1", at, BODY),
        }
        try:
            connection.request("POST", path, BODY, headers)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        except (OSError, http.client.HTTPException):
            statuses.append(None)
            connection.close()
    connection.close()
    return statuses


def test_the_ledger_tells_a_right_signature_from_a_wrong_one(receiver: LedgerReceiver) -> None:
    """What fits a trusted secret is verified; what does not has a fault; what came without trust is neither."""
    _post(receiver, "/untrusted")
    receiver.trust("/trusted", SECRET)
    _post(receiver, "/trusted")
    _post(receiver, "/trusted", secret="whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
    [unknown] = receiver.arrivals("/untrusted")
    right, wrong = receiver.arrivals("/trusted")
    assert (unknown.verified, unknown.fault) == (False, None)
    assert (right.verified, right.fault) == (True, None)
    assert not wrong.verified
    assert wrong.fault
    assert right.id == "evt_1"
    assert right.data == {"n": 1}
    assert receiver.counts("/trusted") == {"evt_1": 2}


def test_a_script_is_followed_and_noted(receiver: LedgerReceiver) -> None:
    """Replies are given one after the other, the last one from then on, and the ledger holds each status."""
    receiver.script("/scripted", Answer(500), Answer(202))
    assert _post(receiver, "/scripted", times=3) == [500, 202, 202]
    until(lambda: [arrival.answered for arrival in receiver.arrivals("/scripted")] == [500, 202, 202], "noted")
    assert [arrival.ok for arrival in receiver.arrivals("/scripted")] == [False, True, True]


def test_a_reused_connection_dies_unanswered(receiver: LedgerReceiver) -> None:
    """`CloseWhenReused` takes the request, closes, and the ledger says that it was not answered."""
    receiver.script("/dying", CloseWhenReused())
    assert _post(receiver, "/dying", times=3) == [200, None, 200]
    until(lambda: receiver.in_flight("/dying") == 0, "the end of all")
    assert [arrival.nth_on_connection for arrival in receiver.arrivals("/dying")] == [1, 2, 1]
    assert [arrival.ok for arrival in receiver.arrivals("/dying")] == [True, False, True]


def test_requests_at_once_are_counted(receiver: LedgerReceiver) -> None:
    """The most that waited together is remembered, and nothing waits in the end."""
    receiver.script("/slow", Answer(after_s=0.2))
    threads = [threading.Thread(target=_post, args=(receiver, "/slow")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert receiver.most_at_once("/slow") == 3
    assert receiver.in_flight("/slow") == 0
