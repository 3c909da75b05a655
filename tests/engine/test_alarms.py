"""Alarms: when lanes are looked at again."""

import asyncio

from tocsin.clock import ManualClock, Millis
from tocsin.engine.dispatching.alarms import Alarms
from tocsin.engine.dispatching.holdings import Holdings
from tocsin.engine.dispatching.lanes import FOREVER, Lane
from tocsin.model import AccountId, WebhookId


def a_lane(holdings: Holdings, webhook_id: int) -> Lane:
    return holdings.lane(WebhookId(webhook_id), AccountId(1), 0, 1)


def test_a_lane_is_due_once_at_the_earliest_time_that_was_set():
    """A later alarm does not put off an earlier one, and an earlier one takes the place of a later one."""
    holdings = Holdings()
    alarms = Alarms(holdings, ManualClock(), lambda: None)
    one, other = a_lane(holdings, 1), a_lane(holdings, 2)
    for at in (300, 100, 200):
        alarms.set(one, Millis(at))
    alarms.set(other, Millis(100))
    assert list(alarms.due(Millis(99))) == []
    assert list(alarms.due(Millis(100))) == [one, other]
    assert list(alarms.due(Millis(1_000))) == []


def test_what_is_set_meanwhile_is_due_as_well():
    """A lane that is looked at may set its alarm, or another one's, at once again."""
    holdings = Holdings()
    alarms = Alarms(holdings, ManualClock(), lambda: None)
    one, other = a_lane(holdings, 1), a_lane(holdings, 2)
    alarms.set(one, Millis(100))
    seen = []
    for lane in alarms.due(Millis(100)):
        seen.append(lane)
        if lane is one:
            alarms.set(other, Millis(50))
            alarms.set(one, Millis(101))
    assert seen == [one, other]
    assert list(alarms.due(Millis(101))) == [one]


def test_what_is_no_longer_known_is_not_due():
    """A lane that was removed is passed over, and so is the next one of its webhook; an alarm for ever is none."""
    holdings = Holdings()
    alarms = Alarms(holdings, ManualClock(), lambda: None)
    alarms.set(a_lane(holdings, 1), Millis(100))
    holdings.remove(holdings[WebhookId(1)])
    alarms.set(a_lane(holdings, 2), Millis(100))
    holdings.remove(holdings[WebhookId(2)])
    again = a_lane(holdings, 2)
    alarms.set(again, FOREVER)
    assert again.timer_at is None
    assert list(alarms.due(Millis(200))) == []


def test_it_rings_by_itself_between_start_and_stop():
    """The event loop's timer is set for the earliest alarm, and only while it runs."""

    async def scenario() -> None:
        holdings, clock, rung = Holdings(), ManualClock(), asyncio.Event()
        alarms = Alarms(holdings, clock, rung.set)
        alarms.set(a_lane(holdings, 1), clock.now_ms())
        alarms.wait()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not rung.is_set()
        alarms.start()
        alarms.wait()
        await asyncio.wait_for(rung.wait(), 5)
        rung.clear()
        alarms.wait()
        alarms.stop()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not rung.is_set()

    asyncio.run(scenario())
