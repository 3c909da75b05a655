"""Processes on one database: they share out what there is, hand it over, and lose it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.engine.cluster.house import Gate, house
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer, Hang
from tocsin.app import App
from tocsin.errors import Unavailable
from tocsin.model import DeliveryState
from tocsin.shards import ALL, CHIEF, SHARDS

PATH = "/hook"


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


def held(*apps: App) -> list[frozenset[int]]:
    for app in apps:
        assert app.tenure.shards == app.dispatcher.shards
    return [app.tenure.shards for app in apps]


def logged(caplog: pytest.LogCaptureFixture, event: str) -> int:
    return sum(record.getMessage() == event for record in caplog.records)


# --- sharing out ----------------------------------------------------------------------------------------------------


def test_shards_are_shared_out_fairly(tmp_path: Path):
    """One process has all; each that joins gets its share, each that ends gives it back; one chief at all times."""

    async def scenario() -> None:
        async with house(tmp_path, "all") as one:
            first = one.apps[0]
            assert held(first) == [ALL]
            for number in (2, 3):
                await one.open("worker")
                await one.shared_out()
                shares = held(*one.apps)
                assert sorted(map(len, shares)) == sorted(
                    SHARDS // number + (place < SHARDS % number) for place in range(number)
                )
                assert frozenset().union(*shares) == ALL
                assert [app.rounds.running for app in one.apps] == [True] + [False] * (number - 1)
                assert CHIEF in first.tenure.shards
            await one.close(one.apps[1])
            await one.shared_out()
            shares = held(first, one.apps[2])
            assert sorted(map(len, shares)) == [SHARDS // 2, SHARDS // 2]
            assert frozenset().union(*shares) == ALL

    run(scenario)


def test_who_only_answers_requests_has_no_shards(tmp_path: Path, receiver: LedgerReceiver):
    """What it takes in is sent by the worker, who is told of it at once; without a worker it waits, and is not lost."""

    async def scenario() -> None:
        async with house(tmp_path, "api", "worker") as one:
            api, worker = one.apps
            assert held(api, worker) == [frozenset(), ALL]
            await one.hook(receiver.url(PATH), worker)
            for _ in range(20):
                await one.publish(api)
            await one.succeeded(20)
            await one.close(worker)
            for _ in range(5):
                await one.publish(api)
            assert (await one.states())[DeliveryState.PENDING] == 5
            await one.open("worker")
            await one.succeeded(25)

    run(scenario)
    assert set(receiver.counts(PATH).values()) == {1}


def test_the_end_of_the_chief_makes_another_one(tmp_path: Path):
    """What is done once goes on in another process, and in one only, whether the first one said goodbye or not."""

    async def scenario() -> None:
        async with house(tmp_path, "all", "all", "all") as one:
            first, second, third = one.apps
            await one.close(first)
            await one.shared_out()
            assert sorted(app.rounds.running for app in (second, third)) == [False, True]
            chief = next(app for app in (second, third) if app.rounds.running)
            other = second if chief is third else third
            one.freeze(chief)
            await one.outlive()
            assert held(other) == [ALL]
            assert other.rounds.running
            one.thaw(chief)
            await one.shared_out()
            assert (chief.rounds.running, other.rounds.running) == (False, True)

    run(scenario)


# --- handing over ---------------------------------------------------------------------------------------------------


def test_nothing_is_lost_or_sent_twice_while_shards_move(tmp_path: Path, receiver: LedgerReceiver):
    """Events come in at two processes, to webhooks in all shards, while others come and go."""
    receiver.script(PATH, lambda _: Answer(after_s=0.02))

    async def scenario() -> None:
        async with house(tmp_path, "all", "all") as one:
            for place in range(6):
                await one.hook(receiver.url(f"{PATH}{place}"), one.apps[place % 2])
            accepted = 0

            async def publish(app: App, rounds: int) -> None:
                nonlocal accepted
                for _ in range(rounds):
                    await one.publish(app)
                    accepted += 1
                    await asyncio.sleep(0.01)

            publishing = [asyncio.create_task(publish(app, 15)) for app in one.apps]
            third = await one.open("worker")
            await one.shared_out()
            await one.open("worker")
            await one.shared_out()
            await one.close(third)
            await one.shared_out()
            await asyncio.gather(*publishing)
            await one.succeeded(6 * accepted)

    run(scenario)
    for place in range(6):
        counts = receiver.counts(f"{PATH}{place}")
        assert (len(counts), set(counts.values())) == (30, {1})


def test_an_attempt_under_way_keeps_its_shard(tmp_path: Path, receiver: LedgerReceiver):
    """A shard is given away once what is under way has ended and is written down; others go meanwhile."""
    gate = Gate()
    receiver.script(PATH, gate, Answer())

    async def scenario() -> None:
        async with house(tmp_path, "all") as one:
            first = one.apps[0]
            webhook = await one.hook(receiver.url(PATH), first)
            await one.publish(first)
            await one.until(lambda: receiver.in_flight(PATH) == 1)
            second = await one.open("worker")
            first.membership._surplus = lambda number: frozenset({webhook.shard, *range(1, 100)})  # type: ignore[method-assign]
            await first.membership.beat()
            await one.publish(first)
            await one.until(lambda: len(first.dispatcher.shards) <= 200)
            await asyncio.sleep(0.1)
            await second.membership.beat()
            await second.membership.settled()
            assert webhook.shard not in first.dispatcher.shards | second.dispatcher.shards
            assert receiver.in_flight(PATH) == 1
            gate.open()
            await first.membership.settled()
            del first.membership._surplus
            await second.membership.beat()
            await second.membership.settled()
            assert webhook.shard in second.dispatcher.shards
            await one.succeeded(2)

    run(scenario)
    assert set(receiver.counts(PATH).values()) == {1}


def test_a_rate_holds_while_its_shard_moves(tmp_path: Path, receiver: LedgerReceiver):
    """Two a second, and no more in any second, also in the one in which another process takes over."""

    async def scenario() -> list[int]:
        async with house(tmp_path, "all") as one:
            first = one.apps[0]
            webhook = await one.hook(receiver.url(PATH), first, rate_limit=2.0)
            for _ in range(14):
                await one.publish(first)
            arrived: list[int] = []

            async def pass_time() -> None:
                for _ in range(10):
                    one.clock.advance(0.1)
                    for app in one.alive:
                        app.dispatcher.tick()
                    await asyncio.sleep(0.03)
                    await one.until(lambda: not any(app.dispatcher.in_flight for app in one.alive))
                    arrived.append(len(receiver.counts(PATH)))

            await pass_time()
            await pass_time()
            second = await one.open("worker")
            first.membership._surplus = lambda number: frozenset({webhook.shard})  # type: ignore[method-assign]
            await one.beat()
            await second.membership.beat()
            await second.membership.settled()
            assert webhook.shard in second.tenure.shards
            del first.membership._surplus
            for _ in range(5):
                await pass_time()
            await one.close(second)
            await one.shared_out()
            for _ in range(4):
                await pass_time()
            return arrived

    found = asyncio.run(scenario())
    assert found[-1] == 14
    most = max(after - before for before, after in zip(found, found[10:], strict=False))
    assert most == 2


# --- losing ---------------------------------------------------------------------------------------------------------


def test_a_late_outcome_is_refused(tmp_path: Path, receiver: LedgerReceiver, caplog: pytest.LogCaptureFixture):
    """A process is taken for dead while its attempt is under way; another makes it again and its outcome counts. The
    late one is refused, logged and counted, and begins no run of failures; the process begins anew, gets shards again,
    and sends.
    """
    gate = Gate(500)
    receiver.script(PATH, gate, Answer())
    caplog.set_level(logging.INFO, logger="tocsin")

    async def scenario() -> None:
        async with house(tmp_path, "all", "all") as one:
            first, second = one.apps
            webhook = await one.hook(receiver.url(PATH), second)
            receipt = await one.publish(first)
            await one.until(lambda: receiver.in_flight(PATH) == 1)
            former = second.tenure.epoch
            one.freeze(second)
            await one.outlive()
            assert webhook.shard in first.tenure.shards
            await one.succeeded(1)
            attempts = (await one.deliveries())[0].attempts
            one.thaw(second)
            await one.shared_out()
            assert second.tenure.epoch > former
            assert second.tenure.shards
            assert second.metrics.tenures_lost == 1
            gate.open()
            await one.until(lambda: not second.dispatcher.in_flight and not second.settler.waiting)
            assert second.metrics.outcomes_refused == 1
            assert (await one.deliveries())[0].attempts == attempts == 1
            assert receipt.matched == 1
            await second.caretaker.settled()
            assert await first.store.journal.lanes(0, 10) == []
            other = await one.hook(receiver.url("/other"), second)
            await one.publish(second)
            await one.succeeded(3)
            assert other.shard in second.tenure.shards

    run(scenario)
    assert sorted(receiver.counts(PATH).values()) == [1, 2]
    assert logged(caplog, "outcomes_refused") == logged(caplog, "tenure_lost") == 1


def test_nothing_is_begun_after_a_lease(tmp_path: Path, receiver: LedgerReceiver):
    """A process that could not beat within its lease begins nothing, whatever comes in; a beat that is answered ends
    that, where nobody has taken over.
    """

    async def scenario() -> None:
        async with house(tmp_path, "all") as one:
            only = one.apps[0]
            await one.hook(receiver.url(PATH), only)
            await one.publish(only)
            await one.succeeded(1)
            one.freeze(only)
            one.clock.advance(6.5)
            for _ in range(5):
                await one.publish(only)
            only.dispatcher.tick()
            await asyncio.sleep(0.1)
            assert (await one.states())[DeliveryState.PENDING] == 5
            assert len(receiver.counts(PATH)) == 1
            one.thaw(only)
            await one.beat()
            await one.succeeded(6)

    run(scenario)


def test_what_is_in_memory_after_a_lease_waits(tmp_path: Path, receiver: LedgerReceiver):
    """Also what was claimed before is not begun after it, and what was claimed by a process that is dead is sent by
    another once.
    """
    receiver.script(PATH, lambda _: Answer(after_s=0.2))

    async def scenario() -> None:
        async with house(tmp_path, "all", "all") as one:
            first, second = one.apps
            await one.hook(receiver.url(PATH), second, max_in_flight=1)
            for _ in range(5):
                await one.publish(second)
            await one.until(lambda: second.dispatcher.held > 0)
            one.freeze(second)
            one.clock.advance(6.5)
            await first.membership.beat()
            await one.until(lambda: not second.dispatcher.in_flight)
            begun = len(receiver.counts(PATH))
            assert begun < 5
            await asyncio.sleep(0.3)
            assert len(receiver.counts(PATH)) == begun
            await one.outlive()
            await one.succeeded(5)
            one.thaw(second)
            await one.shared_out()

    run(scenario)
    assert set(receiver.counts(PATH).values()) == {1}


def test_events_are_refused_until_a_process_has_joined_anew(tmp_path: Path, receiver: LedgerReceiver):
    """Who is no longer there takes nothing: 503, nothing is written and no place stays taken; then all goes on."""

    async def scenario() -> None:
        async with house(tmp_path, "all", "all") as one:
            first, second = one.apps
            webhook = await one.hook(receiver.url(PATH), second)
            await one.publish(second)
            await one.succeeded(1)
            one.freeze(second)
            await one.outlive()
            for _ in range(3):
                with pytest.raises(Unavailable) as refused:
                    await one.publish(second)
                assert refused.value.code == "not_owner"
            assert len(await one.deliveries()) == 1
            one.thaw(second)
            await one.shared_out()
            for app in one.apps:
                await one.publish(app)
            await one.succeeded(3)
            for app in (first, second):
                lane = app.dispatcher._holdings.get(webhook.id)
                assert lane is None or lane.reserved == 0

    run(scenario)
    assert set(receiver.counts(PATH).values()) == {1}


def test_a_stop_gives_shards_as_they_become_free(tmp_path: Path, receiver: LedgerReceiver):
    """While one attempt still hangs, the other shards of a process that ends are another's already; what is cut off is
    sent by that one.
    """
    receiver.script(PATH, Hang(), Answer())

    async def scenario() -> None:
        async with house(tmp_path, "all", "all") as one:
            first, second = one.apps
            webhook = await one.hook(receiver.url(PATH), second)
            await one.publish(first)
            await one.until(lambda: receiver.in_flight(PATH) == 1)
            closing = asyncio.create_task(one.close(second))
            await one.until(lambda: len(second.dispatcher.shards) == 0)
            await asyncio.sleep(0.2)
            await one.beat(2)
            assert held(first) == [ALL - {webhook.shard}]
            await closing
            await one.beat(2)
            assert held(first) == [ALL]
            await one.succeeded(1)

    run(scenario)
