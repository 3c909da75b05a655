"""`kill -9` while activity is posted: every fact is counted once, and what fires once has fired once."""

import http.client
import itertools
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import drills
from tests.faults.lives import Lives
from tests.faults.plans import TAKING_IN
from tests.support.api import Json, Shop
from tests.support.cluster import POSTGRES, THREE, Fleet, Shape
from tests.support.receiver import Arrival, LedgerReceiver
from tests.support.replies import Answer, Reply
from tests.support.waiting import until
from tocsin.failpoints import DELIVERING

_PUBLISHERS = 4
_DONE_WITHIN_S = 60.0
_PATH = "/hook"

_VISITORS, _VISITS, _SPENDS, _BUDGET, _CONVERSIONS = 6, 5, 30, 20, 20

# What all facts together fire, in whichever order they come. The budget's 80 % and 100 % are reached once each.
_EXPECTED = {
    "visit.created": _VISITORS * _VISITS,
    "visitor.created": _VISITORS,
    "conversion.created": _CONVERSIONS,
    "campaign.created": 1,
    "budget.threshold": 2,
    "budget.exhausted": 1,
    "campaign.paused": 1,
}


def _facts(rng: random.Random) -> list[Json]:
    visits = [
        {
            "kind": "visit",
            "visit_id": f"visit-{visitor}-{n}",
            "url": "https://example.com/",
            "visitor": {"id": f"visitor-{visitor}", "ip": f"192.0.2.{visitor}"},
        }
        for visitor, n in itertools.product(range(_VISITORS), range(_VISITS))
    ]
    spends = [
        {"kind": "spend", "campaign": {"id": "summer"}, "amount": "1.00", "currency": "USD"} for _ in range(_SPENDS)
    ]
    conversions = [
        {"kind": "conversion", "conversion_id": f"sale-{n}", "payout": "4.50", "currency": "USD"}
        for n in range(_CONVERSIONS)
    ]
    facts = visits + spends + conversions
    rng.shuffle(facts)
    return [fact | {"external_id": f"fact-{n}"} for n, fact in enumerate(facts)]


class _Drill:
    """Publishers that insist, and processes that die."""

    def __init__(self, lives: Lives, rng: random.Random) -> None:
        self.lives = lives
        self.answers: defaultdict[str, list[Json]] = defaultdict(list)
        self.failed: list[Exception] = []
        self._rng = rng

    def start(self, prepare: Callable[[Shop], None]) -> Shop:
        """Makes an account of its own, and what is to be there before anybody dies."""

        def made() -> None:
            self.shop = self.lives.fleet.operator.shop()
            prepare(self.shop)

        self.lives.start(made)
        return self.shop

    def run(self, facts: list[Json]) -> None:
        """Until all of them are answered for, and somebody has died."""
        requests = []
        left = list(facts)
        while left:
            size = self._rng.choice((1, 1, 3, 10))
            requests.append(left[:size])
            del left[:size]
        publishers = [
            threading.Thread(target=self._publish, args=(requests[i::_PUBLISHERS],), daemon=True)
            for i in range(_PUBLISHERS)
        ]
        for publisher in publishers:
            publisher.start()

        def done() -> bool:
            assert not self.failed, self.failed
            return self.lives.risen and not any(publisher.is_alive() for publisher in publishers)

        self.lives.until(done, lambda: "all posted, and a death", _DONE_WITHIN_S)

    def post(self, facts: list[Json]) -> list[Json]:
        """Until every one of them is answered for."""
        body = facts[0] if len(facts) == 1 else {"activities": facts}

        def ask() -> list[Json] | None:
            try:
                answer = self.shop.call("POST", "/v1/activity", body)
            except (OSError, http.client.HTTPException):
                return None
            assert answer.status in {202, 503}, answer.body
            if answer.status == 503:
                return None
            results = answer.json["results"]
            # Those of a batch that could not be written say so; all are posted again.
            return None if any(result["status"] == "refused" for result in results) else results

        return until(ask, lambda: f"an answer\n{self.lives.fleet.log_tail()}", _DONE_WITHIN_S)

    def _publish(self, requests: list[list[Json]]) -> None:
        try:
            for facts in requests:
                for fact, result in zip(facts, self.post(facts), strict=True):
                    self.answers[fact["external_id"]].append(result)
        except Exception as error:  # noqa: BLE001 - raised again where the drill waits
            self.failed.append(error)


# See `drills`.
_SHORT = {POSTGRES: ("before_settle",), THREE: ("after_commit",)}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize(("shape", "failpoint", "seed"), drills(metafunc.config, DELIVERING, _SHORT))


def test_every_fact_counts_once_and_fires_once(shape: Shape, failpoint: str, seed: int, tmp_path: Path) -> None:
    """Whatever dies while activity is posted again and again until it is answered for."""
    rng = random.Random(f"activity/{shape}/{failpoint}/{seed}")
    kills = [f"{failpoint}:{rng.randint(1, 3)}"]  # outcomes are written in batches: so often is sure to come
    if seed % 2:
        kills.append(f"{rng.choice(TAKING_IN)}:{rng.randint(1, 4)}")
    facts = _facts(rng)

    def prepare(shop: Shop) -> None:
        made = shop.webhook(receiver.url(_PATH), ["*"])
        receiver.trust(_PATH, made["secret"])
        if failpoint == "after_claim":  # claims happen where a delivery waits in the store: after a failure
            receiver.script(_PATH, _each_fails_once())
        campaign = {"id": "summer", "name": "Summer", "budget": str(_BUDGET)}
        shop.post("/v1/activity", {"kind": "campaign", "campaign": campaign, "action": "created"})

    with LedgerReceiver() as receiver, Fleet(shape, tmp_path, retry_scale=0.002) as fleet:
        drill = _Drill(Lives(fleet, kills), rng)
        shop = drill.start(prepare)
        drill.run(facts)
        again = drill.post(facts)

        # Every fact has one answer, however often it was posted, and was new at most once.
        for fact, repeated in zip(facts, again, strict=True):
            told = [*drill.answers[fact["external_id"]], repeated]
            assert len({result["id"] for result in told}) == 1
            assert sum(result["status"] == "accepted" for result in told) <= 1
            assert len({tuple((one["id"], one["type"]) for one in result["events"]) for result in told}) == 1
            assert repeated["status"] == "duplicate"

        # Everything fired as often as it should have, and was told to whoever posted it.
        listed = list(shop.pages("/v1/events"))
        assert Counter(event["type"] for event in listed) == _EXPECTED
        fired = Counter(one["id"] for result in again for one in result["events"])
        assert fired == Counter(event["id"] for event in listed if event["type"] != "campaign.created")

        # And it arrived.
        arrived: dict[str, Any] = {}

        def all_arrived() -> bool:
            arrived.update((arrival.id, arrival.json) for arrival in receiver.arrivals(_PATH) if arrival.ok)
            return len(arrived) >= len(listed)

        drill.lives.until(all_arrived, lambda: f"{len(arrived)} of {len(listed)} events", _DONE_WITHIN_S)
        assert set(arrived) == {event["id"] for event in listed}
        assert all(arrival.verified for arrival in receiver.arrivals(_PATH))
        firsts = Counter(
            body["data"]["visitor"]["id"] for body in arrived.values() if body["type"] == "visitor.created"
        )
        assert firsts == {f"visitor-{n}": 1 for n in range(_VISITORS)}


def _each_fails_once() -> Callable[[Arrival], Reply]:
    seen: set[str] = set()

    def answer(arrival: Arrival) -> Reply:
        first = arrival.id not in seen
        seen.add(arrival.id)
        return Answer(500 if first else 200)

    return answer
