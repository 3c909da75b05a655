"""A store that is not empty: accounts with a webhook each, and what many events have left behind.

It is filled through the server's own API, by a real server with a real receiver, and kept in a cache below the system's
temporary directory; each run works on a copy. The cache is built anew when the schema or the sizes change.
"""

import asyncio
import hashlib
import json
import random
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import EVENT_TYPE, ROOT, Server, say, scrape, start_server
from load import Load, Sink, post

# The addresses of the webhooks are in the store, so the receiver's port must be the same in every run.
SINK_PORT = 18_973

_ROWS_AN_EVENT = 3  # event, delivery, attempt
_BATCH = 5  # events of an account that come together: enough for speed, few enough that accounts are well mixed
_SETTLED_WITHIN_S = 1_800


@dataclass(frozen=True)
class Account:
    id: str
    key: str
    webhook: str
    secret: str
    path: str  # of its webhook, at the sink


@dataclass(frozen=True)
class Preloaded:
    """A filled store: `folder` holds ``tocsin.db`` and its key."""

    folder: Path
    operator_key: str
    accounts: tuple[Account, ...]
    rows: int

    def copy_to(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for file in self.folder.glob("tocsin.db*"):
            shutil.copy2(file, folder / file.name)


def preloaded(accounts: int, rows: int, *, fresh: bool = False, subscribed: str = EVENT_TYPE) -> Preloaded:
    """A store with that many accounts and at least that many rows of events, deliveries and attempts.

    `subscribed`: which events their webhooks take; without rows it may be any.
    """
    folder = Path(tempfile.gettempdir()) / "tocsin-bench" / _digest(f"{accounts}/{rows}/{SINK_PORT}/{subscribed}")
    index = folder / "accounts.json"
    if fresh or not index.exists():
        shutil.rmtree(folder, ignore_errors=True)
        began = time.monotonic()
        say(f"filling a store with {accounts:,} accounts and {rows:,} rows, kept in {folder} …")
        index.write_text(json.dumps(asyncio.run(_fill(folder, accounts, rows, subscribed))))
        say(f"filled in {time.monotonic() - began:.0f} s")
    found = json.loads(index.read_text())
    return Preloaded(folder, found["operator_key"], tuple(Account(**one) for one in found["accounts"]), found["rows"])


def _digest(sizes: str) -> str:
    schema = b"".join(path.read_bytes() for path in sorted((ROOT / "src/tocsin/store/sql/sqlite/migrations").glob("*")))
    return hashlib.sha256(schema + sizes.encode()).hexdigest()[:12]


async def _fill(folder: Path, accounts: int, rows: int, subscribed: str) -> dict[str, Any]:
    sink = Sink()
    await sink.start(SINK_PORT)
    server = await asyncio.to_thread(start_server, folder)
    try:
        made = await asyncio.to_thread(_make_accounts, server, accounts, subscribed)
        requests = [batch_request(account, _BATCH) for account in made]
        random.Random(1).shuffle(requests)
        events = 0
        if rows:
            load = Load(requests, total=-(-rows // (_ROWS_AN_EVENT * _BATCH)), connections=16)
            await load.run(server.url)
            if set(load.statuses) != {b"202"}:
                raise SystemExit(f"the preload was refused: {load.statuses} {load.refused[:500]!r}")
            events = load.total * _BATCH
            await settled(server, events)
        if code := await asyncio.to_thread(server.stop):
            raise SystemExit(f"the server ended with {code}\n{server.log_tail()}")
    finally:
        sink.stop()
        if server.running:
            server.kill9()
    return {
        "operator_key": server.operator_key,
        "accounts": [vars(account) for account in made],
        "rows": events * _ROWS_AN_EVENT,
    }


def _make_accounts(server: Server, count: int, subscribed: str) -> list[Account]:
    def make(number: int) -> Account:
        shop = server.operator.shop(f"shop {number}")
        path = f"/w/{number}"
        hook = shop.webhook(f"http://127.0.0.1:{SINK_PORT}{path}", [subscribed])
        return Account(shop.id, shop.key or "", hook["id"], hook["secret"], path)

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(make, range(count)))


async def settled(server: Server, deliveries: int) -> float:
    """Waits until that many deliveries have ended since the server's start, and all of it is written.

    Returns:
        When that was seen, by `time.perf_counter`.
    """
    deadline = time.monotonic() + _SETTLED_WITHIN_S
    while time.monotonic() < deadline:
        figures = await asyncio.to_thread(scrape, server)
        ended = sum(value for name, value in figures.items() if name.startswith("tocsin_deliveries_ended_total"))
        if ended >= deliveries and not figures["tocsin_settle_queue"]:
            return time.perf_counter()
        await asyncio.sleep(0.02)
    raise SystemExit(f"not settled within {_SETTLED_WITHIN_S} s: {ended:,.0f} of {deliveries:,}")


# --- what is published ----------------------------------------------------------------------------------------------


def event_body(external_id: str | None = None) -> dict[str, Any]:
    """The catalogue's example of a click, filled up to some 600 bytes of data."""
    example = json.loads((ROOT / f"src/tocsin/profiles/data/standard/examples/{EVENT_TYPE}.json").read_text())
    example["note"] = "n" * max(0, 600 - len(json.dumps(example, separators=(",", ":"))) - len(',"note":""'))
    event = {"type": EVENT_TYPE, "data": example}
    return event if external_id is None else {**event, "external_id": external_id}


def single_request(account: Account, external_id: str | None = None) -> bytes:
    return post("/v1/events", account.key, json.dumps(event_body(external_id), separators=(",", ":")).encode())


def batch_request(account: Account, events: int) -> bytes:
    body = json.dumps({"events": [event_body()] * events}, separators=(",", ":")).encode()
    return post("/v1/events/batch", account.key, body)
