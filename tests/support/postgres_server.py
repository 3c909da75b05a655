"""A PostgreSQL server that a test owns: it can be stopped, killed and started again, and dies with its owner."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import asyncpg

from tests.support.waiting import until

# Where Debian, and its kind, put a server's programs; the newest release first.
_PROGRAMS = Path("/usr/lib/postgresql")

_SETTINGS = {
    "listen_addresses": "",
    # What a killed program loses is what these tests ask; that a machine loses its power is PostgreSQL's own affair.
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",  # nothing here lives long enough
    "max_connections": "200",
    "shared_buffers": "32MB",
}

_START_S = 30.0
_STOP_S = 20.0


def program(name: str) -> Path:
    """One of the server's programs."""
    found = sorted(_PROGRAMS.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]), reverse=True)
    if not found and (elsewhere := shutil.which(name)):
        return Path(elsewhere)
    assert found, f"there is no PostgreSQL server ({name}); install Debian's `postgresql`"
    return found[0]


def as_user_of_servers(*owned: Path) -> dict[str, Any]:
    """How a process is started that refuses to run as root; what it must write to becomes its user's."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    for path in owned:
        os.chown(path, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class PostgresServer:
    """Reached by the socket in its folder alone."""

    def __init__(
        self, settings: Mapping[str, str] | None = None, *, data: Path | None = None, initdb: Sequence[str] = ()
    ) -> None:
        """`data`: where its files lie, if not in a folder of its own; `initdb`: more arguments for the making."""
        self.folder = Path(tempfile.mkdtemp(prefix="tocsin-postgres-"))
        self._data = data or self.folder / "data"
        self._settings = {**_SETTINGS, **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        owned = (self.folder,) if data is None else (self.folder, data.parent)
        self._run: dict[str, Any] = {
            "cwd": self.folder,
            "stdin": subprocess.DEVNULL,
            **as_user_of_servers(*owned),
        }
        how = ["-U", "tocsin", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N", *initdb]
        made = subprocess.run(
            [program("initdb"), "-D", self._data, *how], check=False, capture_output=True, **self._run
        )
        assert made.returncode == 0, made.stderr.decode()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.remove()

    # --- life ---------------------------------------------------------------------------------------------------

    def begin(self) -> Self:
        """Starts it, and waits for nothing."""
        assert not self.running, "it runs already"
        settings = [f"-c{name}={value}" for name, value in self._settings.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program("postgres"), "-D", self._data, "-k", self.folder, *settings],
                stdout=log,
                stderr=log,
                **self._run,
            )
        return self

    def start(self) -> Self:
        """Starts it and waits until it takes connections."""
        self.begin()
        self.wait()
        return self

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, "it was never started"
        return self._process.pid

    def start_if_ended(self) -> None:
        """Starts it where it has ended by itself; else waits until it takes connections."""
        if not self.running:
            self.start()
        else:
            self.wait()

    def wait(self) -> None:
        """Waits until it takes connections."""
        ready = [program("pg_isready"), "-q", "-h", self.folder]

        def look() -> bool:
            assert self.running, self.log()
            return subprocess.run(ready, check=False).returncode == 0

        until(look, lambda: f"a start\n{self.log()}", _START_S)

    def stop(self) -> None:
        """Its fast stop: transactions are rolled back, connections told goodbye."""
        self._end(signal.SIGINT)

    def stop_at_once(self) -> None:
        """Its immediate stop, as after a crash: it recovers from its log at the next start."""
        self._end(signal.SIGQUIT)

    def stop_kindly(self, within_s: float = 1.0) -> None:
        """Waits for connections to end by themselves, then no more."""
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:  # someone still has a connection
            self.stop()

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None
        if self.running:
            self._process.send_signal(how)
        self._process.wait(_STOP_S)

    def remove(self) -> None:
        if self.running:
            self.stop_at_once()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- what a test asks ---------------------------------------------------------------------------------------

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-4_000:]

    @property
    def socket(self) -> Path:
        return self.folder / ".s.PGSQL.5432"

    def address(self, name: str) -> str:
        """A database of the server's, as TOCSIN_DB says it."""
        return f"postgresql://tocsin@/{name}?host={self.folder}"

    def sql(self, *statements: str, name: str = "postgres") -> list[Any]:
        """Runs them one by one, outside of any transaction; the rows of the last."""

        async def run() -> list[Any]:
            connection = await asyncpg.connect(self.address(name))
            try:
                for statement in statements[:-1]:
                    await connection.execute(statement)
                rows: list[Any] = await connection.fetch(statements[-1])
                return rows
            finally:
                await connection.close()

        return asyncio.run(run())
