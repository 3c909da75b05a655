"""One webhook whose receiver never answers, beside healthy ones fed at the same rate: does it delay them?

Rounds without and with the hanging webhook take turns, each on a server of its own, so that whatever else the machine
does falls on both. Printed is the latency at the healthy webhooks, from 202 to receipt; its p99 with the hanging one is
to stay within twice of that without. A delivery starts as soon as its event is durable, as the 202 does, and may be
there first; for the ratio, what is below a millisecond counts as one. From post to receipt contains the disk's sync.
"""

import asyncio
import tempfile
from argparse import Namespace
from pathlib import Path

import uvloop

from harness import EVENT_TYPE, Server, arguments, latencies, percentile, row, say, start_server, take_load_core
from load import Load, Sink
from preload import Account, single_request

_LAST_RECEIPTS_S = 5.0
_HANGING = "/hanging"
_TELLABLE_S = 0.001  # two sockets of one busy loop are read in any order: less than this says nothing


def main() -> None:
    args = arguments(
        __doc__,
        healthy=(50, "healthy webhooks"),
        rate=(4.0, "events a second for each webhook"),
        seconds=(10.0, "length of a round; an attempt that hangs is cut after 15 s"),
        rounds=(2, "rounds without, and as many with the hanging webhook"),
        one_account=(False, "all webhooks in one account and each event for all of them, instead of an account each"),
    )
    take_load_core()
    found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    hung = 0
    for _ in range(args.rounds):
        for with_hanging in (False, True):
            with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
                receipts, hanging = uvloop.run(_round(args, Path(folder), with_hanging=with_hanging))
            found[with_hanging] += receipts
            hung += hanging
    say(f"{args.healthy} healthy webhooks, {args.rate:g} events a second each")
    p99: dict[bool, float] = {}
    for with_hanging, when in ((False, "without the hanging one"), (True, "with it")):
        say(f"{when}: {len(found[with_hanging]):,} receipts")
        latencies("202 to receipt", [from_202 for from_202, _ in found[with_hanging]])
        latencies("post to receipt", [from_post for _, from_post in found[with_hanging]])
        p99[with_hanging] = max(_TELLABLE_S, percentile([from_202 for from_202, _ in found[with_hanging]], 99))
    row("ratio of the p99", f"{p99[True] / p99[False]:.2f}", "to be at most 2")
    row("requests to the hanging one", f"{hung}", "none of them answered")


async def _round(args: Namespace, folder: Path, *, with_hanging: bool) -> tuple[list[tuple[float, float]], int]:
    """The latencies at the healthy webhooks, and how many requests reached the hanging one."""
    sink = Sink()
    sink.by_path = True
    sink.hanging.add(_HANGING.encode())
    await sink.start()
    server = await asyncio.to_thread(start_server, folder)
    try:
        paths = [f"/healthy-{number}" for number in range(args.healthy)] + [_HANGING] * with_hanging
        accounts = await asyncio.to_thread(_subscribe, server, sink, paths, one_account=args.one_account)
        await _feed(server, accounts, args.rate, 1.0)  # to warm up
        load = await _feed(server, accounts, args.rate, args.seconds)
        return await _receipts(load, sink, args), sum(key.startswith(b"/hanging") for key in sink.received_at)
    finally:
        sink.stop()
        server.kill9()


def _subscribe(server: Server, sink: Sink, paths: list[str], *, one_account: bool) -> list[Account]:
    """A webhook for each path; the accounts that publish, in turns."""
    accounts = {}
    shop = server.operator.shop()
    for path in paths:
        shop = shop if one_account else server.operator.shop(path)
        hook = shop.webhook(f"http://127.0.0.1:{sink.port}{path}", [EVENT_TYPE])
        accounts[shop.id] = Account(shop.id, shop.key or "", hook["id"], hook["secret"], path)
    return list(accounts.values())


async def _feed(server: Server, accounts: list[Account], rate: float, seconds: float) -> Load:
    requests = [single_request(account) for account in accounts]
    load = Load(requests, total=int(rate * len(accounts) * seconds), rate=rate * len(accounts))
    await load.run(server.url)
    if set(load.statuses) != {b"202"}:
        raise SystemExit(f"refused: {dict(load.statuses)} {load.refused[:300]!r}\n{server.log_tail()}")
    return load


async def _receipts(load: Load, sink: Sink, args: Namespace) -> list[tuple[float, float]]:
    """From 202 and from post to receipt, of every delivery of the load to a healthy webhook; all of them must come."""
    deadline = asyncio.get_running_loop().time() + _LAST_RECEIPTS_S
    while True:
        found = []
        for key, at in sink.received_at.items():
            path, event_id = key[:-17], key[-17:]
            if event_id in load.answered_at and path not in sink.hanging:
                found.append((at - load.answered_at[event_id], at - load.posted_at[event_id]))
        wanted = len(load.answered_at) * args.healthy if args.one_account else _for_healthy(load, args)
        if len(found) >= wanted:
            return found
        if asyncio.get_running_loop().time() > deadline:
            raise SystemExit(f"{wanted - len(found)} of {wanted} healthy deliveries have not arrived")
        await asyncio.sleep(0.1)


def _for_healthy(load: Load, args: Namespace) -> int:
    """How many of a load's events went to healthy webhooks, where each has an account of its own."""
    whole, rest = divmod(load.total, len(load.requests))
    return whole * args.healthy + min(rest, args.healthy)


if __name__ == "__main__":
    main()
