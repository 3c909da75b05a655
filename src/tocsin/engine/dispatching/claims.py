"""Claims what is due from the store: the lanes' backlogs, as much as can be sent soon.

    lane.next_due ──▶ wanted ──▶ claim ──────────────▶ lane.queue
                                   └──▶ gatherer ──▶ lane.queue   (of chats and mail; the rest is counted in digests)

Lanes that gather are claimed in a loop of their own: a flood that is being counted keeps nobody waiting.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from tocsin import failpoints
from tocsin.clock import Clock, Millis
from tocsin.engine.cluster.tenure import Tenure
from tocsin.engine.dispatching.lanes import GATHER_AT_ONCE, Lane
from tocsin.engine.dispatching.stock import Stock
from tocsin.engine.gathering.gatherer import Gatherer
from tocsin.engine.gathering.sorting import Queued
from tocsin.engine.settler import Settler
from tocsin.errors import TocsinError, Unavailable
from tocsin.model import DIGEST_TYPE, AccountId, WebhookId
from tocsin.store.port import NOTHING_CLAIMED, ClaimAnswer, Claimed, Journal
from tocsin.telemetry import Metrics

log = logging.getLogger(__name__)

_CLAIM_LANES = 128  # lanes asked about in one claim: a transaction of some milliseconds

# Deliveries of one claim: what is read of them is taken in at once, some 30 µs each, and others wait for it. A lane
# that gets none is asked about in the next claim.
_CLAIM_MOST = 256
_GATHER_LANES = 8  # the same of those that gather: each may claim hundreds at once
_RETRY_STORE_MS = 1_000  # how soon a claim is tried again when the store did not answer

# A lane that has just counted something waits so long until it counts on: each time its digest is written anew. Nobody
# sees it, as what is only counted is shown at a window's end; what is urgent comes so much later at worst.
_REST_MS = 250


class Keeper(Protocol):
    """Who gives the lanes their turns."""

    def schedule(self, lane: Lane, now: Millis) -> None:
        """Looks at what the lane can do next."""
        ...

    def pump(self) -> None: ...

    @property
    def lapsed(self) -> bool:
        """Others may have taken over: nothing is begun."""
        ...


class Settings(Protocol):
    """What the lanes go by."""

    async def configure(self, lane: Lane) -> None:
        """Reads the settings of a lane that was taken over with its backlog."""
        ...

    async def catch_up(self, account_id: AccountId, config_version: int) -> None:
        """Knows an account's settings as they were when they had that number, or later.

        Raises:
            TocsinError: they could not be read.
        """
        ...


class Claims:
    def __init__(
        self,
        *,
        keeper: Keeper,
        settings: Settings,
        stock: Stock,
        settler: Settler,
        journal: Journal,
        gatherer: Gatherer,
        tenure: Tenure,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._keeper = keeper
        self._settings = settings
        self._stock = stock
        self._settler = settler
        self._journal = journal
        self._gatherer = gatherer
        self._clock = clock
        self._metrics = metrics
        self._tenure = tenure
        self._plain = _Line(_CLAIM_LANES)
        self._gathering = _Line(_GATHER_LANES)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._run(self._plain), name="claims"),
            asyncio.create_task(self._run(self._gathering), name="gathering"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def forget(self) -> None:
        """The epoch has ended: nobody is wanted any more."""
        self._plain.lanes.clear()
        self._gathering.lanes.clear()

    def want(self, lane: Lane) -> None:
        """Something of the lane is due, and there is room for it."""
        line = self._gathering if lane.gathers else self._plain
        line.lanes[lane.webhook_id] = lane
        line.wake.set()

    async def _run(self, line: "_Line") -> None:
        while True:
            await line.wake.wait()
            line.wake.clear()
            while line.lanes:
                if self._keeper.lapsed:
                    await asyncio.sleep(0.01)
                    continue
                try:
                    await self._claim_some(line)
                except Exception:
                    log.exception("claim_failed")  # a defect; the lanes of this claim wait for their next event
                    await asyncio.sleep(1)

    async def _claim_some(self, line: "_Line") -> None:
        lanes = line.take()
        try:
            await self._claim_for(lanes)
        finally:
            for lane in lanes:
                lane.claiming = False
        now = self._clock.now_ms()
        for lane in lanes:
            if lane.held_until > now or not lane.open:
                self._stock.give_back(lane)
            self._keeper.schedule(lane, now)
        self._keeper.pump()

    async def _claim_for(self, lanes: Sequence[Lane]) -> None:
        due: dict[WebhookId, Millis | None] = {}
        now = self._clock.now_ms()
        try:
            for lane in lanes:
                if not lane.configured:
                    await self._settings.configure(lane)
            # From here on, what is stored for a lane is told by `next_due`.
            due = {lane.webhook_id: lane.next_due for lane in lanes}
            epoch = self._tenure.epoch
            wants = self._wants(lanes, now, epoch)
            began_s = self._clock.monotonic_s()
            answer = await self._journal.claim(wants, now, epoch) if wants else NOTHING_CLAIMED
            self._metrics.claim_duration_s.observe(self._clock.monotonic_s() - began_s)
        except Unavailable as error:
            log.warning("claim_waits", extra={"reason": error.detail})
            for lane in lanes:
                lane.rests_until = Millis(now + _RETRY_STORE_MS)
        else:
            self._settler.held.update([one.id for one in answer.claimed])
            failpoints.reach("after_claim")
            due.update(answer.next_due)
            await self._take_in(lanes, answer)
        for lane in lanes:
            waits_until = due.get(lane.webhook_id)
            if waits_until is not None:
                lane.stored(waits_until)

    def _wants(self, lanes: Sequence[Lane], now: Millis, epoch: int) -> list[tuple[WebhookId, int]]:
        """How many of each, as far as there is room for their accounts."""
        rooms: dict[AccountId, int] = {}
        wants = []
        left = _CLAIM_MOST
        for lane in lanes:
            room = rooms.get(lane.account_id)
            if room is None:
                room = self._stock.room(lane.account_id)
            number = min(_wanted(lane, now, epoch), room)
            if not lane.gathers:
                number = min(number, left)
                left -= number
            rooms[lane.account_id] = room - number
            if number:
                wants.append((lane.webhook_id, number))
        return wants

    async def _take_in(self, lanes: Sequence[Lane], answer: ClaimAnswer) -> None:
        claimed: dict[WebhookId, list[Claimed]] = {lane.webhook_id: [] for lane in lanes}
        for one in answer.claimed:
            claimed[one.webhook_id].append(one)
        late = await self._catch_up(answer.claimed)
        gathering = []
        for lane in lanes:
            if lane.gone:  # they are no longer this process's
                self._settler.held.difference_update([one.id for one in claimed[lane.webhook_id]])
                continue
            if lane.account_id in late:
                self._release(lane, claimed[lane.webhook_id])
                lane.rests_until = Millis(self._clock.now_ms() + _RETRY_STORE_MS)
                continue
            if lane.gathers:
                gathering.append(self._gather(lane, claimed[lane.webhook_id]))
                continue
            for one in claimed[lane.webhook_id]:
                self._stock.put(lane, one)
        await asyncio.gather(*gathering)

    async def _catch_up(self, claimed: Sequence[Claimed]) -> frozenset[AccountId]:
        """Events are sent by settings that are no older than those that they were matched by, though it was another
        process that changed them. The accounts whose settings could not be read.
        """
        versions: dict[AccountId, int] = {}
        for one in claimed:
            versions[one.account_id] = max(versions.get(one.account_id, 0), one.config_version)
        late = set()

        async def catch_up(account_id: AccountId, version: int) -> None:
            try:
                await self._settings.catch_up(account_id, version)
            except TocsinError as error:
                log.warning("claim_waits", extra={"reason": error.detail})
                late.add(account_id)

        await asyncio.gather(*(catch_up(account_id, version) for account_id, version in versions.items()))
        return frozenset(late)

    async def _gather(self, lane: Lane, claimed: Sequence[Claimed]) -> None:
        now = self._clock.now_ms()
        if lane.held_until > now or not lane.open:
            self._release(lane, claimed)
            return
        # An open digest that is due and was not claimed: the store has not been told when it is due now.
        if not claimed and (lane.memory is None or (lane.memory.next_due or now) >= now):
            return
        try:
            sent, next_due = await self._gatherer.gather(lane, claimed, _queued(lane))
        except Exception as error:
            if isinstance(error, TocsinError):
                log.warning("gathering_waits", extra={"reason": error.detail})
            else:
                log.exception("gathering_failed")  # a defect
            self._release(lane, claimed)
            lane.rests_until = Millis(now + _RETRY_STORE_MS)
            return
        self._settler.held.difference_update([one.id for one in claimed])  # the others are counted, or put off
        if lane.gone:
            return
        for one in sent:
            self._stock.put(lane, one)
        if next_due is not None:
            lane.stored(next_due)
        if len(sent) < len(claimed) < GATHER_AT_ONCE:
            lane.rests_until = Millis(self._clock.now_ms() + _REST_MS)

    def _release(self, lane: Lane, claimed: Sequence[Claimed]) -> None:
        for one in claimed:
            self._stock.release(lane, one)


def _wanted(lane: Lane, now: Millis, epoch: int) -> int:
    """How many deliveries to claim for the lane."""
    number = lane.wanted(now) if lane.open and lane.epoch == epoch else 0
    lane.next_due = None
    return number


def _queued(lane: Lane) -> Queued:
    digests = sum(1 for one in lane.queue if one.type == DIGEST_TYPE)
    return Queued(singles=len(lane.queue) - digests, summaries=digests)


class _Line:
    """Lanes that are to be claimed, in the order in which they asked."""

    __slots__ = ("_at_once", "lanes", "wake")

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self.lanes: dict[WebhookId, Lane] = {}
        self.wake = asyncio.Event()

    def take(self) -> list[Lane]:
        """The next ones, without any that the other line has just taken: it looks at them again when it is done."""
        taken = [self.lanes.pop(webhook_id) for webhook_id in list(self.lanes)[: self._at_once]]
        lanes = [lane for lane in taken if lane.open and not lane.claiming]
        for lane in lanes:
            lane.claiming = True
        return lanes
