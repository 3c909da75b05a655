"""How long a claim takes with few and with very many deliveries waiting: for the account that they wait for, over few
lanes and over many, and for an account beside it.

Nothing is vacuumed meanwhile, and PostgreSQL's commits do not wait for the disk, which says nothing of claims. There,
all is measured twice: with statistics from before the backlog came, and after ANALYZE. The ratio is that of
processor time to the first size of the same run; flat is 1.
"""

import asyncio
import os
import random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import msgspec
import uvloop

from database import Database
from harness import arguments, percentile, say
from tests.support import postgres
from tocsin.clock import Millis, SystemClock
from tocsin.ids import IdSource, first_at
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
from tocsin.store.port import Change, Claimed, NewDelivery, NewEvent, Settlement, Store
from tocsin.store.postgres import open_postgres
from tocsin.store.sqlite import open_sqlite

_BODY = b'{"click_id":"' + b"x" * 186 + b'"}'  # 200 bytes: ten million must fit on a disk
_BESIDE = 10_000  # what waits for the other account, in one lane
_CHUNK = 1_000_000

# Lanes of the account at most, and how many deliveries of each of how many lanes a claim takes: as the dispatcher asks.
_FEW = (4, 64, 4)
_MANY = (10_000, 8, 128)


@dataclass
class Spent:
    """Seconds of each call."""

    claims: list[float] = field(default_factory=list)
    settles: list[float] = field(default_factory=list)
    claimed: int = 0
    cpu_s: float = 0.0

    @property
    def cpu_us(self) -> float:
        """Processor time of a delivery's claim and settlement, here and in the database."""
        return self.cpu_s / self.claimed * 1e6


def main() -> None:
    args = arguments(
        __doc__,
        store=("postgres", "which one: postgres or sqlite"),
        sizes=("1000,100000", "deliveries waiting, one size after the other (the issue's: 1000,1000000,10000000)"),
        claims=(200, "claims of each kind"),
        few=(False, "only the account with few lanes"),
    )
    sizes = [int(size) for size in args.sizes.split(",")]
    database = Database(autovacuum="off", fsync="off") if args.store == "postgres" else None
    say(f"{'':<52}{'taken':>6}{'claim p50':>12}{'settle p50':>12}{'processor':>12}{'ratio':>8}")
    for most, each, at_once in (_FEW,) if args.few else (_FEW, _MANY):
        first: dict[str, float] = {}
        for size in sizes:
            lanes = min(most, size // each)  # a claim takes as many whatever the size
            found = uvloop.run(_measure(database, size, lanes, each, at_once, args.claims))
            for name, spent in found.items():
                _show(f"{size:>10,} in {lanes:,} lanes, {name}", spent, first.setdefault(name, spent.cpu_us))
    del database


def _show(name: str, spent: Spent, first_us: float) -> None:
    claim, settle = percentile(spent.claims, 50), percentile(spent.settles, 50)
    say(
        f"{name:<52}{spent.claimed / len(spent.claims):>6,.0f}{claim * 1e6:>9,.0f} µs{settle * 1e6:>9,.0f} µs"
        f"{spent.cpu_us:>9,.1f} µs{spent.cpu_us / first_us:>8.2f}"
    )


async def _measure(
    database: Database | None, waiting: int, lanes: int, each: int, at_once: int, claims: int
) -> dict[str, Spent]:
    """By what was measured."""
    kind = "postgres" if database else "sqlite"
    folder = Path(tempfile.mkdtemp(prefix="tocsin-bench-"))
    try:
        async with _opened(kind, folder) as store:
            bench = Bench(store, database)
            await bench.join()
            crowd = await bench.account(lanes)
            beside = await bench.account(1)
            fill = bench.fill_postgres if kind == "postgres" else bench.fill_sqlite
            await fill(crowd, waiting)
            await fill(beside, _BESIDE)
            found = {}
            for statistics in ("old statistics", "analysed") if kind == "postgres" else ("",):
                if statistics == "analysed":
                    await bench.analyse()
                found[f"{statistics} the account".strip()] = await bench.claim(crowd, each, at_once, claims)
                found[f"{statistics} beside it".strip()] = await bench.claim(beside, each, 1, claims // 2)
            began = time.perf_counter()
            told, after = 0, 0
            while page := await store.journal.lanes(after, 1_000):
                told, after = told + len(page), page[-1].webhook_id
            say(f"{'':<12}{told:,} lanes told in {(time.perf_counter() - began) * 1e3:,.1f} ms")
            return found
    finally:
        if kind == "postgres":
            await postgres.drop(folder)
        shutil.rmtree(folder)


@asynccontextmanager
async def _opened(kind: str, folder: Path) -> AsyncIterator[Store]:
    clock = SystemClock()
    if kind == "postgres":
        store: Store = await open_postgres(await postgres.database(folder), clock=clock)
    else:
        store = await open_sqlite(folder / "tocsin.db", clock=clock)
    Bench.address = postgres.address(postgres.name_of(folder)) if kind == "postgres" else ""
    try:
        yield store
    finally:
        await store.close()


@dataclass(frozen=True)
class Crowd:
    """An account and its lanes."""

    id: int
    lanes: Sequence[int]


class Bench:
    address = ""

    def __init__(self, store: Store, database: Database | None) -> None:
        self._store = store
        self._database = database
        self._clock = SystemClock()
        self._ids = IdSource(self._clock, node=1)
        self._random = random.Random(1)
        self._epoch = 0

    async def join(self) -> None:
        now = self._clock.now_ms()
        self._epoch = (await self._store.cluster.join(name="bench", sends=True, now=now, bury_before=now)).epoch

    async def account(self, lanes: int) -> Crowd:
        now = self._clock.now_ms()
        change = Change(at=now, actor="operator", action="benchmark", subject="")
        account = Account(
            id=self._ids.next(),
            name="Brand",
            profile="standard",
            timezone="UTC",
            external_id=None,
            notify_email=None,
            settings={},
            config_version=1,
            created_at=now,
            updated_at=now,
        )
        key = ApiKey(
            id=self._ids.next(),
            account_id=account.id,
            name="",
            hint="",
            digest=os.urandom(32),
            scopes=ALL_SCOPES,
            created_at=now,
            last_used_at=None,
            revoked_at=None,
        )
        await self._store.accounts.add(account, key, change)
        hooks = [self._webhook(account, now) for _ in range(lanes)]
        for begin in range(0, lanes, 200):
            await asyncio.gather(*(self._store.webhooks.add(hook, None, change) for hook in hooks[begin : begin + 200]))
        return Crowd(account.id, [hook.id for hook in hooks])

    def _webhook(self, account: Account, now: Millis) -> Webhook:
        return Webhook(
            id=self._ids.next(),
            account_id=account.id,
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

    async def fill_postgres(self, crowd: Crowd, waiting: int) -> None:
        """An event and a delivery each, lanes in turn, straight into the tables."""
        connection = await asyncpg.connect(self.address)
        now = self._clock.now_ms()
        base = first_at(Millis(now - 60_000 - waiting // 1_000)) + (crowd.id & 0x3FF)
        try:
            for begin in range(0, waiting, _CHUNK):
                numbers = (begin, min(begin + _CHUNK, waiting) - 1)
                await connection.execute(_EVENTS, crowd.id, base, now, _BODY, *numbers, timeout=3_600)
                await connection.execute(_DELIVERIES, crowd.id, base, now, list(crowd.lanes), *numbers, timeout=3_600)
        finally:
            await connection.close()

    async def fill_sqlite(self, crowd: Crowd, waiting: int) -> None:
        """As publishers would."""
        at = 0
        while at < waiting:
            now = self._clock.now_ms()
            n = min(2_000, waiting - at)
            answers = await self._store.journal.ingest(
                [
                    NewEvent(
                        id=self._ids.next(),
                        account_id=crowd.id,
                        type="click.created",
                        timestamp=now,
                        accepted_at=now,
                        data=_BODY,
                        external_id=None,
                        digest=b"",
                        source="api",
                        config_version=1 + len(crowd.lanes),
                        matched=1,
                        visitor_id=None,
                        deliveries=(
                            NewDelivery(
                                id=self._ids.next(), webhook_id=crowd.lanes[i % len(crowd.lanes)], claimed=False
                            ),
                        ),
                    )
                    for i in range(at, at + n)
                ],
                self._epoch,
            )
            assert {type(answer).__name__ for answer in answers} == {"Accepted"}, answers[0]
            at += n
        await asyncio.sleep(3)  # merges and checkpoints of what came before

    async def analyse(self) -> None:
        connection = await asyncpg.connect(self.address)
        try:
            await connection.execute("ANALYZE", timeout=3_600)
        finally:
            await connection.close()

    async def claim(self, crowd: Crowd, each: int, at_once: int, claims: int) -> Spent:
        """Claims, and settles what was claimed as tried in vain: it waits again, behind all others."""
        spent = Spent()
        cpu_s = self._cpu_s()
        for n in range(claims + claims // 10):
            wants = [(lane, each) for lane in self._random.sample(list(crowd.lanes), min(at_once, len(crowd.lanes)))]
            now = self._clock.now_ms()
            began = time.perf_counter()
            answer = await self._store.journal.claim(wants, now, self._epoch)
            claimed_s = time.perf_counter() - began
            settlements = [self._tried(one) for one in answer.claimed]
            began = time.perf_counter()
            await self._store.journal.settle(settlements, self._epoch)
            settled_s = time.perf_counter() - began
            if n == claims // 10:  # the first ones warm caches
                spent, cpu_s = Spent(), self._cpu_s()
            spent.claims.append(claimed_s)
            spent.settles.append(settled_s)
            spent.claimed += len(answer.claimed)
        spent.cpu_s = self._cpu_s() - cpu_s
        return spent

    def _cpu_s(self) -> float:
        return time.process_time() + (self._database.cpu_s() if self._database else 0.0)

    def _tried(self, claimed: Claimed) -> Settlement:
        now = self._clock.now_ms()
        return Settlement(
            delivery_id=claimed.id,
            attempt=_attempt(self._ids.next(), claimed, now),
            state=DeliveryState.RETRYING,
            due_at=now,
            tries=1,
            settled_at=now,
        )


def _attempt(id_: int, claimed: Claimed, now: Millis) -> Attempt:
    return msgspec.structs.replace(_ATTEMPT, id=id_, delivery_id=claimed.id, n=claimed.attempts + 1, started_at=now)


_ATTEMPT = Attempt(
    id=0,
    delivery_id=0,
    n=1,
    trigger=Trigger.SCHEDULE,
    started_at=Millis(0),
    outcome=Outcome(kind=OutcomeKind.TIMEOUT, duration_us=15_000_000),
    method="POST",
    url_shown="https://example.com/",
    request_headers=(("Content-Type", "application/json"),),
    request_body=None,
    webhook_version=1,
)

_EVENTS = """
INSERT INTO event (account_id, id, type, timestamp, accepted_at, source, config_version, matched, data)
SELECT $1::bigint, $2::bigint + i * 2048, 'click.created', $3::bigint, $3, 'api', 1, 1, $4::bytea
FROM generate_series($5::bigint, $6::bigint) AS i
"""
_DELIVERIES = """
INSERT INTO delivery_live (account_id, id, event_id, webhook_id, at, claim_count, state)
SELECT
  $1::bigint, $2::bigint + i * 2048 + 1024, $2 + i * 2048, ($4::bigint[])[i % cardinality($4) + 1], $3::bigint, 0, 10
FROM generate_series($5::bigint, $6::bigint) AS i
"""


if __name__ == "__main__":
    main()
