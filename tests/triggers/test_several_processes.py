"""Several processes that take activity for the same accounts, on one database: each counts once and fires once."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from tests.store.world import World, forget
from tests.triggers.branch import Branch, branches
from tests.triggers.house import item
from tocsin.clock import Millis
from tocsin.engine.activity.activities import NewItem, Taken
from tocsin.model import Account, AccountId
from tocsin.store.port import EventFilter, NewActivity, Page
from tocsin.triggers import rules
from tocsin.triggers.activity import Activity, Kind
from tocsin.triggers.context import Context

HOUR = 3_600_000
CAP = 150


class Count(msgspec.Struct, frozen=True):
    n: int = 0


class Tally:
    """How often anything was decided, in vain or not."""

    decided = 0

    def count(self, ctx: Context, activity: Activity) -> None:
        """Counts, by whoever posted it too, and fires when the cap is reached."""
        self.decided += 1
        for key in ("total", f"of:{activity.data['by']}"):
            n = (ctx.state.get(key, Count) or Count()).n + 1
            ctx.state.put(key, Count(n))
            if (key, n) == ("total", CAP):
                ctx.occur("cap", activity.at, {"n": n})


@pytest.fixture
def tally(monkeypatch: pytest.MonkeyPatch) -> Tally:
    tally = Tally()
    monkeypatch.setitem(rules.RULES, Kind.CLICK, (tally.count,))
    return tally


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    asyncio.run(forget("postgres", tmp_path))


@asynccontextmanager
async def opened(folder: Path, n: int) -> AsyncIterator[tuple[World, list[Branch]]]:
    async with World("postgres", folder) as world, branches(world, n, world.clock) as processes:
        for process in processes:
            process.fire({"cap": "cap.reached", "alert": "alert.threshold"})
        yield world, processes


async def post(process: Branch, account_id: AccountId, requests: Sequence[Sequence[NewItem]]) -> list[Taken]:
    """One request after the other, as fast as they are answered."""
    return [taken for request in requests for taken in await process.taken(account_id, *request)]


async def log_of(world: World, account: Account) -> Sequence[NewActivity]:
    return await world.store.triggers.activities(
        account.id, since=Millis(0), until=Millis(1 << 50), after=0, limit=100_000
    )


async def fired(world: World, account: Account) -> list[str]:
    rows, _ = await world.store.records.events(account.id, EventFilter(), Page(limit=250))
    return [row.type for row in rows]


@pytest.mark.parametrize("writers", [2, 4])
async def test_counters_of_an_account_that_all_write_are_exact(folder: Path, tally: Tally, writers: int):
    """Nothing is refused, lost or counted twice; the cap fires once; hardly anything is decided in vain."""
    async with opened(folder, writers) as (world, processes):
        account = await world.account()
        requests = [[[item(by=who)] * 5] * 40 for who in range(writers)]
        answers = await asyncio.gather(
            *(post(process, account.id, mine) for process, mine in zip(processes, requests, strict=True))
        )
        total = 200 * writers
        assert await processes[0].value(account.id, "total", Count) == Count(total)
        for who, process in enumerate(processes):
            assert await process.value(account.id, f"of:{who}", Count) == Count(200)
        ids = [taken.id for mine in answers for taken in mine]
        assert sorted(ids) == [row.id for row in await log_of(world, account)]
        assert len(set(ids)) == total
        assert await fired(world, account) == ["cap.reached"]
        assert tally.decided < 1.2 * total


async def test_one_that_decides_much_at_once_is_not_starved(folder: Path, tally: Tally):
    """Three processes that post single activities without pause are always quicker than a batch of hundreds."""
    async with opened(folder, 4) as (world, processes):
        account = await world.account()
        done = asyncio.Event()
        singles = 0

        async def keep_on(process: Branch) -> None:
            nonlocal singles
            while not done.is_set():
                await process.taken(account.id, item(by="quick"))
                singles += 1

        quick = [asyncio.create_task(keep_on(process)) for process in processes[1:]]
        for _ in range(5):
            await processes[0].taken(account.id, *(item(by="slow") for _ in range(800)))
        done.set()
        await asyncio.gather(*quick)
        assert await processes[0].value(account.id, "total", Count) == Count(4_000 + singles)
        assert singles > 0
        assert tally.decided < 4_000 + singles + 3 * 800


async def test_many_accounts_that_all_write_are_served_together(folder: Path, tally: Tally):
    """Accounts that are contested share turns, and those that another process holds are left for later."""
    async with opened(folder, 3) as (world, processes):
        accounts = [await world.account() for _ in range(12)]
        requests = [[item(by="x")] * 3] * 15
        await asyncio.gather(*(post(process, account.id, requests) for process in processes for account in accounts))
        for account in accounts:
            assert await processes[0].value(account.id, "total", Count) == Count(3 * 45)
        assert tally.decided < 3 * 3 * 45 * 12


async def test_an_account_that_is_waited_for_delays_no_other(folder: Path, tally: Tally):
    """Another process holds it; what is posted for others in the same request's time is answered meanwhile."""
    async with opened(folder, 2) as (world, (process, _)):
        held, other = await world.account(), await world.account()
        await process.taken(held.id, item(by="x"))
        async with world.store.triggers.turn([held.id]) as turn:
            assert turn.held == {held.id}
            waiting = asyncio.create_task(process.taken(held.id, item(by="x")))
            for _ in range(20):
                await process.taken(other.id, item(by="x"))
            assert not waiting.done()
            later = asyncio.create_task(process.taken(held.id, item(by="x")))
        await waiting
        await later
        assert await process.value(held.id, "total", Count) == Count(3)


async def test_it_is_decided_in_batches_again_when_nobody_else_writes(folder: Path, tally: Tally):
    """Turns cost a transaction each: they end with the contest."""
    async with opened(folder, 2) as (world, (process, other)):
        account = await world.account()
        await asyncio.gather(*(post(one, account.id, [[item(by="x")]] * 20) for one in (process, other)))
        contested = process.app.activities._contested
        assert contested.has(account.id)
        async with asyncio.timeout(20):
            while contested.has(account.id):  # the end of the last turn comes after its answers
                world.clock.advance(60)
                await asyncio.sleep(0.001)
        await process.taken(account.id, item(by="x"))
        assert not contested.has(account.id)
        assert await process.value(account.id, "total", Count) == Count(41)


def _ring(ctx: Context, name: str, due_at: Millis) -> None:
    ctx.occur("alert", due_at, {"name": name})
    if name.startswith("bell:daily"):
        ctx.state.set_timer(name, Millis(due_at + 24 * HOUR))


def _set(ctx: Context, activity: Activity) -> None:
    for n in range(activity.data["bells"]):
        kind = "daily" if n % 2 else "once"
        ctx.state.set_timer(f"bell:{kind}:{n}", Millis(activity.accepted_at + HOUR))


async def test_timers_that_two_processes_run_at_once_fire_once(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Daily ones once a day each, whoever comes first; what fell due in three days of standstill is made up for."""
    monkeypatch.setitem(rules.RULES, Kind.BILLING, (_set,))
    monkeypatch.setitem(rules.TICKS, "bell", _ring)
    async with opened(folder, 2) as (world, processes):
        accounts = [await world.account() for _ in range(10)]
        for account in accounts:
            await processes[0].taken(account.id, item(Kind.BILLING, bells=6))
        world.clock.advance(2 * 3600)
        await asyncio.gather(*(process.app.timers.run_due() for process in processes * 2))
        for account in accounts:
            assert await fired(world, account) == ["alert.threshold"] * 6
        world.clock.advance(3 * 24 * 3600)
        await asyncio.gather(*(process.app.timers.run_due() for process in processes * 2))
        for account in accounts:
            assert await fired(world, account) == ["alert.threshold"] * (6 + 3 * 3)
