import asyncio

import pytest

from tests.store.world import ALL, World
from tocsin.clock import Millis
from tocsin.errors import NotFound
from tocsin.model import DeliveryState, Outcome, OutcomeKind, Trigger, WebhookId
from tocsin.store.port import Accepted, DeliveryFilter, InHands, LaneFacts


async def test_claims_take_what_is_due_oldest_first(world: World):
    """A lane gives what is due, by due time and then by age, up to the number asked for, and says what is next."""
    account = await world.account()
    webhook = await world.webhook(account)
    events = []
    for _ in range(5):
        events.append(await world.accept(account, webhook))
        world.clock.advance(1)
    ids = [event.deliveries[0].id for event in events]
    journal = world.store.journal
    answer = await journal.claim([(webhook.id, 2)], Millis(world.now - 2_000), world.epoch)
    assert [one.id for one in answer.claimed] == ids[:2]
    assert answer.next_due == {webhook.id: events[2].accepted_at}
    first = answer.claimed[0]
    assert (first.event_id, first.webhook_id, first.account_id) == (events[0].id, webhook.id, account.id)
    assert (first.type, first.timestamp, first.data) == (events[0].type, events[0].timestamp, events[0].data)
    assert (first.attempts, first.tries, first.claim_count, first.trigger) == (0, 0, 1, Trigger.SCHEDULE)
    answer = await journal.claim([(webhook.id, 100)], events[3].accepted_at, world.epoch)
    assert [one.id for one in answer.claimed] == ids[2:4]
    assert answer.next_due == {webhook.id: events[4].accepted_at}
    answer = await journal.claim([(webhook.id, 100)], world.now, world.epoch)
    assert [one.id for one in answer.claimed] == ids[4:]
    assert answer.next_due == {webhook.id: None}
    assert [await world.state(account, id_) for id_ in ids] == [DeliveryState.SENDING] * 5


async def test_an_outcome_that_comes_again_counts_once(world: World):
    """What a commit settled whose answer was lost does not settle the attempt that is under way by now."""
    account = await world.account()
    webhook = await world.webhook(account)
    id_ = (await world.accept(account, webhook, claimed=True)).deliveries[0].id
    first = world.settlement(id_, DeliveryState.RETRYING)
    await world.settle(first)
    claims = await world.store.journal.claim([(webhook.id, 1)], Millis(world.now + 60_000), world.epoch)
    (again,) = claims.claimed
    await world.settle(first)
    assert await world.state(account, id_) is DeliveryState.SENDING
    await world.settle(world.settlement(id_, n=again.attempts + 1))
    assert await world.state(account, id_) is DeliveryState.SUCCEEDED
    assert [attempt.n for attempt in await world.store.records.attempts(account.id, id_)] == [1, 2]


async def test_what_is_claimed_is_known_to_the_store(world: World):
    """A process can ask for all that it has claimed, whether or not it ever heard of it."""
    account = await world.account()
    webhook = await world.webhook(account)
    claimed = (await world.accept(account, webhook, claimed=True)).deliveries[0].id
    waiting = (await world.accept(account, webhook)).deliveries[0].id
    journal = world.store.journal
    assert await journal.claimed(world.epoch) == [
        InHands(id=claimed, webhook_id=webhook.id, account_id=account.id),
    ]
    await journal.claim([(webhook.id, 1)], world.now, world.epoch)
    assert {one.id for one in await journal.claimed(world.epoch)} == {claimed, waiting}
    await journal.release([claimed], world.epoch)
    await world.settle(world.settlement(waiting))
    assert await journal.claimed(world.epoch) == []


async def test_claims_answer_each_lane_asked_for(world: World):
    """One claim serves many lanes; none of them gets another's, and empty or unknown ones say so."""
    account = await world.account()
    busy, idle = await world.webhook(account), await world.webhook(account)
    event = await world.accept(account, busy)
    unknown = WebhookId(world.ids.next())
    answer = await world.store.journal.claim([(idle.id, 5), (busy.id, 5), (unknown, 5)], world.now, world.epoch)
    assert [(one.webhook_id, one.event_id) for one in answer.claimed] == [(busy.id, event.id)]
    assert answer.next_due == {idle.id: None, busy.id: None, unknown: None}


@pytest.mark.parametrize("number", [0, -1, -2])
async def test_a_claim_of_nothing_says_what_waits(world: World, number: int):
    """Asked for no delivery of a lane, a claim takes none, and does not say that none waits."""
    account = await world.account()
    webhook = await world.webhook(account)
    event = await world.accept(account, webhook)
    answer = await world.store.journal.claim([(webhook.id, number)], world.now, world.epoch)
    assert (answer.claimed, answer.next_due) == ((), {webhook.id: event.accepted_at})


async def test_claims_stop_at_a_number_of_bytes(world: World):
    """A claim ends once its bodies exceed the bound, after at least one; what was not reached is still due."""
    account = await world.account()
    first, second = await world.webhook(account), await world.webhook(account)
    events = [await world.accept(account, first, second, data=b"x" * 1000) for _ in range(4)]
    due = events[0].accepted_at
    wants = [(first.id, 3), (second.id, 3)]
    journal = world.store.journal
    answer = await journal.claim(wants, world.now, world.epoch, max_bytes=1)
    assert [one.event_id for one in answer.claimed] == [events[0].id]
    assert answer.next_due == {first.id: due, second.id: due}
    answer = await journal.claim(wants, world.now, world.epoch, max_bytes=3_500)
    assert [(one.webhook_id, one.event_id) for one in answer.claimed] == [
        (first.id, events[1].id),
        (first.id, events[2].id),
        (first.id, events[3].id),
        (second.id, events[0].id),
    ]
    assert answer.next_due == {first.id: None, second.id: due}


async def test_nobody_else_gets_what_is_claimed(world: World):
    """A delivery is given to one claim only, however many ask at once."""
    account = await world.account()
    webhook = await world.webhook(account)
    for _ in range(30):
        await world.accept(account, webhook)
    claims = await asyncio.gather(*(world.claim(webhook, 7) for _ in range(8)))
    ids = [one.id for claim in claims for one in claim]
    assert len(ids) == len(set(ids)) == 30


async def test_a_delivery_handed_over_is_not_claimed_again(world: World):
    """A delivery that came in already claimed waits for nobody and is found in no lane."""
    account = await world.account()
    webhook = await world.webhook(account)
    event = await world.accept(account, webhook, claimed=True)
    assert await world.state(account, event.deliveries[0].id) is DeliveryState.SENDING
    assert await world.claim(webhook) == []
    assert await world.store.journal.lanes(0, 10) == []


async def test_a_settled_delivery_ends_once(world: World):
    """A final state stays: whatever is settled later leaves no trace, not even an attempt."""
    account = await world.account()
    webhook = await world.webhook(account)
    event = await world.accept(account, webhook, claimed=True)
    id_ = event.deliveries[0].id
    world.clock.advance(3)
    await world.settle(world.settlement(id_))
    ended = world.now
    world.clock.advance(3)
    unknown = world.ids.next()
    late = world.settlement(id_, DeliveryState.FAILED, n=2), world.settlement(unknown)
    assert await world.store.journal.settle(late, world.epoch) == [id_, unknown]
    delivery = await world.store.records.delivery(account.id, id_)
    assert delivery is not None
    assert (delivery.state, delivery.attempts, delivery.status_code) == (DeliveryState.SUCCEEDED, 1, 200)
    assert (delivery.due_at, delivery.finished_at) == (None, ended)
    assert len(await world.store.records.attempts(account.id, id_)) == 1
    assert await world.claim(webhook) == []


async def test_a_settlement_given_twice_counts_once(world: World):
    """A batch that names a delivery twice settles it once, with one attempt, beside the others of the batch."""
    account = await world.account()
    webhook = await world.webhook(account)
    one, other = [(await world.accept(account, webhook, claimed=True)).deliveries[0].id for _ in range(2)]
    twice = world.settlement(one), world.settlement(one), world.settlement(other)
    assert not await world.store.journal.settle(twice, world.epoch)
    for id_ in (one, other):
        delivery = await world.store.records.delivery(account.id, id_)
        assert delivery is not None
        assert (delivery.state, delivery.attempts) == (DeliveryState.SUCCEEDED, 1)
        assert len(await world.store.records.attempts(account.id, id_)) == 1


async def test_a_retry_waits_until_it_is_due(world: World):
    """A failed attempt that is retried can be claimed from its due time on, with its attempts counted."""
    account = await world.account()
    webhook = await world.webhook(account)
    event = await world.accept(account, webhook, claimed=True)
    id_ = event.deliveries[0].id
    for n in (1, 2):
        due = Millis(world.now + 5_000)
        await world.settle(world.settlement(id_, DeliveryState.RETRYING, n=n, due_at=due))
        delivery = await world.store.records.delivery(account.id, id_)
        assert delivery is not None
        assert (delivery.state, delivery.attempts, delivery.due_at) == (DeliveryState.RETRYING, n, due)
        assert delivery.finished_at is None
        assert delivery.status_code == 500
        world.clock.advance(4.999)
        answer = await world.store.journal.claim([(webhook.id, 9)], world.now, world.epoch)
        assert answer.claimed == ()
        assert answer.next_due == {webhook.id: due}
        world.clock.advance(0.001)
        (again,) = await world.claim(webhook)
        assert (again.id, again.attempts, again.tries, again.claim_count) == (id_, n, n, 1)
    await world.settle(world.settlement(id_, n=3))
    assert await world.state(account, id_) is DeliveryState.SUCCEEDED


async def test_every_attempt_is_kept_as_it_was(world: World):
    """All attempts of a delivery come back in order, each with everything that was recorded of it."""
    account = await world.account()
    webhook = await world.webhook(account)
    event = await world.accept(account, webhook, claimed=True)
    id_ = event.deliveries[0].id
    outcome = Outcome(
        kind=OutcomeKind.CONNECTION_LOST,
        status_code=502,
        headers=(("content-type", "text/plain"), ("x", "\xe9")),
        body=b"\x00\xff" * 8192,
        body_truncated=True,
        error="closed",
        duration_us=15_000_001,
        peer="127.0.0.1",
        resent=True,
    )
    made = []
    for n in range(1, 6):
        attempt = world.attempt(id_, n, outcome=outcome, request_body=b"{}", trigger=Trigger.MANUAL)
        made.append(attempt)
        state = DeliveryState.FAILED if n == 5 else DeliveryState.RETRYING
        await world.settle(world.settlement(id_, state, n=n, attempt=attempt, due_at=world.now if n < 5 else None))
        if n < 5:
            await world.claim(webhook)
    assert list(await world.store.records.attempts(account.id, id_)) == made


async def test_released_deliveries_wait_as_before(world: World):
    """What is given back unsent waits with the due time it had, and its claim does not count."""
    account = await world.account()
    webhook = await world.webhook(account)
    fresh = (await world.accept(account, webhook, claimed=True)).deliveries[0].id
    retried = (await world.accept(account, webhook, claimed=True)).deliveries[0].id
    ended = (await world.accept(account, webhook, claimed=True)).deliveries[0].id
    due = world.now
    await world.settle(
        world.settlement(retried, DeliveryState.RETRYING, due_at=due), world.settlement(ended, DeliveryState.FAILED)
    )
    assert [one.id for one in await world.claim(webhook)] == [retried]
    world.clock.advance(7)
    await world.store.journal.release([fresh, retried, ended, world.ids.next()], world.epoch)
    await world.store.journal.release([], world.epoch)
    states = [await world.state(account, id_) for id_ in (fresh, retried, ended)]
    assert states == [DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.FAILED]
    answer = await world.store.journal.claim([(webhook.id, 9)], due, world.epoch)
    assert [(one.id, one.claim_count) for one in answer.claimed] == [(fresh, 1), (retried, 1)]


async def test_a_new_owner_takes_up_what_was_being_sent(world: World):
    """After a restart what was being sent waits again, where it was, and remembers how often it was claimed."""
    account = await world.account()
    webhook = await world.webhook(account)
    fresh = (await world.accept(account, webhook, claimed=True)).deliveries[0].id
    retried = (await world.accept(account, webhook, claimed=True)).deliveries[0].id
    await world.settle(world.settlement(retried, DeliveryState.RETRYING, due_at=world.now))
    await world.claim(webhook)
    for count in (2, 3):
        epoch = world.epoch
        await world.reopen()
        assert world.epoch > epoch
        assert await world.state(account, fresh) is DeliveryState.PENDING
        assert await world.state(account, retried) is DeliveryState.RETRYING
        claimed = {one.id: one for one in await world.claim(webhook)}
        assert claimed[fresh].claim_count == claimed[retried].claim_count == count
        assert (claimed[fresh].attempts, claimed[retried].attempts) == (0, 1)


# --- by hand ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [DeliveryState.SUCCEEDED, DeliveryState.FAILED, DeliveryState.CANCELLED])
async def test_a_manual_attempt_that_fails_leaves_a_final_state(world: World, state: DeliveryState):
    """A final delivery tried by hand ends as it was where the attempt fails, and as succeeded where it does not."""
    account = await world.account()
    webhook = await world.webhook(account)
    event = await world.accept(account, webhook)
    id_ = event.deliveries[0].id
    journal = world.store.journal
    if state is DeliveryState.CANCELLED:
        assert await journal.cancel(account.id, id_, world.now) is state
    else:
        await world.claim(webhook)
        await world.settle(world.settlement(id_, state))
    before = await world.store.records.delivery(account.id, id_)
    assert before is not None
    world.clock.advance(60)
    claimed = await journal.claim_one(account.id, id_, world.now, world.epoch)
    assert not isinstance(claimed, DeliveryState | None)
    assert (claimed.id, claimed.data, claimed.trigger) == (id_, event.data, Trigger.MANUAL)
    assert claimed.attempts == before.attempts
    assert await journal.claim_one(account.id, id_, world.now, world.epoch) is DeliveryState.SENDING
    assert await world.claim(webhook) == []
    n = before.attempts + 1
    assert await journal.settle_manual(world.settlement(id_, DeliveryState.FAILED, n=n), world.epoch) is state
    after = await world.store.records.delivery(account.id, id_)
    assert after is not None
    assert (after.state, after.finished_at, after.attempts) == (state, before.finished_at, n)
    assert after.status_code == 500
    await journal.claim_one(account.id, id_, world.now, world.epoch)
    done = await journal.settle_manual(world.settlement(id_, n=n + 1), world.epoch)
    assert done is DeliveryState.SUCCEEDED
    after = await world.store.records.delivery(account.id, id_)
    assert after is not None
    assert (after.state, after.finished_at) == (DeliveryState.SUCCEEDED, world.now)
    assert [attempt.n for attempt in await world.store.records.attempts(account.id, id_)] == [*range(1, n + 2)]


async def test_a_manual_attempt_of_a_waiting_delivery_does_not_use_up_its_schedule(world: World):
    """A waiting delivery tried by hand waits on where that fails: same due time, same tries."""
    account = await world.account()
    webhook = await world.webhook(account)
    id_ = (await world.accept(account, webhook, claimed=True)).deliveries[0].id
    due = Millis(world.now + 60_000)
    await world.settle(world.settlement(id_, DeliveryState.RETRYING, due_at=due))
    journal = world.store.journal
    await journal.claim_one(account.id, id_, world.now, world.epoch)
    state = await journal.settle_manual(world.settlement(id_, DeliveryState.FAILED, n=2, tries=9), world.epoch)
    assert state is DeliveryState.RETRYING
    world.clock.advance(60)
    (again,) = await world.claim(webhook)
    assert (again.attempts, again.tries, again.claim_count) == (2, 1, 1)


async def test_a_manual_attempt_under_way_survives_a_crash(world: World):
    """A restart during a manual attempt leaves each delivery in the state that it came from."""
    account = await world.account()
    webhook = await world.webhook(account)
    failed = (await world.accept(account, webhook, claimed=True)).deliveries[0].id
    waiting = (await world.accept(account, webhook)).deliveries[0].id
    await world.settle(world.settlement(failed, DeliveryState.FAILED))
    before = await world.store.records.delivery(account.id, failed)
    for id_ in (failed, waiting):
        await world.store.journal.claim_one(account.id, id_, world.now, world.epoch)
    await world.reopen()
    assert await world.store.records.delivery(account.id, failed) == before
    assert await world.state(account, waiting) is DeliveryState.PENDING


async def test_manual_attempts_stay_within_the_account(world: World):
    """Another account's delivery is unknown: it is neither claimed nor cancelled nor seen."""
    account, stranger = await world.account(), await world.account()
    webhook = await world.webhook(account)
    id_ = (await world.accept(account, webhook)).deliveries[0].id
    assert await world.store.journal.claim_one(stranger.id, id_, world.now, world.epoch) is None
    assert await world.store.journal.cancel(stranger.id, id_, world.now) is None
    assert await world.store.records.delivery(stranger.id, id_) is None
    assert await world.state(account, id_) is DeliveryState.PENDING


async def test_a_final_delivery_without_its_body_cannot_be_retried(world: World):
    """Once retention took the body, a manual retry is answered with the state that stays."""
    account = await world.account()
    webhook = await world.webhook(account)
    id_ = (await world.accept(account, webhook, claimed=True)).deliveries[0].id
    await world.settle(world.settlement(id_, DeliveryState.FAILED))
    world.clock.advance(3600)
    await world.store.housekeeping.purge(
        bodies_before=world.now, logs_before=Millis(0), dedupe_before=Millis(0), now=world.now, limit=100
    )
    answer = await world.store.journal.claim_one(account.id, id_, world.now, world.epoch)
    assert answer is DeliveryState.FAILED


async def test_settling_by_hand_what_is_gone_says_so(world: World):
    """A manual attempt of a delivery that is not there is an error, and one of a delivery not being sent changes
    nothing.
    """
    account = await world.account()
    webhook = await world.webhook(account)
    id_ = (await world.accept(account, webhook)).deliveries[0].id
    with pytest.raises(NotFound):
        await world.store.journal.settle_manual(world.settlement(world.ids.next()), world.epoch)
    assert await world.store.journal.settle_manual(world.settlement(id_), world.epoch) is DeliveryState.PENDING
    assert await world.store.records.attempts(account.id, id_) == []


# --- ended without an attempt ---------------------------------------------------------------------------------------


async def test_cancel_ends_what_waits_and_nothing_else(world: World):
    """Only a waiting delivery can be cancelled; the answer is the state it is in afterwards."""
    account = await world.account()
    webhook = await world.webhook(account)
    waiting = (await world.accept(account, webhook)).deliveries[0].id
    sending = (await world.accept(account, webhook, claimed=True)).deliveries[0].id
    journal = world.store.journal
    world.clock.advance(5)
    assert await journal.cancel(account.id, waiting, world.now) is DeliveryState.CANCELLED
    assert await journal.cancel(account.id, waiting, Millis(world.now + 1)) is DeliveryState.CANCELLED
    assert await journal.cancel(account.id, sending, world.now) is DeliveryState.SENDING
    delivery = await world.store.records.delivery(account.id, waiting)
    assert delivery is not None
    assert (delivery.due_at, delivery.finished_at) == (None, world.now)
    await world.settle(world.settlement(sending))
    assert await journal.cancel(account.id, sending, world.now) is DeliveryState.SUCCEEDED
    assert await world.claim(webhook) == []


async def test_a_lane_can_be_emptied_in_steps(world: World):
    """Dropping ends waiting deliveries as cancelled, so many at a time, of that webhook only."""
    account = await world.account()
    webhook, other = await world.webhook(account), await world.webhook(account)
    for _ in range(5):
        await world.accept(account, webhook, other)
    sending = (await world.accept(account, webhook, claimed=True)).deliveries[0].id
    dropped = []
    while n := await world.store.journal.drop_waiting(webhook.id, world.now, 2):
        dropped.append(n)
    assert dropped == [2, 2, 1]
    assert await world.claim(webhook) == []
    assert await world.state(account, sending) is DeliveryState.SENDING
    assert len(await world.claim(other)) == 5
    where = DeliveryFilter(webhook_id=webhook.id, state=DeliveryState.CANCELLED)
    cancelled, _ = await world.store.records.deliveries(account.id, where, ALL)
    assert [delivery.finished_at for delivery in cancelled] == [world.now] * 5


# --- lanes --------------------------------------------------------------------------------------------------------


async def test_lanes_tell_of_backlogs_and_streaks(world: World):
    """A lane is told of if something waits in it or its attempts fail, with when it is next due."""
    account = await world.account()
    idle, backlog, failing, both = [await world.webhook(account) for _ in range(4)]
    first = await world.accept(account, backlog, both)
    world.clock.advance(9)
    await world.accept(account, backlog, both, idle)
    await world.claim(idle)
    journal = world.store.journal
    await journal.note_streak(failing.id, Millis(5), None)
    await journal.note_streak(both.id, Millis(4), None, unbroken_since=Millis(3))
    await journal.note_streak(both.id, Millis(6), Millis(7))
    await journal.note_streak(idle.id, Millis(8), None)
    await journal.note_streak(idle.id, None, None)
    await world.store.close()
    await world.open()
    await world.store.journal.claim([(idle.id, 1)], world.now, world.epoch)  # given back by the restart
    lanes = await world.store.journal.lanes(0, 100)
    assert lanes == [
        LaneFacts(
            webhook_id=backlog.id,
            account_id=account.id,
            shard=backlog.shard,
            next_due=first.accepted_at,
            failing_since=None,
            unbroken_since=None,
            warned_at=None,
        ),
        LaneFacts(
            webhook_id=failing.id,
            account_id=account.id,
            shard=failing.shard,
            next_due=None,
            failing_since=5,
            unbroken_since=5,
            warned_at=None,
        ),
        LaneFacts(
            webhook_id=both.id,
            account_id=account.id,
            shard=both.shard,
            next_due=first.accepted_at,
            failing_since=6,
            unbroken_since=3,
            warned_at=7,
        ),
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_lanes_come_in_pages(world: World, size: int):
    """Page by page every lane is told once, in order; lanes of deleted webhooks are passed over."""
    account, gone = await world.account(), await world.account()
    webhooks = [await world.webhook(account) for _ in range(3)]
    deleted = [await world.webhook(account) for _ in range(4)]
    lost = [await world.webhook(gone) for _ in range(4)]
    webhooks += [await world.webhook(account) for _ in range(3)]
    await world.accept(account, *webhooks[1:], *deleted)
    await world.accept(gone, *lost)
    await world.store.journal.note_streak(webhooks[0].id, world.now, None)
    await world.store.journal.note_streak(deleted[0].id, world.now, None)
    for webhook in deleted:
        await world.store.webhooks.remove(account.id, webhook.id, world.change())
    await world.store.accounts.remove(gone.id, world.change())
    told, after = [], 0
    while page := await world.store.journal.lanes(after, size):
        assert len(page) <= size
        told += [lane.webhook_id for lane in page]
        after = page[-1].webhook_id
    assert told == [webhook.id for webhook in webhooks]


async def test_nothing_waiting_is_sent_for_a_webhook_or_account_that_is_gone(world: World):
    """Waiting deliveries of a deleted webhook or a removed account are never claimed."""
    account, gone = await world.account(), await world.account()
    deleted, lost = await world.webhook(account), await world.webhook(gone)
    await world.accept(account, deleted)
    await world.accept(gone, lost)
    await world.store.webhooks.remove(account.id, deleted.id, world.change())
    await world.store.accounts.remove(gone.id, world.change())
    answer = await world.store.journal.claim([(deleted.id, 9), (lost.id, 9)], world.now, world.epoch)
    assert answer.claimed == ()
    assert answer.next_due == {deleted.id: None, lost.id: None}


async def test_ingest_takes_nothing_for_a_removed_account(world: World):
    """Events of a removed account are refused at once, also those prepared before."""
    account = await world.account()
    event = await world.new_event(account)
    await world.store.accounts.remove(account.id, world.change())
    assert await world.ingest(event) != [Accepted()]
