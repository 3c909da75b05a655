"""Which store an address names: the one place that knows them all."""

from collections.abc import Sequence

from tocsin.clock import Clock
from tocsin.config import Settings
from tocsin.errors import Misconfigured
from tocsin.security.vault import read_or_make_key
from tocsin.store import sqlite
from tocsin.store.port import SchemaStatus, Store

# The other store is imported by those who use it: its driver takes as long to load as a small command takes to run.


async def open_store(settings: Settings, clock: Clock, *, readonly: bool = False) -> Store:
    """Raises `Misconfigured` where it cannot be opened."""
    url = settings.postgres_url()
    if url is None:
        return await sqlite.open_sqlite(settings.sqlite_path(), clock=clock, readonly=readonly)
    from tocsin.store import postgres  # noqa: PLC0415 - see above

    if not readonly:
        secret_key(settings)  # without one nothing is made
    return await postgres.open_postgres(url, clock=clock, readonly=readonly)


def secret_key(settings: Settings) -> bytes:
    """The key of the secrets in the database; beside a file it is made where there is none.

    Raises:
        Misconfigured: there is none, or it is no key.
    """
    given = settings.vault_key()
    if given is not None:
        return given
    if settings.postgres_url() is not None:
        raise Misconfigured(
            "TOCSIN_SECRET_KEY is not set; a PostgreSQL database has no file beside it to keep one in: make one with "
            "openssl rand -base64 32, and keep a copy of it elsewhere"
        )
    path = settings.sqlite_path()
    return read_or_make_key(path.with_name(path.name + ".key"))


async def schema_status(settings: Settings) -> SchemaStatus:
    """Where the schema stands.

    Raises:
        Misconfigured: it is no database of ours, or a newer program's, or it cannot be reached.
    """
    url = settings.postgres_url()
    if url is None:
        return sqlite.schema_status(settings.sqlite_path())
    from tocsin.store import postgres  # noqa: PLC0415 - see above

    return await postgres.schema_status(url)


async def migrate(settings: Settings) -> Sequence[str]:
    """Brings the schema up to date; which migrations were applied.

    Raises:
        Misconfigured: as `schema_status`; or a server has the file open.
    """
    url = settings.postgres_url()
    if url is None:
        return sqlite.migrate(settings.sqlite_path())
    from tocsin.store import postgres  # noqa: PLC0415 - see above

    return await postgres.migrate(url)
