"""What people would see of a message that was not sent: the body of a request, or a mail, by itself."""

import msgspec

from tocsin.receiver.doubles import discord_view, slack_view, telegram_view
from tocsin.receiver.doubles.discord_rules import callable_by
from tocsin.receiver.doubles.display import Block
from tocsin.receiver.doubles.mail_view import read, view
from tocsin.receiver.doubles.telegram_html import parse


def blocks_unsent(channel: str, body: str) -> tuple[Block, ...] | None:
    """None: it is a channel that nobody reads.

    Args:
        body: as `tocsin.channels` makes it: JSON, or a whole mail.
    """
    match channel:
        case "slack":
            return slack_view.blocks_seen(msgspec.json.decode(body))
        case "telegram":
            return telegram_view.blocks_seen(parse(msgspec.json.decode(body)["text"]))
        case "discord":
            payload = msgspec.json.decode(body)
            return discord_view.blocks_seen(payload, callable_by(payload))
        case "email":
            return (view(read(body.encode()), ""),)
    return None
