"""What receivers get, described from the profiles' catalogues: each type's example is rendered as it would be sent, and
what is found in the body says what the body is.
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from tocsin import USER_AGENT, profiles
from tocsin.api.wire import EXAMPLE_NUMBER
from tocsin.clock import Millis
from tocsin.ids import show
from tocsin.model import EventType
from tocsin.profiles import Facts, Profile
from tocsin.profiles.jsjson import stabilise

_AT = Millis(1_767_225_600_000)  # 2026-01-01T00:00:00Z

Json = dict[str, Any]


def webhooks() -> tuple[Json, Json]:
    """The section ``webhooks``, and the schemas that it refers to."""
    hooks: Json = {}
    schemas: Json = {}
    for name in profiles.names():
        profile = profiles.load(name)
        for entry in profile.catalogue.values():
            event_type = entry.event_type
            ref = f"{name}.{event_type.name}"
            schemas[ref] = _moved(event_type.schema, f"#/components/schemas/{ref}")
            hooks[ref] = {"post": _post(profile, event_type, f"#/components/schemas/{ref}")}
    return hooks, schemas


def example_and_schema(profile: Profile, event_type: EventType) -> tuple[Any, Json]:
    """A whole body, rendered from the type's example, and the schema of such bodies, which stands by itself."""
    body = json.loads(profile.render_body(_facts(event_type)))
    ref = "#/$defs/data"
    schema = _envelope(body, event_type, ref)
    return body, {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "$defs": {"data": _moved(event_type.schema, ref)},
    }


def _moved(schema: Any, to: str) -> Any:
    """The schema with its references within itself leading to where it stands now."""
    if isinstance(schema, Mapping):
        return {
            name: to + value[1:]
            if name == "$ref" and isinstance(value, str) and value.startswith("#")
            else _moved(value, to)
            for name, value in schema.items()
        }
    return [_moved(one, to) for one in schema] if isinstance(schema, list | tuple) else schema


def _post(profile: Profile, event_type: EventType, ref: str) -> Json:
    facts = _facts(event_type)
    body = profile.render_body(facts)
    secret = profile.make_secret(bytes)
    signed = profile.sign(facts, body, () if secret is None else (secret,), _AT, {})
    headers = (("User-Agent", USER_AGENT), *signed)
    example = json.loads(body)
    return {
        "operationId": f"receive_{profile.name}_{event_type.name}",
        "tags": [profile.name],
        "summary": event_type.name,
        "description": event_type.description,
        "security": [],
        "parameters": [
            {"name": name, "in": "header", "required": True, "schema": {"type": "string", "examples": [value]}}
            for name, value in headers
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _envelope(example, event_type, ref), "example": example},
            },
        },
        "responses": {"2XX": {"description": "Received. Any other answer, or none in time, is tried again."}},
    }


def _facts(event_type: EventType) -> Facts:
    data = stabilise(msgspec.json.encode(event_type.example))[1]
    return Facts(
        event_id=show("evt_", EXAMPLE_NUMBER),
        type=event_type.name,
        timestamp=_AT,
        data=data,
        webhook_id=show("wh_", EXAMPLE_NUMBER),
        account_id=show("acc_", EXAMPLE_NUMBER),
        account_external_id="shop-17",
        account_name="Rocket Shoes",
    )


def _envelope(body: Any, event_type: EventType, ref: str) -> Json:
    """The schema of a body that was rendered from the type's example."""
    data: Mapping[str, Any] = event_type.example
    if body == data or not isinstance(body, dict):
        return {"$ref": ref}
    # Where the data's keys stand among the envelope's, the body is both.
    merged = bool(data) and data.items() <= body.items()
    own = {name: value for name, value in body.items() if not (merged and name in data)}
    envelope = {
        "type": "object",
        "required": list(own),
        "properties": {
            name: {"$ref": ref} if not merged and value == data else _schema_of(value, event_type.name)
            for name, value in own.items()
        },
    }
    return {"allOf": [{"$ref": ref}, envelope]} if merged else envelope


def _schema_of(value: Any, type_name: str) -> Json:
    if value == type_name:
        return {"const": value}
    if isinstance(value, dict):
        properties = {name: _schema_of(one, type_name) for name, one in value.items()}
        return {"type": "object", "required": list(value), "properties": properties}
    if isinstance(value, str):
        return {"type": "string", "format": "date-time"} if value.startswith("2026-01-01T") else {"type": "string"}
    return {"type": "integer"} if isinstance(value, int) else {}
