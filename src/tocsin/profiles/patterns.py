"""Regular expressions that users write: matched in linear time, and what one character costs.

The engine is Rust's `regex` behind `jsonschema_rs`, which reads the dialect of ECMA 262 (digits and word characters are
ASCII) and never backtracks; look-around and back-references do not exist in it.
"""

import re
from collections.abc import Callable
from functools import lru_cache

import jsonschema_rs

MAX_PATTERN = 1_024  # characters
# How large a pattern may grow when it is compiled, in steps, so that what one costs is known to within four times.
# Each step is the engine's `size_limit` in bytes; the last one holds one \p{L}, which is 0.2 ms to compile.
_SIZES = (4_096, 16_384, 65_536)
# One byte of the text visits at most every state of the automaton: measured at 4.5 ns a state, of some 64 bytes each,
# on patterns such as [01]*1[01]{400}x that outgrow the cache of its deterministic form.
_NS_PER_CHARACTER_AND_BYTE = 4.5 / 64
_CACHE_BYTES = 262_144  # for the deterministic form, kept for each pattern in use

_BEYOND = (
    (re.compile(r"\(\?<?[=!]"), "look-around such as (?=…) is not supported: it cannot be matched in linear time"),
    (
        re.compile(r"\\[1-9]|\\k<"),
        r"back-references such as \1 are not supported: no linear time either",
    ),
)


def options(size: int = _SIZES[-1]) -> jsonschema_rs.RegexOptions:
    """What every pattern of a schema is compiled with."""
    return jsonschema_rs.RegexOptions(size_limit=size, dfa_size_limit=_CACHE_BYTES)


@lru_cache(maxsize=4_096)
def cost_ns(pattern: str) -> float:
    """At most what matching takes for each character of the text, whatever the text.

    Raises:
        ValueError: it is no pattern, or too large a one; the text says what to do.
    """
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"a pattern has at most {MAX_PATTERN} characters, not {len(pattern)}")
    for size in _SIZES:
        if _compiled(pattern, size) is not None:
            return size * _NS_PER_CHARACTER_AND_BYTE
    for beyond, why in _BEYOND:
        if beyond.search(pattern):
            raise ValueError(why)
    raise ValueError(
        "this is no regular expression as ECMA 262 and RE2 both write it, or its counts in {…} let it grow too large"
    )


def searcher(pattern: str) -> Callable[[str], bool]:
    """Says whether the pattern matches anywhere in a text. Raises as `cost_ns` does."""
    cost_ns(pattern)
    found = _compiled(pattern, _SIZES[-1])
    assert found is not None
    return found.is_valid


def _compiled(pattern: str, size: int) -> jsonschema_rs.Validator | None:
    try:
        return jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=options(size), offline=True)
    except ValueError:
        return None
