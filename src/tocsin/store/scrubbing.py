"""What is left of a row once what it says of a visitor is taken out of it. Pure."""

from typing import Any

import msgspec

from tocsin.model import Attempt
from tocsin.store.port.digests import NAMED


def bare(attempt: Attempt) -> Attempt:
    """An attempt without its request and the answer to it."""
    return msgspec.structs.replace(
        attempt, request_body=None, outcome=msgspec.structs.replace(attempt.outcome, body=b"")
    )


def bared(summary: bytes) -> bytes:
    """A summary without what may tell of a visitor."""
    fields: dict[str, msgspec.Raw] = msgspec.json.decode(summary, type=dict[str, msgspec.Raw])
    return msgspec.json.encode(fields | {NAMED: msgspec.Raw(b"null")})


def without(value: bytes, visitor_id: str) -> bytes | None:
    """A remembered value without the visitor; None where it does not name the visitor.

    A visitor is named by a field `visitor_id`, which becomes nil, or by a map `visitor` with an `id`, or without one an
    `ip`, which goes.
    """
    try:
        decoded = msgspec.msgpack.decode(value)
    except msgspec.DecodeError:
        return None
    changed, named = _without(decoded, visitor_id)
    return msgspec.msgpack.encode(changed) if named else None


def _without(value: Any, visitor_id: str) -> tuple[Any, bool]:
    if isinstance(value, dict):
        left: dict[Any, Any] = {}
        found = False
        for key, part in value.items():
            if key == "visitor_id" and _is(part, visitor_id):
                left[key], named = None, True
            elif key == "visitor" and isinstance(part, dict) and _is(part.get("id", part.get("ip")), visitor_id):
                named = True
            else:
                left[key], named = _without(part, visitor_id)
            found |= named
        return left, found
    if isinstance(value, list):
        items = [_without(part, visitor_id) for part in value]
        return [part for part, _ in items], any(named for _, named in items)
    return value, False


def _is(value: Any, visitor_id: str) -> bool:
    return isinstance(value, str | int) and str(value) == visitor_id
