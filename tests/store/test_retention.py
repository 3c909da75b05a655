from tests.store.world import ALL, World
from tocsin.clock import Millis
from tocsin.model import Account, DeliveryState
from tocsin.store.port import Accepted, DeliveryFilter, EventFilter, Purged

DAY_S = 86_400
NEVER = Millis(0)


async def purge(world: World, *, limit: int = 1_000, **before: Millis) -> Purged:
    bounds = {"bodies_before": NEVER, "logs_before": NEVER, "dedupe_before": NEVER} | before
    return await world.store.housekeeping.purge(**bounds, now=world.now, limit=limit)


async def purge_all(world: World, limit: int = 3, steps: int = 40) -> Purged:
    """Everything older than now, in many small steps; the sum."""
    total: dict[str, int] = {}
    for _ in range(steps):
        step = await purge(world, limit=limit, bodies_before=world.now, logs_before=world.now, dedupe_before=world.now)
        for name in step.__struct_fields__:
            n = getattr(step, name)
            assert n <= limit or name == "attempts"
            total[name] = total.get(name, 0) + n
    return Purged(**total)


async def ended(world: World, account: Account, *, state: DeliveryState = DeliveryState.SUCCEEDED, **values):
    webhook = await world.webhook(account)
    event = await world.accept(account, webhook, claimed=True, **values)
    await world.settle(world.settlement(event.deliveries[0].id, state))
    return event


async def test_each_kind_has_its_own_age(world: World):
    """Bodies, external ids and logs go when each is older than its own bound, and not before."""
    account = await world.account()
    event = await ended(world, account, external_id="e")
    delivery_id = event.deliveries[0].id
    records = world.store.records
    made = event.accepted_at
    assert await purge(world, bodies_before=made, logs_before=made, dedupe_before=made) == Purged()
    world.clock.advance(10)
    later = Millis(made + 1)
    assert await purge(world, bodies_before=later) == Purged(bodies=1)
    stored = await records.event(account.id, event.id)
    assert stored is not None
    assert (stored.data, stored.type) == (None, event.type)
    assert await world.ingest(await world.new_event(account, external_id="e")) != [Accepted()]
    assert await purge(world, bodies_before=later, dedupe_before=later) == Purged(dedupe=1)
    assert await world.ingest(await world.new_event(account, external_id="e")) == [Accepted()]
    assert len(await records.attempts(account.id, delivery_id)) == 1
    purged = await purge(world, bodies_before=later, dedupe_before=later, logs_before=later)
    assert purged == Purged(events=1, deliveries=1, attempts=1)
    assert await records.event(account.id, event.id) is None
    assert await records.delivery(account.id, delivery_id) is None
    assert await records.attempts(account.id, delivery_id) == []
    events, _ = await records.events(account.id, EventFilter(), ALL)
    assert [event.external_id for event in events] == ["e"]


async def test_nothing_of_a_delivery_goes_before_it_has_ended(world: World):
    """What waits or is being sent keeps its event, its body and its attempts, however old, and can still be sent."""
    account = await world.account()
    webhook = await world.webhook(account)
    waiting = await world.accept(account, webhook)
    sending = await world.accept(account, webhook, claimed=True)
    retrying = await world.accept(account, webhook, claimed=True)
    job = await world.accept(account, fan_out=True)
    id_ = retrying.deliveries[0].id
    await world.settle(world.settlement(id_, DeliveryState.RETRYING, due_at=world.now))
    gone = [await ended(world, account, external_id=f"e{i}") for i in range(7)]
    world.clock.advance(400 * DAY_S)
    assert await purge_all(world) == Purged(bodies=7, events=7, deliveries=7, attempts=7, dedupe=7)
    for event in gone:
        assert await world.store.records.event(account.id, event.id) is None
    for event in (waiting, sending, retrying, job):
        stored = await world.store.records.event(account.id, event.id)
        assert stored is not None
        assert stored.data == event.data
    claimed = {one.event_id: one.data for one in await world.claim(webhook)}
    assert claimed == {waiting.id: waiting.data, retrying.id: retrying.data}
    assert len(await world.store.records.attempts(account.id, id_)) == 1
    assert len(await world.store.journal.fan_out_jobs(9)) == 1
    deliveries, _ = await world.store.records.deliveries(account.id, DeliveryFilter(), ALL)
    assert len(deliveries) == 3
    # Once they end, their time comes too.
    await world.settle(
        world.settlement(waiting.deliveries[0].id),
        world.settlement(sending.deliveries[0].id),
        world.settlement(id_, n=2),
    )
    (fan_out_job,) = await world.store.journal.fan_out_jobs(9)
    await world.store.journal.fan_out(fan_out_job, [], after=1, done=True, due_at=world.now)
    world.clock.advance(400 * DAY_S)
    purged = await purge_all(world)
    assert (purged.events, purged.deliveries, purged.attempts) == (4, 3, 4)
    assert await world.store.records.events(account.id, EventFilter(), ALL) == ([], None)
    assert await world.store.records.deliveries(account.id, DeliveryFilter(), ALL) == ([], None)


async def test_logs_count_their_age_from_the_end(world: World):
    """A delivery that was held for long is kept for its full time after it has ended."""
    account = await world.account()
    webhook = await world.webhook(account)
    event = await world.accept(account, webhook)
    world.clock.advance(100 * DAY_S)
    await world.claim(webhook)
    await world.settle(world.settlement(event.deliveries[0].id))
    before = Millis(world.now - 90 * DAY_S * 1000)
    assert (await purge(world, bodies_before=before, logs_before=before, dedupe_before=before)).deliveries == 0
    assert len(await world.store.records.attempts(account.id, event.deliveries[0].id)) == 1


async def test_purging_goes_on_past_what_must_stay(world: World):
    """Old deliveries that cannot go do not keep younger ones from going, across restarts too."""
    account = await world.account()
    webhook = await world.webhook(account)
    held = [await world.accept(account, webhook) for _ in range(10)]
    for _ in range(10):
        await ended(world, account)
    world.clock.advance(400 * DAY_S)
    total = 0
    for _ in range(10):
        step = await purge(world, limit=4, bodies_before=world.now, logs_before=world.now, dedupe_before=world.now)
        total += step.deliveries
        await world.reopen()
    assert total == 10
    assert len(await world.claim(webhook)) == len(held)


async def test_a_removed_account_is_purged_wholly(world: World):
    """Everything of a removed account goes, step by step, ended or not; other accounts keep all of theirs."""
    account, other = await world.account(external_id="x"), await world.account()
    webhook, others = await world.webhook(account), await world.webhook(other)
    for i in range(5):
        event = await world.accept(account, webhook, claimed=i % 2 == 0, external_id=f"e{i}")
        await world.accept(other, others, external_id=f"e{i}")
        if i == 0:
            await world.settle(world.settlement(event.deliveries[0].id))
    await world.accept(account, fan_out=True)
    await world.store.journal.note_streak(webhook.id, world.now, None)
    await world.store.idempotency.begin(account.id, "r", "k", b"d", world.now, Millis(world.now + 10**9))
    await world.store.accounts.remove(account.id, world.change())
    world.clock.advance(7_200)
    total: dict[str, int] = {}
    for _ in range(40):
        step = await purge(world, limit=3)
        for name in step.__struct_fields__:
            total[name] = total.get(name, 0) + getattr(step, name)
    assert Purged(**total) == Purged(events=6, deliveries=5, attempts=1, dedupe=5, idempotency=1, accounts=1)
    events, _ = await world.store.records.events(other.id, EventFilter(), ALL)
    assert len(events) == 5
    assert len(await world.claim(others)) == 5
    again = await world.account(external_id="x")
    assert await world.store.accounts.list(ALL) == [again, await world.store.accounts.get(other.id)]


async def test_what_is_settled_after_its_account_was_purged_leaves_nothing(world: World):
    """An attempt under way when its account goes is settled without a trace."""
    account = await world.account()
    webhook = await world.webhook(account)
    event = await world.accept(account, webhook, claimed=True)
    await world.store.accounts.remove(account.id, world.change())
    await purge(world)
    await world.settle(world.settlement(event.deliveries[0].id))
    assert (await purge(world)).attempts == 0


async def test_what_waits_for_a_deleted_webhook_is_cancelled(world: World):
    """A retry that was under way while its webhook was deleted does not wait forever."""
    account = await world.account()
    webhook, other = await world.webhook(account), await world.webhook(account)
    event = await world.accept(account, webhook, other)
    mine, others = (delivery.id for delivery in event.deliveries)
    await world.store.webhooks.remove(account.id, webhook.id, world.change())
    await purge(world)
    assert await world.state(account, mine) is DeliveryState.CANCELLED
    assert await world.state(account, others) is DeliveryState.PENDING
