"""The double of a mail server: what it takes, refuses and answers, and how it shows a mail."""

import asyncio
import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import make_msgid
from typing import Any

import aiosmtplib
import httpx
import pytest

from tests.sender.certificates import Authority
from tests.support.doubles import scene
from tocsin.receiver.doubles import MailDouble
from tocsin.receiver.doubles.mail_view import fault

RECIPIENT = "alerts@example.com"


def mail(**headers: str) -> EmailMessage:
    message = EmailMessage()
    given = {
        "From": "Tocsin <tocsin@example.com>",
        "To": RECIPIENT,
        "Subject": "Fraud burst: 12 clicks",
        "Date": "Thu, 01 Jan 2026 00:00:00 +0000",
        "Message-ID": make_msgid(domain="example.com"),
    }
    for name, value in (given | {name.replace("_", "-"): value for name, value in headers.items()}).items():
        if value:
            message[name] = value
    message.set_content("Campaign: Nutra\n")
    message.add_alternative("<p style='color:red'>Campaign: <b>Nutra</b></p>", subtype="html")
    return message


def raw(message: EmailMessage) -> bytes:
    return message.as_bytes(policy=message.policy.clone(linesep="\r\n", max_line_length=None))


async def client_of(double: MailDouble, **named: Any) -> aiosmtplib.SMTP:
    given = {"hostname": "127.0.0.1", "port": double.smtp_port, "timeout": 5, "start_tls": False} | named
    client = aiosmtplib.SMTP(**given)
    await client.connect()
    return client


def with_client(double: MailDouble, play: Callable[[MailDouble, aiosmtplib.SMTP], Any], **named: Any) -> Any:
    async def run(double: MailDouble, _: httpx.AsyncClient) -> Any:
        client = await client_of(double, **named)
        try:
            return await play(double, client)
        finally:
            client.close()

    return scene(double, run)


def test_a_mail_is_read() -> None:
    """A mail is answered with its number and seen with its head, its text, and its HTML in a frame without rights."""

    async def play(double: MailDouble, client: aiosmtplib.SMTP) -> None:
        _, said = await client.send_message(mail())
        assert said == "2.0.0 Ok: queued as 0000000001"
        [shown] = double.messages
        assert shown.text == "Fraud burst: 12 clicks\nCampaign: Nutra"
        assert (shown.chat, shown.sender) == (RECIPIENT, "Tocsin")
        assert double.message(shown)["Message-ID"].endswith("@example.com>")
        async with httpx.AsyncClient(trust_env=False, base_url=double.page) as web:
            [listed] = (await web.get("/messages.json")).json()
            frame = await web.get(listed["blocks"][0]["frame"])
            assert "<b>Nutra</b>" in frame.text
            policy = frame.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'")
            assert policy.endswith("sandbox")
            assert (await web.get("/_double/mail/2")).status_code == 404

    with_client(MailDouble(), play)


def test_the_address_of_the_server() -> None:
    """The server's address is what Tocsin takes as its setting."""

    async def play(double: MailDouble, client: aiosmtplib.SMTP) -> None:
        assert double.smtp_url == f"smtp://127.0.0.1:{double.smtp_port}/?from=tocsin@example.com"
        assert double.address == f"mailto:{RECIPIENT}"

    with_client(MailDouble(), play)
    assert MailDouble(users={"me": "p@ss"}, implicit=True).smtp_url.startswith("smtps://me:p%40ss@127.0.0.1:0/")


def test_every_error_can_be_had() -> None:
    """Each error of the table comes at its command, as often as it was asked for, and then mails are taken again."""

    async def play(double: MailDouble, _: httpx.AsyncClient) -> None:
        for name, row in double.ERRORS.items():
            if row.stage == "AUTH" or not row.status:
                continue
            double.fail_with(name)
            client = await client_of(double)
            with pytest.raises((aiosmtplib.SMTPResponseException, aiosmtplib.SMTPRecipientsRefused)) as raised:
                await client.send_message(mail())
            error = raised.value
            refused = error.recipients[0] if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else error
            assert f"{refused.code} {refused.message}" == row.body
            assert (double.refused[-1].name, double.refused[-1].status) == (name, row.status)
            client.close()
        client = await client_of(double)
        await client.send_message(mail())
        client.close()
        assert len(double.messages) == 1

    scene(MailDouble(), play)


def test_broken_conversations() -> None:
    """It can say nothing, and cut the connection when a mail was said; the mail is not taken then."""

    async def play(double: MailDouble, _: httpx.AsyncClient) -> None:
        double.fail_with("cut")
        client = await client_of(double)
        with pytest.raises(aiosmtplib.SMTPServerDisconnected):
            await client.send_message(mail())
        double.fail_with("no_answer")
        client = await client_of(double, timeout=0.3)
        with pytest.raises(aiosmtplib.SMTPTimeoutError):
            await client.send_message(mail())
        client.close()
        assert double.messages == []

    scene(MailDouble(), play)


def test_a_server_that_goes_down_ends_the_conversation() -> None:
    """After a 421 the connection is closed."""

    async def play(double: MailDouble, client: aiosmtplib.SMTP) -> None:
        double.fail_with("closing")
        with pytest.raises(aiosmtplib.SMTPResponseException):
            await client.send_message(mail())
        await asyncio.sleep(0.1)
        assert not client.is_connected

    with_client(MailDouble(), play)


def test_mailboxes() -> None:
    """Where mailboxes are named, no others take mail."""

    async def play(double: MailDouble, client: aiosmtplib.SMTP) -> None:
        await client.send_message(mail())
        with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as raised:
            await client.send_message(mail(To="nobody@example.com"))
        assert (raised.value.recipients[0].code, double.refused[0].name) == (550, "unknown_user")

    with_client(MailDouble(mailboxes=(RECIPIENT,)), play)


def test_logins() -> None:
    """Where users are named, nobody sends without logging in, with the right password."""
    user = "me"

    async def play(double: MailDouble, client: aiosmtplib.SMTP) -> None:
        with pytest.raises(aiosmtplib.SMTPResponseException) as raised:
            await client.send_message(mail())
        assert raised.value.code == 530
        with pytest.raises(aiosmtplib.SMTPAuthenticationError) as refused:
            await client.login(user, "wrong")
        assert refused.value.code == 535
        double.fail_with("auth_unavailable", times=None)  # a client tries each way to log in that is offered
        with pytest.raises(aiosmtplib.SMTPResponseException) as later:
            await client.login(user, "right")
        assert later.value.code == 454
        double.recover()
        await client.login(user, "right")
        await client.send_message(mail())
        assert len(double.messages) == 1

    with_client(MailDouble(users={user: "right"}), play)


@pytest.mark.parametrize("implicit", [False, True])
def test_encryption(tmp_path, *, implicit: bool) -> None:
    """It speaks TLS after STARTTLS or from the start, and tells which mails came so."""
    authority = Authority(tmp_path)
    trusting = ssl.create_default_context(cafile=authority.ca_file)

    async def play(double: MailDouble, client: aiosmtplib.SMTP) -> None:
        await client.send_message(mail())
        assert ("TLS", "yes") in double.messages[0].raw.headers

    how = {"use_tls": True, "start_tls": False} if implicit else {"start_tls": True}
    certificate = authority.issue("127.0.0.1").server()
    with_client(MailDouble(tls=certificate, implicit=implicit), play, tls_context=trusting, **how)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (raw(mail()), ""),
        (raw(mail(Subject="é")), ""),
        (raw(mail(From="nobody")), "From is no single address"),
        (raw(mail(From="a@b.c, d@e.f")), "From is no single address"),
        (raw(mail(Message_ID="")), "Message-ID is missing"),
        (raw(mail(Date="")), "Date is missing, or no date"),
        (raw(mail(Date="yesterday")), "Date is missing, or no date"),
        (b"Subject: x\r\n" + raw(mail()), "Subject is there more than once"),
        (raw(mail()) + b"x" * 998 + b"\r\n", ""),
        (raw(mail()) + b"x" * 999 + b"\r\n", "a line is longer than 998 characters"),
        (raw(mail()) + b"\x00\r\n", "it has a NUL character"),
        (raw(mail()) + b"x\ny\r\n", "a line does not end with CR LF"),
        ("X: é\r\n".encode() + raw(mail()), "its head has characters beyond ASCII"),
    ],
)
def test_what_large_servers_refuse(message: bytes, why: str) -> None:
    """A mail whose form the large mail servers do not take is refused, with the reason for those who look on."""
    assert fault(message, utf8=False) == why


def test_a_malformed_mail_is_refused() -> None:
    """Such a mail is answered with 550, and not shown."""

    async def play(double: MailDouble, client: aiosmtplib.SMTP) -> None:
        with pytest.raises(aiosmtplib.SMTPResponseException) as raised:
            await client.send_message(mail(Message_ID=""))
        assert raised.value.code == 550
        assert (double.messages, double.refused[0].why) == ([], "Message-ID is missing")
        with pytest.raises(aiosmtplib.SMTPResponseException) as raised:
            await client.sendmail("tocsin@example.com", RECIPIENT, b"x" * ((10 << 20) + 1))
        assert raised.value.code in (500, 552)

    with_client(MailDouble(), play)


def test_the_standard_library_talks_to_it() -> None:
    """Another client's mail is taken as well."""

    def send(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=5) as client:
            client.send_message(mail())

    async def play(double: MailDouble, _: httpx.AsyncClient) -> None:
        await asyncio.to_thread(send, double.smtp_port)
        assert len(await double.wait_for(1)) == 1

    scene(MailDouble(), play)
