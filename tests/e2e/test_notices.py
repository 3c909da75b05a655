"""From a receiver that fails to the mail in its owner's inbox: a real server, receiver and mail server."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.sender.certificates import Authority
from tests.support.api import Shop
from tests.support.mail import HANG, Mail, MailHost
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tests.support.server import Server
from tests.support.waiting import until

StartServer = Callable[..., Server]


@pytest.fixture
def mail_host() -> Iterator[MailHost]:
    with MailHost() as host:
        yield host


def with_mail(start_server: StartServer, host: MailHost, **settings: Any) -> Server:
    return start_server(smtp_url=host.url(), public_url="https://tocsin.example.com", retry_scale=0.0002, **settings)


def fail(shop: Shop, receiver: LedgerReceiver, path: str, status: int, type_: str) -> str:
    """A webhook whose receiver answers nothing else; its id, once the system has stopped it."""
    hook = shop.webhook(receiver.url(path), name="Orders")
    receiver.script(path, *[Answer(status)] * 20)
    shop.publish(type_)
    until(lambda: shop.status(hook["id"])["status"] != "active", "stopped")
    return hook["id"]


def check(mail: Mail, webhook_id: str, subject: str, reason: str) -> None:
    assert mail.recipient == "ops@example.com"
    assert mail.message["Subject"] == subject
    for part in ("plain", "html"):
        assert webhook_id in mail.part(part)
        assert reason in mail.part(part)


def test_a_webhook_that_failed_is_told_by_mail(
    start_server: StartServer, receiver: LedgerReceiver, mail_host: MailHost
) -> None:
    """A profile that gives a webhook up after a delivery's last retry: `failed`, with a mail; events are kept."""
    shop = with_mail(start_server, mail_host).operator.shop(profile="cloakradar", notify_email="ops@example.com")
    webhook_id = fail(shop, receiver, "/down", 500, "click.new")
    assert shop.status(webhook_id)["status"] == "failed"
    assert len(receiver.arrivals("/down")) == 4
    [mail] = mail_host.wait_for(1)
    subject = f"Webhook “Orders” of {shop.get(f'/v1/accounts/{shop.id}')['name']} has failed and was disabled"
    check(mail, webhook_id, subject, "a delivery failed after its last retry")
    kept = shop.publish("click.new")
    assert kept["matched"] == 0
    assert shop.get(f"/v1/events/{kept['id']}")["id"] == kept["id"]


def test_a_receiver_that_is_gone_is_told_by_mail(
    start_server: StartServer, receiver: LedgerReceiver, mail_host: MailHost
) -> None:
    """410 disables at once, and the owner hears of it; the figures of the mail are on the metrics page."""
    server = with_mail(start_server, mail_host)
    shop = server.operator.shop(notify_email="ops@example.com")
    webhook_id = fail(shop, receiver, "/gone", 410, "click.created")
    [mail] = mail_host.wait_for(1)
    subject = f"Webhook “Orders” of {shop.get(f'/v1/accounts/{shop.id}')['name']} was disabled"
    check(mail, webhook_id, subject, "the receiver answered 410 Gone")

    def figures() -> str:
        return shop.call("GET", "/metrics").body.decode()

    until(lambda: 'tocsin_notices_total{outcome="sent"} 1.0' in figures(), figures)
    assert "tocsin_notices_waiting 0.0" in figures()
    assert "ops@example.com" not in server.log.read_text()


@pytest.mark.parametrize(("failpoint", "mails"), [("before_mail", 1), ("after_mail", 2)])
def test_a_killed_server_still_tells(
    start_server: StartServer, receiver: LedgerReceiver, mail_host: MailHost, failpoint: str, mails: int
) -> None:
    """SIGKILL before the mail server is asked loses nothing; right after it, the same mail is sent once more."""
    server = with_mail(start_server, mail_host)
    shop = server.operator.shop(notify_email="ops@example.com")
    server.restart(failpoint)
    hook = shop.webhook(receiver.url("/gone"))
    receiver.script("/gone", Answer(410))
    shop.publish()
    until(lambda: not server.running, "killed")
    assert len(mail_host.mails) == mails - 1
    server.start()
    mail_host.wait_for(mails)
    assert len({mail.raw for mail in mail_host.mails}) == 1
    until(lambda: "tocsin_notices_waiting 0.0" in shop.call("GET", "/metrics").body.decode(), "nothing left to send")
    assert shop.status(hook["id"])["status"] == "disabled"
    assert len(mail_host.mails) == mails


def test_over_tls(
    start_server: StartServer, receiver: LedgerReceiver, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """STARTTLS with an authority of one's own, as the server's event loop does it."""
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    with MailHost(tls=authority.issue("127.0.0.1").server()) as host:
        shop = with_mail(start_server, host, smtp_ca_file=authority.ca_file).operator.shop(
            notify_email="ops@example.com"
        )
        fail(shop, receiver, "/gone", 410, "click.created")
        [mail] = host.wait_for(1)
        assert mail.tls


def test_a_mail_server_that_hangs_holds_up_nothing(
    start_server: StartServer, receiver: LedgerReceiver, mail_host: MailHost
) -> None:
    """Deliveries go on meanwhile, and the server stops at once."""
    server = with_mail(start_server, mail_host)
    shop = server.operator.shop(notify_email="ops@example.com")
    mail_host.script("DATA", HANG)
    fail(shop, receiver, "/gone", 410, "click.created")
    until(lambda: mail_host.connections, "a conversation")
    shop.webhook(receiver.url("/well"))
    for _ in range(50):
        shop.publish()
    receiver.wait_for("/well", 50)
    assert mail_host.mails == []
    assert server.stop(within_s=20) == 0
    server.start()
    mail_host.wait_for(1)
