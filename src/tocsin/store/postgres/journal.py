"""The journal: events in, deliveries out and back."""

from collections.abc import Sequence

from tocsin.clock import Millis
from tocsin.errors import NotFound
from tocsin.model import AccountId, DeliveryId, DeliveryState, Notice, Trigger, WebhookId
from tocsin.shards import ALL
from tocsin.store.columns import DIGESTED, SENDING, STATES
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
from tocsin.store.postgres.claims import claim, find
from tocsin.store.postgres.database import Database, Pool, in_range
from tocsin.store.postgres.digests import as_digests
from tocsin.store.postgres.ingest import delivery_row, ingest, write_deliveries
from tocsin.store.postgres.notices import put_notice
from tocsin.store.postgres.settling import settle, settle_manual
from tocsin.store.postgres.statements import statements
from tocsin.store.postgres.writer import Writer, WritingDatabase

_DELIVERY = statements("delivery")
_FAN_OUT = statements("fan_out")
_LANE = statements("lane")


class PostgresJournal:
    def __init__(self, writer: Writer, pool: Pool) -> None:
        self._writer = writer
        self._pool = pool

    async def ingest(self, events: Sequence[NewEvent], epoch: int) -> Sequence[Ingested]:
        rows = sum(len(event.deliveries) for event in events) + len(events)
        return await self._writer.together(lambda db: ingest(db, events, epoch), rows=rows, ingests=True)

    async def fan_out_jobs(self, limit: int) -> Sequence[FanOutJob]:
        rows = await self._pool.read(lambda db: db.rows(_FAN_OUT["jobs"], limit))
        return [
            FanOutJob(event_id=event_id, account_id=account_id, config_version=version, after=after)
            for event_id, account_id, version, after in rows
        ]

    async def fan_out(
        self, job: FanOutJob, deliveries: Sequence[NewDelivery], *, after: int, done: bool, due_at: Millis
    ) -> None:
        async def write(db: WritingDatabase) -> None:
            moved = (
                await db.change(_FAN_OUT["finish"], job.event_id, job.after)
                if done
                else await db.change(_FAN_OUT["advance"], job.event_id, job.after, after)
            )
            if moved:  # else this chunk was written before, or the account is gone
                await write_deliveries(
                    db, [delivery_row(delivery, job.event_id, job.account_id, due_at, None) for delivery in deliveries]
                )

        await self._writer.together(write, rows=len(deliveries) + 1)

    # --- claims ---------------------------------------------------------------------------------------------------

    async def claim(
        self, wants: Sequence[tuple[WebhookId, int]], now: Millis, epoch: int, max_bytes: int = 16 << 20
    ) -> ClaimAnswer:
        rows = sum(n for _, n in wants)
        return await self._writer.together(lambda db: claim(db, wants, now, epoch, max_bytes), rows=rows)

    async def claim_one(
        self,
        account_id: AccountId,
        delivery_id: DeliveryId,
        now: Millis,  # noqa: ARG002 - a manual retry is made whether due or not
        epoch: int,
    ) -> Claimed | DeliveryState | None:
        async def write(db: WritingDatabase) -> Claimed | DeliveryState | None:
            await db.own(epoch)
            row = await find(db, account_id, delivery_id) if in_range(delivery_id) else None
            if row is None:
                return None
            event_id, webhook_id, state, attempts, tries, claim_count = row
            event = await db.row(_DELIVERY["event"], account_id, event_id)
            if event is None or event[2] is None or state in {SENDING, DIGESTED}:
                return STATES[state]
            type_, timestamp, data = event
            place = "claim_live" if state < SENDING else "claim_ended"
            await db.change(_DELIVERY[place], delivery_id, account_id, epoch)
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
            return (await as_digests(db, [claimed]))[0]

        return await self._writer.together(write)

    async def release(self, delivery_ids: Sequence[DeliveryId], epoch: int) -> None:
        async def write(db: WritingDatabase) -> None:
            await db.own(epoch)
            if delivery_ids:
                await db.change(_DELIVERY["release"], list(delivery_ids), epoch)

        await self._writer.together(write, rows=len(delivery_ids))

    async def claimed(self, epoch: int) -> Sequence[InHands]:
        rows = await self._pool.read(lambda db: db.rows(_DELIVERY["claimed"], epoch))
        return [InHands(id=id_, webhook_id=webhook_id, account_id=account_id) for id_, webhook_id, account_id in rows]

    # --- what became of them --------------------------------------------------------------------------------------

    async def settle(self, settlements: Sequence[Settlement], epoch: int) -> Sequence[DeliveryId]:
        rows = 3 * len(settlements)
        return await self._writer.together(lambda db: settle(db, settlements, epoch), rows=rows)

    async def settle_manual(self, settlement: Settlement, epoch: int) -> DeliveryState:
        async def write(db: WritingDatabase) -> DeliveryState:
            await db.own(epoch)
            await settle_manual(db, settlement, epoch)
            state = await db.value(_DELIVERY["state"], settlement.delivery_id)
            if state is None:
                raise NotFound("the delivery is gone")
            return STATES[state]

        return await self._writer.together(write, fenced=True)

    async def cancel(self, account_id: AccountId, delivery_id: DeliveryId, now: Millis) -> DeliveryState | None:
        async def write(db: WritingDatabase) -> DeliveryState | None:
            row = await find(db, account_id, delivery_id) if in_range(delivery_id) else None
            if row is None:
                return None
            if await db.change(_DELIVERY["cancel"], delivery_id, account_id, now):
                return DeliveryState.CANCELLED
            return STATES[row[2]]

        return await self._writer.together(write)

    async def drop_waiting(self, webhook_id: WebhookId, now: Millis, limit: int) -> int:
        return await self._writer.together(
            lambda db: db.change(_DELIVERY["drop_waiting"], webhook_id, now, limit), rows=limit
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
        async def write(db: WritingDatabase) -> None:
            if failing_since is None:
                await db.change(_LANE["forget"], webhook_id)
            else:
                await db.change(_LANE["note"], webhook_id, failing_since, unbroken_since, warned_at)
            if notice is not None:
                await put_notice(db, notice)

        await self._writer.together(write)

    async def lanes(self, after: int, limit: int, shards: frozenset[int] = ALL) -> Sequence[LaneFacts]:
        return await self._pool.read(lambda db: _lanes(db, after, limit, shards))


async def _lanes(db: Database, after: int, limit: int, shards: frozenset[int]) -> list[LaneFacts]:
    """Goes on past lanes of others and of deleted webhooks, so that an empty answer means the end."""
    held = list(shards)
    while True:
        ids = [id_ for (id_,) in await db.rows(_LANE["beyond"], after, limit)]
        facts = [
            LaneFacts(
                webhook_id=webhook_id,
                account_id=account_id,
                shard=shard,
                next_due=next_due,
                failing_since=failing_since,
                unbroken_since=unbroken_since,
                warned_at=warned_at,
            )
            for webhook_id, account_id, shard, next_due, failing_since, unbroken_since, warned_at in await db.rows(
                _LANE["facts"], ids, held
            )
        ]
        if facts or not ids:
            return facts
        after = ids[-1]
