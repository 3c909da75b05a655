"""What people read: events, deliveries, attempts, the audit log."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from tocsin.model import AccountId, Attempt, Delivery, DeliveryId, DeliveryState, Event, EventId
from tocsin.store.columns import (
    CODES,
    RETRYING,
    STATES,
    SUCCEEDED,
    audit_entry_of,
    below,
    bounds_of,
    decode_attempt,
)
from tocsin.store.port import AuditEntry, DeliveryFilter, EventFilter, Page
from tocsin.store.sqlite import timeline
from tocsin.store.sqlite.database import Database, Row, in_range, many
from tocsin.store.sqlite.readers import Readers
from tocsin.store.sqlite.recent import Recent, key_of
from tocsin.store.sqlite.rows import NO_STATUS
from tocsin.store.sqlite.statements import statements

_ATTEMPT = statements("attempt")
_AUDIT = statements("audit")
_RECENT = statements("recent")
_RECORD = statements("record")

T = TypeVar("T", Event, Delivery)

# Rows that one call looks at: some 20 ms of a reader's time. A filter that passes over more ends its page early.
_LOOK = 5_000

# How many are looked at in one go, rising: most lists are not filtered and full with the first.
_FIRST_LOOK = 256

# The gauge of waiting deliveries is counted up to here: some 2 ms.
_COUNT = 100_000


def _event(row: Row, data: bytes | None = None) -> Event:
    id_, account_id, type_, timestamp, accepted_at, external_id, source, config_version, matched, visitor_id = row
    return Event(
        id=id_,
        account_id=account_id,
        type=type_,
        timestamp=timestamp,
        accepted_at=accepted_at,
        data=data,
        external_id=external_id,
        source=source,
        config_version=config_version,
        matched=matched,
        visitor_id=visitor_id,
    )


def _delivery(row: Row) -> Delivery:
    (
        id_,
        event_id,
        webhook_id,
        account_id,
        type_,
        channel,
        state,
        at,
        attempts,
        status_code,
        replay_id,
        digest_id,
        members,
    ) = row
    return Delivery(
        id=id_,
        event_id=event_id,
        webhook_id=webhook_id,
        account_id=account_id,
        type=type_,
        channel=channel or "standard",
        state=STATES[state],
        attempts=attempts,
        due_at=at if state <= RETRYING else None,
        finished_at=at if state >= SUCCEEDED else None,
        status_code=None if status_code == NO_STATUS else status_code,
        replay_id=replay_id,
        digest_id=digest_id,
        members=members,
    )


def _look(
    near: Callable[[int, int], Sequence[int]],
    before: int,
    limit: int,
    pick: Callable[[Sequence[int], int], Sequence[T]],
) -> tuple[list[T], int | None]:
    """Picks up to `limit` rows from what is near, newest first, and says where to go on.

    `near` gives so many ids below one, newest first; fewer than asked for means that there are no more.
    """
    start = before
    found: list[T] = []
    looked, step = 0, max(_FIRST_LOOK, 2 * limit + 2)
    while looked < _LOOK:
        ids = near(before, step)
        if ids:
            found.extend(pick(ids, limit + 1 - len(found)))
            if len(found) > limit:
                return found[:limit], found[limit - 1].id if limit else start
        if len(ids) < step:
            return found, None
        before = ids[-1]
        looked += len(ids)
        step *= 4
    return found, before


def _near(db: Database, statement: str, whose: int, least: int) -> Callable[[int, int], Sequence[int]]:
    """For `_look`: by an index of deliveries."""

    def near(before: int, count: int) -> Sequence[int]:
        ids: list[int] = msgspec.json.decode(db.value(_RECORD[statement], (whose, before, least, count)))
        return ids

    return near


class SqliteRecords:
    def __init__(self, readers: Readers, recent: Recent) -> None:
        self._readers = readers
        self._recent = recent

    def _near_account(self, db: Database, account_id: int, least: int) -> Callable[[int, int], Sequence[int]]:
        """For `_look`: by time. To be called before the first statement of a transaction, see `Recent`."""
        unmerged = self._recent.ids_of(account_id)
        return lambda before, count: timeline.near(db, account_id, unmerged, before, least, count)

    async def events(self, account_id: AccountId, where: EventFilter, page: Page) -> tuple[Sequence[Event], int | None]:
        before, least = bounds_of(where.since, where.until, page)

        def read(db: Database) -> tuple[Sequence[Event], int | None]:
            near = self._near_account(db, account_id, least)
            known = None
            if where.external_id is not None:
                key = key_of(account_id, where.external_id)
                known = self._recent.event_with(key) or db.value(_RECENT["event_with"], (key,))
            if not _lives(db, account_id):
                return [], None

            def pick(ids: Sequence[int], limit: int) -> Sequence[Event]:
                values = (many(ids), account_id, where.type, where.source, where.external_id, limit)
                return [_event(row) for row in db.rows(_RECORD["events"], values)]

            if known is not None and least <= known < before:
                # An external id names one event as long as it is remembered: nothing newer can have it.
                newest = pick([known], 1)
                older, next_before = _look(near, known, page.limit - len(newest), pick)
                return [*newest, *older], next_before
            return _look(near, before, page.limit, pick)

        return await self._readers.do(read)

    async def event(self, account_id: AccountId, event_id: EventId) -> Event | None:
        def read(db: Database) -> Event | None:
            if not in_range(event_id) or not _lives(db, account_id):
                return None
            row = db.row(_RECORD["event"], (event_id, account_id))
            return None if row is None else _event(row[:-1], row[-1])

        return await self._readers.do(read)

    async def deliveries(
        self, account_id: AccountId, where: DeliveryFilter, page: Page
    ) -> tuple[Sequence[Delivery], int | None]:
        before, least = bounds_of(where.since, where.until, page)

        def read(db: Database) -> tuple[Sequence[Delivery], int | None]:
            near = self._near_account(db, account_id, least)
            if not _lives(db, account_id) or not all(
                in_range(id_)
                for id_ in (where.webhook_id, where.event_id, where.digest_id, where.status_code)
                if id_ is not None
            ):
                return [], None

            def pick(ids: Sequence[int], limit: int) -> Sequence[Delivery]:
                return _deliveries(db, account_id, ids, where, limit)

            if where.digest_id is not None:
                near = _near(db, "near_digest", where.digest_id, least)
            elif where.event_id is not None:
                near = _near(db, "near_event", where.event_id, least)
            elif where.state is DeliveryState.FAILED:
                near = _near(db, "near_failed", account_id, least)
            return _look(near, before, page.limit, pick)

        return await self._readers.do(read)

    async def delivery(self, account_id: AccountId, delivery_id: DeliveryId) -> Delivery | None:
        def read(db: Database) -> Delivery | None:
            if not in_range(delivery_id) or not _lives(db, account_id):
                return None
            return next(iter(_deliveries(db, account_id, [delivery_id], DeliveryFilter(), 1)), None)

        return await self._readers.do(read)

    async def attempts(self, account_id: AccountId, delivery_id: DeliveryId) -> Sequence[Attempt]:
        """First to last."""

        def read(db: Database) -> Sequence[Attempt]:
            if not in_range(delivery_id) or not _lives(db, account_id):
                return []
            newest = db.value(_RECORD["last_attempt"], (delivery_id, account_id))
            records = db.rows(_ATTEMPT["chain"], (newest,))
            return [decode_attempt(record) for (record,) in reversed(records)]

        return await self._readers.do(read)

    async def audit(self, account_id: AccountId | None, page: Page) -> Sequence[AuditEntry]:
        """Of one account; with None, of all."""
        before, limit = below(page), page.limit + 1

        def read(db: Database) -> list[Row]:
            if account_id is None:
                return db.rows(_AUDIT["list"], (before, limit))
            return db.rows(_AUDIT["list_of_account"], (account_id, before, limit))

        return [audit_entry_of(row) for row in await self._readers.do(read)]

    async def counts(self) -> Mapping[str, int]:
        def read(db: Database) -> Mapping[str, int]:
            return {
                "waiting": db.value(_RECORD["waiting"], (_COUNT,)),
                "fan_out_jobs": db.value(_RECORD["fan_out_jobs"]),
                "notices": db.value(_RECORD["notices"]),
                "file_bytes": db.value(_RECORD["pages"]),
            }

        return await self._readers.do(read)


def _lives(db: Database, account_id: int) -> bool:
    return in_range(account_id) and db.row(_RECORD["account_lives"], (account_id,)) is not None


def _deliveries(
    db: Database, account_id: int, ids: Sequence[int], where: DeliveryFilter, limit: int
) -> Sequence[Delivery]:
    values = (
        many(ids),
        account_id,
        where.webhook_id,
        where.event_id,
        None if where.state is None else CODES[where.state],
        where.status_code,
        where.type,
        where.channel,
        where.digest_id,
        limit,
    )
    return [_delivery(row) for row in db.rows(_RECORD["deliveries"], values)]


def members_of(db: Database, account_id: int, digest_id: int, page: Page) -> Sequence[Delivery]:
    """Deliveries folded into a digest, newest first; one more than a page holds."""
    if not in_range(digest_id) or not _lives(db, account_id):
        return []
    ids = _near(db, "near_digest", digest_id, 0)(below(page), page.limit + 1)
    return _deliveries(db, account_id, ids, DeliveryFilter(), page.limit + 1) if ids else []
