"""Keeps the lanes: what waits in memory, what is claimed from the store, and whose turn it is.

    committed event ──hand_over──▶ lane.queue ──rotation──▶ attempts ──▶ settler ──▶ store
                └────stored────▶ lane.next_due ──claim──▶ lane.queue

Only as much as can be sent soon is in memory; the backlog stays in the store.
"""

import asyncio
import contextlib
import heapq
import logging
import random
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from tocsin.channels.chat import PaceRule
from tocsin.clock import Clock, Millis
from tocsin.engine.attempts import Attempts
from tocsin.engine.claims import Claims
from tocsin.engine.cluster.bell import Bell
from tocsin.engine.cluster.tenure import Tenure
from tocsin.engine.directory import Directory, WebhookView
from tocsin.engine.gathering.gatherer import Gatherer
from tocsin.engine.health import Caretaker
from tocsin.engine.holdings import Holdings
from tocsin.engine.lanes import FOREVER, Lane, Rotation
from tocsin.engine.paces import Paces, Share
from tocsin.engine.sending.doors import Door
from tocsin.engine.settler import MAX_WAITING, Settler
from tocsin.engine.shares import Held, Places, Short
from tocsin.errors import NotFound, ProfileMissing, TocsinError, Unavailable
from tocsin.ids import IdSource
from tocsin.model import AccountId, DeliveryId, Webhook, WebhookId
from tocsin.store.port import Claimed, Journal, LaneFacts
from tocsin.telemetry import Metrics

log = logging.getLogger(__name__)

# Idle lanes that are kept with what was learned of their receivers: some 500 bytes each.
_MAX_IDLE_LANES = 16_384
_PRUNE_MS = 10_000

_LANES_PAGE = 1_000

# The store is looked through for what was not told of: so late may it be found; and not more often than that it takes a
# twentieth of the time.
_LOOK_S = 5.0
_LOOK_SHARE = 20

_LEAVE_LOOK_S = 0.02  # as long as many an attempt takes

# Where a service asks for so short a pause, what is claimed waits in memory; else it goes back to the store.
_SHORT_HOLD_MS = 5_000

# After a start, lanes that are overdue set out over this span, not all at once; a few lanes take no time.
_SPREAD_MAX_MS = 5_000
_SPREAD_PER_LANE_MS = 10


class Dispatcher:
    """Sends for the shards that this process holds."""

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
        bell: Bell,
        clock: Clock,
        id_source: IdSource,
        metrics: Metrics,
        retry_scale: float = 1.0,
        rng: random.Random | None = None,
    ) -> None:
        self._journal = journal
        self._directory = directory
        self._settler = settler
        self._clock = clock
        self._metrics = metrics
        self.paces = Paces()
        self._tenure = tenure
        self._bell = bell
        self._caretaker = caretaker
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries; guards nothing
        self._claims = Claims(
            keeper=self, journal=journal, gatherer=gatherer, tenure=tenure, clock=clock, metrics=metrics
        )
        self._places = Places()
        self._attempts = Attempts(
            keeper=self,
            places=self._places,
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
        self._holdings = Holdings()
        self._rotation = Rotation()
        self._benched = Short(self._places.may)  # they could start, but for a place
        self._held = Held()
        self._short = Short(lambda lane: self.room(lane.account_id) > 0)  # they could claim, but for memory
        self._timers: list[tuple[Millis, WebhookId]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._look_wake = asyncio.Event()
        self._look_task: asyncio.Task[None] | None = None
        self._prune_at = Millis(0)
        self._pumping = False
        self._calling = False
        self._stopping = True

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins to work, for nothing yet: see `take`."""
        self._stopping = False
        self._claims.start()
        self._look_task = asyncio.create_task(self._keep_looking(), name="look")
        self.tick()

    async def stop(self, drain_s: float) -> None:
        """Claims no more, gives back what was not sent, and waits for what is under way, `drain_s` at most.

        Attempts that are cut off then have an unknown outcome: they are given back too, and cost no retry.
        """
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        if self._look_task is not None:
            self._look_task.cancel()
            await asyncio.gather(self._look_task, return_exceptions=True)
        await self._claims.stop()
        self._close(self._holdings.shards)
        deadline = self._clock.monotonic_s() + drain_s
        while self._places.taken and self._clock.monotonic_s() < deadline:  # noqa: ASYNC110 - once a life
            await asyncio.sleep(0.01)
        self._attempts.abandon()

    @property
    def in_flight(self) -> int:
        return self._places.taken

    @property
    def lanes(self) -> int:
        """Lanes that are more than empty and well."""
        return len(self._holdings)

    @property
    def held(self) -> int:
        """Claimed deliveries in memory, not sent yet."""
        return self._held.number

    @property
    def shards(self) -> frozenset[int]:
        """Those that it sends for."""
        return self._holdings.shards

    @property
    def loads(self) -> Mapping[int, int]:
        """How much there is to do for each shard that has any."""
        return self._holdings.loads()

    # --- shards ---------------------------------------------------------------------------------------------------

    async def take(self, shards: frozenset[int]) -> None:
        """Takes over the lanes of these shards, as the store knows them. Called again, it goes on.

        Raises:
            Unavailable: not all could be read: nothing is sent for these shards yet.
        """
        self._holdings.begin(shards, self._clock.now_ms())
        async for facts in self._backlogs(shards):
            lane = self._holdings.lane(facts.webhook_id, facts.account_id, facts.shard, self._tenure.epoch)
            lane.failing_since, lane.warned_at = facts.failing_since, facts.warned_at
            lane.unbroken_since = facts.unbroken_since
            if facts.next_due is not None:
                lane.stored(facts.next_due)
        now = self._clock.now_ms()
        overdue = []
        for lane in self._holdings.ready(shards):
            if lane.next_due is not None and lane.next_due <= now:
                overdue.append(lane)
            else:
                self.schedule(lane, now)
        spread_ms = min(_SPREAD_MAX_MS, _SPREAD_PER_LANE_MS * (len(overdue) - 1))
        for lane in overdue:
            self.wake_at(lane, Millis(now + round(spread_ms * self._rng.random())))
        self.tick()

    async def leave(self, shards: frozenset[int]) -> AsyncIterator[frozenset[int]]:
        """Begins nothing more for these shards and gives back what was not sent; attempts under way are waited for.

        Yields:
            Shards of which nothing is under way any more, and all is written down. Nothing is known of them afterwards.
        """
        left = frozenset(shard for shard in shards if self._holdings.holds(shard))
        busy = [lane for lane in self._close(left) if lane.busy]
        while left:
            busy = [lane for lane in busy if lane.busy]
            empty = left - {lane.shard for lane in busy}
            if empty:
                await self._caretaker.settled()
                await self._settler.written()
                self._holdings.drop(empty)
                left -= empty
                yield empty
            else:
                await asyncio.sleep(_LEAVE_LOOK_S)

    def lost(self) -> None:
        """The epoch has ended: others may send for everything by now. Nothing is known any more, but for the attempts
        under way, whose outcomes will be refused.
        """
        self._benched.clear()
        self._short.clear()
        for lane in self._holdings.forget():
            while lane.queue:
                self._unhold(lane)
        self._settler.held.clear()
        self._rotation = Rotation()
        self._timers.clear()
        self._claims.forget()

    async def look(self) -> None:
        """Finds what waits in the store and was not told of: by a process that has died, or by a commit that was taken
        for failed.

        Raises:
            Unavailable: the store does not answer.
        """
        epoch = self._tenure.epoch
        async for facts in self._backlogs(self._holdings.shards):
            if facts.next_due is None or self._tenure.epoch != epoch:
                continue
            lane = self._holdings.get(facts.webhook_id)
            known = lane is not None and (lane.claiming or lane.shard != facts.shard or not lane.open)
            if not known and (lane is None or lane.next_due is None or facts.next_due < lane.next_due):
                self.stored(facts.webhook_id, facts.account_id, facts.next_due, facts.shard)

    async def _keep_looking(self) -> None:
        wait_s = _LOOK_S
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._look_wake.wait()
            self._look_wake.clear()
            began_s = self._clock.monotonic_s()
            try:
                await self.look()
            except TocsinError as error:
                log.warning("look_waits", extra={"reason": error.detail})
            wait_s = max(_LOOK_S, _LOOK_SHARE * (self._clock.monotonic_s() - began_s))

    async def _backlogs(self, shards: frozenset[int]) -> AsyncIterator[LaneFacts]:
        after = 0
        while page := (await self._journal.lanes(after, _LANES_PAGE, shards) if shards else ()):
            for facts in page:
                yield facts
            after = page[-1].webhook_id

    def _close(self, shards: frozenset[int]) -> Sequence[Lane]:
        lanes = self._holdings.close(shards)
        for lane in lanes:
            self._rest(lane)
        self._call_next(self._clock.now_ms())
        return lanes

    def _rest(self, lane: Lane) -> None:
        """Nothing more is begun for it."""
        self._rotation.remove(lane)
        self._benched.discard(lane)
        self._short.discard(lane)
        self.give_back(lane)
        if lane.share is not None:
            lane.share.leave()

    # --- from ingest ----------------------------------------------------------------------------------------------

    def reserve(self, hook: WebhookView, now: Millis) -> bool:
        """Keeps a place for a delivery that is about to be committed: it may be committed as claimed.

        Ends in exactly one of `hand_over` and `unreserve`. False: commit it as waiting, then call `stored`.
        """
        webhook = hook.webhook
        lane = self._holdings.get(webhook.id)
        if lane is None:
            shard = webhook.shard
            if not self._holdings.holds(shard):
                return False
            lane = self._holdings.lane(webhook.id, webhook.account_id, shard, self._tenure.epoch)
        if not self._held.room(webhook.account_id) or self._settler.waiting >= MAX_WAITING or self.lapsed:
            return False
        if not lane.configured or lane.version < webhook.version:
            self._take_over(lane, hook)
        return lane.reserve(now)

    def unreserve(self, webhook_id: WebhookId) -> None:
        lane = self._holdings.place_of(webhook_id)
        if lane is not None:
            self.schedule(lane, self._clock.now_ms())

    def hand_over(self, claimed: Claimed, now: Millis) -> None:
        """Takes a delivery that is durable, already claimed, into its reserved place."""
        lane = self._holdings.place_of(claimed.webhook_id)
        if lane is None:  # the shard was lost meanwhile
            again = partial(self.stored, claimed.webhook_id, claimed.account_id, now)
            self._settler.release(claimed.id, self._tenure.epoch, again)
            return
        self._settler.held.add(claimed.id)
        if (
            not lane.queue
            and not lane.unwell
            and lane.open
            and not self._rotation
            and self._places.may(lane)
            and not self.lapsed
            and lane.may_start(now)
        ):
            self._attempts.start(lane, claimed, now)  # nobody waits, so it is this one's turn
            return
        self.hold(lane, claimed)
        if not lane.open:
            self.give_back(lane)
        self.schedule(lane, now)
        self.pump()

    def stored(self, webhook_id: WebhookId, account_id: AccountId, due_at: Millis, shard: int | None = None) -> None:
        """A delivery waits in the store, durable: here, or for another process.

        Args:
            shard: of its webhook, where the caller knows it.
        """
        lane = self._holdings.get(webhook_id)
        if lane is None:
            if shard is None:
                shard = self._shard(webhook_id, account_id)
            if shard is None:
                self._spawn(self._find(webhook_id, account_id, due_at))
                return
            if not self._holdings.holds(shard):
                self._bell.waiting(webhook_id, account_id, shard, due_at)
                return
            if self._holdings.leaves(shard):
                return  # whoever takes it finds this in the store
            lane = self._holdings.lane(webhook_id, account_id, shard, self._tenure.epoch)
        lane.stored(due_at)
        self.schedule(lane, self._clock.now_ms())

    def _shard(self, webhook_id: WebhookId, account_id: AccountId) -> int | None:
        view = self._directory.cached(account_id)
        hook = view.webhooks.get(webhook_id) if view is not None else None
        return hook.webhook.shard if hook is not None else None

    async def _find(self, webhook_id: WebhookId, account_id: AccountId, due_at: Millis) -> None:
        """Whose it is, where the account's view is not at hand."""
        try:
            hook = (await self._directory.view(account_id)).webhooks.get(webhook_id)
        except TocsinError:
            return  # it is found when the store is looked through
        if hook is not None:
            self.stored(webhook_id, account_id, due_at, hook.webhook.shard)

    def succeeded(self, webhook_id: WebhookId) -> None:
        """An attempt that did not come from here succeeded: that ends the run of failures as one of ours does."""
        lane = self._holdings.get(webhook_id)  # none: then nothing of it failed, or is under way
        if lane is not None:
            self._attempts.succeeded(lane, self._clock.now_ms())

    # --- from control ---------------------------------------------------------------------------------------------

    def webhook_changed(self, webhook: Webhook) -> None:
        """Its settings or state are others from now on: its lane holds, goes on, or changes its pace."""
        if webhook.deleted:
            self._spawn(self._drop(webhook.id))
        lane = self._holdings.get(webhook.id)
        if lane is not None and lane.shard != webhook.shard:  # its address is another one
            self._rest(lane)
            self._holdings.remove(lane)
            lane = None
        if lane is None:
            if not self._holdings.holds(webhook.shard) or self._holdings.leaves(webhook.shard):
                return
            lane = self._holdings.lane(webhook.id, webhook.account_id, webhook.shard, self._tenure.epoch)
        lane.configure(webhook, self._holdings.since(lane.shard))
        if lane.gathers:
            lane.configured = False  # its address may be another one: it is sealed, and read with the next claim
        self._go_on(lane)

    def account_changed(self, account_id: AccountId) -> None:
        """Another process has changed it, or its webhooks: their lanes are given the settings that hold now."""
        if self._holdings.of_account(account_id):
            self._spawn(self._follow(account_id))

    async def _follow(self, account_id: AccountId) -> None:
        try:
            await self._read_anew(account_id)
        except TocsinError:
            for lane in self._holdings.of_account(account_id):
                lane.configured = False  # they are read with the next claim

    async def catch_up(self, account_id: AccountId, config_version: int) -> None:
        """Knows an account's settings as they were when they had that number, or later.

        Raises:
            TocsinError: they could not be read.
        """
        view = self._directory.cached(account_id)
        if view is not None and view.account.config_version >= config_version:
            return
        if view is not None:
            self._directory.forget(account_id)
        await self._read_anew(account_id)

    async def _read_anew(self, account_id: AccountId) -> None:
        try:
            hooks: Mapping[WebhookId, WebhookView] = (await self._directory.view(account_id)).webhooks
        except NotFound:
            hooks = {}
        for lane in self._holdings.of_account(account_id):
            hook = hooks.get(lane.webhook_id)
            if hook is None:
                lane.held_until = FOREVER  # whoever deleted it drops what waits
            elif hook.webhook.shard != lane.shard:
                self.webhook_changed(hook.webhook)
                continue
            elif hook.webhook.version == lane.version:
                continue
            else:
                self._take_over(lane, hook)
            self._go_on(lane)

    def _go_on(self, lane: Lane) -> None:
        """By the settings that it has now."""
        now = self._clock.now_ms()
        if lane.held_until > now:
            self.give_back(lane)
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
            lane = self._holdings[webhook_id]
            lane.held_until = max(lane.held_until, until)
            self.give_back(lane)
            self.schedule(lane, now)
        return until

    def sent_by_hand(self, rules: Sequence[PaceRule], now: Millis) -> None:
        """A message went out past the lanes, into a chat that keeps these paces."""
        self.paces.note(rules, now)

    def look_soon(self) -> None:
        """Something may not have been told."""
        self._look_wake.set()

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
        except Unavailable as error:  # the rest is dropped with what retention removes
            log.warning("drop_failed", extra={"reason": error.detail})
        lane = self._holdings.get(webhook_id)
        if lane is not None:
            lane.next_due = None
            self.schedule(lane, self._clock.now_ms())

    # --- lanes ----------------------------------------------------------------------------------------------------

    def in_hands(self, deliveries: Sequence[DeliveryId]) -> None:
        """They are claimed, and known of."""
        self._settler.held.update(deliveries)

    def out_of_hands(self, deliveries: Sequence[DeliveryId]) -> None:
        """They are not claimed any more, or nobody will see to them."""
        self._settler.held.difference_update(deliveries)

    def hold(self, lane: Lane, claimed: Claimed) -> None:
        self._settler.held.add(claimed.id)
        lane.queue.append(claimed)
        self._held.take(lane.account_id, len(claimed.data))

    def _unhold(self, lane: Lane) -> Claimed:
        claimed = lane.queue.popleft()
        self._held.give(lane.account_id, len(claimed.data))
        if self._short and (short := self._short.next()) is not None:
            self._claims.want(short)
        return claimed

    def give_back(self, lane: Lane) -> None:
        while lane.queue:
            self.release(lane, self._unhold(lane))

    def release(self, lane: Lane, claimed: Claimed) -> None:
        """Gives a claimed delivery back unsent: it waits in the store again, with the due time it had."""
        if not lane.gone:  # else it waits again already
            self._settler.release(claimed.id, lane.epoch, partial(self._stored_again, lane))

    def _stored_again(self, lane: Lane) -> None:
        self.stored(lane.webhook_id, lane.account_id, self._clock.now_ms(), lane.shard)

    def schedule(self, lane: Lane, now: Millis) -> None:
        """Looks at what the lane can do next: start, claim, or be woken at a time; or be forgotten."""
        if not lane.open:
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
                self._want(lane)
        elif lane.next_start_ms and lane.next_start_ms <= now:
            lane.next_start_ms = 0.0

    def _want(self, lane: Lane) -> None:
        if self._held.room(lane.account_id):
            self._claims.want(lane)
        else:
            self._short.add(lane)

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
                lane = self._holdings.get(self.paces.called.popleft())
                if lane is not None:
                    self.schedule(lane, now)
        finally:
            self._calling = False

    def _prune(self, now: Millis) -> None:
        """Forgets lanes that are empty and well, so that memory follows the webhooks at work."""
        if now < self._prune_at:
            return
        self._prune_at = Millis(now + _PRUNE_MS)
        if len(self._holdings) > _MAX_IDLE_LANES:
            for lane in [lane for lane in self._holdings if lane.idle]:
                self._holdings.remove(lane)
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
            lane = self._holdings.get(webhook_id)
            if lane is not None and lane.timer_at == at:
                lane.timer_at = None
                self.schedule(lane, now)
        self._prune(now)
        self._arm()
        self.pump()

    # --- claims ---------------------------------------------------------------------------------------------------

    @property
    def lapsed(self) -> bool:
        """The lease has run out: nothing is begun until a beat is answered, for others may have taken over."""
        return self._clock.monotonic_s() > self._tenure.until_s

    def room(self, account_id: AccountId) -> int:
        """How many more of the account's may be held in memory."""
        return self._held.room(account_id)

    async def configure(self, lane: Lane) -> None:
        """Reads the settings of a lane that was taken over with its backlog."""
        try:
            hook = (await self._directory.view(lane.account_id)).webhooks.get(lane.webhook_id)
            if hook is None:  # another process may have made it since that was read
                self._directory.forget(lane.account_id)
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
            since = self._holdings.since(lane.shard)
            lane.share = self.paces.share(lane.webhook_id, rules, self._clock.now_ms(), since) if rules else None
        lane.configure(hook.webhook, self._holdings.since(lane.shard))

    # --- starting --------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Starts what may be started, in rotation, while there are places."""
        if not self._rotation or self._pumping or self._settler.waiting >= MAX_WAITING or self.lapsed:
            return
        self._pumping = True
        try:
            self._start_in_turn(self._clock.now_ms())
        finally:
            self._pumping = False

    def _start_in_turn(self, now: Millis) -> None:
        rotation = self._rotation
        while rotation and self._places.free:
            lane = rotation.next()
            if not lane.queue or not lane.may_start(now):
                self.schedule(lane, now)
                continue
            if not self._places.may(lane):
                self._benched.add(lane)
                if lane.share is not None:
                    lane.share.leave()
                    self._call_next(now)
                continue
            self._attempts.start(lane, self._unhold(lane), now)
            self.schedule(lane, now)

    def place_freed(self) -> None:
        """One attempt less is under way: a lane that waited for a place may have it."""
        if self._benched and (lane := self._benched.next()) is not None:
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
