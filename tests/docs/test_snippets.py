"""Every block of the documentation runs, in order, and shows what the page says."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.markdown import Page, pages
from tests.docs.session import Session
from tests.support.postgres import drop, empty_database
from tests.support.server import Server

_DATABASE = "postgresql://tocsin@db.example.com/tocsin"
_RUN = [page for page in pages() if page.blocks]


@pytest.mark.slow
@pytest.mark.parametrize("page", _RUN, ids=lambda page: page.name)
def test_a_page_says_what_happens(page: Page, tmp_path: Path) -> None:
    """A page that starts no server itself is read beside one, with the key of an account in TOCSIN_KEY: of the profile
    `standard`, but for the pages of the other profiles' events. Where it has a PostgreSQL database, there is one.
    """
    folder = tmp_path / "reader"
    folder.mkdir()
    if any("tocsin serve" in block.text for block in page.blocks):
        with _databases(page, folder) as names, Session(page, folder, names=names) as session:
            _play(page, session)
        return
    with Server(tmp_path / "server") as server:
        profile = page.path.stem if page.path.parent.name == "events" else "standard"
        known = {"TOCSIN_KEY": server.operator.shop("Rocket Shoes", profile).key}
        with Session(page, folder, known, {8400: int(server.url.rpartition(":")[2])}) as session:
            _play(page, session)


@contextmanager
def _databases(page: Page, folder: Path) -> Iterator[Mapping[str, str]]:
    """An empty one of a real PostgreSQL server, where the page has one."""
    run = [block.text for block in page.blocks if "norun" not in block.words]
    if not any(_DATABASE in text for text in run):
        yield {}
        return
    try:
        yield {_DATABASE: asyncio.run(empty_database(folder))}
    finally:
        asyncio.run(drop(folder))


def _play(page: Page, session: Session) -> None:
    for block in page.blocks:
        try:
            session.play(block)
        except AssertionError as error:
            raise pytest.fail.Exception(f"{block}: {error}", pytrace=False) from None
