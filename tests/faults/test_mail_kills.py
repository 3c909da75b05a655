"""`kill -9` while owners are written to: the mail comes, and twice only where nobody knew that it had gone."""

import http.client
from pathlib import Path

import pytest

from tests.faults.conftest import drills
from tests.faults.lives import Lives
from tests.support.api import CLICK, Shop
from tests.support.cluster import POSTGRES, THREE, Fleet, Shape
from tests.support.mail import MailHost
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tocsin.failpoints import MAILING

_SHOPS = 4

# See `drills`.
_SHORT = {POSTGRES: (), THREE: ("after_mail",)}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize(("shape", "failpoint", "seed"), drills(metafunc.config, MAILING, _SHORT))


def test_every_owner_is_told(shape: Shape, failpoint: str, seed: int, tmp_path: Path) -> None:
    """Each of several webhooks that fail brings its owner one mail; the one under way at the death may come again, the
    same to the byte.
    """
    shops: list[Shop] = []
    hooks: list[str] = []
    with (
        MailHost() as host,
        LedgerReceiver() as receiver,
        Fleet(shape, tmp_path, smtp_url=host.url(), public_url="https://tocsin.example.com") as fleet,
    ):
        lives = Lives(fleet, [f"{failpoint}:{1 + seed % _SHOPS}"], revive=seed % 2 == 0)

        def prepare() -> None:
            for n in range(_SHOPS):
                shop = fleet.operator.shop(f"shop {n}", notify_email=f"owner-{n}@example.com")
                receiver.script(f"/gone-{n}", Answer(410))
                hooks.append(shop.webhook(receiver.url(f"/gone-{n}"))["id"])
                shops.append(shop)
                shop.example(CLICK)

        lives.start(prepare)
        for shop in shops:
            lives.until(lambda shop=shop: _publish(shop), lambda: "an answer", 30)
        lives.until(lambda: lives.risen, lambda: "the death that was planned", 60)
        lives.until(
            lambda: len(host.mails) >= _SHOPS + (failpoint == "after_mail") and _nothing_left(fleet),
            lambda: f"all mails; there are {len(host.mails)}",
            60,
        )
        assert [shop.status(hook)["status"] for shop, hook in zip(shops, hooks, strict=True)] == ["disabled"] * _SHOPS
        assert {mail.recipient for mail in host.mails} == {f"owner-{n}@example.com" for n in range(_SHOPS)}
        assert len({mail.raw for mail in host.mails}) == _SHOPS
        assert len(host.mails) == _SHOPS + (failpoint == "after_mail")


def _publish(shop: Shop) -> bool:
    try:
        return bool(shop.publish(CLICK, "once"))
    except (OSError, http.client.HTTPException):
        return False


def _nothing_left(fleet: Fleet) -> bool:
    return "tocsin_notices_waiting 0.0" in fleet.operator.call("GET", "/metrics").body.decode()
