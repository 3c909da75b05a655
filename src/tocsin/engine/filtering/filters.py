"""Filters of webhooks: conditions in CEL over `event` (`type`, a text, and `timestamp`, a CEL timestamp) and `data`.

What users write is foreign code, so a filter's price is known before it runs: `filter_text` says what it does and how
often, the event says how much there is of it, and what could take longer than `BUDGET_NS` fails at once.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import cel
import msgspec

from tocsin.clock import Millis
from tocsin.engine.filtering import text as filter_text
from tocsin.engine.filtering.text import Place, Reading
from tocsin.engine.filtering.tokens import refuse

# The longest that one filter may take on one event, and all filters on one event. By the figures below, which are worst
# cases measured on common-expression-language 0.10 (one core at 3 GHz): of 40,000 filters and events searched at random
# for the dearest, none took more than 37 ms.
BUDGET_NS = 50_000_000.0
EVENT_BUDGET_NS = 100_000_000.0
_FREE_NS = 1_000_000.0  # what is not counted at all
_CONVERT_NS = 1_500.0  # to hand over one value …
_CONVERT_CHARACTER_NS = 2.0  # … and one character
_TOKEN_NS = 150.0  # to do one operation
_TOUCH_NS = 250.0  # to copy, compare or drop one value
_TOUCH_CHARACTER_NS = 0.5
_ROUND_NS = 500.0  # one round of a macro
_GATHER_NS = 120.0  # map() and filter() copy the list so far in each round
_GATHER_CHARACTER_NS = 0.1
_SEARCH_NS = 2_000.0  # one call of matches()

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_DEPTH = 128  # of published JSON, see `profiles.jsjson`
_MAX_REASON = 300
_ABSENT = object()


class FilterFailed(Exception):
    """The filter says neither yes nor no of this event; the text says why."""


class FilterInput:
    """One event, as all its filters see it; `data` is as parsed from strict JSON."""

    __slots__ = ("_at", "data", "left_ns", "timestamp", "type")

    def __init__(self, type: str, timestamp: Millis, data: Any) -> None:
        self.type = type
        self.timestamp = timestamp
        self.data = data
        self.left_ns = EVENT_BUDGET_NS
        self._at: datetime | None = None

    def find(self, place: Place) -> Any:
        """What is at the place, or `_ABSENT` where that is nothing."""
        if place.root == "event":
            return place.asked or (self.type if place.steps == ("type",) else self._instant())
        steps = place.steps[:-1] if place.asked else place.steps
        value = self.data
        for step in steps:
            if isinstance(value, dict) and isinstance(step, str):
                value = value.get(step, _ABSENT)
            elif isinstance(value, list) and isinstance(step, int):
                value = value[step] if step < len(value) else _ABSENT
            else:
                return _ABSENT
        if not place.asked:
            return value
        return place.steps[-1] in value if isinstance(value, dict) else _ABSENT

    def _instant(self) -> datetime:
        self._at = self._at or _EPOCH + timedelta(milliseconds=self.timestamp)
        return self._at


class Filter:
    """One compiled filter; it holds nothing of any event."""

    def __init__(self, program: Any, reading: Reading) -> None:
        self._program = program
        self._reading = reading
        self._places = [(f"__{number}", place) for number, place in enumerate(reading.places)]
        self._functions = {name: _search(searcher) for name, searcher in reading.searchers.items()}
        # With nothing but numbers and texts of so many characters in all, this filter is too cheap to count.
        plain = [_Size(values=1)] * max(len(self._places) - 1, 0)
        limits = (limit for limit in (65_536, 4_096, 256) if _price(reading, [_Size(1, limit), *plain]) <= _FREE_NS)
        self._free_characters = next(limits, -1)

    def matches(self, given: FilterInput) -> bool:
        """Raises `FilterFailed` where it can be neither true nor false of this event, or could take too long."""
        variables: dict[str, Any] = dict(self._functions)
        characters = 0
        plain = True
        for name, place in self._places:
            value = given.find(place)
            if value is _ABSENT:
                continue
            variables[name] = value
            if isinstance(value, str):
                characters += len(value)
            elif isinstance(value, dict | list):
                plain = False
        if not plain or characters > self._free_characters:
            self._afford(given, variables)
        try:
            found = self._program.execute(variables)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - the library raises many kinds, a panic in Rust among them
            raise FilterFailed(self._reason(error)) from None
        assert isinstance(found, bool)
        return found

    def _afford(self, given: FilterInput, variables: dict[str, Any]) -> None:
        sizes = [_size(variables[name]) if name in variables else _Size() for name, _ in self._places]
        price = _price(self._reading, sizes)
        if price > BUDGET_NS:
            raise FilterFailed("it could take too long on an event of this size; let it look at smaller parts of data")
        if price > given.left_ns:
            raise FilterFailed("the filters before it have used up the time that one event may take")
        given.left_ns -= price

    def _reason(self, error: BaseException) -> str:
        """The library's words, with the places as the user wrote them."""
        text = str(error)[:2_000]
        if missing := re.search(r"Undefined variable or function: '__(\d+)'", text):
            return _missing(self._reading.places[int(missing[1])])
        if unfit := re.search(r"Undefined variable or function: '(\w+)'", text):
            return f"{unfit[1]}() does not take a value of this type"
        if text.startswith(("No such overload", "Unsupported operation")):
            return "it is neither true nor false, or mixes types; double(…), int(…) and string(…) convert"
        if isinstance(error, KeyError):
            return f"there is no key {text}"[:_MAX_REASON]
        return text.partition("\n")[0][:_MAX_REASON] or type(error).__name__


@lru_cache(maxsize=4_096)
def compile_filter(text: str) -> Filter:
    """Compiles a filter; the same text always has the same answer.

    Raises:
        Invalid: ``filter_invalid``, at ``/filter``: what is wrong where, and what to write instead.
    """
    reading = filter_text.read(text)
    _compiled(text)  # so that what is wrong is said of the text as the user wrote it
    # What is no truth value fails in the library already, and is never turned into a Python object.
    program = _compiled(f"({reading.spelled}) && true")
    if not set(program.variables()) <= reading.variables:
        refuse("it cannot be read; write it more plainly, with has(data.x) and data.x without further brackets")
    found = Filter(program, reading)
    if not reading.places:
        try:
            found.matches(FilterInput("", Millis(0), None))
        except FilterFailed as failure:
            refuse(f"{failure}; and it looks at nothing in event or data")
    return found


def _compiled(text: str) -> Any:
    try:
        return cel.compile(text)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a panic in Rust is no Exception
        found = re.search(r"<input>:\d+:(\d+): ([^\n]*)", str(error))
        if found is None:
            refuse("it is no CEL expression")
        if "has() macro" in found[2]:
            refuse("has() asks for a name after a dot, as in has(data.x)")
        said = found[2].removeprefix("Syntax error: ").partition(" expecting {")[0][:120]
        refuse(f"it is no CEL expression: at character {found[1]}: {said}")


def _missing(place: Place) -> str:
    if place.asked:
        holder = Place(place.root, place.steps[:-1], asked=False)
        return f"{holder} is not there, or is no object"[-_MAX_REASON:]
    return f"{place} is not there; ask has(…) first"[-_MAX_REASON:]


def _search(searcher: Any) -> Any:
    """``matches("…")`` of one pattern. Of no text it is null, which is neither true nor false."""
    return lambda text: searcher(text) if isinstance(text, str) else None


class _Size(msgspec.Struct, frozen=True):
    """How much is at a place, everything inside it included."""

    values: int = 0
    characters: int = 0
    longest: int = 0  # of all lists and maps


def _size(value: Any) -> _Size:
    """Counts what is inside, up to what could ever be paid for.

    Raises:
        FilterFailed: it is nested too deep.
    """
    values, characters, longest = 0, 0, 0
    level = [value]
    for _ in range(_MAX_DEPTH):
        values += len(level)
        if values * _CONVERT_NS > BUDGET_NS or not level:
            return _Size(values, characters, longest)
        inner: list[Any] = []
        for one in level:
            if isinstance(one, str):
                characters += len(one)
            elif isinstance(one, dict):
                values += len(one)  # a key is a value, too
                characters += sum(map(len, one))
                longest = max(longest, len(one))
                inner.extend(one.values())
            elif isinstance(one, list):
                longest = max(longest, len(one))
                inner.extend(one)
        level = inner
    raise FilterFailed(f"data is nested more than {_MAX_DEPTH} deep")


def _price(reading: Reading, sizes: Sequence[_Size]) -> float:
    """At most what the filter takes on places of these sizes, in nanoseconds."""
    outside = reading.outside
    values = sum(size.values for size in sizes)
    characters = sum(size.characters for size in sizes)
    price = values * _CONVERT_NS + characters * _CONVERT_CHARACTER_NS + outside.tokens * _TOKEN_NS
    # A list that is written out has at most as many elements as there are tokens.
    rounds = sum(size.longest for size in sizes) * outside.growth + outside.tokens
    values = values * outside.growth + outside.tokens
    characters = characters * outside.growth
    price += outside.touches * _touch(values, characters)
    price += len(reading.searchers) * _SEARCH_NS + characters * outside.pattern_ns
    for macro in sorted(reading.macros, key=lambda one: one.name != "map"):
        body = macro.body
        held_values = sum(sizes[number].values for number in body.places)
        held_characters = sum(sizes[number].characters for number in body.places)
        price += rounds * (_ROUND_NS + body.tokens * _TOKEN_NS + bool(body.pattern_ns) * _SEARCH_NS)
        price += body.touches * _touch(values * body.growth, characters * body.growth)
        price += body.pattern_ns * characters * body.growth
        price += rounds * body.touches * _touch(held_values * body.growth, held_characters * body.growth)
        price += rounds * body.pattern_ns * held_characters * body.growth
        gathered = rounds
        if macro.name == "map":  # what it makes, the macros after it may go through
            values = (values + rounds * (held_values + body.tokens)) * body.growth
            characters = (characters + rounds * held_characters) * body.growth
            rounds = (rounds + body.tokens) * body.growth
        if macro.name in {"map", "filter"}:
            price += gathered * (values * _GATHER_NS + characters * _GATHER_CHARACTER_NS)
    return price


def _touch(values: float, characters: float) -> float:
    return values * _TOUCH_NS + characters * _TOUCH_CHARACTER_NS
