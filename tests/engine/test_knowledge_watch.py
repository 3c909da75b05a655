"""Files of a user that are renewed while the server runs."""

import asyncio
import logging
from pathlib import Path

import pytest

from tocsin.engine.knowledge_watch import KnowledgeWatch
from tocsin.triggers.knowledge import Knowledge


def test_renewed_files_are_read_and_broken_ones_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Each is logged; what is known is the last that was understood."""
    file = tmp_path / "vpn.txt"
    file.write_text("198.51.100.1 One\n")
    knowledge = Knowledge([tmp_path])
    watch = KnowledgeWatch(knowledge)

    async def look() -> list[str]:
        caplog.clear()
        await watch.look()
        return [record.message for record in caplog.records]

    with caplog.at_level(logging.INFO):
        assert asyncio.run(look()) == []
        file.write_text("198.51.100.1 Another\n")
        assert asyncio.run(look()) == ["knowledge_renewed"]
        file.write_text("nonsense\n")
        assert asyncio.run(look()) == ["knowledge_kept"]
    assert knowledge.address("198.51.100.1").vpn == "Another"


def test_it_looks_only_where_there_is_something_to_see(tmp_path: Path):
    """Without files no task runs; with some it runs until it is stopped."""

    async def tasks(knowledge: Knowledge) -> tuple[int, int]:
        watch = KnowledgeWatch(knowledge)
        watch.start()
        running = len(asyncio.all_tasks())
        await watch.stop()
        return running, len(asyncio.all_tasks())

    assert asyncio.run(tasks(Knowledge())) == (1, 1)
    assert asyncio.run(tasks(Knowledge([tmp_path]))) == (2, 1)
