import asyncio

import pytest

from tests.store.world import ALL, World, joined
from tocsin.errors import Unavailable
from tocsin.model import DeliveryState
from tocsin.store.port import (
    Accepted,
    AccountGone,
    ContentConflict,
    DeliveryFilter,
    Duplicate,
    EventFilter,
    FanOutJob,
    NewDelivery,
    Stale,
    Unstorable,
)


async def test_an_accepted_event_is_there_with_its_deliveries(world: World):
    """What was accepted can be read at once, word for word, with one delivery for each webhook."""
    account = await world.account()
    first, second = await world.webhook(account), await world.webhook(account)
    new = await world.accept(account, first, second, data='{"x":"é\\u0000"}'.encode(), visitor_id="v1")
    event = await world.store.records.event(account.id, new.id)
    assert event is not None
    assert (event.data, event.type, event.timestamp, event.accepted_at) == (
        new.data,
        new.type,
        new.timestamp,
        new.accepted_at,
    )
    assert (event.source, event.config_version, event.matched, event.visitor_id) == ("api", 3, 2, "v1")
    deliveries, _ = await world.store.records.deliveries(account.id, DeliveryFilter(event_id=new.id), ALL)
    assert [(d.webhook_id, d.state, d.due_at) for d in deliveries] == [
        (second.id, DeliveryState.PENDING, new.accepted_at),
        (first.id, DeliveryState.PENDING, new.accepted_at),
    ]


async def test_a_batch_is_answered_in_order(world: World):
    """Each event of a batch has its own answer, at its own place, whatever became of the others."""
    account = await world.account()
    webhook = await world.webhook(account)
    good = await world.new_event(account, webhook)
    stale = await world.new_event(account, webhook, config_version=1)
    homeless = await world.new_event(world.new_account(), webhook)
    first = await world.new_event(account, webhook, external_id="a")
    again = await world.new_event(account, webhook, external_id="a")
    other = await world.new_event(account, webhook, external_id="a", digest=b"else")
    poison = await world.new_event(account, webhook, type="\ud800")
    last = await world.new_event(account, webhook)
    answers = await world.ingest(good, stale, homeless, first, again, other, poison, last)
    assert answers[:6] == [
        Accepted(),
        Stale(),
        AccountGone(),
        Accepted(),
        Duplicate(event_id=first.id, timestamp=first.timestamp, matched=1),
        ContentConflict(event_id=first.id),
    ]
    assert isinstance(answers[6], Unstorable)
    assert answers[7] == Accepted()
    events, _ = await world.store.records.events(account.id, EventFilter(), ALL)
    assert [event.id for event in events] == [last.id, first.id, good.id]


async def test_a_known_external_id_is_answered_with_the_first_event(world: World):
    """A second event under the same external id is not stored; other accounts may use the same one."""
    account, other = await world.account(), await world.account()
    first = await world.accept(account, external_id="order:1")
    world.clock.advance(60)
    again = await world.new_event(account, external_id="order:1")
    conflict = await world.new_event(account, external_id="order:1", digest=b"other")
    elsewhere = await world.new_event(other, external_id="order:1")
    assert await world.ingest(again, conflict, elsewhere) == [
        Duplicate(event_id=first.id, timestamp=first.timestamp, matched=0),
        ContentConflict(event_id=first.id),
        Accepted(),
    ]
    assert await world.store.records.event(account.id, again.id) is None


async def test_external_ids_are_remembered_over_a_restart(world: World):
    """A restart does not forget which external ids are known."""
    account = await world.account()
    first = await world.accept(account, external_id="a")
    await world.reopen()
    again = await world.new_event(account, external_id="a")
    assert await world.ingest(again) == [Duplicate(event_id=first.id, timestamp=first.timestamp, matched=0)]


@pytest.mark.parametrize(
    "poison",
    [
        {"type": "\ud800"},
        {"timestamp": 1 << 63},
        {"matched": -(1 << 80)},
        {"config_version": None},
        {"data": 3},
        {"visitor_id": b"\xff"},
        {"external_id": b"\xff"},
        {"external_id": "x\udfff"},
    ],
    ids=str,
)
@pytest.mark.parametrize("place", [0, 7, 19])
async def test_one_row_at_fault_fails_alone(world: World, poison: dict, place: int):
    """An event that the database refuses takes none of its batch along, and leaves nothing of itself."""
    account = await world.account()
    webhook = await world.webhook(account)
    batch = [await world.new_event(account, webhook, external_id=f"e{i}") for i in range(20)]
    bad = await world.new_event(account, webhook, **{"external_id": "bad"} | poison)
    batch.insert(place, bad)
    answers = await world.ingest(*batch)
    assert [i for i, answer in enumerate(answers) if answer != Accepted()] == [place]
    assert isinstance(answers[place], Unstorable | Stale)
    events, _ = await world.store.records.events(account.id, EventFilter(), ALL)
    assert {event.id for event in events} == {event.id for event in batch} - {bad.id}
    deliveries, _ = await world.store.records.deliveries(account.id, DeliveryFilter(), ALL)
    assert len(deliveries) == 20
    assert await world.ingest(await world.new_event(account, external_id="bad")) == [Accepted()]


async def test_an_event_whose_delivery_is_refused_fails_with_it(world: World):
    """An event and its deliveries are stored together or not at all."""
    account = await world.account()
    webhook = await world.webhook(account)
    before = await world.accept(account, webhook)
    taken = NewDelivery(id=before.deliveries[0].id, webhook_id=webhook.id, claimed=False)
    bad = await world.new_event(account, deliveries=(taken,))
    good = await world.new_event(account, webhook)
    answers = await world.ingest(bad, good)
    assert isinstance(answers[0], Unstorable)
    assert answers[1] == Accepted()
    assert await world.store.records.event(account.id, bad.id) is None


async def test_ids_beyond_the_database_are_nobody(world: World):
    """Ids that no row can have are unknown, not a crash."""
    account = await world.account()
    huge = 1 << 70
    assert await world.ingest(await world.new_event(world.new_account(id=huge))) == [AccountGone()]
    assert await world.store.records.event(account.id, huge) is None
    assert await world.store.records.delivery(account.id, -huge) is None
    assert await world.store.records.attempts(account.id, huge) == []
    assert await world.store.accounts.get(huge) is None
    assert await world.store.webhooks.get(account.id, huge) is None
    assert await world.store.webhooks.get(huge, 1) is None
    assert await world.store.snapshots.snapshot(huge) is None
    assert await world.store.journal.claim_one(account.id, huge, world.now, world.epoch) is None
    assert await world.store.journal.cancel(account.id, huge, world.now) is None
    assert not await world.store.keys.revoke(account.id, huge, world.now, world.change())
    assert not await world.store.accounts.remove(huge, world.change())
    deliveries, _ = await world.store.records.deliveries(account.id, DeliveryFilter(webhook_id=huge), ALL)
    assert deliveries == []


async def test_large_and_odd_bodies_come_back_as_they_were(world: World):
    """A body is bytes: a megabyte, a NUL, an empty one, and what is no text at all."""
    account = await world.account()
    for data in (b"x" * (1 << 20), b"\x00\x00", b"", b"\xff\xfe"):
        event = await world.accept(account, data=data)
        stored = await world.store.records.event(account.id, event.id)
        assert stored is not None
        assert stored.data == data


async def test_a_change_makes_prepared_events_stale(world: World):
    """An event matched by settings that were changed before its commit is not stored, whichever setting it was."""
    account = await world.account()
    webhook = await world.webhook(account)
    store = world.store
    prepared = await world.new_event(account, webhook)
    changes = [
        lambda: world.webhook(account),
        lambda: store.webhooks.remove(account.id, webhook.id, world.change()),
        lambda: store.catalogue.put(account.id, world.event_type(), 10, world.change()),
        lambda: store.catalogue.remove(account.id, "custom.happened", world.change()),
        lambda: store.accounts.change(account, world.change()),
    ]
    for change in changes:
        await change()
        assert await world.ingest(prepared) == [Stale()]
        prepared = await world.new_event(account)
    assert await world.ingest(prepared) == [Accepted()]


async def test_a_change_and_events_at_the_same_moment_stay_in_order(world: World):
    """Events queued before a change are stored, those queued behind it are stale: one order for all."""
    account = await world.account()
    webhook = await world.webhook(account)
    before, behind = await world.new_event(account, webhook), await world.new_event(account, webhook)
    first, _, second = await asyncio.gather(
        world.ingest(before), world.store.webhooks.remove(account.id, webhook.id, world.change()), world.ingest(behind)
    )
    assert (first, second) == ([Accepted()], [Stale()])


async def test_a_former_owner_stores_nothing(world: World):
    """Every write of the journal is refused under an epoch that has ended, and nothing of it is written."""
    account = await world.account()
    webhook = await world.webhook(account)
    event = await world.accept(account, webhook, claimed=True)
    delivery_id = event.deliveries[0].id
    late = await world.new_event(account, webhook)
    old, world.epoch = world.epoch, await joined(world.store, world.now)
    assert world.epoch > old
    journal = world.store.journal
    writes = [
        lambda: journal.ingest([late], old),
        lambda: journal.claim([(webhook.id, 1)], world.now, old),
        lambda: journal.claim_one(account.id, delivery_id, world.now, old),
        lambda: journal.settle([world.settlement(delivery_id)], old),
        lambda: journal.settle_manual(world.settlement(delivery_id), old),
        lambda: journal.release([delivery_id], old),
    ]
    for write in writes:
        with pytest.raises(Unavailable) as refused:
            await write()
        assert refused.value.code == "not_owner"
    assert await world.state(account, delivery_id) is DeliveryState.PENDING
    assert await world.store.records.event(account.id, late.id) is None


async def test_an_event_for_very_many_webhooks_becomes_a_job(world: World):
    """A fan-out job is durable with its event, goes on from where it was, and writes each chunk once."""
    account = await world.account()
    webhooks = sorted([await world.webhook(account) for _ in range(5)], key=lambda webhook: webhook.id)
    event = await world.accept(account, fan_out=True, matched=5)
    await world.reopen()
    journal = world.store.journal
    config_version = event.config_version
    (job,) = await journal.fan_out_jobs(10)
    assert job == FanOutJob(event_id=event.id, account_id=account.id, config_version=config_version, after=0)

    def chunk(*some):
        return [NewDelivery(id=world.ids.next(), webhook_id=webhook.id, claimed=False) for webhook in some]

    due = world.now
    await journal.fan_out(job, chunk(*webhooks[:3]), after=webhooks[2].id, done=False, due_at=due)
    await journal.fan_out(job, chunk(*webhooks[:3]), after=webhooks[2].id, done=False, due_at=due)  # said again
    (job,) = await journal.fan_out_jobs(10)
    assert job.after == webhooks[2].id
    await journal.fan_out(job, chunk(*webhooks[3:]), after=webhooks[4].id, done=True, due_at=due)
    assert await journal.fan_out_jobs(10) == []
    deliveries, _ = await world.store.records.deliveries(account.id, DeliveryFilter(event_id=event.id), ALL)
    assert sorted(delivery.webhook_id for delivery in deliveries) == [webhook.id for webhook in webhooks]
    assert [claimed.data for claimed in await world.claim(webhooks[4])] == [event.data]
