"""The one clock. Every instant inside is a whole number of milliseconds since 1970-01-01T00:00:00Z (`Millis`).

SQL never asks for the time and pure code takes it as an argument, so that a test can be anywhere in time.
"""

import time
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
