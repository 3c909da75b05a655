"""The chats of the demonstration: doubles of the services with their real limits, and each account's webhooks to them.

All of an account's events go to each of its chats, far more than anybody would read. So a window is short here, and few
alerts of it are sent on their own; all others must be in summaries.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from tocsin.cli.demo.api import Api
from tocsin.cli.demo.chat_report import ChatRow, judge_chat
from tocsin.profiles import Profile
from tocsin.receiver.doubles import DiscordDouble, Double, Raw, SlackDouble, TelegramDouble

# Windows that end before one's eyes: some pass while traffic comes in. With as few single alerts, all of it stays below
# the pace at which a server that has just been started writes to Discord: 15 messages in a minute.
WINDOW_S = 5
SINGLES = 2

# Whose accounts have chats: one has the widest catalogue, the other's document has chats itself.
PROFILES = ("standard", "cloakradar")

_KEPT = 10_000  # the doubles remember all of it
_OPEN = ("pending", "sending", "retrying")

STORY = (
    "Slack, Telegram, Discord (doubles on this machine, with the real limits on): of every "
    f"{WINDOW_S} s, {SINGLES} alerts at most are sent on their own; all others are counted in a summary, a burst of "
    "fraud in one message that is changed as it goes on. No alert is lost, none is told twice."
)


class Chats:
    def __init__(self, api: Api) -> None:
        self._api = api
        self._slack = SlackDouble(kept=_KEPT)
        self._telegram = TelegramDouble(kept=_KEPT)
        self._discord = DiscordDouble(kept=_KEPT)
        # Profile and service: the address, with its credentials; and the webhook.
        self._addresses: dict[tuple[str, str], str] = {}
        self._webhooks: dict[tuple[str, str], Mapping[str, Any]] = {}

    @property
    def _doubles(self) -> Sequence[Double]:
        return (self._slack, self._telegram, self._discord)

    @property
    def pages(self) -> Iterator[tuple[str, str]]:
        """Names of services, and where a browser shows what was posted."""
        return ((double.name, double.page) for double in self._doubles)

    async def start(self) -> None:
        for double in self._doubles:
            await double.start()

    async def stop(self) -> None:
        await asyncio.gather(*(double.stop() for double in self._doubles))

    async def subscribe(self, profile: Profile, key: str) -> None:
        """Connects an account to all three, where it is one that has chats."""
        if profile.name not in PROFILES:
            return
        chat = self._telegram.chat("private", profile.name)
        addresses = {
            "slack": self._slack.webhook(profile.name),
            "telegram": self._telegram.address_of(chat),
            "discord": self._discord.webhook(profile.name),
        }
        for channel, address in addresses.items():
            asked = {
                "url": address,
                "channel": channel,
                "name": channel,
                "events": ["*"],
                "options": {"digest": {"window_s": WINDOW_S, "max": SINGLES}},
            }
            self._addresses[profile.name, channel] = address
            self._webhooks[profile.name, channel] = await self._api.call(key, "POST", "/v1/webhooks", asked)

    async def have_ended(self, profile: Profile, key: str) -> bool:
        """Whether nothing of the account waits for a chat any more."""
        for (name, _), webhook in self._webhooks.items():
            for status in _OPEN if name == profile.name else ():
                query = {"webhook": webhook["id"], "status": status, "limit": "1"}
                if (await self._api.get(key, "/v1/deliveries", query))["data"]:
                    return False
        return True

    async def judge(self, profile: Profile, key: str, expected: Collection[str]) -> list[ChatRow]:
        """What each chat of an account was told of these events."""
        return [
            await self._judge(profile, key, double, expected)
            for double in self._doubles
            if (profile.name, double.service) in self._webhooks
        ]

    async def _judge(self, profile: Profile, key: str, double: Double, expected: Collection[str]) -> ChatRow:
        which = (profile.name, double.service)
        webhook = await self._api.get(key, f"/v1/webhooks/{self._webhooks[which]['id']}")
        deliveries = await self._api.all(key, "/v1/deliveries", {"webhook": webhook["id"]})
        sent = [await self._api.get(key, f"/v1/deliveries/{one['id']}") for one in deliveries if one["attempt_count"]]
        return judge_chat(
            profile=profile.name,
            chat=double.name,
            webhook=webhook,
            expected=expected,
            deliveries=deliveries,
            bodies={one["id"]: one["attempts"][-1]["request"]["body"] for one in sent},
            messages=[one for one in double.messages if one.chat.removeprefix("#") == profile.name],
            refused=[one for one in double.refused if _is_for(self._addresses[which], one.raw)],
            window_s=WINDOW_S,
            singles=SINGLES,
        )


def _is_for(address: str, raw: Raw) -> bool:
    """Whether a request was one to this address; Telegram's chats are told apart by what is in the body."""
    path, _, chat = address.partition("/sendMessage?chat_id=")
    if chat:
        return f'"chat_id":{chat},' in raw.body.decode(errors="replace")
    return raw.path.startswith(path[path.index("/", len("http://")) :])
