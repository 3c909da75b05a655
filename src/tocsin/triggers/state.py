"""What is remembered of one account, while a batch of its activities is decided.

Values are small frozen structs under text keys, ``<noun>:<subject>``; each noun belongs to one module of `rules`. They
are read from the store before a batch. A rule that asks for one that was not read stops by `Unread`; the runner reads
it and decides that activity again from its beginning, so rules ask freely and nothing is half done.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from tocsin.clock import Millis

T = TypeVar("T", bound=msgspec.Struct)

_encode = msgspec.msgpack.Encoder().encode


class Unread(Exception):
    """These keys must be read first."""

    def __init__(self, *keys: str) -> None:
        super().__init__(*keys)
        self.keys = keys


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch has changed: to be written in one transaction with its events."""

    puts: Mapping[str, tuple[bytes, Millis | None]]  # the value, and when it may be forgotten (None: never)
    drops: frozenset[str]
    timers: Mapping[str, Millis | None]  # by name: when it is due; None: no longer


_Entry = tuple[msgspec.Struct | None, Millis | None]


class State:
    """Reads through to what was loaded; keeps what was changed. Values are frozen: to change one, put another."""

    def __init__(self) -> None:
        self.now = Millis(0)  # when what is being decided was accepted; decides only what has been forgotten by then
        self._raw: dict[str, bytes | None] = {}
        self._kept: dict[str, _Entry] = {}
        self._loaded_timers: dict[str, Millis] = {}
        self._timers: dict[str, Millis | None] = {}
        self._tried: dict[str, _Entry] = {}  # by the activity that is being decided
        self._tried_timers: dict[str, Millis | None] = {}
        self._decoded: dict[str, msgspec.Struct | None] = {}

    # --- for rules ------------------------------------------------------------------------------------------------

    def get(self, key: str, shape: type[T]) -> T | None:
        """Raises `Unread` where the key was not loaded."""
        entry = self._tried.get(key) or self._kept.get(key)
        if entry is not None:
            return None if self._over(entry) else entry[0]  # type: ignore[return-value]
        if key in self._decoded:
            return self._decoded[key]  # type: ignore[return-value]
        if key not in self._raw:
            raise Unread(key)
        raw = self._raw[key]
        value = None if raw is None else msgspec.msgpack.decode(raw, type=shape)
        self._decoded[key] = value
        return value

    def need(self, *keys: str) -> None:
        """Asks for several at once, so that they are read together."""
        missing = [key for key in keys if key not in self._raw and key not in self._kept and key not in self._tried]
        if missing:
            raise Unread(*missing)

    def put(self, key: str, value: msgspec.Struct, *, until: Millis | None = None) -> None:
        """Remembers; from `until` on it may be forgotten, and is then as if it had never been."""
        self._tried[key] = (value, until)

    def drop(self, key: str) -> None:
        self._tried[key] = (None, None)

    def set_timer(self, name: str, at: Millis) -> None:
        """Calls the tick rule of the name's noun (what comes before the colon) at that instant, exactly once."""
        self._tried_timers[name] = at

    def clear_timer(self, name: str) -> None:
        self._tried_timers[name] = None

    # --- for the runner -------------------------------------------------------------------------------------------

    def load(self, values: Mapping[str, bytes | None], timers: Mapping[str, Millis] | None = None) -> None:
        """`timers`: those that were asked for and are set, by name."""
        self._raw.update(values)
        self._loaded_timers.update(timers or {})

    def timer(self, name: str) -> Millis | None:
        """When a timer that was loaded, or set here, is due; None: it is not set."""
        for timers in (self._tried_timers, self._timers):
            if name in timers:
                return timers[name]
        return self._loaded_timers.get(name)

    def unread(self, keys: Iterable[str]) -> frozenset[str]:
        """Those of the keys that are not here."""
        return frozenset(key for key in keys if key not in self._raw and key not in self._kept)

    @property
    def changing(self) -> bool:
        """Whether what is being decided has changed anything so far."""
        return bool(self._tried or self._tried_timers)

    def keep(self) -> None:
        """The activity is decided: what it changed counts."""
        self._kept.update(self._tried)
        self._timers.update(self._tried_timers)
        self.undo()

    def undo(self) -> None:
        """Forgets what the activity changed."""
        self._tried.clear()
        self._tried_timers.clear()

    def changes(self) -> Changes:
        puts: dict[str, tuple[bytes, Millis | None]] = {}
        drops: set[str] = set()
        for key, entry in self._kept.items():
            value, until = entry
            if value is None or self._over(entry):
                drops.add(key)
            else:
                puts[key] = (_encode(value), until)
        return Changes(puts=puts, drops=frozenset(drops), timers=dict(self._timers))

    def _over(self, entry: _Entry) -> bool:
        """The store would not find it any more; so a batch must not either, or it would matter how batches are cut."""
        until = entry[1]
        return until is not None and until <= self.now
