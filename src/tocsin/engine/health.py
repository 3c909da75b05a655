"""Keeps each webhook's run of failures, and warns or disables by its profile's policy: always with a reason."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Protocol

from tocsin import ids
from tocsin.clock import Clock, Millis
from tocsin.engine.directory import Directory
from tocsin.engine.lanes import Lane
from tocsin.engine.policy import Diagnosis, Health
from tocsin.errors import TocsinError
from tocsin.model import Notice, NoticeKind, Webhook, WebhookState
from tocsin.store.port import Change, Journal, WebhookEdit, Webhooks
from tocsin.telemetry import Metrics

log = logging.getLogger(__name__)


class Outbox(Protocol):
    """Sends an account's owner what is written in the store for it, where that is set up."""

    def draft(self, webhook: Webhook, kind: NoticeKind, reason: str, at: Millis) -> Notice | None:
        """What to write together with the change; None: nothing."""
        ...

    def wake(self) -> None:
        """It was written."""
        ...


class Caretaker:
    """Carries out what `policy.diagnose` found."""

    def __init__(
        self,
        *,
        journal: Journal,
        webhooks: Webhooks,
        directory: Directory,
        outbox: Outbox,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._journal = journal
        self._webhooks = webhooks
        self._directory = directory
        self._outbox = outbox
        self._clock = clock
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()

    def streak_changed(self, lane: Lane) -> None:
        """Keeps in the store since when the lane fails (or that it no longer does): at a run's two ends only."""
        self._spawn(self._journal.note_streak(lane.webhook_id, lane.failing_since, lane.warned_at))

    def treat(self, lane: Lane, webhook: Webhook, diagnosis: Diagnosis) -> None:
        """Warns or disables."""
        if diagnosis.health is Health.WARN:
            warned_before, lane.warned_at = lane.warned_at, self._clock.now_ms()
            notice = self._outbox.draft(webhook, NoticeKind.FAILING, diagnosis.reason, lane.warned_at)
            noted = self._journal.note_streak(webhook.id, lane.failing_since, lane.warned_at, notice)
            self._spawn(self._warn(lane, noted, diagnosis.reason, warned_before))
        elif diagnosis.health in (Health.DISABLE, Health.FAIL):
            state = WebhookState.FAILED if diagnosis.health is Health.FAIL else WebhookState.DISABLED
            self._spawn(self._stop(lane, webhook, state, diagnosis))

    async def stop(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _warn(
        self, lane: Lane, noted: Coroutine[Any, Any, None], reason: str, warned_before: Millis | None
    ) -> None:
        try:
            await noted
        except TocsinError:
            lane.warned_at = warned_before  # so that the next failed attempt warns
            raise
        log.warning("webhook_failing", extra={"webhook": ids.show("wh_", lane.webhook_id), "reason": reason})
        self._outbox.wake()

    async def _stop(self, lane: Lane, webhook: Webhook, state: WebhookState, diagnosis: Diagnosis) -> None:
        reason = diagnosis.reason
        at: Millis = self._clock.now_ms()
        change = Change(
            at=at,
            actor="system",
            action=f"webhook.{state}",
            subject=ids.show("wh_", webhook.id),
            detail={"reason": reason},
        )
        edit = WebhookEdit(state=state, status_reason=reason, if_state=WebhookState.ACTIVE)
        notice = self._outbox.draft(webhook, NoticeKind(state.value), reason, at)
        changed = await self._webhooks.change(webhook.account_id, webhook.id, edit, change, notice)
        if changed is None or changed.version == webhook.version:
            return  # deleted, or stopped already: its owner is told once
        self._directory.forget(webhook.account_id)
        lane.configure(changed)
        self._metrics.disabled(diagnosis.cause)
        log.warning("webhook_stopped", extra={"webhook": change.subject, "state": state, "reason": reason})
        self._outbox.wake()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except TocsinError as error:
            # The run of failures goes on, so the next failed attempt comes here again.
            log.warning("caretaking_failed", extra={"reason": error.detail})
