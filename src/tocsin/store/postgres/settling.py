"""What became of deliveries, and the attempts at them."""

from collections.abc import Sequence

import msgspec

from tocsin.model import Attempt, DeliveryState
from tocsin.store.port import Settlement
from tocsin.store.postgres.database import Database, columns
from tocsin.store.postgres.digests import keep_messages
from tocsin.store.postgres.rows import CODES, encode_attempt
from tocsin.store.postgres.statements import statements
from tocsin.store.postgres.writer import WritingDatabase

_ATTEMPT = statements("attempt")
_DELIVERY = statements("delivery")
_DIGEST = statements("digest")


async def settle(db: WritingDatabase, settlements: Sequence[Settlement], epoch: int) -> None:
    """Settles what is being sent; an outcome of anything else is a stale one and leaves no trace."""
    await db.own(epoch)
    if not settlements:
        return
    settlements = await spare_erased(db, settlements)
    rows = [
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
    settled = {id_ for (id_,) in await db.rows(_DELIVERY["settle"], *columns(rows, 8))}
    if named := [one for one in settlements if one.message is not None and one.delivery_id in settled]:
        await keep_messages(db, named)


async def settle_manual(db: Database, settlement: Settlement) -> None:
    """As `settle`, of a manual attempt: on success the delivery ends, otherwise it is put back as it was."""
    delivery_id = settlement.delivery_id
    ok = settlement.state is DeliveryState.SUCCEEDED
    status_code = settlement.attempt.outcome.status_code
    account_id = await db.value(_DELIVERY["settle_manual"], delivery_id, ok, settlement.settled_at, status_code)
    if account_id is not None:
        attempt = (await spare_erased(db, [settlement]))[0].attempt
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
    await db.rows(_DELIVERY["lock"], keeping)
    found = {id_ for (id_,) in await db.rows(_DIGEST["to_bare"], keeping)}
    if not found:
        return settlements
    await db.change(_DIGEST["scrubbed"], list(found))
    return [
        msgspec.structs.replace(one, attempt=bare(one.attempt)) if one.delivery_id in found else one
        for one in settlements
    ]


def bare(attempt: Attempt) -> Attempt:
    """An attempt without its request and the answer to it."""
    return msgspec.structs.replace(
        attempt, request_body=None, outcome=msgspec.structs.replace(attempt.outcome, body=b"")
    )
