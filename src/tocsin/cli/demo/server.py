"""A real server for the demonstration: ``tocsin serve`` as a process of its own, in a directory of its own."""

import asyncio
import os
import random
import re
import secrets
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx

from tocsin.cli.exits import FAILED, Failure

_START_S = 20.0
_STOP_S = 5.0
_ADDRESS = re.compile(r"at (http://127\.0\.0\.1:\d+)$", re.MULTILINE)
_TAIL_LINES = 40


class ServerProcess:
    """Made to listen on a free port of this machine, to deliver to receivers on it, and to retry fast."""

    def __init__(self, folder: Path, retry_scale: float) -> None:
        self.folder = folder
        self.operator_key = f"tsn_{secrets.token_urlsafe(32)}"
        self.url = ""
        self._log = folder / "server.log"
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")} | {
            "TOCSIN_DB": f"sqlite:///{folder / 'tocsin.db'}",
            "TOCSIN_ADMIN_KEY": self.operator_key,
            "TOCSIN_ALLOW_HTTP": "1",
            "TOCSIN_ALLOW_NETWORKS": "127.0.0.0/8,::1/128",
            "TOCSIN_RETRY_SCALE": f"{retry_scale:.9f}",
            "TOCSIN_DRAIN_S": "2",
        }
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, smtp_url: str | None = None) -> None:
        """Ready once it returns.

        Args:
            smtp_url: the mail server that it sends by.

        Raises:
            Failure: it did not start; with the end of its log.
        """
        port = _free_port()
        environ = self._environ | {"TOCSIN_PUBLIC_URL": f"http://127.0.0.1:{port}"}
        if smtp_url is not None:
            environ["TOCSIN_SMTP_URL"] = smtp_url
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - it forks and returns at once; all of the command is ours
                [sys.executable, "-m", "tocsin", "serve", "--port", str(port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ,
                cwd=self.folder,
                start_new_session=True,  # an interrupt of the terminal comes to us; we end it in good order
            )
        end = time.monotonic() + _START_S
        async with httpx.AsyncClient(trust_env=False) as client:
            while time.monotonic() < end and self._process.poll() is None:
                found = _ADDRESS.search(self._log.read_text(errors="replace"))
                if found and await _is_ready(client, found[1]):
                    self.url = found[1]
                    return
                await asyncio.sleep(0.05)
        raise Failure(FAILED, "the server did not start", ["Its log ends so:", self.log_tail()])

    def log_tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(lines[-_TAIL_LINES:])

    async def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, _STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)


def _free_port() -> int:
    """One that is known before the server runs, since links in mails name it: below those that a system gives out by
    itself, so that nobody takes it meanwhile.
    """
    for port in random.sample(range(20_000, 32_000), 100):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise Failure(FAILED, "no port of this machine is free")


async def _is_ready(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(f"{url}/readyz")).status_code == 200
    except httpx.HTTPError:
        return False
