"""One process at a time: the file is locked while it runs, so whoever joins knows that the one before is gone."""

from collections.abc import Callable, Sequence

from tocsin.clock import Millis
from tocsin.shards import ALL, SHARDS
from tocsin.store.columns import decode_attempt
from tocsin.store.port import Node, Present, Standing
from tocsin.store.sqlite.database import Database
from tocsin.store.sqlite.statements import statements
from tocsin.store.sqlite.writer import Writer, WritingDatabase

_DELIVERY = statements("delivery")
_NODE = statements("node")


class SqliteCluster:
    shared = False

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def stored_now(self) -> Millis | None:
        return None

    async def join(self, *, name: str, sends: bool, now: Millis, bury_before: Millis) -> Node:  # noqa: ARG002 - alone
        def write(db: WritingDatabase) -> Node:
            db.execute(_DELIVERY["release_all"])
            return Node(epoch=db.next_epoch(), number=0, last_id=last_id(db))

        return await self._writer.do(write)

    async def beat(self, epoch: int, *, now: Millis, bury_before: Millis, last_id: int) -> Standing:  # noqa: ARG002
        await self._writer.do(lambda db: db.own(epoch))
        return Standing(held=ALL, due=SHARDS, senders=1, buried=0, stored_now=None)

    async def nodes(self) -> Sequence[Present]:
        return ()

    async def retire(self, epoch: int) -> None:
        """There is nobody to take over meanwhile."""

    async def give(self, epoch: int, shards: frozenset[int]) -> None:
        """There is nobody to take them: whoever joins has them all."""

    async def leave(self, epoch: int) -> None:
        """Whoever joins takes all over, whether this was called or not."""


def last_id(db: Database) -> int:
    """The greatest id of anything that is there: what the file itself tells needs not be written down besides."""
    record = db.value(_NODE["last_attempt"])
    greatest: int = db.value(_NODE["last_id"])
    return max(greatest, 0 if record is None else decode_attempt(record).id)


class SqliteNews:
    """There is nobody to tell."""

    async def tell(self, lines: Sequence[str]) -> None: ...

    async def listen(self, heard: Callable[[str], None], lost: Callable[[], None]) -> None: ...
