"""Processes killed while they count: the count, the log, the events, the timer and the names all say the same."""

import asyncio
import json
import random
import signal
from pathlib import Path

import pytest

from tests.store.test_crashes import start
from tests.store.test_triggers import FUTURE, log, read
from tests.store.world import ALL, World
from tocsin.store.port import DeliveryFilter, EventFilter

FEEDER = Path(__file__).with_name("trigger_feeder.py")


async def judge(world: World, lines: list[str]) -> None:
    """Opens what the process left and compares its parts, and what it was answered."""
    told = max((json.loads(line)["counted"] for line in lines if line.endswith("\n")), default=0)
    world.clock.advance(60)  # ids that the process cannot have made
    await world.open()
    accounts = await world.store.accounts.list(ALL)
    counts = set()
    timers = {timer.account_id: timer.due_at for timer in await world.store.triggers.due(FUTURE, 99)}
    for account in accounts:
        activities = await log(world, account)
        names = tuple(one.external_id or "" for one in activities)
        found = await read(world, account, "n", names=(*names, "never"))
        n = int(found.values["n"] or b"0")
        counts.add(n)
        events, _ = await world.store.records.events(account.id, EventFilter(), ALL)
        deliveries, _ = await world.store.records.deliveries(account.id, DeliveryFilter(), ALL)
        visitors = [key for key, _ in await world.store.triggers.scan(account.id, "visitor:", "", 99)]
        assert len(activities) == n
        assert {name: known.id for name, known in found.known.items()} == {
            one.external_id: one.id for one in activities
        }
        assert len(events) == len(deliveries) == n / 2
        assert timers.get(account.id, 0) == n
        assert visitors == ([f"visitor:{n // 2 - 1}"] if n else [])
    if len(accounts) == 3:
        assert len(counts) == 1  # the three are written together
        assert min(counts) >= told
    assert await world.store.housekeeping.check() == []


@pytest.mark.parametrize("failpoint", ["before_commit:1", "after_commit:1", "before_commit:7", "after_commit:20"])
async def test_killed_around_a_commit(world: World, failpoint: str):
    """A process killed right before or after a commit has counted all or nothing of it."""
    await world.store.close()
    feeder = start(world, failpoint, FEEDER)
    lines = (await asyncio.to_thread(feeder.communicate, timeout=30))[0].splitlines(keepends=True)
    assert feeder.returncode == -signal.SIGKILL
    await judge(world, lines)


@pytest.mark.parametrize("seed", range(3))
async def test_killed_at_any_moment(world: World, seed: int):
    """A process killed at a random moment has lost nothing that it was answered, and has nothing by half."""
    await world.store.close()
    feeder = start(world, "", FEEDER)
    assert feeder.stdout is not None
    lines = [feeder.stdout.readline()]
    await asyncio.sleep(random.Random(seed).uniform(0, 0.15))
    feeder.kill()
    lines += feeder.stdout.readlines()
    feeder.wait()
    feeder.stdout.close()
    await judge(world, lines)
