"""A double and a client of it, for one test."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

from tocsin.receiver.doubles import Double, Raw
from tocsin.receiver.doubles.double import Request, Ruling

D = TypeVar("D", bound=Double)


def scene(double: D, play: Callable[[D, httpx.AsyncClient], Awaitable[Any]], within_s: float = 30) -> Any:
    """Starts the double, plays with it, and answers what the play answers."""

    async def run() -> Any:
        async with double, httpx.AsyncClient(trust_env=False, timeout=10) as client:
            return await play(double, client)

    return asyncio.run(asyncio.wait_for(run(), within_s))


def rule(double: Double, method: str, path: str, body: bytes = b"", **headers: str) -> Ruling:
    """What it answers to a request, without any connection."""
    bare, _, query = path.partition("?")
    given = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return double.rule(Request(path=bare, query=query, raw=Raw(method=method, path=path, headers=given, body=body)))
