"""The rules for headers that users add to their webhooks (CONTRACT §8)."""

import re
from collections.abc import Mapping

from tocsin.errors import Fault, Invalid

MAX_HEADERS = 20
_MAX_NAME = 256
_MAX_VALUE = 4_096  # of a signed token with claims; longer ones belong into the body
_MAX_ALL = 8_192  # names and values together: the half of what Node.js takes of a request (16 KiB), servers vary

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")  # RFC 9110 §5.5, ASCII only

# What the sender, the connection or the signature says; cookies and proxies are not for webhooks.
_REFUSED = frozenset(
    {"host", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect", "cookie"}
)
_REFUSED_PREFIXES = ("content-", "proxy-", "webhook-", "tocsin-")


def check_custom_headers(headers: Mapping[str, str], own_headers: frozenset[str]) -> None:
    """Raises `Invalid` with a pointer to each header at fault.

    Args:
        headers: as the user gave them.
        own_headers: the dialect's, in lower case.
    """
    faults = []
    if len(headers) > MAX_HEADERS:
        faults.append(Fault("/headers", f"at most {MAX_HEADERS} headers can be added, not {len(headers)}"))
    size = sum(len(name) + len(value) for name, value in headers.items())
    if size > _MAX_ALL:
        faults.append(Fault("/headers", f"all headers together are at most {_MAX_ALL} characters, not {size}"))
    seen: set[str] = set()
    for name, value in headers.items():
        fault = _fault(name, value, own_headers)
        if fault is None and name.lower() in seen:
            fault = "the same header is given twice, in other letters"
        seen.add(name.lower())
        if fault is not None:
            key = name[:_MAX_NAME].replace("~", "~0").replace("/", "~1")
            faults.append(Fault(f"/headers/{key}", fault))
    if faults:
        raise Invalid("these headers cannot be added", code="header_refused", faults=faults[: MAX_HEADERS + 1])


def _fault(name: str, value: str, own_headers: frozenset[str]) -> str | None:
    lower = name.lower()
    if len(name) > _MAX_NAME or not _TOKEN.fullmatch(name):
        return "a header's name is letters, digits and !#$%&'*+-.^_`|~ only"
    if lower in _REFUSED or lower.startswith(_REFUSED_PREFIXES) or lower in own_headers:
        return "this header is Tocsin's or the connection's own; choose another name"
    if len(value) > _MAX_VALUE:
        return f"a header's value is at most {_MAX_VALUE} characters"
    if not _VALUE.fullmatch(value):
        return "a header's value is printable ASCII, not empty, with no line breaks and no blanks around it"
    return None
