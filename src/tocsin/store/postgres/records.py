"""What people read: events, deliveries, attempts, the audit log."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from tocsin.clock import Clock, Millis
from tocsin.ids import first_at, made_at_ms
from tocsin.model import AccountId, Attempt, Delivery, DeliveryId, DeliveryState, Event, EventId
from tocsin.store.columns import CODES, RETRYING, STATES, SUCCEEDED, audit_entry_of, below, bounds_of, decode_attempt
from tocsin.store.port import AuditEntry, DeliveryFilter, EventFilter, Page
from tocsin.store.postgres.database import Database, Pool, Row, in_range
from tocsin.store.postgres.partitions import SPAN_MS, week_of
from tocsin.store.postgres.statements import statements

_AUDIT = statements("audit")
_RECORD = statements("record")

T = TypeVar("T", Event, Delivery)

# Rows that one call looks at: some 20 ms of the server's time. A filter that passes over more ends its page early.
_LOOK = 5_000

# The gauge of waiting deliveries is counted up to here: some 10 ms.
_COUNT = 100_000

# The list of deliveries, by which of them are looked at: those that one index has in order.
DELIVERIES = {
    near: _RECORD["deliveries"].replace("account_id = $1 /* near */", condition)
    for near, condition in {
        "account": "account_id = $1",
        "event": "event_id = $5",
        "digest": "digest_id = $10",
        "failed": "account_id = $1 AND state = 21",
    }.items()
}


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
        visitor_id=None if visitor_id is None else visitor_id.decode(),
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
        status_code=status_code,
        replay_id=replay_id,
        digest_id=digest_id,
        members=members,
    )


def _spans(least: int, before: int, now: Millis) -> Sequence[tuple[int, int]]:
    """Where to look, the latest first: this week and the last one, then all before. Most of what is asked for lies
    there, and what lies elsewhere is planned for each week that there is.
    """
    latest = first_at(week_of(min(made_at_ms(before), now)) - SPAN_MS)
    return [(latest, before), (least, latest)] if least < latest < before else [(least, before)]


def _can_be(*values: object) -> bool:
    """Whether rows can have the values at all: no text here has a NUL, no number more than 64 bits."""
    return all(
        in_range(value) if isinstance(value, int) else "\x00" not in value
        for value in values
        if isinstance(value, int | str)
    )


def _page(found: Sequence[T], looked: int | None, before: int, limit: int) -> tuple[Sequence[T], int | None]:
    """The page, and where to go on, of one row more than fits. `looked`: the last looked at, if there may be more."""
    if len(found) <= limit:
        return found, looked
    return found[:limit], found[limit - 1].id if limit else before


class PostgresRecords:
    """`clock`: tells which weeks are the latest; a wrong one costs time and nothing else."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def events(self, account_id: AccountId, where: EventFilter, page: Page) -> tuple[Sequence[Event], int | None]:
        if not _can_be(account_id, where.type, where.source, where.external_id):
            return [], None
        before, least = bounds_of(where.since, where.until, page)
        spans = _spans(least, before, self._clock.now_ms())
        wanted = (where.type, where.source, where.external_id)

        async def read(db: Database) -> tuple[Sequence[Event], int | None]:
            if not await _lives(db, account_id):
                return [], None
            found: list[Event] = []
            looked = None
            for first, beyond in spans:
                values = (account_id, beyond, first, *wanted, page.limit + 1 - len(found), _LOOK)
                rows = [tuple(row) for row in await db.rows_in_order(_RECORD["events"], *values)]
                looked = rows[0][0]
                found += [_event(row[1:]) for row in rows if row[1] is not None]
                if looked is not None or len(found) > page.limit:
                    break
            return _page(found, looked, before, page.limit)

        return await self._pool.read(read)

    async def event(self, account_id: AccountId, event_id: EventId) -> Event | None:
        if not _can_be(account_id, event_id):
            return None
        row = await self._pool.read(lambda db: db.row(_RECORD["event"], account_id, event_id))
        return None if row is None else _event(row[:-1], row[-1])

    async def deliveries(
        self, account_id: AccountId, where: DeliveryFilter, page: Page
    ) -> tuple[Sequence[Delivery], int | None]:
        before, least = bounds_of(where.since, where.until, page)

        spans = _spans(least, before, self._clock.now_ms())

        async def read(db: Database) -> tuple[Sequence[Delivery], int | None]:
            found: list[Delivery] = []
            looked = None
            for first, beyond in spans:
                more, looked = await _deliveries(db, account_id, where, beyond, first, page.limit + 1 - len(found))
                found += more
                if looked is not None or len(found) > page.limit:
                    break
            return _page(found, looked, before, page.limit)

        return await self._pool.read(read)

    async def delivery(self, account_id: AccountId, delivery_id: DeliveryId) -> Delivery | None:
        if not _can_be(account_id, delivery_id):
            return None
        row = await self._pool.read(lambda db: db.row(_RECORD["delivery"], account_id, delivery_id))
        return None if row is None else _delivery(row)

    async def attempts(self, account_id: AccountId, delivery_id: DeliveryId) -> Sequence[Attempt]:
        """First to last."""
        if not _can_be(account_id, delivery_id):
            return []
        rows = await self._pool.read(lambda db: db.rows(_RECORD["attempts"], account_id, delivery_id))
        return [decode_attempt(kept) for (kept,) in rows]

    async def audit(self, account_id: AccountId | None, page: Page) -> Sequence[AuditEntry]:
        """Of one account; with None, of all."""
        if not _can_be(account_id):
            return []
        before, limit = below(page), page.limit + 1

        async def read(db: Database) -> list[Row]:
            if account_id is None:
                return await db.rows(_AUDIT["list"], before, limit)
            return await db.rows(_AUDIT["list_of_account"], account_id, before, limit)

        return [audit_entry_of(row) for row in await self._pool.read(read)]

    async def counts(self) -> Mapping[str, int]:
        row = await self._pool.read(lambda db: db.row(_RECORD["counts"], _COUNT))
        return dict(zip(("waiting", "fan_out_jobs", "notices", "file_bytes"), row or (), strict=True))


async def _lives(db: Database, account_id: int) -> bool:
    return await db.value(_RECORD["account_lives"], account_id) is not None


async def _deliveries(
    db: Database, account_id: int, where: DeliveryFilter, before: int, least: int, limit: int
) -> tuple[Sequence[Delivery], int | None]:
    """Up to `limit`, newest first; and, where there are fewer, the last that was looked at, None if none is left."""
    facts = (where.webhook_id, where.event_id, where.status_code, where.type, where.channel, where.digest_id)
    if not _can_be(account_id, *facts) or not await _lives(db, account_id):
        return [], None
    near = "account"
    if where.digest_id is not None:
        near = "digest"
    elif where.event_id is not None:
        near = "event"
    elif where.state is DeliveryState.FAILED:
        near = "failed"
    rows = await db.rows_in_order(
        DELIVERIES[near],
        account_id,
        before,
        least,
        where.webhook_id,
        where.event_id,
        None if where.state is None else CODES[where.state],
        where.status_code,
        where.type,
        where.channel,
        where.digest_id,
        limit,
        _LOOK,
    )
    found = [tuple(row) for row in rows]
    return [_delivery(row[1:]) for row in found if row[1] is not None], found[0][0]


async def members_of(db: Database, account_id: int, digest_id: DeliveryId, page: Page) -> Sequence[Delivery]:
    """Deliveries folded into a digest, newest first; one more than a page holds."""
    found, _ = await _deliveries(db, account_id, DeliveryFilter(digest_id=digest_id), below(page), 0, page.limit + 1)
    return found
