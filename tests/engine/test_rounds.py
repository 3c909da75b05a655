"""What is done once: by the chief only, all that has come about meanwhile when it becomes that, and nothing twice."""

import asyncio
from pathlib import Path

from tests.engine.walk import SYSTEM, Walk, walk
from tests.support.mail import MailHost
from tests.support.receiver import LedgerReceiver
from tocsin.control.webhook_bodies import NewWebhook
from tocsin.engine.departures import INLINE_DELIVERIES
from tocsin.store.port import EventFilter, Page

DAY_S = 86_400


async def _again(one: Walk) -> None:
    """It is no longer the chief, and then once more."""
    await one.app.rounds.stop()
    assert not one.app.rounds.running
    one.app.rounds.start()
    one.app.rounds.start()  # nothing: they run
    assert one.app.rounds.running


async def _summaries(one: Walk) -> int:
    where = EventFilter(type="daily_summary")
    return len((await one.app.store.records.events(one.account_id, where, Page(limit=100)))[0])


async def _told_all(one: Walk) -> bool:
    return not await one.notices()


def test_timers_are_run_by_the_chief(tmp_path: Path, receiver: LedgerReceiver):
    """A midnight that passes while nobody is the chief has its summary when somebody becomes it, and one only."""

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url("/"), "clickdefender") as one:
            await one.app.openings.settled()
            await one.app.rounds.stop()
            one.advance(DAY_S)
            await asyncio.sleep(0.05)
            assert await _summaries(one) == 0
            for _ in range(2):
                await _again(one)
                await one.until(lambda: _summaries(one))
                await one.app.timers.run_due()
                assert await _summaries(one) == 1

    asyncio.run(scenario())


def test_jobs_are_worked_off_by_the_chief(tmp_path: Path, receiver: LedgerReceiver):
    """An event with very many webhooks waits for the chief, and each of them gets it once."""

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url("/")) as one:
            for n in range(INLINE_DELIVERIES):
                new = NewWebhook(url=receiver.url(f"/{n}"), events=(one.type,))
                await one.app.control.webhooks.create(SYSTEM, one.account_id, new)
            await one.app.rounds.stop()
            await one.publish()
            await asyncio.sleep(0.05)
            assert await one.deliveries() == []
            for _ in range(2):
                await _again(one)
                await one.until(one.deliveries)
                await asyncio.sleep(0.05)
                assert len(await one.deliveries()) == INLINE_DELIVERIES + 1

    asyncio.run(scenario())


def test_notices_are_sent_by_the_chief(tmp_path: Path, receiver: LedgerReceiver):
    """The owner of a webhook is told by one mail, once there is somebody to send it."""

    async def scenario(host: MailHost) -> None:
        async with walk(tmp_path, receiver.url("/"), settings={"smtp_url": host.url()}) as one:
            await one.app.rounds.stop()
            one.app.caretaker.disable(await one.webhook(), "the chat is gone")
            await one.cared_for()
            await asyncio.sleep(0.05)
            assert (host.mails, await one.notices()) == ([], 1)
            for _ in range(2):
                await _again(one)
                await one.until(lambda: _told_all(one))
                assert len(host.mails) == 1

    with MailHost() as host:
        asyncio.run(scenario(host))
