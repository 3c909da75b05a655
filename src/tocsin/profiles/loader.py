"""Reads the dialects and checks them: ours in ``data/``, and those of a folder that `also_from` names. A dialect is a
folder of its name, with these files.

    profile.toml                   everything but the catalogue
    catalogue.toml                 one table an event type: source, extension, visitor
    events/<type>.schema.json      JSON Schema 2020-12 of `data`, titled with the type's name, describing what it is for
    events/shared.schema.json      `$defs` that several of them use; put into each that refers to them, so that every
                                   schema is whole by itself
    examples/<type>.json           an instance of `data`
    triggers.toml                  what fires which event type, and with what data; checked by `tocsin.triggers.firing`.
                                   A dialect without it fires nothing by itself
    messages.toml                  what chats and mails say of each event type, see `messages`. Without it they say what
                                   the data hold

docs/how-to/add-a-dialect.md makes one.
All of it is checked when it is read: a dialect that contradicts itself stops the start with the file and the key.
"""

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import msgspec

from tocsin.errors import Misconfigured, TocsinError
from tocsin.model import EventType
from tocsin.profiles.envelopes import Envelope, Member
from tocsin.profiles.jsjson import stabilise
from tocsin.profiles.messages import Messages, MessagesSpec
from tocsin.profiles.messages import build as build_messages
from tocsin.profiles.profile import CatalogueEntry, DisablePolicy, Limits, Profile, TriggerTables
from tocsin.profiles.schemas import compile_schema
from tocsin.profiles.secret_forms import SecretSpec
from tocsin.profiles.signatures import HeaderSpec, SignatureSpec, Signer

DATA = Path(__file__).parent / "data"

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")  # part of addresses, file names and names in the API's description
_EVENT_TYPE = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")  # Standard Webhooks 1.0.0, "Event types"
_LOCAL_REF = "#/$defs/"
_DURATION = re.compile(r"([1-9][0-9]*)([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

T = TypeVar("T")


class _EnvelopeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    members: tuple[Member, ...]


class _LimitsSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    webhooks: int | None = None
    https_only: bool = False


class _DisableSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    on_exhausted: bool = False
    failing_for: str | None = None
    warn_at: tuple[str, ...] = ()
    gone_disables: bool = False


class _ProfileSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    title: str
    document: str
    time_limit: str
    retries_after: tuple[str, ...]
    envelope: _EnvelopeSpec
    signature: SignatureSpec
    secret: SecretSpec
    headers: tuple[HeaderSpec, ...] = ()
    limits: _LimitsSpec = msgspec.field(default_factory=_LimitsSpec)
    disable: _DisableSpec = msgspec.field(default_factory=_DisableSpec)
    custom_event_types: bool = False
    mask_ips: bool = False
    key_prefix: Literal["tsn_", "tk_"] = "tsn_"


class _EntrySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    extension: bool = False
    visitor: tuple[str, ...] | None = None


# Those of `also_from`. Which dialects there are is a fact of the process, like the code; so this is the one place that
# knows it, and it changes only before anything has asked.
_theirs: dict[str, Profile] = {}


def also_from(folder: Path | None) -> None:
    """Those dialects too, instead of any that were given before; None: only ours.

    All are read and checked at once. It is for composition roots, before they load anything: what holds a profile of
    before goes on holding it.

    Raises:
        Misconfigured: the folder is not there or holds none, or a dialect is broken or has the name of one of ours.
    """
    found = {} if folder is None else _read_theirs(folder)
    _theirs.clear()
    _theirs.update(found)


def names() -> tuple[str, ...]:
    """The dialects there are, `standard` first: it is the default."""
    return (*_our_names(), *sorted(_theirs))


def load(name: str) -> Profile:
    """The dialect of that name: always the same object.

    Raises:
        Misconfigured: there is none, or its data contradict themselves.
    """
    their = _theirs.get(name)
    if their is not None:
        return their
    if name not in _our_names():
        raise Misconfigured(f"no profile is called {name!r}; there are {', '.join(names())}")
    return _load_ours(name)


@cache
def _our_names() -> tuple[str, ...]:
    found = sorted(path.parent.name for path in DATA.glob("*/profile.toml"))
    return tuple(sorted(found, key=lambda name: (name != "standard", name)))


@cache
def _load_ours(name: str) -> Profile:
    return read_profile(DATA / name)


def _read_theirs(folder: Path) -> dict[str, Profile]:
    where = f"TOCSIN_PROFILES, {folder}"
    if not folder.is_dir():
        raise Misconfigured(f"{where}: there is no such folder")
    if (folder / "profile.toml").exists():
        raise Misconfigured(f"{where}: this is a dialect itself; name the folder that holds it")
    found = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not found:
        raise Misconfigured(f"{where}: it holds no dialect; each is a folder of its name, with a profile.toml")
    for path in found:
        if path.name in _our_names():
            raise Misconfigured(
                f"{path / 'profile.toml'}: name: {path.name!r} is one of Tocsin's own; give the folder another, and "
                "say it there"
            )
    return {path.name: read_profile(path) for path in found}


def read_profile(folder: Path) -> Profile:
    """Reads the dialect in a folder of any place.

    Raises:
        Misconfigured: says which file, which key and why.
    """
    file = folder / "profile.toml"
    spec = _read_toml(file, _ProfileSpec)
    if spec.name != folder.name:
        raise Misconfigured(f"{file}: name: it is {spec.name!r}, but its folder is {folder.name!r}")
    if not _NAME.fullmatch(spec.name):
        raise Misconfigured(f"{file}: name: a-z, 0-9, _ and -, beginning with a letter, 32 at most")
    triggers = folder / "triggers.toml"
    envelope = _built(file, "envelope", lambda: Envelope(spec.envelope.members))
    signer = _built(file, "", lambda: Signer(spec.signature, spec.headers))
    if spec.signature.scheme == "standard-webhooks" and spec.secret.form != "standard-webhooks":
        raise Misconfigured(f"{file}: secret.form: the scheme standard-webhooks makes its key of such a secret only")
    if spec.limits.webhooks is not None and spec.limits.webhooks < 1:
        raise Misconfigured(f"{file}: limits.webhooks: it must be 1 or more; leave it out for any number")
    if envelope.merges and spec.custom_event_types:
        raise Misconfigured(
            f"{file}: custom_event_types: their data may be no object, which this envelope cannot merge"
        )
    catalogue = _read_catalogue(folder)
    return Profile(
        name=spec.name,
        title=spec.title,
        document=spec.document,
        catalogue=catalogue,
        schedule_s=_seconds(file, "retries_after", spec.retries_after),
        timeout_s=_seconds(file, "time_limit", (spec.time_limit,))[0],
        limits=Limits(webhooks=spec.limits.webhooks, https_only=spec.limits.https_only),
        disable=_disable_policy(file, spec.disable),
        custom_event_types=spec.custom_event_types,
        key_prefix=spec.key_prefix,
        own_headers=signer.own_headers,
        signs_with_both=signer.signs_with_both,
        shows_secret=signer.shows_secret,
        mask_ips=spec.mask_ips,
        triggers=TriggerTables(
            file=str(triggers), tables=_read_toml(triggers, dict[str, Any]) if triggers.exists() else {}
        ),
        messages=_read_messages(folder, catalogue),
        _envelope=envelope,
        _signer=signer,
        _secret=spec.secret,
    )


def _disable_policy(file: Path, spec: _DisableSpec) -> DisablePolicy:
    failing_for_s = None if spec.failing_for is None else _seconds(file, "disable.failing_for", (spec.failing_for,))[0]
    warn_at_s = _seconds(file, "disable.warn_at", spec.warn_at)
    if list(warn_at_s) != sorted(set(warn_at_s)) or any(at >= (failing_for_s or 0) for at in warn_at_s):
        raise Misconfigured(f"{file}: disable.warn_at: warnings come in order, and before failing_for")
    return DisablePolicy(
        on_exhausted=spec.on_exhausted,
        failing_for_s=failing_for_s,
        warn_at_s=warn_at_s,
        gone_disables=spec.gone_disables,
    )


# --- the catalogue ------------------------------------------------------------------------------------------------


def _read_catalogue(folder: Path) -> Mapping[str, CatalogueEntry]:
    file = folder / "catalogue.toml"
    specs = _read_toml(file, dict[str, _EntrySpec])
    suffix = ".schema.json"
    _same_names(file, specs, folder / "events", suffix, besides="shared")
    _same_names(file, specs, folder / "examples", ".json")
    shared_file = folder / "events" / f"shared{suffix}"
    shared = _read_json(shared_file).get("$defs", {}) if shared_file.exists() else {}
    return MappingProxyType(
        {
            name: _entry(
                file, name, spec, folder / "events" / f"{name}{suffix}", shared, folder / "examples" / f"{name}.json"
            )
            for name, spec in specs.items()
        }
    )


def _same_names(file: Path, specs: Mapping[str, object], folder: Path, suffix: str, besides: str | None = None) -> None:
    found = {path.name.removesuffix(suffix) for path in folder.glob(f"*{suffix}")} - {besides}
    if missing := sorted(specs.keys() - found):
        raise Misconfigured(f"{file}: {missing[0]}: {folder.name}/{missing[0]}{suffix} is missing")
    if extra := sorted(found - specs.keys()):
        raise Misconfigured(f"{folder / (str(extra[0]) + suffix)}: the catalogue has no such event type")


def _entry(
    file: Path, name: str, spec: _EntrySpec, schema_file: Path, shared: Mapping[str, Any], example_file: Path
) -> CatalogueEntry:
    if not _EVENT_TYPE.fullmatch(name):
        raise Misconfigured(f"{file}: {name}: an event type is A-Z a-z 0-9 _ in parts joined by full stops")
    schema = _whole(schema_file, _read_json(schema_file), shared)
    for key, expected in (("$schema", _DIALECT), ("title", name), ("type", "object")):
        if schema.get(key) != expected:
            raise Misconfigured(f"{schema_file}: {key}: must be {expected!r}")
    description = schema.get("description")
    if not description or not isinstance(description, str):
        raise Misconfigured(f"{schema_file}: description: says what the event type is for")
    example = _read_json(example_file)
    try:
        validator = compile_schema(schema)
    except TocsinError as error:
        raise Misconfigured(f"{schema_file}: {_told(error)}") from None
    if faults := validator.faults(example, ""):
        raise Misconfigured(f"{example_file}: {faults[0].pointer or 'the whole'}: {faults[0].detail}")
    if spec.visitor is not None and not isinstance(_at(example, spec.visitor), str):
        raise Misconfigured(f"{file}: {name}.visitor: leads to no id in {example_file.name}")
    return CatalogueEntry(
        event_type=EventType(
            name=name,
            description=description,
            schema=schema,
            example=example,
            source=spec.source,
            extension=spec.extension,
        ),
        validator=validator,
        visitor_pointer=spec.visitor,
    )


def _at(value: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _whole(file: Path, schema: dict[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with those shared `$defs` that it refers to, and those that they refer to."""
    own = schema.get("$defs", {})
    needed: dict[str, Any] = {}
    waiting = list(_refs(schema))
    while waiting:
        ref = waiting.pop()
        name = ref.removeprefix(_LOCAL_REF)
        if name == ref or (name not in own and name not in shared):
            raise Misconfigured(f"{file}: $ref: {ref!r} is neither in its own $defs nor in the shared ones")
        if name not in own and name not in needed:
            needed[name] = shared[name]
            waiting += _refs(shared[name])
    return {**schema, "$defs": {**own, **dict(sorted(needed.items()))}} if needed else schema


def _refs(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        found = [ref for item in schema.values() for ref in _refs(item)]
        return [*found, schema["$ref"]] if isinstance(schema.get("$ref"), str) else found
    return [ref for item in schema for ref in _refs(item)] if isinstance(schema, list) else []


def _read_messages(folder: Path, catalogue: Mapping[str, CatalogueEntry]) -> Messages:
    file = folder / "messages.toml"
    spec = _read_toml(file, MessagesSpec) if file.exists() else MessagesSpec()
    return _built(file, "", lambda: build_messages(spec, catalogue, _usual_places()))


@cache
def _usual_places() -> MessagesSpec:
    """Where a dialect that does not say keeps its details: where `standard` does."""
    return _read_toml(DATA / "standard" / "messages.toml", MessagesSpec)


# --- files --------------------------------------------------------------------------------------------------------


def _read_toml(file: Path, shape: type[T]) -> T:
    try:
        return msgspec.convert(tomllib.loads(_read(file).decode()), shape)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{file}: {error}") from None
    except msgspec.ValidationError as error:  # says where, as in $.signature.scheme
        raise Misconfigured(f"{file}: {error}") from None


def _read_json(file: Path) -> dict[str, Any]:
    try:
        value, _ = stabilise(_read(file), "")
    except TocsinError as error:
        raise Misconfigured(f"{file}: {_told(error)}") from None
    if not isinstance(value, dict):
        raise Misconfigured(f"{file}: it must hold an object, not {json.dumps(value)[:40]}")
    return value


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Misconfigured(f"{file}: cannot be read: {error.strerror}") from None


def _told(error: TocsinError) -> str:
    return f"{error.faults[0].pointer or 'the whole'}: {error.faults[0].detail}" if error.faults else error.detail


def _built(file: Path, key: str, build: Callable[[], T]) -> T:
    try:
        return build()
    except ValueError as error:
        raise Misconfigured(f"{file}: {key + '.' if key else ''}{error}") from None


def _seconds(file: Path, key: str, texts: Sequence[str]) -> tuple[float, ...]:
    matches = [_DURATION.fullmatch(text) for text in texts]
    if None in matches:
        wrong = texts[matches.index(None)]
        raise Misconfigured(f"{file}: {key}: {wrong!r} is no duration such as 5s, 30m, 2h or 5d")
    return tuple(float(int(match[1]) * _UNITS[match[2]]) for match in matches if match)
