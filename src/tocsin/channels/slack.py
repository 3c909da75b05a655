"""Slack: an incoming webhook takes a message whose colour and blocks stand in an attachment.

Sources, by their titles in Slack's documentation: "Sending messages using incoming webhooks", "Formatting message
text", the references of blocks and of "Secondary message attachments", "Rate limits".

Slack has no escape for its marks of format: ``*hot*`` in a campaign's name would be bold, ``:fire:`` a picture. So each
line goes out as `mrkdwn`, with a bold label, only where nothing in it can be read as a mark, and as `plain_text`
otherwise; `verbatim` keeps Slack from making links and mentions. ``&``, ``<`` and ``>`` are escaped in both.

Chats that speak Slack's form have other addresses, and know no blocks: they get the attachment's older fields.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from tocsin.channels import slack_answers
from tocsin.channels.addresses import HEADERS, TIMEOUT_S, key, split
from tocsin.channels.chat import ChatAddress, PaceRule, Reading
from tocsin.channels.limits import clean, cut, fit, isolate, utf16, web_url
from tocsin.channels.message import COLOURS, Line, Link, Message, Section, Span, SpanKind
from tocsin.errors import url_refused
from tocsin.model import MASK, Outcome, Request

_FORM = "https://hooks.slack.com/services/T…/B…/…"
# A path of Slack's own: what answers there knows blocks.
_OWN_PATH = re.compile(r"/services/[^/]+/[^/]+/[^/]+/?")
_MAX_BLOCKS = 50
_MAX_HEADER = 150
_MAX_SECTION = 3_000
_MAX_FIELDS = 10  # of a section
_MAX_CONTEXT = 1_000  # ours: it is one line of small print
# Ours: a value of more is no longer read in a chat, and Slack would fold the whole attachment. It takes 2,000.
_MAX_VALUE = 500
_MAX_LABEL = 80
_MAX_ICON = 16  # the longest emoji of a family has eleven
_MAX_URL = 2_000  # of a link; a longer one is not shown
# Ours, over all text of a message: Slack documents no sum, but refuses blocks somewhere beyond 13,000 characters
# (`msg_blocks_too_long`).
_MAX_ALL = 12_000
_MAX_FALLBACK = 500
# Marks of format, a quotation's, pictures by name, and addresses, which should not be clicked. One `_` between letters
# is no mark.
_MARKUP = re.compile(
    r"[*~`]|://|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])|^>|:(?:[+-]1|100|[0-9+'-]*[a-z_][0-9a-z_+'-]*):", re.MULTILINE
)
_NOTHING = "–"


class Slack:
    """Posts to incoming webhooks. What was posted cannot be changed: the answer does not name it."""

    name = "slack"
    hosts = frozenset({"hooks.slack.com", "hooks.slack-gov.com"})
    sample = "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"
    edits = False

    def parse(self, url: str) -> ChatAddress:
        parts = split(url, _FORM)
        path = parts.path.rstrip("/")
        own = f".{parts.hostname}".endswith(".slack.com")
        if own and path.startswith(("/triggers/", "/workflows/")):
            raise url_refused(
                f"a workflow takes variables, not messages; make an incoming webhook, which looks like {_FORM}"
            )
        if "/api/webhooks/" in path and path.endswith("/slack"):
            raise url_refused("this is Discord's; take the channel discord, and leave out /slack at the end")
        if not path:
            raise url_refused(f"the address names no webhook; it should look like {_FORM}")
        if own and not _OWN_PATH.fullmatch(path):
            raise url_refused(f"this is a page of Slack's, no incoming webhook, which looks like {_FORM}")
        before, _, _ = path.rpartition("/")
        shown = f"{parts.scheme}://{parts.netloc}{before}/{MASK}" + (f"?{MASK}" if parts.query else "")
        # "Rate limits": one message a second for each incoming webhook.
        return ChatAddress(
            url=url, shown=shown, dial=url, paces=(PaceRule(key=key("slack", url), count=1, window_s=1),)
        )

    def render(self, message: Message, to: ChatAddress, *, edit: str | None = None) -> Request:  # noqa: ARG002 - no edits
        knows_blocks = _OWN_PATH.fullmatch(split(to.url, _FORM).path) is not None
        attachment = _attachment(message) if knows_blocks else _older_attachment(message)
        body = {"attachments": [attachment], "unfurl_links": False, "unfurl_media": False, "link_names": False}
        return Request(method="POST", url=to.url, headers=HEADERS, body=orjson.dumps(body), timeout_s=TIMEOUT_S)

    def read(self, outcome: Outcome, request: Request, to: ChatAddress) -> Reading:  # noqa: ARG002 - the seam's
        return slack_answers.read(outcome, to)


# --- blocks ---------------------------------------------------------------------------------------------------------


def _attachment(message: Message) -> dict[str, Any]:
    last = _last_blocks(message)
    room = _MAX_ALL - _size(last) - _MAX_HEADER
    blocks: list[dict[str, Any]] = [{"type": "header", "text": _plain(_title(message))}]
    written = 0
    for block, lines in _content(message):
        size = _size(block)
        # One more has to fit: the word that there is more.
        if size > room or len(blocks) + len(last) + 1 >= _MAX_BLOCKS:
            break
        room -= size
        blocks.append(block)
        written += lines
    left_out = _count(message) - written
    if left_out:
        blocks.append({"type": "context", "elements": [_plain(f"… and {left_out:,} more")]})
    return {"color": _colour(message), "fallback": _fallback(message), "blocks": blocks + last}


def _content(message: Message) -> Iterator[tuple[dict[str, Any], int]]:
    """Blocks, and how many lines each holds."""
    if message.text:
        yield {"type": "section", "text": _text(message.text) or _plain(_NOTHING)}, 1
    else:
        yield from _fields(message.lines, None)
    for section in message.sections:
        yield from _fields(section.lines, _heading(section))


def _count(message: Message) -> int:
    """Of lines; a text, or a heading without lines, counts as one."""
    own = 1 if message.text else len(message.lines)
    return own + sum(max(1, len(section.lines)) for section in message.sections)


def _fields(lines: Sequence[Line], heading: dict[str, Any] | None) -> Iterator[tuple[dict[str, Any], int]]:
    for begin in range(0, len(lines), _MAX_FIELDS):
        some = lines[begin : begin + _MAX_FIELDS]
        block: dict[str, Any] = {"type": "section", "fields": [_field(line) for line in some]}
        if heading is not None and begin == 0:
            block["text"] = heading
        yield block, len(some)
    if not lines and heading is not None:
        yield {"type": "section", "text": heading}, 1


def _heading(section: Section) -> dict[str, Any]:
    heading = fit(section.heading, _MAX_HEADER, _escaped_size) or _NOTHING
    return _plain(heading) if _MARKUP.search(heading) else _mrkdwn(f"*{_escaped(heading)}*")


def _field(line: Line) -> dict[str, Any]:
    icon, label, value = _line(line)
    if _MARKUP.search(label) or _MARKUP.search(value):
        return _plain(f"{icon}{label}: {isolate(value)}")
    return _mrkdwn(f"{icon}*{_escaped(label)}:* {_escaped(isolate(value))}")


def _line(line: Line) -> tuple[str, str, str]:
    icon = fit(line.icon, _MAX_ICON)
    label = fit(line.label, _MAX_LABEL, _escaped_size) or _NOTHING
    value = fit(line.value, _MAX_VALUE, _escaped_size) or _NOTHING
    return f"{icon} " if icon else "", label, value


def _text(spans: Sequence[Span]) -> dict[str, Any] | None:
    """A template's text. With its marks, or, where a value in it could be read as one, as plain text."""
    pieces = _pieces(spans)
    if not "".join(span.text for span in pieces).strip():
        return None
    if any(map(_is_risky, pieces)):
        return _plain("".join(_spelled(span) for span in pieces).strip())
    return _mrkdwn("".join(_marked(span) for span in pieces).strip())


def _is_risky(span: Span) -> bool:
    if span.kind is SpanKind.CODE:
        return "`" in span.text
    return _MARKUP.search(span.text) is not None or (bool(span.url) and "|" in span.text)


def _pieces(spans: Sequence[Span]) -> list[Span]:
    """As many as fit into a section, the last one cut."""
    pieces: list[Span] = []
    room = _MAX_SECTION
    for span in spans:
        text = clean(span.text, lines=True, ends=True)
        url = web_url(span.url, _MAX_URL) if span.kind is SpanKind.LINK else None
        room -= 3 + (len(_escaped(url)) if url else 0)  # ``<url|text>``, ``text (url)``
        short = cut(text, room, _escaped_size)
        room -= _escaped_size(short)
        if short:
            pieces.append(Span(text=short, kind=span.kind, url=url or ""))
        if short != text:
            break
    return pieces


def _marked(span: Span) -> str:
    text = _escaped(span.text)
    inner = text.strip()
    if not inner or "\n" in inner:  # marks reach over no break
        return text
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    if span.kind is SpanKind.BOLD:
        return f"{before}*{inner}*{after}"
    if span.kind is SpanKind.CODE:
        return f"{before}`{inner}`{after}"
    if span.kind is SpanKind.LINK and span.url:
        return f"{before}<{_escaped(span.url)}|{inner}>{after}"
    return text


def _spelled(span: Span) -> str:
    return f"{span.text} ({span.url})" if span.url else span.text


def _last_blocks(message: Message) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if message.link is not None and (url := web_url(message.link.url, _MAX_URL)):
        blocks.append({"type": "section", "text": _link(message.link, url)})
    elements = [_mrkdwn(_date(message))]
    footer = fit(message.footer, _MAX_CONTEXT, _escaped_size)
    if footer:
        elements.insert(0, _plain(isolate(footer)))
    blocks.append({"type": "context", "elements": elements})
    return blocks


def _link(link: Link, url: str) -> dict[str, Any]:
    label = fit(link.label, _MAX_HEADER, _escaped_size) or url
    is_risky = _MARKUP.search(label) is not None or "|" in label
    return _plain(f"{label}: {url}") if is_risky else _mrkdwn(f"<{_escaped(url)}|{_escaped(label)}>")


def _date(message: Message) -> str:
    """In the reader's own zone, where their Slack knows it."""
    seconds = message.at // 1000
    return f"<!date^{seconds}^{{date_short_pretty}} {{time}}|{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC>"


# --- for those who know no blocks -------------------------------------------------------------------------------------


def _older_attachment(message: Message) -> dict[str, Any]:
    """The fields that attachments had before blocks: what Mattermost, Rocket.Chat and others take.

    They read Markdown of their own kinds in it, mentions too. None can be escaped in all of them: mentions, links
    and addresses are broken by a zero-width space.
    """
    room = _MAX_ALL - _MAX_HEADER - _MAX_CONTEXT
    fields: list[dict[str, Any]] = []
    for label, value, is_short in _older_fields(message):
        room -= _escaped_size(label) + _escaped_size(value)
        if room < 0 or len(fields) == _MAX_BLOCKS:
            break
        fields.append({"title": _broken(label), "value": _broken(isolate(value)), "short": is_short})
    left_out = (0 if message.text else len(message.lines)) + len(message.sections) - len(fields)
    text = _broken(cut("".join(_spelled(span) for span in _cleaned(message.text)), _MAX_SECTION, _escaped_size))
    if left_out:
        fields.append({"title": "…", "value": f"and {left_out:,} more", "short": False})
    attachment = {
        "color": _colour(message),
        "fallback": _fallback(message),
        "title": _broken(_title(message)),
        "text": text,
        "fields": fields,
        "footer": _broken(fit(message.footer, 300, _escaped_size)),  # "Secondary message attachments": 300
        "ts": message.at // 1000,
    }
    if message.link is not None and (url := web_url(message.link.url, _MAX_URL)):
        attachment["title_link"] = url
    return attachment


def _older_fields(message: Message) -> Iterator[tuple[str, str, bool]]:
    for line in () if message.text else message.lines:
        icon, label, value = _line(line)
        yield icon + label, value, True
    for section in message.sections:
        lines = ("{}{}: {}".format(*_line(line)) for line in section.lines[:_MAX_BLOCKS])
        yield (
            clean(section.heading)[:_MAX_HEADER] or _NOTHING,
            cut("\n".join(lines), _MAX_SECTION, _escaped_size),
            False,
        )


def _cleaned(spans: Sequence[Span]) -> list[Span]:
    return [
        Span(
            text=clean(span.text, lines=True, ends=True),
            url=(web_url(span.url, _MAX_URL) or "") if span.kind is SpanKind.LINK else "",
        )
        for span in spans
    ]


def _broken(text: str) -> str:
    return _escaped(text.replace("@", "@\u200b").replace("](", "]\u200b(").replace("://", ":\u200b//"))


def _size(part: Any) -> int:
    """Of all text in blocks or pieces of them."""
    if isinstance(part, dict):
        return sum(
            utf16(value) if name == "text" and isinstance(value, str) else _size(value) for name, value in part.items()
        )
    return sum(map(_size, part)) if isinstance(part, list) else 0


# --- text -------------------------------------------------------------------------------------------------------------


def _title(message: Message) -> str:
    return fit(f"{fit(message.icon, _MAX_ICON)} {message.title}", _MAX_HEADER, _escaped_size) or _NOTHING


def _fallback(message: Message) -> str:
    """What a notification shows, and a screen reader reads."""
    if message.text:
        rest = fit("".join(span.text for span in message.text), _MAX_FALLBACK)
    else:  # more would not fit
        rest = ", ".join(f"{label}: {value}" for _, label, value in map(_line, message.lines[:_MAX_FIELDS]))
    return _escaped(cut(f"{_title(message)} {rest}".strip(), _MAX_FALLBACK, _escaped_size))


def _colour(message: Message) -> str:
    return f"#{COLOURS[message.tone]:06x}"


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": _escaped(text), "emoji": False}


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _escaped_size(text: str) -> int:
    return utf16(_escaped(text))
