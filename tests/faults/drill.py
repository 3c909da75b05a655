"""One fault drill: publish to a real server, let it die where the plan says, start it again, gather the evidence.

A plan is made from a failpoint's name and a seed, and nothing else, so that a drill can be repeated.
"""

import http.client
import itertools
import random
import signal
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.api import CLICK, Json, Shop
from tests.support.receiver import Arrival, LedgerReceiver
from tests.support.replies import Answer, Reply
from tests.support.server import Server
from tests.support.waiting import until
from tocsin import failpoints

# The standard profile's 5 s and 5 min become 10 ms and 0.6 s: two failures in a row still fit a short drill.
RETRY_SCALE = 0.002

# Only at these is there, if all is quiet, nothing whose outcome is unknown: not a single duplicate is allowed then.
_NOTHING_SENT = ("before_commit", "after_commit", "after_claim")

_DONE_WITHIN_S = 60.0


@dataclass(frozen=True)
class Plan:
    failpoint: str
    seed: int
    quiet: bool  # one event at a time, each settled before the next is published
    requests: tuple[tuple[int, ...], ...]  # the events' numbers; one: a single POST, more: a batch
    publishers: int
    webhooks: int
    kills: tuple[str, ...]  # where each life ends, until one has no entry; only the first is sure to be reached
    failures: dict[tuple[int, int], int]  # (webhook, event): how many attempts are answered 500 first
    delays_s: tuple[float, ...]  # of the receivers' answers, one a webhook

    @property
    def events(self) -> int:
        return sum(map(len, self.requests))

    def __str__(self) -> str:
        return (
            f"{self.failpoint}, seed {self.seed} ({'quiet' if self.quiet else 'loud'}: {self.events} events in "
            f"{len(self.requests)} requests by {self.publishers} publishers to {self.webhooks} webhooks; dies at "
            f"{', then '.join(self.kills)}); repeat with: pytest tests/faults -k {self.failpoint} --seed {self.seed}"
        )


def plan(failpoint: str, seed: int) -> Plan:
    rng = random.Random(f"{failpoint}/{seed}")
    quiet = failpoint in _NOTHING_SENT and seed % 2 == 0
    events = rng.randint(5, 10) if quiet else rng.randint(30, 100)
    publishers = 1 if quiet else rng.randint(2, 6)
    webhooks = 1 if quiet else rng.randint(1, 4)
    largest = 1 if quiet else rng.choice((1, 3, 20))
    numbers = iter(range(events))
    requests = []
    while taken := tuple(itertools.islice(numbers, rng.randint(1, largest))):
        requests.append(taken)
    # Claims happen where a delivery waits in the store: after a failure.
    fails = 1.0 if failpoint == "after_claim" and quiet else rng.choice((0.2, 0.5))
    failures = {
        pair: rng.choices((1, 2), (9, 1))[0]
        for pair in itertools.product(range(webhooks), range(events))
        if rng.random() < fails
    }
    latest = {  # the last time that is sure to come: publishers wait for commits, outcomes are settled in batches
        "before_commit": max(1, len(requests) // publishers),
        "after_commit": max(1, len(requests) // publishers),
        "after_claim": events if quiet else 2,
        "after_send": events * webhooks // 2,
        "before_settle": 3,
    }
    kills = [f"{failpoint}:{rng.randint(1, latest[failpoint])}"]
    if not quiet and rng.random() < 0.4:  # and again, while it recovers or soon after
        kills.append(f"{rng.choice(failpoints.DELIVERING)}:{rng.randint(1, 3)}")
    return Plan(
        failpoint=failpoint,
        seed=seed,
        quiet=quiet,
        requests=tuple(requests),
        publishers=publishers,
        webhooks=webhooks,
        kills=tuple(kills),
        failures=failures,
        delays_s=tuple(rng.choice((0.0, 0.002, 0.02)) for _ in range(webhooks)),
    )


@dataclass
class Evidence:
    """What all sides know in the end."""

    plan: Plan
    killed_at: list[float]  # seconds since 1970, at most some hundredths late
    answers: dict[int, list[tuple[str, bool]]]  # by event number, what its publisher was told: id, duplicate
    webhook_ids: list[str]
    ledger: list[list[Arrival]]  # by webhook
    events: list[Json]  # as the API lists them
    deliveries: list[Json]  # as the API lists them, each with its attempts


@dataclass
class Drill:
    plan: Plan
    server: Server
    shop: Shop
    receiver: LedgerReceiver
    webhook_ids: list[str] = field(default_factory=list)
    killed_at: list[float] = field(default_factory=list)
    failed: list[Exception] = field(default_factory=list)  # of the publishers
    answers: defaultdict[int, list[tuple[str, bool]]] = field(default_factory=lambda: defaultdict(list))

    def run(self) -> Evidence:
        self._subscribe()
        publishers = [
            threading.Thread(target=self._publish, args=(self.plan.requests[i :: self.plan.publishers],), daemon=True)
            for i in range(self.plan.publishers)
        ]
        self.server.restart(self.plan.kills[0])
        for publisher in publishers:
            publisher.start()
        self._live_and_die(publishers)
        listed = self.shop.deliveries()
        return Evidence(
            plan=self.plan,
            killed_at=self.killed_at,
            answers=self.answers,
            webhook_ids=self.webhook_ids,
            ledger=[self.receiver.arrivals(_path(webhook)) for webhook in range(self.plan.webhooks)],
            events=list(self.shop.pages("/v1/events")),
            deliveries=[self.shop.delivery(delivery["id"]) for delivery in listed],
        )

    def _subscribe(self) -> None:
        for webhook in range(self.plan.webhooks):
            made = self.shop.webhook(self.receiver.url(_path(webhook)), [CLICK])
            self.webhook_ids.append(made["id"])
            self.receiver.trust(_path(webhook), made["secret"])
            self.receiver.script(_path(webhook), self._answers_of(webhook))
        self.shop.example(CLICK)  # asked for now: there may be no server to ask later

    def _answers_of(self, webhook: int):
        seen: defaultdict[int, int] = defaultdict(int)

        def answer(arrival: Arrival) -> Reply:
            number = arrival.data["number"]
            seen[number] += 1
            fails = seen[number] <= self.plan.failures.get((webhook, number), 0)
            return Answer(500 if fails else 200, after_s=self.plan.delays_s[webhook])

        return answer

    # --- publishing ---------------------------------------------------------------------------------------------

    def _publish(self, requests: tuple[tuple[int, ...], ...]) -> None:
        try:
            for numbers in requests:
                self._publish_one(numbers)
                if self.plan.quiet:
                    self._insist(lambda n=numbers[0]: self._settled(n))
        except Exception as error:  # noqa: BLE001 - raised again where the drill waits
            self.failed.append(error)

    def _publish_one(self, numbers: tuple[int, ...]) -> None:
        events = [self.shop.event(CLICK, f"drill-{number}", number=number) for number in numbers]
        if len(events) == 1:
            receipts = [self._insist(lambda: self._accepted("/v1/events", events[0]))]
        else:
            receipts = self._insist(lambda: self._accepted("/v1/events/batch", {"events": events}))["results"]
        for number, receipt in zip(numbers, receipts, strict=True):
            self.answers[number].append((receipt["id"], receipt["duplicate"]))

    def _accepted(self, path: str, body: Json) -> Json | None:
        answer = self.shop.call("POST", path, body)
        assert answer.status in {200, 202, 503}, f"{path}: {answer.status} {answer.body.decode()}"
        return None if answer.status == 503 else answer.json

    def _settled(self, number: int) -> bool:
        """Each delivery of the event has ended."""
        event_id = self.answers[number][-1][0]
        found = self.shop.deliveries(event=event_id)
        return len(found) == self.plan.webhooks and all(one["status"] == "succeeded" for one in found)

    def _insist(self, ask):
        """Asks until there is an answer, as a publisher does whose server has died."""

        def look():
            try:
                return ask()
            except (OSError, http.client.HTTPException):
                return None

        return until(look, f"an answer ({self.plan})", _DONE_WITHIN_S)

    # --- dying --------------------------------------------------------------------------------------------------

    def _live_and_die(self, publishers: list[threading.Thread]) -> None:
        lives = iter(self.plan.kills[1:])
        while True:
            until(
                lambda: not self.server.running or self._all_done(publishers),
                lambda: (
                    f"all delivered, or the server's end ({self.plan}): {self._missing()}\n{self.server.log_tail()}"
                ),
                _DONE_WITHIN_S,
            )
            if self.server.running:
                return
            ended = self.server.wait_end()
            assert ended == -signal.SIGKILL, f"it ended by itself, code {ended}: {self.plan}\n{self.server.log_tail()}"
            self.killed_at.append(time.time())
            self.server.start(next(lives, None))

    def _all_done(self, publishers: list[threading.Thread]) -> bool:
        if self.failed:
            raise self.failed[0]
        if any(publisher.is_alive() for publisher in publishers) or self._missing():
            return False
        try:
            return all(delivery["status"] == "succeeded" for delivery in self.shop.deliveries())
        except (OSError, http.client.HTTPException):
            return False

    def _missing(self) -> list[str]:
        missing = []
        for webhook in range(self.plan.webhooks):
            taken = {arrival.data["number"] for arrival in self.receiver.arrivals(_path(webhook)) if arrival.ok}
            if len(taken) < self.plan.events:
                missing.append(f"{_path(webhook)} has taken {len(taken)} of {self.plan.events}")
        return missing


def _path(webhook: int) -> str:
    return f"/webhook-{webhook}"


def run(plan: Plan, folder: Path, **settings: str) -> Evidence:
    with LedgerReceiver() as receiver, Server(folder, retry_scale=RETRY_SCALE, **settings) as server:
        return Drill(plan, server, server.operator.shop(), receiver).run()
