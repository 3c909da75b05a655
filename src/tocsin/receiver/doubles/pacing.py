"""Limits of what a service takes in a time: sliding windows, looking back from each request."""

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import NamedTuple

from tocsin.clock import Clock


class Window(NamedTuple):
    """No more than `most` within any `window_s` seconds."""

    most: int
    window_s: float


class Standing(NamedTuple):
    """How one of them stands after a request: what is left, and when the first of it is given back."""

    window: Window
    remaining: int
    wait_s: float


class Pace:
    """The requests that were taken, by whatever the limit is of. A request that is refused does not count."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._taken: dict[tuple[str, Window], deque[float]] = defaultdict(deque)

    def wait_s(self, limits: Sequence[tuple[str, Window]]) -> tuple[float, str]:
        """How long until one more is allowed by all of them, 0: now, and whose limit it is that takes longest."""
        return max((self._standing(key, window).wait_s, key) for key, window in limits) if limits else (0.0, "")

    def take(self, limits: Sequence[tuple[str, Window]]) -> None:
        now = self._clock.monotonic_s()
        for limit in limits:
            self._taken[limit].append(now)

    def standing(self, key: str, window: Window) -> Standing:
        """`wait_s` here: until the window is empty again, as `X-RateLimit-Reset-After` counts it."""
        taken = self._live(key, window)
        left = max(taken[-1] + window.window_s - self._clock.monotonic_s(), 0.0) if taken else window.window_s
        return Standing(window, max(window.most - len(taken), 0), left)

    def _standing(self, key: str, window: Window) -> Standing:
        taken = self._live(key, window)
        if len(taken) < window.most:
            return Standing(window, window.most - len(taken), 0.0)
        return Standing(window, 0, max(taken[-window.most] + window.window_s - self._clock.monotonic_s(), 0.0))

    def _live(self, key: str, window: Window) -> deque[float]:
        """What still counts; what happened a whole window ago does not."""
        taken = self._taken[key, window]
        since = self._clock.monotonic_s() - window.window_s
        while taken and taken[0] <= since:
            taken.popleft()
        return taken
