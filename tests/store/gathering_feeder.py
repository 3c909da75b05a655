"""Feeds and gathers in the store named, in the directory named, until it is killed. See test_gathering_crashes."""

import asyncio
import json
import sys
from pathlib import Path

from tests.store import gatherer
from tests.store.world import World
from tocsin.model import Account, DeliveryState, Webhook


def tell(**what: list[int]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def feed(world: World, account: Account, webhook: Webhook) -> None:
    for i in range(10_000):
        events = [await world.new_event(account, webhook) for _ in range(5)]
        await world.ingest(*events)
        tell(accepted=[event.deliveries[0].id for event in events])
        claimed = await world.claim(webhook, 7)
        sending = await gatherer.gather(world, account, webhook, claimed)
        if claimed and not sending:
            tell(gathered=[one.id for one in claimed])
        fate = DeliveryState.RETRYING if i % 3 == 0 else DeliveryState.SUCCEEDED
        await gatherer.send(world, sending, lambda _, fate=fate: fate)  # type: ignore[misc]
        if fate is DeliveryState.SUCCEEDED:
            tell(sent=[one.id for one in sending])
        world.clock.advance(0.7)


async def main() -> None:
    async with World(sys.argv[1], Path(sys.argv[2])) as world:
        account = await world.account()
        await feed(world, account, await world.webhook(account))


asyncio.run(main())
