"""How PostgreSQL carries statements out: none goes through a table that grows, and the hot ones use the index meant for
them, also when their plan is made once for all values.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg

from tests.store.postgres.plans import IDS, STEP, Planner, through
from tests.store.world import World
from tests.support.postgres import address, name_of
from tocsin.store.postgres.partitions import LOGS
from tocsin.store.postgres.statements import ROOT, statements

# But for those whose tables are put in: they are about partitions as such.
NOUNS = sorted(
    file.name.removesuffix(".sql")
    for file in ROOT.iterdir()
    if file.name.endswith(".sql") and file.name != "partition.sql"
)

NEAR = [name for name in statements("record") if name.startswith("near_")]


def every() -> Iterator[tuple[str, str, str]]:
    """All statements by noun and name; lists of deliveries as they are put together."""
    for noun in NOUNS:
        for name, sql in statements(noun).items():
            if "/* near */" in sql:
                for near in NEAR:
                    yield noun, f"{name} {near}", sql.replace("/* near */", statements(noun)[near])
            elif name not in NEAR and re.match(r"(--.*\n)*(SELECT|WITH|INSERT|UPDATE|DELETE)", sql):
                yield noun, name, sql


# What grows with what happens. The planner goes through a small table whatever indexes it has, so there must be rows:
# here some 20,000 deliveries, half of them waiting in one lane, half of them ended.
GROWING = (
    *LOGS,
    *("delivery_live", "dedupe", "activity_dedupe", "trigger_state", "digest"),
)

ROWS = f"""
INSERT INTO account
SELECT i, 'a', 'standard', 'UTC', NULL, NULL, '{{}}', 1, 0, 0, 0, NULL FROM generate_series(1, 500) AS i;
INSERT INTO webhook SELECT i % 500 + 1, i, 1, 'standard', i % 256, '', 0, false FROM generate_series(1, 1000) AS i;
INSERT INTO event
SELECT i % 500 + 1, id, 'click.created', i, i, 'e' || i, 'api', 1, 1, convert_to('v' || i % 900, 'UTF8'), '', 'data'
FROM {IDS};
INSERT INTO dedupe SELECT account_id, external_id, id FROM event;
CREATE TEMPORARY TABLE made AS
SELECT i % 500 + 1 AS account_id, id + 1 AS id, id AS event_id,
  CASE WHEN i % 2 = 0 THEN 7 ELSE i % 1000 + 1 END AS webhook_id, i AS at,
  CASE WHEN i % 2 = 0 THEN 10 WHEN i % 100 = 1 THEN 12 WHEN i % 100 = 3 THEN 21 WHEN i % 100 = 5 THEN 23 ELSE 20 END
    AS state,
  CASE WHEN i % 100 = 5 THEN id + 1 - 5 * {STEP} END AS digest_id
FROM {IDS};
INSERT INTO delivery_live (account_id, id, event_id, webhook_id, at, claim_count, state, claimed_by)
SELECT account_id, id, event_id, webhook_id, at, 0, state, CASE WHEN state = 12 THEN 1 END FROM made WHERE state < 20;
INSERT INTO delivery_log (account_id, id, event_id, webhook_id, at, attempts, tries, state, digest_id)
SELECT account_id, id, event_id, webhook_id, at, 1, 1, state, digest_id FROM made WHERE state >= 20;
INSERT INTO attempt SELECT account_id, id, id, 'record' FROM delivery_log;
INSERT INTO digest SELECT id, webhook_id, 'summary', 0, false, 1, 0, false, NULL FROM delivery WHERE event_id % 4 = 0;
INSERT INTO digest_window SELECT id, 0, 0, 0 FROM webhook;
INSERT INTO activity
SELECT account_id, id, 'visit', timestamp, accepted_at, external_id, visitor_id, digest, '', data FROM event;
INSERT INTO activity_dedupe SELECT account_id, external_id, id FROM activity;
INSERT INTO trigger_state (account_id, key, until, look_at, value)
SELECT i % 500 + 1, convert_to('key:' || i, 'UTF8'), i, i / 10, 'value' FROM generate_series(1, 20000) AS i;
ANALYZE;
"""

# Statements that go through a table that grows, and why they may.
THROUGH = {
    ("purge", "expired"): "trigger_state",  # where its limit is not known: for each that is given it is planned anew
}

PINNED = {
    ("delivery", "first_waiting"): "Index Scan using delivery_waiting on delivery_live d",
    ("delivery", "sizes"): "Index Cond: ((id >= $3) AND (id <= $4) AND (id = given.id))",
    ("delivery", "claim"): "Index Scan using delivery_live_pkey on delivery_live d",
    ("delivery", "settle"): "Index Cond: (id = given.delivery_id)",  # and not all that is being sent
    ("delivery", "settle_waiting"): "Index Cond: (id = given.delivery_id)",
    ("delivery", "release"): "Index Scan using delivery_live_pkey on delivery_live",
    ("delivery", "release_of"): "Index Scan using delivery_sending on delivery_live",
    ("delivery", "drop_waiting"): "Index Scan using delivery_waiting on delivery_live",
    ("lane", "beyond"): "Index Only Scan using delivery_waiting on delivery_live d",
    ("lane", "facts"): "Index Only Scan using delivery_waiting on delivery_live d",
    ("digest", "fold"): "Index Cond: (id = given.id)",
    ("digest", "window"): "Index Scan using digest_open on digest g",
    ("digest", "close_others"): "Index Scan using digest_open on digest",
    ("event", "firsts"): "Index Scan using dedupe_pkey on dedupe known",
    ("record", "counts"): "Index Only Scan using delivery_waiting on delivery_live",
}

# Of statements with bounds: what is not known would rule all partitions out.
VALUES = {("delivery", "sizes"): f"NULL, NULL, 0, {(1 << 63) - 1}"}


@asynccontextmanager
async def planner(world: World) -> AsyncIterator[Planner]:
    connection = await asyncpg.connect(address(name_of(world.directory)))
    try:
        await connection.execute(ROWS)
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        yield Planner(connection)
    finally:
        await connection.close()


async def test_no_statement_goes_through_a_table_that_grows(world: World):
    """Every statement finds its rows by an index, but for those listed with their reason."""
    async with planner(world) as planned:
        faults = [
            (noun, name, table)
            for noun, name, sql in every()
            for table in through(await planned.plan(sql), GROWING)
            if THROUGH.get((noun, name)) != table
        ]
    assert faults == [], faults


async def test_statements_that_must_stay_fast_use_their_index(world: World):
    """The statements that decide speed with ten million rows waiting use the index meant for them."""
    async with planner(world) as planned:
        plans = {which: await planned.plan(statements(which[0])[which[1]], VALUES.get(which)) for which in PINNED}
    faults = {which: steps for which, steps in plans.items() if PINNED[which] not in steps}
    assert faults == {}, faults
