"""`visits`, figure by figure, and what its schemas hold to. CONTRACT §4."""

import copy
from typing import Any

import orjson
import pytest

from tocsin.profiles import load

VISITS, STANDARD = load("visits"), load("standard")
TYPES = ("NEW_VISIT", "NEW_VISITOR")

types = pytest.mark.parametrize("type_", TYPES)


def _faults(type_: str, keys: tuple[str, ...], value: Any) -> list[str]:
    entry = VISITS.catalogue[type_]
    data = copy.deepcopy(dict(entry.event_type.example))
    parent = data
    for key in keys[:-1]:
        parent = parent[key]
    parent[keys[-1]] = value
    return [fault.pointer for fault in entry.validator.faults(data)]


def test_its_figures() -> None:
    """The document has none: as `standard`, but for what disables."""
    assert VISITS.schedule_s == STANDARD.schedule_s
    assert VISITS.timeout_s == STANDARD.timeout_s == 15
    assert not VISITS.disable.on_exhausted
    assert VISITS.disable.failing_for_s is None
    assert not VISITS.disable.gone_disables


def test_its_limits() -> None:
    """None is named; https is recommended, and not asked for."""
    assert VISITS.limits.webhooks is None
    assert not VISITS.limits.https_only
    assert VISITS.key_prefix == "tsn_"


def test_a_secret_is_made() -> None:
    """A receiver can only know a request by it; what is made can travel in a header."""
    made = VISITS.make_secret(bytes)
    assert made
    VISITS.check_secret(made)
    assert VISITS.shows_secret


def test_both_types_have_one_body() -> None:
    """ "Expected Payload" is the same for both; the schemas differ in their names alone."""
    visit, visitor = (dict(VISITS.catalogue[type_].event_type.schema) for type_ in TYPES)
    for name in ("title", "description"):
        assert visit.pop(name) != visitor.pop(name)
    assert visit == visitor


@types
def test_the_body_is_the_visit(make_facts: Any, type_: str) -> None:
    """Nothing is around it, and nothing is added."""
    data = orjson.dumps(VISITS.catalogue[type_].event_type.example)
    assert VISITS.render_body(make_facts(type=type_, data=data)) == data


@types
@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        (("device", "hardwareConcurrency"), 6),
        (("screen", "width"), 1170),
        (("screen", "height"), 2532.5),
        (("screen", "touch"), True),
        (("browser", "version"), 17),
    ],
)
def test_numbers_and_truth_values_are_strings(type_: str, keys: tuple[str, ...], wrong: Any) -> None:
    """As in the sample: receivers in typed languages would break over the other form."""
    assert _faults(type_, keys, wrong) == ["/data/" + "/".join(keys)]
    assert _faults(type_, keys, str(wrong).lower()) == []


@types
def test_what_is_not_known_may_be_left_out(type_: str) -> None:
    """A visit of which only the server's log tells."""
    data = {"id": "v1", "url": "https://shop.example/", "date": "2026-03-14T09:26:53Z", "visitor": {"id": "u1"}}
    assert VISITS.catalogue[type_].validator.is_valid(data)
    assert not VISITS.catalogue[type_].validator.is_valid(data | {"visitor": {}})
    assert not VISITS.catalogue[type_].validator.is_valid(data | {"date": "yesterday"})
