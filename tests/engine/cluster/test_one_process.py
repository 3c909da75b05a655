"""A process that is alone on its database, as on SQLite: it has everything, and can lose it all the same."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.engine.walk import walk
from tests.support.receiver import LedgerReceiver
from tocsin.clock import Millis
from tocsin.engine.cluster import membership
from tocsin.errors import Unavailable
from tocsin.model import DeliveryState, WebhookId
from tocsin.shards import ALL, CHIEF, SHARDS

PATH = "/hook"


def test_its_tenure_does_not_end(tmp_path: Path, receiver: LedgerReceiver):
    """Nobody could take over, so nothing depends on its beats."""

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH)) as one:
            assert one.app.tenure.shards == one.app.dispatcher.shards == ALL
            assert one.app.rounds.running
            one.advance(86_400)
            await one.publish()
            assert (await one.settled(1)).state is DeliveryState.SUCCEEDED

    asyncio.run(scenario())


def test_a_second_one_puts_the_first_out(tmp_path: Path, receiver: LedgerReceiver):
    """Where somebody else has joined after all, the first one's writes are refused until it has joined anew; then it
    goes on with what waits.
    """

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH)) as one:
            now = one.clock.now_ms()
            await one.app.store.cluster.join(name="another", sends=True, now=now, bury_before=now)
            with pytest.raises(Unavailable) as refused:
                await one.publish()
            assert refused.value.code == "not_owner"
            former = one.app.tenure.epoch
            await one.app.membership.beat()
            await one.app.membership.settled()
            assert one.app.tenure.epoch > former
            assert one.app.rounds.running
            receipt = await one.publish()
            assert (await one.settled(1, receipt)).state is DeliveryState.SUCCEEDED

    asyncio.run(scenario())


def test_what_is_being_committed_when_it_is_put_out(tmp_path: Path, receiver: LedgerReceiver):
    """An event whose commit is under way then is refused; one that waits behind it is taken under the new epoch, and
    sent once. No place stays taken.
    """

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH)) as one:
            lane = one.app.dispatcher._holdings[one.webhook_id]
            async with asyncio.timeout(10):
                while lane.claiming or lane.next_due is not None:  # a new webhook's lane asks the store once
                    await asyncio.sleep(0.005)
            journal, reached, goes_on = one.app.store.journal, asyncio.Event(), asyncio.Event()
            ingest = journal.ingest

            async def slow(events, epoch):  # type: ignore[no-untyped-def]
                reached.set()
                await goes_on.wait()
                return await ingest(events, epoch)

            journal.ingest = slow  # type: ignore[method-assign]
            try:
                refused = asyncio.create_task(one.publish(name="refused"))
                await reached.wait()
                taken = asyncio.create_task(one.publish(name="taken"))
                async with asyncio.timeout(10):
                    while one.app.dispatcher._holdings[one.webhook_id].reserved < 2:
                        await asyncio.sleep(0.005)
                now = one.clock.now_ms()
                await one.app.store.cluster.join(name="another", sends=True, now=now, bury_before=now)
                await one.app.membership.beat()
                await one.app.membership.settled()
            finally:
                goes_on.set()
            with pytest.raises(Unavailable):
                await refused
            assert (await one.settled(1, await taken)).state is DeliveryState.SUCCEEDED
            assert (await one.settled(1, await one.publish(name="later"))).state is DeliveryState.SUCCEEDED
            assert one.app.dispatcher._holdings[one.webhook_id].reserved == 0

    asyncio.run(scenario())
    assert sorted(receiver.counts(PATH).values()) == [1, 1]


def test_what_was_stored_behind_its_back_is_found(tmp_path: Path, receiver: LedgerReceiver):
    """A delivery that waits although nobody was told of it, as after a commit that was taken for failed."""

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH)) as one:
            told, one.app.dispatcher.stored = one.app.dispatcher.stored, lambda *_: None  # type: ignore[method-assign]
            one.app.dispatcher.reserve = lambda *_: False  # type: ignore[method-assign]
            await one.publish()
            one.app.dispatcher.stored = told  # type: ignore[method-assign]
            one.advance(60)
            await asyncio.sleep(0.05)
            assert receiver.arrivals(PATH) == []
            await one.app.dispatcher.backlogs.look()
            assert (await one.settled(1)).state is DeliveryState.SUCCEEDED

    asyncio.run(scenario())


def test_beats_that_are_not_answered_are_sent_again(
    tmp_path: Path, receiver: LedgerReceiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """A store that hangs holds up no beat for longer than its time limit; it is said once that it does, and once that
    it no longer does.
    """
    caplog.set_level(logging.INFO, logger="tocsin.engine.cluster.membership")
    for name, seconds in (("BEAT_S", 0.02), ("_BEAT_LIMIT_S", 0.02), ("_AGAIN_S", 0.01)):
        monkeypatch.setattr(membership, name, seconds)
    hangs = asyncio.Event()

    def said(event: str) -> int:
        return sum(record.getMessage() == event for record in caplog.records)

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH)) as one:
            cluster = one.app.store.cluster
            beat = cluster.beat

            async def slow(*args: Any, **more: Any) -> Any:
                if hangs.is_set():
                    await asyncio.sleep(60)
                return await beat(*args, **more)

            cluster.beat = slow  # type: ignore[method-assign]
            hangs.set()

            async def unanswered() -> bool:
                return one.app.metrics.beats.get("unanswered", 0) >= 3

            await one.until(unanswered)
            assert (said("beat_unanswered"), said("beat_answered")) == (1, 0)
            hangs.clear()

            async def answered() -> bool:
                return said("beat_answered") == 1

            monkeypatch.setattr(membership, "_BEAT_LIMIT_S", 5.0)
            await one.until(answered)
            assert said("beat_unanswered") == 1

    asyncio.run(scenario())


def test_what_is_given_away_is_a_fair_part_of_the_work(tmp_path: Path, receiver: LedgerReceiver):
    """Of the shards with something to do another process is given as many as of those without, never the first one."""

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH)) as one:
            holdings, epoch = one.app.dispatcher._holdings, one.app.tenure.epoch
            busy = range(10, 50)
            for shard in busy:
                lane = holdings.lane(WebhookId(shard), one.account_id, shard, epoch)
                lane.next_due = Millis(1 << 60)
            given = one.app.membership._surplus(SHARDS // 2)
            assert len(given) == SHARDS // 2
            assert CHIEF not in given
            assert 18 <= len(given & set(busy)) <= 22
            assert one.app.membership._surplus(1_000) == ALL - {CHIEF}
            assert one.app.membership._surplus(-3) == frozenset()

    asyncio.run(scenario())
