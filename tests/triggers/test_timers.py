"""Timers: what is due is done once, in its order, whatever stopped or died in between."""

from pathlib import Path

import msgspec
import pytest

from tests.triggers.house import House, item
from tocsin.clock import Millis
from tocsin.control.accounts import AccountPatch, NewAccount
from tocsin.control.actor import SYSTEM
from tocsin.errors import Unavailable
from tocsin.triggers import rules
from tocsin.triggers.activity import Activity, Kind
from tocsin.triggers.context import Context
from tocsin.triggers.rules import Opening

HOUR = 3_600_000


class Bell(msgspec.Struct, frozen=True):
    rung: tuple[int, ...] = ()


def _set(ctx: Context, activity: Activity) -> None:
    """`bells`: names and after how many hours each is due; None: no longer."""
    for name, hours in activity.data.get("bells", {}).items():
        if hours is None:
            ctx.state.clear_timer(name)
        else:
            ctx.state.set_timer(name, Millis(activity.accepted_at + round(hours * HOUR)))


def _ring(ctx: Context, name: str, due_at: Millis) -> None:
    if name.endswith(":broken"):
        raise ZeroDivisionError("a defect")
    rung = (ctx.state.get(name, Bell) or Bell()).rung
    ctx.state.put(name, Bell((*rung, due_at)))
    ctx.occur("alert", due_at, {"name": name, "nth": len(rung) + 1})
    if name.startswith("bell:daily"):
        ctx.state.set_timer(name, Millis(due_at + 24 * HOUR))


def _open(ctx: Context, now: Millis) -> None:
    ctx.state.put("opened", Bell((now,)))
    ctx.state.set_timer("bell:daily", Millis(now + 24 * HOUR))


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, bare=True)


@pytest.fixture(autouse=True)
def _rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rules.RULES, Kind.BILLING, (_set,))
    monkeypatch.setitem(rules.TICKS, "bell", _ring)
    monkeypatch.setattr(rules, "OPENINGS", ())


async def _bells(house: House, **hours: float | None) -> None:
    await house.taken(item(Kind.BILLING, bells={f"bell:{name}": after for name, after in hours.items()}))


async def _later(house: House, hours: float) -> None:
    house.clock.advance(hours * 3600)
    await house.app.timers.run_due()


async def _rung(house: House) -> list[tuple[str, int]]:
    return [(data["name"], data["nth"]) for _, _, data in await house.fired()]


async def test_a_timer_that_is_due_is_done_once(house: House):
    """Not before, and not again; what it fires carries the instant at which it was due."""
    house.fire({"alert": "alert.threshold"})
    due_at = house.now + HOUR
    await _bells(house, one=1)
    await _later(house, 0.9)
    assert await house.fired() == []
    await _later(house, 1)
    assert await house.fired() == [("alert.threshold", due_at, {"name": "bell:one", "nth": 1})]
    await _later(house, 100)
    await house.reopen()
    await house.app.timers.run_due()
    assert await house.value("bell:one", Bell) == Bell((due_at,))
    assert await house.timers("bell:one") == {}


async def test_timers_are_done_in_the_order_in_which_they_are_due(house: House):
    """Not in that of their names."""
    house.fire({"alert": "alert.threshold"})
    await _bells(house, a=3, b=1, c=2)
    await _later(house, 5)
    assert [name for name, _ in await _rung(house)] == ["bell:b", "bell:c", "bell:a"]


async def test_after_a_downtime_each_missed_one_is_done_once(house: House):
    """One that sets itself anew is done for each time that it missed, with other timers in between in their turn."""
    house.fire({"alert": "alert.threshold"})
    await _bells(house, daily=1, once=30)
    await house.app.close()
    house.clock.advance(3 * 24 * 3600)
    await house.open()
    await house.app.timers.run_due()
    rung = await _rung(house)
    assert [one for one in rung if one[0] == "bell:daily"] == [("bell:daily", n) for n in (1, 2, 3)]
    assert rung.count(("bell:once", 1)) == 1
    assert await house.timers("bell:daily") == {"bell:daily": house.now + HOUR}


@pytest.mark.parametrize(("again", "expected"), [(None, []), (9.0, []), (0.5, ["bell:one"])])
async def test_a_timer_can_be_moved_and_cleared(house: House, again: float | None, expected: list[str]):
    """Only where it stands last counts."""
    house.fire({"alert": "alert.threshold"})
    await _bells(house, one=1)
    await _bells(house, one=again)
    await _later(house, 2)
    assert [name for name, _ in await _rung(house)] == expected


async def test_an_activity_that_was_quicker_stands(house: House):
    """The timer was found to be due; before its turn, it is cleared."""
    house.fire({"alert": "alert.threshold"})
    await _bells(house, one=1)
    triggers = house.app.store.triggers
    due = triggers.due

    async def slow(now, limit):
        found = await due(now, limit)
        triggers.due = due
        await _bells(house, one=None)
        return found

    triggers.due = slow
    await _later(house, 2)
    assert await _rung(house) == []


async def test_a_timer_that_meets_a_defect_is_tried_again_and_holds_up_nobody(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """It is still due, and done as soon as the defect is gone."""
    await _bells(house, broken=1, well=2)
    await _later(house, 3)
    assert await house.value("bell:well", Bell) is not None
    assert "timer_postponed" in [record.message for record in caplog.records]
    logged = len(caplog.records)
    await _later(house, 0.001)
    assert len(caplog.records) == logged, "it is not tried at every turn"
    monkeypatch.setitem(rules.TICKS, "bell", lambda ctx, name, due_at: ctx.state.put(name, Bell((due_at,))))
    await _later(house, 0.1)
    assert await house.value("bell:broken", Bell) == Bell((house.now - round(2.101 * HOUR),))


async def test_timers_that_cannot_be_read_are_asked_for_again(house: House, caplog: pytest.LogCaptureFixture):
    """The store was away for a moment."""
    await _bells(house, one=1)
    triggers = house.app.store.triggers
    due = triggers.due

    async def away(now, limit):
        triggers.due = due
        raise Unavailable("away")

    triggers.due = away
    house.clock.advance(3600)
    with pytest.raises(Unavailable):
        await house.app.timers.run_due()
    await house.app.timers.run_due()
    assert await house.value("bell:one", Bell) is not None


async def test_the_timers_of_an_account_that_is_gone_are_left_alone(house: House):
    """And hold up nobody."""
    account = await house.world.account()
    await house.taken(item(Kind.BILLING, bells={"bell:theirs": 1}), account_id=account.id)
    await _bells(house, mine=2)
    await house.app.control.accounts.remove(SYSTEM, account.id)
    await _later(house, 3)
    assert await house.value("bell:mine", Bell) is not None


# --- what every account has -----------------------------------------------------------------------------------------


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "OPENINGS", (Opening(wanted="daily_summary", key="opened", rule=_open),))


def _want(house: House, *occurrences: str) -> None:
    house.fire(dict.fromkeys(occurrences, "alert.threshold"))
    firing = house.app.activities.commits._firing
    firing(None).wanted = frozenset(occurrences)
    house.app.openings._firing = firing


@pytest.mark.usefixtures("opening")
async def test_an_account_has_its_timer_from_the_beginning(house: House):
    """If its dialect makes an event of it."""
    for occurrence, set_ in (("daily_summary", True), ("alert", False)):
        _want(house, occurrence)
        account, _ = await house.app.control.accounts.create(SYSTEM, NewAccount(name="Brand"))
        assert (await house.value("opened", Bell, account.id) is not None) is set_
        assert bool(await house.timers("bell:daily", account_id=account.id)) is set_


@pytest.mark.usefixtures("opening")
async def test_another_time_zone_is_told_and_another_name_is_not(house: House):
    """The rule is called again, and says what follows from it."""
    _want(house, "daily_summary")
    account, _ = await house.app.control.accounts.create(SYSTEM, NewAccount(name="Brand"))
    made_at = house.now
    house.clock.advance(60)
    await house.app.control.accounts.change(SYSTEM, account.id, AccountPatch(name="Other"))
    assert await house.value("opened", Bell, account.id) == Bell((made_at,))
    await house.app.control.accounts.change(SYSTEM, account.id, AccountPatch(timezone="Asia/Tokyo"))
    assert await house.value("opened", Bell, account.id) == Bell((house.now,))


@pytest.mark.usefixtures("opening")
async def test_a_start_makes_up_for_the_accounts_that_lack_it(house: House, monkeypatch: pytest.MonkeyPatch):
    """Those that have it are not touched, however many there are."""
    monkeypatch.setattr("tocsin.engine.activity.openings._ACCOUNTS", 2)
    # Of a dialect that wants nothing of its own accord: the start that opened the house may not be over yet.
    accounts = [await house.world.account(profile="visits") for _ in range(5)]
    _want(house, "daily_summary")
    await house.app.openings.open(accounts[1])
    opened_at = house.now
    house.clock.advance(60)
    await house.app.openings._open_all()
    found = [await house.value("opened", Bell, account.id) for account in accounts]
    assert found == [Bell((opened_at if n == 1 else house.now,)) for n in range(5)]
