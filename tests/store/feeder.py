"""Feeds the store named, in the directory named, until it is killed; prints what it was answered. See test_crashes."""

import asyncio
import json
import sys
from pathlib import Path

from tests.store.world import World


def tell(**what: int) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def feed(world: World) -> None:
    account = await world.account()
    webhooks = [await world.webhook(account) for _ in range(2)]
    for i in range(30):
        events = [
            await world.new_event(account, *webhooks, claimed=True, external_id=f"e{i}.{j}", data=b"x" * 500 * j)
            for j in range(10)
        ]
        await world.ingest(*events)
        for event in events:
            tell(accepted=event.id)
        done = [event.deliveries[0].id for event in events[::2]]
        await world.settle(*(world.settlement(id_) for id_ in done))
        for id_ in done:
            tell(settled=id_)
    await asyncio.sleep(60)


async def main() -> None:
    async with World(sys.argv[1], Path(sys.argv[2])) as world:
        await feed(world)


asyncio.run(main())
