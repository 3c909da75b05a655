"""From an event to what people are told."""

from tocsin.channels.message import Message, Tone
from tocsin.channels.occasion import Occasion
from tocsin.channels.options import ChatOptions


def compose(occasion: Occasion, options: ChatOptions, channel: str) -> Message:  # noqa: ARG001 - soon
    """The message of an event, as the channel of that name words it."""
    return Message(title=occasion.type, icon="🔔", tone=Tone.INFO, at=occasion.timestamp, footer=occasion.account_name)
