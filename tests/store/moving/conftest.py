"""A file that is moved, and the empty database that it is moved to."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.store.moving.filling import FINGERPRINT
from tests.store.world import World
from tests.support.postgres import drop, empty_database
from tocsin.store.moving import Moved, Progress, Tell, move
from tocsin.store.port import Store
from tocsin.store.postgres import open_postgres
from tocsin.store.postgres.database import Address
from tocsin.store.sqlite import open_sqlite


def _quiet(_: Progress) -> None: ...


class Moving:
    """`world` is what is moved; it is open while it is entered, as a server has it open."""

    def __init__(self, directory: Path, url: str, store: str) -> None:
        self.world = World(store, directory)
        self.path = directory / "tocsin.db"
        self.url = url

    @property
    def shown(self) -> str:
        """The target, as it is told."""
        return Address(self.url).shown

    async def run(self, tell: Tell = _quiet, rows: int = 7, fingerprint: str | None = FINGERPRINT) -> Moved:
        """One run, in pieces so small that everything has several."""
        clock = self.world.clock
        return await move(self.path, self.url, fingerprint=fingerprint, clock=clock, tell=tell, rows=rows)

    async def source(self) -> Store:
        return await open_sqlite(self.path, clock=self.world.clock)

    async def target(self) -> Store:
        return await open_postgres(self.url, clock=self.world.clock)

    async def sql(self, text: str, *values: object) -> Any:
        """The first value of what somebody else does in the target."""
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetchval(text, *values)
        finally:
            await connection.close()


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[Moving]:
    yield Moving(tmp_path, asyncio.run(empty_database(tmp_path)), "sqlite")
    asyncio.run(drop(tmp_path))


async def told(call: Callable[[], Awaitable[object]], error: type[Exception]) -> str:
    """What the error says that the call must end with."""
    with pytest.raises(error) as raised:
        await call()
    return str(raised.value)
