"""Accounts and their keys."""

from collections.abc import Mapping, Sequence

import asyncpg

from tocsin.clock import Millis
from tocsin.errors import Conflict, NotFound
from tocsin.model import Account, AccountId, ApiKey, KeyId
from tocsin.store.columns import account_of, api_key_of, below, to_json
from tocsin.store.port import Change, Page
from tocsin.store.postgres.database import Database, Pool, Row, in_range
from tocsin.store.postgres.statements import statements
from tocsin.store.postgres.writer import Writer, WritingDatabase

_ACCOUNT = statements("account")
_AUDIT = statements("audit")
_KEY = statements("key")


async def record(db: Database, account_id: int | None, change: Change) -> None:
    """Writes a change to the audit log, in the change's own transaction."""
    await db.change(
        _AUDIT["insert"],
        account_id,
        change.at,
        change.actor,
        change.action,
        change.subject,
        to_json(change.detail),
        change.request_id,
    )


async def lock(db: Database, account_id: int) -> bool:
    """Keeps everybody else from changing what the account has, until the end of the transaction; whether it lives.

    To be called before what is to be changed is read.
    """
    return in_range(account_id) and await db.value(_ACCOUNT["lock"], account_id) is not None


async def raise_config(db: Database, account_id: int, at: Millis) -> int:
    """The account's settings changed: its next `config_version`. Locks it as `lock` does.

    Raises:
        NotFound: there is no such account (any more).
    """
    version = await db.value(_ACCOUNT["raise_config"], account_id, at) if in_range(account_id) else None
    if version is None:
        raise NotFound("there is no such account")
    return int(version)


class PostgresAccounts:
    def __init__(self, writer: Writer, pool: Pool) -> None:
        self._writer = writer
        self._pool = pool

    async def add(self, account: Account, key: ApiKey, change: Change) -> None:
        async def write(db: WritingDatabase) -> None:
            try:
                await db.change(
                    _ACCOUNT["insert"],
                    account.id,
                    account.name,
                    account.profile,
                    account.timezone,
                    account.external_id,
                    account.notify_email,
                    to_json(account.settings),
                    account.config_version,
                    account.created_at,
                    account.updated_at,
                )
            except asyncpg.UniqueViolationError as error:
                raise _taken(error, account) from None
            await _insert_key(db, key)
            await record(db, account.id, change)

        await self._writer.alone(write)

    async def get(self, account_id: AccountId) -> Account | None:
        if not in_range(account_id):
            return None
        row = await self._pool.read(lambda db: db.row(_ACCOUNT["get"], account_id))
        return None if row is None else account_of(row)

    async def by_external_id(self, external_id: str) -> Account | None:
        row = await self._pool.read(lambda db: db.row(_ACCOUNT["by_external_id"], external_id))
        return None if row is None else account_of(row)

    async def list(self, page: Page) -> Sequence[Account]:
        rows = await self._pool.read(lambda db: db.rows(_ACCOUNT["list"], below(page), page.limit + 1))
        return [account_of(row) for row in rows]

    async def profiles(self) -> Mapping[str, int]:
        return dict(await self._pool.read(lambda db: db.rows(_ACCOUNT["profiles"])))

    async def change(self, account: Account, change: Change) -> Account:
        async def write(db: WritingDatabase) -> Account:
            try:
                row = await db.row(
                    _ACCOUNT["change"],
                    account.id,
                    account.name,
                    account.profile,
                    account.timezone,
                    account.external_id,
                    account.notify_email,
                    to_json(account.settings),
                    change.at,
                )
            except asyncpg.UniqueViolationError as error:
                raise _taken(error, account) from None
            if row is None:
                raise NotFound("there is no such account")
            await record(db, account.id, change)
            return account_of(row)

        return await self._writer.together(write, fenced=True)

    async def remove(self, account_id: AccountId, change: Change) -> bool:
        async def write(db: WritingDatabase) -> bool:
            if not in_range(account_id) or not await db.change(_ACCOUNT["remove"], account_id, change.at):
                return False
            await db.change(_ACCOUNT["revoke_keys"], account_id, change.at)
            await db.change(_ACCOUNT["delete_webhooks"], account_id)
            await db.change(_ACCOUNT["delete_event_types"], account_id)
            await record(db, account_id, change)
            return True

        return await self._writer.together(write, fenced=True)

    async def changed_since(self, at: Millis) -> Mapping[AccountId, int]:
        rows = await self._pool.read(lambda db: db.rows(_ACCOUNT["changed_since"], at))
        return {AccountId(id_): version for id_, version in rows}


def _taken(error: asyncpg.UniqueViolationError, account: Account) -> Conflict:
    """What a caller is told of it; raises what was something else."""
    if error.constraint_name != "account_external_id":
        raise error
    return Conflict(
        f"another account has the external_id {account.external_id!r}; choose another", code="external_id_taken"
    )


# --- keys -------------------------------------------------------------------------------------------------------


async def _insert_key(db: Database, key: ApiKey) -> int:
    return await db.change(
        _KEY["insert"],
        key.id,
        key.account_id,
        key.name,
        key.hint,
        key.digest,
        " ".join(sorted(key.scopes)),
        key.created_at,
        key.last_used_at,
        key.revoked_at,
    )


class PostgresKeys:
    def __init__(self, writer: Writer, pool: Pool) -> None:
        self._writer = writer
        self._pool = pool

    async def add(self, key: ApiKey, change: Change) -> bool:
        async def write(db: WritingDatabase) -> bool:
            if key.account_id is not None and not await lock(db, key.account_id):
                raise NotFound("there is no such account")
            if not await _insert_key(db, key):
                return False
            await record(db, key.account_id, change)
            return True

        return await self._writer.alone(write)

    async def by_digest(self, digest: bytes) -> ApiKey | None:
        row = await self._pool.read(lambda db: db.row(_KEY["by_digest"], digest))
        return None if row is None else api_key_of(row)

    async def list(self, account_id: AccountId | None, page: Page) -> Sequence[ApiKey]:
        async def read(db: Database) -> list[Row]:
            if account_id is None:
                return await db.rows(_KEY["list_operators"], below(page), page.limit + 1)
            return await db.rows(_KEY["list"], account_id, below(page), page.limit + 1)

        return [api_key_of(row) for row in await self._pool.read(read)]

    async def revoke(self, account_id: AccountId | None, key_id: KeyId, at: Millis, change: Change) -> bool:
        async def write(db: WritingDatabase) -> bool:
            if not in_range(key_id) or not await db.change(_KEY["revoke"], key_id, account_id, at):
                return False
            await record(db, account_id, change)
            return True

        return await self._writer.alone(write)

    async def revoked_since(self, at: Millis) -> Sequence[KeyId]:
        rows = await self._pool.read(lambda db: db.rows(_KEY["revoked_since"], at))
        return [KeyId(id_) for (id_,) in rows]

    async def note_use(self, used: Mapping[KeyId, Millis]) -> None:
        if used:
            rows = sorted(used.items())  # in one order, so that two processes do not wait for each other
            ids, times = [id_ for id_, _ in rows], [at for _, at in rows]
            await self._writer.alone(lambda db: db.change(_KEY["note_use"], ids, times))

    async def operator_key_exists(self) -> bool:
        return await self._pool.read(lambda db: db.row(_KEY["operators"])) is not None
