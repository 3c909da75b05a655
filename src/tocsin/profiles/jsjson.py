r"""JSON that JavaScript leaves alone: ``JSON.stringify(JSON.parse(body))`` gives the same bytes back.

Many receivers hash a body that their framework has parsed and written again. They verify too, if number and key forms
are those of ECMAScript from the start. What cannot pass through a JavaScript engine unaltered is refused, not bent:

    integers beyond ±(2^53-1)       also where a decimal or exponent form comes out as such an integer (1e20); from
                                    1e21 on ECMAScript itself writes an exponent, so those are decimals and pass
    numbers beyond a double         1e400
    duplicate keys                  after escapes are decoded
    lone surrogates, NaN, Infinity
    nesting deeper than 128

``\u0000`` in a string is legal and kept. A byte order mark, trailing text or an empty body is malformed.

The common case, a small object already in order, costs about as much as parsing it. Everything else may take longer,
but stays linear in the body's size.
"""

import re
from typing import Any

import orjson

from tocsin.errors import Fault, Malformed
from tocsin.profiles.jsfaults import EXPONENT_FROM, MAX_DEPTH, MAX_SAFE_INTEGER, diagnose

_MAX_ARRAY_INDEX = 2**32 - 2  # ECMA-262, "array index": such keys come first, ascending
_ARRAY_INDEX = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_PLAIN_FROM = 1e-5  # from here to 1e21 orjson's decimals and ECMAScript's are written alike
_INFINITE = float("inf")
_EXPONENT_BELOW = 1e-6  # ECMA-262, Number::toString: below it with an exponent, as from `EXPONENT_FROM` on


def stabilise(raw: bytes, base: str = "/data") -> tuple[Any, bytes]:
    """Parses one JSON value and gives it with its bytes as JavaScript would write them.

    The value is exactly what parsing those bytes gives. `base` is put before the pointers of faults.

    Raises:
        Malformed: `malformed_json`: this is no JSON; says the line and column.
        Invalid: `data_invalid`: it is JSON, but would not survive unaltered; points to each value (the first 20).
    """
    try:
        value = orjson.loads(raw)
        written = orjson.dumps(value)
        state = _state(value, 1)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        diagnose(raw, base)
        raise Malformed(f"not JSON: {error}", code="malformed_json", faults=[Fault(base, str(error))]) from None
    if state >= _DOUBTFUL or (written != raw and _may_repeat_keys(raw, written)):
        diagnose(raw, base)
    if state:
        written = orjson.dumps(_rewrite(value))
        value = orjson.loads(written)
    return value, written


def is_stable(value: Any) -> bool:
    """Whether `orjson` writes a value of JSON's own types as JavaScript would: most that were made here. Where it does
    not, or such a value cannot be written at all, `stabilise` tells.
    """
    return _state(value, 1) == _SAME


def _may_repeat_keys(raw: bytes, written: bytes) -> bool:
    """Whether parsing may have dropped a repeated key: then a colon is missing from what was written back.

    Between keys and values no colon comes or goes otherwise; inside strings only by an escaped one.
    """
    return raw.count(b":") != written.count(b":") or b"\\u003a" in raw or b"\\u003A" in raw


# --- does ECMAScript write this as orjson does? -------------------------------------------------------------------

_SAME = 0  # yes
_OTHER = 1  # no: to be rewritten
_DOUBTFUL = 2  # a value may have to be refused: the text must be looked at


def _state(value: Any, depth: int) -> int:  # noqa: C901, PLR0912 - on the path of every event: calls cost more than length
    """The worst of the states of all values inside; stops at the first doubtful one.

    One loop each for objects and arrays, and no calls for leaves: this is on the path of every event.
    """
    kind = type(value)
    if kind is dict:
        if depth > MAX_DEPTH:
            return _DOUBTFUL
        worst = _SAME
        for key in value:
            if key < ":" and is_array_index(key):  # digits sort before ":", letters after
                worst = _OTHER
                break
        items = value.values()
    elif kind is list:
        if depth > MAX_DEPTH:
            return _DOUBTFUL
        worst = _SAME
        items = value
    else:
        return _leaf_state(value)
    for item in items:
        kind = type(item)
        if kind is str:
            continue
        if kind is int:
            if -MAX_SAFE_INTEGER <= item <= MAX_SAFE_INTEGER:
                continue
            return _DOUBTFUL
        if kind is float:
            state = _leaf_state(item)
        elif kind is dict or kind is list:
            state = _state(item, depth + 1)
        else:
            continue
        if state > worst:
            if state == _DOUBTFUL:
                return state
            worst = state
    return worst


def _leaf_state(value: Any) -> int:
    if type(value) is int:
        return _SAME if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER else _DOUBTFUL
    if type(value) is not float:
        return _SAME
    if value.is_integer():
        return _OTHER if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER else _DOUBTFUL
    return _SAME if _PLAIN_FROM <= abs(value) < _INFINITE else _OTHER  # text has no infinity, but what is made may


def is_array_index(key: str) -> bool:
    return _ARRAY_INDEX.fullmatch(key) is not None and int(key) <= _MAX_ARRAY_INDEX


# --- writing as ECMAScript does -----------------------------------------------------------------------------------


def _rewrite(value: Any) -> Any:
    """Brings a value, in place where it can, into a form that orjson writes as ECMAScript would."""
    kind = type(value)
    if kind is dict:
        for key, item in value.items():
            if type(item) in _REWRITTEN:
                value[key] = _rewrite(item)  # of a key that is there: the order of keys stays
        if any(key < ":" and is_array_index(key) for key in value):
            return _indices_first(value)
    elif kind is list:
        for index, item in enumerate(value):
            if type(item) in _REWRITTEN:
                value[index] = _rewrite(item)
    elif kind is float:
        return _rewritten_float(value)
    return value


def _rewritten_float(value: float) -> float | orjson.Fragment:
    if value.is_integer() and -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
        return int(value)
    if _PLAIN_FROM <= abs(value) < EXPONENT_FROM:
        return value
    return orjson.Fragment(ecmascript_number(value))


_REWRITTEN = frozenset({dict, list, float})


def _indices_first(members: dict[str, Any]) -> dict[str, Any]:
    """ECMA-262, OrdinaryOwnPropertyKeys: array indices ascending, then the other keys as they came."""
    indices = sorted((key for key in members if is_array_index(key)), key=int)
    return {key: members[key] for key in indices} | members


def ecmascript_number(number: float) -> bytes:
    """A finite double as ECMAScript's Number::toString writes it: ``1e+21``, ``0.000001``, ``1e-7``, ``45``."""
    if number == 0:
        return b"0"  # also for -0
    sign = "-" if number < 0 else ""
    # repr gives the shortest digits that read back as the same double, as ECMAScript asks for
    mantissa, _, exponent = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    if fraction == "0":
        fraction = ""
    point = len(whole) + int(exponent or 0)  # where the decimal point stands, counted from the first digit
    digits = whole + fraction
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    digits = stripped.rstrip("0")
    if _EXPONENT_BELOW <= abs(number) < EXPONENT_FROM:
        if point <= 0:
            text = "0." + "0" * -point + digits
        elif point >= len(digits):
            text = digits + "0" * (point - len(digits))
        else:
            text = digits[:point] + "." + digits[point:]
    else:
        text = digits[0] + ("." + digits[1:] if len(digits) > 1 else "") + f"e{point - 1:+d}"
    return (sign + text).encode()
