"""A PostgreSQL server of the tests' own: one for each test process, a database for each directory."""

import atexit
import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import asyncpg

from tocsin.store.postgres import migrate

# Where Debian, and its kind, put a server's programs; the newest release first.
_PROGRAMS = Path("/usr/lib/postgresql")

# Which server the processes that a test starts are to use.
_VARIABLE = "POSTGRES_OF_TESTS"

_TEMPLATE = "tocsin_template"

_SETTINGS = {
    "listen_addresses": "",
    # What a killed program loses is what these tests ask; that a machine loses its power is PostgreSQL's own affair.
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",  # nothing here lives long enough
    "max_connections": "200",
    "shared_buffers": "32MB",
}


def _program(name: str) -> Path:
    found = sorted(_PROGRAMS.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]), reverse=True)
    if not found and (elsewhere := shutil.which(name)):
        return Path(elsewhere)
    assert found, f"there is no PostgreSQL server ({name}); install Debian's `postgresql`"
    return found[0]


def _start() -> str:
    """Starts a server that ends with this process; the directory of its socket."""
    directory = Path(tempfile.mkdtemp(prefix="tocsin-postgres-"))
    as_user: dict[str, object] = {}
    if os.geteuid() == 0:  # as which it refuses to run
        user = pwd.getpwnam("postgres")
        os.chown(directory, user.pw_uid, user.pw_gid)
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    run = {"cwd": directory, "stdin": subprocess.DEVNULL, **as_user}
    data = directory / "data"
    subprocess.run(
        [_program("initdb"), "-D", data, "-U", "tocsin", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"],
        check=True,
        capture_output=True,
        **run,  # type: ignore[call-overload]
    )
    settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(
            [_program("postgres"), "-D", data, "-k", directory, *settings],
            stdout=log,
            stderr=log,
            **run,  # type: ignore[call-overload]
        )
    owner = os.getpid()

    def stop() -> None:
        if os.getpid() == owner:  # and not a fork of it
            server.terminate()
            try:
                server.wait(1)
            except subprocess.TimeoutExpired:  # someone still has a connection
                server.send_signal(2)
                server.wait(20)
            shutil.rmtree(directory, ignore_errors=True)

    atexit.register(stop)
    ready = [_program("pg_isready"), "-q", "-h", directory]
    for _ in range(600):
        if subprocess.run(ready, check=False).returncode == 0:
            return str(directory)
        assert server.poll() is None, (directory / "log").read_text()
        time.sleep(0.05)
    raise AssertionError("the PostgreSQL server does not come up")


def _server() -> str:
    if _VARIABLE not in os.environ:
        os.environ[_VARIABLE] = _start()
    return os.environ[_VARIABLE]


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
            await migrate(address(_TEMPLATE))
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
