"""What Slack's answers mean. An incoming webhook answers in one word.

The words and what they stand for: "Sending messages using incoming webhooks", section "Handling errors", and the
changelog of 2016-05-17, "Improving error conditions for Incoming Webhooks", in Slack's documentation; those of blocks
are the Web API's. Chats that speak Slack's form say what is wrong as JSON.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from tocsin.channels.chat import ChatAddress, Reading, Rejected, Retry, Sent, Stopped, Throttled
from tocsin.channels.replies import DEFAULT_WAIT_S, header, is_page, json_object, quoted, seconds, unanswered
from tocsin.model import Outcome

_NEW = "Make a new incoming webhook in Slack and put its address here."
_GONE = Stopped(reason=f"The incoming webhook was removed or switched off in Slack. {_NEW}")

WORDS: Mapping[str, Reading] = {
    "channel_is_archived": Stopped(
        reason="The Slack channel was archived. Unarchive it and enable this webhook again, or make a new incoming "
        "webhook for another channel and put its address here."
    ),
    "channel_not_found": Stopped(
        reason=f"The Slack channel is gone, or has become private without the app that posts to it. {_NEW}"
    ),
    "user_not_found": Stopped(reason=f"The person that the messages go to is no longer in Slack. {_NEW}"),
    "action_prohibited": Stopped(
        reason="An administrator of the Slack workspace does not allow this webhook to post. Ask them, then enable it "
        "again."
    ),
    "posting_to_general_channel_denied": Stopped(
        reason="Only some may post to the workspace's general channel in Slack, and who made this webhook is none of "
        "them. Take another channel, or have an administrator allow it."
    ),
    "invalid_token": Stopped(reason=f"Slack does not know this webhook's token: it is wrong or was withdrawn. {_NEW}"),
    "no_service": _GONE,
    "no_service_id": _GONE,
    "no_active_hooks": _GONE,
    "no_team": Stopped(reason=f"The Slack workspace of this webhook does not exist. {_NEW}"),
    "team_disabled": Stopped(reason=f"The Slack workspace of this webhook is no longer in use. {_NEW}"),
    # Mattermost says so with status 400.
    "web.incoming_webhook.invalid.app_error": Stopped(
        reason="The chat does not know this incoming webhook: it was removed. Make a new one and put its address here."
    ),
    "invalid_payload": Rejected(reason="Slack could not read this message (invalid_payload)."),
    "no_text": Rejected(reason="Slack found no text in this message (no_text)."),
    "missing_text_or_fallback_or_attachments": Rejected(reason="Slack found no text in this message."),
    "too_many_attachments": Rejected(reason="Slack found too many attachments in this message."),
    "invalid_attachments": Rejected(reason="Slack did not take this message's attachment (invalid_attachments)."),
    "invalid_blocks": Rejected(reason="Slack did not take this message's blocks (invalid_blocks)."),
    "invalid_blocks_format": Rejected(reason="Slack did not take this message's blocks (invalid_blocks_format)."),
    "msg_too_long": Rejected(reason="The message is too long for Slack (msg_too_long)."),
    "msg_blocks_too_long": Rejected(reason="The message is too long for Slack (msg_blocks_too_long)."),
    "rollup_error": Retry(reason="Slack had a fault of its own (rollup_error)."),
}
FAST = frozenset({"rate_limited", "ratelimited", "message_limit_exceeded"})
_WORD = re.compile(r"[a-z][a-z_.]{1,63}")


def read(outcome: Outcome, to: ChatAddress) -> Reading:
    reading = unanswered(outcome)
    if reading is not None:
        return reading
    status = outcome.status_code or 0
    word = _word(outcome)
    if status == 429 or word in FAST:
        return _throttled(outcome, to)
    if word is not None and word in WORDS:
        return WORDS[word]
    said = _said(outcome, to)
    if outcome.ok:
        return _success(outcome, said)
    if status in {404, 410}:
        return Stopped(reason=f"There is no incoming webhook at this address (answer {status}{said}). {_NEW}")
    if status in {400, 405, 413, 415, 422}:
        return Rejected(reason=f"The chat did not take this message (answer {status}{said}).")
    return Retry(reason=f"The chat answered {status}{said}.")


def _success(outcome: Outcome, said: str) -> Reading:
    if is_page(outcome):
        return Retry(reason="A web page answered, not a chat: is this the address of an incoming webhook?")
    body = json_object(outcome.body)
    if body is not None and (body.get("ok") is False or body.get("success") is False):
        return Rejected(reason=f"The chat did not take this message{said}.")
    return Sent()


def _throttled(outcome: Outcome, to: ChatAddress) -> Throttled:
    wait_s = seconds(header(outcome, "retry-after"))
    return Throttled(
        wait_s=DEFAULT_WAIT_S if wait_s is None else max(wait_s, 1.0),
        keys=tuple(pace.key for pace in to.paces),
        reason="Slack asks to post more slowly.",
    )


def _word(outcome: Outcome) -> str | None:
    body = json_object(outcome.body)
    # Slack's own JSON names it `error`, Mattermost `id`.
    said = outcome.body.decode(errors="replace").strip() if body is None else body.get("error") or body.get("id")
    return said if isinstance(said, str) and _WORD.fullmatch(said) else None


def _said(outcome: Outcome, to: ChatAddress) -> str:
    """What it says, as the end of a clause."""
    body = json_object(outcome.body)
    if body is None:
        text = "" if is_page(outcome) else outcome.body.decode(errors="replace")
    else:
        text = body.get("message") or body.get("error") or ""
    said = quoted(text, hide=urlsplit(to.url).path.rstrip("/").rpartition("/")[2])
    return f": {said}" if said else ""
