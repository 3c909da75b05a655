"""Writes what became of deliveries, in batches: while one batch is being written, the next one gathers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from itertools import takewhile
from typing import Generic, TypeVar

import msgspec

from tocsin import failpoints
from tocsin.clock import Clock
from tocsin.errors import Unavailable
from tocsin.ids import show
from tocsin.model import DeliveryId
from tocsin.store.port import Journal, Settlement
from tocsin.telemetry import Metrics

log = logging.getLogger(__name__)

T = TypeVar("T")

# Rows of one transaction. Beyond a hundred a row costs hardly less, and encoding them holds up the event loop: with 500
# attempts given up in the same moment, another account's p99 was 50 ms in batches of 1,000, and 2 ms in these.
_BATCH = 128

# Outcomes that may wait to be written before no more attempts are started: each holds at most a 16 KiB answer.
MAX_WAITING = 4_096

_PATIENCE_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)  # between tries while the store does not answer

# Of deliveries whose outcomes are refused, so many are named in the log.
_SHOWN = 20

_LOOK_S = 0.005  # a transaction takes about as long


class _Settling(msgspec.Struct, frozen=True):
    settlement: Settlement
    epoch: int
    durable: Callable[[], None]  # called on the event loop once it is

    @property
    def delivery_id(self) -> DeliveryId:
        return self.settlement.delivery_id


class _Releasing(msgspec.Struct, frozen=True):
    delivery_id: DeliveryId
    epoch: int
    durable: Callable[[], None]


_Entry = TypeVar("_Entry", _Settling, _Releasing)


class Settler:
    """Takes outcomes at once and writes them as soon as the store can.

    Each is written under the epoch that its delivery was claimed under. What the store refuses, because the delivery is
    no longer this process's, is counted, said in the log, and left to whoever has it now.

    `held`: all that this process has claimed, as far as it knows, and that is neither settled nor given back.
    """

    def __init__(self, journal: Journal, clock: Clock, metrics: Metrics) -> None:
        self._journal = journal
        self._clock = clock
        self._metrics = metrics
        self.held: set[DeliveryId] = set()
        self._settling: _Line[_Settling] = _Line()
        self._releasing: _Line[_Releasing] = _Line()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="settler")

    @property
    def waiting(self) -> int:
        """Outcomes not durable yet."""
        return self._settling.taken_in - self._settling.done + self._releasing.taken_in - self._releasing.done

    def settle(self, settlement: Settlement, epoch: int, durable: Callable[[], None]) -> None:
        self._settling.put(_Settling(settlement, epoch, durable))
        self._wake.set()

    def release(self, delivery_id: DeliveryId, epoch: int, durable: Callable[[], None]) -> None:
        """Gives a claimed delivery back unsent."""
        self._releasing.put(_Releasing(delivery_id, epoch, durable))
        self._wake.set()

    async def written(self) -> None:
        """Once all that it has taken until now is durable, or refused for good."""
        settled, released = self._settling.taken_in, self._releasing.taken_in
        while self._settling.done < settled or self._releasing.done < released:  # noqa: ASYNC110 - seldom, and short
            await asyncio.sleep(_LOOK_S)

    async def stop(self, timeout_s: float) -> None:
        """Writes what is left, within bounds: what cannot be written is found again at the next start."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self.waiting and asyncio.get_running_loop().time() < deadline:
            self._wake.set()
            await asyncio.sleep(_LOOK_S)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self.waiting:
                if settling := self._settling.take():
                    failpoints.reach("before_settle")
                    began_s = self._clock.monotonic_s()
                    await self._write(settling)
                    self._metrics.settle_attempts.observe(len(settling))
                    self._metrics.settle_duration_s.observe(self._clock.monotonic_s() - began_s)
                    self._settling.done += len(settling)
                if releasing := self._releasing.take():
                    await self._give_back(releasing)
                    self._releasing.done += len(releasing)

    async def _write(self, batch: Sequence[_Settling]) -> None:
        """Writes all of the batch; what the store refuses for itself alone is found by halving and set aside.

        A delivery set aside stays claimed and is taken up again at the next start: late, but not lost.
        """
        settlements = [one.settlement for one in batch]
        try:
            refused, sure = await self._insist(lambda: self._journal.settle(settlements, batch[0].epoch))
        except Unavailable:
            self._refused([one.delivery_id for one in batch])
            return
        except Exception:
            if len(batch) == 1:
                log.exception("settle_refused", extra={"delivery": batch[0].delivery_id})
                return
            middle = len(batch) // 2
            await self._write(batch[:middle])
            await self._write(batch[middle:])
            return
        if not sure:
            refused = ()  # they may well be those that an earlier try has written
        if refused:
            self._refused(refused)
        gone = frozenset(refused)
        self.held.difference_update([one.delivery_id for one in batch])
        for one in batch:
            if one.delivery_id not in gone:
                one.durable()

    async def _give_back(self, batch: Sequence[_Releasing]) -> None:
        ids = [one.delivery_id for one in batch]
        try:
            await self._insist(lambda: self._journal.release(ids, batch[0].epoch))
        except Unavailable:
            return  # whoever ended the epoch has given them back
        finally:
            self.held.difference_update(ids)
        for one in batch:
            one.durable()

    def _refused(self, deliveries: Sequence[DeliveryId]) -> None:
        """Their attempts were made all the same: the receiver may see them again."""
        self.held.difference_update(deliveries)
        self._metrics.outcomes_refused += len(deliveries)
        shown = [show("dlv_", one) for one in deliveries[:_SHOWN]]
        log.warning("outcomes_refused", extra={"outcomes": len(deliveries), "deliveries": shown})

    async def _insist(self, write: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Tries until the store answers. Meanwhile `waiting` grows, which stops new attempts from starting.

        Returns:
            The answer; and whether it is sure that only the last try wrote.
        """
        patience = iter(_PATIENCE_S)
        sure = True
        while True:
            try:
                return await write(), sure
            except Unavailable as error:
                if error.code == "not_owner":
                    raise  # another process has taken the deliveries over: it decides now
                sure = sure and error.code != "commit_unknown"
                log.warning("settle_waits", extra={"reason": error.detail, "attempts": self.waiting})
                await asyncio.sleep(next(patience, _PATIENCE_S[-1]))


class _Line(Generic[_Entry]):
    """What waits to be written, in its order."""

    __slots__ = ("_entries", "done", "taken_in")

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self.taken_in = 0
        self.done = 0

    def put(self, entry: _Entry) -> None:
        self._entries.append(entry)
        self.taken_in += 1

    def take(self) -> list[_Entry]:
        """The next ones of one epoch."""
        batch = self._entries[:_BATCH]
        if batch and batch[-1].epoch != batch[0].epoch:
            epoch = batch[0].epoch
            batch = list(takewhile(lambda one: one.epoch == epoch, batch))
        del self._entries[: len(batch)]
        return batch
