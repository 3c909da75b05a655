"""Retention: what is old goes, a bounded number of rows in each transaction.

Logs are gone through in the order of their ids, so that age needs no index of its own; how far each has come is kept in
`meta` (``purge.<kind>``). What may not go yet is passed over: bodies of such events are noted in `kept_body` and looked
at again, and deliveries and events are gone through anew once their end is reached.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from tocsin.clock import Millis
from tocsin.ids import first_at
from tocsin.store.port import Purged
from tocsin.store.postgres.database import bounds, columns
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
    writer: Writer, *, bodies_before: Millis, logs_before: Millis, dedupe_before: Millis, now: Millis, limit: int
) -> Purged:
    """One step of each kind, each in its own transaction, so that nobody waits long."""

    async def step(run: Callable[..., Awaitable[Any]], *values: int) -> Any:
        return await writer.alone(partial(_step, run, (*values, limit)))

    await step(_drop_abandoned, now)
    bodies = await step(_bodies, bodies_before)
    dedupe = await step(_dedupe, dedupe_before)
    deliveries, attempts = await step(_deliveries, logs_before)
    events = await step(_events, min(bodies_before, logs_before, dedupe_before))
    bodies += await step(_activity_bodies, bodies_before)
    activities = await step(_activities, min(bodies_before, dedupe_before))
    await step(_windows, now)
    remembered = await step(_expired, now)
    idempotency = await step(_idempotency, now)
    purged = Purged(
        bodies=bodies,
        events=events,
        deliveries=deliveries,
        attempts=attempts,
        dedupe=dedupe,
        idempotency=idempotency,
        activities=activities,
        remembered=remembered,
    )
    removed = await step(_removed_account, now)
    return msgspec.structs.replace(
        purged, **{name: getattr(purged, name) + n for name, n in msgspec.structs.asdict(removed).items()}
    )


async def _step(run: Callable[..., Awaitable[Any]], values: tuple[int, ...], db: WritingDatabase) -> Any:
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


async def _deliveries(db: WritingDatabase, before: Millis, limit: int) -> tuple[int, int]:
    after = await _place(db, "deliveries")
    rows = await db.rows(_PURGE["deliveries"], after, first_at(before), before, limit)
    if rows or after:
        await _set_place(db, "deliveries", rows[-1][1] if len(rows) == limit else 0)
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


async def _events(db: WritingDatabase, before: Millis, limit: int) -> int:
    after = await _place(db, "events")
    rows = await db.rows(_PURGE["events"], after, first_at(before), limit)
    if rows or after:
        await _set_place(db, "events", rows[-1][1] if len(rows) == limit else 0)
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


async def _activities(db: WritingDatabase, before: Millis, limit: int) -> int:
    return await _delete_activities(db, await db.rows(_PURGE["activities"], first_at(before), limit))


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
