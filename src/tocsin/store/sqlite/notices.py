"""E-mails that are still to be sent."""

from collections.abc import Sequence

from tocsin.clock import Millis
from tocsin.model import Notice, NoticeKind
from tocsin.store.sqlite.readers import Readers
from tocsin.store.sqlite.statements import statements
from tocsin.store.sqlite.writer import Writer, WritingDatabase

_NOTICE = statements("notice")


def put_notice(db: WritingDatabase, notice: Notice) -> None:
    """Writes it within the transaction that is open."""
    db.execute(
        _NOTICE["put"],
        (
            notice.webhook_id,
            notice.id,
            notice.account_id,
            notice.kind.value,
            notice.reason,
            notice.at,
            notice.at,
        ),
    )


class SqliteNotices:
    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

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
            for id_, account_id, webhook_id, kind, reason, at, tries in await self._readers.do(
                lambda db: db.rows(_NOTICE["due"], (now, limit))
            )
        ]

    async def next_due(self) -> Millis | None:
        return await self._readers.do(lambda db: db.value(_NOTICE["next_due"]))

    async def postpone(self, notice: Notice, until: Millis) -> None:
        await self._writer.do(lambda db: db.change(_NOTICE["postpone"], (notice.webhook_id, notice.id, until)))

    async def remove(self, notice: Notice) -> None:
        await self._writer.do(lambda db: db.change(_NOTICE["remove"], (notice.webhook_id, notice.id)))
