"""Windows and digests: what is folded is counted once, and a digest is a delivery like any other."""

import msgspec
import pytest

from tests.store.gathering import INCIDENT, claimed, digest, fold, folding, opened, summary, window
from tests.store.world import ALL, World, joined
from tocsin.clock import Millis
from tocsin.errors import Conflict, Unavailable
from tocsin.model import DIGEST_TYPE, DeliveryState
from tocsin.store.port import DeliveryFilter, EventFilter, Fold, Page

PENDING, SENDING, DIGESTED = DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.DIGESTED
RETRYING, SUCCEEDED = DeliveryState.RETRYING, DeliveryState.SUCCEEDED


async def test_a_window_is_kept(world: World):
    """A window is as it was last gathered, over a restart too; a webhook that never gathered has none."""
    account = await world.account()
    webhook, other = await world.webhook(account), await world.webhook(account)
    assert await world.store.digests.window(webhook.id) is None
    for sent in (1, 4):
        one = window(world, webhook, sent=sent)
        await world.store.digests.gather([folding(world, account, webhook, window=one)], world.epoch)
        assert await world.store.digests.window(webhook.id) == one
        world.clock.advance(5)
        await world.reopen()
        assert await world.store.digests.window(webhook.id) == one
    assert await world.store.digests.window(other.id) is None
    assert await world.store.digests.window(1 << 70) is None


async def test_members_end_in_their_digest(world: World):
    """What is folded ends then, points to its digest and is not claimed again; the digest waits until it is due."""
    account = await world.account()
    webhook = await world.webhook(account)
    ids = await claimed(world, account, webhook, 3)
    stays = (await claimed(world, account, webhook))[0]
    world.clock.advance(2)
    new = digest(world, 3)
    assert await fold(world, account, webhook, new, *ids) == new
    for id_ in ids:
        member = await world.store.records.delivery(account.id, id_)
        assert member is not None
        assert (member.state, member.digest_id, member.finished_at) == (DIGESTED, new.delivery_id, world.now)
    assert await world.state(account, stays) is SENDING
    whole = await world.store.records.delivery(account.id, new.delivery_id)
    assert whole is not None
    assert (whole.state, whole.due_at, whole.type, whole.webhook_id) == (PENDING, new.due_at, DIGEST_TYPE, webhook.id)
    assert (whole.digest_id, whole.event_id, whole.attempts) == (None, new.event_id, 0)
    answer = await world.store.journal.claim([(webhook.id, 10)], world.now, world.epoch)
    assert (answer.claimed, answer.next_due) == ((), {webhook.id: new.due_at})
    world.clock.advance(60)
    (one,) = await world.claim(webhook)
    assert (one.id, one.type, one.data, one.tries, one.message) == (
        new.delivery_id,
        DIGEST_TYPE,
        summary(3),
        0,
        None,
    )


async def test_an_open_digest_takes_more(world: World):
    """A digest that waits is changed with each fold: its summary, when it is due, what it used of its schedule."""
    account = await world.account()
    webhook = await world.webhook(account)
    one = await fold(world, account, webhook, digest(world, 2), *await claimed(world, account, webhook, 2))
    more = await claimed(world, account, webhook, 2)
    changed = msgspec.structs.replace(one, summary=summary(4), due_at=Millis(one.due_at + 5_000), tries=2)
    assert await fold(world, account, webhook, changed, *more) == changed
    world.clock.advance(61)
    assert await world.claim(webhook) == []
    world.clock.advance(5)
    (sent,) = await world.claim(webhook)
    assert (sent.data, sent.tries) == (summary(4), 2)
    await world.settle(world.settlement(sent.id))
    assert {delivery.id for delivery in await world.store.digests.members(account.id, one.delivery_id, ALL)} > {*more}


async def test_a_digest_that_no_fold_names_is_changed(world: World):
    """What a window says of an open digest is written, whether something is folded into it or not."""
    account = await world.account()
    webhook = await world.webhook(account)
    one = await fold(world, account, webhook, digest(world, 1), *await claimed(world, account, webhook))
    later = msgspec.structs.replace(one, due_at=Millis(one.due_at + 3_600_000))
    put_off = folding(world, account, webhook, window=window(world, webhook, later, sent=3))
    await world.store.digests.gather([put_off], world.epoch)
    assert await world.store.digests.window(webhook.id) == put_off.window


async def test_one_that_is_no_longer_named_is_closed(world: World):
    """A digest that its window no longer holds takes no more members and is still sent; each webhook has its own."""
    account = await world.account()
    webhook, other = await world.webhook(account), await world.webhook(account)
    first = await fold(world, account, webhook, digest(world, 1), *await claimed(world, account, webhook))
    beside = await fold(world, account, other, digest(world, 1), *await claimed(world, account, other))
    second = digest(world, 1)
    assert await fold(world, account, webhook, second, *await claimed(world, account, webhook)) == second
    assert await opened(world, other) == beside
    await world.store.digests.gather([folding(world, account, webhook, window=window(world, webhook))], world.epoch)
    found = await world.store.digests.window(webhook.id)
    assert found is not None
    assert found.open == ()
    world.clock.advance(60)
    assert [one.id for one in await world.claim(webhook)] == [first.delivery_id, second.delivery_id]


@pytest.mark.parametrize("new", [True, False])
async def test_one_is_closed_with_its_last_members(world: World, new: bool):  # noqa: FBT001 - a case
    """A fold into a digest that its window does not hold counts, and is the last; another may open beside it."""
    account = await world.account()
    webhook = await world.webhook(account)
    last = digest(world, 1)
    if not new:
        last = await fold(world, account, webhook, last, *await claimed(world, account, webhook))
    one, two = await claimed(world, account, webhook, 2)
    last = msgspec.structs.replace(last, summary=summary(7))
    next_ = digest(world, 1)
    folds = (Fold(members=(one,), into=last), Fold(members=(two,), into=next_))
    both = folding(world, account, webhook, *folds, window=window(world, webhook, next_))
    await world.store.digests.gather([both], world.epoch)
    assert await opened(world, webhook) == next_
    world.clock.advance(60)
    sent = {claim.id: claim.data for claim in await world.claim(webhook)}
    assert sent == {last.delivery_id: summary(7), next_.delivery_id: summary(1)}


async def test_one_that_was_closed_opens_again(world: World):
    """A digest that failed and waits takes members again once a window holds it."""
    account = await world.account()
    webhook = await world.webhook(account)
    one = await fold(world, account, webhook, digest(world, 1), *await claimed(world, account, webhook))
    world.clock.advance(60)
    await world.claim(webhook)
    await world.store.digests.gather([folding(world, account, webhook)], world.epoch)
    await world.settle(world.settlement(one.delivery_id, RETRYING))
    again = msgspec.structs.replace(one, tries=1, due_at=Millis(world.now + 60_000), summary=summary(2))
    assert await fold(world, account, webhook, again, *await claimed(world, account, webhook)) == again


async def test_a_summary_and_an_incident_are_open_together(world: World):
    """Digests of two kinds take members in one gathering, each its own."""
    account = await world.account()
    webhook = await world.webhook(account)
    ids = await claimed(world, account, webhook, 3)
    folds = (
        Fold(members=(ids[0],), into=digest(world, 1)),
        Fold(members=(ids[1], ids[2]), into=digest(world, 2, kind=INCIDENT, due_at=world.now)),
    )
    await world.store.digests.gather([folding(world, account, webhook, *folds)], world.epoch)
    for one in folds:
        assert await opened(world, webhook, one.into.kind) == one.into
        found = await world.store.digests.members(account.id, one.into.delivery_id, ALL)
        assert [delivery.id for delivery in found] == sorted(one.members, reverse=True)
    assert [one.id for one in await world.claim(webhook)] == [folds[1].into.delivery_id]


async def test_only_what_is_still_being_sent_is_folded(world: World):
    """Members that were settled or given back meanwhile, or are another webhook's, stay as they are."""
    account = await world.account()
    webhook, other = await world.webhook(account), await world.webhook(account)
    settled, released, mine = await claimed(world, account, webhook, 3)
    (theirs,) = await claimed(world, account, other)
    await world.settle(world.settlement(settled))
    await world.store.journal.release([released], world.epoch)
    one = digest(world, 1)
    await fold(world, account, webhook, one, settled, released, mine, theirs)
    assert [await world.state(account, id_) for id_ in (settled, released, mine, theirs)] == [
        SUCCEEDED,
        PENDING,
        DIGESTED,
        SENDING,
    ]
    (member,) = await world.store.digests.members(account.id, one.delivery_id, ALL)
    assert member.id == mine


async def test_a_failed_digest_is_folded_into_the_next(world: World):
    """A digest that failed can be a member of another, which goes on where its schedule was."""
    account = await world.account()
    webhook = await world.webhook(account)
    first = await fold(world, account, webhook, digest(world, 2), *await claimed(world, account, webhook, 2))
    world.clock.advance(60)
    await world.claim(webhook)
    await world.settle(world.settlement(first.delivery_id, RETRYING))
    second = await fold(world, account, webhook, digest(world, 1), *await claimed(world, account, webhook))
    world.clock.advance(60)
    both = [one.id for one in await world.claim(webhook)]
    assert both == [first.delivery_id, second.delivery_id]
    await world.store.journal.release([second.delivery_id], world.epoch)
    merged = msgspec.structs.replace(second, summary=summary(3), tries=1)
    await fold(world, account, webhook, merged, first.delivery_id)
    absorbed = await world.store.records.delivery(account.id, first.delivery_id)
    assert absorbed is not None
    assert (absorbed.state, absorbed.digest_id) == (DIGESTED, second.delivery_id)
    (sent,) = await world.claim(webhook)
    assert (sent.id, sent.tries, sent.data) == (second.delivery_id, 1, summary(3))


async def test_of_one_that_is_being_sent_only_the_summary_changes(world: World):
    """Members come to an incident while it is being sent; when it goes on is for what comes of that to say."""
    account = await world.account()
    webhook = await world.webhook(account)
    new = digest(world, 1, kind=INCIDENT, due_at=world.now)
    one = await fold(world, account, webhook, new, *await claimed(world, account, webhook))
    (sending,) = await world.claim(webhook)
    assert sending.id == one.delivery_id
    more = await claimed(world, account, webhook, 2)
    changed = msgspec.structs.replace(one, summary=summary(3), due_at=Millis(world.now + 99_000), tries=7)
    now = await fold(world, account, webhook, changed, *more)
    assert now.summary == summary(3)
    assert await world.state(account, one.delivery_id) is SENDING
    await world.store.journal.release([one.delivery_id], world.epoch)
    assert await opened(world, webhook, INCIDENT) == msgspec.structs.replace(one, summary=summary(3))
    await world.claim(webhook)
    due = Millis(world.now + 5_000)
    await world.settle(world.settlement(one.delivery_id, PENDING, due_at=due, tries=0, message="chat/17"))
    now = await opened(world, webhook, INCIDENT)
    assert (now.due_at, now.tries, now.message, now.summary) == (due, 0, "chat/17", summary(3))
    world.clock.advance(5)
    (again,) = await world.claim(webhook)
    assert (again.data, again.tries, again.attempts, again.message) == (summary(3), 0, 1, "chat/17")
    await world.settle(world.settlement(again.id, PENDING, n=2, due_at=due, tries=0, message="chat/18"))
    (again,) = await world.claim(webhook)
    assert again.message == "chat/18"
    await world.settle(world.settlement(again.id, n=3))
    found = await world.store.digests.window(webhook.id)
    assert found is not None
    assert found.open == ()
    assert [attempt.n for attempt in await world.store.records.attempts(account.id, again.id)] == [1, 2, 3]


async def test_a_restart_puts_a_digest_back(world: World):
    """A digest that was being sent when its owner died is open again, and due when it was."""
    account = await world.account()
    webhook = await world.webhook(account)
    one = await fold(world, account, webhook, digest(world, 1), *await claimed(world, account, webhook))
    world.clock.advance(60)
    assert len(await world.claim(webhook)) == 1
    assert await opened(world, webhook) == one
    await world.reopen()
    assert await opened(world, webhook) == one
    (again,) = await world.claim(webhook)
    assert (again.id, again.claim_count) == (one.delivery_id, 2)


@pytest.mark.parametrize("end", ["cancelled", "dropped", "settled", "retried by hand"])
async def test_one_that_has_ended_takes_no_more(world: World, end: str):
    """A digest that ended is open no more; who folds into it is told, and nothing of that gathering is written."""
    account = await world.account()
    webhook = await world.webhook(account)
    one = await fold(world, account, webhook, digest(world, 1), *await claimed(world, account, webhook))
    journal = world.store.journal
    if end == "cancelled":
        await journal.cancel(account.id, one.delivery_id, world.now)
    elif end == "dropped":
        await journal.drop_waiting(webhook.id, world.now, 10)
    else:
        world.clock.advance(60)
        await world.claim(webhook)
        await world.settle(world.settlement(one.delivery_id, DeliveryState.FAILED))
        if end == "retried by hand":
            await journal.claim_one(account.id, one.delivery_id, world.now, world.epoch)
    before = await world.store.digests.window(webhook.id)
    assert before is not None
    assert before.open == ()
    beside, (late,) = await world.webhook(account), await claimed(world, account, webhook)
    both = [
        folding(world, account, beside),
        folding(world, account, webhook, Fold(members=(late,), into=one)),
    ]
    with pytest.raises(Conflict) as refused:
        await world.store.digests.gather(both, world.epoch)
    assert refused.value.code == "changed_meanwhile"
    assert await world.state(account, late) is SENDING
    assert await world.store.digests.window(beside.id) is None
    assert await world.store.digests.window(webhook.id) == before
    new = digest(world, 1)
    assert await fold(world, account, webhook, new, late) == new


async def test_a_stale_owner_gathers_nothing(world: World):
    """An owner whose time is over is refused, and nothing is written."""
    account = await world.account()
    webhook = await world.webhook(account)
    (id_,) = await claimed(world, account, webhook)
    stale = folding(world, account, webhook, Fold(members=(id_,), into=digest(world, 1)))
    world.epoch = await joined(world.store, world.now)
    with pytest.raises(Unavailable) as refused:
        await world.store.digests.gather([stale], world.epoch - 1)
    assert refused.value.code == "not_owner"
    assert await world.state(account, id_) is PENDING
    assert await world.store.digests.window(webhook.id) is None


async def test_a_removed_account_gathers_nothing(world: World):
    """Nothing is written for an account that was removed meanwhile; others of the same call are."""
    account, other = await world.account(), await world.account()
    webhook, others = await world.webhook(account), await world.webhook(other)
    (id_,), (theirs,) = await claimed(world, account, webhook), await claimed(world, other, others)
    await world.store.accounts.remove(account.id, world.change("account.removed"))
    one, two = digest(world, 1), digest(world, 1)
    both = [
        folding(world, account, webhook, Fold(members=(id_,), into=one)),
        folding(world, other, others, Fold(members=(theirs,), into=two)),
    ]
    await world.store.digests.gather(both, world.epoch)
    assert await world.store.digests.window(webhook.id) is None
    assert await opened(world, others) == two


async def test_digests_are_listed_as_deliveries_and_their_events_nowhere(world: World):
    """Lists of deliveries hold digests, lists of events never Tocsin's own; by its id such an event is found."""
    account, other = await world.account(), await world.account()
    webhook = await world.webhook(account)
    ids = await claimed(world, account, webhook, 2)
    one = await fold(world, account, webhook, digest(world, 2), *ids)
    for _ in range(2):
        deliveries, _end = await world.store.records.deliveries(account.id, DeliveryFilter(), ALL)
        assert {delivery.id for delivery in deliveries} == {*ids, one.delivery_id}
        for where in (EventFilter(), EventFilter(type=DIGEST_TYPE), EventFilter(source="tocsin")):
            events, _end = await world.store.records.events(account.id, where, ALL)
            assert one.event_id not in {event.id for event in events}
        event = await world.store.records.event(account.id, one.event_id)
        assert event is not None
        assert (event.type, event.source, event.data) == (DIGEST_TYPE, "tocsin", summary(2))
        assert await world.store.records.event(other.id, one.event_id) is None
        await world.reopen()


async def test_members_are_listed(world: World):
    """The members of a digest are found by it, newest first, in pages; another account finds none."""
    account, other = await world.account(), await world.account()
    webhook = await world.webhook(account)
    ids = await claimed(world, account, webhook, 5)
    one = await fold(world, account, webhook, digest(world, 5), *ids)
    newest_first = sorted(ids, reverse=True)
    members = world.store.digests.members
    assert [d.id for d in await members(account.id, one.delivery_id, Page(limit=2))] == newest_first[:3]
    rest = await members(account.id, one.delivery_id, Page(limit=5, before=newest_first[1]))
    assert [d.id for d in rest] == newest_first[2:]
    assert await members(other.id, one.delivery_id, ALL) == []
    assert await members(account.id, ids[0], ALL) == []
    by_filter, _ = await world.store.records.deliveries(account.id, DeliveryFilter(digest_id=one.delivery_id), ALL)
    assert [d.id for d in by_filter] == newest_first
    fewer = DeliveryFilter(digest_id=one.delivery_id, type="other.type")
    assert await world.store.records.deliveries(account.id, fewer, ALL) == ([], None)


async def test_the_last_words_of_a_digest_are_written_and_close_it(world: World):
    """A fold into a digest that its window does not hold changes it and closes it, beside a new one of its kind."""
    account = await world.account()
    webhook = await world.webhook(account)
    old = await fold(world, account, webhook, digest(world, 2, kind=INCIDENT), *await claimed(world, account, webhook))
    world.clock.advance(60)
    await world.claim(webhook)
    over, new = msgspec.structs.replace(old, summary=summary(9)), digest(world, 1, kind=INCIDENT)
    folds = (
        Fold(members=(), into=over),
        Fold(members=tuple(await claimed(world, account, webhook)), into=new),
    )
    gathered = folding(world, account, webhook, *folds, window=window(world, webhook, new))
    await world.store.digests.gather([gathered], world.epoch)
    assert await opened(world, webhook, INCIDENT) == new
    event = await world.store.records.event(account.id, old.event_id)
    assert event is not None
    assert event.data == summary(9)


async def test_a_webhook_that_is_gathered_twice_at_once_is_as_the_last_says(world: World):
    """Two gatherings of a webhook in one call count in their order, both with their members."""
    account = await world.account()
    webhook = await world.webhook(account)
    first, second = await claimed(world, account, webhook, 2)
    one = digest(world, 1)
    more = msgspec.structs.replace(one, summary=summary(2))
    folds = [Fold(members=(first,), into=one), Fold(members=(second,), into=more)]
    await world.store.digests.gather([folding(world, account, webhook, fold) for fold in folds], world.epoch)
    assert await opened(world, webhook) == more
    members = await world.store.digests.members(account.id, one.delivery_id, ALL)
    assert {delivery.id for delivery in members} == {first, second}
