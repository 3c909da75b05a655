"""Migrations: numbered files, each applied in one transaction; the database's `user_version` is the last one."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import apsw
import msgspec

from tocsin.errors import Misconfigured
from tocsin.store.port import SchemaStatus
from tocsin.store.sqlite.database import connect
from tocsin.store.sqlite.statements import ROOT

# "tocs": tells our files from other programs' databases.
APPLICATION_ID = 0x746F6373


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


def version(connection: apsw.Connection, path: Path) -> int:
    """The schema's number.

    Raises:
        Misconfigured: the file is no database of ours, or a newer program's.
    """
    try:
        found = int(connection.pragma("user_version"))
        ours = int(connection.pragma("application_id")) == APPLICATION_ID
        empty = found == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()[0][0] == 0
    except apsw.Error as error:
        raise Misconfigured(f"{path} cannot be read: {error}") from None
    if not ours and not empty:
        raise Misconfigured(f"{path} is another program's database; name another file in TOCSIN_DB")
    if found > newest():
        raise Misconfigured(
            f"{path} has schema {found}, this program knows {newest()}: it was written by a newer Tocsin; use that one"
        )
    return found


def apply(connection: apsw.Connection, path: Path, steps: Sequence[Migration] | None = None) -> list[str]:
    """Brings the schema up to date; which migrations were applied. What fails leaves the schema before it.

    Raises:
        Misconfigured: see `version`; or the database refuses.
    """
    found = version(connection, path)
    applied = []
    try:
        if found == 0:
            connection.pragma("application_id", APPLICATION_ID)
        for step in migrations() if steps is None else steps:
            if step.number > found:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    connection.execute(step.sql)
                    connection.pragma("user_version", step.number)
                    connection.execute("COMMIT")
                except apsw.Error:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
                applied.append(f"{step.number:04d}_{step.name}")
    except apsw.Error as error:
        raise Misconfigured(f"{path} cannot be migrated: {error}") from error
    return applied


def status(path: Path) -> SchemaStatus:
    """Looks at the schema without touching it; works while a server has the file open.

    Raises:
        Misconfigured: see `version`.
    """
    if not path.exists():
        return SchemaStatus(0, newest())
    connection = connect(path, readonly=True, cache_kib=256)
    try:
        return SchemaStatus(version(connection, path), newest())
    finally:
        connection.close()
