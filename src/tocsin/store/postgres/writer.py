"""What writes: the hot path in sets that share a commit, everything else in transactions of its own.

`together`: calls become jobs in a queue. A committer takes all that wait, runs them in one transaction and answers them
once it is durable; what comes meanwhile is the next transaction. Nobody waits on purpose, and the more there is to do
the more each commit is shared. What events are matched by is changed here too, so that all that was asked for before a
change comes before it. A transaction first runs bare. If a job raises, all is rolled back and run again, each
job behind a savepoint, so that it fails alone.

`alone`: one job, one transaction, beside all others.

`open`: a transaction that stays open while its caller decides what to write.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from tocsin import failpoints
from tocsin.errors import TocsinError, Unavailable
from tocsin.store.postgres.database import HOT_S, Database, Pool
from tocsin.store.postgres.errors import CONTENTION, GONE, ROW_ERRORS, is_resource_error, may_run_again, translate
from tocsin.store.postgres.statements import statements

T = TypeVar("T")

_NODE = statements("node")

log = logging.getLogger(__name__)

# Rows of one transaction, about: some 50 ms of work. Beyond some hundreds a row costs no less, and all that come later
# wait for the whole.
_MAX_ROWS = 4_000

# A transaction that was given up, because another stood in its way or its connection ended, is run so many times at
# most, each time a little later.
_ROUNDS = 5
_PAUSE_S = 0.01
_WORTH_A_TRY_S = 0.5

# At the end of the process: longer than anything takes that is under way, where the database answers.
_CLOSE_S = 0.5


class WritingDatabase(Database):
    """A connection within a transaction that writes."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self.fenced = (
            False  # whether what runs now can be undone by itself: what may fail in part, may be tried in parts
        )
        self._owned: set[int] = set()

    def forget(self) -> None:
        """A savepoint was rolled back, and with it the locks that were taken behind it are gone."""
        self._owned.clear()

    async def own(self, epoch: int) -> None:
        """Raises `Unavailable` unless the node of that epoch is there; it stays so until the end of the transaction."""
        if epoch not in self._owned:
            if await self.value(_NODE["own"], epoch) is None:
                raise Unavailable(f"epoch {epoch} has ended", code="not_owner")
            self._owned.add(epoch)


class OpenTransaction:
    def __init__(self, connection: Any, transaction: Any) -> None:
        self.database = WritingDatabase(connection)
        self.database.fenced = True
        self._transaction = transaction
        self.ended = False

    async def commit(self, *, ingested: bool) -> None:
        if ingested:
            failpoints.reach("before_commit")
        self.ended = True
        await _commit(self._transaction)
        if ingested:
            failpoints.reach("after_commit")


Run = Callable[[WritingDatabase], Awaitable[T]]


class _Job(Generic[T]):
    __slots__ = ("answer", "error", "fenced", "future", "ingests", "rows", "run")

    def __init__(self, run: Run[T], future: asyncio.Future[T], rows: int, ingests: bool) -> None:  # noqa: FBT001 - a record
        self.run = run
        self.future = future
        self.rows = rows
        self.ingests = ingests
        self.fenced = False
        self.answer: T | None = None
        self.error: BaseException | None = None


class Writer:
    """Runs jobs until it is closed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: list[_Job[Any]] = []
        self._wake = asyncio.Event()
        self._closed = False
        self._committer = asyncio.get_running_loop().create_task(self._work(), name="tocsin-committer")

    async def together(self, run: Run[T], *, rows: int = 1, ingests: bool = False, fenced: bool = False) -> T:
        """Runs `run` in the next transaction, with whatever else waits, in the order of the calls; answers once it is
        durable.

        `run` may be run again, after everything it did was rolled back: it keeps nothing outside of the database. A job
        that can raise in normal life is `fenced`: it does not make the others of its transaction run again.

        Raises:
            Unavailable: the transaction could not be made durable.
        """
        if self._closed:
            raise Unavailable("the store is closed", code="stopping")
        job: _Job[T] = _Job(run, asyncio.get_running_loop().create_future(), rows, ingests)
        job.fenced = fenced
        self._waiting.append(job)
        self._wake.set()
        return await job.future

    async def alone(self, run: Run[T]) -> T:
        """Runs `run` in a transaction of its own; answers once it is durable. It may be run again, as above.

        Raises:
            Unavailable: the transaction could not be made durable.
        """
        if self._closed:
            raise Unavailable("the store is closed", code="stopping")
        return await alone(self._pool, run)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["OpenTransaction"]:
        """A transaction beside all others. What is not committed by the end of the context is undone.

        Raises:
            Unavailable: there is no connection to be had.
        """
        if self._closed:
            raise Unavailable("the store is closed", code="stopping")
        async with self._pool.connection() as connection:
            transaction = connection.transaction()
            try:
                await transaction.start()
            except Exception as error:
                raise translate(error) from error
            opened = OpenTransaction(connection, transaction)
            try:
                yield opened
            except BaseException as error:
                if not opened.ended:
                    await _roll_back(transaction, connection, error)
                raise
            if not opened.ended:
                await _roll_back(transaction, connection)

    async def close(self) -> None:
        """Runs what is queued and ends; what is not done soon is refused."""
        if not self._closed:
            self._closed = True
            self._wake.set()
            await asyncio.wait({self._committer}, timeout=_CLOSE_S)
            while not self._committer.done():
                self._committer.cancel()  # the batch that is under way
                await asyncio.wait({self._committer}, timeout=_PAUSE_S)

    # --- the committer --------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            batch = self._take()
            if not batch:
                if self._closed:
                    return
                self._wake.clear()
                continue
            await self._commit(batch)

    def _take(self) -> list[_Job[Any]]:
        rows = n = 0
        while n < len(self._waiting) and rows < _MAX_ROWS:
            rows += self._waiting[n].rows
            n += 1
        batch = self._waiting[:n]
        del self._waiting[:n]
        return batch

    async def _commit(self, batch: Sequence[_Job[Any]]) -> None:
        try:
            await self._until_done(batch)
        except BaseException as error:  # noqa: BLE001 - every caller must be answered, whatever happened
            log.warning("store_failed", extra={"reason": repr(error), "jobs": len(batch)})
            told = translate(error)
            for job in batch:
                job.error = told
        for job in batch:
            if job.future.done():
                continue  # its caller has gone away
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.answer)

    async def _until_done(self, batch: Sequence[_Job[Any]]) -> None:
        rounds = _Rounds(HOT_S)
        while True:
            try:
                async with self._pool.connection(rounds.left_s) as connection:
                    try:
                        await _transact(self._pool.transaction(connection), connection, batch, fence_all=False)
                    except _RunAgain:
                        await _transact(self._pool.transaction(connection), connection, batch, fence_all=True)
            except Exception as error:
                if not may_run_again(error) or not await rounds.another():
                    raise
            else:
                return


class _Rounds:
    """How often, and for how long, a transaction is tried."""

    def __init__(self, within_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + within_s
        self._done = 0

    @property
    def left_s(self) -> float:
        return self._until - self._loop.time()

    async def another(self) -> bool:
        """Whether it may be tried again; waits a little first."""
        self._done += 1
        pause_s = _PAUSE_S * self._done
        if self._done == _ROUNDS or self.left_s <= pause_s + _WORTH_A_TRY_S:
            return False
        await asyncio.sleep(pause_s)
        return True


async def alone(pool: Pool, run: Run[T]) -> T:
    """As `Writer.alone`, over connections of any pool."""
    # A task of its own: a caller that goes away does not leave a transaction half-way.
    task = asyncio.ensure_future(_alone(pool, run))
    task.add_done_callback(_looked_at)
    return await asyncio.shield(task)


async def _alone(pool: Pool, run: Run[T]) -> T:
    rounds = _Rounds(pool.within_s)
    while True:
        try:
            async with pool.connection(rounds.left_s) as connection:
                return await _transact_alone(pool.transaction(connection), connection, run)
        except TocsinError:
            raise
        except Exception as error:
            if not may_run_again(error) or not await rounds.another():
                raise translate(error) from error


async def _transact(transaction: Any, connection: Any, batch: Sequence[_Job[Any]], *, fence_all: bool) -> None:
    database = WritingDatabase(connection)
    await transaction.start()
    ingested = False
    try:
        for job in batch:
            job.answer = job.error = None
            if fence_all or job.fenced:
                await _run_fenced(database, job)
            else:
                await _run_bare(database, job)
            ingested |= job.ingests and job.error is None
    except BaseException as error:
        await _roll_back(transaction, connection, error)
        raise
    if ingested:
        failpoints.reach("before_commit")
    await _commit(transaction)
    if ingested:
        failpoints.reach("after_commit")


async def _transact_alone(transaction: Any, connection: Any, run: Run[T]) -> T:
    database = WritingDatabase(connection)
    database.fenced = True
    try:
        await transaction.start()
        answer = await run(database)
    except BaseException as error:
        await _roll_back(transaction, connection, error)
        raise
    await _commit(transaction)
    return answer


async def _commit(transaction: Any) -> None:
    try:
        await transaction.commit()
    except CONTENTION:
        raise
    except Exception as error:
        raise translate(error, at_commit=True) from error


async def _run_bare(database: WritingDatabase, job: _Job[Any]) -> None:
    database.fenced = False
    try:
        job.answer = await job.run(database)
    except CONTENTION:
        raise
    except Exception as error:
        if is_resource_error(error):
            raise
        raise _RunAgain from error


async def _run_fenced(database: WritingDatabase, job: _Job[Any]) -> None:
    database.fenced = True
    try:
        async with database.savepoint():
            job.answer = await job.run(database)
    except CONTENTION:
        raise
    except Exception as error:
        if is_resource_error(error):
            raise
        database.forget()
        job.error = translate(error)


async def _roll_back(transaction: Any, connection: Any, error: BaseException | None = None) -> None:
    """Leaves no transaction open; the server does so itself where it cannot be told."""
    try:
        if connection.is_closed():  # which one that the pool has taken back already refuses to say
            return
        if isinstance(error, (asyncio.CancelledError, TimeoutError)):
            connection.terminate()  # who does not answer this will not answer that
        else:
            await transaction.rollback()
    except GONE as gone:
        log.warning("store_failed", extra={"reason": repr(gone), "jobs": 0})


class _RunAgain(Exception):
    pass


def _looked_at(task: asyncio.Task[Any]) -> None:
    """Its caller may have gone away: an error is then nobody's to see."""
    if not task.cancelled():
        task.exception()


async def write_or_halve(
    database: WritingDatabase,
    which: Sequence[int],
    write: Callable[[Sequence[int]], Awaitable[None]],
    refuse: Callable[[int, str], None],
) -> None:
    """Writes all of `which`; if one of them is refused, each half by itself, down to the one at fault."""
    try:
        async with database.savepoint():
            await write(which)
    except ROW_ERRORS as error:
        if len(which) == 1:
            refuse(which[0], str(error))
            return
        middle = len(which) // 2
        await write_or_halve(database, which[:middle], write, refuse)
        await write_or_halve(database, which[middle:], write, refuse)
