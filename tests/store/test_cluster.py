"""What holds of nodes on any store. Those that only PostgreSQL can have are in `postgres/test_nodes.py`."""

import pytest

from tests.store.world import STORES, World, joined
from tocsin.clock import ManualClock, Millis
from tocsin.errors import Unavailable
from tocsin.ids import NODES, IdSource, first_at
from tocsin.model import DeliveryState
from tocsin.shards import ALL, SHARDS
from tocsin.store.port import Claimed


async def test_the_only_node_has_all(world: World):
    """A node that is alone and sends is due every shard, and has them after its first beat."""
    cluster = world.store.cluster
    standing = await cluster.beat(world.epoch, now=world.now, bury_before=world.now, last_id=0)
    assert (standing.held, standing.due, standing.senders, standing.buried) == (ALL, SHARDS, 1, 0)


async def test_epochs_rise(world: World):
    """No epoch is given twice, also not after a restart; numbers are those that ids can hold."""
    epochs = [world.epoch]
    for _ in range(3):
        await world.reopen()
        epochs.append(world.epoch)
        node = await world.store.cluster.join(
            name="again", sends=True, now=world.now, bury_before=Millis(world.now + 1)
        )
        assert 0 <= node.number < NODES
        epochs.append(node.epoch)
    assert sorted(set(epochs)) == epochs


async def test_a_node_that_was_buried_writes_nothing(world: World):
    """Once another has joined and buried it, a node's beat and all its writes are refused; nothing is stored."""
    account = await world.account()
    webhook = await world.webhook(account)
    event = await world.accept(account, webhook, claimed=True)
    (delivery,) = event.deliveries
    former, world.epoch = world.epoch, await joined(world.store, world.now)
    cluster, journal = world.store.cluster, world.store.journal
    late = world.settlement(delivery.id)
    for call in (
        cluster.beat(former, now=world.now, bury_before=world.now, last_id=0),
        journal.ingest([await world.new_event(account, webhook)], former),
        journal.claim([(webhook.id, 1)], world.now, former),
        journal.claim_one(account.id, delivery.id, world.now, former),
        journal.settle([late], former),
        journal.settle_manual(late, former),
        journal.release([delivery.id], former),
    ):
        with pytest.raises(Unavailable) as refused:
            await call
        assert refused.value.code == "not_owner"
    assert await world.state(account, delivery.id) is DeliveryState.PENDING
    assert len(await world.claim(webhook)) == 1  # and the late event is not there


async def test_what_a_node_had_claimed_waits_again(world: World):
    """What a node was sending when it left or died waits with the due time that it had, and counts the claim; a manual
    attempt leaves its delivery as it was.
    """
    account = await world.account()
    webhook = await world.webhook(account)
    ended = (await world.accept(account, webhook, claimed=True)).deliveries[0].id
    await world.settle(world.settlement(ended))
    retried = (await world.accept(account, webhook, claimed=True)).deliveries[0].id
    await world.settle(world.settlement(retried, DeliveryState.RETRYING))
    world.clock.advance(61)
    for ends in (world.store.cluster.leave, None):
        assert [one.id for one in await world.claim(webhook)] == [retried]
        taken = await world.store.journal.claim_one(account.id, ended, world.now, world.epoch)
        assert isinstance(taken, Claimed)
        if ends is not None:
            await ends(world.epoch)
        world.epoch = await joined(world.store, world.now)
        assert await world.state(account, retried) is DeliveryState.RETRYING
        assert await world.state(account, ended) is DeliveryState.SUCCEEDED
    (again,) = await world.claim(webhook)
    assert again.claim_count == 3


async def test_no_id_is_made_twice(world: World):
    """With a clock that was set back over a restart, ids made as a node are none that there have been, of any kind."""
    account = await world.account()
    webhook = await world.webhook(account)
    cluster = world.store.cluster
    made: list[int] = []
    for n in range(4):
        epoch = world.epoch
        await cluster.beat(epoch, now=world.now, bury_before=world.now, last_id=first_at(world.now + 1_000))
        world.clock.advance(0.5)
        event = await world.accept(account, webhook, claimed=True)
        (delivery,) = event.deliveries
        settlement = world.settlement(delivery.id)
        made += [event.id, delivery.id, settlement.attempt.id]
        if n % 2:  # what was made last is of another kind each time
            made += [(await world.account()).id, (await world.webhook(account)).id]
        await world.settle(settlement)
        await world.store.close()

        world.clock = ManualClock(world.now - 500)
        world.store = await STORES[world.name](world.directory, world.clock)
        cluster = world.store.cluster
        node = await cluster.join(name="n", sends=True, now=world.now, bury_before=Millis(world.now + 3_600_000))
        world.epoch, world.ids = node.epoch, IdSource(world.clock, node.number)
        world.ids.begin_above(node.last_id)
        await cluster.beat(node.epoch, now=world.now, bury_before=world.now, last_id=0)
        assert world.ids.next() not in made
    assert len(set(made)) == len(made)
