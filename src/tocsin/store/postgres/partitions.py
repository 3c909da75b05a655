"""The logs' partitions: a week each, made ahead of time, by the ids that lead in time.

Beside the weeks a table has two that take in whatever lies before or beyond them, so that no id is ever refused,
whatever a clock says and however long nobody has made new ones. They are ranges like the others and no DEFAULT, for
which PostgreSQL would have to look on every list. Making a week takes it out of the one beyond; the rows that a wrong
clock has put there are moved where they belong.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import asyncpg
import msgspec

from tocsin.clock import Millis
from tocsin.ids import first_at, made_at_ms
from tocsin.store.columns import BEYOND
from tocsin.store.postgres.statements import statements

T = TypeVar("T")

_PARTITION = statements("partition")

log = logging.getLogger(__name__)

# Tables, and the column that each is partitioned by.
LOGS = {"event": "id", "delivery_log": "id", "attempt": "delivery_id", "activity": "id"}

# A week. Retention drops whole ones, so rows outlive their time by as much where there are many; and whatever cannot be
# bounded in time is planned for all partitions, some 70 µs each. 90 days are 13 weeks, 365 are 53: with 20 partitions a
# list that goes back to the first took 5 ms, with 60 it took 14, one that ends among the latest 0.7 with either. Days
# would be seven times that; months would keep what is to be kept for 90 days for up to 120.
SPAN_MS = 7 * 86_400_000
_MONDAY_MS = 1_577_664_000_000  # 2019-12-30, the first that is not after the first id

# Weeks made ahead of the present one. Who forgets for longer loses nothing but the order.
_AHEAD = 2

# How long one that changes the partitions waits for those who use the table, while others wait behind it; and how long
# it may take then.
_PATIENCE = "200ms"
_AT_MOST = "5s"

# What a wrong clock has put beyond is moved up to so many rows: some 100 ms.
MOVED = 10_000

_BOUND = re.compile(r"FROM \('?(\w+)'?\) TO \('?(\w+)'?\)")


class Part(msgspec.Struct, frozen=True):
    """One partition: ids from `least` on, below `beyond`; None: from the very first, to the very last. `rows` is an
    estimate.
    """

    name: str
    least: int | None
    beyond: int | None
    size_bytes: int = 0
    rows: int = 0


def week_of(at_ms: int) -> int:
    """When the week began that an instant lies in."""
    return at_ms - (at_ms - _MONDAY_MS) % SPAN_MS


async def parts(connection: Any, table: str) -> Sequence[Part]:
    """The partitions of a table, in order."""
    found = []
    for name, text, size_bytes, rows in await connection.fetch(_PARTITION["parts"], table):
        match = None if text is None or size_bytes is None else _BOUND.search(text)
        if match is None:
            continue  # it is being taken out at this moment
        least, beyond = (None if value in ("MINVALUE", "MAXVALUE") else int(value) for value in match.groups())
        found.append(Part(name, least, beyond, size_bytes, rows))
    return sorted(found, key=lambda part: (part.least is not None, part.least))


async def lay_out(connection: Any, now: Millis, since: Millis | None = None) -> bool:
    """Makes the weeks that are to come, each table in a transaction of its own.

    Args:
        since: also the weeks from then on, where nothing has been stored yet: before a history is copied in.

    Returns:
        Whether all is there; else others stood in the way, and it is to be tried again.
    """
    done = [
        await alone_at_it(connection, table, partial(_lay_out, table=table, now=now, since=since)) for table in LOGS
    ]
    return None not in done


async def alone_at_it(connection: Any, table: str, change: Callable[[Any], Awaitable[T]]) -> T | None:
    """Changes a table's partitions in a transaction of its own; None where others, or anything else, stood in the way:
    it can wait.
    """
    try:
        async with connection.transaction():
            if not await connection.fetchval(_PARTITION["only_one"]):
                return None
            await connection.execute(_PARTITION["patience"], _PATIENCE, _AT_MOST)
            return await change(connection)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        log.warning("partitions_wait", extra={"table": table, "reason": str(error)})
        return None


async def _lay_out(connection: Any, *, table: str, now: Millis, since: Millis | None) -> bool:
    known = await parts(connection, table)
    first, last = known[0], known[-1]
    this_week = week_of(now)
    wanted = sorted({first_at(this_week + n * SPAN_MS) for n in range(_AHEAD + 2)})
    if since is not None and first.beyond is not None and first.beyond > first_at(since):
        history = sorted({first_at(at) for at in range(week_of(since), made_at_ms(first.beyond), SPAN_MS)})
        await _take_apart(connection, table, first, history)
    if last.least is None or last.least < wanted[-1] <= BEYOND:
        edges = [edge for edge in wanted if last.least is None or edge > last.least]
        await _take_apart(connection, table, last, edges)
    return True


async def _take_apart(connection: Any, table: str, part: Part, edges: Sequence[int]) -> None:
    """Makes several of one partition, at the given ids within it."""
    await _run(connection, "lock", table=table)
    if await rows_up_to(connection, part, MOVED + 1) > MOVED:
        await _set_aside(connection, table, part)
    else:
        await replace(connection, table, [part], _pieces(table, part, edges))


async def rows_up_to(connection: Any, part: Part, limit: int) -> int:
    n: int = await connection.fetchval(_sql("rows", part=part.name), limit)
    return n


async def replace(
    connection: Any, table: str, old: Iterable[Part], new: Iterable[Part], keep: Sequence[int] | None = None
) -> None:
    """Puts new partitions in the place of others, with their rows, of which there must be few.

    Args:
        keep: which rows are kept; None: all.
    """
    await _run(connection, "lock", table=table)
    aside = []
    for n, part in enumerate(old):
        await _run(connection, "detach", table=table, part=part.name)
        aside.append(f"{table}_aside_{n}")
        await _run(connection, "rename", part=part.name, to=aside[-1])
    for part in new:
        await _create(connection, table, part)
    for name in aside:
        if keep is None:
            await _run(connection, "move", table=table, part=name)
        elif keep:
            await connection.execute(_sql("move_some", table=table, part=name, key=LOGS[table]), keep)
        await _run(connection, "drop", part=name)


async def _set_aside(connection: Any, table: str, part: Part) -> None:
    """Of one that holds too much to be moved: ends it beyond all that it holds."""
    if part.beyond is not None:
        return
    greatest = await connection.fetchval(_sql("greatest", part=part.name, key=LOGS[table]))
    end = first_at(week_of(made_at_ms(greatest)) + SPAN_MS)
    if end > BEYOND:
        return
    old, new = _pieces(table, part, [end])
    await _run(connection, "detach", table=table, part=part.name)
    if old.name != part.name:
        await _run(connection, "rename", part=part.name, to=old.name)
    await _run(connection, "attach", table=table, part=old.name, **_bounds(old))
    await _create(connection, table, new)


def _pieces(table: str, part: Part, edges: Sequence[int]) -> Iterator[Part]:
    for least, beyond in pairwise([part.least, *edges, part.beyond]):
        if least is None:
            name = "before" if beyond is not None else "beyond"
        elif beyond is None:
            name = "beyond"
        else:
            name = f"{datetime.fromtimestamp(made_at_ms(least) / 1000, UTC):%Y%m%d}"
        yield Part(f"{table}_{name}", least, beyond)


async def _create(connection: Any, table: str, part: Part) -> None:
    await _run(connection, "create", table=table, part=part.name, **_bounds(part))


def _bounds(part: Part) -> dict[str, str]:
    return {
        "least": "MINVALUE" if part.least is None else str(part.least),
        "beyond": "MAXVALUE" if part.beyond is None else str(part.beyond),
    }


async def _run(connection: Any, statement: str, **parts: str) -> None:
    await connection.execute(_sql(statement, **parts))


def _sql(statement: str, **parts: str) -> str:
    return _PARTITION[statement].format(**parts)
