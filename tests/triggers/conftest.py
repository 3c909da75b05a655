"""Tests here may be coroutines; they are run with `house` open, where they ask for one."""

import asyncio
import inspect
from pathlib import Path

import pytest

from tests.triggers.house import House


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def run() -> None:
        house = arguments.get("house")
        if house is None:
            await pyfuncitem.obj(**arguments)
        else:
            async with house:
                await pyfuncitem.obj(**arguments)

    asyncio.run(run())
    return True
