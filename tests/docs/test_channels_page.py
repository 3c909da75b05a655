"""The tables of the page about channels say all that the code knows."""

import re

import pytest

from tests.docs.markdown import Block, page
from tocsin import profiles
from tocsin.channels import discord_answers, macros, slack_answers, telegram_answers, templates
from tocsin.channels.options import Template
from tocsin.channels.template_text import FILTERS
from tocsin.profiles.details import DETAILS


def test_each_of_slacks_words_is_told() -> None:
    """None is left out; Mattermost's is no word of Slack's."""
    told = set(re.findall(r"`([a-z_]+)`", page("docs/reference/channels.md").section("Slack")))
    assert {word for word in (*slack_answers.WORDS, *slack_answers.FAST) if "." not in word} <= told


def test_each_of_discords_codes_is_told() -> None:
    """But for the one that means nothing in particular."""
    told = set(map(int, re.findall(r"\b[0-9]{5,6}\b", page("docs/reference/channels.md").section("Discord"))))
    known = {*discord_answers.CODES, *discord_answers.FAST, *discord_answers.UNEDITABLE} - {0}
    assert known <= told


def test_each_of_telegrams_descriptions_is_told() -> None:
    """By the part that is looked for."""
    told = page("docs/reference/channels.md").section("Telegram").lower()
    assert {part for part, _ in telegram_answers.STOPPED} | set(telegram_answers.GONE) <= set(
        re.findall("`([^`]+)`", told)
    )


def test_each_macro_and_detail_is_told() -> None:
    """Those of postbacks, which templates share."""
    told = page("docs/reference/channels.md").section("Postbacks")
    assert set(DETAILS) <= set(re.findall(r"`([a-z_0-9]+)`", told))
    assert {f"{{{name}}}" for name in macros.OWN} <= set(re.findall(r"`(\{[a-z_]+\})`", told))


def test_each_filter_and_value_of_templates_is_told() -> None:
    """With what it does, in the same words."""
    told = page("docs/reference/channels.md").section("Templates")
    assert [
        (name, does) for name, does in re.findall(r"\| `([a-z]+)(?:\([^`]*\))?` \| ([^|]+) \|", told) if name in FILTERS
    ] == [*FILTERS.items()]
    assert set(templates.OWN) <= set(re.findall(r"`([a-z_]+)", told))


_SAMPLES = [block for block in page("docs/how-to/templates.md").blocks if block.language == "jinja"]


@pytest.mark.parametrize("block", _SAMPLES, ids=str)
def test_each_sample_of_a_template_is_taken(block: Block) -> None:
    """By every event type of the profile that the page is about."""
    profile = profiles.load("standard")
    types = {name: entry.event_type for name, entry in profile.catalogue.items()}
    given = {"*": Template(text=block.text)}
    assert templates.check(given, profile, types, takes=lambda *_: True, locale="en_US") == []
