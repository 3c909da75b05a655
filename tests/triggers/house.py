"""All of a server but its HTTP, on a clock that stands still: activities in, what became of them out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch
from zoneinfo import ZoneInfo

import msgspec

from tests.store.world import World
from tocsin.app import App, open_app
from tocsin.clock import Millis
from tocsin.config import Settings
from tocsin.control.actor import SYSTEM
from tocsin.control.webhook_bodies import NewWebhook
from tocsin.engine.activity.activities import NewItem, Taken
from tocsin.engine.activity.parts import Firing
from tocsin.model import Account, AccountId, Event, Webhook
from tocsin.profiles import Profile
from tocsin.store.port import EventFilter, NewActivity, Page, TriggerAsk
from tocsin.triggers import firing
from tocsin.triggers.activity import Activity, Kind
from tocsin.triggers.firing import Fired
from tocsin.triggers.occurrences import NAMES, Occurrence


class House:
    app: App
    account: Account

    def __init__(self, folder: Path, *, bare: bool = False, **settings: Any) -> None:
        """`bare`: activities are taken as they are, for rules of a test's own."""
        self._bare = bare
        self._firing: Callable[[Profile], Firing] = firing.load
        self.world = World("sqlite", folder)  # for its ways to fill a store
        self.clock = self.world.clock
        self.settings = Settings(db=f"sqlite:///{folder / 'tocsin.db'}", allow_networks="127.0.0.0/8", **settings)

    async def __aenter__(self) -> Self:
        await self.open()
        self.account = await self.world.account()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.app.close()

    async def open(self) -> None:
        with patch.object(firing, "load", self._firing):  # from the first moment on: what is due is done at once
            self.app = await open_app(self.settings, self.clock)
        await self.app.openings.settled()
        self.world.store = self.app.store
        self.world.ids = self.app.services.id_source
        if self._bare:
            self.app.activities._complete = as_it_is

    async def reopen(self) -> None:
        await self.app.close()
        await self.open()

    @property
    def now(self) -> Millis:
        return self.clock.now_ms()

    def fire(self, types: Mapping[str, str]) -> None:
        """From now on occurrences make events of these types, with their facts as data; the others none."""
        plain = Plain(types)
        self._firing = lambda _profile: plain
        self.app.activities.commits._firing = self._firing

    async def webhook(self, filter: str | None = None, account_id: AccountId | None = None) -> Webhook:
        """One that takes every event (that passes the filter), at an address where nobody answers."""
        new = NewWebhook(url="https://127.0.0.1:8443/", events=("*",), filter=filter)
        webhook, _ = await self.app.control.webhooks.create(SYSTEM, account_id or self.account.id, new)
        return webhook

    async def post(self, *items: NewItem, account_id: AccountId | None = None) -> list[Any]:
        return list(await self.app.activities.take(account_id or self.account.id, items))

    async def taken(self, *items: NewItem, account_id: AccountId | None = None) -> list[Taken]:
        """All of them accepted."""
        results = await self.post(*items, account_id=account_id)
        refused = [result for result in results if not isinstance(result, Taken)]
        assert not refused, refused
        return results

    # --- what is kept -----------------------------------------------------------------------------------------------

    async def events(self, account_id: AccountId | None = None) -> list[Event]:
        """All, in the order in which they were made."""
        found: list[Event] = []
        before: int | None = None
        while True:
            page = Page(limit=250, before=before)
            rows, before = await self.app.store.records.events(account_id or self.account.id, EventFilter(), page)
            found += rows
            if before is None:
                return found[::-1]

    async def fired(self, account_id: AccountId | None = None) -> list[tuple[str, Millis, Any]]:
        """All events by type, time and data."""
        records = self.app.store.records
        account_id = account_id or self.account.id
        found = []
        for listed in await self.events(account_id):
            event = await records.event(account_id, listed.id)
            assert event is not None
            found.append((event.type, event.timestamp, msgspec.json.decode(event.data or b"null")))
        return found

    async def log(self, account_id: AccountId | None = None) -> list[NewActivity]:
        return list(
            await self.app.store.triggers.activities(
                account_id or self.account.id, since=Millis(0), until=Millis(1 << 50), after=0, limit=1_000_000
            )
        )

    async def remembered(self, account_id: AccountId | None = None) -> dict[str, bytes]:
        """The whole state, byte for byte."""
        account_id = account_id or self.account.id
        return dict(await self.app.store.triggers.scan(account_id, "", "", 1_000_000))

    async def value(self, key: str, shape: type[Any], account_id: AccountId | None = None) -> Any:
        return (await self.app.activities.look(account_id or self.account.id, key)).get(key, shape)

    async def timers(self, *names: str, account_id: AccountId | None = None) -> dict[str, Millis]:
        ask = TriggerAsk(account_id=account_id or self.account.id, keys=frozenset(), timers=frozenset(names))
        (read,) = await self.app.store.triggers.read([ask], self.now)
        assert read is not None
        return dict(read.timers)


def as_it_is(kind: Kind, raw: dict[str, Any], **more: Any) -> Activity:
    return Activity(kind=kind, data=raw, **more)


class Plain:
    """Events of the given types, by occurrence; their data are its facts as they are."""

    def __init__(self, types: Mapping[str, str]) -> None:
        self._types = types
        self.wanted = NAMES

    def events(self, occurrence: Occurrence, *, timezone: ZoneInfo, unfired: Any = None) -> Sequence[Fired]:
        if occurrence.name not in self._types:
            return ()
        data = msgspec.json.encode(dict(occurrence.facts))
        return (Fired(type=self._types[occurrence.name], timestamp=occurrence.at, data=data),)


def item(kind: Kind = Kind.CLICK, external_id: str | None = None, at: int | None = None, **raw: Any) -> NewItem:
    source = msgspec.json.encode(raw)
    return NewItem(kind=kind, raw=raw, source=source, external_id=external_id, at=None if at is None else Millis(at))
