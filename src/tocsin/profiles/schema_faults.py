"""What does not fit a schema, in plain sentences."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jsonschema_rs

MAX_FAULTS = 20
_SHOWN = 40  # characters of a value, a name or a pattern that a sentence repeats
_LISTED = 8  # options that a sentence lists

_NOUNS = {
    "array": "an array",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}


_Kind = jsonschema_rs.ValidationErrorKind


def sentence(error: jsonschema_rs.ValidationError, whole: Any) -> str:
    """Says of one place in `whole`, the value that was checked, what is wrong there."""
    value = whole
    for step in error.instance_path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            break  # the error speaks of a name, not of a value
    kind = error.kind
    if isinstance(kind, _Kind.AnyOf | _Kind.OneOfNotValid):
        return f"fits none of the {len(kind.context)} alternatives{_nearest(error, kind.context, whole)}"
    says = _SENTENCES.get(type(kind))
    return says(kind, value) if says is not None else f"does not fit the schema's {_cut(kind.name)}"


def _nearest(
    error: jsonschema_rs.ValidationError, context: Sequence[Sequence[jsonschema_rs.ValidationError]], whole: Any
) -> str:
    """What is wrong by an alternative that comes near: it has but one fault, and that one deeper than the others'."""
    near = [errors[0] for errors in context if len(errors) == 1]
    found = max(near, key=lambda one: len(one.instance_path), default=None)
    if found is None or len(found.instance_path) <= len(error.instance_path):
        return ""
    below = "/".join(str(step) for step in found.instance_path[len(error.instance_path) :])
    return f"; by the nearest, {_cut(below)} {sentence(found, whole)}"


def _limit(words: str) -> Callable[[Any, Any], str]:
    return lambda kind, value: f"{words.format(_shown(kind.limit))}, not {_size_of(value)}"


_SENTENCES: Mapping[type, Callable[[Any, Any], str]] = {
    _Kind.Type: lambda kind, value: (
        f"must be {_one_of([_NOUNS.get(name, name) for name in sorted(kind.types)])}, not {_noun(value)}"
    ),
    _Kind.Required: lambda kind, _: f"{_shown(kind.property)} is missing",
    _Kind.Enum: lambda kind, value: f"must be {_one_of([_shown(one) for one in kind.options])}, not {_seen(value)}",
    _Kind.Constant: lambda kind, value: f"must be {_shown(kind.expected_value)}, not {_seen(value)}",
    _Kind.AdditionalProperties: lambda kind, _: f"has keys that are not allowed: {_listed(kind.unexpected)}",
    _Kind.UnevaluatedProperties: lambda kind, _: f"has keys that are not allowed: {_listed(kind.unexpected)}",
    _Kind.AdditionalItems: lambda _, __: "has more items than are allowed",
    _Kind.UnevaluatedItems: lambda _, __: "has more items than are allowed",
    _Kind.PropertyNames: lambda kind, _: f"has a key that is not allowed: {_shown(kind.error.instance)}",
    _Kind.Pattern: lambda kind, value: f"{_seen(value)} does not match the pattern {_cut(kind.pattern)}",
    _Kind.MultipleOf: lambda kind, value: f"must be a multiple of {_shown(kind.multiple_of)}, not {_seen(value)}",
    _Kind.Not: lambda _, value: f"{_seen(value)} is what the schema excludes",
    _Kind.OneOfMultipleValid: lambda _, __: "fits more than one of the alternatives, and must fit exactly one",
    _Kind.FalseSchema: lambda _, __: "is not allowed here",
    _Kind.Contains: lambda _, __: "holds too few, or too many, of the items that the schema counts",
    _Kind.UniqueItems: lambda _, __: "holds the same item twice",
    _Kind.Minimum: _limit("must be at least {}"),
    _Kind.Maximum: _limit("must be at most {}"),
    _Kind.ExclusiveMinimum: _limit("must be more than {}"),
    _Kind.ExclusiveMaximum: _limit("must be less than {}"),
    _Kind.MinLength: _limit("must have {} or more characters"),
    _Kind.MaxLength: _limit("must have {} or fewer characters"),
    _Kind.MinItems: _limit("must have {} or more items"),
    _Kind.MaxItems: _limit("must have {} or fewer items"),
    _Kind.MinProperties: _limit("must have {} or more keys"),
    _Kind.MaxProperties: _limit("must have {} or fewer keys"),
}


def _size_of(value: Any) -> str:
    return str(len(value)) if isinstance(value, str | list | dict) else _seen(value)


def _seen(value: Any) -> str:
    """The value at fault, of any size: an object or array by its noun only."""
    return _noun(value) if isinstance(value, list | dict) else _shown(value)


def _noun(value: Any) -> str:
    if isinstance(value, str):
        return "a string"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    return _shown(value)


def _shown(value: Any) -> str:
    """A value of the schema's, as JSON has it, shortened."""
    if isinstance(value, str):
        return f"“{_cut(value)}”"
    return _cut(json.dumps(value, ensure_ascii=False, default=str))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _listed(names: Sequence[Any]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(map(_shown, names[:_LISTED])) + more


def _one_of(words: Sequence[str]) -> str:
    if len(words) > _LISTED:
        return f"one of {', '.join(words[:_LISTED])} and {len(words) - _LISTED} more"
    return " or ".join(words)
