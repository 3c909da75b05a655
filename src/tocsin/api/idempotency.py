"""POSTs that can be repeated safely: the header Idempotency-Key (CONTRACT §3).

A key stands for one body to one address of one account (or of the operator), for 24 hours. What succeeded is answered
again, without its secrets; what was refused or failed frees the key.
"""

import hashlib
import logging
from collections.abc import Awaitable, Callable

import msgspec

from tocsin.api.operations import Operation, Reply
from tocsin.clock import Clock, Millis
from tocsin.errors import Conflict, Invalid, TocsinError
from tocsin.model import AccountId
from tocsin.store.port import Idempotency, StoredAnswer

log = logging.getLogger(__name__)

HEADER = b"idempotency-key"
REPLAYED = ("Idempotency-Replayed", "true")
_KEEP_MS = 86_400_000
_MAX_KEY = 255


def read_key(value: bytes) -> str:
    """Raises `Invalid` (`idempotency_key_invalid`)."""
    key = value.decode("latin-1").strip()
    if not 1 <= len(key) <= _MAX_KEY or not all("!" <= char <= "~" for char in key):
        raise Invalid(
            f"an Idempotency-Key has 1 to {_MAX_KEY} visible ASCII characters", code="idempotency_key_invalid"
        )
    return key


async def once(
    store: Idempotency,
    clock: Clock,
    declared: Operation,
    *,
    account_id: AccountId | None,
    route: str,
    key: str,
    body: bytes,
    run: Callable[[], Awaitable[Reply]],
) -> Reply:
    """Runs the operation, or repeats its answer.

    Args:
        route: method and path as they came, so that one key can be used for two webhooks.

    Raises:
        Conflict: `idempotency_running`.
        Invalid: `idempotency_key_reused`.
    """
    digest = hashlib.sha256(body).digest()
    now = clock.now_ms()
    known = await store.begin(account_id, route, key, digest, now, Millis(now + _KEEP_MS))
    if known is not None:
        return _repeat(known, digest)
    try:
        reply = await run()
    except Exception:
        await store.abandon(account_id, route, key)
        raise
    stored = StoredAnswer(
        digest=digest, status=reply.status, body=_without(reply, declared.secret_keys), headers=reply.headers
    )
    try:
        await store.finish(account_id, route, key, stored)
    except TocsinError as error:
        # What was asked for is done, and that is what must be answered.
        log.warning("answer_not_kept", extra={"reason": error.detail})
    return reply


def _repeat(known: StoredAnswer, digest: bytes) -> Reply:
    if known.digest != digest:
        raise Invalid("this Idempotency-Key was used for another body; use a new one", code="idempotency_key_reused")
    if known.status is None:
        raise Conflict(
            "the first request with this Idempotency-Key is still running; repeat it in a moment",
            code="idempotency_running",
        )
    return Reply(known.status, known.body or None, headers=(*known.headers, REPLAYED))


def _without(reply: Reply, secret_keys: tuple[str, ...]) -> bytes:
    if reply.body is None:
        return b""
    body = msgspec.json.encode(reply.body)
    if not secret_keys:
        return body
    shown = msgspec.json.decode(body)
    return msgspec.json.encode({name: value for name, value in shown.items() if name not in secret_keys})
