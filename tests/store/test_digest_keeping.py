"""How long digests, their members and windows are kept, and what an erasure leaves of them."""

import json
from typing import Any

import msgspec
import pytest

from tests.store.gathering import INCIDENT, claimed, digest, fold, folding, opened, summary, window
from tests.store.test_erasure import BODY, ID, erase
from tests.store.test_retention import DAY_S, purge, purge_all
from tests.store.world import ALL, World
from tocsin.clock import Millis
from tocsin.errors import Conflict
from tocsin.model import Account, DeliveryState, Outcome, OutcomeKind, Webhook
from tocsin.store.port import DeliveryFilter, Fold, OpenDigest, Purged

RETRYING, FAILED = DeliveryState.RETRYING, DeliveryState.FAILED
OFFENDERS = {"offenders": [ID, "another"]}


async def whole(world: World, account: Account) -> tuple[Webhook, OpenDigest, list[int]]:
    """A digest that waits, with two members: one of the visitor's, one of another's."""
    webhook = await world.webhook(account)
    ids = await claimed(world, account, webhook, visitor_id=ID, data=BODY)
    ids += await claimed(world, account, webhook, visitor_id="another")
    one = await fold(world, account, webhook, digest(world, summary=summary(2, named=OFFENDERS)), *ids)
    return webhook, one, ids


async def send(world: World, webhook: Webhook, state: DeliveryState = DeliveryState.SUCCEEDED, **values: Any) -> None:
    """Lets what is due be sent."""
    for one in await world.claim(webhook):
        settlement = world.settlement(one.id, state, n=one.attempts + 1)
        attempt = msgspec.structs.replace(settlement.attempt, **values)
        await world.settle(msgspec.structs.replace(settlement, attempt=attempt))


async def data_of(world: World, account: Account, one: OpenDigest) -> bytes | None:
    event = await world.store.records.event(account.id, one.event_id)
    assert event is not None
    return event.data


# --- retention ----------------------------------------------------------------------------------------------------


async def test_all_of_a_digest_goes_in_its_time(world: World):
    """A digest that was sent, its event, its attempts and its members go with the logs, members last."""
    account = await world.account()
    webhook, one, ids = await whole(world, account)
    world.clock.advance(60)
    await send(world, webhook)
    world.clock.advance(10)
    later = Millis(world.now)
    assert await purge(world, bodies_before=later) == Purged(bodies=3)
    assert await data_of(world, account, one) is None
    purged = await purge(world, bodies_before=later, logs_before=later, dedupe_before=later, limit=2)
    assert purged.deliveries == 0  # the oldest two are members
    assert (await purge_all(world)).attempts == 1
    assert await world.store.records.deliveries(account.id, DeliveryFilter(), ALL) == ([], None)
    assert await world.store.records.event(account.id, one.event_id) is None
    assert await world.store.digests.members(account.id, one.delivery_id, ALL) == []
    assert await world.store.records.delivery(account.id, ids[0]) is None


@pytest.mark.parametrize("sending", [False, True])
async def test_members_stay_until_their_digest_has_ended(world: World, sending: bool):  # noqa: FBT001 - a case
    """What waits in a digest for very long keeps its rows, and the digest its summary; it can still be sent."""
    account = await world.account()
    webhook, one, ids = await whole(world, account)
    world.clock.advance(60)
    if sending:
        await world.claim(webhook)
    world.clock.advance(400 * DAY_S)
    assert await purge_all(world) == Purged(bodies=2)
    assert await opened(world, webhook) == one
    assert {d.id for d in await world.store.digests.members(account.id, one.delivery_id, ALL)} == {*ids}
    if sending:
        await world.store.journal.release([one.delivery_id], world.epoch)
    (claim,) = await world.claim(webhook)
    assert claim.data == one.summary


async def test_a_window_that_ended_long_ago_is_forgotten(world: World):
    """Windows go when they ended some time ago and have no open digest; those of other webhooks stay."""
    account = await world.account()
    webhook, one, _ = await whole(world, account)
    empty, fresh = await world.webhook(account), await world.webhook(account)
    both = [folding(world, account, hook) for hook in (empty, fresh)]
    await world.store.digests.gather(both, world.epoch)
    world.clock.advance(DAY_S)
    await world.store.digests.gather([folding(world, account, fresh)], world.epoch)
    for _ in range(4):
        await purge(world, limit=1)
    assert await world.store.digests.window(empty.id) is None
    assert await world.store.digests.window(fresh.id) == window(world, fresh)
    assert await opened(world, webhook) == one
    await send(world, webhook)
    for _ in range(4):
        await purge(world, limit=1)
    assert await world.store.digests.window(webhook.id) is None


async def test_a_removed_account_takes_its_digests_along(world: World):
    """Windows, digests and members of a removed account go; another account's stay."""
    account, other = await world.account(), await world.account()
    webhook, one, _ = await whole(world, account)
    theirs, kept, _ = await whole(world, other)
    await world.store.accounts.remove(account.id, world.change("account.removed"))
    world.clock.advance(2 * 3_600)
    total = [await purge(world) for _ in range(12)]
    assert sum(step.accounts for step in total) == 1
    assert (sum(step.deliveries for step in total), sum(step.events for step in total)) == (3, 3)
    assert await world.store.digests.window(webhook.id) is None
    again = await world.account(id=account.id)
    assert await world.store.records.event(again.id, one.event_id) is None
    assert await opened(world, theirs) == kept


# --- erasure ------------------------------------------------------------------------------------------------------


async def test_a_digest_that_waits_loses_all_particulars(world: World):
    """After an erasure a digest is still sent, counting as before, and tells nothing that may be of the visitor."""
    account, other = await world.account(), await world.account()
    webhook, one, ids = await whole(world, account)
    theirs, kept, _ = await whole(world, other)
    erased = await erase(world, account)
    assert (erased.events, erased.digests, erased.deliveries, erased.attempts) == (1, 1, 0, 0)
    now = await opened(world, webhook)
    assert now == msgspec.structs.replace(one, summary=summary(2), revision=1)
    assert await opened(world, theirs) == kept
    world.clock.advance(60)
    (claim,) = await world.claim(webhook)
    assert (json.loads(claim.data), claim.revision) == ({"count": 2, "named": None}, 1)
    assert {d.id for d in await world.store.digests.members(account.id, one.delivery_id, ALL)} == {*ids}
    assert (await erase(world, account)).digests == 0


async def test_what_was_read_before_an_erasure_is_not_written_after_it(world: World):
    """A summary that was read before the erasure is refused; read again, it takes members as before."""
    account = await world.account()
    webhook, before, _ = await whole(world, account)
    await erase(world, account)
    more = await claimed(world, account, webhook)
    changed = msgspec.structs.replace(before, summary=summary(3, named=OFFENDERS))
    for stale in (
        folding(world, account, webhook, Fold(members=tuple(more), into=changed)),
        folding(world, account, webhook, window=window(world, webhook, before)),
    ):
        with pytest.raises(Conflict) as refused:
            await world.store.digests.gather([stale], world.epoch)
        assert refused.value.code == "changed_meanwhile"
    assert await data_of(world, account, before) == summary(2)
    now = await opened(world, webhook)
    fresh = {"offenders": ["another"]}
    after = msgspec.structs.replace(now, summary=summary(3, named=fresh))
    assert await fold(world, account, webhook, after, *more) == after


@pytest.mark.parametrize("new", [True, False])
async def test_what_was_claimed_before_an_erasure_is_folded_without_particulars(
    world: World,
    new: bool,  # noqa: FBT001 - a case
):
    """An event that was erased while it was being gathered is counted, and its digest tells nothing of it."""
    account = await world.account()
    webhook = await world.webhook(account)
    into = digest(world, 0)
    if not new:
        into = await fold(world, account, webhook, into, *await claimed(world, account, webhook))
    late = await claimed(world, account, webhook, visitor_id=ID, data=BODY)
    await erase(world, account)
    told = msgspec.structs.replace(into, summary=summary(2, named=OFFENDERS))
    now = await fold(world, account, webhook, told, *late)
    assert now == msgspec.structs.replace(told, summary=summary(2), revision=1)
    with pytest.raises(Conflict):
        await fold(world, account, webhook, told)


async def test_digests_within_digests_are_found(world: World):
    """A digest that was folded into another is known to hold the visitor there too."""
    account = await world.account()
    webhook, first, _ = await whole(world, account)
    world.clock.advance(60)
    await send(world, webhook, RETRYING, request_body=b"visitor-4711 did it")
    world.clock.advance(60)
    await world.claim(webhook)
    second = digest(world, summary=summary(2, named=OFFENDERS), tries=1)
    assert await fold(world, account, webhook, second, first.delivery_id) == second
    erased = await erase(world, account)
    assert (erased.digests, erased.attempts) == (2, 1)
    assert await data_of(world, account, first) == summary(2)
    assert (await opened(world, webhook)).summary == summary(2)
    (attempt,) = await world.store.records.attempts(account.id, first.delivery_id)
    assert attempt.request_body is None


async def test_a_failed_digest_that_is_folded_during_an_erasure_brings_nothing_back(world: World):
    """What was claimed of a digest before the erasure does not come back by way of the one that takes it in."""
    account = await world.account()
    webhook, first, _ = await whole(world, account)
    world.clock.advance(60)
    await send(world, webhook, RETRYING)
    world.clock.advance(60)
    await world.claim(webhook)
    await erase(world, account)
    second = digest(world, summary=summary(2, named=OFFENDERS), tries=1)
    assert (await fold(world, account, webhook, second, first.delivery_id)).summary == summary(2)


async def test_what_a_digest_said_goes(world: World):
    """Attempts of a digest that holds the visitor keep neither their requests nor the answers to them."""
    account = await world.account()
    webhook, one, _ = await whole(world, account)
    world.clock.advance(60)
    answer = Outcome(kind=OutcomeKind.HTTP_ERROR, status_code=400, body=b"no visitor-4711")
    await send(world, webhook, FAILED, request_body=b"visitor-4711 did it", outcome=answer)
    assert (await erase(world, account)).attempts == 1
    (attempt,) = await world.store.records.attempts(account.id, one.delivery_id)
    assert (attempt.request_body, attempt.outcome.body, attempt.outcome.status_code) == (None, b"", 400)
    assert await data_of(world, account, one) == summary(2)


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("by_hand", [True, False])
async def test_what_was_being_sent_is_settled_bare(
    world: World,
    single: bool,  # noqa: FBT001 - a case
    by_hand: bool,  # noqa: FBT001 - a case
):
    """What was being sent during an erasure is settled without its request and answer; what is sent next, whole."""
    account = await world.account()
    webhook = await world.webhook(account)
    journal = world.store.journal
    (id_,) = await claimed(world, account, webhook, visitor_id=ID, data=BODY)
    if not single:
        into = digest(world, summary=summary(1, named=OFFENDERS), kind=INCIDENT, due_at=world.now)
        id_ = (await fold(world, account, webhook, into, id_)).delivery_id
        (claim,) = await world.claim(webhook)
        assert claim.id == id_
    if by_hand:
        await journal.release([id_], world.epoch)
        await journal.claim_one(account.id, id_, world.now, world.epoch)

    async def settle(n: int) -> None:
        attempt = world.attempt(id_, n, request_body=b"visitor-4711 did it")
        settlement = world.settlement(id_, DeliveryState.PENDING, attempt=attempt, due_at=world.now, message="chat/1")
        if by_hand:
            await journal.settle_manual(settlement, world.epoch)
        else:
            await world.settle(settlement)

    await erase(world, account)
    await settle(1)
    (attempt,) = await world.store.records.attempts(account.id, id_)
    assert (attempt.request_body, attempt.outcome.body) == (None, b"")
    again = await world.claim(webhook)
    assert [(one.id, one.data, one.message) for one in again] == ([] if single else [(id_, summary(1), "chat/1")])
    if again:
        attempt = world.attempt(id_, 2, request_body=b"somebody did it")
        await world.settle(world.settlement(id_, n=2, attempt=attempt))
        assert (await world.store.records.attempts(account.id, id_))[1].request_body == b"somebody did it"
