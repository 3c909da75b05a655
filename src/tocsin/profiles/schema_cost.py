"""What checking a value against a schema can cost at most, known before any value is seen.

A schema can be small and its price enormous: alternatives within alternatives double at each level, and a schema that
comes back to itself twice doubles at each level of the *value*. So a bound is computed when the schema is saved:

    time ≤ values × `Price.ns` + characters × `Price.character_ns`

where the values are all those inside the one that is checked. A schema whose bound is beyond `MAX_NS` for each value is
refused; otherwise the bound is compared with the size of each event (`schemas`). A subschema's price is that of its own
keywords plus that of all others that hold for the same value; members are reached by all keywords that name them, so
their prices add up there. Recursion is taken only where each member is reached by one way, which keeps it linear.

The figures are worst cases measured on jsonschema_rs 0.60 (one core at 3 GHz), rounded up.
"""

import math
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

import msgspec

from tocsin.profiles import patterns
from tocsin.profiles.schema_parts import SAME_VALUE, Part, invalid

MAX_NS = 1_000_000.0  # for one value; so that no schema is too dear for events of 100 values, see `schemas.BUDGET_NS`
MAX_NAMED = 20_000  # members named in all subschemas, counted where they hold: keeps this computation itself short
MAX_VALUE_DEPTH = 128  # of published JSON, see `jsjson`

_KEYWORD_NS = 25.0  # type, required, minLength: 5 to 20 ns
_MEMBER_NS = 250.0  # finding the subschema of one member: 10 ns by name, 180 ns for contains
_NUMBER_NS = 2_500.0  # one comparison with a number: floats are compared as decimals; longer ones count as more values
_TEXT_NS = 15.0  # one comparison with another scalar
_OPTION_NS = 300.0  # one comparison with an object or array begins with so much
# Up to 15 items are compared pair by pair, so each value inside them up to 14 times, as one of two.
_UNIQUE_NS = 7 * _NUMBER_NS

_NUMERIC = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_NAMING = frozenset({"properties", "prefixItems"})
_ARRAYS = frozenset({"items", "prefixItems", "contains", "unevaluatedItems"})
_OBJECTS = frozenset(
    {"properties", "patternProperties", "additionalProperties", "unevaluatedProperties", "propertyNames"}
)


class Price(msgspec.Struct, frozen=True):
    """For each value and each character inside the value that is checked; and how many faults each value can make."""

    ns: float = 0.0
    character_ns: float = 0.0
    faults: float = 0.0

    def plus(self, other: "Price", times: float = 1.0) -> "Price":
        return Price(
            self.ns + times * other.ns,
            self.character_ns + times * other.character_ns,
            self.faults + times * other.faults,
        )

    def or_more(self, other: "Price") -> "Price":
        return Price(max(self.ns, other.ns), max(self.character_ns, other.character_ns), max(self.faults, other.faults))


class _Visits(msgspec.Struct, frozen=True):
    """What one member goes through: a price, and how often it enters the ring of schemas that is being priced."""

    price: Price = Price()
    rounds: float = 0.0

    def plus(self, other: "_Visits", times: float = 1.0) -> "_Visits":
        return _Visits(self.price.plus(other.price, times), self.rounds + times * other.rounds)


class _Members(msgspec.Struct):
    """What the members of an object, or the items of an array, go through: those that are named, and any other."""

    named: dict[str | int, _Visits] = msgspec.field(default_factory=dict)
    other: _Visits = _Visits()

    def add(self, more: "_Members", times: float = 1.0) -> None:
        for name in self.named.keys() | more.named.keys():
            mine = self.named.get(name, self.other)
            self.named[name] = mine.plus(more.named.get(name, more.other), times)
        self.other = self.other.plus(more.other, times)

    def add_all(self, visits: _Visits) -> None:
        self.other = self.other.plus(visits)
        self.named = {name: known.plus(visits) for name, known in self.named.items()}

    def every(self) -> list[_Visits]:
        return [self.other, *self.named.values()]


class _Profile(msgspec.Struct):
    """What one subschema does to a value."""

    here: Price = Price()  # once
    each: Price = Price()  # once for each of its members and items
    inside: Price = Price()  # once for each value anywhere inside, itself included
    height: int = 0  # how deep its alternatives are nested
    members: _Members = msgspec.field(default_factory=_Members)
    items: _Members = msgspec.field(default_factory=_Members)

    def add(self, other: "_Profile", times: float) -> None:
        self.here = self.here.plus(other.here, times)
        self.each = self.each.plus(other.each, times)
        self.inside = self.inside.plus(other.inside, times)
        self.height = max(self.height, other.height + 1)
        self.members.add(other.members, times)
        self.items.add(other.items, times)

    def every(self) -> list[_Visits]:
        return self.members.every() + self.items.every()


def price(parts: Sequence[Part]) -> Price:
    """The bound for the whole schema (`take_apart`'s parts, the root first).

    Raises:
        Invalid: ``schema_invalid``: there is no bound, or it is too high; or a pattern is none.
    """
    same = {part.pointer: [sub.pointer for sub in _same(part)] for part in parts}
    try:
        rank = {pointer: place for place, pointer in enumerate(TopologicalSorter(same).static_order())}
    except CycleError as cycle:
        raise invalid(cycle.args[1][0], "the schema leads back to itself without going into the value") from None
    profiles: dict[str, _Profile] = {}
    total: dict[str, Price] = {}
    named = 0
    for ring in _rings(parts):
        inside = {part.pointer for part in ring}
        for part in sorted(ring, key=lambda one: rank[one.pointer]):
            profile = profiles[part.pointer] = _profile(part, profiles, total, inside)
            named += len(profile.members.named) + len(profile.items.named)
            if named > MAX_NAMED:
                raise invalid(part.pointer, "too many alternatives name too many members; offer fewer")
        _settle(ring, profiles, total)
    return total[parts[0].pointer]


def _same(part: Part) -> list[Part]:
    """The subschemas that hold for the same value."""
    found = [sub for keyword, _, sub in part.subs if keyword in SAME_VALUE]
    return [*found, part.ref] if part.ref is not None else found


def _inner(part: Part) -> list[Part]:
    """The subschemas that hold for its members or items."""
    return [sub for keyword, _, sub in part.subs if keyword in _OBJECTS or keyword in _ARRAYS]


def _leads_to(part: Part) -> list[Part]:
    return _same(part) + _inner(part)


def _profile(part: Part, profiles: Mapping[str, _Profile], total: Mapping[str, Price], ring: set[str]) -> _Profile:
    found = _own(part)
    reviewed = "unevaluatedProperties" in part.schema or "unevaluatedItems" in part.schema
    for sub in _same(part):
        # To know what is still unevaluated, each level of alternatives is checked once more.
        found.add(profiles[sub.pointer], 2 + profiles[sub.pointer].height if reviewed else 1)
    members, items = _Members(), _Members()
    for keyword, name, sub in sorted(part.subs, key=lambda one: one[0] not in _NAMING):
        visits = _Visits(rounds=1.0) if sub.pointer in ring else _Visits(total.get(sub.pointer, Price()))
        group = members if keyword in _OBJECTS else items
        if keyword in _NAMING:
            group.named[name] = visits  # type: ignore[index]  # these keywords always say a name or an index
        elif keyword in {"additionalProperties", "items"}:  # these leave out what is named beside them
            group.other = group.other.plus(visits)
        elif keyword in _OBJECTS or keyword in _ARRAYS:
            group.add_all(visits)
    found.members.add(members)
    found.items.add(items)
    return found


def _own(part: Part) -> _Profile:
    """The keywords of one subschema without its subschemas."""
    schema = part.schema
    ns = _KEYWORD_NS + sum(_keyword_ns(keyword, value) for keyword, value in schema.items())
    pattern = schema.get("pattern")
    character_ns = _pattern_ns(f"{part.pointer}/pattern", pattern) if isinstance(pattern, str) else 0.0
    each = Price(_MEMBER_NS * len(schema.keys() & (_OBJECTS | _ARRAYS)))
    by_pattern = schema.get("patternProperties")
    for pattern in by_pattern if isinstance(by_pattern, Mapping) else ():
        each = each.plus(Price(_MEMBER_NS, _pattern_ns(f"{part.pointer}/patternProperties", pattern)))
    inside = Price(_UNIQUE_NS if schema.get("uniqueItems") is True else 0.0)
    return _Profile(here=Price(ns, character_ns, 1.0 + len(schema)), each=each, inside=inside)


def _keyword_ns(keyword: str, value: Any) -> float:
    if keyword in _NUMERIC:
        return _number_ns(value)
    if keyword == "const":
        return _comparison_ns([value])
    if keyword == "enum" and isinstance(value, list):
        return _comparison_ns(value)
    if keyword in {"required", "dependentRequired", "dependencies"}:
        return _KEYWORD_NS * (1 + _size(value))
    return _KEYWORD_NS


def _pattern_ns(pointer: str, pattern: str) -> float:
    try:
        return patterns.cost_ns(pattern)
    except ValueError as error:
        raise invalid(pointer, f"{pattern[:64]!r}: {error}") from None


def _comparison_ns(options: Sequence[Any]) -> float:
    if all(isinstance(option, str) for option in options):
        return _KEYWORD_NS + _TEXT_NS * min(len(options), 16)  # more than that are looked up in a set
    return sum(_one_comparison_ns(option) for option in options)


def _one_comparison_ns(option: Any) -> float:
    if isinstance(option, Mapping):
        return _OPTION_NS + sum(_TEXT_NS + _one_comparison_ns(value) for value in option.values())
    if isinstance(option, list):
        return _OPTION_NS + sum(_one_comparison_ns(value) for value in option)
    return _number_ns(option) if isinstance(option, int | float) and not isinstance(option, bool) else _TEXT_NS


def _number_ns(number: Any) -> float:
    return _NUMBER_NS * (1 + (digit_weight(number) if isinstance(number, float) else 0))


def digit_weight(number: float) -> int:
    """How many plain numbers more one counts as: 5e-324, which has 751 digits as a decimal, weighs 16."""
    return abs(math.frexp(number)[1]) >> 6


def _size(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(1 + _size(one) for one in value.values())
    return len(value) if isinstance(value, list) else 0


def _settle(ring: Sequence[Part], profiles: Mapping[str, _Profile], total: dict[str, Price]) -> None:
    """Prices a ring: subschemas that lead to each other, or, mostly, one that leads to none of its own."""
    once, beside, along = Price(), Price(), Price()
    rounds = 0.0
    for part in ring:
        profile = profiles[part.pointer]
        once = once.or_more(profile.here)
        for visits in profile.every():
            paid = visits.price.plus(profile.each)
            if visits.rounds:
                along = along.or_more(visits.price)
                once = once.or_more(profile.here.plus(profile.each))
            else:
                beside = beside.or_more(paid)
            rounds = max(rounds, visits.rounds)
        if rounds > 1:
            raise invalid(
                part.pointer,
                "the schema leads back to itself in more than one way for the same member, so that each level of a "
                "value can double the time; keep one way, say by moving the $ref out of the alternatives",
            )
    # Each value enters a ring at most once. What is checked beside the way back is paid once; what is checked along
    # the way, and goes through all that is inside, is paid again at each level.
    whole = once.plus(beside).plus(along, MAX_VALUE_DEPTH) if rounds else once.or_more(beside)
    for part in ring:
        profile = profiles[part.pointer]
        found = total[part.pointer] = whole.plus(profile.inside, MAX_VALUE_DEPTH if rounds else 1)
        if found.ns > MAX_NS:
            raise invalid(
                part.pointer,
                f"checking one value could take {found.ns / 1e6:,.1f} ms, and at most {MAX_NS / 1e6:,.0f} ms is "
                "allowed; offer fewer alternatives, or nest them less",
            )
    for part in ring:
        for group in (profiles[part.pointer].members, profiles[part.pointer].items):
            group.other = _resolved(group.other, total[part.pointer])
            group.named = {name: _resolved(visits, total[part.pointer]) for name, visits in group.named.items()}


def _resolved(visits: _Visits, whole: Price) -> _Visits:
    """Visits to a ring that is priced now, as a price."""
    return _Visits(visits.price.plus(whole, visits.rounds))


def _rings(parts: Sequence[Part]) -> list[list[Part]]:
    """The strongly connected parts, each after all that it leads to (Tarjan's algorithm, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    open_: list[Part] = []
    is_open: set[str] = set()
    rings: list[list[Part]] = []
    for root in parts:
        if root.pointer in index:
            continue
        work = [(root, iter(_leads_to(root)))]
        while work:
            part, rest = work[-1]
            at = part.pointer
            if at not in index:
                index[at] = low[at] = len(index)
                open_.append(part)
                is_open.add(at)
            for sub in rest:
                if sub.pointer not in index:
                    work.append((sub, iter(_leads_to(sub))))
                    break
                if sub.pointer in is_open:
                    low[at] = min(low[at], index[sub.pointer])
            else:
                work.pop()
                if work:
                    holder = work[-1][0].pointer
                    low[holder] = min(low[holder], low[at])
                if low[at] == index[at]:
                    place = next(i for i, one in enumerate(open_) if one.pointer == at)
                    rings.append(open_[place:])
                    is_open.difference_update(one.pointer for one in open_[place:])
                    del open_[place:]
    return rings
