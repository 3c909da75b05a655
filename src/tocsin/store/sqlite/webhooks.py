"""What decides an account's routing: its webhooks, in versions, and its own event types."""

from collections.abc import Sequence

import msgspec

from tocsin.errors import Conflict
from tocsin.model import AccountId, EventType, Notice, Webhook, WebhookId
from tocsin.store.columns import BEYOND, account_of, below, edited, event_type_of, to_json, webhook_of
from tocsin.store.port import Change, NewEvent, Page, Snapshot, WebhookEdit
from tocsin.store.sqlite.accounts import raise_config, record
from tocsin.store.sqlite.database import Database, in_range
from tocsin.store.sqlite.ingest import ACCEPTED, write_events
from tocsin.store.sqlite.notices import put_notice
from tocsin.store.sqlite.readers import Readers
from tocsin.store.sqlite.statements import statements
from tocsin.store.sqlite.writer import Writer, WritingDatabase

_ACCOUNT = statements("account")
_EVENT_TYPE = statements("event_type")
_WEBHOOK = statements("webhook")


def _insert_version(db: Database, webhook: Webhook) -> None:
    db.execute(
        _WEBHOOK["insert_version"],
        (
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
        ),
    )


def _get(db: Database, account_id: int, webhook_id: int) -> Webhook | None:
    if not in_range(webhook_id) or not in_range(account_id):
        return None
    row = db.row(_WEBHOOK["get"], (webhook_id, account_id))
    return None if row is None else webhook_of(row)


class SqliteWebhooks:
    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def add(self, webhook: Webhook, limit: int | None, change: Change, notice: Notice | None = None) -> Webhook:
        def write(db: WritingDatabase) -> Webhook:
            from_config = raise_config(db, webhook.account_id)
            if limit is not None and db.value(_WEBHOOK["count"], (webhook.account_id,)) >= limit:
                raise Conflict(f"the account already has {limit} webhooks; delete one first", code="webhook_limit")
            stored = msgspec.structs.replace(webhook, version=1, from_config=from_config, updated_at=change.at)
            db.execute(
                _WEBHOOK["insert"],
                (stored.id, stored.account_id, 1, stored.settings.channel, stored.sealed, stored.created_at),
            )
            _insert_version(db, stored)
            if notice is not None:
                put_notice(db, notice)
            record(db, stored.account_id, change)
            return stored

        return await self._writer.do(write)

    async def get(self, account_id: AccountId, webhook_id: WebhookId) -> Webhook | None:
        return await self._readers.do(lambda db: _get(db, account_id, webhook_id))

    async def list(self, account_id: AccountId, page: Page) -> Sequence[Webhook]:
        where = (account_id, below(page), page.limit + 1)
        return [webhook_of(row) for row in await self._readers.do(lambda db: db.rows(_WEBHOOK["list"], where))]

    async def change(
        self,
        account_id: AccountId,
        webhook_id: WebhookId,
        edit: WebhookEdit,
        change: Change,
        notice: Notice | None = None,
        announcement: NewEvent | None = None,
    ) -> Webhook | None:
        def write(db: WritingDatabase) -> Webhook | None:
            before = _get(db, account_id, webhook_id)
            if before is None:
                return None
            if edit.if_state is not None and edit.if_state is not before.state:
                return before
            if edit.if_version is not None and edit.if_version != before.version:
                raise Conflict(
                    "the webhook was changed meanwhile; read it again and repeat the change", code="changed_meanwhile"
                )
            if notice is not None:
                put_notice(db, notice)
            if announcement is not None:
                write_events(db, [announcement], [0], [ACCEPTED])
            return _replace(db, edited(before, edit, change), change)

        return await self._writer.do(write)

    async def remove(self, account_id: AccountId, webhook_id: WebhookId, change: Change) -> bool:
        def write(db: WritingDatabase) -> bool:
            before = _get(db, account_id, webhook_id)
            if before is None:
                return False
            _replace(db, msgspec.structs.replace(before, sealed=b"", deleted=True), change)
            return True

        return await self._writer.do(write)

    async def as_of(self, account_id: AccountId, config_version: int) -> Sequence[Webhook]:
        rows = await self._readers.do(lambda db: db.rows(_WEBHOOK["as_of"], (account_id, config_version)))
        return [webhook_of(row) for row in rows]


def _replace(db: WritingDatabase, webhook: Webhook, change: Change) -> Webhook:
    """Makes it the newest version."""
    stored = msgspec.structs.replace(
        webhook,
        version=webhook.version + 1,
        from_config=raise_config(db, webhook.account_id),
        updated_at=change.at,
    )
    _insert_version(db, stored)
    db.execute(_WEBHOOK["change"], (stored.id, stored.version, stored.settings.channel, stored.sealed, stored.deleted))
    record(db, stored.account_id, change)
    return stored


# --- event types --------------------------------------------------------------------------------------------------


class SqliteCatalogue:
    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def list(self, account_id: AccountId) -> Sequence[EventType]:
        rows = await self._readers.do(lambda db: db.rows(_EVENT_TYPE["list"], (account_id,)))
        return [event_type_of(row) for row in rows]

    async def put(self, account_id: AccountId, event_type: EventType, limit: int, change: Change) -> bool:
        def write(db: WritingDatabase) -> bool:
            raise_config(db, account_id)
            new = db.row(_EVENT_TYPE["exists"], (account_id, event_type.name)) is None
            if new and db.value(_EVENT_TYPE["count"], (account_id,)) >= limit:
                raise Conflict(
                    f"the account already has {limit} event types of its own; delete one first", code="event_type_limit"
                )
            db.execute(
                _EVENT_TYPE["put"],
                (
                    account_id,
                    event_type.name,
                    event_type.description,
                    to_json(event_type.schema),
                    to_json(event_type.example),
                    event_type.source,
                    event_type.extension,
                ),
            )
            record(db, account_id, change)
            return new

        return await self._writer.do(write)

    async def remove(self, account_id: AccountId, name: str, change: Change) -> bool:
        def write(db: WritingDatabase) -> bool:
            if not db.change(_EVENT_TYPE["delete"], (account_id, name)):
                return False
            raise_config(db, account_id)
            record(db, account_id, change)
            return True

        return await self._writer.do(write)


class SqliteSnapshots:
    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def snapshot(self, account_id: AccountId) -> Snapshot | None:
        def read(db: Database) -> Snapshot | None:
            row = db.row(_ACCOUNT["get"], (account_id,)) if in_range(account_id) else None
            if row is None:
                return None
            return Snapshot(
                account=account_of(row),
                event_types=tuple(event_type_of(row) for row in db.rows(_EVENT_TYPE["list"], (account_id,))),
                webhooks=tuple(webhook_of(row) for row in db.rows(_WEBHOOK["list"], (account_id, BEYOND, -1))),
            )

        return await self._readers.do(read)
