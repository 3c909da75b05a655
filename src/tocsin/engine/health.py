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
from tocsin.model import Account, Webhook, WebhookState
from tocsin.store.port import Change, Journal, WebhookEdit, Webhooks
from tocsin.telemetry import Metrics

log = logging.getLogger(__name__)


class Notices(Protocol):
    """Tells an account's owner by e-mail, where that is set up."""

    def webhook_warned(self, account: Account, webhook: Webhook, reason: str) -> None: ...

    def webhook_stopped(self, account: Account, webhook: Webhook, reason: str) -> None: ...


class Caretaker:
    """Carries out what `policy.diagnose` found."""

    def __init__(
        self,
        *,
        journal: Journal,
        webhooks: Webhooks,
        directory: Directory,
        notices: Notices,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._journal = journal
        self._webhooks = webhooks
        self._directory = directory
        self._notices = notices
        self._clock = clock
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()

    def streak_changed(self, lane: Lane) -> None:
        """Keeps in the store since when the lane fails (or that it no longer does): at a run's two ends only."""
        self._spawn(self._journal.note_streak(lane.webhook_id, lane.failing_since, lane.warned_at))

    def treat(self, lane: Lane, webhook: Webhook, diagnosis: Diagnosis) -> None:
        """Warns or disables."""
        if diagnosis.health is Health.WARN:
            lane.warned_at = self._clock.now_ms()
            self.streak_changed(lane)
            self._spawn(self._warn(webhook, diagnosis.reason))
        elif diagnosis.health in (Health.DISABLE, Health.FAIL):
            state = WebhookState.FAILED if diagnosis.health is Health.FAIL else WebhookState.DISABLED
            self._spawn(self._stop(lane, webhook, state, diagnosis))

    async def stop(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _warn(self, webhook: Webhook, reason: str) -> None:
        log.warning("webhook_failing", extra={"webhook": ids.show("wh_", webhook.id), "reason": reason})
        view = await self._directory.view(webhook.account_id)
        self._notices.webhook_warned(view.account, webhook, reason)

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
        changed = await self._webhooks.change(webhook.account_id, webhook.id, edit, change)
        if changed is None or changed.version == webhook.version:
            return  # deleted, or stopped already: its owner is told once
        self._directory.forget(webhook.account_id)
        lane.configure(changed)
        self._metrics.disabled(diagnosis.cause)
        log.warning("webhook_stopped", extra={"webhook": change.subject, "state": state, "reason": reason})
        view = await self._directory.view(webhook.account_id)
        self._notices.webhook_stopped(view.account, changed, reason)

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
