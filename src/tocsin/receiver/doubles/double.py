"""What all doubles have in common: a port, a page, a history, a pace, and answers that they were told to give."""

import asyncio
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import msgspec

from tocsin.clock import Clock, Millis, SystemClock
from tocsin.receiver.doubles.history import KEPT, History, Raw, Refused, Shown
from tocsin.receiver.doubles.pacing import Pace
from tocsin.receiver.hosting.asgi import Receive, Reply, Scope, Send, headers_of, read_body, send_reply, until_gone
from tocsin.receiver.hosting.page import Page, answer, is_local
from tocsin.receiver.hosting.server import Host

_WEB = Path(__file__).parent / "web"
_FILES = {
    "/": _WEB / "double.html",
    "/_double/double.css": _WEB / "double.css",
    "/_double/services.css": _WEB / "services.css",
    "/_double/double.js": _WEB / "double.js",
}
_MESSAGES = "/messages.json"
_FAIL = "/_double/fail"
_ERRORS = "/_double/errors"
_JSON = b"application/json"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a service's table of errors. `meaning`: in plain words; `headers` and `body` exactly as it sends them,
    ``{retry_after}`` in them being the seconds to wait, and ``{retry_after_up}`` the next whole number of them.
    """

    status: int
    meaning: str
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    retry_after: int | float | None = None  # seconds, where the caller names none; an int: the service says whole ones

    def reply(self, retry_after: float | None = None) -> Reply:
        wait = self.retry_after if retry_after is None else retry_after
        if wait is None:
            return Reply(status=self.status, headers=self.headers, body=self.body.encode(), note=self.meaning)
        up = str(math.ceil(wait))
        exact = up if isinstance(self.retry_after, int) else repr(round(float(wait), 3))

        def filled(text: str) -> str:
            return text.replace("{retry_after}", exact).replace("{retry_after_up}", up)

        headers = tuple((name, filled(value)) for name, value in self.headers)
        return Reply(status=self.status, headers=headers, body=filled(self.body).encode(), note=self.meaning)


_NGINX = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n</body>\r\n</html>\r\n"
)
_HTML = (("Content-Type", "text/html"),)

# What stands before a service answers when it does not, the same for all of them.
TROUBLES: Mapping[str, Failure] = {
    "bad_gateway": Failure(
        status=502, headers=_HTML, body=_NGINX.format("502 Bad Gateway"), meaning="a proxy reached no server"
    ),
    "unavailable": Failure(
        status=503, headers=_HTML, body=_NGINX.format("503 Service Unavailable"), meaning="the service is down"
    ),
    "gateway_timeout": Failure(
        status=504, headers=_HTML, body=_NGINX.format("504 Gateway Time-out"), meaning="a proxy waited in vain"
    ),
    "no_answer": Failure(status=0, meaning="the connection stays open and nothing is said"),
}


class Told(msgspec.Struct, kw_only=True):
    """What it was told to answer. `times` None: always."""

    name: str
    times: int | None
    retry_after: float | None


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """How a request is answered; `name` of the error, where it is refused."""

    reply: Reply
    name: str | None = None
    why: str = ""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """`path` is decoded; `query` is not."""

    path: str
    query: str
    raw: Raw

    @property
    def method(self) -> str:
        return self.raw.method

    @property
    def body(self) -> bytes:
        return self.raw.body

    @property
    def content_type(self) -> str:
        """Without parameters, in lower case."""
        given = {name.lower(): value for name, value in self.raw.headers}
        return given.get("content-type", "").partition(";")[0].strip().lower()


class Double(ABC):
    """A service on a port of its own, within this process. An asynchronous context manager.

    Args:
        port: 0 takes a free one.
        clock: what its limits, and the times of its messages, are measured by.
        rate_limits: whether it keeps the service's limits of messages in a time.
        kept: how many messages and refusals it remembers.
    """

    service: ClassVar[str]
    name: ClassVar[str]  # as people write it
    title: ClassVar[str]  # of the page
    ERRORS: ClassVar[Mapping[str, Failure]] = {}

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        clock: Clock | None = None,
        rate_limits: bool = True,
        kept: int = KEPT,
    ) -> None:
        self.history = History(kept)
        self.rate_limits = rate_limits
        self._clock = clock or SystemClock()
        self._pace = Pace(self._clock)
        self._told: deque[Told] = deque()
        self._host = Host(self, host=host, port=port)
        self._page = Page(self.history, self._host.closing, files=_FILES, events="/_double/events", about=self._about)

    @property
    def host(self) -> str:
        return self._host.host

    @property
    def port(self) -> int:
        """Of the page, and of a service that is spoken to over HTTP."""
        return self._host.port

    # --- what tests and the command line ask ------------------------------------------------------------------------

    @property
    @abstractmethod
    def address(self) -> str:
        """What to give Tocsin as a webhook's address."""

    @property
    def page(self) -> str:
        """Where a browser shows the messages."""
        return self._host.url("/")

    @property
    def messages(self) -> list[Shown]:
        """Those that were taken, in the order of their arrival."""
        return [entry for entry in self.history if isinstance(entry, Shown)]

    @property
    def refused(self) -> list[Refused]:
        return [entry for entry in self.history if isinstance(entry, Refused)]

    def fail_with(self, name: str, times: int | None = 1, *, retry_after: float | None = None) -> None:
        """The next requests are refused with that error; several add up, one after the other.

        Args:
            name: one of `ERRORS`.
            times: how many requests; None: all, until `recover`.
            retry_after: seconds, where the error names some.

        Raises:
            ValueError: the service knows no such error.
        """
        if name not in self.ERRORS:
            raise ValueError(f"{self.service} has no error {name!r}; there are {', '.join(self.ERRORS)}")
        self._told.append(Told(name=name, times=times, retry_after=retry_after))

    def recover(self) -> None:
        """Forgets what it was told to answer."""
        self._told.clear()

    async def wait_for(self, count: int, within_s: float = 10.0) -> list[Shown]:
        """The messages, once there are so many.

        Raises:
            TimeoutError: there are not, in that time.
        """
        changed = asyncio.Event()
        stop = self.history.listen(lambda _: changed.set())
        try:
            async with asyncio.timeout(within_s):
                while len(self.messages) < count:
                    await changed.wait()
                    changed.clear()
        finally:
            stop()
        return self.messages

    # --- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listens once it returns.

        Raises:
            OSError: it cannot, there.
        """
        await self._host.start()

    async def stop(self) -> None:
        await self._host.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # --- requests ---------------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if await self._page.answers(scope, receive, send):
            return
        body = await read_body(receive)
        if body is None:
            await send_reply(send, Reply(status=413))
            return
        if scope["path"] in (_MESSAGES, _FAIL, _ERRORS):
            await self._control(scope, body, send)
            return
        query = scope["query_string"].decode("latin-1")
        path = scope["path"]
        raw = Raw(
            method=scope["method"], path=f"{path}?{query}" if query else path, headers=headers_of(scope), body=body
        )
        ruling = self._told_to() or self.rule(Request(path=path, query=query, raw=raw))
        if ruling.name is not None:
            self._refuse(ruling, raw)
        if ruling.reply.status == 0:
            await self._say_nothing(receive)
            return
        await send_reply(send, ruling.reply)

    @abstractmethod
    def rule(self, request: Request) -> Ruling:
        """The service's own answer; what it takes is in the history by then."""

    def _told_to(self) -> Ruling | None:
        if not self._told:
            return None
        told = self._used()
        return self.failing(told.name, retry_after=told.retry_after)

    def _used(self) -> Told:
        told = self._told[0]
        if told.times is not None:
            told.times -= 1
            if told.times <= 0:
                self._told.popleft()
        return told

    def failing(self, name: str, why: str = "", *, retry_after: float | None = None) -> Ruling:
        failure = self.ERRORS[name]
        return Ruling(reply=failure.reply(retry_after), name=name, why=why or failure.meaning)

    def _refuse(self, ruling: Ruling, raw: Raw) -> None:
        reply = ruling.reply
        self.history.add(
            Refused(
                at=self.now(),
                status=reply.status,
                name=ruling.name or "",
                why=ruling.why,
                body=reply.body.decode(errors="replace"),
                raw=raw,
            )
        )

    async def _say_nothing(self, receive: Receive) -> None:
        ends = [asyncio.ensure_future(until_gone(receive)), asyncio.ensure_future(self._host.closing.wait())]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)

    def now(self) -> Millis:
        return self._clock.now_ms()

    def take(self, shown: Shown) -> Shown:
        self.history.add(shown)
        return shown

    # --- what is asked about it, from this machine only ---------------------------------------------------------------

    def _about(self) -> Mapping[str, Any]:
        return {"service": self.service, "name": self.name, "title": self.title, "address": self.address}

    async def _control(self, scope: Scope, body: bytes, send: Send) -> None:
        headers = {name.lower(): value for name, value in headers_of(scope)}
        if not is_local(headers.get("host", "")):
            await answer(send, 403, _JSON, b'{"error":"ask by an IP address or localhost"}')
        elif scope["path"] == _MESSAGES:
            await answer(send, 200, _JSON, msgspec.json.encode([one.shown() for one in self.messages]))
        elif scope["path"] == _ERRORS:
            table = {name: {"status": row.status, "meaning": row.meaning} for name, row in self.ERRORS.items()}
            await answer(send, 200, _JSON, msgspec.json.encode(table))
        elif scope["method"] != "POST" or headers.get("content-type") != "application/json":
            # The content type is one that a page from elsewhere cannot send unasked.
            await answer(send, 405, _JSON, b'{"error":"POST JSON: {name, times, retry_after}"}')
        else:
            status, said = self._fail_as(body)
            await answer(send, status, _JSON, said)

    def _fail_as(self, body: bytes) -> tuple[int, bytes]:
        try:
            order = msgspec.json.decode(body, type=_Order)
            if order.name is None:
                self.recover()
            else:
                self.fail_with(order.name, order.times, retry_after=order.retry_after)
        except (msgspec.DecodeError, ValueError) as error:
            return 422, msgspec.json.encode({"error": str(error)})
        return 200, b"{}"


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    """`name` null: recover."""

    name: str | None = None
    times: int | None = 1
    retry_after: float | None = None


def json_reply(status: int, body: Any, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    return Reply(
        status=status, headers=(("Content-Type", "application/json"), *headers), body=msgspec.json.encode(body)
    )


def text_reply(text: str, status: int = 200) -> Reply:
    return Reply(status=status, headers=(("Content-Type", "text/html"),), body=text.encode())
