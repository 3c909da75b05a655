"""Single-post publishers → server → loopback receiver, everything recorded, beside the bare parts in the same run.

The server has one core to itself, publishers and receiver share another. Printed are what was accepted and what was
delivered and written down, a second; latencies at full load and at half of it; and the limit that the bare parts set
(1 / Σ of their times), with the ratio to it.

The defaults are a quick look; --full takes the store of the target: 10,000 accounts and a million rows.
"""

import asyncio
import random
import tempfile
from argparse import Namespace
from pathlib import Path

import uvloop

from harness import (
    Server,
    arguments,
    latencies,
    peak_rss_bytes,
    row,
    say,
    scrape,
    start_server,
    store_bytes,
    take_load_core,
    written_bytes,
)
from limit import Spent, bare_parts, show_limit
from load import Load, Sink
from preload import SINK_PORT, Preloaded, preloaded, settled, single_request
from profiling import Profile


def main() -> None:
    args = arguments(
        __doc__,
        events=(20_000, "single posts at full load"),
        connections=(256, "publishers, each with one post under way; they share the disk's sync"),
        accounts=(1_000, "accounts in the store, each with a webhook"),
        rows=(20_000, "rows in the store before it begins"),
        seconds=(5.0, "how long the run at half load takes"),
        full=(False, "10,000 accounts, a million rows, 100,000 events"),
        external_ids=(False, "give each event an external_id of its own, so that it is deduplicated"),
        fresh=(False, "fill the store anew"),
        profile=(False, "also show where the server's time goes (a run of its own, by py-spy)"),
        server_only=(False, "leave out the bare parts"),
    )
    if args.full:
        args.accounts, args.rows, args.events = 10_000, 1_000_000, 100_000
    take_load_core()
    store = preloaded(args.accounts, args.rows, fresh=args.fresh)
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        uvloop.run(_run(args, store, Path(folder)))


async def _run(args: Namespace, store: Preloaded, folder: Path) -> None:
    store.copy_to(folder)
    sink = Sink({account.path: account.secret for account in store.accounts})
    await sink.start(SINK_PORT)
    before_bytes = store_bytes(folder)
    say(f"store: {len(store.accounts):,} accounts, {store.rows:,} rows, {before_bytes / 1e6:,.0f} MB")
    server = await asyncio.to_thread(start_server, folder, admin_key=store.operator_key)
    try:
        journey = Journey(server, sink, store, args)
        await journey.warm_up()
        whole, batch = await journey.at_full_load()
        await journey.at_half_load(whole.rate / 2)
        if args.profile:
            await journey.profiled()
        _memory(server, folder, before_bytes, journey.events)
        code = await asyncio.to_thread(server.stop)
        row("exit code of the stop", str(code))
        if not args.server_only:
            show_limit(await bare_parts(args.events, batch), whole)
    finally:
        sink.stop()
        if server.running:
            server.kill9()


class Journey:
    """The runs against one server, one after the other."""

    def __init__(self, server: Server, sink: Sink, store: Preloaded, args: Namespace) -> None:
        self.events = 0  # published so far
        self._server = server
        self._sink = sink
        self._store = store
        self._args = args

    def _load(self, events: int, rate: float | None = None) -> Load:
        accounts = list(self._store.accounts)
        random.Random(7).shuffle(accounts)
        if self._args.external_ids:
            first = self.events
            requests = [
                single_request(accounts[n % len(accounts)], f"order-{random.getrandbits(64):x}-{n}")
                for n in range(first, first + events)
            ]
        else:
            requests = [single_request(account) for account in accounts]
        return Load(requests, total=events, connections=self._args.connections, rate=rate)

    async def _publish(self, load: Load) -> float:
        """Runs a load to its last written outcome, and says when that was."""
        await load.run(self._server.url)
        if set(load.statuses) != {b"202"}:
            raise SystemExit(f"refused: {dict(load.statuses)} {load.refused[:300]!r}\n{self._server.log_tail()}")
        self.events += load.total
        await self._sink.wait_for(self.events, 600)
        return await settled(self._server, self.events)

    async def warm_up(self) -> None:
        """One event of each account: a server that has run for a while knows its accounts."""
        load = self._load(max(2_000, len(self._store.accounts)))
        cpu_s = self._server.cpu_s()
        await self._publish(load)
        row(
            "processor time while warming up", f"{(self._server.cpu_s() - cpu_s) / load.total * 1e6:.1f} µs", "an event"
        )

    async def at_full_load(self) -> tuple[Spent, float]:
        """Every publisher posts as soon as it is answered. Answers what it took, and the size of a transaction."""
        load = self._load(self._args.events)
        before, cpu_s, bytes_ = scrape(self._server), self._server.cpu_s(), written_bytes(self._server)
        ended_at = await self._publish(load)
        after = scrape(self._server)
        whole = Spent(load.total, ended_at - load.began_at, self._server.cpu_s() - cpu_s)
        batch = _mean(before, after, "tocsin_commit_events")
        say(f"\nat full load: {load.total:,} single posts by {load.connections} publishers")
        row("accepted (202)", f"{load.total / (load.ended_at - load.began_at):,.0f} /s")
        row("delivered and written down", f"{whole.rate:,.0f} /s", "from the first post to the last outcome on disk")
        row(
            "server's processor time",
            f"{whole.cpu_us:.1f} µs",
            f"an event: at most {1e6 / whole.cpu_us:,.0f} /s a core",
        )
        row("in a transaction", f"{batch:.0f} events", f"{_mean(before, after, 'tocsin_settle_attempts'):.0f} outcomes")
        row("written to disk", f"{(written_bytes(self._server) - bytes_) / load.total:,.0f} B", "an event")
        latencies("post to 202", load.latencies_s)
        self._receipts(load)
        return whole, batch

    async def at_half_load(self, rate: float) -> None:
        load = self._load(max(100, int(rate * self._args.seconds)), rate)
        cpu_s = self._server.cpu_s()
        await self._publish(load)
        say(f"\nat half of it: {rate:,.0f} posts a second for {self._args.seconds:g} s")
        row("server's core in use", f"{100 * (self._server.cpu_s() - cpu_s) / (load.ended_at - load.began_at):.0f} %")
        latencies("post to 202", load.latencies_s)
        self._receipts(load)

    async def profiled(self) -> None:
        load = self._load(max(20_000, self._args.events))
        profile = Profile(self._server.pid)
        await self._publish(load)
        say(f"\nwhere the server's time goes ({load.total:,} events at full load; sampling slows it)")
        say(profile.report())

    def _receipts(self, load: Load) -> None:
        received_at = self._sink.received_at
        latencies("202 to receipt", [received_at[id_] - at for id_, at in load.answered_at.items()])
        missing = sum(id_ not in received_at for id_ in load.answered_at)
        row("lost, repeated", f"{missing}, {self._sink.repeated}", "of all that was accepted")
        row("signatures verified, wrong", f"{self._sink.verified}, {len(self._sink.faults)}", "a sample")


def _mean(before: dict[str, float], after: dict[str, float], histogram: str) -> float:
    total, count = (after[f"{histogram}_{part}"] - before.get(f"{histogram}_{part}", 0) for part in ("sum", "count"))
    return total / count if count else 0.0


def _memory(server: Server, folder: Path, before_bytes: int, events: int) -> None:
    say("\nafter it")
    row("resident memory, at most", f"{peak_rss_bytes(server) / 1e6:,.0f} MB")
    row("the store has grown by", f"{(store_bytes(folder) - before_bytes) / events:,.0f} B", "an event")


if __name__ == "__main__":
    main()
