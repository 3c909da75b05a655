"""pgbouncer in front of a test's PostgreSQL: a pooler in transaction mode, which gives each transaction whatever
connection of the server's is free.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

from tests.support.postgres_server import as_user_of_servers
from tests.support.waiting import until

_CONFIG = """\
[databases]
* = host={upstream} user=tocsin

[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
logfile = {folder}/log
pidfile = {folder}/pid
"""

_PORT = 6432  # only the name of a socket


class PgBouncer:
    """Its settings are the defaults, but for few connections: who waits for one waits for another's commit."""

    def __init__(self, upstream: Path, *, connections: int = 5) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tocsin-pgbouncer-"))
        self._config = self.folder / "ini"
        self._config.write_text(
            _CONFIG.format(upstream=upstream, port=_PORT, folder=self.folder, connections=connections)
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert found, "there is no pooler; install Debian's `pgbouncer`"
        run: dict[str, Any] = as_user_of_servers(self.folder)
        self._process = subprocess.Popen([found, "-q", self._config], stdin=subprocess.DEVNULL, **run)
        until((self.folder / f".s.PGSQL.{_PORT}").exists, lambda: f"the pooler's start\n{self.log()}")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text()[-4_000:] if path.exists() else ""

    def address(self, name: str, *, cached: bool = False) -> str:
        """A database behind it; `cached`: with statements that are prepared once, which it cannot pass."""
        return (
            f"postgresql://tocsin@/{name}?host={self.folder}&port={_PORT}{'' if cached else '&statement_cache_size=0'}"
        )
