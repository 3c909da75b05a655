"""Migrations: numbered files, applied in one transaction, by one process at a time; `schema_version` names them."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import asyncpg
import msgspec

from tocsin.errors import Misconfigured
from tocsin.store.postgres.statements import ROOT, statements

_SCHEMA = statements("schema")


class Migration(msgspec.Struct, frozen=True):
    number: int
    name: str
    sql: str


@cache
def migrations() -> tuple[Migration, ...]:
    """All of them, in order, numbered from 1 without a gap."""
    found = []
    for file in (ROOT / "migrations").iterdir():
        match = re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name)
        if match:
            found.append(Migration(int(match[1]), match[2], file.read_text()))
    found.sort(key=lambda migration: migration.number)
    return tuple(found)


def newest() -> int:
    return migrations()[-1].number


async def version(connection: Any, shown: str) -> int:
    """The schema's number.

    Raises:
        Misconfigured: the database is another program's, or a newer Tocsin's.
    """
    try:
        if not await connection.fetchval(_SCHEMA["there"]):
            if await connection.fetchval(_SCHEMA["empty"]):
                return 0
            raise Misconfigured(f"{shown} is another program's database; name another one in TOCSIN_DB")
        found = int(await connection.fetchval(_SCHEMA["version"]))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise Misconfigured(f"{shown} cannot be read: {error}") from None
    if found > newest():
        raise Misconfigured(
            f"{shown} has schema {found}, this program knows {newest()}: it was written by a newer Tocsin; use that one"
        )
    return found


async def apply(connection: Any, shown: str, steps: Sequence[Migration] | None = None) -> list[str]:
    """Brings the schema up to date; which migrations were applied. If one fails, none is.

    Raises:
        Misconfigured: see `version`; or the database refuses.
    """
    wanted = migrations() if steps is None else steps
    if await version(connection, shown) >= wanted[-1].number:
        return []  # the usual case takes no lock
    applied = []
    try:
        async with connection.transaction():
            await connection.execute(_SCHEMA["lock"])
            found = await version(connection, shown)
            if found == 0:
                await connection.execute(_SCHEMA["create"])
            for step in wanted:
                if step.number > found:
                    await connection.execute(step.sql)
                    await connection.execute(_SCHEMA["applied"], step.number, step.name)
                    applied.append(f"{step.number:04d}_{step.name}")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise Misconfigured(f"{shown} cannot be migrated: {error}") from error
    return applied
