"""A small gatherer: the first of a window go out on their own, the others in digests whose summaries name them all.

It remembers nothing but what the store says, as an engine that may die at any moment must not. Summaries hold the ids
of what they stand for, so that nothing can be lost or counted twice unseen.
"""

import json
from collections.abc import Callable, Sequence

import msgspec

from tests.store.gathering import SUMMARY
from tests.store.world import World
from tocsin.clock import Millis
from tocsin.model import DIGEST_TYPE, Account, AccountId, DeliveryId, DeliveryState, EventId, Webhook
from tocsin.store.port import Claimed, Fold, Gathered, OpenDigest, Window

WINDOW_MS = 5_000
SINGLES = 2

# What becomes of a message that is sent: None, nothing yet.
Fate = Callable[[Claimed], DeliveryState | None]


def ids_of(summary: bytes) -> list[int]:
    return json.loads(summary)["ids"]


def summary_of(ids: Sequence[int]) -> bytes:
    return json.dumps({"ids": list(ids)}).encode()


async def gather(world: World, account: Account, webhook: Webhook, claimed: Sequence[Claimed]) -> list[Claimed]:
    """Sorts what was claimed; answers what is to be sent."""
    now = world.now
    window = await world.store.digests.window(webhook.id)
    if window is None or now >= window.ends_at:
        open_ = window.open if window is not None else ()
        window = Window(webhook_id=webhook.id, opened_at=now, ends_at=Millis(now + WINDOW_MS), sent=0, open=open_)
    sending = {one.id for one in claimed}
    digest = next((one for one in window.open if one.delivery_id not in sending), None)
    sent, singles, members = window.sent, [], []
    ids: list[int] = [] if digest is None else ids_of(digest.summary)
    tries = 0 if digest is None else digest.tries
    for one in claimed:
        if one.type == DIGEST_TYPE and (one.tries == 0 or digest is None):
            singles.append(one)
        elif one.type == DIGEST_TYPE:
            members.append(one.id)
            ids += ids_of(one.data)
            tries = max(tries, one.tries)
        elif sent < SINGLES:
            singles.append(one)
            sent += 1
        else:
            members.append(one.id)
            ids.append(one.id)
    if members and digest is None:
        digest = OpenDigest(
            delivery_id=DeliveryId(world.ids.next()),
            event_id=EventId(world.ids.next()),
            kind=SUMMARY,
            opened_at=now,
            due_at=window.ends_at,
            summary=b"",
        )
    folds: tuple[Fold, ...] = ()
    if digest is not None:
        digest = msgspec.structs.replace(digest, summary=summary_of(ids), tries=tries)
        folds = (Fold(members=tuple(members), into=digest),) if members else ()
    window = msgspec.structs.replace(window, sent=sent, open=() if digest is None else (digest,))
    gathered = Gathered(account_id=AccountId(account.id), at=now, window=window, folds=folds)
    await world.store.digests.gather([gathered], world.epoch)
    return singles


async def send(world: World, sending: Sequence[Claimed], fate: Fate) -> list[int]:
    """Settles what was sent; answers what is still under way."""
    under_way = []
    for one in sending:
        state = fate(one)
        if state is None:
            under_way.append(one.id)
            continue
        retrying = state is DeliveryState.RETRYING
        due = Millis(world.now + 1_000) if retrying else None
        tries = one.tries + 1
        await world.settle(world.settlement(one.id, state, n=one.attempts + 1, tries=tries, due_at=due))
    return under_way
