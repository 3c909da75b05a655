"""How an attempt is shown: what went out, what came back, as it really was."""

from typing import Annotated, Any

import msgspec

from tocsin.api import wire
from tocsin.api.wire import AttemptIdText, Encoding, Instant
from tocsin.clock import rfc3339
from tocsin.model import Attempt, Outcome, OutcomeKind, Trigger

EXAMPLE: dict[str, Any] = {
    "id": "att_06f3k9w2zq8rt",
    "n": 1,
    "trigger": "schedule",
    "started_at": "2026-01-01T00:00:00.120Z",
    "duration_ms": 41.7,
    "outcome": "http_error",
    "status_code": 500,
    "error": "the receiver answered 500",
    "request": {
        "method": "POST",
        "url": "https://example.com/hooks",
        "headers": {"Content-Type": "application/json", "webhook-id": "evt_06f3k9w2zq8rt"},
        "body": '{"type":"click.created","timestamp":"2026-01-01T00:00:00Z","data":{}}',
        "body_encoding": "utf-8",
    },
    "response": {
        "headers": {"Content-Type": "text/plain"},
        "body": "oops",
        "body_encoding": "utf-8",
        "body_truncated": False,
    },
    "peer": "203.0.113.7:443",
    "resent": False,
}


class RequestShown(msgspec.Struct, frozen=True, kw_only=True):
    """As sent; secret values masked. `body` null: it is no longer kept."""

    method: str
    url: str
    headers: dict[str, str]
    body: str | None
    body_encoding: Encoding


class ResponseShown(msgspec.Struct, frozen=True, kw_only=True):
    """`body`: its first 16 KiB, as text, or in base64 where it is none."""

    headers: dict[str, str]
    body: str
    body_encoding: Encoding
    body_truncated: bool


class AttemptShown(msgspec.Struct, frozen=True, kw_only=True):
    """`response` null: no answer came. `resent`: the connection died unanswered and the request was sent once more."""

    id: AttemptIdText
    n: int
    trigger: Trigger
    started_at: Instant
    duration_ms: Annotated[float, msgspec.Meta(ge=0)]
    outcome: OutcomeKind
    status_code: int | None
    error: str | None
    request: RequestShown
    response: ResponseShown | None
    peer: str | None
    resent: bool


def shown(attempt: Attempt, body: bytes | None) -> AttemptShown:
    """`body`: of the request, where the attempt does not carry it itself."""
    outcome = attempt.outcome
    kept = attempt.request_body if attempt.request_body is not None else body
    content: str | None = None
    encoding: Encoding = "utf-8"
    if kept is not None:
        content, encoding = wire.body_text(kept)
    url = attempt.url_shown
    if attempt.method == "GET" and content is not None:  # of one without a body, the log keeps the address as called
        url, content = content, None
    return AttemptShown(
        id=wire.attempt_id(attempt.id),
        n=attempt.n,
        trigger=attempt.trigger,
        started_at=rfc3339(attempt.started_at),
        duration_ms=outcome.duration_us / 1000,
        outcome=outcome.kind,
        status_code=outcome.status_code,
        error=None if outcome.error is None else wire.text(outcome.error),
        request=RequestShown(
            method=attempt.method,
            url=url,
            headers=wire.header_map(attempt.request_headers),
            body=content,
            body_encoding=encoding,
        ),
        response=_response(outcome),
        peer=outcome.peer,
        resent=outcome.resent,
    )


def _response(outcome: Outcome) -> ResponseShown | None:
    if outcome.status_code is None:
        return None
    content, encoding = wire.body_text(outcome.body, truncated=outcome.body_truncated)
    return ResponseShown(
        headers=wire.header_map(outcome.headers),
        body=content,
        body_encoding=encoding,
        body_truncated=outcome.body_truncated,
    )
