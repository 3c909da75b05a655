"""The pages of the dialects: figures, headers and event types are those of the profile's data."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.docs.markdown import ROOT, Page, read, table
from tocsin import profiles
from tocsin.profiles import Profile

_FOLDER = ROOT / "docs" / "dialects"
_UNITS = {"s": 1, "m": 60, "h": 3600}

_EACH = pytest.mark.parametrize("path", sorted(_FOLDER.glob("*.md")), ids=lambda path: path.stem)


def _of(path: Path) -> tuple[Page, Profile]:
    return read(path), profiles.load(path.stem)


def _seconds(spans: str) -> list[int]:
    """Of ``5 s, 2 h``."""
    return [int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+) ([smh])\b", spans)]


@_EACH
def test_figures_are_the_profiles(path: Path) -> None:
    """Time limit, schedule, number of requests and limits are what the data hold."""
    page, profile = _of(path)
    told = {what: figure for what, figure, _ in table(page.section("Figures"))}
    assert _seconds(told["time limit"]) == [profile.timeout_s]
    assert _seconds(told["retries after"]) == list(profile.schedule_s)
    assert int(told["requests of a delivery, at most"]) == len(profile.schedule_s) + 1
    assert told["webhooks of an account"] == str(profile.limits.webhooks or "any number")
    assert told["addresses"].startswith("https only") == profile.limits.https_only
    assert ("failed and disabled" in told["then"]) == profile.disable.on_exhausted
    assert ("made" in told["secret"]) == (profile.make_secret(bytes) is not None)
    assert (f"`{profile.key_prefix}`" in told.values()) == (profile.key_prefix != "tsn_")


@_EACH
def test_event_types_are_the_catalogues(path: Path) -> None:
    """Each type in its order, with its description and with those keys that its schema requires."""
    page, profile = _of(path)
    assert table(page.section("Events")) == [
        [
            f"`{name}`",
            entry.event_type.description,
            ", ".join(f"`{key}`" for key in entry.event_type.schema.get("required", ())) or "–",
        ]
        for name, entry in profile.catalogue.items()
    ]


@_EACH
def test_its_headers_are_told(path: Path) -> None:
    """Each header that the dialect sends has a row, whoever may set it."""
    page, profile = _of(path)
    signed = {name.lower() for name in re.findall(r"^\| `([A-Za-z-]+)` \|", page.prose, re.MULTILINE)}
    assert profile.own_headers <= signed


@_EACH
def test_its_request_is_one_that_is_sent(path: Path) -> None:
    """The body that the page shows has the dialect's envelope, and data that the event type's schema takes."""
    page, profile = _of(path)
    [block] = [block for block in page.blocks if block.words.get("title") == "request.http"]
    head, _, text = block.text.partition("\n\n")
    assert f"Content-Length: {len(text.encode())}" in head.splitlines()
    body, own_keys = json.loads(text), profile._envelope._own_keys
    data = body["data"] if "data" in own_keys else {key: body[key] for key in body if key not in own_keys}
    assert [key for key in body if key in own_keys] == list(own_keys)
    headers = dict(re.findall("(.*): (.*)", head))
    [type_] = {body.get("type"), body.get("event"), headers.get("X-Webhook-Event")} - {None}
    assert profile.catalogue[type_].validator.faults(data) == ()


def test_either_shape_of_a_conversion_is_enough() -> None:
    """What the page says is always there suffices, and nothing of it can be missing; at the top and one level down."""
    page, profile = _of(_FOLDER / "cloakradar.md")
    entry = profile.catalogue["conversion.new"]
    _, shapes = page.section("Events").split("two shapes")
    for shape, told in table(shapes):
        data: dict[str, Any] = {}
        for part in told.split("; ") if shape == "nested" else told.split(", "):
            key, *inner = re.findall(r"`(\w+)`", part)
            value = entry.event_type.example[key]
            data[key] = {name: value[name] for name in inner} if inner else value
        assert entry.validator.is_valid(data), shape
        for key, value in data.items():
            assert not entry.validator.is_valid({name: data[name] for name in data if name != key}), key
            for gone in value if isinstance(value, dict) else ():
                less = {name: value[name] for name in value if name != gone}
                assert not entry.validator.is_valid(data | {key: less}), f"{key}, {gone}"
