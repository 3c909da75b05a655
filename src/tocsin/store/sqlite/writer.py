"""The one writer: a thread with the one connection that writes.

Calls become jobs in a queue. The thread takes all that wait, runs them in one transaction and answers them together
once it is durable; what comes meanwhile is the next transaction. Nobody waits on purpose, and the more there is to do
the more each sync is shared.

A transaction first runs bare: jobs of the hot path are not fenced by savepoints, as each costs a copy of every page
touched. If one of them raises, all is rolled back and run again, each in its own savepoint, so that it fails alone.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import apsw

from tocsin import failpoints
from tocsin.errors import Unavailable
from tocsin.store.sqlite.database import RESOURCE_ERRORS, Database, translate
from tocsin.store.sqlite.recent import Recent
from tocsin.store.sqlite.statements import statements
from tocsin.store.sqlite.trigger_versions import TriggerVersions

T = TypeVar("T")

_META = statements("meta")
_ATTEMPT = statements("attempt")

log = logging.getLogger(__name__)

# Rows of one transaction, about: some 50 ms of work. Beyond some hundreds a row costs no less, and all that come
# later wait for the whole.
_MAX_ROWS = 4_000

# Nothing has been asked for this long: time for chores.
_QUIET_S = 0.5

# Attempts are numbered from here, so that a number always takes six bytes, as the schema's "none yet" does.
_FIRST_ATTEMPT = 1 << 32

# Accounts whose config_version is remembered: some 20 MB at most.
_MAX_VERSIONS = 200_000


Mark = tuple[tuple[int, int, int], int]


class WritingDatabase(Database):
    """The writer's connection, and what it alone may remember of the database because nobody else writes to it.

    All of it is forgotten when a transaction is rolled back.
    """

    def __init__(self, connection: apsw.Connection, recent: Recent | None = None) -> None:
        super().__init__(connection)
        self.fenced = False  # whether what runs now is in a savepoint of its own
        self.versions: dict[int, int] = {}  # config_version of living accounts
        self.trigger_versions = TriggerVersions()
        self.recent = recent or Recent()
        self.recent.load(self)
        self._durable = False
        self._epoch: int | None = None
        self._attempt: int | None = None
        self._after: list[Callable[[], None]] = []

    def sync(self, *, durable: bool) -> None:
        """Whether the next transactions are synced to the disk one by one. Only outside a transaction."""
        if durable is not self._durable:
            self._durable = False  # whatever becomes of the next line
            self.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable

    def forget(self) -> None:
        """A part of the transaction, or all of it, was rolled back."""
        self.versions.clear()
        self._epoch = None
        self._attempt = None

    def mark(self) -> Mark:
        """Where a savepoint begins."""
        return self.recent.mark(), len(self._after)

    def back_to(self, mark: Mark | None) -> None:
        """A savepoint was rolled back to; None: the transaction was."""
        recent, after = mark or (None, 0)
        if mark is None:
            self.trigger_versions.rolled_back()
        self.forget()
        self.recent.back_to(recent)
        del self._after[after:]

    def after_commit(self, call: Callable[[], None]) -> None:
        """Calls once the transaction that is open is durable, if it becomes so."""
        self._after.append(call)

    def committed(self) -> None:
        self.recent.committed()
        self.trigger_versions.committed()
        for call in self._after:
            call()
        self._after.clear()

    def merge(self, bucket: int | None, key_bucket: int | None, *, quiet: bool = False) -> None:
        """Merges one bucket of each kind, within the transaction that is open."""
        self.recent.merge(self, bucket, key_bucket, quiet=quiet)
        self.after_commit(lambda: self.recent.merged(bucket, key_bucket))

    def own(self, epoch: int) -> None:
        """Raises `Unavailable` unless `epoch` is the owner's."""
        if self._epoch is None:
            self._epoch = int(self.value(_META["get"], ("epoch",)) or 0)
        if epoch != self._epoch:
            raise Unavailable(f"epoch {epoch} has ended; the owner's is {self._epoch}", code="not_owner")

    def next_epoch(self) -> int:
        epoch = int(self.value(_META["get"], ("epoch",)) or 0) + 1
        self.execute(_META["set"], ("epoch", str(epoch)))
        self._epoch = epoch
        return epoch

    def attempt_numbers(self, n: int) -> range:
        """Numbers for `n` attempts, rising, so that attempts are only ever appended."""
        if self._attempt is None:
            self._attempt = max(_FIRST_ATTEMPT, 1 + (self.value(_ATTEMPT["newest"]) or 0))
        first = self._attempt
        self._attempt += n
        return range(first, first + n)

    def trim(self) -> None:
        if len(self.versions) > _MAX_VERSIONS:
            self.versions.clear()


class _Job(Generic[T]):
    __slots__ = ("answer", "error", "fenced", "future", "ingests", "rows", "run")

    def __init__(self, run: Callable[[WritingDatabase], T], future: asyncio.Future[T], rows: int) -> None:
        self.run = run
        self.future = future
        self.rows = rows
        self.fenced = True
        self.ingests = False
        self.answer: T | None = None
        self.error: BaseException | None = None


class Writer:
    """Runs jobs, batch by batch, in its own thread, until it is closed."""

    def __init__(self, database: WritingDatabase, chore: Callable[[WritingDatabase, bool], bool] | None = None) -> None:
        """`chore` is called in the thread between transactions, and in quiet moments as long as it says that there was
        something to do; its second argument tells which.
        """
        self._database = database
        self._chore = chore
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="tocsin-writer", daemon=True)
        self._thread.start()

    async def do(
        self, run: Callable[[WritingDatabase], T], *, rows: int = 1, fenced: bool = True, ingests: bool = False
    ) -> T:
        """Runs `run` in the next transaction; answers once it is durable.

        `run` may be run twice, after everything it did was rolled back. A job that can raise in normal life is
        `fenced`: it does not make the others of its transaction run again.

        Raises:
            Unavailable: the transaction could not be made durable.
        """
        if self._closed:
            raise Unavailable("the store is closed", code="stopping")
        job: _Job[T] = _Job(run, self._loop.create_future(), rows)
        job.fenced = fenced
        job.ingests = ingests
        self._queue.put(job)
        return await job.future

    async def close(self) -> None:
        """Runs what is queued and ends the thread."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)

    # --- the thread -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        open_ = True
        while open_:
            job = self._next()
            batch: list[_Job[Any]] = []
            rows = 0
            while True:
                if job is None:
                    open_ = False
                    break
                batch.append(job)
                rows += job.rows
                if rows >= _MAX_ROWS:
                    break
                try:
                    job = self._queue.get_nowait()
                except queue.Empty:
                    break
            if batch:
                self._commit(batch)
                if self._chore is not None:
                    self._chore(self._database, False)

    def _next(self) -> _Job[Any] | None:
        """The next job; does chores in the quiet until it comes."""
        chore = self._chore
        while chore is not None:
            try:
                return self._queue.get(timeout=_QUIET_S)
            except queue.Empty:
                while self._queue.empty() and chore(self._database, True):
                    pass
                if self._queue.empty():
                    break
        return self._queue.get()

    def _commit(self, batch: Sequence[_Job[Any]]) -> None:
        try:
            try:
                self._transact(batch, fence_all=False)
            except _RunAgain:
                roll_back(self._database)
                self._transact(batch, fence_all=True)
        except BaseException as error:  # noqa: BLE001 - every caller must be answered, whatever happened
            roll_back(self._database)
            log.warning("store_failed", extra={"reason": repr(error), "jobs": len(batch)})
            told = error.told if isinstance(error, _CommitFailed) else translate(error)
            for job in batch:
                job.error = told
        self._database.trim()
        try:
            self._loop.call_soon_threadsafe(_answer, batch)
        except RuntimeError:
            self._closed = True  # the loop is gone, and with it everyone who could be answered

    def _transact(self, batch: Sequence[_Job[Any]], *, fence_all: bool) -> None:
        database = self._database
        database.sync(durable=True)
        database.execute("BEGIN IMMEDIATE")
        ingested = False
        for job in batch:
            job.answer = job.error = None
            if fence_all or job.fenced:
                self._run_fenced(job)
            else:
                database.fenced = False
                try:
                    job.answer = job.run(database)
                except RESOURCE_ERRORS:
                    raise
                except Exception as error:
                    raise _RunAgain from error
            ingested |= job.ingests and job.error is None
        if ingested:
            failpoints.reach("before_commit")
        try:
            database.execute("COMMIT")
        except apsw.Error as error:
            raise _CommitFailed(translate(error, at_commit=True)) from error
        database.committed()
        if ingested:
            failpoints.reach("after_commit")

    def _run_fenced(self, job: _Job[Any]) -> None:
        database = self._database
        mark = database.mark()
        database.execute("SAVEPOINT job")
        database.fenced = True
        try:
            job.answer = job.run(database)
        except RESOURCE_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - the job's own failure is its caller's to see
            database.execute("ROLLBACK TO job")
            database.back_to(mark)
            job.error = translate(error)
        database.execute("RELEASE job")


def roll_back(database: WritingDatabase) -> None:
    """Leaves no transaction open. SQLite may have rolled back already, of its own accord."""
    database.back_to(None)
    if database.connection.in_transaction:
        try:
            database.execute("ROLLBACK")
        except apsw.Error as error:
            log.warning("store_failed", extra={"reason": repr(error), "jobs": 0})


class _RunAgain(Exception):
    pass


class _CommitFailed(Exception):
    def __init__(self, told: Exception) -> None:
        super().__init__(str(told))
        self.told = told


def _answer(batch: Sequence[_Job[Any]]) -> None:
    for job in batch:
        if job.future.done():
            continue  # its caller has gone away
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.answer)


def merge_due(database: WritingDatabase, *, quiet: bool) -> bool:
    """Merges one bucket of each kind, if it is time, in a transaction of its own; whether it was."""
    bucket, key_bucket = database.recent.due(quiet=quiet)
    if bucket is None and key_bucket is None:
        return False
    try:
        database.sync(durable=False)  # what is lost is merged again
        database.execute("BEGIN IMMEDIATE")
        database.merge(bucket, key_bucket, quiet=quiet)
        database.execute("COMMIT")
        database.committed()
    except Exception as error:  # noqa: BLE001 - a chore may fail; the writer may not
        log.warning("store_failed", extra={"reason": repr(error), "jobs": 0})
        roll_back(database)
        return False
    return True
