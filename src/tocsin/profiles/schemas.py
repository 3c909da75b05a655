"""JSON Schemas of event types, draft 2020-12: compiled once, checked fast, and never at anybody else's expense.

What users write is foreign code. A schema is bounded in size, refers to nothing outside itself, matches patterns in
linear time and has a bound on what it can cost (`schema_cost`); a value that is too large for its schema's bound is not
checked but refused, with words to that effect. ``format`` is an annotation, as the draft has it, and is not checked.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import jsonschema_rs
import orjson

from tocsin.errors import Fault
from tocsin.profiles import patterns
from tocsin.profiles.schema_cost import Price, digit_weight, price
from tocsin.profiles.schema_faults import MAX_FAULTS, sentence
from tocsin.profiles.schema_parts import check_depth, escaped, invalid, take_apart

MAX_BYTES = 65_536
# What one check may take. A value beyond it is refused: at MAX_NS a value, the dearest schema still takes 100 values;
# most schemas take anything up to a whole body of 1 MiB.
BUDGET_NS = 100_000_000.0
# Listing faults takes 10 µs each, all at once, before the first is seen.
_MAX_LISTED = 5_000.0
_MIN_MULTIPLE, _MAX_MULTIPLE = 1e-9, 1e15  # beyond them, dividing takes decimals of hundreds of digits


class SchemaValidator:
    """One compiled schema."""

    def __init__(self, validator: jsonschema_rs.Validator, bound: Price) -> None:
        self._validator = validator
        self._bound = bound
        # JSON spends at least two bytes on a value, and six on a float whose exponent makes it count as 17.
        self._free_bytes = BUDGET_NS / max(bound.ns * 3, bound.character_ns)

    def is_valid(self, value: Any, json_bytes: int | None = None) -> bool:
        """Whether the value fits.

        Args:
            value: as parsed from strict JSON.
            json_bytes: how long its JSON is, where that is known; it saves finding out.
        """
        size = _json_bytes(value) if json_bytes is None else json_bytes
        if size > self._free_bytes and _counted(value, self._bound, BUDGET_NS) is None:
            return False
        try:
            return self._validator.is_valid(value)
        except ValueError:  # no JSON at all: lone surrogates, keys that are no strings
            return False

    def faults(self, value: Any, base: str = "/data") -> tuple[Fault, ...]:
        """At most 20 reasons why the value does not fit, with pointers below `base`; empty: it fits."""
        if self.is_valid(value):
            return ()
        found = _counted(value, self._bound, BUDGET_NS)
        if found is None:
            return (
                Fault(base, "holds too much to be checked against the schema of this event type; send less at once"),
            )
        values, _ = found
        if values * self._bound.faults > _MAX_LISTED:
            return (Fault(base, "does not fit the schema of this event type, and is too large to say where"),)
        try:
            errors = list(self._validator.iter_errors(value))
        except ValueError as error:
            return (Fault(base, f"is no JSON: {error}"),)
        return tuple(
            Fault(base + "".join(f"/{escaped(step)}" for step in error.instance_path), sentence(error, value))
            for error in errors[:MAX_FAULTS]
        )


def compile_schema(schema: Mapping[str, Any]) -> SchemaValidator:
    """Compiles a schema; the same one always has the same answer.

    Raises:
        Invalid: ``schema_invalid``, with a pointer below ``/schema``: it is no schema, too large, reaches beyond
            itself, or could cost too much.
    """
    check_depth(schema)
    try:
        size = len(json.dumps(schema, ensure_ascii=False).encode())
    except (TypeError, ValueError) as error:
        raise invalid("", f"a schema is JSON: {error}") from None
    if size > MAX_BYTES:
        raise invalid("", f"a schema has at most {MAX_BYTES} bytes of JSON, not {size}")
    parts = take_apart(schema)
    for part in parts:
        multiple = part.schema.get("multipleOf", 1)
        if isinstance(multiple, int | float) and not _MIN_MULTIPLE <= multiple <= _MAX_MULTIPLE:
            raise invalid(f"{part.pointer}/multipleOf", f"must be from {_MIN_MULTIPLE} to {_MAX_MULTIPLE}")
    bound = price(parts)
    plain = {keyword: value for keyword, value in schema.items() if keyword not in {"$id", "$schema"}}
    try:
        validator = jsonschema_rs.Draft202012Validator(
            plain, pattern_options=patterns.options(), validate_formats=False, offline=True
        )
    except jsonschema_rs.ValidationError as error:
        pointer = "".join(f"/{escaped(step)}" for step in error.instance_path)
        raise invalid(pointer, sentence(error, plain)) from None
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise invalid("", f"it does not compile: {str(error).partition(chr(10))[0][:200]}") from None
    return SchemaValidator(validator, bound)


def _json_bytes(value: Any) -> float:
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:  # no JSON, so of no known length
        return math.inf


def _counted(value: Any, bound: Price, budget_ns: float) -> tuple[int, int] | None:
    """How many values and characters are inside, or None where checking them all could cost more than the budget."""
    values, characters = 0, 0
    waiting = [value]
    while waiting:
        one = waiting.pop()
        values += 1
        if isinstance(one, str):
            characters += len(one)
        elif isinstance(one, dict):
            characters += sum(map(len, one))
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, float):
            values += digit_weight(one)
        if (values + len(waiting)) * bound.ns + characters * bound.character_ns > budget_ns:
            return None
    return values, characters
