"""Whole bodies pass through a JavaScript engine unaltered, whatever a publisher sends. CONTRACT §4."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.json_values import keys, styles, texts, values
from tests.support.runtimes import Node
from tocsin.clock import Millis
from tocsin.profiles import Facts, load, names
from tocsin.profiles.jsjson import stabilise
from tocsin.profiles.masking import mask_ips

# Keys that stand in an envelope, or that JavaScript treats in its own way.
_own_keys = st.sampled_from(
    [
        *("event", "timestamp", "property", "webhook_id", "data", "id", "type", "created", "createdAt", "brandId"),
        *("api_version", "name", "0", "7", "10", "4294967294", "4294967295", "__proto__", "constructor", "toString"),
    ]
)
_CLICKDEFENDERS = ("event", "timestamp", "property")  # a publisher cannot replace these
_ips = st.one_of(st.ip_addresses().map(str), st.sampled_from(["::ffff:10.0.0.7", "10.1.2.3:80, \u2028::1"]), texts)
_members = st.dictionaries(keys | _own_keys, values, max_size=8)
_visitors = st.dictionaries(st.sampled_from(["ip", "client_ips", "10", "x"]), _ips | st.lists(_ips), max_size=3)
_extras = st.builds(lambda members, visitor: members | {"visited by": visitor}, _members, _visitors)
_names = st.lists(texts, min_size=1, max_size=4).map("".join)
_external_ids = st.none() | st.from_regex(r"\A[A-Za-z0-9_.:-]{1,128}\Z")


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    node = Node()
    yield node
    node.close()


def _facts(profile_name: str, type_: str, data: bytes, **changed: Any) -> Facts:
    return Facts(
        **{
            "event_id": "evt_06f3k9w2zq8rt",
            "type": type_,
            "timestamp": Millis(1_773_480_413_080),
            "data": data,
            "webhook_id": "wh_06f3k9w2zq8rv",
            "account_id": "acc_06f3k9w2zq8rw",
            "account_external_id": None,
            "account_name": profile_name,
            **changed,
        }
    )


@pytest.mark.parametrize("profile_name", names())
def test_the_example_of_every_type(node: Node, profile_name: str) -> None:
    """The catalogue's own examples, in the envelope."""
    profile = load(profile_name)
    assert profile.catalogue
    for type_, entry in profile.catalogue.items():
        facts = _facts(profile_name, type_, stabilise(json.dumps(entry.event_type.example).encode())[1])
        body = profile.render_body(facts)
        assert node.reparse(body) == body, type_


@pytest.mark.parametrize("profile_name", names())
@settings(max_examples=120)
@given(
    draw=st.data(),
    extra=_extras,
    style=styles,
    masked=st.sampled_from([mask_ips, bytes]),
    name=_names,
    external_id=_external_ids,
    at=st.integers(0, 4_102_444_799_999),  # to the end of 2099
)
def test_any_event_of_any_type(
    node: Node,
    profile_name: str,
    draw: st.DataObject,
    extra: dict[str, Any],
    style: dict[str, Any],
    masked: Callable[[bytes], bytes],
    name: str,
    external_id: str | None,
    at: int,
) -> None:
    """Whatever stands beside the keys of a type, however it is spelled, whatever the account is called; with IP
    addresses masked or not.
    """
    profile = load(profile_name)
    type_ = draw.draw(st.sampled_from(sorted(profile.catalogue)))
    example = profile.catalogue[type_].event_type.example
    published = {**extra, **example} if draw.draw(st.booleans()) else {**example, **extra}
    data = masked(stabilise(json.dumps(published, **style).encode())[1])
    value = orjson.loads(data)
    facts = _facts(profile_name, type_, data, account_name=name, account_external_id=external_id, timestamp=Millis(at))
    body = profile.render_body(facts)
    assert node.reparse(body) == body
    held = orjson.loads(body)
    if profile_name == "visits":
        assert held == value
    elif profile_name == "clickdefender":
        assert held == {**value, **{key: held[key] for key in _CLICKDEFENDERS}}
        assert (held["event"], held["property"]["name"]) == (type_, name)
    else:
        assert held["data"] == value
