from pathlib import Path

import apsw
import pytest

from tests.store.world import World, sqlite
from tocsin.clock import ManualClock
from tocsin.errors import Misconfigured
from tocsin.store.sqlite import migrations
from tocsin.store.sqlite.migrations import Migration, SchemaStatus
from tocsin.store.sqlite.store import migrate, open_sqlite


def schema(path: Path) -> list[tuple[str, str, str]]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    rows = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").fetchall()
    settings = [
        ("pragma", name, str(connection.pragma(name))) for name in ("auto_vacuum", "application_id", "encoding")
    ]
    connection.close()
    return rows + settings


async def test_migrations_are_numbered_without_gaps():
    """Migrations are numbered from 1 on, one after the other."""
    assert [step.number for step in migrations.migrations()] == [*range(1, migrations.newest() + 1)]


async def test_fresh_is_migrated(tmp_path: Path):
    """A database migrated from any earlier schema, with rows in it, is the same as a fresh one."""
    fresh = tmp_path / "fresh.db"
    assert migrate(fresh) == [f"{step.number:04d}_{step.name}" for step in migrations.migrations()]
    for upto in range(migrations.newest()):
        path = tmp_path / f"from{upto}.db"
        connection = apsw.Connection(str(path))
        connection.pragma("auto_vacuum", "INCREMENTAL")
        migrations.apply(connection, path, migrations.migrations()[:upto])
        connection.close()
        assert len(migrate(path)) == migrations.newest() - upto
        assert schema(path) == schema(fresh)
    assert migrate(fresh) == []


async def test_space_can_be_given_back(tmp_path: Path):
    """A new file is laid out so that free pages can be given back to the system."""
    path = tmp_path / "new.db"
    migrate(path)
    assert ("pragma", "auto_vacuum", "2") in schema(path)


async def test_a_migration_that_fails_leaves_the_schema_before_it(tmp_path: Path):
    """A failing migration is rolled back whole; those before it stay."""
    path = tmp_path / "x.db"
    connection = apsw.Connection(str(path))
    steps = [
        Migration(1, "good", "CREATE TABLE a (x)"),
        Migration(2, "bad", "CREATE TABLE b (x); CREATE TABLE a (x)"),
    ]
    with pytest.raises(Misconfigured, match="cannot be migrated: table a already exists"):
        migrations.apply(connection, path, steps)
    assert connection.pragma("user_version") == 1
    assert [name for (name,) in connection.execute("SELECT name FROM sqlite_schema")] == ["a"]
    connection.close()


async def test_a_newer_schema_is_refused(world: World):
    """A file of a newer program is left alone, with a sentence that says so."""
    path = world.directory / "tocsin.db"
    await world.store.close()
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", migrations.newest() + 1)
    connection.close()
    with pytest.raises(Misconfigured, match="newer Tocsin"):
        await sqlite(world.directory, world.clock)
    with pytest.raises(Misconfigured, match="newer Tocsin"):
        migrations.status(path)
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", migrations.newest())
    connection.close()
    await world.open()


async def test_other_files_are_refused(tmp_path: Path):
    """What is no database, or another program's, is left as it is."""
    clock = ManualClock()
    text = tmp_path / "text.db"
    text.write_bytes(b"hello world, this is no database at all" * 100)
    with pytest.raises(Misconfigured, match="is no database"):
        await open_sqlite(text, clock=clock)
    assert text.read_bytes().startswith(b"hello world")
    other = tmp_path / "other.db"
    connection = apsw.Connection(str(other))
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = other.read_bytes()
    with pytest.raises(Misconfigured, match="another program's"):
        await open_sqlite(other, clock=clock)
    assert other.read_bytes() == before
    with pytest.raises(Misconfigured, match="cannot be opened"):
        await open_sqlite(tmp_path / "missing" / "x.db", clock=clock)


async def test_the_schema_can_be_looked_at_beside_a_server(world: World):
    """Looking at the schema neither waits for nor disturbs the process that has the file open."""
    newest = migrations.newest()
    assert migrations.status(world.directory / "tocsin.db") == SchemaStatus(newest, newest)
    assert migrations.status(world.directory / "none.db") == SchemaStatus(0, newest)
    assert not (world.directory / "none.db").exists()
    with pytest.raises(Misconfigured, match="already open"):
        migrate(world.directory / "tocsin.db")
