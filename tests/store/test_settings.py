"""Accounts, keys, event types and webhooks."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from tests.store.world import ALL, World
from tocsin.clock import Millis
from tocsin.errors import Conflict, Invalid, NotFound
from tocsin.model import Scope, WebhookSettings, WebhookState
from tocsin.store.port import AuditEntry, DeliveryFilter, EventFilter, Page, WebhookEdit

# --- accounts -----------------------------------------------------------------------------------------------------


async def test_an_account_comes_back_as_it_was_made(world: World):
    """Every part of an account is kept, and it is found by id and by external id."""
    account = await world.account(
        name="Märke",
        external_id="brand-1",
        notify_email="a@b.example",
        settings={"n": 1.5, "o": {"p": [None, True, 1 << 80]}},
    )
    assert await world.store.accounts.get(account.id) == account
    assert await world.store.accounts.by_external_id("brand-1") == account
    assert await world.store.accounts.by_external_id("brand-2") is None
    snapshot = await world.store.snapshots.snapshot(account.id)
    assert snapshot is not None
    assert (snapshot.account, snapshot.event_types, snapshot.webhooks) == (account, (), ())
    (key,) = await world.store.keys.list(account.id, ALL)
    assert key.account_id == account.id


async def test_external_ids_of_accounts_are_unique_among_the_living(world: World):
    """An external id names one account; that of a removed one can be taken again."""
    account, other = await world.account(external_id="x"), await world.account()
    with pytest.raises(Conflict) as taken:
        await world.account(external_id="x")
    assert taken.value.code == "external_id_taken"
    changed = msgspec.structs.replace(other, external_id="x")
    with pytest.raises(Conflict) as taken:
        await world.store.accounts.change(changed, world.change())
    assert taken.value.code == "external_id_taken"
    assert await world.store.accounts.list(ALL) == [other, account]
    await world.store.accounts.remove(account.id, world.change())
    await world.store.accounts.change(changed, world.change())
    found = await world.store.accounts.by_external_id("x")
    assert found is not None
    assert found.id == other.id


async def test_changing_an_account_raises_its_config_version(world: World):
    """A change is stored whole, and its number rises by one."""
    account = await world.account()
    world.clock.advance(9)
    wanted = msgspec.structs.replace(account, name="New", settings={"a": 1}, notify_email="x@example.com")
    stored = await world.store.accounts.change(wanted, world.change())
    assert stored == msgspec.structs.replace(wanted, config_version=2, updated_at=world.now)
    assert await world.store.accounts.get(account.id) == stored
    with pytest.raises(NotFound):
        await world.store.accounts.change(world.new_account(), world.change())


async def test_accounts_are_listed_newest_first(world: World):
    """A page holds one more than asked for where there is more."""
    accounts = [await world.account() for _ in range(5)]
    ids = [account.id for account in reversed(accounts)]
    page = await world.store.accounts.list(Page(limit=2))
    assert [account.id for account in page] == ids[:3]
    page = await world.store.accounts.list(Page(limit=2, before=ids[1]))
    assert [account.id for account in page] == ids[2:]
    page = await world.store.accounts.list(Page(limit=2, before=ids[2]))
    assert [account.id for account in page] == ids[3:]


async def test_a_removed_account_is_gone_at_once(world: World):
    """Nothing of a removed account can be read or changed any more, and its keys are revoked."""
    account = await world.account(external_id="x")
    webhook = await world.webhook(account)
    event = await world.accept(account, webhook, external_id="e")
    delivery_id = event.deliveries[0].id
    await world.store.catalogue.put(account.id, world.event_type(), 10, world.change())
    (key,) = await world.store.keys.list(account.id, ALL)
    assert await world.store.accounts.remove(account.id, world.change("account.removed"))
    store = world.store
    assert await store.accounts.get(account.id) is None
    assert await store.accounts.by_external_id("x") is None
    assert await store.accounts.list(ALL) == []
    assert await store.snapshots.snapshot(account.id) is None
    assert await store.webhooks.get(account.id, webhook.id) is None
    assert await store.webhooks.list(account.id, ALL) == []
    assert await store.catalogue.list(account.id) == []
    assert await store.records.event(account.id, event.id) is None
    assert await store.records.events(account.id, EventFilter(), ALL) == ([], None)
    assert await store.records.events(account.id, EventFilter(external_id="e"), ALL) == ([], None)
    assert await store.records.delivery(account.id, delivery_id) is None
    assert await store.records.deliveries(account.id, DeliveryFilter(), ALL) == ([], None)
    assert await store.records.attempts(account.id, delivery_id) == []
    assert await store.journal.claim_one(account.id, delivery_id, world.now, world.epoch) is None
    assert await store.journal.cancel(account.id, delivery_id, world.now) is None
    revoked = await store.keys.by_digest(key.digest)
    assert revoked is None or revoked.revoked_at == world.now
    assert key.id in await store.keys.revoked_since(world.now)
    assert not await store.accounts.remove(account.id, world.change())
    for refused in (
        lambda: store.accounts.change(account, world.change()),
        lambda: store.keys.add(world.new_key(account), world.change()),
        lambda: store.webhooks.add(world.new_webhook(account), None, world.change()),
        lambda: store.catalogue.put(account.id, world.event_type(), 10, world.change()),
    ):
        with pytest.raises(NotFound):
            await refused()


async def test_values_that_cannot_be_stored_are_refused(world: World):
    """Text that is no Unicode and numbers beyond 64 bits are the caller's to mend, and harm nobody."""
    account = await world.account()
    webhook = await world.webhook(account)
    await world.accept(account, webhook)
    store, bad, huge = world.store, "a\ud800", 1 << 64
    refused = [
        lambda: world.account(name=bad),
        lambda: world.account(created_at=huge),
        lambda: store.accounts.by_external_id(bad),
        lambda: store.accounts.change(msgspec.structs.replace(account, timezone=bad), world.change()),
        lambda: store.catalogue.put(account.id, world.event_type(bad), 10, world.change()),
        lambda: store.webhooks.change(account.id, webhook.id, WebhookEdit(muted_until=Millis(huge)), world.change()),
        lambda: store.records.events(account.id, EventFilter(type=bad), ALL),
        lambda: store.records.deliveries(account.id, DeliveryFilter(channel=bad), ALL),
        lambda: store.idempotency.begin(account.id, bad, "k", b"d", world.now, world.now),
    ]
    for call in refused:
        with pytest.raises(Invalid):
            await call()
    assert await store.accounts.list(ALL) == [await store.accounts.get(account.id)]
    page = Page(limit=5, before=huge)
    assert len(await store.accounts.list(page)) == len(await store.webhooks.list(account.id, page)) == 1
    assert len(await store.keys.list(account.id, page)) == 1
    assert len(await store.records.audit(None, page)) == 2
    assert await store.records.events(account.id, EventFilter(since=Millis(huge), until=Millis(-huge)), page) == (
        [],
        None,
    )


# --- keys ---------------------------------------------------------------------------------------------------------


async def test_keys_are_found_by_digest_until_and_after_they_are_revoked(world: World):
    """A key comes back whole; a revoked one says since when, and is revoked once."""
    account = await world.account()
    key = world.new_key(account, scopes=frozenset({Scope.READ, Scope.PUBLISH}), name="reader")
    assert await world.store.keys.add(key, world.change())
    assert await world.store.keys.by_digest(key.digest) == key
    assert await world.store.keys.by_digest(b"unknown") is None
    again = world.new_key(account, digest=key.digest)
    audited = await world.store.records.audit(account.id, Page(limit=10))
    assert not await world.store.keys.add(again, world.change())
    assert await world.store.keys.by_digest(key.digest) == key
    assert await world.store.records.audit(account.id, Page(limit=10)) == audited
    at = Millis(world.now + 5)
    assert await world.store.keys.revoke(account.id, key.id, at, world.change())
    assert not await world.store.keys.revoke(account.id, key.id, Millis(at + 1), world.change())
    revoked = await world.store.keys.by_digest(key.digest)
    assert revoked == msgspec.structs.replace(key, revoked_at=at)
    assert await world.store.keys.revoked_since(at) == [key.id]
    assert await world.store.keys.revoked_since(Millis(at + 1)) == []


async def test_keys_stay_within_their_account(world: World):
    """An account's list holds its own keys only, and nobody revokes another's."""
    account, other = await world.account(), await world.account()
    operators = world.new_key(None)
    assert not await world.store.keys.operator_key_exists()
    await world.store.keys.add(operators, world.change())
    assert await world.store.keys.operator_key_exists()
    (first,) = await world.store.keys.list(account.id, ALL)
    assert not await world.store.keys.revoke(other.id, first.id, world.now, world.change())
    assert not await world.store.keys.revoke(None, first.id, world.now, world.change())
    assert not await world.store.keys.revoke(account.id, operators.id, world.now, world.change())
    assert await world.store.keys.list(None, ALL) == [operators]
    assert await world.store.keys.revoke(None, operators.id, world.now, world.change())
    assert not await world.store.keys.operator_key_exists()


async def test_keys_are_listed_newest_first(world: World):
    """A page holds one more than asked for where there is more, and goes on below an id."""
    account = await world.account()
    for _ in range(3):
        await world.store.keys.add(world.new_key(account), world.change())
    everything = [key.id for key in await world.store.keys.list(account.id, ALL)]
    assert everything == sorted(everything, reverse=True)
    assert len(everything) == 4
    page = await world.store.keys.list(account.id, Page(limit=1, before=everything[0]))
    assert [key.id for key in page] == everything[1:3]


async def test_last_use_of_a_key_only_moves_forward(world: World):
    """Notes of use may come late and out of order."""
    account = await world.account()
    (key,) = await world.store.keys.list(account.id, ALL)
    for at in (Millis(5), Millis(9), Millis(7)):
        await world.store.keys.note_use({key.id: at, world.ids.next(): at})
    found = await world.store.keys.by_digest(key.digest)
    assert found is not None
    assert found.last_used_at == 9
    await world.store.keys.note_use({})


# --- event types --------------------------------------------------------------------------------------------------


async def test_event_types_of_an_account(world: World):
    """An account's own types are added, replaced and removed, up to a limit, and no other account sees them."""
    account, other = await world.account(), await world.account()
    catalogue = world.store.catalogue
    first = world.event_type("b.one", schema={"type": "object", "maximum": 1e300}, example={"é": [1, None]})
    assert await catalogue.put(account.id, first, 2, world.change())
    assert await catalogue.put(account.id, world.event_type("a.two"), 2, world.change())
    with pytest.raises(Conflict) as limit:
        await catalogue.put(account.id, world.event_type("c.three"), 2, world.change())
    assert limit.value.code == "event_type_limit"
    changed = msgspec.structs.replace(first, description="Other")
    assert not await catalogue.put(account.id, changed, 2, world.change())
    assert await catalogue.list(account.id) == [world.event_type("a.two"), changed]
    assert await catalogue.list(other.id) == []
    assert not await catalogue.remove(other.id, "a.two", world.change())
    assert await catalogue.remove(account.id, "a.two", world.change())
    assert not await catalogue.remove(account.id, "a.two", world.change())
    snapshot = await world.store.snapshots.snapshot(account.id)
    assert snapshot is not None
    assert snapshot.event_types == (changed,)
    assert snapshot.account.config_version == 5


# --- webhooks -----------------------------------------------------------------------------------------------------


async def test_a_webhook_comes_back_as_it_was_made(world: World):
    """Every part of a webhook is kept; version and config_version are the store's."""
    account = await world.account()
    settings = {
        "name": "n",
        "filter": "data.n > 1",
        "header_names": ("X-A",),
        "rate_limit": 1.5,
        "max_in_flight": 3,
        "options": {"signature": "hmac", "digest": {"max": 5}},
        "channel": "slack",
    }
    new = world.new_webhook(account, settings=settings, sealed=b"\x00\xff", muted_until=Millis(5))
    stored = await world.store.webhooks.add(new, None, world.change())
    assert stored == msgspec.structs.replace(new, version=1, from_config=2)
    assert await world.store.webhooks.get(account.id, new.id) == stored
    assert await world.store.webhooks.list(account.id, ALL) == [stored]
    snapshot = await world.store.snapshots.snapshot(account.id)
    assert snapshot is not None
    assert snapshot.webhooks == (stored,)
    assert snapshot.account.config_version == 2


async def test_webhooks_are_limited(world: World):
    """Beyond its limit an account gets no webhook; a deleted one makes room."""
    account = await world.account()
    webhooks = [await world.webhook(account) for _ in range(2)]
    with pytest.raises(Conflict) as limit:
        await world.store.webhooks.add(world.new_webhook(account), 2, world.change())
    assert limit.value.code == "webhook_limit"
    assert await world.store.webhooks.remove(account.id, webhooks[0].id, world.change())
    await world.store.webhooks.add(world.new_webhook(account), 2, world.change())
    snapshot = await world.store.snapshots.snapshot(account.id)
    assert snapshot is not None
    assert len(snapshot.webhooks) == 2
    assert snapshot.account.config_version == 5


async def test_webhook_changes_change_only_what_they_name(world: World):
    """Each change is a version; what an edit does not name stays."""
    account = await world.account()
    first = await world.webhook(account)
    webhooks = world.store.webhooks
    world.clock.advance(1)
    edit = WebhookEdit(state=WebhookState.DISABLED, status_reason="by hand")
    second = await webhooks.change(account.id, first.id, edit, world.change())
    disabled_at = world.now
    assert second == msgspec.structs.replace(
        first,
        version=2,
        from_config=3,
        state=WebhookState.DISABLED,
        status_reason="by hand",
        status_since=disabled_at,
        updated_at=world.now,
    )
    world.clock.advance(1)
    settings = WebhookSettings(url_shown="https://example.com/other", events=("a.*",))
    third = await webhooks.change(
        account.id,
        first.id,
        WebhookEdit(if_version=2, settings=settings, sealed=b"new", muted_until=Millis(9)),
        world.change(),
    )
    assert third == msgspec.structs.replace(
        second,
        version=3,
        from_config=4,
        settings=settings,
        sealed=b"new",
        muted_until=Millis(9),
        updated_at=world.now,
    )
    fourth = await webhooks.change(
        account.id, first.id, WebhookEdit(muted_until=Millis(0), state=WebhookState.ACTIVE), world.change()
    )
    assert fourth is not None
    assert (fourth.muted_until, fourth.state, fourth.status_reason) == (None, WebhookState.ACTIVE, None)
    assert await webhooks.get(account.id, first.id) == fourth


async def test_a_webhook_changed_meanwhile_is_not_changed(world: World):
    """A change that expects another version is refused, one that expects another state changes nothing."""
    account, other = await world.account(), await world.account()
    webhook = await world.webhook(account)
    webhooks = world.store.webhooks
    with pytest.raises(Conflict) as refused:
        await webhooks.change(account.id, webhook.id, WebhookEdit(if_version=9, sealed=b"x"), world.change())
    assert refused.value.code == "changed_meanwhile"
    edit = WebhookEdit(if_state=WebhookState.FAILED, state=WebhookState.DISABLED)
    assert await webhooks.change(account.id, webhook.id, edit, world.change()) == webhook
    assert await webhooks.change(other.id, webhook.id, WebhookEdit(sealed=b"x"), world.change()) is None
    assert not await webhooks.remove(other.id, webhook.id, world.change())
    assert await webhooks.get(other.id, webhook.id) is None
    assert await webhooks.get(account.id, webhook.id) == webhook
    stored = await world.store.accounts.get(account.id)
    assert stored is not None
    assert stored.config_version == 2


async def test_webhooks_as_they_were(world: World):
    """For every config_version the webhooks are as they were then: present, changed, deleted, or not made yet."""
    account = await world.account()
    first = await world.webhook(account)  # 2
    second = await world.webhook(account)  # 3
    webhooks = world.store.webhooks
    edit = WebhookEdit(state=WebhookState.DISABLED, status_reason="by hand")
    changed = await webhooks.change(account.id, first.id, edit, world.change())  # 4
    await webhooks.remove(account.id, second.id, world.change())  # 5
    assert changed is not None

    async def then(config_version: int) -> list[tuple[int, int, WebhookState, bool]]:
        found = await webhooks.as_of(account.id, config_version)
        return [(webhook.id, webhook.version, webhook.state, webhook.deleted) for webhook in found]

    active, disabled = WebhookState.ACTIVE, WebhookState.DISABLED
    assert await then(1) == []
    assert await then(2) == [(first.id, 1, active, False)]
    assert await then(3) == [(first.id, 1, active, False), (second.id, 1, active, False)]
    assert await then(4) == [(first.id, 2, disabled, False), (second.id, 1, active, False)]
    assert await then(99) == [(first.id, 2, disabled, False), (second.id, 2, active, True)]
    assert (await webhooks.as_of(account.id, 4))[0] == changed
    assert await webhooks.get(account.id, second.id) is None
    assert await webhooks.list(account.id, ALL) == [changed]


async def test_a_replaced_secret_is_not_kept(world: World):
    """Earlier versions tell what was routed how, but hold no secret any more; nor does a deleted webhook."""
    account = await world.account()
    webhook = await world.webhook(account, sealed=b"old secret")
    await world.store.webhooks.change(account.id, webhook.id, WebhookEdit(sealed=b"new secret"), world.change())
    (before,) = await world.store.webhooks.as_of(account.id, 2)
    assert before.sealed == b""
    (now,) = await world.store.webhooks.as_of(account.id, 3)
    assert now.sealed == b"new secret"
    await world.store.webhooks.remove(account.id, webhook.id, world.change())
    assert [version.sealed for version in await world.store.webhooks.as_of(account.id, 4)] == [b""]


async def test_webhooks_are_listed_newest_first(world: World):
    """A page holds one more than asked for where there is more, and goes on below an id."""
    account = await world.account()
    ids = [(await world.webhook(account)).id for _ in range(5)][::-1]
    page = await world.store.webhooks.list(account.id, Page(limit=2, before=ids[0]))
    assert [webhook.id for webhook in page] == ids[1:4]


# --- the audit log ------------------------------------------------------------------------------------------------


async def test_every_change_is_in_the_audit_log(world: World):
    """Who changed what is read newest first, by account, and over all; what was refused is not in it."""
    account, other = await world.account(), await world.account()
    webhook = await world.webhook(account)
    change = world.change("webhook.changed", "wh_9", before={"state": "active"})
    await world.store.webhooks.change(account.id, webhook.id, WebhookEdit(sealed=b"x"), change)
    with pytest.raises(Conflict):
        await world.store.webhooks.add(world.new_webhook(account), 0, world.change("refused"))
    await world.store.webhooks.remove(account.id, world.ids.next(), world.change("refused"))
    entries = await world.store.records.audit(account.id, ALL)
    assert [entry.action for entry in entries] == ["webhook.changed", "webhook.created", "account.created"]
    assert entries[0] == AuditEntry(
        id=entries[0].id, account_id=account.id, **{name: getattr(change, name) for name in change.__struct_fields__}
    )
    everything = await world.store.records.audit(None, ALL)
    assert [entry.account_id for entry in everything] == [account.id, account.id, other.id, account.id]
    page = await world.store.records.audit(account.id, Page(limit=1, before=entries[0].id))
    assert page == entries[1:]


async def test_what_other_processes_must_read_again(world: World):
    """Every change of an account or of what it has names it from then on, where there can be other processes."""
    accounts = world.store.accounts
    first, other = await world.account(), await world.account()
    webhook = await world.webhook(first)
    event_type = world.event_type()
    edit = WebhookEdit(state=WebhookState.DISABLED)
    steps: list[Callable[[], Awaitable[object]]] = [
        lambda: world.store.webhooks.change(first.id, webhook.id, edit, world.change()),
        lambda: accounts.change(first, world.change()),
        lambda: world.store.catalogue.put(first.id, event_type, 10, world.change()),
        lambda: world.store.catalogue.remove(first.id, event_type.name, world.change()),
        lambda: world.webhook(first),
        lambda: world.store.webhooks.remove(first.id, webhook.id, world.change()),
        lambda: accounts.remove(first.id, world.change()),
    ]
    shared = world.store.cluster.shared
    for step in steps:
        world.clock.advance(1)
        assert not await accounts.changed_since(world.now)
        await step()
        assert list(await accounts.changed_since(world.now)) == ([first.id] if shared else [])
    assert set(await accounts.changed_since(first.created_at)) == ({first.id, other.id} if shared else set())
