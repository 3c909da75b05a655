"""An installation that has one of everything is moved: what is there then is what was here, whatever happened."""

import asyncio
import random
import shutil
import threading

import asyncpg
import msgspec
import pytest

from tests.store.gathering import claimed, fold, opened, summary
from tests.store.moving.conftest import Moving, told
from tests.store.moving.filling import DAY_S, FAR, VISITOR, change, contents, deliveries, fill, settings_of
from tests.store.test_erasure import erase
from tests.store.test_retention import purge, purge_all
from tests.store.test_triggers import new_write
from tests.store.world import ALL, World, joined
from tests.support.postgres import drop, empty_database
from tocsin.clock import Millis
from tocsin.errors import Misconfigured, Unavailable
from tocsin.model import DeliveryState
from tocsin.store.moving import Moved, Progress, undo
from tocsin.store.moving.nouns import NOUNS
from tocsin.store.port import Accepted, DeliveryFilter, Duplicate
from tocsin.store.sqlite.database import connect
from tocsin.store.sqlite.lock import FileLock


async def holds_the_same(moving: Moving) -> None:
    """Both stores, opened as servers do after the one before has gone, tell the same."""
    shutil.copytree(moving.path.parent, moving.path.parent / "copy")
    copy = moving.path.parent / "copy" / moving.path.name
    raw = connect(copy, readonly=False, cache_kib=256)
    raw.execute("DELETE FROM meta WHERE name = 'moved_to'")
    raw.close()
    before = Moving(copy.parent, moving.url, "sqlite")
    source, target = await before.source(), await moving.target()
    try:
        now = moving.world.now
        await joined(source, now)
        await joined(target, now)
        here, there = await contents(source, now), await contents(target, now)
        assert list(here) == list(there)
        for noun, held in here.items():
            assert there[noun] == held, noun
    finally:
        await source.close()
        await target.close()


def rows(moved: Moved, table: str) -> int:
    return next(one.rows for one in moved.tables if one.table == table)


# === what is moved ==================================================================================================


@pytest.mark.parametrize("store", ["sqlite", "sqlite_eager"])
async def test_everything_is_there(moving: Moving, store: str):
    """Accounts, keys, webhooks and their versions, events, deliveries with every attempt, digests, what triggers
    remember, timers, notices, answers to repeat, the audit: all of it, whether the file had merged its lists or not.
    """
    moving.world = World(store, moving.path.parent)
    async with moving.world as world:
        await fill(world)
    moved = await moving.run()
    assert moved.complete
    assert all(one.rows for one in moved.tables), "a table that nothing was in shows nothing"
    assert moved.left == ()
    await holds_the_same(moving)


async def test_what_a_killed_server_was_sending_waits_again(moving: Moving):
    """A delivery that was claimed is put back with the due time it had; one that had ended, and was sent once more by
    hand, has ended as before.
    """
    async with moving.world as world:
        await fill(world, weeks=1)
        account = next(one for one in await world.store.accounts.list(ALL) if one.external_id == "brand:0")
        under_way = DeliveryFilter(state=DeliveryState.SENDING)
        sending, _ = await world.store.records.deliveries(account.id, under_way, ALL)
    assert len(sending) == 2
    assert (await moving.run()).complete
    target = await moving.target()
    states = {(await target.records.delivery(account.id, one.id)).state for one in sending}
    await target.close()
    assert states == {DeliveryState.PENDING, DeliveryState.FAILED}


async def test_old_rows_have_partitions_of_their_own(moving: Moving):
    """What was logged weeks ago lies in the partitions of its weeks, so that retention can drop them."""
    async with moving.world as world:
        await fill(world)
    await moving.run()
    for table in ("event", "delivery_log", "activity"):
        named = await moving.sql(f"SELECT count(DISTINCT tableoid) FROM {table}")
        assert named == 5, table
        assert not await moving.sql(f"SELECT count(*) FROM {table}_before")


async def test_new_ids_and_audit_entries_come_after_the_old(moving: Moving):
    """What the new server makes has ids beyond all that were moved, even where its clock is behind; and so has the
    audit.
    """
    async with moving.world as world:
        await fill(world, weeks=1)
    await moving.run()
    target = await moving.target()
    newest = (await target.records.audit(None, ALL))[0].id
    early = Millis(moving.world.now - 10**9)
    numbers = {(await target.cluster.join(name="t", sends=True, now=early, bury_before=early)).number for _ in range(3)}
    assert 0 not in numbers  # whose ids lie beyond that instant
    moving.world.store = target
    await moving.world.account()
    assert (await target.records.audit(None, ALL))[0].id == newest + 1
    await target.close()


async def test_every_column_is_filled(moving: Moving):
    """A column that the database has, and nobody thought of here, is found by this and not by who moves."""
    await (await moving.target()).close()
    columns = "SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0"
    tables = [table for noun in NOUNS for table in noun.tables]
    left_out = {table.name: set(await moving.sql(columns, table.name)) - {*table.columns} for table in tables}
    assert {name: left for name, left in left_out.items() if left} == {"delivery_live": {"claimed_by", "prior"}}
    there = "SELECT array_agg(relname::text) FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
    others = set(await moving.sql(f"{there} AND relnamespace = 'public'::regnamespace")) - {one.name for one in tables}
    own = {"meta", "schema_version", "node", "node_number", "shard", "trigger_version", "moving_piece"}
    assert others == own


# === beside the server ==============================================================================================


async def test_most_is_moved_while_the_server_goes_on(moving: Moving):
    """Beside a server the logs are moved, and the command says that the rest needs it stopped; then only what is left
    is written.
    """
    async with moving.world as world:
        await fill(world)
        beside = await moving.run()
        assert not beside.complete
        assert "already open by process" in (beside.held or "")
        assert await moving.sql("SELECT count(*) FROM event") > 50
        assert await moving.sql("SELECT count(*) FROM account") == 0
        assert "is not complete" in await told(moving.target, Misconfigured)
    written: list[Progress] = []
    moved = await moving.run(written.append)
    assert moved.complete
    again = [one for one in written if (one.step, one.noun) == ("copy", "events") and not one.ended]
    assert sum(1 for _ in again) < rows(moved, "event") / 7 / 2
    await holds_the_same(moving)


async def test_whatever_changes_meanwhile(moving: Moving):
    """Between the runs: new events, an erasure, retention, a manual retry, cancelled and settled deliveries, webhooks
    changed and deleted, an account removed whose external id another takes, triggers at work.
    """
    async with moving.world as world:
        await fill(world)
        await moving.run()
        accounts = await world.store.accounts.list(ALL)
        account, other, third = accounts[0], accounts[1], accounts[2]
        await erase(world, account, VISITOR)
        webhook = (await world.store.webhooks.list(other.id, ALL))[0]
        await change(world, webhook, settings=settings_of(webhook, name="renamed"))
        failed, _ = await world.store.records.deliveries(other.id, DeliveryFilter(state=DeliveryState.FAILED), ALL)
        for one in failed:
            if await world.store.journal.claim_one(other.id, one.id, world.now, world.epoch):
                await world.store.journal.settle_manual(world.settlement(one.id, n=one.attempts + 1), world.epoch)
        for one in await world.claim(webhook):
            await world.settle(world.settlement(one.id, n=one.attempts + 1))
        pending, _ = await world.store.records.deliveries(third.id, DeliveryFilter(state=DeliveryState.PENDING), ALL)
        await world.store.journal.cancel(third.id, pending[0].id, world.now)
        await moving.run()
        await deliveries(world, other, (await world.store.webhooks.list(other.id, ALL))[-1], "later")
        await world.store.webhooks.remove(other.id, webhook.id, world.change())
        await world.store.accounts.remove(third.id, world.change())
        await world.account(external_id=third.external_id)
        write = await new_write(world, other, puts={"counter": (b"more", None)}, timers={"summary": None})
        assert await world.store.triggers.write([write], world.epoch) == [Accepted()]
        before = Millis(world.now - 15 * 86_400_000)
        for _ in range(20):
            await purge(world, bodies_before=before, logs_before=before, dedupe_before=before)
    assert (await moving.run()).complete
    await holds_the_same(moving)
    assert (
        await moving.sql("SELECT count(*) FROM event WHERE account_id = $1 AND visitor_id IS NOT NULL", account.id) == 0
    )


async def test_an_external_id_that_is_used_anew(moving: Moving):
    """One that retention forgot belongs to a new event: the one before has lost it in the new database too."""
    async with moving.world as world:
        await fill(world, weeks=2)
        await moving.run()
        for _ in range(20):
            await purge(world, dedupe_before=world.now)
        account = next(one for one in await world.store.accounts.list(ALL) if one.external_id == "brand:0")
        world.clock.advance(3_600)
        event = await world.accept(account, external_id="e1")
        world.clock.advance(3_600)
        await moving.run()
    assert (await moving.run()).complete
    found = await moving.sql("SELECT event_id FROM dedupe WHERE account_id = $1 AND external_id = 'e1'", account.id)
    assert found == event.id
    await holds_the_same(moving)


# === interrupted ====================================================================================================


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("seed", range(4))
async def test_it_goes_on_where_it_was(moving: Moving, seed: int):
    """Interrupted after any piece, again and again, it ends as if it had not been; what is there is not written
    twice.
    """
    dice = random.Random(seed)
    async with moving.world as world:
        await fill(world, weeks=2)

    def give_up_after(left: int):
        def tell(progress: Progress) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Interrupted

        return tell

    for _ in range(6):
        with pytest.raises(Interrupted):
            await moving.run(give_up_after(dice.randint(1, 25)))
    assert (await moving.run()).complete
    await holds_the_same(moving)


async def test_the_database_goes_away_halfway(moving: Moving):
    """A connection that is cut is told as such, with what to do; the next run goes on."""
    async with moving.world as world:
        await fill(world, weeks=1)
    admin = await asyncpg.connect(moving.url)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> $1"

    def tell(progress: Progress) -> None:
        if progress.noun == "events":
            admin._loop.create_task(admin.execute(cut, admin.get_server_pid()))

    said = await told(lambda: moving.run(tell), Unavailable)
    assert "run the same command again" in said
    await admin.close()
    assert (await moving.run()).complete
    await holds_the_same(moving)


async def test_a_run_that_was_overtaken_writes_nothing_more(moving: Moving):
    """Two at once: the later one has the move, and the earlier one is refused at its next piece."""
    async with moving.world as world:
        await fill(world, weeks=1)
    reached, go_on = threading.Event(), threading.Event()

    def tell(progress: Progress) -> None:
        if progress.noun == "events":
            reached.set()
            go_on.wait(20)

    held = FileLock(moving.path)  # so that neither waits for the other's
    earlier = asyncio.create_task(asyncio.to_thread(asyncio.run, moving.run(tell)))
    await asyncio.to_thread(reached.wait, 20)
    await moving.run()
    go_on.set()
    with pytest.raises(Unavailable, match="has taken this move over"):
        await earlier
    held.release()
    assert (await moving.run()).complete
    await holds_the_same(moving)


# === refused ========================================================================================================


async def test_a_database_in_use_is_not_moved_to(moving: Moving):
    """One that holds anything already, or another program's tables, is refused and left as it was."""
    async with moving.world as world:
        await fill(world, weeks=1)
    target = await moving.target()
    await target.keys.add(moving.world.new_key(None), moving.world.change())
    await target.close()
    assert "is in use (its table api_key has rows)" in await told(moving.run, Misconfigured)
    assert await moving.sql("SELECT count(*) FROM event") == 0
    assert await moving.sql("SELECT count(*) FROM meta WHERE name LIKE 'mov%'") == 0
    await moving.sql("DROP SCHEMA public CASCADE")
    await moving.sql("CREATE SCHEMA public CREATE TABLE things ()")
    assert "another program's database" in await told(moving.run, Misconfigured)


async def test_a_database_that_a_server_works_on(moving: Moving):
    """A worker that waits on the empty database would send what is moved there: it must be stopped first. One that was
    killed a minute ago is in nobody's way.
    """
    async with moving.world as world:
        await fill(world, weeks=1)
        target = await moving.target()
        await target.cluster.join(name="other-machine", sends=True, now=world.now, bury_before=world.now)
        await target.close()
        assert "works on it, at other-machine" in (await told(moving.run, Misconfigured)).replace(moving.shown, "it")
        world.clock.advance(61)
    assert (await moving.run()).complete


async def test_what_was_moved_is_not_moved_a_second_time(moving: Moving, tmp_path):
    """A move to one database is begun, another is completed: the first is not gone on with."""
    async with moving.world as world:
        await fill(world, weeks=1)
        await moving.run()
    (tmp_path / "second").mkdir()
    first, moving.url = moving.url, await empty_database(tmp_path / "second")
    try:
        assert (await moving.run()).complete
        moving.url = first
        assert "was moved to postgresql:///" in await told(moving.run, Misconfigured)
    finally:
        moving.url = first
        await drop(tmp_path / "second")


async def test_another_installation_is_not_moved_into_the_same(moving: Moving, tmp_path):
    """A database that is being filled from one file takes nothing from another."""
    async with moving.world as world:
        await fill(world, weeks=1)
        await moving.run()
    (tmp_path / "other").mkdir()
    other = Moving(tmp_path / "other", moving.url, "sqlite")
    other.world.clock.advance(1)
    async with other.world as world:
        await fill(world, weeks=1)
    assert "another installation" in await told(other.run, Misconfigured)
    assert (await moving.run()).complete
    assert "another installation" in await told(other.run, Misconfigured)


async def test_the_key_must_be_the_one(moving: Moving):
    """Without the key that the secrets are sealed with, or with another, nothing is moved."""
    async with moving.world as world:
        await fill(world, weeks=1)
    assert "bring back that one" in await told(lambda: moving.run(fingerprint="another"), Misconfigured)
    assert "is not there" in await told(lambda: moving.run(fingerprint=None), Misconfigured)
    assert await moving.sql("SELECT to_regclass('account')") is None


async def test_a_file_that_cannot_be_moved(moving: Moving):
    """One that is not there, or was never served, is told as such; none is made."""
    assert "is not there" in await told(moving.run, Misconfigured)
    assert not moving.path.exists()
    async with moving.world:
        pass
    assert "never served" in await told(moving.run, Misconfigured)


async def test_not_enough_rights(moving: Moving):
    """A user who may not make tables, or not write them, is told so."""
    async with moving.world as world:
        await fill(world, weeks=1)
    role = f"nobody_{moving.url.rpartition('?')[0].rpartition('/')[2]}"
    await moving.sql(f"CREATE ROLE {role} LOGIN")
    whole, moving.url = moving.url, moving.url.replace("//tocsin@", f"//{role}@")
    try:
        assert "permission denied" in await told(moving.run, Misconfigured)
        owner = Moving(moving.path.parent, whole, "sqlite")
        await (await owner.target()).close()
        await owner.sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        assert "must own the database" in await told(moving.run, Misconfigured)
    finally:
        moving.url = whole
        await moving.sql(f"DROP OWNED BY {role}")
        await moving.sql(f"DROP ROLE {role}")
    assert (await moving.run()).complete


async def test_texts_that_the_database_cannot_hold(moving: Moving):
    """A text with a NUL is named before anything is moved; once it is taken out all is moved."""
    async with moving.world as world:
        await fill(world, weeks=1)
        account = (await world.store.accounts.list(ALL))[0]
        timers = {"hold:\0": world.now}
        assert await world.store.triggers.write([await new_write(world, account, timers=timers)], world.epoch)
    moved = await moving.run()
    assert not moved.complete
    assert len(moved.unfit) == 1
    assert "'hold:\\x00'), column name" in moved.unfit[0]
    assert "acc_" in moved.unfit[0]
    assert await moving.sql("SELECT count(*) FROM event") == 0
    await (await moving.target()).close()  # nobody's yet
    raw = connect(moving.path, readonly=False, cache_kib=256)
    raw.execute("UPDATE timer SET name = 'another' WHERE instr(CAST(name AS BLOB), x'00')")
    raw.close()
    assert (await moving.run()).complete
    await holds_the_same(moving)


async def test_a_text_that_comes_while_it_is_moved(moving: Moving):
    """A NUL that comes after the first run is found when it is reached."""
    async with moving.world as world:
        await fill(world, weeks=1)
        await moving.run()
        account = (await world.store.accounts.list(ALL))[0]
        await world.store.accounts.change(msgspec.structs.replace(account, name="a\0b"), world.change())
    moved = await moving.run()
    assert not moved.complete
    assert "column name" in moved.unfit[0]


# === the check ======================================================================================================

SPOILED = {
    "a value": "UPDATE event SET data = 'other' WHERE id = (SELECT max(id) FROM event)",
    "a row is gone": "DELETE FROM delivery_log WHERE id = (SELECT max(id) FROM delivery_log)",
    "an attempt is gone": "DELETE FROM attempt WHERE id = (SELECT min(id) FROM attempt)",
    "an attempt of nothing": "INSERT INTO attempt SELECT 1, 2, 3, ''",
    "a name": "UPDATE dedupe SET event_id = 1 WHERE external_id = 'e0'",
    "a row too many": "INSERT INTO dedupe SELECT 1, 'x', 9000000000000000000",
}


@pytest.mark.parametrize("how", sorted(SPOILED))
async def test_what_somebody_else_changed_is_found(moving: Moving, how: str):
    """Whatever differs in the database from what was written, it is not complete, and the file is as it was."""
    async with moving.world as world:
        await fill(world, weeks=2)
        await moving.run()
        await moving.sql(SPOILED[how])
    moved = await moving.run()
    assert not moved.complete
    assert moved.differences
    assert "is not complete" in await told(moving.target, Misconfigured)
    source = await moving.source()
    await source.close()


# === it goes on =====================================================================================================


async def test_the_new_server_goes_on(moving: Moving):
    """What waited is claimed when it is due, with the attempts that it had; an open digest takes members and is sent;
    what was published, or asked, before is known; retention and erasure find what is theirs.
    """
    async with moving.world as world:
        await fill(world, weeks=1)
    assert (await moving.run()).complete
    world.store = await moving.target()
    try:
        world.epoch = await joined(world.store, world.now)
        await goes_on(world)
    finally:
        await world.store.close()


async def goes_on(world: World) -> None:
    account = next(one for one in await world.store.accounts.list(ALL) if one.external_id == "brand:0")
    chat, plain = await world.store.webhooks.list(account.id, ALL)
    assert (chat.shard, chat.muted_until) == (7, FAR)

    due = await world.claim(plain)
    assert sorted(one.attempts for one in due) == [0, 0, 0, 0]  # pending, given back, and put back; and of a trigger
    world.clock.advance(60 * DAY_S)
    (retried,) = await world.claim(plain)
    assert (retried.attempts, retried.tries, retried.claim_count) == (1, 1, 1)
    await world.settle(*(world.settlement(one.id, n=one.attempts + 1) for one in (*due, retried)))
    attempts = await world.store.records.attempts(account.id, retried.id)
    assert [one.n for one in attempts] == [1, 2]

    waiting = await opened(world, chat)
    (member,) = await claimed(world, account, chat)
    grown = await fold(world, account, chat, msgspec.structs.replace(waiting, summary=summary(3)), member)
    assert grown.delivery_id == waiting.delivery_id
    members = await world.store.digests.members(account.id, waiting.delivery_id, ALL)
    assert members[0].id == member
    assert len(members) == 3
    assert waiting.delivery_id in {one.id for one in await world.claim(chat)}

    (known,) = await world.ingest(await world.new_event(account, external_id="e0"))
    assert isinstance(known, Duplicate)
    taken = [
        await world.store.idempotency.begin(account.id, "POST /v1/x", key, b"d" * 32, world.now, FAR)
        for key in ("done", "under way")
    ]
    assert taken[0] is not None
    assert (taken[0].status, taken[1]) == (201, None)  # whoever ran the other has gone
    assert await world.store.keys.operator_key_exists()
    assert (await erase(world, account, VISITOR)).events == 6
    world.clock.advance(60 * DAY_S)
    assert (await purge_all(world)).remembered == 2


# === afterwards =====================================================================================================


async def test_no_server_starts_on_the_file_any_more(moving: Moving):
    """The file names the database that it was moved to; moved again it is done, moved elsewhere it is refused."""
    async with moving.world as world:
        await fill(world, weeks=1)
    await moving.run()
    said = await told(moving.source, Misconfigured)
    assert "was moved to postgresql:///" in said
    assert "--undo" in said
    again = await moving.run()
    assert again.complete
    assert again.already
    elsewhere, moving.url = moving.url, moving.url.replace("?", "_no?")
    assert "cannot be opened" in await told(moving.run, Misconfigured)
    moving.url = elsewhere


async def test_a_move_is_undone(moving: Moving):
    """Then a server starts on the file again, and none on the database; moving anew takes an empty one."""
    async with moving.world as world:
        await fill(world, weeks=1)
    assert "was not moved" in await told(lambda: undo(moving.path, None), Misconfigured)
    await moving.run()
    await undo(moving.path, moving.url)
    source = await moving.source()
    await source.close()
    assert "that was undone" in await told(moving.target, Misconfigured)
    assert "make that database anew" in await told(moving.run, Misconfigured)
    await moving.sql("DROP SCHEMA public CASCADE")
    await moving.sql("CREATE SCHEMA public")
    assert (await moving.run()).complete
    await undo(moving.path, None)
    assert "was undone" in await told(moving.run, Misconfigured)
