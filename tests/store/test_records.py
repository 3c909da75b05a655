import asyncio

import pytest

from tests.store.world import ALL, World
from tocsin.clock import Millis
from tocsin.model import Account, DeliveryState
from tocsin.store.port import DeliveryFilter, EventFilter, Page


async def all_events(world: World, account: Account, where: EventFilter, limit: int) -> list[int]:
    """Ids of all pages, in order."""
    ids: list[int] = []
    before: int | None = None
    while True:
        rows, before = await world.store.records.events(account.id, where, Page(limit=limit, before=before))
        assert len(rows) <= limit
        ids += [row.id for row in rows]
        if before is None:
            return ids


async def all_deliveries(world: World, account: Account, where: DeliveryFilter, limit: int) -> list[int]:
    ids: list[int] = []
    before: int | None = None
    while True:
        rows, before = await world.store.records.deliveries(account.id, where, Page(limit=limit, before=before))
        assert len(rows) <= limit
        ids += [row.id for row in rows]
        if before is None:
            return ids


@pytest.mark.parametrize("limit", [1, 3, 4, 250])
async def test_lists_hold_everything_once_newest_first(world: World, limit: int):
    """Page by page each event and each delivery of the account comes once, and nothing of another account's."""
    account, other = await world.account(), await world.account()
    webhooks = [await world.webhook(account) for _ in range(2)]
    events, deliveries = [], []
    for _ in range(6):
        events.append(await world.accept(account, *webhooks))
        deliveries += [delivery.id for delivery in events[-1].deliveries]
        await world.accept(other)
    assert await all_events(world, account, EventFilter(), limit) == [event.id for event in reversed(events)]
    assert await all_deliveries(world, account, DeliveryFilter(), limit) == deliveries[::-1]
    rows, _ = await world.store.records.events(account.id, EventFilter(), ALL)
    assert {row.data for row in rows} == {None}


@pytest.mark.parametrize("limit", [1, 7])
async def test_events_are_filtered(world: World, limit: int):
    """Each filter of events holds by itself and with the others."""
    account = await world.account()
    start = world.now
    events = []
    for i in range(12):
        events.append(
            await world.accept(
                account,
                type="click.created" if i % 2 else "visit.created",
                source="api" if i % 3 else "activity",
                external_id=f"e{i}",
            )
        )
        world.clock.advance(1)

    async def ids(**where: object) -> list[int]:
        found = await all_events(world, account, EventFilter(**where), limit)
        return [next(i for i, event in enumerate(events) if event.id == id_) for id_ in found]

    assert await ids(type="click.created") == [11, 9, 7, 5, 3, 1]
    assert await ids(source="activity") == [9, 6, 3, 0]
    assert await ids(type="click.created", source="activity") == [9, 3]
    assert await ids(since=start + 9_000) == [11, 10, 9]
    assert await ids(until=start + 2_000) == [1, 0]
    assert await ids(since=start + 2_000, until=start + 4_000) == [3, 2]
    assert await ids(external_id="e5") == [5]
    assert await ids(external_id="e5", type="visit.created") == []
    assert await ids(external_id="e5", until=start + 2_000) == []
    assert await ids(external_id="unknown") == []
    assert await ids(type="\x00") == []
    assert await ids(since=start + 10**9) == []


async def test_an_external_id_used_again_after_it_was_forgotten_names_both_events(world: World):
    """Events under one external id, far apart, are all found by it."""
    account = await world.account()
    first = await world.accept(account, external_id="e")
    world.clock.advance(40 * 86_400)
    await world.store.housekeeping.purge(
        bodies_before=Millis(0), logs_before=Millis(0), dedupe_before=world.now, now=world.now, limit=100
    )
    assert await all_events(world, account, EventFilter(external_id="e"), 1) == [first.id]
    second = await world.accept(account, external_id="e")
    assert await all_events(world, account, EventFilter(external_id="e"), 1) == [second.id, first.id]
    assert await all_events(world, account, EventFilter(external_id="e"), 9) == [second.id, first.id]


@pytest.mark.parametrize("limit", [1, 5, 250])
async def test_deliveries_are_filtered(world: World, limit: int):
    """Each filter of deliveries holds by itself and with the others."""
    account = await world.account()
    chat = await world.webhook(account, settings={"channel": "slack"})
    plain = await world.webhook(account)
    start = world.now
    events, deliveries = [], []
    for i in range(8):
        events.append(
            await world.accept(account, chat, plain, claimed=True, type="click.created" if i % 2 else "visit.created")
        )
        deliveries += [delivery.id for delivery in events[-1].deliveries]
        world.clock.advance(1)
    failed = deliveries[::3]
    await world.settle(
        *(world.settlement(id_, DeliveryState.FAILED) for id_ in failed),
        *(world.settlement(id_) for id_ in deliveries[1::3]),
    )

    async def ids(**where: object) -> list[int]:
        return [deliveries.index(id_) for id_ in await all_deliveries(world, account, DeliveryFilter(**where), limit)]

    assert await ids(webhook_id=chat.id) == [14, 12, 10, 8, 6, 4, 2, 0]
    assert await ids(event_id=events[3].id) == [7, 6]
    assert await ids(event_id=events[3].id, webhook_id=plain.id) == [7]
    assert await ids(type="click.created", webhook_id=plain.id) == [15, 11, 7, 3]
    assert await ids(state=DeliveryState.FAILED) == [15, 12, 9, 6, 3, 0]
    assert await ids(state=DeliveryState.FAILED, webhook_id=plain.id) == [15, 9, 3]
    assert await ids(state=DeliveryState.SENDING) == [14, 11, 8, 5, 2]
    assert await ids(status_code=200) == [13, 10, 7, 4, 1]
    assert await ids(channel="slack", status_code=500) == [12, 6, 0]
    assert await ids(since=Millis(start + 6_000)) == [15, 14, 13, 12]
    assert await ids(until=Millis(start + 1_000)) == [1, 0]
    assert await ids(event_id=world.ids.next()) == []
    other = await world.account()
    assert await all_deliveries(world, other, DeliveryFilter(event_id=events[3].id), limit) == []
    assert await all_deliveries(world, other, DeliveryFilter(webhook_id=chat.id), limit) == []


@pytest.mark.parametrize("limit", [1, 3, 250])
@pytest.mark.parametrize("state", ["under way", "settled"])
async def test_postbacks_and_webhooks_stand_side_by_side_and_are_told_apart(world: World, limit: int, state: str):
    """One event's deliveries through two channels are rows of one log, each shown with its channel and found by it."""
    account = await world.account(profile="trcker")
    postback = await world.webhook(account, settings={"channel": "postback"})
    plain = await world.webhook(account)
    made: dict[str, list[int]] = {"postback": [], "standard": []}
    for _ in range(4):
        event = await world.accept(account, postback, plain, claimed=True)
        for channel, delivery in zip(("postback", "standard"), event.deliveries, strict=True):
            made[channel].insert(0, delivery.id)
            if state == "settled":
                await world.settle(world.settlement(delivery.id))
    both = sorted([*made["postback"], *made["standard"]], reverse=True)
    assert await all_deliveries(world, account, DeliveryFilter(), limit) == both
    for channel, ids in made.items():
        assert await all_deliveries(world, account, DeliveryFilter(channel=channel), limit) == ids
    assert await all_deliveries(world, account, DeliveryFilter(channel="slack"), limit) == []
    rows, _ = await world.store.records.deliveries(account.id, DeliveryFilter(), ALL)
    assert {row.id: row.channel for row in rows} == {id_: channel for channel, ids in made.items() for id_ in ids}


async def test_a_page_ends_early_where_a_filter_passes_over_very_many(world: World):
    """However few rows a filter lets through, one call looks at a bounded number, and the pages together hold all."""
    account = await world.account()
    webhook = await world.webhook(account)
    rare = [await world.accept(account, webhook, type="rare.happened")]
    for _ in range(8):
        await world.ingest(*[await world.new_event(account, webhook) for _ in range(1_000)])
    rare.append(await world.accept(account, webhook, type="rare.happened"))
    rows, before = await world.store.records.events(account.id, EventFilter(type="rare.happened"), Page(limit=50))
    assert [row.id for row in rows] == [rare[1].id]
    assert before is not None
    assert before > rare[0].id
    assert await all_events(world, account, EventFilter(type="rare.happened"), 50) == [rare[1].id, rare[0].id]
    found = await all_deliveries(world, account, DeliveryFilter(type="rare.happened"), 50)
    assert found == [rare[1].deliveries[0].id, rare[0].deliveries[0].id]


async def test_lists_neither_skip_nor_repeat_while_rows_arrive_and_end(world: World):
    """A list that is read while events come in and deliveries end holds everything that was there at its start."""
    account = await world.account()
    webhook = await world.webhook(account)
    for _ in range(60):
        await world.accept(account, webhook)
    start_events = await all_events(world, account, EventFilter(), 250)
    start_deliveries = await all_deliveries(world, account, DeliveryFilter(), 250)
    reading = True

    async def traffic() -> None:
        while reading:
            await world.accept(account, webhook)
            for one in await world.claim(webhook, 3):
                await world.settle(world.settlement(one.id))

    feeding = asyncio.create_task(traffic())
    for _ in range(3):
        newest = (await all_events(world, account, EventFilter(), 1))[0]
        events = await all_events(world, account, EventFilter(), 4)
        deliveries = await all_deliveries(world, account, DeliveryFilter(), 4)
        assert len(events) == len(set(events))
        assert len(deliveries) == len(set(deliveries))
        assert events == sorted(events, reverse=True)
        assert deliveries == sorted(deliveries, reverse=True)
        assert {newest, *start_events} <= set(events)
        assert set(start_deliveries) <= set(deliveries)
    reading = False
    await feeding


async def test_gauges(world: World):
    """The gauges tell what waits, what is being fanned out, and how large the database is."""
    account = await world.account()
    webhook = await world.webhook(account)
    before = await world.store.records.counts()
    assert (before["waiting"], before["fan_out_jobs"]) == (0, 0)
    for _ in range(3):
        await world.accept(account, webhook)
    await world.accept(account, webhook, claimed=True)
    await world.accept(account, fan_out=True)
    counts = await world.store.records.counts()
    assert (counts["waiting"], counts["fan_out_jobs"]) == (3, 1)
    assert counts["file_bytes"] > 10_000
