"""Activity as it is posted: what fits, what is completed, and what is said of the rest."""

from typing import Any

import pytest

from tocsin.clock import Millis
from tocsin.errors import Invalid
from tocsin.triggers.activity import Activity, ActivityId, AddressFacts, AgentFacts, Kind
from tocsin.triggers.normalise import normalise

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
