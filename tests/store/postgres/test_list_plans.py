"""How PostgreSQL carries out what goes on from a place and stops at a bound: in the order of an index, never by
collecting all that an account has. Planned once for all values, and anew for a small account's.
"""

import asyncpg
import pytest

from tests.store.postgres.plans import FIRST, IDS, STEP, Planner, sorts
from tests.store.world import ALL, World
from tests.support.postgres import address, name_of
from tocsin.store.port import EventFilter
from tocsin.store.postgres import PostgresStore
from tocsin.store.postgres.database import Database
from tocsin.store.postgres.records import DELIVERIES
from tocsin.store.postgres.statements import statements

# One account has as much as 500 others together.
ROWS = f"""
INSERT INTO account
SELECT i, 'a', 'standard', 'UTC', NULL, NULL, '{{}}', 1, 0, 0, 0, NULL FROM generate_series(1, 501) AS i;
INSERT INTO event (account_id, id, type, timestamp, accepted_at, source, config_version, matched, visitor_id, data)
SELECT CASE WHEN i % 2 = 0 THEN 1 ELSE i % 500 + 2 END, id, 'click.created', i, i, 'api', 1, 1,
  convert_to('v' || i % 900, 'UTF8'), 'data'
FROM {IDS};
INSERT INTO delivery_log (account_id, id, event_id, webhook_id, at, attempts, tries, state, digest_id)
SELECT account_id, id + 1, id, account_id, timestamp, 1, 1, CASE WHEN timestamp % 7 = 0 THEN 21 ELSE 20 END,
  CASE WHEN timestamp % 5 = 0 THEN id + 1 - timestamp % 1000 * {STEP} END
FROM event WHERE timestamp % 3 > 0;
INSERT INTO delivery_live (account_id, id, event_id, webhook_id, at, claim_count, state)
SELECT account_id, id + 1, id, account_id, timestamp, 0, 10 FROM event WHERE timestamp % 3 = 0;
INSERT INTO attempt SELECT account_id, id, id, 'record' FROM delivery_log;
INSERT INTO dedupe SELECT account_id, 'e' || id, id FROM event;
INSERT INTO activity (account_id, id, kind, at, accepted_at, visitor_id, result, data)
SELECT account_id, id, 'visit', timestamp, accepted_at, visitor_id, '', data FROM event;
INSERT INTO trigger_state SELECT account_id, convert_to('key:' || timestamp, 'UTF8'), timestamp, timestamp, 'value'
FROM event;
INSERT INTO timer SELECT account_id, 'timer' || timestamp, timestamp FROM event;
ANALYZE;
"""

# Steps that must be there; of what asks for deliveries, those that have not ended too.
PINNED = {
    "record.events": ("Index Scan Backward using event_pkey on event",),
    "record.deliveries": (
        "Index Scan Backward using delivery_live_account on delivery_live",
        "Index Scan Backward using delivery_log_pkey on delivery_log",
    ),
    "list.event": (
        "Index Scan Backward using delivery_live_event on delivery_live",
        "Index Scan Backward using delivery_log_event_id_id_idx on delivery_log",
    ),
    "list.digest": ("Index Scan Backward using delivery_log_digest_id_id_idx on delivery_log",),
    "list.failed": ("Index Scan Backward using delivery_log_account_id_id_idx on delivery_log",),
    "record.attempts": ("Index Scan using attempt_pkey on attempt t",),
    "trigger.read": ("Index Scan using trigger_state_pkey on trigger_state s",),
    "trigger.scan": ("Index Scan using trigger_state_pkey on trigger_state s",),
    "trigger.activities": ("Index Scan using activity_pkey on activity t",),
    "trigger.due": ("Index Scan using timer_due on timer t",),
    "erasure.remembered": ("Index Scan using trigger_state_pkey on trigger_state",),
    "purge.bodies": (
        "Index Only Scan using delivery_live_event on delivery_live d",
        "Index Scan using event_id_idx on event e",
    ),
    "purge.events": (
        "Index Only Scan using delivery_live_event on delivery_live",
        "Index Only Scan using delivery_log_event_id_id_idx on delivery_log",
        "Index Scan using event_id_idx on event e",
    ),
    "purge.deliveries": ("Index Scan using delivery_log_id_idx on delivery_log d",),
    "purge.dedupe": ("Index Scan using dedupe_event on dedupe dedupe",),
    "purge.expired": ("Index Scan using trigger_state_look_at on trigger_state",),
    "purge.state_of_account": ("Index Scan using trigger_state_pkey on trigger_state trigger_state",),
}

# Statements that may sort, and what: a page of rows that were found, or what is due at one instant.
SORTS = {
    **dict.fromkeys(("record.events", "record.deliveries", "list.event", "list.digest", "list.failed"), "f.id"),
    "trigger.due": 't.due_at, t.account_id, t.name COLLATE "C"',
}

BEYOND = (1 << 63) - 1


def _of(account: int) -> dict[str, str]:
    page = f"{account}, {BEYOND}, 0, NULL"
    return {
        "record.events": f"{page}, NULL, NULL, 51, 5000",
        "record.deliveries": f"{page}, NULL, NULL, NULL, NULL, NULL, NULL, 51, 5000",
        "list.event": f"{page}, {FIRST}, NULL, NULL, NULL, NULL, NULL, 51, 5000",
        "list.digest": f"{page}, NULL, NULL, NULL, NULL, NULL, {FIRST}, 51, 5000",
        "list.failed": f"{page}, NULL, NULL, NULL, NULL, NULL, NULL, 51, 5000",
        "record.attempts": f"{account}, {FIRST}",
        "trigger.scan": f"{account}, 'key:', NULL, 'key;', 1000",
        "trigger.activities": f"{account}, 0, {BEYOND}, 1000",
        "erasure.remembered": f"{account}, NULL, 'v7', 5000",
        "purge.state_of_account": f"{account}, 1000",
        "purge.bodies": f"0, {BEYOND}, 1000",
        "purge.events": f"0, {BEYOND}, 1000",
        "purge.deliveries": f"0, {BEYOND}, 0, 1000",
    }


# Planned once for all values, and then run for a large account; planned anew for one with some 20 rows, which
# PostgreSQL would otherwise collect and sort. Values that are not known would rule all partitions out.
PLANNED = {"generic": _of(1), "custom": _of(3)}


def sql_of(which: str) -> str:
    noun, name = which.split(".")
    return DELIVERIES[name] if noun == "list" else statements(noun)[name]


@pytest.mark.parametrize("mode", PLANNED)
async def test_what_goes_on_from_a_place_follows_an_index(world: World, mode: str):
    """Each finds its first row at once, and the next beside it, however many rows its account has."""
    which = dict.fromkeys(PINNED) | PLANNED[mode] if mode == "generic" else PLANNED[mode]
    connection = await asyncpg.connect(address(name_of(world.directory)))
    faults = {}
    try:
        await connection.execute(ROWS)
        planner = Planner(connection)
        async with connection.transaction():
            await Database(connection).in_order()
            await connection.execute(f"SET LOCAL plan_cache_mode = force_{mode}_plan")
            for name, values in which.items():
                steps = await planner.plan(sql_of(name), values)
                if set(PINNED[name]) - set(steps) or sorts(steps) - {SORTS.get(name)}:
                    faults[name] = steps
    finally:
        await connection.close()
    assert faults == {}, "\n".join("\n    ".join((name, *steps)) for name, steps in faults.items())


async def test_what_a_list_asks_of_the_planner_ends_with_it(world: World):
    """The connection is as it was for whoever has it next."""
    account = await world.account()
    await world.accept(account)
    await world.store.records.events(account.id, EventFilter(), ALL)
    await world.store.triggers.scan(account.id, "", "", 9)
    assert isinstance(world.store, PostgresStore)
    assert await world.store._pool.read(lambda db: db.value("SHOW enable_bitmapscan")) == "on"
