"""Names to addresses, by c-ares: a name whose server hangs delays nobody who asks for another.

An answer says where a name points now, not that it may be dialled: that is the guard's to say, each time.
"""

import asyncio
import contextlib
import ipaddress
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import aiodns
import msgspec
import pycares

from tocsin.errors import Misconfigured

# An answer counts for its own time to live, but at most this long, so that a receiver that moves is followed soon.
_MAX_TTL_S = 30.0
# Zones with a time to live of nought would cost a query a delivery.
_MIN_TTL_S = 1.0
# How long a failure counts: attempts of one burst fail at once, the next retry asks again.
_FAILURE_TTL_S = 5.0
# Names remembered. One entry is about 300 bytes.
_MAX_NAMES = 16_384
# Lookups at once: a query is a UDP datagram and a few hundred bytes, the name server is somebody else's.
_MAX_LOOKUPS = 512
# Of these, for names with the same last two labels: a zone that never answers, under whichever of its names, holds
# no more than this share.
_MAX_LOOKUPS_PER_ZONE = 16
# More addresses than any honest receiver has; each one has to be judged.
_MAX_ADDRESSES = 64
# c-ares doubles the wait with each try: a quarter, a half and the whole of the time limit.
_TRIES = 3

_REASONS = {
    pycares.errno.ARES_ENOTFOUND: "the name does not exist",
    pycares.errno.ARES_ENODATA: "the name has no address",
    pycares.errno.ARES_ESERVFAIL: "its name server reports a failure (SERVFAIL)",
    pycares.errno.ARES_EREFUSED: "its name server refuses to answer (REFUSED)",
    pycares.errno.ARES_ETIMEOUT: "its name server did not answer in time",
    pycares.errno.ARES_ECONNREFUSED: "no name server can be reached",
    pycares.errno.ARES_EBADNAME: "it is not a valid name",
    pycares.errno.ARES_EBADRESP: "its name server's answer is damaged",
    pycares.errno.ARES_ECANCELLED: "the resolver is closed",
}


class ResolveFailed(Exception):
    """The name has no address now; `reason` completes "NAME does not resolve: …"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Answer(msgspec.Struct, frozen=True):
    until_s: float
    found: tuple[str, ...] | str  # addresses, or the reason why there are none


class _Lookup:
    """One name being asked for. It may outlive those who wait: c-ares gives up later than they do."""

    def __init__(self, host: str, result: asyncio.Future[tuple[str, ...] | str]) -> None:
        self.host = host
        self.zone = ".".join(host.rsplit(".", 2)[-2:])
        self.result = result


class Resolver:
    """Asks for A and AAAA, after ``/etc/hosts``, the way getaddrinfo does, but never adds a search domain.

    Bound to the event loop that it is first used on.

    Args:
        servers: ``"192.0.2.1"`` or ``"127.0.0.1:5353"``; None: the system's.
        timeout_s: how long one who asks waits at most.
        monotonic_s: for tests of expiry.

    Raises:
        Misconfigured: one of the servers is no address.
    """

    def __init__(
        self,
        servers: Sequence[str] | None = None,
        timeout_s: float = 5.0,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._servers = None if servers is None else [_checked(server) for server in servers]
        self._timeout_s = timeout_s
        self._monotonic_s = monotonic_s
        self._dns: aiodns.DNSResolver | None = None
        self._closed = False
        self._answers: dict[str, _Answer] = {}  # the oldest first
        self._lookups: dict[str, _Lookup] = {}  # waiting or running, by name
        self._waiting: dict[str, deque[_Lookup]] = {}  # by zone
        self._running: dict[str, int] = {}  # by zone
        self._running_total = 0
        self._ready: deque[str] = deque()  # zones with a lookup that may start: a rotation

    def cached(self, host: str) -> tuple[str, ...] | None:
        """The addresses, where they are known without asking; the same object until they are asked for again."""
        answer = self._answers.get(host)
        if answer is None or isinstance(answer.found, str) or answer.until_s <= self._monotonic_s():
            return None
        return answer.found

    async def resolve(self, host: str) -> tuple[str, ...]:
        """The addresses of a name, in the order to try them.

        Raises:
            ResolveFailed: there are none, or not in time.
        """
        answer = self._answers.get(host)
        if answer is not None and answer.until_s > self._monotonic_s():
            found = answer.found
        elif self._closed:
            found = "the resolver is closed"
        else:
            found = await asyncio.shield(self._ask(host))
        if isinstance(found, str):
            raise ResolveFailed(found)
        return found

    async def close(self) -> None:
        """Ends every lookup as failed."""
        self._closed = True
        for lookup in list(self._lookups.values()):
            self._settle(lookup, "the resolver is closed")
        if self._dns is not None:
            await self._dns.close()

    def _ask(self, host: str) -> asyncio.Future[tuple[str, ...] | str]:
        lookup = self._lookups.get(host)
        if lookup is not None and not lookup.result.done():
            return lookup.result
        loop = asyncio.get_running_loop()
        result = loop.create_future()
        if lookup is not None:  # those who waited have given up, but the query is still under way: wait on for it
            lookup.result = result
        else:
            lookup = self._lookups[host] = _Lookup(host, result)
            waiting = self._waiting.setdefault(lookup.zone, deque())
            waiting.append(lookup)
            if len(waiting) == 1 and self._running.get(lookup.zone, 0) < _MAX_LOOKUPS_PER_ZONE:
                self._ready.append(lookup.zone)
            self._start_some()
        if not result.done():
            late = loop.call_later(self._timeout_s, self._settle, lookup, _REASONS[pycares.errno.ARES_ETIMEOUT], result)
            result.add_done_callback(lambda _: late.cancel())
        return result

    def _start_some(self) -> None:
        while self._ready and self._running_total < _MAX_LOOKUPS:
            zone = self._ready.popleft()
            waiting = self._waiting[zone]
            lookup = waiting.popleft()
            if lookup.result.done():  # nobody waits any more
                del self._lookups[lookup.host]
            else:
                self._running[zone] = self._running.get(zone, 0) + 1
                self._running_total += 1
                self._start(lookup)
            if not waiting:
                del self._waiting[zone]
            elif self._running.get(zone, 0) < _MAX_LOOKUPS_PER_ZONE:
                self._ready.append(zone)

    def _start(self, lookup: _Lookup) -> None:
        try:
            asked = self._query(lookup)
        except Exception as error:  # noqa: BLE001 - such as no descriptors left: those who wait are to be told
            asked = asyncio.get_running_loop().create_future()
            asked.set_exception(error)
        asked.add_done_callback(partial(self._answered, lookup))

    def _query(self, lookup: _Lookup) -> asyncio.Future[Any]:
        if self._dns is None:
            self._dns = aiodns.DNSResolver(
                self._servers,
                timeout=self._timeout_s / 4,
                tries=_TRIES,
                # What was asked for is what is looked up: no search domain is appended.
                flags=pycares.ARES_FLAG_NOSEARCH | pycares.ARES_FLAG_EDNS,
            )
        return self._dns.getaddrinfo(lookup.host, type=socket.SOCK_STREAM)

    def _answered(self, lookup: _Lookup, asked: asyncio.Future[Any]) -> None:
        zone = lookup.zone
        self._running_total -= 1
        self._running[zone] -= 1
        if not self._running[zone]:
            del self._running[zone]
        if zone in self._waiting and zone not in self._ready:
            self._ready.append(zone)
        del self._lookups[lookup.host]
        found, ttl_s = _read(asked)
        self._settle(lookup, found, ttl_s=ttl_s)
        if not self._closed:
            self._start_some()

    def _settle(
        self,
        lookup: _Lookup,
        found: tuple[str, ...] | str,
        result: asyncio.Future[tuple[str, ...] | str] | None = None,
        ttl_s: float = _FAILURE_TTL_S,
    ) -> None:
        """Remembers what was found and tells those who wait. `result`: only if it is still this one."""
        if result is not None and result is not lookup.result:
            return
        self._answers.pop(lookup.host, None)
        self._answers[lookup.host] = _Answer(self._monotonic_s() + ttl_s, found)
        if len(self._answers) > _MAX_NAMES:
            # No entry counts longer than half a minute, so that the oldest is the least useful.
            del self._answers[next(iter(self._answers))]
        if not lookup.result.done():
            lookup.result.set_result(found)


def _checked(server: str) -> str:
    host, colon, port = server.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):  # IPv4, or bare IPv6, without a port
        host, port = server, "53"
    try:
        ipaddress.ip_address(host.strip("[]"))
        valid = 0 < int(port) < 65_536
    except ValueError:
        valid = False
    if not valid:
        raise Misconfigured(
            f"TOCSIN_DNS_SERVERS: {server!r} is no address; write 192.0.2.1, 192.0.2.1:53 or [2001:db8::1]:53"
        )
    return server


def normal_ip(text: str) -> str:
    """The one spelling in which sockets and libcurl give an address.

    Raises:
        OSError: it is none.
    """
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    return socket.inet_ntop(family, socket.inet_pton(family, text))


def _read(asked: asyncio.Future[Any]) -> tuple[tuple[str, ...] | str, float]:
    """What c-ares found, and for how long it counts."""
    if asked.cancelled():
        return "the resolver is closed", _FAILURE_TTL_S
    error = asked.exception()
    if isinstance(error, aiodns.error.DNSError):
        code, text = error.args[0], error.args[-1]
        return _REASONS.get(code, str(text)), _FAILURE_TTL_S
    if error is not None:
        return f"it cannot be looked up: {error}", _FAILURE_TTL_S
    addresses: dict[str, None] = {}
    ttl_s = _MAX_TTL_S
    for node in asked.result().nodes:
        with contextlib.suppress(ValueError, OSError):  # families other than the two have no such form
            addresses[normal_ip(node.addr[0].decode())] = None
            ttl_s = min(ttl_s, float(node.ttl))
    if not addresses:
        return _REASONS[pycares.errno.ARES_ENODATA], _FAILURE_TTL_S
    if len(addresses) > _MAX_ADDRESSES:
        return f"it has {len(addresses)} addresses, and at most {_MAX_ADDRESSES} are taken", _FAILURE_TTL_S
    return tuple(addresses), max(ttl_s, _MIN_TTL_S)
