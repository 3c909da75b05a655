"""Receivers that drip, flood, lie or die: each attempt is cut within its limits and recorded as it really went."""

import gzip
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.support.api import Json
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer, Close, Drip, Flood, Hang, Raw, Reply, Reset
from tests.support.server import Server

_TIME_LIMIT_S = 15  # CONTRACT §4: standard
_SHOWN = 16 << 10  # CONTRACT §8: at most 16 KiB of an answer is read
_OK = b"HTTP/1.1 200 OK\r\n"


@dataclass(frozen=True)
class Case:
    reply: Reply
    outcomes: tuple[str, ...]  # any of these is true
    status: int | None


_CASES = {
    "hangs": Case(Hang(), ("timeout",), None),
    "drips-headers": Case(
        Drip(itertools.chain([_OK], itertools.repeat(b"X-More: 1\r\n", 100)), every_s=0.5), ("timeout",), 200
    ),
    "drips-body": Case(
        Drip(itertools.chain([_OK + b"Content-Length: 9999\r\n\r\n"], itertools.repeat(b"x", 100)), every_s=0.5),
        ("timeout",),
        200,
    ),
    "never-closes": Case(Raw(_OK + b"\r\nso far", close=False), ("timeout",), 200),
    "endless-1xx": Case(
        Flood(b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 100, 1 << 30), ("timeout", "protocol_error"), None
    ),
    "endless-header": Case(Flood(_OK + b"X-Long: ", b"x" * 65_536, 1 << 30), ("protocol_error",), 200),
    "ten-gigabytes": Case(
        Flood(_OK + b"Content-Length: 10000000000\r\n\r\n", b"x" * 65_536, 10_000_000_000), ("succeeded",), 200
    ),
    "bomb": Case(Answer(200, {"Content-Encoding": "gzip"}, gzip.compress(bytes(10_000_000))), ("succeeded",), 200),
    "garbage-after": Case(Raw(_OK + b"Content-Length: 2\r\n\r\nokHTTP/9.9 \x00\xff garbage"), ("succeeded",), 200),
    "garbage": Case(Raw(b"\x16\x03\x01\x00\x00not http at all\r\n\r\n"), ("protocol_error",), None),
    "cut-short": Case(Raw(_OK + b"Content-Length: 100\r\n\r\nhalf"), ("connection_lost",), 200),
    "reset": Case(Reset(), ("connection_lost",), None),
    "closed": Case(Close(), ("connection_lost",), None),
    "redirects": Case(Answer(307, {"Location": "/trap"}), ("redirected",), 307),
}


@pytest.mark.slow
def test_each_is_cut_at_its_limit_and_recorded_truthfully(
    start_server: Callable[..., Server], receiver: LedgerReceiver
) -> None:
    """All of them at once, beside a well one: what is recorded is what happened, and memory stays flat."""
    server = start_server(retry_scale=100)  # one attempt each is what is looked at
    shop = server.operator.shop()
    hooks = {}
    for name, case in _CASES.items():
        receiver.script(f"/{name}", case.reply)
        hooks[name] = shop.webhook(receiver.url(f"/{name}"))["id"]
    well = shop.webhook(receiver.url("/well"))
    before_bytes = server.rss_bytes()

    receipt = shop.publish()
    shop.wait_delivery(receipt["id"], well["id"], "succeeded")
    wrong = {}
    for name, case in _CASES.items():
        wanted = "succeeded" if "succeeded" in case.outcomes else "retrying"
        [attempt] = shop.wait_delivery(receipt["id"], hooks[name], wanted, 25)["attempts"]
        if fault := _fault(case, attempt):
            wrong[name] = fault
    assert wrong == {}
    assert server.rss_bytes() - before_bytes < 50 << 20
    assert receiver.arrivals("/trap") == []
    assert not any(receiver.in_flight(f"/{name}") for name in _CASES), "a connection was not let go"


def _fault(case: Case, attempt: Json) -> str | None:
    """What is untrue of an attempt's record."""
    if attempt["outcome"] not in case.outcomes:
        return f"outcome {attempt['outcome']}, not {case.outcomes} ({attempt['error']})"
    if attempt["status_code"] != case.status:
        return f"status {attempt['status_code']}, not {case.status}"
    if (attempt["outcome"] == "succeeded") != (attempt["error"] is None):
        return f"error: {attempt['error']}"
    if len((attempt["response"] or {}).get("body") or "") > _SHOWN:
        return "more than 16 KiB is kept"
    if attempt["duration_ms"] > (_TIME_LIMIT_S + 1) * 1000:
        return f"it took {attempt['duration_ms']} ms"
    if attempt["outcome"] == "timeout" and attempt["duration_ms"] < (_TIME_LIMIT_S - 0.5) * 1000:
        return f"the time limit passed after {attempt['duration_ms']} ms"
    return None
