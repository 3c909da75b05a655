"""Reading the bodies of requests: bounded in size and in time."""

import asyncio
import time
from typing import Any

from tocsin.api.requests import Message, Receive
from tocsin.errors import Malformed, TooLarge

# A peer that drips its body must not hold a connection for ever; a megabyte needs 300 kbit/s to arrive in time.
TIMEOUT_S = 30.0
_LOOK_EVERY_S = 1.0


class Gone(Exception):
    """The client went away before its request was complete: there is nobody to answer."""


class Bodies:
    """The bodies that are being read. One timer watches all of them: a timer of its own would cost a request as much
    as everything else that is done to read it.
    """

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._waiting: dict[asyncio.Task[Any], float] = {}  # since when, monotonic
        self._overdue: set[asyncio.Task[Any]] = set()
        self._watched = False

    async def read(self, declared: bytes | None, receive: Receive, max_bytes: int) -> bytes:
        """The whole body.

        Args:
            declared: the header Content-Length.

        Raises:
            TooLarge: as soon as it is known; no more than `max_bytes` and one message were in memory.
            Malformed: it did not arrive in time.
            Gone: the client closed the connection.
        """
        if declared is not None and declared.isdigit() and int(declared[:20]) > max_bytes:
            raise _too_large(max_bytes)
        task = asyncio.current_task()
        assert task is not None, "a request is answered in a task"
        self._waiting[task] = time.monotonic()
        if not self._watched:
            self._watch()
        try:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                body: bytes = message.get("body", b"")
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
                return body
            return await _gather(message, receive, max_bytes)
        except asyncio.CancelledError:
            if task not in self._overdue:
                raise
            task.uncancel()
            raise Malformed(f"the body did not arrive within {self._timeout_s:g} s", code="body_incomplete") from None
        finally:
            del self._waiting[task]
            self._overdue.discard(task)

    def _watch(self) -> None:
        self._watched = True
        asyncio.get_running_loop().call_later(min(_LOOK_EVERY_S, self._timeout_s), self._look)

    def _look(self) -> None:
        before = time.monotonic() - self._timeout_s
        for task, since in self._waiting.items():
            if since < before and task not in self._overdue:
                self._overdue.add(task)
                task.cancel()
        self._watched = False
        if self._waiting:
            self._watch()


async def _gather(message: Message, receive: Receive, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise Gone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
        message = await receive()


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the body has more than {max_bytes:,} bytes")
