"""What only SQLite has: `world` is always the SQLite one here."""

from pathlib import Path

import pytest

from tests.store.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World("sqlite", tmp_path)
