"""What a person sees of a message in Slack and Discord: by the doubles, which check the services' limits and read their
markup on their own account.
"""

import json

import pytest

from tests.channels.messages import AT, CONVERSION, HOSTILE, for_any_message
from tocsin import profiles
from tocsin.channels import CHATS
from tocsin.channels.compose import compose
from tocsin.channels.limits import clean, fit, web_url
from tocsin.channels.message import Line, Message, Span, SpanKind, Tone
from tocsin.channels.occasion import Occasion
from tocsin.channels.options import ChatOptions
from tocsin.receiver.doubles import discord_rules, discord_view, slack_rules, slack_view
from tocsin.receiver.doubles.display import as_text, links_of, mentions_of

SLACK = CHATS["slack"].parse("https://hooks.slack.com/services/T0/B0/secret")
OLDER = CHATS["slack"].parse("https://chat.example.com/hooks/secret")
DISCORD = CHATS["discord"].parse("https://discord.com/api/webhooks/1/secret")


def seen_in_slack(message, to=SLACK):
    payload = json.loads(CHATS["slack"].render(message, to).body)
    slack_rules.check(payload)
    return slack_view.blocks_seen(payload)


def seen_in_discord(message):
    payload = json.loads(CHATS["discord"].render(message, DISCORD).body)
    assert discord_rules.faults(payload) == {}
    assert not discord_rules.is_empty(payload)
    return discord_view.blocks_seen(payload, discord_rules.callable_by(payload))


SEEN = {"slack": seen_in_slack, "older": lambda message: seen_in_slack(message, OLDER), "discord": seen_in_discord}


def read(blocks):
    return as_text(blocks).replace("\u2068", "").replace("\u2069", "")


def links_in(message):
    given = [span.url for span in message.text if span.kind is SpanKind.LINK]
    if message.link is not None:
        given.append(message.link.url)
    return {web_url(url, 2_000) for url in given}


@pytest.mark.parametrize("channel", SEEN)
def test_a_conversion_is_read_as_the_document_has_it(channel):
    """Title and lines."""
    text = read(SEEN[channel](CONVERSION))
    at = -1
    for word in (
        "🎉 New Conversion!",
        "Campaign",
        "Facebook - Weight Loss",
        "Payout",
        "$45.00",
        "Mobile (iOS)",
        "Acme",
    ):
        at = text.index(word, at + 1)


@for_any_message
def test_nobody_is_called_and_only_our_links_can_be_followed_in_slack(message):
    """Whatever stands in it, and Slack's limits are kept by the double's own count."""
    seen = seen_in_slack(message)
    assert mentions_of(seen) == ()
    assert set(links_of(seen)) <= links_in(message)
    older = seen_in_slack(message, OLDER)
    assert mentions_of(older) == ()
    assert set(links_of(older)) <= links_in(message)


@for_any_message
def test_nobody_is_called_and_only_our_links_can_be_followed_in_discord(message):
    """Whatever stands in it, and Discord's limits are kept by the double's own count."""
    seen = seen_in_discord(message)
    assert mentions_of(seen) == ()
    assert set(links_of(seen)) <= links_in(message)


VALUES = [*(text[:100] for text in HOSTILE), "a_b_c *d* ~e~", "50 % * 2", "x_", "1. one", "\\", "\\\\*", "`", "a|b"]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("channel", ["slack", "discord"])
def test_a_value_is_read_as_it_is(channel, value):
    """No escape is seen, and nothing of it is taken for a mark."""
    line = Line(label="Name", value=value, icon="📊")
    text = read(SEEN[channel](Message(title="T", icon="🔔", tone=Tone.INFO, at=AT, lines=(line,))))
    assert (fit(value, 500) or "–") in text.split("Name")[1]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("channel", ["slack", "discord"])
def test_a_templates_text_is_read_as_it_is(channel, value):
    """In bold, too, and across its lines."""
    spans = (Span(text="Name: "), Span(text=value, kind=SpanKind.BOLD), Span(text="\nend"))
    text = read(SEEN[channel](Message(title="T", icon="🔔", tone=Tone.INFO, at=AT, text=spans)))
    for line in clean(value, lines=True).split("\n"):
        assert line.strip() in text
    assert "Name:" in text
    assert "end" in text


@pytest.mark.parametrize("value", VALUES)
def test_a_title_is_read_as_it_is(value):
    """In both."""
    message = Message(title=value[:30], icon="", tone=Tone.INFO, at=AT)
    assert (clean(value[:30]) or "–") in read(seen_in_slack(message))
    assert (clean(value[:30]) or "–") in read(seen_in_discord(message))


EVIL = "x*_`~|<!channel>@everyone[a](https://evil.example)\u202eשלום😀" * 300


def spoiled(data):
    """The same data with each text in it meaning no good, and lists thirty times as long."""
    if isinstance(data, dict):
        return {key: spoiled(value) for key, value in data.items()}
    if isinstance(data, list):
        return [spoiled(item) for item in data] * 30
    return EVIL if isinstance(data, str) else data


@pytest.mark.parametrize("name", profiles.names())
@pytest.mark.parametrize("channel", SEEN)
def test_every_event_type_of_every_profile_is_taken(channel, name):
    """As its example has it, and with everything in it turned hostile: within all limits, calling nobody, leading
    nowhere.
    """
    profile = profiles.load(name)
    for entry in profile.catalogue.values():
        for data in (entry.event_type.example, spoiled(entry.event_type.example)):
            occasion = Occasion(
                event_id="evt_1",
                type=entry.event_type.name,
                timestamp=AT,
                data=data,
                profile=profile,
                account_name="Acme",
            )
            seen = SEEN[channel](compose(occasion, ChatOptions(), channel.replace("older", "slack")))
            assert read(seen)
            assert mentions_of(seen) == links_of(seen) == ()
