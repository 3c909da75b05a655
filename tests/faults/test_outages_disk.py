"""The disk under the database is full, under load, and then there is room again."""

import time
from pathlib import Path

import pytest

from tests.faults.outage import RECOVERY_S, RETRY_SCALE, Evidence, Stage, judge
from tests.faults.outages import SECRET_KEY
from tests.support.postgres_server import PostgresServer
from tests.support.receiver import LedgerReceiver
from tests.support.server import Server
from tests.support.small_disk import SmallDisk, small_disk

pytestmark = pytest.mark.slow

_LASTS_S = 3.0
_AROUND_S = 2.0

# Its log in small pieces: a new one is soon needed, and cannot be made.
_SMALL = {"min_wal_size": "4MB", "max_wal_size": "8MB"}


_WAYS = pytest.mark.parametrize("may_mount", [True, False], ids=["no-space-left", "file-too-large"])


def full(disk: SmallDisk, server: Server) -> None:
    disk.fill(server.pid)
    time.sleep(_LASTS_S)
    disk.make_room(server.pid)


def check(evidence: Evidence) -> None:
    during = [one for one in evidence.ledger if evidence.broke <= one.began < evidence.mended]
    assert any(not asked.accepted for asked in during), "nobody met the full disk"
    assert evidence.recovered_s < RECOVERY_S


@_WAYS
def test_a_full_disk_under_sqlite_loses_nothing(may_mount, receiver: LedgerReceiver, tmp_path: Path) -> None:
    """Publishers are refused while it is full; the server lives on and goes on by itself once there is room."""
    with small_disk(64 << 20, may_mount=may_mount) as disk:
        db = f"sqlite:///{disk.folder / 'tocsin.db'}"
        with Server(tmp_path, db=db, retry_scale=RETRY_SCALE) as server:
            stage = Stage(server, receiver)
            (evidence,) = stage.run(lambda: full(disk, server), before_s=_AROUND_S, after_s=_AROUND_S)
            print(evidence)  # noqa: T201 - speed is shown, and asserted nowhere
            judge(evidence)
            check(evidence)
            assert server.running


def full_under_postgres(disk: SmallDisk, postgres: PostgresServer) -> None:
    """Where it cannot go on, it ends, and has to be started again by whoever has made room."""
    disk.fill(postgres.pid, largest=64 << 10)
    time.sleep(_LASTS_S)
    disk.make_room(postgres.pid if postgres.running else None)
    postgres.start_if_ended()


@_WAYS
def test_a_full_disk_under_postgres_loses_nothing(may_mount, receiver: LedgerReceiver, tmp_path: Path) -> None:
    """Publishers are refused while it is full, and the server goes on by itself once PostgreSQL does."""
    with (
        small_disk(200 << 20, may_mount=may_mount) as disk,
        PostgresServer(_SMALL, data=disk.folder / "data", initdb=["--wal-segsize=1"]) as postgres,
    ):
        postgres.sql("CREATE DATABASE tocsin")
        settings = {"db": postgres.address("tocsin"), "secret_key": SECRET_KEY, "retry_scale": RETRY_SCALE}
        with Server(tmp_path, **settings) as server:
            stage = Stage(server, receiver)
            (evidence,) = stage.run(lambda: full_under_postgres(disk, postgres), before_s=_AROUND_S, after_s=_AROUND_S)
            print(evidence)  # noqa: T201 - speed is shown, and asserted nowhere
            judge(evidence)
            check(evidence)
