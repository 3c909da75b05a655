"""What waits, given to the owners of lanes."""

from collections.abc import Sequence

from tocsin.clock import Millis
from tocsin.model import DeliveryId, WebhookId
from tocsin.store.port import ClaimAnswer, Claimed
from tocsin.store.postgres.database import Database, columns
from tocsin.store.postgres.digests import as_digests
from tocsin.store.postgres.statements import statements
from tocsin.store.postgres.writer import WritingDatabase

_DELIVERY = statements("delivery")


async def claim(
    db: WritingDatabase, wants: Sequence[tuple[WebhookId, int]], now: Millis, epoch: int, max_bytes: int
) -> ClaimAnswer:
    await db.own(epoch)
    numbers = {webhook_id: max(n, 0) for webhook_id, n in wants}
    next_due: dict[WebhookId, Millis | None] = dict.fromkeys(numbers)
    take: list[DeliveryId] = []
    erased: list[DeliveryId] = []
    taken = dict.fromkeys(numbers, 0)
    for webhook_id, id_, at, size in await db.rows(_DELIVERY["first_waiting"], *columns(list(numbers.items()), 2)):
        if next_due[webhook_id] is not None:
            continue
        if taken[webhook_id] == numbers[webhook_id] or at > now or max_bytes < 0:
            next_due[webhook_id] = at
            continue
        taken[webhook_id] += 1
        if size is None:  # an erasure took its body while it was being sent
            erased.append(id_)
        else:
            take.append(id_)
            max_bytes -= size
    if erased:
        await db.change(_DELIVERY["cancel_erased"], erased, now)
    claimed = await _claim(db, take) if take else ()
    return ClaimAnswer(claimed=tuple(claimed), next_due=next_due)


async def _claim(db: Database, ids: Sequence[DeliveryId]) -> Sequence[Claimed]:
    """In the order given."""
    rows = {row[0]: row for row in await db.rows(_DELIVERY["claim"], ids)}
    claimed = [
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
            claim_count=claim_count,
        )
        for id_, event_id, webhook_id, account_id, attempts, tries, claim_count, type_, timestamp, data in (
            rows[id_] for id_ in ids if id_ in rows
        )
    ]
    return await as_digests(db, claimed)
