"""What is known is read in threads: the packages once, when they are needed; a user's files whenever they change."""

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.api.site import Site
from tests.support.waiting import until
from tocsin.engine.activity.knowledge_watch import KnowledgeWatch
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


class Slow(Knowledge):
    """Loads as long as it is told to; says in which threads it was read."""

    def __init__(self, *faults: Exception) -> None:
        self.may_end = threading.Event()
        self.loads: list[threading.Thread] = []
        self.reads: list[threading.Thread] = []
        self._faults = list(faults)
        super().__init__()
        self.reads.clear()

    def load(self) -> None:
        self.loads.append(threading.current_thread())
        assert self.may_end.wait(10)
        if self._faults:
            raise self._faults.pop()
        super().load()

    def refresh(self) -> bool:
        self.reads.append(threading.current_thread())
        return super().refresh()


def test_packages_are_loaded_once_and_beside_everything_else():
    """Those who need them wait for one load in a thread; the loop is free, and one who goes away ends nothing."""
    knowledge = Slow()

    async def run() -> None:
        watch = KnowledgeWatch(knowledge)
        waiting = [asyncio.ensure_future(watch.ready()) for _ in range(3)]
        while not knowledge.loads:
            await asyncio.sleep(0)
        assert not any(one.done() for one in waiting)
        waiting[0].cancel()
        knowledge.may_end.set()
        await asyncio.gather(*waiting[1:], watch.ready())

    asyncio.run(run())
    (thread,) = knowledge.loads
    assert thread is not threading.current_thread()


def test_a_load_that_failed_is_tried_again():
    """By the next one who needs it; those who waited for it are told."""
    knowledge = Slow(OSError("no file"))
    knowledge.may_end.set()

    async def run() -> list[BaseException | None]:
        watch = KnowledgeWatch(knowledge)
        told = await asyncio.gather(watch.ready(), watch.ready(), return_exceptions=True)
        await watch.ready()
        await watch.ready()
        return told

    assert [type(one) for one in asyncio.run(run())] == [OSError, OSError]
    assert len(knowledge.loads) == 2


def test_a_users_files_are_read_again_beside_everything_else():
    """By a thread of its own."""
    knowledge = Slow()
    asyncio.run(KnowledgeWatch(knowledge).look())
    (thread,) = knowledge.reads
    assert thread is not threading.current_thread()


def test_only_activity_waits_for_the_packages(tmp_path: Path):
    """Whoever posts the first click waits for its answer; events are taken and delivered meanwhile."""
    knowledge = Slow()
    with Site(tmp_path) as site, ThreadPoolExecutor(1) as beside:
        shop = site.operator.shop()
        site.app.activities._ready = KnowledgeWatch(knowledge).ready
        click = {"kind": "click", "click_id": "c", "visitor": {"id": "v"}}
        posted = beside.submit(shop.post, "/v1/activity", click)
        until(lambda: knowledge.loads, "the load")
        assert shop.publish()["duplicate"] is False
        assert not posted.done()
        knowledge.may_end.set()
        assert posted.result(10)["results"][0]["status"] == "accepted"
