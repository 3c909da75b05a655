"""Keeps each webhook's run of failures, and warns or disables by its profile's policy: always with a reason."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from tocsin import ids
from tocsin.clock import Clock, Millis
from tocsin.engine.directory import Directory
from tocsin.engine.lanes import Lane
from tocsin.engine.policy import Diagnosis, Health, succeeded_meanwhile
from tocsin.errors import TocsinError
from tocsin.model import Attempt, Notice, NoticeKind, Webhook, WebhookState
from tocsin.store.port import Change, Journal, Records, WebhookEdit, Webhooks
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
    """Carries out what `policy.diagnose` found.

    Args:
        tell: takes a webhook that was stopped to those who send to it.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        records: Records,
        webhooks: Webhooks,
        directory: Directory,
        outbox: Outbox,
        tell: Callable[[Webhook], None],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._journal = journal
        self._records = records
        self._webhooks = webhooks
        self._directory = directory
        self._outbox = outbox
        self._tell = tell
        self._clock = clock
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Lock()

    def streak_changed(self, lane: Lane) -> None:
        """Keeps in the store since when the lane fails (or that it no longer does): at a run's two ends only."""
        self._spawn(
            self._journal.note_streak(
                lane.webhook_id, lane.failing_since, lane.warned_at, unbroken_since=lane.unbroken_since
            )
        )

    def treat(self, lane: Lane, webhook: Webhook, diagnosis: Diagnosis, attempt: Attempt) -> None:
        """Warns or disables, after that attempt."""
        if diagnosis.health is Health.WARN:
            warned_before, lane.warned_at = lane.warned_at, self._clock.now_ms()
            notice = self._outbox.draft(webhook, NoticeKind.FAILING, diagnosis.reason, lane.warned_at)
            noted = self._journal.note_streak(webhook.id, lane.failing_since, lane.warned_at, notice)
            self._spawn(self._warn(lane, noted, diagnosis.reason, warned_before))
        elif diagnosis.health is Health.DISABLE:
            self._spawn(self._stop(webhook, WebhookState.DISABLED, diagnosis))
        elif diagnosis.health is Health.FAIL and lane.unbroken_since is not None:
            self._spawn(self._fail(webhook, diagnosis, attempt, lane.unbroken_since))

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

    async def _fail(self, webhook: Webhook, diagnosis: Diagnosis, last: Attempt, unbroken_since: Millis) -> None:
        earlier = await self._records.attempts(webhook.account_id, last.delivery_id)
        first_at = min(attempt.started_at for attempt in (last, *earlier))
        if not succeeded_meanwhile(unbroken_since=unbroken_since, first_attempt_at=first_at):
            await self._stop(webhook, WebhookState.FAILED, diagnosis)

    async def _stop(self, webhook: Webhook, state: WebhookState, diagnosis: Diagnosis) -> None:
        async with self._stopping:  # one after the other: each finds what the one before did
            hook = (await self._directory.view(webhook.account_id)).webhooks.get(webhook.id)
            if hook is not None and hook.webhook.state is WebhookState.ACTIVE:
                await self._stop_active(webhook, state, diagnosis)

    async def _stop_active(self, webhook: Webhook, state: WebhookState, diagnosis: Diagnosis) -> None:
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
        if changed is None or (changed.status_since, changed.status_reason) != (at, reason):
            return  # its owner was faster
        self._directory.forget(webhook.account_id)
        self._tell(changed)
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
