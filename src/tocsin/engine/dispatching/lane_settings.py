"""What lanes go by, and what a change of it does to them: they hold, go on, change their pace, or drop what waits.

    changed here ──▶ webhook_changed ────────────────┐
    changed by another process ──▶ account_changed ──┼──▶ lane
    found out by a claim ──▶ catch_up, configure ────┘

What waits in memory for a lane that holds goes back into the store.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any

from tocsin.clock import Clock
from tocsin.engine.cluster.tenure import Tenure
from tocsin.engine.directory import Directory, WebhookView
from tocsin.engine.dispatching.holdings import Holdings
from tocsin.engine.dispatching.lanes import FOREVER, Lane
from tocsin.engine.dispatching.paces import Paces
from tocsin.engine.dispatching.stock import Stock
from tocsin.engine.dispatching.turns import Turns
from tocsin.errors import NotFound, ProfileMissing, TocsinError, Unavailable
from tocsin.model import AccountId, Webhook, WebhookId
from tocsin.store.port import Journal

log = logging.getLogger(__name__)

_DROPPED_AT_ONCE = 1_000  # in one transaction


class LaneSettings:
    def __init__(
        self,
        *,
        turns: Turns,
        holdings: Holdings,
        paces: Paces,
        stock: Stock,
        journal: Journal,
        directory: Directory,
        tenure: Tenure,
        clock: Clock,
    ) -> None:
        self._turns = turns
        self._holdings = holdings
        self._paces = paces
        self._stock = stock
        self._journal = journal
        self._directory = directory
        self._tenure = tenure
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    # --- changes --------------------------------------------------------------------------------------------------

    def webhook_changed(self, webhook: Webhook) -> None:
        """Its settings or state are others from now on: its lane holds, goes on, or changes its pace."""
        if webhook.deleted:
            self._spawn(self._drop(webhook.id))
        lane = self._holdings.get(webhook.id)
        if lane is not None and lane.shard != webhook.shard:  # its address is another one
            self._turns.rest(lane)
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
                self.take_over(lane, hook)
            self._go_on(lane)

    def _go_on(self, lane: Lane) -> None:
        """By the settings that it has now."""
        now = self._clock.now_ms()
        if lane.held_until > now:
            self._stock.give_back(lane)
        lane.stored(now)  # a backlog may have waited for this: the claim will tell
        self._turns.schedule(lane, now)
        self._turns.pump()

    # --- one lane's -----------------------------------------------------------------------------------------------

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
            self.take_over(lane, hook)
        else:  # it was deleted, and the process died before its deliveries were cancelled
            lane.held_until = FOREVER
            lane.configured = True
            self._spawn(self._drop(lane.webhook_id))

    def take_over(self, lane: Lane, hook: WebhookView) -> None:
        """Gives a lane the settings of its webhook, and its part in what its address shares with others."""
        chat = hook.target.chat
        rules = chat.address.paces if chat is not None else ()
        if (lane.share.rules if lane.share is not None else ()) != rules:
            if lane.share is not None:
                lane.share.close()
            since = self._holdings.since(lane.shard)
            lane.share = self._paces.share(lane.webhook_id, rules, self._clock.now_ms(), since) if rules else None
        lane.configure(hook.webhook, self._holdings.since(lane.shard))

    # --- what waits for a webhook ---------------------------------------------------------------------------------

    async def drop_held(self, webhook_id: WebhookId) -> int:
        """Cancels what waits for a webhook; how many deliveries that were."""
        dropped = 0
        while some := await self._journal.drop_waiting(webhook_id, self._clock.now_ms(), _DROPPED_AT_ONCE):
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
            self._turns.schedule(lane, self._clock.now_ms())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
