"""The vendors' documents against our dialects: the samples that they print, facts transcribed, and what they say.

``documents/<profile>/<type>[.<variant>].json`` holds a sample as a whole body, ``documents/<profile>/document.toml``
what the document says beside its samples:

    source          its name
    types           the event types that it names
    [envelope]      what each key of a body holds that is not an event's own, in order; "data" holds the event's own
    [optional]      by sample, pointers to the keys that an event may lack; all others are required
    [also_taken]    by sample, pointers to values that may be of a second JSON type, and which

A dialect is held to its document by adding such a folder.
"""

import copy
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from tocsin.clock import parse_rfc3339
from tocsin.errors import Fault
from tocsin.profiles import CatalogueEntry, Facts, Profile, load
from tocsin.profiles.jsjson import stabilise

DOCUMENTS = Path(__file__).parent / "documents"

# One value of each JSON type.
VALUES: Mapping[str, Any] = {
    "null": None,
    "boolean": True,
    "number": 7,
    "string": "text",
    "array": ["text"],
    "object": {"key": "text"},
}


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    types: list[str]
    envelope: dict[str, str | dict[str, str]] = {}
    optional: dict[str, list[str]] = {}
    also_taken: dict[str, dict[str, str]] = {}


class Sample:
    def __init__(self, path: Path) -> None:
        self.profile: Profile = load(path.parent.name)
        self.document = _document(path.parent)
        self.name = path.name.removesuffix(".json")
        self.text = path.read_bytes()
        self.body: dict[str, Any] = orjson.loads(self.text)
        [self.type] = [name for name in self.document.types if f"{self.name}.".startswith(f"{name}.")]
        self.entry: CatalogueEntry = self.profile.catalogue[self.type]
        own_place = next((key for key, what in self.document.envelope.items() if what == "data"), None)
        self.data: dict[str, Any] = (
            {key: value for key, value in self.body.items() if key not in self.document.envelope}
            if own_place is None
            else self.body[own_place]
        )
        self.optional = self.document.optional.get(self.name, [])
        self.also_taken = self.document.also_taken.get(self.name, {})

    def __repr__(self) -> str:
        return f"{self.profile.name}/{self.name}"

    def facts(self, make_facts: Any) -> Facts:
        """An event that has what the sample has."""
        facts = {"type": self.type, "data": stabilise(orjson.dumps(self.data))[1]}
        for key, what in self.document.envelope.items():
            if what != "data" and key in self.body:
                inside = {None: what} if isinstance(what, str) else what
                for name, fact in inside.items():
                    value = self.body[key] if name is None else self.body[key][name]
                    facts[fact] = parse_rfc3339(value) if fact == "timestamp" else value
        return make_facts(**facts)  # type: ignore[no-any-return]


def _document(folder: Path) -> Document:
    return msgspec.convert(tomllib.loads((folder / "document.toml").read_text()), Document)


PROFILES = sorted(path.name for path in DOCUMENTS.iterdir())
SAMPLES = [Sample(path) for path in sorted(DOCUMENTS.glob("*/*.json"))]

profiles = pytest.mark.parametrize("name", PROFILES)
samples = pytest.mark.parametrize("sample", SAMPLES, ids=map(repr, SAMPLES))


def _places(value: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """All values with their pointers, the whole first. No key of the samples needs escaping."""
    yield pointer, value
    for key, item in _children(value):
        yield from _places(item, f"{pointer}/{key}")


def _children(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


def _parent(data: Any, pointer: str) -> tuple[Any, Any]:
    """The object or array that holds the place, and the place's key or index in it."""
    *above, last = pointer.removeprefix("/").split("/")
    for step in above:
        data = data[int(step)] if isinstance(data, list) else data[step]
    return data, int(last) if isinstance(data, list) else last


def _without(data: Any, pointer: str) -> Any:
    data = copy.deepcopy(data)
    parent, key = _parent(data, pointer)
    del parent[key]
    return data


def _with(data: Any, pointer: str, value: Any) -> Any:
    data = copy.deepcopy(data)
    parent, key = _parent(data, pointer)
    parent[key] = value
    return data


def _json_type(value: Any) -> str:
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")


def _refused(sample: Sample, data: Any) -> tuple[Fault, ...]:
    faults = sample.entry.validator.faults(data)
    assert bool(faults) != sample.entry.validator.is_valid(data)
    return faults


# --- what the documents say ---------------------------------------------------------------------------------------


@profiles
def test_every_event_type_of_a_document_is_there(name: str) -> None:
    """The catalogue has each type that the document names, in its order, by the document's own name, and no other."""
    document, catalogue = _document(DOCUMENTS / name), load(name).catalogue
    assert list(catalogue) == document.types
    assert {entry.event_type.source for entry in catalogue.values()} == {document.source}
    assert load(name).document == document.source
    assert not any(entry.event_type.extension for entry in catalogue.values())


@profiles
def test_what_is_said_of_samples_is_said_of_real_ones(name: str) -> None:
    """Each pointer that document.toml gives leads to something, or nothing would hold it to anything."""
    document = _document(DOCUMENTS / name)
    here = {sample.name: sample for sample in SAMPLES if sample.profile.name == name}
    assert here
    for sample_name, pointers in [*document.optional.items(), *document.also_taken.items()]:
        places = dict(_places(here[sample_name].data))
        assert set(pointers) <= places.keys(), sample_name


# --- their samples ------------------------------------------------------------------------------------------------


@samples
def test_a_sample_is_taken(sample: Sample) -> None:
    """What the document shows is what its event type's schema accepts."""
    assert _refused(sample, sample.data) == ()


@samples
def test_a_sample_is_rendered_as_it_is_printed(sample: Sample, make_facts: Any, node: Any) -> None:
    """An event with the sample's facts makes the sample's body, byte for byte as JavaScript writes it.

    Of a sample that leaves out some of the envelope, what it has stands in the same order with the same content.
    """
    rendered = sample.profile.render_body(sample.facts(make_facts))
    assert node.reparse(rendered) == rendered
    body = orjson.loads(rendered)
    if sample.document.envelope.keys() <= sample.body.keys():
        assert rendered == node.reparse(sample.text)
    else:
        assert [key for key in body if key in sample.body] == list(sample.body)
        assert {key: body[key] for key in sample.body} == sample.body
    own = sample.data if "data" not in sample.document.envelope.values() else {}
    assert list(body) == [*sample.document.envelope, *own]


@samples
def test_a_missing_key_is_refused(sample: Sample) -> None:
    """At every depth, each key but those that activity may lack, with a pointer to its place or the object around."""
    for pointer, _ in _places(sample.data):
        above, _, key = pointer.rpartition("/")
        if not pointer or isinstance(_parent(sample.data, pointer)[0], list):
            continue
        faults = _refused(sample, _without(sample.data, pointer))
        if pointer in sample.optional:
            assert faults == (), pointer
        else:
            assert faults, f"{pointer} may be missing"
            assert {fault.pointer for fault in faults} <= {f"/data{above}", f"/data{pointer}"}, pointer
            assert any(key in fault.pointer + fault.detail for fault in faults), pointer


@samples
def test_a_wrong_type_is_refused(sample: Sample) -> None:
    """At every depth, in place of each value one of each other JSON type, with a pointer to its place."""
    for pointer, value in _places(sample.data):
        taken = {_json_type(value), sample.also_taken.get(pointer)}
        for kind, wrong in VALUES.items():
            if not pointer:
                faults = _refused(sample, wrong) if kind != "object" else (Fault("/data", ""),)
            else:
                faults = _refused(sample, _with(sample.data, pointer, wrong))
            if kind not in taken:
                assert faults, f"{pointer} may be a {kind}"
                assert {fault.pointer for fault in faults} == {f"/data{pointer}"}, f"{pointer} as {kind}"
            elif kind == sample.also_taken.get(pointer):
                assert faults == (), f"{pointer} as {kind}"


@samples
def test_more_keys_are_taken(sample: Sample) -> None:
    """At every depth, an object may hold keys that the document does not name."""
    for pointer, value in _places(sample.data):
        if isinstance(value, dict):
            more = {**value, "our_own": {"n": 1}, "7": None}
            assert _refused(sample, _with(sample.data, pointer, more) if pointer else more) == (), pointer
