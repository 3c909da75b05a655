"""The seam for triggers: what is remembered of an account, its log of activities, its timers.

An account's trigger state has one version. A batch is decided on what was read at that version and written only if it
is still the version; otherwise nothing is written and the batch is decided again. So counters, first sights and the
events that they fire are one transaction, whoever else is at work.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from tocsin.clock import Millis
from tocsin.model import AccountId
from tocsin.store.port.journal import Ingested, NewEvent
from tocsin.store.port.settings import Change


class NewActivity(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the log. `result`: what its publisher was told, as JSON, for the answer to a duplicate."""

    id: int
    kind: str
    at: Millis
    accepted_at: Millis
    external_id: str | None
    digest: bytes  # 16 bytes over what makes two activities the same content; used only with an `external_id`
    data: bytes  # as it came, compact JSON
    result: bytes
    visitor_id: str | None


class KnownActivity(msgspec.Struct, frozen=True, kw_only=True):
    """The first activity that had an external id. Its namespace is not that of events."""

    id: int
    digest: bytes
    result: bytes


class TriggerAsk(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    keys: frozenset[str]
    external_ids: frozenset[str] = frozenset()
    timers: frozenset[str] = frozenset()  # by name


class TriggerRead(msgspec.Struct, frozen=True, kw_only=True):
    """`values`: of every key asked for, None where there is nothing (or it has expired)."""

    version: int
    values: Mapping[str, bytes | None]
    known: Mapping[str, KnownActivity]  # by external id
    timers: Mapping[str, Millis] = {}  # those asked for that are set: when they are due


class TriggerWrite(msgspec.Struct, frozen=True, kw_only=True):
    """All that one account's batch changes: durable together or not at all."""

    account_id: AccountId
    version: int  # as read
    config_version: int  # the account's: its settings, time zone and routing that the batch was decided by
    activities: tuple[NewActivity, ...]
    puts: Mapping[str, tuple[bytes, Millis | None]]  # the value, and when it may be forgotten
    drops: frozenset[str]
    timers: Mapping[str, Millis | None]  # by name: when due; None: removed
    events: tuple[NewEvent, ...]
    audit: tuple[Change, ...] = ()  # what people changed of what triggers know


class Timer(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    name: str
    due_at: Millis


class Deciding(Protocol):
    """What a batch is decided and written by."""

    async def read(self, asks: Sequence[TriggerAsk], now: Millis) -> Sequence[TriggerRead | None]:
        """One consistent read for all asks, in order; None: there is no such account (any more)."""
        ...

    async def write(self, writes: Sequence[TriggerWrite], epoch: int) -> Sequence[Ingested]:
        """Each account's write by itself, all in one transaction: `Accepted`, `Stale` (the trigger version or a
        `config_version`, its own or an event's, is no longer the one), `AccountGone` or `Unstorable`.
        """
        ...


class Turn(Deciding, Protocol):
    """As long as it lasts, nobody else writes the state of the accounts that it holds. One `write` ends it."""

    @property
    def held(self) -> frozenset[AccountId]: ...


class Triggers(Deciding, Protocol):
    def turn(self, account_ids: Sequence[AccountId]) -> AbstractAsyncContextManager[Turn]:
        """Holds the first of the accounts, waiting for whoever holds it, first come, first served; and those of the
        others that nobody holds. So whoever waits holds nothing, and nobody waits in a circle. What is not written by
        the end of the context is not written.

        Raises:
            Unavailable: on entering.
        """
        ...

    async def due(self, now: Millis, limit: int) -> Sequence[Timer]:
        """Timers that are due, the longest due first."""
        ...

    async def next_due(self) -> Millis | None:
        """When the next timer is due; None: there is none."""
        ...

    async def scan(self, account_id: AccountId, prefix: str, after: str, limit: int) -> Sequence[tuple[str, bytes]]:
        """What is remembered under keys with that prefix, beyond `after`, in the order of keys; what has expired too,
        as long as it is not purged.
        """
        ...

    async def activities(
        self, account_id: AccountId, *, since: Millis, until: Millis, after: int, limit: int
    ) -> Sequence[NewActivity]:
        """The log in the order of commits (ids), accepted in that time, beyond the id `after`; without those whose data
        retention or an erasure took.
        """
        ...
