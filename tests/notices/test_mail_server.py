"""How the mail server is spoken with: encryption, logging in, and what is said when it cannot be done."""

import asyncio
import ssl
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.notices.conftest import HASTY_S, PATIENT_S
from tests.sender.certificates import Authority
from tests.support.mail import DROP, HANG, MailHost
from tocsin.engine.mail.server import Answer, Fate, MailServer, MailTrouble, on_the_wire
from tocsin.errors import Misconfigured

# The server here lets people log in without TLS on purpose: it is the client that must not.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")

MAIL = b"Subject: hello\r\n\r\nworld\r\n"
USERS = {"mailer": "p@ss/w#rd ü"}
LOGIN = "mailer:p%40ss%2Fw%23rd%20%C3%BC"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> ssl.SSLContext:
    return authority.issue("127.0.0.1").server()


async def hand_in(url: str, ca_file: Path | None = None, recipient: str = "ops@example.com") -> tuple[str, Answer]:
    """How it was connected, and what was answered, but for the reply itself."""
    connection = await MailServer(url, ca_file and str(ca_file), timeout_s=PATIENT_S).connect()
    answer = await connection.send(recipient, MAIL)
    await connection.quit()
    return connection.how, replace(answer, reply=None)


async def trouble(url: str, ca_file: Path | None = None, timeout_s: float = PATIENT_S) -> str:
    with pytest.raises(MailTrouble) as raised:
        await MailServer(url, ca_file and str(ca_file), timeout_s=timeout_s).connect()
    await asyncio.sleep(0.01)  # hangs up before the server ends, which holds up this loop
    return str(raised.value)


async def test_plain(host: MailHost):
    """A server without TLS and without users gets the mail as it is; it is greeted by our address."""
    how, answer = await hand_in(host.url())
    [mail] = host.mails
    assert how == "without TLS"
    assert answer == Answer(Fate.SENT)
    assert (mail.raw, mail.tls) == (MAIL, False)
    assert mail.greeting == "[127.0.0.1]"


async def test_tls_is_taken_where_it_is_offered(authority: Authority, certificate: ssl.SSLContext):
    """STARTTLS comes before anything else is said, and is left out only where the address says so."""
    with MailHost(tls=certificate) as host:
        how, _ = await hand_in(host.url(), authority.ca_file)
        assert how == "over TLSv1.3"
        how, _ = await hand_in(host.url(options="&tls=off"), authority.ca_file)
        assert how == "without TLS"
        assert [mail.tls for mail in host.mails] == [True, False]


async def test_tls_from_the_start(authority: Authority, certificate: ssl.SSLContext):
    """``smtps://`` is encrypted from the first byte on."""
    with MailHost(tls=certificate, implicit=True) as host:
        how, _ = await hand_in(host.url(), authority.ca_file)
        assert how == "over TLSv1.3"
        assert [mail.tls for mail in host.mails] == [True]


@pytest.mark.parametrize("implicit", [False, True])
async def test_an_untrusted_certificate_is_refused(
    authority: Authority, certificate: ssl.SSLContext, *, implicit: bool
):
    """From an unknown authority, or for another host: nothing is sent, and the sentence says how to mend it."""
    with MailHost(tls=certificate, implicit=implicit, users=USERS) as host:
        said = await trouble(host.url(LOGIN))
        assert "is not trusted: unable to get local issuer certificate; its authority can be given in" in said
        assert host.logins == []
    with MailHost(tls=authority.issue("other.example").server(), implicit=implicit) as host:
        assert "127.0.0.1" in await trouble(host.url(), authority.ca_file)
        assert host.mails == []


async def test_logging_in(authority: Authority, certificate: ssl.SSLContext):
    """User and password are those of the address, decoded."""
    with MailHost(tls=certificate, users=USERS) as host:
        how, answer = await hand_in(host.url(LOGIN), authority.ca_file)
        assert how == "over TLSv1.3, logged in"
        assert answer.fate is Fate.SENT
        assert [mail.user for mail in host.mails] == ["mailer"]


async def test_a_wrong_password(authority: Authority, certificate: ssl.SSLContext):
    """It is the server's trouble, not the mail's; the password is not repeated."""
    with MailHost(tls=certificate, users=USERS) as host:
        said = await trouble(host.url("mailer:guessed"), authority.ca_file)
    assert said == f"127.0.0.1:{host.port} refuses the login: 535 5.7.8 Authentication credentials invalid"


@pytest.mark.parametrize("name", ["127.1", "2130706433"])
async def test_a_password_does_not_go_out_readable(name: str):
    """Without TLS nobody logs in, but for a server that is plainly on this machine."""
    with MailHost(users=USERS) as host:
        said = await trouble(host.url(LOGIN, host=name))
        assert "offers no TLS, and the password is not sent readable" in said
        assert host.logins == []
        for here in ("127.0.0.1", "localhost"):
            how, _ = await hand_in(host.url(LOGIN, host=here))
            assert how == "without TLS, logged in"


async def test_a_server_that_knows_no_login(host: MailHost):
    """Credentials for a server that wants none are a set-up to be mended, and said as that."""
    assert "offers no way to log in" in await trouble(host.url(LOGIN))


async def test_a_login_that_was_left_out():
    """A server that wants one refuses the sender; the mail is not given up."""
    with MailHost(users=USERS) as host:
        _, answer = await hand_in(host.url())
    assert answer == Answer(Fate.LATER, "the sender is refused: 530 5.7.0 Authentication required", well=False)


async def test_nobody_there(host: MailHost):
    """A port where nothing listens, and a server that accepts and says nothing, are said in one sentence."""
    assert "cannot be spoken with" in await trouble("smtp://127.0.0.1:1/?from=a@example.com")
    with MailHost() as other:
        other.silent = True
        assert "imed out" in await trouble(other.url(), timeout_s=HASTY_S)


async def test_another_protocol(authority: Authority, certificate: ssl.SSLContext, host: MailHost):
    """TLS spoken to a plain port, and plain text to a TLS port, are troubles and no crash."""
    assert "cannot be spoken with" in await trouble(host.url().replace("smtp:", "smtps:"))
    with MailHost(tls=certificate, implicit=True) as other:
        assert "cannot be spoken with" in await trouble(
            other.url().replace("smtps:", "smtp:"), authority.ca_file, timeout_s=HASTY_S
        )


@pytest.mark.parametrize(
    ("command", "answers", "expected"),
    [
        ("RCPT", ["550 no such user"], Answer(Fate.REFUSED, "the recipient is refused: 550 no such user")),
        ("RCPT", ["450 busy"], Answer(Fate.LATER, "the recipient is refused: 450 busy")),
        ("RCPT", ["421 too many"], Answer(Fate.LATER, "the recipient is refused: 421 too many", well=False)),
        ("DATA", ["552 too big"], Answer(Fate.REFUSED, "the mail is refused: 552 too big")),
        ("DATA", ["452 no room"], Answer(Fate.LATER, "the mail is refused: 452 no room")),
        ("MAIL", ["550 who are you"], Answer(Fate.LATER, "the sender is refused: 550 who are you", well=False)),
        ("RCPT", ["550 <ops@example.com> is gone"], Answer(Fate.REFUSED, "the recipient is refused: 550 <…> is gone")),
    ],
)
async def test_what_answers_mean(host: MailHost, command: str, answers: list[str], expected: Answer):
    """4xx is later, 5xx is never, and what concerns all mails is the server's own trouble."""
    host.script(command, *answers)
    _, answer = await hand_in(host.url())
    assert answer == expected


@pytest.mark.parametrize("what", [HANG, DROP])
async def test_a_conversation_that_breaks_off(host: MailHost, what: str):
    """Whether the mail was taken is unknown: it is to be sent again, over another connection."""
    host.script("DATA", what)
    connection = await MailServer(host.url(), timeout_s=HASTY_S).connect()
    answer = await connection.send("ops@example.com", MAIL)
    assert (answer.fate, answer.well) == (Fate.LATER, False)
    assert answer.reason.startswith("the conversation broke off: ")
    await connection.quit()


async def test_an_address_beyond_ascii(host: MailHost):
    """SMTPUTF8 is asked for exactly where a mailbox's own name needs it; a domain goes as IDNA."""
    await hand_in(host.url(), recipient=on_the_wire("ops@bücher.example"))
    await hand_in(host.url(), recipient=on_the_wire("büro@bücher.example"))
    assert [(mail.recipient, "SMTPUTF8" in mail.options) for mail in host.mails] == [
        ("ops@xn--bcher-kva.example", False),
        ("büro@xn--bcher-kva.example", True),
    ]


async def test_a_server_without_smtputf8():
    """It cannot take such a mailbox at all, so the mail ends there."""
    with MailHost() as host:
        host.utf8 = False
        _, answer = await hand_in(host.url(), recipient="büro@example.com")
    assert answer == Answer(Fate.REFUSED, "the mail server takes no addresses beyond ASCII")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nobody",
        "@example.com",
        "a@",
        "a b@example.com",
        "a@b@example.com",
        "a>b@example.com",
        "a@exa\nmple.com",
        'a"b@example.com',
        "a@example.com>,<b@example.com",
        "a\r\nRCPT TO:<b@example.com",
        "a,b@example.com",
        "=?utf-8?q?=0D=0ABcc:_b?=@example.com",
    ],
)
def test_what_is_no_address(address: str):
    """Nothing that could end an address early, or begin another command, gets as far as the wire."""
    with pytest.raises(ValueError, match=r"."):
        on_the_wire(address)


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.com",
        "http://mail.example.com",
        "smtp://",
        "smtp://mail.example.com:port/",
        "smtp://mail.example.com:99999/",
        "smtp://user:pa/ss@mail.example.com/",
        "smtp://user:pa#ss@mail.example.com/",
        "smtp://mail.example.com/?sender=a@example.com",
        "smtp://mail.example.com/?tls=on",
        "smtp://mail.example.com/?from=nobody",
    ],
)
def test_an_address_of_a_server_that_makes_no_sense(url: str):
    """It stops the start with a sentence that names the setting and repeats no password."""
    with pytest.raises(Misconfigured, match="TOCSIN_SMTP_URL") as raised:
        MailServer(url)
    assert "ss@" not in raised.value.detail


@pytest.mark.parametrize(
    ("url", "host", "port", "sender"),
    [
        ("smtp://mail.example.com", "mail.example.com", 587, "tocsin@mail.example.com"),
        ("smtps://mail.example.com", "mail.example.com", 465, "tocsin@mail.example.com"),
        ("smtp://ops%40example.com:x@mail.example.com:25", "mail.example.com", 25, "ops@example.com"),
        ("smtp://[::1]:25/?from=a%2Bb@bücher.example", "::1", 25, "a+b@xn--bcher-kva.example"),
    ],
)
def test_what_an_address_says(url: str, host: str, port: int, sender: str):
    """Ports and sender have sensible values where the address leaves them out."""
    server = MailServer(url)
    assert (server.host, server.port, server.sender) == (host, port, sender)


def test_trust_anchors_that_are_none(tmp_path: Path):
    """A file without certificates stops the start."""
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(Misconfigured, match=r"ca\.pem"):
        MailServer("smtp://mail.example.com", str(tmp_path / "ca.pem"))
    with pytest.raises(Misconfigured, match=r"none\.pem"):
        MailServer("smtp://mail.example.com", str(tmp_path / "none.pem"))
