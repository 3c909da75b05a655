"""Requests and answers as ASGI carries them."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import msgspec

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_MAX_BODY_BYTES = 4 << 20  # events hold 1 MiB at most; an envelope and another sender's habits beside it


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What to answer, once `delay_s` has passed."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    delay_s: float = 0.0
    note: str | None = None  # why it is answered so, for those who look on


def headers_of(scope: Scope) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])


async def read_body(receive: Receive) -> bytes | None:
    """The whole body, or None where it is larger than any webhook's."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(chunks)
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > _MAX_BODY_BYTES:
            return None
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


async def until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_reply(send: Send, reply: Reply) -> None:
    """Sends what there is to send of it; waiting is the caller's."""
    headers: Sequence[tuple[bytes, bytes]] = [
        (name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in reply.headers
    ]
    length = (b"content-length", str(len(reply.body)).encode())
    if reply.status in (204, 304):
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body"})
        return
    await send({"type": "http.response.start", "status": reply.status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": reply.body})
