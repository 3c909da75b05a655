"""What a notice says, and that nothing foreign in it can become more than text."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.store.world import World
from tocsin import ids
from tocsin.engine.mail.notices import compose
from tocsin.model import Notice, NoticeKind, WebhookSettings

HOSTILE = {
    "line breaks": "Orders\r\nBcc: victim@example.com\r\n\r\nBody",
    "other line breaks": "Orders\x0b\x0c\x1c\x85\u2028\u2029Bcc: victim@example.com",
    "markup": '<script>alert(1)</script> & "quotes" </body>',
    "encoded words": "=?utf-8?q?=0D=0ABcc:_victim@example.com?=",
    "beyond ASCII": "Bestellungen für Zürich – 注文 🚀👩‍🚀",
    "long": "注文🚀" * 50,
    "turned": "Orders \u202egpj.exe\u202c",
    "controls": "Orders\x00\x07\x1b[31m",
    "a boundary": "--=_ntc_",
    "a dot": "\r\n.\r\n",
}


def write(tmp_path: Any, kind: NoticeKind = NoticeKind.FAILED, **values: Any) -> tuple[EmailMessage, bytes]:
    """A mail as it goes out, read again as a mail client would."""
    world = World("sqlite", tmp_path)
    account = world.new_account(name=values.pop("account_name", "Rocket Shoes"), timezone="Europe/Berlin")
    settings = {"url_shown": "https://example.com/in", "events": ("*",), "name": "Orders"}
    webhook = world.new_webhook(account)
    webhook = type(webhook)(
        **{name: getattr(webhook, name) for name in webhook.__struct_fields__}
        | {"settings": WebhookSettings(**settings | values.pop("settings", {}))}
    )
    notice = Notice(
        id=1,
        account_id=account.id,
        webhook_id=webhook.id,
        kind=kind,
        reason=values.pop("reason", "a delivery failed after its last retry"),
        at=world.now,
    )
    given = {
        "sender": "tocsin@example.com",
        "recipient": "ops@example.com",
        "public_url": "https://tocsin.example.com",
        "disabled_after_s": None,
    }
    raw = compose(notice, account, webhook, **given | values).as_bytes()
    read = message_from_bytes(raw, policy=default)
    assert isinstance(read, EmailMessage)
    return read, raw


def text_of(mail: EmailMessage, kind: str = "plain") -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return part.get_content()


def test_the_headers(tmp_path):
    """Who, to whom, when, which, and that no machine is to answer."""
    mail, raw = write(tmp_path)
    assert mail["From"] == "Tocsin <tocsin@example.com>"
    assert mail["To"] == "ops@example.com"
    assert mail["Subject"] == "Webhook “Orders” of Rocket Shoes has failed and was disabled"
    assert mail["Date"] == "Thu, 01 Jan 2026 00:00:00 +0000"
    assert mail["Message-ID"] == "<ntc_0000000000001@example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["MIME-Version"] == "1.0"
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert raw.isascii()
    assert max(len(one) for one in raw.split(b"\r\n")) <= 78
    assert write(tmp_path)[0]["Message-ID"] == mail["Message-ID"]


@pytest.mark.parametrize("kind", [kind for kind in NoticeKind if kind is not NoticeKind.CONFIRM])
@pytest.mark.parametrize("part", ["plain", "html"])
def test_it_says_what_why_and_what_next(tmp_path, kind: NoticeKind, part: str):
    """Both forms name the webhook, its address and account, the reason, what becomes of events, and the way out."""
    mail, _ = write(tmp_path, kind, disabled_after_s=432_000.0)
    text = text_of(mail, part)
    webhook_id = next(word for word in text.replace("(", " ").replace(")", " ").split() if word.startswith("wh_"))
    for said in (
        "Orders",
        "Rocket Shoes",
        "https://example.com/in",
        "a delivery failed after its last retry",
        "2026-01-01 01:00 (Europe/Berlin)",
        f"https://tocsin.example.com/v1/webhooks/{webhook_id}",
    ):
        assert said in text
    if kind is NoticeKind.FAILING:
        assert "After 5 days without a single success the webhook is disabled." in text
    else:
        assert f"tocsin webhooks enable {webhook_id}" in text
        assert "held, not lost" in text
        assert "kept for a replay" in text
    assert ids.parse("wh_", webhook_id) is not None


def test_without_a_public_address_there_is_no_link(tmp_path):
    """No link is better than one to nowhere."""
    mail, _ = write(tmp_path, public_url="")
    assert "/v1/" not in text_of(mail) + text_of(mail, "html")
    assert "<a " not in text_of(mail, "html")


def test_without_a_name_the_id_stands_for_it(tmp_path):
    """Names are optional."""
    mail, _ = write(tmp_path, settings={"name": ""})
    assert mail["Subject"].startswith("Webhook wh_")


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags(html: str) -> list[str]:
    parser = Tags()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser.seen


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_names_are_only_text(tmp_path, hostile: str):
    """Whatever a name, a reason or an address holds: the same headers, the same parts, the same tags."""
    usual, _ = write(tmp_path)
    mail, raw = write(
        tmp_path,
        account_name=hostile,
        reason=hostile,
        settings={"name": hostile, "url_shown": f"https://example.com/{hostile}"},
    )
    assert mail.keys() == usual.keys()
    assert mail.defects == []
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert tags(text_of(mail, "html")) == tags(text_of(usual, "html"))
    assert "victim" not in str(mail["To"]) + str(mail["Message-ID"])
    assert raw.isascii()
    assert max(len(one) for one in raw.split(b"\r\n")) <= 78
    head, _, _ = raw.partition(b"\r\n\r\n")
    assert not [one for one in head.split(b"\r\n") if one.lower().startswith((b"bcc", b"body"))]
    assert len(str(mail["Subject"])) < 200
    shown = str(mail["Subject"]) + text_of(mail)
    assert not [c for c in shown if (ord(c) < 32 and c not in "\r\n") or c in "\u2028\u202e\x7f\x85"]
    assert "\n.\n" not in text_of(mail)


def test_names_beyond_ascii_arrive_as_they_were(tmp_path):
    """RFC 2047 in the subject, quoted-printable in the body: read again, they are the same."""
    name = HOSTILE["beyond ASCII"]
    mail, _ = write(tmp_path, settings={"name": name})
    assert mail["Subject"] == f"Webhook “{name}” of Rocket Shoes has failed and was disabled"
    assert f"{name} (wh_" in text_of(mail)


def test_an_address_beyond_ascii_needs_utf8(tmp_path):
    """Only then headers are in UTF-8; everything else stays in ASCII."""
    mail, raw = write(tmp_path, recipient="büro@example.com")
    assert mail["To"] == "büro@example.com"
    assert "büro@example.com".encode() in raw
