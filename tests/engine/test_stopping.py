"""A stop waits for what is under way, whoever asked for it."""

import asyncio
from pathlib import Path

from tests.engine.walk import walk
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tocsin.app import open_app
from tocsin.model import DeliveryState


def test_a_retry_by_hand_ends_before_the_process(tmp_path: Path, receiver: LedgerReceiver):
    """Its outcome is there after the next start, and nothing is sent again."""

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url("/"), settings={"drain_s": 10}) as one:
            receiver.script("/", Answer(500), Answer(after_s=0.3))
            receipt = await one.publish()
            delivery = await one.settled(1, receipt)
            asked = asyncio.create_task(one.app.manual.retry_now(one.account_id, delivery.id))
            while len(receiver.arrivals("/")) < 2:
                await asyncio.sleep(0.003)
            await one.app.close()
            assert (await asked).outcome.ok
            one.app = await open_app(one.app.settings, one.clock)
            ended = await one.delivery(receipt)
            assert (ended.state, ended.attempts) == (DeliveryState.SUCCEEDED, 2)
            one.advance(3_600)
            await one.cared_for()
            assert len(receiver.arrivals("/")) == 2

    asyncio.run(scenario())
