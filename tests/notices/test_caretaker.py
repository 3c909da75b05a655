"""What is found wrong with a webhook is written down together with the word to its owner."""

import msgspec
import pytest

from tests.notices.conftest import Desk
from tests.support.mail import MailHost
from tocsin.engine.directory import Directory, seal_secrets
from tocsin.engine.dispatching.lanes import Lane
from tocsin.engine.health import Caretaker
from tocsin.engine.policy import Diagnosis, Health
from tocsin.errors import Unavailable
from tocsin.model import NoticeKind, Webhook, WebhookSecrets, WebhookState
from tocsin.security.vault import Vault

WARN = Diagnosis(Health.WARN, "every attempt has failed for 24 hours", "failing")
FAIL = Diagnosis(Health.FAIL, "a delivery failed after its last retry: refused", "exhausted")
DISABLE = Diagnosis(Health.DISABLE, "the receiver answered 410 Gone: it wants no more deliveries", "gone")


VAULT = Vault(bytes(32))


async def a_webhook(desk: Desk) -> Webhook:
    webhook = desk.world.new_webhook(desk.account)
    sealed = seal_secrets(VAULT, desk.account.id, webhook.id, WebhookSecrets(url="https://example.com/in"))
    webhook = msgspec.structs.replace(webhook, sealed=sealed)
    return await desk.world.store.webhooks.add(webhook, None, desk.world.change())


class Here:
    """Those who act on a change, as far as there are any at a desk."""

    def __init__(self, directory: Directory, desk: Desk) -> None:
        self._directory = directory
        self._desk = desk

    def webhook_changed(self, webhook: Webhook) -> None:
        self._directory.forget(webhook.account_id)

    def notice_written(self) -> None:
        self._desk.mailer.wake()


def caretaker(desk: Desk) -> Caretaker:
    store = desk.world.store
    directory = Directory(store.snapshots, VAULT)
    return Caretaker(
        journal=store.journal,
        records=store.records,
        webhooks=store.webhooks,
        directory=directory,
        outbox=desk.mailer,
        bell=Here(directory, desk),
        stored=lambda webhook_id, account_id, due_at: None,
        vault=VAULT,
        clock=desk.world.clock,
        id_source=desk.world.ids,
        metrics=desk.metrics,
    )


async def test_a_warning_is_written_with_the_streak(desk: Desk, host: MailHost):
    """The owner is told by mail, and the store knows that they were."""
    webhook = await a_webhook(desk)
    lane = Lane(webhook.id, desk.account.id)
    lane.failing_since = desk.world.now
    care = caretaker(desk)
    care.treat(lane, webhook, WARN, desk.world.attempt(1))
    await care.stop()
    assert lane.warned_at == desk.world.now
    [facts] = await desk.world.store.journal.lanes(0, 10)
    assert (facts.failing_since, facts.warned_at) == (lane.failing_since, lane.warned_at)
    await desk.mailer.send_due()
    [mail] = host.mails
    assert mail.message["Subject"].endswith("is failing")
    assert WARN.reason in mail.part("plain")
    assert "After 5 days" in mail.part("plain")


async def test_a_warning_that_could_not_be_written_comes_again(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """Nobody is taken for warned who was not: the next failed attempt finds it anew."""
    webhook = await a_webhook(desk)
    lane = Lane(webhook.id, desk.account.id)
    lane.failing_since = desk.world.now

    async def fail(*_: object) -> None:
        raise Unavailable("the disk is full", code="store_unavailable")

    monkeypatch.setattr(desk.world.store.journal, "note_streak", fail)
    care = caretaker(desk)
    care.treat(lane, webhook, WARN, desk.world.attempt(1))
    await care.stop()
    assert lane.warned_at is None
    assert await desk.waiting() == []


@pytest.mark.parametrize(
    ("diagnosis", "kind", "state"),
    [(FAIL, NoticeKind.FAILED, WebhookState.FAILED), (DISABLE, NoticeKind.DISABLED, WebhookState.DISABLED)],
)
async def test_a_stop_is_told_once(
    desk: Desk, host: MailHost, diagnosis: Diagnosis, kind: NoticeKind, state: WebhookState
):
    """However many attempts find the same, the owner gets one mail; it survives a crash right after the change."""
    webhook = await a_webhook(desk)
    lane = Lane(webhook.id, desk.account.id)
    lane.failing_since = lane.unbroken_since = desk.world.now
    care = caretaker(desk)
    for _ in range(3):
        care.treat(lane, webhook, diagnosis, desk.world.attempt(1))
    await care.stop()
    await desk.restart()
    stored = await desk.world.store.webhooks.get(desk.account.id, webhook.id)
    assert stored is not None
    assert (stored.state, stored.status_reason) == (state, diagnosis.reason)
    [notice] = await desk.waiting()
    assert (notice.kind, notice.reason) == (kind, diagnosis.reason)
    await desk.mailer.send_due()
    [mail] = host.mails
    assert diagnosis.reason in mail.part("plain")
