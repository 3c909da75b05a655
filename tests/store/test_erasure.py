"""Erasure: nothing that an account keeps names the visitor or tells of him; all others keep theirs."""

from decimal import Decimal

import msgspec
import pytest

from tests.store.test_triggers import log, new_activity, new_write, read, write
from tests.store.world import ALL, World
from tocsin.clock import Millis
from tocsin.model import Account, DeliveryState, Outcome, OutcomeKind
from tocsin.store.port import Accepted, DeliveryFilter, Erased, Stale
from tocsin.triggers.rules.conversions import Click, Conversion

ID = "visitor-4711"
BODY = b'{"visitor":{"id":"visitor-4711"}}'


def packed(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


async def erase(world: World, account: Account, visitor_id: str = ID) -> Erased:
    change = world.change("visitor.erased", "visitor:1")
    erased = await world.store.erasure.erase(account.id, visitor_id, world.now, change)
    assert erased is not None
    return erased


async def test_everything_of_the_visitor_goes_and_nothing_else(world: World):
    """Bodies, waiting deliveries, kept answers, activities and memory of one visitor of one account go; counted."""
    account, other = await world.account(), await world.account()
    webhooks = [await world.webhook(account) for _ in range(2)]
    others = await world.webhook(other)
    mine = [await world.accept(account, *webhooks, visitor_id=ID, data=BODY, external_id=f"e{i}") for i in range(3)]
    beside = await world.accept(account, webhooks[0], visitor_id="another")
    theirs = await world.accept(other, others, visitor_id=ID, data=BODY)
    sent = await world.accept(account, webhooks[0], visitor_id=ID, claimed=True, data=BODY)
    first = sent.deliveries[0].id
    outcome = Outcome(kind=OutcomeKind.HTTP_ERROR, status_code=500, body=b"no visitor-4711 here")
    attempts = [world.attempt(first, n, outcome=outcome, request_body=BODY) for n in (1, 2)]
    await world.settle(world.settlement(first, DeliveryState.RETRYING, attempt=attempts[0], due_at=world.now))
    await world.claim(webhooks[0], 100)
    await world.settle(world.settlement(first, n=2, attempt=attempts[1]))
    await world.store.journal.release(
        [event.deliveries[0].id for event in [*mine, beside]], world.epoch
    )  # what else was claimed
    activities = [new_activity(world, visitor_id=ID, data=BODY, external_id=f"a{i}") for i in range(2)]
    stays = new_activity(world, visitor_id="another", external_id="stays")
    puts = {
        f"visitor:{ID}": (packed({"first_seen": 1}), Millis(world.now + 10**9)),
        f"visitor_day:{ID}": (packed({"date": "2026-01-01"}), None),
        f"visitor:{ID}0": (packed({"first_seen": 2}), None),
        "conversion:1": (packed({"status": "pending", "visitor_id": ID}), None),
        "conversion:2": (packed({"click": [{"visitor": {"id": ID, "country": "DE"}}], "at": 5}), None),
        "conversion:3": (packed({"visitor_id": "another", "note": ID}), None),
    }
    for one in (account, other):
        await write(world, one, puts=puts)
    await write(world, account, activities=(*activities, stays))

    assert await erase(world, account) == Erased(events=4, deliveries=6, attempts=2, activities=2, remembered=4)

    for event in (*mine, sent):
        stored = await world.store.records.event(account.id, event.id)
        assert stored is not None
        assert (stored.data, stored.visitor_id, stored.type) == (None, None, event.type)
    for kept, whose in ((beside, account), (theirs, other)):
        stored = await world.store.records.event(whose.id, kept.id)
        assert stored is not None
        assert (stored.data, stored.visitor_id) == (kept.data, kept.visitor_id)
    assert [claimed.event_id for webhook in webhooks for claimed in await world.claim(webhook)] == [beside.id]
    assert [claimed.event_id for claimed in await world.claim(others)] == [theirs.id]
    for attempt in await world.store.records.attempts(account.id, first):
        assert (attempt.outcome.body, attempt.request_body, attempt.outcome.status_code) == (b"", None, 500)
    assert await log(world, account) == [stays]
    found = await read(world, account, *puts, names=("a0", "a1"))
    assert set(found.known) == {"a0", "a1"}
    assert {key: value and msgspec.msgpack.decode(value) for key, value in found.values.items()} == {
        f"visitor:{ID}": None,
        f"visitor_day:{ID}": None,
        f"visitor:{ID}0": {"first_seen": 2},
        "conversion:1": {"status": "pending", "visitor_id": None},
        "conversion:2": {"click": [{}], "at": 5},
        "conversion:3": {"visitor_id": "another", "note": ID},
    }
    assert (await read(world, other, *puts)).values == {key: value for key, (value, _) in puts.items()}
    # The names stay taken.
    again = await world.new_event(account, external_id="e0")
    assert await world.ingest(again) != [Accepted()]
    # A second time there is nothing left; both are in the audit log, with what they did.
    assert await erase(world, account) == Erased()
    second, one = [
        entry for entry in await world.store.records.audit(account.id, ALL) if entry.action == "visitor.erased"
    ]
    assert one.detail == {"events": 4, "deliveries": 6, "attempts": 2, "digests": 0, "activities": 2, "remembered": 4}
    assert second.detail == dict.fromkeys(one.detail, 0)


async def test_rules_read_what_an_erasure_leaves(world: World):
    """What is remembered of a click and a conversion is still what their rules expect, without the visitor."""
    account = await world.account()
    facts = {"campaign": {"id": 7}, "visitor": {"id": ID, "country": "DE"}}
    conversion = Conversion(
        status="pending", at=world.now, facts=facts, payout=Decimal("1.50"), revenue=None, offer_id="o"
    )
    await write(
        world,
        account,
        puts={"click:1": (packed(Click(facts=facts)), None), "conversion:1": (packed(conversion), None)},
    )
    assert (await erase(world, account)).remembered == 2
    values = (await read(world, account, "click:1", "conversion:1")).values
    bare = {"campaign": {"id": 7}}
    assert msgspec.msgpack.decode(values["click:1"] or b"", type=Click) == Click(facts=bare)
    left = msgspec.structs.replace(conversion, facts=bare)
    assert msgspec.msgpack.decode(values["conversion:1"] or b"", type=Conversion) == left


async def test_an_erased_event_is_not_tried_again(world: World):
    """What was being sent while its visitor was erased is cancelled where it would be tried again."""
    account = await world.account()
    webhook = await world.webhook(account)
    event = await world.accept(account, webhook, visitor_id=ID, claimed=True)
    later = await world.accept(account, webhook)
    delivery_id = event.deliveries[0].id
    assert (await erase(world, account)).deliveries == 0
    await world.settle(world.settlement(delivery_id, DeliveryState.RETRYING, due_at=world.now))
    assert [claimed.event_id for claimed in await world.claim(webhook)] == [later.id]
    assert await world.state(account, delivery_id) is DeliveryState.CANCELLED
    assert await world.claim(webhook) == []


async def test_what_waits_for_its_fan_out_is_never_sent(world: World):
    """An event whose deliveries are still being written gets no more of them once its visitor is erased."""
    account = await world.account()
    webhook = await world.webhook(account)
    await world.accept(account, fan_out=True, visitor_id=ID)
    (job,) = await world.store.journal.fan_out_jobs(9)
    assert (await erase(world, account)).events == 1
    assert await world.store.journal.fan_out_jobs(9) == []
    delivery = (await world.new_event(account, webhook)).deliveries[0]
    await world.store.journal.fan_out(job, [delivery], after=webhook.id, done=True, due_at=world.now)
    assert await world.store.records.deliveries(account.id, DeliveryFilter(), ALL) == ([], None)


async def test_what_was_decided_on_erased_state_is_stale(world: World):
    """A batch that had read the visitor's state does not write it again."""
    account = await world.account()
    await write(world, account, puts={f"visitor:{ID}": (b"1", None)})
    late = await new_write(world, account, puts={f"visitor:{ID}": (b"2", None)})
    assert (await erase(world, account)).remembered == 1
    assert await world.store.triggers.write([late], world.epoch) == [Stale()]
    assert (await read(world, account, f"visitor:{ID}")).values == {f"visitor:{ID}": None}


async def test_many_events_are_erased_in_pieces(world: World):
    """Hundreds of events and activities of one visitor go, and the store answers others meanwhile."""
    account = await world.account()
    webhook = await world.webhook(account)
    for _ in range(3):
        events = [await world.new_event(account, webhook, visitor_id=ID) for _ in range(60)]
        assert set(await world.ingest(*events)) == {Accepted()}
        await write(world, account, activities=tuple(new_activity(world, visitor_id=ID) for _ in range(400)))
    assert await erase(world, account) == Erased(events=180, deliveries=180, activities=1_200)
    assert await world.claim(webhook) == []


@pytest.mark.parametrize("visitor_id", ["", "x" * 5_000, "a\x00b", "é🙂"])
async def test_any_text_can_be_a_visitor(world: World, visitor_id: str):
    """Whatever a visitor is called, exactly that one is erased."""
    account = await world.account()
    await world.accept(account, visitor_id=visitor_id)
    await world.accept(account, visitor_id=visitor_id + "1")
    await write(world, account, puts={f"visitor:{visitor_id}": (b"1", None)})
    assert await erase(world, account, visitor_id) == Erased(events=1, remembered=1)


async def test_no_visitor_of_no_account(world: World):
    """There is nothing to erase of an account that is not there."""
    account = await world.account()
    await world.store.accounts.remove(account.id, world.change())
    for id_ in (account.id, 7, 1 << 70):
        assert await world.store.erasure.erase(id_, ID, world.now, world.change()) is None
