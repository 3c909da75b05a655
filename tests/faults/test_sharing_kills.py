"""`kill -9` while shards change hands: whoever comes, goes or buries may die of it, and nothing is left to nobody."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import drill, invariants
from tests.faults.conftest import is_short, seeds
from tests.faults.evidence import Fault
from tests.faults.fleets import TAKEN_OVER_WITHIN_S, shared_out
from tests.faults.plans import steady
from tests.support.cluster import THREE, Fleet
from tests.support.waiting import until
from tocsin.failpoints import SHARING

_DONE_WITHIN_S = 90.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize("failpoint", ["before_burial"] if is_short(metafunc.config) else SHARING)
    metafunc.parametrize("seed", seeds(metafunc.config, THREE))


@pytest.mark.slow
def test_shards_that_change_hands_are_not_lost(
    failpoint: str, seed: int, tmp_path: Path, record_property: Callable[[str, float], None]
) -> None:
    """A worker dies with shards it was just given, with shards that it was just to give, or while it buries another
    one. All shards are shared out again, and every delivery ends once.
    """
    rng = random.Random(f"sharing/{failpoint}/{seed}")
    plan = steady(THREE, f"sharing-{failpoint}", seed, answer_s=0.1)
    with drill.scene(plan, tmp_path) as scene:
        fleet = scene.fleet
        token = fleet.folder / "token"
        token.touch()
        # Whoever comes first to bury: the process that takes requests does so too.
        mortal = range(4) if failpoint == "before_burial" else ()
        fleet.start(dict.fromkeys(mortal, f"{failpoint}:1:kill:{token}"))
        scene.subscribe()
        shared_out(fleet, senders=3)
        number = rng.choice(THREE.senders)
        if failpoint != "before_burial":
            assert fleet.processes[number].stop() == 0, fleet.log_tail()
        if failpoint == "before_give":
            fleet.processes[number].start(failpoint)
            shared_out(fleet, senders=3)
        scene.publish(pause_s=0.3)
        until(scene.receiver.arrivals, "traffic")
        faults = _die(fleet, failpoint, number)
        for fault in faults:
            if fault.process == 0 or rng.random() < 0.5:
                fleet.processes[fault.process].start()
        shared_out(fleet, senders=sum(process.running for process in fleet.processes[1:]))
        until(scene.done, lambda: f"all delivered: {scene.missing()}\n{fleet.log_tail()}", _DONE_WITHIN_S)
        evidence = scene.evidence(faults)
        record_property(f"rest, sharing, {failpoint}", invariants.longest_gap_s(evidence))
        try:
            invariants.check_all(evidence)
        except AssertionError as error:
            error.add_note(f"{plan}\n{fleet.log_tail()}")
            raise


def _die(fleet: Fleet, failpoint: str, number: int) -> list[Fault]:
    """Has shards change hands, so that a process dies of it; who has died."""
    faults = []
    match failpoint:
        case "before_take":
            fleet.processes[number].start(failpoint)
        case "before_give":
            fleet.add("worker").launch()  # which is to have some of each other's
        case "before_burial":
            fleet.processes[number].kill9()
            faults.append(Fault(number, time.time()))

    def dead() -> list[int]:
        return [n for n, one in enumerate(fleet.processes) if not one.running and (not faults or n != number)]

    [died] = until(dead, lambda: f"a death at {failpoint}\n{fleet.log_tail()}", TAKEN_OVER_WITHIN_S)
    faults.append(Fault(died, time.time()))
    assert fleet.processes[died].wait_end() == -signal.SIGKILL
    for one in fleet.processes:
        if one.running:
            one.wait_ready()
    return faults
