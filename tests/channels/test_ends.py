"""Each row of the doubles' tables of errors leads to the right end, and none is left out here."""

import pytest

from tests.channels.messages import CONVERSION
from tocsin.channels import CHATS
from tocsin.channels.chat import Gone, Moved, Rejected, Retry, Stopped, Throttled
from tocsin.model import Outcome, OutcomeKind
from tocsin.receiver.doubles.discord_errors import ERRORS
from tocsin.receiver.doubles.slack import SlackDouble
from tocsin.receiver.doubles.telegram import TelegramDouble

ENDS = {
    "slack": {
        Rejected: "invalid_payload invalid_blocks invalid_attachments no_text too_many_attachments",
        Stopped: "user_not_found action_prohibited posting_to_general_channel_denied invalid_token channel_not_found "
        "no_active_hooks no_service no_service_id no_team team_disabled channel_is_archived",
        Throttled: "rate_limited",
        Retry: "rollup_error bad_gateway unavailable gateway_timeout",
    },
    "telegram": {
        Rejected: "text_empty too_long cannot_parse bad_parse_mode bad_json not_modified edit_not_found cannot_edit "
        "no_message_id",
        Stopped: "unauthorized not_found method_not_found bot_blocked user_deactivated cannot_initiate bot_to_bot "
        "kicked_group kicked_supergroup kicked_channel not_member_supergroup not_member_channel group_deleted "
        "chat_not_found chat_id_empty no_rights write_forbidden need_administrator thread_not_found topic_closed",
        Moved: "migrated",
        Throttled: "too_many_requests",
        Retry: "internal_error bad_gateway unavailable gateway_timeout",
    },
    "discord": {
        Rejected: "invalid_form_body invalid_form_body_old empty_message invalid_json bad_content_type not_a_forum "
        "blocked_by_automod too_large",
        Stopped: "unknown_webhook invalid_token unknown_message unknown_channel missing_access missing_permissions "
        "not_author thread_archived thread_locked forum_needs_thread not_found method_not_allowed",
        Throttled: "rate_limited rate_limited_shared rate_limited_global banned",
        Retry: "internal_error overloaded bad_gateway unavailable gateway_timeout",
    },
}
GONE = {"unknown_message", "not_author", "thread_archived", "not_found"}
TABLES = {"slack": SlackDouble.ERRORS, "discord": ERRORS, "telegram": TelegramDouble.ERRORS}
ADDRESSES = {
    "slack": "https://hooks.slack.com/services/T0/B0/secret",
    "discord": "https://discord.com/api/webhooks/1/secret",
    "telegram": f"https://api.telegram.org/bot1000:{'A' * 35}/sendMessage?chat_id=-1",
}
CASES = [
    (channel, name, end) for channel, ends in ENDS.items() for end, names in ends.items() for name in names.split()
]


def read(channel, name, *, edit=None):
    reply = TABLES[channel][name].reply()
    outcome = Outcome(
        kind=OutcomeKind.HTTP_ERROR,
        status_code=reply.status,
        headers=tuple(reply.headers),
        body=reply.body,
        error=f"The receiver answered {reply.status}.",
    )
    chat = CHATS[channel]
    to = chat.parse(ADDRESSES[channel])
    return chat.read(outcome, chat.render(CONVERSION, to, edit=edit), to)


@pytest.mark.parametrize("channel", TABLES)
def test_no_row_is_left_out(channel):
    """But for the answer that never comes."""
    assert {name for which, name, _ in CASES if which == channel} == set(TABLES[channel]) - {"no_answer"}


@pytest.mark.parametrize(("channel", "name", "end"), CASES)
def test_a_post_ends_so(channel, name, end):
    """With a reason that ends as a sentence does."""
    reading = read(channel, name)
    assert type(reading) is end
    assert reading.reason.endswith(".")
    assert ".." not in reading.reason


@pytest.mark.parametrize(("channel", "name", "end"), [case for case in CASES if case[0] == "discord"])
def test_an_edit_ends_so(channel, name, end):
    """What says that there is no such message to edit lets it be posted anew; the rest is as with a post."""
    assert type(read(channel, name, edit="1")) is (Gone if name in GONE else end)
