"""Slack's incoming webhooks (docs.slack.dev/messaging/sending-messages-using-incoming-webhooks)."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qs

import msgspec

from tocsin.receiver.doubles.double import TROUBLES, Double, Failure, Request, Ruling, text_reply
from tocsin.receiver.doubles.history import Shown
from tocsin.receiver.doubles.pacing import Window
from tocsin.receiver.doubles.slack_rules import Fault, check
from tocsin.receiver.doubles.slack_view import blocks_seen

_PATH = re.compile(r"/services/(T[A-Za-z0-9]+)/(B[A-Za-z0-9]+)/([A-Za-z0-9]+)")
_TEXT = (("Content-Type", "text/html"),)  # as hooks.slack.com labels its one-word answers

# docs.slack.dev/apis/web-api/rate-limits: one a second for each webhook, short bursts beyond it tolerated. How short is
# not said: five at once here, and never more than the five that five seconds are worth.
PACE = Window(5, 5.0)


def _row(status: int, name: str, meaning: str) -> Failure:
    return Failure(status=status, headers=_TEXT, body=name, meaning=meaning)


_ROWS = (
    (400, "invalid_payload", "the body is not what the webhook takes"),
    (400, "invalid_blocks", "a block is not as Block Kit has it"),
    (400, "invalid_attachments", "an attachment, or a block in one, is not as it must be"),
    (400, "no_text", "there is nothing to show"),
    (400, "too_many_attachments", "more than 100 attachments"),
    (400, "user_not_found", "the user that it was for does not exist"),
    (403, "action_prohibited", "the workspace's administrators have restricted this"),
    (403, "posting_to_general_channel_denied", "only some may write to the #general channel"),
    (403, "invalid_token", "the last part of the address is not the webhook's"),
    (404, "channel_not_found", "the channel does not exist any more"),
    (404, "no_active_hooks", "the webhook is switched off"),
    (404, "no_service", "the webhook was removed or revoked"),
    (404, "no_service_id", "the address names no webhook"),
    (404, "no_team", "the workspace does not exist"),
    (403, "team_disabled", "the workspace is switched off"),
    (410, "channel_is_archived", "the channel is archived"),
    (500, "rollup_error", "something went wrong at Slack"),
)


class SlackDouble(Double):
    """One workspace, in which `webhook` makes further webhooks."""

    service: ClassVar[str] = "slack"
    name: ClassVar[str] = "Slack"
    title: ClassVar[str] = "#alerts"
    ERRORS: ClassVar[Mapping[str, Failure]] = {
        **{name: _row(status, name, meaning) for status, name, meaning in _ROWS},
        "rate_limited": Failure(
            status=429,
            headers=(("Content-Type", "application/json"), ("Retry-After", "{retry_after}")),
            body='{"retry_after":{retry_after},"ok":false,"error":"rate_limited"}',
            retry_after=30,
            meaning="more than one message a second",
        ),
        **TROUBLES,
    }

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        # Of the form of Slack's own example, so that nobody takes it for a real one.
        self._team = "T00000000"
        self._hooks = {("B00000000", "X" * 24): "alerts"}
        self._count = 0

    @property
    def address(self) -> str:
        return self._address(next(iter(self._hooks)))

    def webhook(self, channel: str) -> str:
        """Makes another webhook, for a channel of that name; its address."""
        hook = (f"B{len(self._hooks):08}", f"X{len(self._hooks):023}")
        self._hooks[hook] = channel
        return self._address(hook)

    def _address(self, hook: tuple[str, str]) -> str:
        return self._host.url(f"/services/{self._team}/{hook[0]}/{hook[1]}")

    def rule(self, request: Request) -> Ruling:
        found = _PATH.fullmatch(request.path)
        if found is None:
            return self.failing("no_service_id" if request.path.startswith("/services") else "no_service")
        team, hook, token = found.groups()
        if team != self._team:
            return self.failing("no_team")
        if hook not in {id_ for id_, _ in self._hooks}:
            return self.failing("no_service")
        if (hook, token) not in self._hooks:
            return self.failing("invalid_token")
        if request.method != "POST":
            return self.failing("invalid_payload", "only POST is taken")
        limits = ((hook, PACE),)
        wait_s, _ = self._pace.wait_s(limits) if self.rate_limits else (0.0, "")
        if wait_s:
            return self.failing("rate_limited", retry_after=max(wait_s, 1))
        try:
            payload = _payload(request)
            check(payload)
        except Fault as fault:
            return self.failing(fault.name, fault.sentence)
        self._pace.take(limits)
        self._post(payload, self._hooks[hook, token], request)
        return Ruling(reply=text_reply("ok"))

    def _post(self, payload: Mapping[str, Any], channel: str, request: Request) -> None:
        self._count += 1
        now = self.now()
        self.take(
            Shown(
                id=f"{now // 1000}.{self._count:06}",
                at=now,
                chat=f"#{channel}",
                sender=str(payload.get("username") or "Tocsin"),
                blocks=blocks_seen(payload),
                raw=request.raw,
            )
        )


def _payload(request: Request) -> Any:
    """JSON, or a form's field `payload`.

    Raises:
        Fault: neither.
    """
    body = request.body
    if request.content_type == "application/x-www-form-urlencoded":
        given = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True).get("payload")
        if given:
            body = given[0].encode()
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Fault("invalid_payload", f"no JSON: {error}") from None
