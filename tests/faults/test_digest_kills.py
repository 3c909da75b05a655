"""The server dies (SIGKILL) while alerts are being gathered: nothing is lost, and each is told or counted once."""

import asyncio
import http.client
import re
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from tests.conftest import ServerStarter
from tests.support.api import Shop
from tests.support.waiting import until
from tocsin.receiver.doubles import TelegramDouble

_EVENTS = 60
_COUNTED = re.compile(r"([\d,]+) alerts?\b")

# Where it dies, and at which passing.
_DEATHS = ("after_claim:2", "before_gather:2", "after_gather:1", "after_gather:3", "after_send:3", "before_settle:2")


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


@pytest.mark.parametrize("death", _DEATHS)
def test_every_alert_is_told_or_counted_once(death: str, chat: TelegramDouble, start_server: ServerStarter) -> None:
    """Whatever was under way: each delivery ends once, the digests count their members, and the chat shows all."""
    server = start_server(retry_scale=0.01)
    shop = server.operator.shop()
    webhook = shop.webhook(
        chat.address,
        ["click.created", "fraud.detected"],
        channel="telegram",
        options={"digest": {"window_s": 2, "max": 1}},
    )["id"]
    for type_ in ("click.created", "fraud.detected"):
        shop.example(type_)
    server.restart(death)
    for n in range(_EVENTS):
        _insist(server, lambda n=n: shop.publish(("click.created", "fraud.detected")[n % 2], f"alert-{n}"))
    if server.lives == 2:
        until(lambda: not server.running, "the death that was planned", 20)
        server.start()
    until(lambda: _ended(shop, webhook), lambda: f"an end; {_listed(shop, webhook)}", 40)

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


def _insist(server: Any, ask: Any) -> None:
    """Publishes until it is accepted; where the server has died, the next one takes it."""

    def look() -> bool:
        if not server.running:
            server.start()
        try:
            ask()
        except (OSError, http.client.HTTPException):
            return False
        return True

    until(look, "an answer", 30)


def _listed(shop: Shop, webhook: str) -> list[Any]:
    return shop.deliveries(webhook=webhook)


def _ended(shop: Shop, webhook: str) -> bool:
    return all(one["status"] in {"succeeded", "digested"} for one in _listed(shop, webhook))


def _counted(text: str) -> int:
    found = _COUNTED.search(text.splitlines()[0])
    return int(found[1].replace(",", "")) if found else 1
