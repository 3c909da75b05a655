"""Macros of a postback's address: ``{payout}``, ``{data.visitor.country}``; which there are, and what they become.

Known are the details that the dialect's messages have (`profiles.details`), what `OWN` lists, and dotted paths into the
event's data. Names are checked when an address is saved, so that a slip is a refusal then and no silent loss later.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import msgspec
import orjson

from tocsin.errors import Fault, Invalid, url_refused
from tocsin.model import EventType
from tocsin.nearest import nearest

# Beside the details, for every event.
OWN: Mapping[str, str] = {
    "event": "the event's type, such as conversion.created",
    "event_id": "the event's id: the same whenever the postback is repeated",
    "timestamp": "when it happened, in seconds since 1970",
    "time": "when it happened, as 2026-03-14T09:26:53Z",
    "account": "the account's external id, else its own",
    "webhook": "the webhook's id",
}
MAX_VALUE = 512  # characters: ids and names are shorter, and no server takes an address of any length

# What trackers call the same things: suggested, not taken, so that there is one name for each.
_ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(("txid", "tid", "tx_id", "order_id", "transaction"), "transaction_id"),
    **dict.fromkeys(("cid", "subid", "sub_id"), "click_id"),
    **dict.fromkeys(("sum", "commission"), "payout"),
    **dict.fromkeys(("goal", "event_name", "event_type", "type"), "event"),
    **dict.fromkeys(("country_code", "geo"), "country"),
    **dict.fromkeys(("useragent", "ua"), "user_agent"),
    **dict.fromkeys(("unixtime", "unix_time", "ts"), "timestamp"),
    **dict.fromkeys(("datetime", "date_time"), "time"),
    **dict.fromkeys(("aff_sub", "affsub"), "sub1"),
    **{f"aff_sub{n}": f"sub{n}" for n in range(1, 10)},
    **dict.fromkeys(("account_id", "brand_id", "property_id"), "account"),
    "webhook_id": "webhook",
}

_MACRO = re.compile(r"\{([A-Za-z0-9_.-]{1,130})\}")
_DOUBLED = re.compile(r"\{\{[A-Za-z0-9_.-]+\}\}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]+")
_DATA = "data."
_MAX_STEPS = 8
_MAX_SUBSCHEMAS = 1_000
_SAME_VALUE = ("allOf", "anyOf", "oneOf")


class Text(msgspec.Struct, frozen=True):
    """Text with macros in it: `literals` stand around the `names`, one more of them than of those."""

    literals: tuple[str, ...]
    names: tuple[str, ...]

    def filled(self, values: Mapping[str, str]) -> str:
        """Each macro with its value, percent-encoded (RFC 3986, a blank as ``%20``); nothing where it has none."""
        parts = [self.literals[0]]
        for name, literal in zip(self.names, self.literals[1:], strict=True):
            parts += quote(values.get(name, ""), safe="", errors="replace"), literal
        return "".join(parts)


def has_macros(text: str) -> bool:
    return _MACRO.search(text) is not None


def read(text: str) -> Text:
    """Finds the macros.

    Raises:
        Invalid: `url_refused`: a brace that belongs to none.
    """
    parts = _MACRO.split(text)
    for at, literal in enumerate(parts[::2]):
        if "{" in literal or "}" in literal:
            hint = (
                "write a macro with one brace on each side"
                if _DOUBLED.search(text)
                else "write %7B and %7D for braces themselves"
            )
            raise url_refused(f"a brace is no macro's; macros are such as {{payout}}: {hint}")
        if literal.endswith("$") and at < len(parts) // 2:
            raise url_refused("a macro is {payout}, not ${payout}; write %24 for a dollar sign before one")
    return Text(tuple(parts[::2]), tuple(parts[1::2]))


# --- names --------------------------------------------------------------------------------------------------------


def check(names: Iterable[str], details: Iterable[str], types: Iterable[EventType]) -> None:
    """Takes macros by name.

    Args:
        details: those of the dialect, by name.
        types: those that the webhook is subscribed to.

    Raises:
        Invalid: `unknown_macro`, at ``/url``, with what was probably meant.
    """
    known = {*OWN, *details}
    types = tuple(types)
    faults = []
    for name in dict.fromkeys(names):
        if name in known:
            continue
        if name.startswith(_DATA) or name == "data":
            why = _unlisted(name, types)
        else:
            near = [_ELSEWHERE[name.lower()]] if name.lower() in _ELSEWHERE else nearest(name, known)
            near = near or nearest(name.lower(), known)
            why = _sentence(name, near, "the reference lists them, and {data.…} leads into the event's data")
        if why is not None:
            faults.append(Fault("/url", why))
    if faults:
        raise Invalid("the address has a macro that is not known", code="unknown_macro", faults=faults)


def _unlisted(name: str, types: tuple[EventType, ...]) -> str | None:
    """Why a path leads to nothing in any of the types; None: it may."""
    steps = tuple(name.split("."))[1:]
    if not steps or not all(steps) or len(steps) > _MAX_STEPS:
        return f"{{{name}}}: a path into the data is keys joined by full stops, such as {{data.visitor.country}}"
    near: set[str] = set()
    for event_type in types:
        if find(event_type.example, steps) is not None:
            return None
        missing = _missing(event_type.schema, event_type.schema, steps)
        if missing is None:
            return None
        at, listed = missing
        near |= {".".join(("data", *steps[:at], found)) for found in nearest(steps[at], listed)}
    return _sentence(name, sorted(near)[:3], "no event type of this webhook has it") if types else None


def _sentence(name: str, near: Iterable[str], otherwise: str) -> str:
    meant = " or ".join(f"{{{one}}}" for one in near)
    return f"no macro is called {{{name}}}: " + (f"did you mean {meant}?" if meant else otherwise)


def _missing(schema: Any, root: Mapping[str, Any], steps: tuple[str, ...]) -> tuple[int, set[str]] | None:
    """The first step that the schema does not list, and what it lists there; None where it lists all of them, or does
    not say.
    """
    here = [schema]
    for at, step in enumerate(steps):
        listed: dict[str, list[Any]] = {}
        for part in _parts(here, root):
            if "patternProperties" in part or isinstance(part.get("additionalProperties"), dict):
                return None
            if "items" in part or "prefixItems" in part:  # a list: its items' members, or one by its number
                return None
            properties = part.get("properties")
            for name, sub in properties.items() if isinstance(properties, dict) else ():
                listed.setdefault(name, []).append(sub)
        if not listed:
            return None
        if step not in listed:
            return at, set(listed)
        here = listed[step]
    return None


def _parts(schemas: Iterable[Any], root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All that is said of the same value."""
    waiting = list(schemas)
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_SUBSCHEMAS:
        part = waiting.pop()
        if not isinstance(part, dict) or id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        waiting += [part.get("then"), part.get("else")]
        for keyword in _SAME_VALUE:
            several = part.get(keyword)
            waiting += several if isinstance(several, list) else []
        reference = part.get("$ref")
        if isinstance(reference, str) and reference.startswith("#"):
            waiting.append(find(root, tuple(step for step in reference[1:].split("/") if step)))


# --- values -------------------------------------------------------------------------------------------------------


def values(names: Iterable[str], details: Mapping[str, Any], data: Any) -> dict[str, str]:
    """Each macro's value as text, without those that have none."""
    found = ((name, _value(name, details, data)) for name in set(names))
    return {name: text for name, value in found if (text := written(value))}


def written(value: Any) -> str:
    """A detail or a value of the data as it stands in an address: no control characters, at most `MAX_VALUE` long.

    Numbers have a full stop, and amounts at least two decimals; lists are parted by commas; an object has no form.
    """
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, Decimal):
        text = f"{value:.2f}" if value.as_tuple().exponent in {0, -1} else format(value, "f")
    elif isinstance(value, int) and abs(value) >= 2**63:  # beyond what JSON is written with here
        text = str(value) if value.bit_length() < 1_000 else ""
    elif isinstance(value, int | float):
        text = orjson.dumps(value).decode()
    elif isinstance(value, list | tuple):
        # Of a ranking, which is pairs of name and count, the names.
        items = [item[0] if isinstance(item, tuple) and item else item for item in value[:MAX_VALUE]]
        text = ",".join(written(item) for item in items if not isinstance(item, list | tuple | dict))
    else:
        return ""
    return _CONTROL.sub(" ", text[: MAX_VALUE * 2]).strip()[:MAX_VALUE]


def find(value: Any, steps: tuple[str, ...]) -> Any:
    """What the keys, or numbers of a list's items, lead to; None where that is nothing."""
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list | tuple) and step.isascii() and step.isdigit() and len(step) < 6:
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    return value


def _value(name: str, details: Mapping[str, Any], data: Any) -> Any:
    return find(data, tuple(name.split("."))[1:]) if name.startswith(_DATA) else details.get(name)
