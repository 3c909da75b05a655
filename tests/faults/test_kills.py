"""`kill -9` at every failpoint of deliveries: nothing is lost, and a receiver sees twice only what had to be."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import drill, invariants, plans
from tests.faults.conftest import drills
from tests.support.cluster import POSTGRES, THREE, Shape
from tocsin import failpoints

# See `drills`.
_SHORT = {POSTGRES: ("before_commit", "after_send"), THREE: ("after_commit", "after_claim", "before_settle")}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    found = drills(metafunc.config, failpoints.DELIVERING, _SHORT)
    metafunc.parametrize(("shape", "failpoint", "seed"), found)


def test_a_kill_loses_nothing(
    shape: Shape, failpoint: str, seed: int, tmp_path: Path, record_property: Callable[[str, float], None]
) -> None:
    """Whatever dies at a failpoint, the ledger, the log and the publishers' answers agree afterwards."""
    plan = plans.plan(shape, failpoint, seed)
    try:
        evidence = drill.run(plan, tmp_path)
        record_property(f"rest, {shape}, {failpoint}", invariants.longest_gap_s(evidence))
        record_property(f"unwritten, {shape}", invariants.oldest_unwritten_s(evidence))
        invariants.check_all(evidence)
        invariants.it_died_where_it_should(evidence)
    except Exception as error:
        error.add_note(str(plan))
        raise
