"""What a claim looks at, with tens of thousands of deliveries waiting: what it takes, whatever the planner believes.

Not the plan is pinned here but its work: how many rows were read on the way, by an index and without one. Statistics
are none at all, those of the time before the backlog came, and fresh ones.
"""

import re
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from tests.store.world import World
from tests.support.postgres import address, name_of
from tocsin.clock import Millis
from tocsin.ids import first_at
from tocsin.model import Account, Webhook, WebhookId
from tocsin.store.postgres.claims import claim
from tocsin.store.postgres.database import _PLANS
from tocsin.store.postgres.statements import statements
from tocsin.store.postgres.writer import WritingDatabase

WAITING = 30_000

SQL = statements("delivery")

FILL = (
    """
    INSERT INTO event (account_id, id, type, timestamp, accepted_at, source, config_version, matched, data)
    SELECT $1::bigint, $2::bigint + i * 2048, 'click.created', $3::bigint, $3, 'api', 1, 1, 'data'
    FROM generate_series(1, $5::integer) AS i WHERE $4::bigint[] IS NOT NULL
    """,
    """
    INSERT INTO delivery_live (account_id, id, event_id, webhook_id, at, claim_count, state)
    SELECT $1::bigint, $2::bigint + i * 2048 + 1024, $2 + i * 2048, ($4::bigint[])[i % cardinality($4) + 1],
      $3::bigint + i, 0, 10
    FROM generate_series(1, $5::integer) AS i
    """,
)

READ = """
SELECT coalesce(sum(seq_tup_read) FILTER (WHERE relname ~ '^(event|delivery)'), 0)::bigint,
  coalesce(sum(idx_tup_fetch), 0)::bigint
FROM pg_stat_xact_user_tables
"""


async def fill(connection: Any, world: World, account: Account, hooks: Sequence[Webhook], n: int) -> None:
    begin = first_at(Millis(world.now - 60_000)) + (0 if n == WAITING else 512)
    for sql in FILL:
        await connection.execute(sql, account.id, begin, world.now, [hook.id for hook in hooks], n)


async def cost(connection: Any, world: World, wants: Sequence[tuple[WebhookId, int]]) -> tuple[int, int, int]:
    """What was claimed, what was read without an index, and what by one; nothing is kept of it."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        before = await connection.fetchrow(READ)
        answer = await claim(WritingDatabase(connection), wants, Millis(world.now + WAITING), world.epoch, 16 << 20)
        after = await connection.fetchrow(READ)
    finally:
        await transaction.rollback()
    return len(answer.claimed), after[0] - before[0], after[1] - before[1]


@pytest.mark.parametrize("lanes", [4, 500])
async def test_a_claim_reads_what_it_takes(world: World, lanes: int):
    """Of few lanes and of many, for the account that all waits for and for one beside it."""
    account, other = await world.account(), await world.account()
    hooks = [world.new_webhook(account) for _ in range(lanes)]
    for hook in hooks:
        await world.store.webhooks.add(hook, None, world.change())
    beside = await world.webhook(other)
    connection = await asyncpg.connect(address(name_of(world.directory)))
    try:
        for name, value in _PLANS.items():
            await connection.execute(f"SET {name} = {value}")
        await fill(connection, world, other, [beside], 100)
        found = {}
        for statistics in ("none", "old", "fresh"):
            if statistics == "old":
                await connection.execute("DELETE FROM delivery_live WHERE account_id = $1", account.id)
                await connection.execute("DELETE FROM event WHERE account_id = $1", account.id)
                await connection.execute("VACUUM")
                await connection.execute("ANALYZE")
            if statistics == "fresh":
                await connection.execute("ANALYZE")
            else:
                await fill(connection, world, account, hooks, WAITING)
            for whose, wants in (
                ("few lanes", [(hook.id, 64) for hook in hooks[:4]]),
                ("many lanes", [(hook.id, 2) for hook in hooks[:128]]),
                ("beside", [(beside.id, 64)]),
            ):
                found[statistics, whose] = await cost(connection, world, wants)
    finally:
        await connection.close()
    for which, (claimed, without, by) in found.items():
        assert claimed >= 8, which
        assert without <= 200, (which, without)  # the other account's few rows, where they are all that is known of
        assert by <= 6 * claimed + 3 * lanes + 200, (which, by)


async def test_looking_for_lanes_reads_a_few_rows_for_each(world: World):
    """However much waits in them."""
    account = await world.account()
    hooks = [await world.webhook(account) for _ in range(20)]
    connection = await asyncpg.connect(address(name_of(world.directory)))
    try:
        await fill(connection, world, account, hooks, WAITING)
        await connection.execute("ANALYZE")
        async with connection.transaction():
            before = await connection.fetchrow(READ)
            assert len(await connection.fetch(statements("lane")["beyond"], 0, 1_000)) == 20
            after = await connection.fetchrow(READ)
    finally:
        await connection.close()
    assert (after[0] - before[0], after[1] - before[1] <= 100) == (0, True), (before, after)


async def plan(connection: Any, name: str, *values: object) -> str:
    """As it was carried out; nothing of it is kept."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN (ANALYZE) {SQL[name]}", *values))
    finally:
        await transaction.rollback()


async def test_what_is_given_is_gone_through_once(world: World):
    """Where the planner believes that hardly any of the rows are what is asked for, and all of them are."""
    account = await world.account()
    hook = await world.webhook(account)
    connection = await asyncpg.connect(address(name_of(world.directory)))
    try:
        for setting, value in _PLANS.items():
            await connection.execute(f"SET {setting} = {value}")
        await fill(connection, world, account, [hook], 500)
        world.clock.advance(60)
        sending = [one.id for one in await world.claim(hook)]
        await connection.execute("ANALYZE")  # all that it knows of is being sent
        await fill(connection, world, account, [hook], WAITING)
        world.clock.advance(60)
        rows = await connection.fetch(
            "SELECT id, account_id, event_id FROM delivery_live WHERE state < 12 ORDER BY id LIMIT 256"
        )
        ids, accounts, events = ([row[n] for row in rows] for n in range(3))
        plans = [await plan(connection, "claim", ids, accounts, events, world.epoch, min(events), max(events))]

        await world.store.journal.release(sending, world.epoch)
        await connection.execute("ANALYZE")  # nothing is being sent
        ids = [one.id for one in await world.claim(hook, 256)]
        each = ([0], [world.now], [1], [200], [0], [b"record"], [1])
        settled = [ids, *(one * len(ids) for one in each)]
        settled[5] = [world.ids.next() for _ in ids]
        for name, state in (("settle", 20), ("settle_waiting", 11)):
            settled[1] = [state] * len(ids)
            plans.append(await plan(connection, name, *settled, world.epoch))
    finally:
        await connection.close()
    for one in plans:
        assert "rows=256" in one, one
        assert set(re.findall(r"Function Scan on .* loops=(\d+)", one)) == {"1"}, one
