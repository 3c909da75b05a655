"""A process that is frozen (SIGSTOP) for longer than its lease, and wakes up believing that nothing has happened."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import drill, invariants
from tests.faults.conftest import seeds
from tests.faults.evidence import Fault
from tests.faults.fleets import LEASE_S, TAKEN_OVER_WITHIN_S, figure, said, shared_out
from tests.faults.plans import Plan, steady
from tests.support.cluster import THREE
from tests.support.receiver import Arrival, Script
from tests.support.replies import Answer, Reply
from tests.support.server import Server
from tests.support.waiting import until

_REFUSED = "outcomes_refused"

# So long takes the answer to what is sent again: whoever wakes meanwhile finds it in the air elsewhere.
_AGAIN_S = 5.0

_DONE_WITHIN_S = 60.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize("seed", seeds(metafunc.config, THREE))


@pytest.mark.slow
def test_a_worker_that_wakes_after_its_lease_writes_nothing(
    seed: int, tmp_path: Path, record_property: Callable[[str, float], None]
) -> None:
    """Others take over what it had; its late outcomes are refused, which its log says; it joins anew and sends again.
    Nothing is lost, and only what it had in the air may come twice.
    """
    plan = steady(THREE, "frozen", seed, answer_s=0.3)
    with drill.scene(plan, tmp_path) as scene:
        fleet = scene.fleet.start()
        scene.subscribe()
        shared_out(fleet, senders=3)
        scene.publish(pause_s=0.4)
        victim = fleet.shape.senders[seed % 3]
        process = fleet.processes[victim]
        until(lambda: figure(process, "tocsin_attempts_in_flight") > 0 and scene.receiver.arrivals(), "in the air")
        process.freeze()
        frozen_at = time.time()
        again = _slow_when_sent_again(scene)
        shared_out(fleet, senders=2)
        until(again, lambda: f"something that is sent again\n{fleet.log_tail()}")
        woken_at = time.time()
        assert woken_at - frozen_at > LEASE_S
        process.thaw()
        shared_out(fleet, senders=3)
        until(process.ready, "ready again")
        _finish(scene, plan, [Fault(victim, frozen_at, woken_at)], record_property)
        refused = {one["id"] for shop in scene.shops for one in shop.deliveries() if _refused(process, one["id"])}
        assert refused, f"nothing was refused, or its log does not say so\n{fleet.log_tail()}"
        assert len(said(process, "joined")) == 2
        by_others = [line for other in fleet.processes if other is not process for line in said(other, _REFUSED)]
        assert not by_others, f"a late outcome took somebody else's place: {by_others}"


@pytest.mark.slow
def test_nobody_waits_for_the_locks_of_a_frozen_process(
    seed: int, tmp_path: Path, record_property: Callable[[str, float], None]
) -> None:
    """Whoever takes requests freezes in the middle of a transaction: what was accepted goes out meanwhile, retries too,
    its node is buried, and it goes on with what it had begun as if it had been told that it failed.
    """
    plan = steady(THREE, "frozen-commit", seed, answer_s=0.0)
    with drill.scene(plan, tmp_path) as scene:
        fleet = scene.fleet.start()
        scene.subscribe()
        shared_out(fleet, senders=3)
        fleet.api.restart(f"before_commit:{4 + seed % 5}:stop")
        scene.publish(pause_s=0.05)
        until(lambda: fleet.api.frozen, lambda: f"frozen\n{fleet.log_tail()}", 20)
        accepted = set(scene.receipts)
        until(
            lambda: not [n for n in range(len(plan.hooks)) if scene.lacking(n) & accepted],
            lambda: f"what was accepted: {scene.missing()}\n{fleet.log_tail()}",
        )
        until(
            lambda: len(fleet.query("SELECT epoch FROM node")) == 3,
            lambda: f"a burial; {fleet.query('SELECT * FROM node')}\n{fleet.log_tail()}",
            TAKEN_OVER_WITHIN_S,
        )
        fleet.api.thaw()
        _finish(scene, plan, [], record_property)


def _finish(scene: drill.Drill, plan: Plan, faults: list[Fault], record_property: Callable[[str, float], None]) -> None:
    try:
        until(
            scene.done,
            lambda: f"all delivered: {scene.missing()}\n{scene.fleet.log_tail()}",
            _DONE_WITHIN_S,
        )
        evidence = scene.evidence(faults)
        record_property(f"rest, {plan.failpoint}", invariants.longest_gap_s(evidence))
        invariants.check_all(evidence)
    except Exception as error:
        error.add_note(str(plan))
        raise


def _slow_when_sent_again(scene: drill.Drill) -> Callable[[], bool]:
    """From now on, receivers take their time for what they have been sent before and answered well. Whether there has
    been any such.
    """
    seen: list[str] = []

    def slowly(path: str, usual: Script) -> Script:
        def answer(arrival: Arrival) -> Reply:
            if any(one.id == arrival.id and one.ok for one in scene.receiver.arrivals(path)):
                seen.append(arrival.id)
                return Answer(200, after_s=_AGAIN_S)
            return usual(arrival)

        return answer

    for hook, usual in zip(scene.plan.hooks, scene.scripts, strict=True):
        scene.receiver.script(hook.path, slowly(hook.path, usual))
    return lambda: bool(seen)


def _refused(process: Server, delivery: str) -> bool:
    """Whether its log says that it could not write what became of a delivery."""
    return any(delivery in line for line in said(process, _REFUSED))
