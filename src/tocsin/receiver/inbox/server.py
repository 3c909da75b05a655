"""The receiver's HTTP: one ASGI callable for deliveries and page."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tocsin.clock import SystemClock
from tocsin.receiver.hosting.asgi import Receive, Reply, Scope, Send, headers_of, read_body, send_reply, until_gone
from tocsin.receiver.hosting.page import Page
from tocsin.receiver.hosting.server import Host
from tocsin.receiver.inbox.arrivals import KEPT, Arrival, History
from tocsin.receiver.inbox.judging import judge
from tocsin.receiver.verify import TOLERANCE_S

# Decides the answer to a request; None: never answers.
Responder = Callable[[Arrival], Awaitable[Reply | None]]

_WEB = Path(__file__).parent / "web"
_FILES = {
    "/": _WEB / "inbox.html",
    "/_inbox/inbox.css": _WEB / "inbox.css",
    "/_inbox/inbox.js": _WEB / "inbox.js",
}


class Inbox:
    """A receiver on a port of its own, within this process. An asynchronous context manager.

    Args:
        port: 0 takes a free one.
        reply: what to answer: always the same, or decided by a function.
        profile: the senders' dialect; None: found by the headers of each request.
        kept: how many arrivals `history` holds.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        reply: Reply | Responder | None = None,
        profile: str | None = None,
        signature_header: str | None = None,
        tolerance_s: float | None = TOLERANCE_S,
        kept: int = KEPT,
    ) -> None:
        self.history = History(kept)
        self._reply = reply if reply is not None else Reply()
        self._profile = profile
        self._signature_header = signature_header
        self._tolerance_s = tolerance_s
        self._secrets: dict[str | None, tuple[str, ...]] = {}
        self._clock = SystemClock()
        self._server = Host(self, host=host, port=port)
        self._closing = self._server.closing
        self._page = Page(self.history, self._closing, files=_FILES, events="/_inbox/events")

    def trust(self, *secrets: str, path: str | None = None) -> None:
        """Verifies what arrives at that path (None: at any other) with these secrets from now on."""
        self._secrets[path] = secrets

    @property
    def host(self) -> str:
        return self._server.host

    @property
    def port(self) -> int:
        return self._server.port

    def url(self, path: str = "/") -> str:
        return self._server.url(path)

    # --- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listens once it returns.

        Raises:
            OSError: it cannot, there.
        """
        await self._server.start()

    async def stop(self) -> None:
        """Lets go of whoever still waits for an answer."""
        await self._server.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # --- requests -------------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if await self._page.answers(scope, receive, send):
            return
        began = time.perf_counter()
        body = await read_body(receive)
        if body is None:
            await send_reply(send, Reply(status=413))
            return
        query = scope["query_string"]
        path = scope["path"]
        headers = headers_of(scope)
        arrival = self.history.add(
            at=self._clock.now_ms(),
            method=scope["method"],
            path=f"{path}?{query.decode('latin-1')}" if query else path,
            headers=headers,
            body=body,
            verdict=judge(
                headers,
                body,
                self._secrets.get(path, self._secrets.get(None, ())),
                profile=self._profile,
                tolerance_s=self._tolerance_s,
                header=self._signature_header,
            ),
        )
        reply = await self._decide(arrival, receive)
        if reply is not None:
            await send_reply(send, reply)
        status, note = (None, "the sender went away unanswered") if reply is None else (reply.status, reply.note)
        self.history.answered(arrival, status, (time.perf_counter() - began) * 1000, note)

    async def _decide(self, arrival: Arrival, receive: Receive) -> Reply | None:
        """The answer when its time has come; None where the sender went first, or the inbox stops."""
        if isinstance(self._reply, Reply) and not self._reply.delay_s:
            return self._reply
        reply = asyncio.ensure_future(self._wait(arrival))
        gone = asyncio.ensure_future(until_gone(receive))
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait((reply, gone, closing), return_when=asyncio.FIRST_COMPLETED)
            return reply.result() if reply.done() else None
        finally:
            for task in (reply, gone, closing):
                task.cancel()
            await asyncio.gather(reply, gone, closing, return_exceptions=True)

    async def _wait(self, arrival: Arrival) -> Reply:
        reply = self._reply if isinstance(self._reply, Reply) else await self._reply(arrival)
        if reply is None:
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # never
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        return reply
