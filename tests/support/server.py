"""`tocsin serve` as a real process, on a port of its own and a database in a folder of the test's.

with Server(tmp_path, retry_scale=0.01) as server:
    shop = server.operator.shop()
    server.kill9()
    server.restart()
"""

import os
import re
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Collection
from pathlib import Path
from typing import Self

from tests.support.api import Operator
from tests.support.waiting import until

START_S = 60.0  # a start takes a second; a machine that is busy with other tests may need far more
STOP_S = 35.0  # issue: a stop drains for up to 30 s
_ADDRESS = re.compile(rb"http://127\.0\.0\.1:(\d+)")
_TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    def __init__(
        self, folder: Path, *, cpus: Collection[int] | None = None, source: Path | None = None, **settings: object
    ) -> None:
        """`settings` are those of `tocsin.config.Settings`; given as ``TOCSIN_*`` variables. Loopback receivers on
        plain http are let through unless they say otherwise.

        Args:
            source: the directory that holds the package, where it is another program than the tests' own.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.source = source
        self.operator_key = str(settings.get("admin_key") or f"tsn_{secrets.token_urlsafe(32)}")
        self.log = folder / "server.log"
        self.db = folder / "tocsin.db"
        self.url = ""
        self.lives = 0  # how often it was started
        self._cpus = cpus
        self._settings: dict[str, object] = {
            "db": f"sqlite:///{self.db}",
            "admin_key": self.operator_key,
            "allow_http": 1,
            "allow_networks": "127.0.0.0/8",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._failpoint: str | None = None  # of this life
        self._said_before = 0  # the log's length before this life

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.kill9()

    @property
    def operator(self) -> Operator:
        return Operator(lambda: self.url, self.operator_key)

    # --- life ---------------------------------------------------------------------------------------------------

    def start(self, failpoint: str | None = None) -> Self:
        """Starts it and waits until it is ready, or has died at `failpoint` (``after_send:3``) already."""
        self.launch(failpoint)
        self.wait_ready()
        return self

    def launch(self, failpoint: str | None = None) -> None:
        """Starts it and waits for nothing."""
        assert not self.running, "it runs already"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
        environ |= {f"TOCSIN_{name.upper()}": str(value) for name, value in self._settings.items()}
        if failpoint:
            environ["TOCSIN_FAILPOINT"] = failpoint
        if self.source is not None:
            environ["PYTHONPATH"] = str(self.source)
        self._failpoint = failpoint
        self.log.touch()
        self._said_before = self.log.stat().st_size
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tocsin", "serve", "--port", "0"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ,
                cwd=self.log.parent,
            )
        if self._cpus is not None:
            os.sched_setaffinity(self._process.pid, self._cpus)
        self.lives += 1

    def wait_ready(self, within_s: float = START_S) -> None:
        """Until it is ready, or has died or stopped at its failpoint already."""
        until(
            lambda: self._died_at_failpoint() or self.frozen or (self._find_address() and self.ready()),
            lambda: f"a start\n{self.log_tail()}",
            within_s,
        )

    def _died_at_failpoint(self) -> bool:
        """It has ended, as it was meant to; work begins before the first request, so this can be in its start."""
        if self.running:
            return False
        as_meant = self._failpoint is not None and self._started.wait() == -signal.SIGKILL
        assert as_meant, f"it ended instead of starting\n{self.log_tail()}"
        return True

    def _find_address(self) -> bool:
        with self.log.open("rb") as log:
            log.seek(self._said_before)
            found = _ADDRESS.search(log.read())
        if found:
            self.url = f"http://127.0.0.1:{int(found[1])}"
        return bool(found)

    def ready(self) -> bool:
        """What it answers at /readyz."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def frozen(self) -> bool:
        """Whether it was stopped, by `freeze` or at a failpoint, and lives."""
        return self.running and self._stat()[0] == "T"

    def freeze(self) -> None:
        """SIGSTOP: it does nothing, holds what it holds, and cannot know it."""
        self._started.send_signal(signal.SIGSTOP)
        until(lambda: self.frozen, "frozen")

    def thaw(self) -> None:
        """SIGCONT."""
        self._started.send_signal(signal.SIGCONT)

    def kill9(self) -> None:
        """SIGKILL."""
        self._started.kill()
        self._started.wait(10)

    def stop(self, within_s: float = STOP_S) -> int:
        """SIGTERM; waits for the end.

        Returns:
            The exit code.
        """
        self.ask_to_stop()
        return self.wait_end(within_s)

    def ask_to_stop(self) -> None:
        """SIGTERM; waits for nothing."""
        self._started.send_signal(signal.SIGTERM)

    def wait_end(self, within_s: float = STOP_S) -> int:
        """The exit code (negative: the signal that ended it), once it has ended by itself."""
        until(lambda: not self.running, lambda: f"an end\n{self.log_tail()}", within_s)
        return self._started.wait()

    def restart(self, failpoint: str | None = None) -> Self:
        """Starts it again on the same database, killing it first where it still runs. The port is a new one."""
        if self.running:
            self.kill9()
        return self.start(failpoint)

    # --- what it shows of itself --------------------------------------------------------------------------------

    def log_tail(self, lines: int = 60) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    @property
    def pid(self) -> int:
        return self._started.pid

    def rss_bytes(self) -> int:
        """Resident memory now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_s(self) -> float:
        """Processor time spent so far, user and system."""
        fields = self._stat()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def _stat(self) -> list[str]:
        """Of /proc, from the state on."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it was never started"
        return self._process
