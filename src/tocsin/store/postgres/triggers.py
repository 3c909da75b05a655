"""What triggers remember: state, the log of activities, timers; written with the events that they fire."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

from tocsin.clock import Millis
from tocsin.ids import first_at
from tocsin.model import AccountId
from tocsin.store.columns import BEYOND
from tocsin.store.port import (
    Accepted,
    AccountGone,
    Ingested,
    KnownActivity,
    NewActivity,
    Stale,
    Timer,
    TriggerAsk,
    TriggerRead,
    TriggerWrite,
    Turn,
    Unstorable,
)
from tocsin.store.postgres.accounts import record
from tocsin.store.postgres.database import Database, Pool, Row, bounds, columns, in_range
from tocsin.store.postgres.errors import CONTENTION, translate
from tocsin.store.postgres.ingest import config_versions, write_events
from tocsin.store.postgres.statements import statements
from tocsin.store.postgres.writer import OpenTransaction, Writer, WritingDatabase, write_or_halve

_TRIGGER = statements("trigger")

_ACCEPTED = Accepted()

# A turn decides for some hundred milliseconds. One that lies idle so long, because its process hangs, is ended by the
# server, and those who wait for it have it in time. Who waits for a turn is answered in time all the same: its
# connection is cut off sooner (`database.LONG_S`).
_IDLE_MS = 5_000
_WAIT_MS = 8_000

# What a row of `trigger.read` tells.
_LIVES, _VALUE, _KNOWN, _TIMER = range(4)


class PostgresTriggers:
    def __init__(self, writer: Writer, pool: Pool) -> None:
        self._writer = writer
        self._pool = pool

    async def read(self, asks: Sequence[TriggerAsk], now: Millis) -> Sequence[TriggerRead | None]:
        return await self._pool.read(partial(_read, asks, now))

    async def write(self, writes: Sequence[TriggerWrite], epoch: int) -> Sequence[Ingested]:
        rows = sum(
            len(write.activities)
            + len(write.puts)
            + len(write.events)
            + sum(len(event.deliveries) for event in write.events)
            for write in writes
        )
        return await self._writer.together(
            lambda db: write_triggers(db, writes, epoch), rows=rows + len(writes), ingests=True
        )

    @asynccontextmanager
    async def turn(self, account_ids: Sequence[AccountId]) -> AsyncIterator[Turn]:
        async with self._writer.open() as opened:
            try:
                held = await _hold(opened.database, account_ids)
            except Exception as error:
                raise translate(error) from error
            yield _Turn(opened, held)

    async def due(self, now: Millis, limit: int) -> Sequence[Timer]:
        rows = await self._pool.read(lambda db: db.rows_in_order(_TRIGGER["due"], now, limit))
        return [Timer(account_id=account_id, name=name, due_at=due_at) for account_id, name, due_at in rows]

    async def next_due(self) -> Millis | None:
        return await self._pool.read(lambda db: db.value(_TRIGGER["next_due"]))

    async def scan(self, account_id: AccountId, prefix: str, after: str, limit: int) -> Sequence[tuple[str, bytes]]:
        if not in_range(account_id):
            return []
        values = (account_id, prefix.encode(), after.encode() if after else None, _end_of(prefix.encode()), limit)
        rows = await self._pool.read(lambda db: db.rows_in_order(_TRIGGER["scan"], *values))
        return [(key.decode(), value) for key, value in rows]

    async def activities(
        self, account_id: AccountId, *, since: Millis, until: Millis, after: int, limit: int
    ) -> Sequence[NewActivity]:
        if not in_range(account_id):
            return []
        values = (account_id, min(max(after, first_at(since) - 1), BEYOND), min(first_at(until), BEYOND), limit)
        rows = await self._pool.read(lambda db: db.rows_in_order(_TRIGGER["activities"], *values))
        return [_activity(row) for row in rows]


def _end_of(prefix: bytes) -> bytes | None:
    """The least text beyond all that begin so; None: there is none. No byte of UTF-8 is 255."""
    return prefix[:-1] + bytes((prefix[-1] + 1,)) if prefix else None


def _activity(row: Row) -> NewActivity:
    id_, kind, at, accepted_at, external_id, digest, data, result, visitor_id = row
    return NewActivity(
        id=id_,
        kind=kind,
        at=at,
        accepted_at=accepted_at,
        external_id=external_id,
        digest=digest or b"",
        data=data,
        result=result,
        visitor_id=None if visitor_id is None else visitor_id.decode(),
    )


async def _read(asks: Sequence[TriggerAsk], now: Millis, db: Database) -> list[TriggerRead | None]:
    askable = [ask for ask in asks if in_range(ask.account_id)]
    keys = sorted({(ask.account_id, key.encode()) for ask in askable for key in ask.keys})
    names = sorted({(ask.account_id, name) for ask in askable for name in ask.external_ids})
    timers = sorted({(ask.account_id, name) for ask in askable for name in ask.timers})
    rows = await db.rows(
        _TRIGGER["read"],
        list({ask.account_id for ask in askable}),
        *columns(keys, 2),
        *columns(names, 2),
        *columns(timers, 2),
        now,
    )
    versions: dict[int, int] = {}
    values: dict[tuple[int, bytes], bytes] = {}
    known: dict[tuple[int, str], KnownActivity] = {}
    due: dict[tuple[int, str], Millis] = {}
    results = await _results(db, [(row[1], row[3]) for row in rows if row[0] == _KNOWN])
    for what, account_id, name, number, value in rows:
        if what == _LIVES:
            versions[account_id] = number
        elif what == _VALUE:
            values[account_id, name] = value
        elif what == _KNOWN and number in results:
            known[account_id, name.decode()] = results[number]
        elif what == _TIMER:
            due[account_id, name.decode()] = number
    return [
        TriggerRead(
            version=versions[ask.account_id],
            values={key: values.get((ask.account_id, key.encode())) for key in ask.keys},
            known={name: known[ask.account_id, name] for name in ask.external_ids if (ask.account_id, name) in known},
            timers={name: due[ask.account_id, name] for name in ask.timers if (ask.account_id, name) in due},
        )
        if ask.account_id in versions
        else None
        for ask in asks
    ]


async def _results(db: Database, which: Sequence[tuple[int, int]]) -> Mapping[int, KnownActivity]:
    """Of (account, activity)."""
    if not which:
        return {}
    rows = await db.rows(_TRIGGER["results"], *columns(which, 2), *bounds(id_ for _, id_ in which))
    return {id_: KnownActivity(id=id_, digest=digest, result=result) for id_, digest, result in rows}


# === writing ======================================================================================================


class _Turn:
    def __init__(self, opened: OpenTransaction, held: frozenset[AccountId]) -> None:
        self._opened = opened
        self.held = held

    async def read(self, asks: Sequence[TriggerAsk], now: Millis) -> Sequence[TriggerRead | None]:
        try:
            return await _read(asks, now, self._opened.database)
        except Exception as error:
            raise translate(error) from error

    async def write(self, writes: Sequence[TriggerWrite], epoch: int) -> Sequence[Ingested]:
        try:
            answers = await write_triggers(self._opened.database, writes, epoch)
            await self._opened.commit(ingested=True)
        except CONTENTION:  # it was in the way of another transaction, and nothing was written
            return [Stale()] * len(writes)
        except Exception as error:
            raise translate(error) from error
        return answers


async def _hold(db: WritingDatabase, account_ids: Sequence[AccountId]) -> frozenset[AccountId]:
    await db.rows(_TRIGGER["bounds"], str(_WAIT_MS), str(_IDLE_MS))
    first, *others = account_ids
    if not await db.rows(_TRIGGER["hold"], first):
        await db.change(_TRIGGER["make"], first)
        await db.rows(_TRIGGER["hold"], first)
    free = await db.rows(_TRIGGER["hold_free"], others) if others else ()
    return frozenset((first, *(account_id for (account_id,) in free)))


class _Refused(ValueError):
    """A write is at fault as a whole."""


async def write_triggers(db: WritingDatabase, writes: Sequence[TriggerWrite], epoch: int) -> list[Ingested]:
    """Writes what can be written; answers in order."""
    await db.own(epoch)
    configs = await config_versions(db, {write.account_id for write in writes})
    answers: list[Ingested] = [_ACCEPTED] * len(writes)
    fit = _fit(writes, configs, answers)
    current = await _rise(db, [writes[i] for i in fit])
    ready = [i for i in fit if writes[i].account_id in current]
    for i in set(fit).difference(ready):
        answers[i] = Stale()

    async def write_those(which: Sequence[int]) -> None:
        await _write(db, [writes[i] for i in which], epoch)

    def refuse(i: int, reason: str) -> None:
        answers[i] = Unstorable(reason=reason)

    if not db.fenced:
        await write_those(ready)
    elif ready:
        await write_or_halve(db, ready, write_those, refuse)
        if refused := [writes[i].account_id for i in ready if isinstance(answers[i], Unstorable)]:
            await db.change(_TRIGGER["lower"], refused)
    return answers


def _fit(writes: Sequence[TriggerWrite], configs: Mapping[int, int], answers: list[Ingested]) -> list[int]:
    """The writes that were decided by the present settings, the first of each account; answers the others."""
    fit: dict[int, int] = {}
    for i, write in enumerate(writes):
        config = configs.get(write.account_id)
        if config is None:
            answers[i] = AccountGone()
        elif (
            write.account_id in fit
            or write.config_version != config
            or any(event.config_version != config for event in write.events)
        ):
            answers[i] = Stale()
        else:
            fit[write.account_id] = i
    return list(fit.values())


async def _rise(db: WritingDatabase, writes: Sequence[TriggerWrite]) -> set[int]:
    """The accounts whose state is as it was read, and nobody else's; until the end of the transaction it is ours."""
    rows = [(write.account_id, write.version) for write in writes if in_range(write.version + 1)]
    if not rows:
        return set()
    return {account_id for (account_id,) in await db.rows(_TRIGGER["rise"], *columns(rows, 2))}


async def _write(db: WritingDatabase, writes: Sequence[TriggerWrite], epoch: int) -> None:
    await _write_activities(db, writes)
    await _write_state(db, writes)
    await _write_timers(db, writes)
    events = [event for write in writes for event in write.events]
    if events:
        answers: list[Ingested] = [_ACCEPTED] * len(events)
        await write_events(db, events, range(len(events)), answers, epoch)
        if any(not isinstance(answer, Accepted) for answer in answers):
            raise _Refused("an event's external_id is that of an earlier event")
    for write in writes:
        for change in write.audit:
            await record(db, write.account_id, change)


async def _write_activities(db: WritingDatabase, writes: Sequence[TriggerWrite]) -> None:
    rows = [
        (
            one.id,
            write.account_id,
            one.kind,
            one.at,
            one.accepted_at,
            one.external_id,
            None if one.visitor_id is None else one.visitor_id.encode(),
            None if one.external_id is None else one.digest,
            one.result,
            one.data,
        )
        for write in writes
        for one in write.activities
    ]
    names = [
        (write.account_id, one.external_id, one.id)
        for write in writes
        for one in write.activities
        if one.external_id is not None
    ]
    if names:  # one that is taken is a broken constraint, and the write at fault
        await db.change(_TRIGGER["insert_names"], *columns(names, 3))
    if rows:
        await db.change(_TRIGGER["insert_activities"], *columns(rows, 10))


async def _write_state(db: WritingDatabase, writes: Sequence[TriggerWrite]) -> None:
    drops = [(write.account_id, key.encode()) for write in writes for key in write.drops]
    if drops:
        await db.change(_TRIGGER["drop"], *columns(drops, 2))
    puts = [
        (write.account_id, key.encode(), until, value) for write in writes for key, (value, until) in write.puts.items()
    ]
    if puts:
        puts.sort(key=lambda row: row[:2])  # neighbours share pages
        await db.change(_TRIGGER["put"], *columns(puts, 4))


async def _write_timers(db: WritingDatabase, writes: Sequence[TriggerWrite]) -> None:
    named = [(write.account_id, name, due_at) for write in writes for name, due_at in write.timers.items()]
    if cleared := [(account_id, name) for account_id, name, due_at in named if due_at is None]:
        await db.change(_TRIGGER["clear_timers"], *columns(cleared, 2))
    if due := [row for row in named if row[2] is not None]:
        await db.change(_TRIGGER["set_timers"], *columns(due, 3))
