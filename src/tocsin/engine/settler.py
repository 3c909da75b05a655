"""Writes what became of deliveries, in batches: while one batch is being written, the next one gathers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from tocsin import failpoints
from tocsin.clock import Clock
from tocsin.engine.cluster.tenure import Tenure
from tocsin.errors import Unavailable
from tocsin.model import DeliveryId
from tocsin.store.port import Journal, Settlement
from tocsin.telemetry import Metrics

log = logging.getLogger(__name__)

# Rows of one transaction: beyond some hundreds a row costs no less, and the ones behind wait longer.
_BATCH = 1_000

# Outcomes that may wait to be written before no more attempts are started: each holds at most a 16 KiB answer.
MAX_WAITING = 4_096

_PATIENCE_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)  # between tries while the store does not answer


class _Settling(msgspec.Struct, frozen=True):
    settlement: Settlement
    durable: Callable[[], None]  # called on the event loop once it is


class _Releasing(msgspec.Struct, frozen=True):
    delivery_id: DeliveryId
    durable: Callable[[], None]


class Settler:
    """Takes outcomes at once and writes them as soon as the store can."""

    def __init__(self, journal: Journal, tenure: Tenure, clock: Clock, metrics: Metrics) -> None:
        self._journal = journal
        self._tenure = tenure
        self._clock = clock
        self._metrics = metrics
        self._settling: list[_Settling] = []
        self._releasing: list[_Releasing] = []
        self._under_way = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="settler")

    @property
    def waiting(self) -> int:
        """Outcomes not durable yet."""
        return len(self._settling) + len(self._releasing) + self._under_way

    def settle(self, settlement: Settlement, durable: Callable[[], None]) -> None:
        self._settling.append(_Settling(settlement, durable))
        self._wake.set()

    def release(self, delivery_id: DeliveryId, durable: Callable[[], None]) -> None:
        """Gives a claimed delivery back unsent."""
        self._releasing.append(_Releasing(delivery_id, durable))
        self._wake.set()

    async def stop(self, timeout_s: float) -> None:
        """Writes what is left, within bounds: what cannot be written is found again at the next start."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self.waiting and asyncio.get_running_loop().time() < deadline:
            self._wake.set()
            await asyncio.sleep(0.005)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._settling or self._releasing:
                settling, self._settling = self._settling[:_BATCH], self._settling[_BATCH:]
                releasing, self._releasing = self._releasing[:_BATCH], self._releasing[_BATCH:]
                self._under_way = len(settling) + len(releasing)
                if settling:
                    failpoints.reach("before_settle")
                    began_s = self._clock.monotonic_s()
                    await self._write(settling)
                    self._metrics.settle_attempts.observe(len(settling))
                    self._metrics.settle_duration_s.observe(self._clock.monotonic_s() - began_s)
                if releasing:
                    await self._give_back(releasing)
                self._under_way = 0

    async def _write(self, batch: Sequence[_Settling]) -> None:
        """Writes all of the batch; what the store refuses for itself alone is found by halving and set aside.

        A delivery set aside stays claimed and is taken up again at the next start: late, but not lost.
        """
        try:
            await self._insist(lambda: self._journal.settle([one.settlement for one in batch], self._tenure.epoch))
        except Unavailable:
            log.exception("ownership_lost", extra={"attempts": len(batch)})  # its new owner decides now
            return
        except Exception:
            if len(batch) == 1:
                log.exception("settle_refused", extra={"delivery": batch[0].settlement.delivery_id})
                return
            middle = len(batch) // 2
            await self._write(batch[:middle])
            await self._write(batch[middle:])
            return
        for one in batch:
            one.durable()

    async def _give_back(self, batch: Sequence[_Releasing]) -> None:
        try:
            await self._insist(lambda: self._journal.release([one.delivery_id for one in batch], self._tenure.epoch))
        except Unavailable:
            log.exception("ownership_lost", extra={"releases": len(batch)})
            return
        for one in batch:
            one.durable()

    async def _insist(self, write: Callable[[], Awaitable[None]]) -> None:
        """Tries until the store answers. Meanwhile `waiting` grows, which stops new attempts from starting."""
        patience = iter(_PATIENCE_S)
        while True:
            try:
                return await write()
            except Unavailable as error:
                if error.code == "not_owner":
                    raise  # another process has taken the deliveries over: it decides now
                log.warning("settle_waits", extra={"reason": error.detail, "attempts": self.waiting})
                await asyncio.sleep(next(patience, _PATIENCE_S[-1]))
