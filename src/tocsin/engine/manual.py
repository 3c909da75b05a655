"""Attempts that a person asks for, a test or a retry: answered with what really happened."""

import asyncio
import logging
from functools import partial

import orjson

from tocsin.channels.chat import Moved, Reading, Stopped, Throttled
from tocsin.clock import Clock, Millis
from tocsin.engine.cluster.bell import Bell
from tocsin.engine.cluster.tenure import Tenure
from tocsin.engine.directory import Directory, WebhookView, takes
from tocsin.engine.dispatching.dispatcher import Dispatcher
from tocsin.engine.health import Caretaker
from tocsin.engine.readings import heed, understand
from tocsin.engine.rendering import kept_body, masked, render
from tocsin.engine.sending.doors import Door
from tocsin.engine.settler import Settler
from tocsin.errors import Conflict, Invalid, NotFound, Unavailable
from tocsin.ids import IdSource, show
from tocsin.model import (
    AccountId,
    Attempt,
    DeliveryId,
    DeliveryState,
    EventId,
    Outcome,
    Request,
    Trigger,
    WebhookId,
    WebhookState,
)
from tocsin.profiles.jsjson import stabilise
from tocsin.store.port import Claimed, Journal, Records, Settlement
from tocsin.telemetry import Metrics

log = logging.getLogger(__name__)

TEST_HEADER = ("Tocsin-Test", "true")


class Manual:
    """Sends at once, past the lane's queue and pace, and takes nothing from the schedule."""

    def __init__(
        self,
        *,
        journal: Journal,
        records: Records,
        directory: Directory,
        dispatcher: Dispatcher,
        settler: Settler,
        bell: Bell,
        caretaker: Caretaker,
        sender: Door,
        tenure: Tenure,
        clock: Clock,
        id_source: IdSource,
        metrics: Metrics,
    ) -> None:
        self._journal = journal
        self._records = records
        self._directory = directory
        self._dispatcher = dispatcher
        self._settler = settler
        self._bell = bell
        self._caretaker = caretaker
        self._sender = sender
        self._clock = clock
        self._id_source = id_source
        self._metrics = metrics
        self._tenure = tenure
        self._under_way: set[asyncio.Task[Attempt]] = set()

    async def stop(self, timeout_s: float) -> None:
        """Waits for the retries that are under way."""
        if self._under_way:
            await asyncio.wait(set(self._under_way), timeout=timeout_s)

    def example_request(self, hook: WebhookView, type: str, example: bytes) -> Request:
        """The request that a test of that type sends, but for the header that marks it."""
        now = self._clock.now_ms()
        event_id = EventId(self._id_source.next())
        return render(hook.target, event_id=event_id, type=type, timestamp=now, data=example, at=now, test=True)

    async def send_test(self, account_id: AccountId, webhook_id: WebhookId, type: str | None) -> Attempt:
        """Sends the example of an event type (unset: the first that the webhook takes), also while it is disabled.

        Raises:
            NotFound: no such webhook.
            Invalid: no such event type.
            Conflict: `not_confirmed`: whoever reads at its address has not agreed yet.
        """
        view = await self._directory.fresh(account_id)
        hook = view.webhooks.get(webhook_id)
        if hook is None:
            raise NotFound("there is no such webhook")
        if hook.webhook.settings.unconfirmed:
            raise Conflict("its address is not confirmed yet: nothing is sent there", code="not_confirmed")
        type = type or next((name for name in view.entries() if takes(hook.webhook.settings.events, name)), None)  # noqa: A001 - the word of the API
        entry = view.entry(type) if type is not None else None
        if type is None or entry is None:
            raise Invalid(f"there is no event type {type}; GET /v1/event-types lists them", code="unknown_event_type")
        request = self.example_request(hook, type, stabilise(orjson.dumps(entry.event_type.example))[1])
        marked = Request(
            method=request.method,
            url=request.url,
            headers=(*request.headers, TEST_HEADER),
            body=request.body,
            timeout_s=request.timeout_s,
        )
        return await self._attempt(hook, marked, DeliveryId(0), 1, Trigger.TEST)

    async def retry_now(self, account_id: AccountId, delivery_id: DeliveryId) -> Attempt:
        """Makes one attempt of a delivery at once, whatever its state.

        Raises:
            NotFound: no such delivery.
            Conflict: its webhook is not active or is gone, an attempt is under way, or its body is gone.
        """
        delivery = await self._records.delivery(account_id, delivery_id)
        if delivery is None:
            raise NotFound("there is no such delivery")
        view = await self._directory.fresh(account_id)
        hook = view.webhooks.get(delivery.webhook_id)
        if hook is None:
            raise Conflict("its webhook was deleted", code="webhook_gone")
        if hook.webhook.state is not WebhookState.ACTIVE:
            raise Conflict(f"its webhook is {hook.webhook.state}: enable it first", code="webhook_disabled")
        epoch = self._tenure.epoch
        claimed = await self._journal.claim_one(account_id, delivery_id, self._clock.now_ms(), epoch)
        if claimed is None:
            raise NotFound("there is no such delivery")
        if claimed is DeliveryState.SENDING:
            raise Conflict("an attempt is under way; look again when it has ended", code="attempt_under_way")
        if isinstance(claimed, DeliveryState):
            raise Conflict(f"it is {claimed} and its event's body is no longer kept", code="not_retryable")
        self._settler.held.add(claimed.id)
        task = asyncio.create_task(self._retry(hook, claimed, epoch))
        task.add_done_callback(lambda _: self._settler.held.discard(delivery_id))  # not settled: it is a stray now
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)  # who asked may go away; the attempt is finished and kept all the same

    async def cancel(self, account_id: AccountId, delivery_id: DeliveryId) -> DeliveryState:
        """Ends a delivery that waits. Cancelling it twice is no error.

        Raises:
            NotFound: no such delivery.
            Conflict: an attempt is under way, or it has ended otherwise.
        """
        state = await self._journal.cancel(account_id, delivery_id, self._clock.now_ms())
        if state is None:
            raise NotFound("there is no such delivery")
        if state is DeliveryState.SENDING:
            raise Conflict("an attempt is under way; look again when it has ended", code="attempt_under_way")
        if state is not DeliveryState.CANCELLED:
            raise Conflict(f"it has already ended as {state}", code="already_ended")
        return state

    async def _retry(self, hook: WebhookView, claimed: Claimed, epoch: int) -> Attempt:
        request = render(
            hook.target,
            event_id=claimed.event_id,
            type=claimed.type,
            timestamp=claimed.timestamp,
            data=claimed.data,
            at=self._clock.now_ms(),
        )
        attempt = await self._attempt(hook, request, claimed.id, claimed.attempts + 1, Trigger.MANUAL)
        now = self._clock.now_ms()
        if attempt.outcome.ok:
            self._bell.succeeded(hook.webhook)
        settlement = Settlement(
            delivery_id=claimed.id,
            attempt=attempt,
            state=DeliveryState.SUCCEEDED if attempt.outcome.ok else DeliveryState.FAILED,
            due_at=None,
            tries=claimed.tries,
            settled_at=now,
        )
        try:
            state = await self._journal.settle_manual(settlement, epoch)
        except Unavailable as error:
            if error.code == "not_owner":
                self._metrics.outcomes_refused += 1
                log.warning("outcomes_refused", extra={"outcomes": 1, "deliveries": [show("dlv_", claimed.id)]})
            raise
        if state in (DeliveryState.PENDING, DeliveryState.RETRYING):
            self._dispatcher.stored(claimed.webhook_id, claimed.account_id, now, hook.webhook.shard)
        return attempt

    async def _attempt(
        self, hook: WebhookView, request: Request, delivery_id: DeliveryId, n: int, trigger: Trigger
    ) -> Attempt:
        started_at = self._clock.now_ms()
        ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._sender.send(request, partial(_answer, ended))
        outcome, reading = understand(hook.target, request, await ended)
        self._follow(hook, reading, trigger, self._clock.now_ms())
        return Attempt(
            id=self._id_source.next(),
            delivery_id=delivery_id,
            n=n,
            trigger=trigger,
            started_at=started_at,
            outcome=outcome,
            method=request.method,
            url_shown=hook.webhook.settings.url_shown,
            request_headers=masked(hook.target, request),
            request_body=kept_body(hook.target, request, whole=trigger is Trigger.TEST),
            webhook_version=hook.webhook.version,
        )

    def _follow(self, hook: WebhookView, reading: Reading | None, trigger: Trigger, now: Millis) -> None:
        """What a chat says counts, whoever asked: its pauses and its new address hold for all, and a chat that is gone
        ends its webhook, unless it was only a test.
        """
        if hook.target.chat is None:
            return
        heed(hook.target, reading, self._bell, self._metrics, now)
        if not isinstance(reading, Throttled):
            self._bell.sent_by_hand(hook.target.chat.address.paces, now)
        if isinstance(reading, Moved):
            self._caretaker.move(hook.webhook, reading.url, reading.reason)
        elif isinstance(reading, Stopped) and trigger is Trigger.MANUAL:
            self._caretaker.disable(hook.webhook, reading.reason)


def _answer(ended: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not ended.done():
        ended.set_result(outcome)
