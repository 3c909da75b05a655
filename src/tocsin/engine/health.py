"""Keeps each webhook's run of failures; warns or disables by its profile's policy, always with a reason; and takes a
chat that moved to its new address.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from msgspec.structs import replace

from tocsin import ids
from tocsin.channels import CHATS
from tocsin.clock import Clock, Millis
from tocsin.engine.announcements import announcement
from tocsin.engine.directory import Directory, open_secrets, seal_secrets
from tocsin.engine.dispatching.lanes import Lane
from tocsin.engine.policy import Diagnosis, Health, succeeded_meanwhile
from tocsin.errors import TocsinError
from tocsin.ids import IdSource
from tocsin.model import AccountId, Attempt, Notice, NoticeKind, Webhook, WebhookId, WebhookState
from tocsin.security.vault import Vault
from tocsin.store.port import Change, Journal, Records, WebhookEdit, Webhooks
from tocsin.telemetry import Metrics

log = logging.getLogger(__name__)


class Outbox(Protocol):
    """Sends an account's owner what is written in the store for it, where that is set up."""

    def draft(self, webhook: Webhook, kind: NoticeKind, reason: str, at: Millis) -> Notice | None:
        """What to write together with the change; None: nothing."""
        ...


class Told(Protocol):
    """Whoever must act on what was written."""

    def webhook_changed(self, webhook: Webhook) -> None: ...

    def notice_written(self) -> None: ...


class Caretaker:
    """Carries out what `policy.diagnose` found.

    Args:
        bell: says what was changed.
        stored: says that a delivery waits for a webhook, written together with a change.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        records: Records,
        webhooks: Webhooks,
        directory: Directory,
        outbox: Outbox,
        bell: Told,
        stored: Callable[[WebhookId, AccountId, Millis], None],
        vault: Vault,
        clock: Clock,
        id_source: IdSource,
        metrics: Metrics,
    ) -> None:
        self._journal = journal
        self._records = records
        self._webhooks = webhooks
        self._directory = directory
        self._outbox = outbox
        self._bell = bell
        self._stored = stored
        self._vault = vault
        self._clock = clock
        self._id_source = id_source
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()

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

    def disable(self, webhook: Webhook, reason: str) -> None:
        """Nothing will arrive there any more."""
        self._spawn(self._stop(webhook, WebhookState.DISABLED, Diagnosis(Health.DISABLE, reason, "stopped")))

    def move(self, webhook: Webhook, url: str, reason: str, then: Callable[[], None] | None = None) -> None:
        """Gives a webhook the address that its chat has moved to, unless its owner was faster.

        Args:
            then: called when it is in force, or could not be written.
        """
        self._spawn(self._move(webhook, url, reason, then))

    async def stop(self) -> None:
        await self.settled()

    async def settled(self) -> None:
        """Once all is written down that was begun until now."""
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
        self._bell.notice_written()

    async def _fail(self, webhook: Webhook, diagnosis: Diagnosis, last: Attempt, unbroken_since: Millis) -> None:
        earlier = await self._records.attempts(webhook.account_id, last.delivery_id)
        first_at = min(attempt.started_at for attempt in (last, *earlier))
        if not succeeded_meanwhile(unbroken_since=unbroken_since, first_attempt_at=first_at):
            await self._stop(webhook, WebhookState.FAILED, diagnosis)

    async def _stop(self, webhook: Webhook, state: WebhookState, diagnosis: Diagnosis) -> None:
        async with self._changing:  # one after the other: each finds what the one before did
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
        view = await self._directory.view(webhook.account_id)
        told = announcement(view, webhook, state, reason, at, self._id_source)
        changed = await self._webhooks.change(webhook.account_id, webhook.id, edit, change, notice, told)
        if changed is None or (changed.status_since, changed.status_reason) != (at, reason):
            return  # its owner was faster
        self._bell.webhook_changed(changed)
        self._metrics.disabled(diagnosis.cause)
        log.warning("webhook_stopped", extra={"webhook": change.subject, "state": state, "reason": reason})
        self._bell.notice_written()
        for delivery in told.deliveries if told is not None else ():
            self._stored(delivery.webhook_id, webhook.account_id, at)

    async def _move(self, webhook: Webhook, url: str, reason: str, then: Callable[[], None] | None) -> None:
        try:
            async with self._changing:
                await self._move_now(webhook, url, reason)
        finally:
            if then is not None:
                then()

    async def _move_now(self, webhook: Webhook, url: str, reason: str) -> None:
        now_is = await self._webhooks.get(webhook.account_id, webhook.id)
        if now_is is None:
            return
        secrets = open_secrets(self._vault, now_is)
        if secrets.url != open_secrets(self._vault, webhook).url:
            return  # its owner has changed it, or another of its attempts has
        address = CHATS[webhook.settings.channel].parse(url)
        settings = replace(now_is.settings, url_shown=address.shown, shard=address.shard)
        change = Change(
            at=self._clock.now_ms(),
            actor="system",
            action="webhook.moved",
            subject=ids.show("wh_", webhook.id),
            detail={"reason": reason, "from": webhook.settings.url_shown, "to": address.shown},
        )
        edit = WebhookEdit(
            if_version=now_is.version,
            settings=settings,
            sealed=seal_secrets(self._vault, webhook.account_id, webhook.id, replace(secrets, url=address.url)),
        )
        changed = await self._webhooks.change(webhook.account_id, webhook.id, edit, change)
        if changed is not None:
            self._bell.webhook_changed(changed)
            log.warning("webhook_moved", extra={"webhook": change.subject, "reason": reason})

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
