"""A day of generated traffic, with fraud in it that a ledger knows of: what fires, what is found, how the day ends."""

import pytest

from tests.support.days import DATE, ZONE, Outcome, run_day
from tocsin.cli.traffic import PATTERNS

# What of each pattern is found at least, the day over. Before a series of clicks can be told from a person's, some have
# passed: four of the twenty or so.
RECALL = {
    "datacenter_farm": 0.95,
    "rapid_clicks": 0.7,
    "metronome": 0.7,
    "subnet_sweep": 0.7,
    "headless_browsers": 1.0,
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run_day(tmp_path_factory.mktemp("day"), clicks=5_000, seed=1)


def test_what_must_fire_fires(outcome: Outcome) -> None:
    """Each activity fires what the table says for what it was and was judged to be, and nothing else does."""
    assert outcome.activities["click"] == 5_000
    assert outcome.fired == outcome.expected
    assert outcome.fired["fraud.detected"] > 30


def test_the_summary_is_a_recount(outcome: Outcome) -> None:
    """At midnight in the account's time zone one summary comes; each of its numbers is that of a recount."""
    [summary] = outcome.summaries
    assert summary == {"date": DATE, "timezone": ZONE.key, **outcome.recount}
    assert summary["visitors"]["total"] > 4_000


@pytest.mark.parametrize("name", PATTERNS)
def test_fraud_is_found(outcome: Outcome, name: str) -> None:
    """Of each pattern's clicks most are found, and few that are found by its marks are honest."""
    [found] = [one for one in outcome.truth.found() if one.pattern == name]
    assert found.injected == 20
    assert found.recall >= RECALL[name]
    assert found.precision >= 0.9


def test_honest_people_are_left_alone(outcome: Outcome) -> None:
    """Of a thousand honest clicks, fewer than five are suspected."""
    assert outcome.truth.false_alarms < 0.005 * outcome.truth.clicks
