"""A new version with a new schema is rolled out while the old one works: process by process, under traffic."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tocsin
from tests.faults import drill, invariants
from tests.faults.conftest import seeds
from tests.faults.fleets import shared_out
from tests.faults.plans import steady
from tests.support.cluster import THREE, Fleet
from tests.support.server import Server
from tests.support.waiting import until

_DONE_WITHIN_S = 90.0
_OUR_OWN = Path(tocsin.__file__).parent

# What releases add: a column, and an index that is built beside everything.
_ADDITIVE = (
    "-- beside: {old}\nALTER TABLE event ADD COLUMN drilled integer;\n",
    "-- beside: {old}\n-- outside a transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS drilled ON webhook (id);\n",
)
_BREAKING = "-- beside: {new}\nCREATE TABLE drilled (id bigint PRIMARY KEY);\n"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", seeds(metafunc.config, THREE))


def newer(folder: Path, *migrations: str) -> tuple[Path, int]:
    """The directory of a program that is ours but for more migrations, and the number of its schema."""
    shutil.copytree(_OUR_OWN, folder / "tocsin")
    files = folder / "tocsin" / "store" / "sql" / "postgres" / "migrations"
    old = max(int(file.name[:4]) for file in files.glob("*.sql"))
    for new, migration in enumerate(migrations, start=old + 1):
        (files / f"{new:04d}_drill_{new}.sql").write_text(migration.format(old=old, new=new))
    return folder, old + len(migrations)


def migrate(fleet: Fleet, source: Path) -> subprocess.CompletedProcess[str]:
    """``tocsin migrate``, by that program."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    return subprocess.run(
        [sys.executable, "-m", "tocsin", "migrate", "--db", fleet.db],
        env=environ | {"PYTHONPATH": str(source)},
        cwd=source,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.slow
def test_a_rolling_upgrade_leaves_nothing_behind(
    seed: int, tmp_path: Path, record_property: Callable[[str, float], None]
) -> None:
    """Over a migration, with old and new processes at work together: the old ones stay ready, nothing is lost, nothing
    is stuck, and as each hands over what it has, nothing comes twice.
    """
    source, schema = newer(tmp_path / "new", *_ADDITIVE)
    plan = steady(THREE, "upgrade", seed, answer_s=0.1)
    with drill.scene(plan, tmp_path / "fleet") as scene:
        fleet = scene.fleet.start()
        scene.subscribe()
        shared_out(fleet, senders=3)
        scene.publish(pause_s=0.8)
        until(scene.receiver.arrivals, "traffic")

        migrated = migrate(fleet, source)
        assert migrated.returncode == 0, migrated.stderr
        assert fleet.query("SELECT max(number) FROM schema_version") == [(schema,)]
        assert all(process.ready() for process in fleet.processes), f"an old one gave up\n{fleet.log_tail()}"
        seen = len(scene.receiver.arrivals())
        until(lambda: len(scene.receiver.arrivals()) >= seen + 20, lambda: f"old ones at work\n{fleet.log_tail()}")

        for n in reversed(range(len(fleet.processes))):
            _replace(fleet.processes[n], source)
            assert all(process.ready() for process in fleet.processes), f"not ready\n{fleet.log_tail()}"
        shared_out(fleet, senders=3)
        until(scene.done, lambda: f"all delivered: {scene.missing()}\n{fleet.log_tail()}", _DONE_WITHIN_S)
        evidence = scene.evidence([])
        try:
            invariants.check_all(evidence)
        except AssertionError as error:
            error.add_note(f"{plan}\n{fleet.log_tail()}")
            raise
        arrived = sorted(arrival.at for arrival in scene.receiver.arrivals())
        record_property("rest, upgrade", max(after - before for before, after in itertools.pairwise(arrived)))


def _replace(process: Server, source: Path) -> None:
    """SIGTERM, and the new program in its place."""
    assert process.stop() == 0, process.log_tail()
    process.source = source
    process.start()


@pytest.mark.slow
def test_a_program_that_is_too_old_is_refused(tmp_path: Path) -> None:
    """Where a schema says that no older program may run beside it, an old one that runs says that it is not ready, and
    one that starts says what to do.
    """
    source, schema = newer(tmp_path / "new", _BREAKING)
    with Fleet(THREE, tmp_path / "fleet") as fleet:
        fleet.processes[0].start()
        assert migrate(fleet, source).returncode == 0
        until(lambda: not fleet.processes[0].ready(), "not ready")
        worker = fleet.processes[1]
        worker.launch()
        assert worker.wait_end() != 0
        said = worker.log_tail()
        assert f"schema {schema}" in said
        assert re.search(r"newer|upgrade|version", said), said
        worker.source = source
        worker.start()
        assert migrate(fleet, _OUR_OWN.parent).returncode != 0
