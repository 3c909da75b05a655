"""Connections: how a file is opened, and what SQLite's errors mean here."""

import os
from array import array
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw

from tocsin.errors import Invalid, Misconfigured, TocsinError, Unavailable
from tocsin.store.sqlite.statements import Statements

Row = tuple[Any, ...]

# The newest release with a fault that can corrupt a WAL database under concurrent checkpoints is 3.51.2
# (sqlite.org/wal.html, "The WAL-reset bug"); ours are concurrent.
_OLDEST_SQLITE = 3_051_003

# Rows of one statement. A step gives up the interpreter's lock and has to win it back from a busy event loop, which
# costs more than the row itself: fewer, larger steps. 64 wide rows keep the text well below the 16 KiB beyond which
# apsw prepares it anew each time.
_STEPS = (64, 8, 1)

# What the machine refuses, as opposed to what a row is at fault for.
RESOURCE_ERRORS: tuple[type[Exception], ...] = (
    apsw.FullError,
    apsw.IOError,
    apsw.NoMemError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.ReadOnlyError,
    apsw.PermissionsError,
    apsw.ProtocolError,
    apsw.InterruptError,
    apsw.ConnectionClosedError,
    MemoryError,
)

# What a row is at fault for: out of SQLite's range, or refused by a constraint.
ROW_ERRORS: tuple[type[Exception], ...] = (
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.TooBigError,
    apsw.RangeError,
    OverflowError,
    UnicodeError,
    TypeError,
    ValueError,
)


def connect(path: Path, *, readonly: bool, cache_kib: int) -> apsw.Connection:
    """Opens the file with what every connection needs; a writer makes it where there is none.

    Raises:
        Misconfigured: it cannot be opened, or is no database.
    """
    if apsw.SQLITE_VERSION_NUMBER < _OLDEST_SQLITE:
        raise Misconfigured(f"apsw brings SQLite {apsw.sqlitelibversion()}; 3.51.3 or newer is needed")
    flags = apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    if not readonly:
        _make_private(path)
    try:
        connection = apsw.Connection(str(path), flags=flags | apsw.SQLITE_OPEN_NOMUTEX)
        connection.set_busy_timeout(5_000)
        connection.execute(f"PRAGMA cache_size = -{cache_kib}")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA trusted_schema = OFF")
    except apsw.NotADBError:
        raise Misconfigured(f"{path} is no database; name another file in TOCSIN_DB, or move it away") from None
    except apsw.Error as error:
        raise Misconfigured(f"{path} cannot be opened: {error}") from None
    return connection


def _make_private(path: Path) -> None:
    """Makes the file, where there is none, for its owner alone; SQLite gives its log the same permissions."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise Misconfigured(f"{path} cannot be made: {error.strerror}") from None


class Database:
    """One connection, for one thread at a time, in few words."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self.execute = connection.execute

    def row(self, sql: str, values: Sequence[object] = ()) -> Row | None:
        """The first row, or None."""
        return next(self.execute(sql, values), None)

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        return self.execute(sql, values).fetchall()

    def value(self, sql: str, values: Sequence[object] = ()) -> Any:
        """The first row's first column, or None."""
        row = next(self.execute(sql, values), None)
        return None if row is None else row[0]

    def change(self, sql: str, values: Sequence[object] = ()) -> int:
        """How many rows were changed."""
        self.execute(sql, values)
        return self.connection.changes()

    def change_rows(self, noun: Statements, name: str, rows: Sequence[Row]) -> int:
        """Runs a statement with repeated rows over all of `rows`, many at a step; how many rows were changed."""
        changed = 0
        for sql, values in _steps(noun, name, rows):
            self.execute(sql, values)
            changed += self.connection.changes()
        return changed


def _steps(noun: Statements, name: str, rows: Sequence[Row]) -> Iterator[tuple[str, list[object]]]:
    done = 0
    for size in _STEPS:
        while len(rows) - done >= size:
            yield noun.rows(name, size), [value for row in rows[done : done + size] for value in row]
            done += size


def in_range(number: int) -> bool:
    """Whether SQLite can hold the integer: no row has an id that it cannot."""
    return -(1 << 63) <= number < 1 << 63


def many(ids: Collection[int]) -> object:
    """Ids as one value, for ``IN (SELECT value FROM carray(?))``. At least one; all in range."""
    return apsw.carray(array("q", ids))


def many_blobs(values: Collection[bytes]) -> object:
    """As `many`, for blobs."""
    return apsw.carray(tuple(values))


def translate(error: BaseException, *, at_commit: bool = False) -> Exception:
    """What a caller is told of an exception from inside a transaction."""
    if isinstance(error, TocsinError):
        return error
    if isinstance(error, apsw.FullError):
        return Unavailable("the disk is full; nothing was stored", code="store_unavailable")
    if isinstance(error, RESOURCE_ERRORS):
        # A commit whose sync failed can be on disk all the same, to be found after a crash.
        unknown = at_commit and isinstance(error, apsw.IOError)
        return Unavailable(
            f"the database does not answer: {error}", code="commit_unknown" if unknown else "store_unavailable"
        )
    if isinstance(error, (OverflowError, UnicodeError)):
        return Invalid(f"a value cannot be stored or looked for: {error}")
    if isinstance(error, Exception):
        return error
    return Unavailable(f"the store stopped: {error!r}", code="store_unavailable")
