"""What waits, given to the owners of lanes; and one delivery, wherever it is."""

from collections.abc import Mapping, Sequence

from tocsin.clock import Millis
from tocsin.model import DeliveryId, WebhookId
from tocsin.store.port import ClaimAnswer, Claimed
from tocsin.store.postgres.database import Database, Row, bounds, columns
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
    take: list[tuple[DeliveryId, int, int]] = []
    erased: list[DeliveryId] = []
    taken = dict.fromkeys(numbers, 0)
    first = await db.rows(_DELIVERY["first_waiting"], *columns(list(numbers.items()), 2))
    sizes = await _sizes(db, [row for row in first if row[2] <= now])
    for webhook_id, id_, at, account_id, event_id in first:
        if next_due[webhook_id] is not None:
            continue
        if taken[webhook_id] == numbers[webhook_id] or at > now or max_bytes < 0:
            next_due[webhook_id] = at
            continue
        taken[webhook_id] += 1
        size = sizes.get(event_id)
        if size is None:  # an erasure took its body while it was being sent
            erased.append(id_)
        else:
            take.append((id_, account_id, event_id))
            max_bytes -= size
    if erased:
        await db.change(_DELIVERY["cancel_erased"], erased, now)
    claimed = await _claim(db, take, epoch) if take else ()
    return ClaimAnswer(claimed=tuple(claimed), next_due=next_due)


async def _sizes(db: Database, first: Sequence[Row]) -> Mapping[int, int | None]:
    """Of the events of what may be taken."""
    events = [(account_id, event_id) for _, _, _, account_id, event_id in first]
    if not events:
        return {}
    between = bounds(event_id for _, event_id in events)
    return {row[0]: row[1] for row in await db.rows(_DELIVERY["sizes"], *columns(events, 2), *between)}


async def _claim(db: Database, take: Sequence[tuple[DeliveryId, int, int]], epoch: int) -> Sequence[Claimed]:
    """Of (delivery, account, event), in the order given."""
    between = bounds(event_id for _, _, event_id in take)
    rows = {row[0]: row for row in await db.rows(_DELIVERY["claim"], *columns(take, 3), epoch, *between)}
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
            config_version=version,
        )
        for id_, event_id, webhook_id, account_id, attempts, tries, claim_count, type_, timestamp, data, version in (
            rows[one[0]] for one in take if one[0] in rows
        )
    ]
    return await as_digests(db, claimed)


async def find(db: Database, account_id: int, delivery_id: int) -> Row | None:
    """One delivery, locked: its event, webhook, state, attempts, tries, claim_count.

    Each statement sees what was committed before it, so one that is moved between two of them may be in neither's
    place: it is looked for where it has gone. That it is moved time and again just then is not to be expected.
    """
    for place in ("one_live", "one_log", "one_live", "one_log"):
        row = await db.row(_DELIVERY[place], delivery_id, account_id)
        if row is not None:
            return row
    return None
