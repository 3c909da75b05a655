"""The timeline: the ids of an account's events and deliveries in the order of time, in chunks.

Its activities have one of their own, under the account's id made negative: they may be many more than the events.

A chunk is one row of up to `_CHUNK` ids. Rows of their own would be more than twice as large, and a merge (see
`recent`) would write half as many pages again. The chunks of an account do not overlap, so that any place in time
is found in one of them.
"""

import sys
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain

import msgspec

from tocsin.store.sqlite.database import Database, Row, many
from tocsin.store.sqlite.statements import statements

_TIMELINE = statements("timeline")

# Ids of a chunk at most: as many as fit into a row that needs no overflow page (1,002 bytes at 4 KiB pages).
_CHUNK = 120

# In a quiet moment a new chunk is put together with the one before it, where that holds at most so many.
_SMALL = 60


def write(ids: Sequence[int]) -> bytes:
    """Ids as they stand in a chunk."""
    packed = array("q", ids)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def read(chunk: bytes) -> Sequence[int]:
    packed = array("q")
    packed.frombytes(chunk)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed


def add(database: Database, accounts: Mapping[int, Sequence[int]], *, tidy: bool) -> None:
    """Adds ids to accounts; those that are there already change nothing.

    `tidy` fills up small chunks, at the cost of some statements for each account.
    """
    newest: dict[int, int] = dict(
        msgspec.json.decode(database.value(_TIMELINE["newest"], (many(accounts),)), type=list[tuple[int, int]])
    )
    rows: list[Row] = []
    for account_id, unsorted in sorted(accounts.items()):
        ids = sorted(set(unsorted))
        last = newest.get(account_id, -1)
        if ids[0] <= last:
            ids = _take_out(database, account_id, ids, ids[0])
        elif tidy and last >= 0:
            ids = _take_out_small(database, account_id, ids, last)
        rows += _chunks(account_id, ids)
    database.change_rows(_TIMELINE, "insert", rows)


def remove(database: Database, accounts: Mapping[int, Collection[int]]) -> None:
    """Removes ids of accounts, wherever they are."""
    rows: list[Row] = []
    for account_id, ids in sorted(accounts.items()):
        gone = set(ids)
        left = _take_out(database, account_id, (), min(gone), max(gone))
        rows += _chunks(account_id, [id_ for id_ in left if id_ not in gone])
    database.change_rows(_TIMELINE, "insert", rows)


def oldest(database: Database, account_id: int) -> Sequence[int]:
    """The ids of an account's oldest chunk; empty where it has none."""
    row = database.row(_TIMELINE["from"], (account_id, -1, 1))
    return [] if row is None else read(row[1])


def after(
    database: Database, account_id: int, unmerged: Iterable[int], beyond: int, before: int, count: int
) -> list[int]:
    """Up to `count` ids beyond an id and below another, oldest first; `unmerged` are looked at too."""
    found = {id_ for id_ in unmerged if beyond < id_ < before}
    enough = len(found) + count
    for last, chunk in database.execute(_TIMELINE["from"], (account_id, beyond + 1, -1)):
        found.update(id_ for id_ in read(chunk) if beyond < id_ < before)
        if len(found) >= enough or last >= before:
            break
    return sorted(found)[:count]


def near(
    database: Database, account_id: int, unmerged: Iterable[int], before: int, least: int, count: int
) -> list[int]:
    """Up to `count` ids below `before` and not below `least`, newest first; `unmerged` are looked at too."""
    found = set(unmerged)
    enough = len(found) + count
    row = database.row(_TIMELINE["from"], (account_id, before, 1))
    if row is not None:
        found.update(id_ for id_ in read(row[1]) if id_ < before)
    for last, chunk in database.execute(_TIMELINE["below"], (account_id, before)):
        if last < least or len(found) >= enough:
            break
        found.update(read(chunk))
    return sorted((id_ for id_ in found if least <= id_ < before), reverse=True)[:count]


def _chunks(account_id: int, ids: Sequence[int]) -> Iterable[Row]:
    for i in range(0, len(ids), _CHUNK):
        piece = ids[i : i + _CHUNK]
        yield account_id, piece[-1], write(piece)


def _take_out(
    database: Database, account_id: int, ids: Iterable[int], least: int, most: int | None = None
) -> list[int]:
    """Deletes the chunks that hold anything from `least` on (up to `most`); their ids and the given ones, rising."""
    taken: list[Row] = []
    for last, chunk in database.execute(_TIMELINE["from"], (account_id, least, -1)):
        taken.append((last, chunk))
        if most is not None and last >= most:
            break
    if taken:
        database.execute(_TIMELINE["delete"], (account_id, taken[0][0], taken[-1][0]))
    return sorted({*ids, *chain.from_iterable(read(chunk) for _, chunk in taken)})


def _take_out_small(database: Database, account_id: int, ids: list[int], last: int) -> list[int]:
    """Deletes the newest chunk if it is small; its ids and the given ones, rising."""
    chunk = read(database.rows(_TIMELINE["from"], (account_id, last, 1))[0][1])
    if len(chunk) > _SMALL:
        return ids
    database.execute(_TIMELINE["delete"], (account_id, last, last))
    return [*chunk, *ids]
