"""A store under test and short ways to fill it. Nothing here knows which store it is."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

from tests.support.postgres import database, drop
from tocsin.clock import ManualClock, Millis
from tocsin.ids import IdSource
from tocsin.model import (
    ALL_SCOPES,
    Account,
    ApiKey,
    Attempt,
    DeliveryState,
    EventType,
    Outcome,
    OutcomeKind,
    Trigger,
    Webhook,
    WebhookSettings,
    WebhookState,
)
from tocsin.store.port import Accepted, Change, Claimed, Ingested, NewDelivery, NewEvent, Page, Settlement, Store
from tocsin.store.postgres import open_postgres
from tocsin.store.sqlite import open_sqlite
from tocsin.store.sqlite.recent import Recent

Opener = Callable[[Path, ManualClock], Awaitable[Store]]


async def sqlite(directory: Path, clock: ManualClock) -> Store:
    return await open_sqlite(directory / "tocsin.db", clock=clock)


async def sqlite_eager(directory: Path, clock: ManualClock) -> Store:
    """One that does at once what others put off: each transaction is merged, and the log moved, right after it."""
    recent = Recent(full=1, full_keys=1, quiet=1)
    return await open_sqlite(directory / "tocsin.db", clock=clock, recent=recent, log_pages=20)


async def postgres(directory: Path, clock: ManualClock) -> Store:
    return await open_postgres(await database(directory), clock=clock)


# The contract suite runs against each of these.
STORES: dict[str, Opener] = {"postgres": postgres, "sqlite": sqlite, "sqlite_eager": sqlite_eager}


async def forget(name: str, directory: Path) -> None:
    """After a test: what lies outside of its directory goes."""
    if name == "postgres":
        await drop(directory)


async def joined(store: Store, now: Millis) -> int:
    """The epoch of a node that has just come, and buried all that were there."""
    node = await store.cluster.join(name="test", sends=True, now=now, bury_before=Millis(now + 1))
    await store.cluster.beat(node.epoch, now=now, bury_before=now, last_id=0)  # takes the shards
    return node.epoch


ALL = Page(limit=1000)


class World:
    """One store, its clock, and the epoch of its owner."""

    store: Store

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.clock = ManualClock()
        self.ids = IdSource(self.clock)
        self.epoch = 0

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.store.close()

    async def open(self) -> None:
        self.store = await STORES[self.name](self.directory, self.clock)
        self.epoch = await joined(self.store, self.now)

    async def reopen(self) -> None:
        await self.store.close()
        await self.open()

    @property
    def now(self) -> Millis:
        return self.clock.now_ms()

    def change(self, action: str = "test.changed", subject: str = "wh_1", **detail: object) -> Change:
        return Change(at=self.now, actor="operator", action=action, subject=subject, detail=detail)

    # --- what people change ---------------------------------------------------------------------------------------

    def new_account(self, **values: Any) -> Account:
        defaults: dict[str, Any] = {
            "id": self.ids.next(),
            "name": "Brand",
            "profile": "standard",
            "timezone": "UTC",
            "external_id": None,
            "notify_email": None,
            "settings": {},
            "config_version": 1,
            "created_at": self.now,
            "updated_at": self.now,
        }
        return Account(**defaults | values)

    def new_key(self, account: Account | None, **values: Any) -> ApiKey:
        id_ = self.ids.next()
        defaults: dict[str, Any] = {
            "id": id_,
            "account_id": account and account.id,
            "name": "first",
            "hint": "tsn_abc",
            "digest": id_.to_bytes(32, "big"),
            "scopes": ALL_SCOPES,
            "created_at": self.now,
            "last_used_at": None,
            "revoked_at": None,
        }
        return ApiKey(**defaults | values)

    async def account(self, **values: Any) -> Account:
        account = self.new_account(**values)
        await self.store.accounts.add(account, self.new_key(account), self.change("account.created"))
        return account

    def new_webhook(self, account: Account, **values: Any) -> Webhook:
        settings = WebhookSettings(url_shown="https://example.com/in", events=("*",), **values.pop("settings", {}))
        defaults: dict[str, Any] = {
            "id": self.ids.next(),
            "account_id": account.id,
            "version": 0,
            "from_config": 0,
            "state": WebhookState.ACTIVE,
            "status_reason": None,
            "status_since": self.now,
            "muted_until": None,
            "settings": settings,
            "sealed": b"sealed",
            "created_at": self.now,
            "updated_at": self.now,
        }
        return Webhook(**defaults | values)

    async def webhook(self, account: Account, **values: Any) -> Webhook:
        webhook = self.new_webhook(account, **values)
        return await self.store.webhooks.add(webhook, None, self.change("webhook.created"))

    def event_type(self, name: str = "custom.happened", **values: Any) -> EventType:
        defaults: dict[str, Any] = {
            "name": name,
            "description": "Something happened",
            "schema": {"type": "object"},
            "example": {"n": 1},
            "source": "account",
            "extension": True,
        }
        return EventType(**defaults | values)

    # --- the journal ----------------------------------------------------------------------------------------------

    async def new_event(self, account: Account, *webhooks: Webhook, claimed: bool = False, **values: Any) -> NewEvent:
        """An event as the engine would prepare it now, for these webhooks."""
        stored = await self.store.accounts.get(account.id)
        id_ = self.ids.next()
        defaults: dict[str, Any] = {
            "id": id_,
            "account_id": account.id,
            "type": "click.created",
            "timestamp": self.now,
            "accepted_at": self.now,
            "data": b'{"n":1}',
            "external_id": None,
            "digest": b"content",
            "source": "api",
            "config_version": stored.config_version if stored else 1,
            "matched": len(webhooks),
            "visitor_id": None,
            "deliveries": tuple(
                NewDelivery(id=self.ids.next(), webhook_id=webhook.id, claimed=claimed) for webhook in webhooks
            ),
        }
        return NewEvent(**defaults | values)

    async def ingest(self, *events: NewEvent) -> list[Ingested]:
        return list(await self.store.journal.ingest(events, self.epoch))

    async def accept(self, account: Account, *webhooks: Webhook, claimed: bool = False, **values: Any) -> NewEvent:
        event = await self.new_event(account, *webhooks, claimed=claimed, **values)
        assert await self.ingest(event) == [Accepted()]
        return event

    async def claim(self, webhook: Webhook, n: int = 1_000) -> list[Claimed]:
        answer = await self.store.journal.claim([(webhook.id, n)], self.now, self.epoch)
        return list(answer.claimed)

    def attempt(self, delivery_id: int, n: int = 1, **values: Any) -> Attempt:
        defaults: dict[str, Any] = {
            "id": self.ids.next(),
            "delivery_id": delivery_id,
            "n": n,
            "trigger": Trigger.SCHEDULE,
            "started_at": self.now,
            "outcome": Outcome(kind=OutcomeKind.SUCCEEDED, status_code=200, body=b"ok", duration_us=900),
            "method": "POST",
            "url_shown": "https://example.com/in",
            "request_headers": (("webhook-id", "evt_1"),),
            "request_body": None,
            "webhook_version": 1,
        }
        return Attempt(**defaults | values)

    def settlement(
        self, delivery_id: int, state: DeliveryState = DeliveryState.SUCCEEDED, n: int = 1, **values: Any
    ) -> Settlement:
        retrying = state is DeliveryState.RETRYING
        ok = state is DeliveryState.SUCCEEDED
        outcome = Outcome(kind=OutcomeKind.SUCCEEDED if ok else OutcomeKind.HTTP_ERROR, status_code=200 if ok else 500)
        defaults: dict[str, Any] = {
            "delivery_id": delivery_id,
            "attempt": self.attempt(delivery_id, n, outcome=outcome),
            "state": state,
            "due_at": Millis(self.now + 60_000) if retrying else None,
            "tries": n,
            "settled_at": self.now,
        }
        return Settlement(**defaults | values)

    async def settle(self, *settlements: Settlement) -> None:
        await self.store.journal.settle(settlements, self.epoch)

    async def state(self, account: Account, delivery_id: int) -> DeliveryState | None:
        delivery = await self.store.records.delivery(account.id, delivery_id)
        return delivery and delivery.state
