"""What decides an account's routing: its webhooks, in versions, and its own event types."""

from collections.abc import Sequence

import msgspec

from tocsin.errors import Conflict
from tocsin.model import AccountId, EventType, Notice, Webhook, WebhookId
from tocsin.store.columns import BEYOND, account_of, below, edited, event_type_of, to_json, webhook_of
from tocsin.store.port import Accepted, Change, NewEvent, Page, Snapshot, WebhookEdit
from tocsin.store.postgres.accounts import lock, raise_config, record
from tocsin.store.postgres.database import Database, Pool, in_range
from tocsin.store.postgres.ingest import write_events
from tocsin.store.postgres.notices import put_notice
from tocsin.store.postgres.statements import statements
from tocsin.store.postgres.writer import Writer, WritingDatabase

_ACCOUNT = statements("account")
_EVENT_TYPE = statements("event_type")
_WEBHOOK = statements("webhook")


async def _insert_version(db: Database, webhook: Webhook) -> None:
    await db.change(
        _WEBHOOK["insert_version"],
        webhook.account_id,
        webhook.id,
        webhook.version,
        webhook.from_config,
        webhook.state.value,
        webhook.status_reason,
        webhook.status_since,
        webhook.muted_until,
        to_json(webhook.settings),
        webhook.deleted,
        webhook.updated_at,
    )


async def _get(db: Database, account_id: int, webhook_id: int) -> Webhook | None:
    if not in_range(webhook_id) or not in_range(account_id):
        return None
    row = await db.row(_WEBHOOK["get"], account_id, webhook_id)
    return None if row is None else webhook_of(row)


class PostgresWebhooks:
    def __init__(self, writer: Writer, pool: Pool) -> None:
        self._writer = writer
        self._pool = pool

    async def add(self, webhook: Webhook, limit: int | None, change: Change, notice: Notice | None = None) -> Webhook:
        async def write(db: WritingDatabase) -> Webhook:
            from_config = await raise_config(db, webhook.account_id, change.at)
            if limit is not None and await db.value(_WEBHOOK["count"], webhook.account_id) >= limit:
                raise Conflict(f"the account already has {limit} webhooks; delete one first", code="webhook_limit")
            stored = msgspec.structs.replace(webhook, version=1, from_config=from_config, updated_at=change.at)
            await db.change(
                _WEBHOOK["insert"],
                stored.account_id,
                stored.id,
                stored.settings.channel,
                stored.shard,
                stored.sealed,
                stored.created_at,
            )
            await _insert_version(db, stored)
            if notice is not None:
                await put_notice(db, notice)
            await record(db, stored.account_id, change)
            return stored

        return await self._writer.together(write, fenced=True)

    async def get(self, account_id: AccountId, webhook_id: WebhookId) -> Webhook | None:
        return await self._pool.read(lambda db: _get(db, account_id, webhook_id))

    async def list(self, account_id: AccountId, page: Page) -> Sequence[Webhook]:
        rows = await self._pool.read(lambda db: db.rows(_WEBHOOK["list"], account_id, below(page), page.limit + 1))
        return [webhook_of(row) for row in rows]

    async def change(
        self,
        account_id: AccountId,
        webhook_id: WebhookId,
        edit: WebhookEdit,
        change: Change,
        notice: Notice | None = None,
        announcement: NewEvent | None = None,
    ) -> Webhook | None:
        async def write(db: WritingDatabase) -> Webhook | None:
            before = await _get(db, account_id, webhook_id) if await lock(db, account_id) else None
            if before is None:
                return None
            if edit.if_state is not None and edit.if_state is not before.state:
                return before
            if edit.if_version is not None and edit.if_version != before.version:
                raise Conflict(
                    "the webhook was changed meanwhile; read it again and repeat the change", code="changed_meanwhile"
                )
            if notice is not None:
                await put_notice(db, notice)
            if announcement is not None:
                await write_events(db, [announcement], [0], [Accepted()], None)
            return await _replace(db, edited(before, edit, change), change)

        return await self._writer.together(write, fenced=True)

    async def remove(self, account_id: AccountId, webhook_id: WebhookId, change: Change) -> bool:
        async def write(db: WritingDatabase) -> bool:
            before = await _get(db, account_id, webhook_id) if await lock(db, account_id) else None
            if before is None:
                return False
            await _replace(db, msgspec.structs.replace(before, sealed=b"", deleted=True), change)
            return True

        return await self._writer.together(write, fenced=True)

    async def as_of(self, account_id: AccountId, config_version: int) -> Sequence[Webhook]:
        rows = await self._pool.read(lambda db: db.rows(_WEBHOOK["as_of"], account_id, config_version))
        return [webhook_of(row) for row in rows]


async def _replace(db: Database, webhook: Webhook, change: Change) -> Webhook:
    """Makes it the newest version."""
    stored = msgspec.structs.replace(
        webhook,
        version=webhook.version + 1,
        from_config=await raise_config(db, webhook.account_id, change.at),
        updated_at=change.at,
    )
    await _insert_version(db, stored)
    await db.change(
        _WEBHOOK["change"],
        stored.account_id,
        stored.id,
        stored.version,
        stored.settings.channel,
        stored.shard,
        stored.sealed,
        stored.deleted,
    )
    await record(db, stored.account_id, change)
    return stored


# --- event types --------------------------------------------------------------------------------------------------


class PostgresCatalogue:
    def __init__(self, writer: Writer, pool: Pool) -> None:
        self._writer = writer
        self._pool = pool

    async def list(self, account_id: AccountId) -> Sequence[EventType]:
        rows = await self._pool.read(lambda db: db.rows(_EVENT_TYPE["list"], account_id))
        return [event_type_of(row) for row in rows]

    async def put(self, account_id: AccountId, event_type: EventType, limit: int, change: Change) -> bool:
        async def write(db: WritingDatabase) -> bool:
            await raise_config(db, account_id, change.at)
            new = await db.row(_EVENT_TYPE["exists"], account_id, event_type.name) is None
            if new and await db.value(_EVENT_TYPE["count"], account_id) >= limit:
                raise Conflict(
                    f"the account already has {limit} event types of its own; delete one first", code="event_type_limit"
                )
            await db.change(
                _EVENT_TYPE["put"],
                account_id,
                event_type.name,
                event_type.description,
                to_json(event_type.schema),
                to_json(event_type.example),
                event_type.source,
                event_type.extension,
            )
            await record(db, account_id, change)
            return new

        return await self._writer.together(write, fenced=True)

    async def remove(self, account_id: AccountId, name: str, change: Change) -> bool:
        async def write(db: WritingDatabase) -> bool:
            if not await lock(db, account_id) or not await db.change(_EVENT_TYPE["delete"], account_id, name):
                return False
            await raise_config(db, account_id, change.at)
            await record(db, account_id, change)
            return True

        return await self._writer.together(write, fenced=True)


class PostgresSnapshots:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def snapshot(self, account_id: AccountId) -> Snapshot | None:
        async def read(db: Database) -> Snapshot | None:
            row = await db.row(_ACCOUNT["get"], account_id) if in_range(account_id) else None
            if row is None:
                return None
            types = await db.rows(_EVENT_TYPE["list"], account_id)
            webhooks = await db.rows(_WEBHOOK["list"], account_id, BEYOND, None)
            return Snapshot(
                account=account_of(row),
                event_types=tuple(event_type_of(row) for row in types),
                webhooks=tuple(webhook_of(row) for row in webhooks),
            )

        return await self._pool.read(read)
