"""The language in which a dialect says what an event's data look like (docs/how-to/add-a-dialect.md).

    click_id = "click_id"                               a fact, by its path
    payoutCents = "payout | cents"                      in a form (`forms`)
    id = "visitor.id or visitor.ip or 'unknown'"        the first that is there; a constant in quotes, or a number
    by = "automatic then 'hold_time' or 'manual'"       what follows then, where the fact before it is true
    at = "occurrence.at | instant"                      when it happened; account.timezone is the account's zone
    visitor = "&visitor"                                the shape [shared.visitor]; "&" = "visitor" puts its keys here
    reasons = ["reasons", { rule = "rule", score = "points" }]      for each item of a list, by the item's own facts
    "*" = "visitor"                                     whatever else was posted in that object, beside the keys that
                                                        CONTRACT §5 and the schema name; "activity" is the whole of it
    [type.data.visitor]                                 an object

A part for which nothing is known vanishes, and so does an object of nothing but such parts.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from tocsin.clock import Millis
from tocsin.nearest import did_you_mean
from tocsin.triggers.fact_names import LEAF, OPEN
from tocsin.triggers.forms import FORMS, plain

REST = "*"
SHARED = "&"
_ACTIVITY = "activity"
_TOKEN = re.compile(r"\s*('[^']*'|\||[^\s'|]+)")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_CONSTANTS = {"true": True, "false": False}
_OWN = frozenset({"occurrence.at", "account.timezone"})


class Misshapen(Exception):
    """What is written there cannot be: ``key: why``."""


class Scope:
    """What paths lead through: the facts, or one item of a list."""

    __slots__ = ("at", "facts", "zone")

    def __init__(self, facts: Mapping[str, Any], at: Millis, zone: ZoneInfo) -> None:
        self.facts = facts
        self.at = at
        self.zone = zone


Part = Callable[[Scope], Any]  # None: nothing is known


class Outline:
    """What a schema says of one object or list: as far as a shape can be checked against it."""

    def __init__(self, schema: Mapping[str, Any], defs: Mapping[str, Any] | None = None) -> None:
        self._defs = schema.get("$defs", {}) if defs is None else defs
        ref = schema.get("$ref")
        target = self._defs.get(ref.removeprefix("#/$defs/"), {}) if isinstance(ref, str) else {}
        self._schema = {**target, **schema}

    @property
    def required(self) -> Sequence[str]:
        found: Sequence[str] = self._schema.get("required", ())
        return found

    @property
    def properties(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._schema.get("properties", {})
        return found

    def member(self, key: str) -> "Outline":
        return Outline(self.properties.get(key, {}), self._defs)

    @property
    def items(self) -> "Outline":
        return Outline(self._schema.get("items", {}), self._defs)


class Shaper:
    """Builds the parts of one event type.

    Args:
        tree: how the facts are called (`fact_names`).
        shared: the shapes that several types use.

    Raises:
        Misshapen: from `object_of`: ``key: why``.
    """

    def __init__(
        self, tree: Mapping[str, Any], shared: Mapping[str, Mapping[str, Any]], inside: tuple[str, ...] = ()
    ) -> None:
        self._tree = tree
        self._shared = shared
        self._inside = inside  # the shared shapes that lead here

    def object_of(self, shape: Mapping[str, Any], schema: Outline, *, where: str = "") -> Part:
        """An object of that shape. `schema`: what the type's schema says of it; empty: nothing."""
        spread = self._spread(shape, where, self._inside)
        rest = spread.pop(REST, None)
        members = [
            (key, self._part(value, schema.member(key), f"{where}{key}", self._tree)) for key, value in spread.items()
        ]
        if missing := [key for key in schema.required if key not in spread]:
            raise Misshapen(f"{where}{missing[0]}: the schema requires it, and nothing here makes it")
        if rest is None:
            return _Object(members)
        return _Open(members, self._rest(rest, spread, schema, f"{where}{REST}"))

    def _spread(self, shape: Mapping[str, Any], where: str, inside: tuple[str, ...]) -> dict[str, Any]:
        """With the keys of shared shapes that it takes in; its own stand above theirs."""
        found: dict[str, Any] = {}
        for key, value in shape.items():
            if key == SHARED:
                for name in value if isinstance(value, list) else [value]:
                    taken = self._shape_of(name, f"{where}{key}", inside)
                    found = {**found, **self._spread(taken, where, (*inside, name))}
            else:
                found[key] = value
        return found

    def _shape_of(self, name: object, where: str, inside: tuple[str, ...]) -> Mapping[str, Any]:
        if name in inside:
            raise Misshapen(f"{where}: {name!r} holds itself")
        if not isinstance(name, str) or name not in self._shared:
            known = did_you_mean(str(name), self._shared)
            raise Misshapen(f"{where}: there is no [shared.{name}]{known}")
        return self._shared[name]

    def _part(self, value: Any, schema: Outline, where: str, tree: Any) -> Part:
        if isinstance(value, str):
            if value.startswith(SHARED):
                name = value[1:]
                shape = self._shape_of(name, where, self._inside)
                return Shaper(tree, self._shared, (*self._inside, name)).object_of(shape, schema, where=f"{where}.")
            return self._expression(value, where, tree)
        if isinstance(value, dict):
            return self.object_of(value, schema, where=f"{where}.")
        if isinstance(value, list):
            return self._each(value, schema, where, tree)
        if isinstance(value, bool | int | float):
            return _Constant(value)
        raise Misshapen(f"{where}: a path, a constant, an object, or a list of a path and a shape")

    def _each(self, value: Sequence[Any], schema: Outline, where: str, tree: Any) -> Part:
        if len(value) != 2 or not isinstance(value[0], str) or not isinstance(value[1], dict):
            raise Misshapen(f"{where}: a list is a path and the shape of an item")
        steps, found = _walk(value[0], where, tree)
        if not isinstance(found, list):
            raise Misshapen(f"{where}: {value[0]!r} is no list")
        shape = Shaper(found[0], self._shared, self._inside).object_of(value[1], schema.items, where=f"{where}.")
        return _Each(_Path(steps), shape)

    def _expression(self, text: str, where: str, tree: Any) -> Part:
        alternatives: list[Part] = []
        for condition, source, forms in _alternatives(text, where):
            part = _source(source, where, tree)
            for name in forms:
                form = FORMS.get(name)
                if form is None:
                    raise Misshapen(f"{where}: there is no form {name!r}{did_you_mean(name, FORMS)}")
                part = _Formed(part, form)
            if not forms and not isinstance(part, _Constant):
                part = _Plain(part)
            alternatives.append(part if condition is None else _Then(_source(condition, where, tree), part))
        return alternatives[0] if len(alternatives) == 1 else _First(alternatives)

    def _rest(self, value: Any, own: Mapping[str, Any], schema: Outline, where: str) -> Part:
        ((condition, source, forms), *more) = (
            _alternatives(value, where) if isinstance(value, str) else [(None, "", [])]
        )
        if condition or more or len(forms) > 1 or (forms and forms[0] not in FORMS):
            raise Misshapen(f"{where}: a path to an object, or {_ACTIVITY!r}, with at most one form")
        part, found = (_whole, self._tree) if source == _ACTIVITY else _object_at(source, where, self._tree)
        known = found if isinstance(found, Mapping) else ()
        return _Rest(part, frozenset({*own, *schema.properties, *known}), FORMS[forms[0]] if forms else _as_it_is)


def _object_at(text: str, where: str, tree: Any) -> tuple[Part, Any]:
    steps, found = _walk(text, where, tree)
    if found != OPEN and not isinstance(found, Mapping):
        raise Misshapen(f"{where}: {text!r} is no object")
    return _Path(steps), found


def _source(word: str, where: str, tree: Any) -> Part:
    if word.startswith("'"):
        return _Constant(word[1:-1])
    if _NUMBER.fullmatch(word):
        return _Constant(float(word) if "." in word else int(word))
    if word in _CONSTANTS:
        return _Constant(_CONSTANTS[word])
    if word in _OWN:
        return _at if word == "occurrence.at" else _zone
    return _Path(_walk(word, where, tree)[0])


def _alternatives(text: str, where: str) -> list[tuple[str | None, str, list[str]]]:
    """``a then b | c or 'd'`` as [("a", "b", ["c"]), (None, "'d'", [])]."""
    tokens: list[str] = []
    at = 0
    while match := _TOKEN.match(text, at):
        tokens.append(match[1])
        at = match.end()
    found: list[tuple[str | None, str, list[str]]] = []
    words: list[str] = []
    for word in [*tokens, "or"]:
        if word != "or":
            words.append(word)
            continue
        condition = words[0] if words[1:2] == ["then"] else None
        source, *rest = (words[2:] if condition else words) or [""]
        forms = rest[1::2]
        if (
            text[at:].strip()
            or any(one in ("", "then", "|") for one in (condition or "x", source, *forms))
            or rest[::2] != ["|"] * len(forms)
        ):
            raise Misshapen(f"{where}: {text!r} is not written as a path, a | form, 'a constant', x then y, or y")
        found.append((condition, source, forms))
        words = []
    return found


def _walk(path: str, where: str, tree: Any) -> tuple[tuple[str, ...], Any]:
    """The steps of a path, and what the tree has there."""
    steps = tuple(path.split("."))
    found = tree
    for number, step in enumerate(steps):
        if found == OPEN:
            break
        if not isinstance(found, Mapping) or step not in found:
            known = found if isinstance(found, Mapping) else ()
            raise Misshapen(f"{where}: no such fact as {'.'.join(steps[: number + 1])!r}{did_you_mean(step, known)}")
        found = found[step]
    return steps, found


def path(text: str, where: str, tree: Mapping[str, Any]) -> Part:
    """The fact at a path, as it is inside.

    Raises:
        Misshapen: no occurrence has it.
    """
    steps, found = _walk(text, where, tree)
    if found not in (LEAF, OPEN):
        raise Misshapen(f"{where}: {text!r} is no single fact")
    return _Path(steps)


# --- parts ----------------------------------------------------------------------------------------------------------


class _Constant:
    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __call__(self, _scope: Scope) -> Any:
        return self._value


class _Path:
    __slots__ = ("_steps",)

    def __init__(self, steps: tuple[str, ...]) -> None:
        self._steps = steps

    def __call__(self, scope: Scope) -> Any:
        value: Any = scope.facts
        for step in self._steps:
            if type(value) is not dict and not isinstance(value, Mapping):  # the first is ten times as fast
                return None
            value = value.get(step)
        return value


class _Plain:
    __slots__ = ("_part",)

    def __init__(self, part: Part) -> None:
        self._part = part

    def __call__(self, scope: Scope) -> Any:
        value = self._part(scope)
        return value if type(value) is str else plain(value)


class _Formed:
    __slots__ = ("_form", "_part")

    def __init__(self, part: Part, form: Callable[[Any, ZoneInfo], Any]) -> None:
        self._part = part
        self._form = form

    def __call__(self, scope: Scope) -> Any:
        value = self._part(scope)
        return None if value is None else self._form(value, scope.zone)


class _Then:
    __slots__ = ("_condition", "_part")

    def __init__(self, condition: Part, part: Part) -> None:
        self._condition = condition
        self._part = part

    def __call__(self, scope: Scope) -> Any:
        return self._part(scope) if self._condition(scope) else None


class _First:
    """The first that is there; an empty string is not, unless it is the constant at the end."""

    __slots__ = ("_last", "_parts")

    def __init__(self, parts: Sequence[Part]) -> None:
        *self._parts, self._last = parts

    def __call__(self, scope: Scope) -> Any:
        for part in self._parts:
            value = part(scope)
            if value is not None and value != "":
                return value
        return self._last(scope)


class _Object:
    __slots__ = ("_members",)

    def __init__(self, members: Sequence[tuple[str, Part]]) -> None:
        self._members = tuple(members)

    def __call__(self, scope: Scope) -> dict[str, Any] | None:
        found = {}
        for key, part in self._members:
            value = part(scope)
            if value is not None:
                found[key] = value
        return found or None


class _Open:
    __slots__ = ("_own", "_rest")

    def __init__(self, members: Sequence[tuple[str, Part]], rest: Part) -> None:
        self._own = _Object(members)
        self._rest = rest

    def __call__(self, scope: Scope) -> dict[str, Any] | None:
        return {**(self._own(scope) or {}), **self._rest(scope)} or None


class _Rest:
    __slots__ = ("_form", "_named", "_part")

    def __init__(self, part: Part, named: frozenset[str], form: Callable[[Any, ZoneInfo], Any]) -> None:
        self._part = part
        self._named = named
        self._form = form

    def __call__(self, scope: Scope) -> dict[str, Any]:
        value = self._part(scope)
        if not isinstance(value, Mapping):
            return {}
        named, form = self._named, self._form
        return {key: form(item, scope.zone) for key, item in value.items() if key not in named and item is not None}


class _Each:
    __slots__ = ("_part", "_shape")

    def __init__(self, part: Part, shape: Part) -> None:
        self._part = part
        self._shape = shape

    def __call__(self, scope: Scope) -> list[Any] | None:
        value = self._part(scope)
        if not isinstance(value, list | tuple):
            return None
        items = [self._shape(Scope(item, scope.at, scope.zone)) for item in value if isinstance(item, Mapping)]
        return [item for item in items if item is not None]


def _at(scope: Scope) -> Millis:
    return scope.at


def _zone(scope: Scope) -> str:
    return scope.zone.key or "UTC"


def _as_it_is(value: Any, _zone: ZoneInfo) -> Any:
    return plain(value)


def _whole(scope: Scope) -> Mapping[str, Any]:
    return scope.facts
