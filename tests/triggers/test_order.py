"""What comes out depends on the order of activities only: not on how they were cut into requests and batches."""

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.triggers.house import House, item
from tocsin.engine.activity.activities import NewItem, Taken
from tocsin.model import AccountId
from tocsin.triggers.activity import Kind
from tocsin.triggers.context import Context
from tocsin.triggers.occurrences import NAMES
from tocsin.triggers.rules import alerts, campaigns, offers
from tocsin.triggers.rules.alerts import Alert
from tocsin.triggers.rules.campaigns import Campaign, CampaignEdit
from tocsin.triggers.rules.offers import Offer, OfferEdit

DAY = 86_400_000
_ALERTS: tuple[tuple[str, Any, Any, int], ...] = (
    ("a1", "clicks", ">=", 2),
    ("a2", "spend", ">", 10),
    ("a3", "conversion_rate", ">=", 50),
    ("a4", "clicks", "<", 1),
)

# Few names and few instants, so that the same things meet again and again.
_visitors = st.fixed_dictionaries(
    {"ip": st.sampled_from(["192.0.2.1", "192.0.2.2", "198.51.100.7", "2001:db8::1"])},
    optional={
        "id": st.sampled_from(["v1", "v2", "v3", 7]),
        "user_agent": st.sampled_from(["Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0", "curl/8.5.0"]),
    },
)
_named = {
    "campaign": st.fixed_dictionaries({"id": st.sampled_from(["c1", "c2"])}),
    "offer": st.fixed_dictionaries({"id": st.sampled_from(["o1", "o2"])}),
    "partner": st.fixed_dictionaries({"id": st.sampled_from(["p1", "p2"])}),
}
_signals = st.fixed_dictionaries({}, optional={"score": st.integers(0, 100), "webdriver": st.booleans()})
_amounts = st.sampled_from(["1.00", "0.10", "19.99", "100"])


def _shape(kind: Kind, must: dict[str, Any], may: dict[str, Any] | None = None) -> st.SearchStrategy[tuple[Kind, Any]]:
    return st.tuples(st.just(kind), st.fixed_dictionaries(must, optional=_named | (may or {})))


_CAMPAIGN = st.fixed_dictionaries(
    {"id": st.sampled_from(["c1", "c2"]), "name": st.just("Summer")},
    optional={"budget": _amounts, "daily_budget": _amounts},
)
_activities = st.one_of(
    _shape(Kind.CLICK, {"click_id": st.sampled_from(["k1", "k2", "k3"]), "visitor": _visitors}, {"signals": _signals}),
    _shape(
        Kind.VISIT,
        {"visit_id": st.just("w"), "url": st.just("https://example.com/?utm_source=x"), "visitor": _visitors},
        {"signals": _signals},
    ),
    _shape(Kind.IMPRESSION, {"ad": st.just({"id": "a1"}), "visitor": _visitors}),
    _shape(
        Kind.CONVERSION,
        {
            "conversion_id": st.sampled_from(["x1", "x2", "x3", "x4"]),
            "payout": _amounts,
            "currency": st.just("USD"),
        },
        {"click_id": st.sampled_from(["k1", "k2"]), "status": st.sampled_from(["pending", "approved"])},
    ),
    _shape(
        Kind.CONVERSION_STATUS,
        {
            "conversion_id": st.sampled_from(["x1", "x2", "x3"]),
            "status": st.sampled_from(["approved", "rejected"]),
        },
    ),
    st.tuples(
        st.just(Kind.SPEND),
        st.fixed_dictionaries({"campaign": _named["campaign"], "amount": _amounts, "currency": st.just("USD")}),
    ),
    st.tuples(
        st.just(Kind.CAMPAIGN),
        st.fixed_dictionaries(
            {"campaign": _CAMPAIGN, "action": st.sampled_from(["created", "updated", "paused", "resumed"])}
        ),
    ),
    st.tuples(
        st.just(Kind.PARTNER),
        st.fixed_dictionaries(
            {"partner": _named["partner"], "status": st.sampled_from(["applied", "approved", "banned"])}
        ),
    ),
    st.tuples(st.just(Kind.BILLING), st.just({"data": {"plan": "pro"}})),
)
# When it happened: seconds, hours, days or months ago; None: now.
_ages = st.sampled_from([None, 0, 1_000, 15_000, 40_000, 3_600_000, DAY, 2 * DAY, 45 * DAY, 400 * DAY])
_facts = st.tuples(_activities, _ages, st.sampled_from([None, None, "e1", "e2", "e3"]))
Fact = tuple[tuple[Kind, Any], int | None, str | None]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, House]]:
    """One server for all examples; each makes accounts of its own. Its timers run when they are told to: each is a
    commit of its own, and it is the order of commits that decides.
    """
    house = House(tmp_path_factory.mktemp("house"))
    with asyncio.Runner() as runner:
        runner.run(house.__aenter__())
        runner.run(house.app.timers.stop())
        yield runner, house
        runner.run(house.__aexit__())


def _items(facts: Sequence[Fact], now: int) -> list[NewItem]:
    """As a request's decoder would give them: each time anew."""
    return [
        item(kind, external_id, None if age is None else now - age, **msgspec.json.decode(msgspec.json.encode(raw)))
        for (kind, raw), age, external_id in facts
    ]


async def _account(house: House) -> AccountId:
    """One with alerts, caps and budgets that are soon reached."""
    account = await house.world.account(timezone="America/New_York")

    def set_up(ctx: Context) -> None:
        now = house.now
        offers.configure(ctx, "o1", OfferEdit(name="One", caps={"daily": 1, "global": 3}), now)
        offers.configure(ctx, "o2", OfferEdit(name="Two", hold_s=3_600, caps={"weekly": 2}), now)
        campaigns.configure(ctx, "c1", CampaignEdit(name="Summer", budget=Decimal(20), daily_budget=Decimal(15)), now)
        for id_, metric, op, threshold in _ALERTS:
            alert = Alert(
                id=id_,
                metric=metric,
                op=op,
                threshold=Decimal(threshold),
                window_s=3_600,
                cooldown_s=60,
                created_at=now,
            )
            alerts.add(ctx, alert)

    await house.app.activities.configure(account.id, set_up)
    return account.id


async def _post(house: House, account_id: AccountId, items: Sequence[NewItem], cuts: Sequence[int]) -> list[Any]:
    """In requests that end at the cuts; a cut of even number waits for the answer, so that a batch ends there."""
    results: list[Any] = []
    asked: list[asyncio.Task[list[Any]]] = []
    edges = [0, *sorted({cut % (len(items) + 1) for cut in cuts}), len(items)]
    for n, (begin, end) in enumerate(itertools.pairwise(edges)):
        asked.append(asyncio.create_task(house.post(*items[begin:end], account_id=account_id)))
        await asyncio.sleep(0)  # it is queued
        if n % 2 == 0:
            await asyncio.gather(*asked)
    for one in await asyncio.gather(*asked):
        results += one
    return results


def _told(result: Any) -> Any:
    """Without ids, which are new each time."""
    if isinstance(result, Taken):
        return result.duplicate, [type_ for _, type_ in result.events], result.judgement
    return type(result).__name__, result.code, result.faults


async def _outcome(house: House, account_id: AccountId, results: Sequence[Any]) -> tuple[Any, ...]:
    return (
        [_told(result) for result in results if not isinstance(result, Taken) or not result.duplicate],
        await house.fired(account_id),
        await house.remembered(account_id),
        [(row.kind, row.at, row.external_id, row.data) for row in await house.log(account_id)],
    )


BOUNDS: dict[str, Any] = {
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@settings(max_examples=80, **BOUNDS)
@given(
    facts=st.lists(_facts, min_size=1, max_size=25),
    cuts=st.lists(st.integers(0, 25), max_size=12),
    nights=st.integers(0, 3),
)
def test_any_cut_of_one_sequence_gives_the_same(
    running: tuple[asyncio.Runner, House], facts: list[Fact], cuts: list[int], nights: int
):
    """The same answers, events, log, and memory to the byte; also after the midnights that follow."""
    runner, house = running
    house.fire(dict.fromkeys(NAMES, "click.created"))

    async def run() -> None:
        whole, pieces, single = [await _account(house) for _ in range(3)]
        items = _items(facts, house.now)
        told = await asyncio.gather(
            _post(house, whole, items, ()),
            _post(house, pieces, items, cuts),
            _post(house, single, items, [2 * n for n in range(len(items))]),
        )
        house.clock.advance(nights * 86_400)
        await house.app.timers.run_due()
        first, *others = [
            await _outcome(house, account_id, results)
            for account_id, results in zip((whole, pieces, single), told, strict=True)
        ]
        for other in others:
            assert other == first

    runner.run(run())


@settings(max_examples=30, **BOUNDS)
@given(facts=st.lists(_facts, min_size=1, max_size=30), cuts=st.lists(st.integers(0, 30), max_size=8))
def test_counters_equal_a_plain_recount_of_the_log(
    running: tuple[asyncio.Runner, House], facts: list[Fact], cuts: list[int]
):
    """What was counted for caps, budgets and campaigns is what the log holds, row by row."""
    runner, house = running
    house.fire(dict.fromkeys(NAMES, "click.created"))

    async def run() -> None:
        account_id = await _account(house)
        await _post(house, account_id, _items(facts, house.now), cuts)
        seen: set[str] = set()
        counted: Counter[tuple[str, str]] = Counter()
        spent: defaultdict[str, Decimal] = defaultdict(Decimal)
        of_click: dict[str, str | None] = {}  # the offer that a conversion has from its click
        for row in await house.log(account_id):
            data = msgspec.json.decode(row.data)
            campaign, offer_id = (data.get(noun, {}).get("id") for noun in ("campaign", "offer"))
            if row.kind == "conversion":
                if data["conversion_id"] in seen:
                    continue  # the same one again, or a change of its status
                seen.add(data["conversion_id"])
                counted["conversion", offer_id or of_click.get(data.get("click_id"))] += 1
            elif row.kind == "spend":
                spent[campaign] += Decimal(data["amount"])
            else:
                counted[row.kind, campaign] += 1
                if row.kind == "click":
                    of_click[data["click_id"]] = offer_id
        for id_ in ("o1", "o2"):
            offer = await house.value(f"offer:{id_}", Offer, account_id)
            window = offer.windows.get("global") if offer else None
            assert (0 if window is None else window.amount) == counted["conversion", id_]
        for id_ in ("c1", "c2"):
            found = await house.value(f"campaign:{id_}", Campaign, account_id)
            assert (found.impressions if found else 0, found.clicks if found else 0) == (
                counted["impression", id_],
                counted["click", id_],
            )
            assert (found.spent if found else 0) == spent[id_]

    runner.run(run())


@settings(max_examples=25, **BOUNDS)
@given(facts=st.lists(_facts, min_size=1, max_size=15), repeats=st.lists(st.integers(0, 14), max_size=10))
def test_repeats_under_external_ids_change_nothing(
    running: tuple[asyncio.Runner, House], facts: list[Fact], repeats: list[int]
):
    """However often, and in whichever order, a publisher posts again what it has posted."""
    runner, house = running
    house.fire(dict.fromkeys(NAMES, "click.created"))

    async def run() -> None:
        account_id = await _account(house)
        named = [(what, age, f"fact-{n}") for n, (what, age, _) in enumerate(facts)]
        items = _items(named, house.now)
        firsts = await house.post(*items, account_id=account_id)
        before = await _outcome(house, account_id, firsts)
        again = [n % len(items) for n in repeats]
        results = await house.post(*(items[n] for n in again), account_id=account_id)
        for n, result in zip(again, results, strict=True):
            first = firsts[n]
            if isinstance(first, Taken):
                assert result.duplicate
                assert (result.id, [tuple(one) for one in result.events], result.judgement) == (
                    first.id,
                    first.events,
                    first.judgement,
                )
        if all(isinstance(first, Taken) for first in firsts):  # what was refused may be taken now
            assert await _outcome(house, account_id, firsts) == before

    runner.run(run())


@settings(max_examples=15, **BOUNDS)
@given(facts=st.lists(_facts, min_size=1, max_size=15), others=st.lists(_facts, max_size=15))
def test_two_accounts_never_meet(running: tuple[asyncio.Runner, House], facts: list[Fact], others: list[Fact]):
    """An account's outcome is the same alone and beside another that does the like with the same ids."""
    runner, house = running
    house.fire(dict.fromkeys(NAMES, "click.created"))

    async def run() -> None:
        alone, beside, other = [await _account(house) for _ in range(3)]
        results = await house.post(*_items(facts, house.now), account_id=alone)
        mixed, _ = await asyncio.gather(
            house.post(*_items(facts, house.now), account_id=beside),
            _post(house, other, _items(others, house.now), range(0, 30, 3)),
        )
        assert await _outcome(house, beside, mixed) == await _outcome(house, alone, results)

    runner.run(run())


def test_the_drawn_activities_are_of_every_kind_and_fire(running: tuple[asyncio.Runner, House]):
    """A proof over what is always refused, or never fires, would prove nothing."""
    runner, house = running
    house.fire(dict.fromkeys(NAMES, "click.created"))
    taken: Counter[Kind] = Counter()
    before = sum(house.app.metrics.occurrences.values())

    @settings(max_examples=60, database=None, derandomize=True, **BOUNDS)
    @given(facts=st.lists(_facts, min_size=1, max_size=25))
    def draw(facts: list[Fact]) -> None:
        async def run() -> None:
            results = await house.post(*_items(facts, house.now), account_id=await _account(house))
            taken.update(
                kind
                for ((kind, _), _, _), result in zip(facts, results, strict=True)
                if isinstance(result, Taken) and not result.duplicate
            )

        runner.run(run())

    draw()
    assert set(taken) == set(Kind)
    assert sum(house.app.metrics.occurrences.values()) > before
