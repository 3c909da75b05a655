"""Schemas that users write: good ones check, hostile ones cost nobody anything."""

import contextlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import Fault, Invalid
from tocsin.profiles import load, names, patterns
from tocsin.profiles.schema_cost import MAX_NS, price
from tocsin.profiles.schema_parts import take_apart
from tocsin.profiles.schemas import compile_schema

CLICK = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "https://example.com/click.json",
    "type": "object",
    "required": ["click_id", "cost"],
    "properties": {
        "click_id": {"$ref": "#/$defs/id"},
        "cost": {"type": "number", "minimum": 0, "maximum": 1000, "multipleOf": 0.01},
        "country": {"enum": ["DE", "AT", "CH"]},
        "reasons": {"type": "array", "items": {"type": "string", "maxLength": 20}, "uniqueItems": True, "maxItems": 3},
        "visitor": {
            "type": "object",
            "properties": {"ip": {"anyOf": [{"$ref": "#ip"}, {"type": "null"}]}},
            "additionalProperties": False,
        },
        "at": {"type": "string", "format": "date-time"},
    },
    "$defs": {
        "id": {"type": "string", "pattern": "^clk_[a-z0-9]{4,26}$"},
        "ip": {"$anchor": "ip", "type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,3}){3}$"},
    },
}
GOOD = {"click_id": "clk_01hx", "cost": 0.12, "country": "DE", "reasons": ["vpn"], "visitor": {"ip": "203.0.113.9"}}


def fault_of(schema: Any) -> Fault:
    with pytest.raises(Invalid) as refused:
        compile_schema(schema)
    assert refused.value.code == "schema_invalid"
    [fault] = refused.value.faults
    return fault


def details(schema: Mapping[str, Any], value: Any) -> dict[str, str]:
    validator = compile_schema(schema)
    found = {fault.pointer: fault.detail for fault in validator.faults(value)}
    assert validator.is_valid(value) == (not found)
    return found


# --- good schemas -----------------------------------------------------------------------------------------------


def test_a_good_value_fits() -> None:
    """Keywords, $defs, anchors, the draft's address and an $id of its own: all usual things work."""
    assert details(CLICK, GOOD) == {}
    assert compile_schema({}).is_valid({"anything": [1]})
    assert compile_schema(CLICK).is_valid(GOOD, json_bytes=120)


def test_every_catalogue_has_good_schemas() -> None:
    """The profiles' own schemas keep the rules, and each takes a whole kilobyte without counting."""
    for name in names():
        for entry in load(name).catalogue.values():
            assert entry.validator.is_valid(dict(entry.event_type.example), json_bytes=1024)


@pytest.mark.parametrize(
    ("change", "pointer", "says"),
    [
        ({"click_id": "CLK"}, "/data/click_id", "“CLK” does not match the pattern ^clk_[a-z0-9]{4,26}$"),
        ({"click_id": 7}, "/data/click_id", "must be a string, not 7"),
        ({"cost": "0.12"}, "/data/cost", "must be a number, not a string"),
        ({"cost": -1}, "/data/cost", "must be at least 0, not -1"),
        ({"cost": 1001}, "/data/cost", "must be at most 1000, not 1001"),
        ({"cost": 0.125}, "/data/cost", "must be a multiple of 0.01, not 0.125"),
        ({"country": "FR"}, "/data/country", "must be “DE” or “AT” or “CH”, not “FR”"),
        ({"reasons": ["a", "a"]}, "/data/reasons", "holds the same item twice"),
        ({"reasons": list("abcd")}, "/data/reasons", "must have 3 or fewer items, not 4"),
        ({"reasons": ["x" * 21]}, "/data/reasons/0", "must have 20 or fewer characters, not 21"),
        ({"visitor": {"ip": 4}}, "/data/visitor/ip", "fits none of the 2 alternatives"),
        ({"visitor": {"mac": "x"}}, "/data/visitor", "has keys that are not allowed: “mac”"),
        ({"visitor": None}, "/data/visitor", "must be an object, not null"),
        ({"reasons": True}, "/data/reasons", "must be an array, not true"),
    ],
)
def test_a_fault_is_a_plain_sentence_with_a_pointer(change: dict[str, Any], pointer: str, says: str) -> None:
    """Each fault says what it must be and what it is, at the place where it is."""
    found = details(CLICK, GOOD | change)
    assert found[pointer].startswith(says)


def test_what_is_missing_is_named() -> None:
    """A missing key is said of the object that lacks it."""
    assert details(CLICK, {"cost": 1}) == {"/data": "“click_id” is missing"}


@pytest.mark.parametrize(
    ("schema", "value", "says"),
    [
        ({"exclusiveMinimum": 3}, 3, "must be more than 3, not 3"),
        ({"exclusiveMaximum": 3}, 3, "must be less than 3, not 3"),
        ({"minLength": 3}, "é", "must have 3 or more characters, not 1"),
        ({"minItems": 1}, [], "must have 1 or more items, not 0"),
        ({"minProperties": 1}, {}, "must have 1 or more keys, not 0"),
        ({"maxProperties": 0}, {"a": 1}, "must have 0 or fewer keys, not 1"),
        ({"const": {"a": 1}}, {"a": 2}, 'must be {"a": 1}, not an object'),
        ({"not": {}}, [1], "an array is what the schema excludes"),
        ({"oneOf": [True, True]}, 1, "fits more than one of the alternatives"),
        ({"oneOf": [{"required": ["b"]}, False]}, {}, "fits none of the 2 alternatives"),
        ({"propertyNames": {"maxLength": 1}}, {"long": 1}, "has a key that is not allowed: “long”"),
        ({"contains": {"const": 1}}, [2], "holds too few, or too many"),
        ({"prefixItems": [True], "items": False}, [1, 2], "is not allowed here"),
        ({"properties": {"a": True}, "unevaluatedProperties": False}, {"b": 1}, "has keys that are not allowed: “b”"),
        ({"unevaluatedItems": False}, [1], "has more items"),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "“b” is missing"),
        ({"if": {"type": "integer"}, "then": False}, 1, "is not allowed here"),
        ({"type": ["string", "null"]}, 1.5, "must be null or a string, not 1.5"),
        (
            {"enum": list("abcdefghij")},
            "z",
            "must be one of “a”, “b”, “c”, “d”, “e”, “f”, “g”, “h” and 2 more, not “z”",
        ),
    ],
)
def test_every_keyword_has_its_sentence(schema: dict[str, Any], value: Any, says: str) -> None:
    """No library's wording reaches a user."""
    [detail] = details(schema, value).values()
    assert detail.startswith(says)


def test_alternatives_name_the_nearest() -> None:
    """Where one alternative all but fits, what it lacks is said."""
    schema = {
        "oneOf": [
            {"properties": {"kind": {"const": "click"}, "cost": {"type": "number"}}, "required": ["kind", "id"]},
            {"properties": {"kind": {"const": "visit"}, "page": {"type": "string"}}, "required": ["kind", "url"]},
        ]
    }
    [detail] = details(schema, {"kind": "click", "id": 1, "cost": "free"}).values()
    assert detail == "fits none of the 2 alternatives; by the nearest, cost must be a number, not a string"


def test_long_values_are_shortened() -> None:
    """A sentence stays one however long the value, the pattern, a name or the list of names is."""
    huge = "x" * 100_000
    schema = {"properties": {"a": {"pattern": "^y{1,30}[a-z]{1,30}$|" + "z" * 500}}, "additionalProperties": False}
    for value in ({"a": huge}, {huge: 1}, {f"{n}{huge}": 1 for n in range(5)}):
        assert all(len(detail) < 600 for detail in details(schema, value).values())


def test_pointers_are_escaped_and_start_at_the_base() -> None:
    """RFC 6901 escapes, array indexes, and a base of the caller's."""
    schema = {"additionalProperties": {"items": {"type": "string"}}}
    [fault] = compile_schema(schema).faults({"a/b~c": ["x", 1]}, "/events/3/data")
    assert fault.pointer == "/events/3/data/a~1b~0c/1"
    [fault] = compile_schema({"type": "string"}).faults(1, "")
    assert fault.pointer == ""


def test_at_most_twenty_faults() -> None:
    """More than 20 faults are not listed."""
    assert len(compile_schema({"items": {"type": "string"}}).faults(list(range(1000)))) == 20


def test_formats_are_annotations() -> None:
    """As draft 2020-12 has it, ``format`` says what a string means and refuses none."""
    assert details({"format": "ipv4"}, "not an address") == {}


# --- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reference",
    [
        "file:///etc/passwd", "http://127.0.0.1:9/x", "https://example.com/schema.json#/a", "other.json",
        "/etc/passwd", "//example.com/x", "?x", "data:application/json,{}", "urn:x", "../x", "json-schema:///", "x#/y",
        "https://json-schema.org/draft/2020-12/schema", "https://example.com/self.json", 5, None, ["#"],
    ],
)  # fmt: skip
def test_a_reference_never_leaves_the_schema(reference: Any) -> None:
    """Files and addresses are refused, the schema's own address too, wherever a schema can stand."""
    for place in ("not", "items", "additionalProperties", "propertyNames", "contains", "contentSchema", "if"):
        schema = {"$id": "https://example.com/self.json", place: {"$ref": reference}}
        assert fault_of(schema).pointer == f"/schema/{place}/$ref"
    for place in ("$defs", "definitions", "properties", "patternProperties", "dependentSchemas", "dependencies"):
        assert fault_of({place: {"a": {"$ref": reference}}}).pointer == f"/schema/{place}/a/$ref"
    for place in ("allOf", "anyOf", "oneOf", "prefixItems"):
        assert "files and addresses are never read" in fault_of({place: [{"$ref": reference}]}).detail


def test_a_reference_hidden_in_an_unknown_keyword_is_found() -> None:
    """What a $ref leads to is a schema, wherever it stands, and is judged as one."""
    assert compile_schema({"$ref": "#/x-types/a", "x-types": {"a": {"type": "string"}}}).is_valid("s")
    assert fault_of({"$ref": "#/x/a", "x": {"a": {"$ref": "file:///etc/passwd"}}}).pointer == "/schema/x/a/$ref"
    assert fault_of({"$ref": "#/x", "x": {"$id": "http://127.0.0.1/"}}).pointer == "/schema/x/$id"
    assert fault_of({"$ref": "#/const/0", "const": [{"$ref": "y"}]}).pointer == "/schema/const/0/$ref"


def test_data_that_looks_like_a_schema_is_data() -> None:
    """Inside enum, const, default and examples, and as the name of a property, ``$ref`` is no reference."""
    schema = {
        "properties": {"$ref": {"const": {"$ref": "file:///x", "$id": "y"}}},
        "default": {"$ref": "file:///x"},
        "examples": [{"$dynamicRef": "x"}],
        "x-note": {"$schema": "http://127.0.0.1/"},
    }
    assert details(schema, {"$ref": {"$ref": "file:///x", "$id": "y"}}) == {}


@pytest.mark.parametrize(
    ("schema", "pointer", "says"),
    [
        ({"$ref": "#/$defs/missing"}, "/$ref", "leads nowhere"),
        ({"$ref": "#missing"}, "/$ref", "leads nowhere"),
        ({"$ref": "#/allOf/7", "allOf": [{}]}, "/$ref", "leads nowhere"),
        ({"$ref": "#/allOf/00", "allOf": [{}]}, "/$ref", "leads nowhere"),
        ({"$ref": "#/title", "title": "x"}, "/title", "a schema is an object, true or false"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/$schema", "draft 2020-12"),
        ({"$schema": "http://127.0.0.1:9/"}, "/$schema", "draft 2020-12"),
        ({"items": {"$schema": 1}}, "/items/$schema", "draft 2020-12"),
        ({"items": {"$id": "http://127.0.0.1/"}}, "/items/$id", "only the whole schema"),
        ({"$dynamicRef": "#x"}, "/$dynamicRef", "write $ref"),
        ({"not": {"$dynamicAnchor": "x"}}, "/not/$dynamicAnchor", "write $anchor"),
        ({"$recursiveRef": "#"}, "/$recursiveRef", "older draft"),
        ({"properties": {"a": 5}}, "/properties/a", "a schema is an object"),
        ({"items": [{"type": "string"}]}, "/items", "a schema is an object"),
        ({"allOf": [[]]}, "/allOf/0", "a schema is an object"),
        ({"type": "text"}, "/type", "fits none of"),
        ({"minimum": "1"}, "/minimum", "must be a number, not a string"),
        ({"required": "a"}, "/required", "must be an array, not a string"),
        ({"properties": {"a": {"minLength": -1}}}, "/properties/a/minLength", "must be at least 0, not -1"),
        ({"multipleOf": 0}, "/multipleOf", "must be from 1e-09 to"),
        ({"items": {"multipleOf": 1e-300}}, "/items/multipleOf", "must be from 1e-09 to"),
        ({"allOf": {}}, "/allOf", "must be an array, not an object"),
        ({"$ref": "#"}, "", "leads back to itself without going into the value"),
        ({"not": {"$ref": "#"}}, None, "leads back to itself without going into the value"),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}},
            None,
            "leads back to itself without going into the value",
        ),
    ],
)
def test_a_bad_schema_is_refused_where_it_is_bad(schema: dict[str, Any], pointer: str | None, says: str) -> None:
    """Each refusal points at the keyword and says how to mend it."""
    fault = fault_of(schema)
    assert says in fault.detail
    assert pointer is None or fault.pointer == f"/schema{pointer}"


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(?=a)b", "look-around"),
        ("(?!a)b", "look-around"),
        ("(?<=a)b", "look-around"),
        ("(?<!a)b", "look-around"),
        (r"(a)\1", "back-references"),
        (r"(?<n>a)\k<n>", "back-references"),
        ("(", "no regular expression"),
        ("[", "no regular expression"),
        ("*", "no regular expression"),
        ("(a{100}){100}", "grow too large"),
        (r"(\w{200}){50}", "grow too large"),
        ("x{1000}{1000}{1000}", "grow too large"),
        ("a" * 1025, "at most 1024 characters"),
    ],
)
def test_a_pattern_that_cannot_be_linear_is_refused(pattern: str, says: str) -> None:
    """Look-around, back-references and explosive counts are refused, as a keyword and as a key."""
    fault = fault_of({"properties": {"a": {"pattern": pattern}}})
    assert fault.pointer == "/schema/properties/a/pattern"
    assert says in fault.detail
    fault = fault_of({"patternProperties": {pattern: {}}})
    assert fault.pointer == "/schema/patternProperties"
    assert says in fault.detail


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(a|a)*b", "(.*a){12}", r"^(\d+)*$", "([a-z]+)*[a-z]+!", "(x+x+)+y"])
def test_patterns_that_explode_elsewhere_are_harmless(pattern: str) -> None:
    """Classic exponential patterns pass and are matched against a long text; a backtracking engine would never end."""
    assert compile_schema({"pattern": pattern}).is_valid("a" * 20_000 + "?") == (pattern == "(.*a){12}")


def test_digits_and_words_are_ascii() -> None:
    r"""``\d`` and ``\w`` are those of ECMA 262."""
    assert patterns.searcher(r"^\d\w$")("1a")
    assert not patterns.searcher(r"^\d$")("٣")
    assert not patterns.searcher(r"^\w$")("ü")
    assert patterns.searcher(r"^\p{L}$")("ü")


# --- bounds -----------------------------------------------------------------------------------------------------


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


def doubling(levels: int, keyword: str) -> dict[str, Any]:
    steps = {f"a{n}": {keyword: [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$ref": "#/$defs/a0", "$defs": steps | {f"a{levels}": {"type": "string"}}}


def test_sizes_are_bounded() -> None:
    """Bytes, depth, subschemas and patterns, each with its figure."""
    assert "65536 bytes" in fault_of({"title": "x" * 65_536}).detail
    assert "64 deep" in fault_of(nested(65)).detail
    assert "64 deep" in fault_of({"x": json.loads("[" * 900 + "]" * 900)}).detail
    assert "1000 subschemas" in fault_of({"properties": {f"p{n}": {} for n in range(1000)}}).detail
    assert compile_schema({"properties": {f"p{n}": {} for n in range(999)}}).is_valid({})
    assert "100 patterns" in fault_of({"patternProperties": {f"p{n}": {} for n in range(101)}}).detail
    assert "100 patterns" in fault_of({"allOf": [{"pattern": f"p{n}"} for n in range(101)]}).detail
    assert "too many members" in fault_of(
        {
            "$ref": "#/$defs/a0",
            "$defs": {f"a{n}": {"$ref": f"#/$defs/a{n + 1}", "properties": {f"p{n}": {}}} for n in range(400)}
            | {"a400": {}},
        }
    ).detail  # fmt: skip


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_doubling_references_are_refused(keyword: str) -> None:
    """A small schema whose references double thirty times would take hours; four times are fine."""
    assert "could take" in fault_of(doubling(30, keyword)).detail
    assert "could take" in fault_of(doubling(300, keyword)).detail
    assert compile_schema(doubling(4, keyword)).faults(1)


def test_references_that_double_going_down_are_refused() -> None:
    """The same, one level of the value for each level of the schema."""
    steps = {
        f"a{n}": {"anyOf": [{"items": {"$ref": f"#/$defs/a{n + 1}"}}, {"items": {"$ref": f"#/$defs/a{n + 1}"}}]}
        for n in range(30)
    }
    assert "could take" in fault_of({"$ref": "#/$defs/a0", "$defs": steps | {"a30": {"const": 1}}}).detail


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]},
        {"oneOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}, "minItems": 2}]},
        {"properties": {"a": {"$ref": "#"}}, "patternProperties": {"^a": {"$ref": "#"}}},
        {"contains": {"$ref": "#"}, "items": {"$ref": "#"}},
        {"additionalProperties": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}},
        {"if": {"items": {"$ref": "#"}}, "then": {"items": {"$ref": "#"}}},
        {"allOf": [{"properties": {"a": {"$ref": "#"}}}], "unevaluatedProperties": False},
        {
            "$ref": "#/$defs/a",
            "$defs": {
                "a": {"items": {"$ref": "#/$defs/b"}},
                "b": {"anyOf": [{"items": {"$ref": "#/$defs/a"}}, {"items": {"$ref": "#/$defs/b"}}]},
            },
        },
    ],
)
def test_recursion_that_doubles_is_refused(schema: dict[str, Any]) -> None:
    """A schema that comes back to itself twice for one member would double at each level of a value."""
    assert "in more than one way for the same member" in fault_of(schema).detail


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}},
        {"anyOf": [{"type": "string"}, {"items": {"$ref": "#"}}, {"additionalProperties": {"$ref": "#"}}]},
        {"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "additionalProperties": {"$ref": "#"}},
        {"prefixItems": [{"$ref": "#"}, {"$ref": "#"}], "items": {"$ref": "#"}},
        {"allOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"b": {"$ref": "#"}}}]},
    ],
)
def test_recursion_that_does_not_double_is_fine(schema: dict[str, Any]) -> None:
    """Trees and lists of any depth: each member is reached by one way."""
    assert compile_schema(schema).is_valid({"children": [{"children": [{}]}], "a": {"b": {}}})


def test_recursion_pays_for_what_goes_along() -> None:
    """What goes through everything inside, at each level of a recursion, costs as often as there can be levels."""
    along = {
        "$defs": {
            "any": {"additionalProperties": {"$ref": "#/$defs/any"}},
            "tree": {"properties": {"child": {"allOf": [{"$ref": "#/$defs/tree"}, {"$ref": "#/$defs/any"}]}}},
        },
        "$ref": "#/$defs/tree",
    }
    beside = {
        "$defs": {
            "any": {"additionalProperties": {"$ref": "#/$defs/any"}},
            "tree": {"properties": {"child": {"$ref": "#/$defs/tree"}, "notes": {"$ref": "#/$defs/any"}}},
        },
        "$ref": "#/$defs/tree",
    }
    assert price(take_apart(along)).ns > 20 * price(take_apart(beside)).ns


def test_a_value_beyond_the_bound_is_refused_unchecked() -> None:
    """A dear schema takes small values; of a large one it is said that it is too large, in words."""
    schema = {"items": {"enum": [{"at": n} for n in range(300)]}}
    validator = compile_schema(schema)
    assert validator.is_valid([{"at": 1}] * 20)
    [fault] = validator.faults([{"at": 1}] * 100_000)
    assert fault == Fault(
        "/data", "holds too much to be checked against the schema of this event type; send less at once"
    )
    assert not validator.is_valid([{"at": 1}] * 100_000, json_bytes=900_000)


def test_long_floats_count_as_more() -> None:
    """A number such as 5e-324 is compared digit by digit, so fewer of them are taken."""
    validator = compile_schema({"uniqueItems": True})
    assert validator.is_valid([n + 0.5 for n in range(1000)])
    assert not validator.is_valid([5e-324 * (n + 1) for n in range(1000)])


def test_a_whole_body_of_cheap_values_is_checked() -> None:
    """An ordinary schema checks an ordinary body of 1 MiB; it is not refused for its size."""
    schema = {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "string"}}}}
    assert compile_schema(schema).is_valid([{"id": "x" * 90} for _ in range(10_000)], json_bytes=1_000_000)


def test_too_many_faults_to_list_are_summed_up() -> None:
    """A large value that fits nowhere gets one sentence rather than a hundred thousand."""
    [fault] = compile_schema({"items": {"type": "string"}}).faults(list(range(100_000)))
    assert fault.detail == "does not fit the schema of this event type, and is too large to say where"


# --- anything at all --------------------------------------------------------------------------------------------

_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(categories=None), max_size=5)
_json = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.sampled_from("ab"), inner),
    max_leaves=8,
)
_KEYWORDS = [
    "$ref", "$defs", "$id", "$schema", "$anchor", "$dynamicRef", "type", "enum", "const", "pattern", "minimum",
    "multipleOf", "properties", "patternProperties", "additionalProperties", "items", "prefixItems", "contains",
    "allOf", "anyOf", "oneOf", "not", "if", "then", "required", "uniqueItems", "dependentSchemas", "dependencies",
    "unevaluatedProperties", "unevaluatedItems", "propertyNames", "maxLength", "minContains", "format", "title",
]  # fmt: skip
_values = (
    st.sampled_from(["#", "#/$defs/a", "#a", "string", "object", "a", "(", ["string"], [1], 1, 0.5, True, {}]) | _json
)
_schemas = st.recursive(
    st.dictionaries(st.sampled_from(_KEYWORDS), _values, max_size=4),
    lambda inner: st.dictionaries(
        st.sampled_from(_KEYWORDS),
        inner | st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
        max_size=4,
    ),
    max_leaves=10,
)


@given(_schemas, _json)
def test_any_schema_is_refused_or_checks_anything(schema: dict[str, Any], value: Any) -> None:
    """Nothing is ever raised but `Invalid`, faults are there exactly if the value is not valid, and the bound holds."""
    with contextlib.suppress(Invalid):
        validator = compile_schema(schema)
        assert validator.is_valid(value) == (not validator.faults(value))
        assert 0 < price(take_apart(schema)).ns <= MAX_NS


@given(st.text(max_size=30) | st.text(r"()[]{}*+?|\^$.,:=!<>0123456789adwpLk-&~", max_size=20))
def test_any_pattern_is_matched_or_refused(pattern: str) -> None:
    """No text raises anything but the one error, and what passes has a finite price."""
    with contextlib.suppress(ValueError):
        assert 0 < patterns.cost_ns(pattern) < 10_000
        assert patterns.searcher(pattern)("a" * 100) in {True, False}
