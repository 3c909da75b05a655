"""A connection with a transaction open, in few words; and the pool that connections come from."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from tocsin.errors import Misconfigured, TocsinError, Unavailable
from tocsin.store.postgres.errors import GONE, may_run_again, translate, why

T = TypeVar("T")

Row = tuple[Any, ...]  # in truth asyncpg's record, which unpacks like one

# Connections at most. The hot path needs one or two, people's reads and changes the others; a server's default is 100
# for everybody.
_CONNECTIONS = 10

# Whoever waits for an answer has it within 15 s, whatever becomes of the database or of the way to it: a black hole
# says nothing at all. So each step is bounded, and the bounds add up to less. A connection is made in milliseconds;
# three seconds allow for a handshake whose first packet was lost, and sent again after one.
_CONNECT_S = 3
_ACQUIRE_S = 4  # the same, where ten others wait for theirs too

# A transaction that has not ended by then is cut off with its connection. Those of the hot path take milliseconds, the
# longest reads and chores a second.
HOT_S = 5.0
LONG_S = 9.0

# A statement outside the pool (migrations, what the operator asks for) may take its time; a silent server may not.
_STATEMENT_S = 60

# What the server is told to give up by itself, sooner than we give up waiting: who was only cut off would still stand
# in the line for a lock, and in the end fill the server's places. Milliseconds.
_LOCK_MS = 3_000
_SERVER_STATEMENT_MS = 8_000

# A peer that is gone without a word is noticed within about 10 s, also where nothing is under way, as on a connection
# that only listens.
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 10_000}

# To give a connection back takes no round trip, but where one was cut off in the middle.
_RELEASE_S = 1.0

# At the end of the process nothing is under way any more that somebody waits for.
_CLOSE_S = 0.5

# A read that was cut is run again as long as it can still be answered in time.
_WORTH_A_TRY_S = 0.5
_PAUSE_S = 0.02

_SESSION = {"application_name": "tocsin"}

# A process that is frozen in the middle of a transaction must not keep its locks from others for long. One that is only
# slow runs the transaction again. Longer than any pause of a process that is well; no longer than others take to find
# out that it is not there.
_IDLE_S = 8

_LIMITS = {
    "lock_timeout": f"{_LOCK_MS}ms",
    "statement_timeout": f"{_SERVER_STATEMENT_MS}ms",
    "idle_in_transaction_session_timeout": f"{_IDLE_S}s",
}
_LIMITS_OF_ONE = ";".join(f"SET LOCAL {name} = '{value}'" for name, value in _LIMITS.items())

# Each time a statement is run it is planned for the values given: how many there are in its arrays, and how large
# tables are by now. A plan that is kept (PostgreSQL's way from the sixth time on) is made for a dozen rows of tables
# that may have been nearly empty: with it settling took 260 µs for each of 1,000, planned anew 29, ingesting 58 and 46
# (one shared machine). What is not cached is planned each time anyway, and poolers do not know the setting.
#
# Every statement has an index for what it looks up, so the planner is not asked whether going through a whole table
# would do. Where a backlog had been worked off and the next one filled its pages, it thought so: a claim of 64 among
# 100,000 read all of them, 58 ms in place of one. And compiling a statement takes longer than running any of ours; the
# planner's belief in what a LIMIT leaves to be read would have it done.
_PLANS = {"plan_cache_mode": "force_custom_plan", "enable_seqscan": "off", "jit": "off"}


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


def bounds(ids: Iterable[int]) -> tuple[int, int]:
    """The least and the greatest of some ids: what ``… BETWEEN`` takes.

    A statement that joins a partitioned table is planned for every one of its partitions, some 70 µs each, but for
    those that such bounds leave out.
    """
    known = list(ids)
    return min(known), max(known)


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

    @property
    def pooled(self) -> bool:
        """Whether a pooler in transaction mode may be in between: it knows few settings, and refuses the others."""
        return self.statement_cache_size == 0

    async def connect(self) -> Any:
        """One connection, outside any pool.

        Raises:
            Misconfigured: it cannot be had.
        """
        try:
            connection = await asyncpg.connect(
                self.dsn,
                timeout=_CONNECT_S,
                command_timeout=_STATEMENT_S,
                statement_cache_size=self.statement_cache_size,
                server_settings=_SESSION,
            )
            await watch_the_line(connection)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
            raise self.unopened(error) from None
        return connection

    def unopened(self, error: Exception) -> Misconfigured:
        return Misconfigured(f"{self.shown} cannot be opened: {why(error)}")


async def watch_the_line(connection: Any) -> None:
    """Lets the system find out that nobody is at the other end any more."""
    line = connection._transport.get_extra_info("socket")  # noqa: SLF001 - the driver shows it nowhere else
    if line is None or line.family == socket.AF_UNIX:
        return
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):  # Linux has all of them
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Pool:
    """Connections, each for one transaction at a time."""

    def __init__(
        self,
        address: Address,
        *,
        readonly: bool = False,
        connections: int = _CONNECTIONS,
        within_s: float = LONG_S,
    ) -> None:
        """`within_s`: how long a transaction may take, unless it is said of one."""
        self.within_s = within_s
        self._address = address
        self._readonly = readonly
        self._connections = connections
        self._said_first = _LIMITS_OF_ONE if address.pooled else None
        self._pool: Any = None
        self._idle: set[Any] = set()

    async def open(self) -> None:
        """Makes the first connection.

        Raises:
            Misconfigured: none can be had.
        """
        settings = {} if self._address.pooled else {**_PLANS, **_LIMITS}
        try:
            self._pool = await asyncpg.create_pool(
                self._address.dsn,
                min_size=0,  # one that must be there is asked for again and again while it cannot be had
                max_size=self._connections,
                timeout=_CONNECT_S,
                command_timeout=self.within_s,
                statement_cache_size=self._address.statement_cache_size,
                init=watch_the_line,
                server_settings={**_SESSION, **settings},
                reset=_nothing,
            )
            async with self._pool.acquire(timeout=_ACQUIRE_S):
                pass
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
            raise self._address.unopened(error) from None

    def transaction(self, connection: Any) -> "Transaction":
        """One that writes, on one of the connections; where nothing may be written, every write is refused."""
        return Transaction(connection, connection.transaction(readonly=self._readonly), self._said_first)

    @asynccontextmanager
    async def connection(self, within_s: float | None = None) -> AsyncIterator[Any]:
        """One of them, for a transaction that is cut off, with its connection, when it takes longer than that.

        Raises:
            Unavailable: the store is closed, or there is none to be had.
        """
        pool = self._pool
        if pool is None:
            raise Unavailable("the store is closed", code="stopping")
        within_s = self.within_s if within_s is None else within_s
        try:
            connection = await pool.acquire(timeout=min(_ACQUIRE_S, within_s))
        except Exception as error:
            raise translate(error) from error
        self._idle.discard(driven := connection._con)  # noqa: SLF001 - what stays, where the other is made for each use
        cut_off = asyncio.get_running_loop().call_later(within_s, driven.terminate)
        try:
            yield connection
        except asyncio.CancelledError:
            driven.terminate()  # who asked has gone; to be told goodbye by a silent server could take for ever
            raise
        finally:
            cut_off.cancel()
            if driven.is_closed():
                self._renew()
            else:
                self._idle.add(driven)
            # What is wrong with it was told already; the pool has closed it then.
            with contextlib.suppress(*GONE):
                await pool.release(connection, timeout=_RELEASE_S)

    def _renew(self) -> None:
        """A connection has ended: those that lie idle have hardly fared better, and each would be found out only by who
        asks it next. They are made anew.
        """
        idle, self._idle = self._idle, set()
        for connection in idle:
            connection.terminate()

    async def read(self, read: Callable[[Database], Awaitable[T]]) -> T:
        """Runs `read` on one state of the database; it sees all that was answered before.

        It is run again where a connection was cut.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self.within_s
        while True:
            try:
                async with self.connection(until - loop.time()) as connection:
                    how = connection.transaction(isolation="repeatable_read", readonly=True)
                    return await _read(Transaction(connection, how, self._said_first), read)
            except TocsinError:
                raise
            except Exception as error:
                if not may_run_again(error) or until - loop.time() < _WORTH_A_TRY_S:
                    raise translate(error) from error
                await asyncio.sleep(_PAUSE_S)

    async def close(self) -> None:
        """Waits for a transaction under way, but not for a silent server's goodbye."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                async with asyncio.timeout(_CLOSE_S):
                    await pool.close()
            except GONE:  # a time-out is one too
                pool.terminate()


class Transaction:
    """One of the server's, within the limits that its session has; or, behind a pooler, which knows no such settings,
    that it is given itself.
    """

    def __init__(self, connection: Any, transaction: Any, said_first: str | None) -> None:
        self.connection = connection
        self._transaction = transaction
        self._said_first = said_first

    async def start(self) -> None:
        await self._transaction.start()
        if self._said_first is not None:
            try:
                await self.connection.execute(self._said_first)
            except BaseException:
                self.connection.terminate()
                raise

    async def commit(self) -> None:
        await self._transaction.commit()

    async def rollback(self) -> None:
        await self._transaction.rollback()


async def _read(transaction: Transaction, read: Callable[[Database], Awaitable[T]]) -> T:
    await transaction.start()
    try:
        answer = await read(Database(transaction.connection))
    except asyncio.CancelledError:
        transaction.connection.terminate()  # see `Pool.connection`
        raise
    except BaseException:
        with contextlib.suppress(*GONE):
            await transaction.rollback()
        raise
    await transaction.commit()
    return answer


async def _nothing(connection: Any) -> None:
    """Transactions leave nothing behind that would have to be reset: a round trip saved each time."""
