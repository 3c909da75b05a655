"""Takes activity in: decides what it changes and fires, and answers once all of it is durable.

    take ─▶ queue ─▶ batch ─▶ one part an account ─▶ commits ─▶ answers
                       │                                │ another process was quicker
                       └──────▶ contested ◀─────────────┘

One batch at a time is read, decided and written; the next one gathers meanwhile. So within this process no two
decisions about an account know nothing of each other; of other processes the store's versions tell. Accounts that
others write at the same time go on in `contested`, and delay nobody else.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from tocsin.clock import Clock, Millis
from tocsin.engine.activity.commits import AT_A_TIME, BATCH, Commits
from tocsin.engine.activity.contested import Contested
from tocsin.engine.activity.parts import Firing, Part
from tocsin.engine.activity.work import Change, NewItem, Posted, Posting, Taken, Work
from tocsin.engine.cluster.bell import Bell
from tocsin.engine.cluster.tenure import Tenure
from tocsin.engine.departures import Departures
from tocsin.engine.directory import Directory
from tocsin.errors import NotFound, Rejected, Unavailable
from tocsin.ids import IdSource
from tocsin.model import AccountId
from tocsin.profiles import Profile
from tocsin.store.port import Change as AuditChange
from tocsin.store.port import TriggerAsk, Triggers
from tocsin.telemetry import Metrics, raise_by
from tocsin.triggers.activity import Activity, ActivityId, Kind
from tocsin.triggers.context import Context
from tocsin.triggers.state import State

__all__ = ["Activities", "Complete", "NewItem", "Taken"]

T = TypeVar("T")

# What may wait for its batch: beyond it the publisher is told to come again, and memory stays bounded.
_MAX_WAITING = 20_000
_MAX_WAITING_BYTES = 256 << 20


class Complete(Protocol):
    """Checks and completes what was posted (`triggers.normalise`). Raises `errors.Invalid`."""

    def __call__(
        self,
        kind: Kind,
        raw: dict[str, Any],
        *,
        id: ActivityId,
        external_id: str | None,
        at: Millis,
        accepted_at: Millis,
    ) -> Activity: ...


class Activities:
    """The way in for activity, and for what is changed of what triggers know."""

    def __init__(
        self,
        *,
        triggers: Triggers,
        directory: Directory,
        departures: Departures,
        complete: Complete,
        ready: Callable[[], Awaitable[None]],
        firing: Callable[[Profile], Firing],
        bell: Bell,
        tenure: Tenure,
        clock: Clock,
        id_source: IdSource,
        metrics: Metrics,
    ) -> None:
        """`ready`: what `complete` looks things up in can be asked without waiting."""
        self._triggers = triggers
        self._directory = directory
        self._complete = complete
        self._ready = ready
        self._clock = clock
        self._id_source = id_source
        self._metrics = metrics
        self.commits = Commits(
            directory=directory,
            departures=departures,
            firing=firing,
            bell=bell,
            tenure=tenure,
            clock=clock,
            metrics=metrics,
        )
        self._contested = Contested(triggers=triggers, commits=self.commits, clock=clock)
        self._waiting: deque[Work] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = True

    def start(self) -> None:
        self._contested.start()
        self._stopping = False
        self._task = asyncio.create_task(self._work(), name="activities")

    async def stop(self) -> None:
        """Takes nothing more and finishes what it has taken."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        await self._contested.stop()

    @property
    def waiting(self) -> int:
        return len(self._waiting) + self._contested.waiting

    # --- the doors ------------------------------------------------------------------------------------------------

    async def take(self, account_id: AccountId, items: Sequence[NewItem]) -> Sequence[Taken | Exception]:
        """Takes activities in their order; what became of each, once all that were accepted are durable.

        A refused one is `errors.Rejected`, one that met a defect `errors.Defect`; one whose batch could not be written
        is `errors.Unavailable`, and so may be others of the same request.

        Raises:
            NotFound: the account is gone.
            Unavailable: nothing was taken; come again.
        """
        await self._directory.view(account_id)
        if not items:
            return ()
        await self._ready()
        self._check_room()
        posting = Posting(len(items), asyncio.get_running_loop().create_future())
        for begin in range(0, len(items), AT_A_TIME):
            if begin:
                await asyncio.sleep(0)
                if self._stopping:
                    late = Unavailable("the server is stopping; post again", code="stopping")
                    for index in range(begin, len(items)):
                        posting.settle(index, late)
                    break
            for index, item in enumerate(items[begin : begin + AT_A_TIME], begin):
                self._take_one(account_id, item, posting, index)
            self._wake.set()
        return await posting.answer

    def _take_one(self, account_id: AccountId, item: NewItem, posting: Posting, index: int) -> None:
        now = self._clock.now_ms()
        try:
            activity = self._complete(
                item.kind,
                item.raw,
                id=ActivityId(self._id_source.next()),
                external_id=item.external_id,
                at=now if item.at is None else item.at,
                accepted_at=now,
            )
        except Rejected as error:
            raise_by(self._metrics.activities_refused, item.kind)
            posting.settle(index, error)
            return
        work = Posted(account_id, activity, item, posting, index)
        self._waiting.append(work)
        self._waiting_bytes += work.size

    async def configure(
        self, account_id: AccountId, change: Callable[[Context], T], audit: AuditChange | None = None
    ) -> T:
        """Changes what triggers know of an account, in turn with its activities; returns once it is durable with what
        it fired.

        Args:
            change: as a rule (pure; may be called several times); what it raises is raised here, and nothing changes.
            audit: an entry for the audit log, written if anything changes.

        Raises:
            NotFound, Unavailable: as `take`.
        """
        await self._directory.view(account_id)
        self._check_room()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(Change(account_id, change, audit, self._clock.now_ms(), answer))
        self._wake.set()
        return await answer

    async def look(self, account_id: AccountId, *keys: str) -> State:
        """What is remembered under these keys, for reading only. Raises `NotFound`."""
        asked = TriggerAsk(account_id=account_id, keys=frozenset(keys))
        (read,) = await self._triggers.read([asked], self._clock.now_ms())
        if read is None:
            raise NotFound("there is no such account")
        state = State()
        state.load(read.values)
        return state

    def run(self, works: Sequence[Work]) -> None:
        """Queues what is due (`timers`), past the bound that is for publishers."""
        self._waiting.extend(works)
        self._wake.set()

    def _check_room(self) -> None:
        if self._stopping:
            raise Unavailable("the server is stopping; post again", code="stopping")
        waiting_bytes = self._waiting_bytes + self._contested.waiting_bytes
        if self.waiting >= _MAX_WAITING or waiting_bytes >= _MAX_WAITING_BYTES:
            raise Unavailable("more is coming in than can be stored; post again in a second", code="overloaded")

    # --- the queue ------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while not (self._stopping and not self._waiting):
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                for part in await self.commits.commit(self._next_batch(), self._triggers):
                    self._contested.take_over(part)
                if self.commits.hung:
                    self._fail_waiting()

    def _fail_waiting(self) -> None:
        """Who waits would wait as long again, for the same."""
        error = Unavailable("nothing was stored: the store did not answer those before", code="store_unavailable")
        while self._waiting:
            for part in self._next_batch():
                part.fail(error)

    def _next_batch(self) -> list[Part]:
        """What waits, in order, by account."""
        by_account: dict[AccountId, list[Work]] = {}
        for _ in range(min(BATCH, len(self._waiting))):
            work = self._waiting.popleft()
            self._waiting_bytes -= work.size
            if self._contested.has(work.account_id):
                self._contested.add(work)
            else:
                by_account.setdefault(work.account_id, []).append(work)
        return [self.commits.part(account_id, works) for account_id, works in by_account.items()]
