"""The SQLite file that is moved: read beside the server that writes it, or, with the lock, instead of it."""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import apsw
import msgspec

from tocsin import ids
from tocsin.clock import Millis
from tocsin.errors import Misconfigured
from tocsin.store.moving.nouns import Noun
from tocsin.store.moving.pieces import Bounds, Piece
from tocsin.store.sqlite import migrations
from tocsin.store.sqlite.cluster import last_id
from tocsin.store.sqlite.database import Database, Row, connect
from tocsin.store.sqlite.moved import MOVED_TO, MovedTo, moved_to
from tocsin.store.sqlite.statements import statements

_META = statements("meta")
_MOVING = statements("moving")

# What is read is read once: a large cache would only push the system's out.
_CACHE_KIB = 16_384

FINGERPRINT = "vault_fingerprint"  # in `meta`, see tocsin.app

# Rows at fault that are named, of each table.
_NAMED = 20


class Source:
    """One connection; for one thread at a time, whichever it is."""

    def __init__(self, path: Path, *, alone: bool) -> None:
        """`alone`: nobody else has the file open, and its lock is held.

        Raises:
            Misconfigured: there is no such file, or its schema is not this program's.
        """
        if not path.exists():
            raise Misconfigured(f"{path} is not there; name the file of the server that is to be moved in --from")
        self.path = path
        # Alone it may have to read a log that a killed server left, for which it must be allowed to write.
        connection = connect(path, readonly=not alone, cache_kib=_CACHE_KIB)
        self._db = Database(connection)
        try:
            _check_schema(connection, path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._db.connection.close()

    # --- what it is -----------------------------------------------------------------------------------------------

    @property
    def shown(self) -> str:
        return f"sqlite:///{self.path}"

    def meta(self, name: str) -> str | None:
        value: str | None = self._db.value(_META["get"], (name,))
        return value

    @property
    def fingerprint(self) -> str | None:
        """Of the key that its secrets are sealed with; None: no server ever ran on it."""
        return self.meta(FINGERPRINT)

    def identity(self) -> str:
        """Tells an installation from every other, wherever its file lies."""
        operator = self._db.value(_MOVING["operator"])
        return blake2b(f"{self.fingerprint} {operator}".encode(), digest_size=16).hexdigest()

    def since(self) -> Millis | None:
        """When the oldest of what it logs was made."""
        oldest = self._db.value(_MOVING["oldest"])
        return None if oldest is None else Millis(ids.made_at_ms(oldest))

    def last_id(self) -> int:
        """No id that it made is greater."""
        return last_id(self._db)

    # --- what it holds --------------------------------------------------------------------------------------------

    def read(self, noun: Noun, bounds: Bounds) -> Piece:
        """One piece, as of one moment."""
        self._db.execute("BEGIN")
        try:
            return noun.read(self._db, bounds)
        finally:
            self._db.execute("COMMIT")

    def count(self, table: str) -> int:
        count: int = self._db.value(f"SELECT count(*) FROM {table}")  # noqa: S608 - constants
        return count

    def with_nul(self, table: str, texts: Sequence[str], key: Sequence[str]) -> list[tuple[str, Row]]:
        """Rows with a NUL in one of the columns given, as that column's name and the row's key; the first of them."""
        has = [f"instr(CAST({column} AS BLOB), x'00') > 0" for column in texts]
        sql = f"SELECT {', '.join((*has, *key))} FROM {table} WHERE {' OR '.join(has)} LIMIT ?"  # noqa: S608 - constants
        return [(texts[row.index(1)], row[len(texts) :]) for row in self._db.execute(sql, (_NAMED,))]

    # --- the end --------------------------------------------------------------------------------------------------

    def moved_to(self) -> MovedTo | None:
        return moved_to(self._db.connection)

    def mark_moved(self, moved: MovedTo) -> None:
        """No server starts on it any more. Durable when it returns."""
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(_META["set"], (MOVED_TO, msgspec.json.encode(moved).decode()))

    def mark_unmoved(self) -> None:
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(_META["forget"], (MOVED_TO,))


def _check_schema(connection: apsw.Connection, path: Path) -> None:
    found = migrations.version(connection, path)
    if found != migrations.newest():
        raise Misconfigured(
            f"{path} has schema {found}, not {migrations.newest()}; run: tocsin migrate --db sqlite:///{path}"
        )
