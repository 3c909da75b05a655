"""Filters of webhooks: CEL over `event` and `data`."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import cel

from tocsin.clock import Millis
from tocsin.errors import Fault, Invalid

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FilterFailed(Exception):
    """The filter says neither yes nor no of this event; the text says why."""


class FilterInput:
    """One event, as all its filters see it."""

    __slots__ = ("data", "timestamp", "type")

    def __init__(self, type: str, timestamp: Millis, data: Any) -> None:
        self.type = type
        self.timestamp = timestamp
        self.data = data


class Filter:
    """One compiled filter."""

    def __init__(self, program: Any) -> None:
        self._program = program

    def matches(self, given: FilterInput) -> bool:
        """Raises `FilterFailed` where it can be neither true nor false of this event."""
        at = _EPOCH + timedelta(milliseconds=given.timestamp)
        try:
            found = self._program.execute({"event": {"type": given.type, "timestamp": at}, "data": given.data})
        except Exception as error:  # noqa: BLE001 - the library raises many kinds, and all mean this
            raise FilterFailed(str(error)[:200]) from None
        if not isinstance(found, bool):
            raise FilterFailed("it is neither true nor false")
        return found


@lru_cache(maxsize=4096)
def compile_filter(text: str) -> Filter:
    """Raises `Invalid` (``filter_invalid``) where the text is no filter."""
    try:
        return Filter(cel.compile(text))
    except ValueError as error:
        why = str(error)[:300]
        raise Invalid("the filter is not valid", code="filter_invalid", faults=[Fault("/filter", why)]) from None
