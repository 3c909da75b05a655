"""The generator of traffic: repeatable, in order, bounded, and its frauds leave the marks that the ledger counts by."""

import itertools
import tracemalloc
from collections import Counter, deque

import pytest

from tocsin.cli.traffic import PATTERNS, Day, Made, Truth
from tocsin.cli.traffic.day import DAY_MS
from tocsin.clock import Millis, parse_rfc3339

BEGINS = Millis(1_773_446_400_000)  # 2026-03-14


def day(clicks: int = 3_000, seed: int = 1, fraud: float = 0.02) -> list[Made]:
    return list(Day(clicks=clicks, seed=seed, begins_at=BEGINS, fraud=fraud))


def clicks_of(made: list[Made], pattern: str | None) -> list[Made]:
    return [one for one in made if one.kind == "click" and one.pattern == pattern]


def test_the_same_seed_is_the_same_day() -> None:
    """A seed stands for one day, and another for another."""
    assert day() == day() != day(seed=2)


@pytest.mark.parametrize("clicks", [1, 7, 500, 3_000])
def test_as_many_clicks_as_asked_for(clicks: int) -> None:
    """The day has exactly so many clicks, within the day, in the order of time, each with ids of its own."""
    made = day(clicks)
    assert sum(one.kind == "click" for one in made) == clicks
    assert all(one.at <= after.at for one, after in itertools.pairwise(made))
    assert made[0].at >= BEGINS
    assert made[-1].at < BEGINS + DAY_MS
    assert len({one.external_id for one in made}) == len(made)
    assert all(parse_rfc3339(one.body["at"]) == one.at for one in made)


def test_the_share_of_fraud() -> None:
    """Two percent of the clicks are fraud, a fifth of them of each pattern; without fraud there is none."""
    found = Counter(one.pattern for one in day(5_000) if one.pattern)
    assert found == dict.fromkeys(PATTERNS, 20)
    assert not any(one.pattern for one in day(fraud=0))


def test_all_kinds_happen() -> None:
    """Every kind of activity that a day can have is among it, and what refers to another comes after it."""
    made = day()
    assert {one.kind for one in made} == {
        "click", "visit", "impression", "conversion", "conversion_status", "spend", "campaign", "partner", "billing"
    }  # fmt: skip
    clicked: set[str] = set()
    converted: set[str] = set()
    for one in made:
        if one.kind == "click":
            clicked.add(one.body["click_id"])
        elif one.kind == "conversion":
            assert one.body["click_id"] in clicked
            converted.add(one.body["conversion_id"])
        elif one.kind == "conversion_status":
            assert one.body["conversion_id"] in converted


def test_what_is_spent_is_what_the_clicks_cost() -> None:
    """The hours' spend adds up to the costs of the clicks."""
    made = day()
    cents = sum(round(float(one.body["cost"]) * 100) for one in made if one.kind == "click")
    assert sum(round(float(one.body["amount"]) * 100) for one in made if one.kind == "spend") == cents


def test_a_day_is_not_flat() -> None:
    """The evening has several times the night's clicks."""
    hours = Counter((one.at - BEGINS) // 3_600_000 for one in day() if one.kind == "click")
    assert hours[20] > 4 * hours[3] > 0


def test_the_frauds_marks() -> None:
    """Each pattern shows what it is named after."""
    made = day(5_000)
    assert all(one.body["signals"]["plugins"] == 0 for one in clicks_of(made, "datacenter_farm"))
    assert all(one.body["signals"]["webdriver"] for one in clicks_of(made, "headless_browsers"))
    rapid = clicks_of(made, "rapid_clicks")
    assert len({one.body["visitor"]["ip"] for one in rapid}) == 1
    assert all(after.at - one.at < 10_000 for one, after in itertools.pairwise(rapid))
    gaps = [after.at - one.at for one, after in itertools.pairwise(clicks_of(made, "metronome"))]
    assert max(gaps) - min(gaps) <= 0.02 * max(gaps)
    assert min(gaps) > 60_000
    sweep = clicks_of(made, "subnet_sweep")
    assert len({one.body["visitor"]["ip"].rpartition(".")[0] for one in sweep}) == 1
    assert len({one.body["visitor"]["ip"] for one in sweep}) == len(sweep)


def test_a_day_is_made_as_it_is_read() -> None:
    """Reading a day through takes a fraction of the memory that the whole of it has."""

    def peak(keep: int | None) -> int:
        tracemalloc.start()
        kept: deque[Made] = deque(Day(clicks=6_000, seed=1, begins_at=BEGINS), maxlen=keep)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert kept
        return most

    assert peak(keep=1) < peak(keep=None) / 3


def test_precision_and_recall() -> None:
    """Recall is of what was injected, precision of what was flagged by the pattern's marks; honest clicks count."""
    rapid, honest = (
        Made(at=BEGINS, body={"kind": "click", "external_id": "c"}, pattern=pattern)
        for pattern in ("rapid_clicks", None)
    )
    truth = Truth()
    truth.judged(rapid, "CLEAN", ())
    truth.judged(rapid, "CLEAN", ("duplicate_click",))
    truth.judged(rapid, "FRAUD", ("rapid_clicks", "duplicate_click"))
    truth.judged(rapid, "SUSPICIOUS", ("duplicate_click", "vpn_detected"))
    truth.judged(honest, "CLEAN", ("rapid_clicks",))
    truth.judged(honest, "SUSPICIOUS", ("rapid_clicks",))
    [found] = [one for one in truth.found() if one.pattern == "rapid_clicks"]
    assert (found.injected, found.caught, found.flagged, found.right) == (4, 2, 2, 1)
    assert (found.recall, found.precision) == (0.5, 0.5)
    assert (truth.clicks, truth.false_alarms) == (6, 1)
