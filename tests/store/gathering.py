"""Short ways to gather, for tests of windows and digests. Nothing here knows which store it is."""

import json
from typing import Any

from tests.store.world import World
from tocsin.clock import Millis
from tocsin.model import Account, AccountId, DeliveryId, EventId, Webhook
from tocsin.store.port import DigestKind, Fold, Gathered, OpenDigest, Window

SUMMARY, INCIDENT = DigestKind.SUMMARY, DigestKind.INCIDENT


def summary(n: int, *, named: object = None) -> bytes:
    """A summary of `n` events; `named` is what may tell of a visitor."""
    return json.dumps({"count": n, "named": named}, separators=(",", ":")).encode()


def digest(world: World, n: int = 0, **values: Any) -> OpenDigest:
    """A new one, due in a minute."""
    defaults: dict[str, Any] = {
        "delivery_id": DeliveryId(world.ids.next()),
        "event_id": EventId(world.ids.next()),
        "kind": SUMMARY,
        "opened_at": world.now,
        "due_at": Millis(world.now + 60_000),
        "summary": summary(n),
    }
    return OpenDigest(**defaults | values)


def window(world: World, webhook: Webhook, *open_: OpenDigest, sent: int = 0) -> Window:
    """One that was opened now, for a minute."""
    return Window(webhook_id=webhook.id, opened_at=world.now, ends_at=Millis(world.now + 60_000), sent=sent, open=open_)


def folding(world: World, account: Account, webhook: Webhook, *folds: Fold, **values: Any) -> Gathered:
    """`folds` in a new window that has no other digests than theirs."""
    into = {fold.into.kind: fold.into for fold in folds}
    defaults: dict[str, Any] = {
        "account_id": AccountId(account.id),
        "at": world.now,
        "window": window(world, webhook, *into.values()),
        "folds": folds,
    }
    return Gathered(**defaults | values)


async def fold(world: World, account: Account, webhook: Webhook, into: OpenDigest, *members: int) -> OpenDigest:
    """Folds claimed deliveries into a digest; answers it as it then is in the store."""
    one = Fold(members=tuple(DeliveryId(id_) for id_ in members), into=into)
    await world.store.digests.gather([folding(world, account, webhook, one)], world.epoch)
    return await opened(world, webhook, into.kind)


async def opened(world: World, webhook: Webhook, kind: DigestKind = SUMMARY) -> OpenDigest:
    """The webhook's open digest of a kind."""
    found = await world.store.digests.window(webhook.id)
    assert found is not None
    (one,) = [digest for digest in found.open if digest.kind is kind]
    return one


async def claimed(world: World, account: Account, webhook: Webhook, n: int = 1, **values: Any) -> list[int]:
    """New deliveries that are being sent."""
    events = [await world.accept(account, webhook, claimed=True, **values) for _ in range(n)]
    return [event.deliveries[0].id for event in events]
