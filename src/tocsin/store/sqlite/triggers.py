"""What triggers remember: state, the log of activities, timers; written with the events that they fire."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import msgspec

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
from tocsin.store.sqlite import timeline
from tocsin.store.sqlite.accounts import record
from tocsin.store.sqlite.database import Database, Row, in_range, many, many_blobs
from tocsin.store.sqlite.ingest import config_versions, write_events, write_or_halve
from tocsin.store.sqlite.readers import Readers
from tocsin.store.sqlite.recent import Recent, activity_key_of
from tocsin.store.sqlite.statements import statements
from tocsin.store.sqlite.trigger_versions import TriggerVersions
from tocsin.store.sqlite.writer import Writer, WritingDatabase

_RECENT = statements("recent")
_TRIGGER = statements("trigger")

_ACCEPTED = Accepted()
_IDS = msgspec.json.Decoder(list[int])


def state_key(account_id: int, key: str) -> bytes:
    """Where `trigger_state` keeps a key of an account's."""
    return account_id.to_bytes(8, "big") + key.encode()


class SqliteTriggers:
    def __init__(self, writer: Writer, readers: Readers, recent: Recent, versions: TriggerVersions) -> None:
        self._writer = writer
        self._readers = readers
        self._recent = recent
        self._versions = versions

    async def read(self, asks: Sequence[TriggerAsk], now: Millis) -> Sequence[TriggerRead | None]:
        return await self._readers.do(partial(self._read, asks, now))

    def _read(self, asks: Sequence[TriggerAsk], now: Millis, db: Database) -> list[TriggerRead | None]:
        versions = [self._versions.of(ask.account_id) for ask in asks]  # before the first statement, as is what follows
        names = {
            activity_key_of(ask.account_id, name): self._recent.event_with(activity_key_of(ask.account_id, name))
            for ask in asks
            for name in ask.external_ids
        }
        there = living(db, {ask.account_id for ask in asks})
        keys = sorted({state_key(ask.account_id, key) for ask in asks for key in ask.keys if ask.account_id in there})
        values: dict[bytes, bytes] = dict(db.rows(_TRIGGER["values"], (many_blobs(keys), now))) if keys else {}
        known = _known(db, names) if names else {}
        return [
            TriggerRead(
                version=version,
                values={key: values.get(state_key(ask.account_id, key)) for key in ask.keys},
                known={
                    name: first
                    for name in ask.external_ids
                    if (first := known.get(activity_key_of(ask.account_id, name))) is not None
                },
                timers={
                    name: due_at
                    for name in ask.timers
                    if (due_at := db.value(_TRIGGER["timer"], (ask.account_id, name))) is not None
                },
            )
            if ask.account_id in there
            else None
            for ask, version in zip(asks, versions, strict=True)
        ]

    async def write(self, writes: Sequence[TriggerWrite], epoch: int) -> Sequence[Ingested]:
        rows = sum(
            len(write.activities)
            + len(write.puts)
            + len(write.events)
            + sum(len(event.deliveries) for event in write.events)
            for write in writes
        )
        return await self._writer.do(
            lambda db: write_triggers(db, writes, epoch), rows=rows + len(writes), fenced=False, ingests=True
        )

    @asynccontextmanager
    async def turn(self, account_ids: Sequence[AccountId]) -> AsyncIterator[Turn]:
        """There is no other process to hold them."""
        yield _Turn(self, frozenset(account_ids))

    async def due(self, now: Millis, limit: int) -> Sequence[Timer]:
        rows = await self._readers.do(lambda db: db.rows(_TRIGGER["due"], (now, limit)))
        return [Timer(account_id=account_id, name=name, due_at=due_at) for account_id, name, due_at in rows]

    async def next_due(self) -> Millis | None:
        return await self._readers.do(lambda db: db.value(_TRIGGER["next_due"]))

    async def scan(self, account_id: AccountId, prefix: str, after: str, limit: int) -> Sequence[tuple[str, bytes]]:
        def read(db: Database) -> list[tuple[str, bytes]]:
            if not living(db, (account_id,)):
                return []
            beginning = state_key(account_id, prefix)
            beyond = state_key(account_id, after)
            rows = db.rows(_TRIGGER["scan"], (max(beginning, beyond), beyond if after else b"", limit))
            return [(key[8:].decode(), value) for key, value in rows if key.startswith(beginning)]

        return await self._readers.do(read)

    async def activities(
        self, account_id: AccountId, *, since: Millis, until: Millis, after: int, limit: int
    ) -> Sequence[NewActivity]:
        before = min(first_at(until), BEYOND)

        def read(db: Database) -> list[NewActivity]:
            unmerged = self._recent.ids_of(-account_id)
            if not living(db, (account_id,)):
                return []
            found: list[NewActivity] = []
            beyond = max(after, first_at(since) - 1)
            while len(found) < limit:
                ids = timeline.after(db, -account_id, unmerged, beyond, before, limit)
                if ids:
                    values = (many(ids), account_id, limit - len(found))
                    found += [_activity(row) for row in db.rows(_TRIGGER["activities"], values)]
                    beyond = ids[-1]
                if len(ids) < limit:
                    break
            return found

        return await self._readers.do(read)


def living(db: Database, account_ids: Iterable[int]) -> frozenset[int]:
    """Those of the accounts that live."""
    ids = {id_ for id_ in account_ids if in_range(id_)}
    return frozenset(_IDS.decode(db.value(_TRIGGER["lives"], (many(ids),)))) if ids else frozenset()


def _known(db: Database, names: dict[bytes, int | None]) -> dict[bytes, KnownActivity]:
    """The first activities that had the names, by the keys of these; `names`: those that are not merged."""
    ids = {key: id_ for key, id_ in names.items() if id_ is not None}
    others = [key for key, id_ in names.items() if id_ is None]
    if others:
        ids.update(db.rows(_RECENT["known"], (many_blobs(others),)))
    if not ids:
        return {}
    rows = {
        id_: KnownActivity(id=id_, digest=digest, result=result)
        for id_, digest, result in db.rows(_TRIGGER["known"], (many(set(ids.values())),))
    }
    return {key: rows[id_] for key, id_ in ids.items() if id_ in rows}


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
        visitor_id=visitor_id,
    )


# === writing ======================================================================================================


class _Refused(ValueError):
    """A write is at fault as a whole."""


def write_triggers(database: WritingDatabase, writes: Sequence[TriggerWrite], epoch: int) -> list[Ingested]:
    """Writes what can be written; answers in order."""
    database.own(epoch)
    configs = config_versions(database, {write.account_id for write in writes})
    answers: list[Ingested] = [_ACCEPTED] * len(writes)
    fit: list[int] = []
    seen: set[int] = set()
    for i, write in enumerate(writes):
        config = configs.get(write.account_id)
        if config is None:
            answers[i] = AccountGone()
        elif (
            write.account_id in seen
            or not database.trigger_versions.is_now(write.account_id, write.version)
            or write.config_version != config
            or any(event.config_version != config for event in write.events)
        ):
            answers[i] = Stale()
        else:
            seen.add(write.account_id)
            fit.append(i)

    def write_those(which: Sequence[int]) -> None:
        _write(database, [writes[i] for i in which])

    def refuse(i: int, reason: str) -> None:
        answers[i] = Unstorable(reason=reason)

    if not database.fenced:
        write_those(fit)
    elif fit:
        write_or_halve(database, fit, write_those, refuse)
    return answers


def _write(database: WritingDatabase, writes: Sequence[TriggerWrite]) -> None:
    _write_activities(database, writes)
    _write_state(database, writes)
    _write_timers(database, writes)
    events = [event for write in writes for event in write.events]
    if events:
        answers: list[Ingested] = [_ACCEPTED] * len(events)
        write_events(database, events, range(len(events)), answers)
        if any(answer is not _ACCEPTED for answer in answers):
            raise _Refused("an event's external_id is that of an earlier event")
    for write in writes:
        for change in write.audit:
            record(database, write.account_id, change)
        database.trigger_versions.rise(write.account_id)


def _write_activities(database: WritingDatabase, writes: Sequence[TriggerWrite]) -> None:
    rows: list[Row] = []
    names: list[tuple[bytes, int]] = []
    times: list[tuple[int, int]] = []
    for write in writes:
        account_id = write.account_id
        for one in write.activities:
            id_, external_id = one.id, one.external_id
            digest = None
            if external_id is not None:
                names.append((activity_key_of(account_id, external_id), id_))
                digest = one.digest
            times.append((-account_id, id_))
            rows.append(
                (
                    id_,
                    account_id,
                    one.kind,
                    one.at,
                    one.accepted_at,
                    external_id,
                    one.visitor_id,
                    digest,
                    one.result,
                    one.data,
                )
            )
    if names and database.recent.add_keys(database, names):
        raise _Refused("an external_id is that of an earlier activity")
    database.change_rows(_TRIGGER, "insert_activity", rows)
    database.recent.add(database, times)


def _write_state(database: WritingDatabase, writes: Sequence[TriggerWrite]) -> None:
    drops = [state_key(write.account_id, key) for write in writes for key in write.drops]
    if drops:
        database.execute(_TRIGGER["drop"], (many_blobs(drops),))
    puts = [
        (state_key(write.account_id, key), until, value)
        for write in writes
        for key, (value, until) in write.puts.items()
    ]
    puts.sort()  # neighbours share pages
    database.change_rows(_TRIGGER, "put", puts)


def _write_timers(database: WritingDatabase, writes: Sequence[TriggerWrite]) -> None:
    named = [(write.account_id, name, due_at) for write in writes for name, due_at in write.timers.items()]
    if named:
        cleared = [(account_id, name) for account_id, name, due_at in named if due_at is None]
        database.change_rows(_TRIGGER, "clear_timers", cleared)
        database.change_rows(_TRIGGER, "set_timer", [row for row in named if row[2] is not None])


class _Turn:
    def __init__(self, triggers: SqliteTriggers, held: frozenset[AccountId]) -> None:
        self.read = triggers.read
        self.write = triggers.write
        self.held = held
