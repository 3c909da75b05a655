"""A receiver that speaks raw bytes, one script a connection, and a sender to drive at it."""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import uvloop

from tocsin.engine.sending.resolver import Resolver
from tocsin.engine.sending.sender import Sender
from tocsin.model import Outcome, Request
from tocsin.security.guard import Guard

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Connection:
    """The receiver's end of one connection."""

    def __init__(self, sock: socket.socket, number: int, stopped: threading.Event) -> None:
        self.sock = sock
        self.number = number  # 1, 2, …
        self.written = 0
        self.received = 0
        self._buffer = b""
        self._stopped = stopped

    def read_request(self) -> bytes | None:
        """One whole request; None once the client has closed."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                return None
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        while len(rest) < length:
            if not self._more():
                return None
            rest = self._buffer.partition(b"\r\n\r\n")[2]
        self._buffer = rest[length:]
        return head + b"\r\n\r\n" + rest[:length]

    def _more(self) -> bool:
        try:
            data = self.sock.recv(65536)
        except OSError:
            return False
        self.received += len(data)
        self._buffer += data
        return bool(data)

    def write(self, data: bytes) -> bool:
        """False once the client has closed."""
        try:
            self.sock.sendall(data)
        except OSError:
            return False
        self.written += len(data)
        return True

    def drip(self, data: bytes, every_s: float = 0.05) -> None:
        """Writes byte by byte until the client has closed."""
        for byte in data:
            if not self.write(bytes([byte])) or self._stopped.wait(every_s):
                return

    def wait(self, seconds: float) -> None:
        """Waits, unless the test is over."""
        self._stopped.wait(seconds)

    def closed_by_client(self) -> bool:
        """Whether the client has closed its end, by now."""
        try:
            return self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def hang(self) -> None:
        """Says nothing until the client has closed or the test is over."""
        self.sock.settimeout(0.05)
        while not self._stopped.is_set():
            with contextlib.suppress(TimeoutError):
                try:
                    if not self.sock.recv(65536):
                        return
                except ConnectionError:
                    return

    def reset(self) -> None:
        """Closes with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
        self.sock.close()


Script = Callable[[Connection], None]


def always(answer: bytes) -> Script:
    """Gives the same answer to each request of a connection."""

    def script(connection: Connection) -> None:
        while connection.read_request() is not None and connection.write(answer):
            pass

    return script


def once(answer: bytes) -> Script:
    """Answers one request, then closes."""

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.write(answer)

    return script


class RawServer:
    """Runs a script for each connection, in threads; `connections` are all there ever were."""

    def __init__(
        self,
        script: Script,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        send_buffer: int | None = None,
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, port), family=family, backlog=1024)
        if send_buffer is not None:
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.host = f"[{host}]" if ":" in host else host
        self.port: int = self._listening.getsockname()[1]
        self.connections: list[Connection] = []
        self._script = script
        self._tls = tls
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}/hook"

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._acceptor.join()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
        except OSError:
            sock.close()
            return
        connection = Connection(sock, len(self.connections) + 1, self._stopped)
        self.connections.append(connection)
        try:
            self._script(connection)
        finally:
            connection.close()


def request_to(url: str, timeout_s: float = 5.0, **changed: Any) -> Request:
    fields: dict[str, Any] = {
        "method": "POST",
        "url": url,
        "headers": (("Content-Type", "application/json"), ("Webhook-Id", "evt_1")),
        "body": b'{"type":"t"}',
        "timeout_s": timeout_s,
    }
    return Request(**fields | changed)


@asynccontextmanager
async def open_sender(
    *, guard: Guard | None = None, servers: Sequence[str] | None = None, **settings: Any
) -> AsyncIterator[Sender]:
    """A sender that may dial loopback, and asks the given name servers."""
    resolver = Resolver(servers)
    sender = Sender(guard or loopback_guard(), resolver, **settings)
    try:
        yield sender
    finally:
        await sender.close()
        await resolver.close()


def loopback_guard() -> Guard:
    return Guard(True, [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")])


async def outcome_of(sender: Sender, request: Request) -> Outcome:
    outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    sender.send(request, outcome.set_result)
    return await outcome


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """On the loop that the server runs on."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def exchange(url: str, timeout_s: float = 5.0, **changed: Any) -> Outcome:
    """Sends one request with a sender of its own."""

    async def main() -> Outcome:
        async with open_sender() as sender:
            return await outcome_of(sender, request_to(url, timeout_s, **changed))

    return run(main())
