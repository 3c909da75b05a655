"""Pages that are made from the program: ``python -m tests.docs.generated`` writes them, a test compares."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from textwrap import wrap
from typing import Any

import msgspec

from tests.docs import messages_page
from tests.docs.markdown import ROOT
from tocsin import profiles
from tocsin.api.activity_examples import EXAMPLES
from tocsin.profiles import Profile, words
from tocsin.telemetry import LOG_EVENTS, METRICS
from tocsin.triggers import firing
from tocsin.triggers.shapes import MAX_BYTES, MAX_DEPTH, MAX_ITEMS, MAX_TEXT, SHAPES

REFERENCE = ROOT / "docs" / "reference"
_NOTE = "<!-- Written by `python -m tests.docs.generated`; a test compares. -->"

Schema = Mapping[str, Any]


# --- events -------------------------------------------------------------------------------------------------------

_EVENTS_HEAD = f"""\
# Events

{_NOTE}

What can happen in ad traffic, in the words of each profile. An account publishes and receives the events of its own
profile, and in `standard` also [event types of its own](../how-to/custom-event-types.md). Keys beyond those listed are
taken and passed on.

The same as JSON Schema: `GET /v1/event-types`, or `tocsin profiles show standard --type click.created`.

Each is published as it is (`POST /v1/events`), or fired by what is posted as [activity](activity.md): its page says by
what.
"""

# What is to be known of a whole catalogue, beside what its schemas say.
_OF_ALL: Mapping[str, str] = {
    "standard": "Money is in whole units of the currency, as a decimal string or a number. Every name is Tocsin's own: "
    "Standard Webhooks names no events. [Your own event types](../../how-to/custom-event-types.md) stand beside these."
}


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def events() -> str:
    """The index: every event type of every profile."""
    lines = [_EVENTS_HEAD.rstrip()]
    for name in profiles.names():
        lines += ["", f"## {name}", "", f"[In full](events/{name}.md), with keys and examples.", ""]
        lines += _index(profiles.load(name), f"events/{name}.md")
    return "\n".join(lines) + "\n"


def _index(profile: Profile, where: str) -> list[str]:
    catalogue = profile.catalogue
    return [
        "| event type | it means |",
        "|---|---|",
        *(
            f"| [`{name}`]({where}#{_anchor(name)}) | {catalogue[name].event_type.description} |"
            for name in sorted(catalogue)
        ),
    ]


def events_of(name: str) -> str:
    """One profile's catalogue, with keys and examples."""
    profile = profiles.load(name)
    lines = [f"# Events of `{name}`", "", _NOTE, "", _introduction(profile), "", *_index(profile, "")]
    shared = _shared(name)
    for type_ in sorted(profile.catalogue):
        found = profile.catalogue[type_].event_type
        lines += ["", f"## {type_}", "", found.description, ""]
        if fired_by := firing.load(profile).told(type_):
            lines += [*wrap(f"Fired by {fired_by}.", 120, break_on_hyphens=False), ""]
        lines += _keys(found.schema, shared)
        lines += ["", f"```json event={type_}", json.dumps(found.example, ensure_ascii=False, indent=2), "```"]
    if shared:
        lines += ["", "## Shared parts", "", "What several event types hold, in the same form."]
    for part_name, part in shared.items():
        told = f"{part['description']} {_sort(part)}".strip() if "description" in part else _sort(part)
        lines += ["", f"### {part_name}", "", told + "."]
        if "properties" in part or "items" in part:
            held = part if "properties" in part else {"properties": {f"{part_name}[]": part["items"]}}
            lines += ["", *_keys(held, shared)]
    return "\n".join(lines) + "\n"


def _introduction(profile: Profile) -> str:
    dialect = "profiles.md" if profile.name == "standard" else f"dialects/{profile.name}.md"
    where = f"../{dialect}" if profile.name == "standard" else f"../../{dialect}"
    text = (
        f"The catalogue of [`{profile.name}`]({where}): what can happen, and what `data` then holds; its source is "
        f"{_sources(profile)}. Keys beyond those listed are taken and passed on."
    )
    return "\n".join(wrap(" ".join(filter(None, (text, _OF_ALL.get(profile.name)))), 120, break_on_hyphens=False))


def _sources(profile: Profile) -> str:
    named = sorted({entry.event_type.source for entry in profile.catalogue.values()})
    return " and ".join(f"“{source}”" for source in named)


@cache
def _shared(name: str) -> Mapping[str, Schema]:
    """The parts that a profile's event types share, by name."""
    path = files("tocsin.profiles").joinpath(f"data/{name}/events/shared.schema.json")
    return json.loads(path.read_text(encoding="utf-8"))["$defs"] if path.is_file() else {}


def _keys(schema: Schema, shared: Mapping[str, Schema]) -> list[str]:
    return ["| key | form | meaning |", "|---|---|---|", *_rows(schema, shared, "")]


def _rows(schema: Schema, shared: Mapping[str, Schema], above: str) -> Iterator[str]:
    required = schema.get("required", ())
    for key, part in schema["properties"].items():
        must = ", required" if key in required else ""
        meaning = part.get("description") or shared[part["$ref"].rpartition("/")[2]]["description"]
        yield f"| `{above}{key}` | {_form(part)}{must} | {meaning} |"
        if "$ref" in part:
            continue
        if "properties" in part:
            yield from _rows(part, shared, f"{above}{key}.")
        elif "properties" in part.get("items", {}):
            yield from _rows(part["items"], shared, f"{above}{key}[].")


def _form(part: Schema) -> str:
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return f"[{name}](#{_anchor(name)})"
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


# --- profiles -----------------------------------------------------------------------------------------------------

_GLANCE = "<!-- The two tables are written by `python -m tests.docs.generated`; a test compares. -->"
_GLANCE_END = "<!-- Here they end. -->"


def profiles_page() -> str:
    """The page as it is, with its tables of all profiles made anew."""
    text = (REFERENCE / "profiles.md").read_text(encoding="utf-8")
    before, _, rest = text.partition(_GLANCE)
    _, _, after = rest.partition(_GLANCE_END)
    found = [profiles.load(name) for name in profiles.names()]
    lines = ["| profile | body | the signature's header | other headers | secret |", "|---|---|---|---|---|"]
    lines += [
        f"| `{one.name}` | {_code(one.body_outline)} | {_cell(words.signature(one))} | "
        f"{', '.join(f'`{name}`' for name in one.further_headers) or '–'} | {words.secret(one)} |"
        for one in found
    ]
    lines += ["", "| profile | retries after | requests | time limit | a webhook is stopped | webhooks | addresses |"]
    lines += ["|---|---|---|---|---|---|---|"]
    lines += [
        f"| `{one.name}` | {words.retries(one)} | {len(one.schedule_s) + 1} | {words.exact(one.timeout_s)} | "
        f"{words.disabling(one)} | {words.webhooks(one)} | {words.addresses(one)} |"
        for one in found
    ]
    return before + "\n".join([_GLANCE, "", *lines, "", _GLANCE_END]) + after


def _code(text: str) -> str:
    return f"`{text}`" if text != "DATA" else "the data alone"


def _cell(text: str) -> str:
    header, _, rest = text.partition(": ")
    return f"`{header}`: {rest}".replace("|", "\\|")


# --- activity -----------------------------------------------------------------------------------------------------

_ACTIVITY_HEAD = f"""\
# Activity

{_NOTE}

What can be posted to `POST /v1/activity`: facts of ad traffic, kind by kind. What they fire is decided by the server;
[how to post activity](../how-to/activity.md) shows the way.

Keys beyond those listed are taken and passed on. A key that is null counts as left out.

- An **id** is a text of at most 256 characters or an integer; 7 and `"7"` are the same id.
- An **amount** is a decimal as text (`"45.00"`), up to twelve digits and nine decimals, or a number of at most 15
  digits. It is kept exactly.
- An activity has at most {MAX_BYTES >> 10} KiB, a text {MAX_TEXT:,} characters, a list or an object {MAX_ITEMS:,}
  items, and it is nested {MAX_DEPTH} deep at most.

## What every kind has

| key | form | meaning |
|---|---|---|
| `kind` | text, required | one of those below |
| `external_id` | text | your own id: the same content again is answered as a duplicate, other content is a 409 |
| `at` | RFC 3339 | when it happened; left out, now; at most 5 minutes ahead, as far back as you like |

## What is filled in

| key | from |
|---|---|
| `visitor.device`, `os`, `browser` (with `os_version`, `browser_version`, `browser_vendor`) | `visitor.user_agent` |
| `visitor.country` | `visitor.ip`, where the server knows it |
| `visitor.country_name` | `visitor.country` |
| a visit's `params` | its `url` |
| a visit's `device.type`, `model`, `os` | its visitor and user agent |
| a visit's `traffic_source` | UTM parameters, else click ids of ad networks (`gclid` …), else `referrer` |

What you send stands. Countries are two capitals; `UK` counts as `GB`, and `XX`, `ZZ` and `T1` as not known.
"""


def activity() -> str:
    lines = [_ACTIVITY_HEAD.rstrip()]
    parts: dict[str, Schema] = {}
    for kind, shape in SHAPES.items():
        (ref,), found = msgspec.json.schema_components([shape], ref_template="#/$defs/{name}")
        schema = found.pop(ref["$ref"].rpartition("/")[2])
        parts |= found
        example = json.dumps(EXAMPLES[kind], indent=2, ensure_ascii=False)
        lines += ["", f"## {kind.value}", "", "\n".join(wrap(_flat(schema["description"]), 120)), ""]
        lines += [*_fields_of(schema), "", "```json", example, "```"]
    for name in sorted(parts):
        lines += ["", f"## {name}", ""]
        if description := parts[name].get("description"):
            lines += ["\n".join(wrap(_flat(description), 120)), ""]
        lines += _fields_of(parts[name])
    return "\n".join(lines) + "\n"


def _flat(text: str) -> str:
    return " ".join(text.split())


def _fields_of(schema: Schema) -> Iterator[str]:
    yield "| key | form |"
    yield "|---|---|"
    for key, part in schema["properties"].items():
        must = ", required" if key in schema.get("required", ()) else ""
        yield f"| `{key}` | {_any_form(part)}{must} |"


def _any_form(part: Schema) -> str:
    if "anyOf" in part:
        if any(one.get("maxLength") == 256 for one in part["anyOf"]) and len(part["anyOf"]) <= 3:
            return "id"
        shown = dict.fromkeys(_any_form(one) for one in part["anyOf"] if one.get("type") != "null")
        return " or ".join(shown)
    if part.get("format") == "decimal":
        return "amount"
    if part.get("type") == "array":
        return f"array of {_any_form(part['items'])}" if part.get("items") else "array"
    return _form(part)


PAGES: Mapping[Path, Callable[[], str]] = {
    REFERENCE / "activity.md": activity,
    REFERENCE / "events.md": events,
    **{REFERENCE / "events" / f"{name}.md": partial(events_of, name) for name in profiles.names()},
    REFERENCE / "messages.md": partial(messages_page.write, _NOTE),
    REFERENCE / "profiles.md": profiles_page,
    REFERENCE / "telemetry.md": telemetry,
}


if __name__ == "__main__":
    for path, write in PAGES.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(write(), encoding="utf-8")
