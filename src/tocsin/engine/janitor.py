"""Removes what retention no longer keeps, a little at a time, so that nothing else waits for it."""

import asyncio
import logging

import msgspec

from tocsin.clock import Clock, Millis
from tocsin.errors import TocsinError
from tocsin.store.port import Housekeeping, Purged

log = logging.getLogger(__name__)

_DAY_MS = 86_400_000
_ROUND_S = 60.0  # between rounds that found little
_PAUSE_S = 0.05  # between the steps of one round: leaves the writer to the publishers most of the time
_STEP_ROWS = 500


class Janitor:
    """Cleans up while the server runs."""

    def __init__(
        self,
        housekeeping: Housekeeping,
        clock: Clock,
        *,
        body_days: int,
        attempt_days: int,
        dedupe_days: int,
    ) -> None:
        self._housekeeping = housekeeping
        self._clock = clock
        self._body_days = body_days
        self._attempt_days = attempt_days
        self._dedupe_days = dedupe_days
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="janitor")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def clean(self) -> Purged:
        """One step: at most some hundred rows of each kind."""
        now = self._clock.now_ms()
        return await self._housekeeping.purge(
            bodies_before=Millis(now - self._body_days * _DAY_MS),
            logs_before=Millis(now - self._attempt_days * _DAY_MS),
            dedupe_before=Millis(now - self._dedupe_days * _DAY_MS),
            now=now,
            limit=_STEP_ROWS,
        )

    async def _run(self) -> None:
        while True:
            try:
                purged = msgspec.structs.asdict(await self.clean())
            except TocsinError as error:
                log.warning("purge_waits", extra={"reason": error.detail})
                purged = {}
            if any(purged.values()):
                log.info("purged", extra=purged)
            await asyncio.sleep(_PAUSE_S if any(rows >= _STEP_ROWS for rows in purged.values()) else _ROUND_S)
