"""The hot paths, `POST /v1/events` and `POST /v1/activity`, each through a door of its own (`door`)."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

import msgspec

from tocsin import ids
from tocsin.api.activity import ActivityRaw, post_activity, take_activity
from tocsin.api.bodies import Bodies
from tocsin.api.decoding import explain
from tocsin.api.door import Door
from tocsin.api.events import NewEvent, check_outer, publish_event
from tocsin.api.requests import Asgi
from tocsin.api.services import Services
from tocsin.clock import rfc3339_seconds
from tocsin.control.values import millis
from tocsin.engine.ingest import Receipt
from tocsin.model import AccountId

_ACCEPTED, _DUPLICATE = 202, 200

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class PublishEvent(Door):
    __slots__ = ("_decode", "_publish")

    def __init__(self, services: Services, bodies: Bodies, otherwise: Asgi) -> None:
        super().__init__(publish_event, services, bodies, otherwise)
        self._publish = services.ingest.publish
        self._decode = msgspec.json.Decoder(NewEvent).decode

    async def _take(self, account_id: AccountId, body: bytes, request_id: str) -> tuple[int, bytes]:  # noqa: ARG002 - an answer has no use for it
        try:
            new = self._decode(body)
        except _UNREADABLE as error:
            raise explain(body or b"{}", NewEvent, error) from None
        data = bytes(new.data)
        check_outer(body, data)
        at = None if new.timestamp is None else millis(new.timestamp, "/timestamp")
        receipt = await self._publish(account_id, new.type, data, external_id=new.external_id, timestamp=at)
        return _DUPLICATE if receipt.duplicate else _ACCEPTED, _content(receipt)


class PostActivity(Door):
    __slots__ = ("_decode", "_encode", "_services")

    def __init__(self, services: Services, bodies: Bodies, otherwise: Asgi) -> None:
        super().__init__(post_activity, services, bodies, otherwise)
        self._services = services
        self._decode = msgspec.json.Decoder(ActivityRaw).decode
        self._encode = msgspec.json.Encoder().encode

    async def _take(self, account_id: AccountId, body: bytes, request_id: str) -> tuple[int, bytes]:
        try:
            asked = self._decode(body or b"{}")
        except _UNREADABLE as error:
            raise explain(body or b"{}", ActivityRaw, error) from None
        return _ACCEPTED, self._encode(await take_activity(self._services, account_id, asked, body, request_id))


# By path, of requests that are POST.
DOORS: Mapping[str, Callable[[Services, Bodies, Asgi], Door]] = MappingProxyType(
    {publish_event.path: PublishEvent, post_activity.path: PostActivity}
)


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
