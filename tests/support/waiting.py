"""Waiting for what another process does: bounded, and saying in the end what did not come about."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_LOOK_EVERY_S = 0.01  # short beside a process's start, long beside a look


def until(look: Callable[[], T], what: str | Callable[[], str], within_s: float = 15.0) -> T:
    """Looks until it sees something true, and answers that.

    Raises:
        AssertionError: `what` was not seen `within_s`.
    """
    end = time.monotonic() + within_s
    while True:
        if seen := look():
            return seen
        if time.monotonic() > end:
            raise AssertionError(f"not within {within_s:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(_LOOK_EVERY_S)
