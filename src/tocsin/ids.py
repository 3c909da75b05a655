"""Ids: 63-bit integers inside, sorted by time; prefixed text outside (``evt_06f3k9w2zq8rt``).

    bit 62 … 22   milliseconds since 2020-01-01T00:00:00Z (41 bits: until 2089)
    bit 21 … 10   sequence within the millisecond; a burst beyond 4096 borrows the next millisecond
    bit  9 …  0   node: which process made it, so that processes never collide

Outside, an id is its kind's prefix and 13 digits of Crockford's base 32 in lower case, which sort as the numbers do.
"""

from collections.abc import Iterable

from tocsin.clock import Clock

EPOCH_MS = 1_577_836_800_000  # 2020-01-01T00:00:00Z
_NODE_BITS = 10
_TIME_SHIFT = 22
NODES = 1 << _NODE_BITS

PREFIXES = {
    "account": "acc_",
    "key": "key_",
    "event": "evt_",
    "webhook": "wh_",
    "delivery": "dlv_",
    "attempt": "att_",
    "activity": "act_",
    "replay": "rpl_",
    "alert": "alr_",
    "digest": "dig_",
    "notice": "ntc_",
}

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_VALUES = {c: i for i, c in enumerate(_ALPHABET)}
_DIGITS = 13


class IdSource:
    """Makes ids for one process: unique among nodes, strictly increasing here."""

    def __init__(self, clock: Clock, node: int = 0) -> None:
        self._clock = clock
        self._last = 0
        self.renumber(node)

    def renumber(self, node: int) -> None:
        """The ids from now on are that node's."""
        if not 0 <= node < NODES:
            raise ValueError(f"node must be 0 to {NODES - 1}")
        self._node = node

    def begin_above(self, last_id: int) -> None:
        """The ids from now on are greater, whatever the clock says."""
        self._last = max(self._last, last_id >> _NODE_BITS << _NODE_BITS)

    def next(self) -> int:
        at = (self._clock.now_ms() - EPOCH_MS) << _TIME_SHIFT
        last = self._last + (1 << _NODE_BITS)
        self._last = last = max(at, last)
        return last | self._node


def show(prefix: str, number: int) -> str:
    """``show("evt_", 7)`` is ``evt_0000000000007``."""
    p = _PAIRS
    return (
        f"{prefix}{_ALPHABET[number >> 60]}{p[number >> 50 & 1023]}{p[number >> 40 & 1023]}"
        f"{p[number >> 30 & 1023]}{p[number >> 20 & 1023]}{p[number >> 10 & 1023]}{p[number & 1023]}"
    )


def parse(prefix: str, text: str) -> int | None:
    """The number inside an id, or None where the text is no id of that kind."""
    digits = text.removeprefix(prefix)
    if len(digits) != _DIGITS or len(text) != len(prefix) + _DIGITS:
        return None
    number = 0
    for digit in digits:
        value = _VALUES.get(digit)
        if value is None:
            return None
        number = number << 5 | value
    return number if number < 1 << 63 else None


def parse_any(prefixes: Iterable[str], text: str) -> int | None:
    """As `parse`, where an id may be of one of several kinds."""
    return next((number for prefix in prefixes if (number := parse(prefix, text)) is not None), None)


def first_at(at_ms: int) -> int:
    """The smallest id that can have been made at that instant: turns a time into a bound on ids."""
    return max(0, at_ms - EPOCH_MS) << _TIME_SHIFT


def made_at_ms(number: int) -> int:
    """When an id was made."""
    return (number >> _TIME_SHIFT) + EPOCH_MS
