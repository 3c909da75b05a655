"""Publishing, and reading what was published."""

import json
from typing import Any

import pytest

from tests.api.site import HOOK, LocalShop, Site
from tests.support.api import CLICK
from tocsin import ids

# The way in front, and the declared operation behind it, which a request with an Idempotency-Key takes.
WAYS = {"bare": {}, "declared": {"Idempotency-Key": "k"}}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> dict[str, str]:
    return WAYS[request.param]


def test_an_event_is_accepted(shop: LocalShop, way: dict[str, str]):
    """A new event is a 202 with its receipt."""
    shop.webhook(HOOK, [CLICK])
    answer = shop.call("POST", "/v1/events", shop.event() | {"timestamp": "2026-01-02T03:04:05.678+01:00"}, headers=way)
    assert answer.status == 202
    receipt = answer.json
    assert receipt.pop("id").startswith("evt_")
    assert receipt == {"type": CLICK, "timestamp": "2026-01-02T02:04:05.678Z", "matched": 1, "duplicate": False}
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.body)


def test_a_known_external_id_is_a_duplicate(shop: LocalShop):
    """The same content again is a 200 with the first one's id; other content is a conflict."""
    first = shop.call("POST", "/v1/events", shop.event(external_id="c-1"))
    again = shop.call("POST", "/v1/events", shop.event(external_id="c-1"))
    assert (first.status, again.status) == (202, 200)
    assert again.json == first.json | {"duplicate": True}
    assert shop.call("POST", "/v1/events", shop.event(external_id="c-1", n=1)).code == "external_id_conflict"


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        (b'{"type": "click.created"}', "invalid", "/data"),
        (b'{"data": {}}', "invalid", "/type"),
        (b'{"type": 3, "data": {}}', "invalid", "/type"),
        (b'{"type": "click.created", "data": {}, "Type": 1}', "invalid", "/Type"),
        (b'{"type": "click.created", "data": {}, "external_id": "a b"}', "invalid", "/external_id"),
        (b'{"type": "click.created", "data": {}, "external_id": ""}', "invalid", "/external_id"),
        (b'{"type": "click.created", "data": {}, "external_id": "' + b"x" * 129 + b'"}', "invalid", "/external_id"),
        (b'{"type": "click.created", "data": {}, "timestamp": "2026-01-01"}', "invalid", "/timestamp"),
        (b'{"type": "click.created", "data": {}, "timestamp": "2026-01-01T00:00:00"}', "invalid", "/timestamp"),
        (b'{"type": "click.created", "data": {}, "timestamp": "1969-12-31T23:59:59Z"}', "invalid", "/timestamp"),
        (b'{"type": "clik.created", "data": {}}', "unknown_event_type", "/type"),
        (b'{"type": "", "data": {}}', "unknown_event_type", "/type"),
        (b'{"type": "click.created", "data": 3}', "data_invalid", "/data"),
        (b'{"type": "click.created", "data": {"a": NaN}}', "data_invalid", "/data/a"),
        (b'{"type": "click.created", "data": {"a": 9007199254740993}}', "data_invalid", "/data/a"),
        (b'{"type": "click.created", "data": {"a": 1, "a": 2}}', "data_invalid", "/data/a"),
        (b'{"type": "click.created", "data": {"a": "\\ud800"}}', "data_invalid", "/data/a"),
        (b'{"type": "a", "type": "click.created", "data": {}}', "data_invalid", "/type"),
        (b'{"type": "click.created", "data": {"a": 1}, "data": {}}', "data_invalid", "/data"),
        (b'{"type": "click.created", "data": {}, "d\\u0061ta": {}}', "data_invalid", "/data"),
        (b'{"type": "click.created", "data": {"a": "\xff"}}', "malformed_json", "/data"),
        (b'{"type": "click.created", "data": {', "malformed_json", ""),
        (b"", "invalid", "/type"),
    ],
)
def test_events_that_are_refused(shop: LocalShop, way: dict[str, str], body: bytes, code: str, pointer: str):
    """What is wrong with an event is pointed at, the same on both ways in; nothing is kept."""
    answer = shop.call("POST", "/v1/events", body, headers=way)
    assert answer.code == code
    assert answer.json["errors"][0]["pointer"] == pointer
    assert shop.get("/v1/events")["data"] == []


def test_names_around_the_data_may_be_values(shop: LocalShop):
    """Texts that look like the keys of an event are no duplicates of them."""
    shop.ok("PUT", "/v1/event-types/type", {"schema": {}, "example": {"data": "data"}})
    for data in ('"type"', '{"type": "data", "data": ["external_id"]}', '"\\\\"', '"timestamp"'):
        body = '{"external_id": "type", "type": "type", "data": ' + data + "}"
        answer = shop.call("POST", "/v1/events", body.encode())
        assert answer.status in (200, 202) or answer.code == "external_id_conflict", answer.body


def test_the_body_is_kept_as_javascript_would_write_it(shop: LocalShop):
    """An event's data is read back with the numbers and keys that ECMAScript would write."""
    shop.ok("PUT", "/v1/event-types/a", {"schema": {}, "example": {}})
    id_ = json.loads(
        shop.call("POST", "/v1/events", b'{"type": "a", "data": {"b": 1.0, "1": 1e2, "u": "\\u00e9"}}').body
    )
    body = shop.call("GET", f"/v1/events/{id_['id']}").body
    assert '"data":{"1":100,"b":1,"u":"é"}'.encode() in body


# --- batches ------------------------------------------------------------------------------------------------------


def test_a_batch_answers_each_event(shop: LocalShop):
    """Each event of a batch is accepted or refused on its own, in order, with pointers into the whole body."""
    results = shop.publish_batch(
        [
            shop.event(external_id="b-1"),
            {"type": "clik.created", "data": {}},
            shop.event(external_id="b-1"),
            {"data": {}, "typ": "x"},
            7,
            shop.event(external_id="b-1", n=1),
            shop.event(),
        ]
    )
    statuses = [result["status"] for result in results]
    assert statuses == ["accepted", "refused", "duplicate", "refused", "refused", "refused", "accepted"]
    assert results[2]["id"] == results[0]["id"]
    assert [result["error"]["code"] for result in results if result["status"] == "refused"] == [
        "unknown_event_type",
        "invalid",
        "invalid",
        "external_id_conflict",
    ]
    assert results[1]["error"]["errors"][0]["pointer"] == "/events/1/type"
    assert [fault["pointer"] for fault in results[3]["error"]["errors"]] == ["/events/3/typ", "/events/3/type"]
    assert len(shop.get("/v1/events")["data"]) == 2


@pytest.mark.parametrize("count", [0, 1001])
def test_batches_have_bounds(shop: LocalShop, count: int):
    """A batch has 1 to 1000 events."""
    answer = shop.call("POST", "/v1/events/batch", {"events": [{}] * count})
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "/events")


def test_a_full_batch(shop: LocalShop):
    """A thousand events are taken at once."""
    results = shop.publish_batch([shop.event(CLICK, f"e-{n}") for n in range(1000)])
    assert [result["status"] for result in results] == ["accepted"] * 1000
    assert len({result["id"] for result in results}) == 1000
    assert len(list(shop.pages("/v1/events"))) == 1000


def test_a_server_that_stops_takes_nothing(tmp_path: Any):
    """While the server stops, events are refused with a 503 that says when to come again."""
    with Site(tmp_path) as site:
        shop = site.operator.shop()
        event = shop.event()
        site.run(site.app.ingest.stop())
        for path, body in (("/v1/events", event), ("/v1/events/batch", {"events": [event]})):
            answer = shop.call("POST", path, body)
            assert (answer.status, answer.code) == (503, "stopping")
            assert int(answer.headers["retry-after"]) >= 1


# --- reading ------------------------------------------------------------------------------------------------------


def test_events_are_listed_newest_first(shop: LocalShop):
    """Pages of events neither skip nor repeat, also while events come."""
    made = [shop.publish()["id"] for _ in range(7)]
    first = shop.get("/v1/events", limit=3)
    shop.publish()
    second = shop.get("/v1/events", limit=3, cursor=first["next_cursor"])
    third = shop.get("/v1/events", limit=3, cursor=second["next_cursor"])
    assert [one["id"] for page in (first, second, third) for one in page["data"]] == made[::-1]
    assert (second["has_more"], third["has_more"], third["next_cursor"]) == (True, False, None)


def test_events_are_found(shop: LocalShop):
    """The list's filters find what they say."""
    click = shop.publish(CLICK, "f-1")
    other = shop.publish("conversion.created")
    assert [one["id"] for one in shop.get("/v1/events", type=CLICK)["data"]] == [click["id"]]
    assert [one["id"] for one in shop.get("/v1/events", external_id="f-1")["data"]] == [click["id"]]
    assert [one["id"] for one in shop.get("/v1/events", source="api")["data"]] == [other["id"], click["id"]]
    assert shop.get("/v1/events", source="activity")["data"] == []
    at = shop.get(f"/v1/events/{click['id']}")["accepted_at"]
    assert click["id"] in [one["id"] for one in shop.get("/v1/events", since=at)["data"]]
    assert click["id"] not in [one["id"] for one in shop.get("/v1/events", until=at)["data"]]


def test_an_event_says_why_it_went_where(shop: LocalShop):
    """One event tells for every webhook of that time whether it was matched and why, whatever changed since."""
    hooks = {
        "takes it": shop.webhook(HOOK, ["click.*"]),
        "takes others": shop.webhook(HOOK, ["conversion.created"]),
        "filter false": shop.webhook(HOOK, ["*"], filter='data.country == "XX"'),
        "filter fails": shop.webhook(HOOK, ["*"], filter="data.nothing.at_all == 1"),
        "disabled": shop.webhook(HOOK, ["*"], enabled=False),
        "deleted": shop.webhook(HOOK, ["*"]),
    }
    shop.ok("DELETE", f"/v1/webhooks/{hooks['deleted']['id']}")
    event = shop.publish(CLICK, country="DE")
    late = shop.webhook(HOOK, ["*"])
    shop.change(hooks["takes others"]["id"], events=["*"])
    shop.ok("DELETE", f"/v1/webhooks/{hooks['takes it']['id']}")
    found = shop.get(f"/v1/events/{event['id']}")
    why = {one["webhook_id"]: (one["matched"], one["reason"]) for one in found["routing"]}
    names = {hook["id"]: name for name, hook in hooks.items()}
    assert late["id"] not in why
    assert {names[id_]: matched for id_, (matched, _) in why.items()} == {
        "takes it": True,
        "takes others": False,
        "filter false": False,
        "filter fails": False,
        "disabled": False,
    }
    reasons = {names[id_]: reason for id_, (_, reason) in why.items()}
    assert "not subscribed" in reasons["takes others"]
    assert "false" in reasons["filter false"]
    assert "failed" in reasons["filter fails"]
    assert "disabled" in reasons["disabled"]
    assert found["matched"] == 1
    assert [delivery["webhook_id"] for delivery in found["deliveries"]] == [hooks["takes it"]["id"]]


def test_a_visitor_may_be_numbered(site: Site, shop: LocalShop):
    """An id that is a number goes out as one, and is found by its digits when the visitor is to be erased."""
    data = {**shop.event()["data"], "visitor": {"id": 4711}}
    answer = shop.call("POST", "/v1/events", {"type": CLICK, "data": data})
    assert answer.status == 202, answer.json
    number = ids.parse("evt_", answer.json["id"])
    account_id = ids.parse("acc_", shop.id)
    event = site.run(site.app.store.records.event(account_id, number))
    assert event.visitor_id == "4711"
    assert json.loads(event.data)["visitor"]["id"] == 4711
