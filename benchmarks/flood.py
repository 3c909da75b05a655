"""10,000 fraud events in a minute to one chat: how much does it tell, is all of it counted, and are others delayed?

One server. Healthy webhooks are fed throughout, first alone, then while the flood goes to a chat (a double of Slack,
which keeps the service's limits), then while as many events go to an ordinary webhook. Printed is the latency at the
healthy webhooks in each part, so that what counting costs others stands beside what the same events cost anyway; and
what the chat was told, held against what was accepted.
"""

import asyncio
import json
import re
import tempfile
from argparse import Namespace
from collections import Counter
from pathlib import Path

import uvloop

from harness import EVENT_TYPE, Server, arguments, latencies, percentile, row, say, start_server, take_load_core
from load import Load, Sink
from preload import Account, post, single_request
from tests.support.api import Shop
from tocsin.receiver.doubles import Shown, SlackDouble

_FRAUD = "fraud.detected"
_COUNTED = re.compile(r"([\d,]+) alerts?\b")
_TELLABLE_S = 0.001  # less than this says nothing: two sockets of one busy loop are read in any order


def main() -> None:
    args = arguments(
        __doc__,
        events=(10_000, "events of the flood"),
        seconds=(60.0, "in which they come; each part lasts as long"),
        healthy=(20, "healthy webhooks"),
        rate=(4.0, "events a second for each of them"),
        window_s=(60, "the chat's window"),
        max=(5, "messages of a window that are sent at once"),
    )
    take_load_core()
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        uvloop.run(_measure(args, Path(folder)))


async def _measure(args: Namespace, folder: Path) -> None:
    sink = Sink()
    sink.by_path = True
    await sink.start()
    server = await asyncio.to_thread(start_server, folder)
    async with SlackDouble() as chat:
        try:
            healthy = [await asyncio.to_thread(_subscribe, server, sink, n) for n in range(args.healthy)]
            shop, flooded = await asyncio.to_thread(_connect, server, chat, args)
            plain = await asyncio.to_thread(_subscribe, server, sink, args.healthy, _FRAUD)
            await _feed(server, healthy, args.rate, 2.0)  # to warm up
            say(f"{args.healthy} healthy webhooks, {args.rate:g} events a second each")
            alone = await _part("alone", server, sink, healthy, args)
            beside = await _part("beside the flood to the chat", server, sink, healthy, args, flooded)
            usual = await _part("beside as many to an ordinary webhook", server, sink, healthy, args, plain)
            row("ratio of the p99, flood to alone", f"{beside / alone:.2f}")
            row("the same of an ordinary webhook", f"{usual / alone:.2f}")
            await _account_for(shop, chat, args)
        finally:
            sink.stop()
            server.kill9()


async def _part(
    name: str, server: Server, sink: Sink, healthy: list[Account], args: Namespace, flooded: Account | None = None
) -> float:
    """The p99 at the healthy webhooks."""
    flood = None
    if flooded is not None:
        load = Load([_fraud(flooded, n) for n in range(500)], total=args.events, rate=args.events / args.seconds)
        flood = asyncio.create_task(load.run(server.url))
    load = await _feed(server, healthy, args.rate, args.seconds)
    if flood is not None:
        await flood
    await asyncio.sleep(1)
    found = [at - load.answered_at[key[-17:]] for key, at in sink.received_at.items() if key[-17:] in load.answered_at]
    if len(found) != load.total:
        raise SystemExit(f"{load.total - len(found)} of {load.total} healthy deliveries have not arrived")
    say(f"{name}: {len(found):,} receipts")
    latencies("202 to receipt", found)
    return max(_TELLABLE_S, percentile(found, 99))


async def _feed(server: Server, accounts: list[Account], rate: float, seconds: float) -> Load:
    total = int(rate * len(accounts) * seconds)
    load = Load([single_request(account) for account in accounts], total=total, rate=rate * len(accounts))
    await load.run(server.url)
    if set(load.statuses) != {b"202"}:
        raise SystemExit(f"refused: {dict(load.statuses)} {load.refused[:300]!r}\n{server.log_tail()}")
    return load


async def _account_for(shop: Shop, chat: SlackDouble, args: Namespace) -> None:
    """What the chat was told, once everything has ended."""
    for _ in range(args.window_s + 30):
        if sum(map(_counted, chat.messages)) >= args.events:
            break
        await asyncio.sleep(1)
    told = Counter("summaries" if _COUNTED.search(one.text.splitlines()[0]) else "alone" for one in chat.messages)
    windows = args.seconds / args.window_s + 1
    say("the chat")
    row("events accepted", f"{args.events:,}")
    row("messages", f"{len(chat.messages)}", f"{told['alone']} alone, {told['summaries']} summaries")
    row("allowed by its settings", f"{int(windows * (args.max + 1))}", "max, and a summary, a window")
    row("counted in all of them", f"{sum(map(_counted, chat.messages)):,}")
    row("refused by the service", f"{len(chat.refused)}")
    ended = Counter(one["status"] for one in await asyncio.to_thread(shop.deliveries) if one["id"].startswith("dlv_"))
    row("deliveries by state", ", ".join(f"{n:,} {state}" for state, n in sorted(ended.items())))
    say(chat.messages[-1].text)


def _counted(message: Shown) -> int:
    found = _COUNTED.search(message.text.splitlines()[0])
    return int(found[1].replace(",", "")) if found else 1


def _subscribe(server: Server, sink: Sink, number: int, type_: str = EVENT_TYPE) -> Account:
    shop = server.operator.shop(f"healthy {number}")
    hook = shop.webhook(f"http://127.0.0.1:{sink.port}/healthy-{number}", [type_])
    return Account(shop.id, shop.key or "", hook["id"], hook["secret"], f"/healthy-{number}")


def _connect(server: Server, chat: SlackDouble, args: Namespace) -> tuple[Shop, Account]:
    shop = server.operator.shop("flooded")
    options = {"digest": {"window_s": args.window_s, "max": args.max}}
    hook = shop.webhook(chat.address, [_FRAUD], channel="slack", options=options)
    return shop, Account(shop.id, shop.key or "", hook["id"], "", "")


def _fraud(account: Account, n: int) -> bytes:
    """A fraud event of a botnet: some networks, campaigns and partners, a visitor each."""
    data = {
        "score": 90,
        "label": "FRAUD",
        "reasons": [{"rule": "datacenter_ip", "points": 25}, {"rule": "rapid_clicks", "points": 30}],
        "campaign": {"id": f"c{n % 12}", "name": f"Campaign {n % 12}"},
        "partner": {"id": f"p{n % 40}", "name": f"Partner {n % 40}"},
        "visitor": {"id": f"vis_{n}", "ip": f"203.{n % 7}.113.{n % 250}", "country": "NL"},
        "click_id": f"clk_{n}",
        "estimated_loss": "0.75",
        "currency": "EUR",
    }
    body = json.dumps({"type": _FRAUD, "data": data}, separators=(",", ":")).encode()
    return post("/v1/events", account.key, body)


if __name__ == "__main__":
    main()
