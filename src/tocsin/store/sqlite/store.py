"""Opens a file and puts the roles together."""

import asyncio
from pathlib import Path

import apsw

from tocsin.clock import Clock
from tocsin.errors import Misconfigured, TocsinError
from tocsin.store.sqlite import migrations
from tocsin.store.sqlite.accounts import SqliteAccounts, SqliteKeys
from tocsin.store.sqlite.checkpoints import LOG_PAGES, Checkpoints
from tocsin.store.sqlite.cluster import SqliteCluster, SqliteNews
from tocsin.store.sqlite.database import Database, connect
from tocsin.store.sqlite.digests import SqliteDigests
from tocsin.store.sqlite.erasure import SqliteErasure
from tocsin.store.sqlite.housekeeping import SqliteHousekeeping, faults
from tocsin.store.sqlite.idempotency import SqliteIdempotency
from tocsin.store.sqlite.journal import SqliteJournal
from tocsin.store.sqlite.lock import FileLock
from tocsin.store.sqlite.moved import refuse_moved
from tocsin.store.sqlite.notices import SqliteNotices
from tocsin.store.sqlite.readers import Readers
from tocsin.store.sqlite.recent import Recent
from tocsin.store.sqlite.records import SqliteRecords
from tocsin.store.sqlite.triggers import SqliteTriggers
from tocsin.store.sqlite.webhooks import SqliteCatalogue, SqliteSnapshots, SqliteWebhooks
from tocsin.store.sqlite.writer import Writer, WritingDatabase, merge_due

# The writer's page cache: what one transaction and one merge touch. More was slower (16, 64 and 256 MiB took 17, 20 and
# 23 µs an event): the system holds the file anyway, and pages held twice push others out of the processor's caches.
_WRITER_CACHE_KIB = 16_384

# A log that had to grow beyond this, while something held it, is cut back to it.
_LOG_KEPT_BYTES = 128 << 20


class SqliteStore:
    """`store.port.Store` on one file. Made by `open_sqlite`."""

    def __init__(self, path: Path, database: WritingDatabase, lock: FileLock | None, log_pages: int) -> None:
        self._connection = database.connection
        self._lock = lock
        self._checkpoints = None if lock is None else Checkpoints(path, database.connection, full=log_pages)
        self._writer = writer = Writer(database, None if lock is None else self._chore)
        self._readers = readers = Readers(path)
        self.journal = SqliteJournal(writer, readers)
        self.cluster = SqliteCluster(writer)
        self.news = SqliteNews()
        self.accounts = SqliteAccounts(writer, readers)
        self.keys = SqliteKeys(writer, readers)
        self.catalogue = SqliteCatalogue(writer, readers)
        self.digests = SqliteDigests(writer, readers)
        self.webhooks = SqliteWebhooks(writer, readers)
        self.snapshots = SqliteSnapshots(readers)
        self.notices = SqliteNotices(writer, readers)
        self.records = SqliteRecords(readers, database.recent)
        self.idempotency = SqliteIdempotency(writer)
        self.housekeeping = SqliteHousekeeping(writer, readers)
        self.erasure = SqliteErasure(writer, readers, database.recent)
        self.triggers = SqliteTriggers(writer, readers, database.recent, database.trigger_versions)

    def _chore(self, database: WritingDatabase, quiet: bool) -> bool:  # noqa: FBT001 - as the writer calls it
        if self._checkpoints is not None:
            self._checkpoints.step()
        return merge_due(database, quiet=quiet)

    async def ready(self) -> bool:
        try:
            found: int = await self._readers.do(lambda db: db.value("PRAGMA user_version"))
        except TocsinError:
            return False
        return found == migrations.newest()

    async def close(self) -> None:
        await self._writer.close()
        await self._readers.close()
        if self._checkpoints is not None:
            await asyncio.to_thread(self._checkpoints.close)
            self._checkpoints = None
        await asyncio.to_thread(self._connection.close)  # moves what is left in the log into the file
        if self._lock is not None:
            self._lock.release()
            self._lock = None


async def open_sqlite(
    path: Path,
    *,
    clock: Clock,  # noqa: ARG001 - the store takes every instant as an argument; one with an offset of its own needs it
    readonly: bool = False,
    recent: Recent | None = None,
    log_pages: int = LOG_PAGES,
) -> SqliteStore:
    """Opens the file, makes it where there is none, and brings its schema up to date.

    Args:
        readonly: looks at the file beside a running server: nothing is migrated, every write is refused, and lists may
            lack what came after the opening.
        recent: bounds of what is merged when, for tests.
        log_pages: the length of the write-ahead log from which on it is moved into the file, for tests.

    Raises:
        Misconfigured: the file is open in another process, is no database of ours, or is a newer program's, or what it
            holds was moved elsewhere; read-only, also: its schema is not this program's.
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
            refuse_moved(connection, path)
            return SqliteStore(path, WritingDatabase(connection, recent), lock, log_pages)
        except BaseException as error:
            connection.close()
            if isinstance(error, apsw.Error):
                raise Misconfigured(f"{path} is damaged: {error}; put a backup in its place") from error
            raise
    except BaseException:
        if lock is not None:
            lock.release()
        raise


def check(path: Path) -> list[str]:
    """What is wrong with a file, which nobody has to be able to open; empty: nothing.

    Raises:
        Misconfigured: it is no database.
    """
    connection = connect(path, readonly=True, cache_kib=_WRITER_CACHE_KIB)
    try:
        return faults(Database(connection))
    finally:
        connection.close()


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
    connection.pragma("journal_size_limit", _LOG_KEPT_BYTES)
