"""What a page shows, compared with what happened.

Equal but for what is different each time: ids, instants, signatures, times taken, and the run of white space in a
table. `…` stands for anything within a line; alone on a line, for any number of lines.
"""

import json
import re
from typing import Any

ELLIPSIS = "…"
_ID = r"(?:acc|act|alr|att|dig|dlv|evt|key|req|wh)_[0-9a-hjkmnp-tv-z]{13}"
_SECRETS = {
    "tsn_": r"tsn_[A-Za-z0-9_-]{20,}",
    "tk_": r"tk_[A-Za-z0-9_-]{20,}",
    "whsec_": r"whsec_[A-Za-z0-9+/]{20,}={0,2}",
    "whsk_": r"whsk_[A-Za-z0-9+/]{20,}={0,2}",
    "whpk_": r"whpk_[A-Za-z0-9+/]{20,}={0,2}",
}
_SEEN = re.compile(rf"{_ID}|{'|'.join(_SECRETS.values())}")
_ELIDED = re.compile(r"\b((?:acc|act|alr|att|dig|dlv|evt|key|req|wh|pst|tsn|tk|whsec|whsk|whpk)_)…")
_SPAN = r"[0-9.]+(?:e[+-]?\d+)? (?:ms|s|m|h|d)"

# What differs from one run to the next, and what it must look like all the same.
_VARYING = (
    (r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
    (r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
    (r"\b1[0-9]{9}\b", r"1[0-9]{9}"),  # seconds since 1970
    (rf"\({_SPAN} ago\)", rf"\({_SPAN} ago\)"),
    (rf"\(in {_SPAN}\)", rf"\(in {_SPAN}\)"),
    (r"[0-9.]+ ms\b", rf"{_SPAN}"),
    (r"v1,[A-Za-z0-9+/]{43}=", r"v1,[A-Za-z0-9+/]{43}="),
    (r"(?<=Tocsin[ /])\d+\.\d+\.\d+", r"\d+\.\d+\.\d+"),
    (
        r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} 20\d\d \d\d:\d\d:\d\d GMT",
        r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} 20\d\d [\d:]+ GMT",
    ),
)
_TOKEN = re.compile(
    "|".join(
        [
            rf"(?P<id>{_ID})",
            *(f"(?P<v{n}>{shown})" for n, (shown, _) in enumerate(_VARYING)),
            r"(?P<any>…)",
            r"(?P<blank>[ \t]+)",
        ]
    )
)
_VARYING_KEYS = frozenset({"duration_ms"})


class Memory:
    """What the names on a page stand for in this run."""

    def __init__(self) -> None:
        self._bound: dict[str, str] = {}  # an id as the page shows it: the real one
        self._last: dict[str, str] = {}  # by prefix

    def learn(self, output: str) -> None:
        for found in _SEEN.finditer(output):
            self._last[found[0].partition("_")[0] + "_"] = found[0]

    def bind(self, shown: str, real: str) -> None:
        self._bound[shown] = real

    def real(self, shown: str) -> str | None:
        return self._bound.get(shown)

    def fill(self, command: str) -> str:
        """A command, or a program, as it is to be run.

        Raises:
            AssertionError: it names something that was never shown.
        """

        def elided(found: re.Match[str]) -> str:
            assert found[1] in self._last, f"{found[0]}: nothing of that kind was shown before"
            return self._last[found[1]]

        command = _ELIDED.sub(elided, command)
        return re.sub(_ID, lambda found: self._bound.get(found[0], found[0]), command)


class Pattern:
    """Expected output as a regular expression; `accept` binds the ids in it."""

    def __init__(self, expected: str, memory: Memory) -> None:
        self._memory = memory
        self._groups: dict[str, str] = {}
        parts = []
        for line in expected.strip("\n").split("\n"):
            if line.strip() == ELLIPSIS:
                parts.append(r"(?:.*\n)*?")
            else:
                parts.append(self._line(line.rstrip()) + r"[ \t]*\n")
        self._regex = re.compile("".join(parts))

    def _line(self, line: str) -> str:
        parts = [r"[ \t]*"]
        line = line.lstrip()
        at = 0
        for found in _TOKEN.finditer(line):
            parts.append(re.escape(line[at : found.start()]))
            parts.append(self._token(found))
            at = found.end()
        return "".join([*parts, re.escape(line[at:])])

    def _token(self, found: re.Match[str]) -> str:
        kind = found.lastgroup or ""
        if kind == "any":
            return r"[^\n]*?"
        if kind == "blank":
            return r"[ \t]+"
        if kind != "id":
            return _VARYING[int(kind[1:])][1]
        real = self._memory.real(found[0])
        if real is not None:
            return re.escape(real)
        for group, shown in self._groups.items():
            if shown == found[0]:
                return f"(?P={group})"
        group = f"g{len(self._groups)}"
        self._groups[group] = found[0]
        return f"(?P<{group}>{found[0].partition('_')[0]}_[0-9a-z]{{13}})"

    def accept(self, actual: str, *, whole: bool = True) -> int | None:
        """Where the match ends in `actual`; None: it is something else. Without `whole`, more may follow it."""
        found = (self._regex.fullmatch if whole else self._regex.match)(actual)
        if found is None:
            return None
        for group, shown in self._groups.items():
            self._memory.bind(shown, found[group])
        return found.end()


def difference(expected: str, actual: str, memory: Memory) -> str | None:
    """Why a command's output is not what the page shows; None: it is."""
    if expected.lstrip()[:1] in ("{", "["):
        try:
            found = _json_difference(json.loads(expected), json.loads(actual), memory, "")
        except ValueError as error:
            found = f"one of the two is no JSON: {error}"
    else:
        found = None if Pattern(expected, memory).accept(_lines(actual)) is not None else "it differs"
    return found and f"{found}\n--- the page shows\n{expected}\n--- it is\n{actual}"


def _lines(text: str) -> str:
    return text.strip("\n") + "\n"


def _json_difference(expected: Any, actual: Any, memory: Memory, at: str) -> str | None:
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return f"{at}: no object"
        named = [key for key in expected if key != ELLIPSIS]
        unknown = [] if ELLIPSIS in expected else [key for key in actual if key not in named]
        if unknown:
            return f"{at}: not shown: {', '.join(unknown)}"
        missing = [key for key in named if key not in actual]
        if missing:
            return f"{at}: not there: {', '.join(missing)}"
        return next(filter(None, (_json_member(expected, actual, memory, at, key) for key in named)), None)
    if isinstance(expected, list):
        shown = [item for item in expected if item != ELLIPSIS]
        if not isinstance(actual, list) or len(actual) < len(shown) or (len(shown) == len(expected) < len(actual)):
            return f"{at}: not as many items"
        pairs = enumerate(zip(shown, actual, strict=False))
        return next(filter(None, (_json_difference(*pair, memory, f"{at}/{n}") for n, pair in pairs)), None)
    if isinstance(expected, str):
        if not isinstance(actual, str) or Pattern(expected, memory).accept(_lines(actual)) is None:
            return f"{at}: {expected!r} is {actual!r}"
        return None
    return None if type(expected) is type(actual) and expected == actual else f"{at}: {expected!r} is {actual!r}"


def _json_member(expected: Any, actual: Any, memory: Memory, at: str, key: str) -> str | None:
    if key in _VARYING_KEYS:
        return None if isinstance(actual[key], int | float) else f"{at}/{key}: no number"
    return _json_difference(expected[key], actual[key], memory, f"{at}/{key}")
