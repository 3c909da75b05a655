"""The only door to the network: one request goes out, one truthful `Outcome` comes back.

    send ──judge the address──▶ resolve ──judge each address──▶ libcurl, held to these ──▶ Outcome ──▶ done

An address is judged when it is parsed, when its name is resolved, when a socket is opened, and once more by the
connected socket's own peer before anything is said on it, on kept connections too.
"""

import asyncio
import hashlib
import ssl
import time
from collections import deque
from collections.abc import Callable
from functools import lru_cache

import certifi
from msgspec import structs

from tocsin.engine.sending.answers import Route, seconds
from tocsin.engine.sending.connections import Connections
from tocsin.engine.sending.resolver import ResolveFailed, Resolver, normal_ip
from tocsin.engine.sending.transfer import Transfer
from tocsin.errors import Invalid, Misconfigured
from tocsin.model import Outcome, OutcomeKind, Request
from tocsin.security.guard import MAX_URL, Address, Guard

# A connection idle for longer is likelier to have been dropped by something in between than to be of use.
IDLE_S = 60
# Receivers whose parsed address, and judged route, is remembered. Both are a few hundred bytes.
_MAX_TARGETS = 16_384
# A postback's address, filled with an event's values: what `channels.postback` lets through, and a / that is put in.
_LONGEST = 8_193
# Handles kept for the next request; each is some 5 KiB, and more than these are in use only in bursts.
_MAX_SPARE = 256
_METHODS = frozenset({"POST", "GET", "PATCH"})  # PATCH changes a message in a chat

Done = Callable[[Outcome], None]


class Sender:
    """Sends requests; made and used on one event loop.

    Args:
        ca_file: trust anchors for receivers' certificates; None: certifi's.
        max_connections: requests on the wire at once. More wait their turn, in order, and their time limits with
            them.
        idle_s: how long a connection is kept that nothing is sent on.

    Raises:
        Misconfigured: `ca_file` holds no certificates.
    """

    def __init__(
        self,
        guard: Guard,
        resolver: Resolver,
        *,
        ca_file: str | None = None,
        max_connections: int = 1024,
        idle_s: int = IDLE_S,
    ) -> None:
        self._guard = guard
        self._resolver = resolver
        self._ca_file = certifi.where() if ca_file is None else _checked(ca_file)
        self._idle_s = idle_s
        self._max_connections = max_connections
        self._loop = asyncio.get_running_loop()
        self._connections = Connections(self._loop, self._ca_file, max_connections, idle_s, self._ended)
        self._target = lru_cache(_MAX_TARGETS)(self._parse)
        self._routes: dict[str, tuple[tuple[str, ...], Route | str]] = {}
        self._spare: list[Transfer] = []
        self._on_wire = 0
        self._resolving: dict[asyncio.Task[None], Done] = {}
        self._queue: deque[tuple[Request, Route, float, Done]] = deque()
        self._closed = False

    @property
    def in_flight(self) -> int:
        """Requests whose `done` is still to come: on the wire, being resolved, or waiting for their turn."""
        return self._on_wire + len(self._resolving) + len(self._queue)

    def send(self, request: Request, done: Done) -> None:
        """Sends a request; `done` is called on the event loop with its outcome, exactly once, never from in here."""
        if self._closed:
            self._tell(done, _STOPPED)
            return
        if request.method not in _METHODS:
            self._tell(done, _unsendable(f"the method {request.method!r} is not one of GET, POST and PATCH"))
            return
        # What is longer than a saved address is this event's alone, and not worth remembering.
        target = (self._target if len(request.url) <= MAX_URL else self._parse)(request.url)
        if isinstance(target, str):
            self._tell(done, _blocked(target))
            return
        ips = (target.host,) if target.literal else self._resolver.cached(target.host)
        if ips is not None:
            self._dispatch(request, target, ips, 0.0, done)
            return
        task = self._loop.create_task(self._resolve(request, target, done))
        self._resolving[task] = done

    async def close(self) -> None:
        """Closes every connection at once. Whatever is in flight ends as `connection_lost`, "stopped"."""
        if self._closed:
            return
        self._closed = True
        dropped = self._connections.close()
        for transfer in dropped:
            self._tell(transfer.done, transfer.stopped())
            transfer.close()
        self._on_wire = 0
        for task, done in list(self._resolving.items()):
            task.cancel()
            self._tell(done, _STOPPED)
        self._resolving.clear()
        for _, _, _, done in self._queue:
            self._tell(done, _STOPPED)
        self._queue.clear()
        for transfer in self._spare:
            transfer.close()
        self._spare.clear()
        await asyncio.sleep(0)  # by now each `done` has been called

    # --- before the wire -------------------------------------------------------------------------------------------

    def _parse(self, url: str) -> Address | str:
        try:
            return self._guard.parse(url, longest=_LONGEST)
        except Invalid as error:
            return error.faults[0].detail if error.faults else error.detail

    async def _resolve(self, request: Request, target: Address, done: Done) -> None:
        began = time.monotonic()
        outcome = None
        ips: tuple[str, ...] = ()
        try:
            async with asyncio.timeout(request.timeout_s):
                ips = await self._resolver.resolve(target.host)
        except ResolveFailed as failed:
            outcome = Outcome(kind=OutcomeKind.DNS_ERROR, error=f"{target.host} does not resolve: {failed.reason}.")
        except TimeoutError:
            limit = seconds(request.timeout_s)
            outcome = Outcome(kind=OutcomeKind.TIMEOUT, error=f"{target.host} had not been resolved within {limit}.")
        waited_s = time.monotonic() - began
        task = asyncio.current_task()
        if task is None or self._resolving.pop(task, None) is None:
            return  # closed meanwhile, and told so
        if outcome is None:
            self._dispatch(request, target, ips, waited_s, done)
        else:
            self._tell(done, structs.replace(outcome, duration_us=int(waited_s * 1e6)))

    def _dispatch(self, request: Request, target: Address, ips: tuple[str, ...], waited_s: float, done: Done) -> None:
        route = self._route(request.url, target, ips)
        if isinstance(route, str):
            self._tell(done, _blocked(route))
        elif self._on_wire < self._max_connections:
            self._start(request, route, waited_s, done)
        else:
            self._queue.append((request, route, waited_s, done))

    def _route(self, url: str, target: Address, ips: tuple[str, ...]) -> Route | str:
        """The way to these addresses, or why there is none; remembered until the name's answer changes."""
        known = self._routes.get(url)
        if known is not None and known[0] == ips:
            return known[1]
        refused = self._guard.check_resolved(target, ips)
        route = refused if refused is not None else make_route(target.url, ips, target.port)
        if len(url) <= MAX_URL:
            if len(self._routes) >= _MAX_TARGETS:
                self._routes.clear()
            self._routes[url] = (ips, route)
        return route

    # --- the wire --------------------------------------------------------------------------------------------------

    def _start(self, request: Request, route: Route, waited_s: float, done: Done) -> None:
        transfer = self._spare.pop() if self._spare else Transfer(self._ca_file, self._idle_s, self._guard.refusal)
        try:
            transfer.load(request, route, waited_s, done)
        except ValueError as error:
            transfer.close()
            self._tell(done, _unsendable(str(error)))
            return
        self._on_wire += 1
        self._connections.start(transfer)

    def _ended(self, transfer: Transfer, code: int, message: str) -> None:
        outcome = transfer.outcome(code, message)
        done = transfer.done
        transfer.unload()
        self._on_wire -= 1
        if len(self._spare) < _MAX_SPARE:
            self._spare.append(transfer)
        else:
            transfer.close()
        if self._queue:
            self._start(*self._queue.popleft())
        try:
            done(outcome)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one must not cost the others theirs
            self._loop.call_exception_handler({"message": "an outcome could not be taken", "exception": error})

    def _tell(self, done: Done, outcome: Outcome) -> None:
        self._loop.call_soon(done, outcome)


def make_route(url: str, ips: tuple[str, ...], port: int) -> Route:
    """Holds libcurl to these addresses, whatever it would read in the URL or find in a cache.

    libcurl uses a kept connection again only where CONNECT_TO is the same. One address stands there itself. For
    several, so that it can race them, there stands a name made from all of them, which RESOLVE defines: a name's new
    answer is thereby another destination, and old connections and cached addresses are never used for it.
    """
    ips = tuple(normal_ip(ip) for ip in ips)
    hosts = [f"[{ip}]" if ":" in ip else ip for ip in ips]
    if len(hosts) == 1:
        return Route(url, frozenset(ips), [f"::{hosts[0]}:{port}"], [])
    digest = hashlib.sha256(",".join(sorted(hosts)).encode()).hexdigest()[:32]
    pin = f"{digest}.invalid"
    return Route(url, frozenset(ips), [f"::{pin}:{port}"], [f"+{pin}:{port}:{','.join(hosts)}"])


def _checked(ca_file: str) -> str:
    try:
        ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise Misconfigured(f"TOCSIN_CA_FILE {ca_file}: {error}; name a file of PEM certificates") from None
    return ca_file


_STOPPED = Outcome(kind=OutcomeKind.CONNECTION_LOST, error="Tocsin stopped before the request was sent.")


def _blocked(why: str) -> Outcome:
    return Outcome(kind=OutcomeKind.BLOCKED, error=f"Nothing was sent: {why}.")


def _unsendable(why: str) -> Outcome:
    return Outcome(kind=OutcomeKind.UNSENDABLE, error=f"Nothing was sent: {why}.")
