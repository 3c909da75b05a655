"""Attempts under way: started, sent, and brought to what becomes of them.

    start ──▶ rendering ──▶ sender ──▶ policy ──▶ settler
                                          └─────▶ health

When an attempt may start is not decided here: the keeper of the lanes does, and is told when a place is free again.
"""

import asyncio
import logging
import random
from collections.abc import Coroutine
from functools import partial
from typing import Any, Protocol

from tocsin import failpoints
from tocsin.clock import Clock, Millis
from tocsin.engine import policy
from tocsin.engine.directory import AccountView, Directory
from tocsin.engine.doors import Door
from tocsin.engine.gatherer import Gatherer
from tocsin.engine.gathering import Ending
from tocsin.engine.health import Caretaker
from tocsin.engine.lanes import FOREVER, Lane
from tocsin.engine.rendering import Target, masked, render
from tocsin.engine.settler import Settler
from tocsin.errors import NotFound, TocsinError
from tocsin.ids import IdSource, made_at_ms
from tocsin.model import DIGEST_TYPE, AccountId, Attempt, Outcome, OutcomeKind, Request, Trigger, WebhookId
from tocsin.store.port import Claimed, Settlement
from tocsin.telemetry import Metrics

log = logging.getLogger(__name__)


class Keeper(Protocol):
    """Who keeps the lanes, and has to know how attempts go."""

    def release(self, lane: Lane, claimed: Claimed) -> None:
        """The delivery was not sent: it is to wait again."""
        ...

    def stored(self, webhook_id: WebhookId, account_id: AccountId, due_at: Millis) -> None:
        """Its retry waits in the store, durable."""
        ...

    def place_freed(self) -> None: ...

    def ended(self, lane: Lane, now: Millis) -> None:
        """A place is free, and the lane may go on."""
        ...

    def pump(self) -> None:
        """Outcomes were written: what waited for that may start."""
        ...


class Attempts:
    """Those of this process's lanes. The two numbers are there to be read, at the cost of an attribute."""

    def __init__(
        self,
        *,
        keeper: Keeper,
        directory: Directory,
        sender: Door,
        settler: Settler,
        caretaker: Caretaker,
        gatherer: Gatherer,
        clock: Clock,
        id_source: IdSource,
        metrics: Metrics,
        retry_scale: float,
        rng: random.Random,
    ) -> None:
        self.in_flight = 0
        self.unwell_in_flight = 0  # of them, in lanes that were unwell when they started
        self._keeper = keeper
        self._directory = directory
        self._sender = sender
        self._settler = settler
        self._caretaker = caretaker
        self._gatherer = gatherer
        self._clock = clock
        self._id_source = id_source
        self._metrics = metrics
        self._scale = retry_scale
        self._rng = rng
        self._tasks: set[asyncio.Task[None]] = set()
        self._abandoning = False

    def abandon(self) -> None:
        """What ends from now on has an unknown outcome: it is given back, and costs no retry."""
        self._abandoning = True

    def start(self, lane: Lane, claimed: Claimed, now: Millis) -> None:
        """Sends a claimed delivery of a lane that has room for it."""
        lane.started(now)
        self.in_flight += 1
        if lane.unwell:
            self.unwell_in_flight += 1
        start = _Started(lane, claimed, lane.unwell)
        view = self._directory.cached(claimed.account_id)
        if view is None:
            self._spawn(self._send_later(start))
        else:
            self._send(start, view)

    async def _send_later(self, start: "_Started") -> None:
        try:
            view = await self._directory.view(start.claimed.account_id)
        except NotFound:
            self._free(start)  # the account is gone; its deliveries are purged with it
        except TocsinError:
            self._free(start)
            self._keeper.release(start.lane, start.claimed)
        else:
            self._send(start, view)

    def _send(self, start: "_Started", view: AccountView) -> None:
        claimed = start.claimed
        hook = view.webhooks.get(claimed.webhook_id)
        now = self._clock.now_ms()
        if hook is None:
            start.lane.held_until = FOREVER  # deleted while this was on its way
        if hook is None or start.lane.held_until > now:
            self._free(start)
            self._keeper.release(start.lane, claimed)
            return
        start.target = target = hook.target
        start.started_at = now
        if not claimed.attempts and claimed.type != DIGEST_TYPE:  # a digest waits for its window's end
            self._metrics.first_attempt_delay_s.observe((now - made_at_ms(claimed.event_id)) / 1000)
        try:
            start.request = render(
                target,
                event_id=claimed.event_id,
                type=claimed.type,
                timestamp=claimed.timestamp,
                data=claimed.data,
                at=now,
            )
        except Exception as error:
            log.exception("render_failed", extra={"delivery": claimed.id})
            outcome = Outcome(kind=OutcomeKind.UNSENDABLE, error=f"the event could not be rendered: {error}")
            start.request = Request(method="POST", url=hook.secrets.url, headers=(), body=b"", timeout_s=0)
            asyncio.get_running_loop().call_soon(self._ended, start, outcome)
            return
        self._sender.send(start.request, partial(self._ended, start))

    def _free(self, start: "_Started") -> None:
        """Nothing was sent after all, or nobody will know what became of it."""
        self.in_flight -= 1
        start.lane.in_flight -= 1
        if start.unwell:
            self.unwell_in_flight -= 1
        self._keeper.place_freed()

    def _ended(self, start: "_Started", outcome: Outcome) -> None:
        failpoints.reach("after_send")
        lane, claimed = start.lane, start.claimed
        if self._abandoning:
            self._free(start)
            self._keeper.release(lane, claimed)
            return
        self.in_flight -= 1
        if start.unwell:
            self.unwell_in_flight -= 1
        lane.ended(outcome)
        now = self._clock.now_ms()
        target = start.target
        verdict = policy.decide(
            target.profile,
            outcome,
            tries=claimed.tries + 1,
            ended_at=now,
            scale=self._scale,
            luck=self._rng.random(),
        )
        ending = Ending(verdict.state, verdict.due_at, claimed.tries + 1)
        ending = self._gatherer.ended(lane, claimed, ending, None, now)
        self._metrics.attempt_ended(outcome, ending.state)
        attempt = Attempt(
            id=self._id_source.next(),
            delivery_id=claimed.id,
            n=claimed.attempts + 1,
            trigger=Trigger.SCHEDULE,
            started_at=start.started_at,
            outcome=outcome,
            method=start.request.method,
            url_shown=target.webhook.settings.url_shown,
            request_headers=masked(target, start.request),
            request_body=None,
            webhook_version=target.webhook.version,
        )
        settlement = Settlement(
            delivery_id=claimed.id,
            attempt=attempt,
            state=ending.state,
            due_at=ending.due_at,
            tries=ending.tries,
            settled_at=now,
        )
        if ending.due_at is None:
            self._settler.settle(settlement, self._keeper.pump)
        else:
            self._settler.settle(
                settlement, partial(self._keeper.stored, lane.webhook_id, lane.account_id, ending.due_at)
            )
        self._note_health(lane, target, attempt, policy.Verdict(ending.state, ending.due_at), now)
        self._keeper.ended(lane, now)

    def succeeded(self, lane: Lane, now: Millis) -> None:
        """An attempt of that lane did, scheduled or not: its run of failures has ended."""
        if lane.succeeded(now):
            self._caretaker.streak_changed(lane)

    def _note_health(self, lane: Lane, target: Target, attempt: Attempt, verdict: policy.Verdict, now: Millis) -> None:
        outcome = attempt.outcome
        if outcome.ok:
            self.succeeded(lane, now)
            return
        if lane.failed(attempt.started_at, now):
            self._caretaker.streak_changed(lane)
        diagnosis = policy.diagnose(
            target.profile.disable,
            outcome,
            verdict,
            failing_since=lane.failing_since,
            warned_at=lane.warned_at,
            now=now,
        )
        if diagnosis.health is not policy.Health.WELL:
            self._caretaker.treat(lane, target.webhook, diagnosis, attempt)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Started:
    """An attempt under way."""

    __slots__ = ("claimed", "lane", "request", "started_at", "target", "unwell")

    request: Request
    target: Target
    started_at: Millis

    def __init__(self, lane: Lane, claimed: Claimed, unwell: bool) -> None:  # noqa: FBT001
        self.lane = lane
        self.claimed = claimed
        self.unwell = unwell
