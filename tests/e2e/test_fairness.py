"""Limits and turns over several processes: what a webhook's owner allows holds for all workers together, and no account
takes from the others, whoever sends for whom just now.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.cluster import Fleet, Shape
from tests.support.receiver import Arrival, LedgerReceiver
from tests.support.replies import Answer, Hang
from tests.support.server import Server
from tests.support.waiting import until

_RATE = 5
_EVENTS = 30
_WIDTH = 2
_TAKEN_OVER_S = 40.0  # a lease of 8 s, and what waits then at its pace, on a busy machine


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    shape = Shape("fair", on_postgres=True, roles=("api", "worker", "worker"))
    with Fleet(shape, tmp_path / "fleet") as fleet:
        yield fleet.start()


def shards(worker: Server) -> int:
    """How many it sends for, as its metrics say."""
    text = worker.operator.call("GET", "/metrics").body.decode()
    return int(float(text.split("\ntocsin_shards_held ")[1].split("\n")[0]))


def shared_out(workers: Sequence[Server]) -> None:
    """Waits until each has its fair share."""
    until(lambda: min(shards(one) for one in workers) >= 256 // len(workers), "the shards shared out", 30)


def pace(arrivals: Sequence[Arrival]) -> float:
    """The shortest time in which one more came than a second allows."""
    at = sorted(arrival.at for arrival in arrivals)
    return min(later - earlier for earlier, later in zip(at, at[_RATE:], strict=False))


def test_limits_hold_while_shards_move(fleet: Fleet, receiver: LedgerReceiver) -> None:
    """A worker comes, one goes and one is killed: no webhook gets more a second, or at once, than it may."""
    shop = fleet.operator.shop()
    paced = [f"/paced-{n}" for n in range(8)]
    narrow = [f"/narrow-{n}" for n in range(8)]
    for path in paced:
        shop.webhook(receiver.url(path), rate_limit=_RATE)
    for path in narrow:
        shop.webhook(receiver.url(path), max_in_flight=_WIDTH)
        receiver.script(path, Answer(after_s=0.1))
    shared_out(fleet.senders)
    ids = {receipt["id"] for receipt in shop.publish_batch([shop.event() for _ in range(_EVENTS)])}

    third = fleet.add("worker").start()
    shared_out([*fleet.processes[1:3], third])
    assert fleet.processes[1].stop() == 0
    shared_out([fleet.processes[2], third])
    shop.publish_batch([shop.event() for _ in range(_EVENTS)])
    fleet.processes[2].kill9()

    for path in (*paced, *narrow):
        until(lambda path=path: len(receiver.counts(path)) >= 2 * _EVENTS, f"all at {path}", _TAKEN_OVER_S)
    assert ids
    for path in paced:
        assert pace(receiver.arrivals(path)) >= 0.9, path  # requests themselves take some milliseconds
    for path in narrow:
        assert receiver.most_at_once(path) <= _WIDTH, path


def test_one_account_that_hangs_delays_no_other(fleet: Fleet, receiver: LedgerReceiver) -> None:
    """At every worker it could have more attempts under way than places; another account is served meanwhile."""
    crowd = fleet.operator.shop("crowd")
    hanging = [f"/hanging-{n}" for n in range(320)]
    for path in hanging:
        crowd.webhook(receiver.url(path))
        receiver.script(path, Hang())
    other = fleet.operator.shop("other")
    well = [f"/well-{n}" for n in range(8)]
    for path in well:
        other.webhook(receiver.url(path))
    shared_out(fleet.senders)
    crowd.publish_batch([crowd.event() for _ in range(10)])
    until(lambda: sum(receiver.in_flight(path) for path in hanging) >= 900, "half of the places taken")
    for _ in range(10):
        other.publish()
    for path in well:
        receiver.wait_for(path, 10)
    arrived = sum(len(receiver.arrivals(path)) for path in hanging)
    assert arrived == sum(receiver.in_flight(path) for path in hanging), "before any of them was given up"
