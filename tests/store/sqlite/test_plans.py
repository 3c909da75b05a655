"""How SQLite carries statements out: those that must stay fast on ten million rows use the index meant for them."""

import re

import apsw
import pytest

from tests.store.world import World
from tocsin.store.sqlite.database import connect
from tocsin.store.sqlite.statements import ROOT, statements

ALL = [
    (noun, name)
    for noun in sorted(file.name.removesuffix(".sql") for file in ROOT.iterdir() if file.name.endswith(".sql"))
    for name in statements(noun)
]

# Statements that go through a table from one end, and why they may.
THROUGH = {
    ("account", "profiles"): "account",  # once, at the start
    ("trigger", "next_due"): "t USING COVERING INDEX timer_due",  # one step, but for removed accounts
    ("fan_out", "jobs"): "f",  # a handful of rows
    ("record", "fan_out_jobs"): "fan_out",  # a handful of rows
    ("record", "notices"): "notice USING COVERING INDEX notice_due",  # as many as webhooks were just stopped
    ("notice", "next_due"): "notice USING COVERING INDEX notice_due",  # one step
    ("record", "waiting"): "delivery USING COVERING INDEX delivery_waiting",  # up to a bound
    ("node", "last_attempt"): "attempt",  # one step, from its end
    ("idempotency", "purge"): "idempotency",  # from the oldest on, up to a limit
}

# Statements that sort, and why they may.
SORTED = {("account", "profiles", "USE TEMP B-TREE FOR GROUP BY")}  # once, at the start

# What is no table of ours: a list of constants, an argument, a step of a recursion, a subquery that has its own line.
HARMLESS = re.compile(
    r"SCAN (\d+ )?(CONSTANT ROW|c(array)? VIRTUAL TABLE INDEX 1:|carray VIRTUAL|c$|b$|h$|v$|chain|backlog|\(subquery"
    r"|pragma_\w+ VIRTUAL)"
)

PINNED = {
    ("delivery", "first_waiting"): "SEARCH delivery USING COVERING INDEX delivery_waiting (webhook_id=?)",
    ("delivery", "next_due"): "SEARCH delivery USING COVERING INDEX delivery_waiting (webhook_id=?)",
    ("delivery", "drop_waiting"): "SEARCH delivery USING COVERING INDEX delivery_waiting (webhook_id=?)",
    ("delivery", "backlogs"): "SEARCH delivery USING COVERING INDEX delivery_waiting (webhook_id>?)",
    ("delivery", "release_all"): "SEARCH delivery USING INDEX delivery_sending (state=?)",
    ("timeline", "from"): "SEARCH timeline USING PRIMARY KEY (account_id=? AND last>?)",
    ("timeline", "below"): "SEARCH timeline USING PRIMARY KEY (account_id=? AND last<?)",
    (
        "record",
        "near_event",
    ): "SEARCH delivery USING COVERING INDEX delivery_event (event_id=? AND rowid>? AND rowid<?)",
    ("record", "near_failed"): (
        "SEARCH delivery USING COVERING INDEX delivery_failed (account_id=? AND rowid>? AND rowid<?)"
    ),
    ("trigger", "values"): "SEARCH s USING PRIMARY KEY (key=?)",
    ("trigger", "drop"): "SEARCH trigger_state USING PRIMARY KEY (key=?)",
    ("trigger", "scan"): "SEARCH trigger_state USING PRIMARY KEY (key>?)",
    ("trigger", "clear_timers"): "SEARCH timer USING PRIMARY KEY (account_id=? AND name=?)",
    ("trigger", "due"): "SEARCH t USING COVERING INDEX timer_due (due_at<?)",
    ("purge", "may_have_expired"): "SEARCH trigger_expiry USING INDEX trigger_expiry_hour (hour<?)",
    ("purge", "delete_expired"): "SEARCH trigger_state USING PRIMARY KEY (key=?)",
    ("purge", "state_of_account"): "SEARCH trigger_state USING PRIMARY KEY (key>? AND key<?)",
    ("purge", "activities"): "SEARCH activity USING INTEGER PRIMARY KEY (rowid<?)",
    ("digest", "open"): "SEARCH g USING INDEX digest_open (webhook_id=?)",
    ("digest", "close_others"): "SEARCH digest USING COVERING INDEX digest_open (webhook_id=?)",
    ("digest", "fold"): "SEARCH delivery USING INDEX delivery_sending (state=? AND rowid=?)",
    ("record", "near_digest"): (
        "SEARCH delivery USING COVERING INDEX delivery_digest (digest_id=? AND rowid>? AND rowid<?)"
    ),
    ("recent", "known"): "SEARCH dedupe USING PRIMARY KEY (key=?)",
    ("purge", "bodies"): "SEARCH e USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    ("purge", "deliveries"): "SEARCH d USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    ("purge", "events"): "SEARCH e USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
}


def plan(connection: apsw.Connection, sql: str) -> list[str]:
    numbered = [int(number) for number in re.findall(r"\?(\d+)", sql)]
    values = [None] * (max(numbered) if numbered else sql.count("?"))
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


async def test_no_statement_goes_through_a_table_or_sorts(world: World, tmp_path):
    """Every statement finds its rows by an index and in the order wanted, but for those listed with their reason."""
    connection = connect(tmp_path / "tocsin.db", readonly=True, cache_kib=256)
    faults = []
    for noun, name in ALL:
        sql = statements(noun)[name]
        if sql.startswith("PRAGMA"):
            continue
        for step in plan(connection, sql):
            through = THROUGH.get((noun, name))
            if (noun, name, step) in SORTED:
                continue
            if "TEMP B-TREE" in step or (
                step.startswith("SCAN ") and not HARMLESS.match(step) and step != f"SCAN {through}"
            ):
                faults.append((noun, name, step))
    connection.close()
    assert faults == []


@pytest.mark.parametrize(("noun", "name"), sorted(PINNED))
async def test_statements_that_must_stay_fast_use_their_index(world: World, tmp_path, noun: str, name: str):
    """The statements that decide speed with ten million rows waiting use exactly the index meant for them."""
    connection = connect(tmp_path / "tocsin.db", readonly=True, cache_kib=256)
    steps = plan(connection, statements(noun)[name])
    connection.close()
    assert PINNED[noun, name] in steps


async def test_a_delivery_handed_over_never_touches_the_waiting_index(world: World, tmp_path):
    """The index of what waits stays empty while deliveries are handed over on arrival and succeed."""
    account = await world.account()
    webhook = await world.webhook(account)
    event = await world.accept(account, webhook, claimed=True)
    connection = connect(tmp_path / "tocsin.db", readonly=True, cache_kib=256)

    def entries(index: str) -> int:
        return connection.execute("SELECT sum(ncell) FROM dbstat WHERE name = ?", [index]).fetchall()[0][0]

    assert (entries("delivery_waiting"), entries("delivery_sending")) == (0, 1)
    await world.settle(world.settlement(event.deliveries[0].id))
    assert (entries("delivery_waiting"), entries("delivery_sending")) == (0, 0)
    await world.accept(account, webhook)
    assert entries("delivery_waiting") == 1
    connection.close()
