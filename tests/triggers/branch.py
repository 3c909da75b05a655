"""One of several processes on one database, as far as activity goes: its own store, caches, ids and committer."""

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from tests.store.world import World
from tests.support.postgres import database
from tests.triggers.house import Plain, as_it_is
from tocsin.app import App
from tocsin.clock import Clock
from tocsin.config import Settings
from tocsin.databases import open_store
from tocsin.engine.activity.activities import NewItem, Taken
from tocsin.model import AccountId
from tocsin.security.vault import Vault
from tocsin.telemetry import Metrics

_KEY = bytes(32)


class Branch:
    """A process whose activities and timers run, and nothing else of it."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.turns = 0  # how often it held accounts
        self.refused = 0  # how many of its accounts' batches were decided in vain

    async def taken(self, account_id: AccountId, *items: NewItem) -> list[Taken]:
        """All of them accepted."""
        results = list(await self.app.activities.take(account_id, items))
        refused = [result for result in results if not isinstance(result, Taken)]
        assert not refused, refused
        return [result for result in results if isinstance(result, Taken)]

    def fire(self, types: Mapping[str, str]) -> None:
        plain = Plain(types)
        self.app.activities.commits._firing = lambda _profile: plain

    async def value(self, account_id: AccountId, key: str, shape: type[Any]) -> Any:
        return (await self.app.activities.look(account_id, key)).get(key, shape)


@asynccontextmanager
async def branches(world: World, n: int, clock: Clock) -> AsyncIterator[list[Branch]]:
    """`n` of them on the database of an open PostgreSQL world."""
    settings = Settings(db=await database(world.directory), secret_key=base64.b64encode(_KEY).decode())
    async with AsyncExitStack() as stack:
        made = []
        for number in range(1, n + 1):
            store = await open_store(settings, clock)
            stack.push_async_callback(store.close)
            app = App(settings, store, Vault(_KEY), clock, Metrics())
            app.services.id_source._node = number
            app.activities._complete = as_it_is
            app.tenure.epoch = world.epoch
            app.activities.start()
            stack.push_async_callback(app.activities.stop)
            made.append(Branch(app))
        yield made
