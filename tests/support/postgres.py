"""A PostgreSQL server of the tests' own: one for each test process, a database for each directory."""

import atexit
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import asyncpg

from tests.support.postgres_server import PostgresServer
from tocsin.clock import ManualClock
from tocsin.store.postgres import open_postgres

# Which server the processes that a test starts are to use.
VARIABLE = "POSTGRES_OF_TESTS"

_TEMPLATE = "tocsin_template"


def start(settings: Mapping[str, str] | None = None) -> PostgresServer:
    """Starts a server that ends with this process."""
    server = PostgresServer(settings).start()
    owner = os.getpid()

    def stop() -> None:
        if os.getpid() == owner:  # and not a fork of it
            server.stop_kindly()
            server.remove()

    atexit.register(stop)
    return server


def _server() -> str:
    if VARIABLE not in os.environ:
        os.environ[VARIABLE] = str(start().folder)
    return os.environ[VARIABLE]


def address(name: str) -> str:
    """A database of the server's, as TOCSIN_DB says it."""
    return f"postgresql://tocsin@/{name}?host={_server()}"


def name_of(directory: Path) -> str:
    return "t" + hashlib.blake2b(str(directory).encode(), digest_size=12).hexdigest()


async def database(directory: Path) -> str:
    """The address of a directory's database; made, with our schema, where there is none."""
    name = name_of(directory)
    admin = await asyncpg.connect(address("postgres"))
    try:
        known = {row[0] for row in await admin.fetch("SELECT datname FROM pg_database")}
        if _TEMPLATE not in known:
            await admin.execute(f"CREATE DATABASE {_TEMPLATE}")
            await (await open_postgres(address(_TEMPLATE), clock=ManualClock())).close()
        if name not in known:
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
    finally:
        await admin.close()
    return address(name)


async def empty_database(directory: Path) -> str:
    """As `database`, without a schema."""
    admin = await asyncpg.connect(address("postgres"))
    try:
        await admin.execute(f"CREATE DATABASE {name_of(directory)}")
    finally:
        await admin.close()
    return address(name_of(directory))


async def drop(directory: Path) -> None:
    """Takes a directory's database away, whoever is still connected."""
    admin = await asyncpg.connect(address("postgres"))
    try:
        await admin.execute(f"DROP DATABASE IF EXISTS {name_of(directory)} WITH (FORCE)")
    finally:
        await admin.close()
