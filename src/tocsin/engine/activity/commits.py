"""Carries a batch out: reads for each account's part, decides it, writes all in one transaction, tells everyone.

    parts ─read─▶ decide ─▶ book ─▶ write ─▶ answers; events set out
            ▲ Unread: read more       └──▶ Stale: given back, to be decided again

Whose turn it is, and what a batch is decided by, is the affair of `activities` and `contested`.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from tocsin.clock import Clock, Millis
from tocsin.engine.activity.parts import Firing, Part
from tocsin.engine.activity.work import Posted, Work
from tocsin.engine.cluster.bell import Bell
from tocsin.engine.cluster.tenure import Tenure
from tocsin.engine.departures import Departures
from tocsin.engine.directory import Directory
from tocsin.errors import Defect, Invalid, NotFound, TocsinError, Unavailable
from tocsin.ids import show
from tocsin.model import AccountId
from tocsin.profiles import Profile
from tocsin.store.port import Accepted, AccountGone, Deciding, Ingested, Stale, TriggerWrite, Unstorable
from tocsin.telemetry import Metrics, raise_by
from tocsin.triggers.firing import Unfired

log = logging.getLogger(__name__)

# Activities of one batch: some 100 ms of deciding and writing, for which those behind it wait.
BATCH = 1_000

# Looked at before others of this process get their turn: some milliseconds.
AT_A_TIME = 100

# Keys that had to be asked for in a second read are read at once the next time, such as an account's alerts: the latest
# so many of an account, and for so many accounts; 5 MB at most.
_ASKED = 8
_MAX_ASKED = 4_096

# A commit that fails after this long has met a store that hangs; one that refuses, or is not there, says so at once.
_PATIENCE_S = 1.0

# How often a part is decided anew because somebody else wrote meanwhile, and how often it may find that more must be
# read: rules ask for what the answer before told them of, a few times.
_DECISIONS = 20
_READS = 50


class Commits:
    def __init__(
        self,
        *,
        directory: Directory,
        departures: Departures,
        firing: Callable[[Profile], Firing],
        bell: Bell,
        tenure: Tenure,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._directory = directory
        self._departures = departures
        self._firing = firing
        self._bell = bell
        self._clock = clock
        self._metrics = metrics
        self._tenure = tenure
        self.hung = False  # the last commit failed, and only after a while
        self._looked_at = 0
        self._asked_for: OrderedDict[AccountId, tuple[str, ...]] = OrderedDict()  # what was not foreseen of late

    def part(self, account_id: AccountId, works: Sequence[Work]) -> Part:
        return Part(account_id, works, self._asked_for.get(account_id, ()))

    async def commit(self, parts: Sequence[Part], by: Deciding) -> Sequence[Part]:
        """Ends the parts (of one account each), one way or the other, but for those that it gives back: they are to be
        decided again, in that order.
        """
        self.hung = False
        try:
            decided, moved = await self._decide(await self._prepare(parts), by)
            return [*moved, *await self._write(decided, by)]
        except Exception:
            log.exception("deciding_failed", extra={"account": "several", "of": "batch"})
            for part in parts:
                part.fail(Defect("an unexpected error; the server's log has it"))
            return ()

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

    async def _decide(self, parts: Sequence[Part], by: Deciding) -> tuple[Sequence[Part], Sequence[Part]]:
        """Reads and decides until every part is decided to its end: those that are, and those that must begin anew."""
        asking = list(parts)
        moved: list[Part] = []
        began_s = self._clock.monotonic_s()
        for _ in range(_READS):
            if not asking:
                break
            try:
                reads = await by.read([part.ask() for part in asking], self._clock.now_ms())
            except TocsinError as error:
                self.hung = self._clock.monotonic_s() - began_s > _PATIENCE_S
                for part in parts:
                    part.fail(error)
                return (), ()
            further = []
            for part, read in zip(asking, reads, strict=True):
                if read is None:
                    part.fail(NotFound("there is no such account"))
                elif not part.load(read):
                    moved += self._again(part, Stale())
                else:
                    await self._decide_on(part)
                    if not part.decided:
                        further.append(part)
            asking = further
        for part in asking:
            part.fail(Unavailable("the account keeps changing; post again", code="overloaded"))
        self._metrics.decide_duration_s.observe(self._clock.monotonic_s() - began_s)
        return [part for part in parts if not part.closed and part.decided], moved

    async def _decide_on(self, part: Part) -> None:
        """As far as what was read allows, others of this process getting their turn now and then."""
        while not (part.decided or part.missing):
            self._looked_at += part.decide(AT_A_TIME)
            if part.missing:
                self._learn(part)
            if self._looked_at >= AT_A_TIME:
                self._looked_at = 0
                await asyncio.sleep(0)

    def _learn(self, part: Part) -> None:
        known = self._asked_for.pop(part.account_id, ())
        self._asked_for[part.account_id] = tuple(dict.fromkeys((*known, *part.missing)))[-_ASKED:]
        if len(self._asked_for) > _MAX_ASKED:
            self._asked_for.popitem(last=False)

    async def _write(self, parts: Sequence[Part], by: Deciding) -> Sequence[Part]:
        """One transaction for all; the parts that must be decided again."""
        writing, writes = self._book(parts)
        if not writes:
            return ()
        began_s = self._clock.monotonic_s()
        try:
            answers = await by.write(writes, self._tenure.epoch)
        except Exception as error:  # noqa: BLE001 - every publisher of the batch is told
            if not isinstance(error, TocsinError):
                error = Unavailable(f"the store failed: {error}", code="store_unavailable")
            self.hung = self._clock.monotonic_s() - began_s > _PATIENCE_S
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
                if due := [due_at for due_at in write.timers.values() if due_at is not None]:
                    self._bell.timer_set(min(due))
            else:
                part.unbook(self._departures)
                refused.append((part, answer))
        return [again for part, answer in refused for again in self._again(part, answer)]

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

    def _again(self, part: Part, answer: Ingested) -> Iterable[Part]:
        """What is to be decided again of a part that was not written; nothing where it has ended."""
        if isinstance(answer, Stale):
            self._directory.forget(part.account_id)
            part.again()
            part.refused += 1
            if part.refused < _DECISIONS:
                return (part,)
            part.fail(Unavailable("the account keeps changing; post again", code="overloaded"))
        elif isinstance(answer, AccountGone):
            part.fail(NotFound("there is no such account"))
        elif len(part.works) == 1:
            reason = answer.reason if isinstance(answer, Unstorable) else str(answer)
            part.fail(Invalid(f"the activity cannot be stored: {reason}", code="unstorable"))
        else:  # the one that the store refuses is to fail alone
            return part.halves()
        return ()

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
