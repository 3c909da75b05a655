"""What two connections do at the same moment: each test holds one half-way, lets the store come up against it, and lets
it go on.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
import msgspec

from tests.store.gathering import claimed, digest, fold, opened, summary
from tests.store.world import World, joined
from tests.support.postgres import address, name_of
from tocsin.model import DeliveryState
from tocsin.store.port import Accepted, Stale
from tocsin.store.postgres.statements import statements

T = TypeVar("T")


@asynccontextmanager
async def another(world: World) -> AsyncIterator[Any]:
    """Another connection, with a transaction open."""
    connection = await asyncpg.connect(address(name_of(world.directory)))
    try:
        await connection.execute("BEGIN")
        yield connection
    finally:
        await connection.close()


async def held_up(connection: Any, call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Starts the call and waits until it waits for the other's transaction."""
    task = asyncio.create_task(call)
    while not task.done():
        if await connection.fetchval(
            "SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.datname = current_database() "
            "JOIN pg_stat_activity AS a ON a.pid = l.pid AND a.datid = d.oid WHERE NOT l.granted"
        ):
            return task
        await asyncio.sleep(0.01)
    raise AssertionError(f"it did not wait: {task.result()!r}")


async def erase(connection: Any, event_id: int) -> None:
    """As an erasure does it: what has not ended held, the event emptied."""
    await connection.fetch("SELECT id FROM delivery_live WHERE event_id = $1 FOR UPDATE", event_id)
    await connection.execute("UPDATE event SET data = NULL, visitor_id = NULL WHERE id = $1", event_id)


async def test_a_burial_waits_for_what_is_being_committed(world: World):
    """Who buries a node gives back what it committed at that very moment, too."""
    account = await world.account()
    webhook = await world.webhook(account)
    event = await world.accept(account, webhook)
    id_ = event.deliveries[0].id
    async with another(world) as former:
        await former.fetch(statements("node")["own"], world.epoch)
        await former.execute(
            "UPDATE delivery_live SET state = 12, claimed_by = $2, claim_count = 1 WHERE id = $1", id_, world.epoch
        )
        task = await held_up(former, joined(world.store, world.now))
        await former.execute("COMMIT")
        assert await task == world.epoch + 1
    assert await world.state(account, id_) is DeliveryState.PENDING


async def test_a_change_under_way_is_waited_for(world: World):
    """An event that was matched by settings that are just being changed is stale once they are."""
    account = await world.account()
    event = await world.new_event(account)
    async with another(world) as other:
        await other.execute("UPDATE account SET config_version = config_version + 1 WHERE id = $1", account.id)
        task = await held_up(other, world.ingest(event))
        await other.execute("COMMIT")
        assert await task == [Stale()]
    assert await world.ingest(await world.new_event(account)) == [Accepted()]


async def test_an_external_id_under_way_is_waited_for(world: World):
    """Whoever stores an external id first has it, however close the second comes."""
    account = await world.account()
    event = await world.new_event(account, external_id="a")
    async with another(world) as other:
        await other.execute("INSERT INTO dedupe VALUES ($1, 'a', $2)", account.id, world.ids.next())
        task = await held_up(other, world.ingest(event))
        await other.execute("ROLLBACK")
        assert await task == [Accepted()]


async def test_what_is_cancelled_meanwhile_is_not_claimed(world: World):
    """A delivery that is cancelled while it is being claimed is cancelled; the others are claimed."""
    account = await world.account()
    webhook = await world.webhook(account)
    first, second = [(await world.accept(account, webhook)).deliveries[0].id for _ in range(2)]
    async with another(world) as other:
        await other.execute(statements("delivery")["cancel"], first, account.id, world.now)
        task = await held_up(other, world.claim(webhook))
        await other.execute("COMMIT")
        assert [one.id for one in await task] == [second]
    assert await world.state(account, first) is DeliveryState.CANCELLED


async def test_an_erasure_under_way_is_seen_by_what_is_settled(world: World):
    """What is settled while its event is being erased is kept without its request and answer."""
    account = await world.account()
    webhook = await world.webhook(account)
    event = await world.accept(account, webhook, claimed=True)
    id_ = event.deliveries[0].id
    attempt = world.attempt(id_, request_body=b"visitor-4711 did it")
    async with another(world) as other:
        await erase(other, event.id)
        task = await held_up(other, world.settle(world.settlement(id_, attempt=attempt)))
        await other.execute("COMMIT")
        await task
    (kept,) = await world.store.records.attempts(account.id, id_)
    assert (kept.request_body, kept.outcome.body) == (None, b"")


async def test_an_erasure_under_way_is_seen_by_what_is_folded(world: World):
    """A digest that takes in what is just being erased tells nothing of it."""
    account = await world.account()
    webhook = await world.webhook(account)
    (id_,) = await claimed(world, account, webhook)
    delivery = await world.store.records.delivery(account.id, id_)
    assert delivery is not None
    told = digest(world, summary=summary(1, named={"offenders": ["visitor-4711"]}))
    async with another(world) as other:
        await erase(other, delivery.event_id)
        task = await held_up(other, fold(world, account, webhook, told, id_))
        await other.execute("COMMIT")
        assert await task == msgspec.structs.replace(told, summary=summary(1), revision=1)
    assert (await opened(world, webhook)).summary == summary(1)


async def test_an_erasure_under_way_is_seen_by_a_manual_retry(world: World):
    """A delivery whose event is just being erased is not taken for a manual retry."""
    account = await world.account()
    webhook = await world.webhook(account)
    event = await world.accept(account, webhook, claimed=True)
    id_ = event.deliveries[0].id
    await world.settle(world.settlement(id_, DeliveryState.FAILED))
    async with another(world) as other:
        await erase(other, event.id)
        claim = world.store.journal.claim_one(account.id, id_, world.now, world.epoch)
        task = await held_up(other, claim)
        await other.execute("COMMIT")
        assert await task is DeliveryState.FAILED
