"""What an erasure leaves in the file itself."""

from pathlib import Path

import apsw

from tests.store.test_erasure import BODY, ID, erase
from tests.store.test_triggers import new_activity, write
from tests.store.world import World
from tocsin.clock import Millis


async def test_no_row_names_the_visitor(world: World, tmp_path: Path):
    """After an erasure no value of any table holds the visitor's id, not even what is to be looked at later."""
    account = await world.account()
    webhook = await world.webhook(account)
    event = await world.accept(account, webhook, visitor_id=ID, data=BODY, claimed=True)
    await world.settle(world.settlement(event.deliveries[0].id))
    until = Millis(world.now + 10**9)
    await write(
        world,
        account,
        activities=(new_activity(world, visitor_id=ID, data=BODY),),
        puts={f"visitor:{ID}": (b"1", until), "visitor:other": (b"1", until)},
    )
    connection = apsw.Connection(str(tmp_path / "tocsin.db"), flags=apsw.SQLITE_OPEN_READONLY)

    def naming() -> set[str]:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {
            table
            for table in tables
            for row in connection.execute(f"SELECT * FROM {table}")
            if any(ID in _text(value) for value in row)
        }

    assert naming() == {"event", "activity", "trigger_state", "trigger_expiry"}
    await erase(world, account)
    assert naming() == set()
    assert connection.execute("SELECT count(*) FROM trigger_expiry").fetchall() == [(1,)]
    connection.close()


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
