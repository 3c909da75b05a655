"""How fast an installation is moved from SQLite to PostgreSQL: rows a second, memory, and how long the server is down.

A file is filled through the store with events of 600 bytes, each with an external id, a visitor, a delivery and an
attempt, over five weeks. Then `tocsin migrate --from … --to …` is run as a user would, first beside a lock that stands
for the server, then alone.
"""

import asyncio
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import ROOT, arguments, say
from tests.store.moving.filling import KEY, begin
from tests.store.test_triggers import new_activity, new_write
from tests.store.world import World
from tests.support.postgres import drop, empty_database
from tocsin.store.port import Accepted
from tocsin.store.sqlite.lock import FileLock

_BATCH = 1_000
_DATA = b'{"note":"' + b"n" * 589 + b'"}'


async def fill(folder: Path, events: int, accounts: int) -> None:
    async with World("sqlite", folder) as world:
        await begin(world)
        made = [await world.account() for _ in range(accounts)]
        hooks = [await world.webhook(account) for account in made]
        for n in range(0, events, _BATCH):
            batch = []
            for i in range(n, n + _BATCH):
                account, hook = made[i % accounts], hooks[i % accounts]
                event = {"external_id": f"order-{i}", "visitor_id": f"visitor-{i % 90_000}", "data": _DATA}
                batch.append(await world.new_event(account, hook, claimed=True, config_version=2, **event))
            assert await world.ingest(*batch) == [Accepted()] * _BATCH
            await world.settle(*(world.settlement(event.deliveries[0].id) for event in batch))
            world.clock.advance(35 * 86_400 * _BATCH / events)
        for account in made[:100]:
            clicks = tuple(new_activity(world, external_id=f"c{i}", data=_DATA) for i in range(events // 1_000))
            puts = {f"visitor:{i}": (b"v" * 60, None) for i in range(events // 1_000)}
            await world.store.triggers.write(
                [await new_write(world, account, activities=clicks, puts=puts)], world.epoch
            )
    (folder / "tocsin.db.key").write_bytes(KEY)
    (folder / "tocsin.db.key").chmod(0o600)


def run(folder: Path, url: str) -> float:
    began = time.monotonic()
    command = [sys.executable, "-m", "tocsin", "migrate", "--from", f"sqlite:///{folder / 'tocsin.db'}"]
    subprocess.run(command, env={**os.environ, "TOCSIN_DB": url}, check=False)
    return time.monotonic() - began


def main() -> None:
    given = arguments(__doc__, events=(1_000_000, "events in the file"), accounts=(10_000, "accounts"))
    folder = Path(tempfile.gettempdir()) / "tocsin-bench" / f"moving-{given.events}-{given.accounts}"
    if not (folder / "tocsin.db.key").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        asyncio.run(fill(folder, given.events, given.accounts))
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        for file in folder.glob("tocsin.db*"):
            shutil.copy2(file, work / file.name)
        url = asyncio.run(empty_database(work))
        server = FileLock(work / "tocsin.db")
        beside_s = run(work, url)
        server.release()
        alone_s = run(work, url)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
        say(f"beside the server {beside_s:.1f} s, with the server stopped {alone_s:.1f} s, at most {peak} MiB")
        asyncio.run(drop(work))


if __name__ == "__main__":
    assert ROOT
    main()
