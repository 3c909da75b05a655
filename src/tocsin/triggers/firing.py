"""From occurrences to a dialect's events."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

import msgspec

from tocsin.clock import Millis
from tocsin.profiles import Profile
from tocsin.triggers.occurrences import Occurrence


class Fired(msgspec.Struct, frozen=True, kw_only=True):
    """An event's content. `data`: compact JSON that JavaScript leaves alone, and that fits its type's schema."""

    type: str
    timestamp: Millis
    data: bytes


class Firing:
    """What one dialect makes of occurrences. `wanted`: the names of those that it makes events of."""

    wanted: frozenset[str] = frozenset()

    def events(self, _occurrence: Occurrence, *, timezone: ZoneInfo) -> Sequence[Fired]:  # noqa: ARG002 - the seam
        return ()


_QUIET = Firing()


def load(_profile: Profile) -> Firing:
    return _QUIET
