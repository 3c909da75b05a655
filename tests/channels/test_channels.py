"""The list of channels, which several floors have under their own names."""

from typing import get_args

import pytest

from tocsin.channels import CHATS, Chat, postback
from tocsin.model import CHANNEL_NAMES, STANDARD
from tocsin.profiles.messages import ChannelName


def test_the_channels_are_the_same_for_all():
    """What a webhook may have is what can be sent; what dialects may word otherwise are the chats."""
    assert (STANDARD, *CHATS, postback.NAME) == CHANNEL_NAMES
    assert get_args(ChannelName) == tuple(CHATS)


@pytest.mark.parametrize("chat", CHATS.values(), ids=CHATS)
def test_a_chats_sample_is_an_address_of_its_form(chat: Chat):
    """It is taken as any address is, so that a preview can be rendered to it."""
    assert chat.parse(chat.sample).url == chat.sample
