"""A day of generated traffic through the product: real store, rules and HTTP over loopback, on a clock that goes along.

    outcome = run_day(tmp_path, clicks=5_000, seed=1)

The clock stands at each batch's last activity when it is posted, and goes past midnight after the last: so the day ends
as days do, and takes as long as the server takes.
"""

import asyncio
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

import uvicorn

from tests.support.api import Operator, Shop
from tests.support.waiting import until
from tocsin.app import App, open_app
from tocsin.cli.traffic import Day, Made, Truth
from tocsin.cli.traffic.day import DAY_MS
from tocsin.clock import ManualClock, Millis
from tocsin.config import Settings

ZONE = ZoneInfo("Europe/Berlin")
DATE = "2026-03-14"
BEGINS = Millis(round(datetime.fromisoformat(DATE).replace(tzinfo=ZONE).timestamp() * 1000))
LABELS = ("CLEAN", "SUSPICIOUS", "FRAUD")
TOP_RULES = 5  # CONTRACT §5
_GATHERED_MS = 180_000
_SAY_EVERY = 20_000


class ServerHere:
    """The server on a loop in a thread of this process, on a port of its own, so that its clock can be moved."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self._operator_key = f"tsn_{secrets.token_urlsafe(32)}"
        self._settings = Settings(db=f"sqlite:///{folder / 'tocsin.db'}", admin_key=self._operator_key, drain_s=1.0)
        self._clock = clock
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="server", daemon=True)
        self._app: App
        self._server: uvicorn.Server
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self._app = self._run(open_app(self._settings, self._clock))
        config = uvicorn.Config(
            self._app.asgi, port=0, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False
        )
        self._server = uvicorn.Server(config)
        self._server.capture_signals = _Nothing  # type: ignore[method-assign]  # they are the test's own
        self._serving = asyncio.run_coroutine_threadsafe(self._server.serve(), self._loop)
        until(lambda: self._server.started, lambda: "a start", 20)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._serving.result(20)
        self._run(self._app.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def operator(self) -> Operator:
        return Operator(lambda: self.url, self._operator_key)

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(40)


class _Nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


class Recount:
    """The day counted again from the answers, by the words of the contract: each visitor once, at the highest label."""

    def __init__(self) -> None:
        self._labels: dict[str, int] = {}
        self._rules: dict[str, set[str]] = {}

    def judged(self, visitor: str, label: str, rules: Iterable[str]) -> None:
        self._labels[visitor] = max(self._labels.get(visitor, 0), LABELS.index(label))
        self._rules.setdefault(visitor, set()).update(rules)

    def summary(self) -> dict[str, Any]:
        """As `summary.daily` has it, but for what says which day it was."""
        labels = Counter(self._labels.values())
        rules = Counter(rule for held in self._rules.values() for rule in held)
        total = len(self._labels)
        top = sorted(rules.items(), key=lambda item: (-item[1], item[0]))[:TOP_RULES]
        return {
            "visitors": {
                "total": total,
                "clean": labels[0],
                "suspicious": labels[1],
                "fraud": labels[2],
            },
            "fraud_rate": int(1000 * labels[2] / max(total, 1) + 0.5) / 10,
            "top_rules": [{"rule": rule, "count": count} for rule, count in top],
        }


@dataclass
class Outcome:
    """`fired`: events by type, as the answers tell; `expected`: as the ledger and the judgements say they must be."""

    activities: Counter[str] = field(default_factory=Counter)
    fired: Counter[str] = field(default_factory=Counter)
    expected: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    truth: Truth = field(default_factory=Truth)
    recount: dict[str, Any] = field(default_factory=dict)
    summaries: list[dict[str, Any]] = field(default_factory=list)
    posting_s: float = 0.0


def run_day(
    folder: Path, *, clicks: int, seed: int, batch: int = 500, say: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Posts a day to an account of `standard`, and waits for its summary."""
    clock = ManualClock(BEGINS)
    with ServerHere(folder, clock) as server:
        shop = server.operator.shop("a day", timezone=ZONE.key)
        outcome, recount = Outcome(), Recount()
        seen: set[str] = set()
        began = time.perf_counter()
        for together in _batched(Day(clicks=clicks, seed=seed, begins_at=BEGINS), batch):
            clock.advance((together[-1].at - clock.now_ms()) / 1000)
            results = shop.post("/v1/activity", {"activities": [made.body for made in together]})["results"]
            for made, result in zip(together, results, strict=True):
                _take(outcome, recount, seen, made, result)
            if (done := sum(outcome.activities.values())) // _SAY_EVERY > (done - len(together)) // _SAY_EVERY:
                took_s = time.perf_counter() - began
                say(f"{done:,} activities, {took_s:.0f} s, {time.process_time():.0f} of them at work …")
        outcome.posting_s = time.perf_counter() - began
        outcome.recount = recount.summary()
        clock.advance((BEGINS + DAY_MS - clock.now_ms()) / 1000 + 1)
        until(lambda: list(shop.pages("/v1/events", type="summary.daily")), lambda: "the day's summary", 20)
        outcome.summaries = _summaries(shop)
    return outcome


def _batched(day: Iterable[Made], size: int) -> Iterator[list[Made]]:
    """As a platform posts that gathers for minutes. Not for hours: what compares clicks of minutes forgets them by
    the server's clock.
    """
    together: list[Made] = []
    for made in day:
        if together and (len(together) == size or made.at - together[0].at >= _GATHERED_MS):
            yield together
            together = []
        together.append(made)
    yield together


def _take(outcome: Outcome, recount: Recount, seen: set[str], made: Made, result: Mapping[str, Any]) -> None:
    assert result.get("duplicate") is False, f"{made.body}: {result}"
    outcome.activities[made.kind] += 1
    outcome.fired.update(event["type"] for event in result["events"])
    outcome.expected.update(_expected(made, result, seen))
    if "label" in result:
        rules = [reason["rule"] for reason in result["reasons"]]
        outcome.labels[result["label"]] += 1
        recount.judged(made.body["visitor"]["id"], result["label"], rules)
        if made.kind == "click":
            outcome.truth.judged(made, result["label"], rules)


def _expected(made: Made, result: Mapping[str, Any], seen: set[str]) -> Iterator[str]:
    """What the firing table (CONTRACT §5) makes of it; of budgets and caps, none is reached on such a day."""
    body, kind = made.body, made.kind
    rules = {reason["rule"] for reason in result.get("reasons", ())}
    if kind in ("click", "visit", "impression", "conversion"):
        yield f"{kind}.created"
    if kind == "visit" and body["visitor"]["id"] not in seen:
        seen.add(body["visitor"]["id"])
        yield "visitor.created"
    if kind in ("click", "visit"):
        yield from {"FRAUD": ["fraud.detected"], "SUSPICIOUS": ["visitor.high_risk"]}.get(result["label"], [])
        if rules & {"webdriver_present", "bot_user_agent"}:
            yield "bot.detected"
        if rules & {"vpn_detected", "tor_exit"}:
            yield "vpn.detected"
    if kind == "conversion_status":
        yield f"conversion.{body['status']}"
    if kind == "partner":
        yield f"partner.{body['status']}"
    if kind == "campaign":
        yield f"campaign.{body['action']}"
    if kind == "billing":
        yield "billing.updated"


def _summaries(shop: Shop) -> list[dict[str, Any]]:
    found = shop.pages("/v1/events", type="summary.daily")
    return [shop.get(f"/v1/events/{event['id']}")["data"] for event in found]
