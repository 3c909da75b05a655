"""From a webhook that is an e-mail address to alerts in its reader's inbox, and out again: a real server and mail
server.
"""

import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.sender.certificates import Authority
from tests.support.api import Json, Shop
from tests.support.mail import DROP, Mail, MailHost
from tests.support.server import Server
from tests.support.waiting import until

StartServer = Callable[..., Server]
PUBLIC = "https://tocsin.example.com"
# Enough that nothing is gathered in what is not about gathering.
OPTIONS = {"digest": {"window_s": 60, "max": 1_000}}


@pytest.fixture
def mail_host() -> Iterator[MailHost]:
    with MailHost() as host:
        yield host


def with_mail(start_server: StartServer, host: MailHost, **settings: Any) -> Server:
    return start_server(smtp_url=host.url(), public_url=PUBLIC, retry_scale=0.0002, **settings)


def link_in(mail: Mail) -> str:
    found = re.search(rf"{PUBLIC}/links/[\w-]+", mail.part("plain"))
    assert found is not None
    assert found[0] in mail.part("html")
    return found[0]


def browse(server: Server, link: str, method: str = "GET", body: bytes | None = None) -> tuple[int, str, Any]:
    """Opens a link, or presses its button, at the server's real address."""
    request = urllib.request.Request(link.replace(PUBLIC, server.url), data=body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode(), answer.headers


def press(server: Server, link: str) -> str:
    status, page, _ = browse(server, link, "POST", b"")
    assert status == 200, page
    return page


def confirmed(server: Server, shop: Shop, host: MailHost, address: str = "reader@example.com", **more: Json) -> str:
    """A webhook whose reader has agreed; its id."""
    sent = len(host.mails)
    hook = shop.webhook(f"mailto:{address}", channel="email", options=OPTIONS, **more)
    press(server, link_in(host.wait_for(sent + 1)[-1]))
    assert shop.status(hook["id"])["status"] == "active"
    return hook["id"]


def test_the_whole_way(start_server: StartServer, mail_host: MailHost) -> None:
    """Created, asked, agreed, alerted, left: nothing is sent before the reader agrees, nor after they leave."""
    server = with_mail(start_server, mail_host)
    shop = server.operator.shop(profile="cloakradar", name="Rocket Shoes")
    hook = shop.webhook("mailto:reader@example.com", channel="email", name="Sales", options=OPTIONS)
    assert (hook["status"], hook["status_reason"]) == ("disabled", "its address is not confirmed yet")
    assert hook["confirmed_at"] is None
    assert hook["secret"] is None
    [asked] = mail_host.wait_for(1)
    assert asked.recipient == "reader@example.com"
    assert "Rocket Shoes" in asked.message["Subject"]
    assert shop.publish("conversion.new")["matched"] == 0
    link = link_in(asked)

    status, page, headers = browse(server, link)
    assert status == 200
    assert "Rocket Shoes" in page
    assert "<form" in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "<script" not in page
    assert shop.status(hook["id"])["status"] == "disabled", "a mail scanner opened it"

    assert "You get these alerts" in press(server, link)
    now = shop.status(hook["id"])
    assert (now["status"], now["status_reason"]) == ("active", None)
    assert now["confirmed_at"] is not None
    event = shop.publish("conversion.new")
    assert event["matched"] == 1
    alert = mail_host.wait_for(2)[1]
    assert alert.message.get_content_type() == "multipart/alternative"
    assert alert.message["From"] == "Tocsin <tocsin@example.com>"
    assert alert.message["Message-ID"] == f"<{event['id']}.{hook['id']}@example.com>"
    assert alert.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert alert.message["Date"] is not None
    assert "New Conversion!" in alert.message["Subject"]
    for kind in ("plain", "html"):
        assert "Campaign" in alert.part(kind)
        assert "45.00" in alert.part(kind)

    leave = alert.message["List-Unsubscribe"].strip("<>")
    assert leave == link_in(alert)
    assert "Stop these mails?" in browse(server, leave)[1]
    assert shop.status(hook["id"])["status"] == "active"
    status, _, _ = browse(server, leave, "POST", b"List-Unsubscribe=One-Click")
    assert status == 200
    now = shop.status(hook["id"])
    assert (now["status"], now["status_reason"], now["confirmed_at"]) == ("disabled", "its reader unsubscribed", None)
    assert shop.publish("conversion.new")["matched"] == 0
    refused = shop.call("POST", f"/v1/webhooks/{hook['id']}/enable", {})
    assert (refused.status, refused.code) == (409, "not_confirmed")
    entry = next(one for one in shop.get("/v1/audit")["data"] if one["action"] == "webhook.left")
    assert entry["actor"] == "reader"
    assert "You get no more alerts" in browse(server, leave)[1]


def test_what_a_log_shows_of_it(start_server: StartServer, mail_host: MailHost) -> None:
    """The attempt with the server's reply and the mail as it went out, but for what its links allow."""
    server = with_mail(start_server, mail_host)
    shop = server.operator.shop()
    hook = confirmed(server, shop, mail_host)
    event = shop.publish()
    alert = mail_host.wait_for(2)[1]
    token = link_in(alert).rpartition("/")[2]

    def ended() -> Json:
        [delivery] = shop.deliveries(event=event["id"])
        return delivery if delivery["status"] == "succeeded" else None

    until(ended, "delivered")
    shown = shop.get(f"/v1/deliveries/{ended()['id']}")
    [attempt] = shown["attempts"]
    assert (attempt["outcome"], attempt["status_code"]) == ("succeeded", 250)
    assert attempt["request"]["url"] == "mailto:reader@example.com"
    assert attempt["request"]["method"] == "MAIL"
    told = str(shown).replace("=\\r\\n", "")  # quoted-printable breaks lines anywhere
    assert token not in told
    assert told.count("/links/***") == 3, "of the header, and of both parts"
    assert token not in server.log.read_text()
    assert hook


def test_a_code_does_what_the_link_does(start_server: StartServer, mail_host: MailHost) -> None:
    """For a server without a public address; a wrong one, or another webhook's, does nothing."""
    server = start_server(smtp_url=mail_host.url(), retry_scale=0.0002)
    shop = server.operator.shop()
    first = shop.webhook("mailto:a@example.com", channel="email")
    second = shop.webhook("mailto:b@example.com", channel="email", enabled=False)
    mails = {mail.recipient: mail for mail in mail_host.wait_for(2)}

    def code(recipient: str) -> str:
        found = re.search(r"^Code: (\S+)$", mails[recipient].part("plain").replace("\r", ""), re.MULTILINE)
        assert found is not None
        assert "/links/" not in mails[recipient].part("plain")
        return found[1]

    for wrong in ("", "x", code("b@example.com"), code("a@example.com")[:-2] + "AA"):
        refused = shop.call("POST", f"/v1/webhooks/{first['id']}/confirm", {"code": wrong})
        assert (refused.status, refused.code) == (422, "code_invalid")
    done = shop.post(f"/v1/webhooks/{first['id']}/confirm", {"code": code("a@example.com")})
    assert (done["status"], done["mail_sent"]) == ("active", False)
    done = shop.post(f"/v1/webhooks/{second['id']}/confirm", {"code": code("b@example.com")})
    assert (done["status"], done["status_reason"]) == ("disabled", "created disabled")
    assert shop.post(f"/v1/webhooks/{second['id']}/enable")["status"] == "active"
    refused = shop.call("POST", f"/v1/webhooks/{first['id']}/confirm", {})
    assert (refused.status, refused.code) == (409, "no_confirmation")


def test_another_address_is_asked_anew(start_server: StartServer, mail_host: MailHost) -> None:
    """It waits until its new reader agrees; the old one's links are worth nothing."""
    server = with_mail(start_server, mail_host)
    shop = server.operator.shop()
    hook = confirmed(server, shop, mail_host)
    shop.publish()
    leave = link_in(mail_host.wait_for(2)[1])
    paced = shop.call("PATCH", f"/v1/webhooks/{hook}", {"url": "mailto:other@example.com"})
    assert (paced.status, paced.code) == (409, "confirmation_paced")
    assert shop.status(hook)["status"] == "active"
    other = confirmed(server, shop, mail_host, "third@example.com")
    assert other != hook
    fresh = shop.change(hook, name="only the name")
    assert fresh["status"] == "active"
    assert browse(server, leave)[0] == 200


def test_the_test_of_an_address_that_has_not_agreed(start_server: StartServer, mail_host: MailHost) -> None:
    """A test would be a mail to somebody who has asked for none."""
    server = with_mail(start_server, mail_host)
    shop = server.operator.shop()
    hook = shop.webhook("mailto:reader@example.com", channel="email")
    refused = shop.call("POST", f"/v1/webhooks/{hook['id']}/test", {})
    assert (refused.status, refused.code) == (409, "not_confirmed")
    press(server, link_in(mail_host.wait_for(1)[0]))
    attempt = shop.post(f"/v1/webhooks/{hook['id']}/test")
    assert attempt["outcome"] == "succeeded"
    mail = mail_host.wait_for(2)[1]
    assert mail.message["Tocsin-Test"] == "true"
    assert "This is a test" in mail.part("plain")


def test_without_a_mail_server_there_is_no_such_channel(start_server: StartServer) -> None:
    """Said when the webhook is made, with the setting's name."""
    shop = start_server().operator.shop()
    refused = shop.call("POST", "/v1/webhooks", {"url": "mailto:a@example.com", "events": ["*"], "channel": "email"})
    assert refused.status == 422
    [fault] = refused.json["errors"]
    assert fault["pointer"] == "/channel"
    assert "TOCSIN_SMTP_URL" in fault["detail"]


def test_a_mail_server_that_is_away_loses_nothing(start_server: StartServer, mail_host: MailHost) -> None:
    """What is due meanwhile is tried again, over a connection that is kept for the others."""
    server = with_mail(start_server, mail_host)
    shop = server.operator.shop()
    confirmed(server, shop, mail_host)
    mail_host.script("MAIL", "421 going away", DROP)
    mail_host.script("RCPT", "450 greylisted", "451 later")
    mail_host.script("DATA", "452 no room", DROP)
    before = mail_host.connections
    events = [shop.publish()["id"] for _ in range(20)]
    mails = mail_host.wait_for(21, within_s=60)[1:]
    assert {mail.message["Message-ID"].partition(".")[0].strip("<") for mail in mails} == set(events)
    assert mail_host.connections - before < 10


@pytest.mark.parametrize(
    ("command", "reply", "status", "reason"),
    [
        ("RCPT", "550 5.1.1 no such user", "disabled", "The mail server says that this mailbox does not exist"),
        ("DATA", "554 5.7.1 spam", "active", None),
        ("MAIL", "550 5.7.1 not your address", "active", None),
    ],
)
def test_what_a_refusal_comes_to(
    start_server: StartServer, mail_host: MailHost, command: str, reply: str, status: str, reason: str | None
) -> None:
    """The address is gone, this mail is refused, or our own server is not set up yet."""
    server = with_mail(start_server, mail_host)
    shop = server.operator.shop()
    hook = confirmed(server, shop, mail_host)
    mail_host.script(command, reply)
    event = shop.publish()

    def state() -> Json:
        [delivery] = shop.deliveries(event=event["id"])
        return delivery["status"], shop.status(hook)["status"]

    expected = {"RCPT": ("retrying", "disabled"), "DATA": ("failed", "active"), "MAIL": ("succeeded", "active")}
    if command == "RCPT":
        until(lambda: state()[1] == status, state)
        assert reason in shop.status(hook)["status_reason"]
        assert state()[0] not in ("succeeded", "failed")
    else:
        until(lambda: state() == expected[command], state)


def test_over_tls_with_a_login(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> None:
    """STARTTLS, then user and password, over one connection that is kept."""
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    users = {"mailer": "secret"}
    with MailHost(tls=authority.issue("127.0.0.1").server(), users=users) as host:
        server = start_server(smtp_url=host.url("mailer:secret"), public_url=PUBLIC, smtp_ca_file=authority.ca_file)
        shop = server.operator.shop()
        confirmed(server, shop, host)
        for _ in range(5):
            shop.publish()
        mails = host.wait_for(6)
        assert {(mail.tls, mail.user) for mail in mails} == {(True, "mailer")}
        assert len({mail.connection for mail in mails}) <= 2


def test_a_digest_has_a_page(start_server: StartServer, mail_host: MailHost) -> None:
    """What was folded is told one by one: what, when, in which campaign, how much; IP addresses nowhere whole."""
    server = with_mail(start_server, mail_host)
    shop = server.operator.shop(profile="cloakradar", name="Rocket <Shoes>")
    hook = shop.webhook("mailto:reader@example.com", channel="email", options={"digest": {"window_s": 2, "max": 1}})
    press(server, link_in(mail_host.wait_for(1)[0]))
    for n in range(5):
        shop.publish("conversion.new", external_id=f"c-{n}")
    alerts = mail_host.wait_for(3)[1:]
    digest = alerts[1]
    assert "4 alerts" in digest.message["Subject"]
    links = re.findall(rf"{PUBLIC}/links/[\w-]+", digest.part("plain"))
    assert len(links) == 2
    status, page, headers = browse(server, links[0])
    assert status == 200
    assert "4 alerts" in page
    assert "Rocket &lt;Shoes&gt;" in page
    assert page.count("<tr><td>20") == 4
    assert page.count("New Conversion") >= 4
    assert "<form" not in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert browse(server, links[0], "POST", b"")[0] == 200
    assert shop.status(hook["id"])["status"] == "active", "a digest's link allows reading, nothing else"
