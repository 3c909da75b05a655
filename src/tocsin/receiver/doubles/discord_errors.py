"""What Discord answers when it does not do as it is asked (docs.discord.com: Opcodes and Status Codes, Rate Limits)."""

from collections.abc import Mapping

import msgspec

from tocsin.receiver.doubles.double import TROUBLES, Failure

_JSON = (("Content-Type", "application/json"),)


def _row(status: int, code: int, message: str, meaning: str) -> Failure:
    body = msgspec.json.encode({"message": message, "code": code}).decode()
    return Failure(status=status, headers=_JSON, body=body, meaning=meaning)


def _limited(message: str, meaning: str, *, scope: str, wait_s: float) -> Failure:
    is_global = "true" if scope == "global" else "false"
    headers = [*_JSON, ("Retry-After", "{retry_after_up}"), ("X-RateLimit-Scope", scope)]
    if scope == "global":
        headers.append(("X-RateLimit-Global", "true"))
    else:
        headers += [
            ("X-RateLimit-Limit", "5"),
            ("X-RateLimit-Remaining", "0"),
            ("X-RateLimit-Reset-After", "{retry_after}"),
            ("X-RateLimit-Bucket", "26e2b2a1"),
        ]
    return Failure(
        status=429,
        headers=tuple(headers),
        body=f'{{"message": "{message}", "retry_after": {{retry_after}}, "global": {is_global}}}',
        retry_after=wait_s,
        meaning=meaning,
    )


_FORM = {
    "message": "Invalid Form Body",
    "code": 50035,
    "errors": {
        "embeds": {
            "0": {
                "description": {
                    "_errors": [{"code": "BASE_TYPE_MAX_LENGTH", "message": "Must be 4096 or fewer in length."}]
                }
            }
        }
    },
}
_CONTENT_TYPE = (
    "Expected \"Content-Type\" header to be one of {'application/x-www-form-urlencoded', 'application/json', "
    "'multipart/form-data'}."
)

ERRORS: Mapping[str, Failure] = {
    "unknown_webhook": _row(404, 10015, "Unknown Webhook", "the webhook was removed"),
    "invalid_token": _row(401, 50027, "Invalid Webhook Token", "the last part of the address is not the webhook's"),
    "unknown_message": _row(404, 10008, "Unknown Message", "the message is gone, or another webhook's"),
    "unknown_channel": _row(404, 10003, "Unknown Channel", "the thread or channel is gone"),
    "missing_access": _row(403, 50001, "Missing Access", "the webhook may not see the channel"),
    "missing_permissions": _row(403, 50013, "Missing Permissions", "the webhook may not do this"),
    "not_author": _row(403, 50005, "Cannot edit a message authored by another user", "the message is another's"),
    "invalid_form_body": Failure(
        status=400, headers=_JSON, body=msgspec.json.encode(_FORM).decode(), meaning="a part of the message is too long"
    ),
    # How addresses without a version in their path have answered, and some still do.
    "invalid_form_body_old": Failure(
        status=400, headers=_JSON, body='{"embeds": ["0"]}', meaning="an embed is not as it must be"
    ),
    "empty_message": _row(400, 50006, "Cannot send an empty message", "there is nothing to show"),
    "invalid_json": _row(400, 50109, "The request body contains invalid JSON.", "the body is no JSON"),
    "bad_content_type": Failure(
        status=400,
        headers=_JSON,
        body=msgspec.json.encode(
            {
                "message": "Invalid Form Body",
                "code": 50035,
                "errors": {"_errors": [{"code": "CONTENT_TYPE_INVALID", "message": _CONTENT_TYPE}]},
            }
        ).decode(),
        meaning="the content type is none that it takes",
    ),
    "thread_archived": _row(400, 50083, "Thread is archived", "the thread is archived"),
    "thread_locked": _row(403, 160005, "Thread is locked", "the thread is locked"),
    "forum_needs_thread": _row(
        400,
        220001,
        "Webhooks posted to forum channels must have a thread_name or thread_id",
        "the channel is a forum, and no thread was named",
    ),
    "not_a_forum": _row(
        400, 220003, "Webhooks can only create threads in forum channels", "a thread was named in a plain channel"
    ),
    "blocked_by_automod": _row(
        400, 200000, "Message was blocked by automatic moderation", "the server's rules do not let it pass"
    ),
    "too_large": _row(
        413, 40005, "Request entity too large. Try sending something smaller", "the request is too large"
    ),
    "not_found": _row(404, 0, "404: Not Found", "Discord has no such path"),
    "method_not_allowed": _row(405, 0, "405: Method Not Allowed", "the path has no such method"),
    "rate_limited": _limited("You are being rate limited.", "too many in a time", scope="user", wait_s=0.65),
    "rate_limited_shared": _limited(
        "The resource is being rate limited.", "too many in a time to the channel", scope="shared", wait_s=12.5
    ),
    "rate_limited_global": _limited(
        "You are being rate limited.", "too many in a time from this address", scope="global", wait_s=64.57
    ),
    "banned": Failure(
        status=429,
        headers=(
            ("Content-Type", "text/plain; charset=UTF-8"),
            ("Retry-After", "{retry_after}"),
            ("Server", "cloudflare"),
        ),
        body="error code: 1015",
        retry_after=600,
        meaning="too many refused requests: this machine's address is shut out for some time",
    ),
    "internal_error": _row(500, 0, "500: Internal Server Error", "something went wrong at Discord"),
    "overloaded": _row(
        503, 130000, "API resource is currently overloaded. Try again a little later", "Discord has too much to do"
    ),
    **TROUBLES,
}
