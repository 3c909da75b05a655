"""How PostgreSQL carries statements out: none goes through a table that grows, and the hot ones use the index meant for
them, also when their plan is made once for all values.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from tests.store.world import World
from tests.support.postgres import address, name_of
from tocsin.store.postgres.statements import ROOT, statements

NOUNS = sorted(file.name.removesuffix(".sql") for file in ROOT.iterdir() if file.name.endswith(".sql"))

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
GROWING = ("event", "delivery", "attempt", "dedupe", "activity", "activity_dedupe", "trigger_state", "digest")

ROWS = """
INSERT INTO account
SELECT i, 'a', 'standard', 'UTC', NULL, NULL, '{}', 1, 0, 0, 0, NULL FROM generate_series(1, 500) AS i;
INSERT INTO webhook SELECT i % 500 + 1, i, 1, 'standard', i % 256, '', 0, false FROM generate_series(1, 1000) AS i;
INSERT INTO event
SELECT i % 500 + 1, i, 'click.created', i, i, 'e' || i, 'api', 1, 1, convert_to('v' || i % 900, 'UTF8'), '', 'data'
FROM generate_series(1, 20000) AS i;
INSERT INTO dedupe SELECT account_id, external_id, id FROM event;
INSERT INTO delivery (account_id, id, event_id, webhook_id, at, claim_count, state, digest_id)
SELECT i % 500 + 1, i + 100000, i, CASE WHEN i % 2 = 0 THEN 7 ELSE i % 1000 + 1 END, i, 0,
  CASE WHEN i % 2 = 0 THEN 10 WHEN i % 100 = 1 THEN 12 WHEN i % 100 = 3 THEN 21 WHEN i % 100 = 5 THEN 23 ELSE 20 END,
  CASE WHEN i % 100 = 5 THEN i / 1000 * 1000 + 100000 END
FROM generate_series(1, 20000) AS i;
INSERT INTO attempt SELECT account_id, id, id, 'record' FROM delivery WHERE state > 12;
INSERT INTO digest SELECT id, webhook_id, 'summary', 0, false, 1, 0, false, NULL FROM delivery WHERE id % 4 = 0;
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
    ("record", "counts"): "delivery",  # what waits, up to a bound
    ("purge", "expired"): "trigger_state",  # where its limit is not known: for each that is given it is planned anew
}

PINNED = {
    ("delivery", "first_waiting"): "Index Scan using delivery_waiting on delivery d",
    ("delivery", "claim"): "Index Scan using delivery_id on delivery d",
    ("delivery", "settle"): "Index Cond: (id = ANY ($1))",  # and not all that is being sent
    ("delivery", "release"): "Index Scan using delivery_sending on delivery",
    ("delivery", "release_all"): "Index Scan using delivery_sending on delivery",
    ("delivery", "drop_waiting"): "Index Scan using delivery_waiting on delivery",
    ("lane", "beyond"): "Index Only Scan using delivery_waiting on delivery d",
    ("lane", "facts"): "Index Only Scan using delivery_waiting on delivery d",
    ("digest", "fold"): "Index Cond: (id = ANY ($1))",
    ("digest", "window"): "Index Scan using digest_open on digest g",
    ("digest", "close_others"): "Index Scan using digest_open on digest",
    ("event", "firsts"): "Index Scan using dedupe_pkey on dedupe known",
}


class Planner:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def plan(self, sql: str) -> list[str]:
        """Its steps, as planned for values that are not known."""
        await self._connection.execute(f"PREPARE planned AS {sql}")
        try:
            n = max((int(number) for number in re.findall(r"\$(\d+)", sql)), default=0)
            values = f"({', '.join(['NULL'] * n)})" if n else ""
            rows = await self._connection.fetch(f"EXPLAIN (COSTS OFF) EXECUTE planned{values}")
        finally:
            await self._connection.execute("DEALLOCATE planned")
        return [row[0].strip().removeprefix("->").strip() for row in rows]


@asynccontextmanager
async def planner(world: World) -> AsyncIterator[Planner]:
    connection = await asyncpg.connect(address(name_of(world.directory)))
    try:
        await connection.execute(ROWS)
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        yield Planner(connection)
    finally:
        await connection.close()


def through(steps: list[str]) -> Iterator[str]:
    for step in steps:
        found = re.match(r"(?:Parallel )?Seq Scan on (\w+)", step)
        if found and found[1] in GROWING:
            yield found[1]


async def test_no_statement_goes_through_a_table_that_grows(world: World):
    """Every statement finds its rows by an index, but for those listed with their reason."""
    async with planner(world) as planned:
        faults = [
            (noun, name, table)
            for noun, name, sql in every()
            for table in through(await planned.plan(sql))
            if THROUGH.get((noun, name)) != table
        ]
    assert faults == [], faults


async def test_statements_that_must_stay_fast_use_their_index(world: World):
    """The statements that decide speed with ten million rows waiting use the index meant for them."""
    async with planner(world) as planned:
        plans = {which: await planned.plan(statements(which[0])[which[1]]) for which in PINNED}
    faults = {which: steps for which, steps in plans.items() if PINNED[which] not in steps}
    assert faults == {}, faults
