"""A connection with a transaction open, in few words; and the pool that connections come from."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from tocsin.errors import Misconfigured, TocsinError, Unavailable
from tocsin.store.postgres.errors import GONE, may_run_again, translate

T = TypeVar("T")

Row = tuple[Any, ...]  # in truth asyncpg's record, which unpacks like one

# Connections at most. The hot path needs one or two, people's reads and changes the others; a server's default is 100
# for everybody.
_CONNECTIONS = 10

# A connection that is not to be had within this many seconds is an answer of its own.
_CONNECT_S = 10
_ACQUIRE_S = 10

# A statement takes milliseconds. One that has not ended by then hangs, and with it what waits behind it.
_STATEMENT_S = 60

# A server that was restarted has cut every connection of the pool, and each is found out on its own.
_READS = _CONNECTIONS + 1


_SESSION = {"application_name": "tocsin"}

# A process that is frozen in the middle of a transaction must not keep its locks from others for long. One that is only
# slow runs the transaction again. Longer than any pause of a process that is well; no longer than others take to find
# out that it is not there.
_IDLE_S = 8

# Each time a statement is run it is planned for the values given: how many there are in its arrays, and how large
# tables are by now. A plan that is kept (PostgreSQL's way from the sixth time on) is made for a dozen rows of tables
# that may have been nearly empty: with it settling took 260 µs for each of 1,000, planned anew 29, ingesting 58 and 46
# (one shared machine). What is not cached is planned each time anyway, and poolers do not know the setting.
_PLANS = {"plan_cache_mode": "force_custom_plan"}


class Database:
    """One connection within a transaction. Arguments are written ``$1`` in statements and given one by one."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def row(self, sql: str, *values: object) -> Row | None:
        """The first row, or None."""
        row: Row | None = await self.connection.fetchrow(sql, *values)
        return row

    async def rows(self, sql: str, *values: object) -> list[Row]:
        rows: list[Row] = await self.connection.fetch(sql, *values)
        return rows

    async def value(self, sql: str, *values: object) -> Any:
        """The first row's first column, or None."""
        return await self.connection.fetchval(sql, *values)

    async def change(self, sql: str, *values: object) -> int:
        """Runs it; how many rows were changed."""
        status: str = await self.connection.execute(sql, *values)
        last = status.rpartition(" ")[2]  # "UPDATE 3", "INSERT 0 1"
        return int(last) if last.isdigit() else 0

    async def in_order(self) -> None:
        """From here on to the end of the transaction rows are taken from an index one by one, in its order.

        For what goes on from a place and stops at a bound. PostgreSQL would rather collect all that a small account has
        and sort it: five times as long with 500 rows, and longer the more an account has grown since it was analysed.
        """
        await self.connection.execute("SET LOCAL enable_bitmapscan = off")

    async def rows_in_order(self, sql: str, *values: object) -> list[Row]:
        """As `rows`, see `in_order`."""
        await self.in_order()
        return await self.rows(sql, *values)

    def savepoint(self) -> AbstractAsyncContextManager[object]:
        """What is done within is undone, and nothing else, where it raises."""
        transaction: AbstractAsyncContextManager[object] = self.connection.transaction()
        return transaction


def columns(rows: Sequence[Sequence[Any]], n: int) -> list[list[Any]]:
    """Rows of `n` values as `n` lists: what ``unnest($1::…[], …)`` takes."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(n)]


def in_range(number: int) -> bool:
    """Whether PostgreSQL can hold the integer: no row has an id that it cannot."""
    return -(1 << 63) <= number < 1 << 63


class Address:
    """Where the database is, from ``postgresql://…``.

    One setting is ours and taken out: ``statement_cache_size`` (0 for poolers in transaction mode, which give each
    transaction another server process).
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"postgresql", "postgres"}:
            raise Misconfigured(f"{parts.scheme}:// is no address of a PostgreSQL database")
        self.shown = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"  # without what may be secret
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        size = query.pop("statement_cache_size", "100")
        if not size.isdigit():
            raise Misconfigured(f"statement_cache_size in {self.shown} must be a number, 0 for none")
        self.statement_cache_size = int(size)
        self.dsn = urlunsplit(parts._replace(query=urlencode(query)))

    async def connect(self) -> Any:
        """One connection, outside any pool.

        Raises:
            Misconfigured: it cannot be had.
        """
        try:
            return await asyncpg.connect(
                self.dsn,
                timeout=_CONNECT_S,
                command_timeout=_STATEMENT_S,
                statement_cache_size=self.statement_cache_size,
                server_settings=_SESSION,
            )
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
            raise Misconfigured(f"{self.shown} cannot be opened: {error or type(error).__name__}") from None


class Pool:
    """Connections, each for one transaction at a time."""

    def __init__(
        self,
        address: Address,
        *,
        readonly: bool = False,
        connections: int = _CONNECTIONS,
        statement_s: float = _STATEMENT_S,
    ) -> None:
        self._address = address
        self._readonly = readonly
        self._connections = connections
        self._statement_s = statement_s
        self._pool: Any = None

    async def open(self) -> None:
        """Makes the first connection.

        Raises:
            Misconfigured: none can be had.
        """
        # A pooler in transaction mode, for which nothing is cached, knows few settings and refuses the others.
        pooled = not self._address.statement_cache_size
        settings = {} if pooled else {**_PLANS, "idle_in_transaction_session_timeout": f"{_IDLE_S}s"}
        try:
            self._pool = await asyncpg.create_pool(
                self._address.dsn,
                min_size=1,
                max_size=self._connections,
                timeout=_CONNECT_S,
                command_timeout=self._statement_s,
                statement_cache_size=self._address.statement_cache_size,
                server_settings={**_SESSION, **settings},
                reset=_nothing,
            )
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
            raise Misconfigured(f"{self._address.shown} cannot be opened: {error or type(error).__name__}") from None

    def transaction(self, connection: Any) -> Any:
        """One that writes, on one of the connections; where nothing may be written, every write is refused."""
        return connection.transaction(readonly=self._readonly)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """One of them, for a transaction.

        Raises:
            Unavailable: the store is closed, or there is none to be had.
        """
        pool = self._pool
        if pool is None:
            raise Unavailable("the store is closed", code="stopping")
        try:
            connection = await pool.acquire(timeout=_ACQUIRE_S)
        except Exception as error:
            raise translate(error) from error
        try:
            yield connection
        finally:
            # What is wrong with it was told already; the pool has closed it then.
            with contextlib.suppress(*GONE):
                await pool.release(connection)

    async def read(self, read: Callable[[Database], Awaitable[T]]) -> T:
        """Runs `read` on one state of the database; it sees all that was answered before.

        It is run again where a connection was cut.
        """
        for n in range(_READS):
            try:
                async with (
                    self.connection() as connection,
                    connection.transaction(isolation="repeatable_read", readonly=True),
                ):
                    return await read(Database(connection))
            except TocsinError:
                raise
            except Exception as error:
                if n == _READS - 1 or not may_run_again(error):
                    raise translate(error) from error
        raise AssertionError("the last round answers or raises")

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()


async def _nothing(connection: Any) -> None:
    """Transactions leave nothing behind that would have to be reset: a round trip saved each time."""
