"""Tests here are coroutines, run with `world` open; each runs once for each store."""

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.world import STORES, World, forget


@pytest.fixture(params=sorted(STORES))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    yield World(request.param, tmp_path)
    asyncio.run(forget(request.param, tmp_path))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def run() -> None:
        opened = arguments.get("world")
        if opened is None:
            await pyfuncitem.obj(**arguments)
        else:
            async with opened:
                await pyfuncitem.obj(**arguments)

    asyncio.run(run())
    return True
