"""An HTTP server on a port of its own, for one ASGI callable."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator

import uvicorn

from tocsin.receiver.hosting.asgi import Receive, Scope, Send

_MAX_HEAD_BYTES = 64 << 10
# Longer than the sender keeps an idle connection (60 to 90 s): whoever closes first must not be who is sent to.
_KEEP_ALIVE_S = 120


class Host:
    """Args:
    port: 0 takes a free one.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], *, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.closing = asyncio.Event()
        self._app = app
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    def url(self, path: str = "/") -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}{path}"

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
                self._app,
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
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]), name="hosting")
        while not self._server.started and not self._task.done():  # noqa: ASYNC110 - uvicorn offers nothing to wait for
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Sets `closing`, by which whoever still waits for an answer is let go."""
        self.closing.set()
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task


class _Server(uvicorn.Server):
    """uvicorn without its signals: they belong to whoever runs the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
