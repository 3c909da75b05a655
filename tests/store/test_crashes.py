"""Processes killed at a failpoint or at any moment: what was answered is there, and nothing is there by half."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.world import ALL, World
from tocsin.model import DeliveryState
from tocsin.store.port import DeliveryFilter, EventFilter

ROOT = Path(__file__).parents[2]
FEEDER = Path(__file__).with_name("feeder.py")


def start(world: World, failpoint: str = "", feeder: Path = FEEDER) -> subprocess.Popen[str]:
    """A process that feeds the store and prints what it was answered, a line at a time."""
    return subprocess.Popen(
        [sys.executable, str(feeder), world.name, str(world.directory)],
        env={**os.environ, "TOCSIN_FAILPOINT": failpoint, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        stdout=subprocess.PIPE,
        text=True,
    )


async def judge(world: World, lines: list[str]) -> None:
    """Opens what the process left and compares it with what it was answered."""
    told = [json.loads(line) for line in lines if line.endswith("\n")]
    world.clock.advance(60)  # ids that the process cannot have made
    await world.open()
    (account,) = await world.store.accounts.list(ALL)
    events, _ = await world.store.records.events(account.id, EventFilter(), ALL)
    deliveries, _ = await world.store.records.deliveries(account.id, DeliveryFilter(), ALL)
    assert len(events) < ALL.limit
    of_event: dict[int, list[DeliveryState]] = {}
    for delivery in deliveries:
        of_event.setdefault(delivery.event_id, []).append(delivery.state)
        attempts = await world.store.records.attempts(account.id, delivery.id)
        assert len(attempts) == delivery.attempts
        assert (delivery.state is DeliveryState.SUCCEEDED) == bool(attempts)
        assert delivery.state in {DeliveryState.SUCCEEDED, DeliveryState.PENDING}
    assert {event.id: 2 for event in events} == {event_id: len(states) for event_id, states in of_event.items()}
    accepted = {line["accepted"] for line in told if "accepted" in line}
    settled = {line["settled"] for line in told if "settled" in line}
    assert accepted <= {event.id for event in events}
    assert settled <= {delivery.id for delivery in deliveries if delivery.state is DeliveryState.SUCCEEDED}
    for event in events:
        again = await world.new_event(account, external_id=event.external_id)
        (answer,) = await world.ingest(again)
        assert answer.event_id == event.id
    assert await world.store.housekeeping.check() == []


@pytest.mark.parametrize("failpoint", ["before_commit:3", "after_commit:3", "before_commit:9", "after_commit:1"])
async def test_killed_around_a_commit(world: World, failpoint: str):
    """A process killed right before or after a commit has lost nothing that it answered."""
    await world.store.close()
    feeder = start(world, failpoint)
    lines = (await asyncio.to_thread(feeder.communicate, timeout=30))[0].splitlines(keepends=True)
    assert feeder.returncode == -signal.SIGKILL
    await judge(world, lines)


@pytest.mark.parametrize("seed", range(4))
async def test_killed_at_any_moment(world: World, seed: int):
    """A process killed at a random moment has lost nothing that it answered."""
    await world.store.close()
    feeder = start(world)
    assert feeder.stdout is not None
    lines = [feeder.stdout.readline()]
    await asyncio.sleep(random.Random(seed).uniform(0, 0.15))
    feeder.kill()
    lines += feeder.stdout.readlines()
    feeder.wait()
    feeder.stdout.close()
    await judge(world, lines)
