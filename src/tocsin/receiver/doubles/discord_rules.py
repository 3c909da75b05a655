"""What Discord refuses in a message, as its ``Invalid Form Body`` says it (docs.discord.com: Message, Embed Limits).

Characters are counted as UTF-16 does, white space around them taken off: the strictest of the ways in which Discord may
count, so that what passes here passes there.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

CONTENT = 2_000
USERNAME = 80
EMBEDS = 10
TITLE = 256
DESCRIPTION = 4_096
FIELDS = 25
FIELD_NAME = 256
FIELD_VALUE = 1_024
FOOTER = 2_048
AUTHOR = 256
EMBED_TOTAL = 6_000  # titles, descriptions, fields, footers and authors of all embeds together
_URL = 2_048
_COLOURS = 0xFFFFFF
_MENTIONS = ("users", "roles", "everyone")

Errors = dict[str, Any]


def length(text: str) -> int:
    """In UTF-16 units, without white space around."""
    return len(text.strip().encode("utf-16-le", "surrogatepass")) // 2


def faults(payload: Any) -> Errors:
    """The `errors` of ``Invalid Form Body``; empty: there is nothing to object to."""
    if not isinstance(payload, dict):
        return _wrong("DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
    found: Errors = {}
    _text(payload, "content", CONTENT, found)
    _text(payload, "avatar_url", _URL, found)
    if payload.get("username") is not None:
        _username(payload["username"], found)
    _put(found, "embeds", _embeds(payload.get("embeds")))
    _put(found, "allowed_mentions", _allowed(payload.get("allowed_mentions")))
    return found


def is_empty(payload: Mapping[str, Any]) -> bool:
    """Whether there is nothing to see."""
    content = payload.get("content")
    if isinstance(content, str) and content.strip():
        return False
    if payload.get("poll") or payload.get("components"):
        return False
    return not any(_something(embed) for embed in payload.get("embeds") or ())


def _something(embed: Mapping[str, Any]) -> bool:
    texts = (
        embed.get("title"),
        embed.get("description"),
        *(_part(embed, "footer", "text"), _part(embed, "author", "name")),
    )
    pictures = (_part(embed, "image", "url"), _part(embed, "thumbnail", "url"))
    return any(isinstance(text, str) and text.strip() for text in texts + pictures) or bool(embed.get("fields"))


def _part(embed: Mapping[str, Any], name: str, inner: str) -> Any:
    part = embed.get(name)
    return part.get(inner) if isinstance(part, dict) else None


def _username(name: Any, found: Errors) -> None:
    if not isinstance(name, str) or not 1 <= length(name) <= USERNAME:
        found["username"] = _wrong("BASE_TYPE_BAD_LENGTH", f"Must be between 1 and {USERNAME} in length.")
        return
    for taken in ("discord", "clyde"):
        if taken in name.lower():
            found["username"] = _wrong("USERNAME_INVALID_CONTAINS", f'Username cannot contain "{taken}"')


# --- embeds -----------------------------------------------------------------------------------------------------------


def _embeds(embeds: Any) -> Errors:
    if embeds is None:
        return {}
    if not isinstance(embeds, list):
        return _wrong("LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
    if len(embeds) > EMBEDS:
        return _too_long(EMBEDS)
    found: Errors = {}
    for index, embed in enumerate(embeds):
        _put(found, str(index), _embed(embed))
    if not found and sum(map(_size, embeds)) > EMBED_TOTAL:
        return _wrong("MAX_EMBED_SIZE_EXCEEDED", f"Embed size exceeds maximum size of {EMBED_TOTAL}")
    return found


def _size(embed: Mapping[str, Any]) -> int:
    texts = [
        embed.get("title"),
        embed.get("description"),
        _part(embed, "footer", "text"),
        _part(embed, "author", "name"),
    ]
    for field in embed.get("fields") or ():
        texts += [field.get("name"), field.get("value")]
    return sum(length(text) for text in texts if isinstance(text, str))


def _embed(embed: Any) -> Errors:
    if not isinstance(embed, dict):
        return _wrong("MODEL_TYPE_CONVERT", "Only dictionaries may be used to initialize a model.")
    found: Errors = {}
    _text(embed, "title", TITLE, found)
    _text(embed, "description", DESCRIPTION, found)
    _url(embed, "url", found)
    _colour(embed.get("color"), found)
    _timestamp(embed.get("timestamp"), found)
    for name, inner, most in (("footer", "text", FOOTER), ("author", "name", AUTHOR)):
        part = embed.get(name)
        if isinstance(part, dict):
            within: Errors = {}
            _text(part, inner, most, within)
            _url(part, "url", within)
            _url(part, "icon_url", within)
            _put(found, name, within)
        elif part is not None:
            found[name] = _wrong("MODEL_TYPE_CONVERT", "Only dictionaries may be used to initialize a model.")
    for name in ("image", "thumbnail"):
        if isinstance(embed.get(name), dict):
            within = {}
            _url(embed[name], "url", within)
            _put(found, name, within)
    _put(found, "fields", _fields(embed.get("fields")))
    return found


def _fields(fields: Any) -> Errors:
    if fields is None:
        return {}
    if not isinstance(fields, list):
        return _wrong("LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
    if len(fields) > FIELDS:
        return _too_long(FIELDS)
    found: Errors = {}
    for index, field in enumerate(fields):
        within: Errors = {}
        if not isinstance(field, dict):
            within = _wrong("MODEL_TYPE_CONVERT", "Only dictionaries may be used to initialize a model.")
        else:
            for name, most in (("name", FIELD_NAME), ("value", FIELD_VALUE)):
                given = field.get(name)
                if given is None or (isinstance(given, str) and not given.strip()):
                    within[name] = _wrong("BASE_TYPE_REQUIRED", "This field is required")
                else:
                    _text(field, name, most, within)
            if not isinstance(field.get("inline", False), bool):
                within["inline"] = _wrong("BOOLEAN_TYPE_CONVERT", "Must be either true or false.")
        _put(found, str(index), within)
    return found


def _colour(colour: Any, found: Errors) -> None:
    if colour is None:
        return
    if not isinstance(colour, int) or isinstance(colour, bool):
        found["color"] = _wrong("NUMBER_TYPE_COERCE", f'Value "{colour}" is not int.')
    elif colour > _COLOURS:
        found["color"] = _wrong("NUMBER_TYPE_MAX", f"int value should be less than or equal to {_COLOURS}.")
    elif colour < 0:
        found["color"] = _wrong("NUMBER_TYPE_MIN", "int value should be greater than or equal to 0.")


def _timestamp(timestamp: Any, found: Errors) -> None:
    if timestamp is None:
        return
    try:
        datetime.fromisoformat(timestamp if isinstance(timestamp, str) else "")
    except ValueError:
        found["timestamp"] = _wrong("DATE_TIME_TYPE_PARSE", f"Could not parse {timestamp}. Should be ISO8601.")


def _url(value: Mapping[str, Any], name: str, found: Errors) -> None:
    url = value.get(name)
    if url is None or url == "":
        return
    if not isinstance(url, str) or not (scheme := re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", url)):
        found[name] = _wrong("URL_TYPE_INVALID_URL", "Not a well formed URL.")
    elif scheme[1].lower() not in ("http", "https", "attachment"):
        found[name] = _wrong(
            "URL_TYPE_INVALID_SCHEME",
            f"Scheme \"{scheme[1]}\" is not supported. Scheme must be one of ('http', 'https').",
        )
    elif not re.fullmatch(r"[^\s:]+://[^\s/?#]+\S*", url):
        found[name] = _wrong("URL_TYPE_INVALID_URL", "Not a well formed URL.")
    elif len(url) > _URL:
        found[name] = _too_long(_URL)


# --- mentions ---------------------------------------------------------------------------------------------------------


def _allowed(allowed: Any) -> Errors:
    if allowed is None:
        return {}
    if not isinstance(allowed, dict):
        return _wrong("MODEL_TYPE_CONVERT", "Only dictionaries may be used to initialize a model.")
    found: Errors = {}
    parse = allowed.get("parse") or []
    for index, kind in enumerate(parse):
        if kind not in _MENTIONS:
            _put(found, "parse", {str(index): _wrong("BASE_TYPE_CHOICES", f"Value must be one of {_MENTIONS}.")})
    for kind in ("users", "roles"):
        if kind in parse and allowed.get(kind):
            found["_errors"] = [
                {
                    "code": "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
                    "message": f'parse:["{kind}"] and {kind}: [ids...] are mutually exclusive.',
                }
            ]
    return found


def callable_by(payload: Mapping[str, Any]) -> frozenset[str]:
    """Which mentions in the content call anybody: all, where nothing is said of them."""
    allowed = payload.get("allowed_mentions")
    if allowed is None:
        return frozenset(_MENTIONS)
    ids = [str(id_) for kind in ("users", "roles") for id_ in allowed.get(kind) or ()]
    return frozenset([*(allowed.get("parse") or ()), *ids])


# --- parts ------------------------------------------------------------------------------------------------------------


def _text(value: Mapping[str, Any], name: str, most: int, found: Errors) -> None:
    text = value.get(name)
    if text is None:
        return
    if not isinstance(text, str):
        found[name] = _wrong("STRING_TYPE_CONVERT", f'Could not interpret "{text}" as string.')
    elif length(text) > most:
        found[name] = _too_long(most)


def _too_long(most: int) -> Errors:
    return _wrong("BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")


def _wrong(code: str, message: str) -> Errors:
    return {"_errors": [{"code": code, "message": message}]}


def _put(found: Errors, name: str, within: Errors) -> None:
    if within:
        found[name] = within
