import asyncio
import shutil
from pathlib import Path

import asyncpg
import pytest

from tests.store.world import World, forget
from tests.support.postgres import address, database, empty_database, name_of
from tocsin.clock import ManualClock
from tocsin.errors import Misconfigured
from tocsin.store.port import SchemaStatus
from tocsin.store.postgres import migrate, migrations, open_postgres, schema_status
from tocsin.store.postgres.database import Address
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
    steps = [Migration(1, "good", "CREATE TABLE one (n int)"), Migration(2, "bad", "CREATE TABLE two (n nonsense)")]
    try:
        with pytest.raises(Misconfigured, match="cannot be migrated"):
            await migrations.apply(Address(url), steps)
        assert await tables(url) == set()
        assert await migrations.apply(Address(url), steps[:1]) == ["0001_good"]
    finally:
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
        await connection.execute("INSERT INTO schema_version VALUES (9000, 'later', 9000)")
        with pytest.raises(Misconfigured, match="use the newer Tocsin"):
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


# --- newer schemas, and programs that know them or not ----------------------------------------------------------------

HARMLESS = """-- beside: {oldest}
ALTER TABLE account ADD COLUMN colour text;
UPDATE account SET colour = 'red';
"""
INDEX = """-- beside: {oldest}
-- outside a transaction
--
-- A half that was built before; it may not be there.
DROP INDEX IF EXISTS account_colour;

CREATE INDEX CONCURRENTLY account_colour ON account (colour);
"""
BREAKING = """-- beside: {newest}
ALTER TABLE account RENAME COLUMN colour TO hue;
"""


def later(folder: Path, *texts: str) -> tuple[Migration, ...]:
    """The migrations as a newer program has them: with some of its own."""
    shutil.copytree(str(migrations.ROOT / "migrations"), folder)
    for number, text in enumerate(texts, NEWEST + 1):
        file = folder / f"{number:04d}_later.sql"
        file.write_text(text.format(oldest=NEWEST, newest=number))
    return migrations.migrations(folder)


def test_each_migration_says_what_may_run_beside_it():
    """Every migration names the oldest schema whose programs may run beside it, and never one to come."""
    for one in migrations.migrations():
        assert "-- beside: " in one.sql
        assert 1 <= one.beside <= one.number


async def test_a_program_runs_beside_a_schema_that_allows_it(world: World):
    """A newer program's migrations leave a running one at work where each of them says so, and another may start. Once
    one does not say so, the running one is no longer ready and none starts.
    """
    account = await world.account()
    steps = later(world.directory / "migrations", HARMLESS, INDEX, BREAKING)
    at = Address(address(name_of(world.directory)))
    assert await migrations.apply(at, steps[:-1]) == [f"{NEWEST + 1:04d}_later", f"{NEWEST + 2:04d}_later"]
    assert await world.store.ready()
    assert await world.store.accounts.get(account.id) == account
    await world.accept(await world.account())
    assert await schema_status(at.dsn) == SchemaStatus(NEWEST + 2, NEWEST)
    assert await migrate(at.dsn) == []
    for readonly in (False, True):
        other = await open_postgres(at.dsn, clock=world.clock, readonly=readonly)
        assert await other.ready()
        assert await other.accounts.get(account.id) == account
        await other.close()
    assert await migrations.apply(at, steps) == [f"{NEWEST + 3:04d}_later"]
    assert not await world.store.ready()
    said = f"from schema {NEWEST + 3} on may run; this one knows {NEWEST}: use the newer Tocsin"
    with pytest.raises(Misconfigured, match=said):
        await open_postgres(at.dsn, clock=world.clock)


async def test_processes_that_start_at_once_on_an_old_schema_migrate_once(world: World):
    """Of several programs that find an old schema one brings it up to date, outside of transactions too, while others
    wait and yet others write; then all go on.
    """
    account = await world.account()
    steps = later(world.directory / "migrations", HARMLESS, INDEX)
    at = Address(address(name_of(world.directory)))
    writing = True

    async def write() -> int:
        n = 0
        while writing:
            await world.accept(account)
            n += 1
        return n

    task = asyncio.create_task(write())
    applied = await asyncio.gather(*(migrations.apply(at, steps) for _ in range(4)))
    writing = False
    assert await task > 0
    assert sorted(map(len, applied)) == [0, 0, 0, 2]


async def test_an_index_that_was_half_built_is_built_again(world: World):
    """A migration outside of a transaction that failed is run again; what came before it stays."""
    steps = later(world.directory / "migrations", HARMLESS, INDEX.replace("(colour)", "((colour::int))"))
    at = Address(address(name_of(world.directory)))
    await world.account()
    with pytest.raises(Misconfigured, match="cannot be migrated"):
        await migrations.apply(at, steps)
    assert await world.store.housekeeping.check() == [
        "index account_colour was not built to its end; run: REINDEX INDEX account_colour"
    ]
    steps = later(world.directory / "mended", HARMLESS, INDEX)
    assert await migrations.apply(at, steps) == [f"{NEWEST + 2:04d}_later"]
    assert await world.store.housekeeping.check() == []


async def test_a_migration_waits_for_those_who_use_the_table(world: World, monkeypatch: pytest.MonkeyPatch):
    """A change of a table that is in use lets others pass again and again until it can be made."""
    monkeypatch.setattr(migrations, "LOCK_MS", 50)
    monkeypatch.setattr(migrations, "LOCK_PAUSE_S", 0.05)
    account = await world.account()
    steps = later(world.directory / "migrations", HARMLESS)
    reader = await asyncpg.connect(await database(world.directory))
    try:
        async with reader.transaction():
            await reader.fetch("SELECT id FROM account")
            task = asyncio.create_task(migrations.apply(Address(address(name_of(world.directory))), steps))
            for _ in range(10):
                await world.accept(account)
                await asyncio.sleep(0.01)
            assert not task.done()
        assert len(await task) == 1
    finally:
        await reader.close()
