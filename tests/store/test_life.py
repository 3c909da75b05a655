import asyncio
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.store.world import STORES, World, forget
from tocsin.clock import Millis
from tocsin.errors import Unavailable


async def test_small_facts_are_kept(world: World):
    """The first fact by a name is kept, over restarts too, and whoever comes later is told it."""
    housekeeping = world.store.housekeeping
    assert await housekeeping.meta("key") is None
    assert await housekeeping.keep_meta("key", "b\x00é") == "b\x00é"
    assert await housekeeping.keep_meta("key", "another") == "b\x00é"
    await world.reopen()
    assert await world.store.housekeeping.meta("key") == "b\x00é"


async def test_a_healthy_store_has_nothing_to_report(world: World):
    """A store that is open is ready, and its own check finds nothing wrong."""
    account = await world.account()
    await world.accept(account, await world.webhook(account), external_id="e")
    assert await world.store.ready()
    assert await world.store.housekeeping.check() == []


async def test_a_closed_store_refuses(world: World):
    """After closing, every call is refused as unavailable, and closing again is harmless."""
    account = await world.account()
    store = world.store
    await store.close()
    await store.close()
    assert not await store.ready()
    for call in (
        lambda: store.accounts.get(account.id),
        lambda: store.accounts.remove(account.id, world.change()),
        lambda: store.journal.claim([], Millis(0), world.epoch),
    ):
        with pytest.raises(Unavailable):
            await call()
    await world.open()


async def test_closing_finishes_what_was_begun(world: World):
    """Writes asked for before closing are answered and durable."""
    account = await world.account()
    events = [await world.new_event(account) for _ in range(50)]
    writes = [asyncio.ensure_future(world.ingest(event)) for event in events]
    await asyncio.sleep(0)
    await world.store.close()
    await asyncio.gather(*writes)
    await world.open()
    for event in events:
        assert await world.store.records.event(account.id, event.id) is not None


async def test_a_caller_that_goes_away_disturbs_nobody(world: World):
    """A call that is cancelled while it waits harms no other."""
    account = await world.account()
    events = [await world.new_event(account) for _ in range(20)]
    writes = [asyncio.ensure_future(world.ingest(event)) for event in events]
    await asyncio.sleep(0)
    for write in writes[::2]:
        write.cancel()
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [isinstance(result, list) for result in results] == [False, True] * 10
    for event in events[1::2]:
        assert await world.store.records.event(account.id, event.id) is not None


@pytest.mark.parametrize("name", sorted(STORES))
def test_a_store_serves_one_event_loop_after_another(name: str):
    """Opened, used and closed in one loop, a store can be opened in the next."""
    directory = Path(tempfile.mkdtemp())

    async def use() -> int:
        async with World(name, directory) as world:
            return world.epoch

    try:
        assert asyncio.run(use()) < asyncio.run(use())
    finally:
        asyncio.run(forget(name, directory))
        shutil.rmtree(directory)
