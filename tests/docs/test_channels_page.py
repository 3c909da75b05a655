"""The tables of the page about channels say all that the code knows."""

import re

from tests.docs.markdown import page
from tocsin.channels import discord_answers, slack_answers


def test_each_of_slacks_words_is_told() -> None:
    """None is left out; Mattermost's is no word of Slack's."""
    told = set(re.findall(r"`([a-z_]+)`", page("docs/reference/channels.md").section("Slack")))
    assert {word for word in (*slack_answers.WORDS, *slack_answers.FAST) if "." not in word} <= told


def test_each_of_discords_codes_is_told() -> None:
    """But for the one that means nothing in particular."""
    told = set(map(int, re.findall(r"\b[0-9]{5,6}\b", page("docs/reference/channels.md").section("Discord"))))
    known = {*discord_answers.CODES, *discord_answers.FAST, *discord_answers.UNEDITABLE} - {0}
    assert known <= told
