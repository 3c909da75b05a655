"""Takes what is to be sent: shards and what waits for them, and each delivery as soon as it is durable.

    committed event ──hand_over──▶ lane.queue ──turns──▶ attempts ──▶ settler ──▶ store
                └────stored────▶ lane.next_due ──claims──▶ lane.queue

Only as much as can be sent soon is in memory (`stock`); the backlog stays in the store.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from tocsin.clock import Clock, Millis
from tocsin.engine.cluster.bell import Bell
from tocsin.engine.cluster.tenure import Tenure
from tocsin.engine.directory import Directory, WebhookView
from tocsin.engine.dispatching.attempts import Attempts
from tocsin.engine.dispatching.backlogs import Backlogs
from tocsin.engine.dispatching.claims import Claims
from tocsin.engine.dispatching.holdings import Holdings
from tocsin.engine.dispatching.lane_settings import LaneSettings
from tocsin.engine.dispatching.lanes import Lane
from tocsin.engine.dispatching.paces import Paces
from tocsin.engine.dispatching.shares import Places
from tocsin.engine.dispatching.stock import Stock
from tocsin.engine.dispatching.turns import Turns
from tocsin.engine.gathering.gatherer import Gatherer
from tocsin.engine.health import Caretaker
from tocsin.engine.sending.doors import Door
from tocsin.engine.settler import MAX_WAITING, Settler
from tocsin.errors import TocsinError
from tocsin.ids import IdSource
from tocsin.model import AccountId, WebhookId
from tocsin.store.port import Claimed, Journal
from tocsin.telemetry import Metrics

_LEAVE_LOOK_S = 0.02  # as long as many an attempt takes


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
        self._directory = directory
        self._settler = settler
        self._caretaker = caretaker
        self._tenure = tenure
        self._bell = bell
        self._clock = clock
        rng = rng or random.Random()  # noqa: S311 - spreads retries; guards nothing
        paces = Paces()
        self._holdings = holdings = Holdings()
        self._places = Places()
        self.turns = Turns(
            holdings=holdings, places=self._places, paces=paces, settler=settler, tenure=tenure, clock=clock, rng=rng
        )
        self._stock = Stock(keeper=self.turns, stored=self.stored, settler=settler, clock=clock)
        self.backlogs = Backlogs(stored=self.stored, holdings=holdings, journal=journal, tenure=tenure, clock=clock)
        self.lane_settings = LaneSettings(
            turns=self.turns,
            holdings=holdings,
            paces=paces,
            stock=self._stock,
            journal=journal,
            directory=directory,
            tenure=tenure,
            clock=clock,
        )
        self._claims = Claims(
            keeper=self.turns,
            settings=self.lane_settings,
            stock=self._stock,
            settler=settler,
            journal=journal,
            gatherer=gatherer,
            tenure=tenure,
            clock=clock,
            metrics=metrics,
        )
        self._attempts = Attempts(
            keeper=self.turns,
            stored=self.stored,
            stock=self._stock,
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
            rng=rng,
        )
        self.turns.attach(stock=self._stock, claims=self._claims, attempts=self._attempts)
        self._tasks: set[asyncio.Task[None]] = set()

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins to work, for nothing yet: see `take`."""
        self._claims.start()
        self.backlogs.start()
        self.turns.start()

    async def stop(self, drain_s: float) -> None:
        """Claims no more, gives back what was not sent, and waits for what is under way, `drain_s` at most.

        Attempts that are cut off then have an unknown outcome: they are given back too, and cost no retry.
        """
        self.turns.stop()
        await self.backlogs.stop()
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
        return self._stock.number

    @property
    def shards(self) -> frozenset[int]:
        """Those that it sends for."""
        return self._holdings.shards

    @property
    def loads(self) -> Mapping[int, int]:
        """How much there is to do for each shard that has any."""
        return self._holdings.loads()

    # --- shards ---------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Wakes the lanes whose time has come; for a test that moves its clock."""
        self.turns.tick()

    async def take(self, shards: frozenset[int]) -> None:
        """Takes over the lanes of these shards, as the store knows them. Called again, it goes on.

        Raises:
            Unavailable: not all could be read: nothing is sent for these shards yet.
        """
        self._holdings.begin(shards, self._clock.now_ms())
        await self.backlogs.read(shards)
        self.turns.set_out(self._holdings.ready(shards))

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
        self.turns.forget()
        for lane in self._holdings.forget():
            self._stock.give_back(lane)
        self._settler.held.clear()
        self._claims.forget()

    def _close(self, shards: frozenset[int]) -> Sequence[Lane]:
        lanes = self._holdings.close(shards)
        self.turns.close(lanes)
        return lanes

    # --- deliveries ----------------------------------------------------------------------------------------------

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
        if not self._stock.room(webhook.account_id) or self._settler.waiting >= MAX_WAITING or self.turns.lapsed:
            return False
        if not lane.configured or lane.version < webhook.version:
            self.lane_settings.take_over(lane, hook)
        return lane.reserve(now)

    def unreserve(self, webhook_id: WebhookId) -> None:
        lane = self._holdings.place_of(webhook_id)
        if lane is not None:
            self.turns.schedule(lane, self._clock.now_ms())

    def hand_over(self, claimed: Claimed, now: Millis) -> None:
        """Takes a delivery that is durable, already claimed, into its reserved place."""
        lane = self._holdings.place_of(claimed.webhook_id)
        if lane is None:  # the shard was lost meanwhile
            again = partial(self.stored, claimed.webhook_id, claimed.account_id, now)
            self._settler.release(claimed.id, self._tenure.epoch, again)
            return
        self._settler.held.add(claimed.id)
        self.turns.join(lane, claimed, now)

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
        self.turns.schedule(lane, self._clock.now_ms())

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

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
