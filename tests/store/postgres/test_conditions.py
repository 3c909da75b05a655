"""What a database is asked about itself: settings that work and are not what they should be, its clock, its nodes."""

import time

import asyncpg

from tests.store.world import World
from tests.support.postgres import address, name_of
from tocsin.store.postgres import open_postgres


async def found(world: World) -> dict[str, bool]:
    """What each condition begins with, and whether it is grave."""
    store = await open_postgres(address(name_of(world.directory)), clock=world.clock, readonly=True)
    try:
        return {one.detail.partition(":")[0]: one.grave for one in await store.housekeeping.conditions()}
    finally:
        await store.close()


async def test_settings_that_endanger_or_slow(world: World):
    """Each is named; grave are those by which what was answered can be lost."""
    of_tests = {"fsync is off": True, "full_page_writes is off": False, "autovacuum is off": False}
    assert await found(world) == of_tests
    url = address(name_of(world.directory))
    connection = await asyncpg.connect(url)
    await connection.execute(f"ALTER DATABASE {name_of(world.directory)} SET synchronous_commit = off")
    await connection.execute("ALTER TABLE webhook SET (autovacuum_enabled = false)")
    await connection.close()
    grown = of_tests | {"synchronous_commit is off": True, "autovacuum passes over webhook": False}
    assert await found(world) == grown


async def test_the_time_is_the_databases_own(world: World):
    """Whatever clock the program goes by."""
    stored = await world.store.cluster.stored_now()
    assert stored is not None
    assert abs(stored - time.time() * 1000) < 60_000 < abs(stored - world.now)


async def test_who_is_there_and_what_it_holds(world: World):
    """Each node with its name, when it was seen, and the shards that it sends for."""
    cluster, now = world.store.cluster, world.now
    before = [node.name for node in await cluster.nodes()]
    sender = await cluster.join(name="sender", sends=True, now=now, bury_before=now - 8_000)
    await cluster.join(name="asked", sends=False, now=now, bury_before=now - 8_000)
    standing = await cluster.beat(sender.epoch, now=now + 5, bury_before=now - 8_000, last_id=0)
    *_, first, second = await cluster.nodes()
    assert [node.name for node in await cluster.nodes()] == [*before, "sender", "asked"]
    assert (first.sends, first.seen_at, first.shards) == (True, now + 5, standing.held)
    assert (second.sends, second.seen_at, second.shards) == (False, now, frozenset())
    assert first.shards or before
