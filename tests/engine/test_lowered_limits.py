"""A webhook whose limit is lowered below what it has under way: its backlog goes on all the same."""

import asyncio
from pathlib import Path

from tests.engine.walk import SYSTEM, walk
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tocsin.control.webhook_bodies import WebhookPatch

PATH = "/hook"


def test_a_backlog_goes_on_after_the_limit_was_lowered(tmp_path: Path, receiver: LedgerReceiver):
    """What is stored while three attempts are under way and one is allowed is sent, one at a time, once they end."""
    receiver.script(PATH, *[Answer(after_s=0.4)] * 3, Answer())

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH), max_in_flight=3) as one:
            for _ in range(3):
                await one.publish()
            while receiver.in_flight(PATH) < 3:
                await asyncio.sleep(0.003)
            patch = WebhookPatch(max_in_flight=1)
            await one.app.control.webhooks.change(SYSTEM, one.account_id, one.webhook_id, patch)
            await one.app.directory.view(one.account_id)
            # While the lane asks the store what waits for it, events are stored, not handed over.
            one.app.dispatcher.lane_settings.webhook_changed(await one.webhook())
            await asyncio.gather(*(one.publish() for _ in range(20)))
            await asyncio.to_thread(receiver.wait_for, PATH, 23)

    asyncio.run(scenario())
    assert set(receiver.counts(PATH).values()) == {1}
