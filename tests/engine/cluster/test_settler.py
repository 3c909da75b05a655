"""Outcomes are written under the epoch that their deliveries were claimed under, or refused and left to others."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.store.world import World, joined
from tocsin.engine.settler import Settler
from tocsin.errors import Unavailable
from tocsin.model import DeliveryState
from tocsin.store.port import Settlement
from tocsin.telemetry import Metrics

STORES = pytest.mark.parametrize("store", ["sqlite", "postgres"])


class Desk:
    def __init__(self, world: World) -> None:
        self.world = world
        self.metrics = Metrics()
        self.settler = Settler(world.store.journal, world.clock, self.metrics)
        self.settler.start()
        self.durable: list[int] = []

    def settle(self, settlement: Settlement, epoch: int) -> None:
        id_ = settlement.delivery_id
        self.settler.settle(settlement, epoch, lambda: self.durable.append(id_))

    def release(self, delivery_id: int, epoch: int) -> None:
        self.settler.release(delivery_id, epoch, lambda: self.durable.append(delivery_id))  # type: ignore[arg-type]


def at_a_desk(store: str, folder: Path, scenario: Callable[[Desk], Awaitable[None]]) -> None:
    async def run() -> None:
        async with World(store, folder) as world:
            desk = Desk(world)
            await scenario(desk)
            await desk.settler.stop(5)

    asyncio.run(run())


@STORES
def test_what_is_no_longer_ones_own_is_refused(store: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Of a batch with outcomes of two epochs those of the living one are written; the others are refused, counted, said
    once, and never tried again.
    """
    caplog.set_level(logging.WARNING, logger="tocsin")

    async def scenario(desk: Desk) -> None:
        world = desk.world
        account = await world.account()
        webhook = await world.webhook(account)
        former = world.epoch
        late = [(await world.accept(account, webhook, claimed=True)).deliveries[0].id for _ in range(3)]
        world.epoch = await joined(world.store, world.now)
        early = [(await world.accept(account, webhook, claimed=True)).deliveries[0].id for _ in range(3)]
        for old, new in zip(late, early, strict=True):
            desk.settle(world.settlement(old), former)
            desk.settle(world.settlement(new), world.epoch)
        await desk.settler.written()
        assert desk.durable == early
        assert desk.metrics.outcomes_refused == 3
        for id_ in late:
            assert await world.state(account, id_) is DeliveryState.PENDING
        for id_ in early:
            assert await world.state(account, id_) is DeliveryState.SUCCEEDED
        assert desk.settler.waiting == 0

    at_a_desk(store, tmp_path, scenario)
    lines = [record for record in caplog.records if record.getMessage() == "outcomes_refused"]
    assert sum(record.outcomes for record in lines) == 3


@STORES
def test_a_row_that_another_has_is_refused_alone(store: str, tmp_path: Path):
    """A delivery that is no longer being sent is refused among others that are; those are written."""

    async def scenario(desk: Desk) -> None:
        world = desk.world
        account = await world.account()
        webhook = await world.webhook(account)
        ids = [(await world.accept(account, webhook, claimed=True)).deliveries[0].id for _ in range(3)]
        await world.store.journal.release([ids[1]], world.epoch)
        for id_ in ids:
            desk.settle(world.settlement(id_), world.epoch)
        await desk.settler.written()
        assert desk.durable == [ids[0], ids[2]]
        assert desk.metrics.outcomes_refused == 1
        assert await world.state(account, ids[1]) is DeliveryState.PENDING

    at_a_desk(store, tmp_path, scenario)


def test_an_outcome_written_by_a_try_that_was_not_answered_is_no_refused_one(tmp_path: Path):
    """A commit of unknown outcome is tried again, and what it may have written is taken for written."""

    async def scenario(desk: Desk) -> None:
        world = desk.world
        account = await world.account()
        webhook = await world.webhook(account)
        (delivery,) = (await world.accept(account, webhook, claimed=True)).deliveries
        settle, tries = world.store.journal.settle, 0

        async def unanswered(settlements, epoch):  # type: ignore[no-untyped-def]
            nonlocal tries
            tries += 1
            refused = await settle(settlements, epoch)
            if tries == 1:
                raise Unavailable("the connection ended", code="commit_unknown")
            return refused

        world.store.journal.settle = unanswered  # type: ignore[method-assign]
        desk.settle(world.settlement(delivery.id), world.epoch)
        await desk.settler.written()
        assert (tries, desk.durable, desk.metrics.outcomes_refused) == (2, [delivery.id], 0)

    at_a_desk("sqlite", tmp_path, scenario)


@STORES
def test_what_is_given_back_under_an_epoch_that_ended_is_left(store: str, tmp_path: Path):
    """It waits again already; nobody here is told that it does."""

    async def scenario(desk: Desk) -> None:
        world = desk.world
        account = await world.account()
        webhook = await world.webhook(account)
        (old,) = (await world.accept(account, webhook, claimed=True)).deliveries
        former, world.epoch = world.epoch, await joined(world.store, world.now)
        (new,) = (await world.accept(account, webhook, claimed=True)).deliveries
        desk.release(old.id, former)
        desk.release(new.id, world.epoch)
        await desk.settler.written()
        assert desk.durable == [new.id]
        assert await world.state(account, old.id) is await world.state(account, new.id) is DeliveryState.PENDING

    at_a_desk(store, tmp_path, scenario)
