import asyncio
from pathlib import Path

import asyncpg
import pytest

from tests.store.world import World, forget
from tests.support.postgres import address, empty_database, name_of
from tocsin.clock import ManualClock
from tocsin.errors import Misconfigured
from tocsin.store.port import SchemaStatus
from tocsin.store.postgres import migrate, migrations, open_postgres, schema_status
from tocsin.store.postgres.migrations import Migration

NEWEST = migrations.newest()


async def tables(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        return {row[0] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    finally:
        await connection.close()


async def test_many_starts_at_once_make_one_schema(tmp_path: Path):
    """Of many processes that find an empty database one makes the schema, and all go on."""
    url = await empty_database(tmp_path)
    try:
        assert await schema_status(url) == SchemaStatus(0, NEWEST)
        applied = await asyncio.gather(*(migrate(url) for _ in range(4)))
        assert sorted(map(len, applied)) == [0, 0, 0, NEWEST]
        assert await schema_status(url) == SchemaStatus(NEWEST, NEWEST)
    finally:
        await forget("postgres", tmp_path)


async def test_a_migration_that_fails_leaves_nothing(tmp_path: Path):
    """If one of the migrations fails, the database is as it was before all of them."""
    url = await empty_database(tmp_path)
    connection = await asyncpg.connect(url)
    steps = [Migration(1, "good", "CREATE TABLE one (n int)"), Migration(2, "bad", "CREATE TABLE two (n nonsense)")]
    try:
        with pytest.raises(Misconfigured, match="cannot be migrated"):
            await migrations.apply(connection, "here", steps)
        assert await tables(url) == set()
        assert await migrations.apply(connection, "here", steps[:1]) == ["0001_good"]
    finally:
        await connection.close()
        await forget("postgres", tmp_path)


async def test_other_databases_are_refused(tmp_path: Path):
    """Another program's database, a newer Tocsin's, and one that is not there are refused, each with its reason."""
    url = await empty_database(tmp_path)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE TABLE theirs (n int)")
        with pytest.raises(Misconfigured, match="another program's"):
            await open_postgres(url, clock=ManualClock())
        await connection.execute("DROP TABLE theirs")
        await migrate(url)
        await connection.execute("INSERT INTO schema_version VALUES (9000, 'later')")
        with pytest.raises(Misconfigured, match="newer Tocsin"):
            await open_postgres(url, clock=ManualClock())
    finally:
        await connection.close()
        await forget("postgres", tmp_path)
    with pytest.raises(Misconfigured, match="cannot be opened"):
        await open_postgres(address(name_of(tmp_path)), clock=ManualClock())


async def test_to_look_changes_nothing(world: World):
    """A store that is opened to be looked at reads what is there and refuses every write; without a schema it does not
    open.
    """
    account = await world.account()
    url = address(name_of(world.directory))
    store = await open_postgres(url, clock=world.clock, readonly=True)
    try:
        assert await store.accounts.get(account.id) == account
        with pytest.raises(Exception, match="read-only"):
            await store.housekeeping.keep_meta("a", "b")
        assert await store.housekeeping.meta("a") is None
    finally:
        await store.close()
    empty = world.directory / "empty"
    url = await empty_database(empty)
    try:
        with pytest.raises(Misconfigured, match="run: tocsin migrate"):
            await open_postgres(url, clock=world.clock, readonly=True)
        assert await tables(url) == set()
    finally:
        await forget("postgres", empty)
