"""Discord: a webhook takes a message whose colour, lines and footer stand in an embed.

Sources, by their titles in Discord's developer documentation: "Webhook Resource", "Message Resource" (embed limits,
allowed mentions), "API Reference" (user agent, message formatting), "Rate Limits".

Markdown is escaped by backslashes, which Discord takes out before anything but letters, digits and blanks. Addresses
are escaped too: what came from outside should not be clicked. Characters are counted in UTF-16 units, after escaping:
never fewer than Discord counts.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from tocsin import __version__
from tocsin.channels import discord_answers
from tocsin.channels.addresses import TIMEOUT_S, key, split
from tocsin.channels.chat import ChatAddress, PaceRule, Reading
from tocsin.channels.limits import ELLIPSIS, clean, cut, fit, isolate, utf16, web_url
from tocsin.channels.message import COLOURS, Line, Message, Section, Span, SpanKind
from tocsin.clock import rfc3339
from tocsin.errors import url_refused
from tocsin.model import MASK, Outcome, Request

_FORM = "https://discord.com/api/webhooks/{ID}/{TOKEN}"
# `/api` may have a version. A proxy of one's own may put something before it.
_PATH = re.compile(r"(?P<before>(?:/[A-Za-z0-9._~-]+)*)/webhooks/(?P<id>[0-9]{1,20})/(?P<token>[A-Za-z0-9_-]{1,128})/?")
_OTHER_FORMS = re.compile(r".*/webhooks/[^/]+/[^/]+/(?P<form>slack|github)/?")
_QUERY = re.compile(r"(?P<name>thread_id|wait)=(?P<value>[0-9a-z]{1,20})", re.IGNORECASE)
# "API Reference": `DiscordBot ($url, $versionNumber)`; others may be answered by Cloudflare.
_HEADERS = (("Content-Type", "application/json"), ("User-Agent", f"DiscordBot (Tocsin, {__version__})"))

_MAX_TITLE = 256
_MAX_DESCRIPTION = 4_096
_MAX_FIELDS = 25
_MAX_NAME = 256
_MAX_VALUE = 1_024
_MAX_ALL = 6_000
_MAX_ICON = 16  # ours: the longest emoji of a family has eleven
_MAX_LABEL = 128  # ours
_MAX_LINE = 500  # ours: a value of more is no longer read in a chat
_MAX_SMALL_PRINT = 256  # ours
_MAX_URL = 1_024  # ours: of a link, so that its line leaves room for others
_MORE = 32  # the word that there is more
_NOTHING = "–"

_MARKS = re.compile(r"[\\*_~|`\[\]<>@]|:(?=//)")
# What begins a line: headings, small print, lists. A quotation's `>` is a mark anywhere.
_BEGINNINGS = re.compile(r"^(\s*[0-9]*)([#+-]|(?<=[0-9])\.)(?=[\s#])", re.MULTILINE)
_COSTS = re.compile(r"[\\*_~|`\[\]<>@:\n]")


class Discord:
    """Posts to webhooks, waits for the message, and can change it."""

    name = "discord"
    hosts = frozenset({"discord.com", "discordapp.com", "canary.discord.com", "ptb.discord.com"})
    sample = f"https://discord.com/api/webhooks/100000000000000000/{'X' * 68}"
    edits = True

    def parse(self, url: str) -> ChatAddress:
        parts = split(url, _FORM)
        found = _PATH.fullmatch(parts.path)
        if found is None:
            other = _OTHER_FORMS.fullmatch(parts.path)
            if other is not None:
                raise url_refused(
                    f"leave out /{other['form']} at the end: messages go out in Discord's own form, {_FORM}"
                )
            raise url_refused(f"this is no address of a Discord webhook, which looks like {_FORM}")
        base = f"{parts.scheme}://{parts.netloc}{found['before']}/webhooks/{found['id']}"
        thread = _thread(parts.query)
        query = f"?thread_id={thread}" if thread else ""
        hook = (found["id"], found["token"])
        return ChatAddress(
            url=f"{base}/{found['token']}{query}",
            shown=f"{base}/{MASK}{query}",
            dial=f"{base}/{found['token']}",
            paces=(
                # One a second in a chat is what people can follow. Discord documents no figure, but that its headers
                # tell (they show 5 in 2 s for a webhook); 30 a minute in a channel is what its engineers have said.
                PaceRule(key=key("discord", *hook), count=1, window_s=1),
                PaceRule(key=key("discord-minute", *hook), count=30, window_s=60),
                # "Rate Limits": 50 requests a second, of an IP address where no bot is named.
                PaceRule(key=key("discord-host", parts.netloc), count=50, window_s=1),
            ),
        )

    def render(self, message: Message, to: ChatAddress, *, edit: str | None = None) -> Request:
        base, _, query = to.url.partition("?")
        body = {"embeds": [_embed(message)], "allowed_mentions": {"parse": []}}
        if edit is None:
            method, url = "POST", f"{base}?wait=true" + (f"&{query}" if query else "")
        else:
            method, url = "PATCH", f"{base}/messages/{edit}" + (f"?{query}" if query else "")
        return Request(method=method, url=url, headers=_HEADERS, body=orjson.dumps(body), timeout_s=TIMEOUT_S)

    def read(self, outcome: Outcome, request: Request, to: ChatAddress) -> Reading:
        return discord_answers.read(outcome, to, is_edit=request.method == "PATCH")


def _thread(query: str) -> str | None:
    thread = None
    for item in query.split("&") if query else ():
        found = _QUERY.fullmatch(item)
        is_thread = found is not None and found["name"].lower() == "thread_id"
        if found is None or (is_thread and not found["value"].isdigit()):
            raise url_refused(
                f"of what stands after the ? only thread_id is taken, a number; it should look like {_FORM}"
            )
        if is_thread:
            thread = found["value"]
    return thread


# --- the embed ------------------------------------------------------------------------------------------------------


def _embed(message: Message) -> dict[str, Any]:
    """Title, link and footer have their room first, then the text, the lines and the summaries, as far as it goes."""
    title = _fit(f"{fit(message.icon, _MAX_ICON)} {message.title}", _MAX_TITLE) or _NOTHING
    embed: dict[str, Any] = {"title": title, "color": COLOURS[message.tone], "timestamp": rfc3339(message.at)}
    room = _MAX_ALL - utf16(title) - _MORE
    footer = fit(message.footer, _MAX_SMALL_PRINT - 2)  # shown as it is: no Markdown there
    if footer:
        embed["footer"] = {"text": isolate(footer)}
        room -= utf16(embed["footer"]["text"])
    link = _link(message)
    text = _text(message.text, min(_MAX_DESCRIPTION, room) - utf16(link) - 2)
    description = f"{text}\n\n{link}" if text and link else text or link
    if description:
        embed["description"] = description
        room -= utf16(description)
    fields: list[dict[str, Any]] = []
    written = 0
    wanted = (0 if message.text else len(message.lines)) + len(message.sections)
    most = _MAX_FIELDS if wanted <= _MAX_FIELDS else _MAX_FIELDS - 1  # and the word that there is more
    for field, lines in _fields(message):
        size = utf16(field["name"]) + utf16(field["value"])
        if size > room or len(fields) == most:
            break
        room -= size
        fields.append(field)
        written += lines
    left_out = _count(message) - written
    if left_out:
        fields.append({"name": ELLIPSIS, "value": f"and {left_out:,} more", "inline": False})
    if fields:
        embed["fields"] = fields
    return embed


def _count(message: Message) -> int:
    own = 0 if message.text else len(message.lines)
    return own + sum(max(1, len(section.lines)) for section in message.sections)


def _fields(message: Message) -> Iterator[tuple[dict[str, Any], int]]:
    """Fields, and how many lines each holds."""
    for line in () if message.text else message.lines:
        label, value = _line(line)
        yield {"name": label, "value": value, "inline": True}, 1
    for section in message.sections:
        yield _section(section)


def _section(section: Section) -> tuple[dict[str, Any], int]:
    """As one field, of the lines that it can hold."""
    rows: list[str] = []
    room = _MAX_VALUE - _MORE
    for line in section.lines:
        label, value = _line(line)
        row = f"**{label}:** {value}"
        room -= utf16(row) + 1
        if room < 0:
            break
        rows.append(row)
    left_out = len(section.lines) - len(rows)
    if left_out:
        rows.append(f"… and {left_out:,} more")
    name = _fit(section.heading, _MAX_NAME) or _NOTHING
    return {"name": name, "value": "\n".join(rows) or _NOTHING, "inline": False}, max(1, len(section.lines))


def _line(line: Line) -> tuple[str, str]:
    label = _fit(f"{fit(line.icon, _MAX_ICON)} {line.label}", _MAX_LABEL) or _NOTHING
    value = _fit(line.value, _MAX_LINE) or _NOTHING
    return label, isolate(value)


def _link(message: Message) -> str:
    """Its own line; its label cannot end it, nor can its address."""
    if message.link is None:
        return ""
    url = web_url(message.link.url, _MAX_URL)
    label = _fit(message.link.label, _MAX_TITLE)
    return f"[{label or 'Open'}]({url})" if url else ""


# --- a template's text ------------------------------------------------------------------------------------------------


def _text(spans: Sequence[Span], room: int) -> str:
    """As much of it as fits, the last piece cut."""
    written: list[str] = []
    for span in spans:
        text = clean(span.text, lines=True, ends=True)
        url = web_url(span.url, _MAX_URL) if span.kind is SpanKind.LINK else None
        room -= 6 + (len(url) if url else 0)  # ``**text**``, ``[text](url)``, one for a beginning
        short = cut(text, room, _size)
        if short:
            room -= _size(short)
            written.append(_marked(short, span.kind, url))
        if short != text:
            break
    return "".join(written).strip()


def _marked(text: str, kind: SpanKind, url: str | None) -> str:
    inner = text.strip()
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    if not inner:
        return text
    if kind is SpanKind.CODE and "`" not in inner:
        return f"{before}`{inner}`{after}"
    if kind is SpanKind.BOLD:
        return f"{before}**{_escaped(inner)}**{after}"
    if url:
        return f"{before}[{_escaped(clean(inner))}]({url}){after}"
    return _escaped(text)


def _escaped(text: str) -> str:
    return _BEGINNINGS.sub(r"\1\\\2", _MARKS.sub(r"\\\g<0>", text))


def _fit(text: str, units: int) -> str:
    """One line, cleaned, escaped and within so many units."""
    return _escaped(fit(text, units - 1, _size))


def _size(text: str) -> int:
    """At most what `_escaped` makes of it, but for one more where the first line begins like a list."""
    return utf16(text) + len(_COSTS.findall(text))
