"""What only PostgreSQL has: `world` is always the PostgreSQL one here."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.world import World, forget


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    yield World("postgres", tmp_path)
    asyncio.run(forget("postgres", tmp_path))
