"""Receivers that end with the test or the module that started them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.dialects.receiving import Kind, Receiver


class Starter:
    """Starts receivers, each with a folder of its own for its log."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._count = 0

    def __call__(self, kind: Kind, secret: str) -> Receiver:
        self._count += 1
        return self._stack.enter_context(Receiver(kind, secret, self._folder / f"receiver-{self._count}"))


@pytest.fixture
def start_receiver(tmp_path: Path) -> Iterator[Starter]:
    """Starts a receiver of the test's own: ``start_receiver(kind, secret)``."""
    with ExitStack() as stack:
        yield Starter(tmp_path, stack)
