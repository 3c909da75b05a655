"""Telegram: a bot writes to a person, a group or a channel through the Bot API, of Telegram or of a host of one's own.

Figures: core.telegram.org/bots/api (`sendMessage`, `ResponseParameters`) and core.telegram.org/bots/faq.
"""

import html
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import orjson

from tocsin.channels.addresses import HEADERS, TIMEOUT_S, key
from tocsin.channels.chat import ChatAddress, PaceRule, Reading
from tocsin.channels.limits import ELLIPSIS, clean, cut, isolate, utf16, web_url
from tocsin.channels.markup import cleaned
from tocsin.channels.message import Message, Span, SpanKind
from tocsin.channels.telegram_answers import read
from tocsin.errors import Invalid, url_refused
from tocsin.model import MASK, Outcome, Request

MAX_TEXT = 4_096  # UTF-16 units, once tags and entities are taken out
# Telegram formats the first 100 entities of a message: title, link and footer are three.
_MAX_ROWS = 60  # each has one entity, its label
_MAX_MARKS = 35

_FORM = "https://api.telegram.org/bot{TOKEN}/sendMessage?chat_id={ID}"
_OFFICIAL = "api.telegram.org"
_PATH = re.compile(r"(?P<before>[A-Za-z0-9/._~-]*)/bot(?P<token>[^/]+)(?P<test>/test)?/sendMessage/?", re.IGNORECASE)
# As @BotFather gives them: the bot's id, then 35 characters. Servers of one's own may have others.
_TOKEN = re.compile(r"[0-9]{3,20}:[A-Za-z0-9_-]{30,64}")
_ANY_TOKEN = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{1,128}")
_CHAT_NUMBER = re.compile(r"-?[1-9][0-9]{0,15}")  # at most 52 significant bits
_CHAT_NAME = re.compile(r"@[A-Za-z][A-Za-z0-9_]{3,31}")
# What an address may say beside the token, its chat first.
PARAMETERS = ("chat_id", "message_thread_id", "disable_notification")
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_SET_HERE = frozenset({"text", "parse_mode", "entities", "link_preview_options", "disable_web_page_preview"})

# The longest that a value may be, tried in this order until the whole fits: a line that is cut tells more than one that
# is left out.
_VALUES = (512, 256, 128, 64)
_TITLE = 256
_LABEL = 128
_LINKS_BYTES = 4_096  # of all links of a message together: far beyond, Telegram answers ENTITIES_TOO_LONG
# What Telegram makes live by itself, in any text: @names (whom it calls), #tags, $TAGS, /commands, addresses and names
# of hosts. A word joiner, which is not seen, comes between: none of TDLib's patterns goes on over it.
_LIVE = re.compile(r"(?<![A-Za-z0-9_])[@#/](?=\w)|\$(?=[A-Z])|(?<=[\w-])\.(?=[^\W\d_]{2})|:(?=//)")
_APART = "\u2060"


class _Address(msgspec.Struct, frozen=True, kw_only=True):
    base: str  # before "/bot"
    token: str
    test: str  # "/test" of Telegram's test servers, else ""
    chat: str
    thread: int | None
    silent: bool | None

    @property
    def query(self) -> str:
        said = f"chat_id={self.chat}"
        if self.thread is not None:
            said += f"&message_thread_id={self.thread}"
        if self.silent is not None:
            said += f"&disable_notification={str(self.silent).lower()}"
        return said

    def method(self, name: str, token: str | None = None) -> str:
        return f"{self.base}/bot{token or self.token}{self.test}/{name}"

    @property
    def url(self) -> str:
        return f"{self.method('sendMessage')}?{self.query}"


class Telegram:
    """The channel `telegram`: a JSON POST of `sendMessage`, in Telegram's HTML."""

    name = "telegram"
    hosts = frozenset({_OFFICIAL})
    sample = f"https://api.telegram.org/bot123456:{'A' * 35}/sendMessage?chat_id=1"
    edits = True

    def parse(self, url: str) -> ChatAddress:
        address = _take_apart(url)
        of_chat = (address.token, address.chat.lower())
        # The FAQ's figures: 30 messages a second of a bot, one a second in a chat, 20 a minute in a group. Channels are
        # treated alike; a public @name may be of either.
        paces = [
            PaceRule(key=key("telegram-bot", address.token), count=30, window_s=1.0),
            PaceRule(key=key("telegram-chat", *of_chat), count=1, window_s=1.0),
        ]
        if address.chat[0] in "-@":
            paces.append(PaceRule(key=key("telegram-group", *of_chat), count=20, window_s=60.0))
        return ChatAddress(
            url=address.url,
            shown=f"{address.method('sendMessage', token=MASK)}?{address.query}",
            dial=address.base + "/",
            paces=tuple(paces),
        )

    def render(self, message: Message, to: ChatAddress, *, edit: str | None = None) -> Request:
        address = _take_apart(to.url)
        body: dict[str, Any] = {
            "chat_id": address.chat if address.chat.startswith("@") else int(address.chat),
            "text": text_of(message),
            "parse_mode": "HTML",
            "link_preview_options": {"is_disabled": True},
        }
        if edit is not None:
            body["message_id"] = int(edit)
        else:
            if address.thread is not None:
                body["message_thread_id"] = address.thread
            if address.silent is not None:
                body["disable_notification"] = address.silent
        return Request(
            method="POST",
            url=address.method("sendMessage" if edit is None else "editMessageText"),
            headers=HEADERS,
            body=orjson.dumps(body),
            timeout_s=TIMEOUT_S,
        )

    def read(self, outcome: Outcome, request: Request, to: ChatAddress) -> Reading:
        address = _take_apart(to.url)

        def moved(chat: int) -> str | None:
            """The same address with the chat's new id; None where it is the old one."""
            there = msgspec.structs.replace(address, chat=str(chat)).url
            return None if there == to.url else there

        return read(outcome, request, tuple(pace.key for pace in to.paces), hidden=address.token, moved=moved)


# --- the address --------------------------------------------------------------------------------------------------


def _take_apart(url: str) -> _Address:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _refused("this is no address") from None
    host = (parts.hostname or "").lower()
    if parts.scheme.lower() not in {"https", "http"} or not host:
        hint = "; a bot cannot write to a link of t.me, but to the chat's id" if "t.me/" in url else ""
        raise _refused(f"it begins with https:// and a host{hint}")
    if host in {"t.me", "telegram.me", "telegram.org", "web.telegram.org"}:
        raise _refused(f"{host} is for people; bots write through {_OFFICIAL}")
    if parts.fragment:
        raise _refused("it has no part behind a #")
    path = parts.path.replace("%3A", ":").replace("%3a", ":")
    found = _PATH.fullmatch(path)
    if found is None:
        if re.match(r"/[0-9]+:", path):
            raise _refused("the word bot stands right before the token, and /sendMessage behind it")
        raise _refused("its path is /bot, the token at once behind it, then /sendMessage")
    token = found["token"]
    if not (_TOKEN if host == _OFFICIAL else _ANY_TOKEN).fullmatch(token):
        raise _refused("the token is not as @BotFather gives it: digits, a colon, then 35 letters and digits")
    scheme, netloc = parts.scheme.lower(), parts.netloc.lower()
    given = _query(parts.query)
    return _Address(
        base=f"{scheme}://{netloc}{found['before']}",
        token=token,
        test=(found["test"] or "").lower(),
        chat=_chat(given.get("chat_id")),
        thread=_thread(given.get("message_thread_id")),
        silent=_silent(given.get("disable_notification")),
    )


def _query(query: str) -> dict[str, str]:
    given: dict[str, str] = {}
    # A + is no blank here: nothing that is taken holds one.
    for name, value in parse_qsl(query.replace("+", "%2B"), keep_blank_values=True):
        if name in _SET_HERE:
            raise _refused(f"{name} is set for each message; leave it out")
        if name not in PARAMETERS:
            raise _refused(
                f"{clean(name)[:40]!r} is not taken: chat_id, message_thread_id and disable_notification are; "
                "leave the rest out"
            )
        if name in given:
            raise _refused(f"{name} stands there twice")
        given[name] = value.strip()
    return given


def _chat(given: str | None) -> str:
    if not given:
        raise _refused("chat_id is missing: the number of the chat, or the @name of a public group or channel")
    if not _CHAT_NUMBER.fullmatch(given) and not _CHAT_NAME.fullmatch(given):
        raise _refused(
            "chat_id is a number, such as 123456789 of a person or -1001234567890 of a group, or the @name of a public "
            "group or channel"
        )
    return given


def _thread(given: str | None) -> int | None:
    if given is None:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,15}", given):
        raise _refused("message_thread_id is the number of a topic")
    return int(given)


def _silent(given: str | None) -> bool | None:
    if given is None:
        return None
    if given.lower() not in _TRUTH:
        raise _refused("disable_notification is true or false")
    return _TRUTH[given.lower()]


def _refused(why: str) -> Invalid:
    return url_refused(f"{why}; write {_FORM}")


# --- the text -----------------------------------------------------------------------------------------------------


class _Piece(msgspec.Struct, frozen=True):
    """A part of the text: as it is sent, and how many units of it are read."""

    html: str
    units: int

    def __add__(self, other: "_Piece") -> "_Piece":
        return _Piece(self.html + other.html, self.units + other.units)


_NOTHING = _Piece("", 0)
_BREAK = _Piece("\n", 1)
_EMPTY_LINE = _Piece("\n\n", 2)


def text_of(message: Message) -> str:
    """The message in Telegram's HTML, within all limits: never empty, never cut within a tag, entity or grapheme."""
    icon = _text(clean(message.icon), 16)
    title = _join([icon, _tagged("b", message.title, _TITLE)], " ")
    head = title if title.units else _text("🔔", 2)
    tail = _NOTHING
    links = [_LINKS_BYTES]
    if message.link is not None:
        tail += _EMPTY_LINE + _linked(_isolated(message.link.label, _LABEL), message.link.url, links)
    if message.footer:
        tail += (_BREAK if tail.units else _EMPTY_LINE) + _tagged("i", message.footer, _TITLE)
    room = MAX_TEXT - head.units - tail.units
    body = _spans(message.text, room - _EMPTY_LINE.units, links)
    if body.units:
        body = _EMPTY_LINE + body
    rest = _fitted(list(_rows(message)), room - body.units)
    return (head + body + rest + tail).html


class _Row(msgspec.Struct, frozen=True):
    """A line, but for its value's length."""

    before: _Piece  # the break, icon and label
    value: str  # cleaned, nothing live in it

    def cut_to(self, units: int) -> _Piece:
        said = _wrapped("", isolate(cut(self.value, units - 2)))
        return self.before + (_Piece(" ", 1) + said if said.units else said)


def _rows(message: Message) -> Iterator[_Row]:
    for number, line in enumerate(message.lines):
        yield _row(_BREAK if number else _EMPTY_LINE, line.icon, line.label, line.value)
    for section in message.sections:
        yield _row(_EMPTY_LINE, "", section.heading, "")
        for line in section.lines:
            yield _row(_BREAK, line.icon or "•", line.label, line.value)


def _row(before: _Piece, icon: str, label: str, value: str) -> _Row:
    said = cut(_dead(_cleaned(value, _VALUES[0])), _VALUES[0])
    named = _tagged("b", f"{_cleaned(label, _LABEL)}:" if said and label else label, _LABEL)
    return _Row(before + _join([_text(clean(icon), 16), named], " "), said)


def _fitted(rows: list[_Row], room: int) -> _Piece:
    """All rows where they fit with their values shortened; else the first ones, and how many more there are."""
    shown = rows[:_MAX_ROWS]
    pieces: list[_Piece] = []
    for units in _VALUES:
        pieces = [row.cut_to(units) for row in shown]
        if len(shown) == len(rows) and sum(piece.units for piece in pieces) <= room:
            return sum(pieces, _NOTHING)
    taken = _NOTHING
    for number, piece in enumerate(pieces):
        left = _text(f"\n… +{len(rows) - number}", 16)
        if taken.units + piece.units > room - left.units:
            return taken + left if taken.units + left.units <= room else taken
        taken += piece
    return taken + _text(f"\n… +{len(rows) - len(shown)}", 16)


def _spans(spans: tuple[Span, ...], room: int, links: list[int]) -> _Piece:
    taken = _NOTHING
    marks = _MAX_MARKS
    for span in cleaned(spans):
        left = room - taken.units
        text = span.text if span.kind is SpanKind.CODE else _dead(span.text)
        fitting = cut(text, left)
        kind = span.kind if marks > 0 else SpanKind.TEXT
        if kind is SpanKind.LINK:
            taken += _linked(fitting, span.url, links)
        else:
            taken += _wrapped({SpanKind.BOLD: "b", SpanKind.CODE: "code"}.get(kind, ""), fitting)
        if fitting != text:
            break
        marks -= kind is not SpanKind.TEXT
    return taken


def _join(pieces: list[_Piece], between: str) -> _Piece:
    some = [piece for piece in pieces if piece.units]
    return _Piece(between.join(piece.html for piece in some), sum(p.units for p in some) + max(len(some) - 1, 0))


def _tagged(tag: str, text: str, limit: int) -> _Piece:
    return _wrapped(tag, _isolated(text, limit))


def _isolated(text: str, limit: int) -> str:
    """Cleaned and cut, nothing live in it; with what keeps right-to-left text in its place."""
    return isolate(cut(_dead(_cleaned(text, limit)), limit - 2))


def _cleaned(text: str, units: int) -> str:
    """Text without what is not seen; of text without end, no more is looked at than could be shown."""
    most = units * 8
    return clean(text if len(text) <= most else text[:most] + ELLIPSIS)


def _dead(text: str) -> str:
    return _LIVE.sub(lambda found: found[0] + _APART, text)


def _linked(label: str, url: str, links: list[int]) -> _Piece:
    """A link, or its label alone where the address is none or the links have become too much."""
    target = web_url(url, links[0]) if label else None
    if target is None:
        return _wrapped("", label)
    links[0] -= len(target)
    return _Piece(f'<a href="{html.escape(target)}">{_escaped(label)}</a>', utf16(label))


def _text(text: str, limit: int) -> _Piece:
    return _wrapped("", cut(text, limit))


def _wrapped(tag: str, text: str) -> _Piece:
    if not text:
        return _NOTHING
    inner = _escaped(text)
    return _Piece(f"<{tag}>{inner}</{tag}>" if tag and text.strip() else inner, utf16(text))


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)
