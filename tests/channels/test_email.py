"""E-mail: what the standard library reads again is what was meant, whatever an event holds; what replies mean."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from unicodedata import category

import pytest

from tests.channels.messages import AT, CONVERSION, HOSTILE, for_any_message
from tocsin.channels import CHATS
from tocsin.channels.chat import ChatAddress, Rejected, Retry, Sent, Stopped
from tocsin.channels.letter import MAX_BYTES, MAX_SUBJECT
from tocsin.channels.message import Line, Link, Message, Section, Span, SpanKind, Tone
from tocsin.errors import Invalid
from tocsin.model import Outcome, OutcomeKind, Request

EMAIL = CHATS["email"]
LEAVE = "https://tocsin.example/links/AbC-_123"


def address(url: str = "mailto:ops@example.com", *, leave: str | None = LEAVE) -> ChatAddress:
    known = EMAIL.parse(url)
    return ChatAddress(url=known.url, shown=known.shown, dial=None, webhook="wh_06f3k9w2zq8rt", leave=leave)


def read_again(request: Request) -> EmailMessage:
    """As a mail program reads it; headers of the request stand before the body's own."""
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers).encode()
    mail = message_from_bytes(head + request.body, policy=default)
    assert isinstance(mail, EmailMessage)
    assert not mail.defects
    return mail


def part(mail: EmailMessage, kind: str) -> str:
    found = mail.get_body((kind,))
    assert found is not None
    assert not found.defects
    return found.get_content().replace("\r\n", "\n")


class Reader(HTMLParser):
    """What is seen of HTML, and what it would fetch or run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []
        self.seen = ""
        self.feed(html)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        assert not {"src", "background", "onclick", "onload", "srcset"} & given.keys()
        assert "url(" not in (given.get("style") or "")
        if tag == "a":
            self.links.append(given["href"])
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open and "title" not in self.open:
            self.seen += data


# --- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("mailto:ops@example.com", "mailto:ops@example.com"),
        ("MAILTO:Ops@Example.COM", "mailto:Ops@example.com"),
        ("mailto:a%2Bb@example.com", "mailto:a+b@example.com"),
        ("mailto:who%3F@example.com", "mailto:who%3F@example.com"),
        ("mailto:ops@bücher.example", "mailto:ops@xn--bcher-kva.example"),
        ("mailto:büro@example.com", "mailto:büro@example.com"),
        ("mailto:ops@localhost", "mailto:ops@localhost"),
    ],
)
def test_one_plain_address_is_taken(url, kept):
    """As mail servers know it, with nothing to dial, and the same when it is read again."""
    found = EMAIL.parse(url)
    assert (found.url, found.shown, found.dial, found.paces) == (kept, kept, None, ())
    assert EMAIL.parse(kept) == found


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("ops@example.com", "does not begin with mailto:"),
        ("https://example.com", "does not begin with mailto:"),
        ("mailto:", "not one plain e-mail address"),
        ("mailto:ops", "not one plain e-mail address"),
        ("mailto:a@example.com,b@example.com", "not one plain e-mail address"),
        ("mailto:a@example.com;b@example.com", "not one plain e-mail address"),
        ("mailto:Ops%20%3Cops@example.com%3E", "not one plain e-mail address"),
        ("mailto:ops@example.com%0D%0ABcc:b@example.com", "not one plain e-mail address"),
        ("mailto:%FF@example.com", "not one plain e-mail address"),
        ("mailto:=?utf-8?q?a?=@example.com", "cannot be given"),
        ("mailto:ops@example.com?subject=x", "a subject, copies and other headers cannot be given"),
        ("mailto:ops@example.com?bcc=b@example.com", "cannot be given"),
        ("mailto:ops@[127.0.0.1]", "no name of a mail domain"),
        ("mailto:ops@example..com", "no"),
        ("mailto:ops@-example.com", "no name of a mail domain"),
        ("mailto:" + "x" * 65 + "@example.com", "too long"),
        ("mailto:ops@" + "x" * 250 + ".com", "no"),
    ],
)
def test_what_is_more_or_less_than_an_address_is_refused(url, hint):
    """With the form that it should have."""
    with pytest.raises(Invalid) as caught:
        EMAIL.parse(url)
    assert caught.value.code == "url_refused"
    [fault] = caught.value.faults
    assert fault.pointer == "/url"
    assert hint in fault.detail
    assert "mailto:you@example.com" in fault.detail


# --- rendering ------------------------------------------------------------------------------------------------------


def test_a_conversion_as_a_mail_program_shows_it():
    """Subject, both forms with all lines, the link, whose it is and when, and the way out; and no more headers."""
    request = EMAIL.render(CONVERSION, address())
    assert (request.method, request.url, request.timeout_s) == ("MAIL", "mailto:ops@example.com", 60)
    mail = read_again(request)
    assert mail["To"] == "ops@example.com"
    assert mail["Subject"] == "New Conversion!: Facebook - Weight Loss"
    assert [one.get_content_type() for one in mail.iter_parts()] == ["text/plain", "text/html"]
    assert part(mail, "plain") == (
        "🎉 New Conversion!\n\n"
        "Campaign: Facebook - Weight Loss\nOffer: Keto Diet\nPayout: $45.00\nCountry: United States\n"
        "Device: Mobile (iOS)\n\n"
        "Open the campaign: https://tocsin.example/c/1?a=1&b=2\n\n"
        f"-- \nAcme Ads · 2024-01-15 14:30 UTC\nStop these mails: {LEAVE}\n"
    )
    html = Reader(part(mail, "html"))
    for line in CONVERSION.lines:
        assert line.label in html.seen
        assert line.value in html.seen
    assert html.links == ["https://tocsin.example/c/1?a=1&b=2", LEAVE]
    assert "Acme Ads · 2024-01-15 14:30 UTC" in html.seen


def test_the_headers_say_what_it_is():
    """No machine is to answer it, a list that can be left with one click, and a name that is the same on each try."""
    message = Message(title="T", icon="🔔", tone=Tone.INFO, at=AT, id="evt_06f3k9w2zq8rt")
    request = EMAIL.render(message, address())
    assert dict(request.headers) == {
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "List-Id": "<wh_06f3k9w2zq8rt.localhost>",
        "Message-ID": "evt_06f3k9w2zq8rt.wh_06f3k9w2zq8rt",
        "List-Unsubscribe": f"<{LEAVE}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    assert EMAIL.render(message, address()) == request
    assert {"From", "Date", "Message-ID"} & set(message_from_bytes(request.body).keys()) == set()


def test_without_a_public_address_there_is_no_way_out_to_show():
    """No link is better than one to nowhere."""
    request = EMAIL.render(CONVERSION, address(leave=None))
    assert "List-Unsubscribe" not in dict(request.headers)
    assert "Stop these mails" not in part(read_again(request), "plain") + part(read_again(request), "html")


@pytest.mark.parametrize(
    ("tone", "colour"),
    [(Tone.CONVERSION, "#1a7f37"), (Tone.FRAUD, "#cf222e"), (Tone.WARNING, "#a8530a"), (Tone.INFO, "#0969da")],
)
def test_the_colour_tells_the_tone(tone, colour):
    """Green conversions, red fraud, orange warnings, blue the rest."""
    request = EMAIL.render(Message(title="T", icon="", tone=tone, at=AT), address())
    assert f'<td bgcolor="{colour}"' in part(read_again(request), "html")


def test_free_text_keeps_its_forms():
    """Bold, code, links and line breaks of a template, in both parts; a link leads into the web or is none."""
    spans = (
        Span(text="Look: "),
        Span(text="<now>", kind=SpanKind.BOLD),
        Span(text="\nid "),
        Span(text="a&b", kind=SpanKind.CODE),
        Span(text=" "),
        Span(text="here", kind=SpanKind.LINK, url="https://example.com/?a=1&b=2"),
        Span(text=" "),
        Span(text="there", kind=SpanKind.LINK, url="javascript:alert(1)"),
    )
    message = Message(title="T", icon="", tone=Tone.INFO, at=AT, text=spans, link=Link(label="x", url="file:///etc"))
    mail = read_again(EMAIL.render(message, address()))
    assert "Look: <now>\nid a&b here (https://example.com/?a=1&b=2) there\n" in part(mail, "plain")
    html = part(mail, "html")
    assert "Look: <strong>&lt;now&gt;</strong><br>" in html
    assert Reader(html).links == ["https://example.com/?a=1&b=2", LEAVE]


@for_any_message
def test_whatever_it_says_it_is_a_mail_within_limits(message):
    """Read again: the same headers, two parts, the same tags for the same lines, no larger than mail programs show."""
    request = EMAIL.render(message, address())
    assert len(request.body) <= MAX_BYTES
    assert request.body.isascii()
    head, _, _ = request.body.partition(b"\r\n\r\n")
    assert [one.partition(b":")[0] for one in head.split(b"\r\n") if not one.startswith((b" ", b"\t"))] == [
        b"To",
        b"Subject",
        b"MIME-Version",
        b"Content-Type",
    ]
    assert max(len(one) for one in request.body.split(b"\r\n")) <= 78
    mail = read_again(request)
    assert mail["To"] == "ops@example.com"
    assert len(str(mail["Subject"]).encode("utf-16-le")) // 2 <= MAX_SUBJECT
    assert not [c for c in str(mail["Subject"]) if category(c) in ("Cc", "Cs", "Zl", "Zp")]
    assert [one.get_content_type() for one in mail.iter_parts()] == ["text/plain", "text/html"]
    html = Reader(part(mail, "html"))
    assert set(html.tags) <= {
        *("html", "head", "meta", "title", "style", "body", "table", "tr", "td", "a", "strong", "code", "br")
    }
    assert all(link.startswith(("https://", "http://")) for link in html.links)
    assert html.links[-1] == LEAVE
    text = part(mail, "plain")
    assert LEAVE in text
    assert not [c for c in text + html.seen if (ord(c) < 32 and c not in "\r\n") or c in "\u2028\u202e\x7f\x85"]


@pytest.mark.parametrize("hostile", [*HOSTILE, "x\r\nBcc: victim@example.com", "=?utf-8?q?=0D=0ABcc:_v@example.com?="])
def test_names_are_only_text(hostile):
    """A title, label, value or footer that means no good changes nothing but itself."""

    def rendered(text):
        message = Message(
            title=text,
            icon="🔔",
            tone=Tone.INFO,
            at=AT,
            lines=(Line(label=text, value=text), Line(label="Campaign", value=text)),
            sections=(Section(heading=text, lines=(Line(label=text, value=text),)),),
            footer=text,
        )
        return read_again(EMAIL.render(message, address()))

    mail, usual = rendered(hostile), rendered("harmless")
    assert mail.keys() == usual.keys()
    assert Reader(part(mail, "html")).tags == Reader(part(usual, "html")).tags
    assert Reader(part(mail, "html")).links == [LEAVE]
    assert len(str(mail["Subject"]).splitlines()) == 1


def test_names_beyond_ascii_arrive_as_they_were():
    """In the subject and in both parts."""
    name = "Zürich – 注文 🚀👩‍🚀"
    message = Message(title="Now", icon="", tone=Tone.INFO, at=AT, lines=(Line(label="Campaign", value=name),))
    mail = read_again(EMAIL.render(message, address()))
    assert mail["Subject"] == f"Now: {name}"
    assert f"Campaign: {name}\n" in part(mail, "plain")
    assert name in Reader(part(mail, "html")).seen


def test_an_address_beyond_ascii_needs_utf8():
    """Only then headers are in UTF-8; everything else stays in ASCII."""
    request = EMAIL.render(CONVERSION, address("mailto:büro@example.com"))
    assert "büro@example.com".encode() in request.body
    assert read_again(request)["To"] == "büro@example.com"


# --- what replies mean ----------------------------------------------------------------------------------------------


def reading(command: str, reply: str, kind: OutcomeKind = OutcomeKind.MAIL_ERROR):
    code, _, text = reply.partition(" ")
    outcome = Outcome(kind=kind, status_code=int(code), headers=(("SMTP-Command", command),), body=text.encode())
    return EMAIL.read(outcome, EMAIL.render(CONVERSION, address()), address())


@pytest.mark.parametrize(
    ("command", "reply", "expected"),
    [
        # The address.
        ("RCPT", "550 5.1.1 <ops@example.com>: user unknown", Stopped),
        ("RCPT", "550 No such user here", Stopped),
        ("RCPT", "551 User not local; please try <x@example.org>", Stopped),
        ("RCPT", "553 Requested action not taken: mailbox name not allowed", Stopped),
        ("RCPT", "550 5.1.2 bad destination domain", Stopped),
        ("RCPT", "501 5.1.3 bad address syntax", Stopped),
        ("RCPT", "556 5.1.10 the domain takes no mail", Stopped),
        ("RCPT", "550 5.2.1 the mailbox is disabled", Stopped),
        ("DATA", "550 5.1.1 no such mailbox after all", Stopped),
        # This mail.
        ("DATA", "552 5.3.4 message too big", Rejected),
        ("DATA", "554 5.7.1 looks like spam", Rejected),
        ("DATA", "550 content refused", Rejected),
        ("DATA", "554 transaction failed", Rejected),
        ("RCPT", "552 too much mail data", Rejected),
        ("RCPT", "554 no", Rejected),
        # Another time.
        ("RCPT", "450 4.2.0 greylisted", Retry),
        ("RCPT", "451 local error", Retry),
        ("RCPT", "452 4.2.2 over quota", Retry),
        ("RCPT", "552 5.2.2 mailbox full", Retry),
        ("DATA", "552 5.2.2 mailbox full", Retry),
        ("DATA", "421 4.3.2 shutting down", Retry),
        ("CONNECT", "554 no service here", Retry),
        # Our own operator's set-up.
        ("AUTH", "535 5.7.8 authentication failed", Retry),
        ("MAIL", "530 5.7.0 authentication required", Retry),
        ("MAIL", "550 5.7.1 not your address", Retry),
        ("MAIL", "553 5.1.8 sender's domain does not exist", Retry),
        ("RCPT", "550 5.1.8 sender's domain does not exist", Retry),
        ("RCPT", "530 authentication required", Retry),
        ("RCPT", "554 5.7.1 <ops@example.com>: Relay access denied", Retry),
        ("RCPT", "550 relay not permitted", Retry),
        ("RCPT", "553 sorry, that domain isn't in my list of allowed rcpthosts", Retry),
    ],
)
def test_what_a_reply_means(command, reply, expected):
    """For the address, for this mail, or for nothing but the server; the reason quotes it without the address."""
    found = reading(command, reply)
    assert type(found) is expected
    assert reply.partition(" ")[0] in found.reason
    assert "ops@example.com" not in found.reason


def test_a_mail_that_was_taken():
    """Mail has no name by which it could be changed."""
    assert reading("DATA", "250 queued", OutcomeKind.SUCCEEDED) == Sent()
    assert not EMAIL.edits


@pytest.mark.parametrize(
    "kind",
    [
        OutcomeKind.TIMEOUT,
        OutcomeKind.CONNECT_ERROR,
        OutcomeKind.DNS_ERROR,
        OutcomeKind.TLS_ERROR,
        OutcomeKind.CONNECTION_LOST,
        OutcomeKind.UNSENDABLE,
    ],
)
def test_no_reply_is_no_reason_to_give_up(kind):
    """The server is the operator's: whatever it is at, the address and the mail are not to blame."""
    outcome = Outcome(kind=kind, error="It went wrong.")
    assert EMAIL.read(outcome, EMAIL.render(CONVERSION, address()), address()) == Retry(reason="It went wrong.")
