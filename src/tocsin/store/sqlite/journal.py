"""The journal: events in, deliveries out and back."""

from collections.abc import Sequence

import msgspec

from tocsin.clock import Millis
from tocsin.errors import NotFound
from tocsin.model import DIGEST_TYPE, AccountId, DeliveryId, DeliveryState, Notice, Trigger, WebhookId
from tocsin.shards import ALL, shard_of
from tocsin.store.columns import CODES, DIGESTED, SENDING, STATES, encode_attempt
from tocsin.store.port import (
    ClaimAnswer,
    Claimed,
    FanOutJob,
    Ingested,
    InHands,
    LaneFacts,
    NewDelivery,
    NewEvent,
    Settlement,
)
from tocsin.store.sqlite.database import Database, Row, in_range, many
from tocsin.store.sqlite.digests import as_digests, close_digest, keep_messages
from tocsin.store.sqlite.erasure import spare_erased
from tocsin.store.sqlite.ingest import delivery_row, ingest
from tocsin.store.sqlite.notices import put_notice
from tocsin.store.sqlite.readers import Readers
from tocsin.store.sqlite.rows import NO_STATUS
from tocsin.store.sqlite.statements import statements
from tocsin.store.sqlite.writer import Writer, WritingDatabase

_ATTEMPT = statements("attempt")
_DELIVERY = statements("delivery")
_FAN_OUT = statements("fan_out")
_LANE = statements("lane")

_FIRST = msgspec.json.Decoder(list[tuple[DeliveryId, Millis]])


class SqliteJournal:
    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def ingest(self, events: Sequence[NewEvent], epoch: int) -> Sequence[Ingested]:
        rows = sum(len(event.deliveries) for event in events) + len(events)
        return await self._writer.do(lambda db: ingest(db, events, epoch), rows=rows, fenced=False, ingests=True)

    async def fan_out_jobs(self, limit: int) -> Sequence[FanOutJob]:
        rows = await self._readers.do(lambda db: db.rows(_FAN_OUT["jobs"], (limit,)))
        return [
            FanOutJob(event_id=event_id, account_id=account_id, config_version=version, after=after)
            for event_id, account_id, version, after in rows
        ]

    async def fan_out(
        self, job: FanOutJob, deliveries: Sequence[NewDelivery], *, after: int, done: bool, due_at: Millis
    ) -> None:
        def write(db: WritingDatabase) -> None:
            moved = (
                db.change(_FAN_OUT["finish"], (job.event_id, job.after))
                if done
                else db.change(_FAN_OUT["advance"], (job.event_id, job.after, after))
            )
            if moved:  # else this chunk was written before, or the account is gone
                rows = [delivery_row(delivery, job.event_id, job.account_id, due_at) for delivery in deliveries]
                db.change_rows(_DELIVERY, "insert", rows)
                db.recent.add(db, [(job.account_id, delivery.id) for delivery in deliveries])

        await self._writer.do(write, rows=len(deliveries) + 1)

    # --- claims ---------------------------------------------------------------------------------------------------

    async def claim(
        self, wants: Sequence[tuple[WebhookId, int]], now: Millis, epoch: int, max_bytes: int = 16 << 20
    ) -> ClaimAnswer:
        rows = sum(n for _, n in wants)
        return await self._writer.do(lambda db: _claim(db, wants, now, epoch, max_bytes), rows=rows, fenced=False)

    async def claim_one(
        self,
        account_id: AccountId,
        delivery_id: DeliveryId,
        now: Millis,  # noqa: ARG002 - a manual retry is made whether due or not
        epoch: int,
    ) -> Claimed | DeliveryState | None:
        def write(db: WritingDatabase) -> Claimed | DeliveryState | None:
            db.own(epoch)
            row = db.row(_DELIVERY["one"], (delivery_id, account_id)) if in_range(delivery_id) else None
            if row is None:
                return None
            event_id, webhook_id, state, attempts, tries, claim_count, type_, timestamp, data = row
            if state in {SENDING, DIGESTED} or data is None:
                return STATES[state]
            db.execute(_DELIVERY["claim_one"], (delivery_id,))
            if type_ == DIGEST_TYPE:
                close_digest(db, delivery_id)
            claimed = Claimed(
                id=delivery_id,
                event_id=event_id,
                webhook_id=webhook_id,
                account_id=account_id,
                type=type_,
                timestamp=timestamp,
                data=data,
                attempts=attempts,
                tries=tries,
                claim_count=claim_count + 1,
                trigger=Trigger.MANUAL,
            )
            return as_digests(db, [claimed])[0]

        return await self._writer.do(write)

    async def release(self, delivery_ids: Sequence[DeliveryId], epoch: int) -> None:
        def write(db: WritingDatabase) -> None:
            db.own(epoch)
            if delivery_ids:
                db.execute(_DELIVERY["release"], (many(delivery_ids),))

        await self._writer.do(write, rows=len(delivery_ids))

    async def claimed(self, epoch: int) -> Sequence[InHands]:  # noqa: ARG002 - one process has all
        rows = await self._readers.do(lambda db: db.rows(_DELIVERY["claimed"]))
        return [InHands(id=id_, webhook_id=webhook_id, account_id=account_id) for id_, webhook_id, account_id in rows]

    # --- what became of them --------------------------------------------------------------------------------------

    async def settle(self, settlements: Sequence[Settlement], epoch: int) -> Sequence[DeliveryId]:
        rows = 2 * len(settlements)
        return await self._writer.do(lambda db: _settle(db, settlements, epoch), rows=rows, fenced=False)

    async def settle_manual(self, settlement: Settlement, epoch: int) -> DeliveryState:
        delivery_id = settlement.delivery_id

        def write(db: WritingDatabase) -> DeliveryState:
            db.own(epoch)
            number = db.attempt_numbers(1)[0]
            ok = settlement.state is DeliveryState.SUCCEEDED
            status_code = _status_code(settlement)
            previous = _last_attempts(db, [delivery_id]).get(delivery_id)
            if db.change(_DELIVERY["settle_manual"], (delivery_id, ok, settlement.settled_at, status_code, number)):
                record = encode_attempt(spare_erased(db, [settlement])[0].attempt)
                db.change_rows(_ATTEMPT, "insert", [(number, delivery_id, previous, record)])
                if settlement.message is not None:
                    keep_messages(db, [settlement])
            state = db.value(_DELIVERY["state"], (delivery_id,))
            if state is None:
                raise NotFound("the delivery is gone")
            return STATES[state]

        return await self._writer.do(write)

    async def cancel(self, account_id: AccountId, delivery_id: DeliveryId, now: Millis) -> DeliveryState | None:
        def write(db: WritingDatabase) -> DeliveryState | None:
            row = db.row(_DELIVERY["one"], (delivery_id, account_id)) if in_range(delivery_id) else None
            if row is None:
                return None
            if db.change(_DELIVERY["cancel"], (delivery_id, account_id, now)):
                return DeliveryState.CANCELLED
            return STATES[row[2]]

        return await self._writer.do(write)

    async def drop_waiting(self, webhook_id: WebhookId, now: Millis, limit: int) -> int:
        return await self._writer.do(
            lambda db: db.change(_DELIVERY["drop_waiting"], (webhook_id, now, limit)), rows=limit
        )

    # --- lanes ----------------------------------------------------------------------------------------------------

    async def note_streak(
        self,
        webhook_id: WebhookId,
        failing_since: Millis | None,
        warned_at: Millis | None,
        notice: Notice | None = None,
        *,
        unbroken_since: Millis | None = None,
    ) -> None:
        def write(db: WritingDatabase) -> None:
            if failing_since is None:
                db.execute(_LANE["forget"], (webhook_id,))
            else:
                db.execute(_LANE["note"], (webhook_id, failing_since, unbroken_since, warned_at))
            if notice is not None:
                put_notice(db, notice)

        await self._writer.do(write)

    async def lanes(
        self,
        after: int,
        limit: int,
        shards: frozenset[int] = ALL,  # noqa: ARG002 - one process has all
    ) -> Sequence[LaneFacts]:
        return await self._readers.do(lambda db: _lanes(db, after, limit))


def _claim(
    db: WritingDatabase, wants: Sequence[tuple[WebhookId, int]], now: Millis, epoch: int, max_bytes: int
) -> ClaimAnswer:
    db.own(epoch)
    next_due: dict[WebhookId, Millis | None] = {}
    due: dict[DeliveryId, tuple[WebhookId, Millis]] = {}
    for webhook_id, n in wants:
        first = _FIRST.decode(db.value(_DELIVERY["first_waiting"], (webhook_id, max(n, 0) + 1)))
        take = 0
        while take < len(first) and take < n and first[take][1] <= now:
            take += 1
        next_due[webhook_id] = first[take][1] if take < len(first) else None
        due.update((id_, (webhook_id, at)) for id_, at in first[:take])
    claimed, erased = _to_send(db, list(due), max_bytes)
    if erased:
        db.execute(_DELIVERY["cancel_erased"], (many(erased), now))
    if claimed:
        db.execute(_DELIVERY["claim"], (many([one.id for one in claimed]),))
    unreached = [*due.values()][len(claimed) + len(erased) :]
    next_due.update(reversed(unreached))  # so that a lane's first one counts
    return ClaimAnswer(claimed=tuple(claimed), next_due=next_due)


def _to_send(db: Database, ids: Sequence[DeliveryId], max_bytes: int) -> tuple[Sequence[Claimed], list[DeliveryId]]:
    """In the order given, until their bodies exceed `max_bytes`; beside them those whose body an erasure took while
    they were being sent.
    """
    claimed: list[Claimed] = []
    erased: list[DeliveryId] = []
    if not ids:
        return claimed, erased
    for row in db.execute(_DELIVERY["to_send"], (many(ids),)):
        id_, event_id, webhook_id, account_id, attempts, tries, claim_count, type_, timestamp, data, version = row
        if data is None:
            erased.append(id_)
            continue
        claimed.append(
            Claimed(
                id=id_,
                event_id=event_id,
                webhook_id=webhook_id,
                account_id=account_id,
                type=type_,
                timestamp=timestamp,
                data=data,
                attempts=attempts,
                tries=tries,
                claim_count=claim_count + 1,
                config_version=version,
            )
        )
        max_bytes -= len(data)
        if max_bytes < 0:
            break
    return as_digests(db, claimed), erased


def _settle(db: WritingDatabase, settlements: Sequence[Settlement], epoch: int) -> Sequence[DeliveryId]:
    """Settles what is being sent; an outcome of anything else is a stale one and leaves no trace. Which were stale."""
    db.own(epoch)
    if not settlements:
        return ()
    settlements = spare_erased(db, settlements)
    numbers = db.attempt_numbers(len(settlements))
    again = [one.delivery_id for one in settlements if one.attempt.n > 1]
    before = _last_attempts(db, again) if again else {}
    updates: list[Row] = [
        (
            one.delivery_id,
            CODES[one.state],
            one.settled_at if one.due_at is None else one.due_at,
            one.tries,
            _status_code(one),
            number,
            one.attempt.n,
        )
        for one, number in zip(settlements, numbers, strict=True)
    ]
    attempts: list[Row] = [
        (number, one.delivery_id, before.get(one.delivery_id), encode_attempt(one.attempt))
        for one, number in zip(settlements, numbers, strict=True)
    ]
    refused: Sequence[DeliveryId] = ()
    if db.change_rows(_DELIVERY, "settle", updates) != len(updates):
        ids = many([one.delivery_id for one in settlements])
        newest = {number for (number,) in db.rows(_DELIVERY["settled"], (ids,))}
        attempts = [attempt for attempt in attempts if attempt[0] in newest]
        settled = {delivery_id for _, delivery_id, *_ in attempts}
        refused = list(dict.fromkeys(one.delivery_id for one in settlements if one.delivery_id not in settled))
    db.change_rows(_ATTEMPT, "insert", attempts)
    if named := [one for one in settlements if one.message is not None and one.delivery_id not in refused]:
        keep_messages(db, named)
    return refused


def _last_attempts(db: Database, ids: Sequence[int]) -> dict[int, int | None]:
    return {id_: number if number > 0 else None for id_, number in db.rows(_DELIVERY["last_attempts"], (many(ids),))}


def _status_code(settlement: Settlement) -> int:
    code = settlement.attempt.outcome.status_code
    return NO_STATUS if code is None else code


def _lanes(db: Database, after: int, limit: int) -> list[LaneFacts]:
    """Goes on past lanes of deleted webhooks, so that an empty answer means the end."""
    while True:
        due: dict[int, Millis | None] = dict(db.rows(_DELIVERY["backlogs"], (after, limit)))
        streaks = {row[0]: row[1:] for row in db.rows(_LANE["streaks"], (after, limit))}
        ids = sorted(due.keys() | streaks.keys())[:limit]
        facts = []
        for webhook_id in ids:
            owner = db.row(_LANE["owner"], (webhook_id,))
            if owner is None:
                continue
            account_id, shard = owner
            streak = streaks.get(webhook_id) or db.row(_LANE["streak"], (webhook_id,)) or (None, None, None)
            facts.append(
                LaneFacts(
                    webhook_id=WebhookId(webhook_id),
                    account_id=account_id,
                    shard=shard_of(webhook_id.to_bytes(8, "big")) if shard is None else shard,
                    next_due=due[webhook_id] if webhook_id in due else db.value(_DELIVERY["next_due"], (webhook_id,)),
                    failing_since=streak[0],
                    unbroken_since=streak[1],
                    warned_at=streak[2],
                )
            )
        if facts or not ids:
            return facts
        after = ids[-1]
