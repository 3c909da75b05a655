"""Every name that a page gives is one of the product's: variables, commands, calls, codes, events, files, nouns."""

import importlib
import io
import json
import re
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

import msgspec
import pytest

from tests.docs.markdown import ROOT, Page, page, pages
from tocsin import failpoints, profiles, telemetry
from tocsin.api import postbacks
from tocsin.api.codes import CODES
from tocsin.api.openapi import describe
from tocsin.api.routes import OPERATIONS
from tocsin.channels import macros, slack_answers, telegram, templates
from tocsin.cli.checks import _OTHER_VARIABLES
from tocsin.cli.main import make_app, run
from tocsin.config import Settings
from tocsin.model import DeliveryState, OutcomeKind
from tocsin.profiles import details, facts, loader, messages, secret_forms, signatures
from tocsin.receiver.verify import PROFILES, Cause
from tocsin.triggers import forms, occurrences, scoring
from tocsin.triggers.rules import traffic

# What readers of these pages are told of is the product as it is seen from outside.
_OUTSIDE = [
    one for one in pages() if not one.name.startswith(("docs/decisions", "docs/tour", "docs/glossary", "bench"))
]
_EACH = pytest.mark.parametrize("page", _OUTSIDE, ids=lambda page: page.name)

_VARIABLES = {f"TOCSIN_{field.name.upper()}" for field in msgspec.structs.fields(Settings)} | _OTHER_VARIABLES
_PROFILES = {name: profiles.load(name) for name in profiles.names()}
_SPECS = (
    loader._ProfileSpec,
    loader._LimitsSpec,
    loader._DisableSpec,
    loader._EntrySpec,
    signatures.SignatureSpec,
    secret_forms.SecretSpec,
    messages.EventSpec,
    messages.LineSpec,
    messages.PlaceSpec,
)
_METHODS = re.compile(r"^(GET|POST|PUT|PATCH|DELETE) (/\S+)$")
_SNAKE = re.compile(r"^[a-z][a-z0-9]*(?:_[a-z0-9]+)+$")
_DOTTED = re.compile(r"^[a-z][a-z_]*\.(?:[a-z_]+|\*)$")
# What else has a dot; `webhook.` begins actions of the audit log.
_NO_EVENTS = (
    *("data.", "event.", "options.", "parameters.", "request.", "settings.", "signals.", "text.", "tocsin."),
    "webhook.",
)
_FILES = re.compile(r"\.(?:py|md|toml|txt|json|key|db|http|mjs|sql)$")


@_EACH
def test_variables_exist(page: Page) -> None:
    """Each TOCSIN_… is a setting, or one of the command line's."""
    assert set(re.findall(r"TOCSIN_[A-Z_]*[A-Z]", page.text)) <= _VARIABLES


@_EACH
def test_commands_exist(page: Page) -> None:
    """Each command in the prose is there, with its flags; those in blocks are run."""
    for code in page.codes:
        if code.startswith("tocsin "):
            words = code.split()[1:]
            names = [word for word in words if re.fullmatch(r"[a-z-]+", word) and not word.startswith("-")]
            said = _help(tuple(names[:2]))
            for flag in (word for word in words if word.startswith("--")):
                assert re.search(rf"{flag}\b", said), f"{page.name}: {code} has no {flag}"


@_EACH
def test_calls_exist(page: Page) -> None:
    """Each method with a path is one of the API's."""
    known = {(one.method, re.sub(r"{[^}]*}", "{}", one.path)) for one in OPERATIONS}
    for code in page.codes:
        for part in code.split(", "):
            if found := _METHODS.match(part):
                path = re.sub(r"{[^}]*}", "{}", found[2].partition("?")[0])
                assert (found[1], path) in known or path.endswith("…"), f"{page.name}: {part}"


def test_the_reference_of_the_api_is_whole() -> None:
    """Each operation stands in its table, with the scope that it asks for."""
    told = {}
    for line in page("docs/reference/api.md").section("Calls").splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        for call in re.findall(r"`([A-Z]+ /[^`]*)`", cells[1]) if len(cells) > 3 else ():
            told[call] = cells[3]
    assert told == {
        f"{one.method} {one.path}": "none" if one.access == "public" else str(one.access) for one in OPERATIONS
    }


@_EACH
def test_names_in_code_type_exist(page: Page) -> None:
    """What looks like a name of the wire, the log or the settings is one."""
    for code in page.codes:
        if _SNAKE.match(code):
            assert code in _vocabulary(), f"{page.name}: {code} is no name of the product"


@_EACH
def test_event_types_exist(page: Page) -> None:
    """Each event type, or family of them, is in the catalogue, or added on the page itself."""
    if page.name.startswith(("docs/reference/events", "docs/reference/activity", "docs/reference/messages")):
        return  # made from the catalogue and the shapes, and full of their keys
    own = set(re.findall(r"/v1/event-types/([a-z_.]+)", page.text))
    own |= {Path(file).name.removesuffix(".json") for file in _titles(page) if "/examples/" in file}
    folder, _, name = page.name.removesuffix(".md").rpartition("/")
    spoken = [_PROFILES[name]] if folder == "docs/dialects" else _PROFILES.values()
    known = own.union(facts.TEXTS, *(profile.catalogue for profile in spoken))
    families = {f"{name.partition('.')[0]}.*" for name in known}
    for code in page.codes:
        if _DOTTED.match(code) and not code.startswith(_NO_EVENTS) and not _FILES.search(code):
            assert code in known | families, f"{page.name}: {code} is no event type"


def _titles(page: Page) -> list[str]:
    return [block.words["title"] for block in page.blocks if "title" in block.words]


@_EACH
def test_codes_of_errors_exist(page: Page) -> None:
    """Whoever links to an error links to one that there is."""
    for link in page.links:
        if "errors.md#" in link:
            assert link.partition("#")[2] in CODES


def test_every_word_of_the_glossary_is_in_the_code() -> None:
    """Its third column leads to a module, a class, or a part of one."""
    rows = re.findall(r"\| `([^`]+)` \|$", page("docs/glossary.md").prose, re.MULTILINE)
    assert len(rows) > 20
    for name in rows:
        assert _in_the_code(name), f"nothing is called {name}"


@pytest.mark.parametrize("name", ["docs/tour.md", "docs/decisions/0001-shape.md"])
def test_files_that_are_named_are_there(name: str) -> None:
    """The tour leads past files, each where it says."""
    for code in page(name).codes:
        if re.fullmatch(r"[\w/]+\.py|[\w/]+/", code):
            assert any((folder / code).exists() for folder in (ROOT, ROOT / "src" / "tocsin")), f"{name}: {code}"


@cache
def _help(names: tuple[str, ...]) -> str:
    """What `--help` says of a command; a name that is none is taken for an argument."""
    app = make_app()
    known = []
    for name in names:
        try:
            app = app[name]
        except KeyError:
            break
        known.append(name)
    assert known or not names, f"there is no command {' '.join(names)}"
    said = io.StringIO()
    with redirect_stdout(said):
        assert run([*known, "--help"]) == 0
    return said.getvalue()


@cache
def _vocabulary() -> frozenset[str]:
    described = json.dumps(describe(OPERATIONS))
    words = set(re.findall(r"[a-z][a-z0-9_]*", described))
    words |= {f"{spec.name}{'_total' if spec.kind == 'counter' else ''}" for spec in telemetry.METRICS}
    words |= set(telemetry.LOG_EVENTS) | set(failpoints.NAMES) | set(CODES) | set(PROFILES)
    words |= {field for spec in telemetry.LOG_EVENTS.values() for field in spec.fields}
    words |= {str(one) for kind in (Cause, OutcomeKind, DeliveryState) for one in kind}
    words |= {field.name for field in msgspec.structs.fields(Settings)}
    words |= {name for spec in _SPECS for name in spec.__struct_fields__}
    words |= {"exists_one"}  # CEL's own
    words |= set(postbacks.NAMES) | {"aff_sub"}  # a network's own
    words |= {*occurrences.WORDS, *forms.FORMS, *details.DETAILS}
    words |= {*slack_answers.WORDS, *slack_answers.FAST}
    words |= {*telegram.PARAMETERS, *macros.OWN, *templates.OWN}
    words |= {"allowed_mentions", "retry_after", "thread_id"}  # Discord's own
    words |= {*scoring.RULES, *traffic.FRAUD_TYPES, traffic.UNTYPED}
    for profile in _PROFILES.values():
        words |= {*profile._envelope._own_keys, *profile.option_names, *profile.messages.kinds}
        for entry in profile.catalogue.values():
            words |= set(re.findall(r"[a-z][a-z0-9_]*", json.dumps(entry.event_type.schema)))
            words |= set(re.findall(r"[a-z][a-z0-9_]*", json.dumps(entry.event_type.example)))
    return frozenset(words)


def _in_the_code(name: str) -> bool:
    """`engine.lanes.Lane.next_due`, or `Lane.next_due` of any module."""
    parts = name.split(".")
    for size in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(["tocsin", *parts[:size]]))
        except ModuleNotFoundError:
            continue
        return _has(found, parts[size:])
    defined = re.compile(rf"^class {parts[0]}\b", re.MULTILINE)
    for path in (ROOT / "src" / "tocsin").rglob("*.py"):
        if defined.search(path.read_text(encoding="utf-8")):
            module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
            if _has(getattr(importlib.import_module(module), parts[0]), parts[1:]):
                return True
    return False


def _has(found: object, parts: list[str]) -> bool:
    for part in parts:
        fields = {*getattr(found, "__struct_fields__", ()), *getattr(found, "__annotations__", {})}
        if hasattr(found, part):
            found = getattr(found, part)
        elif part not in fields:
            return False
    return True
