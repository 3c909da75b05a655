"""`cloakradar`, figure by figure, and what its schemas make of both shapes of a conversion. CONTRACT §4."""

from collections.abc import Mapping
from typing import Any

import pytest

from tocsin.profiles import load

CLOAKRADAR = load("cloakradar")
EXAMPLE: Mapping[str, Any] = CLOAKRADAR.catalogue["conversion.new"].event_type.example

NESTED = {key: EXAMPLE[key] for key in ("campaign", "conversion", "visitor")}
FLAT = {key: EXAMPLE[key] for key in ("click_id", "campaign_name", "offer_name", "payout", "country", "device")}


def _faults(type_: str, data: Any) -> list[tuple[str, str]]:
    return [(fault.pointer, fault.detail) for fault in CLOAKRADAR.catalogue[type_].validator.faults(data)]


def test_its_figures() -> None:
    """ "Retry Policy" and "Troubleshooting": 1, 5 and 30 minutes, so four requests, of ten seconds each."""
    assert CLOAKRADAR.schedule_s == (60, 300, 1_800)
    assert CLOAKRADAR.timeout_s == 10


def test_when_it_disables() -> None:
    """ "Retry Policy": when a delivery has used up its retries; the document knows of no other reason."""
    assert CLOAKRADAR.disable.on_exhausted
    assert CLOAKRADAR.disable.failing_for_s is None
    assert not CLOAKRADAR.disable.gone_disables


def test_its_limits_and_accounts() -> None:
    """CONTRACT §3 and §4: no limits; keys begin with tsn_; addresses in bodies are masked."""
    assert CLOAKRADAR.limits.webhooks is None
    assert not CLOAKRADAR.limits.https_only
    assert CLOAKRADAR.key_prefix == "tsn_"
    assert CLOAKRADAR.mask_ips


@pytest.mark.parametrize(
    ("type_", "included"),
    [
        ("click.new", {"click_id", "visitor"}),
        ("bot.detected", {"bot_type", "confidence", "indicators"}),
        ("fraud.detected", {"fraud_type", "fraud_score", "indicators"}),
        ("vpn.detected", {"vpn_provider", "ip"}),
        ("cloaker.detected", {"cloaker_name", "indicators"}),
        ("threat.high_risk", {"risk_score", "factors"}),
        ("campaign.paused", {"reason"}),
        ("alert.threshold", {"metric", "threshold", "value"}),
        ("alert.budget", {"spend_amount", "limit"}),
    ],
)
def test_each_type_carries_what_its_row_includes(type_: str, included: set[str]) -> None:
    """ "Webhook Events", "Data Included": without it an event is refused, and each missing key is named."""
    entry = CLOAKRADAR.catalogue[type_]
    for key in included:
        less = {name: value for name, value in entry.event_type.example.items() if name != key}
        assert _faults(type_, less) == [("/data", f"“{key}” is missing")]
    assert entry.validator.is_valid({key: entry.event_type.example[key] for key in entry.event_type.schema["required"]})


def test_a_visitor_says_something() -> None:
    """A click's visitor may be told by any of its keys, but by one."""
    click = dict(CLOAKRADAR.catalogue["click.new"].event_type.example)
    assert _faults("click.new", click | {"visitor": {"ip": "192.168.x.x"}}) == []
    assert _faults("click.new", click | {"visitor": {}}) == [("/data/visitor", "must have 1 or more keys, not 0")]


@pytest.mark.parametrize("data", [NESTED, FLAT, {**NESTED, **FLAT}, {**FLAT, "campaign": {"id": 7, "name": "Search"}}])
def test_a_conversion_comes_in_either_shape_or_both(data: Any) -> None:
    """Both of the document's samples, what a trigger makes, and the flat one with an object beside."""
    assert _faults("conversion.new", data) == []


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        ({}, [f"/data {key}" for key in FLAT]),
        ({key: FLAT[key] for key in ("click_id", "offer_name")}, ["campaign_name", "payout", "country", "device"]),
        ({"conversion": NESTED["conversion"]}, ["campaign", "visitor"]),
        ({"campaign": NESTED["campaign"], "visitor": NESTED["visitor"]}, ["conversion"]),
        ({**NESTED, "visitor": {"device": "mobile"}}, ["/data/visitor country"]),
        ({**NESTED, "conversion": {"id": 7, "currency": "EUR"}}, ["/data/conversion payout"]),
        ({**NESTED, "campaign": {"id": 7}}, ["/data/campaign name"]),
        ({**FLAT, "campaign": {"id": 7}}, ["/data/campaign name"]),
    ],
)
def test_what_a_conversion_lacks_is_told_by_its_shape(data: Any, missing: list[str]) -> None:
    """Who sends the nested objects hears which of them is missing; all others which flat key."""
    expected = {tuple(one.split()) if " " in one else ("/data", one) for one in missing}
    assert set(_faults("conversion.new", data)) == {(pointer, f"“{key}” is missing") for pointer, key in expected}


@pytest.mark.parametrize("id_", [1, "1", "cmp_1042", 2**53 - 1])
def test_ids_keep_their_type(make_facts: Any, id_: int | str) -> None:
    """Numbers and strings are both ids, and go out as they came in."""
    quoted = f'"{id_}"' if isinstance(id_, str) else str(id_)
    data = {**NESTED, "campaign": {"id": id_, "name": "Search"}, "offer": {"id": id_}, "partner": {"id": id_}}
    assert _faults("conversion.new", data) == []
    body = CLOAKRADAR.render_body(make_facts(data=b'{"campaign":{"id":%b}}' % quoted.encode()))
    assert b'"data":{"campaign":{"id":%b}}' % quoted.encode() in body


@pytest.mark.parametrize(("id_", "said"), [(1.5, "a whole number or a string"), ("", "1 or more characters")])
def test_other_values_are_no_ids(id_: Any, said: str) -> None:
    """A fraction, or nothing at all."""
    [(pointer, detail)] = _faults("conversion.new", {**NESTED, "campaign": {"id": id_, "name": "Search"}})
    assert pointer == "/data/campaign/id"
    assert said in detail


@pytest.mark.parametrize("payout", [45, 45.00, 0, 0.1, -45])
def test_money_is_a_number(payout: float) -> None:
    """As in the document; a charge-back may be negative."""
    assert _faults("conversion.new", {**FLAT, "payout": payout}) == []
    [(pointer, _)] = _faults("conversion.new", {**FLAT, "payout": str(payout)})
    assert pointer == "/data/payout"


@pytest.mark.parametrize("ip", ["192.168.x.x", "198.51.100.61", "2001:db8::1", "2001:db8:x:x:x:x:x:x"])
def test_an_address_may_be_masked_already(ip: str) -> None:
    """The document's sample is; what a tracker sends need not be."""
    example = dict(CLOAKRADAR.catalogue["fraud.detected"].event_type.example)
    assert _faults("fraud.detected", example | {"ip": ip}) == []


@pytest.mark.parametrize(
    ("type_", "key", "value"),
    [
        ("fraud.detected", "fraud_score", 101),
        ("fraud.detected", "fraud_score", -1),
        ("fraud.detected", "fraud_score", 85.5),
        ("threat.high_risk", "risk_score", 101),
        ("bot.detected", "confidence", 100.5),
        ("vpn.detected", "vpn_type", "carrier pigeon"),
        ("alert.budget", "period", "weekly"),
        ("alert.threshold", "op", "=>"),
    ],
)
def test_values_out_of_range_are_refused(type_: str, key: str, value: Any) -> None:
    """With a pointer to the place."""
    example = dict(CLOAKRADAR.catalogue[type_].event_type.example)
    assert [pointer for pointer, _ in _faults(type_, example | {key: value})] == [f"/data/{key}"]
