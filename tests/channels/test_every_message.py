"""Every event type of every profile, in every chat, before the service's double: as it is, and with hostile text."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from tocsin import profiles
from tocsin.channels import CHATS
from tocsin.channels.compose import compose
from tocsin.channels.occasion import Occasion
from tocsin.channels.options import ChatOptions
from tocsin.clock import Millis
from tocsin.engine.mail.door import envelope
from tocsin.engine.mail.server import Fate, MailServer
from tocsin.model import Request
from tocsin.receiver.doubles import DiscordDouble, MailDouble, SlackDouble, TelegramDouble
from tocsin.receiver.doubles.double import Double

DOUBLES = {"slack": SlackDouble, "telegram": TelegramDouble, "discord": DiscordDouble, "email": MailDouble}

AT = Millis(1_773_480_413_589)

LINK = "https://tocsin.example/links/abc"

HOSTILE = {
    "endless": "Summer sale " * 900,
    "one_word": "W" * 10_000,
    "html": '<b>bold</i> <script>alert(1)</script> &amp; &#x41; <a href="https://evil.example">x</a> <tg-spoiler>',
    "mentions": "@everyone @here <!channel> <!here> <@U012AB3CD> <@&41771983423143937> <#C024BE7LR> @someone",
    "markup": "*b* _i_ ~s~ `c` ```block``` **b** __u__ ||spoiler|| [x](https://evil.example) # head\n> quote\n- item",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈🇩🇪" * 1_000,
    "combining": "Z̸̡̛̰͍̠̮̎͌͝" * 800,
    "right_to_left": "\u05d7\u05d3\u05e9 \u0645\u0631\u062d \u202eevil\u202c \u2067x \u202e gpj.exe" * 50,
    "controls": "a\x00b\x01c\x07\x1b[31mred\x7f\u0085\u2028\u2029\ufeff\u200b d\r\ne\tf",
    "entities": "&" * 10_000,
    "astral": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢" * 2_000,
    "blank": " \n\t ",
    "nothing": "",
    "templates": "{{ 7 * 7 }} ${7*7} {% for x in range(9) %} {title} %s",
}


def _hostile(value: Any, text: str) -> Any:
    """Every text of it is another one; what is no text stays, so that the event is still one of its type."""
    if isinstance(value, str):
        return text
    if isinstance(value, list):
        return [_hostile(one, text) for one in value] * 3
    if isinstance(value, dict):
        return {name: _hostile(one, text) for name, one in value.items()}
    return value


def _occasions(change: str | None) -> Iterator[Occasion]:
    catalogues = [(found, found.catalogue) for found in map(profiles.load, profiles.names())]
    for profile, name, entry in ((one, *item) for one, found in catalogues for item in sorted(found.items())):
        example = entry.event_type.example
        data = dict(example) if change is None else _hostile(example, HOSTILE[change])
        yield Occasion(
            event_id="evt_0s9xej0m40100",
            type=name,
            timestamp=AT,
            data=data,
            profile=profile,
            account_name="Rocket Shoes" if change is None else HOSTILE[change],
            link=LINK,
        )


@asynccontextmanager
async def _sending(double: Double) -> AsyncIterator[Callable[[Request], Awaitable[str | None]]]:
    """Sends as the engine does; answers what was said against it."""
    if isinstance(double, MailDouble):
        server = MailServer(double.smtp_url)
        connection = await server.connect()

        async def send(request: Request) -> str | None:
            answer = await connection.send("alerts@example.com", envelope(request, server.sender, AT))
            return None if answer.fate is Fate.SENT else answer.reason

        yield send
        await connection.quit()
        return
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:

        async def post(request: Request) -> str | None:
            answer = await client.request(
                request.method, request.url, content=request.body, headers=dict(request.headers)
            )
            return None if answer.is_success else f"{answer.status_code} {answer.text[:400]}"

        yield post


@pytest.mark.parametrize("channel", sorted(CHATS))
@pytest.mark.parametrize("change", [None, *HOSTILE])
def test_the_service_takes_it_and_shows_something(channel: str, change: str | None):
    """Each message keeps the service's limits and rules, says what it is about, mentions nobody, and hides no link."""

    async def scenario() -> None:
        chat = CHATS[channel]
        async with DOUBLES[channel](rate_limits=False) as double, _sending(double) as send:
            address = chat.parse("mailto:alerts@example.com" if channel == "email" else double.address)
            for occasion in _occasions(change):
                message = replace(compose(occasion, ChatOptions(), channel), id="evt_0s9xej0m40100")
                assert await send(chat.render(message, address)) is None, occasion.type
                shown = double.messages[-1]
                assert message.title in shown.text or change is not None, (occasion.type, shown.text)
                assert shown.text.strip()
                assert not shown.mentions, (occasion.type, shown.mentions)
                hidden = {link for link in shown.links if link not in shown.text} - {LINK}
                assert not hidden, (occasion.type, hidden)
            assert not double.refused

    asyncio.run(scenario())
