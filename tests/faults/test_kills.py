"""`kill -9` at every failpoint of deliveries: nothing is lost, and a receiver sees twice only what had to be."""

from pathlib import Path

import pytest

from tests.faults import drill, invariants
from tocsin import failpoints


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    one = metafunc.config.getoption("seed")
    seeds = range(metafunc.config.getoption("seeds")) if one is None else [one]
    metafunc.parametrize("failpoint", failpoints.DELIVERING)
    metafunc.parametrize("seed", seeds)


def test_a_kill_loses_nothing(failpoint: str, seed: int, tmp_path: Path) -> None:
    """Whatever dies at a failpoint, the ledger, the log and the publishers' answers agree afterwards."""
    plan = drill.plan(failpoint, seed)
    try:
        invariants.check_all(drill.run(plan, tmp_path))
    except Exception as error:
        error.add_note(str(plan))
        raise
