"""A process that gathers, killed at any moment: members and the summaries that count them are there together."""

import asyncio
import json
import random
from pathlib import Path

import pytest

from tests.store import gatherer
from tests.store.gatherer import ids_of
from tests.store.test_crashes import start
from tests.store.world import ALL, World
from tocsin.model import DIGEST_TYPE, Account, Delivery, DeliveryState
from tocsin.store.port import DeliveryFilter, Page

FEEDER = Path(__file__).with_name("gathering_feeder.py")
SUCCEEDED, DIGESTED = DeliveryState.SUCCEEDED, DeliveryState.DIGESTED


async def all_of(world: World, account: Account) -> dict[int, Delivery]:
    found: dict[int, Delivery] = {}
    before: int | None = None
    while True:
        rows, before = await world.store.records.deliveries(
            account.id, DeliveryFilter(), Page(limit=1_000, before=before)
        )
        found |= {one.id: one for one in rows}
        if before is None:
            return found


async def told_by(world: World, account: Account, deliveries: dict[int, Delivery]) -> dict[int, list[int]]:
    told = {}
    for one in deliveries.values():
        if one.type == DIGEST_TYPE:
            event = await world.store.records.event(account.id, one.event_id)
            assert event is not None
            assert event.data is not None
            told[one.id] = sorted(ids_of(event.data))
    return told


@pytest.mark.parametrize("seed", range(6))
async def test_killed_while_it_gathers(world: World, seed: int):
    """What was answered is there; every member is in the summary of its digest, and in no other; all can go on."""
    await world.store.close()
    feeder = start(world, feeder=FEEDER)
    assert feeder.stdout is not None
    lines = [feeder.stdout.readline()]
    await asyncio.sleep(random.Random(seed).uniform(0.02, 0.3))
    feeder.kill()
    lines += feeder.stdout.readlines()
    feeder.wait()
    feeder.stdout.close()
    answered: dict[str, set[int]] = {"accepted": set(), "gathered": set(), "sent": set()}
    for line in lines:
        if line.endswith("\n"):
            for name, ids in json.loads(line).items():
                answered[name] |= {*ids}

    world.clock.advance(100_000)  # ids that the process cannot have made
    await world.open()
    (account,) = await world.store.accounts.list(ALL)
    (webhook,) = await world.store.webhooks.list(account.id, ALL)
    deliveries = await all_of(world, account)
    told = await told_by(world, account, deliveries)
    events = {id_ for id_, one in deliveries.items() if one.type != DIGEST_TYPE}
    assert answered["accepted"] <= events
    for name, state in (("gathered", DIGESTED), ("sent", SUCCEEDED)):
        assert {deliveries[id_].state for id_ in answered[name]} <= {state}
    members: dict[int, list[int]] = {id_: [] for id_ in told}
    for one in deliveries.values():
        assert one.state in {SUCCEEDED, DIGESTED, DeliveryState.PENDING, DeliveryState.RETRYING}
        if one.digest_id is not None:
            members[one.digest_id] += told.get(one.id, [one.id])
    assert {id_: sorted(ids) for id_, ids in members.items()} == told

    for _ in range(200):
        sending = await gatherer.gather(world, account, webhook, await world.claim(webhook))
        await gatherer.send(world, sending, lambda _: SUCCEEDED)
        world.clock.advance(6)
        if not await world.store.journal.lanes(0, 10):
            break
    deliveries = await all_of(world, account)
    told = await told_by(world, account, deliveries)
    arrived = [id_ for one in deliveries.values() if one.state is SUCCEEDED for id_ in told.get(one.id, [one.id])]
    assert sorted(arrived) == sorted(events)
    assert await world.store.housekeeping.check() == []
