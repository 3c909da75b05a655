"""What all tests share: the option that lengthens the fault drills, and servers and receivers that clean up."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.receiver import LedgerReceiver
from tests.support.server import Server

# How long an example takes says how busy the machine is. Speed is measured in benchmarks/, never here.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


# A shell starts what runs in its background with Ctrl-C ignored, and so would be all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    drills = parser.getgroup("fault drills")
    drills.addoption(
        "--seeds", type=int, help="how many seeds each fault drill runs with: unset, one; the long form: 50"
    )
    drills.addoption("--seed", type=int, help="run the fault drills with this one seed, to repeat a failure")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Shows the end of the server's log with a test that failed."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            for server in getattr(value, "made", [value]):
                if isinstance(server, Server):
                    report.sections.append((f"tocsin serve, pid {server.pid}", server.log_tail()))
    return report


@pytest.fixture
def receiver() -> Iterator[LedgerReceiver]:
    with LedgerReceiver() as receiver:
        yield receiver


class ServerStarter:
    """Starts servers for a test, each in a folder of its own, and remembers them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.made: list[Server] = []
        self._folder = folder
        self._stack = stack

    def __call__(self, **settings: Any) -> Server:
        server = Server(self._folder / f"server-{len(self.made)}", **settings)
        self.made.append(server)
        return self._stack.enter_context(server)


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server of the test's own: ``start_server(retry_scale=0.01)``."""
    with ExitStack() as stack:
        yield ServerStarter(tmp_path, stack)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests of a module that do not end it; each makes an account of its own."""
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server
