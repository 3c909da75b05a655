"""MiniJinja, held to what `template_text` lets through: its steps, the calls of filters and what comes out are bounded.

Filters are all ours: none makes a longer text than a value may be.
"""

import math
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any

from minijinja import Environment, TemplateError, pass_state

from tocsin.channels import markup, template_text, wording
from tocsin.channels.limits import clean, cut
from tocsin.profiles.details import Kind
from tocsin.profiles.readable import readable

# Steps, about three for each place to fill in and five for each round of a loop: a message of forty lines takes 300.
FUEL = 3_000
MAX_OUTPUT = 16_384  # characters: more than any chat shows
_MAX_FILTERS = 300  # calls: the dearest, an instant, takes some 0.1 ms
_MAX_VALUE = 512  # characters of one value
_MAX_ITEMS = 20  # of a list
_MAX_MEMBERS = 50  # of an object
_MAX_DEPTH = 6
_MAX_NODES = 500  # of one value and all that is in it


class Failed(Exception):
    """A template could not be filled in; the text says why, for its author."""


class _Bare:
    """Hides what Python's own objects have beside their contents: ``data.items`` is a member so named or nothing."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):  # the interpreter's; a template can name none of them
            return super().__getattribute__(name)
        raise AttributeError(name)


class Members(_Bare, dict[str, Any]):
    __slots__ = ()


class _List(_Bare, list[Any]):
    __slots__ = ()


class _Plain:
    """Makes values plain: texts of one clean line, numbers, lists and objects of them, of no great number."""

    def __init__(self) -> None:
        self._left = _MAX_NODES

    def of(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0 or depth > _MAX_DEPTH:
            return None
        if isinstance(value, str):
            return clean(value[: _MAX_VALUE * 2])[:_MAX_VALUE]
        if isinstance(value, Decimal):
            return int(value) if value == value.to_integral_value() else float(value)
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, int):
            return value if value.bit_length() < 64 else None
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if isinstance(value, list | tuple):
            return _List([self.of(item, depth + 1) for item in value[:_MAX_ITEMS]])
        if isinstance(value, dict):
            return Members({str(key): self.of(inner, depth + 1) for key, inner in islice(value.items(), _MAX_MEMBERS)})
        return None


def plain(value: Any) -> Any:
    """What a template may be given of the value."""
    return _Plain().of(value)


def check(text: str) -> None:
    """Raises `Failed` where MiniJinja cannot read it."""
    try:
        _engine.undeclared_variables_in_str(text)
    except TemplateError as error:
        raise Failed(_said(error)) from None


def render(text: str, values: Mapping[str, Any], locale: str) -> str:
    """The template with the values in it, as markup.

    Args:
        values: as `plain` gives them.

    Raises:
        Failed: it divides by zero, loops over a number, takes too long, makes too much.
    """
    try:
        made = _engine.render_str(text, None, __locale=locale, **values)
    except TemplateError as error:
        raise Failed(_said(error)) from None
    if len(made) > MAX_OUTPUT:
        raise Failed(f"it makes more than {MAX_OUTPUT} characters")
    return made


def _said(error: TemplateError) -> str:
    if error.kind == "OutOfFuel":
        return "it takes too many steps"
    detail = error.detail or error.message
    return f"line {error.line}: {detail}" if error.line is not None else str(detail)


# --- what stands behind a | ---------------------------------------------------------------------------------------

_Filter = Callable[..., Any]


@pass_state
def _inserted(state: Any, value: Any) -> str:
    """A value where it stands in the text."""
    text = markup.escape(_text(value))
    used = (state.get_temp("characters") or 0) + len(text)
    if used > MAX_OUTPUT:
        raise Failed(f"it makes more than {MAX_OUTPUT} characters")
    state.set_temp("characters", used)
    return text


def _text(value: Any) -> str:
    """As a person reads it; nothing of what has no such form."""
    if isinstance(value, str):
        return value[:_MAX_VALUE]
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 128 else ""
    if isinstance(value, float):
        return (
            (str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value))
            if math.isfinite(value)
            else ""
        )
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, map(_text, value[:_MAX_ITEMS])))[:_MAX_VALUE]
    return ""


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = Decimal(repr(value) if isinstance(value, float) else value[:40] if isinstance(value, str) else value)
    except InvalidOperation:
        return None
    return found if found.is_finite() and found.adjusted() < 30 else None


def _figure(value: Any, other: Any, how: Callable[[Decimal, Decimal], Decimal]) -> Any:
    a, b = _number(value), _number(other)
    if a is None or b is None:
        return None
    made = how(a, b)
    return plain(made) if made.adjusted() < 18 else None


def _money(locale: str, state: Any, value: Any, currency: Any = None) -> Any:
    amount = _number(value)
    code = currency if isinstance(currency, str) else state.lookup("currency")
    return value if amount is None else wording.money(amount, code, locale)


def _country(locale: str, _state: Any, value: Any) -> Any:
    return wording.country(value.upper(), locale) if isinstance(value, str) and len(value) == 2 else value


def _numbered(locale: str, _state: Any, value: Any) -> Any:
    amount = _number(value)
    return value if amount is None else wording.number(amount, locale)


def _percent(locale: str, _state: Any, value: Any) -> Any:
    amount = _number(value)
    return value if amount is None else wording.write(Kind.PERCENT, amount, {}, locale)


def _date(locale: str, _state: Any, value: Any) -> Any:
    return wording.write(Kind.DATE, value[:10], {}, locale) if isinstance(value, str) else value


def _time(locale: str, state: Any, value: Any) -> Any:
    return wording.instant(value, locale, state.lookup("timezone")) if isinstance(value, str) else value


def _of_text(change: Callable[[str], str]) -> _Filter:
    return lambda _locale, _state, value: change(_text(value))


def _default(_locale: str, _state: Any, value: Any, other: Any = "") -> Any:
    return other if value is None or value in ("", [], {}) else value


def _join(_locale: str, _state: Any, value: Any, between: Any = "") -> Any:
    items = value[:_MAX_ITEMS] if isinstance(value, list | tuple) else [value]
    return _text(between).join(filter(None, map(_text, items)))


def _replace(_locale: str, _state: Any, value: Any, old: Any, new: Any) -> str:
    text = _text(value)
    return text.replace(_text(old), _text(new)) if _text(old) else text


def _truncate(_locale: str, _state: Any, value: Any, units: Any = 100) -> str:
    return cut(_text(value), max(units, 0) if isinstance(units, int) else 0)


def _round(_locale: str, _state: Any, value: Any, decimals: Any = 0) -> Any:
    amount = _number(value)
    if amount is None or not isinstance(decimals, int) or not 0 <= decimals <= 9 or amount.adjusted() > 15:
        return value
    return plain(amount.quantize(Decimal(1).scaleb(-decimals)))


def _item(at: int) -> _Filter:
    return lambda _locale, _state, value: value[at] if isinstance(value, str | list | tuple) and value else None


def _length(_locale: str, _state: Any, value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple | dict) else 0


_CALLS: Mapping[str, _Filter] = {
    "capitalize": _of_text(lambda text: text[:1].upper() + text[1:]),
    "country": _country,
    "date": _date,
    "default": _default,
    "first": _item(0),
    "join": _join,
    "last": _item(-1),
    "length": _length,
    "lower": _of_text(str.lower),
    "money": _money,
    "number": _numbered,
    "percent": _percent,
    "plus": lambda _locale, _state, value, other: _figure(value, other, lambda a, b: a + b),
    "readable": _of_text(readable),
    "replace": _replace,
    "round": _round,
    "time": _time,
    "times": lambda _locale, _state, value, other: _figure(value, other, lambda a, b: a * b),
    "title": _of_text(str.title),
    "trim": _of_text(str.strip),
    "truncate": _truncate,
    "upper": _of_text(str.upper),
}


def _bounded(name: str, call: _Filter) -> _Filter:
    """A filter that counts its calls, takes no wrong arguments, and makes no long text."""

    @pass_state
    def filtered(state: Any, value: Any, *given: Any) -> Any:
        calls = (state.get_temp("filters") or 0) + 1
        if calls > _MAX_FILTERS:
            raise Failed("it takes too many steps")
        state.set_temp("filters", calls)
        try:
            made = call(state.lookup("__locale"), state, value, *given)
        except TypeError:
            raise Failed(f"the filter {name} does not take what stands in its brackets") from None
        return made[:_MAX_VALUE] if isinstance(made, str) else made

    return filtered


def _made() -> Environment:
    """One for all templates: it holds none of them."""
    assert set(_CALLS) == set(template_text.FILTERS)
    engine = Environment(
        debug=False,
        fuel=FUEL,
        undefined_behavior="chainable",  # what an event lacks is empty
        finalizer=_inserted,
        auto_escape_callback=lambda _name: False,  # `_inserted` escapes, for our markup
        trim_blocks=True,
        lstrip_blocks=True,
        pycompat=False,
    )
    for name in _BUILT_IN:
        engine.remove_filter(name)
    for name, call in _CALLS.items():
        engine.add_filter(name, _bounded(name, call))
    for name in list(engine.globals):
        engine.remove_global(name)
    return engine


# MiniJinja's own, by what its version 3 lists: what a template cannot name, it cannot use twice over either.
_BUILT_IN = (
    *("abs", "attr", "batch", "bool", "capitalize", "chain", "count", "d", "default", "dictsort", "e", "escape"),
    *("filesizeformat", "pluralize", "striptags"),
    *("first", "float", "format", "groupby", "indent", "int", "items", "join", "last", "length", "lines", "list"),
    *("lower", "map", "max", "min", "pprint", "random", "reject", "rejectattr", "replace", "reverse", "round", "safe"),
    *("select", "selectattr", "slice", "sort", "split", "string", "sum", "title", "tojson", "trim", "truncate"),
    *("unique", "upper", "urlencode", "wordcount", "wordwrap", "zip"),
)
_engine = _made()
