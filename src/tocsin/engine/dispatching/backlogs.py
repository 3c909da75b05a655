"""Reads from the store what waits there: for the lanes of shards that were taken, and now and then for all.

    shards are taken ──▶ read ──▶ their lanes
    every few seconds, or news was lost ──▶ look ──▶ stored

What waits is told of as it is stored; looking finds what was not.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from tocsin.clock import Clock
from tocsin.engine.cluster.tenure import Tenure
from tocsin.engine.dispatching.holdings import Holdings
from tocsin.engine.dispatching.lanes import Stored
from tocsin.errors import TocsinError
from tocsin.store.port import Journal, LaneFacts

log = logging.getLogger(__name__)

_LANES_PAGE = 1_000

# The store is looked through for what was not told of: so late may it be found; and not more often than that it takes a
# twentieth of the time.
_LOOK_S = 5.0
_LOOK_SHARE = 20


class Backlogs:
    def __init__(self, *, stored: Stored, holdings: Holdings, journal: Journal, tenure: Tenure, clock: Clock) -> None:
        self._stored = stored
        self._holdings = holdings
        self._journal = journal
        self._tenure = tenure
        self._clock = clock
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to look."""
        self._task = asyncio.create_task(self._run(), name="look")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def wake(self) -> None:
        """Something may not have been told."""
        self._wake.set()

    async def read(self, shards: frozenset[int]) -> None:
        """Makes lanes of what waits for these shards, and of runs of failures; they must be held.

        Raises:
            Unavailable: not all could be read.
        """
        async for facts in self._facts(shards):
            lane = self._holdings.lane(facts.webhook_id, facts.account_id, facts.shard, self._tenure.epoch)
            lane.failing_since, lane.warned_at = facts.failing_since, facts.warned_at
            lane.unbroken_since = facts.unbroken_since
            if facts.next_due is not None:
                lane.stored(facts.next_due)

    async def look(self) -> None:
        """Finds what waits in the store and was not told of: by a process that has died, or by a commit that was taken
        for failed.

        Raises:
            Unavailable: the store does not answer.
        """
        epoch = self._tenure.epoch
        async for facts in self._facts(self._holdings.shards):
            if facts.next_due is None or self._tenure.epoch != epoch:
                continue
            lane = self._holdings.get(facts.webhook_id)
            known = lane is not None and (lane.claiming or lane.shard != facts.shard or not lane.open)
            if not known and (lane is None or lane.next_due is None or facts.next_due < lane.next_due):
                self._stored(facts.webhook_id, facts.account_id, facts.next_due, facts.shard)

    async def _run(self) -> None:
        wait_s = _LOOK_S
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            self._wake.clear()
            began_s = self._clock.monotonic_s()
            try:
                await self.look()
            except TocsinError as error:
                log.warning("look_waits", extra={"reason": error.detail})
            wait_s = max(_LOOK_S, _LOOK_SHARE * (self._clock.monotonic_s() - began_s))

    async def _facts(self, shards: frozenset[int]) -> AsyncIterator[LaneFacts]:
        after = 0
        while page := (await self._journal.lanes(after, _LANES_PAGE, shards) if shards else ()):
            for facts in page:
                yield facts
            after = page[-1].webhook_id
