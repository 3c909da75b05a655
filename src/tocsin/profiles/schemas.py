"""JSON Schema of event types, bounded: nothing is fetched, patterns match in linear time."""

import json
from collections.abc import Mapping
from itertools import islice
from typing import Any

import jsonschema_rs

from tocsin.errors import Fault, Invalid

MAX_FAULTS = 20
_MAX_BYTES = 65_536
_PATTERNS = jsonschema_rs.RegexOptions(size_limit=65_536, dfa_size_limit=262_144)


class SchemaValidator:
    """One compiled schema."""

    def __init__(self, validator: jsonschema_rs.Validator) -> None:
        self._validator = validator

    def is_valid(self, value: Any) -> bool:
        return self._validator.is_valid(value)

    def faults(self, value: Any, base: str = "/data") -> tuple[Fault, ...]:
        """The first of what does not fit, with pointers below `base`; empty: all fits."""
        return tuple(
            Fault(base + "".join(f"/{_escaped(part)}" for part in error.instance_path), error.message[:200])
            for error in islice(self._validator.iter_errors(value), MAX_FAULTS)
        )


def _escaped(part: str | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def compile_schema(schema: Mapping[str, Any]) -> SchemaValidator:
    """Raises `Invalid` (``schema_invalid``) where the schema is none, or reaches beyond itself."""
    if len(json.dumps(schema)) > _MAX_BYTES:
        raise Invalid("the schema is too large", code="schema_invalid", faults=[Fault("/schema", "at most 64 KiB")])
    try:
        validator = jsonschema_rs.Draft202012Validator(dict(schema), offline=True, pattern_options=_PATTERNS)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        why = str(error).partition("\n")[0][:300]
        raise Invalid(f"the schema: {why}", code="schema_invalid", faults=[Fault("/schema", why)]) from None
    return SchemaValidator(validator)
