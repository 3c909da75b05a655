"""What the Bot API answers when it does not do as it is asked (core.telegram.org/bots/api#making-requests).

The descriptions are the Bot API server's own (github.com/tdlib/telegram-bot-api): Telegram documents only their form.
"""

from collections.abc import Mapping

import msgspec

from tocsin.receiver.doubles.double import TROUBLES, Failure

MIGRATED_TO = -1009000000001  # where `migrated` says that the chat has gone; it is there to be written to
_JSON = (("Content-Type", "application/json"),)


def failure(status: int, description: str, meaning: str, **parameters: int) -> Failure:
    body = {"ok": False, "error_code": status, "description": description}
    return Failure(
        status=status,
        headers=_JSON,
        body=msgspec.json.encode(body | ({"parameters": parameters} if parameters else {})).decode(),
        meaning=meaning,
    )


def migrated(to: int) -> Failure:
    return failure(
        400,
        "Bad Request: group chat was upgraded to a supergroup chat",
        "the group has become a supergroup with another id",
        migrate_to_chat_id=to,
    )


_NOT_MODIFIED = (
    "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a "
    "current content and reply markup of the message"
)

ERRORS: Mapping[str, Failure] = {
    "unauthorized": failure(401, "Unauthorized", "the token was revoked, or is no bot's"),
    "not_found": failure(404, "Not Found", "the token is malformed"),
    "method_not_found": failure(404, "Not Found: method not found", "the Bot API has no such method"),
    "bot_blocked": failure(403, "Forbidden: bot was blocked by the user", "the person has blocked the bot"),
    "user_deactivated": failure(403, "Forbidden: user is deactivated", "the person's account is gone"),
    "cannot_initiate": failure(
        403, "Forbidden: bot can't initiate conversation with a user", "the person has not started the bot yet"
    ),
    "bot_to_bot": failure(403, "Forbidden: bot can't send messages to bots", "the chat is another bot"),
    "kicked_group": failure(403, "Forbidden: bot was kicked from the group chat", "the bot was put out of the group"),
    "kicked_supergroup": failure(
        403, "Forbidden: bot was kicked from the supergroup chat", "the bot was put out of the supergroup"
    ),
    "kicked_channel": failure(
        403, "Forbidden: bot was kicked from the channel chat", "the bot was put out of the channel"
    ),
    "not_member_supergroup": failure(
        403, "Forbidden: bot is not a member of the supergroup chat", "the bot is not in the supergroup"
    ),
    "not_member_channel": failure(
        403, "Forbidden: bot is not a member of the channel chat", "the bot is not in the channel"
    ),
    "group_deleted": failure(403, "Forbidden: the group chat was deleted", "the group is gone"),
    "chat_not_found": failure(400, "Bad Request: chat not found", "no chat has this id, or the bot cannot see it"),
    "chat_id_empty": failure(400, "Bad Request: chat_id is empty", "no chat was named"),
    "no_rights": failure(
        400, "Bad Request: not enough rights to send text messages to the chat", "the bot may not write there"
    ),
    "write_forbidden": failure(400, "Bad Request: CHAT_WRITE_FORBIDDEN", "nobody like the bot may write there"),
    "need_administrator": failure(
        400, "Bad Request: need administrator rights in the channel chat", "only administrators write to a channel"
    ),
    "thread_not_found": failure(400, "Bad Request: message thread not found", "the topic does not exist"),
    "topic_closed": failure(400, "Bad Request: TOPIC_CLOSED", "the topic is closed"),
    "migrated": migrated(MIGRATED_TO),
    "text_empty": failure(400, "Bad Request: message text is empty", "there is nothing to show"),
    "too_long": failure(400, "Bad Request: message is too long", "more than 4096 UTF-16 units without the tags"),
    "cannot_parse": failure(
        400,
        'Bad Request: can\'t parse entities: Unsupported start tag "x" at byte offset 0',
        "the text is not what Telegram takes for HTML",
    ),
    "bad_parse_mode": failure(400, "Bad Request: unsupported parse_mode", "the double reads HTML and plain text only"),
    "bad_json": failure(400, "Bad Request: can't parse JSON object", "the body is no JSON object"),
    "not_modified": failure(400, _NOT_MODIFIED, "the message is like that already"),
    "edit_not_found": failure(400, "Bad Request: message to edit not found", "the message is gone"),
    "cannot_edit": failure(400, "Bad Request: message can't be edited", "it is another's, or too old"),
    "no_message_id": failure(400, "Bad Request: message identifier is not specified", "no message was named"),
    "too_many_requests": Failure(
        status=429,
        headers=(*_JSON, ("Retry-After", "{retry_after}")),
        body='{"ok":false,"error_code":429,"description":"Too Many Requests: retry after {retry_after}",'
        '"parameters":{"retry_after":{retry_after}}}',
        retry_after=5,
        meaning="too many messages in a time",
    ),
    "internal_error": failure(500, "Internal Server Error", "something went wrong at Telegram"),
    "bad_gateway": failure(502, "Bad Gateway", "the Bot API cannot reach Telegram"),
    **{name: row for name, row in TROUBLES.items() if name != "bad_gateway"},
}
