"""Reading requests from the server: headers, the key, the account, the body; bounded in size and time."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tocsin import ids
from tocsin.control.actor import Principal
from tocsin.control.keyring import Keyring
from tocsin.errors import Malformed, NotFound, TooLarge, Unauthorised
from tocsin.model import AccountId

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

# A megabyte at dial-up speed is not served; a peer that drips its body must not hold a connection for ever.
BODY_TIMEOUT_S = 30.0


_BEARER = b"Bearer "  # as nearly everybody writes it


class Gone(Exception):
    """The client went away before its request was complete: there is nobody to answer."""


def header(scope: Scope, name: bytes) -> bytes | None:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


async def read_body(declared: bytes | None, receive: Receive, max_bytes: int) -> bytes:
    """The whole body. `declared`: the header Content-Length.

    Raises:
        TooLarge: as soon as it is known; no more than `max_bytes` and one chunk were in memory.
        Malformed: it did not arrive in time.
        Gone: the client closed the connection.
    """
    if declared is not None and declared.isdigit() and int(declared[:20]) > max_bytes:
        raise _too_large(max_bytes)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        whole: bytes = message.get("body", b"")
        if len(whole) > max_bytes:
            raise _too_large(max_bytes)
        return whole
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await _gather(message, receive, max_bytes)
    except TimeoutError:
        raise Malformed(f"the body did not arrive within {BODY_TIMEOUT_S:g} s") from None


async def _gather(message: Message, receive: Receive, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise Gone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
        message = await receive()


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the body has more than {max_bytes:,} bytes")


def bearer(authorization: bytes | None) -> str:
    """The key in an Authorization header.

    Raises:
        Unauthorised: `missing_key`.
    """
    if authorization is None:
        raise Unauthorised("send the header Authorization: Bearer, followed by an API key", code="missing_key")
    if authorization.startswith(_BEARER) and not authorization.endswith(b" "):
        return authorization[len(_BEARER) :].decode("latin-1")
    scheme, _, key = authorization.partition(b" ")
    key = key.strip()
    if scheme.lower() != b"bearer" or not key:
        raise Unauthorised("the header Authorization must be Bearer, followed by an API key", code="missing_key")
    return key.decode("latin-1")


async def authenticate(keyring: Keyring, authorization: bytes | None) -> Principal:
    """Raises `Unauthorised`."""
    principal = await keyring.principal(bearer(authorization))
    if principal is None:
        raise Unauthorised("the key is unknown or was revoked")
    return principal


def account_of(principal: Principal, named: bytes | None) -> AccountId | None:
    """The account that a key and the header Tocsin-Account mean together. None: an operator that names none.

    Raises:
        NotFound: another account than the key's is named, or none that can exist.
    """
    if named is None:
        return principal.account_id
    number = ids.parse("acc_", named.decode("latin-1").strip())
    if number is None or principal.account_id not in (None, number):
        raise NotFound("there is no such account")
    return AccountId(number)
