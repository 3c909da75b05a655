"""Taking a visitor out: events, attempts, activities, what triggers remember.

Readers find what is concerned, the writer changes it a piece at a time. Everything is found by what the pieces before
take away, so an erasure that was interrupted is finished by doing it again.
"""

from collections.abc import Sequence
from functools import partial

import msgspec

from tocsin.clock import Millis
from tocsin.model import AccountId
from tocsin.store.columns import BEYOND, decode_attempt, encode_attempt
from tocsin.store.port import Change, Erased, Settlement
from tocsin.store.scrubbing import bare, bared, without
from tocsin.store.sqlite import timeline
from tocsin.store.sqlite.accounts import record
from tocsin.store.sqlite.database import Database, many, many_blobs
from tocsin.store.sqlite.ingest import bucket
from tocsin.store.sqlite.readers import Readers
from tocsin.store.sqlite.recent import Recent
from tocsin.store.sqlite.statements import statements
from tocsin.store.sqlite.triggers import living, state_key
from tocsin.store.sqlite.writer import Writer, WritingDatabase

_DELIVERY = statements("delivery")
_DIGEST = statements("digest")
_ERASURE = statements("erasure")
_PURGE = statements("purge")
_TRIGGER = statements("trigger")

# Events of one transaction, with all their deliveries and attempts.
_EVENTS = 50
_ROWS = 500

# Rows that one reader's call looks at: some 20 ms.
_LOOK = 5_000

# The same, of short rows.
_LOOK_SHORT = 50_000

# What is remembered of nearly every visitor; one without an id is known by the address.
_OWN = ("visitor:{}", "visitor:@{}", "visitor_day:{}", "address:{}", "address_day:{}")


class SqliteErasure:
    def __init__(self, writer: Writer, readers: Readers, recent: Recent) -> None:
        self._writer = writer
        self._readers = readers
        self._recent = recent

    async def erase(self, account_id: AccountId, visitor_id: str, now: Millis, change: Change) -> Erased | None:
        if not await self._readers.do(lambda db: living(db, (account_id,))):
            return None
        deliveries = attempts = digests = 0
        events = await self._events(account_id, visitor_id)
        for i in range(0, len(events), _EVENTS):
            piece = events[i : i + _EVENTS]
            cancelled, emptied, changed = await self._writer.do(lambda db, ids=piece: _empty(db, ids, now), rows=_ROWS)  # type: ignore[misc]
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
        await self._writer.do(lambda db: record(db, account_id, told))
        return found

    async def _events(self, account_id: int, visitor_id: str) -> list[int]:
        found: list[int] = []
        place = bucket(account_id, visitor_id)
        while True:
            values = (place, found[-1] if found else 0, account_id, visitor_id, _LOOK)
            rows = await self._readers.do(lambda db, values=values: db.rows(_ERASURE["events"], values))  # type: ignore[misc]
            found += [id_ for (id_,) in rows]
            if len(rows) < _LOOK:
                return found

    async def _activities(self, account_id: int, visitor_id: str) -> int:
        """There is no index of their visitors, which every activity would pay for: all of the account are looked at."""

        def look(beyond: int, db: Database) -> tuple[list[int], int | None]:
            unmerged = self._recent.ids_of(-account_id)
            ids = timeline.after(db, -account_id, unmerged, beyond, BEYOND, _LOOK)
            if not ids:
                return [], None
            rows = db.rows(_ERASURE["activities"], (many(ids), account_id, visitor_id))
            return [id_ for (id_,) in rows], ids[-1]

        n = 0
        beyond: int | None = 0
        while beyond is not None:
            ids, beyond = await self._readers.do(partial(look, beyond))
            for i in range(0, len(ids), _ROWS):
                values = (many(ids[i : i + _ROWS]),)
                n += await self._writer.do(
                    lambda db, values=values: db.change(_ERASURE["empty_activities"], values),  # type: ignore[misc]
                    rows=_ROWS,
                )
        return n

    async def _remembered(self, account_id: int, visitor_id: str) -> int:
        n = 0
        dropped: list[bytes] = []
        place, beyond = account_id.to_bytes(8, "big"), (account_id + 1).to_bytes(8, "big")
        while True:
            values = (place, beyond, visitor_id.encode(), _LOOK)
            rows = await self._readers.do(lambda db, values=values: db.rows(_ERASURE["remembered"], values))  # type: ignore[misc]
            own = [key for key, _ in rows if _is_of(key, visitor_id)]
            dropped += own
            naming = [key for key, value in rows if value is not None and without(value, visitor_id) is not None]
            if own or naming:
                n += await self._writer.do(
                    lambda db, own=own, naming=naming: _forget(db, account_id, own, naming, visitor_id),  # type: ignore[misc]
                    rows=len(own) + len(naming),
                )
            if len(rows) < _LOOK:
                break
            place = rows[-1][0]
        await self._expiries([*dropped, *(state_key(account_id, key.format(visitor_id)) for key in _OWN)])
        return n

    async def _expiries(self, keys: Sequence[bytes]) -> None:
        """The list of what may expire names keys in clear, and has no index of them either; the commonest are looked
        for even where they were dropped before, by an erasure that was interrupted.
        """
        newest: int = await self._readers.do(lambda db: db.value(_ERASURE["newest_expiry"])) or 0
        for place in range(0, newest, _LOOK_SHORT):
            values = (place, place + _LOOK_SHORT, many_blobs(keys))
            rows = await self._readers.do(lambda db, values=values: db.rows(_ERASURE["expiries"], values))  # type: ignore[misc]
            if rows:
                ids = [id_ for (id_,) in rows]
                await self._writer.do(lambda db, ids=ids: db.execute(_PURGE["looked_at"], (many(ids),)))  # type: ignore[misc]


def _empty(db: WritingDatabase, ids: Sequence[int], now: Millis) -> tuple[int, int, int]:
    """How many deliveries were cancelled, attempts emptied, and digests changed."""
    rows = db.rows(_ERASURE["deliveries"], (many(ids),))
    cancelled = emptied = 0
    digests: list[int] = []
    if rows:
        deliveries = [id_ for id_, _ in rows]
        cancelled = db.change(_DELIVERY["cancel_erased"], (many(deliveries), now))
        digests = _change_digests(db, deliveries)
        for number, kept in db.rows(_ERASURE["attempts"], (many([*deliveries, *digests]),)):
            attempt = decode_attempt(kept)
            left = bare(attempt)
            if left != attempt:
                db.execute(_ERASURE["change_attempt"], (number, encode_attempt(left)))
                emptied += 1
    db.execute(_PURGE["delete_fan_outs"], (many(ids),))
    db.execute(_PURGE["unkeep_bodies"], (many(ids),))
    db.execute(_ERASURE["empty_events"], (many(ids),))
    return cancelled, emptied, len(digests)


def _change_digests(db: WritingDatabase, deliveries: Sequence[int]) -> list[int]:
    """Takes all particulars out of the digests that hold any of the deliveries; which they are."""
    changed = []
    for id_, event_id, summary in db.rows(_ERASURE["holders"], (many(deliveries),)):
        db.execute(_ERASURE["change_digest"], (id_,))
        if summary is not None:  # else retention took it
            db.execute(_DIGEST["change_event"], (event_id, bared(summary)))
            changed.append(id_)
    return changed


def spare_erased(db: WritingDatabase, settlements: Sequence[Settlement]) -> Sequence[Settlement]:
    """The settlements without what must not be kept: of what an erasure took something while it was being sent.

    Only those that keep their request are looked at.
    """
    keeping = [one.delivery_id for one in settlements if one.attempt.request_body is not None]
    found = {id_ for (id_,) in db.rows(_ERASURE["to_bare"], (many(keeping),))} if keeping else None
    if not found:
        return settlements
    db.execute(_ERASURE["scrubbed"], (many(found),))
    return [
        msgspec.structs.replace(one, attempt=bare(one.attempt)) if one.delivery_id in found else one
        for one in settlements
    ]


def _forget(
    db: WritingDatabase, account_id: int, own: Sequence[bytes], naming: Sequence[bytes], visitor_id: str
) -> int:
    db.trigger_versions.rise(account_id)
    n = db.change(_TRIGGER["drop"], (many_blobs(own),)) if own else 0
    for key in naming:
        value = db.value(_ERASURE["value"], (key,))
        changed = None if value is None else without(value, visitor_id)
        if changed is not None:
            n += db.change(_ERASURE["change_value"], (key, changed))
    return n


def _is_of(key: bytes, visitor_id: str) -> bool:
    """Whether the key is one of the visitor's own."""
    noun, _, subject = key[8:].decode().partition(":")
    if noun in ("address", "address_day"):
        return subject == visitor_id
    return noun.startswith("visitor") and subject in (visitor_id, f"@{visitor_id}")
