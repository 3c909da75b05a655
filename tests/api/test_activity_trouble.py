"""Activity while the store is in trouble: never taken in words only, and counted once when it is posted again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.api.site import LocalShop, Site
from tests.support.api import ApiAnswer


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """One of its own: its store is damaged."""
    with Site(tmp_path) as site:
        yield site


@contextmanager
def full_disk(site: Site) -> Iterator[None]:
    """Nothing more can be written."""
    writer = site.app.store._writer  # type: ignore[attr-defined]
    pages = site.run(writer.do(lambda db: db.value("PRAGMA page_count")))
    site.run(writer.do(lambda db: db.value(f"PRAGMA max_page_count = {pages}")))
    yield
    site.run(writer.do(lambda db: db.value("PRAGMA max_page_count = 1000000")))


@contextmanager
def failing_commits(site: Site) -> Iterator[None]:
    """What was written cannot be made durable."""
    connection = site.app.store._connection  # type: ignore[attr-defined]

    def fail() -> None:
        raise apsw.IOError("disk")

    connection.set_commit_hook(fail)
    yield
    connection.set_commit_hook(None)


@contextmanager
def nothing_to_read(site: Site) -> Iterator[None]:
    """What was counted before cannot be known."""
    readers = site.app.store._readers  # type: ignore[attr-defined]
    readers._closed = True
    yield
    readers._closed = False


TROUBLES = [full_disk, failing_commits, nothing_to_read]

# Large enough that a page that is half empty does not hold it.
LARGE = "x" * 8_000


def click(number: int, **more: Any) -> dict[str, Any]:
    return {
        "kind": "click",
        "external_id": f"e{number}",
        "click_id": f"c{number}",
        "campaign": {"id": "k", "name": "Spring"},
        "visitor": {"id": f"v{number}", "ip": "198.51.100.7"},
        "data": {"note": LARGE},
        **more,
    }


def post(shop: LocalShop, body: Any) -> ApiAnswer:
    return shop.call("POST", "/v1/activity", body)


def unavailable(answer: ApiAnswer) -> bool:
    return answer.status == 503 and answer.headers["retry-after"] == "1" and "results" not in answer.json


def counted(shop: LocalShop) -> tuple[int, int]:
    """Clicks, and events that they fired."""
    events = [one for one in shop.pages("/v1/events") if one["type"] == "click.created"]
    return shop.get("/v1/campaigns/k")["performance"]["clicks"], len(events)


@pytest.fixture
def seller(site: Site) -> LocalShop:
    """With one click that is durable."""
    shop = site.operator.shop()
    assert post(shop, click(0)).status == 202
    assert counted(shop) == (1, 1)
    return shop


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda one: one.__name__)
def test_what_is_not_durable_is_not_accepted(site: Site, seller: LocalShop, trouble: Callable[..., Any]):
    """One, and a batch: a 503 each time; posted again when it is over, each counts and fires once."""
    batch = {"activities": [click(2), click(3)]}
    with trouble(site):
        for _ in range(2):
            assert unavailable(post(seller, click(1)))
            assert unavailable(post(seller, batch))
    assert counted(seller) == (1, 1)
    for duplicate in (False, True):
        results = [*post(seller, click(1)).json["results"], *post(seller, batch).json["results"]]
        assert [(one["status"], one["duplicate"]) for one in results] == [
            ("duplicate" if duplicate else "accepted", duplicate)
        ] * 3
    assert counted(seller) == (4, 4)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda one: one.__name__)
def test_a_batch_says_which_of_its_items_to_repeat(site: Site, seller: LocalShop, trouble: Callable[..., Any]):
    """Where some are at fault and the others could not be stored: those with a 503 of their own."""
    batch = [click(1), {"kind": "clik"}, click(2)]
    with trouble(site):
        answer = post(seller, {"activities": batch})
    assert answer.status == 202
    results = answer.json["results"]
    assert {one["status"] for one in results} == {"refused"}
    assert [one["error"]["status"] for one in results] == [503, 422, 503]
    repeat = [item for item, one in zip(batch, results, strict=True) if one["error"]["status"] == 503]
    results = post(seller, {"activities": repeat}).json["results"]
    assert [(one["status"], one["duplicate"]) for one in results] == [("accepted", False)] * 2
    assert counted(seller) == (3, 3)


def test_a_disk_that_fills_up(site: Site, seller: LocalShop):
    """While it does, what got a 202 is there and nothing else is; posted again, everything counts once."""
    writer = site.app.store._writer  # type: ignore[attr-defined]
    pages = site.run(writer.do(lambda db: db.value("PRAGMA page_count")))
    site.run(writer.do(lambda db: db.value(f"PRAGMA max_page_count = {pages + 40}")))
    statuses = {number: post(seller, click(number)).status for number in range(1, 40)}
    assert set(statuses.values()) == {202, 503}
    taken = sum(status == 202 for status in statuses.values())
    assert counted(seller) == (1 + taken, 1 + taken)
    site.run(writer.do(lambda db: db.value("PRAGMA max_page_count = 1000000")))
    for number, status in statuses.items():
        (result,) = post(seller, click(number)).json["results"]
        assert result["duplicate"] is (status == 202)
    assert counted(seller) == (40, 40)


@pytest.mark.parametrize("trouble", [failing_commits, nothing_to_read], ids=lambda one: one.__name__)
def test_what_people_change_is_not_accepted_either(site: Site, seller: LocalShop, trouble: Callable[..., Any]):
    """Nothing is set, and the audit log says nothing of it."""
    audited = len(list(seller.pages("/v1/audit")))
    budget = {"name": "Spring", "budget": "5.00"}
    with trouble(site):
        assert unavailable(seller.call("PUT", "/v1/campaigns/k", budget))
    assert seller.get("/v1/campaigns/k")["budget"] is None
    assert len(list(seller.pages("/v1/audit"))) == audited
    assert seller.ok("PUT", "/v1/campaigns/k", budget)["budget"] == "5.00"
    assert len(list(seller.pages("/v1/audit"))) == audited + 1


def test_a_postback_is_told_to_come_again(site: Site, seller: LocalShop):
    """An advertiser's call gets a 503 while nothing can be stored, and counts once however often it comes again."""
    path = seller.post("/v1/postback-tokens", {})["path"]
    sale = f"{path}?txid=7&payout=5&currency=EUR"
    with failing_commits(site):
        assert [site.ask("GET", sale).status for _ in range(2)] == [503, 503]
    assert [site.ask("GET", sale).status for _ in range(2)] == [200, 200]
    assert [one["type"] for one in seller.pages("/v1/events")].count("conversion.created") == 1
