"""Several real processes of Tocsin on one database: started, killed, frozen, waited for and read as one.

with Fleet(THREE, tmp_path, retry_scale=0.01) as fleet:
    shop = fleet.operator.shop()
    fleet.senders[1].kill9()
"""

import asyncio
import base64
import secrets
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import asyncpg

from tests.support import postgres
from tests.support.api import Operator
from tests.support.server import Server


@dataclass(frozen=True)
class Shape:
    """Which processes there are, on what. The first one answers requests."""

    name: str
    on_postgres: bool
    roles: tuple[str, ...]

    @property
    def senders(self) -> tuple[int, ...]:
        """The processes that make attempts, by number."""
        return tuple(n for n, role in enumerate(self.roles) if role != "api")

    def __str__(self) -> str:
        return self.name


SQLITE = Shape("sqlite", on_postgres=False, roles=("all",))
POSTGRES = Shape("postgres", on_postgres=True, roles=("all",))
THREE = Shape("three", on_postgres=True, roles=("api", "worker", "worker", "worker"))


class Fleet:
    """The processes of a shape, each with a folder and a log of its own. On PostgreSQL it makes a database for itself,
    and takes it away in the end.
    """

    def __init__(self, shape: Shape, folder: Path, *, source: Path | None = None, **settings: object) -> None:
        """`settings` and `source` are `Server`'s, for all of them."""
        self.shape = shape
        self.db = ""  # its address, once entered, on PostgreSQL
        self.folder = folder
        self._source = source
        self._settings: dict[str, object] = {
            "admin_key": f"tsn_{secrets.token_urlsafe(32)}",
            "secret_key": base64.b64encode(secrets.token_bytes(32)).decode(),
            **settings,
        }
        self.processes: list[Server] = []

    def __enter__(self) -> Self:
        """Makes the database and starts nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.shape.on_postgres:
            self.db = asyncio.run(postgres.database(self.folder))
            self._settings["db"] = self.db
        for role in self.shape.roles:
            self.add(role)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process.running:
                process.kill9()
        if self.shape.on_postgres:
            asyncio.run(postgres.drop(self.folder))

    def add(self, role: str, *, source: Path | None = None) -> Server:
        """One more process, not started."""
        name = f"{role}-{len(self.processes)}"
        role_setting = {} if role == "all" else {"role": role}
        settings = self._settings | role_setting
        self.processes.append(Server(self.folder / name, source=source or self._source, **settings))
        return self.processes[-1]

    def start(self, failpoints: Mapping[int, str] | None = None) -> Self:
        """Starts all of them, the first one first: a failpoint for each process that is to have one, by number."""
        at = failpoints or {}
        self.processes[0].start(at.get(0))  # it makes the operator's key
        for n, process in enumerate(self.processes[1:], start=1):
            process.launch(at.get(n))
        for process in self.processes[1:]:
            process.wait_ready()
        return self

    @property
    def settings(self) -> Mapping[str, object]:
        """What all of them are told."""
        return dict(self._settings)

    @property
    def api(self) -> Server:
        """The process that answers requests."""
        return self.processes[0]

    @property
    def senders(self) -> list[Server]:
        """The processes that make attempts."""
        return [self.processes[n] for n in self.shape.senders]

    @property
    def operator(self) -> Operator:
        return Operator(lambda: self.api.url, self.api.operator_key)

    def query(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Asks the database itself, or changes it, beside all of them; on SQLite nobody may be running for that."""
        if self.shape.on_postgres:
            return asyncio.run(_query(self.db, query, *values))
        with closing(sqlite3.connect(self.api.db)) as db, db:
            return db.execute(query, {str(n): value for n, value in enumerate(values, start=1)}).fetchall()

    def log_tail(self, lines: int = 30) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {process.log.parent.name}\n{process.log_tail(lines)}" for process in self.processes)

    def logged(self, event: str) -> list[str]:
        """The lines of any process that say an event of the log."""
        return [
            line
            for process in self.processes
            for line in process.log.read_text(errors="replace").splitlines()
            if f" {event}" in line
        ]


async def _query(url: str, query: str, *values: object) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query, *values)]
    finally:
        await connection.close()
