"""What SQLite refuses: a full disk, a broken file, jobs at fault, reading only."""

import asyncio
import threading
from collections.abc import Iterator

import apsw
import pytest

from tests.store.world import ALL, World, joined
from tocsin.clock import Millis
from tocsin.errors import Conflict, Misconfigured, Unavailable
from tocsin.store.port import Accepted, EventFilter
from tocsin.store.sqlite import open_sqlite
from tocsin.store.sqlite.database import connect
from tocsin.store.sqlite.migrations import migrations, newest
from tocsin.store.sqlite.store import check, migrate
from tocsin.store.sqlite.writer import Writer, WritingDatabase


async def test_a_full_disk_is_told_and_survived(world: World):
    """While the disk is full nothing is accepted and nothing is lost; once there is space it goes on by itself."""
    account = await world.account()
    webhook = await world.webhook(account)
    before = await world.accept(account, webhook, claimed=True, external_id="before")
    writer = world.store._writer
    pages = await writer.do(lambda db: db.value("PRAGMA page_count"))
    await writer.do(lambda db: db.value(f"PRAGMA max_page_count = {pages + 4}"))
    refused = [await world.new_event(account, webhook, data=b"x" * 5_000, external_id=f"e{i}") for i in range(40)]
    answers = await asyncio.gather(*(world.ingest(event) for event in refused), return_exceptions=True)
    told = [answer for answer in answers if isinstance(answer, Unavailable)]
    assert told
    assert {(answer.code, "full" in answer.detail) for answer in told} == {("store_unavailable", True)}
    taken = [event.id for event, answer in zip(refused, answers, strict=True) if answer == [Accepted()]]
    with pytest.raises(Unavailable):
        await world.ingest(*[await world.new_event(account, data=b"x" * 60_000)])
    events, _ = await world.store.records.events(account.id, EventFilter(), ALL)
    assert [event.id for event in reversed(events)] == [before.id, *taken]

    await writer.do(lambda db: db.value("PRAGMA max_page_count = 1000000"))
    again = [event for event in refused if event.id not in taken]
    assert await world.ingest(*again) == [Accepted()] * len(again)
    await world.settle(world.settlement(before.deliveries[0].id))
    await world.reopen()
    events, _ = await world.store.records.events(account.id, EventFilter(), ALL)
    assert len(events) == 41
    assert await world.store.housekeeping.check() == []


async def test_a_broken_file_is_reported(world: World):
    """The check finds damage and says where."""
    account = await world.account()
    for _ in range(50):
        await world.accept(account, data=b"x" * 3_000)
    path = world.directory / "tocsin.db"
    await world.store.close()
    with path.open("r+b") as file:
        for page in range(60, 70):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    assert check(path)
    with pytest.raises(Misconfigured, match="damaged"):
        await world.open()


async def test_reading_only_beside_a_server(world: World):
    """A second process may look while the first writes; it sees what is committed, and writes nothing."""
    account = await world.account()
    looking = await open_sqlite(world.directory / "tocsin.db", clock=world.clock, readonly=True)
    assert await looking.accounts.get(account.id) == account
    event = await world.accept(account)
    assert await looking.records.event(account.id, event.id) is not None
    assert await looking.ready()
    with pytest.raises(Unavailable):
        await joined(looking, Millis(0))
    await looking.close()
    assert await world.ingest(await world.new_event(account)) == [Accepted()]


async def test_reading_only_needs_this_programs_schema(tmp_path, world: World):
    """Looking at an older schema says what to do."""
    path = tmp_path / "old.db"
    apsw.Connection(str(path)).close()
    with pytest.raises(Misconfigured, match="tocsin migrate"):
        await open_sqlite(path, clock=world.clock, readonly=True)
    assert migrations()[-1].number == newest()


async def test_a_stale_outcome_leaves_no_row(world: World):
    """Attempts that belong to nothing are not stored at all."""
    account = await world.account()
    webhook = await world.webhook(account)
    ids = [(await world.accept(account, webhook, claimed=True)).deliveries[0].id for _ in range(3)]
    await world.settle(*(world.settlement(id_) for id_ in ids[:2]))
    await world.settle(*(world.settlement(id_) for id_ in ids), world.settlement(world.ids.next()))
    stored = await world.store._writer.do(lambda db: db.rows("SELECT delivery_id FROM attempt ORDER BY 1"))
    assert stored == [(id_,) for id_ in ids]


async def test_what_was_rolled_back_is_not_remembered(world: World):
    """After a commit that failed, events are judged by the settings that are stored, not by those that were not."""
    account = await world.account()
    event = await world.new_event(account)
    behind = await world.new_event(account, config_version=event.config_version + 1)
    connection = world.store._connection

    def fail() -> None:
        raise apsw.FullError("disk")

    connection.set_commit_hook(fail)
    answers = await asyncio.gather(world.webhook(account), world.ingest(behind), return_exceptions=True)
    connection.set_commit_hook(None)
    assert [type(answer) for answer in answers] == [Unavailable, Unavailable]
    assert await world.ingest(event) == [Accepted()]


async def test_every_answer_is_synced(world: World):
    """Whatever was done in quiet moments, the transactions of callers are synced to the disk."""
    account = await world.account()
    world.store._writer._database.recent._full = 1
    for _ in range(5):
        await world.accept(account)
        assert await world.store._writer.do(lambda db: db.value("PRAGMA synchronous")) == 2


# --- the writer ---------------------------------------------------------------------------------------------------


class Counting:
    """Counts transactions: chores are called after each."""

    def __init__(self) -> None:
        self.commits = 0

    def __call__(self, _database: object, quiet: bool) -> bool:  # noqa: FBT001 - as the writer calls it
        self.commits += not quiet
        return False


@pytest.fixture
def database(tmp_path) -> Iterator[WritingDatabase]:
    path = tmp_path / "w.db"
    migrate(path)
    connection = connect(path, readonly=False, cache_kib=1024)
    connection.execute("CREATE TABLE t (x INTEGER PRIMARY KEY) STRICT")
    yield WritingDatabase(connection)
    connection.close()


async def test_what_waits_together_is_committed_together(database: WritingDatabase):
    """Jobs that come while the writer is busy share the next transaction, and are answered in order."""
    commits = Counting()
    writer = Writer(database, commits)
    busy = threading.Event()
    first = asyncio.ensure_future(writer.do(lambda _: busy.wait(10)))
    await asyncio.sleep(0.01)
    order: list[int] = []

    async def insert(x: int) -> None:
        await writer.do(lambda db: db.change("INSERT INTO t VALUES (?)", (x,)))
        order.append(x)

    inserts = [asyncio.ensure_future(insert(x)) for x in range(100)]
    await asyncio.sleep(0)
    assert order == []
    busy.set()
    await asyncio.gather(first, *inserts)
    assert order == [*range(100)]
    await writer.close()
    assert commits.commits == 2


@pytest.mark.parametrize("fenced", [True, False])
async def test_a_job_that_raises_fails_alone(database: WritingDatabase, fenced: bool):  # noqa: FBT001
    """Everything that a raising job did is undone, and nothing that the others of its transaction did."""
    writer = Writer(database)
    runs: list[int] = []

    def job(x: int, error: Exception | None):
        def run(db):
            runs.append(x)
            db.change("INSERT INTO t VALUES (?)", (x,))
            db.versions[x] = x
            if error is not None:
                raise error
            return x

        return run

    busy = threading.Event()
    first = asyncio.ensure_future(writer.do(lambda _: busy.wait(10)))
    await asyncio.sleep(0.01)
    errors = {3: Conflict("no"), 5: ValueError("odd"), 7: apsw.ConstraintError("dup")}
    jobs = [asyncio.ensure_future(writer.do(job(x, errors.get(x)), fenced=fenced)) for x in range(10)]
    await asyncio.sleep(0)
    busy.set()
    await first
    answers = await asyncio.gather(*jobs, return_exceptions=True)
    assert [errors.get(x, x) for x in range(10)] == answers
    stored = await writer.do(lambda db: [x for (x,) in db.rows("SELECT x FROM t")])
    assert stored == [0, 1, 2, 4, 6, 8, 9]
    assert len(runs) == (10 if fenced else 14)  # bare: up to the first that raised, then all again
    await writer.close()


async def test_a_commit_that_fails_is_no_success(database: WritingDatabase):
    """If the commit itself fails every job of it is told so, and the next transaction is a fresh one."""
    writer = Writer(database)
    errors = {"store_unavailable": apsw.FullError("disk"), "commit_unknown": apsw.IOError("sync")}

    def failing(error: Exception):
        def hook() -> None:
            raise error

        return hook

    for code, error in errors.items():
        database.connection.set_commit_hook(failing(error))
        with pytest.raises(Unavailable) as told:
            await writer.do(lambda db: db.change("INSERT INTO t VALUES (1)"))
        assert told.value.code == code
        database.connection.set_commit_hook(None)
        assert await writer.do(lambda db: db.rows("SELECT x FROM t")) == []
    await writer.do(lambda db: db.change("INSERT INTO t VALUES (1)"))
    assert await writer.do(lambda db: db.rows("SELECT x FROM t")) == [(1,)]
    await writer.close()
