"""A pooler in transaction mode between the processes and PostgreSQL: each transaction may have another of its
connections, and none keeps what a session would.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.outage import RETRY_SCALE, Stage, judge
from tests.faults.outages import SECRET_KEY
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres_server import PostgresServer
from tests.support.receiver import LedgerReceiver
from tests.support.server import Server
from tests.support.waiting import until

_NAME = "tocsin"


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as postgres:
        yield postgres


@pytest.fixture
def pooler(postgres: PostgresServer) -> Iterator[PgBouncer]:
    postgres.sql(f"DROP DATABASE IF EXISTS {_NAME} WITH (FORCE)", f"CREATE DATABASE {_NAME}")
    with PgBouncer(postgres.folder) as pooler:
        yield pooler


@pytest.mark.slow
def test_several_processes_work_behind_a_pooler(
    pooler: PgBouncer, receiver: LedgerReceiver, start_server: Callable[..., Server]
) -> None:
    """Requests, claims, hand-over of shards and idempotency need no session; who listens in vain says so, and looks."""
    settings = {"db": pooler.address(_NAME), "secret_key": SECRET_KEY, "retry_scale": RETRY_SCALE}
    front = start_server(role="api", **settings)
    first = start_server(role="worker", **settings)
    stage = Stage(front, receiver)

    def another_comes_and_the_first_goes() -> None:
        second = start_server(role="worker", **settings)
        until(lambda: b"shards_taken" in second.log.read_bytes(), "shards for a second worker")
        assert first.stop() == 0

    (evidence,) = stage.run(another_comes_and_the_first_goes, before_s=1.0, after_s=1.0)
    judge(evidence)
    assert {asked.status for asked in evidence.ledger} == {202}
    assert b"notifications do not come, as through a pooler" in front.log.read_bytes()

    body = stage.shop.event(external_id="once")
    answers = [
        stage.shop.call("POST", "/v1/events", body, headers={"Idempotency-Key": "same"}).headers for _ in range(2)
    ]
    assert [answer.get("idempotency-replayed") for answer in answers] == [None, "true"]


def test_what_a_pooler_cannot_pass_is_said(pooler: PgBouncer, tmp_path: Path) -> None:
    """A start through a pooler that was not said to be one ends at once, and the sentence says what is missing."""
    environ = os.environ | {"TOCSIN_DB": pooler.address(_NAME, cached=True), "TOCSIN_SECRET_KEY": SECRET_KEY}
    ended = subprocess.run(
        [sys.executable, "-m", "tocsin", "serve", "--port", "0"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "needs statement_cache_size=0 in the address" in ended.stderr
    assert "Traceback" not in ended.stderr
