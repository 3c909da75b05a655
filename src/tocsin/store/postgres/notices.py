"""E-mails that are still to be sent."""

from collections.abc import Sequence

from tocsin.clock import Millis
from tocsin.model import Notice, NoticeKind
from tocsin.store.postgres.database import Database, Pool
from tocsin.store.postgres.statements import statements
from tocsin.store.postgres.writer import Writer

_NOTICE = statements("notice")


async def put_notice(db: Database, notice: Notice) -> None:
    """Writes it within the transaction that is open."""
    await db.change(
        _NOTICE["put"],
        notice.webhook_id,
        notice.id,
        notice.account_id,
        notice.kind.value,
        notice.reason,
        notice.at,
        notice.at,
    )


class PostgresNotices:
    def __init__(self, writer: Writer, pool: Pool) -> None:
        self._writer = writer
        self._pool = pool

    async def due(self, now: Millis, limit: int) -> Sequence[Notice]:
        return [
            Notice(
                id=id_,
                account_id=account_id,
                webhook_id=webhook_id,
                kind=NoticeKind(kind),
                reason=reason,
                at=at,
                tries=tries,
            )
            for id_, account_id, webhook_id, kind, reason, at, tries in await self._pool.read(
                lambda db: db.rows(_NOTICE["due"], now, limit)
            )
        ]

    async def next_due(self) -> Millis | None:
        due_at: Millis | None = await self._pool.read(lambda db: db.value(_NOTICE["next_due"]))
        return due_at

    async def postpone(self, notice: Notice, until: Millis) -> None:
        await self._writer.alone(lambda db: db.change(_NOTICE["postpone"], notice.webhook_id, notice.id, until))

    async def remove(self, notice: Notice) -> None:
        await self._writer.alone(lambda db: db.change(_NOTICE["remove"], notice.webhook_id, notice.id))
