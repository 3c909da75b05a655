"""What is seen of a mail, and what servers refuse in one (RFC 5322)."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parsedate_to_datetime
from typing import Any

from tocsin.receiver.doubles.display import Mail

_SHOWN = ("From", "To", "Reply-To", "Subject", "Date", "List-Unsubscribe")
_ONCE = ("From", "Date", "Subject", "Message-ID", "To", "MIME-Version", "Content-Type")
_LINE = 998  # RFC 5322 §2.1.1, without its end


def read(raw: bytes) -> EmailMessage:
    return message_from_bytes(raw, policy=SMTP)


def view(message: EmailMessage, frame: str) -> Mail:
    """Its head and its text. `frame`: where its HTML part is shown by itself."""
    headers = tuple((name, str(message[name])) for name in _SHOWN if message[name] is not None)
    return Mail(headers, text=part(message, "plain"), frame=frame if part(message, "html") else "")


def part(message: EmailMessage, kind: str) -> str:
    """A part of it, ``plain`` or ``html``; empty: it has none, or none that can be decoded."""
    found = message.get_body((kind,))
    if found is None:
        return ""
    try:
        return str(found.get_content()).replace("\r\n", "\n").strip("\n")
    except (LookupError, UnicodeError, KeyError):
        return ""


def fault(raw: bytes, *, utf8: bool) -> str:
    """What the large servers refuse a mail for; empty: nothing.

    Args:
        utf8: whether it was announced by SMTPUTF8, so that its head may have any characters.
    """
    head = raw.partition(b"\r\n\r\n")[0]
    if b"\x00" in raw:
        return "it has a NUL character"
    if b"\n" in raw.replace(b"\r\n", b"") or b"\r" in raw.replace(b"\r\n", b""):
        return "a line does not end with CR LF"
    if any(len(line) > _LINE for line in raw.split(b"\r\n")):
        return f"a line is longer than {_LINE} characters"
    if not utf8 and not head.isascii():
        return "its head has characters beyond ASCII"
    message = read(raw)
    for name in _ONCE:
        if len(message.get_all(name, [])) > 1:
            return f"{name} is there more than once"
    addresses: tuple[Any, ...] = getattr(message["From"], "addresses", ())
    if len(addresses) != 1 or not addresses[0].domain:
        return "From is no single address"
    if not message["Message-ID"]:
        return "Message-ID is missing"
    try:
        parsedate_to_datetime(str(message["Date"] or ""))
    except ValueError:
        return "Date is missing, or no date"
    return ""
