"""Finds deliveries that this process has claimed and does not know of, and gives them back.

A commit can be done although nobody was told: the connection ended before the answer came, and whoever asked was
refused (`commit_unknown`). Its deliveries are claimed, for a place that was given up; no other process will touch them,
and nothing here would ever send them.

What the process holds claimed stands in `Settler.held` from the moment it knows. What the store has beyond that is
either on its way here, for as long as a transaction may take, or astray: so it is given back when it was missing at two
looks in a row.
"""

import asyncio
import logging
from functools import partial

from tocsin.clock import Clock
from tocsin.engine.cluster.tenure import Tenure
from tocsin.engine.dispatching.dispatcher import Dispatcher
from tocsin.engine.settler import Settler
from tocsin.errors import TocsinError
from tocsin.model import DeliveryId
from tocsin.store.port import Journal

log = logging.getLogger(__name__)

# Twice what a write may take from its commit to its answer (5 s).
_EVERY_S = 10.0


class Strays:
    def __init__(
        self, *, journal: Journal, dispatcher: Dispatcher, settler: Settler, tenure: Tenure, clock: Clock
    ) -> None:
        self._journal = journal
        self._dispatcher = dispatcher
        self._settler = settler
        self._tenure = tenure
        self._clock = clock
        self._missed: frozenset[DeliveryId] = frozenset()  # at the look before
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="strays")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """Gives back what was missing at the look before, too.

        Raises:
            TocsinError: the store could not be asked.
        """
        epoch = self._tenure.epoch
        claimed = await self._journal.claimed(epoch)
        if self._tenure.epoch != epoch:
            return
        held = self._settler.held  # looked at after the store: what came meanwhile is in it
        missing = [one for one in claimed if one.id not in held]
        strays = [one for one in missing if one.id in self._missed]
        self._missed = frozenset(one.id for one in missing)
        if not strays:
            return
        log.warning("strays_found", extra={"deliveries": len(strays)})
        now = self._clock.now_ms()
        for one in strays:
            again = partial(self._dispatcher.stored, one.webhook_id, one.account_id, now)
            self._settler.release(one.id, epoch, again)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.look()
            except TocsinError as error:
                log.warning("strays_unknown", extra={"reason": error.detail})
            except Exception:
                log.exception("strays_failed")  # a defect; the next look may fare better
