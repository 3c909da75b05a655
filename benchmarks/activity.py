"""Activity, scored, counted and turned into events, beside the same clicks published as ready events.

The same clicks of generated days, two percent of them fraud, by the same publishers, over the same HTTP, on one server:
as `POST /v1/events` and as `POST /v1/activity` in turn, in requests of one and of a hundred. Every click fires at least
one event. No webhook takes them: what is measured is the way in. Printed are rates and processor times, and the ratio
of activity to events; the aim is a third or better.

The defaults are a quick look; --full takes 10,000 accounts and more clicks.
"""

import asyncio
import json
import random
import statistics
import tempfile
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from harness import Server, arguments, peak_rss_bytes, row, say, scrape, start_server, take_load_core, written_bytes
from load import Load, post
from preload import Account, Preloaded, preloaded
from profiling import Profile
from tocsin.cli.traffic import Day
from tocsin.clock import Millis

_BEGINS = Millis(1_773_446_400_000)  # 2026-03-14; only its traffic's own times, which are not posted
_WAYS = ("events", "activity")


@dataclass
class Measured:
    rate: float  # clicks a second, accepted
    cpu_us: float  # of the server, a click
    written: float  # bytes, a click


def main() -> None:
    args = arguments(
        __doc__,
        clicks=(6_000, "clicks in each run of requests of one; those of a hundred have three times as many"),
        rounds=(3, "how often each run is made; the median counts"),
        connections=(64, "publishers, each with one request under way"),
        accounts=(500, "accounts in the store"),
        full=(False, "10,000 accounts, 20,000 clicks"),
        external_ids=(False, "give each click an external_id of its own, so that it is deduplicated"),
        fresh=(False, "fill the store anew"),
        profile=(False, "also show where the server's time goes with activity (runs of their own, by py-spy)"),
    )
    if args.full:
        args.accounts, args.clicks = 10_000, 20_000
    take_load_core()
    store = preloaded(args.accounts, 0, fresh=args.fresh, subscribed="billing.updated")
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        uvloop.run(_run(args, store, Path(folder)))


async def _run(args: Namespace, store: Preloaded, folder: Path) -> None:
    store.copy_to(folder)
    say(f"store: {len(store.accounts):,} accounts")
    server = await asyncio.to_thread(start_server, folder, admin_key=store.operator_key)
    clicks = Clicks(store.accounts, args)
    try:
        for size, count in ((1, args.clicks), (100, 3 * args.clicks)):
            found: dict[str, list[Measured]] = {way: [] for way in _WAYS}
            for way in _WAYS:  # a server that has run for a while knows its accounts
                await _measure(server, clicks, way, size, len(store.accounts) * size if size == 1 else count)
            for _ in range(args.rounds):
                for way in _WAYS:
                    found[way].append(await _measure(server, clicks, way, size, count))
            _show(size, count, found)
            if args.profile:
                profile = Profile(server.pid)
                await _measure(server, clicks, "activity", size, 3 * count)
                say(f"\nwhere the server's time goes with activity, {size} in a request (sampling slows it)")
                say(profile.report())
        say()
        row("resident memory, at most", f"{peak_rss_bytes(server) / 1e6:,.0f} MB")
        _fired(server)
    finally:
        await asyncio.to_thread(server.stop)


class Clicks:
    """Requests of clicks: each click once, those of a request of one account, accounts in turn."""

    def __init__(self, accounts: tuple[Account, ...], args: Namespace) -> None:
        self._accounts = list(accounts)
        random.Random(7).shuffle(self._accounts)
        self._external_ids = args.external_ids
        self._day = self._endless()
        self._turn = 0

    def _endless(self) -> Any:
        seed = 0
        while True:
            seed += 1
            for made in Day(clicks=20_000, seed=seed, begins_at=_BEGINS):
                if made.kind == "click":
                    yield {key: value for key, value in made.body.items() if key not in ("kind", "at", "external_id")}

    def requests(self, way: str, size: int, count: int) -> list[bytes]:
        return [self._request(way, size) for _ in range(count // size)]

    def _request(self, way: str, size: int) -> bytes:
        account = self._accounts[self._turn % len(self._accounts)]
        self._turn += 1
        items = [self._item(way, next(self._day)) for _ in range(size)]
        if way == "events":
            path, body = ("/v1/events", items[0]) if size == 1 else ("/v1/events/batch", {"events": items})
        else:
            path, body = "/v1/activity", items[0] if size == 1 else {"activities": items}
        return post(path, account.key, json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode())

    def _item(self, way: str, click: dict[str, Any]) -> dict[str, Any]:
        own = {"external_id": f"c-{random.getrandbits(64):x}"} if self._external_ids else {}
        return {"type": "click.created", "data": click, **own} if way == "events" else {"kind": "click", **own, **click}


async def _measure(server: Server, clicks: Clicks, way: str, size: int, count: int) -> Measured:
    requests = clicks.requests(way, size, count)
    load = Load(requests, total=len(requests), connections=min(clicks_at_once(size), len(requests)))
    cpu_s, written = server.cpu_s(), written_bytes(server)
    await load.run(server.url)
    if set(load.statuses) != {b"202"} or load.refused:
        raise SystemExit(f"refused: {dict(load.statuses)} {load.refused[:500]!r}\n{server.log_tail()}")
    done = len(requests) * size
    return Measured(
        done / (load.ended_at - load.began_at),
        (server.cpu_s() - cpu_s) / done * 1e6,
        (written_bytes(server) - written) / done,
    )


def clicks_at_once(size: int) -> int:
    """Publishers: enough that a transaction is shared, not so many that requests of a hundred wait for one another."""
    return 64 if size == 1 else 8


def _show(size: int, count: int, found: dict[str, list[Measured]]) -> None:
    say(f"\n{size} in a request, {count:,} clicks a run")
    rates, cpus = {}, {}
    for way, runs in found.items():
        rates[way] = statistics.median(one.rate for one in runs)
        cpus[way] = statistics.median(one.cpu_us for one in runs)
        bytes_ = statistics.median(one.written for one in runs)
        row(way, f"{rates[way]:,.0f} /s", f"{cpus[way]:.0f} µs of processor time, {bytes_:,.0f} B to disk a click")
    row(
        "ratio",
        f"{rates['activity'] / rates['events']:.2f}",
        f"{cpus['events'] / cpus['activity']:.2f} by processor time",
    )


def _fired(server: Server) -> None:
    """What the activities fired, by occurrence: that they were scored and counted, not only stored."""
    counts = {
        name.partition('"')[2].partition('"')[0]: value
        for name, value in scrape(server).items()
        if name.startswith("tocsin_occurrences")
    }
    row("occurred", f"{sum(counts.values()):,.0f}", ", ".join(f"{value:,.0f} {name}" for name, value in counts.items()))


if __name__ == "__main__":
    main()
