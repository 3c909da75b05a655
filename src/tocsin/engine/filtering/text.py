"""The text of a filter, read before the CEL library sees it: what it uses, what it does, and a faster spelling.

The library has no bound on time, copies what it touches, and gives no syntax tree. But tokens are enough to know
brackets, calls, macros, and the places of `event` and `data` that are used. Each place is replaced by a variable of its
own (``data.signals.score`` becomes ``__0``), so that only what a filter looks at is handed to the library, and
``matches("…")`` by a function made of that one pattern.
"""

import re
from collections.abc import Callable

import msgspec

from tocsin.engine.filtering.tokens import Token, decoded, refuse, tokens
from tocsin.profiles import patterns

MAX_DEPTH = 24  # of brackets; the library's own parser stops at 96
MAX_MACROS = 4
MAX_PATTERNS = 10  # each compiles for up to 1 ms

_OPENS = {"(": ")", "[": "]", "{": "}"}
_CLOSES = frozenset(_OPENS.values())
_TOUCHING = frozenset("+.[{")

_ROOTS = frozenset({"data", "event"})
_EVENT = ("type", "timestamp")
_TYPES = frozenset({"int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type"})
_WORDS = frozenset({"true", "false", "null", "in"})
MACROS = {"all": (2,), "exists": (2,), "exists_one": (2,), "existsOne": (2,), "filter": (2,), "map": (2, 3)}
# How many arguments each function takes: called as f(x), and as x.f().
_FUNCTIONS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "has": ((1,), ()),
    "size": ((1,), (0,)),
    "matches": ((), (1,)),
    **dict.fromkeys(("contains", "startsWith", "endsWith"), ((), (1,))),
    **dict.fromkeys(("int", "uint", "double", "string", "bytes", "type", "dyn", "timestamp", "duration"), ((1,), ())),
    **dict.fromkeys(
        ("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"), ((), (0,))
    ),
    **dict.fromkeys(("getHours", "getMinutes", "getSeconds", "getMilliseconds"), ((), (0,))),
}
_KNOWN = (
    "size, has, matches, contains, startsWith, endsWith, all, exists, exists_one, filter, map, int, double, string, …"
)


class Place(msgspec.Struct, frozen=True):
    """A place in `event` or `data`: its steps from there. `asked`: only whether it is there, as ``has(…)`` asks."""

    root: str
    steps: tuple[str | int, ...]
    asked: bool

    def __str__(self) -> str:
        said = self.root + "".join(
            f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{step!r}]" for step in self.steps
        )
        return f"has({said})" if self.asked else said


class Work(msgspec.Struct):
    """What a part of a filter does, once."""

    tokens: int = 0
    touches: int = 0  # operations that may go through, or copy, all of a value: uses of places, + . [ {
    growth: int = 1  # at most how many times its operands a value holds
    pattern_ns: float = 0.0  # for each character
    places: list[int] = msgspec.field(default_factory=list)  # used there, as indexes of `Reading.places`


class Macro(msgspec.Struct):
    """One comprehension: what it does once for each element."""

    name: str
    body: Work


class Reading(msgspec.Struct):
    """What a filter's text says."""

    spelled: str  # for the library: with a variable for each place
    places: list[Place]
    searchers: dict[str, Callable[[str], bool]]  # by the name of the function that stands for it
    variables: frozenset[str]  # every variable that may be left in `spelled`
    outside: Work  # of macros' bodies
    macros: list[Macro]


class _Frame(msgspec.Struct):
    """One open bracket."""

    closer: str
    at: int  # the token that opens it
    call: str | None = None
    member: bool = False
    literal: bool = False  # a list or map written out
    arguments: int = 0
    macro: Macro | None = None
    variable: str | None = None


def read(text: str) -> Reading:
    """Reads a filter's text, and holds it to the rules.

    Raises:
        Invalid: ``filter_invalid``: what breaks which rule, where, and what to write instead.
    """
    return _Reader(tokens(text)).read()


class _Reader:
    """One pass over the tokens, with a stack of open brackets."""

    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._stack: list[_Frame] = []
        self._spelled: list[str] = []
        self._places: dict[Place, int] = {}
        self._reading = Reading(
            spelled="",
            places=[],
            searchers={},
            variables=frozenset(),
            outside=Work(),
            macros=[],
        )

    def read(self) -> Reading:
        variables = set(_TYPES)
        at = 0
        while at < len(self._tokens):
            token = self._tokens[at]
            self._count(token)
            if token.text in _OPENS and token.kind == "sign":
                self._open(at)
            elif token.text in _CLOSES and token.kind == "sign":
                variables.update(self._close(token))
            elif token.text == "," and self._stack and token.kind == "sign":
                self._stack[-1].arguments += 1
            elif token.kind == "name":
                at = self._name(at)
                continue
            self._spelled.append(token.text)
            at += 1
        if self._stack:
            refuse(f"the {self._tokens[self._stack[-1].at].text} is not closed", self._tokens[self._stack[-1].at].at)
        found = self._reading
        found.places = list(self._places)
        found.spelled = " ".join(self._spelled)
        found.variables = frozenset(variables) | {f"__{number}" for number in range(len(found.places))}
        return found

    # --- brackets -----------------------------------------------------------------------------------------------

    def _open(self, at: int) -> None:
        token = self._tokens[at]
        if len(self._stack) == MAX_DEPTH:
            refuse(f"brackets are nested more than {MAX_DEPTH} deep", token.at)
        before = self._tokens[at - 1] if at else None
        frame = _Frame(closer=_OPENS[token.text], at=at)
        after_operand = before is not None and (
            before.text in _CLOSES or before.kind == "text" or (before.kind == "name" and before.text not in _WORDS)
        )
        if token.text == "{" and after_operand:
            refuse("messages of a type are not supported; write {…} alone for a map", token.at)
        if token.text == "(" and before is not None and before.kind == "name" and before.text != "in":
            frame.call = before.text
            frame.member = at > 1 and self._tokens[at - 2].text == "."
            self._check_call(frame, before)
        else:
            frame.literal = not after_operand and token.text != "("
        self._stack.append(frame)

    def _check_call(self, frame: _Frame, name: Token) -> None:
        call = frame.call or ""
        if call in MACROS and frame.member:
            if any(open_.macro is not None for open_ in self._stack):
                refuse(
                    f"{call}() stands inside another one; one for each element of another list costs too much", name.at
                )
            if len(self._reading.macros) == MAX_MACROS:
                refuse(f"it goes through lists more than {MAX_MACROS} times", name.at)
            if call == "map" and any(macro.name == "map" for macro in self._reading.macros):
                refuse("map() can be used once in a filter", name.at)
            frame.macro = Macro(name=call, body=Work())
            self._reading.macros.append(frame.macro)
        elif call not in _FUNCTIONS:
            refuse(f"there is no function {call[:40]}(); there are {_KNOWN}", name.at)

    def _close(self, token: Token) -> list[str]:
        """Checks the bracket that is closed; the variable that a macro had."""
        frame = self._stack.pop() if self._stack else None
        if frame is None or frame.closer != token.text:
            refuse(f"this {token.text} closes nothing", token.at)
        if frame.call is None:
            return []
        empty = self._tokens[frame.at + 1] is token
        count = 0 if empty else frame.arguments + 1
        allowed = MACROS[frame.call] if frame.macro is not None else _FUNCTIONS[frame.call][frame.member]
        opener = self._tokens[frame.at]
        if not allowed:
            form = "f(x)" if frame.member else "x.f(…)"
            refuse(f"{frame.call}() is written as {form.replace('f', frame.call)}", opener.at)
        if count not in allowed:
            refuse(f"{frame.call}() takes {' or '.join(map(str, allowed))} in its brackets, not {count}", opener.at)
        return [frame.variable] if frame.variable is not None else []

    # --- names --------------------------------------------------------------------------------------------------

    def _name(self, at: int) -> int:
        """Spells what begins with a name; the place of the next token."""
        token = self._tokens[at]
        before = self._tokens[at - 1].text if at else ""
        if self._is_variable(at):
            return self._declare(at)
        if before == "." and (at < 2 or not self._is_operand(at - 2)):
            refuse("a name does not begin with a dot", token.at)
        if token.text == "matches" and self._sign(at + 1) == "(":
            return self._matches(at)
        if token.text == "has" and self._sign(at + 1) == "(" and self._sign(at + 2) is None:
            found = self._place(at + 2)
            if found is not None and self._sign(found[1]) == ")":
                place, end = found
                if place.steps and self._tokens[end - 1].kind == "name":
                    return self._use(Place(place.root, place.steps, asked=True), end + 1)
        if before != "." and self._sign(at + 1) != "(" and token.text not in _WORDS:
            found = self._place(at)
            if found is not None:
                return self._use(*found)
            if token.text not in _TYPES and not any(frame.variable == token.text for frame in self._stack):
                refuse(
                    f"{token.text[:40]} is not known; a filter sees event and data, as in data.{token.text[:40]}",
                    token.at,
                )
        self._spelled.append(token.text)
        return at + 1

    def _is_variable(self, at: int) -> bool:
        """Whether the name is the one that a macro gives to each element."""
        return bool(
            self._stack
            and self._stack[-1].macro is not None
            and self._stack[-1].at == at - 1
            and self._sign(at + 1) == ","
        )

    def _declare(self, at: int) -> int:
        token = self._tokens[at]
        taken = token.text in _ROOTS | _TYPES | _WORDS or token.text.startswith("__")
        if taken:
            refuse(f"{token.text[:40]} cannot be the name of an element; take another one, such as x", token.at)
        self._stack[-1].variable = token.text
        self._spelled.append(token.text)
        return at + 1

    def _matches(self, at: int) -> int:
        """Puts a function made of its pattern in the place of ``matches("…")``."""
        pattern = self._tokens[at + 2] if at + 2 < len(self._tokens) else self._tokens[at]
        if self._sign(at - 1) != "." or pattern.kind != "text" or pattern.text[0] in "bB" or self._sign(at + 3) != ")":
            refuse('matches() takes a pattern that is written out: data.url.matches("^https:")', self._tokens[at].at)
        if len(self._reading.searchers) == MAX_PATTERNS:
            refuse(f"it has more than {MAX_PATTERNS} patterns", pattern.at)
        try:
            text = decoded(pattern)
            cost_ns = patterns.cost_ns(text)
            searcher = patterns.searcher(text)
        except ValueError as error:
            refuse(f"the pattern: {error}", pattern.at)
        self._work().pattern_ns += cost_ns
        name = f"__m{len(self._reading.searchers)}"
        self._reading.searchers[name] = searcher
        self._spelled.append(f"{name} ( )")
        return at + 4

    # --- places -------------------------------------------------------------------------------------------------

    def _place(self, at: int) -> tuple[Place, int] | None:
        """The longest place that begins there, and the token after it."""
        if at >= len(self._tokens) or self._tokens[at].kind != "name" or self._tokens[at].text not in _ROOTS:
            return None
        root = self._tokens[at]
        steps: list[str | int] = []
        end = at + 1
        while end + 1 < len(self._tokens):
            step = self._tokens[end + 1]
            if self._sign(end) == "." and step.kind == "name" and self._sign(end + 2) != "(":
                steps.append(step.text)
                end += 2
            elif self._sign(end) == "[" and self._sign(end + 2) == "]" and step.kind in {"text", "number"}:
                if step.kind == "number" and not re.fullmatch(r"[0-9]{1,9}", step.text):
                    break
                if step.kind == "text" and step.text[0] in "bB":
                    break
                steps.append(int(step.text) if step.kind == "number" else decoded(step))
                end += 3
            else:
                break
        if root.text == "event" and (not steps or steps[0] not in _EVENT or len(steps) > 1):
            refuse("event has a type and a timestamp: write event.type or event.timestamp", root.at)
        return Place(root.text, tuple(steps), asked=False), end

    def _use(self, place: Place, end: int) -> int:
        number = self._places.setdefault(place, len(self._places))
        work = self._work()
        work.places.append(number)
        work.touches += 1
        work.growth += self._is_gathered()
        self._spelled.append(f"__{number}")
        return end

    # --- counting -----------------------------------------------------------------------------------------------

    def _work(self) -> Work:
        """That of the macro in whose body this is; its range and its variable are not in its body."""
        for frame in self._stack:
            if frame.macro is not None and frame.arguments:
                return frame.macro.body
        return self._reading.outside

    def _count(self, token: Token) -> None:
        work = self._work()
        work.tokens += 1
        if token.kind == "sign" and token.text in _TOUCHING:
            work.touches += 1
            work.growth += token.text == "+"
        elif token.kind == "name" and any(frame.variable == token.text for frame in self._stack):
            work.touches += 1
            work.growth += self._is_gathered()

    def _is_gathered(self) -> bool:
        """Whether what is here ends up in a list or map that is written out."""
        return any(frame.literal for frame in self._stack)

    def _sign(self, at: int) -> str | None:
        """The sign there, or None where there is none."""
        return self._tokens[at].text if 0 <= at < len(self._tokens) and self._tokens[at].kind == "sign" else None

    def _is_operand(self, at: int) -> bool:
        token = self._tokens[at]
        return (
            token.kind in {"text", "number"} or token.text in _CLOSES or (token.kind == "name" and token.text != "in")
        )
