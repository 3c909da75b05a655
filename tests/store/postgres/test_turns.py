"""Turns: while one program holds an account's state no other writes it, and nobody waits for ever."""

import asyncio

import pytest

from tests.store.postgres.test_side_by_side import another
from tests.store.test_triggers import new_write, read, write
from tests.store.world import World
from tocsin.errors import Unavailable
from tocsin.model import AccountId
from tocsin.store.port import Accepted, Stale
from tocsin.store.postgres import triggers


async def test_what_another_holds_is_not_waited_for_by_batches(world: World):
    """A write of several accounts goes on without those that are held: they are stale, as they soon will be."""
    held, free = await world.account(), await world.account()
    await write(world, held, puts={"n": (b"1", None)})
    async with another(world) as second, second.store.triggers.turn([held.id]):
        writes = [await new_write(world, one, puts={"n": (b"2", None)}) for one in (held, free)]
        assert await world.store.triggers.write(writes, world.epoch) == [Stale(), Accepted()]
    assert (await read(world, held, "n")).values == {"n": b"1"}


async def test_the_first_account_is_waited_for_and_the_others_are_not(world: World):
    """So nobody waits in a circle, in whatever order accounts are asked for."""
    one, other = await world.account(), await world.account()
    for account in (one, other):
        await write(world, account, puts={"n": (b"1", None)})
    came: list[str] = []

    async def wait(second: World, name: str, ids: list[AccountId]) -> frozenset[AccountId]:
        async with second.store.triggers.turn(ids) as turn:
            came.append(name)
            return turn.held

    async with another(world) as second:
        async with world.store.triggers.turn([one.id, other.id]) as turn:
            assert turn.held == {one.id, other.id}
            waiting = [asyncio.create_task(wait(second, "second", [other.id, one.id]))]
            await asyncio.sleep(0.05)
            waiting.append(asyncio.create_task(wait(second, "third", [other.id])))
            await asyncio.sleep(0.05)
            assert came == []
        assert await asyncio.gather(*waiting) == [{other.id, one.id}, {other.id}]
    assert came == ["second", "third"]
    async with world.store.triggers.turn([one.id]), world.store.triggers.turn([other.id, one.id]) as turn:
        assert turn.held == {other.id}


async def test_turns_that_all_begin_at_once_come_one_after_the_other(world: World):
    """Also of an account of which nothing is remembered yet, in two programs."""
    account = await world.account()
    holders = 0

    async def hold(second: World) -> None:
        nonlocal holders
        async with second.store.triggers.turn([account.id]) as turn:
            holders += 1
            assert holders == 1
            found = await read(world, account, "n")
            n = b"%d" % (int(found.values["n"] or b"0") + 1)
            one = await new_write(world, account, puts={"n": (n, None)})
            holders -= 1
            assert await turn.write([one], world.epoch) == [Accepted()]

    async with another(world) as second:
        await asyncio.gather(*(hold(one) for one in (world, second) * 6))
    assert (await read(world, account, "n")).values == {"n": b"12"}


async def test_who_hangs_in_a_turn_loses_it(world: World, monkeypatch: pytest.MonkeyPatch):
    """The server ends a transaction that lies idle: the next one has its turn, and the late write is refused."""
    account = await world.account()
    monkeypatch.setattr(triggers, "_IDLE_MS", 300)
    one = await new_write(world, account, puts={"n": (b"late", None)})
    async with another(world) as second, world.store.triggers.turn([account.id]) as hanging:
        async with second.store.triggers.turn([account.id]) as turn:
            quick = await new_write(world, account, puts={"n": (b"1", None)})
            assert await turn.write([quick], world.epoch) == [Accepted()]
        with pytest.raises(Unavailable):
            await hanging.write([one], world.epoch)
    assert (await read(world, account, "n")).values == {"n": b"1"}


async def test_a_turn_is_not_waited_for_without_bound(world: World, monkeypatch: pytest.MonkeyPatch):
    """Who has waited too long is told that the store cannot be had, and may come again."""
    account = await world.account()
    monkeypatch.setattr(triggers, "_WAIT_MS", 100)
    async with another(world) as second, world.store.triggers.turn([account.id]):
        with pytest.raises(Unavailable) as refused:
            async with second.store.triggers.turn([account.id]):
                raise AssertionError
    assert refused.value.code == "store_unavailable"
    async with world.store.triggers.turn([account.id]) as turn:
        assert turn.held == {account.id}
