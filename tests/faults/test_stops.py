"""SIGTERM under load: an end in good order and in time, whatever hangs; nothing lost, and nothing sent again that was
answered.
"""

import re
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.outage import RETRY_SCALE, Evidence, Stage, judge
from tests.faults.outages import SECRET_KEY, ground
from tests.support.cluster import Fleet, Shape
from tests.support.postgres_server import PostgresServer
from tests.support.receiver import Arrival, LedgerReceiver
from tests.support.replies import Answer, Hang
from tests.support.server import STOP_S, Server
from tests.support.waiting import until

pytestmark = pytest.mark.slow

_NAME = "tocsin"
_HANGING = 12
_WRITTEN_S = 2.0  # what was answered so long before is written down
_SHARDS = re.compile(rb"^tocsin_shards_held (\S+)$", re.MULTILINE)


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, object]]:
    if request.param == "sqlite":
        yield {"db": f"sqlite:///{tmp_path / 'tocsin.db'}"}
    else:
        with PostgresServer() as postgres:
            postgres.sql(f"CREATE DATABASE {_NAME}")
            yield {"db": postgres.address(_NAME), "secret_key": SECRET_KEY}


def check(evidence: Evidence, **excuses: object) -> None:
    """An arrival may come again where its answer had not, as the server ended meanwhile."""
    judge(replace(evidence, **{"may_repeat": lambda arrival: arrival.answered is None, **excuses}))


def test_a_stop_waits_for_nobody_for_ever(settings, receiver: LedgerReceiver, tmp_path: Path) -> None:
    """It ends with 0 within 35 s although receivers hang for as long as they may, and a client in mid-sentence."""
    with Server(tmp_path, retry_scale=RETRY_SCALE, **settings) as server:
        stage = Stage(server, receiver)
        slow = server.operator.shop("slow", "clickdefender")  # whose attempts may take 30 s
        slow.webhook(receiver.url("/hangs"), ["*"])
        receiver.script("/hangs", Hang())

        def stop() -> None:
            for _ in range(_HANGING):
                slow.publish("fraud_detected")
            until(lambda: receiver.in_flight("/hangs") >= 2, "attempts that hang")
            with _in_mid_sentence(server, slow.key):
                began = time.monotonic()
                assert server.stop(STOP_S) == 0
                print(f"ended after {time.monotonic() - began:.1f} s")  # noqa: T201 - for whoever wants to know
            receiver.script("/hangs", Answer())
            server.start()

        (evidence,) = stage.run(stop, before_s=2.0, after_s=1.0)
        check(evidence, may_be_unanswered=True)
        until(
            lambda: [one["status"] for one in slow.deliveries()] == ["succeeded"] * _HANGING,
            "the end of what had hung",
            60.0,
        )
        taken = [arrival.id for arrival in receiver.arrivals("/hangs") if arrival.ok]
        assert len(taken) == len(set(taken)) == _HANGING


def test_requests_and_attempts_end_side_by_side(receiver: LedgerReceiver, tmp_path: Path) -> None:
    """The time that attempts are given begins with the signal, not when the last request has ended."""
    with Server(tmp_path, drain_s=6) as server:
        shop = server.operator.shop()
        shop.webhook(receiver.url("/hangs"))
        receiver.script("/hangs", Hang())
        shop.publish()
        receiver.wait_for("/hangs", 1)
        with _in_mid_sentence(server, shop.key):
            assert server.stop(9) == 0  # 5 s for requests and then 6 for attempts would be 11


def test_a_stop_in_the_middle_of_an_outage(tmp_path: Path) -> None:
    """A database that says nothing at all keeps nobody from ending in time."""
    with ground(tmp_path) as on:
        on.stage.publishers.start()
        until(lambda: len(on.stage.publishers.ledger) > 50, "answers")
        silent_at = time.time()
        on.proxy.silence()
        time.sleep(1.0)
        assert on.server.stop(STOP_S) == 0
        ended_at = time.time()
        on.proxy.heal(cut=True)
        on.server.start()
        on.stage.publishers.stop()
        stopped = time.monotonic()
        evidence = on.stage.gather(stopped - 3.0, stopped - 2.0, stopped - 1.0, stopped)
        # What was answered meanwhile could not be written down, and is forgotten with the process.
        forgotten = partial(_came_between, silent_at - _WRITTEN_S, ended_at)
        check(evidence, may_be_unanswered=True, may_repeat=forgotten)


def _came_between(begin: float, end: float, arrival: Arrival) -> bool:
    return begin <= arrival.at <= end


def test_a_worker_that_stops_hands_over(receiver: LedgerReceiver, tmp_path: Path) -> None:
    """Its shards are the others' before it has ended; publishers notice nothing, no receiver sees anything twice."""
    four = Shape("four", on_postgres=True, roles=("api", "worker", "worker", "worker"))
    with Fleet(four, tmp_path, retry_scale=RETRY_SCALE) as fleet:
        fleet.start()
        until(lambda: _held(fleet.senders) == 256, "all shards")
        stage = Stage(fleet.api, receiver)
        taken_over: list[float] = []

        def stop() -> None:
            for n in range(2):
                began = time.monotonic()
                going, *staying = fleet.senders[n:]
                going.ask_to_stop()
                until(lambda others=staying: _held(others) == 256, "the shards of one that stops", STOP_S)
                taken_over.append(time.monotonic() - began)
                assert going.wait_end() == 0

        (evidence,) = stage.run(stop, before_s=2.0, after_s=2.0)
        print(f"{evidence}; shards taken over after {taken_over} s")  # noqa: T201 - as above
        check(evidence)
        assert {asked.status for asked in evidence.ledger} == {202}


@contextmanager
def _in_mid_sentence(server: Server, key: str | None) -> Iterator[None]:
    """A client that has begun a request, and does not go on."""
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname, where.port)) as client:
        head = (
            f"POST /v1/events HTTP/1.1\r\nHost: tocsin\r\nAuthorization: Bearer {key}\r\nContent-Length: 100\r\n\r\n{{"
        )
        client.sendall(head.encode())
        until(lambda: b"tocsin_" in _metrics(server), "an answer, by when the beginning has been read")
        yield


def _held(processes: list[Server]) -> int:
    """How many shards they have, as each says."""
    return sum(int(float(_SHARDS.search(_metrics(process))[1])) for process in processes)


def _metrics(process: Server) -> bytes:
    with urllib.request.urlopen(f"{process.url}/metrics", timeout=5) as answer:
        return answer.read()
