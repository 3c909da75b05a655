"""From occurrences to a dialect's events, as the dialect's ``triggers.toml`` says.

    ["click.new"]                       the event type
    on = "click"                        the occurrence that fires it (`occurrences`), or a list of them
    when = { visitor_first = true }     only where these facts have this value, or one of a list
    unless = { reason = "manual" }      not where they have
    ["click.new".data]                  what the event's data look like (`shaping`)
    [shared.visitor]                    a shape that several types use

All of it is checked when it is read. What is fired fits the type's schema: an optional part that the schema refuses is
left out; where a required one is missing or refused, that event is not fired, and the caller is told.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import orjson

from tocsin.clock import Millis
from tocsin.errors import Fault, Invalid, Misconfigured
from tocsin.nearest import did_you_mean
from tocsin.profiles import CatalogueEntry, Profile
from tocsin.profiles.jsjson import is_stable, stabilise
from tocsin.profiles.schemas import SchemaValidator
from tocsin.triggers.fact_names import FACTS
from tocsin.triggers.occurrences import WORDS, Occurrence
from tocsin.triggers.shaping import Misshapen, Outline, Part, Scope, Shaper, path

_SHARED = "shared"
# Each round takes out what the schema refuses; a part that becomes wrong by that is taken out in the next.
_ROUNDS = 8


class Fired(msgspec.Struct, frozen=True, kw_only=True):
    """An event's content. `data`: compact JSON that JavaScript leaves alone, and that fits its type's schema."""

    type: str
    timestamp: Millis
    data: bytes


class Unfired(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was not made: what its type requires was not known, or could not be shown."""

    type: str
    occurrence: str
    faults: tuple[Fault, ...]  # with pointers into the data

    @property
    def told(self) -> dict[str, str]:
        """For the log."""
        first = self.faults[0]
        reason = f"{first.pointer}: {first.detail}" if first.pointer else first.detail
        return {"type": self.type, "occurrence": self.occurrence, "reason": reason}


class _TriggerSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    on: str | tuple[str, ...]
    data: dict[str, Any]
    when: dict[str, Any] = {}
    unless: dict[str, Any] = {}


class _Trigger(msgspec.Struct, frozen=True):
    type: str
    shape: Part
    when: tuple[tuple[Part, tuple[Any, ...]], ...]
    unless: tuple[tuple[Part, tuple[Any, ...]], ...]
    validator: SchemaValidator
    condition: str  # for people: ``, where reason is cap_reached``

    def concerns(self, scope: Scope) -> bool:
        return all(part(scope) in wanted for part, wanted in self.when) and not any(
            part(scope) in unwanted for part, unwanted in self.unless
        )


class Firing:
    """What one dialect makes of occurrences. `wanted`: the names of those that it makes events of."""

    def __init__(self, triggers: Mapping[str, Sequence[_Trigger]]) -> None:
        self._triggers = {name: tuple(found) for name, found in triggers.items()}
        self.wanted = frozenset(self._triggers)

    @property
    def fired_by(self) -> Mapping[str, Sequence[str]]:
        """For each event type that is fired at all: by which occurrences."""
        found: dict[str, list[str]] = {}
        for name, triggers in self._triggers.items():
            for trigger in triggers:
                found.setdefault(trigger.type, []).append(name)
        return found

    def told(self, type_: str) -> str:
        """What fires a type, for people; empty: it is published, and fired by nothing."""
        return "; ".join(
            WORDS[name] + trigger.condition
            for name, triggers in self._triggers.items()
            for trigger in triggers
            if trigger.type == type_
        )

    def events(
        self, occurrence: Occurrence, *, timezone: ZoneInfo, unfired: Callable[[Unfired], None] | None = None
    ) -> Sequence[Fired]:
        """The events that an occurrence fires, in the order of the dialect's file; `unfired` is told of the others."""
        triggers = self._triggers.get(occurrence.name)
        if triggers is None:
            return ()
        scope = Scope(occurrence.facts, occurrence.at, timezone)
        found = []
        for trigger in triggers:
            if not trigger.concerns(scope):
                continue
            made = _made(trigger, scope)
            if isinstance(made, bytes):
                found.append(Fired(type=trigger.type, timestamp=occurrence.at, data=made))
            elif unfired is not None:
                unfired(Unfired(type=trigger.type, occurrence=occurrence.name, faults=made))
        return found


def _made(trigger: _Trigger, scope: Scope) -> bytes | tuple[Fault, ...]:
    data: Any = trigger.shape(scope) or {}
    try:
        written = orjson.dumps(data)
        if not is_stable(data):
            data, written = stabilise(written, "")
    except (Invalid, orjson.JSONEncodeError) as error:
        return error.faults if isinstance(error, Invalid) else (Fault("", str(error)),)
    if trigger.validator.is_valid(data, len(written)):
        return written
    for _ in range(_ROUNDS):
        faults = trigger.validator.faults(data, "")
        if not faults:
            return stabilise(orjson.dumps(data), "")[1]
        if any(fault.pointer == "" for fault in faults):
            break
        _leave_out(data, [fault.pointer for fault in faults])
    return faults


def _leave_out(data: Any, pointers: Sequence[str]) -> None:
    """Takes the values at these pointers out; the last of a list first, so that the others keep their places."""
    steps = [[step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]] for pointer in pointers]
    for path_ in sorted(
        steps, key=lambda path_: [(int(step) if step.isdigit() else -1, step) for step in path_], reverse=True
    ):
        holder = data
        for step in path_[:-1]:
            holder = _inside(holder, step)
        if isinstance(holder, dict):
            holder.pop(path_[-1], None)
        elif isinstance(holder, list) and path_[-1].isdigit() and int(path_[-1]) < len(holder):
            del holder[int(path_[-1])]


def _inside(holder: Any, step: str) -> Any:
    if isinstance(holder, dict):
        return holder.get(step)
    return holder[int(step)] if isinstance(holder, list) and step.isdigit() and int(step) < len(holder) else None


# --- reading ----------------------------------------------------------------------------------------------------------


@cache
def load(profile: Profile) -> Firing:
    """What that dialect fires: always the same object.

    Raises:
        Misconfigured: its triggers.toml says what cannot be; names the file and the key.
    """
    tables = dict(profile.triggers.tables)
    shared = tables.pop(_SHARED, {})
    found: dict[str, list[_Trigger]] = {}
    try:
        if not isinstance(shared, dict) or not all(isinstance(shape, dict) for shape in shared.values()):
            raise Misshapen(f"{_SHARED}: shapes, each under its name")  # noqa: TRY301 - told like the others
        for name, table in tables.items():
            for occurrence, trigger in _triggers(name, table, profile.catalogue, shared):
                found.setdefault(occurrence, []).append(trigger)
    except Misshapen as error:
        raise Misconfigured(f"{profile.triggers.file}: {error}") from None
    return Firing(found)


def _triggers(
    name: str, table: Any, catalogue: Mapping[str, CatalogueEntry], shared: Mapping[str, Mapping[str, Any]]
) -> Sequence[tuple[str, _Trigger]]:
    entry = catalogue.get(name)
    if entry is None:
        raise Misshapen(f"{name}: the catalogue has no such event type{did_you_mean(name, catalogue)}")
    try:
        spec = msgspec.convert(table, _TriggerSpec)
    except msgspec.ValidationError as error:
        raise Misshapen(f"{name}: {error}") from None
    found = []
    for occurrence in (spec.on,) if isinstance(spec.on, str) else spec.on:
        tree = FACTS.get(occurrence)
        if tree is None:
            raise Misshapen(f"{name}.on: there is no occurrence {occurrence!r}{did_you_mean(occurrence, FACTS)}")
        shape = Shaper(tree, shared).object_of(spec.data, Outline(entry.event_type.schema), where=f"{name}.data.")
        when, unless = (
            tuple(
                (path(fact, f"{name}.{key}.{fact}", tree), tuple(value) if isinstance(value, list) else (value,))
                for fact, value in _flat(conditions)
            )
            for key, conditions in (("when", spec.when), ("unless", spec.unless))
        )
        found.append((occurrence, _Trigger(name, shape, when, unless, entry.validator, _condition(spec))))
    return found


def _condition(spec: _TriggerSpec) -> str:
    return "".join(
        f", {word} {fact} is {' or '.join(_shown(one) for one in (value if isinstance(value, list) else [value]))}"
        for word, conditions in (("where", spec.when), ("unless", spec.unless))
        for fact, value in _flat(conditions)
    )


def _flat(conditions: Mapping[str, Any], above: str = "") -> Sequence[tuple[str, Any]]:
    """``when = { cap.window = "daily" }`` is a table in a table for TOML."""
    found: list[tuple[str, Any]] = []
    for key, value in conditions.items():
        found += _flat(value, f"{above}{key}.") if isinstance(value, dict) else [(above + key, value)]
    return found


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
