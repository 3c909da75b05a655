"""Counts activities of three accounts in the store named, until it is killed; prints what it was answered. See
test_trigger_crashes.
"""

import asyncio
import json
import sys
from pathlib import Path

from tests.store.test_triggers import new_activity, read
from tests.store.world import World
from tocsin.clock import Millis
from tocsin.store.port import Accepted, TriggerWrite


async def feed(world: World) -> None:
    accounts = [await world.account() for _ in range(3)]
    webhooks = [await world.webhook(account) for account in accounts]
    for i in range(40):
        writes = []
        for account, webhook in zip(accounts, webhooks, strict=True):
            found = await read(world, account, "n")
            n = int(found.values["n"] or b"0") + 2
            writes.append(
                TriggerWrite(
                    account_id=account.id,
                    version=found.version,
                    config_version=webhook.from_config,
                    activities=tuple(new_activity(world, external_id=f"a{i}.{j}", data=b"x" * 2_000) for j in range(2)),
                    puts={"n": (b"%d" % n, None), f"visitor:{i}": (b"1", Millis(world.now + 10**9))},
                    drops=frozenset({f"visitor:{i - 1}"}),
                    timers={"next": Millis(n)},
                    events=(await world.new_event(account, webhook, claimed=True),),
                )
            )
        answers = await world.store.triggers.write(writes, world.epoch)
        assert answers == [Accepted()] * 3
        sys.stdout.write(json.dumps({"counted": 2 * i + 2}) + "\n")
        sys.stdout.flush()
    await asyncio.sleep(60)


async def main() -> None:
    async with World(sys.argv[1], Path(sys.argv[2])) as world:
        await feed(world)


asyncio.run(main())
