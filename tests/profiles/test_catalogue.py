"""The catalogue of `standard`: CONTRACT §5, its column, row by row."""

import copy
import ipaddress
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from tocsin.profiles import CatalogueEntry, load
from tocsin.profiles.jsjson import stabilise
from tocsin.profiles.schemas import compile_schema

CATALOGUE = load("standard").catalogue

# CONTRACT §5, "when … | standard", from the top.
ROWS = [
    "click.created",
    "fraud.detected",
    "visitor.high_risk",
    "bot.detected",
    "vpn.detected",
    "cloaker.detected",
    "visit.created",
    "visitor.created",
    "impression.created",
    "conversion.created",
    "conversion.approved",
    "conversion.rejected",
    "partner.applied",
    "partner.approved",
    "partner.banned",
    "cap.reached",
    "budget.threshold",
    "budget.exhausted",
    "campaign.created",
    "campaign.updated",
    "campaign.paused",
    "campaign.resumed",
    "alert.threshold",
    "summary.daily",
    "billing.updated",
]

DOCUMENTATION = [ipaddress.ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]  # RFC 5737

entries = pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE.keys())


def _resolved(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    return schema["$defs"][part["$ref"].removeprefix("#/$defs/")] if "$ref" in part else part


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}/{key}")
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, path)
    else:
        yield path, value


def test_every_row_is_there() -> None:
    """The catalogue holds each type of the column, in its order, and nothing else."""
    assert list(CATALOGUE) == ROWS


@entries
def test_an_entry_tells_whose_it_is_and_what_for(entry: CatalogueEntry) -> None:
    """Standard Webhooks names no event types, so each is our own and says so."""
    event_type = entry.event_type
    assert event_type.source == "Tocsin"
    assert event_type.extension
    assert event_type.description.endswith(".")
    assert event_type.schema["title"] == event_type.name
    assert event_type.schema["description"] == event_type.description


@entries
def test_an_example_fits_its_schema_and_passes_through_javascript(entry: CatalogueEntry) -> None:
    """The example is taken as an event's data, as it stands."""
    example = entry.event_type.example
    assert entry.validator.faults(example) == ()
    assert stabilise(orjson.dumps(example))[0] == example


@entries
def test_more_keys_are_accepted(entry: CatalogueEntry) -> None:
    """What a publisher knows beyond the schema is taken, at the top and in the visitor."""
    more = copy.deepcopy(dict(entry.event_type.example)) | {"our_own": {"n": 1}, "turn": 7}
    if isinstance(more.get("visitor"), dict):
        more["visitor"]["loyalty_tier"] = "gold"
    assert entry.validator.is_valid(more)


@entries
def test_what_is_missing_is_refused(entry: CatalogueEntry) -> None:
    """Without one of its required keys an example is refused, with a pointer."""
    required = entry.event_type.schema.get("required", [])
    for key in required:
        less = {name: item for name, item in entry.event_type.example.items() if name != key}
        assert not entry.validator.is_valid(less)
        [fault] = entry.validator.faults(less)
        assert fault.pointer in ("/data", f"/data/{key}")
        assert key in fault.pointer + fault.detail
    assert required or not entry.validator.is_valid({})


@entries
def test_a_wrong_type_is_refused(entry: CatalogueEntry) -> None:
    """Each key of the example with a value of another type is refused, with a pointer to it."""
    schema = entry.event_type.schema
    for key in entry.event_type.example:
        declared = _resolved(schema, schema["properties"][key])
        wrong: Any = 1.5 if declared.get("type") == "array" else [[]]
        faults = entry.validator.faults(dict(entry.event_type.example) | {key: wrong})
        assert faults
        assert all(fault.pointer.startswith(f"/data/{key}") for fault in faults), key


@entries
def test_every_field_is_described(entry: CatalogueEntry) -> None:
    """Whoever reads the schema learns what each key holds, down to the last one."""

    def undescribed(part: Any, path: str) -> Iterator[str]:
        if isinstance(part, dict):
            for name, field in part.get("properties", {}).items():
                whole = _resolved(entry.event_type.schema, field)
                if not (field.get("description") or whole.get("description")):
                    yield f"{path}/{name}"
            for key, item in part.items():
                yield from undescribed(item, f"{path}/{key}")

    assert list(undescribed(entry.event_type.schema, "")) == []


@entries
def test_a_schema_is_whole_by_itself(entry: CatalogueEntry) -> None:
    """All that it refers to is inside, and nothing that it does not refer to."""
    schema = entry.event_type.schema
    assert compile_schema(schema).is_valid(entry.event_type.example)
    text = orjson.dumps(schema).decode()
    assert set(re.findall(r'"\$ref":"#/\$defs/([^"]+)"', text)) == set(schema.get("$defs", {}))


@entries
def test_an_example_is_nobody_elses(entry: CatalogueEntry) -> None:
    """Addresses and hosts in examples come from the ranges that are kept free for documents."""
    for path, value in _leaves(entry.event_type.example):
        if path.endswith("/ip"):
            assert any(ipaddress.ip_address(value) in net for net in DOCUMENTATION), value
        if isinstance(value, str) and "://" in value:
            host = urlsplit(value).hostname or ""
            assert host.endswith(".example"), value
        if isinstance(value, str) and "@" in value:
            assert value.endswith(".example"), value


@entries
def test_the_visitor_can_be_found_for_erasure(entry: CatalogueEntry) -> None:
    """A type whose data can hold a visitor says where its id is."""
    example = entry.event_type.example
    assert (entry.visitor_pointer is not None) == ("visitor" in entry.event_type.schema["properties"])
    if entry.visitor_pointer is not None:
        found: Any = example
        for key in entry.visitor_pointer:
            found = found[key]
        assert found.startswith("vis_")


def test_money_is_a_decimal_string_or_a_number() -> None:
    """Amounts are taken in both forms, and nothing that is no amount."""
    entry = CATALOGUE["conversion.created"]
    for payout in ("45.00", "-0.5", "12", "0.00000001", 45.5, 45, -3):
        assert entry.validator.is_valid(dict(entry.event_type.example) | {"payout": payout}), payout
    for payout in ("45,00", "$45", "", "1e3", "NaN", True, None, "45.000000001", "9" * 16):
        faults = entry.validator.faults(dict(entry.event_type.example) | {"payout": payout})
        assert [fault.pointer for fault in faults] == ["/data/payout"], payout
