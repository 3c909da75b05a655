"""Where alerts go that are not signed JSON: Slack, Telegram, Discord, e-mail, postbacks.

Pure: an event becomes a message (`compose`), a message becomes a request (one module a channel), and what the service
answers becomes a `Reading`. No network, no clock, no store: the engine sends, waits and keeps.
"""

from collections.abc import Mapping

from tocsin.channels.chat import Chat, ChatAddress
from tocsin.channels.discord import Discord
from tocsin.channels.email import Email
from tocsin.channels.slack import Slack
from tocsin.channels.telegram import Telegram

__all__ = ["CHATS", "Chat", "ChatAddress"]

# By the channel's name. `standard` and `postback` are no chats: what they send is no message for people.
CHATS: Mapping[str, Chat] = {chat.name: chat for chat in (Slack(), Telegram(), Discord(), Email())}
