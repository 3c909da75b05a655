"""What processes tell one another, over real connections."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.store.postgres.test_trouble import cut
from tests.store.world import World
from tests.support.postgres import address, name_of
from tocsin.errors import Unavailable
from tocsin.store.postgres import news
from tocsin.store.postgres.database import Address, Pool
from tocsin.store.postgres.news import PostgresNews


class Heard:
    """What came, in order; None: some may have been missed."""

    def __init__(self) -> None:
        self.lines: list[str | None] = []
        self._more = asyncio.Event()

    def hear(self, line: str) -> None:
        self.lines.append(line)
        self._more.set()

    def lost(self) -> None:
        self.lines.append(None)
        self._more.set()

    async def until(self, there: Callable[[list[str | None]], bool]) -> None:
        async with asyncio.timeout(20):
            while not there(self.lines):
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def process(world: World) -> AsyncIterator[tuple[PostgresNews, Heard]]:
    """The news as another process has them, listening."""
    at = Address(address(name_of(world.directory)))
    pool = Pool(at, connections=1)
    await pool.open()
    one, heard = PostgresNews(at, pool), Heard()
    await one.listen(heard.hear, heard.lost)
    try:
        yield one, heard
    finally:
        await one.close()
        await pool.close()


async def test_others_hear_and_one_does_not_hear_oneself(world: World):
    """What one tells all others hear, in order; it does not hear it itself."""
    async with process(world) as (one, own), process(world) as (_, second), process(world) as (third, third_heard):
        await one.tell(["a", "b"])
        await one.tell([])
        await one.tell(["ü" * 500])
        await third.tell(["end"])
        for heard in (second, third_heard):
            expected = ["a", "b", "ü" * 500, *(["end"] if heard is second else [])]
            await heard.until(lambda lines, expected=expected: lines == expected)  # type: ignore[misc]
        await own.until(lambda lines: lines == ["end"])


async def test_many_lines(world: World):
    """Thousands of lines told at once arrive, as long as lines may be."""
    lines = [f"{n:04d}" + "x" * (n % 997) for n in range(4_000)]
    async with process(world) as (one, _), process(world) as (_, heard):
        await one.tell(lines)
        await heard.until(lambda found: len(found) == len(lines))
        assert heard.lines == lines


async def test_after_a_cut_it_is_said_that_some_were_lost(world: World):
    """When the connections were cut they are made anew, it is said that lines may be missing, and new ones come."""
    async with process(world) as (_, heard):
        for n in range(1, 3):
            await cut(world)
            await heard.until(lambda lines, n=n: lines.count(None) == n)  # type: ignore[misc]
            async with process(world) as (one, _):
                await one.tell([f"again {n}"])
                await heard.until(lambda lines, n=n: lines[-1] == f"again {n}")  # type: ignore[misc]


async def test_what_could_not_be_told_is_said_to_be_lost(world: World):
    """Who was told nothing because the database was not there is told so with the next lines, once."""
    at = Address(address(name_of(world.directory)))
    pool = Pool(at)
    one = PostgresNews(at, pool)
    async with process(world) as (_, heard):
        with pytest.raises(Unavailable):
            await one.tell(["a"])
        await pool.open()
        try:
            await one.tell(["b"])
            await one.tell(["c"])
            await heard.until(lambda lines: lines == [None, "b", "c"])
        finally:
            await pool.close()


async def test_where_nothing_comes_it_is_said_once(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Where notifications do not come, it is logged once, and lines can be told all the same."""
    monkeypatch.setattr(news, "ECHO_S", 0.05)
    caplog.set_level(logging.INFO)
    pool = Pool(Address(address(name_of(world.directory))))
    await pool.open()
    # What is told in one database is not heard in another: to whoever listens it is as with a pooler between.
    one, own = PostgresNews(Address(address("postgres")), pool), Heard()
    try:
        async with process(world) as (_, heard):
            await one.listen(own.hear, own.lost)
            await one.tell(["a"])
            await heard.until(lambda lines: lines == ["a"])
            await asyncio.sleep(1)  # it tries again meanwhile, more than once
    finally:
        await one.close()
        await pool.close()
    assert own.lines == []
    said = [record.message for record in caplog.records if record.name == "tocsin.store.postgres.news"]
    assert said.count("news_off") == 1
