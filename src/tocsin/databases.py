"""Which store an address names: the one place that knows them all."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tocsin.clock import Clock
from tocsin.config import Settings
from tocsin.errors import Misconfigured
from tocsin.security.vault import Vault, read_or_make_key
from tocsin.store import sqlite
from tocsin.store.port import SchemaStatus, Store

if TYPE_CHECKING:
    from tocsin.store.moving import Moved, Tell

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
    return read_or_make_key(_key_file(settings.sqlite_path()))


def _key_file(path: Path) -> Path:
    return path.with_name(path.name + ".key")


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


async def move(settings: Settings, source: str, target: str, *, clock: Clock, tell: "Tell") -> "Moved":
    """Moves the installation of one address to another, as far as it can be done now; see `store.moving`.

    Args:
        settings: of these, the key of the secrets; else it is in the file beside the source.

    Raises:
        Misconfigured: an address is of the wrong kind, or it cannot be done so; nothing was changed.
        Unavailable: the target does not answer; the same call goes on where it was.
    """
    from tocsin.store import moving  # noqa: PLC0415 - see above

    path, url = _from(settings, source), _to(settings, target)
    key = settings.vault_key()
    if key is None and _key_file(path).exists():
        key = read_or_make_key(_key_file(path))
    fingerprint = None if key is None else Vault(key).fingerprint
    return await moving.move(path, url, fingerprint=fingerprint, clock=clock, tell=tell)


async def undo_move(settings: Settings, source: str, target: str | None) -> None:
    """Lets the source be served again, and the target, where one is named, no more.

    Raises:
        Misconfigured: an address is of the wrong kind, or that was not moved.
        Unavailable: the target does not answer; nothing was changed.
    """
    from tocsin.store import moving  # noqa: PLC0415 - see above

    await moving.undo(_from(settings, source), None if target is None else _to(settings, target))


def _from(settings: Settings, address: str) -> Path:
    if not address.startswith("sqlite:///"):
        raise Misconfigured(f"--from {address}: write the address of a file, such as sqlite:///tocsin.db")
    return msgspec.structs.replace(settings, db=address).sqlite_path()


def _to(settings: Settings, address: str) -> str:
    url = msgspec.structs.replace(settings, db=address).postgres_url()
    if url is None:
        raise Misconfigured(f"--to {address}: write the address of a database, such as postgresql://host/name")
    return url
