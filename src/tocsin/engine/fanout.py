"""Writes the deliveries of events with very many webhooks, in pieces, from a durable job.

The job was written with the event, so the event's 202 covers all of its deliveries; each piece and its progress are one
transaction, so none is written twice.
"""

import asyncio
import contextlib
import logging

import orjson

from tocsin.clock import Clock
from tocsin.engine.dispatching.dispatcher import Dispatcher
from tocsin.engine.routing import explain
from tocsin.errors import TocsinError
from tocsin.ids import IdSource
from tocsin.model import DeliveryId
from tocsin.store.port import FanOutJob, Journal, NewDelivery, Records, Webhooks
from tocsin.telemetry import Metrics

log = logging.getLogger(__name__)

_PIECE = 500  # deliveries a transaction: some milliseconds, so that other commits are not kept waiting
_JOBS = 20
_LOOK_S = 5.0  # at the latest: jobs of other processes, and after the store did not answer


class FanOut:
    """Works the jobs off, oldest first."""

    def __init__(
        self,
        *,
        journal: Journal,
        records: Records,
        webhooks: Webhooks,
        dispatcher: Dispatcher,
        clock: Clock,
        id_source: IdSource,
        metrics: Metrics,
    ) -> None:
        self._journal = journal
        self._records = records
        self._webhooks = webhooks
        self._dispatcher = dispatcher
        self._wake = asyncio.Event()
        self._clock = clock
        self._id_source = id_source
        self._metrics = metrics
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._wake.set()  # a job may have been left by the process before
        self._task = asyncio.create_task(self._run(), name="fan-out")

    def wake(self) -> None:
        """A job was written."""
        self._wake.set()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._wake.wait()
            self._wake.clear()
            try:
                while jobs := await self._journal.fan_out_jobs(_JOBS):
                    for job in jobs:
                        await self._work_off(job)
            except TocsinError as error:
                log.warning("fan_out_waits", extra={"reason": error.detail})
                await asyncio.sleep(_LOOK_S)
                self._wake.set()

    async def _work_off(self, job: FanOutJob) -> None:
        event = await self._records.event(job.account_id, job.event_id)
        webhooks = await self._webhooks.as_of(job.account_id, job.config_version)
        shards = {webhook.id: webhook.shard for webhook in webhooks}
        matched = []
        if event is not None and event.data is not None:  # None: its account was deleted meanwhile
            verdicts = explain(webhooks, event.type, event.timestamp, orjson.loads(event.data))
            matched = sorted(one.webhook_id for one in verdicts if one.matched and one.webhook_id > job.after)
        while True:
            piece, matched = matched[:_PIECE], matched[_PIECE:]
            now = self._clock.now_ms()
            deliveries = [
                NewDelivery(id=DeliveryId(self._id_source.next()), webhook_id=webhook_id, claimed=False)
                for webhook_id in piece
            ]
            after = piece[-1] if piece else job.after
            await self._journal.fan_out(job, deliveries, after=after, done=not matched, due_at=now)
            self._metrics.deliveries_created += len(deliveries)
            for webhook_id in piece:
                self._dispatcher.stored(webhook_id, job.account_id, now, shards[webhook_id])
            if not matched:
                return
