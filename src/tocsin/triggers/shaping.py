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
            return _object(members)
        return _open(members, self._rest(rest, spread, schema, f"{where}{REST}"))

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
            return _constant(value)
        raise Misshapen(f"{where}: a path, a constant, an object, or a list of a path and a shape")

    def _each(self, value: Sequence[Any], schema: Outline, where: str, tree: Any) -> Part:
        if len(value) != 2 or not isinstance(value[0], str) or not isinstance(value[1], dict):
            raise Misshapen(f"{where}: a list is a path and the shape of an item")
        steps, found = _walk(value[0], where, tree)
        if not isinstance(found, list):
            raise Misshapen(f"{where}: {value[0]!r} is no list")
        shape = Shaper(found[0], self._shared, self._inside).object_of(value[1], schema.items, where=f"{where}.")
        return _each(_path(steps), shape)

    def _expression(self, text: str, where: str, tree: Any) -> Part:
        alternatives: list[Part] = []
        for condition, source, forms in _alternatives(text, where):
            part = _source(source, where, tree, plainly=not forms)
            for name in forms:
                form = FORMS.get(name)
                if form is None:
                    raise Misshapen(f"{where}: there is no form {name!r}{did_you_mean(name, FORMS)}")
                part = _formed(part, form)
            alternatives.append(part if condition is None else _then(_source(condition, where, tree), part))
        return alternatives[0] if len(alternatives) == 1 else _first(alternatives)

    def _rest(self, value: Any, own: Mapping[str, Any], schema: Outline, where: str) -> Part:
        ((condition, source, forms), *more) = (
            _alternatives(value, where) if isinstance(value, str) else [(None, "", [])]
        )
        if condition or more or len(forms) > 1 or (forms and forms[0] not in FORMS):
            raise Misshapen(f"{where}: a path to an object, or {_ACTIVITY!r}, with at most one form")
        part, found = (_whole, self._tree) if source == _ACTIVITY else _object_at(source, where, self._tree)
        known = found if isinstance(found, Mapping) else ()
        return _rest(part, frozenset({*own, *schema.properties, *known}), FORMS[forms[0]] if forms else _as_it_is)


def _object_at(text: str, where: str, tree: Any) -> tuple[Part, Any]:
    steps, found = _walk(text, where, tree)
    if found != OPEN and not isinstance(found, Mapping):
        raise Misshapen(f"{where}: {text!r} is no object")
    return _path(steps), found


def _source(word: str, where: str, tree: Any, *, plainly: bool = False) -> Part:
    """`plainly`: as JSON; else as it is inside."""
    if word.startswith("'"):
        return _constant(word[1:-1])
    if _NUMBER.fullmatch(word):
        return _constant(float(word) if "." in word else int(word))
    if word in _CONSTANTS:
        return _constant(_CONSTANTS[word])
    if word in _OWN:
        return _at if word == "occurrence.at" else _zone
    steps, _ = _walk(word, where, tree)
    return _plain_path(steps) if plainly else _path(steps)


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
    return _path(steps)


# --- parts ----------------------------------------------------------------------------------------------------------
#
# Functions over what was read once, as the interpreter calls them at half the cost of objects: some fifty for a click.


def _constant(value: Any) -> Part:
    return lambda _scope: value


def _path(steps: tuple[str, ...]) -> Part:
    first, *others = steps

    def one(scope: Scope) -> Any:
        facts = scope.facts
        # The type is asked first: it is ten times as fast as asking for a Mapping.
        return facts.get(first) if type(facts) is dict or isinstance(facts, Mapping) else None

    if not others:
        return one

    def several(scope: Scope) -> Any:
        value: Any = scope.facts
        for step in steps:
            if type(value) is not dict and not isinstance(value, Mapping):
                return None
            value = value.get(step)
        return value

    return several


def _plain_path(steps: tuple[str, ...]) -> Part:
    """Most parts are that, and most of what they find is an object's text."""
    found = _path(steps)

    def of_object(scope: Scope) -> Any:
        value: Any = scope.facts
        for step in steps:
            if type(value) is not dict:
                return plain(found(scope))
            value = value.get(step)
        return value if value is None or type(value) is str else plain(value)

    return of_object


def _formed(part: Part, form: Callable[[Any, ZoneInfo], Any]) -> Part:
    def made(scope: Scope) -> Any:
        value = part(scope)
        return None if value is None else form(value, scope.zone)

    return made


def _then(condition: Part, part: Part) -> Part:
    return lambda scope: part(scope) if condition(scope) else None


def _first(alternatives: Sequence[Part]) -> Part:
    """The first that is there; an empty string is not, unless it is the constant at the end."""
    *parts, last = alternatives

    def made(scope: Scope) -> Any:
        for part in parts:
            value = part(scope)
            if value is not None and value != "":
                return value
        return last(scope)

    return made


def _object(members: Sequence[tuple[str, Part]]) -> Part:
    members = tuple(members)

    def made(scope: Scope) -> dict[str, Any] | None:
        found = {}
        for key, part in members:
            value = part(scope)
            if value is not None:
                found[key] = value
        return found or None

    return made


def _open(members: Sequence[tuple[str, Part]], rest: Part) -> Part:
    own = _object(members)

    def made(scope: Scope) -> dict[str, Any] | None:
        return {**(own(scope) or {}), **rest(scope)} or None

    return made


def _rest(source: Part, named: frozenset[str], form: Callable[[Any, ZoneInfo], Any]) -> Part:
    def made(scope: Scope) -> dict[str, Any]:
        value = source(scope)
        if type(value) is not dict and not isinstance(value, Mapping):
            return {}
        return {key: form(item, scope.zone) for key, item in value.items() if key not in named and item is not None}

    return made


def _each(source: Part, shape: Part) -> Part:
    def made(scope: Scope) -> list[Any] | None:
        value = source(scope)
        if not isinstance(value, list | tuple):
            return None
        items = [shape(Scope(item, scope.at, scope.zone)) for item in value if isinstance(item, Mapping)]
        return [item for item in items if item is not None]

    return made


def _at(scope: Scope) -> Millis:
    return scope.at


def _zone(scope: Scope) -> str:
    return scope.zone.key or "UTC"


def _as_it_is(value: Any, _zone: ZoneInfo) -> Any:
    return value if type(value) is str else plain(value)


def _whole(scope: Scope) -> Mapping[str, Any]:
    return scope.facts
