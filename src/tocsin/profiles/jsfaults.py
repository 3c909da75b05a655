"""Says what is wrong with JSON that `jsjson` does not take: where it breaks off, or which values, and why.

Slow and strict, and only for bodies that have raised a doubt. Linear in the body's size.
"""

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from tocsin.errors import Fault, Invalid, Malformed

MAX_SAFE_INTEGER = 2**53 - 1  # Number.MAX_SAFE_INTEGER
MAX_DEPTH = 128  # generous for any event, and far from every parser's own limit
MAX_FAULTS = 20
EXPONENT_FROM = 1e21  # ECMA-262, Number::toString: from here on an integral number has an exponent

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # the decoder has already joined the pairs
_INTEGER_CHARS = 17  # sixteen digits and a sign
_MEND = "send it as a string"


class _Refused:
    """Stands in the parsed tree where a number was that cannot be kept."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        self.why = why


class _Repeating(dict[str, Any]):
    """An object in which keys are repeated."""

    repeated: tuple[str, ...] = ()


def diagnose(raw: bytes, base: str) -> None:
    """Parses once more and raises what is wrong, if anything is.

    Raises:
        Malformed: `malformed_json`, with line and column.
        Invalid: `data_invalid`, with a pointer to each value, 20 at most; `base` is put before them.
    """
    if not raw.strip(b" \t\r\n"):
        raise _malformed("the body is empty; send one JSON value", base)
    if raw.startswith(b"\xef\xbb\xbf"):
        raise _malformed("line 1, column 1: a byte order mark; send UTF-8 without one", base)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        raise _malformed(f"line {line}, byte {column}: not UTF-8 ({error.reason})", base) from None
    try:
        tree = _STRICT.decode(text)
    except json.JSONDecodeError as error:
        raise _malformed(f"line {error.lineno}, column {error.colno}: {error.msg}", base) from None
    except RecursionError:
        raise _invalid([Fault(base, _too_deep())]) from None
    faults = list(islice(_faults(tree, base), MAX_FAULTS))
    if faults:
        raise _invalid(faults)


def _malformed(why: str, base: str) -> Malformed:
    return Malformed(f"not JSON: {why}", code="malformed_json", faults=[Fault(base, why)])


def _invalid(faults: list[Fault]) -> Invalid:
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return Invalid(f"{first.pointer or 'the body'}: {first.detail}{more}", code="data_invalid", faults=faults)


def _too_deep() -> str:
    return f"nested deeper than {MAX_DEPTH} levels"


def _strict_int(text: str) -> int | _Refused:
    if len(text) > _INTEGER_CHARS or abs(int(text)) > MAX_SAFE_INTEGER:
        return _Refused(f"an integer beyond ±{MAX_SAFE_INTEGER}, which JavaScript would alter; {_MEND}")
    return int(text)


def _strict_float(text: str) -> float | _Refused:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        return _Refused(f"a number too large for a double; {_MEND}")
    if MAX_SAFE_INTEGER < abs(number) < EXPONENT_FROM:
        return _Refused(
            f"JavaScript writes this number as an integer beyond ±{MAX_SAFE_INTEGER}, which others alter; {_MEND}"
        )
    return number


def _strict_constant(text: str) -> _Refused:
    return _Refused(f"{text} is not JSON; leave it out or send null")


def _strict_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    repeated = {key: None for key, _ in pairs if key in seen or seen.add(key)}  # type: ignore[func-returns-value]
    repeating = _Repeating(members)
    repeating.repeated = tuple(repeated)
    return repeating


_STRICT = json.JSONDecoder(
    object_pairs_hook=_strict_object,
    parse_int=_strict_int,
    parse_float=_strict_float,
    parse_constant=_strict_constant,
)


def _faults(node: Any, pointer: str, depth: int = 1) -> Iterator[Fault]:
    """The faults of a strictly parsed tree, in its order; goes no deeper than `MAX_DEPTH`."""
    kind = type(node)
    if kind is str:
        if _LONE_SURROGATE.search(node):
            yield Fault(pointer, "a lone surrogate is no character; send the pair, or leave it out")
    elif kind is _Refused:
        yield Fault(pointer, node.why)
    elif depth > MAX_DEPTH and kind in _CONTAINERS:
        yield Fault(pointer, _too_deep())
    elif kind is list:
        for index, item in enumerate(node):
            if type(item) not in _FAULTLESS:
                yield from _faults(item, f"{pointer}/{index}", depth + 1)
    elif kind in _CONTAINERS:
        yield from _object_faults(node, pointer, depth)


def _object_faults(members: dict[str, Any], pointer: str, depth: int) -> Iterator[Fault]:
    if isinstance(members, _Repeating):
        yield from (Fault(_below(pointer, key), "this key is repeated in its object") for key in members.repeated)
    for key, item in members.items():
        if not key.isascii() and _LONE_SURROGATE.search(key):
            yield Fault(pointer, "a key holds a lone surrogate, which is no character")
        if type(item) not in _FAULTLESS:
            yield from _faults(item, _below(pointer, key), depth + 1)


_CONTAINERS = frozenset({dict, list, _Repeating})
_FAULTLESS = frozenset({int, float, bool, type(None)})


def _below(pointer: str, key: str) -> str:
    """RFC 6901; what cannot be encoded is shown as ``?``."""
    key = key.replace("~", "~0").replace("/", "~1")
    return f"{pointer}/{key.encode(errors='replace').decode()}"
