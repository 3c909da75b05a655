"""The command line as people use it: a process with arguments, variables, stdin; exit code, stdout and stderr out."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Shop
from tests.support.server import Server
from tests.support.waiting import until


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Terminal:
    """Runs ``tocsin`` in a folder of its own; `variables` are set for all of its commands."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
        self.environ |= {f"TOCSIN_{name.upper()}": value for name, value in variables.items()}

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "tocsin", *map(str, arguments)]

    def __call__(self, *arguments: object, stdin: bytes = b"", **variables: str) -> Ran:
        ended = subprocess.run(
            self.command(*arguments),
            input=stdin,
            capture_output=True,
            env=self.environ | {f"TOCSIN_{name.upper()}": value for name, value in variables.items()},
            cwd=self.folder,
            timeout=60,
            check=False,
        )
        return Ran(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def ok(self, *arguments: object, **more: Any) -> Ran:
        ran = self(*arguments, **more)
        assert ran.code == 0, f"{arguments}: {ran}"
        return ran

    def json(self, *arguments: object, **more: Any) -> Any:
        """The JSON of a command that must succeed."""
        return self.ok(*arguments, "--json", **more).json


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """No server, no key."""
    return Terminal(tmp_path, url="http://127.0.0.1:1")


@pytest.fixture
def operator(tmp_path: Path, server: Server) -> Terminal:
    """The operator of the module's server."""
    return Terminal(tmp_path, url=server.url, admin_key=server.operator_key)


@pytest.fixture
def shop(server: Server) -> Shop:
    return server.operator.shop()


@pytest.fixture
def owner(tmp_path: Path, server: Server, shop: Shop) -> Terminal:
    """The owner of `shop`."""
    return Terminal(tmp_path, url=server.url, key=shop.key or "")


class Listener:
    """A ``tocsin listen`` under way."""

    def __init__(self, terminal: Terminal, *arguments: object, **variables: str) -> None:
        self._out = terminal.folder / "listen.out"
        self._err = terminal.folder / "listen.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                terminal.command("listen", "--port", 0, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=terminal.environ | {f"TOCSIN_{name.upper()}": value for name, value in variables.items()},
                cwd=terminal.folder,
            )
        found = until(
            lambda: re.search(r"Listening at (http://127\.0\.0\.1:\d+)/", self._err.read_text()), self._err.read_text
        )
        self.url = found[1]

    @property
    def text(self) -> str:
        return self._out.read_text()

    @property
    def said(self) -> str:
        return self._err.read_text()

    def arrivals(self, count: int) -> list[Any]:
        """What ``--json`` has printed, once there are so many."""
        until(lambda: self.text.count("\n") >= count, lambda: f"{count} lines, not {self.text!r}")
        return [json.loads(line) for line in self.text.splitlines()]

    def stop(self) -> int:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        return self._process.wait(15)


@pytest.fixture
def listen(terminal: Terminal) -> Iterator[Callable[..., Listener]]:
    """Starts ``tocsin listen --port 0`` with further arguments."""
    started: list[Listener] = []

    def start(*arguments: object, **variables: str) -> Listener:
        started.append(Listener(terminal, *arguments, **variables))
        return started[-1]

    yield start
    for listener in started:
        listener.stop()
