"""Resident memory with very many deliveries waiting: held by a mute, then resumed into a receiver that never answers,
then after a restart, then while the backlog is worked off.

A backlog costs disk, not memory: to be under 300 MB with a million deliveries waiting.
"""

import asyncio
import json
import tempfile
from argparse import Namespace
from pathlib import Path

import uvloop

from harness import (
    EVENT_TYPE,
    Server,
    arguments,
    peak_rss_bytes,
    row,
    say,
    scrape,
    start_server,
    store_bytes,
    take_load_core,
)
from load import Load, Sink
from preload import Account, batch_request

_BATCH = 1_000


def main() -> None:
    args = arguments(
        __doc__,
        waiting=(50_000, "deliveries that wait (the issue's figure: 1,000,000)"),
        webhooks=(10, "webhooks that they wait for, each of an account of its own"),
        seconds=(20.0, "how long they hang, and how long they are then worked off"),
    )
    take_load_core()
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        uvloop.run(_run(args, Path(folder)))


async def _run(args: Namespace, folder: Path) -> None:
    sink = Sink()
    await sink.start()
    server = await asyncio.to_thread(start_server, folder)
    try:
        say(f"{args.waiting:,} deliveries for {args.webhooks} webhooks")
        _show(server, "after the start")
        accounts = await asyncio.to_thread(_subscribe, server, sink, args.webhooks)
        await asyncio.to_thread(_mute, server, accounts, 24)
        await _publish(server, accounts, args.waiting)
        _show(server, "all of them accepted, and held")
        row("the store", f"{store_bytes(folder) / 1e6:,.0f} MB")

        sink.hanging |= {account.path.encode() for account in accounts}
        await asyncio.to_thread(_mute, server, accounts, 0)
        await asyncio.sleep(args.seconds)
        _show(server, "resumed into receivers that hang")

        server.kill9()
        await asyncio.to_thread(server.start)
        await asyncio.sleep(min(5.0, args.seconds))
        _show(server, "killed and started again")

        sink.hanging.clear()
        before = await asyncio.to_thread(scrape, server)
        cpu_s = server.cpu_s()
        await asyncio.sleep(args.seconds)
        after = await asyncio.to_thread(scrape, server)
        ended = 'tocsin_deliveries_ended_total{state="succeeded"}'
        _show(server, "while they are worked off")
        row(
            "worked off",
            f"{(after[ended] - before[ended]) / args.seconds:,.0f} /s",
            f"{server.cpu_s() - cpu_s:.1f} s of processor",
        )
        row("exit code of the stop", str(await asyncio.to_thread(server.stop)))
    finally:
        sink.stop()
        if server.running:
            server.kill9()


def _show(server: Server, when: str) -> None:
    row(when, f"{server.rss_bytes() / 1e6:,.0f} MB", f"at most {peak_rss_bytes(server) / 1e6:,.0f} MB since its start")


def _subscribe(server: Server, sink: Sink, webhooks: int) -> list[Account]:
    accounts = []
    for number in range(webhooks):
        shop = server.operator.shop(f"shop {number}")
        path = f"/w/{number}"
        hook = shop.webhook(f"http://127.0.0.1:{sink.port}{path}", [EVENT_TYPE])
        accounts.append(Account(shop.id, shop.key or "", hook["id"], hook["secret"], path))
    return accounts


def _mute(server: Server, accounts: list[Account], hours: int) -> None:
    for account in accounts:
        answer = server.operator.call(
            "POST",
            f"/v1/webhooks/{account.webhook}/mute",
            {"hours": hours},
            headers={"Authorization": f"Bearer {account.key}"},
        )
        if answer.status >= 300:
            raise SystemExit(f"mute: {answer.status} {json.dumps(answer.json)}")


async def _publish(server: Server, accounts: list[Account], events: int) -> None:
    requests = [batch_request(account, _BATCH) for account in accounts]
    load = Load(requests, total=-(-events // _BATCH), connections=4)
    await load.run(server.url)
    if set(load.statuses) != {b"202"}:
        raise SystemExit(f"refused: {dict(load.statuses)} {load.refused[:300]!r}")


if __name__ == "__main__":
    main()
