"""The server dies (SIGKILL) while alerts are being gathered: nothing is lost, and each is told or counted once."""

import asyncio
import http.client
import random
import re
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import drills
from tests.faults.lives import Lives
from tests.support.api import Shop
from tests.support.cluster import POSTGRES, THREE, Fleet, Shape
from tocsin.receiver.doubles import TelegramDouble

_EVENTS = 60
_COUNTED = re.compile(r"([\d,]+) alerts?\b")

# Where it dies, and the last passing that is sure to come.
_LATEST = {"after_claim": 2, "before_gather": 2, "after_gather": 3, "after_send": 3, "before_settle": 2}
_DEATHS = tuple(_LATEST)

_TYPES = ("click.created", "fraud.detected")


@pytest.fixture
def chat() -> Iterator[TelegramDouble]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(40)

    double = TelegramDouble(rate_limits=False)
    run(double.__aenter__())
    yield double
    run(double.__aexit__(None, None, None))
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


# See `drills`.
_SHORT = {POSTGRES: (), THREE: ("after_gather",)}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize(("shape", "death", "seed"), drills(metafunc.config, _DEATHS, _SHORT))


def test_every_alert_is_told_or_counted_once(
    shape: Shape, death: str, seed: int, chat: TelegramDouble, tmp_path: Path
) -> None:
    """Whatever was under way: each delivery ends once, the digests count their members, and the chat shows all."""
    rng = random.Random(f"digest/{shape}/{death}/{seed}")
    with Fleet(shape, tmp_path, retry_scale=0.01) as fleet:
        lives = Lives(fleet, [f"{death}:{rng.randint(1, _LATEST[death])}"], revive=rng.random() < 0.5)
        made: dict[str, Any] = {}

        def prepare() -> None:
            shop = made["shop"] = fleet.operator.shop()
            options = {"digest": {"window_s": 2, "max": 1}}
            made["webhook"] = shop.webhook(chat.address, list(_TYPES), channel="telegram", options=options)["id"]
            for type_ in _TYPES:
                shop.example(type_)

        lives.start(prepare)
        shop, webhook = made["shop"], made["webhook"]
        for n in range(_EVENTS):
            _insist(lives, lambda n=n: shop.publish(_TYPES[n % 2], f"alert-{n}"))
        lives.until(lambda: lives.risen, lambda: "the death that was planned", 30)
        lives.until(lambda: _ended(shop, webhook), lambda: f"an end; {_listed(shop, webhook)}", 60)
        _check(shop, webhook, chat)


def _check(shop: Shop, webhook: str, chat: TelegramDouble) -> None:
    events = [one for one in _listed(shop, webhook) if one["id"].startswith("dlv_")]
    digests = {one["id"]: one for one in _listed(shop, webhook) if one["id"].startswith("dig_")}
    assert len(events) == _EVENTS
    singles = [one for one in events if one["status"] == "succeeded"]
    members = [one for one in events if one["status"] == "digested"]
    assert len(singles) + len(members) == _EVENTS
    assert {one["status"] for one in digests.values()} <= {"succeeded", "digested"}
    # One message at most was on its way and not written down: it may have been told again, alone or in a summary.
    told = [_counted(message.text) for message in chat.messages]
    assert sum(told) - _EVENTS in {0, *told}
    assert len({one["event_id"] for one in events}) == _EVENTS


def _insist(lives: Lives, ask: Callable[[], object]) -> None:
    """Publishes until it is accepted, by whichever process is there."""

    def look() -> bool:
        try:
            ask()
        except (OSError, http.client.HTTPException):
            return False
        return True

    lives.until(look, lambda: "an answer", 30)


def _listed(shop: Shop, webhook: str) -> list[Any]:
    return shop.deliveries(webhook=webhook)


def _ended(shop: Shop, webhook: str) -> bool:
    return all(one["status"] in {"succeeded", "digested"} for one in _listed(shop, webhook))


def _counted(text: str) -> int:
    found = _COUNTED.search(text.splitlines()[0])
    return int(found[1].replace(",", "")) if found else 1
