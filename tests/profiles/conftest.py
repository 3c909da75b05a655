"""Dialects, and a real JavaScript engine to ask."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.runtimes import Node
from tocsin.clock import Millis
from tocsin.profiles import Facts, Profile, load, names
from tocsin.profiles.loader import DATA


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    node = Node()
    yield node
    node.close()


@pytest.fixture(scope="session")
def dialects() -> Mapping[str, Profile]:
    """All that there are, by name."""
    return {name: load(name) for name in names()}


@pytest.fixture(scope="session")
def make_facts() -> Any:
    def make(**changed: Any) -> Facts:
        facts = {
            "event_id": "evt_06f3k9w2zq8rt",
            "type": "ad.click",
            "timestamp": Millis(1_773_480_413_080),  # 2026-03-14T09:26:53.080Z
            "data": b'{"click_id":"clk_1"}',
            "webhook_id": "wh_06f3k9w2zq8rv",
            "account_id": "acc_06f3k9w2zq8rw",
            "account_external_id": None,
            "account_name": "Fibre “Spring”",
        }
        return Facts(**facts | changed)

    return make


@pytest.fixture
def edit(tmp_path: Path) -> Callable[..., Path]:
    """A copy of a dialect with one text of one file replaced by another."""

    def edit(dialect: str, file: str, old: str, new: str) -> Path:
        folder = tmp_path / dialect
        shutil.copytree(DATA / dialect, folder)
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))
        return folder

    return edit
