"""What a receiver can do with a request it has read to the end.

Each reply plays itself on the wire, and says the status of the whole answer that it wrote, or None.
"""

import asyncio
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol


class Reply(Protocol):
    async def play(self, wire: "Wire") -> int | None: ...


class Wire:
    """One connection, from the receiver's side, while a request waits for its reply."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.requests = 0  # read on this connection so far, the present one included
        self.lost = asyncio.Event()  # the peer has gone, or we have
        self.writable = asyncio.Event()
        self.writable.set()
        self._transport = transport

    def write(self, data: bytes) -> None:
        if not self.lost.is_set():
            self._transport.write(data)

    def close(self) -> None:
        """Ends it in good order (FIN), after what was written."""
        self._transport.close()

    def reset(self) -> None:
        """Ends it at once (RST), as a crashing machine does."""
        at_once = struct.pack("ii", 1, 0)
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self._transport.abort()

    async def rest(self, seconds: float) -> bool:
        """Waits; true unless the peer went meanwhile."""
        try:
            await asyncio.wait_for(self.lost.wait(), seconds)
        except TimeoutError:
            return True
        return False


@dataclass(frozen=True)
class Answer:
    """An ordinary answer; the connection is kept."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    after_s: float = 0.0

    async def play(self, wire: Wire) -> int | None:
        if self.after_s and not await wire.rest(self.after_s):
            return None
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        wire.write("\r\n".join([*lines, "", ""]).encode() + self.body)
        return None if wire.lost.is_set() else self.status


@dataclass(frozen=True)
class Hang:
    """Never answers."""

    async def play(self, wire: Wire) -> None:
        await wire.lost.wait()


@dataclass(frozen=True)
class Close:
    """Closes the connection unanswered."""

    async def play(self, wire: Wire) -> None:
        wire.close()


@dataclass(frozen=True)
class Reset:
    """Resets the connection unanswered."""

    async def play(self, wire: Wire) -> None:
        wire.reset()


@dataclass(frozen=True)
class CloseWhenReused:
    """Answers 200 on a fresh connection; a reused one dies unanswered, as behind a balancer that has lost it."""

    async def play(self, wire: Wire) -> int | None:
        if wire.requests == 1:
            return await Answer().play(wire)
        wire.close()
        return None


@dataclass(frozen=True)
class Raw:
    """Writes these bytes, whatever they are, and then closes, or keeps the connection open in silence."""

    data: bytes
    close: bool = True

    async def play(self, wire: Wire) -> None:
        wire.write(self.data)
        if self.close:
            wire.close()
        else:
            await wire.lost.wait()


@dataclass(frozen=True)
class Drip:
    """Writes the parts one by one with a pause after each, until all are out or the peer has gone."""

    parts: Iterable[bytes]
    every_s: float

    async def play(self, wire: Wire) -> None:
        for part in self.parts:
            wire.write(part)
            if not await wire.rest(self.every_s):
                return
        await wire.lost.wait()


@dataclass(frozen=True)
class Flood:
    """Writes a head and then one chunk again and again, as fast as the peer takes it, up to `limit_bytes`."""

    head: bytes
    chunk: bytes
    limit_bytes: int

    async def play(self, wire: Wire) -> None:
        wire.write(self.head)
        for _ in range(self.limit_bytes // len(self.chunk)):
            await wire.writable.wait()
            if wire.lost.is_set():
                return
            wire.write(self.chunk)
            await asyncio.sleep(0)
        await wire.lost.wait()
