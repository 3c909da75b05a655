"""The logs' weeks: made ahead, and let go of as a whole."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tests.store.gathering import claimed, digest, fold
from tests.store.test_retention import purge
from tests.store.test_triggers import new_activity, new_write, read
from tests.store.world import ALL, World
from tests.support.postgres import address, name_of
from tocsin.clock import Millis
from tocsin.ids import first_at
from tocsin.model import Account, DeliveryState
from tocsin.store.port import Accepted, DeliveryFilter, EventFilter, Page
from tocsin.store.postgres import partitions, retiring
from tocsin.store.postgres.partitions import LOGS, SPAN_MS, Part

WEEK_S = SPAN_MS // 1000


@asynccontextmanager
async def connected(world: World) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(address(name_of(world.directory)))
    try:
        yield connection
    finally:
        await connection.close()


async def weeks(connection: Any, table: str) -> list[str]:
    return [part.name.removeprefix(f"{table}_") for part in await partitions.parts(connection, table)]


async def sent(world: World, account: Account, webhook: Any) -> int:
    """A delivery that has succeeded."""
    event = await world.accept(account, webhook, claimed=True)
    await world.settle(world.settlement(event.deliveries[0].id))
    return event.deliveries[0].id


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every week that holds anything is large enough to go as a whole."""
    monkeypatch.setattr(retiring, "LARGE_BYTES", 1)


async def test_weeks_are_made_ahead(world: World):
    """A store that is opened makes this week and the next two, each named by its Monday, and housekeeping goes on."""
    async with connected(world) as connection:
        for table in LOGS:
            known = await partitions.parts(connection, table)
            assert [part.name for part in known] == [
                f"{table}_{name}" for name in ("before", "20251229", "20260105", "20260112", "beyond")
            ]
            assert [part.beyond for part in known[:-1]] == [part.least for part in known[1:]]
            assert (known[0].least, known[-1].beyond) == (None, None)
        world.clock.advance(WEEK_S)
        await purge(world)
        assert (await weeks(connection, "event"))[-2:] == ["20260119", "beyond"]
        world.clock.advance(10 * WEEK_S)
        await purge(world)
        assert (await weeks(connection, "attempt"))[-4:] == ["20260316", "20260323", "20260330", "beyond"]
        assert "20260126" in await weeks(connection, "attempt")  # of all the weeks that nobody has made


async def test_a_history_has_weeks_of_its_own(world: World):
    """Before old rows are copied in, weeks for them can be made, as long as nothing is there."""
    async with connected(world) as connection:
        since = Millis(world.now - 2 * SPAN_MS)
        assert await partitions.lay_out(connection, world.now, since)
        assert (await weeks(connection, "event"))[:4] == ["before", "20251215", "20251222", "20251229"]


@pytest.mark.parametrize("moved", [partitions.MOVED, 1])
async def test_what_a_wrong_clock_has_made_is_kept(world: World, monkeypatch: pytest.MonkeyPatch, moved: int):
    """Events of a process whose clock is years ahead, or behind, are accepted, and found when weeks are made."""
    account = await world.account()
    webhook = await world.webhook(account)
    now = world.now
    deliveries = [await sent(world, account, webhook)]
    for ahead in (1, 3, 8, 5_000, -20_000):
        world.clock.advance(ahead * 86_400)
        deliveries.append(await sent(world, account, webhook))
    world.clock.advance((now - world.now) / 1000)
    monkeypatch.setattr(partitions, "MOVED", moved)
    async with connected(world) as connection:
        for later in (0, 3 * SPAN_MS, 4 * SPAN_MS):
            assert await partitions.lay_out(connection, Millis(now + later))
            for table in LOGS:
                known = await partitions.parts(connection, table)
                assert [part.beyond for part in known[:-1]] == [part.least for part in known[1:]]
        events, _ = await world.store.records.events(account.id, EventFilter(), ALL)
        assert len(events) == len(deliveries)
        for id_ in deliveries:
            assert await world.state(account, id_) is DeliveryState.SUCCEEDED
            assert len(await world.store.records.attempts(account.id, id_)) == 1


async def test_who_uses_a_log_is_not_held_up_by_its_weeks(world: World):
    """Where others hold a log for longer, its weeks are made later; until then what comes is stored all the same."""
    account = await world.account()
    webhook = await world.webhook(account)
    world.clock.advance(4 * WEEK_S)
    async with connected(world) as connection, connected(world) as other:
        async with other.transaction():
            await other.execute("LOCK TABLE event IN ROW EXCLUSIVE MODE")
            assert not await partitions.lay_out(connection, world.now)
            assert "20260126" not in await weeks(connection, "event")
            assert "20260126" in await weeks(connection, "attempt")
            await sent(world, account, webhook)
        assert await partitions.lay_out(connection, world.now)
        assert (await weeks(connection, "event"))[-4:] == ["20260126", "20260202", "20260209", "beyond"]
    assert len((await world.store.records.events(account.id, EventFilter(), ALL))[0]) == 1


async def test_lists_go_back_through_all_weeks(world: World):
    """Lists are whole and in order, page by page, however many weeks their rows are spread over."""
    account = await world.account()
    webhook = await world.webhook(account)
    deliveries = []
    for n in range(12):
        event = await world.accept(account, webhook, claimed=n % 3 > 0)
        deliveries.append(event.deliveries[0].id)
        if n % 3 > 0:
            await world.settle(world.settlement(deliveries[-1], (DeliveryState.SUCCEEDED, DeliveryState.FAILED)[n % 2]))
        world.clock.advance(WEEK_S // 3)
        await purge(world)
    records = world.store.records
    for limit in (1, 2, 5, 12):
        found: list[int] = []
        events: list[int] = []
        before = None
        while True:
            page, before = await records.deliveries(account.id, DeliveryFilter(), Page(limit=limit, before=before))
            found += [one.id for one in page]
            if before is None:
                break
        while True:
            rows, before = await records.events(account.id, EventFilter(), Page(limit=limit, before=before))
            events += [one.id for one in rows]
            if before is None:
                break
        assert found == deliveries[::-1]
        assert (len(events), events) == (12, sorted(events, reverse=True))
    failed, _ = await records.deliveries(account.id, DeliveryFilter(state=DeliveryState.FAILED), Page(limit=9))
    assert [one.id for one in failed] == [deliveries[n] for n in (11, 7, 5, 1)]


@pytest.mark.usefixtures("at_once")
async def test_a_week_goes_as_a_whole(world: World):
    """A large week stays until all of it is old, and is dropped then, in every log, with what else it had."""
    account = await world.account()
    webhook = await world.webhook(account)
    monday = Millis(world.now - 3 * 86_400_000)
    deliveries = [await sent(world, account, webhook) for _ in range(3)]
    week = Part("", first_at(monday), first_at(monday + SPAN_MS))
    world.clock.advance(2 * WEEK_S)
    young = await sent(world, account, webhook)

    async def step(before: int) -> None:
        for _ in range(4):
            await purge(world, bodies_before=before, logs_before=before, dedupe_before=before)

    await step(Millis(monday + SPAN_MS - 1))
    assert await world.state(account, deliveries[0]) is DeliveryState.SUCCEEDED
    await step(Millis(monday + SPAN_MS))
    async with connected(world) as connection:
        for table, key in LOGS.items():
            left = await connection.fetchval(
                f"SELECT count(*) FROM {table} WHERE {key} >= $1 AND {key} < $2", week.least, week.beyond
            )
            assert left == 0, table
            known = await partitions.parts(connection, table)
            assert (known[0].name, known[0].least, known[0].beyond) == (f"{table}_before", None, week.beyond)
    listed, _ = await world.store.records.deliveries(account.id, DeliveryFilter(), ALL)
    assert [one.id for one in listed] == [young]


@pytest.mark.usefixtures("at_once")
async def test_what_must_stay_of_a_week_stays(world: World):
    """Of a week that is dropped stay: what ended late, the events and attempts of what waits, and the members of a
    digest that is there.
    """
    account = await world.account()
    webhook, chat = await world.webhook(account), await world.webhook(account)
    gone = await sent(world, account, webhook)
    waiting = await world.accept(account, webhook, claimed=True)
    waits = waiting.deliveries[0].id
    await world.settle(world.settlement(waits, DeliveryState.RETRYING))
    late_event = await world.accept(account, webhook, claimed=True)
    late = late_event.deliveries[0].id
    (member,) = await claimed(world, account, chat)
    world.clock.advance(WEEK_S)
    told = digest(world)
    await fold(world, account, chat, told, member)
    world.clock.advance(20 * WEEK_S)
    await world.settle(world.settlement(late, DeliveryState.FAILED))
    before = Millis(world.now - SPAN_MS)
    for _ in range(5):
        await purge(world, bodies_before=before, logs_before=before, dedupe_before=before)
    assert await world.state(account, gone) is None
    assert await world.store.records.attempts(account.id, gone) == []
    assert await world.state(account, late) is DeliveryState.FAILED
    assert len(await world.store.records.attempts(account.id, late)) == 1
    assert await world.state(account, waits) is DeliveryState.RETRYING
    assert len(await world.store.records.attempts(account.id, waits)) == 1
    assert await world.state(account, member) is DeliveryState.DIGESTED
    for event in (waiting, late_event):
        assert await world.store.records.event(account.id, event.id) is not None
    assert [one.id for one in await world.claim(webhook)] == [waits]


@pytest.mark.usefixtures("at_once")
async def test_a_week_of_which_much_stays_is_gone_through(world: World, monkeypatch: pytest.MonkeyPatch):
    """Where more must stay than can be moved, rows go one by one, and the others stay."""
    monkeypatch.setattr(retiring, "_KEPT", 2)
    account = await world.account()
    webhook = await world.webhook(account)
    gone = [await sent(world, account, webhook) for _ in range(4)]
    waiting = [await world.accept(account, webhook) for _ in range(5)]
    world.clock.advance(20 * WEEK_S)
    for _ in range(12):
        await purge(world, bodies_before=world.now, logs_before=world.now, dedupe_before=world.now)
    for id_ in gone:
        assert await world.state(account, id_) is None
    listed, _ = await world.store.records.events(account.id, EventFilter(), ALL)
    assert {event.id for event in listed} == {event.id for event in waiting}
    assert len(await world.claim(webhook)) == 5


@pytest.mark.usefixtures("at_once")
async def test_an_activity_is_forgotten_with_its_name(world: World):
    """An activity that went with its week can be posted anew, as one that was deleted can."""
    account = await world.account()
    one = await new_write(world, account, activities=(new_activity(world, external_id="a"),))
    assert await world.store.triggers.write([one], world.epoch) == [Accepted()]
    world.clock.advance(20 * WEEK_S)
    for _ in range(3):
        await purge(world, bodies_before=world.now, logs_before=world.now, dedupe_before=world.now)
    found = await read(world, account, names=("a",))
    assert not found.known
    again = await new_write(world, account, version=found.version, activities=(new_activity(world, external_id="a"),))
    assert await world.store.triggers.write([again], world.epoch) == [Accepted()]
