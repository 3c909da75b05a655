"""From events to messages: every type of every dialect says something worth reading, and no data break it."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.messages import AT, as_text, example, occasion
from tocsin.channels.compose import compose
from tocsin.channels.message import Message, Tone
from tocsin.channels.options import ChatOptions
from tocsin.model import NOTICE_TYPE
from tocsin.profiles import Profile, load, names

CHANNELS = ("slack", "telegram", "discord", "email")
EVERY = [(name, type_) for name in names() for type_ in sorted(load(name).catalogue)]

# The samples of cloakradar's document: nested, and flat.
NESTED = {
    "click_id": "clk_xyz789",
    "campaign": {"id": 1, "name": "Facebook - Weight Loss"},
    "conversion": {"id": "conv_def456", "payout": 45.00, "currency": "USD", "transaction_id": "txn_12345"},
    "visitor": {"country": "US", "device": "mobile", "os": "iOS"},
}
FLAT = {
    "click_id": "clk_xyz789",
    "campaign_name": "Facebook - Weight Loss",
    "offer_name": "Keto Diet",
    "payout": 45.00,
    "country": "US",
    "device": "mobile",
}


def _compose(
    type_: str, data: object, channel: str = "slack", profile: str = "cloakradar", **changed: object
) -> Message:
    return compose(occasion(load(profile), type_, data, **changed), ChatOptions(), channel)


@pytest.mark.parametrize("channel", ["slack", "discord", "email"])
def test_a_conversion_as_the_document_has_it_in_slack(channel: str) -> None:
    """Exactly its lines, and no icons before them."""
    assert as_text(_compose("conversion.new", {**NESTED, **FLAT}, channel)) == (
        "🎉 New Conversion!\n"
        "Campaign: Facebook - Weight Loss\n"
        "Offer: Keto Diet\n"
        "Payout: $45.00\n"
        "Country: United States\n"
        "Device: Mobile (iOS)"
    )


def test_a_conversion_as_the_document_has_it_in_telegram() -> None:
    """Exactly its lines, with their icons; the offer and the system are not told there."""
    assert as_text(_compose("conversion.new", {**NESTED, **FLAT}, "telegram")) == (
        "🎉 New Conversion!\n"
        "📊 Campaign: Facebook - Weight Loss\n"
        "💰 Payout: $45.00\n"
        "🌍 Country: United States\n"
        "📱 Device: Mobile"
    )


def test_both_shapes_of_a_conversion_are_read() -> None:
    """What one of them does not say has no line."""
    nested = [line.label for line in _compose("conversion.new", NESTED).lines]
    flat = [(line.label, line.value) for line in _compose("conversion.new", FLAT).lines]
    assert nested == ["Campaign", "Payout", "Country", "Device"]
    assert flat[1:3] == [("Offer", "Keto Diet"), ("Payout", "$45.00")]
    assert flat[-1] == ("Device", "Mobile")


def test_in_another_locale() -> None:
    """Money, numbers and countries as the webhook's locale has them."""
    found = as_text(example(load("cloakradar"), "conversion.new", "slack", "de_DE"))
    assert "Payout: 45,00\xa0€" in found
    assert "Country: Deutschland" in found


@pytest.mark.parametrize(("name", "type_"), EVERY)
def test_every_type_says_something(name: str, type_: str) -> None:
    """In each channel: a title in title case, an icon, at least two lines; no code words, empty lines, addresses."""
    profile = load(name)
    for channel in CHANNELS:
        found = example(profile, type_, channel)
        assert found.icon
        assert found.title[0].isupper()
        assert all(word[0].isupper() or word in {"for", "of"} for word in found.title.split() if word[0].isalpha())
        assert len(found.lines) >= 2
        for line in found.lines:
            assert line.value.strip() == line.value != ""
            assert line.label == line.label.strip() != ""
            assert "_" not in line.label
            assert bool(line.icon) is (channel == "telegram")
            assert not {"None", "null", "unknown"} & set(line.value.split())
        assert len({line.label for line in found.lines}) == len(found.lines), "a label stands there once"
        text = as_text(found)
        assert "{" not in text
        assert "203.0.113." not in text
        assert "198.51.100." not in text
        assert found.footer == "Fibre “Spring”"
        assert found.at == AT


@pytest.mark.parametrize(("name", "type_"), EVERY)
def test_tones(name: str, type_: str) -> None:
    """CONTRACT §6: green conversions, red fraud, orange warnings, blue the rest."""
    tones: Mapping[Tone, tuple[str, ...]] = {
        Tone.WARNING: ("conversion.rejected", "high_risk_visitor", "threat.high_risk", "visitor.high_risk"),
        Tone.CONVERSION: ("conversion",),
        Tone.FRAUD: ("fraud", "bot.detected"),
    }
    warnings = ("alert", "vpn", "cloaker", "paused", "exhausted", "threshold", "cap.", "banned")
    said = next((tone for tone, words in tones.items() if any(word in type_ for word in words)), None)
    said = said or (Tone.WARNING if any(word in type_ for word in warnings) else Tone.INFO)
    assert example(load(name), type_, "slack").tone is said


def test_fraud_says_what_helps_to_act() -> None:
    """Score, reasons, loss, whose traffic it is, and by what names to look it up; the address masked."""
    found = {line.label: line.value for line in example(load("cloakradar"), "fraud.detected", "slack").lines}
    assert found == {
        "Score": "80 of 100",
        "Fraud Type": "Click Farm",
        "Reasons": "Rapid Clicks, Duplicate Click, VPN Detected",
        "Estimated Loss": "€1.24",
        "Campaign": "Search – Travel insurance – NL",
        "Partner": "Clickwell Network",
        "Country": "Netherlands",
        "IP": "198.51.x.x",
        "Visitor ID": "vis_2c8d5x1n",
        "Click ID": "clk_01JP9R5Q2H",
    }


def test_addresses_are_masked_even_if_nobody_did() -> None:
    """A message masks what it shows by itself."""
    data = load("trcker").catalogue["fraud.high_risk"].event_type.example
    bare = occasion(load("trcker"), "fraud.high_risk", {})
    found = compose(_with(bare, data), ChatOptions(), "slack")
    assert "203.0.x.x" in as_text(found)
    assert "203.0.113.24" not in as_text(found)


def _with(one: Any, data: Any) -> Any:
    return type(one)(**{name: getattr(one, name) for name in one.__struct_fields__} | {"data": data})


def test_cents_are_divided() -> None:
    """Trcker's 2250 are 22.50."""
    assert "Payout: €22.50" in as_text(example(load("trcker"), "conversion.created", "slack"))


def test_the_top_rules_of_a_day_stand_by_themselves() -> None:
    """A section of its own, the most frequent first."""
    (section,) = example(load("clickdefender"), "daily_summary", "slack").sections
    assert section.heading == "Top Rules"
    assert [(line.label, line.value) for line in section.lines][:2] == [("Rapid Clicks", "61"), ("Datacenter IP", "44")]


def test_a_test_says_so() -> None:
    """In the footer, behind whose it is."""
    assert (
        example(load("cue"), "ad.click", "slack", test=True).footer
        == "Fibre “Spring” · This is a test: nothing happened"
    )


def test_a_link_is_offered_where_there_is_one() -> None:
    """The server's own page of the event."""
    found = example(load("cue"), "ad.click", "slack", link="https://tocsin.example/d/1")
    assert found.link is not None
    assert (found.link.label, found.link.url) == ("Open in Tocsin", "https://tocsin.example/d/1")
    assert example(load("cue"), "ad.click", "slack").link is None


# --- events that nothing is known of ------------------------------------------------------------------------------


def test_an_event_type_of_the_accounts_own() -> None:
    """Its name as the title, and its first values under readable keys."""
    data = {
        "orderId": 991_482,
        "customer": {"e_mail": "a@shop.example", "is_vip": True, "address": {"city": "Bonn"}},
        "total_eur": 12.5,
        "note": None,
        "empty": " ",
        "items": [{"sku": "a"}, {"sku": "b"}],
        "tags": ["new", "fast", "a", "b", "c", "d"],
        "clientIp": "203.0.113.24",
        **{f"more_{n}": n for n in range(20)},
    }
    found = _compose("order.shipped", data, profile="standard")
    assert (found.title, found.tone, found.icon) == ("Order Shipped", Tone.INFO, "🔔")
    assert as_text(found).splitlines()[1:] == [
        "Order ID: 991482",
        "Customer E Mail: a@shop.example",
        "Customer Is VIP: Yes",
        "Customer Address City: Bonn",
        "Total Eur: 12.5",
        "Items: 2 items",
        "Tags: new, fast, a, b, c and 1 more",
        "Client IP: 203.0.x.x",
        "More 0: 0",
        "More 1: 1",
    ]


@pytest.mark.parametrize("data", [7, "text", None, [], [1, 2], {}])
def test_data_that_are_no_object(data: Any) -> None:
    """A title, and the value if there is one."""
    found = _compose("order.shipped", data, profile="standard")
    assert found.title == "Order Shipped"
    assert len(found.lines) == (0 if data in (None, [], {}) else 1)


def test_a_known_type_with_nothing_known_shows_what_is_there() -> None:
    """Rather than nothing at all."""
    found = _compose("campaign.paused", {"other": "thing"})
    assert as_text(found) == "⏸️ Campaign Paused\nOther: thing"


# --- notices ------------------------------------------------------------------------------------------------------


def test_a_notice_says_what_stopped_why_and_what_to_do() -> None:
    """In sentences."""
    data = {
        "webhook": "wh_0s9xehvjc0000",
        "name": "Team chat",
        "channel": "slack",
        "url_shown": "https://hooks.slack.com/services/***",
        "state": "disabled",
        "reason": "the channel is archived",
    }
    found = _compose(NOTICE_TYPE, data)
    assert (found.title, found.tone) == ("Webhook Stopped", Tone.WARNING)
    said = "".join(span.text for span in found.text)
    assert said.startswith(
        "Nothing is sent to Team chat (Slack, https://hooks.slack.com/services/***) any more: "
        "the channel is archived.\n"
    )
    assert "enable the webhook" in said
    assert _compose(NOTICE_TYPE, data | {"state": "failed"}).title == "Webhook Failed"


# --- hostile data -------------------------------------------------------------------------------------------------

_hostile = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["x" * 10_000, "\x00\x1b[31m\r\n", "<b>&amp;@everyone", "\u202egpj.exe", "שלום", "👨‍👩‍👧‍👦" * 500, "{campaign}"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def _bent(example: Any, draw: Any) -> Any:
    """The example with some of its values replaced by anything."""
    if isinstance(example, dict):
        return {key: draw(_hostile) if draw(st.booleans()) else _bent(value, draw) for key, value in example.items()}
    return example


@settings(max_examples=250)
@given(
    which=st.sampled_from([*EVERY, ("standard", "own.type"), ("standard", NOTICE_TYPE)]),
    channel=st.sampled_from(CHANNELS),
    locale=st.sampled_from(["en_US", "de_DE", "ar_EG", "ja_JP", "x" * 32]),
    draw=st.data(),
)
def test_no_data_break_a_message(which: tuple[str, str], channel: str, locale: str, draw: Any) -> None:
    """It is always one, of clean single lines that are not too long."""
    profile: Profile = load(which[0])
    entry = profile.catalogue.get(which[1])
    example = entry.event_type.example if entry else {"reason": "r", "name": "n", "a": 1}
    data = _bent(example, draw.draw) if draw.draw(st.integers(0, 9)) else draw.draw(_hostile)
    one = _with(occasion(profile, which[1], {}), data)
    found = compose(one, ChatOptions(locale=locale), channel)
    assert found.title
    assert len(found.lines) <= 15
    for text in (found.title, found.footer, *(part for line in found.lines for part in (line.label, line.value))):
        assert text == text.strip()
        assert not any(char in text for char in "\n\r\x00\x1b\u202e")
        assert len(text) <= 1_300
