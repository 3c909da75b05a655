"""The runner: activities in, and what they change and fire durable before anybody is told."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.triggers.house import House, item
from tocsin.clock import Millis
from tocsin.control.actor import SYSTEM
from tocsin.engine.activity.activities import Taken
from tocsin.errors import Conflict, Defect, Invalid, NotFound, Unavailable
from tocsin.model import AccountId
from tocsin.store.port import Page, TriggerWrite, Unstorable
from tocsin.triggers import rules
from tocsin.triggers.activity import Activity, Kind
from tocsin.triggers.context import Context
from tocsin.triggers.occurrences import Judgement


class Count(msgspec.Struct, frozen=True):
    n: int = 0


def _add(ctx: Context, key: str) -> int:
    n = (ctx.state.get(key, Count) or Count()).n + 1
    ctx.state.put(key, Count(n))
    return n


def _count(ctx: Context, activity: Activity) -> None:
    """Counts clicks, and those of each visitor: keys that nothing foresees, one asked for after the other."""
    n = _add(ctx, "total")
    _add(ctx, f"of:{activity.visitor_id}")
    ctx.judgement = Judgement(score=n % 100, label="CLEAN", action="ALLOW", reasons=(("rapid_clicks", 30),))
    ctx.occur("click", activity.at, {**activity.data, "n": n})


def _poison(ctx: Context, activity: Activity) -> None:
    if activity.data.get("poison"):
        raise ZeroDivisionError("a defect")
    if activity.data.get("refused"):
        raise Invalid("this one is not taken")


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, bare=True)


@pytest.fixture(autouse=True)
def _rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rules.RULES, Kind.CLICK, (_count, _poison))


async def test_what_an_activity_changes_and_fires_is_kept_and_told(house: House):
    """State, log, events and the answer say the same."""
    house.fire({"click": "click.created"})
    first, second = await house.taken(item(visitor={"id": "v"}), item(visitor={"id": "v"}, at=house.now - 5))
    assert not first.duplicate
    assert first.judgement
    assert (first.judgement.score, second.judgement and second.judgement.score) == (1, 2)
    events = await house.events()
    assert [(event.id, event.type) for event in events] == [*first.events, *second.events]
    assert [(event.source, event.visitor_id, event.timestamp) for event in events] == [
        ("activity", "v", house.now),
        ("activity", "v", house.now - 5),
    ]
    assert [data["n"] for _, _, data in await house.fired()] == [1, 2]
    assert await house.value("total", Count) == Count(2)
    assert [(row.id, row.kind, row.visitor_id) for row in await house.log()] == [
        (first.id, "click", "v"),
        (second.id, "click", "v"),
    ]


async def test_a_repeated_external_id_changes_nothing_and_is_told_what_the_first_was(house: House):
    """Whether the first is of the same request or of an earlier one."""
    house.fire({"click": "click.created"})
    first, same = await house.taken(item(external_id="a", visitor={"id": 1}), item(external_id="a", visitor={"id": 1}))
    (later,) = await house.taken(item(external_id="a", visitor={"id": 1}))
    await house.reopen()
    (after,) = await house.taken(item(external_id="a", visitor={"id": 1}))
    assert not first.duplicate
    for one in (same, later, after):
        assert one == msgspec.structs.replace(first, duplicate=True, events=one.events)
        assert [tuple(event) for event in one.events] == first.events
    assert len(await house.events()) == len(await house.log()) == 1
    assert await house.value("total", Count) == Count(1)


@pytest.mark.parametrize("requests", [1, 2])
async def test_an_external_id_with_other_content_is_a_conflict(house: House, requests: int):
    """Other data, another kind or another time is other content."""
    known = item(external_id="a", visitor={"id": 1})
    others = [
        item(external_id="a", visitor={"id": 2}),
        item(Kind.VISIT, external_id="a", visitor={"id": 1}),
        item(external_id="a", visitor={"id": 1}, at=house.now),
    ]
    results = (
        [*await house.post(known), *await house.post(*others)] if requests == 2 else await house.post(known, *others)
    )
    shown = results[0]
    assert [type(result) for result in results[1:]] == [Conflict] * 3
    assert {result.code for result in results[1:]} == {"external_id_conflict"}
    assert not shown.duplicate
    assert await house.value("total", Count) == Count(1)


async def test_a_refused_activity_leaves_its_external_id_free(house: House):
    """It was not taken, so another may have the name."""
    (refused,) = await house.post(item(external_id="a", refused=True))
    assert isinstance(refused, Invalid)
    (taken,) = await house.taken(item(external_id="a"))
    assert not taken.duplicate


async def test_one_that_is_refused_or_meets_a_defect_fails_alone(house: House, caplog: pytest.LogCaptureFixture):
    """The others of its batch count, and nothing of it does."""
    results = await house.post(item(), item(poison=True), item(refused=True), item())
    assert [type(result).__name__ for result in results] == ["Taken", "Defect", "Invalid", "Taken"]
    assert isinstance(results[1], Defect)
    assert results[1].code == "internal"
    assert await house.value("total", Count) == Count(2)
    assert len(await house.log()) == 2
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["deciding_failed"]


async def test_keys_that_nobody_foresaw_are_read_for_the_whole_batch_together(house: House):
    """A thousand activities do not make a thousand reads."""
    reads = 0
    triggers = house.app.store.triggers
    read = triggers.read

    async def counted(asks, now):
        nonlocal reads
        reads += 1
        return await read(asks, now)

    triggers.read = counted
    await house.taken(*(item(visitor={"id": n}) for n in range(300)))
    assert await house.value("total", Count) == Count(300)
    assert reads <= 9  # a hundred are decided at a time; each time, two things turn out to be missing


async def test_accounts_never_meet(house: House):
    """The same keys and external ids in two accounts are two things."""
    house.fire({"click": "click.created"})
    other = (await house.world.account()).id
    mine, theirs = await asyncio.gather(
        house.taken(item(external_id="a"), item(external_id="b")), house.taken(item(external_id="a"), account_id=other)
    )
    assert [one.duplicate for one in [*mine, *theirs]] == [False] * 3
    assert await house.value("total", Count) == Count(2)
    assert await house.value("total", Count, other) == Count(1)
    assert (len(await house.events()), len(await house.events(other))) == (2, 1)


async def test_a_stale_write_is_decided_again(house: House):
    """Somebody else wrote between reading and writing: what they wrote is counted on."""
    triggers = house.app.store.triggers
    write = triggers.write

    async def late(writes, epoch):
        triggers.write = write
        (one,) = writes
        foreign = TriggerWrite(
            account_id=one.account_id,
            version=one.version,
            config_version=one.config_version,
            activities=(),
            puts={"total": (msgspec.msgpack.encode(Count(40)), None)},
            drops=frozenset(),
            timers={},
            events=(),
        )
        await write([foreign], epoch)
        return await write(writes, epoch)

    house.fire({"click": "click.created"})
    triggers.write = late
    (taken,) = await house.taken(item())
    assert taken.judgement
    assert taken.judgement.score == 41
    assert len(await house.events()) == 1


async def test_what_was_decided_by_settings_that_are_no_more_is_decided_again(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    """Another process changed the account: what comes after counts by its new settings, also if nothing fires."""

    def by_zone(ctx: Context, _: Activity) -> None:
        _add(ctx, f"in:{ctx.timezone.key}")

    monkeypatch.setitem(rules.RULES, Kind.CLICK, (by_zone,))
    house.fire({})
    await house.taken(item())
    moved = msgspec.structs.replace(house.account, timezone="Europe/Berlin")
    await house.app.store.accounts.change(moved, SYSTEM.change(house.now, "account.changed", "acc"))
    await house.taken(item())
    await house.taken(item())
    assert await house.value("in:UTC", Count) == Count(1)
    assert await house.value("in:Europe/Berlin", Count) == Count(2)


async def test_of_changes_decided_together_those_that_change_something_are_audited(house: House):
    """In one transaction with activities and with each other, whatever becomes of the others."""

    def nothing(ctx: Context) -> None:
        ctx.state.get("total", Count)

    def fails(ctx: Context) -> None:
        _add(ctx, "total")
        raise Invalid("not this one")

    def adds(ctx: Context) -> int:
        return _add(ctx, "total")

    changes: dict[str, Callable[[Context], object]] = {
        "adds": adds,
        "nothing": nothing,
        "fails": fails,
        "twice": adds,
    }
    results = await asyncio.gather(
        house.taken(item()),
        *(
            house.app.activities.configure(house.account.id, how, SYSTEM.change(house.now, name, "x"))
            for name, how in changes.items()
        ),
        return_exceptions=True,
    )
    assert [type(result) for result in results[1:]] == [int, type(None), Invalid, int]
    audit = await house.app.store.records.audit(house.account.id, Page(limit=9))
    assert [entry.action for entry in reversed(audit) if entry.subject == "x"] == ["adds", "twice"]
    assert await house.value("total", Count) == Count(3)


async def test_a_webhook_gets_what_fires_by_its_filter(house: House):
    """Routed as published events are; places that are not used are given back."""
    house.fire({"click": "click.created", "fraud": "fraud.detected"})
    takes = await house.webhook(filter="data.n == 2")
    await house.taken(item(), item(), item())
    assert [event.matched for event in await house.events()] == [0, 1, 0]
    assert house.app.dispatcher._holdings[takes.id].reserved == 0


async def test_a_change_is_made_in_turn_with_activities_and_fires(house: House):
    """`configure` is decided as an activity is, and returns what the change returns."""
    house.fire({"campaign_updated": "campaign.updated"})

    def change(ctx: Context) -> int:
        n = _add(ctx, "total")
        ctx.occur("campaign_updated", Millis(7), {"campaign": {"id": "c"}})
        return n

    await house.taken(item())
    assert await house.app.activities.configure(house.account.id, change) == 2
    assert await house.fired() == [("campaign.updated", 7, {"campaign": {"id": "c"}})]
    assert len(await house.log()) == 1


async def test_a_change_that_refuses_changes_nothing(house: House):
    """What it raises is raised to whoever asked."""

    def change(ctx: Context) -> None:
        _add(ctx, "total")
        raise Invalid("no")

    with pytest.raises(Invalid):
        await house.app.activities.configure(house.account.id, change)
    assert await house.value("total", Count) is None


@pytest.mark.parametrize(
    "ask",
    [
        lambda house, nobody: house.app.activities.take(nobody, [item()]),
        lambda house, nobody: house.app.activities.look(nobody, "total"),
        lambda house, nobody: house.app.activities.configure(nobody, lambda ctx: None),
    ],
    ids=["take", "look", "configure"],
)
async def test_an_account_that_is_gone_is_not_found(house: House, ask: Callable):
    """Whatever is asked of it."""
    with pytest.raises(NotFound):
        await ask(house, AccountId(7))


async def test_a_server_that_stops_finishes_what_it_took_and_takes_nothing_more(house: House):
    """Everything that was taken is told."""
    activities = house.app.activities
    taking = [asyncio.create_task(house.post(*(item() for _ in range(250)))) for _ in range(3)]
    while not activities.waiting:
        await asyncio.sleep(0)
    await activities.stop()
    answers = await asyncio.gather(*taking, return_exceptions=True)
    results = [result for one in answers for result in (one if isinstance(one, list) else [one])]
    assert {type(result) for result in results} == {Taken, Unavailable}
    assert len(await house.log()) == sum(isinstance(result, Taken) for result in results)
    with pytest.raises(Unavailable) as refused:
        await house.post(item())
    assert refused.value.code == "stopping"


async def test_when_too_much_waits_publishers_are_told_to_come_again(house: House, monkeypatch: pytest.MonkeyPatch):
    """Nothing of the request is taken."""
    monkeypatch.setattr("tocsin.engine.activity.activities._MAX_WAITING", 0)
    with pytest.raises(Unavailable) as refused:
        await house.post(item())
    assert refused.value.code == "overloaded"


async def test_a_batch_that_cannot_be_written_is_told_so_and_counts_nothing(house: House):
    """The next one goes on as if it had not been."""
    house.fire({"click": "click.created"})
    hook = await house.webhook()
    triggers = house.app.store.triggers
    write = triggers.write

    async def fails(writes, epoch):
        triggers.write = write
        raise Unavailable("the disk is full")

    triggers.write = fails
    (result,) = await house.post(item())
    assert isinstance(result, Unavailable)
    assert house.app.dispatcher._holdings[hook.id].reserved == 0
    (taken,) = await house.taken(item())
    assert taken.judgement
    assert taken.judgement.score == 1


async def test_an_event_that_the_store_refuses_fails_alone(house: House):
    """The works of its account are written by halves, in their order, down to the one at fault."""
    house.fire({"click": "click.created"})
    triggers = house.app.store.triggers
    write = triggers.write

    async def picky(writes, epoch):
        return [
            (await write([one], epoch))[0]
            if not any(b"bad" in activity.data for activity in one.activities)
            else Unstorable(reason="bad")
            for one in writes
        ]

    triggers.write = picky
    results = await house.post(item(), item(), item(bad=True), item(), item())
    assert [type(result).__name__ for result in results] == ["Taken", "Taken", "Invalid", "Taken", "Taken"]
    assert [one.judgement.score for one in results if not isinstance(one, Invalid)] == [1, 2, 3, 4]
    assert results[2].code == "unstorable"


async def test_the_account_s_own_settings_and_zone_are_in_force(house: House, monkeypatch: pytest.MonkeyPatch):
    """From the first activity after the change was answered."""
    seen = []

    def look(ctx: Context, activity: Activity) -> None:
        seen.append((ctx.timezone.key, ctx.settings.fraud_from))

    monkeypatch.setitem(rules.RULES, Kind.VISIT, (look,))
    account = await house.world.account(timezone="Asia/Tokyo", settings={"triggers": {"fraud_from": 90}})
    await house.taken(item(Kind.VISIT), account_id=account.id)
    await house.taken(item(Kind.VISIT))
    assert seen == [("Asia/Tokyo", 90), ("UTC", 70)]
