import pytest

from tests.store.world import STORES, World
from tocsin.errors import Misconfigured


async def test_a_second_owner_is_refused(world: World):
    """While a store is open nobody else opens it; the refusal names the process. Afterwards it opens again."""
    with pytest.raises(Misconfigured, match=r"already open by process \d+"):
        await STORES[world.name](world.directory, world.clock)
    await world.reopen()
    assert await world.store.ready()
