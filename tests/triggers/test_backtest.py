"""What an alert or a filter would have sent, against what really happened."""

import itertools
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from tests.triggers.house import House, item
from tocsin.clock import Millis
from tocsin.engine.activity import backtest
from tocsin.engine.activity.activities import NewItem
from tocsin.engine.activity.backtest import AlertBacktest, Backtests
from tocsin.engine.filtering.filters import compile_filter
from tocsin.errors import NotFound
from tocsin.triggers.activity import Kind
from tocsin.triggers.rules import alerts, offers
from tocsin.triggers.rules.alerts import Alert
from tocsin.triggers.rules.offers import OfferEdit

HOUR = 3_600_000
_numbers = itertools.count()


def click(**raw: Any) -> NewItem:
    return item(Kind.CLICK, **{"click_id": f"c{next(_numbers)}"} | raw)


def visit(**raw: Any) -> NewItem:
    number = next(_numbers)
    return item(Kind.VISIT, visit_id=f"v{number}", url="https://shop.example/", visitor={"id": f"u{number}"}, **raw)


def alert(house: House, **given: Any) -> Alert:
    known: dict[str, Any] = {
        "id": "alr_1",
        "metric": "clicks",
        "op": ">=",
        "threshold": Decimal(3),
        "window_s": 600,
        "created_at": house.now,
    }
    return Alert(**(known | given))


def backtests(house: House) -> Backtests:
    return house.app.services.backtests


async def live(house: House, one: Alert) -> None:
    house.fire({"alert": "alert.threshold"})
    await house.app.activities.configure(house.account.id, lambda ctx: alerts.add(ctx, one))


async def told(house: House) -> list[tuple[Millis, str]]:
    return [(at, data["alert"]["value"]) for _, at, data in await house.fired()]


def shown(one: Alert, found: AlertBacktest) -> Sequence[tuple[Millis, str]]:
    return [(firing.at, str(alerts.readable(one, firing.value))) for firing in found.firings]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"op": ">", "threshold": Decimal(4), "cooldown_s": 3_600},
        {"metric": "fraud_rate", "threshold": Decimal(40), "min_count": 2},
        {"metric": "conversion_rate", "threshold": Decimal(50)},
        {"metric": "conversions", "threshold": Decimal(1), "campaign": "7"},
        {"metric": "payout", "threshold": Decimal("2.5"), "cooldown_s": 60},
        {"metric": "bot_rate", "threshold": Decimal(30)},
        {"metric": "spend", "threshold": Decimal("0.3")},
        {"op": "<", "threshold": Decimal(2)},
    ],
)
async def test_a_backtest_says_what_the_alert_would_have_told(house: House, given: dict[str, Any]) -> None:
    """The same instants and values as the alert that stood there all the time, its silence included."""
    one = alert(house, **given)
    await live(house, one)
    for minute in range(120):
        house.clock.advance(60)
        await house.app.timers.run_due()
        if minute % 40 < 9:
            score = 90 if minute % 3 == 0 else 5
            signals = {"score": score, **({"bot": {"type": "tool"}} if minute % 4 == 0 else {})}
            await house.taken(
                click(campaign={"id": 7 + minute % 2}, click_id=f"c{minute}", signals=signals),
                item(Kind.CONVERSION, conversion_id=f"n{minute}", click_id=f"c{minute}", payout="1.25", currency="EUR"),
                item(Kind.SPEND, campaign={"id": 7}, amount="0.1", currency="EUR"),
            )
    found = await backtests(house).alert(house.account.id, one, house.now)
    assert found.complete
    assert found.looked_at == 3 * 27
    assert found.fired == len(found.firings) > 0
    assert sum(found.by_day.values()) == found.fired
    assert shown(one, found) == await told(house)


async def test_a_conversion_counts_for_the_campaign_of_its_click(house: House) -> None:
    """Though it names none itself."""
    one = alert(house, metric="conversions", threshold=Decimal(1), campaign="7")
    await house.taken(
        click(campaign={"id": 7}, click_id="a"),
        item(Kind.CONVERSION, conversion_id="1", click_id="b", payout="1", currency="EUR"),
    )
    house.clock.advance(1)
    assert (await backtests(house).alert(house.account.id, one, house.now)).fired == 0
    await house.taken(item(Kind.CONVERSION, conversion_id="2", click_id="a", payout="1", currency="EUR"))
    house.clock.advance(1)
    assert (await backtests(house).alert(house.account.id, one, house.now)).fired == 1


async def test_a_payout_that_is_the_offers_counts_and_a_conversion_counts_once(house: House) -> None:
    """To the alert that stands there, and to the backtest."""
    edit = OfferEdit(name="Shoes", payout=Decimal("12.50"))
    await house.app.activities.configure(house.account.id, lambda ctx: offers.configure(ctx, "o", edit, house.now))
    one = alert(house, metric="payout", threshold=Decimal(26))
    await live(house, one)
    for number, amount in ((1, {}), (1, {}), (2, {}), (3, {"payout": "2"}), (3, {"payout": "2"})):
        house.clock.advance(1)
        raw = {"conversion_id": number, "offer": {"id": "o"}, "currency": "EUR", **amount}
        await house.taken(item(Kind.CONVERSION, **raw))
    assert [value for _, value in await told(house)] == ["27.00"]
    house.clock.advance(1)
    found = await backtests(house).alert(house.account.id, one, house.now)
    assert shown(one, found) == await told(house)


async def test_it_makes_and_sends_nothing(house: House) -> None:
    """No event, nothing remembered."""
    house.fire({"alert": "alert.threshold"})
    one = alert(house)
    await house.taken(*(click() for _ in range(5)))
    before = await house.remembered()
    house.clock.advance(1)
    assert (await backtests(house).alert(house.account.id, one, house.now)).fired == 1
    assert await house.remembered() == before
    assert await house.fired() == []


async def test_what_is_too_much_is_cut_and_said(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer says how far it came; what it tells of that is right."""
    monkeypatch.setattr(backtest, "_SLICE", 4)
    monkeypatch.setattr(backtest, "_MAX_ACTIVITIES", 8)
    monkeypatch.setattr(backtest, "_MAX_EVENTS", 8)
    one = alert(house)
    start = house.now
    house.fire({"click": "click.created"})
    for _ in range(12):
        house.clock.advance(1)
        await house.taken(click())
    found = await backtests(house).alert(house.account.id, one, house.now)
    assert (found.complete, found.looked_at, found.until, found.fired) == (False, 8, start + 8_000, 1)
    house.clock.advance(1)
    events = await backtests(house).filter(house.account.id, ("*",), None, start, house.now)
    assert (events.complete, events.looked_at, events.since) == (False, 8, start + 5_000)
    assert sum(sum(types.values()) for types in events.sent.values()) == 8


async def test_a_filter_backtest_counts_what_the_webhook_would_have_got(house: House) -> None:
    """By day and type, the newest as samples; what the filter cannot judge is told apart."""
    house.fire({"click": "click.created", "visit": "visit.created"})
    start = house.now
    score = 0
    for day in range(3):
        for n in range(6):
            score = 10 * day + n
            await house.taken(click(signals={"score": score}), visit(signals={"score": score}))
        house.clock.advance(86_400)
    found = await backtests(house).filter(
        house.account.id, ("click.*",), compile_filter("data.score >= 12"), start, house.now
    )
    assert found.complete
    assert found.looked_at == 36
    days = sorted(found.sent)
    assert [found.sent[day] for day in days] == [{"click.created": 4}, {"click.created": 6}]
    assert len(found.samples) == 10
    assert {one.type for one in found.samples} == {"click.created"}
    failing = await backtests(house).filter(
        house.account.id, ("visit.created",), compile_filter("data.nothing > 1"), start, house.now
    )
    assert (failing.failed, failing.sent) == (18, {})
    whole = await backtests(house).filter(house.account.id, ("*",), None, start, house.now)
    assert sum((Counter(types) for types in whole.sent.values()), Counter()) == {
        "click.created": 18,
        "visit.created": 18,
    }


async def test_events_of_before_are_left_out(house: House) -> None:
    """Only what was accepted in the span."""
    house.fire({"click": "click.created"})
    await house.taken(click())
    house.clock.advance(HOUR)
    start = house.now
    await house.taken(click())
    house.clock.advance(1)
    found = await backtests(house).filter(house.account.id, ("*",), None, start, house.now)
    assert found.looked_at == 1
    one = alert(house, threshold=Decimal(2), window_s=604_800, created_at=start)
    assert (await backtests(house).alert(house.account.id, one, house.now)).looked_at == 1


async def test_an_account_that_is_gone(house: House) -> None:
    """Nothing is told of nobody."""
    with pytest.raises(NotFound):
        await backtests(house).alert(7, alert(house), house.now)
