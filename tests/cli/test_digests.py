"""Digests through the command line."""

import asyncio
import time
from pathlib import Path

from tests.cli.conftest import Terminal
from tests.store.gathering import digest, fold
from tests.store.world import ALL, World
from tests.support.server import Server
from tocsin import ids
from tocsin.clock import Millis


async def gather(folder: Path) -> str:
    """Folds two of what waits into a digest, while no server has the file open; its id."""
    world = World("sqlite", folder)
    world.clock.advance(time.time() + 60 - world.now / 1000)
    async with world:
        (account,) = await world.store.accounts.list(ALL)
        (webhook,) = await world.store.webhooks.list(account.id, ALL)
        claimed = [one.id for one in await world.claim(webhook, 2)]
        due = Millis(world.now + 3_600_000)
        one = await fold(world, account, webhook, digest(world, 2, due_at=due), *claimed)
        return ids.show("dig_", one.delivery_id)


def test_digests_and_their_members(tmp_path: Path) -> None:
    """Lists say what was folded into what, and of how many a digest is; members are listed by it."""
    with Server(tmp_path / "server") as server:
        shop = server.operator.shop()
        owner = Terminal(tmp_path, url=server.url, key=shop.key or "")
        hook = shop.webhook("http://127.0.0.1:9999/hooks")["id"]
        assert "digest" not in owner.ok("deliveries", "list").out
        shop.post(f"/v1/webhooks/{hook}/mute", {"hours": 24})
        events = [shop.publish()["id"] for _ in range(3)]
        server.stop()
        folded = asyncio.run(gather(tmp_path / "server"))
        server.start()
        owner = Terminal(tmp_path, url=server.url, key=shop.key or "")
        listed = owner("deliveries", "list", "--limit", 10).out
        assert folded in listed
        members = owner.json("deliveries", "list", "--digest", folded)
        assert [(one["status"], one["digest_id"], one["event_id"]) for one in members] == [
            ("digested", folded, events[1]),
            ("digested", folded, events[0]),
        ]
        shown = owner.ok("deliveries", "show", members[0]["id"]).out
        assert f"{folded} (pending)" in shown
        shown = owner.ok("deliveries", "show", folded).out
        assert f"2: tocsin deliveries list --digest {folded}" in shown
        assert folded in owner.ok("events", "show", events[0]).out
        assert owner.json("deliveries", "cancel", folded)["status"] == "cancelled"
        assert f"{folded} (cancelled)" in owner.ok("deliveries", "show", members[0]["id"]).out
