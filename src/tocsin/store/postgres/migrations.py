"""Migrations: numbered files, applied by one process at a time; `schema_version` names them.

Each says in its head what it allows:

    -- beside: 3                   programs whose newest migration is 3, or a later one, may still run on the new schema
    -- outside a transaction       for CREATE INDEX CONCURRENTLY and its like: statements that each end a line with a
                                   semicolon, and can all be run again if one of them failed

What of all that is new is within a transaction is in one with its neighbours.
"""

import asyncio
import itertools
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from tocsin.errors import Misconfigured
from tocsin.store.postgres.database import Address, Database
from tocsin.store.postgres.errors import why
from tocsin.store.postgres.statements import ROOT, statements

_SCHEMA = statements("schema")

# A table of a hundred million rows may be indexed for hours.
_STATEMENT_S = 86_400

# Others may be migrating. Asked for again and again, not waited for: CREATE INDEX CONCURRENTLY waits for whoever has
# begun a statement before it, and so for one that waits for it.
_ASK_S = 0.2

# A change of a table waits for all that use it, and what comes after waits behind it: so not for long, but again. In a
# minute every statement of a server has ended.
_LOCK_TRIES = 20
LOCK_MS = 3_000
LOCK_PAUSE_S = 1.0


class Migration(msgspec.Struct, frozen=True):
    number: int
    name: str
    sql: str

    @property
    def beside(self) -> int:
        """The oldest schema whose programs may run beside it."""
        said = re.search(r"^-- beside: (\d+)$", self.sql, re.MULTILINE)
        return self.number if said is None else int(said[1])

    @property
    def transactional(self) -> bool:
        return re.search(r"^-- outside a transaction$", self.sql, re.MULTILINE) is None


@cache
def migrations(folder: Path | None = None) -> tuple[Migration, ...]:
    """All of them, in order, numbered from 1 without a gap."""
    found = []
    for file in (folder or ROOT / "migrations").iterdir():
        match = re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name)
        if match:
            found.append(Migration(int(match[1]), match[2], file.read_text()))
    found.sort(key=lambda migration: migration.number)
    return tuple(found)


def newest() -> int:
    return migrations()[-1].number


async def fits(db: Database) -> bool:
    """Whether this program may work with the schema: its own, or a newer one that allows it."""
    row = await db.row(_SCHEMA["version"], newest())
    return row is not None and row[0] >= newest() >= row[1]


async def version(connection: Any, shown: str, known: int | None = None) -> int:
    """The schema's number.

    Args:
        known: the newest that the program knows, if it is not this one.

    Raises:
        Misconfigured: the database is another program's, or a newer Tocsin's, beside which this one may not run.
    """
    known = newest() if known is None else known
    try:
        if not await connection.fetchval(_SCHEMA["there"]):
            if await connection.fetchval(_SCHEMA["empty"]):
                return 0
            raise Misconfigured(f"{shown} is another program's database; name another one in TOCSIN_DB")
        found, beside = await connection.fetchrow(_SCHEMA["version"], known)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise Misconfigured(f"{shown} cannot be read: {why(error)}") from None
    if beside > known:
        raise Misconfigured(
            f"{shown} has schema {found}, beside which programs from schema {beside} on may run; this one knows "
            f"{known}: use the newer Tocsin that wrote it"
        )
    return int(found)


async def apply(address: Address, steps: Sequence[Migration] | None = None) -> list[str]:
    """Brings the schema up to date; which migrations were applied. If one fails, neither it nor what follows is,
    nor its neighbours within the same transaction.

    Raises:
        Misconfigured: see `version`; or the database refuses.
    """
    wanted = migrations() if steps is None else steps
    connection = await address.connect()
    try:
        if await version(connection, address.shown, wanted[-1].number) >= wanted[-1].number:
            return []  # the usual case takes no lock
        # Who holds the lock does nothing else: what runs outside a transaction could not hold it.
        guard = await address.connect()
        try:
            await _lock(guard)
            return await _apply(connection, address.shown, wanted)
        finally:
            await guard.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise Misconfigured(f"{address.shown} cannot be migrated: {why(error)}") from error
    finally:
        await connection.close()


async def _lock(guard: Any) -> None:
    """Once nobody else migrates: as long as the transaction lasts that it leaves open."""
    while True:
        await guard.execute("BEGIN")
        ((locked,),) = await guard.fetch(_SCHEMA["lock"])
        if locked:
            await guard.execute(_SCHEMA["stay"])  # and lets go of the snapshot of the statement before
            return
        await guard.execute("ROLLBACK")
        await asyncio.sleep(_ASK_S)


async def _apply(connection: Any, shown: str, wanted: Sequence[Migration]) -> list[str]:
    found = await version(connection, shown, wanted[-1].number)
    applied = []
    missing = [step for step in wanted if step.number > found]
    for transactional, group in itertools.groupby(missing, lambda step: step.transactional):
        some = list(group)
        if transactional:
            await _within(connection, some)
        else:
            for step in some:
                await _outside(connection, step)
        applied += [f"{step.number:04d}_{step.name}" for step in some]
    return applied


async def _within(connection: Any, some: Sequence[Migration]) -> None:
    """As soon as nobody is in its way."""
    for n in range(_LOCK_TRIES):
        try:
            async with connection.transaction():
                await connection.fetch(_SCHEMA["hurry"], str(LOCK_MS))
                if some[0].number == 1:
                    await connection.execute(_SCHEMA["create"])
                for step in some:
                    await connection.execute(step.sql, timeout=_STATEMENT_S)
                    await _note(connection, step)
        except asyncpg.LockNotAvailableError:
            if n == _LOCK_TRIES - 1:
                raise
            await asyncio.sleep(LOCK_PAUSE_S)
        else:
            return


async def _outside(connection: Any, step: Migration) -> None:
    for statement in re.split(r";\s*$", step.sql, flags=re.MULTILINE):
        if re.sub(r"--.*", "", statement).strip():
            await connection.execute(statement, timeout=_STATEMENT_S)
    await _note(connection, step)


async def _note(connection: Any, step: Migration) -> None:
    await connection.execute(_SCHEMA["applied"], step.number, step.name, step.beside)
