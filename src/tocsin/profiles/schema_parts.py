"""A JSON Schema taken apart: every subschema in it, what each applies to, and where each `$ref` leads.

The rules of CONTRACT §7 for schemas that users write, as far as form goes: draft 2020-12 only, bounded in size, and
nothing outside the schema is referred to. What checking may cost is judged from here by `schema_cost`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from tocsin.errors import Fault, Invalid

MAX_SUBSCHEMAS = 1_000  # the catalogue's largest has some fifty
MAX_DEPTH = 64
MAX_PATTERNS = 100  # each compiles for up to 1 ms and keeps up to 300 KiB
_DRAFT = "https://json-schema.org/draft/2020-12/schema"

# Where subschemas stand, by how the keyword holds them …
_ONE = frozenset(
    {"not", "if", "then", "else", "additionalProperties", "items", "contains", "propertyNames"}
    | {"unevaluatedProperties", "unevaluatedItems", "contentSchema"}
)
_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAP = frozenset({"properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions"})
# … and which of those hold for the value itself, rather than for its members or for nothing.
SAME_VALUE = frozenset({"not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas", "dependencies"})

_REFUSED = {
    "$dynamicRef": "$dynamicRef is not supported; write $ref",
    "$dynamicAnchor": "$dynamicAnchor is not supported; write $anchor",
    "$recursiveRef": "$recursiveRef is of an older draft; write $ref",
}


class Part(msgspec.Struct, kw_only=True):
    """One subschema. `subs` holds keyword, name or index within it (None: the keyword has but one), and the part."""

    pointer: str  # RFC 6901, from the schema's root
    schema: Mapping[str, Any]  # a boolean schema is one without keywords
    subs: list[tuple[str, str | int | None, "Part"]] = msgspec.field(default_factory=list)
    ref: "Part | None" = None


def invalid(pointer: str, why: str) -> Invalid:
    """`why` is said of the place in the schema."""
    where = pointer or "the schema"
    return Invalid(f"{where}: {why}", code="schema_invalid", faults=[Fault(f"/schema{pointer}", why)])


def take_apart(schema: Mapping[str, Any]) -> list[Part]:
    """Every subschema, the root first.

    Raises:
        Invalid: ``schema_invalid``, with a pointer: it is too large, or refers to what is not in it.
    """
    parts: dict[str, Part] = {}
    waiting = [_part(parts, "", schema)]
    anchors: dict[str, Part] = {}
    references: list[tuple[Part, str]] = []
    patterns = 0
    while waiting:
        while waiting:
            part = waiting.pop()
            _check_identity(part)
            patterns += ("pattern" in part.schema) + len(_members(part.schema.get("patternProperties")))
            if patterns > MAX_PATTERNS:
                raise invalid(part.pointer, f"a schema has at most {MAX_PATTERNS} patterns")
            if isinstance(anchor := part.schema.get("$anchor"), str):
                anchors[anchor] = part
            if "$ref" in part.schema:
                references.append((part, _reference(part)))
            for keyword, name, pointer, sub in _subschemas(part):
                known = parts.get(pointer)
                found = known or _part(parts, pointer, sub)
                part.subs.append((keyword, name, found))
                if known is None:
                    waiting.append(found)
        # A reference may lead to a place where no keyword says that there is a schema; then it is one from now on.
        for part, fragment in references:
            target, new = _target(parts, anchors, schema, part, fragment)
            part.ref = target
            if new:
                waiting.append(target)
        references.clear()
    return list(parts.values())


def _part(parts: dict[str, Part], pointer: str, schema: Any) -> Part:
    if not isinstance(schema, Mapping | bool):
        raise invalid(pointer, "a schema is an object, true or false")
    if len(parts) == MAX_SUBSCHEMAS:
        raise invalid(pointer, f"a schema has at most {MAX_SUBSCHEMAS} subschemas")
    part = parts[pointer] = Part(pointer=pointer, schema={} if isinstance(schema, bool) else schema)
    return part


def _subschemas(part: Part) -> Iterator[tuple[str, str | int | None, str, Any]]:
    for keyword, value in part.schema.items():
        at = f"{part.pointer}/{escaped(keyword)}"
        if keyword in _ONE:
            yield keyword, None, at, value
        elif keyword in _LIST and isinstance(value, list):
            for index, sub in enumerate(value):
                yield keyword, index, f"{at}/{index}", sub
        elif keyword in _MAP:
            for name, sub in _members(value).items():
                if keyword != "dependencies" or not isinstance(sub, list):  # there, a list names keys, as of old
                    yield keyword, name, f"{at}/{escaped(name)}", sub


def _members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _check_identity(part: Part) -> None:
    """What says of which draft and at which address a schema is."""
    for keyword, why in _REFUSED.items():
        if keyword in part.schema:
            raise invalid(f"{part.pointer}/{keyword}", why)
    draft = part.schema.get("$schema", _DRAFT)
    if not isinstance(draft, str) or draft.rstrip("#") != _DRAFT:
        raise invalid(f"{part.pointer}/$schema", f"schemas are of draft 2020-12: write {_DRAFT}, or leave it out")
    if part.pointer and "$id" in part.schema:
        raise invalid(f"{part.pointer}/$id", "only the whole schema can have an $id; name a part of it with $anchor")


def _reference(part: Part) -> str:
    text = part.schema["$ref"]
    if not isinstance(text, str) or not (text == "" or text.startswith("#")):
        raise invalid(
            f"{part.pointer}/$ref",
            'a $ref leads to a place in the same schema, such as "#/$defs/name"; files and addresses are never read',
        )
    return text[1:]


def _target(
    parts: dict[str, Part], anchors: dict[str, Part], root: Mapping[str, Any], part: Part, fragment: str
) -> tuple[Part, bool]:
    """Where a reference leads, and whether that place was not yet known as a schema."""
    nowhere = invalid(f"{part.pointer}/$ref", "the $ref leads nowhere in this schema")
    if fragment and not fragment.startswith("/"):
        if fragment not in anchors:
            raise nowhere
        return anchors[fragment], False
    steps = [step.replace("~1", "/").replace("~0", "~") for step in unquote(fragment).split("/")[1:]]
    pointer = "".join(f"/{escaped(step)}" for step in steps)
    if (known := parts.get(pointer)) is not None:
        return known, False
    place: Any = root
    for step in steps:
        if isinstance(place, Mapping) and step in place:
            place = place[step]
        elif isinstance(place, list) and re.fullmatch(r"0|[1-9][0-9]{0,8}", step) and int(step) < len(place):
            place = place[int(step)]
        else:
            raise nowhere
    return _part(parts, pointer, place), True


def escaped(step: str | int) -> str:
    """One step of an RFC 6901 pointer."""
    return str(step).replace("~", "~0").replace("/", "~1")


def check_depth(value: Any) -> None:
    """Refuses what is nested more than `MAX_DEPTH` deep, before anything recursive looks at it."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, Mapping | list)
            for inner in (outer.values() if isinstance(outer, Mapping) else outer)
        ]
        if not level:
            return
    raise invalid("", f"a schema is nested at most {MAX_DEPTH} deep")
