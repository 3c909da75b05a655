"""The page at ``/``: what has arrived, live. Nothing of it comes from elsewhere, and nobody elsewhere can read it."""

import asyncio
import ipaddress
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from tocsin.receiver.inbox.arrivals import Arrival, History

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_WEB = Path(__file__).parent / "web"
_FILES = {
    "/": ("inbox.html", b"text/html; charset=utf-8"),
    "/_inbox/inbox.css": ("inbox.css", b"text/css; charset=utf-8"),
    "/_inbox/inbox.js": ("inbox.js", b"text/javascript; charset=utf-8"),
}
_EVENTS = "/_inbox/events"
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_GUARDED = [
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
_BEAT_S = 15.0  # shorter than any proxy's patience with a silent stream
_MAX_WAITING = 2_000  # for a browser that does not read; it is let go, and comes back for what it missed


class Page:
    def __init__(self, history: History, closing: asyncio.Event) -> None:
        self._history = history
        self._closing = closing
        self._run = secrets.token_hex(4)  # tells a page that outlived its server that counting began anew

    async def answers(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answers what asks for the page; False: this is a delivery."""
        path = scope["path"]
        if scope["method"] not in ("GET", "HEAD") or (path not in _FILES and path != _EVENTS):
            return False
        headers = {bytes(name): bytes(value) for name, value in scope["headers"]}
        if not _is_local(headers.get(b"host", b"").decode("latin-1")):
            refused = b"The page is shown only where it is asked for by an IP address or localhost.\n"
            await _answer(send, 403, b"text/plain; charset=utf-8", refused)
        elif path == _EVENTS:
            await self._stream(self._seen(headers.get(b"last-event-id", b"").decode("latin-1")), receive, send)
        else:
            name, kind = _FILES[path]
            await _answer(send, 200, kind, (_WEB / name).read_bytes())
        return True

    def _seen(self, last_event_id: str) -> int:
        run, _, revision = last_event_id.partition("-")
        return int(revision) if run == self._run and revision.isdecimal() and len(revision) < 16 else 0

    async def _stream(self, after: int, receive: Receive, send: Send) -> None:
        """Server-sent events: each arrival when it is new and again when it is answered."""
        waiting: asyncio.Queue[Arrival] = asyncio.Queue(_MAX_WAITING)
        overrun = asyncio.Event()

        def heard(arrival: Arrival) -> None:
            if waiting.full():
                overrun.set()
            else:
                waiting.put_nowait(arrival)

        known = self._history.since(after)
        stop_listening = self._history.listen(heard)
        ends = [asyncio.ensure_future(one) for one in (_until_gone(receive), self._closing.wait(), overrun.wait())]
        try:
            headers = [(b"content-type", b"text/event-stream"), *_GUARDED]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            begin = f"retry: 1000\nevent: run\ndata: {self._run}\n\n"
            await _more(send, begin + "".join(map(self._message, known)))
            while not any(end.done() for end in ends):
                following = asyncio.ensure_future(waiting.get())
                await asyncio.wait((following, *ends), timeout=_BEAT_S, return_when=asyncio.FIRST_COMPLETED)
                if following.done():
                    await _more(send, self._message(following.result()))
                else:
                    following.cancel()
                    await _more(send, ": still here\n\n")
            await send({"type": "http.response.body"})
        finally:
            stop_listening()
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)

    def _message(self, arrival: Arrival) -> str:
        return f"id: {self._run}-{arrival.revision}\ndata: {json.dumps(arrival.shown())}\n\n"


def _is_local(host: str) -> bool:
    """Whether a Host header names a machine by address: a name could be anybody's, pointed here to read the page."""
    name = host.rpartition("]")[0].removeprefix("[") or host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _answer(send: Send, status: int, kind: bytes, body: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *_GUARDED]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _more(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
