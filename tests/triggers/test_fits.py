"""Whatever is posted: what it fires fits its type, in every dialect, and nothing that can be told is left untold."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.triggers.deciding import Memory
from tocsin import profiles
from tocsin.clock import Millis
from tocsin.errors import Rejected
from tocsin.profiles.jsjson import stabilise
from tocsin.triggers import firing, rules
from tocsin.triggers.activity import ActivityId, Kind
from tocsin.triggers.decide import decide
from tocsin.triggers.firing import Unfired
from tocsin.triggers.knowledge import Knowledge
from tocsin.triggers.normalise import normalise
from tocsin.triggers.occurrences import NAMES, Occurrence
from tocsin.triggers.rules import alerts, campaigns, offers
from tocsin.triggers.rules.campaigns import CampaignEdit
from tocsin.triggers.rules.offers import OfferEdit

NOW = 1_773_480_000_000  # 2026-03-14T09:20:00Z
ZONE = "Europe/Berlin"

# The only way to lack what a type requires.
_MAY_BE_UNFIRED = {("billing.updated", "billing")}  # with no data at all


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return Knowledge()


# --- anything that can be posted ----------------------------------------------------------------------------------

_words = st.sampled_from(["", "a", "Spring – Sale", "0", "7", "active", "x" * 300, "ümlaut 📊", "constructor"])
_ids = st.sampled_from([7, "7", 1, "ärger"])  # few, so that they meet
_amounts = st.sampled_from(["0", "45.00", "0.000000001", "999999999999.99", "1.005", "12.345", "0.5"])
_currency = st.sampled_from(["EUR", "usd", "USDT"])
_number = st.sampled_from([0, 1, 2.5, "6", True, False, "", "many"])
# Keys that nobody names in CONTRACT §5, among them some that schemas name with other types.
_foreign = st.dictionaries(
    st.sampled_from(["plan", "score", "ip", "event", "type", "id", "indicators", "0", "region", "visitor_first"]),
    st.sampled_from([None, 1, 0.1, "x", {"a": [1, None]}, [], True]),
    max_size=3,
)  # fmt: skip


def _some(required: dict[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]) -> Any:
    own = st.fixed_dictionaries(required, optional={name: one | st.none() for name, one in optional.items()})
    return st.builds(lambda extra, own: {**extra, **own}, _foreign, own)


def _named(**more: Any) -> Any:
    return _some({"id": _ids}, name=_words, **more)


def _visitor(*, required: bool = False) -> Any:
    return _some(
        {"id": _ids} if required else {},
        **({} if required else {"id": _ids}),
        ip=st.sampled_from(["203.0.113.24", "2001:db8::7", "::ffff:192.0.2.1", "10.0.0.1"]),
        user_agent=st.sampled_from(["", "curl/8.0", "Mozilla/5.0 (Windows NT 10.0) Chrome/134.0.0.0"]),
        country=st.sampled_from(["de", "US", "ZZ"]),
        device=_words,
        os=_words,
        browser=_words | _some({}, name=_words, version=_words, vendor=_words),
        timezone=_words,
        screen=_some({}, height=_number, width=_number, touch=_number),
        company=_some({}, name=_words, domain=_words),
    )


_indicators = st.lists(st.sampled_from(["", "webdriver_present", "x"]), max_size=3)
_signals = _some(
    {},
    score=st.sampled_from([0, 45, 75, 100]),
    reasons=st.lists(st.sampled_from(["odd", {"rule": "odd"}, {"rule": "even", "points": -3}]), max_size=3),
    webdriver=st.booleans(),
    honeypot=st.booleans(),
    plugins=st.sampled_from([0, 3, True, ["pdf"]]),
    bot=st.booleans() | _some({}, type=_words, confidence=st.sampled_from([0, 99.5, 100]), indicators=_indicators),
    vpn=st.booleans() | _some({}, provider=_words),
    proxy=st.booleans(),
    cloaker=st.booleans() | _some({}, name=_words, indicators=_indicators),
    fraud=st.booleans() | _some({}, type=_words, indicators=_indicators),
)
_context = st.sampled_from([{}, {"conversation": "c", "user_query": 7}, {"n": 1.5, "deep": {"a": []}}])
_all = {"campaign": _named(), "offer": _named(), "partner": _named()}

POSTED: dict[Kind, Any] = {
    Kind.CLICK: _some(
        {"click_id": _ids}, **_all, ad=_named(), visitor=_visitor(), landing_url=_words, cost=_amounts,
        currency=_currency, session_id=_ids, context=_context, signals=_signals,
    ),
    Kind.VISIT: _some(
        {"visit_id": _ids, "url": st.sampled_from(["https://a/?a=x&b=", "/"]), "visitor": _visitor(required=True)},
        **_all, ad=_named(), referrer=_words, params=st.dictionaries(_words, _number, max_size=2),
        location=_some({}, country=_words, state=_words, city=_words),
        traffic_source=_some({}, channel=_words, source=_words, campaign=_words),
        device=_some({}, type=_words, model=_words, os=_words, gpu=_words, hardware_concurrency=_number),
        screen=_some({}, height=_number, width=_number, touch=_number),
        browser=_some({}, name=_words, version=_words, vendor=_words), timezone=_words, signals=_signals,
    ),
    Kind.IMPRESSION: _some(
        {"ad": _named()}, **_all, visitor=_visitor(), placement=_words | _context, context=_context,
        session_id=_ids,
    ),
    Kind.CONVERSION: _some(
        {"conversion_id": _ids, "payout": _amounts, "currency": _currency}, **_all, ad=_named(), visitor=_visitor(),
        click_id=_ids, transaction_id=_ids, revenue=_amounts, status=st.sampled_from(["pending", "approved"]),
        type=_words, sub1=_number, sub9=_number,
    ),
    Kind.CONVERSION_STATUS: _some(
        {"conversion_id": _ids, "status": st.sampled_from(["approved", "rejected"])}, reason=_words
    ),
    Kind.SPEND: _some({"campaign": _named(), "amount": _amounts}, currency=_currency),
    Kind.CAMPAIGN: _some(
        {
            "campaign": _named(
                budget=_amounts, daily_budget=_amounts, currency=_currency,
                status=st.sampled_from(["active", "paused", "odd"]), target_audience=_context,
            ),
            "action": st.sampled_from(["created", "updated", "paused", "resumed"]),
        },
        reason=_words,
    ),
    Kind.PARTNER: _some(
        {"partner": _named(), "status": st.sampled_from(["applied", "approved", "banned"])}, reason=_words, email=_words
    ),
    Kind.BILLING: _some({"data": _foreign}),
}  # fmt: skip


def _stories() -> Any:
    one = st.one_of(*(st.tuples(st.just(kind), posted) for kind, posted in POSTED.items()))
    return st.lists(st.tuples(one, st.integers(0, 3 * 86_400)), min_size=1, max_size=12)


class Account(Memory):
    """Its offers have low caps and a hold time, its campaigns small budgets, and an alert fires at every click."""

    def __init__(self) -> None:
        super().__init__(ZONE)
        offer = OfferEdit(name="Shoes", hold_s=60, caps={"daily": 1, "weekly": 1, "monthly": 2, "global": 2})
        campaign = CampaignEdit(name="Spring", budget=Decimal(10), daily_budget=Decimal(5))
        alert = alerts.Alert(
            id="alr_1", metric="clicks", op=">", threshold=Decimal(0), window_s=60, created_at=Millis(NOW)
        )
        self.apply(lambda ctx: offers.configure(ctx, "7", offer, Millis(NOW)))
        self.apply(lambda ctx: campaigns.configure(ctx, "7", campaign, Millis(NOW)))
        self.apply(lambda ctx: alerts.add(ctx, alert))

    def tell(self, story: Any, knowledge: Knowledge) -> Iterator[Occurrence]:
        now = NOW
        for number, ((kind, raw), later) in enumerate(story):
            now += later * 1000
            try:
                activity = normalise(
                    kind,
                    raw,
                    id=ActivityId(number),
                    external_id=None,
                    at=Millis(now),
                    accepted_at=Millis(now),
                    knowledge=knowledge,
                )
                yield from self.apply(lambda ctx, activity=activity: decide(ctx, activity))
            except Rejected:
                continue
            yield from self.wait_until(now, dict(rules.TICKS))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(story=_stories())
def test_what_activity_fires_fits_its_type(story: Any, knowledge: Knowledge):
    """Every event is stable JSON that its schema takes; none that can be made is left out."""
    found = list(Account().tell(story, knowledge))
    for name in profiles.names():
        profile = profiles.load(name)
        told: list[Unfired] = []
        for occurrence in found:
            for event in firing.load(profile).events(occurrence, timezone=ZoneInfo(ZONE), unfired=told.append):
                value, written = stabilise(event.data, "")
                assert written == event.data
                assert not profile.catalogue[event.type].validator.faults(value), event
        assert not [one for one in told if (one.type, one.occurrence) not in _MAY_BE_UNFIRED]


def test_stories_reach_every_occurrence(knowledge: Knowledge):
    """Else the test above would pass without looking."""
    seen: set[str] = set()

    @settings(max_examples=150, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(story=_stories())
    def look(story: Any) -> None:
        seen.update(occurrence.name for occurrence in Account().tell(story, knowledge))

    look()
    assert NAMES - seen == set()
