"""Takes activity in: decides what it changes and fires, and answers once all of it is durable.

    take ─▶ queue ─▶ batch ─▶ one part an account ─read─▶ decide ─▶ book ─▶ write ─▶ answers; events set out
                                      ▲ Unread: read more   │          │
                                      └─────────────────────┴──────────┘ Stale: decide again

One batch at a time is read, decided and written; the next one gathers meanwhile. So within this process no two
decisions about an account know nothing of each other; of other processes the store's versions tell.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from tocsin.clock import Clock, Millis
from tocsin.engine.activity.parts import Firing, Part
from tocsin.engine.activity.work import Change, NewItem, Posted, Posting, Taken, Work
from tocsin.engine.cluster.tenure import Tenure
from tocsin.engine.departures import Departures
from tocsin.engine.directory import Directory
from tocsin.errors import Defect, Invalid, NotFound, Rejected, TocsinError, Unavailable
from tocsin.ids import IdSource, show
from tocsin.model import AccountId
from tocsin.profiles import Profile
from tocsin.store.port import Accepted, AccountGone, Ingested, Stale, TriggerAsk, Triggers, TriggerWrite, Unstorable
from tocsin.store.port import Change as AuditChange
from tocsin.telemetry import Metrics, raise_by
from tocsin.triggers.activity import Activity, ActivityId, Kind
from tocsin.triggers.context import Context
from tocsin.triggers.firing import Unfired
from tocsin.triggers.state import State

__all__ = ["Activities", "Complete", "NewItem", "Taken"]

log = logging.getLogger(__name__)

T = TypeVar("T")

# Activities of one batch: some 100 ms of deciding and writing, for which those behind it wait.
_BATCH = 1_000

# Looked at before others of this process get their turn: some milliseconds.
_AT_A_TIME = 100

# What may wait for its batch: beyond it the publisher is told to come again, and memory stays bounded.
_MAX_WAITING = 20_000
_MAX_WAITING_BYTES = 256 << 20

# Keys that had to be asked for in a second read are read at once the next time, such as an account's alerts: the latest
# so many of an account, and for so many accounts; 5 MB at most.
_ASKED = 8
_MAX_ASKED = 4_096

# How often a batch is decided anew because somebody else wrote meanwhile, and how often it may find that more must be
# read: rules ask for what the answer before told them of, a few times.
_DECISIONS = 20
_READS = 50


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
        tenure: Tenure,
        clock: Clock,
        id_source: IdSource,
        metrics: Metrics,
    ) -> None:
        """`ready`: what `complete` looks things up in can be asked without waiting."""
        self._triggers = triggers
        self._directory = directory
        self._departures = departures
        self._complete = complete
        self._ready = ready
        self._firing = firing
        self._clock = clock
        self._id_source = id_source
        self._metrics = metrics
        self._tenure = tenure
        self._waiting: deque[Work] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._looked_at = 0
        self._asked_for: OrderedDict[AccountId, tuple[str, ...]] = OrderedDict()  # what was not foreseen of late
        self.timers_changed: Callable[[Mapping[str, Millis | None]], None] = lambda _timers: None
        self._task: asyncio.Task[None] | None = None
        self._stopping = True

    def start(self) -> None:
        self._stopping = False
        self._task = asyncio.create_task(self._commit_loop(), name="activities")

    async def stop(self) -> None:
        """Takes nothing more and finishes what it has taken."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task

    @property
    def waiting(self) -> int:
        return len(self._waiting)

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
        for begin in range(0, len(items), _AT_A_TIME):
            if begin:
                await asyncio.sleep(0)
                if self._stopping:
                    late = Unavailable("the server is stopping; post again", code="stopping")
                    for index in range(begin, len(items)):
                        posting.settle(index, late)
                    break
            for index, item in enumerate(items[begin : begin + _AT_A_TIME], begin):
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
        if len(self._waiting) >= _MAX_WAITING or self._waiting_bytes >= _MAX_WAITING_BYTES:
            raise Unavailable("more is coming in than can be stored; post again in a second", code="overloaded")

    # --- the commit -----------------------------------------------------------------------------------------------

    async def _commit_loop(self) -> None:
        while not (self._stopping and not self._waiting):
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                parts = self._next_batch()
                try:
                    await self._commit(parts)
                except Exception:
                    log.exception("deciding_failed", extra={"account": "several", "of": "batch"})
                    for part in parts:
                        part.fail(Defect("an unexpected error; the server's log has it"))

    def _next_batch(self) -> list[Part]:
        """What waits, in order, by account."""
        by_account: dict[AccountId, list[Work]] = {}
        for _ in range(min(_BATCH, len(self._waiting))):
            work = self._waiting.popleft()
            by_account.setdefault(work.account_id, []).append(work)
            if isinstance(work, Posted):
                self._waiting_bytes -= work.size
        return [
            Part(account_id, works, self._asked_for.get(account_id, ())) for account_id, works in by_account.items()
        ]

    async def _commit(self, parts: Sequence[Part]) -> None:
        """Ends every part, one way or the other."""
        for _ in range(_DECISIONS):
            parts = await self._write(await self._decide(await self._prepare(parts)))
            if not parts:
                return
        for part in parts:
            part.fail(Unavailable("the account keeps changing; post again", code="overloaded"))

    async def _prepare(self, parts: Sequence[Part]) -> Sequence[Part]:
        """Those whose accounts are there."""
        there = []
        for part in parts:
            try:
                view = self._directory.cached(part.account_id) or await self._directory.view(part.account_id)
            except TocsinError as error:
                part.fail(error)
            else:
                part.begin(view, self._firing(view.profile))
                there.append(part)
        return there

    async def _decide(self, parts: Sequence[Part]) -> Sequence[Part]:
        """Reads and decides until every part is decided to its end; those that are."""
        asking = list(parts)
        began_s = self._clock.monotonic_s()
        for _ in range(_READS):
            if not asking:
                break
            try:
                reads = await self._triggers.read([part.ask() for part in asking], self._clock.now_ms())
            except TocsinError as error:
                for part in parts:
                    part.fail(error)
                return ()
            for part, read in zip(asking, reads, strict=True):
                if read is None:
                    part.fail(NotFound("there is no such account"))
                elif part.load(read):
                    await self._decide_on(part)
            asking = [part for part in asking if not part.closed and not part.decided]
        for part in asking:
            part.fail(Unavailable("the account keeps changing; post again", code="overloaded"))
        self._metrics.decide_duration_s.observe(self._clock.monotonic_s() - began_s)
        return [part for part in parts if not part.closed]

    async def _decide_on(self, part: Part) -> None:
        """As far as what was read allows, others of this process getting their turn now and then."""
        while not (part.decided or part.missing):
            self._looked_at += part.decide(_AT_A_TIME)
            if part.missing:
                self._learn(part)
            if self._looked_at >= _AT_A_TIME:
                self._looked_at = 0
                await asyncio.sleep(0)

    def _learn(self, part: Part) -> None:
        known = self._asked_for.pop(part.account_id, ())
        self._asked_for[part.account_id] = tuple(dict.fromkeys((*known, *part.missing)))[-_ASKED:]
        if len(self._asked_for) > _MAX_ASKED:
            self._asked_for.popitem(last=False)

    async def _write(self, parts: Sequence[Part]) -> Sequence[Part]:
        """One transaction for all; the parts that must be decided again."""
        writing, writes = self._book(parts)
        if not writes:
            return ()
        began_s = self._clock.monotonic_s()
        try:
            answers = await self._triggers.write(writes, self._tenure.epoch)
        except Exception as error:  # noqa: BLE001 - every publisher of the batch is told
            if not isinstance(error, TocsinError):
                error = Unavailable(f"the store failed: {error}", code="store_unavailable")
            log.warning("activities_failed", extra={"accounts": len(writing), "reason": str(error)})
            for part in writing:
                part.unbook(self._departures)
                part.fail(error)
            return ()
        self._metrics.activity_commit_duration_s.observe(self._clock.monotonic_s() - began_s)
        now = self._clock.now_ms()
        refused: list[tuple[Part, Ingested]] = []
        for part, write, answer in zip(writing, writes, answers, strict=True):
            if isinstance(answer, Accepted):
                self._end(part, now)
                if write.timers:
                    self.timers_changed(write.timers)
            else:
                part.unbook(self._departures)
                refused.append((part, answer))
        return [part for part, answer in refused if await self._again(part, answer)]

    def _book(self, parts: Sequence[Part]) -> tuple[list[Part], list[TriggerWrite]]:
        """What is to be written, and by which parts."""
        now = self._clock.now_ms()
        writing: list[Part] = []
        writes: list[TriggerWrite] = []
        for part in parts:
            try:
                write = part.book(self._departures, now)
            except Exception:
                log.exception("deciding_failed", extra={"account": show("acc_", part.account_id), "of": "routing"})
                part.unbook(self._departures)
                part.fail(Defect("an unexpected error; the server's log has it"))
                continue
            if write is None:
                self._end(part, now)
            else:
                writing.append(part)
                writes.append(write)
        return writing, writes

    async def _again(self, part: Part, answer: Ingested) -> bool:
        """Whether a part that was not written is to be decided again; else it has ended."""
        if isinstance(answer, Stale):
            self._directory.forget(part.account_id)
            part.again()
            return True
        if isinstance(answer, AccountGone):
            part.fail(NotFound("there is no such account"))
        elif len(part.works) == 1:
            reason = answer.reason if isinstance(answer, Unstorable) else str(answer)
            part.fail(Invalid(f"the activity cannot be stored: {reason}", code="unstorable"))
        else:  # the one that the store refuses is to fail alone
            part.closed = True
            for half in part.halves():
                await self._commit([half])
        return False

    def _end(self, part: Part, now: Millis) -> None:
        metrics = self._metrics
        for one in part.decisions:
            if one.error is not None:
                raise_by(metrics.activities_refused, one.work.label)
            elif one.first is not None:
                raise_by(metrics.activities_duplicate, one.work.label)
            elif isinstance(one.work, Posted):
                raise_by(metrics.activities_accepted, one.work.label)
            for occurrence, _ in one.fired:
                raise_by(metrics.occurrences, occurrence.name)
        self._tell_unfired(part)
        part.end(self._departures, now)

    def _tell_unfired(self, part: Part) -> None:
        """Once for each type: a producer that leaves something out does so in all its activities."""
        found: dict[str, list[Unfired]] = {}
        for one in part.decisions:
            for event in one.unfired:
                found.setdefault(event.type, []).append(event)
        for type_, events in found.items():
            raise_by(self._metrics.events_unfired, type_, len(events))
            told = {"account": show("acc_", part.account_id), "events": len(events), **events[0].told}
            log.warning("event_unfired", extra=told)
