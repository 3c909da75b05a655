"""The whole server on PostgreSQL: it wants a key, its commands know it, and a kill loses nothing."""

import asyncio
import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.api import CLICK
from tests.support.postgres import drop, empty_database
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tests.support.server import Server
from tests.support.waiting import until

StartServer = Callable[..., Server]

KEY = base64.b64encode(bytes(32)).decode()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    yield asyncio.run(empty_database(tmp_path))
    asyncio.run(drop(tmp_path))


def tocsin(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")} | variables
    return subprocess.run(
        [sys.executable, "-m", "tocsin", *arguments],
        env=environ,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_start_without_a_key(url: str, tmp_path: Path) -> None:
    """Without a key of the secrets the server does not start, makes nothing, and says what to do."""
    ran = tocsin(tmp_path, "serve", "--port", "0", TOCSIN_DB=url)
    assert ran.returncode == 2
    assert "openssl rand -base64 32" in ran.stderr
    assert "not there yet" in tocsin(tmp_path, "migrate", "--status", TOCSIN_DB=url).stdout
    ran = tocsin(tmp_path, "doctor", TOCSIN_DB=url)
    assert ran.returncode != 0
    assert "TOCSIN_SECRET_KEY is not set" in ran.stdout


def test_a_kill_loses_nothing(url: str, tmp_path: Path, start_server: StartServer, receiver: LedgerReceiver) -> None:
    """What was accepted before a kill is delivered after the next start; beside the server doctor finds all well."""
    server = start_server(db=url, secret_key=KEY, retry_scale=0.01)
    ran = tocsin(tmp_path, "doctor", TOCSIN_DB=url, TOCSIN_SECRET_KEY=KEY)
    assert "is whole, its schema is" in ran.stdout, ran
    shop = server.operator.shop()
    hook = shop.webhook(receiver.url("/load"), max_in_flight=3)
    receiver.trust("/load", hook["secret"])
    receiver.script("/load", Answer(after_s=0.02))
    shop.example(CLICK)
    receipts = shop.publish_batch([shop.event(external_id=f"e{n}") for n in range(60)])
    receiver.wait_for("/load", 5)
    server.kill9()
    server.restart()
    receiver.script("/load", Answer())
    ids = {receipt["id"] for receipt in receipts}
    until(lambda: set(receiver.counts("/load")) == ids, "all of the backlog")
    until(lambda: not shop.deliveries(status="pending"), "all settled")
    assert all(arrival.verified for arrival in receiver.arrivals("/load"))
    again = shop.publish_batch([shop.event(external_id=f"e{n}") for n in range(60)])
    assert {receipt["id"] for receipt in again} == ids
    assert server.stop() == 0
