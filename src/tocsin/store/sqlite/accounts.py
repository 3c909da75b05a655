"""Accounts and their keys."""

from collections import Counter
from collections.abc import Mapping, Sequence

from tocsin.clock import Millis
from tocsin.errors import Conflict, NotFound
from tocsin.model import Account, AccountId, ApiKey, KeyId
from tocsin.store.columns import account_of, api_key_of, below, to_json
from tocsin.store.port import Change, Page
from tocsin.store.sqlite.database import Database, in_range
from tocsin.store.sqlite.readers import Readers
from tocsin.store.sqlite.statements import statements
from tocsin.store.sqlite.writer import Writer, WritingDatabase

_ACCOUNT = statements("account")
_AUDIT = statements("audit")
_KEY = statements("key")


def record(db: Database, account_id: int | None, change: Change) -> None:
    """Writes a change to the audit log, in the change's own transaction."""
    db.execute(
        _AUDIT["insert"],
        (
            account_id,
            change.at,
            change.actor,
            change.action,
            change.subject,
            to_json(change.detail),
            change.request_id,
        ),
    )


def raise_config(db: WritingDatabase, account_id: int) -> int:
    """The account's settings changed: its next `config_version`.

    Raises:
        NotFound: there is no such account (any more).
    """
    db.versions.pop(account_id, None)
    version = db.value(_ACCOUNT["raise_config"], (account_id,)) if in_range(account_id) else None
    if version is None:
        raise NotFound("there is no such account")
    return int(version)


class SqliteAccounts:
    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def add(self, account: Account, key: ApiKey, change: Change) -> None:
        def write(db: WritingDatabase) -> None:
            _check_external_id(db, account)
            db.execute(
                _ACCOUNT["insert"],
                (
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
                ),
            )
            _insert_key(db, key)
            record(db, account.id, change)

        await self._writer.do(write)

    async def get(self, account_id: AccountId) -> Account | None:
        if not in_range(account_id):
            return None
        row = await self._readers.do(lambda db: db.row(_ACCOUNT["get"], (account_id,)))
        return None if row is None else account_of(row)

    async def by_external_id(self, external_id: str) -> Account | None:
        row = await self._readers.do(lambda db: db.row(_ACCOUNT["by_external_id"], (external_id,)))
        return None if row is None else account_of(row)

    async def list(self, page: Page) -> Sequence[Account]:
        rows = await self._readers.do(lambda db: db.rows(_ACCOUNT["list"], (below(page), page.limit + 1)))
        return [account_of(row) for row in rows]

    async def profiles(self) -> Mapping[str, int]:
        rows = await self._readers.do(lambda db: db.rows(_ACCOUNT["profiles"], ()))
        return Counter(profile for (profile,) in rows)

    async def change(self, account: Account, change: Change) -> Account:
        def write(db: WritingDatabase) -> Account:
            _check_external_id(db, account)
            db.versions.pop(account.id, None)
            changed = db.change(
                _ACCOUNT["change"],
                (
                    account.id,
                    account.name,
                    account.profile,
                    account.timezone,
                    account.external_id,
                    account.notify_email,
                    to_json(account.settings),
                    change.at,
                ),
            )
            if not changed:
                raise NotFound("there is no such account")
            record(db, account.id, change)
            return account_of(db.rows(_ACCOUNT["get"], (account.id,))[0])

        return await self._writer.do(write)

    async def remove(self, account_id: AccountId, change: Change) -> bool:
        def write(db: WritingDatabase) -> bool:
            db.versions.pop(account_id, None)
            if not in_range(account_id) or not db.change(_ACCOUNT["remove"], (account_id, change.at)):
                return False
            db.execute(_ACCOUNT["revoke_keys"], (account_id, change.at))
            db.execute(_ACCOUNT["delete_webhooks"], (account_id,))
            db.execute(_ACCOUNT["delete_event_types"], (account_id,))
            record(db, account_id, change)
            return True

        return await self._writer.do(write)

    async def changed_since(self, at: Millis) -> Mapping[AccountId, int]:  # noqa: ARG002 - see below
        """None: there is no other process, and this one is told as it happens."""
        return {}


def _check_external_id(db: Database, account: Account) -> None:
    if account.external_id is None:
        return
    row = db.row(_ACCOUNT["by_external_id"], (account.external_id,))
    if row is not None and row[0] != account.id:
        raise Conflict(
            f"another account has the external_id {account.external_id!r}; choose another", code="external_id_taken"
        )


# --- keys -------------------------------------------------------------------------------------------------------


def _insert_key(db: Database, key: ApiKey) -> int:
    return db.change(
        _KEY["insert"],
        (
            key.id,
            key.account_id,
            key.name,
            key.hint,
            key.digest,
            " ".join(sorted(key.scopes)),
            key.created_at,
            key.last_used_at,
            key.revoked_at,
        ),
    )


class SqliteKeys:
    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def add(self, key: ApiKey, change: Change) -> bool:
        def write(db: WritingDatabase) -> bool:
            if key.account_id is not None and db.row(_ACCOUNT["get"], (key.account_id,)) is None:
                raise NotFound("there is no such account")
            if not _insert_key(db, key):
                return False
            record(db, key.account_id, change)
            return True

        return await self._writer.do(write)

    async def by_digest(self, digest: bytes) -> ApiKey | None:
        row = await self._readers.do(lambda db: db.row(_KEY["by_digest"], (digest,)))
        return None if row is None else api_key_of(row)

    async def list(self, account_id: AccountId | None, page: Page) -> Sequence[ApiKey]:
        where = (account_id, below(page), page.limit + 1)
        return [api_key_of(row) for row in await self._readers.do(lambda db: db.rows(_KEY["list"], where))]

    async def revoke(self, account_id: AccountId | None, key_id: KeyId, at: Millis, change: Change) -> bool:
        def write(db: WritingDatabase) -> bool:
            if not in_range(key_id) or not db.change(_KEY["revoke"], (key_id, account_id, at)):
                return False
            record(db, account_id, change)
            return True

        return await self._writer.do(write)

    async def revoked_since(self, at: Millis) -> Sequence[KeyId]:
        rows = await self._readers.do(lambda db: db.rows(_KEY["revoked_since"], (at,)))
        return [KeyId(id_) for (id_,) in rows]

    async def note_use(self, used: Mapping[KeyId, Millis]) -> None:
        rows = sorted(used.items())

        def write(db: WritingDatabase) -> None:
            for row in rows:
                db.execute(_KEY["note_use"], row)

        await self._writer.do(write, rows=len(rows))

    async def operator_key_exists(self) -> bool:
        return await self._readers.do(lambda db: db.row(_KEY["operators"]) is not None)
