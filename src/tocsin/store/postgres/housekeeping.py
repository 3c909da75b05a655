"""What keeps the database in order: retention, its own check, small facts."""

from collections.abc import Sequence

from tocsin.clock import Millis
from tocsin.store.port import Condition, Purged
from tocsin.store.postgres.conditions import conditions
from tocsin.store.postgres.database import Database, Pool
from tocsin.store.postgres.partitions import lay_out
from tocsin.store.postgres.purge import purge
from tocsin.store.postgres.statements import statements
from tocsin.store.postgres.writer import Writer, WritingDatabase

_HOUSEKEEPING = statements("housekeeping")
_META = statements("meta")

# How often it is seen to that the next weeks of the logs are there. They are made two weeks ahead.
_LOOK_MS = 3_600_000


class PostgresHousekeeping:
    def __init__(self, writer: Writer, pool: Pool) -> None:
        self._writer = writer
        self._pool = pool
        self._look_at = 0

    async def purge(
        self, *, bodies_before: Millis, logs_before: Millis, dedupe_before: Millis, now: Millis, limit: int
    ) -> Purged:
        if now >= self._look_at:
            async with self._pool.connection() as connection:
                whole = await lay_out(connection, now)
            self._look_at = now + (_LOOK_MS if whole else 0)
        return await purge(
            self._writer,
            self._pool,
            bodies_before=bodies_before,
            logs_before=logs_before,
            dedupe_before=dedupe_before,
            now=now,
            limit=limit,
        )

    async def check(self) -> Sequence[str]:
        return await self._pool.read(faults)

    async def conditions(self) -> Sequence[Condition]:
        return await self._pool.read(conditions)

    async def meta(self, name: str) -> str | None:
        value = await self._pool.read(lambda db: db.value(_META["get"], name))
        return None if value is None else value.decode()

    async def keep_meta(self, name: str, value: str) -> str:
        async def write(db: WritingDatabase) -> bytes:
            await db.change(_META["keep"], name, value.encode())
            kept: bytes = await db.value(_META["get"], name)
            return kept

        return (await self._writer.alone(write)).decode()


async def faults(db: Database) -> list[str]:
    """What PostgreSQL says is wrong. It checks its pages as it reads them; there is no call that reads them all."""
    found = [
        f"index {name} was not built to its end; run: REINDEX INDEX {name}"
        for (name,) in await db.rows(_HOUSEKEEPING["invalid_indexes"])
    ]
    found += [f"table {name} is unlogged: a crash empties it" for (name,) in await db.rows(_HOUSEKEEPING["unlogged"])]
    if failures := await db.value(_HOUSEKEEPING["checksum_failures"]):
        found.append(f"{failures} pages did not have the checksum that they were written with")
    return found
