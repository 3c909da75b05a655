"""An installation as it lies there: its database, the key of its secrets, its dialects, its mail server. Looked at and
brought up to date, also beside servers that run.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from tocsin import databases, profiles
from tocsin.clock import Clock, SystemClock
from tocsin.config import Settings
from tocsin.engine.mail.server import MailServer
from tocsin.errors import Misconfigured
from tocsin.security.vault import Vault
from tocsin.store.port import Condition, Present, SchemaStatus, Store

if TYPE_CHECKING:
    from tocsin.store.moving import Moved, Tell

_VAULT_META = "vault_fingerprint"
_CLOCK_SAMPLES = 5


def mail_server(settings: Settings) -> MailServer | None:
    """Raises `Misconfigured` where the setting cannot be understood."""
    if settings.smtp_url is None:
        return None
    return MailServer(settings.smtp_url, settings.smtp_ca_file or settings.ca_file)


async def check_key_fits(store: Store, vault: Vault) -> None:
    """The first process of all settles which key it is.

    Raises:
        Misconfigured: it is another one.
    """
    if await store.housekeeping.keep_meta(_VAULT_META, vault.fingerprint) != vault.fingerprint:
        raise Misconfigured(
            "TOCSIN_SECRET_KEY (or the .key file beside the database) is not the key that this database's secrets "
            "were encrypted with; bring that key back"
        )


def missing_profiles(in_use: Mapping[str, int]) -> Mapping[str, int]:
    """Those of the profiles in use that are not there."""
    known = profiles.names()
    return {name: accounts for name, accounts in in_use.items() if name not in known}


class Examination(msgspec.Struct, frozen=True):
    """What `examine` found. `schema` None: there is no database yet; `key_fits` None: it has no secrets yet;
    `profiles_missing`: how many accounts have a profile that is not there; `nodes` and for how many seconds each was
    not seen; `clock_ahead_s`: of this machine, before the database's; None: it has none.
    """

    schema: SchemaStatus | None
    faults: Sequence[str] = ()
    key_fits: bool | None = None
    profiles_missing: Mapping[str, int] = {}
    conditions: Sequence[Condition] = ()
    nodes: Sequence[tuple[Present, float]] = ()
    clock_ahead_s: float | None = None


async def examine(settings: Settings, key: bytes | None) -> Examination:
    """Looks at the database without changing it, also beside a server that runs.

    Args:
        key: of the secrets, where there is one.

    Raises:
        Misconfigured: it is no database of ours, or a newer program's, or cannot be reached.
    """
    schema = await databases.schema_status(settings)
    if schema.found < schema.newest:
        return Examination(schema if schema.found else None)
    clock = SystemClock()
    store = await databases.open_store(settings, clock, readonly=True)
    try:
        known = await store.housekeeping.meta(_VAULT_META)
        fits = None if known is None else key is not None and Vault(key).fingerprint == known
        ahead_s = await _ahead_s(store, clock)
        now = clock.now_ms() - (ahead_s or 0.0) * 1000
        return Examination(
            schema,
            faults=await store.housekeeping.check(),
            key_fits=fits,
            profiles_missing=missing_profiles(await store.accounts.profiles()),
            conditions=await store.housekeeping.conditions(),
            nodes=[(node, max(0.0, (now - node.seen_at) / 1000)) for node in await store.cluster.nodes()],
            clock_ahead_s=ahead_s,
        )
    finally:
        await store.close()


async def _ahead_s(store: Store, clock: Clock) -> float | None:
    """Taken from the quickest of some answers: it is off by half of its round trip at most."""
    found: list[tuple[int, float]] = []
    for _ in range(_CLOCK_SAMPLES):
        before = clock.now_ms()
        stored = await store.cluster.stored_now()
        if stored is None:
            return None
        after = clock.now_ms()
        found.append((after - before, ((before + after) / 2 - stored) / 1000))
    return min(found)[1]


def schema_status(settings: Settings) -> SchemaStatus:
    """Raises `Misconfigured` where it is no database of ours, or a newer program's."""
    return asyncio.run(databases.schema_status(settings))


def migrate(settings: Settings) -> Sequence[str]:
    """Brings the database's schema up to date; which migrations were applied.

    Raises:
        Misconfigured: as `schema_status`; or a server has it open.
    """
    return asyncio.run(databases.migrate(settings))


def move(settings: Settings, source: str, target: str, tell: "Tell") -> "Moved":
    """Moves an installation from SQLite to PostgreSQL, as far as it can be done now.

    Raises:
        Misconfigured: it cannot be done so; nothing was changed.
        Unavailable: the target does not answer; the same call goes on where it was.
    """
    return asyncio.run(databases.move(settings, source, target, clock=SystemClock(), tell=tell))


def undo_move(settings: Settings, source: str, target: str | None) -> None:
    """Lets the source be served again, and the target, where one is named, no more. Raises as `move`."""
    asyncio.run(databases.undo_move(settings, source, target))
