"""Filters that users write: good ones decide, hostile ones are refused or fail, and none takes long."""

import contextlib
import threading
from datetime import UTC, datetime
from typing import Any

import cel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.clock import parse_rfc3339
from tocsin.engine.filtering.filters import EVENT_BUDGET_NS, FilterFailed, FilterInput, compile_filter
from tocsin.errors import Invalid

AT = parse_rfc3339("2026-01-01T05:06:07Z")
DATA: dict[str, Any] = {
    "click_id": "clk_01",
    "cost": "0.12",
    "score": 71,
    "ratio": 0.5,
    "none": None,
    "flag": True,
    "utm-source": "news",
    'a"b': 1,
    "visitor": {"ip": "203.0.113.9", "country": "DE"},
    "reasons": ["vpn_detected", "honeypot"],
    "items": [{"id": 1, "price": 5.5}, {"id": 2, "price": 15}],
    "at": "2026-01-01T00:00:00+02:00",
    "all": {"size": 3},
}
CLICK = FilterInput("click.created", AT, DATA)


def event(data: Any) -> FilterInput:
    return FilterInput("click.created", AT, data)


def why_refused(text: str) -> str:
    with pytest.raises(Invalid) as refused:
        compile_filter(text)
    assert refused.value.code == "filter_invalid"
    [fault] = refused.value.faults
    assert fault.pointer == "/filter"
    return fault.detail


def why_failed(text: str, given_: FilterInput = CLICK) -> str:
    with pytest.raises(FilterFailed) as failed:
        compile_filter(text).matches(given_)
    return str(failed.value)


# --- good filters -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.score >= 70", True),
        ("data.score >= 70.5 && data.ratio < 1", True),
        ('event.type == "click.created"', True),
        ('event["type"].startsWith("visit.")', False),
        ("event.timestamp.getHours() == 5 && event.timestamp.getFullYear() == 2026", True),
        ('event.timestamp > timestamp("2025-12-31T00:00:00Z")', True),
        ('event.timestamp - timestamp(data.at) > duration("1h")', True),
        ('data.visitor.country in ["DE", "AT", "CH"]', True),
        ('"vpn_detected" in data.reasons', True),
        ('"country" in data.visitor', True),
        ("has(data.visitor.country) && !has(data.visitor.city)", True),
        ("has(data.visitor) && has(data.none)", True),
        ("has(event.type) && has(event.timestamp)", True),
        ("data.none == null", True),
        ("has(data.missing) ? data.missing > 1 : data.flag", True),
        ("data.missing > 1 || data.flag", True),
        ("data.flag || data.missing > 1", True),
        ("data.items.exists(item, item.price > 10)", True),
        ("data.items.all(item, item.price > 10)", False),
        ("data.items.exists_one(item, item.id == 2) && data.items.existsOne(item, item.id == 2)", True),
        ("data.items.filter(item, item.price > 10).size() == 1", True),
        ("data.items.map(item, item.id) == [1, 2]", True),
        ("data.items.map(item, item.id > 1, item.id) == [2]", True),
        ("data.items.exists(item, item.id == data.items[1].id)", True),
        ("data.items[0].price < data.items[1].price", True),
        ("data['items'][0]['price'] == 5.5", True),
        ('data["utm-source"] == "news"', True),
        ('data["a\\"b"] == 1 && data[\'a"b\'] == 1 && data[r\'a"b\'] == 1', True),
        ("double(data.cost) > 0.1 && int(\"7\") == 7 && string(data.score) == '71'", True),
        ('data.visitor.ip.matches("^203\\\\.")', True),
        (r"data.visitor.ip.matches(r'^[0-9]{1,3}(\.[0-9]{1,3}){3}$')", True),
        ('data.reasons.exists(reason, reason.matches("^vpn"))', True),
        ("size(data.reasons) == 2 && data.reasons.size() == 2", True),
        ("data.all.size == 3 && data.all == {'size': 3}", True),
        ("type(data.score) == int && type(data.items) == list && type(data.none) == null_type", True),
        ("[1, 2].exists(x, x == 2)", True),
        ('data.click_id == "// no comment" // a comment, with data.missing', False),
        ("data\n  .score // the score\n  > 70", True),
        ("true", True),
        ("data.visitor == {'ip': '203.0.113.9', 'country': 'DE'}", True),
        ('"data.missing" != "event.missing"', True),
        ("{'data': data.score}['data'] == 71", True),
        ("data[data.reasons[0]] == 1 || data.score in {71: true}", True),
    ],
)
def test_a_good_filter_decides(text: str, *, expected: bool) -> None:
    """The whole of CEL that a condition needs, over an event's type, instant and data."""
    assert compile_filter(text).matches(CLICK) is expected


def test_a_filter_is_compiled_once() -> None:
    """The same text is the same filter."""
    assert compile_filter("data.score > 1") is compile_filter("data.score > 1")


def test_the_event_is_untouched_and_may_be_of_any_kind() -> None:
    """Data that is no object has no names in it; that is a failure, not an error."""
    for data in (None, 1, "text", [1], True):
        assert "data.score is not there" in why_failed("data.score > 1", event(data))
        assert compile_filter("data == data").matches(event(data))


# --- failures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("data.missing > 1", "data.missing is not there; ask has(…) first"),
        ("data.visitor.city.name == 'x'", "data.visitor.city.name is not there"),
        ("data.items[7].id == 1", "data.items[7].id is not there"),
        ("data['utm-x'] == 1", "data['utm-x'] is not there"),
        ("has(data.missing.inner)", "data.missing is not there, or is no object"),
        ("has(data.score.inner)", "data.score is not there, or is no object"),
        ("data.items.exists(item, item.cost > 1)", "there is no key 'cost'"),
        ("data.cost > 1", "mixes types"),
        ("data.none > 1", "mixes types"),
        ("data.score", "neither true nor false"),
        ("data.visitor", "neither true nor false"),
        ("data.score ? true : false", "neither true nor false"),
        ("data.score.startsWith('x')", "startsWith() does not take a value of this type"),
        ("data.none.matches('x')", "neither true nor false"),
        ("size(data.score) > 1", "size() does not take a value of this type"),
        ("data.score / 0 == 1", "division by zero"),
        ("data.score * 9223372036854775807 == 1", "overflow"),
        ("int(data.click_id) == 1", "parse error"),
        ("timestamp(data.click_id) > event.timestamp", "timestamp"),
        ("data.items[data.score].id == 1", "out of bounds"),
    ],
)
def test_a_filter_that_cannot_decide_says_why(text: str, says: str) -> None:
    """Missing names, wrong types and arithmetic that has no answer: a sentence in the user's own names."""
    said = why_failed(text)
    assert says in said
    assert len(said) <= 300
    assert "__" not in said


def test_reasons_are_short_whatever_the_data() -> None:
    """An error never repeats the event's data at length."""
    big = event({"a": "x" * 100_000, "k": {"y" * 1000: 1}})
    for text in ("data.a + 1 == 'x'", "data.a == data.k[data.a]", "int(data.a) == 1", "data.a.all(x, true)"):
        assert len(why_failed(text, big)) <= 300


# --- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("// nothing", "nothing but a comment"),
        ("data.a = 1", "at character 8: write == to compare"),
        ("data.a & data.b", "write && for"),
        ("data.a | data.b", "write || for"),
        ("data.a == `b`", "write data['a-b']"),
        ("data.`a-b` == 1", "write data['a-b']"),
        ('data.a == "b', "at character 11: the text that begins here does not end"),
        ("data.a == 'b\nc'", "does not end"),
        ('data.a == """b"""', "not in three quotes"),
        ("data.a == r'''b'''", "not in three quotes"),
        ("data.a == ''''", "not in three quotes"),
        ("data.a == ü", "cannot stand here"),
        ("data.a == 1;", "cannot stand here"),
        ("(data.a == 1", "at character 1: the ( is not closed"),
        ("data.a == 1)", "this ) closes nothing"),
        ("data.a == (1]", "this ] closes nothing"),
        ("data.a ==", "no CEL expression"),
        ("data.a data.b", "no CEL expression"),
        ("data.a ? 1", "no CEL expression"),
        ("if == 1", "if is not known"),
        ("data.in == 1", "no CEL expression"),
        ("data.a == '\\q'", "no CEL expression"),
        ("data['\\q'] == 1", "an escape that is not known"),
        ("score > 1", "a filter sees event and data, as in data.score"),
        ("data.items.exists(x, y.id == 1)", "y is not known"),
        ("data.items.exists(x, x == 1) && x == 2", "x is not known"),
        ("__0 == 1", "__0 is not known"),
        ("__m0() == 1", "there is no function __m0()"),
        (".data.a == 1", "does not begin with a dot"),
        ("1 + .data.a == 1", "does not begin with a dot"),
        ("event == 1", "write event.type or event.timestamp"),
        ("event.id == 1", "write event.type or event.timestamp"),
        ("event.type.length == 1", "write event.type or event.timestamp"),
        ("event['id'] == 1", "write event.type or event.timestamp"),
        ("has(event.x)", "write event.type or event.timestamp"),
        ("has(data)", "has() asks for a name after a dot"),
        ("has(data['a'])", "has() asks for a name after a dot"),
        ("has((data.a))", "has() asks for a name after a dot"),
        ("has(data.a, data.b)", "has() takes 1 in its brackets, not 2"),
        ("data.a.has(x)", "x is not known"),
        ("Message{a: 1} == data.a", "Message is not known"),
        ("data.a{b: 1} == 1", "messages of a type are not supported"),
        ("data.a.lower() == 'x'", "there is no function lower()"),
        ("cel.bind(x, 1, x == 1)", "cel is not known"),
        ("data.cel.bind(x, 1, x == 1)", "there is no function bind()"),
        ("all(data.a, true)", "there is no function all()"),
        ("data.a.all(x)", "x is not known"),
        ("data.a.all(x, true, true)", "all() takes 2 in its brackets, not 3"),
        ("data.a.all(x.y, true)", "x is not known"),
        ("data.a.all(data, data.b)", "data cannot be the name of an element"),
        ("data.a.all(event, true)", "event cannot be the name of an element"),
        ("data.a.all(__0, __0)", "__0 cannot be the name of an element"),
        ("data.a.all(int, true)", "int cannot be the name of an element"),
        ("data.a.startsWith() == 1", "startsWith() takes 1 in its brackets, not 0"),
        ("startsWith(data.a, 'x')", "startsWith() is written as x.startsWith(…)"),
        ("data.a.int() == 1", "int() is written as int(x)"),
        ("event.timestamp.getHours('Europe/Berlin') == 1", "getHours() takes 0 in its brackets, not 1"),
        ("matches(data.a, 'x')", "takes a pattern that is written out"),
        ("data.a.matches(data.b)", "takes a pattern that is written out"),
        ("data.a.matches('x' + 'y')", "takes a pattern that is written out"),
        ("data.a.matches(b'x')", "takes a pattern that is written out"),
        ("data.a.matches", None),
        ("data.a.matches('(')", "no regular expression"),
        ("data.a.matches('(?=x)')", "look-around"),
        (r"data.a.matches(r'(a)\1')", "back-references"),
        ("data.a.matches('(a{100}){100}')", "grow too large"),
        ("1 + 1", "looks at nothing in event or data"),
        ("1 / 0 == 1", "looks at nothing in event or data"),
    ],
)
def test_a_bad_filter_is_refused_with_a_hint(text: str, says: str | None) -> None:
    """What breaks a rule is refused when it is saved; the sentence says where, and what to write instead."""
    if says is None:
        compile_filter(text)  # a key may be called like a function
    else:
        assert says in why_refused(text)


@pytest.mark.parametrize("inner", ["all", "exists", "exists_one", "existsOne", "map", "filter"])
@pytest.mark.parametrize("outer", ["all", "exists", "exists_one", "existsOne", "map", "filter"])
def test_nested_comprehensions_are_refused(outer: str, inner: str) -> None:
    """One macro inside another multiplies its cost, however it is wrapped."""
    for body in (
        "data.b.{}(y, x == y)",
        "(1 > 2 || [x].{}(y, y))",
        "size(data.b.{}(y, x)) > 1",
        "[data.b . {} (y, 1)]",
    ):
        text = f"data.a.{outer}(x, {body.format(inner)})"
        assert f"{inner}() stands inside another one" in why_refused(text)


def test_sizes_are_bounded() -> None:
    """Characters, words and signs, brackets, comprehensions, maps and patterns: each has its figure."""
    assert "at most 2048" in why_refused("data.a == '" + "x" * 2048 + "'")
    compile_filter("data.a == '" + "x" * 2036 + "'")
    assert "at most 400" in why_refused("true" + " && true" * 200)
    assert "more than 24 deep" in why_refused("(" * 25 + "true" + ")" * 25)
    assert "more than 24 deep" in why_refused("[" * 190 + "]" * 190)
    assert "more than 24 deep" in why_refused("size(" * 100)
    assert "more than 4 times" in why_refused(" && ".join(["data.a.all(x, x)"] * 5))
    assert "map() can be used once" in why_refused("data.a.map(x, x).map(x, x) == []")
    assert "more than 10 patterns" in why_refused(" && ".join(["data.a.matches('x')"] * 11))


def test_what_looks_like_code_in_a_text_is_text() -> None:
    """Strings, raw strings, bytes and comments hide nothing from the reader, nor anything from the library."""
    for text in (
        "data.a == '.all(x, y.all(z, data))'",
        r"data.a == r'\' + '.all(x, [x].all(y, data.b))'",
        r'''data.a == r"\" + ".all(x, [x].all(y, data.b))"''',
        "data.a == \"'\" + '\"' // .all(x, [x].all(y, y))",
        "data.a == '\\'' || data.a == \"\\\"\"",
        r"b'.all(' != b'\'' && br'\' != Br'.map(' && data.a == 'x'",
    ):
        assert compile_filter(text).matches(event({"a": "x", "b": 1})) in {True, False}


# --- cost -------------------------------------------------------------------------------------------------------

_MEGABYTE = {"list": list(range(150_000)), "text": "01" * 150_000, "few": [{"id": n} for n in range(20)]}
_TOO_LONG = "could take too long"


@pytest.mark.parametrize(
    "text",
    [
        "data.list.all(x, x >= 0)",
        "data.list.filter(x, x > 1).size() > 1",
        "data.list.map(x, [x, x, x]).size() > 1",
        "data.list.exists(x, x in data.list)",
        "7 in data.list",
        "data == {}",
        "size(data.list) > 1",
        "data.few.exists(x, data.text.contains('x') || x in data.list)",
        "data.text.matches('[01]*1[01]{300}x')",
        "data.few.map(x, data.text + data.text + data.text).exists(y, y + y + y + y == 'x')",
        "data.few.all(x, data.text.matches('[01]*1[01]{30}x'))",
    ],
)
def test_a_filter_that_could_take_long_fails_at_once(text: str) -> None:
    """On an event of a megabyte, what goes through all of it fails with the reason, and what does not decides."""
    assert _TOO_LONG in why_failed(text, event(_MEGABYTE))
    small = event({"list": [1, 2], "text": "0101", "few": [{"id": 1}]})
    assert compile_filter(text).matches(small) in {True, False}


@pytest.mark.parametrize(
    "text",
    [
        "data.few.exists(x, x.id == 7)",
        "data.few.filter(x, x.id > 7).size() == 12",
        "data.text.contains('11') == false",
        "data.text.size() == 300000",
        "data.text.startsWith('01') && has(data.list)",
        "data.list[149999] == 149999",
        "data.text.matches('^01')",
    ],
)
def test_the_size_of_what_is_not_looked_at_does_not_matter(text: str) -> None:
    """The same megabyte is no burden for filters that look at small parts of it, or at texts in cheap ways."""
    if "matches" in text:
        assert compile_filter(text).matches(event({"text": _MEGABYTE["text"][:50_000]}))
    else:
        assert compile_filter(text).matches(event(_MEGABYTE))


def test_growth_is_counted() -> None:
    """Texts and lists that are joined or gathered over and over are paid for at the size that they reach."""
    text = event({"a": "x" * 20_000, "l": ["x" * 200] * 100})
    assert compile_filter("data.a + data.a != 'y'").matches(text)
    assert _TOO_LONG in why_failed("data.a" + " + data.a" * 60 + " == 'y'", text)
    assert compile_filter("data.l.map(x, x).size() == 100").matches(text)
    assert _TOO_LONG in why_failed("data.l.map(x, x" + " + x" * 60 + ").size() == 100", text)
    assert compile_filter("[data.a, data.a] != []").matches(text)
    assert _TOO_LONG in why_failed("[" + ", ".join(["data.a"] * 90) + "] != []", text)
    long = event({"l": ["x" * 20_000] * 20})
    assert compile_filter("data.l.map(x, [x]).size() == 20").matches(long)
    assert _TOO_LONG in why_failed("data.l.map(x, [" + ", ".join(["x"] * 60) + "]).size() == 20", long)


def test_what_is_done_for_each_element_counts_as_often() -> None:
    """A list of 2,000 is gone through in no time, but not once for each of its elements."""
    lists = event({"a": list(range(2_000)), "b": list(range(2_000))})
    assert compile_filter("data.a.all(x, x >= 0) && 7 in data.b").matches(lists)
    assert _TOO_LONG in why_failed("data.a.all(x, x in data.b)", lists)
    assert _TOO_LONG in why_failed("data.a.filter(x, x > 0).size() > 1", lists)
    assert _TOO_LONG in why_failed("data.a.map(x, x).size() > 1", lists)


def test_all_filters_of_an_event_share_a_budget() -> None:
    """A hundred dear filters on one event do not add up: those that come too late fail and say so."""
    dear = compile_filter("data.l.all(x, x >= 0)")
    one = event({"l": list(range(5_000))})
    outcomes = []
    for _ in range(100):
        try:
            outcomes.append(str(dear.matches(one)))
        except FilterFailed as failed:
            outcomes.append(str(failed))
    assert outcomes[0] == "True"
    assert "the filters before it" in outcomes[-1]
    assert 0 <= one.left_ns < EVENT_BUDGET_NS
    assert compile_filter("data.l[0] == 0").matches(one)  # a cheap one still decides
    assert dear.matches(event(one.data))


def test_deep_data_is_no_danger() -> None:
    """Data nested deeper than published JSON can be fails, whole or in part; the path to a leaf may be as long."""
    deep: Any = 1
    for _ in range(5_000):
        deep = {"a": deep}
    assert "nested more than 128 deep" in why_failed("data == {}", event(deep))
    assert "nested more than 128 deep" in why_failed("data.a.a == {}", event(deep))
    assert compile_filter("data" + ".a" * 128 + " == 1").matches(event(_nested(128)))
    assert compile_filter("data == data").matches(event(_nested(100)))


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def test_the_deepest_filters_fit_a_small_stack() -> None:
    """The longest chains and nestings that are taken compile and run in a thread of 512 KiB."""
    texts = [
        "!" * 398 + "true",
        "-" * 396 + "1 < 5",
        "true" + " && true" * 199,
        "1" + "+1" * 198 + " > 0",
        "(" * 24 + "true" + ")" * 24,
        "[" * 24 + "]" * 24 + " == []",
        "{1:" * 24 + "1" + "}" * 24 + " == {}",
        "data" + ".a" * 190 + " == 1",
        "data.a" + ".a[0]" * 60 + " == 1 || true",
        "data.l.all(x, " + "!" * 380 + "x)",
    ]
    outcomes: list[str] = []

    def run() -> None:
        for text in texts:
            try:
                outcomes.append(str(compile_filter(text).matches(event({"l": [True], "a": _nested(100)}))))
            except (FilterFailed, Invalid) as error:
                outcomes.append(type(error).__name__)

    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert len(outcomes) == len(texts)
    assert outcomes.count("Invalid") == 0


# --- the same as the library, and anything at all -----------------------------------------------------------------

_names = st.sampled_from(["a", "b", "c", "items", "size", "in_", "x"])
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=8,
)
_data = st.dictionaries(_names, _values, max_size=5)
_leaves = st.one_of(
    st.sampled_from(["1", "0", "2.5", '"a"', "'x'", 'r"a"', "true", "false", "null", "event.type", "[]", "[1, 'a']"]),
    _names.map("data.{}".format),
    st.tuples(_names, _names).map(lambda two: "data.{}.{}".format(*two)),
    st.tuples(_names, st.integers(0, 2)).map(lambda two: "data.{}[{}]".format(*two)),
    st.tuples(_names, _names).map(lambda two: "has(data.{}.{})".format(*two)),
    _names.map("data['{}']".format),
    _names.map("has(data.{})".format),
)
_macros = st.tuples(
    _names,
    st.sampled_from(["all", "exists", "exists_one", "filter", "map"]),
    st.sampled_from(
        ["x == 1", "x", "x.a == 1", "has(x.a)", "x in data.a", "size(x) > 0", "x == data.b", "true", "[x]"]
    ),
).map(lambda three: "data.{}.{}(x, {})".format(*three))


def _joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(["==", "!=", "<", ">=", "&&", "||", "+", "-", "in"]), inner).map(
            lambda three: "({} {} {})".format(*three)
        ),
        inner.map("!{}".format),
        inner.map("size({})".format),
        inner.map("type({}) == list".format),
        st.tuples(inner, inner, inner).map(lambda three: "({} ? {} : {})".format(*three)),
        st.tuples(inner, inner).map(lambda two: "[{}, {}]".format(*two)),
        st.tuples(inner, inner).map(lambda two: "{}.startsWith({})".format(*two)),
    )


_texts = st.recursive(_leaves | _macros, _joined, max_leaves=8)


def by_the_library(text: str, data: Any) -> bool | None:
    """What the library alone says of the text as it was written; None: neither true nor false."""
    at = datetime(2026, 1, 1, 5, 6, 7, tzinfo=UTC)
    try:
        found = cel.evaluate(text, {"data": data, "event": {"type": "click.created", "timestamp": at}})
    except Exception:  # noqa: BLE001 - it raises many kinds
        return None
    return found if isinstance(found, bool) else None


@given(_texts, _data)
def test_a_filter_says_what_the_library_says(text: str, data: Any) -> None:
    """The spelling with variables for places decides as the text that the user wrote, on any data."""
    try:
        compiled = compile_filter(text)
    except Invalid as refused:
        assert "looks at nothing" in refused.detail or "times" in refused.detail or "once" in refused.detail  # noqa: PT017 - else a good text was refused
        return
    found: bool | None = None
    with contextlib.suppress(FilterFailed):
        found = compiled.matches(event(data))
    assert found == by_the_library(text, data)


_SOUP = [
    *"()[]{}+-!?:,.'\"`\\\n\x00é_ex01",
    *("data", "event.type", ".a", ".b", "&&", "||", "==", "<", " in ", "2.5", "0x1F", "7u", "//", "..", "null", "true"),
    *("int", "__0", "matches", "has(", "size(", '"a"', "r'\\'", "b'x'", '"""', ".all(x,", ".map(x,", ".matches('a')"),
]


@given(st.lists(st.sampled_from(_SOUP), max_size=25).map("".join) | st.text(max_size=40), _data)
def test_any_text_is_a_filter_or_refused(text: str, data: Any) -> None:
    """No text and no data raise anything but the refusal and the failure."""
    with contextlib.suppress(Invalid, FilterFailed):
        assert compile_filter(text).matches(event(data)) in {True, False}


@pytest.mark.parametrize("text", ["data == data", "data.a == 1", "data.a in data.b", "has(data.a)", "data.a.all(x, x)"])
@pytest.mark.parametrize(
    "value", [2**63, -(2**64), float("nan"), float("inf"), "\ud800", {"\ud800": 1}, (1,), {1}, b"x", object()]
)
def test_values_that_no_json_holds_are_no_danger(text: str, value: Any) -> None:
    """Even what strict parsing lets nobody publish makes a filter fail at most."""
    with contextlib.suppress(FilterFailed):
        assert compile_filter(text).matches(event({"a": value, "b": [value]})) in {True, False}
