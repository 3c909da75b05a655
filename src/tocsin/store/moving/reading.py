"""How each noun is read from the file, a piece at a time, with the columns and values that the other store has."""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from tocsin.shards import shard_of
from tocsin.store.moving.pieces import Bounds, Key, Piece, Read, Row, steps
from tocsin.store.sqlite.database import Database, many, many_blobs
from tocsin.store.sqlite.statements import statements

_META = statements("meta")
_MOVING = statements("moving")
_RECENT = statements("recent")

_ENDED = 20  # states from here on have ended


def plain(name: str, key: Sequence[int], change: Callable[[Row], Row] = lambda row: row) -> Read:
    """Reads what is one row there for each row here. `key`: where in a row its key stands."""

    def read(db: Database, bounds: Bounds) -> Piece:
        rows: list[Row] = []
        for step in steps(db.execute(_MOVING[name], bounds.values), bounds):
            rows += step
        last = tuple(rows[-1][i] for i in key) if rows else None
        return Piece(last, ([change(row) for row in rows],))

    return read


# === accounts, and what they set ==================================================================================


def event_type(row: Row) -> Row:
    return (*row[:6], bool(row[6]))


def webhooks(db: Database, bounds: Bounds) -> Piece:
    rows = [_webhook(row) for row in db.rows(_MOVING["webhook"], bounds.values)]
    if not rows:
        return Piece(None, ((), ()))
    versions = [
        (*row[:9], bool(row[9]), row[10])
        for row in db.rows(_MOVING["webhook_version"], (many([row[1] for row in rows]),))
    ]
    versions.sort(key=lambda row: row[1:3])
    return Piece((rows[-1][1],), (rows, versions))


def _webhook(row: Row) -> Row:
    account_id, id_, version, channel, shard, sealed, created_at, deleted = row
    shard = shard_of(id_.to_bytes(8, "big")) if shard is None else shard
    return account_id, id_, version, channel, shard, sealed, created_at, bool(deleted)


# === the journal ==================================================================================================


class _AttemptId(msgspec.Struct):
    """What is asked of an attempt's record."""

    id: int


_attempt_id = msgspec.msgpack.Decoder(_AttemptId).decode


def deliveries(db: Database, bounds: Bounds) -> Piece:
    """Deliveries, and their attempts. One that was being sent is put back: whoever sent it has gone, or will have."""
    last: Key | None = None
    waiting: list[Row] = []
    ended: list[Row] = []
    attempts: list[Row] = []
    size = 0
    cursor = db.execute(_MOVING["delivery"], bounds.values)
    for step in steps(cursor, bounds):
        of: dict[int, int] = {}
        newest: list[int] = []
        for row in step:
            (
                account_id,
                id_,
                event_id,
                webhook_id,
                replay_id,
                digest_id,
                at,
                made,
                tries,
                claims,
                status,
                state,
                last_attempt,
            ) = row
            head = (account_id, id_, event_id, webhook_id, replay_id)
            if state < _ENDED:
                waiting.append((*head, at, made, tries, claims, status, state))
            else:
                ended.append((*head, digest_id, at, made, tries, claims, status, state))
            of[id_] = account_id
            if last_attempt > 0:
                newest.append(last_attempt)
        last = (step[-1][1],)
        for attempt in _attempts(db, newest, of):
            attempts.append(attempt)
            size += len(attempt[3])
        if size >= bounds.max_bytes:
            break
    attempts.sort(key=lambda row: row[1:3])
    return Piece(last, (waiting, ended, attempts))


def _attempts(db: Database, newest: list[int], account_of: dict[int, int]) -> Iterator[Row]:
    """Attempts are chained from the newest backwards: all newest ones first, then those before them, and so on."""
    while newest:
        before = []
        for delivery_id, previous, record in db.execute(_MOVING["attempt"], (many(newest),)):
            if previous is not None:
                before.append(previous)
            yield account_of[delivery_id], delivery_id, _attempt_id(record).id, record
        newest = before


def known_names(statement: str, key: Callable[[int, str], bytes]) -> Read:
    """Reads which event, or activity, an external id is remembered for.

    Where the file's own list of them lacks one that is not merged yet, it is remembered all the same (`recent`).
    """

    def read(db: Database, bounds: Bounds) -> Piece:
        unmerged_from = int(db.value(_META["get"], ("recent.low",)) or 0)
        last: Key | None = None
        known: list[Row] = []
        for step in steps(db.execute(_MOVING[statement], bounds.values), bounds):
            keys = [key(account_id, external_id) for account_id, external_id, _ in step]
            holders: dict[bytes, int] = dict(db.rows(_RECENT["known"], (many_blobs(keys),)))
            for name, row in zip(keys, step, strict=True):
                holder = holders.get(name)
                if holder == row[2] or (holder is None and row[2] >= unmerged_from):
                    known.append(row)
            last = (step[-1][2],)
        return Piece(last, (known,))

    return read


# === digests and triggers =========================================================================================


def digest(row: Row) -> Row:
    return (*row[:4], bool(row[4]), *row[5:7], bool(row[7]), row[8])


_HOUR_MS = 3_600_000


def states(db: Database, bounds: Bounds) -> Piece:
    """A key begins with its account's id there; here that is a column. `look_at` is as a first write would set it."""
    last: Key | None = None
    rows: list[Row] = []
    for step in steps(db.execute(_MOVING["trigger_state"], bounds.values), bounds):
        for key, until, value in step:
            look_at = None if until is None else until // _HOUR_MS + 1
            rows.append((*state_key((key,)), until, look_at, value))
        last = (step[-1][0],)
    return Piece(last, (rows,))


def state_key(key: Key) -> Key:
    return int.from_bytes(key[0][:8], "big", signed=True), key[0][8:]
