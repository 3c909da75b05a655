"""The slips that people make when they connect a chat: each is refused with what to write instead."""

from typing import Any

import pytest

from tests.api.site import LocalShop

SLACK = "https://hooks.slack.com/services/T00000000/B00000000/aaaaaaaaaaaaaaaaaaaaaaaa"
DISCORD = "https://discord.com/api/webhooks/100000000000000000/" + "a" * 68
TELEGRAM = "https://api.telegram.org/bot110200543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0/sendMessage"


def _refused(shop: LocalShop, **changes: Any) -> tuple[str, str, str]:
    """The code; pointer and detail of the one value at fault."""
    answer = shop.call("POST", "/v1/webhooks", {"url": SLACK, "channel": "slack", "events": ["*"]} | changes)
    assert answer.status == 422
    [error] = answer.json["errors"]
    return answer.code, error["pointer"], error["detail"]


@pytest.mark.parametrize(
    ("channel", "url", "words"),
    [
        ("standard", SLACK, "take the channel slack"),
        ("standard", DISCORD, "take the channel discord"),
        ("standard", f"{TELEGRAM}?chat_id=1", "take the channel telegram"),
        ("slack", DISCORD, "take the channel discord"),
        ("slack", f"{TELEGRAM}?chat_id=1", "take the channel telegram"),
        ("discord", SLACK, "take the channel slack"),
        ("slack", "https://rocketshoes.slack.com/archives/C0123ABCD", "https://hooks.slack.com/services/"),
        ("slack", "https://api.slack.com/apps/A0123ABCD/incoming-webhooks", "https://hooks.slack.com/services/"),
        ("discord", "https://discord.com/channels/1111/2222", "https://discord.com/api/webhooks/{ID}/{TOKEN}"),
        ("telegram", TELEGRAM, "chat_id is missing"),
        ("telegram", "https://api.telegram.org/bot110200543/sendMessage?chat_id=1", "@BotFather"),
        ("standard", "https://example.com/postback?cid={click_id}", "take the channel postback"),
        ("standard", "https://[::1/", "no address"),
    ],
)
def test_an_address_of_something_else(shop: LocalShop, channel: str, url: str, words: str) -> None:
    """It says which channel takes it, or which address to look for."""
    code, pointer, detail = _refused(shop, channel=channel, url=url)
    assert (code, pointer) == ("url_refused", "/url")
    assert words in detail


def test_a_channel_misspelt(shop: LocalShop) -> None:
    """The nearest is suggested; where none is near, all are named."""
    assert _refused(shop, channel="slak")[1:] == ("/channel", "no channel is called 'slak': did you mean 'slack'?")
    assert _refused(shop, channel="whatsapp")[2].endswith(
        "there are standard, slack, telegram, discord, email, postback"
    )


@pytest.mark.parametrize(
    ("options", "pointer", "detail"),
    [
        ({"digets": {}}, "/options/digets", "there is no such key: did you mean 'digest'?"),
        ({"digest": 5}, "/options/digest", 'expected an object, such as {"window_s": 60, "max": 5}'),
        ({"digest": {"window_s": "10m"}}, "/options/digest/window_s", "expected whole seconds, from 1 to 86400"),
        ({"digest": {"window_s": 0}}, "/options/digest/window_s", "expected whole seconds, from 1 to 86400"),
        ({"digest": {"max": -1}}, "/options/digest/max", "expected a whole number, from 0 to 1000"),
        (
            {"quiet_hours": "22-7"},
            "/options/quiet_hours",
            'expected an object, such as {"from": "22:00", "to": "07:00"}',
        ),
        (
            {"quiet_hours": {"from": 22, "to": "07:00"}},
            "/options/quiet_hours/from",
            "expected a time of day with four digits, such as 07:00",
        ),
    ],
)
def test_an_option_written_otherwise(shop: LocalShop, options: dict[str, Any], pointer: str, detail: str) -> None:
    """It says what to write, not what the value is in the words of a parser."""
    assert _refused(shop, options=options) == ("option_invalid", pointer, detail)
