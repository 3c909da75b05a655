"""Settings of a PostgreSQL server, and ways to reach it, that work and still are not what they should be."""

from collections.abc import Iterator, Mapping, Sequence

from tocsin.store.port import Condition
from tocsin.store.postgres.database import Database
from tocsin.store.postgres.statements import statements

_HOUSEKEEPING = statements("housekeeping")


async def conditions(db: Database) -> Sequence[Condition]:
    settings = {str(name): str(value) for name, value in await db.rows(_HOUSEKEEPING["settings"])}
    frozen = [name for (name,) in await db.rows(_HOUSEKEEPING["tables_without_autovacuum"])]
    # Who makes the connection is told the number of the server's process. A pooler makes one up.
    pooled = await db.value(_HOUSEKEEPING["session"]) != db.connection.get_server_pid()
    return [*_of_keeping(settings), *_of_cleaning(settings, frozen), *_of_reaching(pooled)]


def _of_keeping(settings: Mapping[str, str]) -> Iterator[Condition]:
    if settings.get("synchronous_commit") == "off":
        yield Condition(
            grave=True,
            detail="synchronous_commit is off: a crash of its server loses what was answered",
            mend="ALTER DATABASE … SET synchronous_commit = on",
        )
    if settings.get("fsync") == "off":
        yield Condition(
            grave=True,
            detail="fsync is off: a power cut can destroy all of it",
            mend="ALTER SYSTEM SET fsync = on, then SELECT pg_reload_conf()",
        )
    if settings.get("full_page_writes") == "off":
        yield Condition(
            grave=False,
            detail="full_page_writes is off: a power cut can tear pages, unless the file system cannot",
            mend="ALTER SYSTEM SET full_page_writes = on, then SELECT pg_reload_conf()",
        )


def _of_cleaning(settings: Mapping[str, str], frozen: Sequence[str]) -> Iterator[Condition]:
    if settings.get("autovacuum") == "off":
        yield Condition(
            grave=False,
            detail="autovacuum is off: claims slow down with every delivery that was ever made",
            mend="ALTER SYSTEM SET autovacuum = on, then SELECT pg_reload_conf()",
        )
    if frozen:
        yield Condition(
            grave=False,
            detail=f"autovacuum passes over {', '.join(frozen)}: what reads them slows down",
            mend="ALTER TABLE … RESET (autovacuum_enabled)",
        )


def _of_reaching(pooled: bool) -> Iterator[Condition]:  # noqa: FBT001 - one fact
    if pooled:
        yield Condition(
            grave=False,
            detail="it is reached through a pooler",
            mend="in transaction mode it needs statement_cache_size=0 in the address; see how to scale out",
        )
