"""`POST /v1/events`, the hot path: a bare ASGI callable in front of everything else.

What costs is done once, ahead: the decoder, the headers, the pieces of the answer. It takes the plain case, an
account's own key and no Idempotency-Key, and leaves every other to the operation that `events` declares; both answer
alike.
"""

from functools import lru_cache

import msgspec

from tocsin import ids
from tocsin.api.bodies import Bodies, Gone
from tocsin.api.decoding import explain
from tocsin.api.endpoint import fail
from tocsin.api.events import NewEvent, check_outer, publish_event
from tocsin.api.operations import MAX_BODY_BYTES, permit
from tocsin.api.problems import code_of
from tocsin.api.requests import Asgi, Receive, Scope, Send, authenticate, bearer
from tocsin.api.services import Services
from tocsin.clock import rfc3339_seconds
from tocsin.control.values import millis
from tocsin.engine.ingest import Receipt
from tocsin.model import AccountId

PATH = "/v1/events"

_JSON = (b"content-type", b"application/json")
_NO_STORE = (b"cache-control", b"no-store")
_ACCEPTED, _DUPLICATE = 202, 200

# Headers that make a request more than plain.
_NOT_PLAIN = frozenset({b"idempotency-key", b"tocsin-account"})


class Publish:
    """`otherwise` answers what it does not take."""

    __slots__ = ("_bodies", "_decode", "_keyring", "_metrics", "_monotonic_s", "_next_id", "_otherwise", "_publish")

    def __init__(self, services: Services, bodies: Bodies, otherwise: Asgi) -> None:
        self._bodies = bodies
        self._otherwise = otherwise
        self._keyring = services.control.keyring
        self._metrics = services.metrics
        self._monotonic_s = services.clock.monotonic_s
        self._next_id = services.id_source.next
        self._publish = services.ingest.publish
        self._decode = msgspec.json.Decoder(NewEvent).decode

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        plain = _plain(scope)
        if plain is None:
            await self._otherwise(scope, receive, send)
            return
        authorization, length = plain
        began_s = self._monotonic_s()
        request_id = ids.show("req_", self._next_id())
        metrics = self._metrics
        try:
            principal = self._keyring.known(bearer(authorization))
            if principal is None:
                principal = await authenticate(self._keyring, authorization)
            if principal.account_id is None:
                await self._otherwise(scope, receive, send)
                return
            if not principal.may_publish:
                permit(publish_event, principal)
            receipt = await self._take(principal.account_id, await self._bodies.read(length, receive, MAX_BODY_BYTES))
        except Gone:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the publisher gets a problem
            status, headers, content = fail(error, request_id, publish_event.id)
            metrics.refused(code_of(error))
        else:
            status = _DUPLICATE if receipt.duplicate else _ACCEPTED
            content = _content(receipt)
            headers = [
                _JSON,
                (b"content-length", b"%d" % len(content)),
                (b"request-id", request_id.encode()),
                _NO_STORE,
            ]
        metrics.answered(publish_event.id, status)
        metrics.http_duration_s.observe(self._monotonic_s() - began_s)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _take(self, account_id: AccountId, body: bytes) -> Receipt:
        try:
            new = self._decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise explain(body or b"{}", NewEvent, error) from None
        data = bytes(new.data)
        check_outer(body, data)
        at = None if new.timestamp is None else millis(new.timestamp, "/timestamp")
        return await self._publish(account_id, new.type, data, external_id=new.external_id, timestamp=at)


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


# A burst of events shares its seconds; the cache spares the calendar's arithmetic.
_second = lru_cache(maxsize=64)(rfc3339_seconds)


def _content(receipt: Receipt) -> bytes:
    """As `events.ReceiptShown` is written: a type that was accepted needs no escaping."""
    at = receipt.timestamp
    shown = f"{_second(at // 1000 * 1000)[:-1]}.{at % 1000:03d}Z"
    return (
        f'{{"id":"{ids.show("evt_", receipt.id)}","type":"{receipt.type}","timestamp":"{shown}",'
        f'"matched":{receipt.matched},"duplicate":{"true" if receipt.duplicate else "false"}}}'
    ).encode()
