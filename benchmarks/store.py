"""The store alone: how near the journal comes to a bare group commit, on a store of 10,000 accounts that is not empty.

    python benchmarks/store.py [--preload 1000000] [--events 40000] [--directory DIR]

Bare is the least that any store must do: an event and its delivery in one transaction, then the attempt and the
delivery's new state in a second one, by hand, in one thread. Only the ratios mean something from machine to machine.
"""

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import apsw
import msgspec

from tocsin.clock import Millis, SystemClock
from tocsin.ids import IdSource
from tocsin.model import (
    ALL_SCOPES,
    Account,
    ApiKey,
    Attempt,
    DeliveryState,
    Outcome,
    OutcomeKind,
    Trigger,
    Webhook,
    WebhookSettings,
    WebhookState,
)
from tocsin.store.port import (
    Accepted,
    Change,
    DeliveryFilter,
    EventFilter,
    NewActivity,
    NewDelivery,
    NewEvent,
    Page,
    Settlement,
    TriggerAsk,
    TriggerWrite,
)
from tocsin.store.sqlite import SqliteStore, open_sqlite

ACCOUNTS = 10_000
ROUNDS = 3  # of each measurement, in turn; the best counts
BODY = b'{"click_id":"' + b"x" * 580 + b'"}'  # 595 bytes
HEADERS = (
    ("Content-Type", "application/json"),
    ("User-Agent", "Tocsin/0.1.0"),
    ("webhook-id", "evt_06f3k9w2zq8rt"),
    ("webhook-timestamp", "1767225600"),
    ("webhook-signature", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
)
OUTCOME = Outcome(
    kind=OutcomeKind.SUCCEEDED,
    status_code=200,
    headers=(("content-type", "text/plain"), ("content-length", "2")),
    body=b"ok",
    duration_us=1_500,
    peer="127.0.0.1",
)


class Loaded:
    """A store with its accounts, and events made for random ones of them."""

    def __init__(self, store: SqliteStore, directory: Path, seed: int = 1) -> None:
        self.store = store
        self.path = directory / "tocsin.db"
        self.clock = SystemClock()
        self.ids = IdSource(self.clock, node=1)
        self.random = random.Random(seed)
        self.accounts: list[tuple[int, int]] = []  # account, webhook
        self.epoch = 0

    async def fill(self, accounts: int) -> None:
        now = self.clock.now_ms()
        change = Change(at=now, actor="operator", action="benchmark", subject="")

        async def one() -> None:
            account_id = self.ids.next()
            await self.store.accounts.add(
                Account(
                    id=account_id,
                    name="Brand",
                    profile="standard",
                    timezone="UTC",
                    external_id=None,
                    notify_email=None,
                    settings={},
                    config_version=1,
                    created_at=now,
                    updated_at=now,
                ),
                ApiKey(
                    id=self.ids.next(),
                    account_id=account_id,
                    name="",
                    hint="",
                    digest=os.urandom(32),
                    scopes=ALL_SCOPES,
                    created_at=now,
                    last_used_at=None,
                    revoked_at=None,
                ),
                change,
            )
            webhook = Webhook(
                id=self.ids.next(),
                account_id=account_id,
                version=0,
                from_config=0,
                state=WebhookState.ACTIVE,
                status_reason=None,
                status_since=now,
                muted_until=None,
                settings=WebhookSettings(url_shown="https://example.com/", events=("*",)),
                sealed=os.urandom(200),
                created_at=now,
                updated_at=now,
            )
            await self.store.webhooks.add(webhook, None, change)
            self.accounts.append((account_id, webhook.id))

        for _ in range(0, accounts, 500):
            await asyncio.gather(*(one() for _ in range(500)))
        node = await self.store.cluster.join(name="benchmark", sends=True, now=now, bury_before=now)
        self.epoch = node.epoch

    def events(self, n: int, *, claimed: bool = True, named: bool = False) -> list[NewEvent]:
        now = self.clock.now_ms()
        made = []
        for _ in range(n):
            account_id, webhook_id = self.random.choice(self.accounts)
            made.append(
                NewEvent(
                    id=self.ids.next(),
                    account_id=account_id,
                    type="conversion.created",
                    timestamp=now,
                    accepted_at=now,
                    data=BODY,
                    external_id=f"{self.random.getrandbits(128):032x}" if named else None,
                    digest=b"0123456789abcdef",
                    source="api",
                    config_version=2,
                    matched=1,
                    visitor_id=None,
                    deliveries=(NewDelivery(id=self.ids.next(), webhook_id=webhook_id, claimed=claimed),),
                )
            )
        return made

    def settlements(self, delivery_ids: Sequence[int]) -> list[Settlement]:
        now = self.clock.now_ms()
        return [
            Settlement(
                delivery_id=id_,
                attempt=Attempt(
                    id=self.ids.next(),
                    delivery_id=id_,
                    n=1,
                    trigger=Trigger.SCHEDULE,
                    started_at=now,
                    outcome=OUTCOME,
                    method="POST",
                    url_shown="https://example.com/hooks/in",
                    request_headers=HEADERS,
                    request_body=None,
                    webhook_version=1,
                ),
                state=DeliveryState.SUCCEEDED,
                due_at=None,
                tries=1,
                settled_at=now,
            )
            for id_ in delivery_ids
        ]

    async def deliver(self, events: Sequence[NewEvent]) -> None:
        answers = await self.store.journal.ingest(events, self.epoch)
        assert all(type(answer) is Accepted for answer in answers), answers
        await self.store.journal.settle(self.settlements([e.deliveries[0].id for e in events]), self.epoch)


# --- the least that must be done ------------------------------------------------------------------------------------

BARE = """
CREATE TABLE event (id INTEGER PRIMARY KEY, account_id INTEGER, type TEXT, at INTEGER, data BLOB) STRICT;
CREATE TABLE delivery (id INTEGER PRIMARY KEY, event_id INTEGER, webhook_id INTEGER, state INTEGER) STRICT;
CREATE TABLE attempt (id INTEGER PRIMARY KEY, delivery_id INTEGER, record BLOB) STRICT;
"""
RECORD = b"x" * 330  # what an attempt's record takes


class Bare:
    def __init__(self, directory: Path) -> None:
        self.path = directory / "bare.db"
        self.connection = connection = apsw.Connection(str(self.path))
        connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536")
        connection.execute(BARE)
        self.ids = IdSource(SystemClock())

    def deliver(self, n: int) -> None:
        c, next_id = self.connection, self.ids.next
        ids = [(next_id(), next_id(), next_id()) for _ in range(n)]
        c.execute("BEGIN IMMEDIATE")
        c.executemany(
            "INSERT INTO event VALUES (?, ?, ?, ?, ?)", [(e, d, "conversion.created", e, BODY) for e, d, _ in ids]
        )
        c.executemany("INSERT INTO delivery VALUES (?, ?, ?, 12)", [(d, e, e) for e, d, _ in ids])
        c.execute("COMMIT")
        c.execute("BEGIN IMMEDIATE")
        c.executemany("INSERT INTO attempt VALUES (?, ?, ?)", [(a, d, RECORD) for _, d, a in ids])
        c.executemany("UPDATE delivery SET state = 20 WHERE id = ?", [(d,) for _, d, _ in ids])
        c.execute("COMMIT")


# --- measuring ------------------------------------------------------------------------------------------------------


def written_bytes() -> int:
    """What this process has handed to the disk, as the system counts it."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("write_bytes"):
            return int(line.split()[1])
    return 0


class Figures(msgspec.Struct, frozen=True):
    """Of one event, on average."""

    wall_us: float
    cpu_us: float
    written_kib: float


async def measure(n: int, work: Callable[[], Awaitable[None]]) -> Figures:
    start, cpu, written = time.perf_counter(), time.process_time(), written_bytes()
    await work()
    return Figures(
        (time.perf_counter() - start) / n * 1e6,
        (time.process_time() - cpu) / n * 1e6,
        (written_bytes() - written) / n / 1024,
    )


def show(title: str, found: Figures, limit: Figures | None = None) -> None:
    ratio = f"{limit.wall_us / found.wall_us:8.2f}" if limit else ""
    print(
        f"{title:44s}{1e6 / found.wall_us:12,.0f}{ratio:>8s}{found.cpu_us:10.1f}{found.written_kib:10.2f}", flush=True
    )


def best(rounds: Sequence[Figures]) -> Figures:
    """The round that others on the machine disturbed least."""
    return min(rounds, key=lambda figures: figures.wall_us)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preload", type=int, default=1_000_000, help="events stored before measuring")
    parser.add_argument("--events", type=int, default=40_000, help="events of each measurement")
    parser.add_argument("--directory", type=Path, help="keep the database here and use it again")
    options = parser.parse_args()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="tocsin-store-"))
    directory.mkdir(exist_ok=True, parents=True)
    try:
        await run(directory, options.preload, options.events)
    finally:
        if options.directory is None:
            shutil.rmtree(directory)


async def run(directory: Path, preload: int, events: int) -> None:
    store = await open_sqlite(directory / "tocsin.db", clock=SystemClock())
    loaded = Loaded(store, directory)
    await loaded.fill(ACCOUNTS)
    print(f"{'':44s}{'events/s':>12s}{'ratio':>8s}{'cpu µs':>10s}{'KiB':>10s}")

    async def fill() -> None:
        for _ in range(0, preload, 2_000):
            await loaded.deliver(loaded.events(2_000))

    if preload:
        show(f"preload of {preload:,}", await measure(preload, fill))

    await triggers(loaded, events)
    await rates(loaded, Bare(directory), events)
    await reads(loaded)
    await backlog(loaded, events)
    await store.close()


async def rates(loaded: Loaded, bare: Bare, events: int) -> None:
    """The way of an event through the journal, in batches of four sizes, beside the least that it could take."""
    for batch in (1, 10, 100, 1_000):
        n = min(events, 2_000 * batch)

        async def least(n: int = n, batch: int = batch) -> None:
            for _ in range(0, n, batch):
                bare.deliver(batch)

        async def plain(n: int = n, batch: int = batch) -> None:
            for _ in range(0, n, batch):
                await loaded.deliver(loaded.events(batch))

        async def named(n: int = n, batch: int = batch) -> None:
            for _ in range(0, n, batch):
                await loaded.deliver(loaded.events(batch, named=True))

        works = (least, plain, named)
        rounds = [[await measure(n, work) for work in works] for _ in range(ROUNDS)]
        limit, unnamed, with_names = (best([figures[i] for figures in rounds]) for i in range(3))
        show(f"bare group commit, batches of {batch:,}", limit)
        show("  journal", unnamed, limit)
        show("  journal, with external ids", with_names, limit)


def click(loaded: Loaded) -> Sequence[str]:
    """The keys that a click reads and changes: one of a million visitors, an address, a network, two counters."""
    number = loaded.random.randrange(1_000_000)
    address = f"198.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    campaign = loaded.random.randrange(20)
    return (
        f"visitor:{number:032x}",
        f"address:{address}",
        f"network:{address.rpartition('.')[0]}.0/24|{campaign}",
        f"campaign:{campaign}",
        "day",
    )


async def decided(loaded: Loaded, accounts: Sequence[tuple[int, int]], clicks: int) -> None:
    """A batch of clicks of each account, read and written; every tenth fires an event with a delivery."""
    now = loaded.clock.now_ms()
    keys = [[click(loaded) for _ in range(clicks)] for _ in accounts]
    asks = [
        TriggerAsk(account_id=account_id, keys=frozenset(key for each in mine for key in each))
        for (account_id, _), mine in zip(accounts, keys, strict=True)
    ]
    writes = []
    fires = 0
    for (account_id, webhook_id), ask, found in zip(
        accounts, asks, await loaded.store.triggers.read(asks, now), strict=True
    ):
        assert found is not None
        activities, events = [], []
        for _ in range(clicks):
            activities.append(
                NewActivity(
                    id=loaded.ids.next(),
                    kind="click",
                    at=now,
                    accepted_at=now,
                    external_id=None,
                    digest=b"",
                    data=BODY,
                    result=b'{"score":25,"label":"CLEAN","reasons":[{"rule":"datacenter_ip","points":25}]}',
                    visitor_id="7" * 32,
                )
            )
            fires += 1
            if fires % 10 == 0:
                (event,) = loaded.events(1)
                delivery = msgspec.structs.replace(event.deliveries[0], webhook_id=webhook_id)
                events.append(msgspec.structs.replace(event, account_id=account_id, deliveries=(delivery,)))
        writes.append(
            TriggerWrite(
                account_id=account_id,
                version=found.version,
                config_version=2,
                activities=tuple(activities),
                puts={key: (b"x" * 120, Millis(now + 86_400_000 * (1 + len(key) % 5))) for key in ask.keys},
                drops=frozenset(),
                timers={},
                events=tuple(events),
            )
        )
    answers = await loaded.store.triggers.write(writes, loaded.epoch)
    assert all(type(answer) is Accepted for answer in answers), answers


async def triggers(loaded: Loaded, events: int) -> None:
    """Activity that is counted, beside events that are only taken: of one account, and of a thousand at random."""

    async def plain() -> None:
        for _ in range(0, events, 1_000):
            await loaded.store.journal.ingest(loaded.events(1_000), loaded.epoch)

    async def of_one() -> None:
        for _ in range(0, events, 1_000):
            await decided(loaded, loaded.random.sample(loaded.accounts, 1), 1_000)

    async def of_many() -> None:
        for _ in range(0, events, 1_000):
            await decided(loaded, loaded.random.sample(loaded.accounts, 1_000), 1)

    for turn in range(ROUNDS):
        limit = await measure(events, plain)
        show(f"events taken, in thousands, round {turn + 1}", limit)
        show("  activity, 1,000 clicks of one account", await measure(events, of_one), limit)
        show("  activity, a click of each of 1,000 accounts", await measure(events, of_many), limit)
    store = loaded.store.triggers
    for title, accounts, clicks in (("one account", 1, 1_000), ("1,000 accounts", 1_000, 1)):
        asks = [
            TriggerAsk(account_id=id_, keys=frozenset(key for _ in range(clicks) for key in click(loaded)))
            for id_, _ in loaded.random.sample(loaded.accounts, accounts)
        ]
        times = []
        for _ in range(20):
            start = time.perf_counter()
            await store.read(asks, loaded.clock.now_ms())
            times.append(time.perf_counter() - start)
        print(f"{f'  read for 1,000 clicks of {title}':44s}{sorted(times)[10] * 1e3:9.2f} ms p50")


async def reads(loaded: Loaded) -> None:
    """Lists of an account among ten thousand."""
    store = loaded.store

    async def calls(name: str, call: Callable[[int, int], Awaitable[object]], n: int = 300) -> None:
        times = []
        for _ in range(n):
            account_id, webhook_id = loaded.random.choice(loaded.accounts)
            start = time.perf_counter()
            await call(account_id, webhook_id)
            times.append(time.perf_counter() - start)
        times.sort()
        print(f"{name:44s}{times[n // 2] * 1e3:9.2f} ms p50{times[n * 99 // 100] * 1e3:9.2f} ms p99")

    page = Page(limit=50)
    await calls("events of an account", lambda a, _: store.records.events(a, EventFilter(), page))
    await calls("deliveries of an account", lambda a, _: store.records.deliveries(a, DeliveryFilter(), page))
    await calls("deliveries of a webhook", lambda a, w: store.records.deliveries(a, DeliveryFilter(webhook_id=w), page))
    failed = DeliveryFilter(state=DeliveryState.FAILED)
    await calls("failed deliveries of an account", lambda a, _: store.records.deliveries(a, failed, page))
    await calls("snapshot of an account", lambda a, _: store.snapshots.snapshot(a))


async def backlog(loaded: Loaded, events: int) -> None:
    """What waits: storing it, claiming the first of many lanes and many of few lanes, settling; at ten sizes of it."""
    store = loaded.store
    for waiting in (events, 9 * events):

        async def ingest(waiting: int = waiting) -> None:
            for _ in range(0, waiting, 1_000):
                await store.journal.ingest(loaded.events(1_000, claimed=False), loaded.epoch)

        show(f"stored to wait: {waiting:,}", await measure(waiting, ingest))
        await asyncio.sleep(3)  # merges and checkpoints of what came before
        for lanes, n in ((2_000, 1), (200, 100)):
            claimed: list[int] = []

            async def claim(claimed: list[int] = claimed, lanes: int = lanes, n: int = n) -> None:
                sample = loaded.random.sample(loaded.accounts, lanes)
                for i in range(0, lanes, 100):
                    wants = [(webhook_id, n) for _, webhook_id in sample[i : i + 100]]
                    answer = await store.journal.claim(wants, Millis(loaded.clock.now_ms() + 1), loaded.epoch)
                    claimed += [one.id for one in answer.claimed]

            async def settle(claimed: list[int] = claimed) -> None:
                for i in range(0, len(claimed), 500):
                    await store.journal.settle(loaded.settlements(claimed[i : i + 500]), loaded.epoch)

            found = await measure(1, claim)
            each = Figures(*(value / len(claimed) for value in msgspec.structs.astuple(found)))
            show(f"  claims of {n} from each of {lanes:,} lanes", each)
            show("  settled", await measure(len(claimed), settle))
        start = time.perf_counter()
        told, after = 0, 0
        while page := await store.journal.lanes(after, 1_000):
            told, after = told + len(page), page[-1].webhook_id
        print(f"{f'  lanes: {told:,} told in':44s}{(time.perf_counter() - start) * 1e3:9.1f} ms")
        start = time.perf_counter()
        counts = await store.records.counts()
        print(f"{f'  gauges: {counts}'[:90]} in {(time.perf_counter() - start) * 1e3:.1f} ms")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
