"""Very many deliveries waiting for one account whose receivers hang: does another account's traffic beside it notice?

The other account publishes at the same pace all the time: first alone, then beside the backlog while it is muted, then
while its receivers hang, in turns. Its p99 from 202 to receipt is to stay within twice of what it was alone. What is
below a millisecond counts as one, as in `isolation.py`. Memory is shown at each step.
"""

import asyncio
import base64
import secrets
import tempfile
from argparse import Namespace
from pathlib import Path

import uvloop

from database import Database
from harness import (
    EVENT_TYPE,
    Server,
    arguments,
    latencies,
    peak_rss_bytes,
    percentile,
    row,
    say,
    scrape,
    start_server,
    take_load_core,
)
from load import Load, Sink
from preload import Account, batch_request, single_request
from tests.support import postgres

_BATCH = 100
_LAST_RECEIPTS_S = 60.0
_TELLABLE_S = 0.001  # see isolation.py
_FILLED_WITHIN_S = 1_800


def main() -> None:
    args = arguments(
        __doc__,
        store=("sqlite", "sqlite or postgres"),
        waiting=(50_000, "deliveries that wait (the issue's figure: 1,000,000)"),
        webhooks=(10, "webhooks of the account that they wait for; each takes every event"),
        rate=(50.0, "events a second of the account beside it"),
        seconds=(15.0, "length of a round; an attempt that hangs is cut after 15 s"),
        rounds=(2, "rounds of each kind"),
    )
    database = Database() if args.store == "postgres" else None
    take_load_core()
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        uvloop.run(_run(args, Path(folder)))
    del database


async def _run(args: Namespace, folder: Path) -> None:
    sink = Sink()
    sink.by_path = True
    await sink.start()
    settings: dict[str, object] = {}
    if args.store == "postgres":
        settings["db"] = await postgres.database(folder)
        settings["secret_key"] = base64.b64encode(secrets.token_bytes(32)).decode()
    server = await asyncio.to_thread(start_server, folder, **settings)
    try:
        say(f"{args.waiting:,} deliveries for {args.webhooks:,} webhooks of one account, on {args.store}")
        bench = Bench(args, server, sink)
        await bench.subscribe()
        await bench.round("")  # to warm up
        for _ in range(args.rounds):
            await bench.round("alone")
        await bench.mute(24)
        await bench.fill()
        for _ in range(args.rounds):
            await bench.round("beside, muted")
            await bench.mute(0)
            await bench.round("beside, hanging")
            await bench.mute(24)
        bench.show()
    finally:
        sink.stop()
        server.kill9()


class Bench:
    def __init__(self, args: Namespace, server: Server, sink: Sink) -> None:
        self._args = args
        self._server = server
        self._sink = sink
        self._found: dict[str, list[float]] = {}
        self._crowd: list[Account] = []
        self._other: Account

    async def subscribe(self) -> None:
        def make(name: str, paths: list[str]) -> list[Account]:
            shop = self._server.operator.shop(name)
            made = []
            for path in paths:
                hook = shop.webhook(f"http://127.0.0.1:{self._sink.port}{path}", [EVENT_TYPE])
                made.append(Account(shop.id, shop.key or "", hook["id"], hook["secret"], path))
            return made

        self._crowd = await asyncio.to_thread(make, "crowd", [f"/crowd/{n}" for n in range(self._args.webhooks)])
        (self._other,) = await asyncio.to_thread(make, "other", ["/other"])
        self._sink.hanging |= {account.path.encode() for account in self._crowd}

    async def mute(self, hours: int) -> None:
        def mute() -> None:
            for account in self._crowd:
                answer = self._server.operator.call(
                    "POST",
                    f"/v1/webhooks/{account.webhook}/mute",
                    {"hours": hours},
                    headers={"Authorization": f"Bearer {account.key}"},
                )
                if answer.status >= 300:
                    raise SystemExit(f"mute: {answer.status} {answer.json}")

        await asyncio.to_thread(mute)

    async def fill(self) -> None:
        events = -(-self._args.waiting // len(self._crowd))
        load = Load([batch_request(self._crowd[0], _BATCH)], total=-(-events // _BATCH), connections=4)
        await load.run(self._server.url)
        if set(load.statuses) != {b"202"}:
            raise SystemExit(f"refused: {dict(load.statuses)} {load.refused[:300]!r}")
        wanted = events * len(self._crowd)
        deadline = asyncio.get_running_loop().time() + _FILLED_WITHIN_S
        while (made := await self._made()) < wanted:
            if asyncio.get_running_loop().time() > deadline:
                raise SystemExit(f"only {made:,.0f} of {wanted:,} deliveries were made")
            await asyncio.sleep(0.2)
        await asyncio.sleep(2)  # merges and checkpoints of what came before

    async def _made(self) -> float:
        """Deliveries, since the server's start."""
        return (await asyncio.to_thread(scrape, self._server))["tocsin_deliveries_created_total"]

    async def round(self, kind: str) -> None:
        """The account beside publishes; all of it must arrive."""
        load = Load(
            [single_request(self._other)], total=int(self._args.rate * self._args.seconds), rate=self._args.rate
        )
        cpu_s = self._server.cpu_s()
        await load.run(self._server.url)
        if set(load.statuses) != {b"202"}:
            raise SystemExit(f"refused: {dict(load.statuses)} {load.refused[:300]!r}\n{self._server.log_tail()}")
        path = self._other.path.encode()
        deadline = asyncio.get_running_loop().time() + _LAST_RECEIPTS_S
        received = self._sink.received_at
        while lacking := sum(path + id_ not in received for id_ in load.answered_at):
            if asyncio.get_running_loop().time() > deadline:
                raise SystemExit(f"{lacking} of {load.total} have not arrived\n{self._server.log_tail()}")
            await asyncio.sleep(0.05)
        if kind:
            self._found.setdefault(kind, []).extend(received[path + id_] - at for id_, at in load.answered_at.items())
            memory = f"{self._server.rss_bytes() / 1e6:,.0f} MB, at most {peak_rss_bytes(self._server) / 1e6:,.0f} MB"
            row(kind, memory, f"{self._server.cpu_s() - cpu_s:.1f} s of processor")

    def show(self) -> None:
        alone = max(_TELLABLE_S, percentile(self._found["alone"], 99))
        say("202 to receipt of the account beside")
        for kind, found in self._found.items():
            latencies(kind, found)
        for kind in list(self._found)[1:]:
            p99 = max(_TELLABLE_S, percentile(self._found[kind], 99))
            row(f"ratio of the p99, {kind}", f"{p99 / alone:.2f}", "to be at most 2")
        hung = sum(key.startswith(b"/crowd/") for key in self._sink.received_at)
        row("requests to those that hang", f"{hung:,}", "none of them answered")


if __name__ == "__main__":
    main()
