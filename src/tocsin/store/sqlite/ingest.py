"""Events and their deliveries, written together: many at once, and a row at fault alone."""

from collections.abc import Callable, Mapping, Sequence
from zlib import crc32

import msgspec

from tocsin.model import OWN_SOURCE, EventId
from tocsin.store.columns import PENDING, SENDING
from tocsin.store.port import (
    Accepted,
    AccountGone,
    ContentConflict,
    Duplicate,
    Ingested,
    NewDelivery,
    NewEvent,
    Stale,
    Unstorable,
)
from tocsin.store.sqlite.database import ROW_ERRORS, Row, in_range, many
from tocsin.store.sqlite.recent import key_of
from tocsin.store.sqlite.statements import statements
from tocsin.store.sqlite.writer import WritingDatabase

_EVENT = statements("event")
_DELIVERY = statements("delivery")

ACCEPTED = Accepted()


def ingest(database: WritingDatabase, events: Sequence[NewEvent], epoch: int) -> list[Ingested]:
    """Writes what can be written; answers in order."""
    database.own(epoch)
    versions = config_versions(database, {event.account_id for event in events})
    answers: list[Ingested] = [ACCEPTED] * len(events)
    fit: list[int] = []
    for i, event in enumerate(events):
        version = versions.get(event.account_id)
        if version == event.config_version or (event.source == OWN_SOURCE and version is not None):
            fit.append(i)
        else:
            answers[i] = AccountGone() if version is None else Stale()

    def write(which: Sequence[int]) -> None:
        write_events(database, events, which, answers)

    def refuse(i: int, reason: str) -> None:
        answers[i] = Unstorable(reason=reason)

    if not database.fenced:
        write(fit)
    elif fit:
        write_or_halve(database, fit, write, refuse)
    return answers


def config_versions(database: WritingDatabase, account_ids: set[int]) -> Mapping[int, int]:
    """Of those of the accounts that live, and maybe of others."""
    known = database.versions
    missing = {account_id for account_id in account_ids if account_id not in known and in_range(account_id)}
    if missing:
        ids, versions = database.rows(_EVENT["config_versions"], (many(missing),))[0]
        known.update(zip(msgspec.json.decode(ids), msgspec.json.decode(versions), strict=True))
    return known


def write_or_halve(
    database: WritingDatabase,
    which: Sequence[int],
    write: Callable[[Sequence[int]], None],
    refuse: Callable[[int, str], None],
) -> None:
    """Writes all of `which`; if one of them is refused, each half by itself, down to the one at fault."""
    mark = database.mark()
    database.execute("SAVEPOINT half")
    try:
        write(which)
    except ROW_ERRORS as error:
        database.execute("ROLLBACK TO half")
        database.back_to(mark)
        if len(which) == 1:
            refuse(which[0], str(error))
        else:
            middle = len(which) // 2
            write_or_halve(database, which[:middle], write, refuse)
            write_or_halve(database, which[middle:], write, refuse)
    database.execute("RELEASE half")


def write_events(
    database: WritingDatabase, events: Sequence[NewEvent], which: Sequence[int], answers: list[Ingested]
) -> None:
    """Writes those of `which` whose external ids are new; answers the others."""
    new = [events[i] for i in _take_external_ids(database, events, which, answers)]
    rows: list[Row] = []
    deliveries: list[Row] = []
    timeline: list[Row] = []
    for event in new:
        id_, account_id, visitor_id = event.id, event.account_id, event.visitor_id
        rows.append(
            (
                id_,
                account_id,
                event.type,
                event.timestamp,
                event.accepted_at,
                event.external_id,
                event.source,
                event.config_version,
                event.matched,
                visitor_id,
                None if visitor_id is None else bucket(account_id, visitor_id),
                None if event.external_id is None else event.digest,
                event.data,
            )
        )
        timeline.append((account_id, id_))
        for delivery in event.deliveries:
            deliveries.append(delivery_row(delivery, id_, account_id, event.accepted_at))
            timeline.append((account_id, delivery.id))
        if event.fan_out:
            database.execute(_EVENT["insert_fan_out"], (id_, account_id, event.config_version))
    database.change_rows(_EVENT, "insert", rows)
    database.change_rows(_DELIVERY, "insert", deliveries)
    database.recent.add(database, timeline)


def delivery_row(delivery: NewDelivery, event_id: int, account_id: int, due_at: int) -> Row:
    """What `delivery.insert` takes."""
    if delivery.claimed:
        return (delivery.id, event_id, delivery.webhook_id, account_id, SENDING, 0, due_at, 1)
    return (delivery.id, event_id, delivery.webhook_id, account_id, PENDING, 1, due_at, 0)


def bucket(account_id: int, visitor_id: str) -> int:
    """Where `event_visitor` keeps a visitor."""
    return crc32(str(visitor_id).encode(), account_id & 0xFFFFFFFF) & 0xFF


def _take_external_ids(
    database: WritingDatabase, events: Sequence[NewEvent], which: Sequence[int], answers: list[Ingested]
) -> Sequence[int]:
    """Takes the external ids that are new; answers the events whose ids are known, and returns the others."""
    named = [i for i in which if events[i].external_id is not None]
    if not named:
        return which
    keys = [key_of(events[i].account_id, events[i].external_id or "") for i in named]
    firsts = database.recent.add_keys(database, zip(keys, (events[i].id for i in named), strict=True))
    if not firsts:
        return which
    in_batch: dict[int, NewEvent] = {events[i].id: events[i] for i in named}
    for i in named:
        event = events[i]
        first = firsts.get(event.id)
        if first is None:
            continue
        # The first one may be of this very batch, and not be written yet.
        row = database.row(_EVENT["first"], (first,))
        digest, timestamp, matched = row or (in_batch[first].digest, in_batch[first].timestamp, in_batch[first].matched)
        answers[i] = (
            Duplicate(event_id=EventId(first), timestamp=timestamp, matched=matched)
            if digest == event.digest
            else ContentConflict(event_id=EventId(first))
        )
    return [i for i in which if events[i].id not in firsts]
