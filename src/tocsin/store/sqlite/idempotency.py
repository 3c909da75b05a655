"""Requests that may come again under the same key, and what was answered."""

import itertools
import os
import time

from tocsin.clock import Millis
from tocsin.model import AccountId
from tocsin.store.columns import from_json, to_json
from tocsin.store.port import StoredAnswer
from tocsin.store.sqlite.statements import statements
from tocsin.store.sqlite.writer import Writer, WritingDatabase

_IDEMPOTENCY = statements("idempotency")

# Tells one opening of the database from another; a key held by another one is free, as its holder is gone.
_holders = itertools.count(os.getpid() << 32 ^ time.time_ns() & 0xFFFFFFFF)

# The operator in `account_id`, which NULL could not be: NULLs are all different in a unique index.
_OPERATOR = 0


class SqliteIdempotency:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._holder = next(_holders)

    async def begin(
        self, account_id: AccountId | None, route: str, key: str, digest: bytes, now: Millis, expires_at: Millis
    ) -> StoredAnswer | None:
        whose = account_id or _OPERATOR

        def write(db: WritingDatabase) -> StoredAnswer | None:
            row = db.row(_IDEMPOTENCY["get"], (whose, route, key))
            if row is not None:
                id_, stored_digest, holder, until, status, headers, body = row
                if until > now and (status is not None or holder == self._holder):
                    return StoredAnswer(
                        digest=stored_digest,
                        status=status,
                        body=body or b"",
                        headers=from_json(headers or "[]", tuple[tuple[str, str], ...]),
                    )
                db.execute(_IDEMPOTENCY["delete"], (id_,))
            db.execute(_IDEMPOTENCY["insert"], (whose, route, key, digest, self._holder, expires_at))
            return None

        return await self._writer.do(write)

    async def finish(self, account_id: AccountId | None, route: str, key: str, answer: StoredAnswer) -> None:
        values = (
            account_id or _OPERATOR,
            route,
            key,
            answer.digest,
            answer.status,
            to_json(answer.headers),
            answer.body,
        )
        await self._writer.do(lambda db: db.change(_IDEMPOTENCY["finish"], values))

    async def abandon(self, account_id: AccountId | None, route: str, key: str) -> None:
        values = (account_id or _OPERATOR, route, key)
        await self._writer.do(lambda db: db.change(_IDEMPOTENCY["abandon"], values))
