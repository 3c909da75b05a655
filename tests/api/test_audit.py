"""Who changed what: one entry for each change, by whom and in which request; none for what changed nothing."""

from typing import Any

import pytest

from tests.api.site import LocalShop
from tests.support.api import ApiAnswer
from tocsin.api import alerts, campaigns, postback_tokens, visitors
from tocsin.api.operations import Access

ALERT = {"metric": "fraud_rate", "op": ">", "threshold": "5", "window_s": 3600, "min_count": 100, "name": "Fraud"}
OFFER = {"name": "Shoes", "payout": "45.00", "caps": {"daily": 10}}
CAMPAIGN = {"name": "Spring", "budget": "100.00"}
PARTNER = {"name": "Clickwell", "status": "banned", "reason": "Eve from accounting writes bots"}


def entries(shop: LocalShop) -> list[Any]:
    """Oldest first."""
    return list(shop.pages("/v1/audit"))[::-1]


class Books:
    """Makes calls and says what each wrote to the audit log."""

    def __init__(self, shop: LocalShop) -> None:
        self.shop = shop
        self.seen = len(entries(shop))

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[ApiAnswer, list[Any]]:
        answer = self.shop.call(method, path, body, **more)
        found = entries(self.shop)[self.seen :]
        self.seen += len(found)
        return answer, found

    def one(self, method: str, path: str, body: Any = None) -> tuple[Any, Any]:
        """A call that changes something: what it answered, and its one entry."""
        answer, found = self.call(method, path, body)
        assert answer.status < 300, answer.body
        (entry,) = found
        assert entry["actor"] == self.shop.get("/v1/keys")["data"][-1]["id"]
        assert entry["request_id"] == answer.headers["request-id"]
        assert entry["account_id"] == self.shop.id
        return answer.json if answer.body else None, entry

    def none(self, method: str, path: str, body: Any = None, *, status: int) -> None:
        """A call that changes nothing."""
        answer, found = self.call(method, path, body)
        assert (answer.status, found) == (status, [])


@pytest.fixture
def books(shop: LocalShop) -> Books:
    return Books(shop)


@pytest.mark.parametrize(
    ("noun", "body", "other", "wrong"),
    [
        ("offer", OFFER, {"caps": {"daily": 11}}, {"payout": "lots"}),
        ("campaign", CAMPAIGN, {"budget": "200.00"}, {"budget": "-1"}),
        ("partner", PARTNER, {"status": "approved"}, {"status": "fired"}),
    ],
)
def test_what_is_set_has_one_entry(books: Books, noun: str, body: Any, other: Any, wrong: Any) -> None:
    """Made and changed; not where it is set as it is, nor where it is refused."""
    path = f"/v1/{noun}s/n%2F1"
    _, made = books.one("PUT", path, body)
    assert (made["action"], made["subject"], made["detail"]["name"]) == (f"{noun}.set", f"{noun}:n/1", body["name"])
    books.none("PUT", path, body, status=200)
    books.one("PUT", path, body | other)
    books.none("PUT", path, body | wrong, status=422)


def test_what_is_written_about_a_partner_is_not_in_it(books: Books) -> None:
    """That a reason was given, and not what it says of people."""
    _, entry = books.one("PUT", "/v1/partners/p", PARTNER)
    assert entry["detail"] == {"name": "Clickwell", "status": "banned", "reason": "given"}


def test_a_campaign_in_another_currency_is_refused_without_an_entry(books: Books) -> None:
    """What is refused as it is decided, not as it is read, has none either."""
    books.one("PUT", "/v1/campaigns/k", CAMPAIGN | {"currency": "EUR"})
    # Activity itself is no change by a person.
    books.shop.post("/v1/activity", {"kind": "spend", "campaign": {"id": "k"}, "amount": 1, "currency": "EUR"})
    books.none("PUT", "/v1/campaigns/k", CAMPAIGN | {"currency": "USD"}, status=422)


def test_alerts_made_and_removed_have_one_entry_each(books: Books) -> None:
    """A removal that finds nothing has none, nor has one that is refused."""
    alert, made = books.one("POST", "/v1/alerts", ALERT)
    assert (made["action"], made["subject"]) == ("alert.created", alert["id"])
    assert made["detail"] == {"campaign": None, "cooldown_s": 3600, **ALERT}
    _, removed = books.one("DELETE", f"/v1/alerts/{alert['id']}")
    assert (removed["action"], removed["subject"], removed["detail"]) == ("alert.removed", alert["id"], {})
    books.none("DELETE", f"/v1/alerts/{alert['id']}", status=404)
    books.none("POST", "/v1/alerts", ALERT | {"threshold": "-1"}, status=422)
    books.none("POST", "/v1/alerts/backtest", ALERT, status=200)


def test_a_request_that_is_repeated_has_one_entry(books: Books) -> None:
    """Under the same Idempotency-Key the answer is the first one's, and so is the entry."""
    for expected in (1, 0):
        answer, found = books.call("POST", "/v1/alerts", ALERT, headers={"Idempotency-Key": "k"})
        assert (answer.status, len(found)) == (201, expected)
    assert len(books.shop.get("/v1/alerts")["data"]) == 1


def test_an_account_without_alerts_has_no_entry_for_one(site: Any) -> None:
    """What its dialect refuses was not made."""
    books = Books(site.operator.shop("visits", "visits"))
    books.none("POST", "/v1/alerts", ALERT, status=409)


def test_postback_tokens_have_one_entry_each_without_their_text(books: Books) -> None:
    """Made and revoked; a second time there is nothing to revoke."""
    token, made = books.one("POST", "/v1/postback-tokens", {"name": "Fibre"})
    assert (made["action"], made["subject"], made["detail"]) == (
        "postback_token.created",
        token["id"],
        {"name": "Fibre"},
    )
    _, revoked = books.one("DELETE", f"/v1/postback-tokens/{token['id']}")
    assert revoked["subject"] == token["id"]
    books.none("DELETE", f"/v1/postback-tokens/{token['id']}", status=404)
    assert token["token"] not in str(entries(books.shop))


def test_an_erasure_has_one_entry(books: Books) -> None:
    """With how much went, and without whom."""
    books.shop.publish(visitor={"id": "eve@example.com"})
    _, entry = books.one("DELETE", "/v1/visitors/eve%40example.com")
    assert entry["action"] == "visitor.erased"
    assert "@example.com" not in str(entry)


def test_every_way_to_change_them_is_here() -> None:
    """A new operation that changes what triggers know belongs into this module."""
    changing = {
        one.id
        for module in (alerts, campaigns, postback_tokens, visitors)
        for one in module.OPERATIONS
        if one.access is Access.MANAGE
    }
    assert changing == {
        *("put_offer", "put_campaign", "put_partner", "create_alert", "delete_alert"),
        *("create_postback_token", "revoke_postback_token", "erase_visitor"),
    }
