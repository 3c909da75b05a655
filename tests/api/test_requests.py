"""What is asked of every request, whatever it is about: a key, an account, a body that can be read."""

import json
import logging
from typing import Any

import pytest

from tests.api.conformity import profile_of
from tests.api.site import GONE, HOOK, NEVER, LocalShop, Site
from tests.support.waiting import until
from tocsin.api import routes
from tocsin.api.asgi import make_asgi
from tocsin.api.bodies import Bodies
from tocsin.api.operations import Operation

_WITH_BODY = [one for one in routes.OPERATIONS if one.body is not None]

HOSTILE = {
    "empty": b"",
    "no object": b"[1]",
    "null": b"null",
    "cut off": b'{"name": "a',
    "trailing": b"{} x",
    "byte order mark": b"\xef\xbb\xbf{}",
    "no UTF-8": b'{"name": "\xff", "url": "\xff", "type": "\xff", "data": "\xff"}',
    "NaN": b'{"name": NaN, "data": NaN}',
    "NUL": b'{"name": "\\u0000", "type": "\\u0000", "url": "\\u0000", "events": ["\\u0000"], "data": "\\u0000"}',
    "lone surrogate": b'{"name": "\\ud800", "type": "\\udfff", "events": ["\\ud800"], "data": "\\ud800"}',
    "depth": b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "unclosed depth": b'{"schema": ' + b"[" * 100_000,
    "huge number": b'{"hours": 1e999, "overlap_s": 99999999999999999999999, "rate_limit": 1e400, "data": 1e400}',
    "many keys": b"{" + b",".join(b'"k%d": 1' % n for n in range(50_000)) + b"}",
    "long key": b'{"' + b"x" * 500_000 + b'": 1}',
    "wrong types": b'{"name": 1, "type": [], "url": {}, "events": "x", "data": 1, "hours": "x", "held": 1}',
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("operation", _WITH_BODY, ids=lambda one: one.id)
def test_hostile_bodies_get_a_clear_answer(site: Site, shop: LocalShop, operation: Operation, name: str):
    """Whatever the body is, the answer says what is wrong with it, and is never an error of ours."""
    if profile_of(operation) != "standard":
        shop = site.operator.shop(profile=profile_of(operation))
    made = shop.webhook(HOOK)["id"]
    path = operation.path.format(
        webhook_id=made, account_id=shop.id, name="order.paid", offer="7", campaign="7", partner="7"
    )
    api = site.operator if operation.path == "/v1/accounts" else shop
    answer = api.call(operation.method, path, HOSTILE[name])
    strict = operation.body.__struct_config__.forbid_unknown_fields
    if answer.status < 300 and (name == "empty" or not strict):
        return  # where nothing need be said, nothing may be said, or what is not understood
    assert answer.status in (400, 409, 422), answer.body
    assert len(answer.body) < 100_000


def test_every_fault_is_named(shop: LocalShop):
    """A body with several faults is told all of them at once, each with its pointer; slips get the nearest name."""
    answer = shop.call(
        "POST", "/v1/webhooks", {"ulr": "x", "events": ["a" * 131, 3], "headers": {"X-A": 1}, "max_in_flight": 0}
    )
    assert answer.status == 422
    assert {fault["pointer"]: fault["detail"] for fault in answer.json["errors"]} == {
        "/ulr": "there is no such key: did you mean 'url'?",
        "/url": "it is missing",
        "/events/0": "expected string of length <= 130",
        "/events/1": "expected string, got integer",
        "/headers/X-A": "expected string, got integer",
        "/max_in_flight": "expected integer >= 1",
    }


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limt=5", "?limt"),
        ("limit=0", "?limit"),
        ("limit=251", "?limit"),
        ("limit=x", "?limit"),
        ("limit=5&limit=6", "?limit"),
        ("cursor=x", "?cursor"),
        ("cursor=" + "A" * 11, None),
        ("since=yesterday", "?since"),
        ("since=2026-01-01T00:00:00", "?since"),
        ("since=1969-12-31T23:59:59Z", "?since"),
        ("until=2026-01-01T00:00:00+01:00", "?until"),
        ("webhook=evt_0000000000000", "?webhook"),
        ("status=lost", "?status"),
        ("code=x", "?code"),
        ("type=%00", None),
        ("type=%ff", ""),
        ("%=1", "?%"),
    ],
)
def test_queries_are_read_strictly(shop: LocalShop, query: str, pointer: str | None):
    """A parameter that is unknown, repeated or out of bounds is refused by name; one that only fits nothing is not."""
    answer = shop.call("GET", f"/v1/deliveries?{query}")
    if pointer is None:
        assert answer.status == 200
    elif not pointer:
        assert (answer.status, answer.code) == (400, "malformed_request")
    else:
        assert answer.status == 422
        assert [fault["pointer"] for fault in answer.json["errors"]] == [pointer]


def test_deliveries_are_filtered_by_every_channel_there_is(site: Site, shop: LocalShop):
    """Each channel's name is taken, `webhook` as another word for `standard`; what is none is told the nearest."""
    hook = shop.webhook(HOOK)
    event = shop.publish()
    until(lambda: shop.delivery_of(event["id"], hook["id"]), "a delivery")
    for channel in ("standard", "webhook"):
        assert [one["channel"] for one in shop.deliveries(channel=channel)] == ["standard"]
    for channel in ("slack", "telegram", "discord", "email", "postback"):
        assert shop.deliveries(channel=channel) == []
    for slip, meant in (("webhok", "webhook"), ("postbak", "postback"), ("Slack", "slack"), ("standart", "standard")):
        answer = shop.call("GET", f"/v1/deliveries?channel={slip}")
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "?channel")
        assert f"did you mean '{meant}'" in answer.json["detail"]


def test_a_slip_in_a_parameter_is_told_the_nearest(shop: LocalShop):
    """An unknown parameter is answered with the one that was probably meant."""
    answer = shop.call("GET", "/v1/deliveries?wehook=x")
    assert "did you mean 'webhook'" in answer.json["detail"]


# --- keys and accounts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_key"),
        ({"Authorization": "tsn_x"}, "missing_key"),
        ({"Authorization": "Basic dTpw"}, "missing_key"),
        ({"Authorization": "Bearer "}, "missing_key"),
        ({"Authorization": "Bearer tsn_" + "x" * 43}, "unknown_key"),
        ({"Authorization": "Bearer é"}, "unknown_key"),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/webhooks"), ("POST", "/v1/events")])
def test_without_a_valid_key_nothing_is_told(site: Site, method: str, path: str, headers: Any, code: str):
    """A request without a key, or with one that is unknown, is a 401 that says how to authenticate."""
    answer = site.api(headers=headers).call(method, path, b"{}")
    assert (answer.status, answer.code) == (401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_the_scheme_of_the_key_knows_no_case(site: Site, shop: LocalShop):
    """RFC 9110: the scheme's letters may be small."""
    assert site.api(headers={"Authorization": f"bearer  {shop.key}"}).call("GET", "/v1/webhooks").status == 200


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [("publish", {"POST /v1/events"}), ("read", {"GET /v1/webhooks"}), ("manage", {"POST /v1/webhooks"})],
)
def test_keys_do_what_their_scopes_allow(site: Site, shop: LocalShop, scope: str, allowed: set[str]):
    """A key does what its scopes say, and nothing else."""
    key = shop.post("/v1/keys", {"scopes": [scope]})["key"]
    api = site.api(key)
    bodies: dict[str, Any] = {
        "POST /v1/events": shop.event(),
        "GET /v1/webhooks": None,
        "POST /v1/webhooks": {"url": HOOK, "events": ["*"]},
    }
    for call, body in bodies.items():
        answer = api.call(*call.split(), body)
        if call in allowed:
            assert answer.status < 300
        else:
            assert (answer.status, answer.code) == (403, "missing_scope")
            assert scope in answer.json["detail"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/accounts"), ("GET", "/v1/accounts")])
def test_accounts_are_the_operators(shop: LocalShop, method: str, path: str):
    """An account's key can neither make nor list accounts."""
    assert shop.call(method, path, {"name": "x"}).code == "operator_only"


def test_an_operator_names_the_account(site: Site, shop: LocalShop):
    """The operator's key works on the account that it names, and must name one."""
    hook = shop.webhook(HOOK)
    operator = site.operator
    assert operator.call("GET", "/v1/webhooks").code == "account_required"
    named = {"Tocsin-Account": shop.id}
    [found] = operator.call("GET", "/v1/webhooks", headers=named).json["data"]
    assert found["id"] == hook["id"]
    assert operator.call("POST", "/v1/events", shop.event(), headers=named).status == 202
    assert operator.call("POST", "/v1/events", shop.event()).code == "account_required"


@pytest.mark.parametrize("named", ["acc_0000000000000", "acc_x", "wh_0000000000000", ""])
def test_an_account_that_is_not_there(site: Site, shop: LocalShop, named: str):
    """Naming an account that does not exist, or another one than the key's, is a 404."""
    for api in (site.operator, shop):
        for method, path, body in (("GET", "/v1/webhooks", None), ("POST", "/v1/events", shop.event())):
            answer = api.call(method, path, body, headers={"Tocsin-Account": named})
            assert (answer.status, answer.code) == (404, "not_found")


# --- addresses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/webhooks", "/v1/webhooks/", "/v1//webhooks", "/v1/webhooks/x/y/z"])
def test_unknown_addresses(shop: LocalShop, path: str):
    """An address that is not there is a 404 in the shape of every other problem."""
    answer = shop.call("GET", path)
    assert (answer.status, answer.code) == (404, "not_found")
    assert answer.headers["content-type"] == "application/problem+json"


def test_methods_that_are_not_there(shop: LocalShop):
    """A known address with another method is a 405 that lists all methods of that address."""
    answer = shop.call("PUT", "/v1/webhooks")
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    "text", ["wh_", "wh_000000000000u", "evt_0000000000000", "wh_zzzzzzzzzzzzz", "%00", "x" * 5000]
)
def test_what_is_no_id_is_not_there(shop: LocalShop, text: str):
    """An id that cannot exist is answered as one that does not."""
    assert shop.call("GET", f"/v1/webhooks/{text}").code == "not_found"


def test_requests_have_names(shop: LocalShop):
    """Every answer carries a Request-Id of its own, and a problem repeats it."""
    first, second = shop.call("GET", "/v1/webhooks"), shop.call("GET", "/v1/nothing")
    assert first.headers["request-id"] != second.headers["request-id"]
    assert second.json["request_id"] == second.headers["request-id"]


def test_problems_lead_to_their_page(site: Site, shop: LocalShop):
    """The type of a problem is the address of the page that explains it."""
    page = site.api().call("GET", shop.call("GET", "/v1/nothing").json["type"])
    assert page.status == 200
    assert "not_found" in page.body.decode()


# --- size and time ------------------------------------------------------------------------------------------------

_MIB = 1 << 20


@pytest.mark.parametrize(
    ("path", "limit"), [("/v1/events", _MIB), ("/v1/webhooks", _MIB), ("/v1/events/batch", 8 * _MIB)]
)
@pytest.mark.parametrize("declared", [True, False])
def test_bodies_that_are_too_large(site: Site, shop: LocalShop, path: str, limit: int, *, declared: bool):
    """A body beyond the limit is refused as soon as that is known, and no more of it is read."""
    chunks = [b"x" * _MIB] * (limit // _MIB) + [b"x"] * 10
    headers = [("Authorization", f"Bearer {shop.key}")]
    if declared:
        headers.append(("Content-Length", str(sum(map(len, chunks)))))
    read = []
    answer = site.ask("POST", path, Counted(chunks, read), headers)
    assert (answer.status, answer.code) == (413, "body_too_large")
    assert answer.headers["connection"] == "close"
    assert sum(map(len, read)) <= (0 if declared else limit + 1)


class Counted(list[bytes]):
    """Chunks that note which of them were taken."""

    def __init__(self, chunks: list[bytes], read: list[bytes]) -> None:
        super().__init__(chunks)
        self.read = read

    def pop(self, *at: Any) -> bytes:
        chunk = super().pop(*at)
        self.read.append(chunk)
        return chunk


def test_a_body_may_come_in_pieces(site: Site, shop: LocalShop):
    """How a body is cut into messages makes no difference."""
    body = json.dumps(shop.event()).encode()
    chunks = [body[at : at + 7] for at in range(0, len(body), 7)]
    answer = site.ask("POST", "/v1/events", chunks, [("Authorization", f"Bearer {shop.key}")])
    assert answer.status == 202


def test_a_client_that_goes_away(site: Site, shop: LocalShop):
    """A client that closes the connection within its body is not answered, and nothing is published."""
    for path in ("/v1/events", "/v1/webhooks"):
        answer = site.ask("POST", path, [b'{"type":', b'"x"', GONE], [("Authorization", f"Bearer {shop.key}")])
        assert answer.status == 0
    assert shop.get("/v1/events")["data"] == []


def test_a_body_that_never_comes(site: Site, shop: LocalShop):
    """A client that begins a body and sends no more of it is answered when its time is over, not kept for ever."""
    app = make_asgi(site.app.services, Bodies(timeout_s=0.1))
    for path in ("/v1/events", "/v1/webhooks"):
        for chunks in ([NEVER], [b'{"type":', NEVER]):
            answer = site.ask("POST", path, chunks, [("Authorization", f"Bearer {shop.key}")], app=app)
            assert (answer.status, answer.code) == (400, "body_incomplete")
            assert answer.headers["connection"] == "close"


def test_errors_of_ours_say_nothing_of_the_inside(
    site: Site, shop: LocalShop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """An error that nobody expected is a 500 with the request's name, which the log has with the cause."""

    def fails(*_: object) -> None:
        raise RuntimeError("the secret inside")

    event = shop.event()
    monkeypatch.setattr(site.app.directory, "cached", fails)
    monkeypatch.setattr(site.app.control.webhooks, "list", fails)
    for method, path, body in (("GET", "/v1/webhooks", None), ("POST", "/v1/events", event)):
        caplog.clear()
        with caplog.at_level(logging.ERROR, "tocsin"):
            answer = shop.call(method, path, body)
        assert (answer.status, answer.code) == (500, "internal")
        assert b"secret inside" not in answer.body
        [record] = caplog.records
        assert record.message == "request_failed"
        assert vars(record)["request_id"] == answer.json["request_id"]
