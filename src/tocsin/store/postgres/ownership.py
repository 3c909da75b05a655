"""Who writes: one row says it, and `WritingDatabase.own` looks at it within the transaction of each write."""

from tocsin.clock import Millis
from tocsin.store.postgres.statements import statements
from tocsin.store.postgres.writer import Writer, WritingDatabase

_DELIVERY = statements("delivery")
_OWNER = statements("owner")


class PostgresOwnership:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def acquire(self, now: Millis) -> int:
        """Waits for what the owner before is committing; whatever it begins after that is refused."""

        async def write(db: WritingDatabase) -> int:
            epoch: int = await db.value(_OWNER["acquire"], now)
            await db.change(_DELIVERY["release_all"])
            return epoch

        return await self._writer.alone(write)
