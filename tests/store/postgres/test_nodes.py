"""Many nodes on one database: who has which shard, who is dead, and what becomes of what the dead were doing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import pytest

from tests.store.world import STORES, World
from tests.support.postgres import address, name_of
from tocsin.clock import Millis
from tocsin.errors import Unavailable
from tocsin.ids import first_at
from tocsin.model import DeliveryState, Webhook
from tocsin.shards import ALL, SHARDS
from tocsin.store.port import Accepted, Claimed, Node, Standing, Store
from tocsin.store.postgres import cluster

LEASE_MS = 8_000


async def join(world: World, *, sends: bool = True, store: Store | None = None) -> Node:
    """Buries only who has not been seen within its lease."""
    nodes = (store or world.store).cluster
    return await nodes.join(name="n", sends=sends, now=world.now, bury_before=Millis(world.now - LEASE_MS))


async def beat(world: World, epoch: int, *, last_id: int = 0, store: Store | None = None) -> Standing:
    nodes = (store or world.store).cluster
    return await nodes.beat(epoch, now=world.now, bury_before=Millis(world.now - LEASE_MS), last_id=last_id)


async def give_surplus(world: World, epoch: int) -> Standing:
    """A beat, and what is held beyond the share given away."""
    standing = await beat(world, epoch)
    surplus = sorted(standing.held)[standing.due :]
    await world.store.cluster.give(epoch, frozenset(surplus))
    return standing


async def settled(world: World, epochs: Sequence[int]) -> list[frozenset[int]]:
    """What each holds after all have given and taken."""
    for _ in range(2):
        for epoch in epochs:
            await give_surplus(world, epoch)
    return [(await beat(world, epoch)).held for epoch in epochs]


@asynccontextmanager
async def other_store(world: World) -> AsyncIterator[Store]:
    """As another process has it: connections of its own."""
    store = await STORES["postgres"](world.directory, world.clock)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def session(world: World) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(address(name_of(world.directory)))
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize("nodes", [1, 2, 3, 5])
async def test_shards_are_shared_out_evenly(world: World, nodes: int):
    """However many nodes there are, every shard has one of them, and no node has more than one beyond another."""
    epochs = [world.epoch, *[(await join(world)).epoch for _ in range(nodes - 1)]]
    held = await settled(world, epochs)
    assert sum(map(len, held)) == SHARDS
    assert frozenset().union(*held) == ALL
    assert {len(one) for one in held} <= {SHARDS // nodes, SHARDS // nodes + 1}
    assert 0 in held[0]  # who was first keeps what is done once


async def test_a_node_that_does_not_send_has_no_shard(world: World):
    """A node that only takes events in counts in no share and is given no shard; it writes like any other."""
    account = await world.account()
    node = await join(world, sends=False)
    standing = await beat(world, node.epoch)
    assert (standing.held, standing.due, standing.senders) == (frozenset(), 0, 1)
    assert (await beat(world, world.epoch)).due == SHARDS
    assert await world.store.journal.ingest([await world.new_event(account)], node.epoch) == [Accepted()]


async def test_living_nodes_have_numbers_of_their_own(world: World):
    """Nodes that join at the same moment get different numbers and epochs, the smallest that are free."""
    async with other_store(world) as second:
        stores = [world.store, second] * 4
        nodes = await asyncio.gather(*(join(world, store=store) for store in stores))
    assert sorted(node.number for node in nodes) == list(range(1, 9))
    assert len({node.epoch for node in nodes}) == 8
    await world.store.cluster.leave(nodes[3].epoch)
    assert (await join(world)).number == nodes[3].number


async def test_a_number_is_not_used_for_the_same_instant_twice(world: World):
    """A number whose former node may have made ids up to an instant to come is taken last, and with that id."""
    node = await join(world)
    ahead = first_at(world.now + LEASE_MS)
    await beat(world, node.epoch, last_id=ahead)
    await beat(world, node.epoch, last_id=5)  # less than was said before changes nothing
    await world.store.cluster.leave(node.epoch)
    other = await join(world)
    assert (other.number, other.last_id) == (node.number + 1, 0)
    world.clock.advance(LEASE_MS / 1000 - 1)
    for epoch in (world.epoch, other.epoch):
        await beat(world, epoch)
    world.clock.advance(1.001)
    again = await join(world)
    assert (again.number, again.last_id) == (node.number, ahead)


async def test_1024_nodes_are_all(world: World):
    """When every number is taken, the next process is told so; numbers that end in time to come are taken at last."""
    async with session(world) as sql:
        await sql.execute(
            "INSERT INTO node_number SELECT n, $1 FROM generate_series(0, 1023) AS n", first_at(world.now) + 9
        )
        node = await join(world)
        assert (node.number, node.last_id) == (1, first_at(world.now) + 9)
        await sql.execute(
            "INSERT INTO node SELECT nextval('node_epoch'), n, 'x', false, $1, 0 FROM generate_series(2, 1023) AS n",
            world.now,
        )
    with pytest.raises(Unavailable, match="1024 processes"):
        await join(world)


async def test_a_dead_node_is_buried_by_the_next_beat(world: World):
    """Who was not seen for longer than its lease loses its shards and what it was sending, in one beat of another."""
    account = await world.account()
    webhook = await world.webhook(account)
    event = await world.accept(account, webhook, claimed=True)
    dead, world.epoch = world.epoch, (await join(world)).epoch
    assert (await beat(world, world.epoch)).held == frozenset()
    world.clock.advance(LEASE_MS / 1000 - 2)
    assert (await beat(world, world.epoch)).senders == 2
    world.clock.advance(2.001)
    standing = await beat(world, world.epoch)
    assert (standing.held, standing.senders, standing.buried) == (ALL, 1, 1)
    assert await world.state(account, event.deliveries[0].id) is DeliveryState.PENDING
    with pytest.raises(Unavailable) as refused:
        await beat(world, dead)
    assert refused.value.code == "not_owner"


async def test_what_others_are_sending_stays_theirs(world: World):
    """A burial puts back what the dead node had claimed, and nothing of the living."""
    account = await world.account()
    first, second = world.epoch, (await join(world)).epoch
    webhooks = await two_apart(world, await settled(world, [first, second]), account)
    ids = []
    for epoch, webhook in zip((first, second), webhooks, strict=True):
        world.epoch = epoch
        ids.append((await world.accept(account, webhook, claimed=True)).deliveries[0].id)
    world.clock.advance(LEASE_MS / 1000 - 1)
    await beat(world, second)
    world.clock.advance(1.001)
    assert (await beat(world, second)).buried == 1
    assert [await world.state(account, id_) for id_ in ids] == [DeliveryState.PENDING, DeliveryState.SENDING]


async def test_what_is_tried_by_hand_elsewhere(world: World):
    """A node without shards that dies in a manual attempt leaves the delivery as it was, whoever has its shard; that
    one's own attempts go on.
    """
    account = await world.account()
    webhook = await world.webhook(account)
    ended, sending = [(await world.accept(account, webhook, claimed=True)).deliveries[0].id for _ in range(2)]
    await world.settle(world.settlement(ended))
    node = await join(world, sends=False)
    assert isinstance(await world.store.journal.claim_one(account.id, ended, world.now, node.epoch), Claimed)
    world.clock.advance(LEASE_MS / 1000 - 1)
    await beat(world, world.epoch)
    assert await world.state(account, ended) is DeliveryState.SENDING
    world.clock.advance(1.001)
    assert (await beat(world, world.epoch)).buried == 1
    assert await world.state(account, ended) is DeliveryState.SUCCEEDED
    assert await world.state(account, sending) is DeliveryState.SENDING
    assert len(await world.store.records.attempts(account.id, ended)) == 1


async def two_apart(world: World, held: Sequence[frozenset[int]], account: object) -> list[Webhook]:
    """A webhook of a shard of each."""
    return [await world.webhook(account, settings={"shard": min(shards)}) for shards in held]  # type: ignore[arg-type]


async def test_two_buriers(world: World):
    """Of several that find a node dead at the same moment one buries it; all go on, and share what it had."""
    dead = 2
    await join(world)
    async with other_store(world) as second, other_store(world) as third:
        stores = [world.store, second, third]
        for _ in range(5):
            nodes = [await join(world, store=store) for store in stores]
            world.clock.advance(LEASE_MS / 1000 - 1)
            for node, store in zip(nodes, stores, strict=True):
                await beat(world, node.epoch, store=store)
            world.clock.advance(1.001)
            standings = await asyncio.gather(
                *(beat(world, node.epoch, store=store) for node, store in zip(nodes, stores, strict=True))
            )
            assert sum(standing.buried for standing in standings) == dead
            dead = len(nodes)
            held = [(await beat(world, node.epoch)).held for node in nodes]
            assert sum(map(len, held)) == SHARDS
            assert frozenset().union(*held) == ALL


async def test_a_node_frozen_within_a_transaction_is_cut(world: World, monkeypatch: pytest.MonkeyPatch):
    """A node that fell silent in the middle of a write does not keep others from burying it: its session is ended, what
    it had not committed never was, and its connection is of no use any more.
    """
    account = await world.account()
    webhook = await world.webhook(account)
    async with session(world) as frozen:
        await frozen.execute("BEGIN")
        await frozen.fetch("SELECT 1 FROM node WHERE epoch = $1 FOR KEY SHARE", world.epoch)
        await frozen.execute("UPDATE account SET name = 'late'")
        node = await join(world)
        world.clock.advance(LEASE_MS / 1000 - 1)
        await beat(world, node.epoch)
        world.clock.advance(1.001)
        monkeypatch.setattr(cluster, "SILENT_S", 0.0)
        standing = await beat(world, node.epoch)
        assert (standing.held, standing.senders) == (ALL, 1)
        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
            await frozen.execute("COMMIT")
    stored = await world.store.accounts.get(account.id)
    assert stored is not None
    assert stored.name == account.name
    world.epoch = node.epoch
    assert (await world.webhook(account)).id != webhook.id


async def test_a_busy_node_does_not_hold_up_a_beat(world: World):
    """A dead node's transaction that is at work is not waited for longer than a beat may take; the one that beats is
    seen and keeps what it has, and the next beat buries.
    """
    async with session(world) as busy:
        await busy.execute("BEGIN")
        await busy.fetch("SELECT 1 FROM node WHERE epoch = $1 FOR KEY SHARE", world.epoch)
        node = await join(world)
        world.clock.advance(LEASE_MS / 1000 - 1)
        await beat(world, node.epoch)
        world.clock.advance(1.001)
        standing = await beat(world, node.epoch)
        assert (standing.buried, standing.senders, standing.due, standing.held) == (0, 1, SHARDS, frozenset())
        await busy.execute("COMMIT")
    standing = await beat(world, node.epoch)
    assert (standing.buried, standing.held) == (1, ALL)


async def test_nobody_dies_of_the_database_being_away(world: World):
    """After an outage longer than a lease who comes back first buries nobody: all had no way to be seen. Who is not
    seen from then on is dead after a lease.
    """
    living, dead = (await join(world)).epoch, (await join(world)).epoch
    world.clock.advance(60)
    assert (await beat(world, world.epoch)).buried == 0
    world.clock.advance(2)
    assert (await beat(world, living)).senders == 3
    world.clock.advance(LEASE_MS / 1000 - 2)
    assert (await beat(world, world.epoch)).buried == 0
    assert (await beat(world, living)).buried == 0
    world.clock.advance(0.001)
    assert (await beat(world, living)).buried == 1
    with pytest.raises(Unavailable):
        await beat(world, dead)
    assert (await beat(world, world.epoch)).senders == 2


async def test_who_was_seen_in_time_to_come_dies_too(world: World):
    """A node that was seen at an instant far ahead, by a clock that was wrong, is dead a lease after it is noticed."""
    ahead = Millis(world.now + 3_600_000)
    node = await world.store.cluster.join(name="ahead", sends=True, now=ahead, bury_before=Millis(0))
    assert (await beat(world, world.epoch)).senders == 2
    world.clock.advance(LEASE_MS / 1000)
    assert (await beat(world, world.epoch)).buried == 0
    world.clock.advance(0.001)
    assert (await beat(world, world.epoch)).buried == 1
    with pytest.raises(Unavailable):
        await beat(world, node.epoch)


async def test_who_leaves_gives_all_at_once(world: World):
    """After a node has left, the next beat of another has its shards; leaving twice, or late, changes nothing."""
    node = await join(world)
    await settled(world, [world.epoch, node.epoch])
    await world.store.cluster.leave(node.epoch)
    assert (await beat(world, world.epoch)).held == ALL
    await world.store.cluster.leave(node.epoch)
    await world.store.cluster.give(node.epoch, frozenset({1, 2, 3}))
    assert (await beat(world, world.epoch)).held == ALL


async def test_the_database_tells_the_time(world: World):
    """A beat tells the instant by the database's own clock, whatever its node's says."""
    before = await server_time(world)
    standing = await beat(world, world.epoch)
    assert standing.stored_now is not None
    assert before <= standing.stored_now <= await server_time(world)


async def server_time(world: World) -> int:
    async with session(world) as sql:
        return int(await sql.fetchval("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"))
