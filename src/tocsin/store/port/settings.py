"""What people change: accounts, keys, event types, webhooks; each change with its audit entry."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from tocsin.clock import Millis
from tocsin.model import (
    Account,
    AccountId,
    ApiKey,
    EventType,
    KeyId,
    Notice,
    Webhook,
    WebhookId,
    WebhookSettings,
    WebhookState,
)
from tocsin.store.port.journal import NewEvent


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Who changed what: written to the audit log in the change's own transaction. Never holds a secret."""

    at: Millis
    actor: str  # "operator", "key_…", "system", "reader"
    action: str  # "webhook.created"
    subject: str  # "wh_…"
    detail: Mapping[str, object] = msgspec.field(default_factory=dict)
    request_id: str | None = None


class AuditEntry(Change, frozen=True, kw_only=True):
    id: int
    account_id: AccountId | None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Where a list goes on: newest first, ids strictly below `before`. One more than `limit` rows are answered
    where there are more.
    """

    limit: int
    before: int | None = None


class Accounts(Protocol):
    async def add(self, account: Account, key: ApiKey, change: Change) -> None:
        """Raises `Conflict(code="external_id_taken")`."""
        ...

    async def get(self, account_id: AccountId) -> Account | None: ...

    async def by_external_id(self, external_id: str) -> Account | None: ...

    async def list(self, page: Page) -> Sequence[Account]: ...

    async def profiles(self) -> Mapping[str, int]:
        """The profiles that accounts have, and how many each; reads every account."""
        ...

    async def change(self, account: Account, change: Change) -> Account:
        """Replaces it and raises its `config_version`; answers it as stored."""
        ...

    async def remove(self, account_id: AccountId, change: Change) -> bool:
        """Removes the account with its keys and webhooks at once; its events, deliveries and logs are no longer
        reachable and are purged by and by. Waiting deliveries are never sent.
        """
        ...

    async def changed_since(self, at: Millis) -> Mapping[AccountId, int]:
        """Accounts that were changed or removed, or whose webhooks or event types were, at that time or later, where
        other processes may have done it, and their `config_version`: what a process must read again.
        """
        ...


class Keys(Protocol):
    async def add(self, key: ApiKey, change: Change) -> bool:
        """False: one with that digest is there already, and nothing is written."""
        ...

    async def by_digest(self, digest: bytes) -> ApiKey | None:
        """Revoked ones too."""
        ...

    async def list(self, account_id: AccountId | None, page: Page) -> Sequence[ApiKey]: ...

    async def revoke(self, account_id: AccountId | None, key_id: KeyId, at: Millis, change: Change) -> bool: ...

    async def revoked_since(self, at: Millis) -> Sequence[KeyId]:
        """Keys revoked, or whose account was removed, at that time or later: what a process must forget."""
        ...

    async def note_use(self, used: Mapping[KeyId, Millis]) -> None: ...

    async def operator_key_exists(self) -> bool: ...


class Catalogue(Protocol):
    """The accounts' own event types. A change raises the account's `config_version`."""

    async def list(self, account_id: AccountId) -> Sequence[EventType]: ...

    async def put(self, account_id: AccountId, event_type: EventType, limit: int, change: Change) -> bool:
        """True where it is new. Raises `Conflict(code="event_type_limit")` beyond `limit` of them."""
        ...

    async def remove(self, account_id: AccountId, name: str, change: Change) -> bool: ...


class Webhooks(Protocol):
    """Every change writes a new version, raises the account's `config_version`, and answers the webhook as stored
    (`version`, `from_config`, `updated_at` are the store's to set).
    """

    async def add(self, webhook: Webhook, limit: int | None, change: Change, notice: Notice | None = None) -> Webhook:
        """Keeps it, and the notice of it. Raises `Conflict(code="webhook_limit")` where the account already has `limit`
        of them.
        """
        ...

    async def get(self, account_id: AccountId, webhook_id: WebhookId) -> Webhook | None:
        """None also once it is deleted."""
        ...

    async def list(self, account_id: AccountId, page: Page) -> Sequence[Webhook]: ...

    async def change(
        self,
        account_id: AccountId,
        webhook_id: WebhookId,
        edit: "WebhookEdit",
        change: Change,
        notice: Notice | None = None,
        announcement: NewEvent | None = None,
    ) -> Webhook | None:
        """Changes what `edit` names, and keeps the notice and the announcement of it (an event of Tocsin's own, with
        its deliveries) exactly where it was changed; None where there is no such webhook. Raises
        `Conflict(code="changed_meanwhile")` where `edit.if_version` is not the current one.
        """
        ...

    async def remove(self, account_id: AccountId, webhook_id: WebhookId, change: Change) -> bool:
        """It matches nothing any more and its waiting deliveries are cancelled by and by (`drop_waiting`)."""
        ...

    async def as_of(self, account_id: AccountId, config_version: int) -> Sequence[Webhook]:
        """Every webhook in the version in force when the account's settings had that number (deleted ones too, as
        `deleted`, where they were deleted by then but exist in a version). `sealed` is empty but for the version in
        force now: what a secret was before is not kept.
        """
        ...


class WebhookEdit(msgspec.Struct, frozen=True, kw_only=True):
    """The parts to change; None leaves a part as it is."""

    if_version: int | None = None
    if_state: WebhookState | None = None  # in another state, nothing is changed and the webhook answered as it is
    settings: WebhookSettings | None = None
    sealed: bytes | None = None
    state: WebhookState | None = None
    status_reason: str | None = None  # taken with `state`
    muted_until: Millis | None = None  # 0: no longer muted


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What decides an account's routing, read in one transaction."""

    account: Account
    event_types: tuple[EventType, ...]
    webhooks: tuple[Webhook, ...]


class Snapshots(Protocol):
    async def snapshot(self, account_id: AccountId) -> Snapshot | None: ...
