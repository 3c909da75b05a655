"""From an error to its answer: what is told is the same on every route; its form is the surface's, in `/v1` problem
details (RFC 9457).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from tocsin.api.codes import CODES, DOCS_PATH
from tocsin.errors import Fault, TocsinError, Unauthorised, Unavailable

RawHeaders = list[tuple[bytes, bytes]]

# Soon enough for a publisher that waits, late enough for a queue or a database to come back.
RETRY_AFTER_S = 1

# After these the rest of the body stays unread, and so the connection cannot be used again.
_UNREAD = frozenset({"body_too_large", "body_incomplete"})

# Details repeat what was sent, in part; nothing longer helps anybody.
_MAX_DETAIL = 2_000


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every answer from 400 on. `type` leads to the code's documentation on this server."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: Sequence[Fault] = ()


@dataclass(frozen=True, slots=True)
class ErrorForm:
    """How a surface writes what a `Problem` tells: `of` makes the body, a `shape`."""

    media_type: str
    shape: type[msgspec.Struct]
    of: Callable[[Problem], msgspec.Struct]


PROBLEM_DETAILS = ErrorForm("application/problem+json", Problem, lambda found: found)


class MethodNotAllowed(TocsinError):
    """The path is there, the method is not. `allow`: those that are."""

    status = 405
    default_code = "method_not_allowed"

    def __init__(self, allow: Sequence[str]) -> None:
        super().__init__(f"this address takes {', '.join(allow)}")
        self.allow = allow


def code_of(error: Exception) -> str:
    """Errors that are not of the tree are ours, and say nothing of the inside."""
    return error.code if isinstance(error, TocsinError) and error.code in CODES else "internal"


def problem(error: Exception, request_id: str) -> Problem:
    """What is told of any exception."""
    code = code_of(error)
    cause = CODES[code]
    detail = "an unexpected error; the server's log has it under the request_id"
    faults: Sequence[Fault] = ()
    if isinstance(error, TocsinError) and code != "internal":
        detail, faults = error.detail, error.faults
    return Problem(
        type=DOCS_PATH + code,
        title=cause.title,
        status=cause.status,
        detail=_shown(detail),
        code=code,
        request_id=request_id,
        errors=tuple(Fault(_shown(fault.pointer), _shown(fault.detail)) for fault in faults),
    )


def render(error: Exception, request_id: str, form: ErrorForm) -> tuple[int, RawHeaders, bytes]:
    """Status, headers and body. Only the body and its type are the form's."""
    found = problem(error, request_id)
    body = msgspec.json.encode(form.of(found))
    headers: RawHeaders = [
        (b"content-type", form.media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"request-id", request_id.encode()),
        (b"cache-control", b"no-store"),
    ]
    if isinstance(error, Unauthorised):
        challenge = b'Bearer realm="tocsin"'
        headers.append(
            (b"www-authenticate", challenge + (b', error="invalid_token"' if error.code == "unknown_key" else b""))
        )
    if isinstance(error, Unavailable):
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allow).encode()))
    if found.code in _UNREAD:
        headers.append((b"connection", b"close"))
    return found.status, headers, body


def _shown(text: str) -> str:
    """Bounded, and encodable whatever it repeats."""
    text = text if len(text) <= _MAX_DETAIL else f"{text[:_MAX_DETAIL]}…"
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
