"""Telegram's Bot API (core.telegram.org/bots/api), as far as alerts make use of it."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl

import msgspec

from tocsin.receiver.doubles.double import Double, Failure, Request, Ruling, json_reply
from tocsin.receiver.doubles.history import Shown
from tocsin.receiver.doubles.pacing import Window
from tocsin.receiver.doubles.telegram_errors import ERRORS, MIGRATED_TO, failure, migrated
from tocsin.receiver.doubles.telegram_html import Formatted, Unreadable, parse, units
from tocsin.receiver.doubles.telegram_view import blocks_seen

MAX_ENTITIES = 100  # of a message; further ones are left out, not refused
MAX_TEXT = 4_096  # UTF-16 units, the tags taken out

# "My bot is hitting limits" of core.telegram.org/bots/faq has one a second to a chat, with short bursts beyond it (how
# short is not said: five at once here, and never more than five seconds are worth), twenty a minute to a group, and
# thirty a second to all chats together.
CHAT_PACE = Window(5, 5.0)
GROUP_PACE = Window(20, 60.0)
BOT_PACE = Window(30, 1.0)

_PATH = re.compile(r"/bot(?P<token>[^/]*)/(?P<method>[A-Za-z]+)")
_TOKEN = re.compile(r"[0-9]+:[A-Za-z0-9_-]{35}")
# What the Bot API takes out of any text: controls become spaces; direction overrides and some stacking marks go.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f]")
_TAKEN_OUT = re.compile(r"[\r\u2028-\u202e\u0333\u033f\u030a]")

ChatType = Literal["private", "group", "supergroup", "channel"]


class Chat(msgspec.Struct, frozen=True, omit_defaults=True):
    """As the Bot API shows it: people have a first name, all else a title."""

    id: int
    type: ChatType
    title: str = ""
    first_name: str = ""

    @property
    def shown(self) -> str:
        return self.title or self.first_name


class _Denied(Exception):
    def __init__(self, name: str, failure: Failure | None = None, *, retry_after: float | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.failure = failure or ERRORS[name]
        self.retry_after = retry_after


class TelegramDouble(Double):
    """One bot, and the chats that it may write to: a person's from the start, others that `chat` makes."""

    service: ClassVar[str] = "telegram"
    name: ClassVar[str] = "Telegram"
    title: ClassVar[str] = "Tocsin"
    ERRORS: ClassVar[Mapping[str, Failure]] = ERRORS

    # Its token: of the right form, and plainly nobody's.
    bot: ClassVar[str] = "110200300:AA_a_double_of_Telegram_on_your_own"

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._me = {
            "id": int(self.bot.partition(":")[0]),
            "is_bot": True,
            "first_name": "Tocsin",
            "username": "tocsin_bot",
        }
        self._chats: dict[int, Chat] = {}
        self._gone: dict[int, int] = {}  # groups that have become supergroups
        self._sent: dict[tuple[int, int], tuple[Shown, Formatted]] = {}
        self._count = 0
        self._person = self.chat("private", "Alex")

    @property
    def address(self) -> str:
        return self.address_of(self._person)

    def address_of(self, chat_id: int) -> str:
        return self._host.url(f"/bot{self.bot}/sendMessage?chat_id={chat_id}")

    def chat(self, kind: ChatType, title: str) -> int:
        """Makes a chat in which the bot may write; its id, of the form that Telegram gives to such chats."""
        n = len(self._chats) + len(self._gone) + 1
        id_ = {"private": 700_000_000 + n, "group": -4_000_000_000 - n}.get(kind, -1_001_000_000_000 - n)
        self._chats[id_] = Chat(id_, kind, first_name=title) if kind == "private" else Chat(id_, kind, title=title)
        return id_

    def migrate(self, chat_id: int) -> int:
        """Makes a supergroup of a group: from now on it is to be had by the id that is returned only."""
        group = self._chats.pop(chat_id)
        moved = self.chat("supergroup", group.shown)
        self._gone[chat_id] = moved
        return moved

    def fail_with(self, name: str, times: int | None = 1, *, retry_after: float | None = None) -> None:
        super().fail_with(name, times, retry_after=retry_after)
        if name == "migrated":
            self._chats[MIGRATED_TO] = Chat(MIGRATED_TO, "supergroup", title="Moved")

    # --- requests ---------------------------------------------------------------------------------------------------

    def rule(self, request: Request) -> Ruling:
        found = _PATH.fullmatch(request.path)
        if found is None or not _TOKEN.fullmatch(found["token"]):
            return self.failing("not_found")
        if found["token"] != self.bot:
            return self.failing("unauthorized")
        methods = {
            "getme": lambda _: self._me,
            "getchat": self._get_chat,
            "sendmessage": self._send,
            "editmessagetext": self._edit,
        }
        method = methods.get(found["method"].lower())  # names of methods are not case-sensitive
        if method is None or request.method not in ("GET", "POST"):
            return self.failing("method_not_found")
        try:
            given = _parameters(request)
            result = method(given | {"": request})
        except _Denied as denied:
            row = denied.failure
            return Ruling(reply=row.reply(denied.retry_after), name=denied.name, why=row.meaning)
        return Ruling(reply=json_reply(200, {"ok": True, "result": result}))

    def _get_chat(self, given: Mapping[str, Any]) -> Any:
        return self._chat_of(given)

    def _send(self, given: Mapping[str, Any]) -> Any:
        message = _formatted(given)
        chat = self._chat_of(given)
        self._may_write(chat)
        if units(message.text) > MAX_TEXT:
            raise _Denied("too_long")
        self._count += 1
        shown = self.take(
            Shown(
                id=str(self._count),
                at=self.now(),
                chat=chat.shown,
                sender="Tocsin",
                blocks=blocks_seen(message),
                raw=given[""].raw,
            )
        )
        self._sent[chat.id, self._count] = (shown, message)
        while len(self._sent) > self.history.kept:  # what nobody sees any more cannot be edited
            del self._sent[next(iter(self._sent))]
        return self._result(chat, shown, message)

    def _edit(self, given: Mapping[str, Any]) -> Any:
        message = _formatted(given)
        chat = self._chat_of(given)
        which = str(given.get("message_id") or "")
        if not which.isdecimal():
            raise _Denied("no_message_id")
        known = self._sent.get((chat.id, int(which)))
        if known is None:
            raise _Denied("edit_not_found")
        self._may_write(chat)
        shown, before = known
        if units(message.text) > MAX_TEXT:
            raise _Denied("too_long")
        if message == before:
            raise _Denied("not_modified")
        self.history.edit(shown, at=self.now(), blocks=blocks_seen(message), raw=given[""].raw)
        self._sent[chat.id, int(which)] = (shown, message)
        return self._result(chat, shown, message) | {"edit_date": self.now() // 1000}

    def _result(self, chat: Chat, shown: Shown, message: Formatted) -> dict[str, Any]:
        result: dict[str, Any] = {
            "message_id": int(shown.id),
            "from": self._me,
            "chat": chat,
            "date": shown.at // 1000,
            "text": message.text,
        }
        return result | ({"entities": message.entities} if message.entities else {})

    def _chat_of(self, given: Mapping[str, Any]) -> Chat:
        named = str(given.get("chat_id") or "").strip()
        if not named:
            raise _Denied("chat_id_empty")
        try:
            id_ = int(named)
        except ValueError:
            raise _Denied("chat_not_found") from None
        if id_ in self._gone:
            raise _Denied("migrated", migrated(self._gone[id_]))
        if id_ not in self._chats:
            raise _Denied("chat_not_found")
        return self._chats[id_]

    def _may_write(self, chat: Chat) -> None:
        limits = [(f"chat {chat.id}", CHAT_PACE), ("bot", BOT_PACE)]
        if chat.id < 0:
            limits.append((f"group {chat.id}", GROUP_PACE))
        if self.rate_limits:
            wait_s, _ = self._pace.wait_s(limits)
            if wait_s:
                raise _Denied("too_many_requests", retry_after=max(wait_s, 1))
        self._pace.take(limits)


def _parameters(request: Request) -> dict[str, Any]:
    """Of the query, and of a form or a JSON object."""
    given: dict[str, Any] = dict(parse_qsl(request.query, keep_blank_values=True))
    if request.content_type == "application/json":
        if request.body:
            try:
                body = msgspec.json.decode(request.body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise _Denied("bad_json") from None
            if not isinstance(body, dict):
                raise _Denied("bad_json")
            given |= body
    elif request.content_type == "application/x-www-form-urlencoded":
        given |= dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
    return given


def _formatted(given: Mapping[str, Any]) -> Formatted:
    text = given.get("text")
    if not isinstance(text, str) or not text:
        raise _Denied("text_empty")
    mode = str(given.get("parse_mode") or "").lower()
    if mode not in ("", "html", "none"):
        raise _Denied("bad_parse_mode")
    text = _TAKEN_OUT.sub("", _CONTROLS.sub(" ", text.replace("\r", "")))
    if mode == "html":
        try:
            message = parse(text)
        except Unreadable as error:
            description = f"Bad Request: can't parse entities: {error}"
            raise _Denied("cannot_parse", failure(400, description, str(error))) from None
    else:
        message = Formatted(text, ())
    return _trimmed(message)


def _trimmed(message: Formatted) -> Formatted:
    """Without white space around; what then is not there is not styled."""
    text = message.text.strip()
    if not text:
        raise _Denied("text_empty")
    cut = units(message.text[: len(message.text) - len(message.text.lstrip())])
    size = units(text)
    entities = []
    for entity in message.entities:
        start, end = max(entity.offset - cut, 0), min(entity.offset + entity.length - cut, size)
        if end > start:
            entities.append(msgspec.structs.replace(entity, offset=start, length=end - start))
    return Formatted(text, tuple(entities[:MAX_ENTITIES]))
