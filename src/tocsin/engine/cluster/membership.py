"""This process as one of those that work on the database: joins, says that it is there, takes and gives up shards.

    join ──▶ beat ──┬─▶ answered: what was gained is taken, what others are to have is left and given
       ▲      ▲     ├─▶ not answered: at once again; `Tenure.until_s` stops what is sent once the lease runs out
       │      └─────┘
       └─────────── └─▶ refused: it was taken for dead, and knows nothing any more

Beats go on whatever else waits: taking and leaving are done beside them.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from tocsin import failpoints
from tocsin.clock import Clock, CorrectedClock, Millis
from tocsin.engine.cluster.bell import Bell
from tocsin.engine.cluster.tenure import Tenure
from tocsin.engine.dispatching.dispatcher import Dispatcher
from tocsin.errors import TocsinError, Unavailable
from tocsin.ids import IdSource, first_at
from tocsin.shards import ALL, CHIEF
from tocsin.store.port import Cluster, Standing
from tocsin.telemetry import Metrics, raise_by

log = logging.getLogger(__name__)

# A transaction of one row every two seconds costs nothing, and three of them may fail within a lease.
BEAT_S = 2.0

# How long a node may be silent before others take over. A restart of the database takes some seconds and should bury
# nobody; work has to go on within 15 s of a process's death, of which this, a beat, and reading the lanes are part.
LEASE_S = 8.0

# So much before the lease's end nothing is begun any more: an attempt may take so long from the last look at the lease
# to its first byte, and clocks may disagree by as much.
_MARGIN_S = 2.0

# A beat that is not answered within that time is sent again.
_BEAT_LIMIT_S = 2.0

# It may have to bury others, and to wait for what they are committing.
_JOIN_LIMIT_S = 10.0

# Between beats that were not answered.
_AGAIN_S = 0.25

# A read of the lanes that failed is tried again so soon; so is giving shards up.
_RETRY_S = 0.5

# How far ahead of a beat ids may be made, told with it: nothing is written that was made after the lease.
_AHEAD_MS = round(2 * LEASE_S * 1000)

# A beat that is so late tells of a busy process, before it is taken for dead.
_LATE_S = LEASE_S / 2


class Membership:
    """Keeps the `Tenure` that all parts go by.

    Args:
        name: of this process, for people.
        sends: it takes shards.
        on_chief: awaited with True once this process has the first shard, with False before it gives it up, and once it
            has lost it.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        tenure: Tenure,
        dispatcher: Dispatcher,
        bell: Bell,
        clock: Clock,
        id_source: IdSource,
        metrics: Metrics,
        name: str,
        sends: bool,
        on_chief: Callable[[bool], Awaitable[None]],
    ) -> None:
        self._cluster = cluster
        self._tenure = tenure
        self._dispatcher = dispatcher
        self._bell = bell
        self._clock = clock
        self._id_source = id_source
        self._metrics = metrics
        self._name = name
        self._sends = sends
        self._on_chief = on_chief
        self._chief = False
        self._taking: set[int] = set()
        self._taken: set[int] = set()
        self._leaving: set[int] = set()
        self._given: dict[int, int] = {}  # after how many beats a shard was given away
        self._beats = 0
        self._changes: set[asyncio.Task[None]] = set()
        self._beating = asyncio.Lock()
        self._wake = asyncio.Event()
        self._joined = False
        self._draining = False
        self._failing = False
        self._task: asyncio.Task[None] | None = None
        metrics.watch("tocsin_shards_held", lambda: len(tenure.shards))

    # --- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Joins, takes what is free of its share, and goes on beating.

        Raises:
            Unavailable: the store does not answer.
        """
        await self.beat()
        await self.settled()
        self._task = asyncio.create_task(self._run(), name="membership")

    async def drain(self, drain_s: float) -> None:
        """Ends the dispatcher: every shard is given away once nothing of it is under way; after `drain_s` what is left
        is cut off. Goes on beating meanwhile.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + drain_s
        self._draining = True
        await self._end_changes()
        try:
            async with asyncio.timeout(_BEAT_LIMIT_S):
                await self._cluster.retire(self._tenure.epoch)
        except (TocsinError, TimeoutError) as error:  # others take over once it has left
            log.warning("leave_failed", extra={"reason": str(error) or "the store did not answer in time"})
        await self._resign()
        leaving = asyncio.create_task(self._leave(ALL))
        await asyncio.wait({leaving}, timeout=drain_s)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await self._dispatcher.stop(max(0.0, until_s - loop.time()))

    async def stop(self) -> None:
        """Leaves, once all is written down: what was cut off waits again, and others take over at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._end_changes()
        try:
            async with asyncio.timeout(_BEAT_LIMIT_S):
                await self._cluster.leave(self._tenure.epoch)
        except (TocsinError, TimeoutError) as error:
            log.warning("leave_failed", extra={"reason": str(error) or "the store did not answer in time"})
        self._tenure.shards = frozenset()
        self._bell.shards_given()

    def wake(self) -> None:
        """There may be free shards: the next beat is now."""
        self._wake.set()

    async def settled(self) -> None:
        """Once the shards that it was about to take or leave are taken or left."""
        while self._changes:
            await asyncio.wait(set(self._changes))

    # --- beats ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        sent_s = loop.time()
        wait_s = BEAT_S
        while True:
            try:
                async with asyncio.timeout_at(sent_s + wait_s):
                    await self._wake.wait()
                    await asyncio.sleep(max(0.0, sent_s + _AGAIN_S - loop.time()))
            except TimeoutError:
                pass
            self._wake.clear()
            late_s = loop.time() - sent_s - wait_s
            if late_s > _LATE_S:
                log.warning("beat_late", extra={"late_s": round(late_s, 3)})
            sent_s = loop.time()
            wait_s = BEAT_S
            try:
                await self.beat()
            except (TocsinError, TimeoutError) as error:
                self._unanswered(str(error) or "the store did not answer in time")
                sent_s, wait_s = loop.time(), _AGAIN_S
            except Exception:
                log.exception("beat_failed")  # a defect

    def _unanswered(self, reason: str) -> None:
        raise_by(self._metrics.beats, "unanswered")
        if not self._failing:
            self._failing = True
            log.warning("beat_unanswered", extra={"reason": reason})

    async def beat(self) -> None:
        """One beat, joined anew where it has to be, and what follows from its answer. Called by its own loop; by a test
        that moves its clock.

        Raises:
            TocsinError, TimeoutError: it was not answered.
        """
        async with self._beating:
            await self._beat()

    async def _beat(self) -> None:
        if not self._joined:
            if self._draining:
                return
            await self._join()
        self._beats += 1
        beat = self._beats
        now, sent_s = self._clock.now_ms(), self._clock.monotonic_s()
        try:
            async with asyncio.timeout(_BEAT_LIMIT_S):
                standing = await self._cluster.beat(
                    self._tenure.epoch, now=now, bury_before=_overdue(now), last_id=first_at(now + _AHEAD_MS)
                )
        except Unavailable as error:
            if error.code != "not_owner":
                raise
            await self._lost()
            await self._beat()
            return
        self._observe(sent_s, standing.stored_now)
        raise_by(self._metrics.beats, "answered")
        if self._failing:
            self._failing = False
            log.info("beat_answered")
        self._renew(sent_s)
        self._follow(standing, beat)

    def _renew(self, sent_s: float) -> None:
        lapsed = self._dispatcher.turns.lapsed
        self._tenure.until_s = sent_s + LEASE_S - _MARGIN_S if self._cluster.shared else math.inf
        if lapsed:
            self._dispatcher.turns.pump()

    def _observe(self, sent_s: float, stored_now: Millis | None) -> None:
        """All processes go by the database's clock; one that a test has given is right."""
        if stored_now is not None and isinstance(self._clock, CorrectedClock):
            self._clock.observe(sent_s, self._clock.monotonic_s(), stored_now)

    def _follow(self, standing: Standing, beat: int) -> None:
        """Takes what was gained, and leaves what others are to have."""
        if standing.buried:
            log.warning("nodes_buried", extra={"nodes": standing.buried})
        if self._draining:
            return
        known = self._taking | self._taken | self._leaving
        # What was given away while the beat was under way may still be in its answer.
        gained = frozenset(one for one in standing.held - known if self._given.get(one, 0) < beat)
        if gained:
            failpoints.reach("before_take")
            self._taking |= gained
            self._note()
            self._change(self._take(gained))
        left = self._surplus(len(self._taking | self._taken) - standing.due)
        left |= frozenset(self._taken - standing.held)  # somebody has taken them away
        if left:
            self._taken -= left
            self._leaving |= left
            self._note()
            self._change(self._leave(left))

    def _surplus(self, number: int) -> frozenset[int]:
        """Which shards others are to have: as many of those with much to do as of those with little. The first one
        stays, so that what is done once in the installation moves as seldom as can be.
        """
        loads = self._dispatcher.loads
        able = sorted(self._taken - {CHIEF}, key=lambda shard: (loads.get(shard, 0), shard))
        number = max(0, min(number, len(able)))
        return frozenset(able[place * len(able) // number] for place in range(number))

    # --- shards ---------------------------------------------------------------------------------------------------

    async def _take(self, shards: frozenset[int]) -> None:
        while True:
            try:
                await self._dispatcher.take(shards)
                break
            except TocsinError as error:
                log.warning("shards_wait", extra={"shards": len(shards), "reason": error.detail})
                await asyncio.sleep(_RETRY_S)
        self._taking -= shards
        self._taken |= shards
        if self._cluster.shared:  # of no interest where there are no others
            log.info("shards_taken", extra={"shards": len(shards), "held": len(self._tenure.shards)})
        if CHIEF in shards:
            self._chief = True
            await self._on_chief(True)

    async def _leave(self, shards: frozenset[int]) -> None:
        if CHIEF in shards:
            await self._resign()
        async for empty in self._dispatcher.leave(shards):
            await self._give(empty)
        if self._cluster.shared:  # of no interest where there are no others
            log.info("shards_given", extra={"shards": len(shards), "held": len(self._tenure.shards)})

    async def _give(self, shards: frozenset[int]) -> None:
        failpoints.reach("before_give")
        while True:
            try:
                await self._cluster.give(self._tenure.epoch, shards)
                break
            except TocsinError as error:
                log.warning("shards_wait", extra={"shards": len(shards), "reason": error.detail})
                await asyncio.sleep(_RETRY_S)
        self._given.update(dict.fromkeys(shards, self._beats))
        self._leaving -= shards
        self._taken -= shards
        self._note()
        self._bell.shards_given()

    def _note(self) -> None:
        self._tenure.shards = frozenset(self._taking | self._taken)

    async def _resign(self) -> None:
        if self._chief:
            self._chief = False
            await self._on_chief(False)

    # --- epochs ---------------------------------------------------------------------------------------------------

    async def _join(self) -> None:
        sent_s = self._clock.monotonic_s()
        self._observe(sent_s, await self._cluster.stored_now())
        now, sent_s = self._clock.now_ms(), self._clock.monotonic_s()
        try:
            async with asyncio.timeout(_JOIN_LIMIT_S):
                node = await self._cluster.join(name=self._name, sends=self._sends, now=now, bury_before=_overdue(now))
        except TimeoutError:
            raise Unavailable("the store did not answer in time", code="store_unavailable") from None
        self._id_source.renumber(node.number)
        self._id_source.begin_above(node.last_id)
        self._tenure.epoch = node.epoch
        self._joined = True
        self._renew(sent_s)
        if self._cluster.shared:  # of no interest where there are no others
            log.info("joined", extra={"epoch": node.epoch, "node": node.number})

    async def _lost(self) -> None:
        """It was taken for dead: others have, or will have, all that it held."""
        self._tenure.until_s = -math.inf
        self._tenure.shards = frozenset()
        raise_by(self._metrics.beats, "refused")
        self._metrics.tenures_lost += 1
        log.warning("tenure_lost", extra={"epoch": self._tenure.epoch, "attempts": self._dispatcher.in_flight})
        for task in self._changes:
            task.cancel()
        self._dispatcher.lost()
        await self._end_changes()
        self._taking.clear()
        self._taken.clear()
        self._leaving.clear()
        self._given.clear()
        self._joined = False
        await self._resign()

    def _change(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._guarded(work))
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            log.exception("shards_failed")  # a defect

    async def _end_changes(self) -> None:
        changes = set(self._changes)
        for task in changes:
            task.cancel()
        await asyncio.gather(*changes, return_exceptions=True)


def _overdue(now: Millis) -> Millis:
    """Who was not seen since is dead."""
    return Millis(now - round(LEASE_S * 1000))
