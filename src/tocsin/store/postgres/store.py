"""Opens a database and puts the roles together."""

from tocsin.clock import Clock
from tocsin.errors import Misconfigured, TocsinError
from tocsin.store.port import SchemaStatus
from tocsin.store.postgres import migrations, partitions
from tocsin.store.postgres.accounts import PostgresAccounts, PostgresKeys
from tocsin.store.postgres.cluster import PostgresCluster
from tocsin.store.postgres.database import Address, Pool
from tocsin.store.postgres.digests import PostgresDigests
from tocsin.store.postgres.erasure import PostgresErasure
from tocsin.store.postgres.housekeeping import PostgresHousekeeping, faults
from tocsin.store.postgres.idempotency import PostgresIdempotency
from tocsin.store.postgres.journal import PostgresJournal
from tocsin.store.postgres.moved import refuse_incomplete
from tocsin.store.postgres.news import PostgresNews
from tocsin.store.postgres.notices import PostgresNotices
from tocsin.store.postgres.records import PostgresRecords
from tocsin.store.postgres.triggers import PostgresTriggers
from tocsin.store.postgres.webhooks import PostgresCatalogue, PostgresSnapshots, PostgresWebhooks
from tocsin.store.postgres.writer import Writer

# A statement of a beat that has not ended by then will not: its connection hangs, and others will soon think that the
# process is gone.
_BEAT_S = 3


class PostgresStore:
    """`store.port.Store` on one database. Made by `open_postgres`."""

    def __init__(self, address: Address, pool: Pool, beats: Pool, clock: Clock) -> None:
        self._pool = pool
        self._beats = beats
        self._writer = writer = Writer(pool)
        self.journal = PostgresJournal(writer, pool)
        self.cluster = PostgresCluster(beats)
        self.news = PostgresNews(address, pool)
        self.accounts = PostgresAccounts(writer, pool)
        self.keys = PostgresKeys(writer, pool)
        self.catalogue = PostgresCatalogue(writer, pool)
        self.digests = PostgresDigests(writer, pool)
        self.webhooks = PostgresWebhooks(writer, pool)
        self.snapshots = PostgresSnapshots(pool)
        self.notices = PostgresNotices(writer, pool)
        self.idempotency = PostgresIdempotency(writer, self.cluster)
        self.records = PostgresRecords(pool, clock)
        self.housekeeping = PostgresHousekeeping(writer, pool)
        self.erasure = PostgresErasure(writer, pool)
        self.triggers = PostgresTriggers(writer, pool)

    async def ready(self) -> bool:
        try:
            return await self._pool.read(migrations.fits)
        except TocsinError:
            return False

    async def close(self) -> None:
        await self._writer.close()
        await self.news.close()
        await self._pool.close()
        await self._beats.close()


async def open_postgres(
    url: str,
    *,
    clock: Clock,
    readonly: bool = False,
) -> PostgresStore:
    """Opens the database and brings its schema up to date.

    Args:
        clock: says which weeks of the logs are the latest; otherwise the store takes every instant as an argument.
        readonly: looks beside running servers: nothing is migrated, every write is refused.

    Raises:
        Misconfigured: it cannot be reached, or is no database of ours, or is a newer program's, or a move into it is
            not complete; read-only, also: its schema is not this program's.
    """
    address = Address(url)
    connection = await address.connect()
    try:
        if readonly:
            found = await migrations.version(connection, address.shown)
            if found < migrations.newest():
                raise Misconfigured(
                    f"{address.shown} has schema {found}, not {migrations.newest()}; run: tocsin migrate"
                )
        else:
            await migrations.apply(address)
        await refuse_incomplete(connection, address.shown)
        if not readonly:
            await partitions.lay_out(connection, clock.now_ms())
    finally:
        await connection.close()
    pool = Pool(address, readonly=readonly)
    beats = Pool(address, readonly=readonly, connections=1, within_s=_BEAT_S)
    await pool.open()
    await beats.open()
    return PostgresStore(address, pool, beats, clock)


async def check(url: str) -> list[str]:
    """What is wrong with a database; empty: nothing.

    Raises:
        Misconfigured: it cannot be reached.
    """
    pool = Pool(Address(url), readonly=True)
    await pool.open()
    try:
        return await pool.read(faults)
    finally:
        await pool.close()


async def schema_status(url: str) -> SchemaStatus:
    """Looks at the schema without touching it.

    Raises:
        Misconfigured: see `migrations.version`.
    """
    address = Address(url)
    connection = await address.connect()
    try:
        return SchemaStatus(await migrations.version(connection, address.shown), migrations.newest())
    finally:
        await connection.close()


async def migrate(url: str) -> list[str]:
    """Brings the schema up to date; which migrations were applied.

    Raises:
        Misconfigured: as `open_postgres`.
    """
    return await migrations.apply(Address(url))
