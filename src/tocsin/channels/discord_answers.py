"""What Discord's answers mean: a status, and mostly JSON with a code.

Sources, by their titles in Discord's developer documentation: "Opcodes and Status Codes" (JSON error codes), "Rate
Limits", "Webhook Resource".
"""

from collections.abc import Mapping
from typing import Any

from tocsin.channels.chat import ChatAddress, Gone, Reading, Rejected, Retry, Sent, Stopped, Throttled
from tocsin.channels.replies import DEFAULT_WAIT_S, header, is_page, json_object, quoted, seconds, unanswered
from tocsin.model import Outcome

# Cloudflare, which stands before Discord, bans an address that made 10,000 invalid requests in 10 minutes, and does
# not always say for how long.
_BAN_S = 600.0

_NEW = "Make a new webhook in Discord (channel settings, Integrations) and put its address here."
_RIGHTS = (
    "Discord does not let this webhook post in its channel. Look at the channel's permissions, then enable it again."
)

CODES: Mapping[int, Reading] = {
    10003: Stopped(reason=f"The Discord channel or thread is gone. {_NEW}"),
    10004: Stopped(reason=f"The Discord server is gone. {_NEW}"),
    10015: Stopped(reason=f"The webhook was deleted in Discord. {_NEW}"),
    10016: Stopped(reason=f"The webhook was deleted in Discord. {_NEW}"),
    40001: Stopped(reason=f"Discord does not know this webhook's token. {_NEW}"),
    50001: Stopped(reason=_RIGHTS),
    50008: Stopped(reason=f"The Discord channel takes no messages. {_NEW}"),
    50013: Stopped(reason=_RIGHTS),
    50014: Stopped(reason=f"Discord does not know this webhook's token. {_NEW}"),
    50024: Stopped(reason=f"The Discord channel is of a kind that takes no messages. {_NEW}"),
    50027: Stopped(reason=f"Discord does not know this webhook's token: it is wrong or was withdrawn. {_NEW}"),
    50041: Stopped(reason="The address names a version of Discord's API that is no more. Leave out /v… after /api."),
    50083: Stopped(
        reason="The Discord thread was archived. Open it again, or take another thread or the channel itself."
    ),
    160005: Stopped(reason="The Discord thread was locked. Unlock it, or take another thread or the channel itself."),
    220001: Stopped(
        reason="The Discord channel is a forum, where each message needs a thread: add ?thread_id={ID} to the address."
    ),
    220004: Stopped(reason=f"The Discord channel is a forum, which does not take this webhook. {_NEW}"),
    0: Rejected(reason="Discord did not take this message (general error)."),
    20009: Rejected(reason="Discord takes this message for explicit content and did not deliver it."),
    40005: Rejected(reason="The message is too large for Discord."),
    50006: Rejected(reason="Discord found this message empty."),
    50109: Rejected(reason="Discord could not read this message."),
    200000: Rejected(reason="The Discord server's automatic moderation blocked this message."),
    200001: Rejected(reason="The Discord server's automatic moderation blocked this message's title."),
    240000: Rejected(reason="Discord's filter of harmful links blocked this message."),
    40004: Retry(reason="Discord has switched off sending messages for a while."),
    40006: Retry(reason="Discord has switched off this feature for a while."),
    40333: Retry(reason="Cloudflare, which stands before Discord, blocked the request."),
    130000: Retry(reason="Discord is overloaded."),
}
FAST = frozenset({20016, 20028, 20029, 40062})
# To an edit they mean that this message cannot be changed any more: gone, another's, too old to be edited often, in a
# thread that is archived (posting opens it again).
UNEDITABLE = frozenset({10008, 30046, 50005, 50021, 50083})
_INVALID_FORM = 50035


def read(outcome: Outcome, to: ChatAddress, *, is_edit: bool) -> Reading:
    reading = unanswered(outcome)
    if reading is not None:
        return reading
    body = json_object(outcome.body)
    if outcome.ok:
        return _success(outcome, to, body)
    status = outcome.status_code or 0
    code = body.get("code") if body is not None else None
    if is_edit and code in UNEDITABLE:
        return Gone()
    if status == 429 or code in FAST:
        return _throttled(outcome, to, body)
    return _refused(to, status, body or {}, is_edit=is_edit)


def _success(outcome: Outcome, to: ChatAddress, body: Mapping[str, Any] | None) -> Reading:
    if is_page(outcome):
        return Retry(reason="A web page answered, not Discord: is this the address of a webhook?")
    found = body.get("id") if body is not None else None
    message = found if isinstance(found, str) and found.isdigit() else None
    hold_s = seconds(header(outcome, "x-ratelimit-reset-after"))
    if hold_s is None or header(outcome, "x-ratelimit-remaining") != "0":
        return Sent(message=message)
    return Sent(message=message, hold_s=hold_s, keys=(to.paces[0].key,))


def _throttled(outcome: Outcome, to: ChatAddress, body: Mapping[str, Any] | None) -> Throttled:
    hook, _, host = (pace.key for pace in to.paces)
    said = (
        body.get("retry_after") if body is not None else None,
        header(outcome, "retry-after"),
        header(outcome, "x-ratelimit-reset-after"),
    )
    wait_s = next((wait for wait in map(seconds, said) if wait is not None), None)
    if body is None:
        reason = "Cloudflare, which stands before Discord, lets nothing through from this server for a while."
        return Throttled(wait_s=max(wait_s or _BAN_S, 1.0), keys=(host,), reason=reason)
    if body.get("global") is True or header(outcome, "x-ratelimit-global") == "true":
        reason = "Discord takes no more requests from this server for a while."
        return Throttled(wait_s=max(wait_s or DEFAULT_WAIT_S, 1.0), keys=(host,), reason=reason)
    wait_s = DEFAULT_WAIT_S if wait_s is None else wait_s
    return Throttled(wait_s=wait_s, keys=(hook,), reason="Discord asks to post more slowly.")


def _refused(to: ChatAddress, status: int, body: Mapping[str, Any], *, is_edit: bool) -> Reading:
    code = body.get("code")
    token = to.url.partition("?")[0].rpartition("/")[2]
    said = quoted(body.get("message") or "", hide=token).removeprefix(f"{status}: ")
    said = f": {said}" if said else ""
    if code == _INVALID_FORM or (status == 400 and not body.get("message")):  # an older form: just the errors
        where = quoted(_first_error(body.get("errors") if code == _INVALID_FORM else body), hide=token)
        return Rejected(reason=f"Discord did not take this message{f' ({where})' if where else said}.")
    if isinstance(code, int) and code in CODES and (code or status == 400):
        return CODES[code]
    if status == 404 and is_edit:
        return Gone()
    if status in {401, 404} or (status in {403, 405} and body):
        # "Rate Limits" forbids to try these again.
        return Stopped(reason=f"There is no webhook at this address that may post (answer {status}{said}). {_NEW}")
    if status in {408, 425} or status >= 500 or status == 403:
        return Retry(reason=f"Discord answered {status}{said}.")
    return Rejected(reason=f"Discord did not take this message (answer {status}{said}).")


def _first_error(errors: object, path: str = "") -> str:
    """The first of the errors, which are nested as the body is, such as ``embeds.0.title: Must be 256 or fewer``."""
    if isinstance(errors, list) and errors:
        errors = errors[0]
    if not isinstance(errors, dict):
        return f"{path}: {errors}" if isinstance(errors, str) else ""
    found = errors.get("_errors")
    if isinstance(found, list) and found and isinstance(found[0], dict):
        return f"{path}: {found[0].get('message', '')}".removeprefix(": ")
    for name, inner in errors.items():
        if said := _first_error(inner, f"{path}.{name}".removeprefix(".")):
            return said
    return ""
