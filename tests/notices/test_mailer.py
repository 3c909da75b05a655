"""Notices go out over real SMTP conversations: once each, whatever fails between."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from tests.notices.conftest import HASTY_S, Desk
from tests.support.mail import DROP, HANG, MailHost
from tocsin.engine.mail.mailer import KEPT_MS
from tocsin.errors import Unavailable
from tocsin.model import Notice, NoticeKind, WebhookState
from tocsin.store.port import WebhookEdit


async def test_a_notice_is_sent_and_forgotten(desk: Desk, host: MailHost):
    """The account's owner gets one mail, and nothing is left to do."""
    webhook = await desk.stopped()
    assert await desk.mailer.send_due() is None
    [mail] = host.mails
    assert (mail.sender, mail.recipient) == ("tocsin@example.com", "ops@example.com")
    assert mail.message["Subject"] == "Webhook “Orders” of Rocket Shoes has failed and was disabled"
    assert "a delivery failed" in mail.part("plain")
    assert await desk.waiting() == []
    assert await desk.mailer.send_due() is None
    assert len(host.mails) == 1
    assert desk.metrics.notices == {"sent": 1}
    assert webhook.state is WebhookState.FAILED


async def test_a_crash_before_sending_loses_nothing(desk: Desk, host: MailHost):
    """What was committed and not sent goes out after the next start."""
    await desk.stopped()
    await desk.warned()
    await desk.restart()
    await desk.mailer.send_due()
    assert len(host.mails) == 2


async def test_only_who_does_it_now_sends(desk: Desk, host: MailHost):
    """A process whose lease ran out, or that has given the first shard away, sends nothing, and waits for nothing."""
    await desk.stopped()
    desk.tenure.until_s = desk.world.clock.monotonic_s()
    assert await desk.mailer.send_due() is None
    desk.tenure.until_s += 10
    shards, desk.tenure.shards = desk.tenure.shards, frozenset({1})
    assert await desk.mailer.send_due() is None
    assert host.mails == []
    desk.tenure.shards = shards
    await desk.mailer.send_due()
    assert len(host.mails) == 1


async def test_a_mail_sent_twice_is_the_same_mail(desk: Desk, host: MailHost, monkeypatch: pytest.MonkeyPatch):
    """A crash after the server took it sends it again, byte for byte and so with the same Message-ID."""
    await desk.stopped()

    async def die(notice: Notice) -> None:
        raise Unavailable("the process dies here", code="stopping")

    monkeypatch.setattr(desk.world.store.notices, "remove", die)
    with pytest.raises(Unavailable):
        await desk.mailer.send_due()
    desk.world.clock.advance(60)
    await desk.restart()
    await desk.mailer.send_due()
    first, second = host.mails
    assert first.message["Message-ID"].startswith("<ntc_")
    assert first.raw == second.raw


async def test_a_store_that_cannot_forget_does_not_send_again(
    desk: Desk, host: MailHost, monkeypatch: pytest.MonkeyPatch
):
    """While the process lives, what was sent is not sent again, and is forgotten once the store answers."""
    await desk.stopped()
    notices = desk.world.store.notices

    async def fail(notice: Notice) -> None:
        raise Unavailable("the disk is full", code="store_unavailable")

    with monkeypatch.context() as broken:
        broken.setattr(notices, "remove", fail)
        for _ in range(3):
            with pytest.raises(Unavailable):
                await desk.mailer.send_due()
    await desk.mailer.send_due()
    assert len(host.mails) == 1
    assert await desk.waiting() == []


@pytest.mark.parametrize("command", ["RCPT", "DATA"])
async def test_what_is_put_off_is_tried_again(desk: Desk, host: MailHost, command: str):
    """After a 4xx the mail waits, longer each time and over restarts, and then goes out; others are not held up."""
    await desk.stopped()
    host.script(command, "451 4.7.1 greylisted, come back", "451 4.7.1 greylisted, come back")
    again = await desk.mailer.send_due()
    assert again == desk.world.now + 60_000
    await desk.warned()
    host.script(command)  # the other's
    await desk.restart()
    desk.world.clock.advance(59)
    host_before = len(host.mails)
    host._scripts[command].clear()
    await desk.mailer.send_due()
    assert len(host.mails) == host_before + 1
    host.script(command, "451 4.7.1 greylisted, come back")
    desk.world.clock.advance(1)
    assert await desk.mailer.send_due() == desk.world.now + 300_000
    desk.world.clock.advance(300)
    assert await desk.mailer.send_due() is None
    assert [mail.message["Subject"].rpartition(" of ")[0] for mail in host.mails] == ["Webhook “Orders”"] * 2
    assert desk.metrics.mail_failures == 2


@pytest.mark.parametrize(
    ("command", "answer"), [("RCPT", "550 5.1.1 ops@example.com: no such user"), ("DATA", "554 5.7.1 spam")]
)
async def test_a_refusal_for_good_ends_it(
    desk: Desk, host: MailHost, caplog: pytest.LogCaptureFixture, command: str, answer: str
):
    """After a 5xx it is not tried again; the log says so without naming the address, and the others go out."""
    host.script(command, answer)
    await desk.stopped()
    await desk.stopped()
    assert await desk.mailer.send_due() is None
    assert len(host.mails) == 1
    assert host.connections == 1
    [record] = [record for record in caplog.records if record.message == "notice_refused"]
    assert answer[:9] in record.reason
    assert "ops@example.com" not in record.reason
    assert desk.metrics.notices == {"refused": 1, "sent": 1}


async def test_a_refused_sender_is_the_servers_trouble(desk: Desk, host: MailHost):
    """Not being let send at all costs no notice: it is a set-up to be mended."""
    await desk.stopped()
    host.script("MAIL", "553 5.7.1 not your address")
    again = await desk.mailer.send_due()
    assert again is not None
    assert again > desk.world.now
    desk.world.clock.advance(60)
    await desk.mailer.send_due()
    assert len(host.mails) == 1


@pytest.mark.parametrize("trouble", [HANG, DROP])
@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
async def test_a_conversation_that_breaks_off_is_begun_again(desk: Desk, host: MailHost, command: str, trouble: str):
    """A server that hangs or hangs up costs that mail a wait and all others a short pause."""
    desk.sit(timeout_s=HASTY_S)
    await desk.stopped()
    await desk.stopped()
    host.script(command, trouble)
    again = await desk.mailer.send_due()
    assert again == desk.world.now + 10_000
    assert host.mails == []
    assert await desk.mailer.send_due() == again
    assert host.connections == 1
    desk.world.clock.advance(10)
    await desk.mailer.send_due()
    assert len(host.mails) == 1
    desk.world.clock.advance(50)
    await desk.mailer.send_due()
    assert len(host.mails) == 2
    assert desk.metrics.mail_failures == 1


async def test_a_mail_that_breaks_the_server_does_not_hold_up_the_others(desk: Desk, host: MailHost):
    """One that the server dies of each time takes its turns behind the others."""
    await desk.stopped()
    for _ in range(5):
        desk.world.clock.advance(0.001)
        await desk.stopped()
    host.script("DATA", DROP)
    await desk.mailer.send_due()
    desk.world.clock.advance(10)
    await desk.mailer.send_due()
    assert len(host.mails) == 5
    assert [notice.tries for notice in await desk.waiting()] == [1]


async def test_an_unreachable_server_is_asked_less_and_less(desk: Desk, host: MailHost):
    """Pauses grow to a quarter of an hour, no notice is counted against, and one success begins anew."""
    await desk.stopped()
    there, desk.url = desk.url, desk.url.replace(f":{host.port}/", ":1/")
    desk.sit()
    pauses = []
    for _ in range(7):
        again = await desk.mailer.send_due()
        assert again is not None
        pauses.append((again - desk.world.now) // 1000)
        desk.world.clock.advance(pauses[-1])
    assert pauses == [10, 30, 60, 300, 900, 900, 900]
    assert [notice.tries for notice in await desk.waiting()] == [0]
    desk.url = there
    desk.sit()
    await desk.mailer.send_due()
    assert len(host.mails) == 1


async def test_a_mail_that_is_taken_begins_the_pauses_anew(desk: Desk, host: MailHost):
    """A server that had one bad hour is not waited for as if it had a bad day."""
    pauses = []
    await desk.stopped()
    for answer in ("553 no", "553 no", None, "553 no"):
        if answer is None:
            await desk.mailer.send_due()
            assert len(host.mails) == 1
            await desk.stopped()
            continue
        host.script("MAIL", answer)
        again = await desk.mailer.send_due()
        assert again is not None
        pauses.append((again - desk.world.now) // 1000)
        desk.world.clock.advance(600)
    assert pauses == [10, 30, 10]


async def test_old_news_is_dropped(desk: Desk, host: MailHost, caplog: pytest.LogCaptureFixture):
    """What could not be sent for three days is given up, with a line that says why; what is younger goes out."""
    await desk.stopped()
    desk.world.clock.advance(KEPT_MS / 1000)
    await desk.stopped()
    desk.world.clock.advance(1)
    await desk.mailer.send_due()
    assert len(host.mails) == 1
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == ["notice_dropped"]
    assert desk.metrics.notices == {"expired": 1, "sent": 1}


async def test_what_is_no_longer_so_is_not_told(desk: Desk, host: MailHost):
    """A webhook that was enabled again, stopped anew by hand, or deleted; an account with nobody to tell."""
    webhooks = desk.world.store.webhooks

    async def edit(webhook_id: int, state: WebhookState) -> None:
        desk.world.clock.advance(1)
        await webhooks.change(desk.account.id, webhook_id, WebhookEdit(state=state), desk.world.change())

    enabled = await desk.stopped()
    await edit(enabled.id, WebhookState.ACTIVE)
    anew = await desk.stopped()
    await edit(anew.id, WebhookState.ACTIVE)
    await edit(anew.id, WebhookState.FAILED)
    deleted = await desk.stopped()
    await webhooks.remove(desk.account.id, deleted.id, desk.world.change())
    warned = await desk.warned()
    await edit(warned.id, WebhookState.DISABLED)
    silent = await desk.world.account(name="Silent")
    await desk.stopped(account=silent)
    await desk.mailer.send_due()
    assert host.mails == []
    assert host.connections == 0
    assert await desk.waiting() == []
    assert desk.metrics.notices == {"moot": 5}


async def test_the_address_is_read_when_the_mail_is_sent(desk: Desk, host: MailHost):
    """An address that was mended after the news is the one that gets it."""
    await desk.stopped()
    changed = msgspec.structs.replace(desk.account, notify_email="new@example.com", name="Rocket Boots")
    await desk.world.store.accounts.change(changed, desk.world.change())
    await desk.mailer.send_due()
    [mail] = host.mails
    assert mail.recipient == "new@example.com"
    assert "Rocket Boots" in mail.message["Subject"]


async def test_an_address_that_no_server_takes_ends_it(desk: Desk, host: MailHost):
    """An impossible notify_email neither blocks the others nor is tried for ever."""
    odd = await desk.world.account(name="Odd", notify_email='a"b<c>@example.com')
    await desk.stopped(account=odd)
    await desk.stopped()
    assert await desk.mailer.send_due() is None
    assert [mail.recipient for mail in host.mails] == ["ops@example.com"]
    assert desk.metrics.notices == {"refused": 1, "sent": 1}


async def test_many_notices_share_one_connection(desk: Desk, host: MailHost):
    """Two hundred mails are one conversation, and it is ended properly."""
    for _ in range(200):
        await desk.warned()
    await desk.mailer.send_due()
    assert len(host.mails) == 200
    assert host.connections == 1
    assert len({mail.message["Message-ID"] for mail in host.mails}) == 200


async def test_without_a_mail_server_nothing_is_written(desk: Desk, tmp_path: Path):
    """One that is set up later does not begin with old news."""
    desk.door.server = None
    webhook = await desk.world.webhook(desk.account)
    assert desk.mailer.draft(webhook, NoticeKind.FAILED, "why", desk.world.now) is None
    desk.mailer.start()
    assert await desk.mailer.send_due() is None


async def test_a_notice_wakes_the_mailer(desk: Desk, host: MailHost):
    """Running by itself, it sends what is written without being asked."""
    desk.mailer.start()
    await asyncio.sleep(0)
    await desk.stopped()
    desk.mailer.wake()
    await asyncio.to_thread(host.wait_for, 1)
    await desk.stopped()
    desk.mailer.wake()
    await asyncio.to_thread(host.wait_for, 2)


async def test_a_stop_waits_for_the_mail_under_way_only(desk: Desk, host: MailHost):
    """It ends soon although the server hangs; what was not sent is still there for the next start."""
    desk.sit(timeout_s=60)
    for _ in range(3):
        await desk.stopped()
    host.script("DATA", HANG)
    desk.mailer.start()
    while not host.connections:
        await asyncio.sleep(0.01)
    began = time.monotonic()
    await desk.mailer.stop()
    assert time.monotonic() - began < 30
    assert len(await desk.waiting()) == 3
    await desk.restart()
    await desk.mailer.send_due()
    assert len(host.mails) == 3


async def test_the_loop_goes_on_while_a_server_hangs(desk: Desk, host: MailHost):
    """Nothing else waits for a mail server that does not answer."""
    desk.sit(timeout_s=HASTY_S)
    await desk.stopped()
    host.script("MAIL", HANG)
    sending = asyncio.create_task(desk.mailer.send_due())
    turns = 0
    while not sending.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 1_000
