"""What became of deliveries, and the attempts at them."""

from collections.abc import Sequence

import msgspec

from tocsin.model import DeliveryId, DeliveryState
from tocsin.store.columns import CODES, encode_attempt
from tocsin.store.port import Settlement
from tocsin.store.postgres.database import Database, bounds, columns
from tocsin.store.postgres.digests import keep_messages
from tocsin.store.postgres.statements import statements
from tocsin.store.postgres.writer import WritingDatabase
from tocsin.store.scrubbing import bare

_ATTEMPT = statements("attempt")
_DELIVERY = statements("delivery")
_DIGEST = statements("digest")


async def settle(db: WritingDatabase, settlements: Sequence[Settlement], epoch: int) -> Sequence[DeliveryId]:
    """Settles what the node is sending, of one that is named twice the first. An outcome of anything else is a stale
    one and leaves no trace; which were stale.
    """
    await db.own(epoch)
    first: dict[DeliveryId, Settlement] = {}
    for one in settlements:
        first.setdefault(one.delivery_id, one)
    fresh = await spare_erased(db, list(first.values()))
    settled: set[int] = set()
    for statement, which in (
        ("settle", [one for one in fresh if one.due_at is None]),
        ("settle_waiting", [one for one in fresh if one.due_at is not None]),
    ):
        if which:
            rows = await db.rows(_DELIVERY[statement], *columns(_rows(which), 8), epoch)
            settled.update(id_ for (id_,) in rows)
    if named := [one for one in fresh if one.message is not None and one.delivery_id in settled]:
        await keep_messages(db, named)
    return [id_ for id_ in first if id_ not in settled]


def _rows(settlements: Sequence[Settlement]) -> Sequence[tuple[object, ...]]:
    return [
        (
            one.delivery_id,
            CODES[one.state],
            one.settled_at if one.due_at is None else one.due_at,
            one.tries,
            one.attempt.outcome.status_code,
            one.attempt.id,
            encode_attempt(one.attempt),
            one.attempt.n,
        )
        for one in settlements
    ]


async def settle_manual(db: Database, settlement: Settlement, epoch: int) -> None:
    """As `settle`, of a manual attempt: on success the delivery ends, otherwise it is put back as it was."""
    delivery_id = settlement.delivery_id
    ok = settlement.state is DeliveryState.SUCCEEDED
    attempt = (await spare_erased(db, [settlement]))[0].attempt
    account_id = await db.value(
        _DELIVERY["settle_manual"], delivery_id, ok, settlement.settled_at, attempt.outcome.status_code, epoch
    )
    if account_id is not None:
        await db.change(_ATTEMPT["insert"], account_id, delivery_id, attempt.id, encode_attempt(attempt))
        if settlement.message is not None:
            await keep_messages(db, [settlement])


async def spare_erased(db: Database, settlements: Sequence[Settlement]) -> Sequence[Settlement]:
    """The settlements without what must not be kept: of what an erasure took something while it was being sent.

    Only those that keep their request are looked at. They are locked first: an erasure that is under way ends before
    they are looked at, and another finds their attempts.
    """
    keeping = sorted({one.delivery_id for one in settlements if one.attempt.request_body is not None})
    if not keeping:
        return settlements
    live = [tuple(row[:3]) for row in map(tuple, await db.rows(_DELIVERY["lock"], keeping))]
    if not live:
        return settlements
    between = bounds(event_id for _, _, event_id in live)
    found = {id_ for (id_,) in await db.rows(_DIGEST["to_bare"], *columns(live, 3), *between)}
    if not found:
        return settlements
    await db.change(_DIGEST["scrubbed"], list(found))
    return [
        msgspec.structs.replace(one, attempt=bare(one.attempt)) if one.delivery_id in found else one
        for one in settlements
    ]
