"""Dialects that contradict themselves stop the start, with the file and the key."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tocsin.errors import Misconfigured
from tocsin.profiles.loader import load, read_profile


def test_the_copy_itself_is_read(edit: Callable[..., Path]) -> None:
    """An edit that changes nothing changes nothing: the failures below are the edits'."""
    for dialect in ("standard", "clickdefender", "visits"):
        assert read_profile(edit(dialect, "profile.toml", "name", "name")).name == dialect


P, C = "profile.toml", "catalogue.toml"
CLICK = "events/click.created.schema.json"


@pytest.mark.parametrize(
    ("dialect", "file", "old", "new", "said"),
    [
        ("standard", P, 'name = "standard"', 'name = "other"', "name: it is 'other'"),
        ("standard", P, 'name = "standard"', "name = ", "line 3"),
        ("standard", P, 'title = "', 'titel = "', "titel"),
        ("standard", P, 'time_limit = "15s"', "time_limit = 15", "time_limit"),
        ("standard", P, 'time_limit = "15s"', 'time_limit = "15 s"', "time_limit: '15 s' is no duration"),
        ("standard", P, '"5m"', '"-5m"', "retries_after: '-5m' is no duration"),
        ("standard", P, 'key_prefix = "tsn_"', 'key_prefix = "x_"', "key_prefix"),
        ("standard", P, 'scheme = "standard-webhooks"', 'scheme = "rot13"', "signature.scheme"),
        ("standard", P, 'scheme = "standard-webhooks"', 'scheme = "hmac-hex"', "signature.header"),
        ("standard", P, 'form = "standard-webhooks"', 'form = "?"', "secret.form"),
        ("standard", P, 'from = "event.type"', 'from = "event.tpye"', "envelope.members: 'type' comes from"),
        ("standard", P, 'key = "type"', 'key = "data"', "envelope.members: the key 'data' is there twice"),
        ("standard", P, 'key = "type"', 'key = "0"', "envelope.members: the key '0'"),
        ("standard", P, '{ key = "data", from = "data" },', "", "envelope.members: the data must stand in exactly one"),
        ("standard", P, '{ key = "data", from', '{ key = "data", value = 1, from', "exactly one of from, value"),
        ("standard", P, '{ key = "data", from = "data" }', '{ merge = "data" }', "custom_event_types"),
        ("standard", P, '{ key = "data", from = "data" }', '{ merge = "date" }', "envelope.members: only"),
        ("standard", P, '{ key = "data", from = "data" }', '{ from = "data" }', "neither a key nor a merge"),
        ("standard", P, 'warn_at = ["1d", "4d"]', 'warn_at = ["4d", "1d"]', "disable.warn_at"),
        ("standard", P, 'warn_at = ["1d", "4d"]', 'warn_at = ["5d"]', "disable.warn_at"),
        ("standard", P, 'failing_for = "5d"', 'failing_for = "soon"', "disable.failing_for"),
        ("cloakradar", P, 'prefix = "sha256="', 'rotation = "both"', "signature.rotation"),
        ("cloakradar", P, 'prefix = "sha256="', 'scheme_option = "signature"', "signature.schemes"),
        ("visits", P, 'token = "token"', 'token = "standard-webhooks"', "signature.schemes"),
        ("visits", P, 'from = "event.type"', 'from = "event"', "headers: X-Webhook-Event comes from 'event'"),
        (
            "clickdefender",
            P,
            '{ merge = "data" },',
            '{ key = "a", members = [{ merge = "data" }] },',
            "envelope.members: only",
        ),
        (
            "clickdefender",
            P,
            '{ merge = "data" },',
            '{ key = "a", members = [] }, { merge = "data" }',
            "there are none",
        ),
        ("standard", C, '["click.created"]', '["click.made"]', "click.made: events/click.made.schema.json is missing"),
        ("standard", C, '["click.created"]\nsource = "Tocsin"', '["click.created"]', "source"),
        ("standard", C, 'visitor = ["visitor", "id"]', 'visitor = ["visitor", "ip6"]', "click.created.visitor"),
        ("standard", C, "extension = true", 'extension = "yes"', "extension"),
        ("standard", CLICK, "click.created", "click.made", "title: must be 'click.created'"),
        ("standard", CLICK, "2020-12", "2019-09", "$schema"),
        ("standard", CLICK, '"type": "object"', '"type": "array"', "type: must be 'object'"),
        ("standard", CLICK, "A click was recorded.", "", "description"),
        ("standard", CLICK, "#/$defs/visitor", "#/$defs/visiter", "$ref: '#/$defs/visiter'"),
        ("standard", CLICK, "#/$defs/visitor", "https://example.com/visitor.json", "$ref: 'https://example.com"),
        ("standard", CLICK, '"minLength": 1', '"minLength": "x"', CLICK),
        ("standard", CLICK, '"required"', '"required', "line "),
        ("standard", "examples/click.created.json", '"clk_01JP9QK6X3"', "7", "/click_id: "),
        ("standard", "examples/click.created.json", '"0.42"', "1e999", "/cost: a number too large"),
        (
            "standard",
            "examples/cap.reached.json",
            '"limit": 250',
            '"limit": 250, "limit": 251',
            "/limit: this key is rep",
        ),
    ],
)
def test_a_contradiction_is_told_with_its_place(
    edit: Callable[..., Path], dialect: str, file: str, old: str, new: str, said: str
) -> None:
    """The error names the file, the key and what is wrong with it."""
    folder = edit(dialect, file, old, new)
    with pytest.raises(Misconfigured) as caught:
        read_profile(folder)
    assert str(folder / file) in caught.value.detail
    assert said in caught.value.detail


def test_files_without_an_entry_are_told(edit: Callable[..., Path]) -> None:
    """A schema that the catalogue does not know was forgotten there, or should go."""
    folder = edit("standard", C, "source", "source")
    (folder / "events" / "click.lost.schema.json").write_text("{}")
    with pytest.raises(Misconfigured, match=r"click\.lost\.schema\.json: the catalogue has no such event type"):
        read_profile(folder)


@pytest.mark.parametrize("file", [P, C, "examples/click.created.json"])
def test_a_missing_file_is_told(edit: Callable[..., Path], file: str) -> None:
    """The error names the file that is not there."""
    folder = edit("standard", P, "name", "name")
    (folder / file).unlink()
    with pytest.raises(Misconfigured) as caught:
        read_profile(folder)
    assert file.removeprefix("examples/") in caught.value.detail


def test_an_array_is_no_example(edit: Callable[..., Path]) -> None:
    """What holds no object is refused as such."""
    folder = edit("standard", P, "name", "name")
    (folder / "examples" / "click.created.json").write_text("[]")
    with pytest.raises(Misconfigured, match="must hold an object"):
        read_profile(folder)


def test_an_unknown_dialect_is_told_with_those_there_are() -> None:
    """Its name never reaches the file system."""
    with pytest.raises(Misconfigured, match=r"no profile is called '\.\./standard'; there are standard"):
        load("../standard")
