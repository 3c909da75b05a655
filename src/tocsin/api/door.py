"""A hot path's own way in: a bare ASGI callable in front of everything else.

What costs is done once, ahead: the operation, its decoder, the headers. It takes the plain case, an account's own key
and no Idempotency-Key, and leaves every other to the operation that is declared for the path; both answer alike.
"""

import asyncio
from abc import ABC, abstractmethod

from tocsin import ids
from tocsin.api.bodies import Bodies, Gone
from tocsin.api.endpoint import PUBLISH_ID, cut_off, fail
from tocsin.api.operations import Operation, permit
from tocsin.api.problems import code_of
from tocsin.api.requests import Asgi, Receive, Scope, Send, authenticate, bearer
from tocsin.api.services import Services
from tocsin.model import AccountId

_JSON = (b"content-type", b"application/json")
_NO_STORE = (b"cache-control", b"no-store")

# Headers that make a request more than plain.
_NOT_PLAIN = frozenset({b"idempotency-key", b"tocsin-account"})


class Door(ABC):
    """The plain requests to one operation that publishes; `otherwise` answers what it does not take."""

    __slots__ = (
        "_bodies",
        "_keyring",
        "_max_bytes",
        "_metrics",
        "_monotonic_s",
        "_next_id",
        "_operation",
        "_otherwise",
    )

    def __init__(self, operation: Operation, services: Services, bodies: Bodies, otherwise: Asgi) -> None:
        self._operation = operation
        self._max_bytes = operation.max_body_bytes
        self._bodies = bodies
        self._otherwise = otherwise
        self._keyring = services.control.keyring
        self._metrics = services.metrics
        self._monotonic_s = services.clock.monotonic_s
        self._next_id = services.id_source.next

    @abstractmethod
    async def _take(self, account_id: AccountId, body: bytes, request_id: str) -> tuple[int, bytes]:
        """The answer's status and its JSON. Raises what the operation raises."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        plain = _plain(scope)
        if plain is None:
            await self._otherwise(scope, receive, send)
            return
        authorization, length = plain
        began_s = self._monotonic_s()
        request_id = ids.show("req_", self._next_id())
        name = self._operation.id
        metrics = self._metrics
        try:
            principal = self._keyring.known(bearer(authorization))
            if principal is None:
                principal = await authenticate(self._keyring, authorization)
            if principal.account_id is None:
                await self._otherwise(scope, receive, send)
                return
            if not principal.may_publish:
                permit(self._operation, principal)
            body = await self._bodies.read(length, receive, self._max_bytes)
            status, content = await self._take(principal.account_id, body, request_id)
        except Gone:
            return
        except (Exception, asyncio.CancelledError) as caught:  # noqa: BLE001 - whatever it is, the publisher gets a problem
            error = cut_off() if isinstance(caught, asyncio.CancelledError) else caught
            status, headers, content = fail(error, request_id, name)
            if name == PUBLISH_ID:
                metrics.refused(code_of(error))
        else:
            headers = [
                _JSON,
                (b"content-length", b"%d" % len(content)),
                (b"request-id", request_id.encode()),
                _NO_STORE,
            ]
        metrics.answered(name, status)
        metrics.http_duration_s.observe(self._monotonic_s() - began_s)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def _plain(scope: Scope) -> tuple[bytes | None, bytes | None] | None:
    """The headers Authorization and Content-Length; None where the request is more than plain."""
    if scope["query_string"]:
        return None
    authorization = length = None
    for key, value in scope["headers"]:
        if key == b"authorization":
            authorization = value
        elif key == b"content-length":
            length = value
        elif key in _NOT_PLAIN:
            return None
    return authorization, length
