"""The PostgreSQL database that is filled: whose move it is, which pieces it has, and what is in them.

A piece and the note of it are one transaction, so that whatever ends a run, the next goes on where it was. Which run a
move belongs to is a row that each transaction locks: one that was started later takes the move over, and the one before
is refused.
"""

import secrets
from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from tocsin import failpoints
from tocsin.clock import Millis
from tocsin.errors import Misconfigured, TocsinError, Unavailable
from tocsin.store.moving.nouns import NOUNS, Noun, Table
from tocsin.store.moving.pieces import Key, Piece, Row
from tocsin.store.moving.source import FINGERPRINT
from tocsin.store.postgres import migrations, partitions
from tocsin.store.postgres.database import Address
from tocsin.store.postgres.errors import is_resource_error
from tocsin.store.postgres.moved import MOVED_FROM, MOVING, Move
from tocsin.store.postgres.statements import statements

_META = statements("meta")
_MOVING = statements("moving")
_NODE = statements("node")

_RUN = "moving.run"

# The node's number in all ids that a server on SQLite makes.
_NUMBER = 0

# Counting all rows of a table reads all of it.
_COUNT_S = 3_600.0

_pack = msgspec.msgpack.Encoder().encode


class Kept(msgspec.Struct, frozen=True):
    """A piece as it was written."""

    number: int
    beyond: Key
    upto: Key
    counts: Sequence[int]
    digest: bytes


class Target:
    """One connection, and one transaction after the other."""

    def __init__(self, connection: Any, shown: str) -> None:
        self._connection = connection
        self.shown = shown
        self._run = secrets.token_bytes(8)

    async def close(self) -> None:
        await self._connection.close()

    # --- whose move it is -----------------------------------------------------------------------------------------

    async def move(self) -> tuple[Move, bool] | None:
        """The move that fills it, or did, and whether that is complete."""
        for name in (MOVING, MOVED_FROM):
            found = await self._connection.fetchval(_META["get"], name)
            if found is not None:
                return msgspec.json.decode(found, type=Move), name == MOVED_FROM
        return None

    async def in_use(self) -> str | None:
        """The first of the tables that holds something already."""
        for noun in NOUNS:
            for table in noun.tables:
                if await self._connection.fetchval(f"SELECT EXISTS (SELECT FROM {table.name})"):  # noqa: S608 - constants
                    return table.name
        return None

    async def at_work(self, since: Millis) -> str | None:
        """Where a process is that works on it: it would send what is not wholly moved yet."""
        name: str | None = await self._connection.fetchval(_MOVING["at_work"], since)
        return name

    async def take(self, move: Move) -> None:
        """From here on it is this run that fills the database, and no server starts on it."""
        async with self._connection.transaction():
            await self._connection.execute(_META["set"], _RUN, self._run)
            await self._connection.execute(_META["set"], MOVING, msgspec.json.encode(move))

    async def lay_out(self, now: Millis, since: Millis | None) -> None:
        """Makes the partitions of what is to come, and then those of what was: before the first row."""
        await partitions.lay_out(self._connection, now)
        if since is not None:
            await partitions.lay_out(self._connection, now, since)

    async def _mine(self) -> None:
        if not await self._connection.fetchval(_MOVING["mine"], self._run):
            raise Unavailable("another tocsin migrate has taken this move over", code="not_owner")

    # --- pieces ---------------------------------------------------------------------------------------------------

    async def pieces(self, noun: Noun) -> list[Kept]:
        return [
            Kept(number, _key(beyond), _key(upto), counts, digest)
            for number, beyond, upto, counts, digest in await self._connection.fetch(_MOVING["pieces"], noun.name)
        ]

    async def write(self, noun: Noun, number: int, beyond: Key, upto: Key, piece: Piece) -> Kept:
        """Writes one that is not there, or was emptied."""
        kept = Kept(number, beyond, upto, piece.counts, piece.digest)
        async with self._connection.transaction():
            await self._connection.execute(_MOVING["losable"])
            await self._mine()
            for table, rows in zip(noun.tables, piece.rows, strict=True):
                if rows:
                    await self._connection.copy_records_to_table(table.name, records=rows, columns=table.columns)
            await self._keep(noun, kept)
            failpoints.reach("before_piece")
        failpoints.reach("after_piece")
        return kept

    async def empty(self, noun: Noun, pieces: Sequence[Kept]) -> None:
        """Takes the rows of pieces out."""
        nothing = Piece(None, tuple(() for _ in noun.tables))
        for kept in pieces:
            async with self._connection.transaction():
                await self._connection.execute(_MOVING["losable"])
                await self._mine()
                await self._connection.execute(_MOVING["by_index"])
                for table in reversed(noun.tables):
                    await self._connection.execute(_delete(table), *noun.there(kept.beyond), *noun.there(kept.upto))
                await self._keep(noun, Kept(kept.number, kept.beyond, kept.upto, nothing.counts, nothing.digest))
            failpoints.reach("after_emptied")

    async def _keep(self, noun: Noun, kept: Kept) -> None:
        await self._connection.execute(
            _MOVING["keep"],
            noun.name,
            kept.number,
            _pack(kept.beyond),
            _pack(kept.upto),
            kept.counts,
            kept.digest,
        )

    async def read_back(self, noun: Noun, kept: Kept) -> Piece:
        """What stands there now."""
        rows: list[Sequence[Row]] = []
        async with self._connection.transaction():
            await self._connection.execute(_MOVING["by_index"])
            for table in noun.tables:
                found = await self._connection.fetch(_select(table), *noun.there(kept.beyond), *noun.there(kept.upto))
                rows.append([tuple(row) for row in found])
        return Piece(kept.upto, tuple(rows))

    async def count(self, table: Table) -> int:
        """All its rows."""
        count: int = await self._connection.fetchval(f"SELECT count(*) FROM {table.name}", timeout=_COUNT_S)  # noqa: S608
        return count

    async def texts(self, table: Table) -> Sequence[str]:
        """The columns in which there can be no NUL."""
        found = {name for (name,) in await self._connection.fetch(_MOVING["texts"], table.name)}
        return [column for column in table.columns if column in found]

    # --- the end --------------------------------------------------------------------------------------------------

    async def complete(self, move: Move, fingerprint: str, last_id: int) -> None:
        """From here on servers start on it. `last_id`: no id greater than it was ever made."""
        await self._connection.execute("ANALYZE", timeout=_COUNT_S)
        async with self._connection.transaction():
            await self._mine()
            await self._connection.execute(_MOVING["number_audit_on"])
            await self._connection.execute(_NODE["keep_number"], _NUMBER, last_id)
            await self._connection.execute(_META["set"], FINGERPRINT, fingerprint.encode())
            await self._connection.execute(_META["set"], MOVED_FROM, msgspec.json.encode(move))
            await self._connection.execute(_META["forget"], [MOVING, _RUN])
            await self._connection.execute(_MOVING["empty"])

    async def give_up(self, move: Move) -> None:
        """What it holds is not to be served any more."""
        async with self._connection.transaction():
            await self._connection.execute(_META["set"], MOVING, msgspec.json.encode(move))
            await self._connection.execute(_META["forget"], [MOVED_FROM])


async def open_target(url: str) -> Target:
    """Raises `Misconfigured` where it cannot be opened, is another program's, or does not hold every text."""
    address = Address(url)
    connection = await address.connect()
    try:
        await _check_encoding(connection, address.shown)
        await migrations.apply(address)
    except BaseException:
        await connection.close()
        raise
    return Target(connection, address.shown)


async def _check_encoding(connection: Any, shown: str) -> None:
    if not await connection.fetchval(_MOVING["utf8"]):
        raise Misconfigured(f"{shown} is not in UTF-8; make one with: createdb --encoding=UTF8")


def told(error: Exception, shown: str) -> Exception:
    """What a person is told of an exception from the database."""
    if isinstance(error, TocsinError):
        return error
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return Misconfigured(f"{shown}: {error}; the user of its address must own the database, or its tables")
    if is_resource_error(error):
        return Unavailable(
            f"{shown} does not answer: {error or type(error).__name__}; run the same command again: it goes on where "
            "it was",
            code="store_unavailable",
        )
    return error


def _key(packed: bytes) -> Key:
    return msgspec.msgpack.decode(packed, type=tuple)


def _among(table: Table, alias: str = "") -> str:
    n = len(table.place)
    place = ", ".join(f"{alias}{column}" for column in table.place)
    low, high = (", ".join(f"${i}" for i in range(first, first + n)) for first in (1, n + 1))
    return f"({place}) > ({low}) AND ({place}) <= ({high})"


def _select(table: Table) -> str:
    if table.parent is None:
        columns, place = ", ".join(table.columns), ", ".join(table.place)
        return f"SELECT {columns} FROM {table.name} WHERE {_among(table)} ORDER BY {place}"  # noqa: S608 - constants
    columns = ", ".join(f"t.{column}" for column in table.columns)
    (place,) = table.place
    return (
        f"SELECT {columns} FROM {table.parent} AS p JOIN {table.name} AS t "  # noqa: S608 - constants
        f"ON t.account_id = p.account_id AND t.{place} = p.id AND {_among(table, 't.')} "
        f"WHERE p.id > $1 AND p.id <= $2 ORDER BY t.{place}, t.{table.then}"
    )


def _delete(table: Table) -> str:
    if table.parent is None:
        return f"DELETE FROM {table.name} WHERE {_among(table)}"  # noqa: S608 - constants
    (place,) = table.place
    return (
        f"DELETE FROM {table.name} AS t USING {table.parent} AS p "  # noqa: S608 - constants
        f"WHERE t.account_id = p.account_id AND t.{place} = p.id AND {_among(table, 't.')} AND p.id > $1 AND p.id <= $2"
    )
