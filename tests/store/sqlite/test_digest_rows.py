"""What digests leave in the file itself."""

from pathlib import Path

import apsw
import pytest

from tests.store.test_digest_keeping import send, whole
from tests.store.test_retention import DAY_S, purge, purge_all
from tests.store.world import World


@pytest.mark.parametrize("removed", [False, True])
async def test_nothing_of_a_digest_is_left(world: World, tmp_path: Path, removed: bool):  # noqa: FBT001 - a case
    """Once its time is over no table holds anything of a digest, its members or its window."""
    account = await world.account()
    webhook, _, _ = await whole(world, account)
    connection = apsw.Connection(str(tmp_path / "tocsin.db"), flags=apsw.SQLITE_OPEN_READONLY)

    def rows() -> list[int]:
        tables = ("digest", "digest_window", "delivery", "event", "attempt")
        return [connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] for table in tables]

    world.clock.advance(60)
    await send(world, webhook)
    assert rows() == [1, 1, 3, 3, 1]
    if removed:
        await world.store.accounts.remove(account.id, world.change("account.removed"))
        world.clock.advance(7_200)
        for _ in range(12):
            await purge(world)
    else:
        world.clock.advance(100 * DAY_S)
        await purge_all(world)
    assert rows() == [0] * 5
    connection.close()
