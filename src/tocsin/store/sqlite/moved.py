"""Whether what a file holds was moved to another database: then no server may start on it."""

import apsw
import msgspec

from tocsin.clock import Millis
from tocsin.errors import Misconfigured
from tocsin.store.sqlite.statements import statements

_META = statements("meta")

MOVED_TO = "moved_to"  # in `meta`


class MovedTo(msgspec.Struct, frozen=True, kw_only=True):
    """What `meta` says of it."""

    address: str  # without what may be secret
    token: str  # which move it was: the database has it too
    at: Millis


def moved_to(connection: apsw.Connection) -> MovedTo | None:
    row = next(connection.execute(_META["get"], (MOVED_TO,)), None)
    return None if row is None else msgspec.json.decode(row[0], type=MovedTo)


def refuse_moved(connection: apsw.Connection, path: object) -> None:
    """Raises `Misconfigured` where it was moved."""
    moved = moved_to(connection)
    if moved is not None:
        raise Misconfigured(
            f"{path} was moved to {moved.address}: start the server with TOCSIN_DB={moved.address}, or go back to the "
            f"file with tocsin migrate --from sqlite:///{path} --undo"
        )
