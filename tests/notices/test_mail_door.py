"""The door to the mail server: one truthful outcome for each mail, over few connections that are kept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest

from tests.notices.conftest import HASTY_S, PATIENT_S
from tests.sender.certificates import Authority
from tests.support.mail import DROP, HANG, MailHost
from tocsin.channels import CHATS
from tocsin.channels.chat import ChatAddress, Reading, Rejected, Retry, Sent, Stopped
from tocsin.channels.message import Message, Tone
from tocsin.clock import ManualClock
from tocsin.engine.mail.door import MAX_WAITING, MailDoor, envelope
from tocsin.engine.mail.server import MailServer, MailTrouble
from tocsin.engine.sending.doors import Doors
from tocsin.engine.sending.resolver import Resolver
from tocsin.engine.sending.sender import Sender
from tocsin.model import Outcome, OutcomeKind, Request
from tocsin.security.guard import Guard

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")

EMAIL = CHATS["email"]
TO = ChatAddress(url="mailto:ops@example.com", shown="mailto:ops@example.com", dial=None, webhook="wh_1")


def mail(n: int = 1, timeout_s: float = PATIENT_S) -> Request:
    message = Message(title=f"Number {n}", icon="🔔", tone=Tone.INFO, at=1_767_225_600_000, id=f"evt_{n}")
    request = EMAIL.render(message, TO)
    return Request(
        method=request.method, url=request.url, headers=request.headers, body=request.body, timeout_s=timeout_s
    )


@asynccontextmanager
async def door_to(
    url: str | None, *, timeout_s: float = PATIENT_S, ca_file: str | None = None, **more: Any
) -> AsyncIterator[MailDoor]:
    server = None if url is None else MailServer(url, ca_file, timeout_s=timeout_s)
    door = MailDoor(server, ManualClock(), **more)
    try:
        yield door
    finally:
        await door.close()
        await asyncio.sleep(0.01)


async def sent(door: MailDoor, *requests: Request) -> list[Outcome]:
    """Sends all at once; their outcomes, in the order of the requests."""
    loop = asyncio.get_running_loop()
    ends: list[asyncio.Future[Outcome]] = [loop.create_future() for _ in requests]
    for request, end in zip(requests, ends, strict=True):
        door.send(request, end.set_result)  # a second one would raise
        assert not end.done(), "told from within send"
    return list(await asyncio.gather(*ends))


def read(outcome: Outcome) -> Reading:
    return EMAIL.read(outcome, mail(), TO)


async def test_a_mail_in_its_envelope(host: MailHost):
    """Whom it is from, when, and a Message-ID of the sender's domain stand on what was rendered; the reply is told."""
    async with door_to(host.url()) as door:
        [outcome] = await sent(door, mail())
    [taken] = host.mails
    assert taken.sender == "tocsin@example.com"
    assert taken.recipient == "ops@example.com"
    assert taken.message["From"] == "Tocsin <tocsin@example.com>"
    assert taken.message["Date"].datetime.timestamp() == ManualClock().now_ms() // 1000
    assert taken.message["Message-ID"] == "<evt_1.wh_1@example.com>"
    assert taken.message["Subject"] == "Number 1"
    assert not taken.message.defects
    assert (outcome.kind, outcome.status_code, outcome.body) == (OutcomeKind.SUCCEEDED, 250, b"taken")
    assert outcome.peer == "127.0.0.1"
    assert outcome.duration_us > 0
    assert read(outcome) == Sent()


async def test_a_connection_is_kept(host: MailHost):
    """Mails one after the other are one conversation; idle for long enough, it is ended properly."""
    async with door_to(host.url(), idle_s=0.2) as door:
        for n in range(10):
            await sent(door, mail(n))
        assert host.connections == 1
        await asyncio.sleep(0.5)
        await sent(door, mail())
        assert host.connections == 2
    assert len(host.mails) == 11


async def test_many_at_once_take_two_connections(host: MailHost):
    """All are sent, each once."""
    async with door_to(host.url()) as door:
        outcomes = await sent(door, *(mail(n) for n in range(50)))
        assert door.in_flight == 0
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.SUCCEEDED}
    assert host.connections == 2
    assert len({one.message["Message-ID"] for one in host.mails}) == 50


@pytest.mark.parametrize("end", ["421 4.4.2 idle for too long", DROP])
async def test_a_kept_connection_that_was_let_go_of(host: MailHost, end: str):
    """The server knew nothing of the mail yet, so it goes out at once over another one."""
    async with door_to(host.url()) as door:
        await sent(door, mail(1))
        host.script("MAIL", end)
        [outcome] = await sent(door, mail(2))
    assert outcome.ok
    assert (host.connections, len(host.mails)) == (2, 2)


async def test_a_server_that_gives_us_one_connection(host: MailHost):
    """The second is refused, and all mails go over the first."""
    async with door_to(host.url()) as door:
        await sent(door, mail(0))
        host.most = 1
        outcomes = await sent(door, *(mail(n) for n in range(1, 10)))
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.SUCCEEDED}
    assert len(host.mails) == 10
    assert {one.connection for one in host.mails} == {1}
    assert host.connections > 1


@pytest.mark.parametrize(
    ("command", "reply", "code", "expected"),
    [
        ("RCPT", "550 5.1.1 <ops@example.com> no such user", 550, Stopped),
        ("RCPT", "551 not here", 551, Stopped),
        ("RCPT", "553 bad mailbox name", 553, Stopped),
        ("RCPT", "450 greylisted", 450, Retry),
        ("RCPT", "554 5.7.1 Relay access denied", 554, Retry),
        ("DATA", "421 closing", 421, Retry),
        ("DATA", "451 later", 451, Retry),
        ("DATA", "452 no room", 452, Retry),
        ("DATA", "552 5.3.4 too big", 552, Rejected),
        ("DATA", "554 5.7.1 spam", 554, Rejected),
        ("MAIL", "530 5.7.0 log in first", 530, Retry),
        ("MAIL", "550 not your address", 550, Retry),
    ],
)
async def test_a_refusal_and_what_follows_from_it(
    host: MailHost, command: str, reply: str, code: int, expected: type[Reading]
):
    """The code, the reply and the command are told, and the connection serves the next mail."""
    async with door_to(host.url()) as door:
        host.script(command, reply)
        [outcome] = await sent(door, mail())
        assert (outcome.kind, outcome.status_code) == (OutcomeKind.MAIL_ERROR, code)
        assert outcome.headers == (("SMTP-Command", command),)
        assert outcome.body.decode() == reply[4:]
        assert outcome.error is not None
        assert "ops@example.com" not in outcome.error
        assert type(read(outcome)) is expected
        assert (await sent(door, mail()))[0].ok


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
async def test_a_server_that_hangs_up(host: MailHost, command: str):
    """It may have been taken or not: another time."""
    async with door_to(host.url()) as door:
        host.script(command, DROP)
        [outcome] = await sent(door, mail())
        assert outcome.kind is OutcomeKind.CONNECTION_LOST
        assert isinstance(read(outcome), Retry)
        assert (await sent(door, mail()))[0].ok


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
async def test_the_time_limit_is_of_the_whole(host: MailHost, command: str):
    """Also of waiting for its turn: no mail stays longer than it may."""
    async with door_to(host.url(), connections=1) as door:
        host.script(command, HANG)
        slow, waiting, patient = await sent(door, mail(1, HASTY_S), mail(2, HASTY_S / 2), mail(3))
        assert (slow.kind, waiting.kind, patient.kind) == (
            OutcomeKind.TIMEOUT,
            OutcomeKind.TIMEOUT,
            OutcomeKind.SUCCEEDED,
        )
        assert isinstance(read(slow), Retry)
    assert [one.message["Subject"] for one in host.mails] == ["Number 3"]


async def test_nobody_there():
    """A port where nothing listens, and a server that says nothing."""
    async with door_to("smtp://127.0.0.1:1/?from=a@example.com") as door:
        [outcome] = await sent(door, mail())
        assert outcome.kind is OutcomeKind.CONNECT_ERROR
        assert isinstance(read(outcome), Retry)
        with pytest.raises(MailTrouble):
            await door.hand_in("ops@example.com", b"Subject: x\r\n\r\n")
    with MailHost() as other:
        other.silent = True
        async with door_to(other.url(), timeout_s=HASTY_S) as door:
            [outcome] = await sent(door, mail())
            assert outcome.kind is OutcomeKind.TIMEOUT


async def test_a_login_that_is_refused(tmp_path_factory: pytest.TempPathFactory):
    """535 is our own operator's to mend: nobody's webhook is stopped for it."""
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    with MailHost(tls=authority.issue("127.0.0.1").server(), users={"mailer": "right"}) as host:
        async with door_to(host.url("mailer:wrong"), ca_file=str(authority.ca_file)) as door:
            [outcome] = await sent(door, mail())
            assert (outcome.kind, outcome.status_code) == (OutcomeKind.MAIL_ERROR, 535)
            assert outcome.headers == (("SMTP-Command", "AUTH"),)
            assert isinstance(read(outcome), Retry)
        async with door_to(host.url("mailer:right"), ca_file=str(authority.ca_file)) as door:
            assert (await sent(door, mail()))[0].ok
        async with door_to(host.url("mailer:right")) as door:
            [outcome] = await sent(door, mail())
            assert outcome.kind is OutcomeKind.TLS_ERROR


async def test_without_a_mail_server_nothing_is_sent():
    """The setting's name is told; it is tried again, for the operator may set it."""
    async with door_to(None) as door:
        [outcome] = await sent(door, mail())
    assert outcome.kind is OutcomeKind.UNSENDABLE
    assert outcome.error is not None
    assert "TOCSIN_SMTP_URL" in outcome.error
    assert isinstance(read(outcome), Retry)


async def test_a_mailbox_that_the_server_cannot_take():
    """A name beyond ASCII, and a server without SMTPUTF8: nothing was sent."""
    with MailHost() as host:
        host.utf8 = False
        async with door_to(host.url()) as door:
            request = EMAIL.render(
                Message(title="T", icon="", tone=Tone.INFO, at=0), EMAIL.parse("mailto:büro@example.com")
            )
            [outcome] = await sent(door, request)
    assert outcome.kind is OutcomeKind.UNSENDABLE


async def test_the_queue_is_bounded():
    """More than can wait are told so at once."""
    with MailHost() as host:
        host.silent = True
        async with door_to(host.url(), timeout_s=60) as door:
            ended: list[Outcome] = []
            for n in range(MAX_WAITING + 10):
                door.send(mail(n, 60), ended.append)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert {outcome.kind for outcome in ended} == {OutcomeKind.TIMEOUT}
            told = len(ended)
            assert 0 < told <= 10
        assert len(ended) == MAX_WAITING + 10, "the end tells all of them"
        assert {outcome.kind for outcome in ended[told:]} == {OutcomeKind.CONNECTION_LOST}


async def test_an_end_tells_everybody(host: MailHost):
    """Under way or waiting, each mail ends once; after it nothing is taken."""
    async with door_to(host.url(), connections=1) as door:
        host.script("DATA", HANG)
        ended: list[Outcome] = []
        for n in range(3):
            door.send(mail(n), ended.append)
        while not host.connections:
            await asyncio.sleep(0.01)
        await door.close()
        assert [outcome.kind for outcome in ended] == [OutcomeKind.CONNECTION_LOST] * 3
        assert (await sent(door, mail()))[0].kind is OutcomeKind.CONNECTION_LOST
        with pytest.raises(MailTrouble):
            await door.hand_in("ops@example.com", b"Subject: x\r\n\r\n")


async def test_two_doors_as_one(host: MailHost):
    """Mails go to the mail server, and what goes into the network is judged by the guard as ever."""
    async with door_to(host.url()) as mails:
        doors = Doors(Sender(Guard(False, ()), Resolver(None)), mails)
        loop = asyncio.get_running_loop()
        letter, post = loop.create_future(), loop.create_future()
        doors.send(mail(), letter.set_result)
        request = Request(method="POST", url="https://127.0.0.1/", headers=(), body=b"", timeout_s=5)
        doors.send(request, post.set_result)
        assert (await letter).ok
        assert (await post).kind is OutcomeKind.BLOCKED
        await doors.close()


def test_what_a_mail_program_reads_of_it_is_whole():
    """The envelope's headers and the rendered ones are one head."""
    read_again = message_from_bytes(envelope(mail(), "tocsin@example.com", ManualClock().now_ms()), policy=default)
    assert not read_again.defects
    assert len(read_again.keys()) == len(set(read_again.keys()))
