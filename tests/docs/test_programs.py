"""The programs on the pages, in the cases that the pages do not show: refusals, forgeries, repetitions."""

import base64
import hmac
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.markdown import page
from tests.docs.session import free_port
from tests.docs.terminal import Program
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer, Close, Reset
from tests.support.waiting import until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENT = {"type": "billing.updated", "external_id": "invoice-1", "data": {"status": "paid"}}
RECEIPT = b'{"id":"evt_06f3k9w2zq8rt","type":"billing.updated","matched":0,"duplicate":false}'


def _program(name: str, title: str) -> str:
    [block] = [one for one in page(name).blocks if one.words.get("title") == title]
    return block.text


# --- the publisher ------------------------------------------------------------------------------------------------


def _publish(tmp_path: Path, receiver: LedgerReceiver) -> subprocess.CompletedProcess[str]:
    program = tmp_path / "publish.py"
    program.write_text(_program("docs/how-to/publish.md", "publish.py").replace("wait_s = 1.0", "wait_s = 0.01"))
    environ = os.environ | {"TOCSIN_URL": receiver.url(""), "TOCSIN_KEY": "tsn_test"}
    return subprocess.run(
        [sys.executable, program],
        input=json.dumps(EVENT),
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_publisher_repeats_until_the_event_is_stored(tmp_path: Path, receiver: LedgerReceiver) -> None:
    """503, a reset, silence and another server's 502 are followed by the same bytes again; 202 ends it."""
    receiver.script(
        "/v1/events",
        Answer(503, {"Retry-After": "0"}, b'{"code":"overloaded"}'),
        Reset(),
        Close(),
        Answer(502, body=b"<html>"),
        Answer(202, body=RECEIPT),
    )
    ended = _publish(tmp_path, receiver)
    assert ended.returncode == 0, ended.stderr
    assert "evt_06f3k9w2zq8rt" in ended.stdout
    arrivals = receiver.arrivals("/v1/events")
    assert len(arrivals) == 5
    assert [arrival.json for arrival in arrivals] == [EVENT] * 5
    assert {arrival.headers["authorization"] for arrival in arrivals} == {"Bearer tsn_test"}


def test_the_publisher_waits_as_long_as_it_is_told(tmp_path: Path, receiver: LedgerReceiver) -> None:
    """Retry-After lengthens its pause."""
    receiver.script("/v1/events", Answer(503, {"Retry-After": "1"}), Answer(200, body=RECEIPT))
    assert _publish(tmp_path, receiver).returncode == 0
    first, second = receiver.arrivals("/v1/events")
    assert second.at - first.at >= 1


def test_the_publisher_does_not_repeat_what_is_at_fault(tmp_path: Path, receiver: LedgerReceiver) -> None:
    """A 422 is raised with what the server said, after one request."""
    receiver.script("/v1/events", Answer(422, body=b'{"detail":"data is not a billing.updated"}'))
    ended = _publish(tmp_path, receiver)
    assert ended.returncode != 0
    assert "data is not a billing.updated" in ended.stderr
    assert len(receiver.arrivals("/v1/events")) == 1


# --- the receivers ------------------------------------------------------------------------------------------------


def _signed(body: bytes, *, at: float | None = None, secret: str = SECRET, id_: str = "evt_1") -> dict[str, str]:
    stamp = str(int(time.time() if at is None else at))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{id_}.{stamp}.".encode() + body, "sha256")
    return {
        "webhook-id": id_,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        "Content-Type": "application/json",
    }


@contextmanager
def _receiver(title: str, folder: Path) -> Iterator[tuple[str, Program]]:
    port = free_port(set())
    text = _program("docs/how-to/receive.md", title)
    program = folder / title
    program.write_text(text.replace("8000", str(port)).replace("3000", str(port)))
    command = [sys.executable, "-u", str(program)] if title.endswith(".py") else ["node", str(program)]
    running = Program(command, folder, os.environ | {"TOCSIN_WEBHOOK_SECRET": SECRET})
    try:
        until(lambda: "waiting for webhooks" in running.said, lambda: running.said, 20)
        yield f"http://127.0.0.1:{port}/hooks", running
    finally:
        running.kill()


def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize("title", ["receiver.py", "receiver.mjs"])
def test_a_receiver_takes_what_is_signed_and_nothing_else(title: str, tmp_path: Path) -> None:
    """Right, forged, cut, old, unsigned, without a time, and with two signatures of which one is right."""
    body = b'{"type":"cap.reached","timestamp":"2026-03-14T09:26:53Z","data":{}}'
    right = _signed(body)
    other = _signed(body, secret="whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
    both = {**right, "webhook-signature": f"{other['webhook-signature']} {right['webhook-signature']}"}
    with _receiver(title, tmp_path) as (url, running):
        assert _post(url, body, right) == 204
        assert _post(url, body, both) == 204
        assert _post(url, body, other) == 401
        assert _post(url, body + b" ", right) == 401
        assert _post(url, body, {**right, "webhook-id": "evt_2"}) == 401
        assert _post(url, body, {**right, "webhook-signature": right["webhook-signature"][:-3]}) == 401
        assert _post(url, body, _signed(body, at=time.time() - 400)) == 401
        assert _post(url, body, _signed(body, at=time.time() + 400)) == 401
        for missing in ("webhook-id", "webhook-timestamp", "webhook-signature"):
            assert _post(url, body, {name: value for name, value in right.items() if name != missing}) == 401
        until(lambda: "got cap.reached evt_1" in running.said, lambda: running.said)


def test_the_python_receiver_acts_once(tmp_path: Path) -> None:
    """The same id again is answered 2xx, and not acted upon."""
    body = b'{"type":"cap.reached","timestamp":"2026-03-14T09:26:53Z","data":{}}'
    with _receiver("receiver.py", tmp_path) as (url, running):
        assert _post(url, body, _signed(body)) == 204
        assert _post(url, body, _signed(body)) == 204
        assert _post(url, body, _signed(body, id_="evt_2")) == 204
        until(lambda: "evt_2" in running.said, lambda: running.said)
        assert running.said.count("got cap.reached") == 2
