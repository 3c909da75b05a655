"""Retention: what is old goes, a bounded number of rows in each transaction.

Logs are gone through in the order of their ids, so that age needs no index of its own; how far each has come is kept in
`meta` (``purge.<kind>``). What may not go yet is passed over: bodies of such events are noted in `kept_body` and looked
at again, and deliveries and events are gone through anew once their end is reached. Large weeks go as a whole, see
`retiring`.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from tocsin.clock import Millis
from tocsin.ids import first_at
from tocsin.store.port import Purged
from tocsin.store.postgres.database import Pool, Row, bounds, columns
from tocsin.store.postgres.partitions import Part
from tocsin.store.postgres.retiring import retire
from tocsin.store.postgres.statements import statements
from tocsin.store.postgres.writer import Writer, WritingDatabase

_META = statements("meta")
_PURGE = statements("purge")

_HOUR_MS = 3_600_000

# A window that ended so long ago says nothing any more: a lane makes a new one where there is none, or it has ended.
_FORGET_WINDOWS_MS = _HOUR_MS

# A removed account's keys are kept this long, for processes that ask which keys to forget.
_FORGET_KEYS_MS = _HOUR_MS

Pairs = Sequence[tuple[int, int]]  # account, id


async def purge(
    writer: Writer,
    pool: Pool,
    *,
    bodies_before: Millis,
    logs_before: Millis,
    dedupe_before: Millis,
    now: Millis,
    limit: int,
) -> Purged:
    """One step of each kind, each in its own transaction, so that nobody waits long."""
    events_before, activities_before = min(bodies_before, logs_before, dedupe_before), min(bodies_before, dedupe_before)
    retired = await retire(
        pool, logs_before=logs_before, events_before=events_before, activities_before=activities_before
    )

    async def step(run: Callable[..., Awaitable[Any]], *values: object) -> Any:
        return await writer.alone(partial(_step, run, (*values, limit)))

    await step(_drop_abandoned, now)
    bodies = await step(_bodies, bodies_before)
    dedupe = await step(_dedupe, dedupe_before)
    deliveries, attempts = await step(_deliveries, logs_before, retired.waiting["delivery_log"])
    events = await step(_events, events_before, retired.waiting["event"])
    bodies += await step(_activity_bodies, bodies_before)
    await step(_names, activities_before)
    activities = await step(_activities, activities_before, retired.waiting["activity"])
    await step(_windows, now)
    remembered = await step(_expired, now)
    idempotency = await step(_idempotency, now)
    purged = Purged(
        bodies=bodies,
        events=events + retired.rows.get("event", 0),
        deliveries=deliveries + retired.rows.get("delivery_log", 0),
        attempts=attempts + retired.rows.get("attempt", 0),
        dedupe=dedupe,
        idempotency=idempotency,
        activities=activities + retired.rows.get("activity", 0),
        remembered=remembered,
    )
    removed = await step(_removed_account, now)
    return msgspec.structs.replace(
        purged, **{name: getattr(purged, name) + n for name, n in msgspec.structs.asdict(removed).items()}
    )


async def _step(run: Callable[..., Awaitable[Any]], values: tuple[object, ...], db: WritingDatabase) -> Any:
    await db.in_order()
    return await run(db, *values)


async def _place(db: WritingDatabase, kind: str) -> int:
    return int(await db.value(_META["get"], f"purge.{kind}") or 0)


async def _set_place(db: WritingDatabase, kind: str, place: int) -> None:
    await db.change(_META["set"], f"purge.{kind}", str(place).encode())


async def _drop_abandoned(db: WritingDatabase, now: Millis, limit: int) -> None:
    """Cancels what still waits for a deleted webhook, such as a retry that was under way when it was deleted."""
    after = await _place(db, "webhooks")
    rows = await db.rows(_PURGE["webhooks"], after, limit)
    if deleted := [id_ for id_, is_deleted in rows if is_deleted]:
        await db.change(_PURGE["drop_abandoned"], deleted, now, limit)
    if rows or after:
        await _set_place(db, "webhooks", rows[-1][0] if len(rows) == limit else 0)


async def _bodies(db: WritingDatabase, before: Millis, limit: int) -> int:
    taken = 0
    after = await _place(db, "kept_bodies")
    kept = await db.rows(_PURGE["kept_bodies"], after, limit)
    if ended := [(account_id, id_) for account_id, id_, is_open in kept if not is_open]:
        taken += await db.change(_PURGE["take_bodies"], *columns(ended, 2), *_between(ended))
        await db.change(_PURGE["unkeep_bodies"], [id_ for _, id_ in ended])
    if kept or after:
        await _set_place(db, "kept_bodies", kept[-1][1] if len(kept) == limit else 0)

    rows = await db.rows(_PURGE["bodies"], await _place(db, "bodies"), first_at(before), limit)
    if rows:
        if ended := [(account_id, id_) for account_id, id_, is_open in rows if not is_open]:
            taken += await db.change(_PURGE["take_bodies"], *columns(ended, 2), *_between(ended))
        if still := [(account_id, id_) for account_id, id_, is_open in rows if is_open]:
            await db.change(_PURGE["keep_bodies"], *columns(still, 2))
        await _set_place(db, "bodies", rows[-1][1])
    return taken


async def _dedupe(db: WritingDatabase, before: Millis, limit: int) -> int:
    return await db.change(_PURGE["dedupe"], first_at(before), limit)


def _stretches(before: Millis, waiting: Sequence[Part]) -> Iterator[tuple[int, int]]:
    """The ids up to an instant but for those of weeks that go as a whole: beyond the first, below the second."""
    after, upto = 0, first_at(before)
    for part in waiting:
        if part.least is not None and part.beyond is not None and part.least < upto:
            yield after, part.least
            after = part.beyond - 1
    yield after, max(after + 1, upto)


async def _walk(
    db: WritingDatabase, kind: str, before: Millis, waiting: Sequence[Part], limit: int, *values: object
) -> list[Row]:
    """The next rows of a log; it is gone through anew once its end is reached."""
    place = await _place(db, kind)
    stretches = [(max(after, place), upto) for after, upto in _stretches(before, waiting) if upto > place + 1]
    if not stretches:
        await _set_place(db, kind, 0)
        return []
    after, upto = stretches[0]
    rows = await db.rows(_PURGE[kind], after, upto, *values, limit)
    reached = rows[-1][1] if len(rows) == limit else upto - 1 if len(stretches) > 1 else 0
    if reached != place:
        await _set_place(db, kind, reached)
    return rows


async def _deliveries(db: WritingDatabase, before: Millis, waiting: Sequence[Part], limit: int) -> tuple[int, int]:
    rows = await _walk(db, "deliveries", before, waiting, limit, before)
    return await _delete_deliveries(db, [(account_id, id_) for account_id, id_, is_over in rows if is_over])


async def _delete_deliveries(db: WritingDatabase, which: Pairs, *, live: bool = False) -> tuple[int, int]:
    """How many of them, and of their attempts, were deleted. `live`: also those that have not ended."""
    if not which:
        return 0, 0
    rows = await db.rows(_PURGE["delete_deliveries"], *columns(which, 2), *_between(which))
    if live:
        rows += await db.rows(_PURGE["delete_live_deliveries"], *columns(which, 2))
    gone = [(account_id, id_) for account_id, id_ in rows]
    if not gone:
        return 0, 0
    await db.change(_PURGE["delete_digests"], [id_ for _, id_ in gone])
    return len(gone), await db.change(_PURGE["delete_attempts"], *columns(gone, 2), *_between(gone))


def _between(which: Pairs) -> tuple[int, int]:
    return bounds(id_ for _, id_ in which)


async def _windows(db: WritingDatabase, now: Millis, limit: int) -> None:
    after = await _place(db, "windows")
    rows = await db.rows(_PURGE["windows"], after, now - _FORGET_WINDOWS_MS, limit)
    if over := [webhook_id for webhook_id, is_over in rows if is_over]:
        await db.change(_PURGE["delete_windows"], over, now - _FORGET_WINDOWS_MS)
    if rows or after:
        await _set_place(db, "windows", rows[-1][0] if len(rows) == limit else 0)


async def _events(db: WritingDatabase, before: Millis, waiting: Sequence[Part], limit: int) -> int:
    rows = await _walk(db, "events", before, waiting, limit)
    return await _delete_events(db, [(account_id, id_) for account_id, id_, is_free in rows if is_free])


async def _delete_events(db: WritingDatabase, which: Pairs) -> int:
    if not which:
        return 0
    ids = [id_ for _, id_ in which]
    await db.change(_PURGE["unkeep_bodies"], ids)
    await db.change(_PURGE["delete_fan_outs"], ids)
    return await db.change(_PURGE["delete_events"], *columns(which, 2), *_between(which))


async def _activity_bodies(db: WritingDatabase, before: Millis, limit: int) -> int:
    rows = await db.rows(_PURGE["activity_bodies"], await _place(db, "activities"), first_at(before), limit)
    if not rows:
        return 0
    await _set_place(db, "activities", rows[-1][1])
    which = [(account_id, id_) for account_id, id_ in rows]
    return await db.change(_PURGE["take_activity_bodies"], *columns(which, 2), *_between(which))


async def _names(db: WritingDatabase, before: Millis, limit: int) -> int:
    return await db.change(_PURGE["names"], first_at(before), limit)


async def _activities(db: WritingDatabase, before: Millis, waiting: Sequence[Part], limit: int) -> int:
    for stretch in _stretches(before, waiting):
        if rows := await db.rows(_PURGE["activities"], *stretch, limit):
            return await _delete_activities(db, rows)
    return 0


async def _delete_activities(db: WritingDatabase, rows: Sequence[Sequence[Any]]) -> int:
    """Deletes (account, id, external id) rows, and the names with them."""
    if not rows:
        return 0
    if names := [(account_id, name, id_) for account_id, id_, name in rows if name is not None]:
        await db.change(_PURGE["delete_names"], *columns(names, 3))
    which = [(account_id, id_) for account_id, id_, _ in rows]
    return await db.change(_PURGE["delete_activities"], *columns(which, 2), *_between(which))


async def _expired(db: WritingDatabase, now: Millis, limit: int) -> int:
    """Forgets what has expired, of what is to be looked at by now."""
    n: int = await db.value(_PURGE["expired"], now // _HOUR_MS, now, limit)
    return n


async def _idempotency(db: WritingDatabase, now: Millis, limit: int) -> int:
    return await db.change(_PURGE["idempotency"], now, limit)


async def _removed_account(db: WritingDatabase, now: Millis, limit: int) -> Purged:
    """A step of one removed account; what is left of an emptied one goes when its keys are forgotten everywhere."""
    after = await _place(db, "accounts")
    row = await db.row(_PURGE["removed_account"], after)
    if row is None:
        if after:
            await _set_place(db, "accounts", 0)
        return Purged()
    account_id, removed_at = row
    for empty in (_journal_of, _triggers_of):
        purged = await empty(db, account_id, limit)
        if purged != Purged():
            return purged
    for name in ("lanes", "notices", "windows", "versions", "webhooks", "trigger_version"):
        await db.change(_PURGE[f"{name}_of_account"], account_id)
    if removed_at > now - _FORGET_KEYS_MS:
        await _set_place(db, "accounts", removed_at)  # the next one meanwhile
        return Purged()
    await db.change(_PURGE["keys_of_account"], account_id)
    return Purged(accounts=await db.change(_PURGE["account"], account_id))


async def _journal_of(db: WritingDatabase, account_id: int, limit: int) -> Purged:
    """Deletes some of an account's rows; nothing where none is left."""
    which = [tuple(row) for row in await db.rows(_PURGE["deliveries_of_account"], account_id, limit)]
    deliveries, attempts = await _delete_deliveries(db, which, live=True)
    if deliveries:
        return Purged(deliveries=deliveries, attempts=attempts)
    if dedupe := await db.change(_PURGE["dedupe_of_account"], account_id, limit):
        return Purged(dedupe=dedupe)
    which = [tuple(row) for row in await db.rows(_PURGE["events_of_account"], account_id, limit)]
    if which:
        return Purged(events=await _delete_events(db, which))
    return Purged(idempotency=await db.change(_PURGE["idempotency_of_account"], account_id, limit))


async def _triggers_of(db: WritingDatabase, account_id: int, limit: int) -> Purged:
    rows = await db.rows(_PURGE["activities_of_account"], account_id, limit)
    if rows:
        return Purged(activities=await _delete_activities(db, rows))
    remembered = await db.change(_PURGE["state_of_account"], account_id, limit)
    if not remembered:
        remembered = await db.change(_PURGE["timers_of_account"], account_id, limit)
    return Purged(remembered=remembered)
