"""What triggers remember: one version, one transaction, and nothing kept beyond its time."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.store.test_retention import purge, purge_all
from tests.store.world import ALL, World
from tocsin.clock import Millis
from tocsin.errors import Unavailable
from tocsin.model import Account
from tocsin.store.port import (
    Accepted,
    AccountGone,
    DeliveryFilter,
    EventFilter,
    KnownActivity,
    NewActivity,
    Purged,
    Stale,
    Timer,
    TriggerAsk,
    TriggerRead,
    TriggerWrite,
    Unstorable,
)

HOUR_S = 3_600
FUTURE = Millis(10**14)


def new_activity(world: World, **values: Any) -> NewActivity:
    defaults: dict[str, Any] = {
        "id": world.ids.next(),
        "kind": "click",
        "at": world.now,
        "accepted_at": world.now,
        "external_id": None,
        "digest": b"content",
        "data": b'{"click_id":"c"}',
        "result": b"{}",
        "visitor_id": None,
    }
    return NewActivity(**defaults | values)


async def read(world: World, account: Account, *keys: str, names: tuple[str, ...] = ()) -> TriggerRead:
    ask = TriggerAsk(account_id=account.id, keys=frozenset(keys), external_ids=frozenset(names))
    (found,) = await world.store.triggers.read([ask], world.now)
    assert found is not None
    return found


async def new_write(world: World, account: Account, **values: Any) -> TriggerWrite:
    stored = await world.store.accounts.get(account.id)
    assert stored is not None
    defaults: dict[str, Any] = {
        "account_id": account.id,
        "version": (await read(world, account)).version,
        "config_version": stored.config_version,
        "activities": (),
        "puts": {},
        "drops": frozenset(),
        "timers": {},
        "events": (),
    }
    return TriggerWrite(**defaults | values)


async def write(world: World, account: Account, **values: Any) -> None:
    assert await world.store.triggers.write([await new_write(world, account, **values)], world.epoch) == [Accepted()]


async def log(world: World, account: Account, **values: Any) -> list[NewActivity]:
    return list(
        await world.store.triggers.activities(
            account.id, **{"since": Millis(0), "until": FUTURE, "after": 0, "limit": 1_000} | values
        )
    )


async def test_what_is_put_is_read_until_it_is_dropped(world: World):
    """A value is what was put last; a key dropped, or never put, has none."""
    account = await world.account()
    await write(world, account, puts={"a": (b"1", None), "b": (b"2", None)})
    await write(world, account, puts={"b": (b"3", None)}, drops=frozenset({"a"}))
    assert (await read(world, account, "a", "b", "c")).values == {"a": None, "b": b"3", "c": None}
    await world.reopen()
    assert (await read(world, account, "a", "b")).values == {"a": None, "b": b"3"}


async def test_accounts_do_not_see_each_other(world: World):
    """One read answers for many accounts, each its own; for one that does not exist, nothing."""
    one, other = await world.account(), await world.account()
    await write(world, one, puts={"a": (b"1", None)}, activities=(new_activity(world, external_id="e"),))
    await write(world, other, puts={"a": (b"2", None)})
    asks = [
        TriggerAsk(account_id=id_, keys=frozenset({"a"}), external_ids=frozenset({"e"}))
        for id_ in (other.id, 77, one.id, 1 << 70, -1)
    ]
    first, missing, second, *others = await world.store.triggers.read(asks, world.now)
    assert missing is None
    assert others == [None, None]
    assert first is not None
    assert (first.values, first.known) == ({"a": b"2"}, {})
    assert second is not None
    assert (second.values, set(second.known)) == ({"a": b"1"}, {"e"})


async def test_a_write_is_stale_once_another_was_accepted(world: World):
    """Of two writes decided on the same state one is accepted, whether they come together or one after the other."""
    account, other = await world.account(), await world.account()
    first, second = [await new_write(world, account, puts={"n": (n, None)}) for n in (b"1", b"2")]
    beside = await new_write(world, other, puts={"n": (b"3", None)})
    assert await world.store.triggers.write([first, second, beside], world.epoch) == [Accepted(), Stale(), Accepted()]
    assert await world.store.triggers.write([second], world.epoch) == [Stale()]
    assert (await read(world, account, "n")).values == {"n": b"1"}
    third, fourth = [await new_write(world, account, puts={"n": (n, None)}) for n in (b"4", b"5")]
    answers = await asyncio.gather(*(world.store.triggers.write([one], world.epoch) for one in (third, fourth)))
    assert answers == [[Accepted()], [Stale()]]
    assert (await read(world, account, "n")).values == {"n": b"4"}


async def test_counting_at_the_same_time_counts_all(world: World):
    """Many who read, add one and try again while they are stale end with the exact sum."""
    account = await world.account()

    async def count() -> None:
        for _ in range(10):
            while True:
                found = await read(world, account, "n")
                n = int(found.values["n"] or b"0") + 1
                one = await new_write(world, account, version=found.version, puts={"n": (b"%d" % n, None)})
                if await world.store.triggers.write([one], world.epoch) == [Accepted()]:
                    break

    await asyncio.gather(*(count() for _ in range(5)))
    assert (await read(world, account, "n")).values == {"n": b"50"}


async def test_what_is_read_is_of_one_commit(world: World):
    """Readers never see a part of a write, nor go back in time, while what was written is merged beside them."""
    account = await world.account()
    keys = [f"k{i}" for i in range(8)]
    await write(world, account, puts=dict.fromkeys(keys, (b"0", None)))
    done = False

    async def look() -> int:
        seen, n = 0, 0
        while not done:
            (value,) = set((await read(world, account, *keys)).values.values())
            scanned = {value for _, value in await world.store.triggers.scan(account.id, "k", "", 99)}
            assert value is not None
            assert seen <= int(value) <= int(*scanned)
            seen, n = int(*scanned), n + 1
        return n

    readers = [asyncio.create_task(look()) for _ in range(3)]
    for i in range(1, 150):
        await write(world, account, puts=dict.fromkeys(keys, (b"%d" % i, None)))
    done = True
    assert min(await asyncio.gather(*readers)) > 10


async def test_a_write_with_an_event_matched_by_old_settings_is_stale(world: World):
    """If the account changed since an event was matched, nothing of that account's write is there."""
    account, other = await world.account(), await world.account()
    event = await world.new_event(account)
    await world.webhook(account)
    writes = [
        await new_write(world, account, puts={"n": (b"1", None)}, events=(event,)),
        await new_write(world, other, events=(await world.new_event(other),)),
    ]
    assert await world.store.triggers.write(writes, world.epoch) == [Stale(), Accepted()]
    assert (await read(world, account, "n")).values == {"n": None}
    assert await world.store.records.event(account.id, event.id) is None


async def test_a_write_decided_by_old_settings_is_stale(world: World):
    """Whatever of the account's settings changed, and also where nothing fires: nothing of the write is there."""
    account, other = await world.account(), await world.account()

    async def decided(**values: Any) -> TriggerWrite:
        return await new_write(world, account, puts={"n": (b"1", None)}, activities=(new_activity(world),), **values)

    async def zone() -> None:
        moved = msgspec.structs.replace(account, timezone="Europe/Berlin")
        await world.store.accounts.change(moved, world.change())

    async def hook() -> None:
        await world.webhook(account)

    for change in (zone, hook):
        write_ = await decided(audit=(world.change(),))
        beside = await new_write(world, other, activities=(new_activity(world),))
        await change()
        before = await world.store.records.audit(account.id, ALL)
        assert await world.store.triggers.write([write_, beside], world.epoch) == [Stale(), Accepted()]
        assert (await read(world, account, "n")).values == {"n": None}
        assert await log(world, account) == []
        assert await world.store.records.audit(account.id, ALL) == before
    # A change that waits in the same transaction counts as well.
    write_ = await decided()
    _, answers = await asyncio.gather(hook(), world.store.triggers.write([write_], world.epoch))
    assert answers == [Stale()]
    assert await world.store.triggers.write([await decided()], world.epoch) == [Accepted()]
    assert await world.store.triggers.write([await decided(config_version=99)], world.epoch) == [Stale()]


async def test_what_people_changed_is_in_the_audit_log_with_it(world: World):
    """The entries of a write are there exactly if it is."""
    account = await world.account()
    before = list(await world.store.records.audit(account.id, ALL))
    changes = (world.change("offer.set"), world.change("alert.created"))
    one = await new_write(world, account, puts={"n": (b"1", None)}, audit=changes)
    answers = await world.store.triggers.write([one, one], world.epoch)
    assert answers == [Accepted(), Stale()]
    bad = await new_write(world, account, puts={"\ud800": (b"", None)}, audit=changes)
    (answer,) = await world.store.triggers.write([bad], world.epoch)
    assert isinstance(answer, Unstorable)
    entries = [entry for entry in await world.store.records.audit(account.id, ALL) if entry not in before]
    assert [entry.action for entry in reversed(entries)] == ["offer.set", "alert.created"]


async def test_a_removed_account_is_gone(world: World):
    """Nothing is written for an account that was removed, and nothing of it is due or read."""
    account, other = await world.account(), await world.account()
    one = await new_write(world, account, puts={"n": (b"1", None)})
    await write(world, account, puts={"n": (b"1", None)}, timers={"t": world.now})
    await write(world, other, timers={"t": FUTURE})
    assert await world.store.triggers.next_due() == world.now
    await world.store.accounts.remove(account.id, world.change())
    assert await world.store.triggers.write([one], world.epoch) == [AccountGone()]
    ask = TriggerAsk(account_id=account.id, keys=frozenset({"n"}))
    assert await world.store.triggers.read([ask], world.now) == [None]
    assert await world.store.triggers.due(world.now, 9) == []
    assert await world.store.triggers.next_due() == FUTURE
    assert await world.store.triggers.scan(account.id, "", "", 9) == []
    assert await log(world, account) == []


async def test_a_former_owner_writes_nothing(world: World):
    """A write of an earlier epoch is refused."""
    account = await world.account()
    one = await new_write(world, account, puts={"n": (b"1", None)})
    with pytest.raises(Unavailable) as caught:
        await world.store.triggers.write([one], world.epoch - 1)
    assert caught.value.code == "not_owner"
    assert (await read(world, account, "n")).values == {"n": None}


async def test_events_and_deliveries_come_with_the_state(world: World):
    """The events of a write, and their deliveries, are there as those of a publisher are."""
    account = await world.account()
    webhook = await world.webhook(account)
    event = await world.new_event(account, webhook, source="activity")
    held = await world.new_event(account, webhook, claimed=True)
    await write(world, account, puts={"n": (b"1", None)}, events=(event, held))
    assert [claimed.event_id for claimed in await world.claim(webhook)] == [event.id]
    events, _ = await world.store.records.events(account.id, EventFilter(), ALL)
    assert [one.id for one in events] == [held.id, event.id]
    deliveries, _ = await world.store.records.deliveries(account.id, DeliveryFilter(), ALL)
    assert len(deliveries) == 2


@pytest.mark.parametrize(
    "fault",
    [
        {"puts": {"\ud800": (b"", None)}},
        {"puts": {"n": (b"1", 1 << 70)}},
        {"timers": {"t": 1 << 70}},
    ],
)
async def test_what_cannot_be_stored_fails_alone(world: World, fault: dict[str, Any]):
    """One account's write that the database refuses leaves the others of its batch, and nothing of its own."""
    accounts = [await world.account() for _ in range(5)]
    writes = [
        await new_write(world, account, puts={"n": (b"1", None)}, events=(await world.new_event(account),))
        for account in accounts
    ]
    writes[2] = await new_write(world, accounts[2], events=(await world.new_event(accounts[2]),), **fault)
    answers = await world.store.triggers.write(writes, world.epoch)
    assert [type(answer) for answer in answers] == [Accepted, Accepted, Unstorable, Accepted, Accepted]
    assert await world.store.records.events(accounts[2].id, EventFilter(), ALL) == ([], None)
    for account in accounts[3:]:
        assert (await read(world, account, "n")).values == {"n": b"1"}
    # It is not stale for that.
    writes[2] = await new_write(world, accounts[2], puts={"n": (b"2", None)})
    assert await world.store.triggers.write([writes[2]], world.epoch) == [Accepted()]


async def test_what_is_written_in_a_turn_is_durable_at_once(world: World):
    """Read and written as outside of one; what another has written before is seen."""
    account, other = await world.account(), await world.account()
    await write(world, account, puts={"n": (b"1", None)})
    async with world.store.triggers.turn([account.id, other.id]) as turn:
        assert account.id in turn.held
        ask = TriggerAsk(account_id=account.id, keys=frozenset({"n"}))
        (found,) = await turn.read([ask], world.now)
        assert found == await read(world, account, "n")
        assert found is not None
        one = await new_write(world, account, puts={"n": (b"2", None)}, activities=(new_activity(world),))
        late = await new_write(world, account, version=found.version + 7)
        assert await turn.write([one, late], world.epoch) == [Accepted(), Stale()]
        assert (await read(world, account, "n")).values == {"n": b"2"}
    await world.reopen()
    assert (await read(world, account, "n")).values == {"n": b"2"}
    assert len(await log(world, account)) == 1


async def test_a_turn_in_which_nothing_was_written_leaves_nothing(world: World):
    """Whether it ends or fails; an account that nothing was ever remembered of can have one."""
    account = await world.account()
    async with world.store.triggers.turn([account.id]):
        pass
    with pytest.raises(ZeroDivisionError):
        async with world.store.triggers.turn([account.id]):
            raise ZeroDivisionError
    assert (await read(world, account)).version == 0
    await write(world, account, puts={"n": (b"1", None)})


async def test_a_turn_is_refused_what_its_epoch_may_not(world: World):
    """A former owner's turn writes nothing."""
    account = await world.account()
    async with world.store.triggers.turn([account.id]) as turn:
        one = await new_write(world, account, puts={"n": (b"1", None)})
        with pytest.raises(Unavailable):
            await turn.write([one], world.epoch - 1)
    assert (await read(world, account, "n")).values == {"n": None}


async def test_an_external_id_is_known_from_its_commit_on(world: World):
    """The first activity with an external id is answered, also after a restart; events have names of their own."""
    account, other = await world.account(), await world.account()
    await world.accept(account, external_id="e")
    one = new_activity(world, external_id="e", result=b'{"label":"CLEAN"}')
    assert (await read(world, account, names=("e",))).known == {}
    await write(world, account, activities=(one, new_activity(world)))
    first = KnownActivity(id=one.id, digest=b"content", result=b'{"label":"CLEAN"}')
    for _ in range(2):
        assert (await read(world, account, names=("e", "f"))).known == {"e": first}
        assert (await read(world, other, names=("e",))).known == {}
        await world.reopen()


async def test_a_known_external_id_is_never_taken_twice(world: World):
    """A write with an external id that an earlier activity has is refused whole, also within one write."""
    account = await world.account()
    await write(world, account, activities=(new_activity(world, external_id="e"),))
    again = await new_write(
        world, account, puts={"n": (b"1", None)}, activities=(new_activity(world, external_id="e"),)
    )
    twice = await new_write(world, account, activities=tuple(new_activity(world, external_id="f") for _ in range(2)))
    for one in (again, twice):
        (answer,) = await world.store.triggers.write([one], world.epoch)
        assert isinstance(answer, Unstorable)
    assert (await read(world, account, "n", names=("f",))).known == {}
    assert len(await log(world, account)) == 1


async def test_the_log_is_read_in_order_from_any_place(world: World):
    """Activities come in the order of their ids, page by page, within times, whatever is merged already."""
    account, other = await world.account(), await world.account()
    made = []
    for i in range(40):
        world.clock.advance(1)
        made.append(new_activity(world, kind="visit", external_id=f"e{i}", visitor_id="v", data=b"%d" % i))
        await write(world, account, activities=(made[-1],))
        await write(world, other, activities=(new_activity(world),))
        if i == 20:
            await world.reopen()
    assert await log(world, account) == made
    paged: list[NewActivity] = []
    while page := await log(world, account, after=paged[-1].id if paged else 0, limit=7):
        assert len(page) <= 7
        paged += page
    assert paged == made
    since, until = made[10].accepted_at, made[15].accepted_at
    assert await log(world, account, since=since, until=until) == made[10:15]
    # An account's events and deliveries are not looked for among its activities.
    assert await world.store.records.events(account.id, EventFilter(), ALL) == ([], None)


async def test_timers_are_due_in_order_and_once_moved_not_before(world: World):
    """Timers come the longest due first, at the time set last, until they are removed."""
    account, other = await world.account(), await world.account()
    now = world.now
    assert await world.store.triggers.next_due() is None
    await write(world, account, timers={"a": Millis(now + 3), "b": Millis(now + 2), "c": now})
    await write(world, other, timers={"a": Millis(now + 1)})
    assert await world.store.triggers.next_due() == now
    await write(world, account, timers={"c": None, "b": Millis(now + 9), "none": None})
    assert await world.store.triggers.next_due() == now + 1
    due = [
        Timer(account_id=other.id, name="a", due_at=Millis(now + 1)),
        Timer(account_id=account.id, name="a", due_at=Millis(now + 3)),
        Timer(account_id=account.id, name="b", due_at=Millis(now + 9)),
    ]
    assert await world.store.triggers.due(now, 9) == []
    assert await world.store.triggers.due(Millis(now + 8), 9) == due[:2]
    assert await world.store.triggers.due(Millis(now + 9), 9) == due
    assert await world.store.triggers.due(Millis(now + 9), 1) == due[:1]


async def test_scanning_gives_what_has_the_prefix(world: World):
    """A scan gives the account's keys with a prefix in order, page by page, and no others."""
    account, other = await world.account(), await world.account()
    keys = ["offer", "offer:", "offer:1", "offer:10", "offer:2", "offer:é", "offer:\U0010ffff", "offer;", "visitor:1"]
    await write(world, account, puts={key: (key.encode(), None) for key in keys})
    await write(world, other, puts={"offer:3": (b"", None)})
    found: list[tuple[str, bytes]] = []
    while page := await world.store.triggers.scan(account.id, "offer:", found[-1][0] if found else "", 2):
        found += page
    assert found == [(key, key.encode()) for key in keys[1:7]]
    assert [key for key, _ in await world.store.triggers.scan(account.id, "", "", 99)] == sorted(keys)
    assert await world.store.triggers.scan(account.id, "", "visitor:1", 99) == []


async def test_what_has_expired_is_as_if_it_had_never_been(world: World):
    """A key is read until its time, and goes for good soon after, moved ones at the time set last."""
    account = await world.account()
    soon, later = Millis(world.now + HOUR_S * 1000), Millis(world.now + 3 * HOUR_S * 1000)
    puts = {f"soon{i}": (b"1", soon) for i in range(10)} | {"later": (b"2", later), "ever": (b"3", None)}
    await write(world, account, puts=puts | {"moved": (b"4", soon), "given": (b"5", None), "kept": (b"6", soon)})
    await write(world, account, puts={"moved": (b"4", later), "given": (b"5", soon), "kept": (b"6", None)})
    assert (await purge_all(world, limit=3)).remembered == 0
    world.clock.advance(HOUR_S - 0.001)
    assert (await read(world, account, "soon1")).values == {"soon1": b"1"}
    world.clock.advance(0.001)
    asked = await read(world, account, "soon1", "later", "ever", "moved", "given", "kept")
    assert asked.values == {
        "soon1": None, "later": b"2", "ever": b"3", "moved": b"4", "given": None, "kept": b"6",
    }  # fmt: skip
    world.clock.advance(HOUR_S)
    assert (await purge_all(world, limit=3)).remembered == 11
    assert [key for key, _ in await world.store.triggers.scan(account.id, "", "", 99)] == [
        "ever", "kept", "later", "moved",
    ]  # fmt: skip
    await write(world, account, puts={"soon1": (b"7", Millis(world.now + 1))})
    world.clock.advance(2 * HOUR_S)
    assert (await purge_all(world, limit=3)).remembered == 3
    assert [key for key, _ in await world.store.triggers.scan(account.id, "", "", 99)] == ["ever", "kept"]


async def test_old_activities_go(world: World):
    """An activity's data goes by the age of bodies, its row and name once names of that age are forgotten."""
    account = await world.account()
    await write(world, account, activities=tuple(new_activity(world, external_id=f"e{i}") for i in range(5)))
    world.clock.advance(10)
    before = world.now
    young = new_activity(world, external_id="young")
    await write(world, account, activities=(young,))
    assert await purge(world, bodies_before=before) == Purged(bodies=5)
    assert await log(world, account) == [young]
    assert set((await read(world, account, names=("e1", "young"))).known) == {"e1", "young"}
    assert await purge(world, bodies_before=before, dedupe_before=before, limit=3) == Purged(activities=3)
    assert await purge(world, bodies_before=before, dedupe_before=before, limit=3) == Purged(activities=2)
    assert set((await read(world, account, names=("e1", "young"))).known) == {"young"}
    await write(world, account, activities=(new_activity(world, external_id="e1"),))
    await world.reopen()
    assert set((await read(world, account, names=("e1", "e2", "young"))).known) == {"e1", "young"}


async def test_a_removed_account_leaves_nothing(world: World):
    """Log, state and timers of a removed account are purged, step by step; others keep theirs."""
    account, other = await world.account(), await world.account()
    for one in (account, other):
        await write(
            world,
            one,
            activities=tuple(new_activity(world, external_id=f"e{i}") for i in range(5)),
            puts={f"n{i}": (b"1", Millis(world.now + 1) if i % 2 else None) for i in range(7)},
            timers={f"t{i}": FUTURE for i in range(4)},
            events=(await world.new_event(one),),
        )
    await world.store.accounts.remove(account.id, world.change())
    total: dict[str, int] = {}
    for _ in range(30):
        step = await purge(world, limit=3)
        for name in step.__struct_fields__:
            total[name] = total.get(name, 0) + getattr(step, name)
            assert getattr(step, name) <= 3 + 3  # of what has expired, and of a removed account
        world.clock.advance(600)
    left = 7 + 4  # all its keys and timers
    expired = 3  # of the other's
    assert Purged(**total) == Purged(activities=5, remembered=left + expired, events=1, accounts=1)
    assert len(await log(world, other)) == 5
    assert len(await world.store.triggers.scan(other.id, "", "", 99)) == 4
    assert len(await world.store.triggers.due(FUTURE, 99)) == 4
