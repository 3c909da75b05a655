"""Accounts whose state other processes write at the same time: each is decided while nobody else can write it.

A batch is decided on what was read, and written if nobody was quicker. Of an account that several processes write all
the time one of them would be right each time, and one that decides much at once perhaps never. So an account of which a
write was refused takes turns with them: it is held from reading to writing, and what is decided is decided once. That
costs a transaction that stays open meanwhile, and waiting; so it ends when nobody else has written for a while.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Sequence

from tocsin.clock import Clock
from tocsin.engine.activity.commits import BATCH, Commits
from tocsin.engine.activity.parts import Part
from tocsin.engine.activity.work import Work
from tocsin.errors import Defect, TocsinError
from tocsin.model import AccountId
from tocsin.store.port import Triggers

log = logging.getLogger(__name__)

# An account takes turns until nobody else has written for so long. Turning back too early costs a decision in vain.
_LINGER_S = 5.0

# Accounts that are remembered although nobody else may write them any more: looked through when there are so many.
_MAX_IDLE = 1_024

# Accounts of one turn: while the first of them is waited for, the others wait too.
_ACCOUNTS = 100

_DEFECT = "an unexpected error; the server's log has it"


class Contested:
    def __init__(self, *, triggers: Triggers, commits: Commits, clock: Clock) -> None:
        self._triggers = triggers
        self._commits = commits
        self._clock = clock
        self._lines: dict[AccountId, _Line] = {}
        self._busy: OrderedDict[AccountId, _Line] = OrderedDict()  # with something to decide, the next one first
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = True
        self.waiting = 0
        self.waiting_bytes = 0

    def start(self) -> None:
        self._stopping = False
        self._task = asyncio.create_task(self._work(), name="contested")

    async def stop(self) -> None:
        """Finishes what it has."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task

    def has(self, account_id: AccountId) -> bool:
        """Whether works of the account belong here."""
        line = self._lines.get(account_id)
        if line is None:
            return False
        if line.waits or account_id in self._busy or line.until_s > self._clock.monotonic_s():
            return True
        del self._lines[account_id]
        return False

    def add(self, work: Work) -> None:
        line = self._lines[work.account_id]
        line.works.append(work)
        self.waiting += 1
        self.waiting_bytes += work.size
        self._ask(line)

    def take_over(self, part: Part) -> None:
        """What others were quicker than."""
        line = self._lines.get(part.account_id)
        if line is None:
            self._forget_idle()
            line = self._lines[part.account_id] = _Line(part.account_id)
        self._contend(line)
        line.refused.append(part)
        self._ask(line)

    def _ask(self, line: "_Line") -> None:
        self._busy.setdefault(line.account_id, line)
        self._wake.set()

    def _contend(self, line: "_Line") -> None:
        line.until_s = self._clock.monotonic_s() + _LINGER_S

    def _forget_idle(self) -> None:
        if len(self._lines) >= _MAX_IDLE:
            for account_id in list(self._lines):
                self.has(account_id)

    # --- turns ----------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while not (self._stopping and not self._busy):
            await self._wake.wait()
            self._wake.clear()
            while self._busy:
                await self._take_turn(self._next())

    def _next(self) -> list["_Line"]:
        lines: list[_Line] = []
        works = 0
        for line in self._busy.values():
            if lines and (works >= BATCH or len(lines) >= _ACCOUNTS):
                break
            lines.append(line)
            works += line.waits
        return lines

    async def _take_turn(self, lines: Sequence["_Line"]) -> None:
        try:
            async with self._triggers.turn([line.account_id for line in lines]) as turn:
                held = [line for line in lines if line.account_id in turn.held]
                parts = [self._part(line) for line in held]
                again = await self._commits.commit(parts, turn)
        except Exception as error:
            if isinstance(error, TocsinError):
                log.warning("activities_failed", extra={"accounts": len(lines), "reason": error.detail})
            else:
                log.exception("deciding_failed", extra={"account": "several", "of": "turn"})
            for line in lines:
                self._part(line).fail(error if isinstance(error, TocsinError) else Defect(_DEFECT))
                self._done(line)
            return
        for part in reversed(again):
            self._lines[part.account_id].refused.appendleft(part)
        for line, part in zip(held, parts, strict=True):
            self._compare(line, part)
            self._done(line)
        for line in lines:
            if line.account_id not in turn.held:  # it stays among the first, and is waited for when it is the first
                self._contend(line)

    def _part(self, line: "_Line") -> Part:
        """The next of it to be decided."""
        if line.refused:
            return line.refused.popleft()
        works = [line.works.popleft() for _ in range(min(BATCH, len(line.works)))]
        self.waiting -= len(works)
        self.waiting_bytes -= sum(work.size for work in works)
        return self._commits.part(line.account_id, works)

    def _compare(self, line: "_Line", part: Part) -> None:
        """Has somebody else written since the last turn?"""
        if part.version_read is not None and line.version not in (None, part.version_read):
            self._contend(line)
        line.version = part.version_left

    def _done(self, line: "_Line") -> None:
        del self._busy[line.account_id]
        if line.waits:
            self._busy[line.account_id] = line


class _Line:
    """One account: what is to be decided of it."""

    __slots__ = ("account_id", "refused", "until_s", "version", "works")

    def __init__(self, account_id: AccountId) -> None:
        self.account_id = account_id
        self.refused: deque[Part] = deque()  # decided in vain; before all that came later
        self.works: deque[Work] = deque()
        self.until_s = 0.0
        self.version: int | None = None  # as our last turn left it

    @property
    def waits(self) -> int:
        return sum(len(part.works) for part in self.refused) + len(self.works)
