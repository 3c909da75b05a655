"""Discord's webhooks (docs.discord.com/developers/resources/webhook)."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qs

import msgspec

from tocsin.clock import rfc3339
from tocsin.receiver.doubles.discord_errors import ERRORS
from tocsin.receiver.doubles.discord_rules import callable_by, faults, is_empty
from tocsin.receiver.doubles.discord_view import blocks_seen
from tocsin.receiver.doubles.double import Double, Failure, Request, Ruling, json_reply
from tocsin.receiver.doubles.history import Shown
from tocsin.receiver.doubles.pacing import Window
from tocsin.receiver.hosting.asgi import Reply

# Not documented, but sent in the headers of each answer: five in two seconds for each route. And, known from its 429s:
# thirty posts a minute to a webhook's channel.
ROUTE_PACE = Window(5, 2.0)
CHANNEL_PACE = Window(30, 60.0)

_PATH = re.compile(r"/api(?:/v\d+)?/webhooks/(?P<id>[^/]+)/(?P<token>[^/]+)(?:/messages/(?P<message>[^/]+))?")
# Bounds of a snowflake: milliseconds since 2015 in its upper bits.
_EPOCH_MS = 1_420_070_400_000
_BUCKETS = {"POST": "26e2b2a1", "PATCH": "8f0a3c51", "DELETE": "0b8d95f3", "GET": "5d2e7c40"}


class Hook(msgspec.Struct, frozen=True):
    id: str
    token: str
    name: str
    channel: str
    channel_id: str
    forum: bool = False


class _Sent(msgspec.Struct):
    shown: Shown
    payload: dict[str, Any]
    hook: str
    thread: str


class DiscordDouble(Double):
    """One server, in which `webhook` makes further webhooks, and `thread` threads of the first one's channel."""

    service: ClassVar[str] = "discord"
    name: ClassVar[str] = "Discord"
    title: ClassVar[str] = "# alerts"
    ERRORS: ClassVar[Mapping[str, Failure]] = ERRORS

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._hooks: dict[str, Hook] = {}
        self._threads: dict[str, str] = {}
        self._sent: dict[str, _Sent] = {}
        self._count = 0
        self._first = self._make("alerts")

    @property
    def address(self) -> str:
        return self._address(self._first)

    def webhook(self, channel: str, *, forum: bool = False) -> str:
        """Makes another webhook, for a channel of that name; its address."""
        return self._address(self._make(channel, forum=forum))

    def thread(self, name: str) -> str:
        """Makes a thread that may be written to; its id."""
        id_ = f"13330000000000{len(self._threads):05}"
        self._threads[id_] = name
        return id_

    def _make(self, channel: str, *, forum: bool = False) -> Hook:
        # Of the form of a webhook's, and plainly nobody's.
        n = len(self._hooks)
        token = f"A-double-of-Discord-on-your-own-machine-{n:028}"
        hook = Hook(f"11110000000000{n:05}", token, "Tocsin", channel, f"12220000000000{n:05}", forum)
        self._hooks[hook.id] = hook
        return hook

    def _address(self, hook: Hook) -> str:
        return self._host.url(f"/api/webhooks/{hook.id}/{hook.token}")

    # --- requests ---------------------------------------------------------------------------------------------------

    def rule(self, request: Request) -> Ruling:
        found = _PATH.fullmatch(request.path)
        if found is None:
            return self.failing("not_found")
        if not found["id"].isdecimal():
            return self._form({"webhook_id": _coerce(found["id"])})
        hook = self._hooks.get(found["id"])
        if hook is None:
            return self.failing("unknown_webhook")
        if hook.token != found["token"]:
            return self.failing("invalid_token")
        if request.method not in ("GET", "POST", "PATCH", "DELETE") or (request.method == "POST" and found["message"]):
            return self.failing("method_not_allowed")
        limited = self._too_fast(hook, request.method)
        if limited is not None:
            return limited
        ruling = self._do(hook, found["message"], request)
        return Ruling(reply=self._with_limits(ruling.reply, hook, request.method), name=ruling.name, why=ruling.why)

    def _do(self, hook: Hook, message: str | None, request: Request) -> Ruling:
        query = {name: values[-1] for name, values in parse_qs(request.query, keep_blank_values=True).items()}
        thread = query.get("thread_id", "")
        if thread and thread not in self._threads:
            return self.failing("unknown_channel")
        if message is not None:
            return self._on_message(hook, message, thread, request)
        if request.method == "GET":
            return Ruling(reply=json_reply(200, _shown_hook(hook)))
        if request.method == "DELETE":
            del self._hooks[hook.id]
            return Ruling(reply=Reply(status=204))
        if request.method == "PATCH":
            return self.failing("missing_permissions", "a webhook's own settings are not changed here")
        return self._execute(hook, thread, request, wait=query.get("wait", "").lower() in ("true", "1"))

    def _execute(self, hook: Hook, thread: str, request: Request, *, wait: bool) -> Ruling:
        payload = _payload(request)
        if isinstance(payload, str):
            return self.failing(payload)
        refused = self._refusal(payload)
        if refused is not None:
            return refused
        if hook.forum and not thread and not payload.get("thread_name"):
            return self.failing("forum_needs_thread")
        if payload.get("thread_name") and not hook.forum:
            return self.failing("not_a_forum")
        sent = self._post(hook, thread, payload, request)
        return Ruling(reply=json_reply(200, self._shown_message(hook, sent)) if wait else Reply(status=204))

    def _on_message(self, hook: Hook, message: str, thread: str, request: Request) -> Ruling:
        sent = self._sent.get(message)
        if sent is None or sent.hook != hook.id or sent.thread != thread or sent.shown.deleted:
            return self.failing("unknown_message")
        if request.method == "DELETE":
            self.history.delete(sent.shown)
            return Ruling(reply=Reply(status=204))
        if request.method == "PATCH":
            payload = _payload(request)
            if isinstance(payload, str):
                return self.failing(payload)
            # What is not given stays, but for whom it may call.
            whole = sent.payload | {"allowed_mentions": None} | payload if isinstance(payload, dict) else payload
            refused = self._refusal(whole)
            if refused is not None:
                return refused
            sent.payload = whole
            self.history.edit(sent.shown, at=self.now(), blocks=blocks_seen(whole, callable_by(whole)), raw=request.raw)
        return Ruling(reply=json_reply(200, self._shown_message(hook, sent)))

    def _refusal(self, payload: Any) -> Ruling | None:
        if found := faults(payload):
            return self._form(found)
        return self.failing("empty_message") if is_empty(payload) else None

    def _form(self, found: Mapping[str, Any]) -> Ruling:
        body = {"message": "Invalid Form Body", "code": 50035, "errors": found}
        return Ruling(reply=json_reply(400, body), name="invalid_form_body", why=_first_message(found))

    def _post(self, hook: Hook, thread: str, payload: dict[str, Any], request: Request) -> _Sent:
        self._count += 1
        now = self.now()
        channel = self._threads.get(thread) or payload.get("thread_name") or hook.channel
        shown = self.take(
            Shown(
                id=str(((now - _EPOCH_MS) << 22) + self._count),
                at=now,
                chat=f"#{channel}",
                sender=str(payload.get("username") or hook.name),
                blocks=blocks_seen(payload, callable_by(payload)),
                raw=request.raw,
            )
        )
        sent = self._sent[shown.id] = _Sent(shown, payload, hook.id, thread)
        while len(self._sent) > self.history.kept:  # what nobody sees any more cannot be edited
            del self._sent[next(iter(self._sent))]
        return sent

    def _shown_message(self, hook: Hook, sent: _Sent) -> dict[str, Any]:
        payload, shown = sent.payload, sent.shown
        return {
            "type": 0,
            "content": payload.get("content") or "",
            "mentions": [],
            "mention_roles": [],
            "attachments": [],
            "embeds": [{"type": "rich", **embed} for embed in payload.get("embeds") or ()],
            "timestamp": rfc3339(shown.at).replace("Z", "000+00:00"),
            "edited_timestamp": rfc3339(shown.edits[-1].at).replace("Z", "000+00:00") if shown.edits else None,
            "flags": 0,
            "components": [],
            "id": shown.id,
            "channel_id": sent.thread or hook.channel_id,
            "author": {
                "id": hook.id,
                "username": shown.sender,
                "avatar": None,
                "discriminator": "0000",
                "public_flags": 0,
                "flags": 0,
                "bot": True,
            },
            "pinned": False,
            "mention_everyone": any(name in ("@everyone", "@here") for name in shown.mentions),
            "tts": False,
            "webhook_id": hook.id,
        }

    # --- limits -----------------------------------------------------------------------------------------------------

    def _too_fast(self, hook: Hook, method: str) -> Ruling | None:
        limits = [(f"{hook.id} {method}", ROUTE_PACE)]
        if method == "POST":
            limits.append((f"{hook.channel_id} channel", CHANNEL_PACE))
        if self.rate_limits:
            wait_s, key = self._pace.wait_s(limits)
            if wait_s:
                name = "rate_limited_shared" if key.endswith("channel") else "rate_limited"
                ruling = self.failing(name, retry_after=max(round(wait_s, 3), 0.001))
                kept = [(header, value) for header, value in ruling.reply.headers if "RateLimit" not in header]
                scope = ("X-RateLimit-Scope", "shared" if key.endswith("channel") else "user")
                bare = msgspec.structs.replace(ruling.reply, headers=(*kept, scope))
                return msgspec.structs.replace(ruling, reply=self._with_limits(bare, hook, method))
        self._pace.take(limits)
        return None

    def _with_limits(self, reply: Reply, hook: Hook, method: str) -> Reply:
        standing = self._pace.standing(f"{hook.id} {method}", ROUTE_PACE)
        headers = (
            ("X-RateLimit-Limit", str(ROUTE_PACE.most)),
            ("X-RateLimit-Remaining", str(standing.remaining)),
            ("X-RateLimit-Reset", f"{self.now() / 1000 + standing.wait_s:.3f}"),
            ("X-RateLimit-Reset-After", f"{standing.wait_s:.3f}"),
            ("X-RateLimit-Bucket", _BUCKETS[method]),
        )
        return msgspec.structs.replace(reply, headers=(*reply.headers, *headers))


def _payload(request: Request) -> Any:
    """Of JSON, or of a form's `payload_json` or single fields; a string: the name of the error."""
    if request.content_type == "application/json":
        try:
            return msgspec.json.decode(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return "invalid_json"
    if request.content_type == "application/x-www-form-urlencoded":
        given = {name: values[-1] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        if "payload_json" not in given:
            return given
        try:
            return msgspec.json.decode(given["payload_json"])
        except msgspec.DecodeError:
            return "invalid_json"
    return "bad_content_type"


def _coerce(value: str) -> dict[str, Any]:
    return {"_errors": [{"code": "NUMBER_TYPE_COERCE", "message": f'Value "{value}" is not snowflake.'}]}


def _shown_hook(hook: Hook) -> dict[str, Any]:
    return {
        "application_id": None,
        "avatar": None,
        "channel_id": hook.channel_id,
        "guild_id": "1000000000000000001",
        "id": hook.id,
        "name": hook.name,
        "type": 1,
        "token": hook.token,
        "url": f"https://discord.com/api/webhooks/{hook.id}/{hook.token}",
    }


def _first_message(found: Mapping[str, Any], path: str = "") -> str:
    for name, within in found.items():
        if name == "_errors":
            return f"{path.strip('.') or 'the body'}: {within[0]['code']}: {within[0]['message']}"
        return _first_message(within, f"{path}.{name}")
    return ""
