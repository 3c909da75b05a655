"""A webhook receiver that keeps a ledger: every request that arrived, in order, verified, and what became of it.

    with LedgerReceiver() as receiver:
        receiver.trust("/shop", "whsec_…")                       # verify what arrives there from now on
        receiver.script("/shop", Answer(500), Hang(), Answer())  # one after the other; the last one stays
        receiver.wait_for("/shop", 3)

It lives in a thread of its own, speaks HTTP/1.1 with keep-alive, and answers 200 where no script says otherwise.
"""

import asyncio
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import httptools
import uvloop
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.replies import Answer, Reply, Wire
from tests.support.waiting import until


@dataclass
class Arrival:
    """One request, read to its end."""

    path: str
    method: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    at: float  # seconds since 1970, when its last byte was here
    connection: int
    nth_on_connection: int
    fault: str | None = None  # why its signature does not verify
    verified: bool = False  # a secret was known and the signature fits
    answered: int | None = None  # the status, once a whole answer was written
    answered_at: float | None = None

    @property
    def id(self) -> str:
        """The event's id, by which a receiver tells duplicates."""
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        return self.json["data"]

    @property
    def ok(self) -> bool:
        """Answered 2xx: the receiver has taken it."""
        return self.answered is not None and 200 <= self.answered < 300


Script = Callable[[Arrival], Reply]


class Verifier(Protocol):
    """A secret that knows its signature's form."""

    def verify(self, body: bytes, headers: Mapping[str, str]) -> object:
        """Raises ValueError where the signature does not fit."""
        ...


@dataclass
class _Path:
    arrivals: list[Arrival] = field(default_factory=list)
    script: Script | None = None
    secrets: list[Verifier] = field(default_factory=list)
    in_flight: int = 0
    most_at_once: int = 0


class LedgerReceiver:
    def __init__(self) -> None:
        self.port = 0
        self._arrivals: list[Arrival] = []
        self._paths: defaultdict[str, _Path] = defaultdict(_Path)
        self._connections = 0
        self._open: set[_Connection] = set()
        self._loop = uvloop.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)

    # --- life ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(5), "the receiver did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        assert not self._thread.is_alive(), "the receiver did not stop"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        listening = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=1024)
        )
        self.port = listening.sockets[0].getsockname()[1]
        self._up.set()
        try:
            self._loop.run_forever()
        finally:
            listening.close()
            for connection in tuple(self._open):
                connection.wire.close()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, listening.wait_closed(), return_exceptions=True))
            self._loop.close()

    # --- what a test says ---------------------------------------------------------------------------------------

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def script(self, path: str, *replies: Reply | Script) -> None:
        """What happens to the requests at a path from now on: one reply after the other, the last one for all that
        come later; or a single function of the arrival.
        """
        if len(replies) == 1 and not hasattr(replies[0], "play"):
            self._paths[path].script = replies[0]
            return
        left = list(replies)
        self._paths[path].script = lambda _: left.pop(0) if len(left) > 1 else left[0]

    def trust(self, path: str, *secrets: str | Verifier) -> None:
        """Verifies what arrives at a path; any one of the secrets may fit. A bare one is Standard Webhooks'."""
        self._paths[path].secrets = [Webhook(secret) if isinstance(secret, str) else secret for secret in secrets]

    # --- what a test asks ---------------------------------------------------------------------------------------

    def arrivals(self, path: str | None = None) -> list[Arrival]:
        """The ledger (of one path), in order of arrival."""
        return list(self._arrivals if path is None else self._paths[path].arrivals)

    def counts(self, path: str) -> Counter[str]:
        """How often each event arrived at a path."""
        return Counter(arrival.id for arrival in self.arrivals(path))

    def most_at_once(self, path: str) -> int:
        """The most requests that ever waited for an answer there at the same time."""
        return self._paths[path].most_at_once

    def in_flight(self, path: str) -> int:
        return self._paths[path].in_flight

    def wait_for(self, path: str, count: int, within_s: float = 15.0) -> list[Arrival]:
        """The ledger of a path once it holds `count` requests."""
        until(
            lambda: len(self.arrivals(path)) >= count,
            lambda: f"{count} requests at {path}; there are {len(self.arrivals(path))}",
            within_s,
        )
        return self.arrivals(path)

    # --- what a connection tells --------------------------------------------------------------------------------

    def _opened(self, connection: "_Connection") -> int:
        self._open.add(connection)
        self._connections += 1
        return self._connections

    def _closed(self, connection: "_Connection") -> None:
        self._open.discard(connection)

    async def _take(self, arrival: Arrival, wire: Wire) -> None:
        place = self._paths[arrival.path]
        _verify(arrival, place.secrets)
        place.in_flight += 1
        place.most_at_once = max(place.most_at_once, place.in_flight)
        self._arrivals.append(arrival)
        place.arrivals.append(arrival)
        reply = place.script(arrival) if place.script else Answer()
        try:
            arrival.answered = await reply.play(wire)
        finally:
            place.in_flight -= 1
        if arrival.answered is not None:
            arrival.answered_at = time.time()


def _verify(arrival: Arrival, secrets: list[Verifier]) -> None:
    for secret in secrets:
        try:
            secret.verify(arrival.body, arrival.headers)
        except (WebhookVerificationError, ValueError) as error:
            arrival.fault = str(error) or type(error).__name__
        else:
            arrival.fault, arrival.verified = None, True
            return


class _Connection(asyncio.Protocol):
    """Reads requests; the callbacks' names are httptools'."""

    wire: Wire

    def __init__(self, receiver: LedgerReceiver) -> None:
        self._receiver = receiver
        self._parser = httptools.HttpRequestParser(self)
        self._number = 0
        self._path = ""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._playing: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.wire = Wire(transport)
        self._number = self._receiver._opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.wire.lost.set()
        self.wire.writable.set()
        self._receiver._closed(self)

    def pause_writing(self) -> None:
        self.wire.writable.clear()

    def resume_writing(self) -> None:
        self.wire.writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.wire.reset()

    def on_message_begin(self) -> None:
        self._path, self._headers, self._body = "", {}, []

    def on_url(self, url: bytes) -> None:
        self._path += url.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")
        if name.lower() == b"expect":  # a client that waits for leave before it sends its body
            self.wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self.wire.requests += 1
        arrival = Arrival(
            path=self._path,
            method=self._parser.get_method().decode(),
            headers=self._headers,
            body=b"".join(self._body),
            at=time.time(),
            connection=self._number,
            nth_on_connection=self.wire.requests,
        )
        playing = self._receiver._loop.create_task(self._receiver._take(arrival, self.wire))
        self._playing.add(playing)
        playing.add_done_callback(self._playing.discard)
