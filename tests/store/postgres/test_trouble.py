import asyncio
from functools import partial

import asyncpg
import pytest

from tests.store.world import STORES, World
from tests.support.postgres import address, name_of
from tocsin.errors import Invalid, Misconfigured, TocsinError, Unavailable
from tocsin.store.port import Accepted, Stale, Unstorable
from tocsin.store.postgres.database import Address, Pool
from tocsin.store.postgres.errors import translate
from tocsin.store.postgres.writer import alone


async def cut(world: World) -> None:
    """Ends all connections to the world's database."""
    admin = await asyncpg.connect(address("postgres"))
    try:
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name_of(world.directory)
        )
    finally:
        await admin.close()


async def test_cut_connections_are_made_anew(world: World):
    """After all connections were cut, reads and writes go on over new ones, and nothing that was there is lost."""
    account = await world.account()
    event = await world.accept(account)
    again, last = await world.new_event(account), await world.new_event(account)
    await cut(world)
    assert await world.store.accounts.get(account.id) == account
    await cut(world)
    assert await world.ingest(again) == [Accepted()]
    await cut(world)
    assert await world.store.accounts.change(account, world.change()) != account
    await cut(world)
    assert await asyncio.gather(*(world.store.ready() for _ in range(30))) == [True] * 30
    assert await world.ingest(last) == [Stale()]
    for one in (event, again):
        assert await world.store.records.event(account.id, one.id) is not None


async def test_a_process_is_present_after_a_cut(world: World):
    """What a process runs under a key stays its own when its connections were cut, also in the eyes of others, until it
    is gone.
    """
    account = await world.account()
    key = (account.id, "POST /v1/webhooks", "k", b"d", world.now, world.now + 1_000)
    assert await world.store.idempotency.begin(*key) is None
    await cut(world)
    assert await world.store.idempotency.begin(*key) is not None
    other = await STORES["postgres"](world.directory, world.clock)
    try:
        assert await other.idempotency.begin(*key) is not None
        await world.store.cluster.leave(world.epoch)
        assert await world.store.idempotency.begin(*key) is not None
        assert await other.idempotency.begin(*key) is None
    finally:
        await other.close()


@pytest.mark.parametrize("cached", [100, 0])
async def test_the_server_gives_up_first(world: World, cached: int):
    """Every transaction has limits on the server too, whether its session keeps them or, behind a pooler, it must."""
    url = f"{address(name_of(world.directory))}&statement_cache_size={cached}"
    pool = Pool(Address(url))
    await pool.open()
    sql = "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
    assert tuple(await pool.read(lambda db: db.row(sql))) == ("3s", "8s")
    assert tuple(await alone(pool, lambda db: db.row(sql))) == ("3s", "8s")
    await pool.close()


async def test_nobody_waits_for_ever(world: World):
    """What hangs is cut off and told as refused, the connections that lie idle are made anew, and work goes on."""
    pool = Pool(Address(address(name_of(world.directory))), within_s=0.5)
    await pool.open()
    one, two = "SELECT pg_backend_pid()", "SELECT pg_backend_pid(), pg_sleep(0.05)"
    before = set(await asyncio.gather(*(pool.read(lambda db: db.value(two)) for _ in range(3))))
    for run in (pool.read, partial(alone, pool)):
        with pytest.raises(Unavailable) as told:
            await run(lambda db: db.value("SELECT pg_sleep(30)"))
        assert told.value.code == "store_unavailable"
    assert await pool.read(lambda db: db.value(one)) not in before
    await pool.close()


async def test_a_row_at_fault_fails_alone(world: World):
    """Of many events written together the one that cannot be stored is refused, and the others are stored."""
    account = await world.account()
    events = [await world.new_event(account, external_id=f"e{n}") for n in range(20)]
    events[7] = await world.new_event(account, matched=1 << 70)
    answers = await asyncio.gather(*(world.ingest(event) for event in events), world.ingest(*events[5:9]))
    for n, answer in enumerate(answers[:20]):
        assert isinstance(answer[0], Unstorable) == (n == 7)
    assert isinstance(answers[20][2], Unstorable)
    for n, event in enumerate(events):
        assert (await world.store.records.event(account.id, event.id) is None) == (n == 7)


@pytest.mark.parametrize(
    ("error", "at_commit", "code"),
    [
        (asyncpg.DiskFullError("full"), False, "store_unavailable"),
        (asyncpg.DeadlockDetectedError("deadlock"), False, "store_unavailable"),
        (asyncpg.InterfaceError("connection is closed"), False, "store_unavailable"),
        (asyncpg.InterfaceError("connection is closed"), True, "commit_unknown"),
        (asyncpg.ConnectionDoesNotExistError("gone"), True, "commit_unknown"),
        (asyncpg.AdminShutdownError("going"), True, "commit_unknown"),
        (asyncpg.TooManyConnectionsError("too many"), False, "store_unavailable"),
        (asyncpg.DiskFullError("full"), True, "store_unavailable"),
        (ConnectionResetError("reset"), True, "commit_unknown"),
        (TimeoutError(), True, "commit_unknown"),
        (asyncpg.DuplicatePreparedStatementError("there"), False, "store_unavailable"),
    ],
)
def test_what_the_server_refuses(error: Exception, *, at_commit: bool, code: str):
    """What the server or the way to it refuses is `Unavailable`; a commit that may have been is said to be unknown."""
    told = translate(error, at_commit=at_commit)
    assert isinstance(told, Unavailable)
    assert told.code == code


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.exceptions._base.DataError("out of range"),
        asyncpg.CharacterNotInRepertoireError("0x00"),
        OverflowError(),
    ],
)
def test_what_a_value_is_at_fault_for(error: Exception):
    """A value that cannot be stored is the caller's to mend."""
    assert isinstance(translate(error), Invalid)


def test_what_is_ours_stays():
    """Our own errors, and what nobody foresaw, are told as they are."""
    for error in (TocsinError("x"), asyncpg.UniqueViolationError("x"), ZeroDivisionError("x")):
        assert translate(error) is error


def test_addresses():
    """An address hides what is secret when it is shown; its own setting is taken out of it."""
    address = Address("postgresql://me:secret@host:1/name?statement_cache_size=0&sslmode=require")
    assert address.shown == "postgresql://host/name"
    assert address.statement_cache_size == 0
    assert address.dsn == "postgresql://me:secret@host:1/name?sslmode=require"
    assert Address("postgres://host/name").statement_cache_size == 100
    for wrong in ("mysql://host/name", "postgresql://host/name?statement_cache_size=x"):
        with pytest.raises(Misconfigured):
            Address(wrong)
