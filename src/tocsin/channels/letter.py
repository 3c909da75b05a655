"""A message as a mail: plain text, and HTML that mail clients of all ages show alike.

Tables and inline styles, one column, nothing from elsewhere; colours stand in attributes too, for Outlook, and in a
style sheet for dark screens, where it is understood. Without one, clients turn the colours around themselves.
"""

import binascii
from collections.abc import Iterator
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from html import escape

import msgspec

from tocsin.channels.limits import clean, cut, isolate, web_url
from tocsin.channels.markup import cleaned
from tocsin.channels.message import Line, Link, Message, Section, Span, SpanKind, Tone

# Gmail cuts a mail off at 102 KB and hides the rest, the way out among it.
MAX_BYTES = 100_000
# More than any list of mails shows of it.
MAX_SUBJECT = 150

_TITLE, _LABEL, _FOOTER = 200, 80, 300  # UTF-16 units
_MAX_URL = 2_048


class _Room(msgspec.Struct, frozen=True):
    """How much is shown: units of a value and of free text, and how many lines, and characters of an address."""

    value: int
    text: int
    lines: int
    url: int


# Tried in this order, until the whole fits.
_ROOMS = (
    _Room(600, 8_192, 200, 2_048),
    _Room(250, 4_096, 80, 1_024),
    _Room(100, 1_024, 40, 512),
    _Room(50, 500, 20, 0),
)
_MAX_SPANS = 100
_BOUNDARY = b"=_tocsin"  # in quoted-printable text an equals sign stands before two digits or a line break only

# Each has a contrast of 4.5:1 or more with white, in which the button's label stands.
_COLOURS = {Tone.CONVERSION: "#1a7f37", Tone.FRAUD: "#cf222e", Tone.WARNING: "#a8530a", Tone.INFO: "#0969da"}
_BUTTON = "#0969da"
_FONT = "font-family:Arial,Helvetica,sans-serif"
_DARK = (
    "@media (prefers-color-scheme:dark){.page{background:#0d1117!important}"
    ".card{background:#161b22!important;border-color:#30363d!important}.ink{color:#e6edf3!important}"
    ".dim{color:#9aa4af!important}.link{color:#79b8ff!important}}"
)


def letter(message: Message, *, to: str, subject: str | None = None, leave: str | None = None) -> bytes:
    """The mail, but for the headers that its sender adds; the same bytes for the same arguments.

    Args:
        to: one address, as `mail_address.on_the_wire` has it.
        subject: unless said, the message's title and campaign.
        leave: where its reader can put an end to such mails.
    """
    mail = b""
    for room in _ROOMS:
        mail = _letter(message, room, to, subject or subject_of(message), leave)
        if len(mail) <= MAX_BYTES:
            break
    return mail


def subject_of(message: Message) -> str:
    """One line: what happened, and in which campaign."""
    title = clean(message.title)
    campaign = next((clean(line.value) for line in message.lines if line.label.lower() == "campaign"), "")
    return f"{title}: {campaign}" if campaign and campaign not in title else title


def _letter(message: Message, room: _Room, to: str, subject: str, leave: str | None) -> bytes:
    shown = _shown(message, room)
    when = f"{datetime.fromtimestamp(message.at / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    mail = EmailMessage(policy=SMTP if to.isascii() else SMTPUTF8)
    local, _, domain = to.rpartition("@")
    mail["To"] = Address("", local, domain)
    # What looks like an encoded word (RFC 2047) would be decoded here, line breaks and all, into another header.
    mail["Subject"] = cut(clean(subject).replace("=?", "= ?") or "Tocsin", MAX_SUBJECT)
    mail["MIME-Version"] = "1.0"
    head = mail.as_bytes().removesuffix(b"\r\n")
    parts = (_part("plain", _text(shown, when, leave)), _part("html", _html(shown, when, leave)))
    between = b"--" + _BOUNDARY
    return b"".join(
        (
            *(head, b'Content-Type: multipart/alternative; boundary="', _BOUNDARY, b'"\r\n\r\n'),
            *(piece for part in parts for piece in (between, b"\r\n", part)),
            *(between, b"--\r\n"),
        )
    )


def _part(kind: str, text: str) -> bytes:
    """Quoted-printable, so that no server on the way has to change a byte."""
    head = f'Content-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    return head.encode() + binascii.b2a_qp(text.replace("\n", "\r\n").encode()) + b"\r\n"


# --- what is shown ------------------------------------------------------------------------------------------------


def _shown(message: Message, room: _Room) -> Message:
    """All text clean, cut to the room that there is, and kept from turning its surroundings around."""
    left = room.lines
    lines = _lines(message.lines[:left], room)
    left -= len(lines)
    sections: list[Section] = []
    for section in message.sections:
        if left > 1:
            rows = _lines(section.lines[: left - 1], room)
            left -= len(rows) + 1
            sections.append(Section(heading=_one(section.heading, _TITLE), lines=rows))
    return msgspec.structs.replace(
        message,
        title=_one(message.title, _TITLE),
        icon=cut(clean(message.icon), 16),
        lines=lines,
        text=tuple(_spans(message.text, room)),
        sections=tuple(sections),
        link=_link(message.link),
        footer=_one(message.footer, _FOOTER),
    )


def _lines(lines: tuple[Line, ...], room: _Room) -> tuple[Line, ...]:
    return tuple(Line(label=_one(line.label, _LABEL), value=_one(line.value, room.value)) for line in lines)


def _spans(spans: tuple[Span, ...], room: _Room) -> Iterator[Span]:
    left = room.text
    for span in cleaned(spans)[:_MAX_SPANS]:
        if left <= 0:
            return
        text = cut(span.text, left)
        left -= len(text)
        url = web_url(span.url, room.url) if span.kind is SpanKind.LINK else None
        kind = SpanKind.TEXT if span.kind is SpanKind.LINK and url is None else span.kind
        yield Span(text=text, kind=kind, url=url or "")


def _link(link: Link | None) -> Link | None:
    url = None if link is None else web_url(link.url, _MAX_URL)
    return None if link is None or url is None else Link(label=_one(link.label, _LABEL) or url, url=url)


def _one(text: str, units: int) -> str:
    return isolate(cut(clean(text), units))


# --- plain text ---------------------------------------------------------------------------------------------------


def _text(message: Message, when: str, leave: str | None) -> str:
    parts = [f"{message.icon} {message.title}".strip()]
    if message.text:
        parts.append("".join(_text_span(span) for span in message.text))
    if message.lines:
        parts.append("\n".join(_text_line(line) for line in message.lines))
    parts += ["\n".join([section.heading, *map(_text_line, section.lines)]) for section in message.sections]
    if message.link is not None:
        parts.append(f"{message.link.label}: {message.link.url}")
    foot = " · ".join(filter(None, (message.footer, when)))
    if leave is not None:
        foot += f"\nStop these mails: {leave}"
    return "\n\n".join([*parts, f"-- \n{foot}"]) + "\n"


def _text_line(line: Line) -> str:
    return f"{line.label}: {line.value}" if line.label else line.value


def _text_span(span: Span) -> str:
    return f"{span.text} ({span.url})" if span.kind is SpanKind.LINK and span.url != span.text else span.text


# --- HTML ---------------------------------------------------------------------------------------------------------


def _html(message: Message, when: str, leave: str | None) -> str:
    title = escape(f"{message.icon} {message.title}".strip())
    rows = [_row(title, f"padding:20px 24px 8px;font-size:20px;font-weight:bold;line-height:1.3;{_FONT}")]
    if message.text:
        text = "".join(_html_span(span) for span in message.text)
        rows.append(_row(text, f"padding:4px 24px 8px;font-size:15px;line-height:1.5;word-break:break-word;{_FONT}"))
    if message.lines:
        rows.append(_row(_table(message.lines), "padding:4px 24px 8px"))
    for section in message.sections:
        heading = f"padding:12px 24px 0;font-size:15px;font-weight:bold;{_FONT}"
        rows += [_row(escape(section.heading), heading), _row(_table(section.lines), "padding:4px 24px 8px")]
    if message.link is not None:
        button = (
            f'<table role="presentation" cellpadding="0" cellspacing="0" border="0"><tr><td bgcolor="{_BUTTON}" '
            f'style="border-radius:6px"><a href="{escape(message.link.url)}" style="display:inline-block;'
            f'padding:10px 20px;font-size:15px;color:#ffffff;text-decoration:none;{_FONT}">'
            f"{escape(message.link.label)}</a></td></tr></table>"
        )
        rows.append(_row(button, "padding:12px 24px"))
    foot = escape(" · ".join(filter(None, (message.footer, when))))
    if leave is not None:
        foot += f'<br>\n<a class="dim" href="{escape(leave)}" style="color:#57606a">Stop these mails</a>'
    rows.append(_row(foot, f"padding:12px 24px 20px;font-size:12px;line-height:1.5;color:#57606a;{_FONT}", "dim"))
    colour = _COLOURS[message.tone]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">'
        f"<title>{escape(message.title)}</title>\n<style>{_DARK}</style></head>\n"
        '<body class="page" style="margin:0;padding:0;background:#f3f5f7">\n'
        '<table class="page" role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" '
        'bgcolor="#f3f5f7"><tr><td align="center" style="padding:16px 8px">\n'
        # Outlook knows no max-width.
        '<!--[if mso]><table role="presentation" width="560" cellpadding="0" cellspacing="0"><tr><td><![endif]-->\n'
        '<table class="card" role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" '
        'bgcolor="#ffffff" style="max-width:560px;border:1px solid #d8dee4;border-radius:8px;text-align:left">\n'
        f'<tr><td bgcolor="{colour}" style="height:6px;line-height:6px;font-size:0;border-radius:7px 7px 0 0">&nbsp;'
        f"</td></tr>\n{''.join(rows)}</table>\n"
        "<!--[if mso]></td></tr></table><![endif]-->\n</td></tr></table>\n</body>\n</html>\n"
    )


def _row(content: str, style: str, ink: str = "ink") -> str:
    coloured = style if "color:" in style else f"{style};color:#1f2430"
    return f'<tr><td class="{ink}" style="{coloured}">{content}</td></tr>\n'


def _table(lines: tuple[Line, ...]) -> str:
    rows = "".join(
        f'<tr><td class="dim" style="padding:3px 16px 3px 0;color:#57606a;vertical-align:top;font-size:14px;{_FONT}">'
        f'{escape(line.label)}</td><td class="ink" style="padding:3px 0;color:#1f2430;vertical-align:top;'
        f'word-break:break-word;font-size:14px;{_FONT}">{escape(line.value)}</td></tr>\n'
        for line in lines
    )
    return f'<table role="presentation" cellpadding="0" cellspacing="0" border="0">\n{rows}</table>'


def _html_span(span: Span) -> str:
    text = escape(span.text).replace("\n", "<br>\n")
    if span.kind is SpanKind.BOLD:
        return f"<strong>{text}</strong>"
    if span.kind is SpanKind.CODE:
        return f'<code style="font-family:Consolas,Menlo,monospace;font-size:13px;word-break:break-all">{text}</code>'
    if span.kind is SpanKind.LINK:
        return f'<a class="link" href="{escape(span.url)}" style="color:#0969da">{text}</a>'
    return text
