"""libcurl's multi handle, driven from the event loop: many transfers at once, connections kept for the next.

libcurl's sockets are in an epoll set of their own, and the loop watches that set as one descriptor. So each turn of
the loop gives libcurl a bounded slice, and TLS handshakes cannot hold up everything else; what is left over keeps
the set readable and gets the next turn. Why this and not a thread: docs/decisions/0003-sender-client.md.
"""

import asyncio
import select
import time
from collections import deque
from collections.abc import Callable
from math import ceil

import pycurl

from tocsin.engine.sending.transfer import Transfer, common_options

# One turn's slice. A handshake's step costs up to a millisecond and is not divided.
_SLICE_S = 0.002
_MAX_EVENTS = 64
# Transfers begun in one turn: libcurl takes up all of them in one go, and a new connection costs up to 50 µs.
_MAX_STARTS = 32
# Those that ended are looked at so many at a time. Hundreds at receivers that hang end in the same moment, and what
# follows from each takes a millisecond or less: others would wait for all of it.
_MAX_ENDS = 16

_EVENTS = {pycurl.POLL_IN: select.EPOLLIN, pycurl.POLL_OUT: select.EPOLLOUT}
_EVENTS[pycurl.POLL_INOUT] = select.EPOLLIN | select.EPOLLOUT
_ACTIONS = [
    (pycurl.CSELECT_IN if events & select.EPOLLIN else 0)
    | (pycurl.CSELECT_OUT if events & select.EPOLLOUT else 0)
    | (pycurl.CSELECT_ERR if events & (select.EPOLLERR | select.EPOLLHUP) else 0)
    for events in range(32)
]


class Connections:
    """All transfers under way and all idle connections of one sender.

    Args:
        loop: the event loop; every call is made on it.
        max_kept: connections kept at most, in use or not.
        idle_s: an idle connection is closed after this time, or half as much again.
        ended: told of each transfer that ended, with libcurl's result and words; may start others.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ca_file: str,
        max_kept: int,
        idle_s: int,
        ended: Callable[[Transfer, int, str], None],
    ) -> None:
        self._loop = loop
        self._ended = ended
        self._idle_s = idle_s
        self._running: dict[pycurl.Curl, Transfer] = {}
        self._fresh: deque[pycurl.Curl] = deque()  # of these, what libcurl does not know of yet
        self._epoll = select.epoll()
        self._watched: set[int] = set()
        self._turn_asked = False
        self._due_at: float | None = None  # when libcurl wants its timeouts looked at
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_due)
        self._multi.setopt(pycurl.M_MAXCONNECTS, max_kept)
        loop.add_reader(self._epoll.fileno(), self._turn)
        self._sweeper = pycurl.Curl()
        common_options(self._sweeper, ca_file, idle_s)
        self._sweeper.setopt(pycurl.URL, "http://127.0.0.1:9/")
        self._sweeper.setopt(pycurl.OPENSOCKETFUNCTION, lambda _purpose, _address: pycurl.SOCKET_BAD)
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._sweeping = False
        self._used_at = time.monotonic()

    def start(self, transfer: Transfer) -> None:
        self._running[transfer.curl] = transfer
        self._fresh.append(transfer.curl)
        self._ask_turn()

    def close(self) -> list[Transfer]:
        """Closes every connection and returns the transfers that were under way."""
        self._loop.remove_reader(self._epoll.fileno())
        for timer in (self._timer, self._sweep_timer):
            if timer is not None:
                timer.cancel()
        dropped = list(self._running.values())
        fresh = set(self._fresh)
        for curl in self._running:
            if curl not in fresh:
                self._multi.remove_handle(curl)
        if self._sweeping:
            self._multi.remove_handle(self._sweeper)
        self._running.clear()
        self._multi.close()
        self._sweeper.close()
        self._epoll.close()
        return dropped

    # --- asked by libcurl ------------------------------------------------------------------------------------------

    def _watch(self, what: int, fd: int, _multi: pycurl.CurlMulti, _data: object) -> None:
        if what == pycurl.POLL_REMOVE:
            if fd in self._watched:
                self._watched.remove(fd)
                self._epoll.unregister(fd)
        elif fd in self._watched:
            self._epoll.modify(fd, _EVENTS.get(what, 0))
        else:
            self._watched.add(fd)
            self._epoll.register(fd, _EVENTS.get(what, 0))

    def _set_due(self, timeout_ms: int) -> None:
        if timeout_ms < 0:
            self._due_at = None
            return
        due_at = self._due_at = time.monotonic() + timeout_ms / 1000  # libcurl's clock; uvloop's stands still in a turn
        if timeout_ms == 0:
            self._ask_turn()
        elif self._timer is None or due_at < self._timer_at:
            # A timer that is too early looks again and sets itself anew; so most changes cost nothing.
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = due_at
            self._timer = self._loop.call_later(timeout_ms / 1000, self._timer_fires)

    def _timer_fires(self) -> None:
        self._timer = None
        self._turn()

    def _ask_turn(self) -> None:
        if not self._turn_asked:
            self._turn_asked = True
            self._loop.call_soon(self._asked_turn)

    def _asked_turn(self) -> None:
        self._turn_asked = False
        self._turn()

    # --- the work --------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        if self._epoll.closed:
            return
        now = time.monotonic
        action = self._multi.socket_action
        until = now() + _SLICE_S
        if self._fresh:
            self._begin_some()
        if self._due_at is not None and self._due_at <= now():
            self._due_at = None
            action(pycurl.SOCKET_TIMEOUT, 0)
        for fd, events in self._epoll.poll(0, _MAX_EVENTS):
            action(fd, _ACTIONS[events & 31])
            if now() > until:
                break  # the rest stays ready and comes back after others had their turn
        self._reap(until)
        if self._fresh:
            self._ask_turn()
        if self._due_at is not None:
            self._set_due(max(0, ceil((self._due_at - now()) * 1000)))

    def _begin_some(self) -> None:
        for _ in range(min(len(self._fresh), _MAX_STARTS)):
            self._multi.add_handle(self._fresh.popleft())  # asks for a timeout at once, which begins the work
        self._used_at = time.monotonic()
        if self._sweep_timer is None:
            self._sweep_timer = self._loop.call_later(self._idle_s / 2, self._sweep)

    def _reap(self, until: float) -> None:
        queued = 1
        while queued:
            queued, whole, failed = self._multi.info_read(_MAX_ENDS)
            for curl in whole:
                self._end(curl, 0, "")
            for curl, code, message in failed:
                self._end(curl, code, message)
            if queued and time.monotonic() > until:
                self._ask_turn()
                return

    def _end(self, curl: pycurl.Curl, code: int, message: str) -> None:
        self._multi.remove_handle(curl)
        transfer = self._running.pop(curl, None)
        if transfer is None:
            self._sweeping = False
        else:
            self._ended(transfer, code, message)

    def _sweep(self) -> None:
        """Has libcurl close what has been idle for too long, which it does only at the start of a transfer.

        This one is refused its socket, so that nothing is dialled.
        """
        self._sweep_timer = None
        if not self._sweeping:
            self._sweeping = True
            self._multi.add_handle(self._sweeper)
        if time.monotonic() < self._used_at + 2 * self._idle_s or self._running:
            self._sweep_timer = self._loop.call_later(self._idle_s / 2, self._sweep)
