"""Events and their deliveries, written together: many at once, and a row at fault alone."""

from collections.abc import Sequence

import msgspec

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
from tocsin.store.sqlite.rows import PENDING, SENDING
from tocsin.store.sqlite.statements import statements
from tocsin.store.sqlite.writer import WritingDatabase

_EVENT = statements("event")
_DELIVERY = statements("delivery")

_ACCEPTED = Accepted()


def ingest(database: WritingDatabase, events: Sequence[NewEvent], epoch: int) -> list[Ingested]:
    """Writes what can be written; answers in order."""
    database.own(epoch)
    versions = _versions(database, events)
    answers: list[Ingested] = [_ACCEPTED] * len(events)
    fit: list[int] = []
    for i, event in enumerate(events):
        version = versions.get(event.account_id)
        if version == event.config_version:
            fit.append(i)
        else:
            answers[i] = AccountGone() if version is None else Stale()
    if not database.fenced:
        _write(database, events, fit, answers)
    elif fit:
        _write_or_halve(database, events, fit, answers)
    return answers


def _versions(database: WritingDatabase, events: Sequence[NewEvent]) -> dict[int, int]:
    known = database.versions
    missing = {event.account_id for event in events if event.account_id not in known and in_range(event.account_id)}
    if missing:
        ids, versions = database.rows(_EVENT["config_versions"], (many(missing),))[0]
        known.update(zip(msgspec.json.decode(ids), msgspec.json.decode(versions), strict=True))
    return known


def _write_or_halve(
    database: WritingDatabase, events: Sequence[NewEvent], which: Sequence[int], answers: list[Ingested]
) -> None:
    """Writes all of `which`; if one of them is refused, each half by itself, down to the one at fault."""
    database.execute("SAVEPOINT half")
    try:
        _write(database, events, which, answers)
    except ROW_ERRORS as error:
        database.execute("ROLLBACK TO half")
        if len(which) == 1:
            answers[which[0]] = Unstorable(reason=str(error))
        else:
            middle = len(which) // 2
            _write_or_halve(database, events, which[:middle], answers)
            _write_or_halve(database, events, which[middle:], answers)
    database.execute("RELEASE half")


def _write(
    database: WritingDatabase, events: Sequence[NewEvent], which: Sequence[int], answers: list[Ingested]
) -> None:
    new = [events[i] for i in _take_external_ids(database, events, which, answers)]
    rows: list[Row] = []
    deliveries: list[Row] = []
    timeline: list[Row] = []
    for event in new:
        id_, account_id = event.id, event.account_id
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
                event.visitor_id,
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
    timeline.sort()  # rows of one account share a page
    database.change_rows(_EVENT, "insert_timeline", timeline)


def delivery_row(delivery: NewDelivery, event_id: int, account_id: int, due_at: int) -> Row:
    """What `delivery.insert` takes."""
    if delivery.claimed:
        return (delivery.id, event_id, delivery.webhook_id, account_id, SENDING, due_at, 1)
    return (delivery.id, event_id, delivery.webhook_id, account_id, PENDING, due_at, 0)


def _take_external_ids(
    database: WritingDatabase, events: Sequence[NewEvent], which: Sequence[int], answers: list[Ingested]
) -> Sequence[int]:
    """Takes the external ids that are new; answers the events whose ids are known, and returns the others."""
    named = [i for i in which if events[i].external_id is not None]
    if not named:
        return which
    rows: list[Row] = [
        (e.account_id, e.external_id, e.id, e.digest, e.timestamp, e.matched) for e in (events[i] for i in named)
    ]
    if database.change_rows(_EVENT, "insert_dedupe", rows) == len(rows):
        return which
    known: set[int] = set()
    for i in named:
        event = events[i]
        event_id, digest, timestamp, matched = database.rows(_EVENT["known"], (event.account_id, event.external_id))[0]
        if event_id == event.id:
            continue
        known.add(i)
        answers[i] = (
            Duplicate(event_id=event_id, timestamp=timestamp, matched=matched)
            if digest == event.digest
            else ContentConflict(event_id=event_id)
        )
    return [i for i in which if i not in known]
