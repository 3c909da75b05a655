"""Keeps the lanes: what waits in memory, what is claimed from the store, and whose turn it is.

    committed event ──hand_over──▶ lane.queue ──rotation──▶ attempts ──▶ settler ──▶ store
                └────stored────▶ lane.next_due ──claim──▶ lane.queue

Only as much as can be sent soon is in memory; the backlog stays in the store.
"""

import asyncio
import heapq
import logging
import random
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

from tocsin.clock import Clock, Millis
from tocsin.engine.attempts import Attempts
from tocsin.engine.claims import Claims
from tocsin.engine.cluster.tenure import Tenure
from tocsin.engine.directory import Directory, WebhookView
from tocsin.engine.gathering.gatherer import Gatherer
from tocsin.engine.health import Caretaker
from tocsin.engine.lanes import FOREVER, Lane, Rotation
from tocsin.engine.paces import Paces, Share
from tocsin.engine.sending.doors import Door
from tocsin.engine.settler import MAX_WAITING, Settler
from tocsin.errors import NotFound, ProfileMissing, Unavailable
from tocsin.ids import IdSource
from tocsin.model import AccountId, Webhook, WebhookId
from tocsin.store.port import Claimed, Journal
from tocsin.telemetry import Metrics

log = logging.getLogger(__name__)

# Attempts under way at once, over all webhooks. Each costs a connection and some 100 KB at worst.
MAX_IN_FLIGHT = 1_000

# Lanes whose receivers are slow or down get at most this share of the places, so that the well ones always have some.
_UNWELL_SHARE = 0.5

# Claimed deliveries in memory, waiting for room in their lanes: their number, and the bytes of their bodies.
_MAX_HELD = 8_192
_MAX_HELD_BYTES = 64 << 20

# Idle lanes that are kept with what was learned of their receivers: some 500 bytes each.
_MAX_IDLE_LANES = 16_384
_PRUNE_MS = 10_000

_LANES_PAGE = 1_000

# Where a service asks for so short a pause, what is claimed waits in memory; else it goes back to the store.
_SHORT_HOLD_MS = 5_000

# After a start, lanes that are overdue set out over this span, not all at once; a few lanes take no time.
_SPREAD_MAX_MS = 5_000
_SPREAD_PER_LANE_MS = 10


class Dispatcher:
    """The owner of this process's lanes."""

    def __init__(
        self,
        *,
        journal: Journal,
        directory: Directory,
        sender: Door,
        settler: Settler,
        caretaker: Caretaker,
        gatherer: Gatherer,
        tenure: Tenure,
        clock: Clock,
        id_source: IdSource,
        metrics: Metrics,
        retry_scale: float = 1.0,
        rng: random.Random | None = None,
    ) -> None:
        self._journal = journal
        self._directory = directory
        self._sender = sender
        self._settler = settler
        self._clock = clock
        self._metrics = metrics
        self.paces = Paces(clock.now_ms())
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries; guards nothing
        self._claims = Claims(
            keeper=self, journal=journal, gatherer=gatherer, tenure=tenure, clock=clock, metrics=metrics
        )
        self._attempts = Attempts(
            keeper=self,
            directory=directory,
            sender=sender,
            settler=settler,
            caretaker=caretaker,
            gatherer=gatherer,
            clock=clock,
            id_source=id_source,
            metrics=metrics,
            retry_scale=retry_scale,
            rng=self._rng,
        )
        self._lanes: dict[WebhookId, Lane] = {}
        self._rotation = Rotation()
        self._benched: OrderedDict[WebhookId, Lane] = OrderedDict()  # unwell: they wait for a place of their share
        self._held = 0
        self._held_bytes = 0
        self._timers: list[tuple[Millis, WebhookId]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._prune_at = Millis(0)
        self._pumping = False
        self._calling = False
        self._stopping = True

    # --- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Takes over the lanes that the store knows of and begins to work."""
        self._stopping = False
        now = self._clock.now_ms()
        overdue: list[Lane] = []
        after = 0
        while page := await self._journal.lanes(after, _LANES_PAGE):
            for facts in page:
                lane = self._lane(facts.webhook_id, facts.account_id)
                lane.failing_since, lane.warned_at = facts.failing_since, facts.warned_at
                lane.unbroken_since = facts.unbroken_since
                lane.next_due = facts.next_due
                if lane.next_due is not None and lane.next_due <= now:
                    overdue.append(lane)
                else:
                    self.schedule(lane, now)
            after = page[-1].webhook_id
        spread_ms = min(_SPREAD_MAX_MS, _SPREAD_PER_LANE_MS * (len(overdue) - 1))
        for lane in overdue:
            self.wake_at(lane, Millis(now + round(spread_ms * self._rng.random())))
        self._claims.start()
        self.tick()

    async def stop(self, drain_s: float) -> None:
        """Claims no more, gives back what was not sent, and waits for what is under way, `drain_s` at most.

        Attempts that are cut off then have an unknown outcome: they are given back too, and cost no retry.
        """
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        await self._claims.stop()
        for lane in list(self._lanes.values()):
            self.give_back(lane)
        deadline = self._clock.monotonic_s() + drain_s
        while self._attempts.in_flight and self._clock.monotonic_s() < deadline:  # noqa: ASYNC110 - once a life
            await asyncio.sleep(0.01)
        self._attempts.abandon()
        await self._sender.close()

    @property
    def in_flight(self) -> int:
        return self._attempts.in_flight

    @property
    def lanes(self) -> int:
        """Lanes that are more than empty and well."""
        return len(self._lanes)

    @property
    def held(self) -> int:
        """Claimed deliveries in memory, not sent yet."""
        return self._held

    # --- from ingest ----------------------------------------------------------------------------------------------

    def reserve(self, hook: WebhookView, now: Millis) -> bool:
        """Keeps a place for a delivery that is about to be committed: it may be committed as claimed.

        Ends in exactly one of `hand_over` and `unreserve`. False: commit it as waiting, then call `stored`.
        """
        if (
            self._stopping
            or self._held >= _MAX_HELD
            or self._held_bytes >= _MAX_HELD_BYTES
            or self._settler.waiting >= MAX_WAITING
        ):
            return False
        webhook = hook.webhook
        lane = self._lanes.get(webhook.id) or self._lane(webhook.id, webhook.account_id)
        if not lane.configured:
            self._take_over(lane, hook)
        return lane.reserve(now)

    def unreserve(self, webhook_id: WebhookId) -> None:
        lane = self._lanes[webhook_id]
        lane.reserved -= 1
        self.schedule(lane, self._clock.now_ms())

    def hand_over(self, claimed: Claimed, now: Millis) -> None:
        """Takes a delivery that is durable, already claimed, into its reserved place."""
        lane = self._lanes[claimed.webhook_id]
        lane.reserved -= 1
        if (
            not lane.queue
            and not lane.unwell
            and not self._rotation
            and self._attempts.in_flight < MAX_IN_FLIGHT
            and not self._stopping
            and lane.may_start(now)
        ):
            self._attempts.start(lane, claimed, now)  # nobody waits, so it is this one's turn
            return
        self.hold(lane, claimed)
        if self._stopping:
            self.give_back(lane)
        self.schedule(lane, now)
        self.pump()

    def stored(self, webhook_id: WebhookId, account_id: AccountId, due_at: Millis) -> None:
        """A delivery waits in the store, durable."""
        if self._stopping:
            return
        lane = self._lane(webhook_id, account_id)
        lane.stored(due_at)
        self.schedule(lane, self._clock.now_ms())

    def succeeded(self, webhook_id: WebhookId) -> None:
        """An attempt that did not come from here succeeded: that ends the run of failures as one of ours does."""
        lane = self._lanes.get(webhook_id)  # none: then nothing of it failed, or is under way
        if lane is not None:
            self._attempts.succeeded(lane, self._clock.now_ms())

    # --- from control ---------------------------------------------------------------------------------------------

    def webhook_changed(self, webhook: Webhook) -> None:
        """Its settings or state are others from now on: its lane holds, goes on, or changes its pace."""
        if self._stopping:
            return
        lane = self._lane(webhook.id, webhook.account_id)
        lane.configure(webhook)
        if lane.gathers:
            lane.configured = False  # its address may be another one: it is sealed, and read with the next claim
        now = self._clock.now_ms()
        if lane.held_until > now:
            self.give_back(lane)
        if webhook.deleted:
            self._spawn(self._drop(webhook.id))
        lane.stored(now)  # a backlog may have waited for this: the claim will tell
        self.schedule(lane, now)
        self.pump()

    def hold_paces(self, keys: Sequence[str], wait_s: float, now: Millis, *, refused: bool) -> Millis:
        """Nothing is sent for so long by any lane with one of these: the service asked for it.

        Args:
            refused: it has refused a message, and not only said that the next one would be.

        Returns:
            Until when.
        """
        until = self.paces.throttle(keys, wait_s, now) if refused else self.paces.hold(keys, wait_s, now)
        if until - now < _SHORT_HOLD_MS:
            return until
        for webhook_id in self.paces.members(keys):
            lane = self._lanes[webhook_id]
            lane.held_until = max(lane.held_until, until)
            self.give_back(lane)
            self.schedule(lane, now)
        return until

    def hold_lane(self, lane: Lane, until: Millis) -> None:
        """Nothing is sent by that lane until then, or until its webhook is changed."""
        lane.held_until = max(lane.held_until, until)
        self.give_back(lane)

    async def drop_held(self, webhook_id: WebhookId) -> int:
        """Cancels what waits for a webhook; how many deliveries that were."""
        dropped = 0
        while some := await self._journal.drop_waiting(webhook_id, self._clock.now_ms(), 1_000):
            dropped += some
        return dropped

    async def _drop(self, webhook_id: WebhookId) -> None:
        try:
            await self.drop_held(webhook_id)
        except Unavailable as error:  # what is left is found again, and dropped, at the next start
            log.warning("drop_failed", extra={"reason": error.detail})
        lane = self._lanes.get(webhook_id)
        if lane is not None:
            lane.next_due = None
            self.schedule(lane, self._clock.now_ms())

    # --- lanes ----------------------------------------------------------------------------------------------------

    def _lane(self, webhook_id: WebhookId, account_id: AccountId) -> Lane:
        lane = self._lanes.get(webhook_id)
        if lane is None:
            lane = self._lanes[webhook_id] = Lane(webhook_id, account_id)
        return lane

    def hold(self, lane: Lane, claimed: Claimed) -> None:
        lane.queue.append(claimed)
        self._held += 1
        self._held_bytes += len(claimed.data)

    def _unhold(self, lane: Lane) -> Claimed:
        claimed = lane.queue.popleft()
        self._held -= 1
        self._held_bytes -= len(claimed.data)
        return claimed

    def give_back(self, lane: Lane) -> None:
        while lane.queue:
            self.release(lane, self._unhold(lane))

    def release(self, lane: Lane, claimed: Claimed) -> None:
        """Gives a claimed delivery back unsent: it waits in the store again, with the due time it had."""
        self._settler.release(claimed.id, partial(self._stored_again, lane))

    def _stored_again(self, lane: Lane) -> None:
        self.stored(lane.webhook_id, lane.account_id, self._clock.now_ms())

    def schedule(self, lane: Lane, now: Millis) -> None:
        """Looks at what the lane can do next: start, claim, or be woken at a time; or be forgotten."""
        if self._stopping:
            return
        if lane.share is not None:
            self._take_turns(lane, lane.share, now)
        elif lane.queue:
            if lane.may_start(now):
                self._rotation.add(lane)
            elif lane.in_flight < lane.limit and lane.held_until <= now:
                self.wake_at(lane, Millis(int(lane.next_start_ms) + 1))
        if lane.next_due is not None and not lane.claiming:
            if lane.next_due > now or lane.claims_from > now:
                self.wake_at(lane, max(lane.next_due, lane.claims_from))
            elif lane.wanted(now):
                self._claims.want(lane)
        elif lane.next_start_ms and lane.next_start_ms <= now:
            lane.next_start_ms = 0.0

    def _take_turns(self, lane: Lane, share: Share, now: Millis) -> None:
        """Looks at what a lane can start that keeps a pace with others, and then at those who are next."""
        if not lane.queue or lane.in_flight >= lane.limit or lane.held_until > now:
            share.leave()
        elif lane.next_start_ms > now:
            share.leave()
            self.wake_at(lane, Millis(int(lane.next_start_ms) + 1))
        elif share.may_start(now):
            self._rotation.add(lane)
        else:
            again_at = share.wait(now)
            if again_at is not None:
                self.wake_at(lane, again_at)
        self._call_next(now)

    def _call_next(self, now: Millis) -> None:
        """Looks at the lanes whose turn may have come at their pace; each may call another one."""
        if self._calling:
            return
        self._calling = True
        try:
            while self.paces.called:
                lane = self._lanes.get(self.paces.called.popleft())
                if lane is not None:
                    self.schedule(lane, now)
        finally:
            self._calling = False

    def _prune(self, now: Millis) -> None:
        """Forgets lanes that are empty and well, so that memory follows the webhooks at work."""
        if now < self._prune_at:
            return
        self._prune_at = Millis(now + _PRUNE_MS)
        if len(self._lanes) > _MAX_IDLE_LANES:
            for lane in [lane for lane in self._lanes.values() if lane.idle]:
                del self._lanes[lane.webhook_id]
                if lane.share is not None:
                    lane.share.close()
        self.paces.forget(now)

    def wake_at(self, lane: Lane, at: Millis) -> None:
        if at >= FOREVER or (lane.timer_at is not None and lane.timer_at <= at):
            return
        lane.timer_at = at
        heapq.heappush(self._timers, (at, lane.webhook_id))
        if self._timers[0][0] == at:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._stopping:
            # At most a second, so that a change of the system's clock is noticed and idle lanes are forgotten.
            wait_s = 1.0
            if self._timers:
                wait_s = min(wait_s, max(0.0, (self._timers[0][0] - self._clock.now_ms()) / 1000))
            self._timer = asyncio.get_running_loop().call_later(wait_s, self.tick)

    def tick(self) -> None:
        """Wakes the lanes whose time has come. Called by its own timer; by a test that moves its clock."""
        now = self._clock.now_ms()
        while self._timers and self._timers[0][0] <= now:
            at, webhook_id = heapq.heappop(self._timers)
            lane = self._lanes.get(webhook_id)
            if lane is not None and lane.timer_at == at:
                lane.timer_at = None
                self.schedule(lane, now)
        self._prune(now)
        self._arm()
        self.pump()

    # --- claims ---------------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """No more may be held in memory."""
        return self._held >= _MAX_HELD or self._held_bytes >= _MAX_HELD_BYTES

    async def configure(self, lane: Lane) -> None:
        """Reads the settings of a lane that was taken over with its backlog."""
        try:
            hook = (await self._directory.view(lane.account_id)).webhooks.get(lane.webhook_id)
        except NotFound:
            hook = None
        except ProfileMissing:
            lane.held_until = FOREVER  # in this process: the next one may have it
            lane.configured = True
            return
        if hook is not None:
            self._take_over(lane, hook)
        else:  # it was deleted, and the process died before its deliveries were cancelled
            lane.held_until = FOREVER
            lane.configured = True
            self._spawn(self._drop(lane.webhook_id))

    def _take_over(self, lane: Lane, hook: WebhookView) -> None:
        """Gives a lane the settings of its webhook, and its part in what its address shares with others."""
        chat = hook.target.chat
        rules = chat.address.paces if chat is not None else ()
        if (lane.share.rules if lane.share is not None else ()) != rules:
            if lane.share is not None:
                lane.share.close()
            lane.share = self.paces.share(lane.webhook_id, rules, self._clock.now_ms()) if rules else None
        lane.configure(hook.webhook)

    # --- starting --------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Starts what may be started, in rotation, while there are places."""
        if not self._rotation or self._pumping or self._stopping or self._settler.waiting >= MAX_WAITING:
            return
        self._pumping = True
        try:
            self._start_in_turn(self._clock.now_ms())
        finally:
            self._pumping = False

    def _start_in_turn(self, now: Millis) -> None:
        rotation = self._rotation
        while rotation and self._attempts.in_flight < MAX_IN_FLIGHT:
            lane = rotation.next()
            if not lane.queue or not lane.may_start(now):
                self.schedule(lane, now)
                continue
            if lane.unwell and self._attempts.unwell_in_flight >= MAX_IN_FLIGHT * _UNWELL_SHARE:
                self._benched[lane.webhook_id] = lane
                if lane.share is not None:
                    lane.share.leave()
                    self._call_next(now)
                continue
            self._attempts.start(lane, self._unhold(lane), now)
            self.schedule(lane, now)

    def place_freed(self) -> None:
        """One attempt less is under way: a lane that waited for a place of the unwell ones' share may have it."""
        if self._benched and self._attempts.unwell_in_flight < MAX_IN_FLIGHT * _UNWELL_SHARE:
            _, lane = self._benched.popitem(last=False)
            self._rotation.add(lane)

    def ended(self, lane: Lane, now: Millis) -> None:
        """An attempt of that lane ended, and what follows from it is under way."""
        self.place_freed()
        self.schedule(lane, now)
        self.pump()

    def pace_freed(self, now: Millis) -> None:
        """An attempt of a lane that keeps a pace with others is over: the next of them may have its turn."""
        self._call_next(now)
        self.pump()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
