"""The catalogues of all dialects; and that of `standard`: CONTRACT §5, its column, row by row."""

import copy
import ipaddress
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from tocsin.profiles import CatalogueEntry, load, names
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

# Kept free for documents: RFC 5737, RFC 3849, RFC 2606.
DOCUMENTATION = [
    ipaddress.ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]
NOBODYS_HOST = re.compile(r"(.*\.)?(example|example\.(com|net|org))")

EVERY_ENTRY = {f"{name}/{key}": entry for name in names() for key, entry in load(name).catalogue.items()}
VENDORS_ENTRIES = {key: entry for key, entry in EVERY_ENTRY.items() if not key.startswith("standard/")}
every_entry = pytest.mark.parametrize("entry", EVERY_ENTRY.values(), ids=EVERY_ENTRY.keys())
vendors_entries = pytest.mark.parametrize("entry", VENDORS_ENTRIES.values(), ids=VENDORS_ENTRIES.keys())
entries = pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE.keys())


def _resolved(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    return schema["$defs"][part["$ref"].removeprefix("#/$defs/")] | part if "$ref" in part else part


def _known(schema: dict[str, Any], part: dict[str, Any], keys: tuple[str | int, ...] = ()) -> Iterator[Any]:
    """Where the schema says something of a value: the keys that lead there, of an array its first item."""
    part = _resolved(schema, part)
    for key, field in part.get("properties", {}).items():
        yield (*keys, key)
        yield from _known(schema, field, (*keys, key))
    if "items" in part:
        yield (*keys, 0)
        yield from _known(schema, part["items"], (*keys, 0))


def _at(value: Any, keys: tuple[str | int, ...]) -> Any:
    for key in keys:
        value = value[key]
    return value


def _is_ip(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(ipaddress.ip_address(value))
    except ValueError:
        return False


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


@every_entry
def test_an_example_fits_its_schema_and_passes_through_javascript(entry: CatalogueEntry) -> None:
    """The example is taken as an event's data, as it stands."""
    example = entry.event_type.example
    assert entry.validator.faults(example) == ()
    assert stabilise(orjson.dumps(example))[0] == example


@every_entry
def test_more_keys_are_accepted(entry: CatalogueEntry) -> None:
    """What a publisher knows beyond the schema is taken, at the top and in the visitor."""
    more = copy.deepcopy(dict(entry.event_type.example)) | {"our_own": {"n": 1}, "turn": 7}
    if isinstance(more.get("visitor"), dict):
        more["visitor"]["loyalty_tier"] = "gold"
    assert entry.validator.is_valid(more)


@every_entry
def test_what_is_missing_is_refused(entry: CatalogueEntry) -> None:
    """Without one of its required keys an example is refused, with a pointer."""
    required = entry.event_type.schema.get("required", [])
    for key in required:
        less = {name: item for name, item in entry.event_type.example.items() if name != key}
        assert not entry.validator.is_valid(less)
        [fault] = entry.validator.faults(less)
        assert fault.pointer in ("/data", f"/data/{key}")
        assert key in fault.pointer + fault.detail


@entries
def test_nothing_at_all_is_refused(entry: CatalogueEntry) -> None:
    """An event of `standard` says something."""
    assert not entry.validator.is_valid({})


@vendors_entries
def test_an_example_shows_every_key(entry: CatalogueEntry) -> None:
    """Whoever reads it sees all that the schema knows, at every depth."""
    for keys in _known(dict(entry.event_type.schema), dict(entry.event_type.schema)):
        _at(entry.event_type.example, keys)


@every_entry
def test_a_wrong_type_is_refused(entry: CatalogueEntry) -> None:
    """Each value that the schema knows, at every depth, is refused as another type, with a pointer to it."""
    schema = dict(entry.event_type.schema)
    for keys in _known(schema, schema):
        wrong_one = copy.deepcopy(dict(entry.event_type.example))
        try:
            parent = _at(wrong_one, keys[:-1])
        except LookupError:  # this example goes without what would hold it
            continue
        if isinstance(parent, list):
            parent[:1] = [[[]]]
        else:
            parent[keys[-1]] = 1.5 if isinstance(parent.get(keys[-1]), list) else [[]]
        pointers = {fault.pointer for fault in entry.validator.faults(wrong_one)}
        assert pointers == {"".join(f"/{key}" for key in ("data", *keys))}, keys


@every_entry
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


@every_entry
def test_a_schema_is_whole_by_itself(entry: CatalogueEntry) -> None:
    """All that it refers to is inside, and nothing that it does not refer to."""
    schema = entry.event_type.schema
    assert compile_schema(schema).is_valid(entry.event_type.example)
    text = orjson.dumps(schema).decode()
    assert set(re.findall(r'"\$ref":"#/\$defs/([^"]+)"', text)) == set(schema.get("$defs", {}))


@every_entry
def test_an_example_is_nobody_elses(entry: CatalogueEntry) -> None:
    """Addresses and hosts in examples come from those that are kept free for documents."""
    for _, value in _leaves(entry.event_type.example):
        if _is_ip(value):
            assert any(ipaddress.ip_address(value) in net for net in DOCUMENTATION), value
        if isinstance(value, str) and "://" in value:
            assert NOBODYS_HOST.fullmatch(urlsplit(value).hostname or ""), value
        if isinstance(value, str) and "@" in value:
            assert NOBODYS_HOST.fullmatch(value.rpartition("@")[2]), value


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
