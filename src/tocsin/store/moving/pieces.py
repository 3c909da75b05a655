"""A piece: all rows of a noun beyond one key and up to another, and their digest.

Whoever reads a piece from the file and whoever reads it back from the database gets the same rows, value for value, and
so the same digest.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any

import msgspec

from tocsin.store.sqlite.database import Database

Row = tuple[Any, ...]
Key = tuple[Any, ...]

# Below and above every id.
LOWEST = -1 << 63
HIGHEST = (1 << 63) - 1

# Rows read at a time: after each so many it is asked whether a piece is large enough.
_STEP = 100

_encode = msgspec.msgpack.Encoder().encode


class Bounds(msgspec.Struct, frozen=True):
    """What to read of a noun."""

    beyond: Key
    upto: Key
    rows: int = -1  # at most; all there are
    max_bytes: int = HIGHEST  # about

    @property
    def values(self) -> Key:
        """As statements take them."""
        return (*self.beyond, *self.upto, self.rows)


class Piece:
    """Rows by table, in the order of `nouns.Noun.tables`; `last` is the key up to which all was read, None where there
    was nothing.
    """

    def __init__(self, last: Key | None, rows: tuple[Sequence[Row], ...]) -> None:
        self.last = last
        self.rows = rows
        self.counts = [len(of_table) for of_table in rows]
        self.digest = digest_of(rows)


Read = Callable[[Database, Bounds], Piece]


def digest_of(tables: Iterable[Sequence[Row]]) -> bytes:
    """Of a piece's rows, every value of them."""
    whole = blake2b(digest_size=16)
    for rows in tables:
        whole.update(len(rows).to_bytes(8, "big"))
        for i in range(0, len(rows), _STEP):
            whole.update(_encode(rows[i : i + _STEP]))
    return whole.digest()


def steps(cursor: Iterator[Row], bounds: Bounds) -> Iterator[list[Row]]:
    """Some rows at a time, until there are bytes enough."""
    size = 0
    while size < bounds.max_bytes and (step := list(islice(cursor, _STEP))):
        yield step
        size += len(_encode(step))
