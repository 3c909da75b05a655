"""What is merged in bulk: chunks of the timeline, external ids, and the log of writes."""

import asyncio
import tempfile
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.world import ALL, World, joined
from tocsin.clock import Millis
from tocsin.store.port import Accepted, DeliveryFilter, Duplicate, EventFilter
from tocsin.store.sqlite import timeline
from tocsin.store.sqlite.database import Database, connect
from tocsin.store.sqlite.recent import Recent
from tocsin.store.sqlite.store import migrate, open_sqlite

IDS = st.lists(st.integers(0, 2_000), min_size=1, max_size=300)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.dictionaries(st.integers(1, 3), IDS, min_size=1), st.booleans()),
        st.tuples(st.just("rise"), st.dictionaries(st.integers(1, 3), st.integers(1, 300), min_size=1), st.booleans()),
        st.tuples(st.just("remove"), st.dictionaries(st.integers(1, 3), IDS, min_size=1), st.none()),
    ),
    max_size=12,
)


@given(
    steps=STEPS,
    before=st.integers(0, 4_000),
    least=st.integers(0, 3_000),
    count=st.integers(1, 400),
    unmerged=st.sets(st.integers(0, 4_000), max_size=20),
)
@settings(max_examples=150)
def test_chunks_hold_what_was_put_into_them(steps, before, least, count, unmerged):
    """However ids come and go, late, twice or in order, each account has its own, once, and chunks do not overlap."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "t.db"
        migrate(path)
        database = Database(connect(path, readonly=False, cache_kib=1024))
        model: dict[int, set[int]] = {1: set(), 2: set(), 3: set()}
        for kind, accounts, tidy in steps:
            if kind == "add":
                timeline.add(database, accounts, tidy=tidy)
                for account, ids in accounts.items():
                    model[account].update(ids)
            elif kind == "rise":
                new = {a: [*range(top := max(model[a], default=0) + 1, top + n)] for a, n in accounts.items()}
                timeline.add(database, new, tidy=tidy)
                for account, ids in new.items():
                    model[account].update(ids)
            else:
                timeline.remove(database, accounts)
                for account, ids in accounts.items():
                    model[account].difference_update(ids)
        for account, ids in model.items():
            chunks = [
                (last, list(timeline.read(c)))
                for last, c in database.rows(
                    "SELECT last, ids FROM timeline WHERE account_id = ? ORDER BY last", (account,)
                )
            ]
            assert [id_ for _, chunk in chunks for id_ in chunk] == sorted(ids)
            assert all(last == chunk[-1] and len(chunk) <= 120 for last, chunk in chunks)
            wanted = sorted((id_ for id_ in ids | unmerged if least <= id_ < before), reverse=True)[:count]
            assert timeline.near(database, account, list(unmerged), before, least, count) == wanted
            assert list(timeline.oldest(database, account)) == (chunks[0][1] if chunks else [])
        database.connection.close()


async def test_small_chunks_are_filled_up_in_quiet_moments(tmp_path: Path):
    """An account that gets an event now and then ends up with few full chunks, not with one for each event."""
    path = tmp_path / "t.db"
    migrate(path)
    database = Database(connect(path, readonly=False, cache_kib=1024))
    for id_ in range(600):
        timeline.add(database, {1: [id_]}, tidy=True)
    assert database.value("SELECT count(*) FROM timeline") <= 10
    database.connection.close()


def chunks(world: World) -> int:
    connection = apsw.Connection(str(world.directory / "tocsin.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return connection.execute("SELECT count(*) FROM timeline").fetchall()[0][0]
    finally:
        connection.close()


async def restart(world: World, **bounds: int) -> None:
    """Closes the store and opens it with other bounds of what is merged when."""
    await world.store.close()
    world.store = await open_sqlite(world.directory / "tocsin.db", clock=world.clock, recent=Recent(**bounds))
    world.epoch = await joined(world.store, world.now)


async def lists(world: World, account) -> tuple[list[int], list[int]]:
    events, _ = await world.store.records.events(account.id, EventFilter(), ALL)
    deliveries, _ = await world.store.records.deliveries(account.id, DeliveryFilter(), ALL)
    return [event.id for event in events], [delivery.id for delivery in deliveries]


async def test_lists_are_the_same_before_and_after_merging(world: World):
    """What is listed, and what is known by its external id, does not depend on what was merged or on a restart."""
    accounts = [await world.account() for _ in range(6)]
    hooks = {account.id: await world.webhook(account) for account in accounts}
    await restart(world, full=25, full_keys=10, quiet=1 << 30)
    expected: dict[int, list[list[int]]] = {account.id: [[], []] for account in accounts}
    first: dict[tuple[int, int], int] = {}
    for i in range(12):
        for account in accounts:
            new = [await world.new_event(account, hooks[account.id], external_id=f"e{i}.{j}") for j in range(4)]
            assert await world.ingest(*new) == [Accepted()] * 4
            for j, event in enumerate(new):
                expected[account.id][0].insert(0, event.id)
                expected[account.id][1].insert(0, event.deliveries[0].id)
                first[account.id, i * 4 + j] = event.id
        if i % 4 == 3:
            await restart(world, full=25, full_keys=10, quiet=1 << 30)
        for account in accounts:
            assert await lists(world, account) == tuple(expected[account.id])
            again = await world.new_event(account, external_id=f"e{i // 2}.3")
            (answer,) = await world.ingest(again)
            assert isinstance(answer, Duplicate)
            assert answer.event_id == first[account.id, i // 2 * 4 + 3]
    assert chunks(world) >= len(accounts)


async def test_what_is_committed_late_is_not_lost(world: World):
    """An event whose id was made long before it was stored is listed in its place, also after a crash."""
    account = await world.account()
    webhook = await world.webhook(account)
    early = await world.new_event(account, webhook, external_id="early")
    world.clock.advance(60)
    await restart(world, full=1, full_keys=1, quiet=1)
    late = [await world.accept(account, webhook) for _ in range(3)]
    while chunks(world) == 0:
        await world.accept(await world.account())
    await restart(world, full=1 << 30, full_keys=1 << 30, quiet=1 << 30)
    assert await world.ingest(early) == [Accepted()]
    wanted = [event.id for event in reversed([early, *late])]
    assert (await lists(world, account))[0] == wanted
    await restart(world, full=1 << 30, full_keys=1 << 30, quiet=1 << 30)
    assert (await lists(world, account))[0] == wanted
    assert isinstance((await world.ingest(await world.new_event(account, external_id="early")))[0], Duplicate)
    await restart(world, full=1, full_keys=1, quiet=1)
    await world.accept(account, webhook)
    assert (await lists(world, account))[0][1:] == wanted


async def test_a_merge_that_fails_loses_nothing(world: World, caplog):
    """While merging fails everything goes on as before, and what was not merged is merged later."""
    account = await world.account()
    await restart(world, full=1, full_keys=1, quiet=1)
    writer = world.store._writer
    await writer.do(lambda db: db.execute("ALTER TABLE timeline RENAME TO elsewhere") and None)
    accepted = [await world.accept(account, external_id=f"e{i}") for i in range(5)]
    assert isinstance((await world.ingest(await world.new_event(account, external_id="e3")))[0], Duplicate)
    assert "store_failed" in [record.message for record in caplog.records]
    await writer.do(lambda db: db.execute("ALTER TABLE elsewhere RENAME TO timeline") and None)
    accepted.append(await world.accept(account))
    assert (await lists(world, account))[0] == [event.id for event in reversed(accepted)]
    await restart(world)
    assert (await lists(world, account))[0] == [event.id for event in reversed(accepted)]


async def test_purging_reaches_what_was_not_merged(world: World):
    """Rows are purged wherever they are listed, and are not listed afterwards, nor after a restart."""
    account = await world.account()
    old = [await world.accept(account, external_id=f"e{i}") for i in range(5)]
    world.clock.advance(100)
    new = await world.accept(account, external_id="new")
    before = Millis(world.now - 50_000)
    purged = await world.store.housekeeping.purge(
        bodies_before=before, logs_before=before, dedupe_before=before, now=world.now, limit=100
    )
    assert (purged.events, purged.dedupe) == (5, 5)
    assert (await lists(world, account))[0] == [new.id]
    await world.reopen()
    assert (await lists(world, account))[0] == [new.id]
    assert await world.ingest(await world.new_event(account, external_id="e0")) == [Accepted()]
    assert len(old) == 5


async def test_a_merge_that_is_rolled_back_is_forgotten(tmp_path: Path):
    """After a merge that did not become durable, what comes later hides nothing of what is still to be merged."""
    path = tmp_path / "t.db"
    migrate(path)
    database = Database(connect(path, readonly=False, cache_kib=1024))
    recent = Recent(full=1)
    recent.load(database)
    for id_ in (100, 200):
        recent.add(database, [(1, id_)])
        recent.committed()
    bucket, _ = recent.due(quiet=False)
    database.execute("BEGIN")
    recent.merge(database, bucket, None, quiet=False)
    database.execute("ROLLBACK")
    recent.back_to(None)
    database.execute("INSERT INTO event VALUES (100, 1, '', 0, 0, NULL, '', 0, 0, NULL, NULL, NULL, NULL)")
    recent.add(database, [(1, 150)])
    recent.committed()
    reopened = Recent()
    reopened.load(database)
    assert reopened.ids_of(1) == [100]
    database.connection.close()


@pytest.mark.parametrize("reading", [False, True])
async def test_the_log_of_writes_stays_short(world: World, reading: bool):  # noqa: FBT001
    """The write-ahead log is moved into the file and begun anew; where a reader holds it, as soon as that lets go."""
    account = await world.account()
    await world.store.close()
    path = world.directory / "tocsin.db"
    world.store = await open_sqlite(path, clock=world.clock, log_pages=100)
    world.epoch = await joined(world.store, world.now)
    checkpoints = world.store._checkpoints
    reader = connect(path, readonly=True, cache_kib=256)

    async def begun_anew(writes: int) -> bool:
        for _ in range(writes):
            pages = checkpoints._pages
            await world.accept(account, data=b"x" * 8_000)
            if checkpoints._pages < pages:
                return True
            await asyncio.sleep(0.001)
        return False

    if reading:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM event").fetchall()
        assert not await begun_anew(300)
        assert checkpoints._pages > 400
    reader.close(force=True)
    for _ in range(3):
        assert await begun_anew(5_000)
    assert await world.store.housekeeping.check() == []
