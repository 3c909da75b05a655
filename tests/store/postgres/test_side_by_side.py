"""Two programs on one database, and transactions that meet: nothing is counted twice, lost, or left behind."""

import asyncio
from contextlib import asynccontextmanager

from tests.store.test_erasure import BODY, ID, erase
from tests.store.test_retention import purge
from tests.store.test_triggers import new_activity, new_write, read
from tests.store.world import World
from tocsin.clock import Millis
from tocsin.model import Account, DeliveryState
from tocsin.store.port import Accepted, Claimed, Stale


@asynccontextmanager
async def another(world: World):
    """A second program: same database, same owner's epoch, connections and a committer of its own."""
    second = World(world.name, world.directory)
    second.ids = world.ids
    first_epoch = world.epoch
    await second.open()  # becomes the owner, and so the epoch of both
    assert second.epoch > first_epoch
    world.epoch = second.epoch
    try:
        yield second
    finally:
        await second.store.close()


async def count(world: World, account: Account, rounds: int) -> int:
    """Reads, adds one and tries again while it is stale; how often it was."""
    stale = 0
    for _ in range(rounds):
        while True:
            found = await read(world, account, "n")
            n = int(found.values["n"] or b"0") + 1
            one = await new_write(
                world,
                account,
                version=found.version,
                puts={"n": (b"%d" % n, None)},
                activities=(new_activity(world, external_id=f"a{n}"),),
            )
            (answer,) = await world.store.triggers.write([one], world.epoch)
            if answer == Accepted():
                break
            assert answer == Stale()
            stale += 1
    return stale


async def test_two_programs_count_exactly(world: World):
    """Counters that two programs raise at the same time end with the exact sum, and every name was taken once."""
    account = await world.account()
    async with another(world) as second:
        await asyncio.gather(*(count(one, account, 15) for one in (world, second, world, second)))
    found = await read(world, account, "n", names=tuple(f"a{n}" for n in range(1, 61)))
    assert found.values == {"n": b"60"}
    assert len(found.known) == 60


async def test_batches_of_the_same_accounts_do_not_block_each_other(world: World):
    """Two programs that write the same accounts in opposite orders both end: one is accepted, the other stale."""
    accounts = [await world.account() for _ in range(12)]
    async with another(world) as second:
        for n in range(10):
            batches = []
            for order in (accounts, accounts[::-1]):
                puts = {"n": (b"%d" % n, None)}
                batches.append([await new_write(world, account, puts=puts) for account in order])
            one, other = await asyncio.gather(
                world.store.triggers.write(batches[0], world.epoch),
                second.store.triggers.write(batches[1], world.epoch),
            )
            for left, right in zip(one, reversed(other), strict=True):
                assert {left, right} == {Accepted(), Stale()}


async def test_what_is_settled_during_an_erasure_keeps_nothing_of_the_visitor(world: World):
    """Whichever comes first, the erasure or the attempt's end, afterwards nothing of the request is there."""
    account = await world.account()
    webhook = await world.webhook(account)
    async with another(world) as second:
        for n in range(12):
            visitor = f"{ID}-{n}"
            event = await world.accept(account, webhook, claimed=True, visitor_id=visitor, data=BODY)
            (delivery,) = event.deliveries
            settlement = world.settlement(delivery.id, attempt=world.attempt(delivery.id, request_body=BODY))

            async def settle(settlement=settlement, n=n) -> None:
                await asyncio.sleep(n / 2_000)
                await second.settle(settlement)

            async def take_out(visitor=visitor) -> None:
                await erase(world, account, visitor)

            second.epoch = world.epoch
            await asyncio.gather(settle(), take_out())
            (attempt,) = await world.store.records.attempts(account.id, delivery.id)
            assert attempt.request_body is None
            assert await world.state(account, delivery.id) is DeliveryState.SUCCEEDED


async def test_what_is_sent_again_by_hand_is_not_purged_under_way(world: World):
    """Retention and a manual retry of the same deliveries: what was taken to be sent stays until it is settled."""
    account = await world.account()
    webhook = await world.webhook(account)
    events = [await world.accept(account, webhook, claimed=True) for _ in range(30)]
    ids = [event.deliveries[0].id for event in events]
    await world.settle(*(world.settlement(id_) for id_ in ids))
    world.clock.advance(400 * 86_400)
    before = Millis(world.now)

    async def take(id_: int) -> Claimed | DeliveryState | None:
        return await world.store.journal.claim_one(account.id, id_, world.now, world.epoch)

    taken, *_ = await asyncio.gather(
        asyncio.gather(*(take(id_) for id_ in ids)),
        purge(world, logs_before=before, limit=20),
        purge(world, logs_before=before, limit=20),
    )
    for id_, answer in zip(ids, taken, strict=True):
        if isinstance(answer, Claimed):
            assert await world.state(account, id_) is DeliveryState.SENDING
            assert len(await world.store.records.attempts(account.id, id_)) == 1
        else:
            assert answer is None
            assert await world.store.records.attempts(account.id, id_) == []


async def test_who_does_not_send_a_delivery_cannot_settle_it(world: World):
    """Of two nodes that live, only the one that claimed a delivery settles it or gives it back; the other's outcome is
    refused by its id, and leaves no trace.
    """
    account = await world.account()
    webhook = await world.webhook(account)
    journal = world.store.journal
    other = await world.store.cluster.join(name="other", sends=True, now=world.now, bury_before=Millis(0))
    ids = [(await world.accept(account, webhook, claimed=True)).deliveries[0].id for _ in range(3)]
    late = [world.settlement(ids[0]), world.settlement(ids[1], DeliveryState.RETRYING)]
    assert await journal.settle(late, other.epoch) == ids[:2]
    assert await journal.settle_manual(world.settlement(ids[2]), other.epoch) is DeliveryState.SENDING
    await journal.release(ids, other.epoch)
    for id_ in ids:
        assert await world.state(account, id_) is DeliveryState.SENDING
        assert await world.store.records.attempts(account.id, id_) == []
    assert await journal.claimed(other.epoch) == []
    assert [one.id for one in await journal.claimed(world.epoch)] == ids
    assert not await journal.settle([world.settlement(id_) for id_ in ids], world.epoch)
    assert await journal.claimed(world.epoch) == []


async def test_a_node_that_ends_gives_back_its_own_only(world: World):
    """What another node is sending goes on; of its own, what had waited waits again and what had ended has ended."""
    account = await world.account()
    webhook = await world.webhook(account)
    journal, cluster = world.store.journal, world.store.cluster
    other = await cluster.join(name="other", sends=True, now=world.now, bury_before=Millis(0))
    ended, first, second = [(await world.accept(account, webhook, claimed=True)).deliveries[0].id for _ in range(3)]
    await world.settle(world.settlement(ended, DeliveryState.FAILED))
    await journal.release([first], world.epoch)
    assert [one.id for one in (await journal.claim([(webhook.id, 9)], world.now, other.epoch)).claimed] == [first]
    assert isinstance(await journal.claim_one(account.id, ended, world.now, other.epoch), Claimed)
    await cluster.leave(other.epoch)
    assert await world.state(account, first) is DeliveryState.PENDING
    assert await world.state(account, second) is DeliveryState.SENDING
    assert await world.state(account, ended) is DeliveryState.FAILED
