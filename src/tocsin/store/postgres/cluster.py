"""The nodes at work on one database, and the shards that they send for.

Whether a node is there is a row of its own: `WritingDatabase.own` reads it FOR KEY SHARE within the transaction of each
write, a beat changes it beside that, and who ends a node deletes it and so waits for what it is writing. No session
holds anything: beats may go through a pooler in transaction mode.
"""

import asyncio
import logging
from collections.abc import Sequence

from tocsin import failpoints
from tocsin.clock import Millis
from tocsin.errors import Unavailable
from tocsin.ids import NODES, first_at
from tocsin.shards import SHARDS
from tocsin.store.port import Node, Present, Standing
from tocsin.store.postgres.database import Pool
from tocsin.store.postgres.statements import statements
from tocsin.store.postgres.writer import WritingDatabase, alone

_DELIVERY = statements("delivery")
_NODE = statements("node")

log = logging.getLogger(__name__)

# Once a node is overdue: a session whose process says nothing for so many seconds in the middle of a transaction is
# ended. Half of a lease: whoever was frozen in one has been silent for longer by the time that it is overdue. One that
# is only slow runs its transaction again.
SILENT_S = 4.0

# After so long no other burial is begun: the beat must be answered, and the next one goes on.
_BURIALS_S = 0.5


class PostgresCluster:
    """Has connections of its own: a beat must not wait behind a long list that somebody reads."""

    shared = True

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.epoch = 0  # of this process's node; 0: it has not joined
        self.epochs: set[int] = set()  # and of those that it was before

    async def stored_now(self) -> Millis | None:
        return Millis(await alone(self._pool, lambda db: db.value(_NODE["stored_now"])))

    async def join(self, *, name: str, sends: bool, now: Millis, bury_before: Millis) -> Node:
        async def write(db: WritingDatabase) -> Node:
            await db.value(_NODE["lock_joining"])
            row = await db.row(_NODE["free_number"], first_at(now))
            if row is None:
                raise Unavailable(f"{NODES} processes are at work on this database already", code="store_unavailable")
            number, last_id = row
            epoch = await db.value(_NODE["insert"], number, name, sends, now, last_id)
            return Node(epoch=epoch, number=number, last_id=last_id)

        nodes = await alone(self._pool, lambda db: db.rows(_NODE["all"]))
        await self._bury([epoch for epoch, _, seen_at in nodes if seen_at < bury_before], bury_before)
        node = await alone(self._pool, write)
        self.epoch = node.epoch
        self.epochs.add(node.epoch)
        return node

    async def beat(self, epoch: int, *, now: Millis, bury_before: Millis, last_id: int) -> Standing:
        """One short transaction; and one for each node that is found dead, which may fail without harm to this one: it
        is tried again at the next beat.
        """

        async def write(db: WritingDatabase) -> tuple[Standing, Sequence[int]]:
            return await _stand(db, epoch, now, bury_before, last_id)

        standing, dead = await alone(self._pool, write)
        if not (buried := await self._bury(dead, bury_before)):
            return standing
        standing, _ = await alone(self._pool, write)  # what they had is free
        return Standing(
            held=standing.held,
            due=standing.due,
            senders=standing.senders,
            buried=buried,
            stored_now=standing.stored_now,
        )

    async def nodes(self) -> Sequence[Present]:
        rows = await self._pool.read(lambda db: db.rows(_NODE["present"]))
        return [
            Present(name=name, sends=sends, seen_at=seen_at, shards=frozenset(shards))
            for name, sends, seen_at, shards in rows
        ]

    async def retire(self, epoch: int) -> None:
        await alone(self._pool, lambda db: db.change(_NODE["retire"], epoch))

    async def give(self, epoch: int, shards: frozenset[int]) -> None:
        await alone(self._pool, lambda db: db.change(_NODE["give"], epoch, sorted(shards)))

    async def leave(self, epoch: int) -> None:
        await alone(self._pool, lambda db: _end(db, epoch))

    async def lives(self, db: WritingDatabase, epoch: int) -> bool:
        """Whether a node is there; it stays so until the end of the transaction. One that died is there until the next
        beat that finds it overdue.
        """
        return await db.value(_NODE["own"], epoch) is not None

    async def _bury(self, dead: Sequence[int], bury_before: Millis) -> int:
        if not dead:
            return 0
        if cut := await alone(self._pool, lambda db: db.value(_NODE["cut"], SILENT_S)):
            log.warning("sessions_cut", extra={"sessions": cut})
        buried = 0
        loop = asyncio.get_running_loop()
        until_s = loop.time() + _BURIALS_S
        for epoch in dead:
            if loop.time() > until_s:
                break

            async def write(db: WritingDatabase, epoch: int = epoch) -> bool:
                await db.change(_NODE["hurry"])
                # Others may have been before, or it was seen after all.
                if await db.row(_NODE["overdue"], epoch, bury_before) is None:
                    return False
                await _end(db, epoch)
                failpoints.reach("before_burial")
                return True

            try:
                buried += await alone(self._pool, write)
            except Unavailable as error:
                log.warning("burial_failed", extra={"node": epoch, "reason": error.detail})
        return buried


async def _stand(
    db: WritingDatabase, epoch: int, now: Millis, bury_before: Millis, last_id: int
) -> tuple[Standing, Sequence[int]]:
    """Marks the node as seen and takes the shards that are due to it; and the nodes that are dead."""
    nodes = await db.rows(_NODE["all"])
    if not await db.change(_NODE["seen"], epoch, now, last_id):
        raise Unavailable(f"epoch {epoch} has ended", code="not_owner")
    seen_before = next(seen_at for other, _, seen_at in nodes if other == epoch)
    overdue = [other for other, _, seen_at in nodes if seen_at < bury_before and other != epoch]
    # Who was overdue itself knows nothing about others: the database may have been away from all of them. Nor does an
    # instant to come say anything, which one was seen at whose clock was wrong.
    unsure = overdue if seen_before < bury_before else []
    unsure += [other for other, _, seen_at in nodes if seen_at > 2 * now - bury_before]
    if unsure:
        await db.change(_NODE["spare"], unsure, now)
    dead = [] if seen_before < bury_before else overdue

    senders = [other for other, sends, _ in nodes if sends and other not in dead]
    due = 0
    if epoch in senders:
        share, rest = divmod(SHARDS, len(senders))
        due = share + (senders.index(epoch) < rest)
    held = {id_ for (id_,) in await db.rows(_NODE["held"], epoch)}
    if len(held) < due:
        held.update(id_ for (id_,) in await db.rows(_NODE["take"], epoch, due - len(held)))
    standing = Standing(
        held=frozenset(held),
        due=due,
        senders=len(senders),
        buried=0,
        stored_now=await db.value(_NODE["stored_now"]),
    )
    return standing, dead


async def _end(db: WritingDatabase, epoch: int) -> None:
    """The node is gone, with all that it had."""
    row = await db.row(_NODE["end"], epoch)
    if row is not None:
        await db.change(_NODE["keep_number"], *row)
        await db.change(_DELIVERY["release_of"], epoch)
        await db.change(_NODE["give_all"], epoch)
