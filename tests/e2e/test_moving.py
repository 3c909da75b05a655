"""A live installation moves from SQLite to PostgreSQL: whoever published, and whoever receives, notices nothing."""

import asyncio
import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.api import CLICK
from tests.support.postgres import drop, empty_database
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tests.support.server import Server
from tests.support.waiting import until

StartServer = Callable[..., Server]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    yield asyncio.run(empty_database(tmp_path))
    asyncio.run(drop(tmp_path))


def tocsin(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")} | variables
    command = [sys.executable, "-m", "tocsin", *map(str, arguments)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)


def test_a_live_installation_moves(
    url: str, start_server: StartServer, receiver: LedgerReceiver, tmp_path: Path
) -> None:
    """Moved beside the server, then killed, moved wholly, and started anew: what was waiting and what was to be tried
    again arrives under its ids and signatures, keys go on, and what was published twice is known.
    """
    server = start_server(retry_scale=0.02)
    shop = server.operator.shop(external_id="brand-1")
    failing, slow = (shop.webhook(receiver.url(path), max_in_flight=2) for path in ("/failing", "/slow"))
    receiver.trust("/failing", failing["secret"])
    receiver.trust("/slow", slow["secret"])
    receiver.script("/failing", Answer(500))
    receiver.script("/slow", Answer(after_s=0.1))
    shop.example(CLICK)
    receipts = shop.publish_batch([shop.event(external_id=f"e{n}") for n in range(40)])
    until(lambda: shop.deliveries(webhook=failing["id"], status="retrying"), "a first retry")
    file, origin = server.db, f"sqlite:///{server.db}"

    beside = tocsin("migrate", "--from", origin, "--to", url)
    assert beside.returncode == 1
    assert "stop it, then run the same command again" in beside.stderr
    ran = tocsin("serve", "--port", "0", TOCSIN_DB=url, TOCSIN_SECRET_KEY=base64.b64encode(bytes(32)).decode())
    assert ran.returncode == 2
    assert "is being filled from" in ran.stderr
    assert "is being filled from" in tocsin("doctor", TOCSIN_DB=url).stdout

    receipts += shop.publish_batch([shop.event(external_id=f"e{n}") for n in range(40, 50)])
    server.kill9()
    assert len(receiver.arrivals("/slow")) < 50  # else nothing is left to be delivered
    attempted = {one.id for one in receiver.arrivals("/failing")}
    moved = tocsin("migrate", "--from", origin, TOCSIN_DB=url)
    assert moved.returncode == 0, moved
    assert "counted and compared" in moved.stderr
    assert f"openssl base64 -A -in {file}.key" in moved.stderr
    ran = tocsin("serve", "--port", "0", "--db", origin)
    assert ran.returncode == 2
    assert "was moved to postgresql://" in ran.stderr
    assert "was moved to postgresql://" in tocsin("doctor", "--db", origin).stdout

    receiver.script("/failing", Answer())
    receiver.script("/slow", Answer())
    key = base64.b64encode(file.with_name(f"{file.name}.key").read_bytes()).decode()
    after = start_server(db=url, secret_key=key, retry_scale=0.02, admin_key=server.operator_key)
    server.url = after.url  # where clients look for it
    ids = {receipt["id"] for receipt in receipts}
    for path, hook in (("/failing", failing), ("/slow", slow)):
        ended = partial(shop.deliveries, webhook=hook["id"], status="succeeded")
        until(lambda ended=ended: len(ended()) == 50, f"all of {path}", 30)
        assert set(receiver.counts(path)) == ids
    assert all(arrival.verified for arrival in receiver.arrivals())
    one = shop.delivery_of(next(iter(attempted)), failing["id"])
    assert one is not None
    assert (one["attempts"][0]["status_code"], one["attempts"][-1]["status_code"]) == (500, 200)
    again = shop.publish_batch([shop.event(external_id=f"e{n}") for n in range(50)])
    assert {receipt["id"] for receipt in again} == ids
    assert all(receipt["duplicate"] for receipt in again)
    assert server.operator.get(f"/v1/accounts/{shop.id}")["external_id"] == "brand-1"
    assert shop.publish()["matched"] == 2
    assert after.stop() == 0
