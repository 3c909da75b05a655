"""Taking a visitor out: events, attempts, activities, what triggers remember.

A piece at a time, each in a transaction of its own. Everything is found by what the pieces before take away, so an
erasure that was interrupted is finished by doing it again.
"""

from collections.abc import Sequence
from functools import partial

import msgspec

from tocsin.clock import Millis
from tocsin.model import AccountId
from tocsin.store.columns import decode_attempt, encode_attempt
from tocsin.store.port import Change, Erased
from tocsin.store.postgres.accounts import record
from tocsin.store.postgres.database import Pool, in_range
from tocsin.store.postgres.statements import statements
from tocsin.store.postgres.writer import Writer, WritingDatabase
from tocsin.store.scrubbing import bare, bared, without

_DELIVERY = statements("delivery")
_ERASURE = statements("erasure")
_PURGE = statements("purge")
_RECORD = statements("record")
_TRIGGER = statements("trigger")

# Events of one transaction, with all their deliveries and attempts: what is settled waits for it.
_EVENTS = 50
_ACTIVITIES = 500

# Rows that one call looks at: some 20 ms.
_LOOK = 5_000


class PostgresErasure:
    def __init__(self, writer: Writer, pool: Pool) -> None:
        self._writer = writer
        self._pool = pool

    async def erase(self, account_id: AccountId, visitor_id: str, now: Millis, change: Change) -> Erased | None:
        if not in_range(account_id) or not await self._pool.read(
            lambda db: db.value(_RECORD["account_lives"], account_id)
        ):
            return None
        deliveries = attempts = digests = 0
        events = await self._events(account_id, visitor_id)
        for i in range(0, len(events), _EVENTS):
            piece = partial(_empty, account_id=account_id, ids=events[i : i + _EVENTS], now=now)
            cancelled, emptied, changed = await self._writer.alone(piece)
            deliveries, attempts, digests = deliveries + cancelled, attempts + emptied, digests + changed
        found = Erased(
            events=len(events),
            deliveries=deliveries,
            attempts=attempts,
            digests=digests,
            activities=await self._activities(account_id, visitor_id),
            remembered=await self._remembered(account_id, visitor_id),
        )
        told = msgspec.structs.replace(change, detail={**change.detail, **msgspec.structs.asdict(found)})
        await self._writer.alone(lambda db: record(db, account_id, told))
        return found

    async def _events(self, account_id: int, visitor_id: str) -> list[int]:
        found: list[int] = []
        while True:
            values = (account_id, visitor_id.encode(), found[-1] if found else 0, _LOOK)
            rows = await self._pool.read(lambda db, values=values: db.rows_in_order(_ERASURE["events"], *values))  # type: ignore[misc]
            found += [id_ for (id_,) in rows]
            if len(rows) < _LOOK:
                return found

    async def _activities(self, account_id: int, visitor_id: str) -> int:
        values = (account_id, visitor_id.encode(), _ACTIVITIES)
        total = 0
        while n := await self._writer.alone(lambda db: db.change(_ERASURE["empty_activities"], *values)):
            total += n
        return total

    async def _remembered(self, account_id: int, visitor_id: str) -> int:
        n = 0
        place: bytes | None = None
        while True:
            values = (account_id, place, visitor_id.encode(), _LOOK)
            rows = await self._pool.read(lambda db, values=values: db.rows_in_order(_ERASURE["remembered"], *values))  # type: ignore[misc]
            own = [key for key, _ in rows if _is_of(key, visitor_id)]
            naming = [key for key, value in rows if value is not None and without(value, visitor_id) is not None]
            if own or naming:
                piece = partial(_forget, account_id=account_id, own=own, naming=naming, visitor_id=visitor_id)
                n += await self._writer.alone(piece)
            if len(rows) < _LOOK:
                return n
            place = rows[-1][0]


async def _empty(db: WritingDatabase, *, account_id: int, ids: Sequence[int], now: Millis) -> tuple[int, int, int]:
    """How many deliveries were cancelled, attempts emptied, and digests changed."""
    await db.rows(_ERASURE["lock_deliveries"], account_id, ids)
    deliveries = [id_ for (id_,) in await db.rows(_ERASURE["deliveries"], account_id, ids)]
    cancelled = emptied = 0
    digests: list[int] = []
    if deliveries:
        cancelled = await db.change(_ERASURE["cancel"], account_id, deliveries, now)
        digests = await _change_digests(db, account_id, deliveries)
        for delivery_id, id_, kept in await db.rows(_ERASURE["attempts"], account_id, [*deliveries, *digests]):
            attempt = decode_attempt(kept)
            left = bare(attempt)
            if left != attempt:
                await db.change(_ERASURE["change_attempt"], account_id, delivery_id, id_, encode_attempt(left))
                emptied += 1
    await db.change(_PURGE["delete_fan_outs"], ids)
    await db.change(_PURGE["unkeep_bodies"], ids)
    await db.change(_ERASURE["empty_events"], account_id, ids)
    return cancelled, emptied, len(digests)


async def _change_digests(db: WritingDatabase, account_id: int, deliveries: Sequence[int]) -> list[int]:
    """Takes all particulars out of the digests that hold any of the deliveries; which they are."""
    holders = [id_ for (id_,) in await db.rows(_ERASURE["holders"], account_id, deliveries)]
    if not holders:
        return []
    changed = []
    await db.rows(_DELIVERY["lock"], holders)  # what is being settled of them is settled before or after
    for id_, event_id, summary in await db.rows(_ERASURE["summaries"], account_id, holders):
        await db.change(_ERASURE["change_digest"], account_id, id_)
        if summary is not None:  # else retention took it
            await db.change(_ERASURE["change_summary"], account_id, event_id, bared(summary))
            changed.append(id_)
    return changed


async def _forget(
    db: WritingDatabase, *, account_id: int, own: Sequence[bytes], naming: Sequence[bytes], visitor_id: str
) -> int:
    await db.change(_TRIGGER["outdate"], account_id)
    n = await db.change(_TRIGGER["drop"], [account_id] * len(own), own) if own else 0
    for key, value in await db.rows(_ERASURE["values"], account_id, naming) if naming else []:
        changed = without(value, visitor_id)
        if changed is not None:
            n += await db.change(_ERASURE["change_value"], account_id, key, changed)
    return n


def _is_of(key: bytes, visitor_id: str) -> bool:
    """Whether the key is one of the visitor's own."""
    noun, _, subject = key.decode().partition(":")
    if noun in ("address", "address_day"):
        return subject == visitor_id
    return noun.startswith("visitor") and subject in (visitor_id, f"@{visitor_id}")
