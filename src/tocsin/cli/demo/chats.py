"""The chats of the demonstration: doubles of the services with their real limits, and each account's webhooks to them.

All of an account's events go to each of its chats, far more than anybody would read. So a window is short here, and few
alerts of it are sent on their own; all others must be in summaries.
"""

import asyncio
import re
import time
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from tocsin.cli.demo.api import Api
from tocsin.cli.demo.chat_report import ChatRow, judge_chat
from tocsin.cli.exits import FAILED, Failure
from tocsin.profiles import Profile
from tocsin.receiver.doubles import (
    DiscordDouble,
    Double,
    MailDouble,
    Raw,
    Shown,
    SlackDouble,
    TelegramDouble,
    as_text,
)
from tocsin.receiver.doubles.unsent import blocks_unsent

# Windows that end before one's eyes: some pass while traffic comes in. With as few single alerts, all of it stays below
# the pace at which a server that has just been started writes to Discord: 15 messages in a minute.
WINDOW_S = 5
SINGLES = 2

# Whose accounts have chats: one has the widest catalogue, the other's document has chats itself.
PROFILES = ("standard", "cloakradar")

_KEPT = 10_000  # the doubles remember all of it
_OPEN = ("pending", "sending", "retrying")
_MAIL_S = 10.0  # in which a mail must be there that asks for an address to be confirmed
_LOOK_EVERY_S = 0.05

STORY = (
    "Slack, Telegram, Discord, e-mail (doubles on this machine, with the real limits on): of every "
    f"{WINDOW_S} s, {SINGLES} alerts at most are sent on their own; all others are counted in a summary, a burst of "
    "fraud, where messages can be changed, in one that is changed as it goes on. No alert is lost, none is told twice."
)


class Place(NamedTuple):
    """Where an account's alerts are read. `chat`: as the double names it."""

    channel: str
    name: str
    double: Double
    address: str
    chat: str


class Chats:
    def __init__(self, api: Api) -> None:
        self._api = api
        self._slack = SlackDouble(kept=_KEPT)
        self._telegram = TelegramDouble(kept=_KEPT)
        self._discord = DiscordDouble(kept=_KEPT)
        self._mail = MailDouble(kept=_KEPT)
        self._webhooks: dict[str, list[tuple[Place, str]]] = {}  # by profile, with the webhook's id

    @property
    def _doubles(self) -> Sequence[Double]:
        return (self._slack, self._telegram, self._discord, self._mail)

    @property
    def smtp_url(self) -> str:
        """The mail server that is to be used; once started."""
        return self._mail.smtp_url

    @property
    def pages(self) -> Iterator[tuple[str, str]]:
        """Names of services, and where a browser shows what was posted."""
        return (("e-mail" if double is self._mail else double.name, double.page) for double in self._doubles)

    async def start(self) -> None:
        for double in self._doubles:
            await double.start()

    async def stop(self) -> None:
        await asyncio.gather(*(double.stop() for double in self._doubles))

    async def subscribe(self, profile: Profile, key: str) -> None:
        """Connects an account to all of them, where it is one that has chats."""
        if profile.name not in PROFILES:
            return
        connected = self._webhooks[profile.name] = []
        for place in self._places(profile.name):
            asked = {
                "url": place.address,
                "channel": place.channel,
                "name": place.name,
                "events": ["*"],
                "options": {"digest": {"window_s": WINDOW_S, "max": SINGLES}},
            }
            webhook = await self._api.call(key, "POST", "/v1/webhooks", asked)
            connected.append((place, webhook["id"]))
            if place.double is self._mail:
                await self._agree(place)

    def _places(self, name: str) -> Iterator[Place]:
        yield Place("slack", "Slack", self._slack, self._slack.webhook(name), f"#{name}")
        chat = self._telegram.chat("private", name)
        yield Place("telegram", "Telegram", self._telegram, self._telegram.address_of(chat), name)
        yield Place("discord", "Discord", self._discord, self._discord.webhook(name), f"#{name}")
        yield Place("email", "e-mail", self._mail, f"mailto:{name}@example.com", f"{name}@example.com")

    async def _agree(self, place: Place) -> None:
        """Presses the button of the page that the first mail leads to."""
        until = time.monotonic() + _MAIL_S
        while not (mails := _of(place)):
            if time.monotonic() > until:
                raise Failure(FAILED, f"no mail asked {place.chat} to agree")
            await asyncio.sleep(_LOOK_EVERY_S)
        link = re.search(r"http://\S+/links/[^\s<>]+", mails[0].text)
        if link is None:
            raise Failure(FAILED, f"the mail that asks {place.chat} to agree has no link", [mails[0].text])
        await self._api.press(link[0])

    async def have_ended(self, profile: Profile, key: str) -> bool:
        """Whether nothing of the account waits for a chat any more."""
        for _, webhook in self._webhooks.get(profile.name, ()):
            for status in _OPEN:
                query = {"webhook": webhook, "status": status, "limit": "1"}
                if (await self._api.get(key, "/v1/deliveries", query))["data"]:
                    return False
        return True

    async def judge(self, profile: Profile, key: str, expected: Collection[str]) -> list[ChatRow]:
        """What each chat of an account was told of these events."""
        return [
            await self._judge(profile, key, place, webhook, expected)
            for place, webhook in self._webhooks.get(profile.name, ())
        ]

    async def _judge(self, profile: Profile, key: str, place: Place, id_: str, expected: Collection[str]) -> ChatRow:
        deliveries = await self._api.all(key, "/v1/deliveries", {"webhook": id_})
        sent = [await self._api.get(key, f"/v1/deliveries/{one['id']}") for one in deliveries if one["attempt_count"]]
        messages = _of(place)
        return judge_chat(
            profile=profile.name,
            chat=place.name,
            webhook=await self._api.get(key, f"/v1/webhooks/{id_}"),
            expected=expected,
            deliveries=deliveries,
            texts={one["id"]: _text(place, one["attempts"][-1]["request"]["body"]) for one in sent},
            messages=messages[1:] if place.double is self._mail else messages,
            refused=[one for one in place.double.refused if _is_for(place, one.raw)],
            window_s=WINDOW_S,
            singles=SINGLES,
        )


def _of(place: Place) -> list[Shown]:
    return [one for one in place.double.messages if one.chat == place.chat]


def _text(place: Place, body: str) -> str:
    """What was sent, as its readers see it."""
    return as_text(blocks_unsent(place.channel, body) or ())


def _is_for(place: Place, raw: Raw) -> bool:
    """Whether a request was one to this chat. Telegram's are told apart by what is in the body."""
    if place.channel == "email":
        return place.chat in raw.path
    if place.channel == "telegram":
        chat = place.address.rpartition("chat_id=")[2]
        return f'"chat_id":{chat},' in raw.body.decode(errors="replace")
    return raw.path.startswith(urlsplit(place.address).path)
