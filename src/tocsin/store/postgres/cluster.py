"""Who writes: one row says it, and `WritingDatabase.own` looks at it within the transaction of each write."""

from collections.abc import Callable, Sequence

from tocsin.clock import Millis
from tocsin.shards import ALL, SHARDS
from tocsin.store.port import Node, Standing
from tocsin.store.postgres.statements import statements
from tocsin.store.postgres.writer import Writer, WritingDatabase

_DELIVERY = statements("delivery")
_OWNER = statements("owner")


class PostgresCluster:
    shared = True

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def join(self, *, name: str, sends: bool, now: Millis, bury_before: Millis) -> Node:  # noqa: ARG002
        """Waits for what the node before is committing; whatever it begins after that is refused."""

        async def write(db: WritingDatabase) -> Node:
            epoch: int = await db.value(_OWNER["acquire"], now)
            await db.change(_DELIVERY["release_all"])
            return Node(epoch=epoch, number=0, last_id=0)

        return await self._writer.alone(write)

    async def beat(self, epoch: int, *, now: Millis, bury_before: Millis, last_id: int) -> Standing:  # noqa: ARG002
        await self._writer.alone(lambda db: db.own(epoch))
        return Standing(held=ALL, due=SHARDS, senders=1, buried=0, stored_now=None)

    async def give(self, epoch: int, shards: frozenset[int]) -> None: ...

    async def leave(self, epoch: int) -> None: ...


class PostgresNews:
    async def tell(self, lines: Sequence[str]) -> None: ...

    async def listen(self, heard: Callable[[str], None], lost: Callable[[], None]) -> None: ...
