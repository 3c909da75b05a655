"""A store filled with one of everything that an installation can have, over five weeks; and all of it as the ports tell
it, to be compared between one store and another.
"""

from typing import Any

import msgspec

from tests.store.gathering import INCIDENT, claimed, digest, fold, folding, summary
from tests.store.test_retention import purge
from tests.store.test_triggers import new_activity, new_write
from tests.store.world import ALL, World
from tocsin.clock import Millis
from tocsin.model import AccountId, DeliveryState, Notice, NoticeId, NoticeKind, Webhook, WebhookSettings, WebhookState
from tocsin.security.vault import Vault
from tocsin.store.port import (
    Accepted,
    DeliveryFilter,
    EventFilter,
    Fold,
    Page,
    Store,
    StoredAnswer,
    TriggerAsk,
    WebhookEdit,
)

KEY = b"k" * 32
FINGERPRINT = Vault(KEY).fingerprint
VISITOR = "visitor\0with a NUL"
DAY_S = 86_400
STATE_KEYS = frozenset({"counter", f"visitor:{VISITOR}", "visitor:@192.0.2.1", "für immer"})
TIMERS = frozenset({"summary", "hold:c-1"})
FAR = Millis(10**13)


async def begin(world: World) -> None:
    """What every installation has: the fingerprint of its key, and an operator."""
    await world.store.housekeeping.keep_meta("vault_fingerprint", FINGERPRINT)
    await world.store.keys.add(world.new_key(None), world.change("key.created"))


async def fill(world: World, weeks: int = 5) -> None:
    """Everything, in several weeks; at its end claims are under way, as a killed server leaves them."""
    await begin(world)
    for week in range(weeks):
        await accounts_of_a_week(world, week)
        world.clock.advance(7 * DAY_S)
    await purge(world, bodies_before=Millis(world.now - 30 * DAY_S * 1000))


async def accounts_of_a_week(world: World, week: int) -> None:
    store = world.store
    account = await world.account(
        external_id=f"brand:{week}", name="Ёlan & Söhne", settings={"mask_ips": False}, notify_email="a@example.com"
    )
    await store.keys.add(world.new_key(account, revoked_at=world.now), world.change("key.created"))
    await store.catalogue.put(account.id, world.event_type(schema={"type": "object", "x": "\0"}), 10, world.change())
    plain = await world.webhook(account)
    chat = await world.webhook(account, settings={"channel": "slack", "shard": 7})
    gone = await world.webhook(account)
    await change(world, plain, state=WebhookState.DISABLED, status_reason="the address answers 410")
    plain = await change(world, plain, state=WebhookState.ACTIVE, sealed=b"sealed anew")
    await change(world, chat, settings=msgspec.structs.replace(chat.settings, filter="data.n > 1"), muted_until=FAR)
    await store.webhooks.remove(account.id, gone.id, world.change())
    await deliveries(world, account, plain)
    await digests(world, account, chat)
    await triggers(world, account, plain)
    await world.accept(account, fan_out=True, external_id="to many")
    await store.journal.note_streak(
        plain.id, Millis(world.now - 5), Millis(world.now), unbroken_since=Millis(world.now - 9)
    )
    await store.journal.note_streak(
        chat.id,
        world.now,
        None,
        Notice(
            id=NoticeId(world.ids.next()),
            account_id=AccountId(account.id),
            webhook_id=chat.id,
            kind=NoticeKind.FAILING,
            reason="it does not answer",
            at=world.now,
        ),
    )
    await answers(world, account)
    removed = await world.account(external_id="the same every week")
    await world.accept(removed, await world.webhook(removed), external_id="of one that is removed")
    await store.accounts.remove(removed.id, world.change("account.removed"))


async def change(world: World, webhook: Webhook, **edit: Any) -> Webhook:
    changed = await world.store.webhooks.change(
        webhook.account_id, webhook.id, WebhookEdit(**edit), world.change("webhook.changed", detail="ü")
    )
    assert changed is not None
    return changed


async def deliveries(world: World, account: Any, webhook: Webhook, named: str = "e") -> None:
    """In every state, with none to three attempts, one of them made by hand."""
    succeeded, failed, retrying, by_hand, sending, released = [
        (await world.accept(account, webhook, claimed=True, external_id=f"{named}{i}", visitor_id=VISITOR))
        .deliveries[0]
        .id
        for i in range(6)
    ]
    await world.settle(world.settlement(succeeded))
    await world.settle(world.settlement(failed, DeliveryState.RETRYING, due_at=world.now))
    await world.settle(world.settlement(retrying, DeliveryState.RETRYING, due_at=Millis(world.now + 60 * DAY_S * 1000)))
    await world.claim(webhook)
    await world.settle(world.settlement(failed, DeliveryState.FAILED, n=2))
    await world.settle(world.settlement(by_hand, DeliveryState.FAILED))
    for ok in (False, True):
        assert await world.store.journal.claim_one(account.id, by_hand, world.now, world.epoch)
        state = DeliveryState.SUCCEEDED if ok else DeliveryState.FAILED
        await world.store.journal.settle_manual(world.settlement(by_hand, state, n=2 + ok), world.epoch)
    await world.store.journal.release([released], world.epoch)
    waiting = await world.accept(account, webhook, data=b'{"text":"\xc3\xa4\\u0000"}')
    await world.store.journal.cancel(account.id, waiting.deliveries[0].id, world.now)
    await world.accept(account, webhook)  # pending
    # Under way when the process is killed: one by the schedule, one that had ended by hand.
    assert await world.store.journal.claim_one(account.id, failed, world.now, world.epoch)
    assert await world.state(account, sending) is DeliveryState.SENDING


async def digests(world: World, account: Any, webhook: Webhook) -> None:
    """One that was sent, one that is open, and an incident that waits."""
    ids = await claimed(world, account, webhook, 2)
    sent = await fold(world, account, webhook, digest(world, summary=summary(2, named=[VISITOR])), *ids)
    assert await world.store.journal.claim_one(account.id, sent.delivery_id, world.now, world.epoch)
    await world.store.journal.settle_manual(world.settlement(sent.delivery_id, message="message 1"), world.epoch)
    ids = await claimed(world, account, webhook, 3)
    folds = (
        Fold(members=(ids[0], ids[1]), into=digest(world, 2)),
        Fold(members=(ids[2],), into=digest(world, 1, kind=INCIDENT)),
    )
    await world.store.digests.gather([folding(world, account, webhook, *folds)], world.epoch)


async def triggers(world: World, account: Any, webhook: Webhook) -> None:
    until = Millis(world.now + 90 * DAY_S * 1000)
    write = await new_write(
        world,
        account,
        activities=tuple(new_activity(world, external_id=f"a{i}", visitor_id=VISITOR, data=b"{}") for i in range(3)),
        puts={key: (key.encode(), None if "für" in key else until) for key in STATE_KEYS},
        timers={name: Millis(world.now + 10**9) for name in TIMERS},
        events=(await world.new_event(account, webhook, source="activity"),),
    )
    assert await world.store.triggers.write([write], world.epoch) == [Accepted()]


async def answers(world: World, account: Any) -> None:
    repeated = world.store.idempotency
    for whose, key in ((account.id, "done"), (None, f"operator's {account.id}"), (account.id, "under way")):
        assert await repeated.begin(whose, "POST /v1/x", key, b"d" * 32, world.now, FAR) is None
    for whose, key in ((account.id, "done"), (None, f"operator's {account.id}")):
        answer = StoredAnswer(digest=b"d" * 32, status=201, body=b'{"id":1}', headers=(("x", "ä"),))
        await repeated.finish(whose, "POST /v1/x", key, answer)


# --- all of it, as the ports tell -----------------------------------------------------------------------------------


async def contents(store: Store, now: Millis) -> dict[str, Any]:
    """By noun; equal where two stores hold the same. What a killed server was sending must have been put back."""
    accounts = await store.accounts.list(ALL)
    found: dict[str, Any] = {
        "accounts": accounts,
        "keys of the operator": await store.keys.list(None, ALL),
        "revoked": sorted(await store.keys.revoked_since(Millis(0))),
        "audit": await store.records.audit(None, Page(limit=100_000)),
        "notices": sorted(await store.notices.due(FAR, 1_000), key=lambda one: one.id),
        "timers": sorted(await store.triggers.due(FAR, 1_000), key=lambda one: (one.account_id, one.name)),
        "fan-out jobs": await store.journal.fan_out_jobs(1_000),
        "lanes": await lanes(store),
        "fingerprint": await store.housekeeping.meta("vault_fingerprint"),
    }
    for account in accounts:
        found[f"of {account.id}"] = await contents_of(store, account.id, account.config_version, now)
    return found


async def lanes(store: Store) -> list[Any]:
    found: list[Any] = []
    while page := await store.journal.lanes(found[-1].webhook_id if found else 0, 100):
        found += page
    return found


async def contents_of(store: Store, account_id: AccountId, config_version: int, now: Millis) -> dict[str, Any]:
    records = store.records
    events, _ = await records.events(account_id, EventFilter(), ALL)
    deliveries, _ = await records.deliveries(account_id, DeliveryFilter(), ALL)
    webhooks = await store.webhooks.list(account_id, ALL)
    names = frozenset(f"a{i}" for i in range(4))
    ask = TriggerAsk(account_id=account_id, keys=STATE_KEYS, external_ids=names, timers=TIMERS)
    (remembered,) = await store.triggers.read([ask], now)
    assert remembered is not None
    return {
        "keys": await store.keys.list(account_id, ALL),
        "event types": await store.catalogue.list(account_id),
        "webhooks": webhooks,
        "versions": [await store.webhooks.as_of(account_id, n) for n in range(1, config_version + 1)],
        "events": [await records.event(account_id, event.id) for event in events],
        "own events": [await records.event(account_id, one.event_id) for one in deliveries],
        "deliveries": deliveries,
        "attempts": [await records.attempts(account_id, one.id) for one in deliveries],
        "windows": [await store.digests.window(webhook.id) for webhook in webhooks],
        "members": [
            await store.digests.members(account_id, one.id, ALL) for one in deliveries if one.members is not None
        ],
        "remembered": (remembered.values, remembered.known, remembered.timers),
        "scanned": await store.triggers.scan(account_id, "", "", 1_000),
        "activities": await store.triggers.activities(account_id, since=Millis(0), until=FAR, after=0, limit=1_000),
    }


def settings_of(webhook: Webhook, **values: Any) -> WebhookSettings:
    return msgspec.structs.replace(webhook.settings, **values)
