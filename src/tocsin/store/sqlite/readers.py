"""A few threads that read, each with its own connection and, per call, one snapshot; they never delay the writer."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from tocsin.errors import TocsinError, Unavailable
from tocsin.store.sqlite.database import Database, connect, translate

T = TypeVar("T")

# Reads are short and mostly served from memory; more threads would only contend for the interpreter.
_THREADS = 4

# Each reader's page cache. Pages beyond it come from the system's cache, which all of them share.
_CACHE_KIB = 4_096


class Readers:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: list[apsw.Connection] = []
        self._closed = False
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="tocsin-reader")

    async def do(self, read: Callable[[Database], T]) -> T:
        """Runs `read` in one read transaction; it sees all that was answered before."""
        if self._closed:
            raise Unavailable("the store is closed", code="stopping")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, read)

    def _read(self, read: Callable[[Database], T]) -> T:
        try:
            database = self._database()
            database.execute("BEGIN")
            try:
                return read(database)
            finally:
                database.execute("COMMIT")
        except TocsinError:
            raise
        except Exception as error:
            raise translate(error) from error

    def _database(self) -> Database:
        database: Database | None = getattr(self._local, "database", None)
        if database is None:
            database = self._local.database = Database(connect(self._path, readonly=True, cache_kib=_CACHE_KIB))
            self._connections.append(database.connection)
        return database

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._pool.shutdown)
            for connection in self._connections:
                connection.close()
