"""Retention: what is old goes, a bounded number of rows in each transaction.

Logs are gone through in the order of their ids, so that age needs no index; how far each has come is kept in `meta`
(``purge.<kind>``). What may not go yet is passed over: bodies of such events are noted in `kept_body` and looked at
again, and deliveries and events are gone through anew once their end is reached.
"""

import msgspec

from tocsin.clock import Millis
from tocsin.ids import first_at
from tocsin.store.port import Purged
from tocsin.store.sqlite import timeline
from tocsin.store.sqlite.database import Database, Row, many, many_blobs
from tocsin.store.sqlite.recent import activity_key_of, bucket_of, key_of
from tocsin.store.sqlite.statements import statements
from tocsin.store.sqlite.writer import Writer, WritingDatabase

_DELIVERY = statements("delivery")
_IDEMPOTENCY = statements("idempotency")
_META = statements("meta")
_PURGE = statements("purge")

# The file gives pages back to the system once this share of it is free; below it they are better kept for reuse.
_FREE_SHARE = 0.25
_PAGES_AT_ONCE = 500  # some 10 ms

# A window that ended so long ago says nothing any more: a lane makes a new one where there is none, or it has ended.
_FORGET_WINDOWS_MS = 3_600_000

# A removed account's keys are kept this long, for processes that ask which keys to forget.
_FORGET_KEYS_MS = 3_600_000


async def purge(
    writer: Writer, *, bodies_before: Millis, logs_before: Millis, dedupe_before: Millis, now: Millis, limit: int
) -> Purged:
    """One step of each kind, each in its own transaction, so that nobody waits long."""
    await writer.do(lambda db: _drop_abandoned(db, now, limit), rows=limit)
    await _merge_older(writer, max(bodies_before, logs_before, dedupe_before), limit)
    bodies = await writer.do(lambda db: _bodies(db, bodies_before, limit), rows=limit)
    dedupe = await writer.do(lambda db: _dedupe(db, dedupe_before, limit), rows=limit)
    deliveries, attempts = await writer.do(lambda db: _deliveries(db, logs_before, limit), rows=limit)
    oldest = min(bodies_before, logs_before, dedupe_before)
    events = await writer.do(lambda db: _events(db, oldest, limit), rows=limit)
    bodies += await writer.do(lambda db: _activity_bodies(db, bodies_before, limit), rows=limit)
    activities = await writer.do(lambda db: _activities(db, min(bodies_before, dedupe_before), limit), rows=limit)
    await writer.do(lambda db: _windows(db, now, limit), rows=limit)
    remembered = await writer.do(lambda db: _expired(db, now, limit), rows=limit)
    idempotency = await writer.do(lambda db: db.change(_IDEMPOTENCY["purge"], (now, limit)), rows=limit)
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
    removed = await writer.do(lambda db: _removed_account(db, now, limit), rows=limit)
    await writer.do(_shrink)
    return msgspec.structs.replace(
        purged, **{name: getattr(purged, name) + n for name, n in msgspec.structs.asdict(removed).items()}
    )


async def _merge_older(writer: Writer, before: Millis, limit: int) -> None:
    """What is to be purged must be where it is looked for. Seldom anything: buckets are merged long before."""
    for bucket in await writer.do(lambda db: db.recent.older(first_at(before))):
        await writer.do(lambda db, bucket=bucket: db.merge(bucket, None), rows=limit)  # type: ignore[misc]


def _place(db: Database, kind: str) -> int:
    return int(db.value(_META["get"], (f"purge.{kind}",)) or 0)


def _set_place(db: Database, kind: str, place: int) -> None:
    db.execute(_META["set"], (f"purge.{kind}", str(place)))


def _drop_abandoned(db: WritingDatabase, now: Millis, limit: int) -> None:
    """Cancels what still waits for a deleted webhook, such as a retry that was under way when it was deleted."""
    after = _place(db, "lanes")
    lanes = [webhook_id for webhook_id, _ in db.rows(_DELIVERY["backlogs"], (after, limit))]
    if lanes:
        for (webhook_id,) in db.rows(_PURGE["abandoned_backlogs"], (many(lanes),)):
            db.execute(_DELIVERY["drop_waiting"], (webhook_id, now, limit))
    if lanes or after:
        _set_place(db, "lanes", lanes[-1] if len(lanes) == limit else 0)


def _bodies(db: WritingDatabase, before: Millis, limit: int) -> int:
    taken = 0
    after = _place(db, "kept_bodies")
    kept = db.rows(_PURGE["kept_bodies"], (after, limit))
    ended = [id_ for id_, open_ in kept if not open_]
    if ended:
        taken += db.change(_PURGE["take_bodies"], (many(ended),))
        db.execute(_PURGE["unkeep_bodies"], (many(ended),))
    if kept or after:
        _set_place(db, "kept_bodies", kept[-1][0] if len(kept) == limit else 0)

    rows = db.rows(_PURGE["bodies"], (_place(db, "bodies"), first_at(before), limit))
    if rows:
        ended = [id_ for id_, open_ in rows if not open_]
        if ended:
            taken += db.change(_PURGE["take_bodies"], (many(ended),))
        db.change_rows(_PURGE, "keep_body", [(id_,) for id_, open_ in rows if open_])
        _set_place(db, "bodies", rows[-1][0])
    return taken


def _dedupe(db: WritingDatabase, before: Millis, limit: int) -> int:
    rows = db.rows(_PURGE["external_ids"], (_place(db, "dedupe"), first_at(before), limit))
    if not rows:
        return 0
    last = rows[-1][0]
    _set_place(db, "dedupe", last)
    return _delete_dedupe(db, [key_of(account_id, name) for _, account_id, name in rows if name is not None], last)


def _delete_dedupe(db: WritingDatabase, keys: list[bytes], last: int) -> int:
    """Forgets external ids of events, or activities, up to `last`."""
    if not keys:
        return 0
    for bucket in db.recent.holding(keys):
        db.merge(None, bucket)
    return db.change(_PURGE["delete_dedupe"], (many_blobs(keys), last))


def _deliveries(db: WritingDatabase, before: Millis, limit: int) -> tuple[int, int]:
    after = _place(db, "deliveries")
    rows = db.rows(_PURGE["deliveries"], (after, first_at(before), before, limit))
    if rows or after:
        _set_place(db, "deliveries", rows[-1][0] if len(rows) == limit else 0)
    ended = [id_ for id_, has_ended in rows if has_ended]
    return _delete_deliveries(db, ended) if ended else (0, 0)


def _delete_deliveries(db: WritingDatabase, ids: list[int]) -> tuple[int, int]:
    attempts = db.change(_PURGE["delete_attempts"], (many(ids),))
    _leave_timeline(db, db.rows(_PURGE["accounts_of_deliveries"], (many(ids),)))
    db.execute(_PURGE["delete_digests"], (many(ids),))
    return db.change(_PURGE["delete_deliveries"], (many(ids),)), attempts


def _windows(db: WritingDatabase, now: Millis, limit: int) -> None:
    after = _place(db, "windows")
    rows = db.rows(_PURGE["windows"], (after, now - _FORGET_WINDOWS_MS, limit))
    over = [webhook_id for webhook_id, is_over in rows if is_over]
    if over:
        db.execute(_PURGE["delete_windows"], (many(over),))
    if rows or after:
        _set_place(db, "windows", rows[-1][0] if len(rows) == limit else 0)


def _leave_timeline(db: WritingDatabase, rows: list[Row]) -> None:
    """Takes (account, id) rows out of the timeline."""
    accounts: dict[int, list[int]] = {}
    for account_id, id_ in rows:
        accounts.setdefault(account_id, []).append(id_)
    timeline.remove(db, accounts)


def _events(db: WritingDatabase, before: Millis, limit: int) -> int:
    after = _place(db, "events")
    rows = db.rows(_PURGE["events"], (after, first_at(before), limit))
    if rows or after:
        _set_place(db, "events", rows[-1][0] if len(rows) == limit else 0)
    free = [id_ for id_, is_free in rows if is_free]
    return _delete_events(db, free) if free else 0


def _delete_events(db: WritingDatabase, ids: list[int]) -> int:
    _leave_timeline(db, db.rows(_PURGE["accounts_of_events"], (many(ids),)))
    db.execute(_PURGE["unkeep_bodies"], (many(ids),))
    db.execute(_PURGE["delete_fan_outs"], (many(ids),))
    return db.change(_PURGE["delete_events"], (many(ids),))


def _activity_bodies(db: WritingDatabase, before: Millis, limit: int) -> int:
    ids = [id_ for (id_,) in db.rows(_PURGE["activity_bodies"], (_place(db, "activities"), first_at(before), limit))]
    if not ids:
        return 0
    _set_place(db, "activities", ids[-1])
    return db.change(_PURGE["take_activity_bodies"], (many(ids),))


def _activities(db: WritingDatabase, before: Millis, limit: int) -> int:
    return _delete_activities(db, db.rows(_PURGE["activities"], (first_at(before), limit)))


def _delete_activities(db: WritingDatabase, rows: list[Row]) -> int:
    """Deletes (id, account, external id) rows and what points at them."""
    if not rows:
        return 0
    names = [activity_key_of(account_id, name) for _, account_id, name in rows if name is not None]
    _delete_dedupe(db, names, max(id_ for id_, _, _ in rows))
    _leave_timeline(db, [(-account_id, id_) for id_, account_id, _ in rows])
    return db.change(_PURGE["delete_activities"], (many([id_ for id_, _, _ in rows]),))


def _expired(db: WritingDatabase, now: Millis, limit: int) -> int:
    """Forgets what has expired, of what is to be looked at by now."""
    rows = db.rows(_PURGE["may_have_expired"], (now // 3_600_000, limit))
    if not rows:
        return 0
    keys = many_blobs({key for _, key in rows})
    forgotten = db.change(_PURGE["delete_expired"], (keys, now))
    db.execute(_PURGE["look_again"], (keys,))
    db.execute(_PURGE["looked_at"], (many([id_ for id_, _ in rows]),))
    return forgotten


def _removed_account(db: WritingDatabase, now: Millis, limit: int) -> Purged:
    """A step of one removed account; what is left of an emptied one goes when its keys are forgotten everywhere."""
    after = _place(db, "accounts")
    row = db.row(_PURGE["removed_account"], (after,))
    if row is None:
        if after:
            _set_place(db, "accounts", 0)
        return Purged()
    account_id, removed_at = row
    db.merge(bucket_of(account_id), None)
    db.merge(bucket_of(-account_id), None)
    if ids := _take_oldest(db, account_id, limit):
        names = db.rows(_PURGE["external_ids_of"], (many(ids),))
        dedupe = _delete_dedupe(db, [key_of(*name) for name in names], ids[-1])
        deliveries, attempts = _delete_deliveries(db, ids)
        events = _delete_events(db, ids)
        return Purged(events=events, deliveries=deliveries, attempts=attempts, dedupe=dedupe)
    if ids := _take_oldest(db, -account_id, limit):
        return Purged(activities=_delete_activities(db, db.rows(_PURGE["activities_of"], (many(ids),))))
    first, beyond = (id_.to_bytes(8, "big") for id_ in (account_id, account_id + 1))
    if remembered := db.change(_PURGE["state_of_account"], (first, beyond, limit)):
        return Purged(remembered=remembered)
    if timers := db.change(_PURGE["timers_of_account"], (account_id, limit)):
        return Purged(remembered=timers)
    if idempotency := db.change(_PURGE["idempotency_of_account"], (account_id, limit)):
        return Purged(idempotency=idempotency)
    for name in ("lanes", "notices", "versions", "webhooks"):
        db.execute(_PURGE[f"{name}_of_account"], (account_id,))
    if removed_at > now - _FORGET_KEYS_MS:
        _set_place(db, "accounts", removed_at)  # the next one meanwhile
        return Purged()
    db.execute(_PURGE["keys_of_account"], (account_id,))
    return Purged(accounts=db.change(_PURGE["account"], (account_id,)))


def _take_oldest(db: WritingDatabase, account_id: int, limit: int) -> list[int]:
    """Takes the oldest ids out of a timeline."""
    ids: list[int] = []
    while len(ids) < limit and (chunk := timeline.oldest(db, account_id)):
        chunk = chunk[: limit - len(ids)]
        ids += chunk
        timeline.remove(db, {account_id: chunk})
    return ids


def _shrink(db: WritingDatabase) -> None:
    free, pages = db.rows(_PURGE["free_pages"])[0]
    if free > pages * _FREE_SHARE:
        db.rows(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
