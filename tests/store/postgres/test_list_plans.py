"""How PostgreSQL carries out what goes on from a place and stops at a bound: in the order of an index, never by
collecting all that an account has. Planned once for all values, and anew for a small account's.
"""

import re

import asyncpg
import pytest

from tests.store.world import ALL, World
from tests.support.postgres import address, name_of
from tocsin.store.port import EventFilter
from tocsin.store.postgres import PostgresStore
from tocsin.store.postgres.database import Database
from tocsin.store.postgres.records import DELIVERIES
from tocsin.store.postgres.statements import statements

# One account has as much as 500 others together.
ROWS = """
INSERT INTO account
SELECT i, 'a', 'standard', 'UTC', NULL, NULL, '{}', 1, 0, 0, 0, NULL FROM generate_series(1, 501) AS i;
INSERT INTO event (account_id, id, type, timestamp, accepted_at, source, config_version, matched, visitor_id, data)
SELECT CASE WHEN i % 2 = 0 THEN 1 ELSE i % 500 + 2 END, i, 'click.created', i, i, 'api', 1, 1,
  convert_to('v' || i % 900, 'UTF8'), 'data'
FROM generate_series(1, 20000) AS i;
INSERT INTO delivery (account_id, id, event_id, webhook_id, at, claim_count, state, digest_id)
SELECT account_id, id + 100000, id, account_id, id, 0, CASE WHEN id % 7 = 0 THEN 21 ELSE 20 END,
  CASE WHEN id % 5 = 0 THEN id / 1000 * 1000 + 100000 END
FROM event;
INSERT INTO attempt SELECT account_id, id, id, 'record' FROM delivery;
INSERT INTO dedupe SELECT account_id, 'e' || id, id FROM event;
INSERT INTO activity (account_id, id, kind, at, accepted_at, visitor_id, result, data)
SELECT account_id, id, 'visit', timestamp, accepted_at, visitor_id, '', data FROM event;
INSERT INTO trigger_state SELECT account_id, convert_to('key:' || id, 'UTF8'), id, id, 'value' FROM event;
INSERT INTO timer SELECT account_id, 'timer' || id, id FROM event;
ANALYZE;
"""

PINNED = {
    "record.events": "Index Scan Backward using event_pkey on event",
    "record.deliveries": "Index Scan Backward using delivery_pkey on delivery",
    "list.event": "Index Scan Backward using delivery_event on delivery",
    "list.digest": "Index Scan Backward using delivery_digest on delivery",
    "list.failed": "Index Scan Backward using delivery_failed on delivery",
    "record.attempts": "Index Scan using attempt_pkey on attempt t",
    "trigger.read": "Index Scan using trigger_state_pkey on trigger_state s",
    "trigger.scan": "Index Scan using trigger_state_pkey on trigger_state s",
    "trigger.activities": "Index Scan using activity_pkey on activity t",
    "trigger.due": "Index Scan using timer_due on timer t",
    "erasure.remembered": "Index Scan using trigger_state_pkey on trigger_state",
    "purge.bodies": "Index Scan using delivery_event on delivery d",
    "purge.events": "Index Only Scan using delivery_event on delivery d",
    "purge.deliveries": "Index Scan using delivery_id on delivery d",
    "purge.dedupe": "Index Scan using dedupe_event on dedupe dedupe_1",
    "purge.expired": "Index Scan using trigger_state_look_at on trigger_state",
    "purge.state_of_account": "Index Scan using trigger_state_pkey on trigger_state trigger_state_1",
}

# Statements that may sort, and what: a page of rows that were found, or what is due at one instant.
SORTS = {
    **dict.fromkeys(
        ("record.events", "record.deliveries", "list.event", "list.digest", "list.failed"), "Sort Key: f.id"
    ),
    "trigger.due": 'Sort Key: t.due_at, t.account_id, t.name COLLATE "C"',
}


# Planned anew, for an account with some 20 rows, which PostgreSQL would otherwise collect and sort.
OF_A_SMALL_ACCOUNT = {
    "record.events": "3, 1000000, 0, NULL, NULL, NULL, 51, 5000",
    "record.deliveries": "3, 1000000, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 51, 5000",
    "trigger.scan": "3, 'key:', NULL, 'key;', 1000",
    "trigger.activities": "3, 0, 1000000, 1000",
    "erasure.remembered": "3, NULL, 'v7', 5000",
    "purge.state_of_account": "3, 1000",
}


def sql_of(which: str) -> str:
    noun, name = which.split(".")
    return DELIVERIES[name] if noun == "list" else statements(noun)[name]


@pytest.mark.parametrize("once", [True, False])
async def test_what_goes_on_from_a_place_follows_an_index(world: World, once: bool):  # noqa: FBT001 - a case
    """Each finds its first row at once, and the next beside it, however many rows its account has."""
    connection = await asyncpg.connect(address(name_of(world.directory)))
    mode, which = ("generic", set(PINNED)) if once else ("custom", set(OF_A_SMALL_ACCOUNT))
    faults = {}
    try:
        await connection.execute(ROWS)
        async with connection.transaction():
            await Database(connection).in_order()
            await connection.execute(f"SET LOCAL plan_cache_mode = force_{mode}_plan")
            for name in sorted(which):
                sql = sql_of(name)
                await connection.execute(f"PREPARE probe AS {sql}")
                unknown = ", ".join(["NULL"] * max(int(n) for n in re.findall(r"\$(\d+)", sql)))
                values = unknown if once else OF_A_SMALL_ACCOUNT[name]
                rows = await connection.fetch(f"EXPLAIN (COSTS OFF) EXECUTE probe ({values})")
                await connection.execute("DEALLOCATE probe")
                steps = [row[0].strip().removeprefix("->").strip() for row in rows]
                sorts = [line.removesuffix(" DESC") for line in steps if line.startswith("Sort Key")]
                if PINNED[name] not in steps or set(sorts) - {SORTS.get(name)}:
                    faults[name] = steps
    finally:
        await connection.close()
    assert faults == {}


async def test_what_a_list_asks_of_the_planner_ends_with_it(world: World):
    """The connection is as it was for whoever has it next."""
    account = await world.account()
    await world.accept(account)
    await world.store.records.events(account.id, EventFilter(), ALL)
    await world.store.triggers.scan(account.id, "", "", 9)
    assert isinstance(world.store, PostgresStore)
    assert await world.store._pool.read(lambda db: db.value("SHOW enable_bitmapscan")) == "on"
