"""What Telegram's Bot API answers, and what that means for a webhook.

An answer is JSON: ``{"ok": true, "result": {"message_id": 7, …}}`` or ``{"ok": false, "error_code": 400, "description":
"Bad Request: chat not found", "parameters": {…}}``. Only the parameters are documented as stable; descriptions are
matched by the part of them that has stayed the same over the years.
"""

import re
from collections.abc import Callable
from typing import Any

from tocsin.channels.chat import Gone, Moved, Reading, Rejected, Retry, Sent, Stopped, Throttled
from tocsin.channels.replies import DEFAULT_WAIT_S, header, json_object, quoted, seconds, unanswered
from tocsin.model import Outcome, Request

_TRUNCATED = re.compile(rb'\s*\{\s*"ok"\s*:\s*true\b[^{]*\{\s*"message_id"\s*:\s*([0-9]{1,19})')
_RETRY_AFTER = re.compile(r"retry after ([0-9]{1,6})", re.IGNORECASE)

_AGAIN = "Add it again, then enable this webhook"
_RIGHT = "The bot may not write in this chat. Give it that right, then enable this webhook"
_OTHER_TOPIC = "Set another message_thread_id, or leave it out"
# Of any 4xx answer, in this order: what its description holds, in lower case, and what that means for the owner.
STOPPED = (
    ("bot was blocked by the user", "The person has blocked the bot. Once it is unblocked, enable this webhook"),
    ("bot was kicked", f"The bot was removed from the chat. {_AGAIN}"),
    ("bot is not a member", f"The bot is not in the chat. {_AGAIN}"),
    ("user is deactivated", "The person's Telegram account no longer exists"),
    ("can't initiate conversation", "The person has never started the bot. Press Start in its chat, then enable this"),
    ("can't send messages to bots", "The chat is another bot's, and bots do not read each other"),
    ("group chat was deleted", "The group was deleted"),
    ("group is deactivated", "The group is no longer active"),
    ("group chat was deactivated", "The group is no longer active"),
    ("group chat was upgraded", "The group became a supergroup, and Telegram did not say which. Set its new chat_id"),
    ("group chat was migrated", "The group became a supergroup, and Telegram did not say which. Set its new chat_id"),
    ("chat not found", "There is no such chat, or the bot is not in it. Check chat_id, and press Start or add the bot"),
    ("user not found", "There is no such person. Check chat_id"),
    ("peer_id_invalid", "There is no such chat, or the bot never met it. Check chat_id"),
    ("chat_id is empty", "The address has no chat_id"),
    ("message thread not found", f"The topic no longer exists. {_OTHER_TOPIC}"),
    ("topic_deleted", f"The topic was deleted. {_OTHER_TOPIC}"),
    ("topic_closed", "The topic is closed. Open it again, then enable this webhook"),
    ("not enough rights", _RIGHT),
    ("have no rights to send", _RIGHT),
    ("chat_write_forbidden", _RIGHT),
    ("need administrator rights", "The bot must be an administrator of the channel to post in it"),
    ("chat_admin_required", "The bot must be an administrator of the chat to post in it"),
    ("chat_send_plain_forbidden", "The chat takes no text messages. Allow them, then enable this webhook"),
    ("chat_restricted", "The chat is restricted, and takes no messages"),
)
# Whatever the description says.
_WHOLE = {
    401: "The bot's token is wrong, or was revoked. Set the right one",
    404: "No bot has this token: it is wrong, or was revoked. Set the right one",
}
GONE = ("message to edit not found", "message can't be edited", "message_id_invalid", "message identifier is not")


def read(
    outcome: Outcome, request: Request, paces: tuple[str, ...], *, hidden: str, moved: Callable[[int], str | None]
) -> Reading:
    """The reading of one attempt.

    Args:
        paces: keys of what a 429 holds.
        hidden: the token, which a foreign server may well repeat in its answer.
        moved: the address of the chat that has this new id; None where it is the same.
    """
    reading = unanswered(outcome)
    if reading is not None:
        return reading
    edited = _edited(request)
    if outcome.ok and outcome.body_truncated:
        # The answer repeats the message, and takes six bytes for a letter that is not ASCII: 16 KiB may not hold it.
        found = _TRUNCATED.match(outcome.body)
        return Sent(message=found[1].decode() if found else edited)
    answer = json_object(outcome.body)
    if answer is None or not isinstance(answer.get("ok"), bool):
        if outcome.status_code == 429:
            return _throttled(outcome, {}, "", paces)
        return Retry(reason=f"The server answered {outcome.status_code}, and not as Telegram does.")
    if answer["ok"]:
        result = answer.get("result")
        name = result.get("message_id") if isinstance(result, dict) else None
        return Sent(message=str(name) if isinstance(name, int) else edited)
    code = answer.get("error_code")
    status = code if isinstance(code, int) and 400 <= code <= 599 else outcome.status_code or 0
    parameters = answer.get("parameters")
    parameters = parameters if isinstance(parameters, dict) else {}
    description = answer.get("description")
    description = quoted(description, hide=hidden) if isinstance(description, str) else ""
    return _error(outcome, status, description, parameters, paces, edited, moved)


def _error(
    outcome: Outcome,
    status: int,
    description: str,
    parameters: dict[str, Any],
    paces: tuple[str, ...],
    edited: str | None,
    moved: Callable[[int], str | None],
) -> Reading:
    if status == 429:
        return _throttled(outcome, parameters, description, paces)
    if status >= 500:
        return Retry(reason=f"Telegram has a fault of its own ({description or status}).")
    said = description.lower()
    new = parameters.get("migrate_to_chat_id")
    url = moved(new) if isinstance(new, int) and 1 < abs(new) < 2**52 else None
    if url is not None:
        return Moved(url=url, reason=f"The group became a supergroup, with the id {new}.")
    if edited is not None and "message is not modified" in said:
        return Sent(message=edited)
    if edited is not None and any(part in said for part in GONE):
        return Gone()
    why = _WHOLE.get(status) or next((why for part, why in STOPPED if part in said), None)
    if why is None and status == 403:
        why = "Telegram does not let the bot write to this chat"
    if why is not None:
        return Stopped(reason=f"{why} ({description})." if description else f"{why}.")
    return Rejected(reason=f"Telegram did not take the message ({description or status}).")


def _throttled(outcome: Outcome, parameters: dict[str, Any], description: str, paces: tuple[str, ...]) -> Throttled:
    found = _RETRY_AFTER.search(description)
    said = (parameters.get("retry_after"), found and found[1], header(outcome, "retry-after"))
    wait_s = max(next((wait for wait in map(seconds, said) if wait is not None), DEFAULT_WAIT_S), 1.0)
    return Throttled(wait_s=wait_s, keys=paces, reason=f"Too fast for Telegram, which takes nothing for {wait_s:g} s.")


def _edited(request: Request) -> str | None:
    """The message that was to be edited."""
    if not request.url.endswith("/editMessageText"):
        return None
    sent = json_object(request.body)
    return None if sent is None else str(sent.get("message_id"))
