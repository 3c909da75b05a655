"""Activity as it is posted: what fits, what is completed, and what is said of the rest."""

import copy
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.clock import Millis
from tocsin.errors import Invalid
from tocsin.faults import Open, choices
from tocsin.triggers.activity import Activity, ActivityId, AddressFacts, AgentFacts, Kind
from tocsin.triggers.normalise import normalise
from tocsin.triggers.shapes import SHAPES

NOW = Millis(1_767_225_600_000)

PHONE = AgentFacts(
    device="mobile",
    model="iPhone",
    os="iOS",
    os_version="18.3",
    browser="Safari",
    browser_version="18.3",
    vendor="Apple",
)


class Known:
    """Knows one address and one user agent."""

    def address(self, ip: str) -> AddressFacts:
        return AddressFacts(country="DE") if ip == "203.0.113.24" else AddressFacts()

    def agent(self, user_agent: str) -> AgentFacts:
        return PHONE if "iPhone" in user_agent else AgentFacts()


def take(kind: Kind, at: int = NOW, /, **raw: Any) -> Activity:
    return normalise(kind, raw, id=ActivityId(7), external_id=None, at=Millis(at), accepted_at=NOW, knowledge=Known())


def faults(kind: Kind, /, **raw: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        take(kind, **raw)
    return {fault.pointer: fault.detail for fault in refused.value.faults}


# The smallest of each kind.
SMALLEST: dict[Kind, dict[str, Any]] = {
    Kind.VISIT: {"visit_id": "v", "url": "https://shop.example/", "visitor": {"id": "a"}},
    Kind.CLICK: {"click_id": "c"},
    Kind.IMPRESSION: {"ad": {"id": 1}},
    Kind.CONVERSION: {"conversion_id": "k", "payout": "45.00", "currency": "EUR"},
    Kind.CONVERSION_STATUS: {"conversion_id": "k", "status": "approved"},
    Kind.SPEND: {"campaign": {"id": 1}, "amount": "1"},
    Kind.CAMPAIGN: {"campaign": {"id": 1}, "action": "paused"},
    Kind.PARTNER: {"partner": {"id": "p"}, "status": "applied"},
    Kind.BILLING: {"data": {}},
}


@pytest.mark.parametrize("kind", Kind)
def test_the_smallest_of_each_kind_fits(kind: Kind) -> None:
    """What the contract does not ask for may be left out."""
    found = take(kind, **SMALLEST[kind])
    assert {key: found.data[key] for key in SMALLEST[kind]}.keys() == SMALLEST[kind].keys()


@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind, given in SMALLEST.items() for key in given])
def test_what_a_kind_needs_is_named_when_it_is_missing(kind: Kind, key: str) -> None:
    """The pointer leads to the key that is not there."""
    given = {name: value for name, value in SMALLEST[kind].items() if name != key}
    found = faults(kind, **given)
    assert found.keys() == {f"/{key}"}
    assert found[f"/{key}"].startswith("it is missing")


# --- amounts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "amount"),
    [
        ("45.00", "45.00"),
        ("0", "0"),
        ("999999999999.999999999", "999999999999.999999999"),
        (45, "45"),
        (45.1, "45.1"),
        (Decimal("45.10"), "45.1"),
        (Decimal("1E+3"), "1000"),
        (0.1, "0.1"),
        (-0.0, "0"),
        (123456789.012345, "123456789.012345"),
    ],
)
def test_amounts_are_exact(given: object, amount: str) -> None:
    """A text keeps its digits; a number is the shortest decimal that means it."""
    found = take(Kind.CLICK, click_id="c", cost=given).data["cost"]
    assert type(found) is Decimal
    assert str(found) == amount


@pytest.mark.parametrize(
    "given",
    [
        *(
            "",
            "4,5",
            " 1",
            "1 ",
            "+1",
            ".5",
            "5.",
            "1e3",
            "NaN",
            "Infinity",
            "٤٥",
            "1\n",
            "0.0000000001",
            "1" * 13,
            "-1",
        ),
        *(10**12, -1, 10**5_000, 1e300, float("inf"), float("nan"), Decimal("sNaN"), Decimal("1E+999999999")),
        *(Decimal("0.1234567890123456"), Decimal("1E-10"), True, [], {}),
    ],
    ids=lambda value: str(type(value).__name__),
)
def test_what_is_no_amount_is_refused(given: object) -> None:
    """With a pointer to it, whatever it is."""
    assert faults(Kind.CLICK, click_id="c", cost=given).keys() == {"/cost"}


def test_only_spend_can_be_taken_back() -> None:
    """A negative amount corrects what was posted too high; no price, payout or budget is negative."""
    assert take(Kind.SPEND, campaign={"id": 1}, amount="-2.50").data["amount"] == Decimal("-2.50")
    assert "/campaign/budget" in faults(Kind.CAMPAIGN, campaign={"id": 1, "budget": "-1"}, action="created")


# --- what is kept, changed and refused ----------------------------------------------------------------------------


def test_unknown_keys_are_kept() -> None:
    """At every level; a null of theirs too, whereas a known key's null counts as left out."""
    raw = {"click_id": "c", "own": None, "cost": None, "visitor": {"own": [1.5, None], "ip": None}}
    assert take(Kind.CLICK, **raw).data == {"click_id": "c", "own": None, "visitor": {"own": [1.5, None]}}


@pytest.mark.parametrize(
    ("given", "ip"),
    [("203.0.113.7", "203.0.113.7"), ("2001:DB8:0::1", "2001:db8::1"), ("::ffff:203.0.113.7", "203.0.113.7")],
)
def test_addresses_are_canonical(given: str, ip: str) -> None:
    """However they were written, they are the same address."""
    assert take(Kind.CLICK, click_id="c", visitor={"ip": given}).data["visitor"]["ip"] == ip


@pytest.mark.parametrize("given", ["", "nowhere", "203.0.113.256", "203.0.113.07", "fe80::1%eth0", "10.0.0.0/8"])
def test_what_is_no_address_is_refused(given: str) -> None:
    """A pointer leads to it."""
    assert faults(Kind.CLICK, click_id="c", visitor={"ip": given}).keys() == {"/visitor/ip"}


def test_a_browser_may_be_an_object() -> None:
    """Its name is the browser; version and vendor stand beside it."""
    own = {"name": "Safari", "version": "17.0", "vendor": "Apple"}
    visitor = take(Kind.CLICK, click_id="c", visitor={"browser": own}).data["visitor"]
    assert visitor == {"browser": "Safari", "browser_version": "17.0", "browser_vendor": "Apple"}


def test_signals_are_there_or_not() -> None:
    """An object of which nothing is known is a yes, false is as nothing said."""
    found = take(Kind.CLICK, click_id="c", signals={"vpn": {}, "bot": False, "cloaker": {"name": "x"}}).data["signals"]
    assert found == {"vpn": True, "cloaker": {"name": "x"}}


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        ({"click_id": ""}, "/click_id"),
        ({"click_id": "a\nb"}, "/click_id"),
        ({"click_id": "x" * 257}, "/click_id"),
        ({"click_id": 1.5}, "/click_id"),
        ({"click_id": True}, "/click_id"),
        ({"click_id": 2**53}, "/click_id"),
        ({"click_id": "c", "campaign": {"name": "x"}}, "/campaign/id"),
        ({"click_id": "c", "campaign": "x"}, "/campaign"),
        ({"click_id": "c", "visitor": {"country": "Germany"}}, "/visitor/country"),
        ({"click_id": "c", "signals": {"score": 101}}, "/signals/score"),
        ({"click_id": "c", "signals": {"bot": {"confidence": -1}}}, "/signals/bot/confidence"),
        ({"click_id": "c", "own": "\ud800"}, "/own"),
        ({"click_id": "c", "own": "x" * 8_193}, "/own"),
        ({"click_id": "c", "own": [0] * 1_001}, "/own"),
        ({"click_id": "c", "own": {str(n): n for n in range(1_001)}}, "/own"),
        ({"click_id": "c", "own": float("nan")}, "/own"),
        ({"click_id": "c", "own": 2**53}, "/own"),
        ({"click_id": "c", "x" * 257: 1}, f"/{'x' * 64}"),
    ],
)
def test_bounds(raw: dict[str, Any], pointer: str) -> None:
    """Every text, number, list and object has them."""
    assert pointer in faults(Kind.CLICK, **raw)


def test_depth_is_bounded() -> None:
    """Sixteen levels are taken, one more is not."""
    nested: Any = 1
    for _ in range(15):
        nested = {"in": nested}
    assert take(Kind.CLICK, click_id="c", own=nested)
    assert len(faults(Kind.CLICK, click_id="c", own={"in": nested})) == 1


def test_a_clock_may_be_five_minutes_fast() -> None:
    """Not more; the past is open."""
    assert take(Kind.CLICK, NOW + 300_000, click_id="c").at == NOW + 300_000
    assert take(Kind.CLICK, 0, click_id="c").at == 0
    with pytest.raises(Invalid, match="5 minutes ahead"):
        take(Kind.CLICK, NOW + 300_001, click_id="c")


def test_what_was_posted_is_left_as_it_is() -> None:
    """The activity holds a copy."""
    raw = {"visit_id": "v", "url": "https://a.example/?b=1", "visitor": {"id": 1, "ip": "::ffff:203.0.113.24"}}
    before = copy.deepcopy(raw)
    take(Kind.VISIT, **raw)
    assert raw == before


# --- anything -----------------------------------------------------------------------------------------------------

_TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["203.0.113.24", "::1", "de", "XX", "45.00", "-1", "EUR", "approved", "created", "https://[", "?a=1"]
    ),
)
_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.decimals(), _TEXTS, st.just({}), st.just([])
)


def _keys() -> list[str]:
    found: set[str] = {"own"}
    waiting: list[Any] = list(SHAPES.values())
    while waiting:
        for field in msgspec.structs.fields(waiting.pop()):
            if field.encode_name not in found:
                found.add(field.encode_name)
                waiting += [one for one in choices(field.type) if isinstance(one, type) and issubclass(one, Open)]
    return sorted(found)


_ANYTHING = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_keys()), inner, max_size=5)),
    max_leaves=20,
)


@settings(max_examples=300)
@given(
    kind=st.sampled_from(list(Kind)),
    over=st.dictionaries(st.sampled_from(_keys()), _ANYTHING, max_size=6),
    whole=st.booleans(),
)
def test_anything_is_taken_or_refused_and_what_is_taken_is_taken_again(
    kind: Kind, over: dict[str, Any], *, whole: bool
) -> None:
    """No error but `Invalid`, whatever is posted; what comes out goes in again and comes out the same."""
    try:
        first = take(kind, **({**SMALLEST[kind], **over} if whole else over))
    except Invalid:
        return
    assert take(kind, **first.data).data == first.data
