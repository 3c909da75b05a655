"""E-mails to be sent: durable with what they tell of, and forgotten when they are done."""

from typing import Any

import pytest

from tests.store.world import ALL, World
from tocsin.clock import Millis
from tocsin.errors import Conflict
from tocsin.model import NOTICE_TYPE, OWN_SOURCE, Account, DeliveryState, Notice, NoticeKind, Webhook, WebhookState
from tocsin.store.port import Accepted, AccountGone, DeliveryFilter, EventFilter, NewEvent, Stale, WebhookEdit

FAIL = WebhookEdit(state=WebhookState.FAILED, status_reason="why", if_state=WebhookState.ACTIVE)


def notice(world: World, webhook: Webhook, kind: NoticeKind = NoticeKind.FAILED, **values: Any) -> Notice:
    return Notice(
        **{
            "id": world.ids.next(),
            "account_id": webhook.account_id,
            "webhook_id": webhook.id,
            "kind": kind,
            "reason": "a delivery failed",
            "at": world.now,
            **values,
        }
    )


async def warn(world: World, webhook: Webhook, **values: Any) -> Notice:
    made = notice(world, webhook, NoticeKind.FAILING, **values)
    await world.store.journal.note_streak(webhook.id, world.now, world.now, made)
    return made


async def test_a_notice_is_kept_with_the_change_that_it_tells_of(world: World):
    """It comes back as it was made, also after a crash, and the webhook is as it says."""
    account = await world.account()
    webhook = await world.webhook(account)
    made = notice(world, webhook, reason="a “delivery” failed")
    changed = await world.store.webhooks.change(account.id, webhook.id, FAIL, world.change(), made)
    assert changed is not None
    assert changed.state is WebhookState.FAILED
    await world.reopen()
    assert list(await world.store.notices.due(world.now, 10)) == [made]
    assert await world.store.notices.next_due() == made.at


async def test_a_change_that_is_not_made_leaves_no_notice(world: World):
    """A webhook in another state than expected, or one that is not there, is nothing to tell of."""
    account = await world.account()
    webhook = await world.webhook(account, state=WebhookState.DISABLED)
    change = world.store.webhooks.change
    await change(account.id, webhook.id, FAIL, world.change(), notice(world, webhook))
    assert await change(account.id, world.ids.next(), FAIL, world.change(), notice(world, webhook)) is None
    assert await world.store.notices.next_due() is None


async def announcement(world: World, account: Account, *to: Webhook, **values: Any) -> NewEvent:
    own: dict[str, Any] = {"type": NOTICE_TYPE, "source": OWN_SOURCE, "config_version": 0}
    return await world.new_event(account, *to, **own | values)


async def test_an_announcement_is_written_with_the_change_that_it_tells_of(world: World):
    """It is one more event of Tocsin's own, on its way to another webhook; it is listed among no events."""
    account = await world.account()
    webhook, other = await world.webhook(account), await world.webhook(account)
    told = await announcement(world, account, other)
    for _ in range(2):  # what comes second finds the webhook changed
        changed = await world.store.webhooks.change(account.id, webhook.id, FAIL, world.change(), announcement=told)
        assert changed is not None
        assert changed.state is WebhookState.FAILED
    await world.reopen()
    assert await world.store.records.events(account.id, EventFilter(), ALL) == ([], None)
    event = await world.store.records.event(account.id, told.id)
    assert event is not None
    assert (event.type, event.data) == (NOTICE_TYPE, told.data)
    (delivery,), _ = await world.store.records.deliveries(account.id, DeliveryFilter(), ALL)
    assert (delivery.id, delivery.state) == (told.deliveries[0].id, DeliveryState.PENDING)
    (claimed,) = await world.claim(other)
    assert (claimed.event_id, claimed.type, claimed.data) == (told.id, NOTICE_TYPE, told.data)


async def test_a_change_that_is_not_made_announces_nothing(world: World):
    """A webhook in another state or version than expected, or one that is not there, is nothing to tell of."""
    account = await world.account()
    webhook, other = await world.webhook(account, state=WebhookState.DISABLED), await world.webhook(account)
    told = await announcement(world, account, other)
    change = world.store.webhooks.change
    await change(account.id, webhook.id, FAIL, world.change(), announcement=told)
    assert await change(account.id, world.ids.next(), FAIL, world.change(), announcement=told) is None
    with pytest.raises(Conflict):
        await change(account.id, webhook.id, WebhookEdit(if_version=9), world.change(), announcement=told)
    assert await world.store.records.event(account.id, told.id) is None
    assert await world.claim(other) == []


async def test_own_events_need_no_matching(world: World):
    """An event of Tocsin's own is accepted whatever the account's settings are by now; a publisher's is not."""
    account = await world.account()
    webhook = await world.webhook(account)
    own, published = await announcement(world, account, webhook), await world.new_event(account, config_version=0)
    assert await world.ingest(own, published) == [Accepted(), Stale()]
    await world.store.accounts.remove(account.id, world.change("account.removed"))
    assert await world.ingest(await announcement(world, account, webhook)) == [AccountGone()]


async def test_a_warning_is_kept_with_the_streak(world: World):
    """That the owner was warned, and the warning, are there together."""
    webhook = await world.webhook(await world.account())
    made = await warn(world, webhook)
    await world.reopen()
    [facts] = await world.store.journal.lanes(0, 10)
    assert facts.warned_at == world.now
    assert list(await world.store.notices.due(world.now, 10)) == [made]


async def test_only_the_newest_word_on_a_webhook_is_kept(world: World):
    """A newer notice takes the place of an older one, and what is then said of the older one changes nothing."""
    account = await world.account()
    webhook = await world.webhook(account)
    old = await warn(world, webhook)
    await world.store.notices.postpone(old, Millis(world.now + 60_000))
    new = notice(world, webhook)
    await world.store.webhooks.change(account.id, webhook.id, FAIL, world.change(), new)
    await world.store.notices.remove(old)
    await world.store.notices.postpone(old, Millis(world.now + 60_000))
    assert list(await world.store.notices.due(world.now, 10)) == [new]
    await world.store.notices.remove(new)
    assert await world.store.notices.next_due() is None


async def test_a_warning_does_not_hide_that_a_webhook_was_stopped(world: World):
    """A warning that comes late, from an attempt that was under way, leaves the weightier news in its place."""
    account = await world.account()
    webhook = await world.webhook(account)
    stopped = notice(world, webhook)
    await world.store.webhooks.change(account.id, webhook.id, FAIL, world.change(), stopped)
    await warn(world, webhook)
    assert list(await world.store.notices.due(world.now, 10)) == [stopped]


async def test_the_longest_due_come_first(world: World):
    """Notices are due at once, in order, up to a limit; postponed ones later, and they count their tries."""
    account = await world.account()
    made = []
    for _ in range(3):
        made.append(await warn(world, await world.webhook(account)))
        world.clock.advance(1)
    assert list(await world.store.notices.due(Millis(made[0].at - 1), 10)) == []
    assert list(await world.store.notices.due(world.now, 2)) == made[:2]
    later = Millis(world.now + 60_000)
    await world.store.notices.postpone(made[0], later)
    assert list(await world.store.notices.due(world.now, 10)) == made[1:]
    assert await world.store.notices.next_due() == made[1].at
    [*_, last] = await world.store.notices.due(later, 10)
    assert (last.id, last.tries) == (made[0].id, 1)


async def test_waiting_notices_are_counted(world: World):
    """The gauge of what waits follows what is written and removed."""
    made = await warn(world, await world.webhook(await world.account()))
    assert (await world.store.records.counts())["notices"] == 1
    await world.store.notices.remove(made)
    assert (await world.store.records.counts())["notices"] == 0


async def test_notices_go_with_their_account(world: World):
    """Purging a removed account takes what was still to be sent to it."""
    account = await world.account()
    await warn(world, await world.webhook(account))
    await world.store.accounts.remove(account.id, world.change())
    await world.store.housekeeping.purge(
        bodies_before=Millis(0), logs_before=Millis(0), dedupe_before=Millis(0), now=world.now, limit=100
    )
    assert await world.store.notices.next_due() is None
