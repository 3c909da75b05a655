"""One account with one webhook through the real engine, store and sender, on a clock that the test moves."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tocsin.app import App, open_app
from tocsin.clock import ManualClock
from tocsin.config import Settings
from tocsin.control.accounts import NewAccount
from tocsin.control.actor import Actor
from tocsin.control.webhook_bodies import NewWebhook
from tocsin.engine.ingest import Receipt
from tocsin.model import Attempt, Delivery, DeliveryState, Webhook
from tocsin.store.port import DeliveryFilter, Page

SYSTEM = Actor()
WITHIN_S = 10.0


class Walk:
    def __init__(self, app: App, clock: ManualClock, account_id: int, webhook: Webhook, secret: str | None) -> None:
        self.app = app
        self.clock = clock
        self.account_id = account_id
        self.webhook_id = webhook.id
        self.secret = secret
        self.type = webhook.settings.events[0]

    # --- what is done ---------------------------------------------------------------------------------------------

    async def publish(self, **data: object) -> Receipt:
        example = (await self.app.directory.view(self.account_id)).entry(self.type).event_type.example
        return await self.app.ingest.publish(self.account_id, self.type, json.dumps({**example, **data}).encode())

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.app.dispatcher.tick()

    def advance_to(self, at_ms: int) -> None:
        self.advance((at_ms - self.clock.now_ms()) / 1000)

    async def restart(self, *, away_s: float = 0) -> None:
        """Ends the process, as far as it can be told apart, and starts another one on the same database."""
        await self.app.close()
        self.clock.advance(away_s)
        self.app = await open_app(self.app.settings, self.clock)

    async def enable(self, held: Any = "resume") -> None:
        await self.app.control.webhooks.enable(SYSTEM, self.account_id, self.webhook_id, held=held)

    # --- what is seen ---------------------------------------------------------------------------------------------

    async def webhook(self) -> Webhook:
        return await self.app.store.webhooks.get(self.account_id, self.webhook_id)

    async def state(self) -> str:
        return (await self.webhook()).state.value

    async def deliveries(self) -> list[Delivery]:
        found, _ = await self.app.store.records.deliveries(self.account_id, DeliveryFilter(), Page(limit=200))
        return list(found)

    async def delivery(self, receipt: Receipt) -> Delivery:
        where = DeliveryFilter(event_id=receipt.id)
        [[delivery], _] = await self.app.store.records.deliveries(self.account_id, where, Page(limit=2))
        return delivery

    async def attempts(self, delivery: Delivery) -> list[Attempt]:
        return list(await self.app.store.records.attempts(self.account_id, delivery.id))

    async def audit(self, action: str) -> int:
        """How often that was done, by the log."""
        return sum(one.action == action for one in await self.app.store.records.audit(self.account_id, Page(limit=200)))

    async def notices(self) -> int:
        return len(await self.app.store.notices.due(self.clock.now_ms() + 10**12, 100))

    # --- waiting --------------------------------------------------------------------------------------------------

    async def until(self, look: Any) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not await look():
                await asyncio.sleep(0.003)

    async def settled(self, attempts: int, receipt: Receipt | None = None) -> Delivery:
        """The delivery of that event (or the only one), once it has had that many attempts and each is written down."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                delivery = (await self.deliveries())[0] if receipt is None else await self.delivery(receipt)
                if delivery.attempts == attempts and delivery.state is not DeliveryState.SENDING:
                    return delivery
                await asyncio.sleep(0.003)

    async def cared_for(self) -> None:
        """Nothing is under way, and whatever follows for the webhook's state has followed."""
        while self.app.dispatcher.in_flight or self.app.settler.waiting:
            await asyncio.sleep(0.003)
        await self.app.caretaker.stop()

    async def exhaust(self, receipt: Receipt, first: int = 1) -> Delivery:
        """Moves the clock from retry to retry of a delivery that has had `first` attempts, to its end."""
        delivery = await self.settled(first, receipt)
        while delivery.state is DeliveryState.RETRYING:
            self.advance_to(delivery.due_at)
            delivery = await self.settled(delivery.attempts + 1, receipt)
        await self.cared_for()
        return delivery


@asynccontextmanager
async def walk(
    folder: Path, url: str, profile: str = "standard", *, settings: dict[str, Any] | None = None, **hook: Any
) -> AsyncIterator[Walk]:
    """A fresh product with one account of that profile and one webhook for the first type of its catalogue."""
    clock = ManualClock()
    told = {"db": f"sqlite:///{folder}/t.db", "allow_http": True, "allow_networks": "127.0.0.0/8", "drain_s": 1}
    app = await open_app(Settings(**told | (settings or {})), clock)
    account, _ = await app.control.accounts.create(
        SYSTEM, NewAccount(name="Walk", profile=profile, notify_email="ops@example.com")
    )
    view = await app.directory.view(account.id)
    new = NewWebhook(url=url, **{"events": (next(iter(view.profile.catalogue)),), **hook})
    webhook, secret = await app.control.webhooks.create(SYSTEM, account.id, new)
    await app.directory.view(account.id)
    one = Walk(app, clock, account.id, webhook, secret)
    try:
        yield one
    finally:
        await one.app.close()
