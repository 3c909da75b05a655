"""Weeks of the logs that are over: retention lets go of a large one as a whole, and a small one joins those before it.

Rows of a large week are not deleted one by one: they stay until all of it is old, which is up to a week longer, and
then it is dropped, for what its files cost to remove. What must stay of it (deliveries that ended late, members of
digests that are there, events that something refers to) is moved into an empty week in its place; where that is much,
its rows are gone through after all.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from tocsin.clock import Millis
from tocsin.errors import TocsinError
from tocsin.ids import first_at
from tocsin.store.postgres.database import Pool
from tocsin.store.postgres.errors import translate
from tocsin.store.postgres.partitions import SPAN_MS, Part, alone_at_it, parts, replace, rows_up_to
from tocsin.store.postgres.statements import statements

_PARTITION = statements("partition")

# Smaller ones are gone through row by row, some hundred thousand at most, and so keep to the day.
LARGE_BYTES = 64 << 20

# What may be kept of a week that is dropped: it is moved while nobody else gets at the table, in some 20 ms.
_KEPT = 2_000

# Digests that went with their deliveries, for each step.
_DIGESTS = 10_000


class Retired(msgspec.Struct, frozen=True):
    """`rows`: how many went, of each table, as PostgreSQL had last estimated. `waiting`: the weeks whose rows are not
    gone through, of each table.
    """

    rows: Mapping[str, int]
    waiting: Mapping[str, Sequence[Part]]


async def retire(pool: Pool, *, logs_before: Millis, events_before: Millis, activities_before: Millis) -> Retired:
    """One step: at most one week of each table."""
    before = {
        "delivery_log": logs_before,
        "attempt": logs_before,
        "event": events_before,
        "activity": activities_before,
    }
    try:
        async with pool.connection() as connection:
            return await _retire(connection, before, logs_before)
    except TocsinError:
        raise
    except Exception as error:
        raise translate(error) from error


async def _retire(connection: Any, before: Mapping[str, Millis], logs_before: Millis) -> Retired:
    rows: dict[str, int] = {}
    waiting: dict[str, list[Part]] = {}
    for table, at in before.items():
        known = await parts(connection, table)
        over = [part for part in known if part.beyond is not None and part.beyond <= first_at(at)]
        waiting[table] = stay = [part for part in known if part.size_bytes >= LARGE_BYTES and _is_week(part)]
        for part in [part for part in over if part in stay]:
            drop = partial(_drop, table=table, part=part, logs_before=logs_before)
            dropped = await alone_at_it(connection, table, drop)
            if dropped is not None:
                stay.remove(part)
            if dropped:
                rows[table] = part.rows
            if dropped is not False:
                break
        if len(over) > 1 and over[1].size_bytes < LARGE_BYTES:
            await alone_at_it(connection, table, partial(_join, table=table, first=over[0], second=over[1]))
    return Retired(rows, waiting)


def _is_week(part: Part) -> bool:
    """And not one that takes in more: its rows would stay for too long."""
    return part.least is not None and part.beyond is not None and part.beyond - part.least <= SPAN_MS << 22


async def _are_still(connection: Any, table: str, *wanted: Part) -> bool:
    """Whether nobody else has changed the partitions since they were looked at."""
    known = {(part.name, part.least, part.beyond) for part in await parts(connection, table)}
    return known.issuperset((part.name, part.least, part.beyond) for part in wanted)


async def _join(connection: Any, *, table: str, first: Part, second: Part) -> bool:
    """Makes one of the two oldest, where little is left in them."""
    if not await _are_still(connection, table, first, second):
        return False
    if await rows_up_to(connection, first, _KEPT) + await rows_up_to(connection, second, _KEPT) >= _KEPT:
        return False
    await replace(connection, table, [first, second], [Part(first.name, first.least, second.beyond)])
    return True


async def _drop(connection: Any, *, table: str, part: Part, logs_before: Millis) -> bool | None:
    """Whether it went; None: not yet."""
    if not await _are_still(connection, table, part):
        return None
    await connection.execute(_PARTITION["lock_part"].format(part=part.name))
    if table == "delivery_log":
        kept = await _kept_deliveries(connection, part, logs_before)
    elif table == "attempt":
        kept = await _kept(connection, "deliveries", part)
        digests = await connection.execute(_PARTITION["delete_digests"], part.least, part.beyond, _DIGESTS)
        if digests == f"DELETE {_DIGESTS}":
            return None
    elif table == "event":
        kept = await _kept(connection, "events", part)
        if await connection.fetchval(_PARTITION["named_events"], part.beyond):
            return None
    else:
        kept = []
        if await connection.fetchval(_PARTITION["named_activities"], part.beyond):
            return None
    if len(kept) > _KEPT:
        return False
    await replace(connection, table, [part], [Part(part.name, part.least, part.beyond)], kept)
    return True


async def _kept(connection: Any, statement: str, part: Part) -> Sequence[int]:
    """What must stay; one more than may be, where it is too much."""
    return [id_ for (id_,) in await connection.fetch(_PARTITION[statement], part.least, part.beyond, _KEPT + 1)]


async def _kept_deliveries(connection: Any, part: Part, before: Millis) -> Sequence[int]:
    late = await connection.fetch(_PARTITION["late"].format(part=part.name), before, _KEPT + 1)
    live = await connection.fetch(_PARTITION["live"], part.least, part.beyond, _KEPT + 1)
    kept = {id_ for (id_,) in late}
    new = kept | {id_ for (id_,) in live}  # these too may be digests
    while len(kept) <= _KEPT and len(new) <= _KEPT:
        values = (list(new), part.least, part.beyond, _KEPT + 1)
        found = await connection.fetch(_PARTITION["folded"].format(part=part.name), *values)
        new = {id_ for (id_,) in found} - kept
        if not new:
            break
        kept |= new
    return list(kept | new)
