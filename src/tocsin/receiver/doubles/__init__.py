"""Slack, Telegram, Discord and a mailbox on this machine, written from the services' own documents, to send alerts to.

Promises: the real paths, limits, error bodies and rates; messages shown as a person would see them; bounded memory.
Leaves out: any knowledge of `tocsin.channels`, whose independent judge it is, and whatever alerts make no use of.
"""

from tocsin.receiver.doubles.discord import DiscordDouble
from tocsin.receiver.doubles.display import as_text
from tocsin.receiver.doubles.double import Double, Failure
from tocsin.receiver.doubles.history import Edit, Raw, Refused, Shown
from tocsin.receiver.doubles.mail import MailDouble
from tocsin.receiver.doubles.slack import SlackDouble
from tocsin.receiver.doubles.telegram import TelegramDouble

__all__ = [
    "DiscordDouble",
    "Double",
    "Edit",
    "Failure",
    "MailDouble",
    "Raw",
    "Refused",
    "Shown",
    "SlackDouble",
    "TelegramDouble",
    "as_text",
]
