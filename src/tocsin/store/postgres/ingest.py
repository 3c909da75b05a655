"""Events and their deliveries, written together: in sets, and a row at fault alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from tocsin.clock import Millis
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
from tocsin.store.postgres.database import Database, bounds, columns, in_range
from tocsin.store.postgres.statements import statements
from tocsin.store.postgres.writer import WritingDatabase, write_or_halve

_EVENT = statements("event")
_DELIVERY = statements("delivery")

ACCEPTED = Accepted()

# The contents of an event that retention took before its external id.
_GONE = (None, Millis(0), 0)

# What `delivery.insert` takes: id, event, webhook, account, state, at, claim_count, tries, claimed_by.
DeliveryRow = tuple[int, int, int, int, int, int, int, int, int | None]


async def ingest(db: WritingDatabase, events: Sequence[NewEvent], epoch: int) -> list[Ingested]:
    """Writes what can be written; answers in order."""
    await db.own(epoch)
    versions = await config_versions(db, {event.account_id for event in events})
    answers: list[Ingested] = [ACCEPTED] * len(events)
    fit: list[int] = []
    for i, event in enumerate(events):
        version = versions.get(event.account_id)
        if version == event.config_version or (event.source == OWN_SOURCE and version is not None):
            fit.append(i)
        else:
            answers[i] = AccountGone() if version is None else Stale()

    async def write(which: Sequence[int]) -> None:
        await write_events(db, events, which, answers, epoch)

    def refuse(i: int, reason: str) -> None:
        answers[i] = Unstorable(reason=reason)

    if not db.fenced:
        await write(fit)
    elif fit:
        await write_or_halve(db, fit, write, refuse)
    return answers


async def config_versions(db: Database, account_ids: set[int]) -> Mapping[int, int]:
    """Of those of the accounts that live; they stay as they are until the transaction ends."""
    rows = await db.rows(_EVENT["config_versions"], [id_ for id_ in account_ids if in_range(id_)])
    return {row[0]: row[1] for row in rows}


async def write_events(
    db: Database, events: Sequence[NewEvent], which: Sequence[int], answers: list[Ingested], epoch: int | None
) -> None:
    """Writes those of `which` whose external ids are new; answers the others. `epoch`: who sends what is handed over;
    None: nobody, all waits.
    """
    new = [events[i] for i in await _take_external_ids(db, events, which, answers)]
    if not new:
        return
    await db.change(
        _EVENT["insert"],
        [event.id for event in new],
        [event.account_id for event in new],
        [event.type for event in new],
        [event.timestamp for event in new],
        [event.accepted_at for event in new],
        [event.external_id for event in new],
        [event.source for event in new],
        [event.config_version for event in new],
        [event.matched for event in new],
        [None if event.visitor_id is None else bytes(event.visitor_id, "utf-8") for event in new],
        [None if event.external_id is None else event.digest for event in new],
        [event.data for event in new],
    )
    await write_deliveries(
        db,
        [
            delivery_row(delivery, event.id, event.account_id, event.accepted_at, epoch)
            for event in new
            for delivery in event.deliveries
        ],
    )
    if jobs := [event for event in new if event.fan_out]:
        await db.change(
            _EVENT["insert_fan_out"],
            [event.id for event in jobs],
            [event.account_id for event in jobs],
            [event.config_version for event in jobs],
        )


async def write_deliveries(db: Database, rows: Sequence[DeliveryRow]) -> None:
    if rows:
        await db.change(_DELIVERY["insert"], *columns(rows, 9))


def delivery_row(delivery: NewDelivery, event_id: int, account_id: int, due_at: int, epoch: int | None) -> DeliveryRow:
    if delivery.claimed and epoch is not None:
        return (delivery.id, event_id, delivery.webhook_id, account_id, SENDING, due_at, 1, 0, epoch)
    return (delivery.id, event_id, delivery.webhook_id, account_id, PENDING, due_at, 0, 0, None)


async def _take_external_ids(
    db: Database, events: Sequence[NewEvent], which: Sequence[int], answers: list[Ingested]
) -> Sequence[int]:
    """Takes the external ids that are new; answers the events whose ids are known, and returns the others."""
    named = [i for i in which if events[i].external_id is not None]
    if not named:
        return which
    accounts = [events[i].account_id for i in named]
    names = [events[i].external_id for i in named]
    taken = await db.rows(_EVENT["take_external_ids"], accounts, names, [events[i].id for i in named])
    new = {event_id for (event_id,) in taken}
    known = [i for i in named if events[i].id not in new]
    if not known:
        return which
    in_batch = {events[i].id: events[i] for i in named}
    rows = await db.rows(
        _EVENT["firsts"], [events[i].account_id for i in known], [events[i].external_id for i in known]
    )
    firsts = [(events[known[place - 1]].account_id, first) for place, first in rows]
    stored = await _contents(db, [row for row in firsts if row[1] not in in_batch])
    for place, first in rows:
        i = known[place - 1]
        one = in_batch.get(first)  # the first may be of this very batch, and not be written yet
        digest, timestamp, matched = (
            stored.get(first, _GONE) if one is None else (one.digest, one.timestamp, one.matched)
        )
        answers[i] = (
            Duplicate(event_id=EventId(first), timestamp=timestamp, matched=matched)
            if digest == events[i].digest
            else ContentConflict(event_id=EventId(first))
        )
    passed_over = set(known)
    return [i for i in which if i not in passed_over]


async def _contents(db: Database, which: Sequence[tuple[int, int]]) -> Mapping[int, tuple[Any, Millis, int]]:
    """Of the (account, event) that are stored: digest, timestamp, matched."""
    if not which:
        return {}
    rows = await db.rows(_EVENT["contents"], *columns(which, 2), *bounds(id_ for _, id_ in which))
    return {id_: (digest, timestamp, matched) for id_, digest, timestamp, matched in rows}
