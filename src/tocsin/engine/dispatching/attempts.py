"""Attempts under way: started, sent, and brought to what becomes of them.

    start ──▶ rendering ──▶ sender ──▶ readings ──▶ policy ──▶ settler
                                          │            └─────▶ health
                                          └──▶ paces: of chats

When an attempt may start is not decided here: `turns` does, and is told when a place is free again.
"""

import asyncio
import logging
import random
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, Protocol

from tocsin import failpoints
from tocsin.channels.chat import Gone, Moved, Reading, Rejected, Sent, Stopped, Throttled
from tocsin.clock import Clock, Millis
from tocsin.engine import policy
from tocsin.engine.directory import AccountView, Directory
from tocsin.engine.dispatching.lanes import FOREVER, Lane, Stored
from tocsin.engine.dispatching.paces import Share
from tocsin.engine.dispatching.shares import Places
from tocsin.engine.dispatching.stock import Stock
from tocsin.engine.gathering.gatherer import Gatherer
from tocsin.engine.gathering.sorting import Ending
from tocsin.engine.health import Caretaker
from tocsin.engine.readings import heed, understand
from tocsin.engine.rendering import Target, kept_body, masked, render
from tocsin.engine.sending.doors import Door
from tocsin.engine.settler import Settler
from tocsin.errors import Invalid, NotFound, TocsinError
from tocsin.ids import IdSource, made_at_ms
from tocsin.model import (
    DIGEST_TYPE,
    Attempt,
    DeliveryState,
    Outcome,
    OutcomeKind,
    Request,
    Trigger,
)
from tocsin.store.port import Claimed, Settlement
from tocsin.telemetry import Metrics

log = logging.getLogger(__name__)

# A webhook that is being disabled sends nothing for so long: well before, it is. Where that cannot be written, the next
# attempt tries again.
_STOPPING_MS = 1_000


class Keeper(Protocol):
    """Who gives the lanes their turns, and has to know how attempts go."""

    @property
    def lapsed(self) -> bool:
        """Others may have taken over: nothing is begun."""
        ...

    def place_freed(self) -> None: ...

    def pace_freed(self, now: Millis) -> None:
        """Others that share a pace with the lane of an attempt may go on."""
        ...

    def hold_paces(self, keys: Sequence[str], wait_s: float, now: Millis, *, refused: bool) -> Millis:
        """Nothing is sent for so long by any lane with one of these; until when."""
        ...

    def hold_lane(self, lane: Lane, until: Millis) -> None:
        """Nothing is sent by that lane until then, or until its webhook is changed."""
        ...

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
        stored: Stored,
        stock: Stock,
        places: Places,
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
        self._keeper = keeper
        self._stored = stored
        self._stock = stock
        self._places = places
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
        self._places.take(lane)
        start = _Started(lane, claimed)
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
            self._stock.release(start.lane, start.claimed)
        else:
            if self._keeper.lapsed or start.lane.gone:
                self._free(start)
                self._stock.release(start.lane, start.claimed)
                return
            self._send(start, view)

    def _send(self, start: "_Started", view: AccountView) -> None:
        claimed = start.claimed
        hook = view.webhooks.get(claimed.webhook_id)
        now = self._clock.now_ms()
        if hook is None:
            start.lane.held_until = FOREVER  # deleted while this was on its way
        if hook is None or start.lane.held_until > now:
            self._free(start)
            self._stock.release(start.lane, claimed)
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
                edit=claimed.message or None,
            )
        except Exception as error:
            why = f"the event could not be rendered: {error}"
            if isinstance(error, Invalid) and target.unusable is None:
                start.rejected = Rejected(reason=why)  # a later try would find the same
            else:
                log.exception("render_failed", extra={"delivery": claimed.id})
            outcome = Outcome(kind=OutcomeKind.UNSENDABLE, error=why)
            start.request = Request(method="POST", url=hook.secrets.url, headers=(), body=b"", timeout_s=0)
            asyncio.get_running_loop().call_soon(self._ended, start, outcome)
            return
        self._sender.send(start.request, partial(self._ended, start))

    def _free(self, start: "_Started") -> None:
        """Nothing was sent after all, or nobody will know what became of it."""
        self._places.give(start.lane, unwell=start.unwell)
        start.lane.in_flight -= 1
        self._keeper.place_freed()
        if start.share is not None:
            now = self._clock.now_ms()
            start.share.ended(now, taken=False)
            self._keeper.pace_freed(now)

    def _ended(self, start: "_Started", outcome: Outcome) -> None:
        failpoints.reach("after_send")
        lane, claimed = start.lane, start.claimed
        if self._abandoning:
            self._free(start)
            self._stock.release(lane, claimed)
            return
        self._places.give(start.lane, unwell=start.unwell)
        now = self._clock.now_ms()
        target = start.target
        reading: Reading | None
        if target.chat is None:
            reading = start.rejected
            outcome, _ = understand(target, start.request, outcome)
            lane.ended(outcome)
            verdict = policy.Verdict(DeliveryState.FAILED)
            if reading is None:
                verdict = policy.decide(
                    target.profile,
                    outcome,
                    tries=claimed.tries + 1,
                    ended_at=now,
                    scale=self._scale,
                    luck=self._rng.random(),
                )
            tries = claimed.tries + 1
        else:
            outcome, reading, verdict = self._read(start, outcome, now)
            tries = claimed.tries + 1 if verdict.counts else claimed.tries
            ending = Ending(verdict.state, verdict.due_at, tries)
            ending = self._gatherer.ended(lane, claimed, ending, _message(reading), now)
            verdict, tries = policy.Verdict(ending.state, ending.due_at), ending.tries
        if start.share is not None:
            if isinstance(reading, Sent):
                start.share.went_well()
            start.share.ended(now, taken=not isinstance(reading, Throttled))
            self._keeper.pace_freed(now)
        self._metrics.attempt_ended(outcome, DeliveryState.SENDING if lane.gone else verdict.state)
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
            request_body=kept_body(target, start.request),
            webhook_version=target.webhook.version,
        )
        settlement = Settlement(
            delivery_id=claimed.id,
            attempt=attempt,
            state=verdict.state,
            due_at=verdict.due_at,
            tries=tries,
            settled_at=now,
            message=_message(reading) if claimed.type == DIGEST_TYPE else None,
        )
        if lane.gone:
            self._settler.settle(settlement, lane.epoch, self._keeper.pump)  # to be refused: its new owner decides
            self._keeper.ended(lane, now)
            return
        if isinstance(reading, Moved):
            settle = partial(self._settle, lane, settlement)
            self._caretaker.move(target.webhook, reading.url, reading.reason, settle)
        else:
            self._settle(lane, settlement)
        self._note_health(lane, target, attempt, verdict, reading, now)
        self._keeper.ended(lane, now)

    def _read(self, start: "_Started", outcome: Outcome, now: Millis) -> tuple[Outcome, Reading | None, policy.Verdict]:
        """What a chat's answer comes to, for its delivery and at once for all that share its pace."""
        lane, claimed, target = start.lane, start.claimed, start.target
        outcome, reading = understand(target, start.request, outcome)
        held_until = heed(target, reading, self._keeper, self._metrics, now)
        if isinstance(reading, Throttled):
            lane.in_flight -= 1  # it says nothing of how much the chat bears at once
        else:
            lane.ended(outcome)
        if isinstance(reading, Stopped):
            self._keeper.hold_lane(lane, Millis(now + _STOPPING_MS))
        verdict = policy.decide_read(
            target.profile,
            reading,
            outcome,
            tries=claimed.tries + 1,
            free=claimed.attempts - claimed.tries,
            held_until=held_until,
            ended_at=now,
            scale=self._scale,
            luck=self._rng.random(),
        )
        return outcome, reading, verdict

    def _settle(self, lane: Lane, settlement: Settlement) -> None:
        durable = self._keeper.pump
        if settlement.due_at is not None:
            durable = partial(self._stored, lane.webhook_id, lane.account_id, settlement.due_at, lane.shard)
        self._settler.settle(settlement, lane.epoch, durable)

    def succeeded(self, lane: Lane, now: Millis) -> None:
        """An attempt of that lane did, scheduled or not: its run of failures has ended."""
        if lane.succeeded(now):
            self._caretaker.streak_changed(lane)

    def _note_health(
        self,
        lane: Lane,
        target: Target,
        attempt: Attempt,
        verdict: policy.Verdict,
        reading: Reading | None,
        now: Millis,
    ) -> None:
        outcome = attempt.outcome
        if outcome.ok:
            self.succeeded(lane, now)
            return
        if isinstance(reading, Throttled | Moved | Gone):
            return  # the chat is there, and well
        if lane.failed(attempt.started_at, now):
            self._caretaker.streak_changed(lane)
        diagnosis = policy.diagnose(
            target.profile.disable,
            outcome,
            verdict,
            failing_since=lane.failing_since,
            warned_at=lane.warned_at,
            now=now,
            reading=reading,
        )
        if diagnosis.health is not policy.Health.WELL:
            self._caretaker.treat(lane, target.webhook, diagnosis, attempt)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Started:
    """An attempt under way."""

    __slots__ = ("claimed", "lane", "rejected", "request", "share", "started_at", "target", "unwell")

    request: Request
    target: Target
    started_at: Millis

    def __init__(self, lane: Lane, claimed: Claimed) -> None:
        self.lane = lane
        self.claimed = claimed
        self.unwell = lane.unwell
        self.share: Share | None = lane.share
        self.rejected: Rejected | None = None  # nothing could be sent, and never can be


def _message(reading: Reading | None) -> str | None:
    """How the service calls the message from now on; None: as before; empty: it is gone."""
    if isinstance(reading, Gone):
        return ""
    return reading.message if isinstance(reading, Sent) else None
