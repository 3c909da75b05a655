"""POSTs with an Idempotency-Key."""

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.api.site import HOOK, LocalShop, Site
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tests.support.waiting import until
from tocsin.clock import ManualClock, SystemClock

KEY = {"Idempotency-Key": "k-1"}
NEW = {"url": HOOK, "events": ["*"]}


def test_the_same_request_gets_the_same_answer(shop: LocalShop):
    """A repeated POST does nothing and is answered as before, marked, without the secret."""
    first = shop.call("POST", "/v1/webhooks", NEW, headers=KEY)
    again = shop.call("POST", "/v1/webhooks", NEW, headers=KEY)
    assert (first.status, again.status) == (201, 201)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["request-id"] != first.headers["request-id"]
    assert again.json == {name: value for name, value in first.json.items() if name != "secret"}
    assert first.json["secret"]
    assert len(shop.get("/v1/webhooks")["data"]) == 1


def test_keys_of_accounts_are_not_repeated(site: Site):
    """A repeated answer holds no API key, whether the account or a key was made."""
    for path, body in (("/v1/accounts", {"name": "x"}), ("/v1/keys", {})):
        first = site.operator.call("POST", path, body, headers=KEY)
        again = site.operator.call("POST", path, body, headers=KEY)
        assert again.json == {name: value for name, value in first.json.items() if name != "key"}
        assert first.json["key"]


def test_an_event_is_published_once(shop: LocalShop):
    """A repeated publication is answered with the first receipt, and makes no second event."""
    event = shop.event()
    first = shop.call("POST", "/v1/events", event, headers=KEY)
    again = shop.call("POST", "/v1/events", event, headers=KEY)
    assert (again.status, again.json) == (202, first.json)
    assert len(shop.get("/v1/events")["data"]) == 1


def test_another_body_is_refused(shop: LocalShop):
    """A key stands for one body."""
    shop.call("POST", "/v1/webhooks", NEW, headers=KEY)
    answer = shop.call("POST", "/v1/webhooks", {**NEW, "name": "b"}, headers=KEY)
    assert (answer.status, answer.code) == (422, "idempotency_key_reused")


def test_a_key_is_an_accounts_and_a_routes_own(shop: LocalShop, other: LocalShop):
    """The same key elsewhere is another key: in another account, at another address, of another webhook."""
    made = [api.call("POST", "/v1/webhooks", NEW, headers=KEY).json["id"] for api in (shop, other)]
    made.append(shop.post("/v1/webhooks", NEW)["id"])
    assert len(set(made)) == 3
    for webhook in (made[0], made[2]):
        disabled = shop.call("POST", f"/v1/webhooks/{webhook}/disable", headers=KEY)
        assert disabled.json["id"] == webhook


def test_what_was_refused_can_be_tried_again(shop: LocalShop):
    """A refused request frees its key, so that the mended one can use it."""
    refused = shop.call("POST", "/v1/webhooks", {**NEW, "events": ["clik"]}, headers=KEY)
    assert refused.status == 422
    assert shop.call("POST", "/v1/webhooks", NEW, headers=KEY).status == 201


def test_what_failed_can_be_tried_again(site: Site, shop: LocalShop, monkeypatch: pytest.MonkeyPatch):
    """An error of ours frees the key."""

    def fails(*_: object) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(site.app.control.webhooks, "create", fails)
        assert shop.call("POST", "/v1/webhooks", NEW, headers=KEY).status == 500
    assert shop.call("POST", "/v1/webhooks", NEW, headers=KEY).status == 201


def test_while_the_first_runs(shop: LocalShop, receiver: LedgerReceiver):
    """The same request while the first one runs is a conflict; afterwards it gets the first one's answer."""
    receiver.script("/slow", Answer(200, after_s=1.0))
    made = shop.webhook(receiver.url("/slow"), enabled=False)
    path = f"/v1/webhooks/{made['id']}/test"
    answers: list[Any] = []
    first = threading.Thread(target=lambda: answers.append(shop.call("POST", path, {}, headers=KEY)))
    first.start()
    receiver.wait_for("/slow", 1)
    assert shop.call("POST", path, {}, headers=KEY).code == "idempotency_running"
    first.join(30)
    assert answers[0].json["outcome"] == "succeeded"
    again = shop.call("POST", path, {}, headers=KEY)
    assert again.json == answers[0].json
    assert len(receiver.arrivals("/slow")) == 1


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a b", "é"])
def test_keys_that_cannot_be(shop: LocalShop, key: str):
    """A key has 1 to 255 visible ASCII characters."""
    for path, body in (("/v1/webhooks", NEW), ("/v1/events", shop.event())):
        answer = shop.call("POST", path, body, headers={"Idempotency-Key": key})
        assert (answer.status, answer.code) == (422, "idempotency_key_invalid")


def test_other_methods_take_no_notice(shop: LocalShop):
    """The header means nothing to GET and PATCH."""
    made = shop.webhook(HOOK)
    for name in ("a", "b"):
        changed = shop.call("PATCH", f"/v1/webhooks/{made['id']}", {"name": name}, headers=KEY)
        assert changed.json["name"] == name


def test_a_key_is_remembered_for_a_day(tmp_path: Path):
    """After 24 hours a key is new again."""
    clock = ManualClock(SystemClock().now_ms())
    with Site(tmp_path, clock=clock) as site:
        shop = site.operator.shop()
        first = shop.call("POST", "/v1/webhooks", NEW, headers=KEY).json["id"]
        clock.advance(86_399)
        site.run(site.app.keyring.poll())
        assert shop.call("POST", "/v1/webhooks", NEW, headers=KEY).json["id"] == first
        clock.advance(2)
        assert shop.call("POST", "/v1/webhooks", NEW, headers=KEY).json["id"] != first


def test_an_answer_outlives_a_restart(tmp_path: Path):
    """The answer is in the store, not in the process."""
    with Site(tmp_path) as site:
        account = site.operator.call("POST", "/v1/accounts", {"name": "x"}, headers=KEY).json
    with Site(tmp_path) as site:
        again = site.operator.call("POST", "/v1/accounts", {"name": "x"}, headers=KEY)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json["id"] == account["id"]
        until(lambda: len(site.operator.get("/v1/accounts")["data"]) == 1, "one account")
