"""Pages that are made from the program: ``python -m tests.docs.generated`` writes them, a test compares."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from tests.docs.markdown import ROOT
from tocsin import profiles
from tocsin.telemetry import LOG_EVENTS, METRICS

REFERENCE = ROOT / "docs" / "reference"
_NOTE = "<!-- Written by `python -m tests.docs.generated`; a test compares. -->"

Schema = Mapping[str, Any]


# --- events -------------------------------------------------------------------------------------------------------

_EVENTS_HEAD = f"""\
# Events

{_NOTE}

The catalogue of the profile `standard`: what can happen in ad traffic, and what `data` then holds. Keys beyond those
listed are taken and passed on. Money is in whole units of the currency, as a decimal string or a number. Every name is
Tocsin's own: Standard Webhooks names no events. [Your own event types](../how-to/custom-event-types.md) stand beside
these.

The same as JSON Schema: `GET /v1/event-types`, or `tocsin profiles show standard --type click.created`.

**This version publishes what it is given.** What fires an event (a score, a cap, a budget) is decided by whoever
publishes; triggers that decide it from raw activity come later.
"""


@cache
def _shared() -> Mapping[str, Schema]:
    """The parts that event types share, by name."""
    path = files("tocsin.profiles").joinpath("data/standard/events/shared.schema.json")
    return json.loads(path.read_text(encoding="utf-8"))["$defs"]


def events() -> str:
    catalogue = profiles.load("standard").catalogue
    lines = [_EVENTS_HEAD, "| event type | it means |", "|---|---|"]
    lines += [
        f"| [`{name}`](#{name.replace('.', '')}) | {catalogue[name].event_type.description} |"
        for name in sorted(catalogue)
    ]
    for name in sorted(catalogue):
        found = catalogue[name].event_type
        lines += ["", f"## {name}", "", found.description, ""]
        lines += _keys(found.schema)
        lines += ["", f"```json event={name}", json.dumps(found.example, ensure_ascii=False, indent=2), "```"]
    lines += ["", "## Shared parts", "", "What several event types hold, under the same name and in the same form."]
    for name, part in _shared().items():
        lines += ["", f"### {name}", "", f"{part['description']} {_sort(part)}".strip() + "."]
        if "properties" in part or "items" in part:
            lines += ["", *_keys(part if "properties" in part else {"properties": {f"{name}[]": part["items"]}})]
    return "\n".join(lines) + "\n"


def _keys(schema: Schema) -> list[str]:
    return ["| key | form | meaning |", "|---|---|---|", *_rows(schema, "")]


def _rows(schema: Schema, above: str) -> Iterator[str]:
    required = schema.get("required", ())
    for key, part in schema["properties"].items():
        must = ", required" if key in required else ""
        meaning = part.get("description") or _shared()[part["$ref"].rpartition("/")[2]]["description"]
        yield f"| `{above}{key}` | {_form(part)}{must} | {meaning} |"
        if "$ref" in part:
            continue
        if "properties" in part:
            yield from _rows(part, f"{above}{key}.")
        elif "properties" in part.get("items", {}):
            yield from _rows(part["items"], f"{above}{key}[].")


def _form(part: Schema) -> str:
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return f"[{name}](#{name})"
    if "enum" in part:
        return " or ".join(f"`{value}`" for value in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    kinds = part.get("type", "anything")
    named = " or ".join(kinds) if isinstance(kinds, list) else kinds
    if kinds == "array" and "items" in part:
        return f"array of {_form(part['items'])}"
    if "minimum" in part and "maximum" in part:
        return f"{named}, {part['minimum']} to {part['maximum']}"
    return named


def _sort(part: Schema) -> str:
    return f"Form: {_form(part)}" if "properties" not in part else "Form: object"


# --- telemetry ----------------------------------------------------------------------------------------------------

_TELEMETRY_HEAD = f"""\
# Telemetry

{_NOTE}

Nothing here names an account, an address or a secret.

## Metrics

`GET /metrics`, in the text format of Prometheus, without a key. The figures are those of the process since its start;
those of processes and Python (`process_…`, `python_…`) stand beside them.

| name | kind | labels | meaning | unit |
|---|---|---|---|---|
"""

_LOG_HEAD = """
## The log

On stderr, one line for each event, as text or JSON (`TOCSIN_LOG_FORMAT`). In JSON each has `at`, `level` and `event`
beside its own fields; an unexpected error has its `trace`. Single events, deliveries and attempts are not logged: they
are records, and the API shows them.

| event | meaning | fields |
|---|---|---|
"""


def telemetry() -> str:
    metrics = "".join(
        f"| `{spec.name}{'_total' if spec.kind == 'counter' else ''}` | {spec.kind} "
        f"| {', '.join(f'`{label}`' for label in spec.labels) or '–'} | {spec.help} | {spec.unit} |\n"
        for spec in METRICS
    )
    log = "".join(f"| `{name}` | {spec.meaning} | {_fields(spec.fields)} |\n" for name, spec in LOG_EVENTS.items())
    return _TELEMETRY_HEAD + metrics + _LOG_HEAD + log


def _fields(fields: Mapping[str, str]) -> str:
    return ", ".join(f"`{name}`: {meaning}" for name, meaning in fields.items()) or "–"


PAGES: Mapping[Path, Any] = {REFERENCE / "events.md": events, REFERENCE / "telemetry.md": telemetry}


if __name__ == "__main__":
    for path, write in PAGES.items():
        path.write_text(write(), encoding="utf-8")
