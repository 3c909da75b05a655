"""Summaries: the numbers are those of a recount, however the events were cut; and what people are told of them."""

import itertools
import json
from collections import Counter, defaultdict
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.messages import as_text, occasion
from tocsin.channels.digest import digest_message
from tocsin.channels.message import Tone
from tocsin.channels.options import ChatOptions
from tocsin.channels.ranking import CAPACITY, Ranking, Tally
from tocsin.channels.summary import Summary, decode
from tocsin.clock import Millis
from tocsin.model import DIGEST_TYPE
from tocsin.profiles import load

PROFILE = load("cloakradar")
NOON = Millis(1_773_144_000_000)
FRAUD, CONVERSION, CLICK = "fraud.detected", "conversion.new", "click.new"

Event = tuple[str, Millis, dict[str, Any]]


def fraud(n: int, **values: Any) -> Event:
    data = {
        "campaign": {"id": n % 3, "name": f"Campaign {n % 3}"},
        "partner": {"id": n % 2, "name": f"Partner {n % 2}"},
        "visitor": {"id": f"v{n % 5}", "ip": f"203.0.113.{n % 7}"},
        "estimated_loss": f"{n % 10}.05",
    }
    return FRAUD, Millis(NOON + n * 100), data | values


def conversion(n: int, **values: Any) -> Event:
    data = {"campaign": {"id": 1}, "conversion": {"id": f"c{n}", "payout": "45.00", "currency": "EUR"}}
    return CONVERSION, Millis(NOON + n * 100), data | values


def count(events: list[Event], into: Summary | None = None) -> Summary:
    summary = into or Summary()
    for n, (type_, at, data) in enumerate(events):
        summary.add(PROFILE, type_, at, data, event_id=n, raw=json.dumps(data).encode())
    return summary


def told(summary: Summary, channel: str = "slack", **options: Any):
    data = json.loads(summary.encoded())
    return digest_message(occasion(PROFILE, DIGEST_TYPE, data), ChatOptions(**options), channel)


# --- recounts -----------------------------------------------------------------------------------------------------

AMOUNTS = st.one_of(
    st.none(),
    st.decimals(0, 100_000, places=2).map(str),
    st.floats(0, 1e6),
    st.integers(-(10**40), 10**40),
    st.just("-12.3456789"),
)
EVENTS = st.lists(
    st.builds(
        lambda type_, at, campaign, ip, visitor, amount, currency: (
            type_,
            Millis(NOON + at),
            {
                "campaign": campaign,
                "ip": ip,
                "visitor": {"id": visitor},
                "payout": amount,
                "estimated_loss": amount,
                **({"currency": currency} if currency else {}),
            },
        ),
        st.sampled_from((FRAUD, CONVERSION, CLICK, "vpn.detected", "of.nobody")),
        st.integers(-(10**6), 10**6),
        st.sampled_from(({}, {"id": 1}, {"id": 1, "name": "One"}, {"name": "Two"})),
        st.sampled_from(("192.0.2.1", "192.0.77.2", "2001:db8::1", None, 5)),
        st.sampled_from(("a", "b", None)),
        AMOUNTS,
        st.sampled_from(("USD", "eur", "JPY", "USDT", "x" * 5_000, None)),
    ),
    max_size=30,
)


@given(EVENTS, st.lists(st.integers(0, 30), max_size=4), st.booleans())
def test_any_cut_gives_the_same_summary(events: list[Event], cuts: list[int], stored: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    """Counted at once, or in pieces that are merged in turn, also after having been stored: it is the same."""
    whole = count(events)
    edges = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    pieces = Summary()
    for begin, end in itertools.pairwise(edges):
        piece = count(events[begin:end])
        pieces.merge(decode(piece.encoded()) if stored else piece)
    if whole.count == 1:  # which number it had in its piece is the only difference
        assert whole.named is not None
        assert pieces.named is not None
        whole.named.only = pieces.named.only
    assert pieces == whole
    assert decode(whole.encoded()) == whole


@given(EVENTS)
def test_the_numbers_are_those_of_a_recount(events: list[Event]) -> None:
    """Counts by type, sums by currency, first and last: as somebody finds them who reads every event again."""
    summary = count(events)
    assert summary.count == len(events)
    assert {type_: tally.count for type_, tally in summary.types.items()} == Counter(type_ for type_, _, _ in events)
    assert sum(tally.count for tally in summary.tones.values()) == len(events)
    if events:
        assert (summary.first_at, summary.last_at) == (min(at for _, at, _ in events), max(at for _, at, _ in events))
    payouts: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    unsummed = 0
    for type_, _, data in events:
        details = PROFILE.messages.details(type_, data)
        for name in ("payout", "loss"):
            amount = details.get(name)
            if amount is None:
                continue
            if abs(amount) >= 10**15 or details["currency"] not in {"USD", "EUR", "JPY"}:
                unsummed += 1
            elif name == "payout":
                payouts[type_][details["currency"]] += round(amount, 6)
    assert {type_: dict(tally.payout) for type_, tally in summary.types.items() if tally.payout} == payouts
    assert summary.unsummed == unsummed
    campaigns = [data["campaign"] for _, _, data in events if data["campaign"]]
    assert summary.campaigns.count == len(campaigns)


def test_sums_are_exact() -> None:
    """A thousand dimes are a hundred dollars, and large amounts keep their cents."""
    dimes = [(CONVERSION, NOON, {"payout": 0.1}) for _ in range(1_000)]
    assert count(dimes).payout() == {"USD": Decimal(100)}
    large = [(CONVERSION, NOON, {"payout": "999999999999999.99"})] * 1_000 + [(CONVERSION, NOON, {"payout": "0.01"})]
    assert count(large).payout() == {"USD": Decimal("999999999999999990.01")}


def test_addresses_are_masked_before_they_are_kept() -> None:
    """Nothing of a summary holds a whole address but the one event, as it was published."""
    text = count([fraud(1), fraud(2)]).encoded().decode()
    assert "203.0.x.x" in text
    assert "203.0.113" not in text


def test_an_erasure_takes_what_is_named() -> None:
    """What may tell of a visitor lies under one key; without it all numbers stay, and counting goes on."""
    summary = count([fraud(n) for n in range(4)])
    bare = decode(json.dumps(json.loads(summary.encoded()) | {"named": None}).encode())
    rest = json.dumps(json.loads(bare.encoded()))
    assert not any(text in rest for text in ("v1", "203.0", "192.0"))
    count([fraud(9)], bare)
    assert (bare.count, bare.named) == (5, None)
    bare.merge(summary)
    assert (bare.count, bare.named) == (9, None)
    assert "Top Offenders" in [section.heading for section in told(bare).sections]  # partners are no visitors
    one = decode(json.dumps(json.loads(count([fraud(1)]).encoded()) | {"named": None}).encode())
    assert told(one).title == "1 alert"


# --- names in bounded memory --------------------------------------------------------------------------------------


def test_a_hundred_thousand_names_take_no_more_room_than_a_hundred() -> None:
    """The table is bounded, nothing is uncounted, and who comes often is found among them, with a lower bound."""
    ranking = Ranking()
    for n in range(100_000):
        ranking.add(f"name {n}", Tally(1))
        if n % 20 == 0:
            ranking.add("often", Tally(1))
    assert len(ranking.kept) <= CAPACITY
    assert ranking.count == 105_000
    assert not ranking.exact
    name, tally = ranking.top(1)[0]
    assert name == "often"
    assert 5_000 - 105_000 // (CAPACITY + 1) <= tally.count <= 5_000


@given(st.lists(st.lists(st.integers(0, 150), max_size=400), max_size=4))
def test_merged_rankings_keep_their_promise(parts: list[list[int]]) -> None:
    """However many tables are merged: the sum is exact, and no name is short by more than a 101st of all."""
    merged = Ranking()
    for part in parts:
        one = Ranking()
        for n in part:
            one.add(str(n), Tally(1, {"USD": Decimal(1)}))
        merged.merge(one)
    everything = Counter(str(n) for part in parts for n in part)
    assert merged.count == everything.total()
    assert len(merged.kept) <= CAPACITY
    money = sum((tally.payout.get("USD", Decimal(0)) for tally in (*merged.kept.values(), merged.others)), Decimal(0))
    assert money == everything.total()
    if len(everything) <= CAPACITY:
        assert merged.exact
        assert {name: tally.count for name, tally in merged.kept.items()} == everything
    for name, n in everything.items():
        known = merged.kept[name].count if name in merged.kept else 0
        assert n - everything.total() / (CAPACITY + 1) <= known <= n


def test_a_summary_of_hostile_names_is_small() -> None:
    """Ten thousand campaigns with names of ten thousand characters: some tens of kilobytes."""
    events = [fraud(n, campaign={"id": "i" * 5_000 + str(n), "name": "n" * 10_000}) for n in range(10_000)]
    summary = count(events)
    assert len(summary.encoded()) < 64_000
    assert summary.campaigns.count == 10_000


# --- messages -----------------------------------------------------------------------------------------------------


def test_a_summary_as_it_is_told() -> None:
    """How many in which time, of what, how much money, where and by whom."""
    events = [fraud(n) for n in range(30)] + [conversion(n) for n in range(7)]
    message = told(count(events))
    assert as_text(message) == (
        "📊 37 alerts in 3 seconds\n"
        "Fraud Detected: 30\n"
        "New Conversion: 7\n"
        "Payout: €315.00\n"
        "Estimated Loss: $136.50\n"
        "Top Campaigns\n"
        "  Campaign 1: 17 · €315.00 · $45.50 lost\n"
        "  Campaign 0: 10 · $45.50 lost\n"
        "  Campaign 2: 10 · $45.50 lost\n"
        "Top Offenders\n"
        "  Partner Partner 0: 15\n"
        "  Partner Partner 1: 15\n"
        "  IP 203.0.x.x: 30\n"
        "  Visitor v0: 6\n"
        "  Visitor v1: 6\n"
        "  Visitor v2: 6"
    )
    assert message.tone is Tone.FRAUD


def test_a_span_that_no_window_has_is_not_told() -> None:
    """What was brought in from last year is no flood of a year."""
    long_ago = (CONVERSION, Millis(NOON - 365 * 86_400_000), conversion(0)[2])
    assert told(count([long_ago, conversion(1)])).title == "2 alerts"


def test_in_telegram_lines_begin_with_icons_and_in_german_money_is_german() -> None:
    """A summary follows the channel and the locale as every message does."""
    message = told(count([conversion(n) for n in range(1_200)]), "telegram", locale="de_DE")
    assert message.title == "1.200 alerts in 2 minutes"
    assert [(line.icon, line.label, line.value) for line in message.lines] == [
        ("🎉", "New Conversion", "1.200"),
        ("💰", "Payout", "54.000,00\xa0€"),
    ]
    assert message.tone is Tone.CONVERSION


def test_one_event_is_told_as_itself() -> None:
    """A summary or an incident of one event is that event's own message."""
    for kind in ("summary", "incident"):
        summary = count([conversion(1)], Summary(kind=kind))
        assert told(summary).title == "New Conversion!"
        assert told(summary).at == NOON + 100
    merged = Summary()
    merged.merge(count([conversion(1)]))
    assert told(merged).title == "New Conversion!"


def test_an_incident_in_progress_and_over() -> None:
    """How much and for how long, with its loss; it says when it is over."""
    summary = count([fraud(n) for n in range(0, 3_000, 2)], Summary(kind="incident"))
    message = told(summary)
    assert (message.icon, message.title, message.tone) == (
        "🚨",
        "Fraud burst: 1,500 alerts in 5 minutes",
        Tone.FRAUD,
    )
    assert ("Estimated Loss", "$6,075.00") in [(line.label, line.value) for line in message.lines]
    summary.over = True
    assert told(summary).title == "Fraud burst over: 1,500 alerts in 5 minutes"


def test_money_of_several_types_is_not_added_up() -> None:
    """What was recorded and then approved is one payout: each type shows its own."""
    profile = load("trcker")
    summary = Summary()
    for type_ in ("conversion.created", "conversion.created", "conversion.approved"):
        example = profile.catalogue[type_].event_type.example
        summary.add(profile, type_, NOON, example, event_id=1, raw=b"{}")
    message = digest_message(occasion(profile, DIGEST_TYPE, json.loads(summary.encoded())), ChatOptions(), "slack")
    assert [line.label for line in message.lines] == [
        profile.messages.label("conversion.created"),
        profile.messages.label("conversion.approved"),
    ]
    assert all("·" in line.value for line in message.lines)


def test_names_that_found_no_room_are_lower_bounds_and_others() -> None:
    """Once names came that are not kept, counts say "at least", and the rest is counted as others."""
    events = [fraud(n, campaign={"name": f"c{n}"}) for n in range(150)]
    events += [fraud(n, campaign={"name": "Big One"}) for n in range(50)]
    (campaigns, _offenders) = told(count(events)).sections
    values = {line.label: line.value.partition(" ·")[0] for line in campaigns.lines}
    assert values["Big One"].startswith("at least ")
    said = sum(int(value.removeprefix("at least ")) for value in values.values())
    assert said == 200


@pytest.mark.parametrize("channel", ["slack", "telegram", "discord", "email"])
def test_hostile_names_are_clean_and_short(channel: str) -> None:
    """Control characters, overlong and empty names neither break a message nor reach it."""
    names = ("\x00\x1b[31m", "x" * 10_000, "@everyone <b>&", "\u202eevil", " ", "😀" * 500)
    events = [fraud(n, campaign={"name": name}, partner={"name": name}) for n, name in enumerate(names * 3)]
    message = told(count(events), channel)
    for section in message.sections:
        for line in section.lines:
            assert line.label.strip()
            assert len(line.label) <= 60
            assert line.label.isprintable() or "\u2068" in line.label
