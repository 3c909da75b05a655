"""What a request says about itself before its body: headers, the key, the account."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tocsin import ids
from tocsin.control.actor import Principal
from tocsin.control.keyring import Keyring
from tocsin.errors import NotFound, Unauthorised
from tocsin.model import AccountId

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

_BEARER = b"Bearer "  # as nearly everybody writes it


def header(scope: Scope, name: bytes) -> bytes | None:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


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
