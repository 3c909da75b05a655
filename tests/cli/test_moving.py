"""``tocsin migrate --from … --to …`` as people use it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Terminal
from tests.support.postgres import drop, empty_database
from tests.support.server import Server

FROM = ("--from", "sqlite:///tocsin.db")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    yield asyncio.run(empty_database(tmp_path))
    asyncio.run(drop(tmp_path))


@pytest.fixture
def stopped(terminal: Terminal) -> Terminal:
    """Where a server ran until a moment ago."""
    with Server(terminal.folder) as server:
        server.operator.shop()
        server.stop()
    return terminal


def test_what_it_shows(stopped: Terminal, url: str) -> None:
    """A table of what was moved, and how to go on; as JSON the same; and that it was moved before."""
    ran = stopped.ok("migrate", *FROM, "--to", url)
    assert "accounts" in ran.out
    assert "counted and compared" in ran.err
    assert 'TOCSIN_SECRET_KEY="$(openssl base64 -A -in tocsin.db.key)"' in ran.err
    assert "copy" in ran.err
    again = stopped.ok("migrate", *FROM, "--to", url, "--json")
    assert again.json["already"] is True
    stopped.ok("migrate", *FROM, "--undo")
    assert "make that database anew" in stopped("migrate", *FROM, "--to", url).err


def test_as_json(stopped: Terminal, url: str) -> None:
    """How many rows of each table, and a digest of each noun, on stdout."""
    found = stopped.json("migrate", *FROM, db=url)
    assert found["from"] == "sqlite:///tocsin.db"
    assert found["to"].startswith("postgresql://")
    assert found["tables"]["account"] == 1
    assert found["tables"]["api_key"] == 2
    assert len(found["digests"]["accounts"]) == 32
    assert found["left"] == {}


def test_undoing_both(stopped: Terminal, url: str) -> None:
    """With --to the database is refused to servers from then on."""
    stopped.ok("migrate", *FROM, "--to", url)
    assert "can start on sqlite:///tocsin.db again" in stopped.ok("migrate", *FROM, "--to", url, "--undo").err
    with Server(stopped.folder) as server:
        assert server.operator.get("/v1/accounts")["data"]
        server.stop()
    ran = stopped("serve", "--port", 0, db=url, secret_key="A" * 43 + "=")
    assert ran.code == 2
    assert "that was undone" in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--to", "postgresql://localhost/x"), "--from sqlite:///tocsin.db"),
        (("--undo",), "--from sqlite:///tocsin.db"),
        (("--from", "postgresql://localhost/x"), "the address of a file"),
        ((*FROM, "--to", "sqlite:///other.db"), "the address of a database"),
        ((*FROM,), "the address of a database"),
        ((*FROM, "--status"), "leave --from out"),
        ((*FROM, "--to", "postgresql://127.0.0.1:1/x"), "tocsin.db is not there"),
    ],
)
def test_slips(terminal: Terminal, arguments: tuple[str, ...], said: str) -> None:
    """What is missing or of the wrong kind is said in one line: exit code 2."""
    ran = terminal("migrate", *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_a_database_that_is_not_there(stopped: Terminal) -> None:
    """One that cannot be reached is said, and the file is as it was."""
    ran = stopped("migrate", *FROM, "--to", "postgresql://tocsin:secret@127.0.0.1:1/x")
    assert ran.code == 2
    assert "postgresql://127.0.0.1/x cannot be opened" in ran.err
    assert "secret" not in ran.err
    with Server(stopped.folder) as server:
        server.stop()
