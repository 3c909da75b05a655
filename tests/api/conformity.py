"""Holds every answer that a test gets against the description: its status, its code, its body."""

import json
import re
from functools import cache
from typing import Any

import jsonschema_rs

from tests.support.api import ApiAnswer
from tocsin.api import pages, routes
from tocsin.api.openapi import describe
from tocsin.api.operations import Operation
from tocsin.api.surfaces import V1

_PAGES = {one.path for one in pages.OPERATIONS}


@cache
def description() -> Any:
    return json.loads(json.dumps(describe(routes.OPERATIONS)))


def profile_of(operation: Operation) -> str:
    """One whose accounts the operation serves."""
    return "standard" if operation.surface is V1 else operation.surface.name


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + "$"), path) for path in description()["paths"]]


def fits(value: Any, schema: Any) -> None:
    """Asserts that a value is what a schema of the description says."""
    _validator(json.dumps(schema)).validate(value)


@cache
def _validator(schema: str) -> Any:
    return jsonschema_rs.validator_for({**json.loads(schema), "components": description()["components"]})


def check(method: str, target: str, answer: ApiAnswer) -> None:
    path = target.partition("?")[0]
    if answer.status:
        assert answer.headers["request-id"].startswith("req_")
    described = next((shown for pattern, shown in _patterns() if pattern.match(path)), None)
    if described is None or method.lower() not in description()["paths"][described]:
        known = path in _PAGES or path.startswith(("/docs/errors/", "/in/", "/links/"))
        assert known or answer.status in (404, 405, 200 if method == "HEAD" else 404), (method, path, answer.status)
        return
    answers = description()["paths"][described][method.lower()]["responses"]
    if not answer.status:
        return  # the client was gone
    assert str(answer.status) in answers, f"{method} {described} does not describe {answer.status}: {answer.body!r}"
    content = answers[str(answer.status)].get("content")
    if content is None:
        assert answer.body == b""
        return
    ((media_type, shown),) = content.items()
    assert answer.headers["content-type"].partition(";")[0] == media_type
    if "json" in media_type:
        fits(answer.json, shown["schema"])
    if answer.status >= 400:
        assert answer.code in shown["examples"], f"{method} {described} does not describe {answer.code}"
        assert answer.json.get("status", answer.status) == answer.status
