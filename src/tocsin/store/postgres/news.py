r"""What processes tell one another: notifications on one channel, many lines in each.

A payload begins with who sends it and what it is:

    9f2c…:\nline\nline     lines
    9f2c…!                 lines of mine were lost: look for yourselves
    9f2c…?                 to oneself: do notifications still come?

They come over a connection of their own, and go over any other: so it is noticed where they do not come, as through a
pooler in transaction mode, which passes no LISTEN. What is told of is then found by looking, a little later.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tocsin.errors import Misconfigured, TocsinError, Unavailable
from tocsin.store.postgres.database import Address, Pool
from tocsin.store.postgres.errors import GONE, translate
from tocsin.store.postgres.statements import statements

_NEWS = statements("news")

log = logging.getLogger(__name__)

CHANNEL = "tocsin"

# PostgreSQL takes payloads of less than 8,000 bytes.
_MAX_BYTES = 7_900

# Telling takes a millisecond. What could not be told within this time is no news any more.
_TELL_S = 2.0

# How often it is looked whether notifications still come, and how long one to oneself may take. A connection that ended
# without a word is noticed so; one that ended with a word is at once.
_PROBE_S = 15.0
ECHO_S = 3.0

# Between attempts to listen, doubled each time. Where they never come, as through a pooler, one a minute costs nothing.
_FIRST_PAUSE_S = 0.1
_MAX_PAUSE_S = 60.0


class PostgresNews:
    def __init__(self, address: Address, pool: Pool) -> None:
        self._address = address
        self._pool = pool
        self._me = secrets.token_hex(8)
        self._owes = False  # something that was to be told was not
        self._heard: Callable[[str], None] = _nothing
        self._lost: Callable[[], None] = _nothing
        self._echo = asyncio.Event()
        self._listening = asyncio.Event()
        self._off = False
        self._task: asyncio.Task[None] | None = None

    async def tell(self, lines: Sequence[str]) -> None:
        """Raises `Unavailable` where nobody was told; who is told of something next is told that, too."""
        payloads = list(_payloads(f"{self._me}:", lines))
        if self._owes:
            payloads.insert(0, f"{self._me}!")
        if payloads:
            self._owes = True
            await self._notify(payloads)
            self._owes = False

    async def listen(self, heard: Callable[[str], None], lost: Callable[[], None]) -> None:
        """Where the database does not answer at once, it goes on trying, and calls `lost` once it hears again."""
        self._heard, self._lost = heard, lost
        self._task = asyncio.create_task(self._run(), name="tocsin-news")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TELL_S):
                await self._listening.wait()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _notify(self, payloads: Sequence[str]) -> None:
        try:
            async with asyncio.timeout(_TELL_S), self._pool.connection() as connection:
                await connection.fetch(_NEWS["tell"], CHANNEL, payloads)
        except TocsinError:
            raise
        except TimeoutError:
            raise Unavailable("the database did not take the news in time", code="store_unavailable") from None
        except Exception as error:
            raise translate(error) from error

    # --- listening ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        first = True
        while True:
            try:
                connection = await self._address.connect()
            except Misconfigured as error:
                self._say_off(error.detail)
            else:
                if await self._attend(connection, first=first):
                    pause_s = _FIRST_PAUSE_S
            first = False
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _MAX_PAUSE_S)

    async def _attend(self, connection: Any, *, first: bool) -> bool:
        """Listens until nothing comes any more; whether anything ever came."""
        came = False
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _: ended.set())
        try:
            await connection.add_listener(CHANNEL, self._on)
            self._listening.set()
            while True:
                self._echo.clear()
                await self._notify([f"{self._me}?"])
                async with asyncio.timeout(ECHO_S):
                    await self._echo.wait()
                if not (came or first):
                    self._lost()
                came = True
                self._say_on()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_PROBE_S):
                        await ended.wait()
                    self._say_off("the connection ended")
                    return came
        except TimeoutError:
            self._say_off("notifications do not come, as through a pooler in transaction mode")
        except TocsinError as error:
            self._say_off(error.detail)
        except GONE as error:
            self._say_off(str(error) or type(error).__name__)
        finally:
            connection.terminate()
        return came

    def _on(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        head, *lines = payload.split("\n")
        sender, kind = head[:-1], head[-1:]
        if sender == self._me:
            if kind == "?":
                self._echo.set()
        elif kind == "!":
            self._lost()
        elif kind == ":":
            for line in lines:
                self._heard(line)

    def _say_off(self, reason: str) -> None:
        if not self._off:
            self._off = True
            log.warning("news_off", extra={"reason": reason})

    def _say_on(self) -> None:
        if self._off:
            self._off = False
            log.info("news_on")


def _payloads(head: str, lines: Sequence[str]) -> Iterator[str]:
    """As few as hold them all."""
    packed, size = [head], len(head)
    for line in lines:
        needs = len(line.encode()) + 1
        if len(packed) > 1 and size + needs > _MAX_BYTES:
            yield "\n".join(packed)
            packed, size = [head], len(head)
        packed.append(line)
        size += needs
    if len(packed) > 1:
        yield "\n".join(packed)


def _nothing(*_: object) -> None:
    """Nobody listens yet."""
