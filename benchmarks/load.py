"""Publishers and a receiver for benchmarks: bare protocols on one event loop: one core of them outruns a server.

The latency of an answer counts from when its request was meant to be sent, so that a server that stalls cannot make its
own figures better by being asked less.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from standardwebhooks import Webhook

_ID = len("evt_") + 13
_STEP_S = 0.001  # how often a paced load looks whether requests are due


class Publisher(asyncio.Protocol):
    """One keep-alive connection with one request under way."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._buffer = b""
        self.meant_at = 0.0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._load.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost(exc)

    def send(self, request: bytes, meant_at: float) -> None:
        self.meant_at = meant_at
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        if end < 0 or len(data) < end + 4 + _content_length(data, end):
            self._buffer = data
            return
        self._buffer = b""
        self._load.answered(self, data[9:12], data[end + 4 :])


def _content_length(data: bytes, end: int) -> int:
    at = data.find(b"content-length: ", 0, end)
    if at < 0:
        at = data[:end].lower().index(b"content-length: ")
    return int(data[at + 16 : data.index(b"\r", at)])


class Load:
    """`total` requests over `connections`, taken from `requests` in rotation: as fast as they are answered, or, with
    `rate`, that many a second.
    """

    def __init__(
        self, requests: Sequence[bytes], *, total: int, connections: int = 64, rate: float | None = None
    ) -> None:
        self.requests = requests
        self.total = total
        self.connections = connections
        self.rate = rate
        self.idle: list[Publisher] = []
        self.statuses: Counter[bytes] = Counter()
        self.refused: bytes = b""  # the first answer that was not 202
        self.answered_at: dict[bytes, float] = {}  # by event id
        self.posted_at: dict[bytes, float] = {}  # by event id: when it was meant to be sent
        self.latencies_s: list[float] = []
        self.began_at = self.ended_at = 0.0
        self._sent = 0
        self._done: asyncio.Future[None]

    async def run(self, url: str) -> None:
        """Sends all of it.

        Raises:
            ConnectionError: the server closed a connection.
        """
        host, _, port = url.removeprefix("http://").partition(":")
        loop = asyncio.get_running_loop()
        self._done = loop.create_future()
        for _ in range(self.connections):
            await loop.create_connection(lambda: Publisher(self), host, int(port))
        self.began_at = time.perf_counter()
        if self.rate is None:
            while self.idle and self._sent < self.total:
                self._next(self.idle.pop(), time.perf_counter())
        else:
            await self._pace(self.rate)
        await self._done
        self.ended_at = time.perf_counter()
        for publisher in self.idle:
            publisher.transport.abort()

    async def _pace(self, rate: float) -> None:
        while self._sent < self.total and not self._done.done():
            due = min(self.total, int((time.perf_counter() - self.began_at) * rate) + 1)  # the first at once
            while self._sent < due and self.idle:
                self._next(self.idle.pop(), self.began_at + self._sent / rate)
            await asyncio.sleep(_STEP_S)

    def _next(self, publisher: Publisher, meant_at: float) -> None:
        request = self.requests[self._sent % len(self.requests)]
        self._sent += 1
        publisher.send(request, meant_at)

    def answered(self, publisher: Publisher, status: bytes, body: bytes) -> None:
        now = time.perf_counter()
        self.statuses[status] += 1
        self.latencies_s.append(now - publisher.meant_at)
        if status != b"202":
            self.refused = self.refused or body
        at = body.find(b'"evt_')
        if at > 0:
            event_id = body[at + 1 : at + 1 + _ID]
            self.answered_at[event_id] = now
            self.posted_at[event_id] = publisher.meant_at
        if self.rate is None and self._sent < self.total:
            self._next(publisher, now)
            return
        self.idle.append(publisher)
        if len(self.idle) == self.connections and self._sent == self.total:
            self._done.set_result(None)

    def lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError(f"the server closed a connection: {error}"))


class Sink:
    """The receiver: answers 200 at once, notes when each event came first, and verifies one in `verify_every`."""

    def __init__(self, secrets: Mapping[str, str] | None = None, *, verify_every: int = 100) -> None:
        """`secrets`: of the webhooks, by path. Paths in `hanging` are never answered."""
        self.received_at: dict[bytes, float] = {}  # by event id; by path and id where `by_path`
        self.by_path = False
        self.repeated = 0
        self.total = 0
        self.verified = 0
        self.faults: list[str] = []
        self.hanging: set[bytes] = set()
        self.port = 0
        self._secrets = {path.encode(): Webhook(secret) for path, secret in (secrets or {}).items()}
        self._verify_every = verify_every
        self._server: asyncio.Server
        self.connections: set[asyncio.Transport] = set()

    async def start(self, port: int = 0) -> None:
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: _Receiving(self), "127.0.0.1", port, backlog=4096
            )
        except OSError as error:
            raise SystemExit(f"port {port} is taken: does another benchmark run? {error}") from None
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._server.close()
        for transport in tuple(self.connections):
            transport.abort()

    async def wait_for(self, total: int, within_s: float) -> None:
        """Waits until that many requests have come.

        Raises:
            TimeoutError: they have not.
        """
        async with asyncio.timeout(within_s):
            while self.total < total:  # noqa: ASYNC110 - no work for the hot path, which an event would be
                await asyncio.sleep(0.005)

    def take(self, path: bytes, head: bytes, body: bytes) -> None:
        self.total += 1
        at = head.find(b"evt_")
        event_id = head[at : at + _ID]
        key = path + event_id if self.by_path else event_id
        if key in self.received_at:
            self.repeated += 1
            return
        self.received_at[key] = time.perf_counter()
        if self._secrets and self.total % self._verify_every == 0:
            self._verify(path, head, body)

    def _verify(self, path: bytes, head: bytes, body: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")[1:]
        try:
            self._secrets[path].verify(body, dict(line.split(": ", 1) for line in lines))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it is the finding
            self.faults.append(repr(error))
        else:
            self.verified += 1


class _Receiving(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._sink.connections.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._sink.connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = data
            return
        head = data[:end]
        at = head.lower().index(b"content-length: ")
        length = int(head[at + 16 :].partition(b"\r")[0])
        if len(data) < end + 4 + length:
            self._buffer = data
            return
        self._buffer = b""
        path = head[5 : head.index(b" ", 5)]  # after "POST "
        self._sink.take(path, head, data[end + 4 :])
        if path not in self._sink.hanging:
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def post(path: str, key: str, body: bytes) -> bytes:
    """One POST, as bytes."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
