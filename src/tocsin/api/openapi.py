"""The description of the API (OpenAPI 3.1), made from the declarations and the catalogues."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from tocsin import __version__, profiles
from tocsin.api.codes import CODES, DOCS_PATH
from tocsin.api.decoding import without_none
from tocsin.api.openapi_webhooks import webhooks
from tocsin.api.operations import PATH_IDS, Access, AccountFrom, Operation
from tocsin.api.problems import Problem
from tocsin.api.surfaces import V1, Surface
from tocsin.api.wire import EXAMPLE_NUMBER
from tocsin.ids import show

_REF = "#/components/schemas/{name}"

_TAGS = {
    "accounts": "Tenants, each with a profile: a dialect of webhooks.",
    "keys": "Credentials, with scopes.",
    "event-types": "The catalogue: what can happen, with schemas and examples.",
    "events": "Publish, list, and see why an event went where.",
    "activity": "Post what happened; what it fires is decided here.",
    "postback-tokens": "For the addresses that advertisers call at a conversion.",
    "webhooks": "Where events go, how they are signed, filtered and paced.",
    "deliveries": "Each event's way to each webhook, with every attempt.",
    "alerts": "Metrics that are watched, and told of when they pass a threshold.",
    "offers": "What a conversion is worth, how long it is held, its caps and where they stand.",
    "campaigns": "Budgets and where they stand, and how a campaign does.",
    "partners": "Who brings the traffic.",
    "visitors": "What is kept of one visitor, taken out.",
    "audit": "Who changed what.",
    "server": "Liveness, readiness, figures.",
}

_INTRO = (
    "Webhooks for ad traffic. Every answer carries a Request-Id; errors are problem details (RFC 9457) with a stable "
    "code. Lists are newest first and go on with next_cursor. POSTs can carry an Idempotency-Key. What is below /api "
    "stands in for vendors' own interfaces, in their form."
)


def describe(operations: Sequence[Operation]) -> dict[str, Any]:
    """The whole description, as JSON values."""
    surfaces = tuple(dict.fromkeys(one.surface for one in operations))
    shapes = [shape for one in operations for shape in _shapes(one)] + [one.errors.shape for one in surfaces]
    schemas, components = msgspec.json.schema_components(shapes, ref_template=_REF)
    schema_of = dict(zip(map(_key, shapes), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schema_of, _links(one, operations))
    hooks, data_schemas = webhooks()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tocsin",
            "version": __version__,
            "description": _INTRO,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            *({"name": name, "description": text} for name, text in _TAGS.items()),
            *({"name": one.tag, "description": one.tag_description} for one in surfaces if one.tag),
            *(
                {"name": name, "description": f"What receivers get: {profiles.load(name).title}."}
                for name in profiles.names()
            ),
        ],
        "paths": paths,
        "webhooks": hooks,
        "components": {
            "schemas": {**_tidy(components), **data_schemas},
            "examples": {
                _example_name(surface, code): _problem_example(surface, code)
                for surface in surfaces
                for code in (CODES if surface is V1 else _codes_of(surface, operations))
            },
            "headers": {
                "Request-Id": {
                    "description": "Names this request in the log and the audit.",
                    "schema": {"type": "string"},
                },
                "Idempotency-Replayed": {
                    "description": "The answer of an earlier request with the same Idempotency-Key.",
                    "schema": {"const": "true"},
                },
                "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
                "WWW-Authenticate": {"schema": {"type": "string"}},
            },
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An account's API key, or the operator's. Scopes: publish, manage, read.",
                },
                **{name: scheme for one in surfaces for name, scheme in one.security_schemes.items()},
            },
        },
        "security": _security(V1),
    }


def implied_codes(one: Operation) -> tuple[str, ...]:
    """Every code that the operation can answer with: its own, and those that follow from its declaration."""
    codes = [*one.problems, *one.surface.problems]
    if one.query is not None or one.access is not Access.PUBLIC:
        codes += ["malformed_request", "invalid"]
    if one.access is not Access.PUBLIC:
        codes += ["missing_key", "unknown_key", "store_unavailable", "stopping", "unavailable"]
        codes.append("operator_only" if one.access is Access.OPERATOR else "missing_scope")
    if one.account is not AccountFrom.NONE or "{" in one.path:
        codes.append("not_found")
    if one.account is AccountFrom.KEY:
        codes.append("account_required")
    if one.method == "POST" or one.body is not None:
        codes += ["malformed_json", "body_incomplete", "invalid", "data_invalid", "body_too_large"]
    if one.method == "POST":
        codes += ["idempotency_key_invalid", "idempotency_key_reused", "idempotency_running"]
    if one.method not in ("GET", "HEAD"):
        codes += ["commit_unknown", "not_owner"]
    return tuple(code for code in CODES if code in {*codes, "internal"})


def parameters(one: Operation) -> list[dict[str, Any]]:
    found = [_path_parameter(name) for name in _names(one.path)]
    if one.query is not None:
        found += [_query_parameter(field) for field in msgspec.structs.fields(one.query)]
    if one.account is not AccountFrom.NONE:
        found.append(
            {
                "name": "Tocsin-Account",
                "in": "header",
                "description": "For the operator's key: which account is meant.",
                "schema": {"type": "string", "examples": [show("acc_", EXAMPLE_NUMBER)]},
            }
        )
    if one.method == "POST":
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "Makes repeating safe for 24 hours: the same answer again, without its secrets.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            }
        )
    return found


def _tidy(value: Any) -> Any:
    """Docstrings without their line breaks; and patterns without what only Python needs at their end."""
    if isinstance(value, dict):
        tidied = {name: _tidy(one) for name, one in value.items()}
        if isinstance(tidied.get("description"), str):
            tidied["description"] = " ".join(tidied["description"].split())
        if isinstance(tidied.get("pattern"), str):
            tidied["pattern"] = tidied["pattern"].removesuffix(r"(?!\n)")
        if tidied.get("type") == "array" and tidied.get("default"):
            tidied["default"] = sorted(tidied["default"])  # of a set, whose order differs from run to run
        return tidied
    return [_tidy(one) for one in value] if isinstance(value, list | tuple) else value


def _shapes(one: Operation) -> Iterable[Any]:
    if one.body is not None:
        yield from _bodies(one)
    for answer in one.answers:
        if answer.shape is not None:
            yield answer.shape


def _bodies(one: Operation) -> tuple[Any, ...]:
    """What a request's body may be."""
    shown = one.body_shown or one.body
    return shown if isinstance(shown, tuple) else (shown,)


def _key(shape: Any) -> str:
    return f"{getattr(shape, '__module__', '')}.{getattr(shape, '__qualname__', shape)}"


def _links(one: Operation, operations: Sequence[Operation]) -> dict[str, Any]:
    """What can be done with what the operation makes."""
    return {
        other.id: {"operationId": other.id, "parameters": {one.makes: "$response.body#/id"}}
        for other in operations
        if one.makes is not None and other.surface is one.surface and _names(other.path) == [one.makes]
    }


def _operation(one: Operation, schema_of: Mapping[str, Any], links: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": one.id,
        "tags": [one.tag],
        "summary": one.summary,
        "description": one.description,
        "parameters": parameters(one),
        "responses": {**_answers(one, schema_of, links), **_problems(one, schema_of)},
    }
    if one.access is Access.PUBLIC:
        found["security"] = []
    elif one.surface.security != V1.security:
        found["security"] = _security(one.surface)
    if one.body is not None:
        shapes = _bodies(one)
        schemas = [schema_of[_key(shape)] for shape in shapes]
        content = {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
        if one.body_examples:
            content["examples"] = {name: {"value": example} for name, example in one.body_examples.items()}
        else:
            content["example"] = one.body_example
        required = len(shapes) > 1 or any(field.required for field in msgspec.structs.fields(shapes[0]))
        found["requestBody"] = {"required": required, "content": {"application/json": content}}
    return found


def _answers(one: Operation, schema_of: Mapping[str, Any], links: dict[str, Any]) -> dict[str, Any]:
    headers = {"Request-Id": {"$ref": "#/components/headers/Request-Id"}}
    if one.method == "POST":
        headers["Idempotency-Replayed"] = {"$ref": "#/components/headers/Idempotency-Replayed"}
    found: dict[str, Any] = {}
    for answer in one.answers:
        shown: dict[str, Any] = {"description": answer.description, "headers": headers}
        if answer.shape is not None:
            content = {"schema": schema_of[_key(answer.shape)]}
            if answer.example is not None:
                content["example"] = answer.example
            shown["content"] = {answer.media_type: content}
        if links:
            shown["links"] = links
        found[str(answer.status)] = shown
    return found


def _problems(one: Operation, schema_of: Mapping[str, Any]) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in implied_codes(one):
        by_status.setdefault(CODES[code].status, []).append(code)
    found: dict[str, Any] = {}
    for status, codes in sorted(by_status.items()):
        headers: dict[str, Any] = {"Request-Id": {"$ref": "#/components/headers/Request-Id"}}
        if status == 503:
            headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
        if status == 401:
            headers["WWW-Authenticate"] = {"$ref": "#/components/headers/WWW-Authenticate"}
        found[str(status)] = {
            "description": "; ".join(f"`{code}`: {CODES[code].title}" for code in codes),
            "headers": headers,
            "content": {
                one.surface.errors.media_type: {
                    "schema": schema_of[_key(one.surface.errors.shape)],
                    "examples": {
                        code: {"$ref": f"#/components/examples/{_example_name(one.surface, code)}"} for code in codes
                    },
                }
            },
        }
    return found


def _problem_example(surface: Surface, code: str) -> dict[str, Any]:
    cause = CODES[code]
    told = Problem(
        type=DOCS_PATH + code,
        title=cause.title,
        status=cause.status,
        detail=cause.meaning,
        code=code,
        request_id=show("req_", EXAMPLE_NUMBER),
    )
    return {"summary": cause.title, "value": msgspec.to_builtins(surface.errors.of(told))}


def _example_name(surface: Surface, code: str) -> str:
    return code if surface is V1 else f"{surface.name}.{code}"


def _codes_of(surface: Surface, operations: Sequence[Operation]) -> list[str]:
    found = {code for one in operations if one.surface is surface for code in implied_codes(one)}
    return [code for code in CODES if code in found]


def _security(surface: Surface) -> list[dict[str, list[str]]]:
    """Any of them is enough."""
    return [{name: list(scopes) for name, scopes in one.items()} for one in surface.security]


def _names(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _path_parameter(name: str) -> dict[str, Any]:
    prefixes = PATH_IDS.get(name)
    schema: dict[str, Any] = {"type": "string"}
    if prefixes is not None:
        one = prefixes[0] if len(prefixes) == 1 else f"({'|'.join(prefixes)})"
        examples = [show(prefix, EXAMPLE_NUMBER) for prefix in prefixes]
        schema |= {"pattern": f"^{one}[0-9a-hjkmnp-tv-z]{{13}}$", "examples": examples}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameter(field: msgspec.structs.FieldInfo) -> dict[str, Any]:
    schema = msgspec.json.schema(without_none(field.type), ref_template=_REF)
    if "$defs" in schema:  # a named enumeration: written in place
        (schema,) = schema["$defs"].values()
    if field.default not in (None, msgspec.NODEFAULT):
        schema["default"] = field.default
    description = schema.pop("description", "")
    return {"name": field.encode_name, "in": "query", "required": False, "description": description, "schema": schema}
