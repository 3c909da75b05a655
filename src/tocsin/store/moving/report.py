"""What a move says: how far it is, and what it came to."""

from collections.abc import Callable
from typing import Literal

import msgspec


class Progress(msgspec.Struct, frozen=True):
    """How far it is with one noun: rows so far, of how many."""

    step: Literal["copy", "refresh", "check"]
    noun: str
    done: int
    total: int
    ended: bool = False


Tell = Callable[[Progress], None]


class TableMoved(msgspec.Struct, frozen=True):
    noun: str
    table: str
    rows: int


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to. `complete`: all is there, checked, and servers start on the new database.

    Otherwise one of these says why not: `held`, a server runs and the rest needs it stopped; `unfit`, rows that the new
    database cannot hold; `differences`, what it holds otherwise than it was written.
    """

    complete: bool
    already: bool = False  # a run before this one completed it
    origin: str = ""
    address: str = ""
    tables: tuple[TableMoved, ...] = ()
    digests: tuple[tuple[str, str], ...] = ()  # of each noun
    left: tuple[tuple[str, int], ...] = ()  # rows that belong to nothing, by table of the file
    held: str | None = None
    unfit: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
