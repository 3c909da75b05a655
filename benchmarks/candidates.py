"""The clients that clients.py compares: each does the same `Work`, 64 requests at once."""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import select
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import httptools
import pycurl
import uvloop

from tocsin.engine.sending.connections import Connections
from tocsin.engine.sending.resolver import Resolver
from tocsin.engine.sending.sender import Sender, make_route
from tocsin.engine.sending.transfer import Transfer
from tocsin.model import Outcome, Request
from tocsin.security.guard import Guard

AT_ONCE = 64
BODY = b'{"type":"click.created","timestamp":"2026-01-01T00:00:00Z","data":{"id":"' + b"x" * 523 + b'"}}'
KEY = b"0123456789abcdef0123456789abcdef"


def signed(n: int) -> tuple[tuple[str, str], ...]:
    """The headers of one delivery, as the standard profile has them."""
    event, at = f"evt_{n:013d}", str(1_767_225_600 + n // 1000)
    mac = hmac.digest(KEY, b"%s.%s.%s" % (event.encode(), at.encode(), BODY), hashlib.sha256)
    return (
        ("Content-Type", "application/json"),
        ("User-Agent", "Tocsin/0"),
        ("Webhook-Id", event),
        ("Webhook-Timestamp", at),
        ("Webhook-Signature", "v1," + base64.b64encode(mac).decode()),
    )


class Work:
    """What one candidate has to do: `next_headers` until there are none left, and `ended` for each."""

    def __init__(self, count: int, other_work_s: float) -> None:
        self._left = count
        self._given = 0
        self._other_work_s = other_work_s
        self.over = asyncio.get_running_loop().create_future()
        self._to_end = count

    def next_headers(self) -> tuple[tuple[str, str], ...] | None:
        if self._given == self._left:
            return None
        self._given += 1
        return signed(self._given)

    def ended(self, status: int | None) -> None:
        if status != 200:
            raise SystemExit(f"a request was answered {status}")
        if self._other_work_s:
            until = time.perf_counter() + self._other_work_s
            while time.perf_counter() < until:
                pass
        self._to_end -= 1
        if not self._to_end:
            self.over.set_result(None)


async def by_loop(url: str, ca_file: str, work: Work) -> None:
    resolver = Resolver()
    sender = Sender(guard(), resolver, ca_file=ca_file)
    send_by(work, url, sender.send)
    await work.over
    await sender.close()
    await resolver.close()


async def by_thread(url: str, ca_file: str, work: Work) -> None:
    sender = ThreadedSender(ca_file, url)
    send_by(work, url, sender.send)
    await work.over
    sender.close()


def send_by(work: Work, url: str, send: Callable[[Request, Callable[[Outcome], None]], None]) -> None:
    def start() -> None:
        headers = work.next_headers()
        if headers is not None:
            send(Request(method="POST", url=url, headers=headers, body=BODY, timeout_s=15.0), ended)

    def ended(outcome: Outcome) -> None:
        work.ended(outcome.status_code)
        start()

    for _ in range(AT_ONCE):
        start()


class ThreadedSender:
    """The sender's connections on a loop in a thread; requests and outcomes cross over in groups."""

    def __init__(self, ca_file: str, url: str) -> None:
        self._here = asyncio.get_running_loop()
        self._there = uvloop.new_event_loop()
        self._requests: deque[tuple[Request, Callable[[Outcome], None]]] = deque()
        self._outcomes: deque[tuple[Callable[[Outcome], None], Outcome]] = deque()
        self._called_there = self._called_here = False
        self._spare: list[Transfer] = []
        self._ca_file = ca_file
        self._refusal = guard().refusal
        address = guard().parse(url)
        self._route = make_route(address.url, (address.host,), address.port)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def send(self, request: Request, done: Callable[[Outcome], None]) -> None:
        self._requests.append((request, done))
        if not self._called_there:
            self._called_there = True
            self._there.call_soon_threadsafe(self._start_all)

    def close(self) -> None:
        self._there.call_soon_threadsafe(self._there.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._there)
        self._connections = Connections(self._there, self._ca_file, 1024, 60, self._ended)
        self._there.run_forever()
        self._connections.close()
        self._there.close()

    def _start_all(self) -> None:
        self._called_there = False
        while self._requests:
            request, done = self._requests.popleft()
            transfer = self._spare.pop() if self._spare else Transfer(self._ca_file, 60, self._refusal)
            transfer.load(request, self._route, 0.0, done)
            self._connections.start(transfer)

    def _ended(self, transfer: Transfer, code: int, message: str) -> None:
        self._outcomes.append((transfer.done, transfer.outcome(code, message)))
        transfer.unload()
        self._spare.append(transfer)
        if not self._called_here:
            self._called_here = True
            self._here.call_soon_threadsafe(self._tell_all)

    def _tell_all(self) -> None:
        self._called_here = False
        while self._outcomes:
            done, outcome = self._outcomes.popleft()
            done(outcome)


class Bare:
    """libcurl's multi interface on epoll, and nothing else."""

    def __init__(self, url: str, ca_file: str, work: Work) -> None:
        self._work = work
        self._multi, self._epoll = pycurl.CurlMulti(), select.epoll()
        self._watched: set[int] = set()
        self._due = 0.0
        self._running = 0
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_due)
        for _ in range(AT_ONCE):
            curl = pycurl.Curl()
            curl.setopt(pycurl.URL, url)
            curl.setopt(pycurl.POST, 1)
            curl.setopt(pycurl.CAINFO, ca_file)
            curl.setopt(pycurl.NOSIGNAL, 1)
            curl.setopt(pycurl.WRITEFUNCTION, lambda _: None)
            self._start(curl)

    def run(self) -> None:
        while self._running:
            for fd, events in self._epoll.poll(max(0.0, min(self._due - time.monotonic(), 1.0))):
                action = (1 if events & ~select.EPOLLOUT else 0) | (2 if events & select.EPOLLOUT else 0)
                self._multi.socket_action(fd, action)
            if self._due <= time.monotonic():
                self._due = 1e18
                self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
            _, whole, failed = self._multi.info_read()
            if failed:
                raise SystemExit(failed[0][2])
            for curl in whole:
                self._multi.remove_handle(curl)
                self._running -= 1
                self._work.ended(curl.getinfo(pycurl.RESPONSE_CODE))
                self._start(curl)

    def _start(self, curl: Any) -> None:
        headers = self._work.next_headers()
        if headers is not None:
            curl.setopt(pycurl.HTTPHEADER, ["Expect:", *(f"{name}: {value}" for name, value in headers)])
            curl.setopt(pycurl.POSTFIELDS, BODY)
            self._multi.add_handle(curl)
            self._running += 1

    def _watch(self, what: int, fd: int, *_: object) -> None:
        if what == pycurl.POLL_REMOVE:
            self._watched.discard(fd)
            self._epoll.unregister(fd)
            return
        events = (select.EPOLLIN if what & 1 else 0) | (select.EPOLLOUT if what & 2 else 0)
        (self._epoll.modify if fd in self._watched else self._epoll.register)(fd, events)
        self._watched.add(fd)

    def _set_due(self, timeout_ms: int) -> None:
        self._due = time.monotonic() + timeout_ms / 1000 if timeout_ms >= 0 else 1e18


async def by_bare(url: str, ca_file: str, work: Work) -> None:
    """Blocks the loop: there is nothing else on it."""
    Bare(url, ca_file, work).run()


async def by_hand(url: str, ca_file: str, work: Work) -> None:
    parsed = httptools.parse_url(url.encode())
    tls = ssl.create_default_context(cafile=ca_file) if parsed.schema == b"https" else None

    class Client(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self._transport = transport
            self._next()

        def _next(self) -> None:
            headers = work.next_headers()
            if headers is None:
                self._transport.close()
                return
            self._parser = httptools.HttpResponseParser(self)
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
            self._transport.write(
                f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
            )

        def data_received(self, data: bytes) -> None:
            self._parser.feed_data(data)

        def on_message_complete(self) -> None:
            keep = self._parser.should_keep_alive()
            work.ended(self._parser.get_status_code())
            if keep:
                self._next()
            else:
                self._transport.close()
                connect()

    connecting: set[asyncio.Task[Any]] = set()

    def connect() -> None:
        task = asyncio.ensure_future(
            asyncio.get_running_loop().create_connection(Client, "127.0.0.1", parsed.port, ssl=tls)
        )
        connecting.add(task)
        task.add_done_callback(connecting.discard)

    for _ in range(AT_ONCE):
        connect()
    await work.over
    await asyncio.gather(*connecting)


async def by_httpx(url: str, ca_file: str, work: Work) -> None:
    import httpx  # noqa: PLC0415 - only where it is installed

    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx.AsyncClient(
        verify=ssl.create_default_context(cafile=ca_file), limits=limits, trust_env=False
    ) as client:

        async def one_after_the_other() -> None:
            while (headers := work.next_headers()) is not None:
                work.ended((await client.post(url, content=BODY, headers=dict(headers))).status_code)

        await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))


async def by_aiohttp(url: str, ca_file: str, work: Work) -> None:
    import aiohttp  # type: ignore[import-not-found]  # noqa: PLC0415 - only where it is installed

    connector = aiohttp.TCPConnector(limit=AT_ONCE, ssl=ssl.create_default_context(cafile=ca_file))
    async with aiohttp.ClientSession(connector=connector) as client:

        async def one_after_the_other() -> None:
            while (headers := work.next_headers()) is not None:
                async with client.post(url, data=BODY, headers=dict(headers), allow_redirects=False) as answer:
                    await answer.read()
                    work.ended(answer.status)

        await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))


async def by_niquests(url: str, ca_file: str, work: Work) -> None:
    import niquests  # type: ignore[import-not-found]  # noqa: PLC0415 - only where it is installed

    async with niquests.AsyncSession(pool_maxsize=AT_ONCE) as client:

        async def one_after_the_other() -> None:
            while (headers := work.next_headers()) is not None:
                work.ended((await client.post(url, data=BODY, headers=dict(headers), verify=ca_file)).status_code)

        await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))


def guard() -> Guard:
    return Guard(True, [ipaddress.ip_network("127.0.0.0/8")])
