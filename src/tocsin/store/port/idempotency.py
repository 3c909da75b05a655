"""Requests that are repeated."""

from typing import Protocol

import msgspec

from tocsin.clock import Millis
from tocsin.model import AccountId


class StoredAnswer(msgspec.Struct, frozen=True, kw_only=True):
    digest: bytes  # SHA-256 of the request's body
    status: int | None  # None: still running
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Idempotency(Protocol):
    async def begin(
        self, account_id: AccountId | None, route: str, key: str, digest: bytes, now: Millis, expires_at: Millis
    ) -> StoredAnswer | None:
        """Takes the key: None where it is new (or expired, or its holder's process is gone), else what is there."""
        ...

    async def finish(self, account_id: AccountId | None, route: str, key: str, answer: StoredAnswer) -> None: ...

    async def abandon(self, account_id: AccountId | None, route: str, key: str) -> None:
        """Frees a key whose request was refused or failed, so that it can be tried again."""
        ...
