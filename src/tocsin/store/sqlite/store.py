"""Opens a file and puts the roles together."""

from pathlib import Path

import apsw

from tocsin.clock import Clock
from tocsin.errors import Misconfigured, TocsinError
from tocsin.store.sqlite import migrations
from tocsin.store.sqlite.accounts import SqliteAccounts, SqliteKeys
from tocsin.store.sqlite.database import connect
from tocsin.store.sqlite.housekeeping import SqliteHousekeeping
from tocsin.store.sqlite.idempotency import SqliteIdempotency
from tocsin.store.sqlite.journal import SqliteJournal, SqliteOwnership
from tocsin.store.sqlite.lock import FileLock
from tocsin.store.sqlite.readers import Readers
from tocsin.store.sqlite.records import SqliteRecords
from tocsin.store.sqlite.webhooks import SqliteCatalogue, SqliteSnapshots, SqliteWebhooks
from tocsin.store.sqlite.writer import Writer

# The writer's page cache: it holds the leaves of the account-led tables of some ten thousand busy accounts.
_WRITER_CACHE_KIB = 65_536


class SqliteStore:
    """`store.port.Store` on one file. Made by `open_sqlite`."""

    def __init__(self, path: Path, connection: apsw.Connection, lock: FileLock | None) -> None:
        self._path = path
        self._connection = connection
        self._lock = lock
        self._writer = writer = Writer(connection)
        self._readers = readers = Readers(path)
        self.journal = SqliteJournal(writer, readers)
        self.ownership = SqliteOwnership(writer)
        self.accounts = SqliteAccounts(writer, readers)
        self.keys = SqliteKeys(writer, readers)
        self.catalogue = SqliteCatalogue(writer, readers)
        self.webhooks = SqliteWebhooks(writer, readers)
        self.snapshots = SqliteSnapshots(readers)
        self.records = SqliteRecords(readers)
        self.idempotency = SqliteIdempotency(writer)
        self.housekeeping = SqliteHousekeeping(writer, readers)

    async def ready(self) -> bool:
        try:
            found: int = await self._readers.do(lambda db: db.value("PRAGMA user_version"))

        except TocsinError:
            return False
        return found == migrations.newest()

    async def close(self) -> None:
        await self._writer.close()
        await self._readers.close()
        self._connection.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None


async def open_sqlite(path: Path, *, clock: Clock, readonly: bool = False) -> SqliteStore:  # noqa: ARG001
    """Opens the file, makes it where there is none, and brings its schema up to date.

    `readonly` looks at it beside a running server: nothing is migrated, and every write is refused.

    Raises:
        Misconfigured: the file is open in another process, is no database of ours, or is a newer program's; read-only,
            also: its schema is not this program's.
    """
    lock = None if readonly else FileLock(path)
    try:
        connection = connect(path, readonly=readonly, cache_kib=_WRITER_CACHE_KIB)
        try:
            if readonly:
                _check_schema(connection, path)
            else:
                prepare(connection, path)
                migrations.apply(connection, path)
            return SqliteStore(path, connection, lock)
        except BaseException:
            connection.close()
            raise
    except BaseException:
        if lock is not None:
            lock.release()
        raise


def _check_schema(connection: apsw.Connection, path: Path) -> None:
    found = migrations.version(connection, path)
    if found != migrations.newest():
        raise Misconfigured(f"{path} has schema {found}, not {migrations.newest()}; run: tocsin migrate")


def migrate(path: Path) -> list[str]:
    """Brings the schema up to date and lets the file go; which migrations were applied.

    Raises:
        Misconfigured: as `open_sqlite`.
    """
    lock = FileLock(path)
    try:
        connection = connect(path, readonly=False, cache_kib=_WRITER_CACHE_KIB)
        try:
            prepare(connection, path)
            return migrations.apply(connection, path)
        finally:
            connection.close()
    finally:
        lock.release()


def prepare(connection: apsw.Connection, path: Path) -> None:
    """What holds for the one connection that writes."""
    found = migrations.version(connection, path)
    if found == 0:
        connection.pragma("auto_vacuum", "INCREMENTAL")  # only before the first page is written
    if connection.pragma("journal_mode", "wal") != "wal":
        raise Misconfigured(f"{path} lies on a file system without shared memory; keep it on a local disk")
    connection.pragma("synchronous", "FULL")
