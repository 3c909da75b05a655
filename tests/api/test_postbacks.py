"""``/in/{token}/postback``: conversions as advertisers report them."""

from collections.abc import Callable
from urllib.parse import quote

import pytest

from tests.api.site import LocalShop, Site
from tests.support.api import ApiAnswer, Json

Ask = Callable[..., ApiAnswer]

OF_CLICK = "click_id=c-1&payout=45.00&currency=EUR&txid=order-1"


@pytest.fixture
def token(shop: LocalShop) -> Json:
    return shop.post("/v1/postback-tokens", {"name": "Fibre network"})


@pytest.fixture
def ask(site: Site, token: Json) -> Ask:
    def asked(query: str = "", form: str | None = None, method: str = "GET", media: str | None = None) -> ApiAnswer:
        headers = [("Content-Type", media or "application/x-www-form-urlencoded")] if form is not None else []
        target = f"{token['path']}?{query}" if query else token["path"]
        return site.ask("POST" if form is not None else method, target, [(form or "").encode()], headers)

    return asked


def events(shop: LocalShop) -> list[tuple[str, Json]]:
    """Oldest first: type and data."""
    found = shop.get("/v1/events")["data"]
    return [(one["type"], shop.get(f"/v1/events/{one['id']}")["data"]) for one in reversed(found)]


def test_a_postback_is_a_conversion(shop: LocalShop, ask: Ask):
    """Its facts are the conversion's; the answer is a short text."""
    answer = ask(f"{OF_CLICK}&revenue=60&type=sale&sub1=winter&offer_id=7&status=pending")
    assert (answer.status, answer.body) == (200, b"ok\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    ((type_, data),) = events(shop)
    assert type_ == "conversion.created"
    shown = {"click_id", "payout", "revenue", "currency", "transaction_id", "type", "sub1", "status"}
    assert {name: data[name] for name in shown} == {
        "click_id": "c-1",
        "payout": "45.00",
        "revenue": "60",
        "currency": "EUR",
        "transaction_id": "order-1",
        "type": "sale",
        "sub1": "winter",
        "status": "pending",
    }
    assert data["offer"]["id"] == "7"


def test_a_form_says_the_same_as_an_address(shop: LocalShop, ask: Ask):
    """Parameters may stand in the address, the form, or both."""
    assert ask("click_id=c-1&currency=EUR", form="txid=order-1&payout=45.00&currency=EUR").status == 200
    assert ask(OF_CLICK).status == 200
    assert [type_ for type_, _ in events(shop)] == ["conversion.created"]


def test_the_same_again_changes_nothing_and_another_status_changes_it(shop: LocalShop, ask: Ask):
    """One transaction is one conversion, whatever is repeated; also where only the status comes after it."""
    for query in (
        f"{OF_CLICK}&status=pending",
        f"{OF_CLICK}&status=pending",
        "txid=order-1&status=approved",
        "txid=order-1&status=approved",
        f"{OF_CLICK}&status=approved",
        "txid=order-1&status=rejected&reason=returned",
    ):
        assert ask(query).status == 200
    assert [type_ for type_, _ in events(shop)] == ["conversion.created", "conversion.approved", "conversion.rejected"]
    assert events(shop)[-1][1]["reason"] == "returned"


def test_without_a_transaction_the_click_tells_conversions_apart(shop: LocalShop, ask: Ask):
    """One a click."""
    for click in ("1", "1", "2"):
        assert ask(f"click_id={click}&payout=1&currency=EUR").status == 200
    assert len(events(shop)) == 2


def test_two_tokens_transactions_are_not_the_same(shop: LocalShop, site: Site, ask: Ask):
    """Two advertisers both number from 1."""
    second = shop.post("/v1/postback-tokens", {})
    assert ask(OF_CLICK).status == site.ask("GET", f"{second['path']}?{OF_CLICK}").status == 200
    assert len(events(shop)) == 2


def test_without_a_payout_it_is_the_offers(shop: LocalShop, ask: Ask):
    """As for conversions that are posted."""
    assert shop.call("PUT", "/v1/offers/7", {"name": "Fibre", "payout": "12.50"}).status in (200, 201)
    assert ask("txid=1&currency=EUR&offer_id=7").status == 200
    assert ask("txid=2&currency=EUR&offer_id=7&status=approved").status == 200
    assert [data["payout"] for _, data in events(shop)] == ["12.50", "12.50"]


@pytest.mark.parametrize(
    "macro", ["{payout}", "{{payout}}", "${payout}", "[payout]", "%payout%", "#payout#", "<payout>"]
)
def test_a_macro_that_was_not_filled_in_is_refused(shop: LocalShop, ask: Ask, macro: str):
    """The answer says which, and how to mend it."""
    answer = ask(f"txid=1&currency=EUR&payout={quote(macro)}")
    assert answer.status == 400
    assert f"payout is still the macro {macro}" in answer.body.decode()
    assert events(shop) == []


def test_a_macro_in_what_is_optional_costs_no_conversion(shop: LocalShop, ask: Ask):
    """A conversion is worth more than its sub-id: what was not filled in there is as if it had not been sent."""
    assert ask("txid=1&currency=EUR&payout=45&sub1={sub1}&partner_id=%25aff_id%25&sub2=summer").status == 200
    [(_, data)] = events(shop)
    assert (data.get("sub1"), data["sub2"], "partner" in data) == (None, "summer", False)


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("", 400, "txid or click_id is missing"),
        ("payout=1&currency=EUR", 400, "txid or click_id is missing"),
        ("txid=&click_id=&payout=1", 400, "txid or click_id is missing"),
        ("txid=1&payout=1", 400, "currency is missing"),
        ("txid=1&currency=EUR", 400, "payout: it is missing"),
        ("txid=1&currency=EUR&payout=4,50", 400, "payout: expected an amount"),
        ("txid=1&currency=EUR&payout=-1", 400, "payout: an amount cannot be negative"),
        ("txid=1&currency=EURO%21&payout=1", 400, "currency"),
        ("txid=1&currency=EUR&payout=1&status=maybe", 400, "send pending, approved or rejected"),
        ("txid=1&txid=2&currency=EUR&payout=1", 400, "more than once"),
        ("txid=%FF&currency=EUR&payout=1", 400, "UTF-8"),
        (f"txid={'x' * 201}&currency=EUR&payout=1", 400, "more than 200"),
        ("&".join(f"p{n}=1" for n in range(200)), 400, "cannot be read"),
        ("txid=1&status=rejected", 404, "nothing is known to reject"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(shop: LocalShop, ask: Ask, query: str, status: int, said: str):
    """A sentence that says what to mend; nothing is recorded."""
    answer = ask(query)
    assert (answer.status, answer.headers["content-type"]) == (status, "text/plain; charset=utf-8")
    assert said in answer.body.decode()
    assert events(shop) == []


def test_other_amounts_for_a_known_transaction_are_a_conflict(shop: LocalShop, ask: Ask):
    """What is recorded stays."""
    assert ask(OF_CLICK).status == 200
    assert ask("txid=order-1&payout=46&currency=EUR").status == 409
    assert len(events(shop)) == 1


def test_text_is_decoded_as_it_was_meant(shop: LocalShop, ask: Ask):
    """Percent, plus and UTF-8; a repeated parameter of one value; names in capitals; what is unknown is passed over."""
    assert ask("TXID=1&txid=1&currency=eur&payout=1&sub1=a+b%20%C3%BC%26%2B&other={x}&subid={y}").status == 200
    ((_, data),) = events(shop)
    assert (data["sub1"], data["currency"]) == ("a b ü&+", "EUR")


def test_bodies_are_forms(ask: Ask):
    """JSON is told where to go; other methods are told which there are."""
    answer = ask(form='{"txid":1}', media="application/json")
    assert answer.status == 400
    assert b"form" in answer.body
    for method in ("PUT", "HEAD", "DELETE"):
        answer = ask(OF_CLICK, method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")
    assert ask(form="txid=" + "x" * 20_000).status == 413


def test_unknown_revoked_and_foreign_tokens_get_the_same_answer(shop: LocalShop, site: Site, token: Json, ask: Ask):
    """Nothing is told about what exists; an API key is no token, and a token is no API key."""
    revoked = ask(OF_CLICK) and shop.call("DELETE", f"/v1/postback-tokens/{token['id']}")
    assert revoked.status == 204
    answers = [
        site.ask("GET", f"/in/{text}/postback?{OF_CLICK}")
        for text in (token["token"], "pst_" + "x" * 43, "x", "%20", "%C3%BC", shop.key)
    ]
    assert {(answer.status, answer.body) for answer in answers} == {(404, answers[0].body)}
    fresh = shop.post("/v1/postback-tokens", {})
    assert site.api(fresh["token"]).call("GET", "/v1/events").status == 403


def test_tokens_are_shown_once_listed_and_revoked(shop: LocalShop, other: LocalShop, token: Json):
    """The text is in the answer to making it and nowhere else; each change is in the audit."""
    assert token["token"].startswith("pst_")
    assert len(token["token"]) == 47
    assert token["path"] == f"/in/{token['token']}/postback"
    second = shop.post("/v1/postback-tokens", {"name": "second"})
    listed = shop.get("/v1/postback-tokens")["data"]
    assert [one["id"] for one in listed] == [second["id"], token["id"]]
    assert token["token"] not in str(listed)
    page = shop.get("/v1/postback-tokens?limit=1")
    assert page["has_more"] is True
    assert [one["id"] for one in shop.get(f"/v1/postback-tokens?cursor={page['next_cursor']}")["data"]] == [token["id"]]
    assert other.get("/v1/postback-tokens")["data"] == []
    key = shop.get("/v1/keys")["data"][-1]["id"]
    for shopper, id_ in ((other, token["id"]), (shop, key)):
        assert shopper.call("DELETE", f"/v1/postback-tokens/{id_}").status == 404
    assert shop.call("DELETE", f"/v1/postback-tokens/{token['id']}").status == 204
    assert shop.call("DELETE", f"/v1/postback-tokens/{token['id']}").status == 404
    audited = {(one["action"], one["subject"]) for one in shop.get("/v1/audit")["data"]}
    assert {("postback_token.created", token["id"]), ("key.revoked", token["id"])} <= audited
