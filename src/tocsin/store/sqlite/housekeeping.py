"""What keeps the file in order: retention, its own check, small facts."""

from collections.abc import Sequence

import apsw

from tocsin.clock import Millis
from tocsin.store.port import Condition, Purged
from tocsin.store.sqlite.database import Database
from tocsin.store.sqlite.purge import purge
from tocsin.store.sqlite.readers import Readers
from tocsin.store.sqlite.statements import statements
from tocsin.store.sqlite.writer import Writer, WritingDatabase

_HOUSEKEEPING = statements("housekeeping")
_META = statements("meta")


class SqliteHousekeeping:
    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def purge(
        self, *, bodies_before: Millis, logs_before: Millis, dedupe_before: Millis, now: Millis, limit: int
    ) -> Purged:
        return await purge(
            self._writer,
            bodies_before=bodies_before,
            logs_before=logs_before,
            dedupe_before=dedupe_before,
            now=now,
            limit=limit,
        )

    async def check(self) -> Sequence[str]:
        return await self._readers.do(faults)

    async def conditions(self) -> Sequence[Condition]:
        return ()  # how it is kept is said by whoever opens it

    async def meta(self, name: str) -> str | None:
        return await self._readers.do(lambda db: db.value(_META["get"], (name,)))

    async def keep_meta(self, name: str, value: str) -> str:
        def write(db: WritingDatabase) -> str:
            db.change(_META["keep"], (name, value))
            kept: str = db.value(_META["get"], (name,))
            return kept

        return await self._writer.do(write)


def faults(database: Database) -> list[str]:
    """What SQLite finds wrong with its file."""
    try:
        return [text for (text,) in database.rows(_HOUSEKEEPING["quick_check"]) if text != "ok"]
    except apsw.CorruptError as error:
        return [str(error)]
