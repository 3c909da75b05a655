"""Postbacks: an event calls an address of a tracker's or a network's, with macros in it.

    https://tracker.example/postback?cid={click_id}&payout={payout}&status={status}

GET, or POST with the address's query as a form. Which events do is the webhook's `events` and `filter`. The answer
counts as any receiver's does: a 2xx is success, everything else is tried again.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from tocsin import USER_AGENT
from tocsin.channels import macros
from tocsin.channels.addresses import TIMEOUT_S
from tocsin.channels.macros import Text
from tocsin.channels.occasion import Occasion
from tocsin.channels.options import PostbackOptions
from tocsin.clock import rfc3339_seconds
from tocsin.errors import Invalid, url_refused
from tocsin.model import MASK, EventType, Request

NAME = "postback"
MAX_URL = 2_048  # of the address as it is saved: as of all webhooks
MAX_SENT = 8_192  # of the address or form as it is sent: what common servers take of a request's first line

_FORM = ("Content-Type", "application/x-www-form-urlencoded")
_SAMPLE = "x"
_AUTHORITY = re.compile(r"[^/?#]*://[^/?#]*")
# Parameters whose value, where it is none of the event's, is a credential. By the words of their names.
_SECRET_WORDS = frozenset(
    {"key", "token", "secret", "password", "passwd", "pwd", "auth", "authorization", "signature"}
    | {"sig", "pass", "hash", "pw", "credential", "credentials"}
)
_SECRET_ENDS = ("key", "token", "secret", "password", "signature")
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


class PostbackAddress(msgspec.Struct, frozen=True, kw_only=True):
    """A postback's address, taken apart.

    `shown` is `url` with its credentials masked; `dial` what the outbound guard has to judge: the address with a sample
    for each macro.
    """

    url: str
    shown: str
    dial: str
    path: Text  # all before the query
    query: Text | None

    @property
    def names(self) -> tuple[str, ...]:
        """The macros in it."""
        return self.path.names + (self.query.names if self.query else ())


def parse_postback(url: str) -> PostbackAddress:
    """Takes an address as its owner gives it.

    Raises:
        Invalid: `url_refused`, pointer ``/url``: a macro that stands where the host does, a brace that is no macro's.
    """
    if len(url) > MAX_URL:
        raise url_refused(f"an address has at most {MAX_URL} characters, not {len(url)}")
    begins = _AUTHORITY.match(url)
    if begins is None:
        raise url_refused("an address begins with https:// and a host; write https://host/path?click_id={click_id}")
    if "{" in begins[0] or "}" in begins[0]:
        raise url_refused("macros stand in the path or the query: where it leads is the same for every event")
    before, has_query, after = url.partition("?")
    path, query = macros.read(before), macros.read(after) if has_query else None
    sample = dict.fromkeys((*path.names, *(query.names if query else ())), _SAMPLE)
    return PostbackAddress(
        url=url,
        shown=shown(url),
        dial=path.filled(sample) + (f"?{query.filled(sample)}" if query else ""),
        path=path,
        query=query,
    )


def check_macros(address: PostbackAddress, details: Iterable[str], types: Iterable[EventType]) -> None:
    """Raises `Invalid` (`unknown_macro`, pointer ``/url``) with what was probably meant; see `macros.check`."""
    macros.check(address.names, details, types)


def details_of(occasion: Occasion, *, account: str, webhook: str) -> dict[str, Any]:
    """What an event's macros stand for, by name; under ``data`` its data.

    Args:
        occasion: its data with addresses masked only where the account says so: a postback is for a program.
        account: the external id, else the id.
    """
    found = occasion.profile.messages.details(occasion.type, occasion.data)
    return {
        **found,
        "event": occasion.type,
        "event_id": occasion.event_id,
        "timestamp": occasion.timestamp // 1000,
        "time": rfc3339_seconds(occasion.timestamp),
        "account": account,
        "webhook": webhook,
        "data": occasion.data,
    }


def render_postback(address: PostbackAddress, details: Mapping[str, Any], options: PostbackOptions) -> Request:
    """The request of an event.

    Args:
        details: as `details_of` gives them.

    Raises:
        Invalid: this event's values make an address that cannot be called, however often it is tried.
    """
    given = {**details, "status": _status(details, options)}
    values = macros.values(address.names, given, details.get("data"))
    path = address.path.filled(values)
    if address.path.names:
        _check_path(address.path, path)
    query = address.query.filled(values) if address.query else ""
    if len(path) + len(query) >= MAX_SENT:
        raise Invalid(f"with this event's values, the address has more than {MAX_SENT} characters")
    headers = (("User-Agent", USER_AGENT), ("Webhook-Id", str(details.get("event_id", ""))))
    if options.method == "POST":
        return Request(method="POST", url=path, headers=(_FORM, *headers), body=query.encode(), timeout_s=TIMEOUT_S)
    url = f"{path}?{query}" if address.query else path
    return Request(method="GET", url=url, headers=headers, body=b"", timeout_s=TIMEOUT_S)


def _status(details: Mapping[str, Any], options: PostbackOptions) -> Any:
    """By the event's own word for it; where it has none, or one that is not mapped, by the event's type."""
    own = details.get("status")
    if isinstance(own, str) and own in options.statuses:
        return options.statuses[own]
    return options.statuses.get(str(details.get("event")), own)


def _check_path(template: Text, path: str) -> None:
    """A value must not lead out of its place: two dots in a path lead up, however they are encoded."""
    marks = template.filled(dict.fromkeys(template.names, "\x00"))  # %00, which no value becomes
    for mark, segment in zip(marks.split("/"), path.split("/"), strict=True):
        if "%00" in mark and unquote(segment) in {".", ".."}:
            raise Invalid("with this event's values, the address leads to another place")


# --- what may be shown --------------------------------------------------------------------------------------------


def shown(url: str) -> str:
    """The address without credentials, as it is saved or as it was sent."""
    before, has_query, after = url.partition("?")
    return f"{before}?{shown_form(after)}" if has_query else before


def shown_form(form: str) -> str:
    """A query, or a form's body, without credentials: a value under a name such as ``api_key``. Macros stay."""
    return "&".join(_shown_pair(pair) for pair in form.split("&"))


def _shown_pair(pair: str) -> str:
    name, given, value = pair.partition("=")
    if not value or not _is_secret(unquote(name)) or not _literal(value):
        return pair
    return f"{name}{given}{MASK}"


def _literal(value: str) -> bool:
    try:
        return any(macros.read(value).literals)
    except Invalid:
        return True


def _is_secret(name: str) -> bool:
    words = {word.lower() for word in _WORDS.findall(name)}
    return bool(words & _SECRET_WORDS) or name.lower().endswith(_SECRET_ENDS)
