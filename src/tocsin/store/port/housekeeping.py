"""What keeps the database in order."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from tocsin.clock import Millis


class SchemaStatus(msgspec.Struct, frozen=True):
    """`found`: the database's schema, 0 where there is none yet; `newest`: this program's. A greater one that
    is answered is one that this program may work with.
    """

    found: int
    newest: int


class Condition(msgspec.Struct, frozen=True):
    """Something about the database's settings, and what to do about it."""

    grave: bool  # what was answered can be lost
    detail: str
    mend: str


class Purged(msgspec.Struct, frozen=True, kw_only=True):
    bodies: int = 0
    events: int = 0
    deliveries: int = 0
    attempts: int = 0
    dedupe: int = 0
    idempotency: int = 0
    accounts: int = 0
    activities: int = 0
    remembered: int = 0  # keys of trigger state, and timers of accounts that were removed


class Housekeeping(Protocol):
    async def purge(
        self, *, bodies_before: Millis, logs_before: Millis, dedupe_before: Millis, now: Millis, limit: int
    ) -> Purged:
        """Removes up to `limit` rows of each kind that are older; never anything of a delivery that has not ended. What
        was folded goes after its digest. Windows that ended long ago go too. A store that has its logs in pieces may
        keep a large one until all of it is old, and remove it at once then: such rows are counted as it estimates them.
        """
        ...

    async def check(self) -> Sequence[str]:
        """What is wrong with the database, for `tocsin doctor`; empty: nothing."""
        ...

    async def conditions(self) -> Sequence[Condition]:
        """What endangers what is kept, or slows its keeping down, without anything being wrong yet."""
        ...

    async def meta(self, name: str) -> str | None: ...

    async def keep_meta(self, name: str, value: str) -> str:
        """Keeps it where nothing is kept under that name; what is kept there now."""
        ...
