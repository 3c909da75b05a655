"""`kill -9` at every failpoint of deliveries with the store on PostgreSQL, which itself goes on."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import drill, invariants
from tests.support.postgres import drop, empty_database
from tocsin import failpoints


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    yield asyncio.run(empty_database(tmp_path))
    asyncio.run(drop(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("failpoint", failpoints.DELIVERING)
def test_a_kill_loses_nothing(failpoint: str, url: str, tmp_path: Path) -> None:
    """Whatever dies at a failpoint, the ledger, the log and the publishers' answers agree afterwards."""
    plan = drill.plan(failpoint, 3)
    secret_key = base64.b64encode(bytes(32)).decode()
    try:
        invariants.check_all(drill.run(plan, tmp_path, db=url, secret_key=secret_key))
    except Exception as error:
        error.add_note(str(plan))
        raise
