"""Every figure and every table of facts is the program's own."""

import configparser
import json
import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.docs.generated import PAGES
from tests.docs.markdown import ROOT, page, table
from tests.docs.test_names import _help
from tocsin import app, config, profiles, serving
from tocsin.api import events, idempotency, operations, wire
from tocsin.cli.settings import SettingFlags
from tocsin.control import event_types, webhook_bodies, webhooks
from tocsin.engine import departures, ingest, policy
from tocsin.engine.dispatching import lanes, shares, turns
from tocsin.engine.filtering import filters
from tocsin.engine.filtering import text as filter_text
from tocsin.engine.filtering import tokens as filter_tokens
from tocsin.engine.sending import transfer
from tocsin.model import TRANSITIONS, OutcomeKind
from tocsin.profiles import patterns, schema_parts, schemas
from tocsin.receiver.verify import TOLERANCE_S, Cause
from tocsin.security import guard, headers
from tocsin.store.postgres import database

STANDARD = profiles.load("standard")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_made_from_the_program_are_new(path: Path) -> None:
    """Written again, they are the same; `python -m tests.docs.generated` writes them."""
    assert path.read_text(encoding="utf-8") == PAGES[path]()


# --- settings -----------------------------------------------------------------------------------------------------


def test_every_setting_stands_in_the_table_with_its_default() -> None:
    """Variable, default, and whether there is a flag."""
    flags = {field.name for field in fields(SettingFlags)}
    expected = {}
    for field in msgspec.structs.fields(config.Settings):
        default = field.default
        shown = "–" if default in (None, "") else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        if isinstance(default, float):
            shown = f"`{default:g}`"
        expected[f"`TOCSIN_{field.name.upper()}`"] = (shown, field.name in flags)
    rows = table(page("docs/how-to/run.md").section("Settings"))
    assert {name: (default, "*No flag*" not in meaning) for name, default, meaning in rows} == expected


def test_the_sample_of_a_settings_file_is_taken() -> None:
    """The file on the page sets what it says."""
    [block] = [one for one in page("docs/how-to/run.md").blocks if one.language == "toml"]
    found = config.load(tomllib.loads(block.text), {})
    assert (found.log_format, found.body_days) == ("json", 14)


def test_the_sample_of_the_environment_is_taken() -> None:
    """Every line of it is a setting of that value."""
    [block] = [one for one in page("docs/how-to/run.md").blocks if one.words.get("title") == "env"]
    given = dict(line.split("=", 1) for line in block.text.splitlines())
    found = config.load({}, given)
    assert {f"TOCSIN_{name.upper()}": getattr(found, name) for name in ("admin_key", "smtp_url", "public_url")} == given


def test_the_unit_starts_the_server_and_gives_it_time_to_stop() -> None:
    """Its command has flags that there are, and systemd waits longer than a stop can take."""
    [block] = [one for one in page("docs/how-to/run.md").blocks if one.language == "ini"]
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(block.text)
    service = unit["Service"]
    program, command, *flags = shlex.split(service["ExecStart"])
    assert program.endswith("/tocsin")
    for flag in flags:
        if flag.startswith("--"):
            assert flag in _help((command,))
    assert float(service["TimeoutStopSec"]) > config.Settings().drain_s + app._SETTLE_S
    assert int(service["LimitNOFILE"]) == serving._OPEN_FILES
    assert f"raises its own limit to {serving._OPEN_FILES:,}" in page("docs/how-to/run.md").prose


# --- limits -------------------------------------------------------------------------------------------------------


def _bound(annotated: Any) -> float:
    """The most that a value of this type may be, or hold."""
    [meta] = annotated.__metadata__
    return meta.le if meta.le is not None else meta.max_length


_LIMITS: Mapping[str, str] = {
    "time of one attempt, from resolving the name to the answer's end": f"{STANDARD.timeout_s:g} s",
    "body of a request to the API": f"{operations.MAX_BODY_BYTES >> 20} MiB",
    "body of a batch": f"{operations.MAX_BATCH_BYTES >> 20} MiB",
    "events in a batch": f"{events.MAX_BATCH:,}",
    "nesting of JSON": f"{filters._MAX_DEPTH} levels",
    "`external_id`": f"{ingest._EXTERNAL_ID.pattern.rpartition(',')[2].rstrip('}')} characters",
    "webhooks of an account": f"{webhooks.MAX_WEBHOOKS:,}",
    "names and families in a webhook's `events`": f"{_bound(webhook_bodies.Patterns)}",
    "address": f"{guard.MAX_URL:,} characters",
    "filter": f"{filter_tokens.MAX_CHARACTERS:,} characters",
    "custom headers of a webhook": f"{headers.MAX_HEADERS}",
    "all custom headers together": f"{headers._MAX_ALL:,} characters",
    "attempts under way for one webhook, unless it says otherwise": f"{lanes.DEFAULT_MAX_IN_FLIGHT}",
    "attempts under way for one webhook, at most": f"{_bound(webhook_bodies.InFlight)}",
    "attempts under way for all webhooks": f"{shares.MAX_IN_FLIGHT:,}",
    "`rate_limit`": f"{_bound(webhook_bodies.Rate):,} a second",
    "a mute": f"{_bound(webhook_bodies.Hours)} hours",
    "overlap of two secrets": f"{_bound(webhook_bodies.Overlap):,} s",
    "event types of an account's own": f"{event_types.MAX_EVENT_TYPES}",
    "schema of an event type": f"{schemas.MAX_BYTES:,} bytes",
    "example of an event type": f"{event_types._MAX_EXAMPLE_BYTES:,} bytes",
    "what is read and kept of an answer's body": f"{transfer.MAX_BODY_BYTES >> 10} KiB",
    "headers of an answer": f"{transfer.MAX_HEADER_BYTES >> 10} KiB",
    "`Idempotency-Key`": f"{idempotency._MAX_KEY} characters",
    "items of one page of a list": f"{_bound(wire.Limit)}",
}

_FILTER_LIMITS: Mapping[str, str] = {
    "characters": f"{filter_tokens.MAX_CHARACTERS:,}",
    "words and signs": f"{filter_tokens.MAX_TOKENS}",
    "brackets within brackets": f"{filter_text.MAX_DEPTH}",
    "goes through lists (`exists` and the like)": f"{filter_text.MAX_MACROS}, none within another",
    f"patterns (`matches`), written out, of at most {patterns.MAX_PATTERN:,} characters": f"{filter_text.MAX_PATTERNS}",
    "time on one event": f"{filters.BUDGET_NS / 1e6:g} ms, by the highest price of what it does",
}


@pytest.mark.parametrize(
    ("name", "limits"),
    [("docs/reference/profiles.md", _LIMITS), ("docs/how-to/filters.md", _FILTER_LIMITS)],
    ids=["profiles", "filters"],
)
def test_limits_are_the_programs(name: str, limits: Mapping[str, str]) -> None:
    """Each limit of the table is what the code holds to, and none is left out."""
    assert dict(table(page(name).section("Limits"))) == limits


def test_schemas_have_the_bounds_that_are_told() -> None:
    """How to write an event type names each of them."""
    told = page("docs/how-to/custom-event-types.md").section("What a schema may hold")
    assert (
        f"at most {schemas.MAX_BYTES:,} bytes, {schema_parts.MAX_SUBSCHEMAS:,} subschemas, "
        f"{schema_parts.MAX_DEPTH} levels, {schema_parts.MAX_PATTERNS} patterns" in told
    )


# --- retries ------------------------------------------------------------------------------------------------------


def _span(seconds: float) -> str:
    """``75 h 35 m 5 s``, without what is zero."""
    whole = int(seconds)
    parts = ((whole // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s"))
    return " ".join(f"{value} {unit}" for value, unit in parts if value) or "0 s"


def test_the_schedule_is_the_profiles() -> None:
    """Attempt, delay, and the sum of all delays up to it."""
    expected = [["1", "at once", "0 s"]]
    for n, delay_s in enumerate(STANDARD.schedule_s):
        expected.append([str(n + 2), _span(delay_s), _span(sum(STANDARD.schedule_s[: n + 1]))])
    assert table(page("docs/reference/profiles.md").section("Retries")) == expected


def test_the_rules_of_delivery_have_the_programs_figures() -> None:
    """What is said in prose of retries, lanes, disabling and fan-out."""
    told = " ".join(page("docs/reference/delivery.md").prose.split())
    disable = STANDARD.disable
    days = {1: "one", 4: "four", 5: "five"}
    first, second = (days[round(at / 86_400)] for at in disable.warn_at_s)
    for sentence in (
        f"Up to {policy._JITTER * 100:g} % of that is chance",
        f"to {policy.RETRY_AFTER_MAX_S / 3600:g} hours at most",
        f"spread over up to {turns._SPREAD_MAX_MS / 1000:g} seconds",
        f"after {days[round((disable.failing_for_s or 0) / 86_400)]} days** in which every attempt failed",
        f"Warnings come after {first} day and after {second}",
        f"At most {lanes.DEFAULT_MAX_IN_FLIGHT} attempts at once",
        f"starts with {lanes.START_IN_FLIGHT},",
        f"down to {lanes.MIN_IN_FLIGHT}.",
        f"at most half of the server's {shares.MAX_IN_FLIGHT:,} places",
    ):
        assert sentence in told, sentence
    assert disable.gone_disables
    assert shares.UNWELL_SHARE == 0.5
    promised = page("docs/explanation/promises.md").prose
    assert f"more than {departures.INLINE_DELIVERIES} webhooks" in promised


# --- states, outcomes, causes -------------------------------------------------------------------------------------


def _codes(cell: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", cell))


def test_states_may_become_what_the_table_says() -> None:
    """The table is the model's."""
    rows = table(page("docs/reference/delivery.md").section("States of a delivery"))
    told = {next(iter(_codes(state))): _codes(after) for state, _, after in rows}
    assert told == {str(state): {str(one) for one in after} for state, after in TRANSITIONS.items()}


@pytest.mark.parametrize(
    ("name", "heading", "known"),
    [
        ("docs/reference/delivery.md", "Outcomes", set(OutcomeKind)),
        ("docs/how-to/receive.md", "Read what your receiver says", set(Cause)),
    ],
    ids=["outcomes", "causes"],
)
def test_tables_list_all_there_are(name: str, heading: str, known: set[str]) -> None:
    """None is missing, none is invented."""
    rows = table(page(name).section(heading))
    assert {row[0].strip("`") for row in rows} == {str(one) for one in known}


def test_the_tolerance_is_five_minutes() -> None:
    """As the pages for receivers say."""
    assert TOLERANCE_S == 300


# --- the two commands of the README -------------------------------------------------------------------------------


def test_the_makefile_has_the_readmes_commands() -> None:
    """`make run` is run by the README's own test; `make test` is what runs this."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"[`$] ?make ([a-z]+)", page("README.md").text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"there is no target {target}"
    assert "$(BIN)/pytest" in makefile


# --- several processes ----------------------------------------------------------------------------------------------


def test_the_units_of_several_processes_start_them() -> None:
    """For each role; and systemd waits longer than a stop can take."""
    [block] = [one for one in page("docs/how-to/scale-out.md").blocks if one.language == "ini"]
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(re.sub(r"^EnvironmentFile=.*\n", "", block.text, flags=re.MULTILINE))  # it has two
    service = unit["Service"]
    for role in ("api", "worker", "all"):
        _starts(shlex.split(service["ExecStart"].replace("%i", role)))
    assert float(service["TimeoutStopSec"]) > config.Settings().drain_s + app._SETTLE_S
    assert int(service["LimitNOFILE"]) == serving._OPEN_FILES


def test_the_containers_of_several_processes_start_them() -> None:
    """Schema first, then both roles; with time to stop."""
    [block] = [one for one in page("docs/how-to/scale-out.md").blocks if one.language == "yaml"]
    first, *servers = [json.loads(words) for words in re.findall(r"command: (.*)", block.text)]
    assert first == ["tocsin", "migrate"]
    assert [_starts(words)["--role"] for words in servers] == ["api", "worker"]
    graces = [int(seconds) for seconds in re.findall(r"stop_grace_period: (\d+)s", block.text)]
    assert len(graces) == len(servers)
    assert min(graces) > config.Settings().drain_s + app._SETTLE_S


def _starts(words: list[str]) -> dict[str, str]:
    """The flags of a command that starts a server, which must be those that there are."""
    program, command, *flags = words
    assert (program.rpartition("/")[2], command) == ("tocsin", "serve")
    given = dict(zip(flags[::2], flags[1::2], strict=True))
    assert all(flag in _help(("serve",)) for flag in given)
    config.load({"role": given["--role"]}, {})
    return given


def test_a_process_makes_as_many_connections_as_is_said() -> None:
    """Those of its work, one for beats, one to listen on."""
    assert database._CONNECTIONS + 2 == 12
    assert "up to twelve connections: ten for its work" in page("docs/how-to/scale-out.md").prose
