"""Several processes' worth of the product on one PostgreSQL database, on a clock that the test moves.

Each has everything that a process has; they only share an event loop. They beat when the test says so.
"""

import asyncio
import base64
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.postgres import database, drop
from tests.support.replies import Answer, Wire
from tocsin.app import App, open_app
from tocsin.clock import ManualClock
from tocsin.config import Settings
from tocsin.control.accounts import NewAccount
from tocsin.control.actor import Actor
from tocsin.control.webhook_bodies import NewWebhook
from tocsin.engine.cluster.membership import LEASE_S
from tocsin.engine.ingest import Receipt
from tocsin.model import Account, AccountId, Delivery, DeliveryState, Webhook
from tocsin.store.port import DeliveryFilter, Page

SYSTEM = Actor()


class Gate:
    """A receiver that answers once it is let."""

    def __init__(self, status: int = 200) -> None:
        self._status = status
        self._open = threading.Event()

    def open(self) -> None:
        self._open.set()

    async def play(self, wire: Wire) -> int | None:
        while not self._open.is_set():
            if not await wire.rest(0.005):
                return None
        return await Answer(self._status).play(wire)


WITHIN_S = 20.0
CLICK = "click.created"


class House:
    account: Account

    def __init__(self, db: str, clock: ManualClock) -> None:
        self.clock = clock
        self.apps: list[App] = []
        self.silent: set[int] = set()  # by place in `apps`: they do not beat
        self._db = db

    # --- processes ------------------------------------------------------------------------------------------------

    async def open(self, role: str = "all") -> App:
        """One more process, which has joined."""
        settings = Settings(
            db=self._db,
            role=role,  # type: ignore[arg-type]
            secret_key=base64.b64encode(bytes(32)).decode(),
            allow_http=True,
            allow_networks="127.0.0.0/8",
            drain_s=5,
        )
        app = await open_app(settings, self.clock)
        task = app.membership._task
        assert task is not None
        task.cancel()  # from here on it beats when the test says so
        await asyncio.gather(task, return_exceptions=True)
        self.apps.append(app)
        return app

    async def close(self, app: App) -> None:
        self.silent.add(self.apps.index(app))
        await app.close()

    def freeze(self, app: App) -> None:
        """It beats no more."""
        self.silent.add(self.apps.index(app))

    def thaw(self, app: App) -> None:
        self.silent.remove(self.apps.index(app))

    @property
    def alive(self) -> list[App]:
        return [app for place, app in enumerate(self.apps) if place not in self.silent]

    async def beat(self, times: int = 1) -> None:
        for _ in range(times):
            for app in self.alive:
                await app.membership.beat()
                await app.membership.settled()

    async def shared_out(self) -> None:
        """All that beat have their fair share."""
        await self.beat(3)

    async def advance(self, seconds: float) -> None:
        """Time passes, a second at a time, and all that are not frozen beat."""
        while seconds > 0:
            self.clock.advance(min(1.0, seconds))
            seconds -= 1.0
            for app in self.alive:
                app.dispatcher.tick()
            await self.beat()

    async def outlive(self) -> None:
        """So long that who is frozen is taken for dead."""
        await self.advance(LEASE_S + 1)

    # --- what people do -------------------------------------------------------------------------------------------

    async def hook(self, url: str, owner: App, by: App | None = None, **more: Any) -> Webhook:
        """A webhook whose shard is `owner`'s, made in the process `by`."""
        by = by or self.apps[0]
        while True:
            new = NewWebhook(url=url, **{"events": (CLICK,), **more})
            webhook, _ = await by.control.webhooks.create(SYSTEM, self.account.id, new)
            if webhook.shard in owner.tenure.shards:
                await by.directory.view(self.account.id)
                return webhook
            await by.control.webhooks.remove(SYSTEM, self.account.id, webhook.id)

    async def publish(self, by: App, **data: object) -> Receipt:
        example = (await by.directory.view(self.account.id)).entry(CLICK).event_type.example
        return await by.ingest.publish(self.account.id, CLICK, json.dumps({**example, **data}).encode())

    # --- what is seen ---------------------------------------------------------------------------------------------

    async def deliveries(self, account_id: AccountId | None = None) -> list[Delivery]:
        records = self.apps[0].store.records
        found, _ = await records.deliveries(account_id or self.account.id, DeliveryFilter(), Page(limit=249))
        return list(found)

    async def states(self) -> dict[DeliveryState, int]:
        found: dict[DeliveryState, int] = {}
        for one in await self.deliveries():
            found[one.state] = found.get(one.state, 0) + 1
        return found

    async def until(self, look: Callable[[], bool | Awaitable[bool]]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while True:
                seen = look()
                if seen if isinstance(seen, bool) else await seen:
                    return
                await asyncio.sleep(0.005)

    async def succeeded(self, number: int) -> None:
        """So many deliveries have, and no other is there."""

        async def look() -> bool:
            return await self.states() == {DeliveryState.SUCCEEDED: number}

        await self.until(look)


@asynccontextmanager
async def house(folder: Path, *roles: str) -> AsyncIterator[House]:
    """With an account, and processes of these roles, which have shared out what there is."""
    one = House(await database(folder), ManualClock())
    try:
        for role in roles:
            await one.open(role)
        one.account, _ = await one.apps[0].control.accounts.create(SYSTEM, NewAccount(name="House"))
        await one.shared_out()
        yield one
    finally:
        for app in one.alive:
            await app.close()
        for place in one.silent:
            await one.apps[place].store.close()
        await drop(folder)
