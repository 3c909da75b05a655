"""The real command, killed at every place where it can matter, and at any moment."""

import asyncio
import os
import random
import signal
import subprocess
import sys

import pytest

from tests.store.moving.conftest import Moving
from tests.store.moving.filling import KEY, VISITOR, fill
from tests.store.moving.test_moving import holds_the_same
from tests.store.test_erasure import erase
from tests.store.world import ALL
from tocsin.errors import Misconfigured

# One after the other, each in the run after the one before. A piece is a whole noun here, of which there are 19.
PLACES = (
    (
        *("before_piece:1", "after_piece:3", "after_emptied:1", "before_piece:4", "after_piece:6"),
        *("between_marks:1", "after_marks:1"),
    ),
    ("before_piece:2", "after_emptied:3", "before_piece:1", "after_piece:2", "between_marks:1"),
)


def command(moving: Moving, failpoint: str = "") -> subprocess.Popen[bytes]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    environ |= {"TOCSIN_DB": moving.url} | ({"TOCSIN_FAILPOINT": failpoint} if failpoint else {})
    return subprocess.Popen(
        [sys.executable, "-m", "tocsin", "migrate", "--from", f"sqlite:///{moving.path}", "--json"],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def keep_key(moving: Moving) -> None:
    file = moving.path.with_name("tocsin.db.key")
    file.write_bytes(KEY)
    file.chmod(0o600)


async def startable(moving: Moving) -> set[str]:
    """Where a server would start now, and find the installation."""
    found = set()
    for name, start in (("source", moving.source), ("target", moving.target)):
        try:
            store = await start()
        except Misconfigured:
            continue
        if await store.keys.operator_key_exists():
            found.add(name)
        await store.close()
    return found


@pytest.mark.parametrize("places", PLACES, ids=["settled", "early"])
async def test_killed_anywhere_it_goes_on(moving: Moving, places: tuple[str, ...]):
    """Killed before and after pieces, while changed ones are taken out, and between its two last words: the next run
    goes on, nowhere a server would start on both, and in the end all is there.
    """
    keep_key(moving)
    async with moving.world as world:
        await fill(world, weeks=2)
        await moving.run(rows=5_000)
        await erase(world, (await world.store.accounts.list(ALL))[0], VISITOR)
    for place in places:
        killed = command(moving, place)
        said = killed.communicate(timeout=60)[0].decode()
        assert killed.returncode == -signal.SIGKILL, (place, said)
        at = {"between_marks:1": set(), "after_marks:1": {"target"}}.get(place, {"source"})
        assert await startable(moving) == at, place
    last = command(moving)
    assert last.communicate(timeout=60)[0] is not None
    assert last.returncode == 0
    assert await startable(moving) == {"target"}
    await holds_the_same(moving)


@pytest.mark.parametrize("seed", range(2))
async def test_killed_at_any_moment_it_goes_on(moving: Moving, seed: int):
    """As above, whenever it is."""
    dice = random.Random(seed)
    keep_key(moving)
    async with moving.world as world:
        await fill(world, weeks=2)
    for _ in range(6):
        running = command(moving)
        try:
            running.communicate(timeout=dice.uniform(0.4, 2.5))
        except subprocess.TimeoutExpired:
            running.kill()
            running.communicate()
        assert len(await startable(moving)) <= 1
    last = command(moving)
    last.communicate(timeout=60)
    assert last.returncode == 0
    await holds_the_same(moving)


async def test_interrupted_by_hand(moving: Moving):
    """Ctrl-C ends it at once and without a word of alarm; the next run goes on."""
    keep_key(moving)
    async with moving.world as world:
        await fill(world, weeks=1)
    running = command(moving, "after_piece:6:stop")
    await asyncio.to_thread(os.waitid, os.P_PID, running.pid, os.WSTOPPED | os.WNOWAIT)
    running.send_signal(signal.SIGINT)
    running.send_signal(signal.SIGCONT)
    said = running.communicate(timeout=60)[0].decode()
    assert running.returncode == 130, said
    assert "Traceback" not in said
    assert (await moving.run()).complete
    await holds_the_same(moving)
