"""When lanes are to be looked at again, and the one timer of the event loop that all of them share."""

import asyncio
import heapq
from collections.abc import Callable, Iterator

from tocsin.clock import Clock, Millis
from tocsin.engine.dispatching.holdings import Holdings
from tocsin.engine.dispatching.lanes import FOREVER, Lane
from tocsin.model import WebhookId

# At most a second, so that a change of the system's clock is noticed and idle lanes are forgotten.
_WAIT_MAX_S = 1.0


class Alarms:
    """A lane has one: the earliest that was set since it last rang."""

    def __init__(self, holdings: Holdings, clock: Clock, ring: Callable[[], None]) -> None:
        """`ring`: called when some may be due; to go through `due` and then `wait` again."""
        self._holdings = holdings
        self._clock = clock
        self._ring = ring
        self._heap: list[tuple[Millis, WebhookId]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = True

    def start(self) -> None:
        """From now on it rings, once it was told to `wait`."""
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def set(self, lane: Lane, at: Millis) -> None:
        if at >= FOREVER or (lane.timer_at is not None and lane.timer_at <= at):
            return
        lane.timer_at = at
        heapq.heappush(self._heap, (at, lane.webhook_id))
        if self._heap[0][0] == at:
            self.wait()

    def clear(self) -> None:
        self._heap.clear()

    def due(self, now: Millis) -> Iterator[Lane]:
        """The lanes whose time has come, each once; also those whose alarms are set meanwhile."""
        while self._heap and self._heap[0][0] <= now:
            at, webhook_id = heapq.heappop(self._heap)
            lane = self._holdings.get(webhook_id)
            if lane is not None and lane.timer_at == at:
                lane.timer_at = None
                yield lane

    def wait(self) -> None:
        """For the next one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._stopped:
            wait_s = _WAIT_MAX_S
            if self._heap:
                wait_s = min(wait_s, max(0.0, (self._heap[0][0] - self._clock.now_ms()) / 1000))
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._ring)
