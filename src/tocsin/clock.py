"""The one clock. Every instant inside is a whole number of milliseconds since 1970-01-01T00:00:00Z (`Millis`).

SQL never asks for the time and pure code takes it as an argument, so that a test can be anywhere in time.
"""

import time
from collections import deque
from datetime import UTC, datetime
from typing import NewType, Protocol

Millis = NewType("Millis", int)


class Clock(Protocol):
    """Tells the instant, and measures spans that no change of the system's time can bend."""

    def now_ms(self) -> Millis: ...

    def monotonic_s(self) -> float: ...


class SystemClock:
    """The process's own clock."""

    def now_ms(self) -> Millis:
        return Millis(time.time_ns() // 1_000_000)

    def monotonic_s(self) -> float:
        return time.monotonic()


# Samples of which the best is believed: half a minute of beats, in which no quartz wanders by more than 2 ms.
_SAMPLES = 16
_WANDER_S = 0.002

# Up to here a clock that was ahead goes at half speed until it is right. Beyond it steps back: instants that are wrong
# by more would make other processes look dead.
_SLEW_S = 5.0


class CorrectedClock:
    """Another clock's time, from this process's spans: all processes on one database have one time.

    Once it has observed, changes of the system's time do not matter to it. Forwards it is corrected at once. Backwards
    it never goes, but where it was ahead by more than 5 s; until then it goes at half speed until it is right.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, float]] = deque(maxlen=_SAMPLES)  # least and greatest offset
        self._offset_s = 0.0  # from monotonic to instants
        self._ahead_s = 0.0  # of that, at `_since_s`
        self._since_s = 0.0
        self._shown = Millis(0)  # the last instant: no rounding leads behind it

    def now_ms(self) -> Millis:
        if not self._samples:
            return self._clock.now_ms()
        self._shown = max(self._shown, Millis(int(self._at(self._clock.monotonic_s()) * 1000)))
        return self._shown

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()

    def observe(self, sent_s: float, received_s: float, stored_now: Millis) -> None:
        """Takes an instant that was told between the two moments of `monotonic_s`.

        Of the last ones that with the shortest way counts. Those that the newest proves wrong are forgotten: the other
        clock was set.
        """
        least = stored_now / 1000 - received_s
        most = (stored_now + 1) / 1000 - sent_s  # it is told in whole milliseconds
        agreeing = [one for one in self._samples if one[0] - _WANDER_S <= most and least <= one[1] + _WANDER_S]
        now_s = self._clock.monotonic_s()
        self._shown = self.now_ms()
        shown_s = self._at(now_s) if self._samples else self._shown / 1000
        self._samples = deque([*agreeing, (least, most)], maxlen=_SAMPLES)
        low, high = min(self._samples, key=lambda one: one[1] - one[0])
        self._offset_s = (low + high) / 2
        ahead_s = shown_s - (now_s + self._offset_s)
        if ahead_s > _SLEW_S:
            self._shown = Millis(0)
        self._ahead_s = ahead_s if 0 < ahead_s <= _SLEW_S else 0.0
        self._since_s = now_s

    def _at(self, monotonic_s: float) -> float:
        ahead_s = self._ahead_s - (monotonic_s - self._since_s) / 2
        return monotonic_s + self._offset_s + max(ahead_s, 0.0)


class ManualClock:
    """A clock that stands still until it is moved: for tests and for walking through a schedule."""

    def __init__(self, now_ms: int = 1_767_225_600_000) -> None:
        """Starts at 2026-01-01T00:00:00Z unless told otherwise."""
        self._now_ms = now_ms
        self._monotonic_s = 0.0

    def now_ms(self) -> Millis:
        return Millis(self._now_ms)

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        self._now_ms += round(seconds * 1000)
        self._monotonic_s += seconds


def rfc3339(at_ms: int) -> str:
    """``2026-01-01T00:00:00.000Z``: how `/v1` shows instants."""
    seconds, millis = divmod(at_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{millis:03d}Z"


def rfc3339_seconds(at_ms: int) -> str:
    """``2026-01-01T00:00:00Z``: how bodies on the wire show instants."""
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}Z"


def parse_rfc3339(text: str) -> Millis:
    """Reads an RFC 3339 instant of any offset.

    Raises:
        ValueError: the text is not RFC 3339, has no offset, or lies outside the years 1970 to 9999.
    """
    if len(text) < 20 or text[10] not in "Tt ":  # the shortest is 1970-01-01T00:00:00Z
        raise ValueError("not an RFC 3339 instant such as 2026-01-01T00:00:00Z")
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("the instant has no offset: end it with Z or, say, +02:00")
    at_ms = round(at.timestamp() * 1000)
    if at_ms < 0:
        raise ValueError("instants before 1970 are not taken")
    return Millis(at_ms)
