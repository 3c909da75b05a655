"""What stands between a program and its server, and can cut, swallow and be silent as a network can.

    with Proxy(server.socket) as proxy:
        proxy.address("name")          # a database behind it, over TCP
        proxy.silence()                # a black hole: nothing passes, nobody is told
        proxy.heal()

It lives in a thread of its own. Every byte passes unread, but for the word COMMIT where commits are to be swallowed.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from pathlib import Path
from typing import Self

import uvloop

# How the driver ends a transaction: a message of its own.
_COMMIT = b"COMMIT;\0"
_COMMITTED = b"COMMIT\0"

_AT_ONCE = struct.pack("ii", 1, 0)


class Proxy:
    def __init__(self, upstream: Path) -> None:
        self.port = 0
        self.swallowed = 0  # commits whose answers nobody got
        self._upstream = upstream
        self._open: set[_Pair] = set()
        self._refusing = self._swallowing = False
        self._passing = asyncio.Event()
        self._loop = uvloop.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(5), "the proxy did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        assert not self._thread.is_alive(), "the proxy did not stop"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        listening = self._loop.run_until_complete(asyncio.start_server(self._take, "127.0.0.1", 0))
        self.port = listening.sockets[0].getsockname()[1]
        self._passing.set()
        self._up.set()
        try:
            self._loop.run_forever()
        finally:
            listening.close()
            self._reset()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.close()

    # --- what a test says ---------------------------------------------------------------------------------------

    def address(self, name: str) -> str:
        return f"postgresql://tocsin@127.0.0.1:{self.port}/{name}?sslmode=disable"

    def cut(self) -> None:
        """Resets every connection."""
        self._do(self._reset)

    def refuse(self) -> None:
        """Resets every connection, and each new one."""
        self._set(refusing=True)
        self.cut()

    def silence(self) -> None:
        """Nothing passes any more, in either direction, and nobody is told: as where a cable was pulled."""
        self._do(self._passing.clear)

    def swallow_commits(self) -> None:
        """From now on who commits finds the connection reset when it was done."""
        self._set(swallowing=True)

    def heal(self, *, cut: bool = False) -> None:
        """Everything passes again, also what was kept back; or (`cut`) old connections are reset first, as by a
        firewall that has forgotten them.
        """
        if cut:
            self.cut()
        self._set()
        self._do(self._passing.set)

    def _set(self, *, refusing: bool = False, swallowing: bool = False) -> None:
        self._refusing, self._swallowing = refusing, swallowing

    def _do(self, call) -> None:
        done = threading.Event()

        def run() -> None:
            call()
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(5), "the proxy does not answer"

    # --- connections --------------------------------------------------------------------------------------------

    def _reset(self) -> None:
        for pair in tuple(self._open):
            pair.reset()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # the proxy ends
            await self._pass(reader, writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passing.wait()
        if self._refusing:
            _reset(writer)
            return
        try:
            up_reader, up_writer = await asyncio.open_unix_connection(self._upstream)
        except OSError:
            _reset(writer)
            return
        pair = _Pair(writer, up_writer)
        self._open.add(pair)
        try:
            await asyncio.gather(self._down(up_reader, pair), self._to_server(reader, pair))
        except (OSError, RuntimeError):  # uvloop's word for a connection that was reset meanwhile
            pass
        finally:
            self._open.discard(pair)
            pair.reset()

    async def _to_server(self, reader: asyncio.StreamReader, pair: "_Pair") -> None:
        while data := await reader.read(1 << 16):
            await self._passing.wait()
            if self._swallowing and _COMMIT in data:
                pair.committing = True
            pair.server.write(data)
            await pair.server.drain()
        pair.server.close()

    async def _down(self, reader: asyncio.StreamReader, pair: "_Pair") -> None:
        while data := await reader.read(1 << 16):
            await self._passing.wait()
            if pair.committing and _COMMITTED in data:
                self.swallowed += 1
                pair.reset()
                return
            pair.client.write(data)
            await pair.client.drain()
        pair.client.close()


class _Pair:
    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.committing = False

    def reset(self) -> None:
        _reset(self.client)
        self.server.transport.abort()


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of a goodbye."""
    if not writer.transport.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        writer.transport.abort()
