"""Requests that may come again under the same key, and what was answered."""

from tocsin.clock import Millis
from tocsin.model import AccountId
from tocsin.store.columns import from_json, to_json
from tocsin.store.port import StoredAnswer
from tocsin.store.postgres.cluster import PostgresCluster
from tocsin.store.postgres.statements import statements
from tocsin.store.postgres.writer import Writer, WritingDatabase

_IDEMPOTENCY = statements("idempotency")

# The operator in `account_id`, which NULL could not be: NULLs are all different in a primary key, and not allowed.
_OPERATOR = 0


class PostgresIdempotency:
    def __init__(self, writer: Writer, cluster: PostgresCluster) -> None:
        self._writer = writer
        self._cluster = cluster

    async def begin(
        self, account_id: AccountId | None, route: str, key: str, digest: bytes, now: Millis, expires_at: Millis
    ) -> StoredAnswer | None:
        whose = (account_id or _OPERATOR, route, key)
        holder = self._cluster.epoch

        async def write(db: WritingDatabase) -> StoredAnswer | None:
            if await db.change(_IDEMPOTENCY["take"], *whose, digest, holder, expires_at):
                return None
            row = await db.row(_IDEMPOTENCY["get"], *whose)
            if row is not None:
                stored_digest, other, until, status, headers, body = row
                if until > now and (status is not None or await self._runs(db, other)):
                    return StoredAnswer(
                        digest=stored_digest,
                        status=status,
                        body=body or b"",
                        headers=from_json(headers or "[]", tuple[tuple[str, str], ...]),
                    )
                await db.change(_IDEMPOTENCY["take_over"], *whose, digest, holder, expires_at)
                return None
            # Abandoned between the two statements.
            await db.change(_IDEMPOTENCY["take"], *whose, digest, holder, expires_at)
            return None

        return await self._writer.alone(write)

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
        await self._writer.alone(lambda db: db.change(_IDEMPOTENCY["finish"], *values))

    async def abandon(self, account_id: AccountId | None, route: str, key: str) -> None:
        await self._writer.alone(lambda db: db.change(_IDEMPOTENCY["abandon"], account_id or _OPERATOR, route, key))

    async def _runs(self, db: WritingDatabase, holder: int) -> bool:
        """Whether the process that has a key is there. This one is, also as the node that it was."""
        return holder in self._cluster.epochs or await self._cluster.lives(db, holder)
