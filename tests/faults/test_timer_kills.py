"""`kill -9` while hold times end and midnights are made up for: each is done once, whoever does it."""

import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.faults.conftest import drills
from tests.faults.fleets import TAKEN_OVER_WITHIN_S, shared_out
from tests.faults.lives import Lives
from tests.faults.plans import TAKING_IN
from tests.support.api import Shop
from tests.support.cluster import POSTGRES, THREE, Fleet, Shape
from tests.support.receiver import LedgerReceiver
from tests.support.waiting import until

_CONVERSIONS, _HOLD_S = 30, 2
_PROPERTIES, _DAYS = 5, 3
_MIDNIGHTS = "SELECT due_at FROM timer WHERE name LIKE 'midnight%'"
_DONE_WITHIN_S = 60.0

# See `drills`.
_SHORT = {POSTGRES: (), THREE: ("before_commit",)}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "shape" in metafunc.fixturenames:
        found = drills(metafunc.config, TAKING_IN, _SHORT)
        metafunc.parametrize(("shape", "failpoint", "seed"), found)


def test_timers_run_once(shape: Shape, failpoint: str, seed: int, tmp_path: Path) -> None:
    """Every conversion is approved once when its hold time is over, and every day of several properties that fell due
    is summed up once, though whoever does so dies, and in its next life dies again.
    """
    rng = random.Random(f"timers/{shape}/{failpoint}/{seed}")
    properties: list[Shop] = []
    networks: list[Shop] = []
    with LedgerReceiver() as receiver, Fleet(shape, tmp_path, retry_scale=0.002) as fleet:
        # The first commits of whoever runs timers; where it also takes requests, theirs are among them.
        kills = [f"{failpoint}:{rng.randint(1, 3)}", f"{rng.choice(TAKING_IN)}:{rng.randint(1, 3)}"]
        lives = Lives(fleet, kills, mortal=shape.senders, revive=rng.random() < 0.5)

        def prepare() -> None:
            for n in range(_PROPERTIES):
                shop = fleet.operator.shop(f"property {n}")
                made = shop.webhook(receiver.url(f"/property-{n}"), ["summary.daily"])
                receiver.trust(f"/property-{n}", made["secret"])
                properties.append(shop)
            networks.append(fleet.operator.shop("network", "trcker"))
            networks[0].ok("PUT", "/v1/offers/summer", {"name": "Summer", "hold_s": _HOLD_S})
            _fall_due(fleet)

        lives.start(prepare)
        [network] = networks
        for n in range(_CONVERSIONS):
            _post(lives, network, n)
        lives.until(lambda: lives.risen, lambda: "a death", _DONE_WITHIN_S)
        lives.until(
            lambda: (
                _fired(lives, network)["conversion.approved"] >= _CONVERSIONS
                and all(_fired(lives, shop)["summary.daily"] >= _DAYS for shop in properties)
                and all(len(receiver.arrivals(f"/property-{n}")) >= _DAYS for n in range(_PROPERTIES))
            ),
            lambda: f"all fired; {_fired(lives, network)}, {[_fired(lives, shop) for shop in properties]}",
            _DONE_WITHIN_S,
        )
        time.sleep(0.5)  # what would come twice comes now
        assert _fired(lives, network) == {
            "conversion.created": _CONVERSIONS,
            "conversion.approved": _CONVERSIONS,
        }
        for n, shop in enumerate(properties):
            assert _fired(lives, shop) == {"summary.daily": _DAYS}
            arrivals = receiver.arrivals(f"/property-{n}")
            assert all(arrival.verified for arrival in arrivals)
            days = {arrival.id: arrival.data["date"] for arrival in arrivals}
            assert len(days) == _DAYS == len(set(days.values()))


@pytest.mark.slow
def test_a_frozen_process_holds_up_no_timers(tmp_path: Path) -> None:
    """Whoever runs timers freezes in the middle of the transaction that does so: its locks are taken from it, another
    one runs them, and when it wakes it has done none of them a second time.
    """
    with LedgerReceiver() as receiver, Fleet(THREE, tmp_path, retry_scale=0.002) as fleet:
        token = fleet.folder / "token"
        token.touch()
        fleet.start(dict.fromkeys(THREE.senders, f"before_commit:1:stop:{token}"))
        network = fleet.operator.shop("network", "trcker")
        network.ok("PUT", "/v1/offers/summer", {"name": "Summer", "hold_s": _HOLD_S})
        hook = network.webhook(receiver.url("/network"), ["conversion.approved"])
        lives = Lives(fleet, [])
        for n in range(_CONVERSIONS):
            _post(lives, network, n)
        until(lambda: any(process.frozen for process in fleet.senders), "frozen")
        [frozen] = [process for process in fleet.senders if process.frozen]
        lives.until(
            lambda: _fired(lives, network)["conversion.approved"] == _CONVERSIONS,
            lambda: f"all approved by others; {_fired(lives, network)}",
            TAKEN_OVER_WITHIN_S,
        )
        frozen.thaw()
        shared_out(fleet, senders=3)
        until(frozen.ready, "ready again")
        until(lambda: len(receiver.counts("/network")) == _CONVERSIONS, "all told")
        assert {one["status"] for one in network.deliveries(webhook=hook["id"])} <= {"succeeded", "sending"}
        assert _fired(lives, network) == {"conversion.created": _CONVERSIONS, "conversion.approved": _CONVERSIONS}


def _fall_due(fleet: Fleet) -> None:
    """Has the properties' open days be some days ago, as after a time in which nothing ran."""
    until(lambda: len(fleet.query(_MIDNIGHTS)) >= _PROPERTIES, "the properties' midnights")
    if not fleet.shape.on_postgres:
        fleet.api.kill9()  # as nobody else may write to its file
    midnight = datetime.fromtimestamp(fleet.query(_MIDNIGHTS)[0][0] / 1000, UTC)
    opened = (midnight - timedelta(hours=12)).date()
    before = opened - timedelta(days=_DAYS)
    for (value,) in fleet.query("SELECT DISTINCT value FROM trigger_state"):
        moved = bytes(value).replace(str(opened).encode(), str(before).encode())  # whatever else is in it
        fleet.query("UPDATE trigger_state SET value = $1 WHERE value = $2", moved, value)
    fleet.query(f"UPDATE timer SET due_at = due_at - {_DAYS * 86_400_000} WHERE name LIKE 'midnight%'")


def _post(lives: Lives, shop: Shop, n: int) -> None:
    fact = {
        "kind": "conversion",
        "conversion_id": f"sale-{n}",
        "offer": {"id": "summer", "name": "Summer"},
        "partner": {"id": "p", "name": "P"},
        "payout": "4.50",
        "currency": "USD",
        "external_id": f"fact-{n}",
    }

    def look() -> bool:
        try:
            answer = shop.call("POST", "/v1/activity", fact)
        except OSError:
            return False
        assert answer.status in {202, 503}, answer.body
        return answer.status == 202

    lives.until(look, lambda: "an answer", _DONE_WITHIN_S)


def _fired(lives: Lives, shop: Shop) -> Counter[str]:
    """The events that there are, by type; none where nobody answers."""
    try:
        return Counter(event["type"] for event in shop.pages("/v1/events"))
    except OSError:
        lives.tend()
        return Counter()
