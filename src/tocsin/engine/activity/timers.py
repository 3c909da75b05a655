"""Runs the timers of triggers when they are due, in the order in which they were, each exactly once.

A timer is removed (or set anew) in the transaction of what its rule changes and fires, so that a process that dies
meanwhile has done all of it or nothing. What fell due while nothing ran is done at the next start, one by one.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from tocsin.clock import Clock, Millis
from tocsin.engine.activity.activities import Activities
from tocsin.engine.activity.work import Tick
from tocsin.errors import Unavailable
from tocsin.ids import show
from tocsin.store.port import Timer, Triggers
from tocsin.telemetry import Metrics, raise_by

log = logging.getLogger(__name__)

_AT_A_TIME = 500  # half a batch of activities: publishers are not kept waiting by a midnight of many accounts

# Looking at the clock costs nothing; so a change of the system's time is noticed soon.
_LOOK_S = 1.0

# The store is asked so often whether another process has set a timer, which mostly is heard of before.
_ASK_MS = 5_000

# A timer whose rule fails, or whose account cannot be served here, is tried again so much later. Others pass it by.
_POSTPONE_MS = 60_000

_Key = tuple[int, str]


class Timers:
    def __init__(self, *, triggers: Triggers, activities: Activities, clock: Clock, metrics: Metrics) -> None:
        self._triggers = triggers
        self._activities = activities
        self._clock = clock
        self._metrics = metrics
        self._next = Millis(0)  # nothing is due before; 0: ask the store
        self._postponed: dict[_Key, Millis] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._next = Millis(0)  # others may have set some
        self._task = asyncio.create_task(self._loop(), name="timers")

    async def stop(self) -> None:
        """What is under way is finished by `Activities.stop`, or done at the next start."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def set(self, due_at: Millis) -> None:
        """A timer was set; it may be the next one."""
        if due_at < self._next:
            self._next = due_at
            self._wake.set()

    async def _loop(self) -> None:
        while True:
            try:
                await self.run_due()
            except Unavailable as error:
                log.warning("timers_wait", extra={"reason": error.detail})
                await asyncio.sleep(_LOOK_S)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait_s()):
                    await self._wake.wait()
            self._wake.clear()

    def _wait_s(self) -> float:
        return min(_LOOK_S, max(0.0, (self._next - self._clock.now_ms()) / 1000))

    async def run_due(self) -> None:
        """Runs all that is due now; called by its own loop, and by a test that moves its clock.

        Raises:
            Unavailable: the store does not answer.
        """
        while (now := self._clock.now_ms()) >= self._next:
            self._postponed = {key: until for key, until in self._postponed.items() if until > now}
            found = await self._triggers.due(now, _AT_A_TIME + len(self._postponed))
            due = [one for one in found if (one.account_id, one.name) not in self._postponed]
            if due:
                await self._run(due)
                continue
            self._next = min([Millis(now + _ASK_MS), *self._postponed.values()])
            following = await self._triggers.next_due()
            if following is not None and following > now:
                self._next = min(self._next, following)

    async def _run(self, due: Sequence[Timer]) -> None:
        loop = asyncio.get_running_loop()
        ends = [loop.create_future() for _ in due]
        now = self._clock.now_ms()
        self._activities.run([Tick(one, now, end) for one, end in zip(due, ends, strict=True)])
        for one, failure in zip(due, await asyncio.gather(*ends), strict=True):
            noun = one.name.partition(":")[0]
            if failure is None:
                raise_by(self._metrics.timers_run, noun)
                continue
            self._postponed[one.account_id, one.name] = Millis(self._clock.now_ms() + _POSTPONE_MS)
            log.warning(
                "timer_postponed",
                extra={
                    "account": show("acc_", one.account_id),
                    "timer": noun,
                    "reason": str(failure),
                    "wait_s": _POSTPONE_MS // 1000,
                },
            )
