"""The receiver's HTTP: one ASGI callable for deliveries and page, and the server that runs it."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from types import TracebackType
from typing import Any, Self

import uvicorn

from tocsin.clock import SystemClock
from tocsin.receiver.inbox.arrivals import KEPT, Arrival, History, Reply
from tocsin.receiver.inbox.judging import judge
from tocsin.receiver.inbox.page import Page
from tocsin.receiver.verify import TOLERANCE_S

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# Decides the answer to a request; None: never answers.
Responder = Callable[[Arrival], Awaitable[Reply | None]]

_MAX_BODY_BYTES = 4 << 20  # events hold 1 MiB at most; an envelope and another sender's habits beside it
_MAX_HEAD_BYTES = 64 << 10
# Longer than the sender keeps an idle connection (60 to 90 s): whoever closes first must not be who is sent to.
_KEEP_ALIVE_S = 120


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
        self.host = host
        self.port = port
        self._reply = reply if reply is not None else Reply()
        self._profile = profile
        self._signature_header = signature_header
        self._tolerance_s = tolerance_s
        self._secrets: dict[str | None, tuple[str, ...]] = {}
        self._clock = SystemClock()
        self._closing = asyncio.Event()
        self._page = Page(self.history, self._closing)
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    def trust(self, *secrets: str, path: str | None = None) -> None:
        """Verifies what arrives at that path (None: at any other) with these secrets from now on."""
        self._secrets[path] = secrets

    def url(self, path: str = "/") -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}{path}"

    # --- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listens once it returns.

        Raises:
            OSError: it cannot, there.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listening = socket.create_server((self.host, self.port), family=family, backlog=512)
        listening.setblocking(False)
        self.port = listening.getsockname()[1]
        self._server = _Server(
            uvicorn.Config(
                self,
                http="h11",  # bounds the head of a request
                h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=1,
            )
        )
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]), name="inbox")
        while not self._server.started and not self._task.done():  # noqa: ASYNC110 - uvicorn offers nothing to wait for
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Lets go of whoever still waits for an answer."""
        self._closing.set()
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task

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
        body = await _read(receive)
        if body is None:
            await _send(send, Reply(status=413))
            return
        query = scope["query_string"]
        path = scope["path"]
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
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
            await _send(send, reply)
        status, note = (None, "the sender went away unanswered") if reply is None else (reply.status, reply.note)
        self.history.answered(arrival, status, (time.perf_counter() - began) * 1000, note)

    async def _decide(self, arrival: Arrival, receive: Receive) -> Reply | None:
        """The answer when its time has come; None where the sender went first, or the inbox stops."""
        if isinstance(self._reply, Reply) and not self._reply.delay_s:
            return self._reply
        reply = asyncio.ensure_future(self._wait(arrival))
        gone = asyncio.ensure_future(_until_gone(receive))
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


class _Server(uvicorn.Server):
    """uvicorn without its signals: they belong to whoever runs the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _read(receive: Receive) -> bytes | None:
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


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, reply: Reply) -> None:
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
