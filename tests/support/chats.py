"""Doubles of chats that run beside a test, for a server of another process to write to.

with Chats() as chats:
    slack = chats.open(SlackDouble)
    slack.fail_with("no_service")
    …
    [message] = chats.wait_for(slack, 1)
"""

import asyncio
import itertools
import threading
from typing import Any, Self, TypeVar

from tests.support.waiting import until
from tocsin.receiver.doubles import DiscordDouble, Double, Shown, TelegramDouble

D = TypeVar("D", bound=Double)


class Chats:
    """A thread with a loop, and doubles on ports of their own, until it ends."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chats")
        self._doubles: list[Double] = []
        self._numbers = itertools.count(1)

    def open(self, kind: type[D], **settings: Any) -> D:
        async def start() -> D:
            double = kind(**settings)
            await double.start()
            return double

        double = asyncio.run_coroutine_threadsafe(start(), self._loop).result(10)
        self._doubles.append(double)
        return double

    def address(self, double: Double) -> str:
        """One of the double's that no other double of this process has given: what a service limits by is the token or
        the chat, wherever it answers, and a test is not to wait for the one before.
        """
        number = next(self._numbers)
        for _ in range(number):
            if isinstance(double, TelegramDouble):
                address = double.address_of(double.chat("private", f"Alex {number}"))
            elif isinstance(double, DiscordDouble):
                address = double.webhook(f"alerts-{number}")
            else:
                return double.address  # its port is part of whom the limit is of
        return address

    def close(self, double: Double) -> None:
        self._doubles.remove(double)
        asyncio.run_coroutine_threadsafe(double.stop(), self._loop).result(10)

    @staticmethod
    def wait_for(double: Double, n: int, within_s: float = 15.0) -> list[Shown]:
        def said() -> str:
            return f"{n} messages, but {len(double.messages)}; refused: {[one.name for one in double.refused]}"

        until(lambda: len(double.messages) >= n, said, within_s)
        return double.messages

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for double in list(self._doubles):
            self.close(double)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
