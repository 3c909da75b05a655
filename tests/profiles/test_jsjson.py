"""Bytes that JavaScript leaves alone, judged by a real engine."""

import json
import math
import re
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.json_values import floats, styles, values
from tocsin.errors import Invalid, Malformed
from tocsin.profiles.jsfaults import MAX_DEPTH, MAX_SAFE_INTEGER
from tocsin.profiles.jsjson import ecmascript_number, is_stable, stabilise


def _tried(raw: bytes) -> tuple[bytes | None, Malformed | Invalid | None]:
    try:
        return stabilise(raw)[1], None
    except (Malformed, Invalid) as error:
        return None, error


# --- what is taken ------------------------------------------------------------------------------------------------


@settings(max_examples=400)
@given(value=values, style=styles)
def test_any_value_comes_out_as_javascript_writes_it(node: Any, value: Any, style: dict[str, Any]) -> None:
    """Whatever the publisher's style, the bytes are JavaScript's own, once and for all."""
    raw = json.dumps(value, **style).encode()
    parsed, written = stabilise(raw)
    assert written == node.reparse(raw)
    assert node.reparse(written) == written
    assert stabilise(written)[1] == written
    assert repr(parsed) == repr(orjson.loads(written))


@settings(max_examples=400)
@given(value=values | st.floats())
@example(value={"n": math.inf})
@example(value=[-math.inf, math.nan])
def test_what_is_called_stable_needs_no_second_look(value: Any) -> None:
    """A value that was made, not parsed: where it is stable, its bytes and the value stay as they are."""
    if is_stable(value):
        written = orjson.dumps(value)
        again, looked_at = stabilise(written)
        assert looked_at == written
        assert repr(again) == repr(value)


number_texts = st.from_regex(r"\A-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?\Z")


@settings(max_examples=600)
@given(text=number_texts)
def test_any_spelling_of_a_number_is_taken_as_javascript_writes_it_or_refused(node: Any, text: str) -> None:
    """A number comes out in ECMAScript's form, or it is refused for being an unsafe integer or infinite."""
    raw = b'{"n":%b}' % text.encode()
    written, refused = _tried(raw)
    if refused:
        assert [fault.pointer for fault in refused.faults] == ["/data/n"]
        number = float(text)
        assert math.isinf(number) or (abs(number) > MAX_SAFE_INTEGER and number.is_integer())
    else:
        assert written == node.reparse(raw)


@settings(max_examples=300)
@given(number=floats)
def test_a_double_is_written_as_javascript_does(node: Any, number: float) -> None:
    """`ecmascript_number` covers all doubles, not only those that it is needed for."""
    assert ecmascript_number(number) == node.reparse(repr(number).encode())


@settings(max_examples=500)
@given(
    value=values,
    position=st.integers(0, 400),
    junk=st.sampled_from([*'{}[]",:\\0-e.tfn \u2028\x00\ufeff', "\\ud800", '"a":1,', "1e9"]),
)
def test_damaged_json_is_refused_wherever_javascript_refuses_it(
    node: Any, value: Any, position: int, junk: str
) -> None:
    """Nothing that JavaScript takes for no JSON gets through, and what gets through is as it writes it."""
    text = json.dumps(value, ensure_ascii=False)
    at = position % (len(text) + 1)
    raw = (text[:at] + junk + text[at + 1 :]).encode()
    written, refused = _tried(raw)
    if refused:
        assert refused.faults
        assert refused.code in ("malformed_json", "data_invalid")
    else:
        assert written == node.reparse(raw)


@pytest.mark.parametrize(
    ("raw", "written"),
    [
        (b'{"payout":45.00}', b'{"payout":45}'),
        (b"-0", b"0"),
        (b"-0.0", b"0"),
        (b"1E5", b"100000"),
        (b"1e21", b"1e+21"),
        (b"-1.5e+300", b"-1.5e+300"),
        (b"0.000001", b"0.000001"),
        (b"1e-7", b"1e-7"),
        (b"5e-324", b"5e-324"),
        (b'{"b":1,"10":2,"9":3,"01":4}', b'{"9":3,"10":2,"b":1,"01":4}'),
        (b'{"4294967295":1,"4294967294":2}', b'{"4294967294":2,"4294967295":1}'),
        (b'{"z":{"b":1,"1":[{"a":0,"0":1.0}]}}', b'{"z":{"1":[{"0":1,"a":0}],"b":1}}'),
        (b'{"__proto__":{"x":1.0}}', b'{"__proto__":{"x":1}}'),
        (b'"\\u0000\\u001F\\u0008\\/\\u00e9\\u2028"', b'"\\u0000\\u001f\\b/\xc3\xa9\xe2\x80\xa8"'),
        (b'"\\ud83d\\ude00"', "😀".encode().join([b'"', b'"'])),
        (b'{"\\u0041":1}', b'{"A":1}'),
        (b'{"note":"a\\u003ab","x":1}', b'{"note":"a:b","x":1}'),
        (b" [ 9007199254740991 , -9007199254740991 ]\n", b"[9007199254740991,-9007199254740991]"),
    ],
)
def test_known_forms(node: Any, raw: bytes, written: bytes) -> None:
    """The forms that ECMAScript is known for, each by name."""
    assert stabilise(raw)[1] == written == node.reparse(raw)


def test_nesting_up_to_the_limit_is_taken() -> None:
    """128 levels pass, as arrays and as objects."""
    arrays = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    objects = b'{"a":' * MAX_DEPTH + b"0" + b"}" * MAX_DEPTH
    assert stabilise(arrays)[1] == arrays
    assert stabilise(objects)[1] == objects


# --- what is refused ----------------------------------------------------------------------------------------------

_DEEP = MAX_DEPTH + 1


@pytest.mark.parametrize(
    ("raw", "pointers"),
    [
        (b'{"a":9007199254740992}', ["/data/a"]),
        (b'{"a":-9007199254740992}', ["/data/a"]),
        (b'{"a":18446744073709551616}', ["/data/a"]),
        (b'{"a":1%b}' % (b"0" * 21), ["/data/a"]),
        (b'{"a":%b}' % (b"7" * 5000), ["/data/a"]),
        (b'{"a":1e20}', ["/data/a"]),
        (b'{"a":9007199254740993.0}', ["/data/a"]),
        (b'{"a":1e400}', ["/data/a"]),
        (b'{"a":-1e400}', ["/data/a"]),
        (b'{"a":NaN,"b":[Infinity,-Infinity]}', ["/data/a", "/data/b/0", "/data/b/1"]),
        (b'{"a":1,"b":2,"a":1}', ["/data/a"]),
        (b'{"x":[{"\\u0061":1, "a":2}]}', ["/data/x/0/a"]),
        (b'{"x/y":{"~":1,"~":2}}', ["/data/x~1y/~0"]),
        (b'{"a":1,"a":2,"n":"\\u003a\\u003a\\u003a"}', ["/data/a"]),
        (b'{"a":1,"a":2,"n":"\\u003A"}', ["/data/a"]),
        (b'{"s":"\\ud800"}', ["/data/s"]),
        (b'{"s":["\\udc00\\ud800"]}', ["/data/s/0"]),
        (b'{"\\udfff":1}', ["/data"]),
        (b"9007199254740992", ["/data"]),
        (b"[" * _DEEP + b"]" * _DEEP, ["/data" + "/0" * MAX_DEPTH]),
        (b'{"k":' * _DEEP + b"0" + b"}" * _DEEP, ["/data" + "/k" * MAX_DEPTH]),
        (b"[" * 500 + b"]" * 500, ["/data" + "/0" * MAX_DEPTH]),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else "",
)
def test_what_javascript_would_alter_is_refused(raw: bytes, pointers: list[str]) -> None:
    """JSON that cannot pass through unaltered is refused with a pointer to every value at fault."""
    with pytest.raises(Invalid) as caught:
        stabilise(raw)
    assert caught.value.code == "data_invalid"
    assert [fault.pointer for fault in caught.value.faults] == pointers
    assert caught.value.faults[0].detail in caught.value.detail


@pytest.mark.parametrize("levels", [1_100, 60_000])
@pytest.mark.parametrize("opener", [b"[", b'{"a":', b'[{"":'])
def test_nesting_beyond_every_parser_is_an_answer_and_no_crash(opener: bytes, levels: int) -> None:
    """However deep, closed or not: an error that the publisher can read."""
    closer = {b"[": b"]", b'{"a":': b"}", b'[{"":': b"}]"}[opener]
    for raw in (opener * levels, opener * levels + b"0" + closer * levels):
        with pytest.raises((Invalid, Malformed), match=r"nested deeper than 128 levels|line 1, column"):
            stabilise(raw)


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b"", "empty"),
        (b" \n ", "empty"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"a":1,}', "line 1, column"),
        (b'{"a":1}\n{"b":2}', "line 2, column 1"),
        (b'{\n  "a": \x01\n}', "line 2, column 8"),
        (b'{"a":"\x00"}', "line 1, column 7"),
        (b'{"a":"\xff"}', "line 1, byte 7"),
        (b'{"a":\n"\xed\xa0\x80"}', "line 2, byte 2"),
        (b"{'a':1}", "line 1, column 2"),
        (b'{"a":01}', "line 1, column 7"),
        (b'{"a":1.}', "line 1, column 7"),
        (b'{"a":.5}', "line 1, column 6"),
        (b'{"a":+1}', "line 1, column 6"),
        (b'{"a":tru}', "line 1, column 6"),
        (b'{"a":"\\x41"}', "line 1, column"),
        (b'{"a":"\\u12"}', "line 1, column"),
        (b"[1 2]", "line 1, column 4"),
        (b"\x00", "line 1, column 1"),
    ],
)
def test_what_is_no_json_is_malformed(node: Any, raw: bytes, where: str) -> None:
    """Text that is no JSON is told apart from JSON that is not taken, with its line and column."""
    with pytest.raises(Malformed, match=re.escape(where)) as caught:
        stabilise(raw)
    assert caught.value.code == "malformed_json"
    assert caught.value.faults[0].pointer == "/data"
    if b"\xff" not in raw and b"\xed" not in raw:
        assert node.reparse(raw) is None or raw.startswith(b"\xef")  # Node's own decoder takes the mark away


def test_the_base_of_pointers_can_be_chosen() -> None:
    """A value that is not an event's data is pointed to from where it is."""
    with pytest.raises(Invalid) as caught:
        stabilise(b'{"a":1e400}', "")
    assert caught.value.faults[0].pointer == "/a"
    assert caught.value.detail.startswith("/a: ")


def test_many_faults_are_cut_at_twenty() -> None:
    """A body full of faults names the first twenty, in order."""
    with pytest.raises(Invalid) as caught:
        stabilise(b"[" + b",".join([b"1e400"] * 30) + b"]")
    assert [fault.pointer for fault in caught.value.faults] == [f"/data/{n}" for n in range(20)]
    assert "and 19 more" in caught.value.detail
