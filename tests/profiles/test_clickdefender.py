"""`clickdefender`, figure by figure, and what its schemas hold to. CONTRACT §4."""

import copy
from typing import Any

import pytest

from tocsin.profiles import load

CLICKDEFENDER = load("clickdefender")


def _faults(type_: str, data: Any) -> list[str]:
    return [fault.pointer for fault in CLICKDEFENDER.catalogue[type_].validator.faults(data)]


def _summary(**changed: Any) -> dict[str, Any]:
    example = CLICKDEFENDER.catalogue["daily_summary"].event_type.example
    return {"summary": dict(example["summary"]) | changed}


def test_its_figures() -> None:
    """ "Retry Policy": a limit of 30 seconds; 1, 5 and 30 minutes, 2 and 24 hours, so six requests."""
    assert CLICKDEFENDER.timeout_s == 30
    assert CLICKDEFENDER.schedule_s == (60, 300, 1_800, 7_200, 86_400)


def test_its_limits() -> None:
    """ "Overview" and "Setting Up Webhooks": five webhooks a property, https only."""
    assert CLICKDEFENDER.limits.webhooks == 5
    assert CLICKDEFENDER.limits.https_only


def test_it_never_disables() -> None:
    """ "Retry Policy": only the delivery is marked as failed."""
    assert not CLICKDEFENDER.disable.on_exhausted
    assert CLICKDEFENDER.disable.failing_for_s is None
    assert not CLICKDEFENDER.disable.gone_disables


def test_its_accounts() -> None:
    """CONTRACT §3 and §4: keys begin with tsn_; a secret is made; addresses go out whole, as in the document."""
    assert CLICKDEFENDER.key_prefix == "tsn_"
    assert CLICKDEFENDER.make_secret(bytes)
    assert not CLICKDEFENDER.mask_ips


@pytest.mark.parametrize("reasons", [[], [{"rule": "honeypot", "score": 40}], [{"rule": "a", "score": 99}] * 3])
def test_reasons_need_not_add_up(reasons: list[Any]) -> None:
    """The document's own sample has 95 points of reasons for a score of 85."""
    data = copy.deepcopy(dict(CLICKDEFENDER.catalogue["fraud_detected"].event_type.example))
    data["decision"]["reasons"] = reasons
    assert _faults("fraud_detected", data) == []


@pytest.mark.parametrize(
    ("type_", "parent", "label", "other"),
    [("fraud_detected", "decision", "FRAUD", "SUSPICIOUS"), ("high_risk_visitor", "visitor", "SUSPICIOUS", "FRAUD")],
)
def test_a_label_is_that_of_its_event(type_: str, parent: str, label: str, other: str) -> None:
    """ "Event Types": a visitor classified as FRAUD makes the one, as SUSPICIOUS the other."""
    data = copy.deepcopy(dict(CLICKDEFENDER.catalogue[type_].event_type.example))
    assert data[parent]["label"] == label
    data[parent]["label"] = other
    assert _faults(type_, data) == [f"/data/{parent}/label"]


@pytest.mark.parametrize("score", [-1, 101, 55.5])
def test_a_score_is_a_whole_number_up_to_100(score: float) -> None:
    """CONTRACT §5; where its labels begin is the account's own matter."""
    assert _faults("high_risk_visitor", {"visitor": {"id": "vis_1", "score": score, "label": "SUSPICIOUS"}}) == [
        "/data/visitor/score"
    ]
    assert _faults("high_risk_visitor", {"visitor": {"id": "vis_1", "score": 30, "label": "SUSPICIOUS"}}) == []


@pytest.mark.parametrize("rate", ["0.0%", "2.0%", "33.3%", "100.0%"])
def test_a_rate_is_percent_with_one_decimal(rate: str) -> None:
    """CONTRACT §5: as a string, with its sign."""
    assert _faults("daily_summary", _summary(fraudRate=rate)) == []


@pytest.mark.parametrize("rate", ["2%", "2.00%", "2.0", "2,0%", "-1.0%", "100.1%", "200.0%", " 2.0%", "2.0%\n", ""])
def test_what_is_no_rate_is_refused(rate: str) -> None:
    """With a pointer to it."""
    assert _faults("daily_summary", _summary(fraudRate=rate)) == ["/data/summary/fraudRate"]


def test_at_most_five_rules_are_at_the_top() -> None:
    """CONTRACT §5; on a day without visitors there are none."""
    rules = [{"rule": f"rule_{n}", "count": 9 - n} for n in range(6)]
    assert _faults("daily_summary", _summary(topRules=[])) == []
    assert _faults("daily_summary", _summary(topRules=rules[:5])) == []
    assert _faults("daily_summary", _summary(topRules=rules)) == ["/data/summary/topRules"]


@pytest.mark.parametrize("key", ["totalVisitors", "cleanCount", "suspiciousCount", "fraudCount"])
@pytest.mark.parametrize("count", [-1, 1.5])
def test_counts_are_whole_and_not_negative(key: str, count: float) -> None:
    """With a pointer to the one that is not."""
    assert _faults("daily_summary", _summary(**{key: 0})) == []
    assert _faults("daily_summary", _summary(**{key: count})) == [f"/data/summary/{key}"]


@pytest.mark.parametrize("date", ["2026-3-14", "2026-03-14T00:00:00Z", "14.03.2026"])
def test_a_day_is_a_date(date: str) -> None:
    """YYYY-MM-DD and nothing more."""
    assert _faults("daily_summary", _summary(date=date)) == ["/data/summary/date"]
