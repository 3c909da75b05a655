"""Throughput over several processes on one PostgreSQL database, and what each of them spends on an event.

One process that does both, then one for the requests with 1, 2 and 4 workers. On a machine of few cores they, the
database and the load share these, so that the rate by the clock says little; processor time an event of each part says
what a core of it could do. All but the load are kept on the other cores than the load, unless there is only one.
"""

import asyncio
import base64
import contextlib
import os
import secrets
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import uvloop

from database import Database
from harness import EVENT_TYPE, LOAD_CORE, Server, arguments, latencies, row, say, scrape, take_load_core
from load import Load, Sink
from preload import Account, single_request
from profiling import Profile
from tests.support import postgres

_SETTLED_WITHIN_S = 120
_JOINED_WITHIN_S = 30
_SHARDS = 256


def main() -> None:
    args = arguments(
        __doc__,
        events=(5_000, "single posts at full load"),
        connections=(64, "publishers, each with one post under way"),
        accounts=(200, "accounts, each with a webhook"),
        workers=("0,1,2,4", "how many, one run after the other; 0: one process that does both"),
        seconds=(5.0, "how long the run at half load takes"),
        no_sync=(False, "commit without waiting for the disk, which many share here: then processors are the limit"),
        profile=(False, "then sample the process of the requests and one worker while it runs again"),
    )
    database = Database(**({"fsync": "off", "full_page_writes": "off"} if args.no_sync else {}))
    take_load_core()
    if (os.cpu_count() or 1) > 1:
        database.pin(_other_cores())
    for workers in map(int, args.workers.split(",")):
        with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
            uvloop.run(_run(args, Path(folder), database, workers))


def _other_cores() -> set[int]:
    return set(range(os.cpu_count() or 1)) - {LOAD_CORE} or {0}


async def _run(args: Namespace, folder: Path, database: Database, workers: int) -> None:
    sink = Sink()
    await sink.start()
    url = await postgres.database(folder)
    try:
        with _processes(folder, url, workers) as processes:
            bench = Bench(args, database, processes, sink)
            await bench.prepare()
            rate = await bench.at_full_load()
            await bench.at_half_load(rate / 2)
            if args.profile:
                await bench.profiled()
    finally:
        sink.stop()
        await postgres.drop(folder)


@contextlib.contextmanager
def _processes(folder: Path, url: str, workers: int) -> Iterator[list[Server]]:
    """The first one answers requests."""
    settings = {
        "db": url,
        "admin_key": f"tsn_{secrets.token_urlsafe(32)}",
        "secret_key": base64.b64encode(secrets.token_bytes(32)).decode(),
    }
    roles = ["api", *["worker"] * workers] if workers else ["all"]
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(Server(folder / f"{role}-{n}", cpus=_other_cores(), role=role, **settings))
            for n, role in enumerate(roles)
        ]


@dataclass(frozen=True)
class Spent:
    """Processor seconds so far."""

    api: float
    workers: Sequence[float]
    database: float
    load: float


class Bench:
    def __init__(self, args: Namespace, database: Database, processes: Sequence[Server], sink: Sink) -> None:
        self._args = args
        self._database = database
        self._processes = processes
        self._sink = sink
        self._requests: list[bytes] = []

    @property
    def _senders(self) -> Sequence[Server]:
        return self._processes[1:] or self._processes

    async def prepare(self) -> None:
        """Accounts, webhooks, and shards shared out."""
        operator = self._processes[0].operator

        def make(number: int) -> Account:
            shop = operator.shop(f"shop {number}")
            path = f"/w/{number}"
            hook = shop.webhook(f"http://127.0.0.1:{self._sink.port}{path}", [EVENT_TYPE])
            return Account(shop.id, shop.key or "", hook["id"], hook["secret"], path)

        with ThreadPoolExecutor(4) as pool:
            accounts = await asyncio.to_thread(lambda: list(pool.map(make, range(self._args.accounts))))
        self._requests = [single_request(account) for account in accounts]
        deadline = time.monotonic() + _JOINED_WITHIN_S
        fair = _SHARDS // len(self._senders)
        while self._processes[1:] and min(await self._each("tocsin_shards_held", self._senders)) < fair:
            if time.monotonic() > deadline:
                raise SystemExit("the shards were not shared out")
            await asyncio.sleep(0.2)
        await self._publish(self._load(len(accounts)))  # to warm up

    async def at_full_load(self) -> float:
        """Events a second."""
        load = self._load(self._args.events)
        before = self._spent()
        ended_at = await self._publish(load)
        after = self._spent()
        rate = load.total / (ended_at - load.began_at)
        say(f"\n{_name(self._processes)}: {load.total:,} single posts by {load.connections} publishers")
        row("accepted", f"{load.total / (load.ended_at - load.began_at):,.0f} /s")
        row("delivered and written down", f"{rate:,.0f} /s", "from the first post to the last outcome on disk")
        parts: list[tuple[str, float]] = [("the process of the requests", after.api - before.api)]
        if after.workers:
            each = [late - early for late, early in zip(after.workers, before.workers, strict=True)]
            parts.append((f"{len(each)} worker(s) together", sum(each)))
        parts += [("database", after.database - before.database), ("load and receiver", after.load - before.load)]
        for name, cpu_s in parts:
            cpu_us = cpu_s / load.total * 1e6
            row(f"  {name}", f"{cpu_us:,.0f} µs", f"an event: {1e6 / cpu_us:,.0f} /s a core")
        latencies("post to 202", load.latencies_s)
        self._receipts(load)
        return rate

    async def at_half_load(self, rate: float) -> None:
        load = self._load(max(100, int(rate * self._args.seconds)), rate)
        await self._publish(load)
        say(f"  at half of it: {rate:,.0f} posts a second for {self._args.seconds:g} s")
        latencies("post to 202", load.latencies_s)
        self._receipts(load)

    async def profiled(self) -> None:
        load = self._load(self._args.events * 2)
        profiles = [(server, Profile(server.pid)) for server in (*self._processes[:1], *self._processes[1:2])]
        await self._publish(load)
        for server, profile in profiles:
            say(f"\nwhere the time of {server.log.parent.name} goes ({load.total:,} events; sampling slows it)")
            say(profile.report())

    # --- the parts ------------------------------------------------------------------------------------------------

    def _load(self, total: int, rate: float | None = None) -> Load:
        return Load(self._requests, total=total, connections=self._args.connections, rate=rate)

    async def _publish(self, load: Load) -> float:
        """Publishes and waits until every delivery has ended and is written; when that was seen."""
        before = sum(await self._each("tocsin_deliveries_ended_total"))
        await load.run(self._processes[0].url)
        if set(load.statuses) != {b"202"}:
            raise SystemExit(f"refused: {dict(load.statuses)} {load.refused[:300]!r}\n{self._processes[0].log_tail()}")
        deadline = time.monotonic() + _SETTLED_WITHIN_S
        while (ended := sum(await self._each("tocsin_deliveries_ended_total")) - before) < load.total:
            if time.monotonic() > deadline:
                raise SystemExit(f"only {ended:,.0f} of {load.total:,} deliveries have ended")
            await asyncio.sleep(0.02)
        return time.perf_counter()

    async def _each(self, metric: str, servers: Sequence[Server] | None = None) -> list[float]:
        """A metric, its labels summed, of each process."""

        def read() -> list[float]:
            return [
                sum(value for name, value in scrape(server).items() if name.partition("{")[0] == metric)
                for server in servers or self._processes
            ]

        return await asyncio.to_thread(read)

    def _receipts(self, load: Load) -> None:
        received_at = self._sink.received_at
        latencies("202 to receipt", [received_at[id_] - at for id_, at in load.answered_at.items()])
        missing = sum(id_ not in received_at for id_ in load.answered_at)
        row("lost, repeated", f"{missing}, {self._sink.repeated}", "of all that was accepted")

    def _spent(self) -> Spent:
        return Spent(
            api=self._processes[0].cpu_s(),
            workers=[process.cpu_s() for process in self._processes[1:]],
            database=self._database.cpu_s(),
            load=time.process_time(),
        )


def _name(processes: Sequence[Server]) -> str:
    workers = len(processes) - 1
    return f"one process of requests, {workers} worker(s)" if workers else "one process for all"


if __name__ == "__main__":
    main()
