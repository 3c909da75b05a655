"""A page at ``/`` that shows a feed live. Nothing of it comes from elsewhere, and nobody elsewhere can read it."""

import asyncio
import ipaddress
import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from tocsin.receiver.hosting.asgi import Receive, Scope, Send, until_gone

_KINDS = {".html": b"text/html", ".css": b"text/css", ".js": b"text/javascript"}
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; frame-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
GUARDED = [
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
_BEAT_S = 15.0  # shorter than any proxy's patience with a silent stream
_MAX_WAITING = 2_000  # for a browser that does not read; it is let go, and comes back for what it missed


class Entry(Protocol):
    """`revision` grows with every change of any entry of its feed."""

    @property
    def revision(self) -> int: ...

    def shown(self) -> dict[str, Any]: ...


class Feed(Protocol):
    """What the page shows. `listen` calls with each entry that is new or has changed, until its answer is called."""

    def since(self, revision: int) -> Iterable[Entry]: ...

    def listen(self, listener: Callable[[Entry], None]) -> Callable[[], None]: ...


class Page:
    """Args:
    files: by the path that each is asked for by.
    events: the path of the stream.
    about: what the page is told first, where there is anything.
    """

    def __init__(
        self,
        feed: Feed,
        closing: asyncio.Event,
        *,
        files: Mapping[str, Path],
        events: str,
        about: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._feed = feed
        self._closing = closing
        self._files = files
        self._events = events
        self._about = about
        self._run = secrets.token_hex(4)  # tells a page that outlived its server that counting began anew

    async def answers(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answers what asks for the page; False: this is a delivery."""
        path = scope["path"]
        if scope["method"] not in ("GET", "HEAD") or (path not in self._files and path != self._events):
            return False
        headers = {bytes(name): bytes(value) for name, value in scope["headers"]}
        if not is_local(headers.get(b"host", b"").decode("latin-1")):
            refused = b"The page is shown only where it is asked for by an IP address or localhost.\n"
            await answer(send, 403, b"text/plain; charset=utf-8", refused)
        elif path == self._events:
            await self._stream(self._seen(headers.get(b"last-event-id", b"").decode("latin-1")), receive, send)
        else:
            file = self._files[path]
            await answer(send, 200, _KINDS[file.suffix] + b"; charset=utf-8", file.read_bytes())
        return True

    def _seen(self, last_event_id: str) -> int:
        run, _, revision = last_event_id.partition("-")
        return int(revision) if run == self._run and revision.isdecimal() and len(revision) < 16 else 0

    async def _stream(self, after: int, receive: Receive, send: Send) -> None:
        """Server-sent events: each entry when it is new and again when it has changed."""
        waiting: asyncio.Queue[Entry] = asyncio.Queue(_MAX_WAITING)
        overrun = asyncio.Event()

        def heard(entry: Entry) -> None:
            if waiting.full():
                overrun.set()
            else:
                waiting.put_nowait(entry)

        known = self._feed.since(after)
        stop_listening = self._feed.listen(heard)
        ends = [asyncio.ensure_future(one) for one in (until_gone(receive), self._closing.wait(), overrun.wait())]
        try:
            headers = [(b"content-type", b"text/event-stream"), *GUARDED]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            begin = f"retry: 1000\nevent: run\ndata: {self._run}\n\n"
            if about := self._about():
                begin += f"event: about\ndata: {json.dumps(about)}\n\n"
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

    def _message(self, entry: Entry) -> str:
        return f"id: {self._run}-{entry.revision}\ndata: {json.dumps(entry.shown())}\n\n"


def is_local(host: str) -> bool:
    """Whether a Host header names a machine by address: a name could be anybody's, pointed here to read the page."""
    name = host.rpartition("]")[0].removeprefix("[") or host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def answer(send: Send, status: int, kind: bytes, body: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *GUARDED]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _more(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
