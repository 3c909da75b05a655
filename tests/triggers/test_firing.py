"""What a dialect's triggers.toml can say, what is refused when it is read, and that what is fired fits its type."""

import json
import shutil
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tocsin import profiles
from tocsin.clock import Millis
from tocsin.errors import Misconfigured
from tocsin.profiles.loader import DATA, read_profile
from tocsin.triggers import firing
from tocsin.triggers.fact_names import FACTS
from tocsin.triggers.firing import Fired, Unfired
from tocsin.triggers.forms import FORMS
from tocsin.triggers.occurrences import NAMES, Occurrence

BERLIN = ZoneInfo("Europe/Berlin")
AT = Millis(1_767_225_600_123)  # 2026-01-01T00:00:00.123Z

BASE = """
["click.created"]
on = "click"
["click.created".data]
click_id = "click_id | text"
"""


def _profile(tmp_path: Path, triggers: str) -> profiles.Profile:
    folder = tmp_path / "standard"
    shutil.copytree(DATA / "standard", folder, dirs_exist_ok=True)
    (folder / "triggers.toml").write_text(triggers)
    return read_profile(folder)


def _fired(
    profile: profiles.Profile, name: str, facts: Mapping[str, Any], unfired: list[Unfired] | None = None
) -> list[Fired]:
    told = [] if unfired is None else unfired
    found = firing.load(profile).events(Occurrence(name=name, at=AT, facts=facts), timezone=BERLIN, unfired=told.append)
    return list(found)


def _one(profile: profiles.Profile, name: str, facts: Mapping[str, Any]) -> Any:
    (event,) = _fired(profile, name, facts)
    return json.loads(event.data)


# --- the language -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "facts", "expected"),
    [
        ('x = "landing_url"', {"landing_url": "https://a"}, "https://a"),
        ('x = "landing_url"', {}, None),
        ('x = "visitor.region"', {"visitor": {"region": "Berlin"}}, "Berlin"),
        ('x = "visitor.region"', {"visitor": "nobody"}, None),
        ('x = "visitor.ip or session_id | text or \'none\'"', {"visitor": {"ip": "a"}, "session_id": 3}, "a"),
        ('x = "visitor.ip or session_id | text or \'none\'"', {"visitor": {"ip": ""}, "session_id": 3}, "3"),
        ('x = "visitor.ip or session_id | text or \'none\'"', {}, "none"),
        ('x = "visitor.ip or \'\'"', {}, ""),
        ('x = "score or 0"', {}, 0),
        ('x = "score or 7"', {"score": 0}, 0),
        ("x = \"signals.proxy then 'proxy' or 'vpn'\"", {"signals": {"proxy": True}}, "proxy"),
        ("x = \"signals.proxy then 'proxy' or 'vpn'\"", {"signals": {"proxy": False}}, "vpn"),
        ('x = "signals.a then cost | cents"', {"signals": {"a": 1}, "cost": Decimal("1.5")}, 150),
        ("x = \"'a or b | c'\"", {}, "a or b | c"),
        ("x = true", {}, True),
        ("x = 2.5", {}, 2.5),
        ('x = "occurrence.at | instant"', {}, "2026-01-01T00:00:00Z"),
        ('x = "occurrence.at | instant_ms"', {}, "2026-01-01T00:00:00.123Z"),
        ('x = "occurrence.at | date"', {}, "2026-01-01"),
        ('x = "account.timezone"', {}, "Europe/Berlin"),
        ('x = ["reasons", { r = "rule", p = "points" }]', {"reasons": [{"rule": "a", "points": 1}, {"rule": "b"}]},
         [{"r": "a", "p": 1}, {"r": "b"}]),
        ('x = ["reasons", { r = "rule" }]', {"reasons": []}, []),
        ('x = ["reasons", { r = "rule" }]', {}, None),
        ('x = { y = "landing_url" }', {}, None),
        ('x = { y = "landing_url", z = 1 }', {}, {"z": 1}),
        ('x = "&seen"\n[shared.seen]\nip = "visitor.ip"', {"visitor": {"ip": "a"}}, {"ip": "a"}),
        ('x = { "&" = "seen", ip = "\'none\'" }\n[shared.seen]\nip = "visitor.ip"\nos = "visitor.os"',
         {"visitor": {"ip": "a", "os": "b"}}, {"ip": "none", "os": "b"}),
        ('x = { "*" = "visitor" }', {"visitor": {"ip": "a", "plan": Decimal("1.50"), "none": None}}, {"plan": 1.5}),
        ('x = { "*" = "visitor | texts" }', {"visitor": {"a": 1, "b": {"c": True}}}, {"a": "1", "b": {"c": "true"}}),
        ('x = "context"', {"context": {"a": Decimal("45.00"), "b": [Decimal("0.5"), None]}}, {"a": 45, "b": [0.5]}),
    ],
)  # fmt: skip
def test_a_part(tmp_path: Path, line: str, facts: dict[str, Any], expected: Any):
    """Each part of a shape is what its words say, and vanishes where nothing is known."""
    data = _one(_profile(tmp_path, BASE + line), "click", {"click_id": "c", **facts})
    assert data == {"click_id": "c"} | ({} if expected is None else {"x": expected})


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        ("text", 7, "7"),
        ("text", True, "true"),
        ("text", Decimal("45.00"), "45.00"),
        ("text", "", None),
        ("text", {}, None),
        ("texts", {"a": [1, None, ""], "b": 1.5}, {"a": ["1", ""], "b": "1.5"}),
        ("names", ["a", "", 3], ["a", "3"]),
        ("names", "a", ["a"]),
        ("joined", ["a", "b"], "a, b"),
        ("joined", [], None),
        ("number", Decimal("45.00"), 45),
        ("number", Decimal("45.50"), 45.5),
        ("number", "2.0%", 2),
        ("number", "much", None),
        ("number", True, None),
        ("number", Decimal("NaN"), None),
        ("integer", Decimal("45.5"), None),
        ("integer", "6", 6),
        ("cents", Decimal("45.00"), 4500),
        ("cents", Decimal("0.125"), 13),
        ("cents", Decimal("-0.125"), -13),
        ("cents", Decimal("0.1249"), 12),
        ("cents", "12.60", 1260),
        ("cents", Decimal(10) ** 20, None),
        ("amount", Decimal("45.00"), "45.00"),
        ("amount", Decimal("1E+2"), "100"),
        ("amount", Decimal("0.123456789"), "0.12345679"),
        ("id", 7, 7),
        ("id", "7", "7"),
        ("id", "", None),
        ("id", True, None),
        ("instant", "soon", None),
        ("instant", -1, None),
        ("date", 1_767_222_000_000, "2026-01-01"),  # 23:00 UTC: the next day in Berlin
        ("object", {"a": Decimal("0.5")}, {"a": 0.5}),
        ("object", "text", None),
    ],
)
def test_a_form(form: str, value: Any, expected: Any):
    """Each form gives JSON of its kind, or nothing where the fact has no such form."""
    found = FORMS[form](value, BERLIN)
    assert (found, type(found)) == (expected, type(expected))


def test_conditions(tmp_path: Path):
    """An event fires only where what `when` names has one of its values, and what `unless` names has none."""
    profile = _profile(tmp_path, BASE.replace("on =", 'when = { label = ["A", "B"] }\nunless = { score = 0 }\non ='))
    fires = [
        bool(_fired(profile, "click", {"click_id": "c", "label": label, "score": score}))
        for label, score in [("A", 1), ("B", 1), ("C", 1), ("A", 0), (None, 1)]
    ]
    assert fires == [True, True, False, False, False]


def test_one_occurrence_can_fire_several_types_and_one_type_can_have_several(tmp_path: Path):
    """They fire in the order of the file; an occurrence that nothing names fires nothing and is not wanted."""
    visitor = '["visitor.created"]\non = ["visit", "visitor"]\ndata = { visitor = { id = "visitor.id" } }'
    visit = '["visit.created"]\non = "visit"\ndata = { visit_id = "visit_id", visitor = { id = "visitor.id" } }'
    profile = _profile(tmp_path, f"{visitor}\n{visit}")
    facts = {"visit_id": "s", "visitor": {"id": "v"}}
    assert [event.type for event in _fired(profile, "visit", facts)] == ["visitor.created", "visit.created"]
    assert [event.type for event in _fired(profile, "visitor", facts)] == ["visitor.created"]
    assert _fired(profile, "click", facts) == []
    assert firing.load(profile).wanted == {"visit", "visitor"}
    assert firing.load(profile).fired_by == {"visitor.created": ["visit", "visitor"], "visit.created": ["visit"]}


def test_what_the_schema_refuses_is_left_out(tmp_path: Path):
    """Optional parts go, whatever their depth; the rest of the event is fired."""
    profile = _profile(
        tmp_path,
        BASE + 'label = "label"\ncurrency = "currency"\nvisitor = { id = "visitor.id", ip = "visitor.ip" }\n'
        'reasons = ["reasons", { rule = "rule", points = "points" }]',
    )
    facts = {
        "click_id": "c",
        "label": "ODD",
        "currency": "Euro",
        "visitor": {"ip": "no id, so no visitor"},
        "reasons": [{"rule": ""}, {"rule": "a", "points": "?"}, {"points": 1}, {"rule": "b"}],
    }
    assert _one(profile, "click", facts) == {"click_id": "c", "reasons": [{"rule": "a"}, {"rule": "b"}]}


@pytest.mark.parametrize(
    "facts",
    [{}, {"click_id": ""}, {"click_id": {}}, {"click_id": "c", "context": {"n": 2**60}}, {"click_id": "\ud800"}],
)
def test_what_lacks_something_required_is_told_and_not_fired(tmp_path: Path, facts: dict[str, Any]):
    """Nobody gets half an event, and whoever runs the server learns why."""
    profile = _profile(tmp_path, BASE + 'context = "context"')
    told: list[Unfired] = []
    assert _fired(profile, "click", facts, told) == []
    (unfired,) = told
    assert (unfired.type, unfired.occurrence) == ("click.created", "click")
    assert unfired.told["reason"]


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('["click.make"]\non = "click"\ndata = {}', "click.make: the catalogue has no such event type"),
        (BASE.replace('"click"\n', '"clicks"\n'), "click.created.on: there is no occurrence 'clicks': did you mean"),
        (BASE.replace("on =", "at ="), "unknown field `at`"),
        (BASE.replace('| text"', '| txt"'), "click_id: there is no form 'txt': did you mean 'text'"),
        (BASE.replace("click_id |", "clickid |"), "click_id: no such fact as 'clickid': did you mean 'click_id'"),
        (BASE + 'x = "campaign.title"', "x: no such fact as 'campaign.title'"),
        (BASE + 'x = "click_id.id"', "x: no such fact as 'click_id.id'"),
        (BASE + 'x = "cap.limit"', "x: no such fact as 'cap'"),
        (BASE + 'x = "click_id |"', "is not written as"),
        (BASE + 'x = "click_id or"', "is not written as"),
        (BASE + 'x = "or click_id"', "is not written as"),
        (BASE + 'x = "click_id then"', "is not written as"),
        (BASE + 'x = "click_id text"', "is not written as"),
        (BASE + "x = \"click_id or 'open\"", "is not written as"),
        (BASE + 'x = ""', "is not written as"),
        (BASE + 'x = "&nobody"', "x: there is no [shared.nobody]"),
        (BASE + '"&" = "a"\n[shared.a]\n"&" = "a"', "'a' holds itself"),
        (BASE + 'x = "&a"\n[shared.a]\nx = "&a"', "'a' holds itself"),
        (BASE + 'x = ["click_id", { r = "rule" }]', "'click_id' is no list"),
        (BASE + 'x = ["reasons"]', "a list is a path and the shape of an item"),
        (BASE + 'x = ["reasons", { r = "click_id" }]', "x.r: no such fact as 'click_id'"),
        (BASE + 'x = { "*" = "score" }', "'score' is no object"),
        (BASE + 'x = { "*" = "visitor or campaign" }', "a path to an object"),
        (BASE + "x = 2026-01-01", "x: a path, a constant"),
        (BASE.replace("on =", 'when = { lable = "A" }\non ='), "when.lable: no such fact as 'lable'"),
        (BASE.replace("on =", 'when = { visitor = "A" }\non ='), "'visitor' is no single fact"),
        ('["click.created"]\non = "click"\ndata = {}', "data.click_id: the schema requires it"),
        ('["bot.detected"]\non = "bot"\ndata = { bot = {} }', "data.bot.type: the schema requires it"),
        ('["bot.detected"]\non = "bot"\ndata = { bot = { type = "bot.type" }, visitor = {} }',
         "data.visitor.id: the schema requires it"),
        ("shared = 3", "shared"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_when_it_is_read(tmp_path: Path, text: str, says: str):
    """The sentence names the file, the key, and what is wrong with it."""
    with pytest.raises(Misconfigured) as raised:
        firing.load(_profile(tmp_path, text))
    assert says in raised.value.detail
    assert str(tmp_path / "standard" / "triggers.toml") in raised.value.detail


def test_a_dialect_without_the_file_fires_nothing(tmp_path: Path):
    """It can still be published to."""
    profile = _profile(tmp_path, "")
    (tmp_path / "standard" / "triggers.toml").unlink()
    assert firing.load(read_profile(tmp_path / "standard")).wanted == frozenset()
    assert firing.load(profile).wanted == frozenset()


# --- ours ---------------------------------------------------------------------------------------------------------


def test_the_facts_of_every_occurrence_are_named():
    """What rules find and what shapes can read are the same list."""
    assert FACTS.keys() == NAMES


@pytest.mark.parametrize("name", profiles.names())
def test_every_event_type_of_ours_is_fired_by_something(name: str):
    """No type of a catalogue waits for something that never comes."""
    profile = profiles.load(name)
    assert firing.load(profile).fired_by.keys() == profile.catalogue.keys()
