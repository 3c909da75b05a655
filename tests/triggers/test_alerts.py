"""Alerts: what they measure, when they fire, and when they are armed again."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.triggers.deciding import Memory, activity, instant, judged
from tocsin.clock import Millis
from tocsin.triggers.occurrences import Occurrence
from tocsin.triggers.rules import alerts
from tocsin.triggers.rules.alerts import Alert, Part, Watch

START = instant("2026-03-01T00:00:00Z")


def alert(**given: Any) -> Alert:
    known: dict[str, Any] = {"id": "alr_1", "metric": "clicks", "op": ">=", "window_s": 60, "created_at": START}
    known |= given
    return Alert(**{**known, "threshold": Decimal(str(known.get("threshold", 3)))})


class Watched(Memory):
    """One account with these alerts. Times are seconds since the start."""

    def __init__(self, *made: Alert) -> None:
        super().__init__()
        for one in made:
            self.apply(lambda ctx, one=one: alerts.add(ctx, one))

    def post(self, kind: str, at: float, label: str | None = None, *rules: str, **data: Any) -> list[Occurrence]:
        posted = activity(kind, START + round(at * 1000), **data)
        return list(self.apply(lambda ctx: alerts.count(ctx, posted), judged(label, *rules) if label else None))

    def clicks(self, *times: float, **data: Any) -> list[float]:
        """When it fired."""
        return [(found.at - START) / 1000 for at in times for found in self.post("click", at, "CLEAN", **data)]

    def silence(self, until: float) -> list[float]:
        found = self.wait_until(START + round(until * 1000), {"alert": alerts.silence})
        return [(occurrence.at - START) / 1000 for occurrence in found]


def test_it_fires_when_the_metric_passes() -> None:
    """At the third click of a minute, not again by the fourth, with what was measured."""
    watched = Watched(alert(name="busy"))
    assert watched.clicks(1, 2) == []
    (found,) = watched.post("click", 3, "CLEAN")
    assert found.name == "alert"
    assert found.facts["alert"] == {
        "id": "alr_1",
        "name": "busy",
        "metric": "clicks",
        "op": ">=",
        "threshold": Decimal(3),
        "value": Decimal(3),
        "window_s": 60,
        "count": 3,
    }
    assert watched.clicks(4, 5) == []


@pytest.mark.parametrize(("op", "fires"), [(">", [4.0]), (">=", [3.0])])
def test_at_the_threshold_itself(op: str, fires: list[float]) -> None:
    """Three clicks are at least three, and not above three."""
    assert Watched(alert(op=op)).clicks(1, 2, 3, 4) == fires


def test_the_window_reaches_back_sixty_slots() -> None:
    """A click of a minute ago has left; one of 59 slots ago has not."""
    assert Watched(alert()).clicks(0.5, 30, 60.2) == []
    assert Watched(alert()).clicks(1.5, 30, 60.2) == [60.2]
    assert Watched(alert()).clicks(0.5, 1.5, 60.1, 60.2) == [60.2]


def test_it_is_armed_again_after_the_metric_came_back() -> None:
    """Clicks that go on above the threshold are one alert; after a fall below, the next rise is another."""
    watched = Watched(alert())
    assert watched.clicks(*range(1, 100)) == [3]
    assert watched.clicks(130, 131, 162, 163, 164) == [162]


def test_silence_between_two_bursts_is_seen() -> None:
    """The metric was below the threshold meanwhile, though no activity said so."""
    watched = Watched(alert())
    assert watched.clicks(1, 2, 3, 3, 3) == [3]
    assert watched.clicks(500, 500, 500) == [500]


def test_the_cool_down_has_to_pass_too() -> None:
    """A second burst within the cool-down is quiet; a third after it fires."""
    watched = Watched(alert(cooldown_s=600))
    assert watched.clicks(1, 2, 3) == [3]
    assert watched.clicks(300, 301, 302) == []
    assert watched.clicks(603, 604, 605) == [605]


def test_what_still_holds_when_the_cool_down_ends_fires_then() -> None:
    """It came back and passed again during the cool-down: the alert is told when it may be, in the silence too."""
    watched = Watched(alert(cooldown_s=100))
    assert watched.clicks(1, 2, 3, 90, 91, 92) == [3]
    assert watched.clicks(120) == [103]


def test_late_facts_count_in_their_own_slot_while_the_window_holds_it() -> None:
    """A late click completes the three; one older than the window counts nowhere."""
    assert Watched(alert()).clicks(50, 55, 20) == [55]
    assert Watched(alert()).clicks(100, 101, 30, 41, 42) == [101]
    assert Watched(alert()).clicks(100, 101, 30, 41) == []


@pytest.mark.parametrize(
    ("metric", "threshold", "posted", "value"),
    [
        ("conversions", 2, [("conversion", None, {}), ("conversion", None, {})], "2"),
        (
            "conversion_rate",
            50,
            [("click", "CLEAN", {}), ("click", "CLEAN", {}), ("conversion", None, {})],
            "50",
        ),
        ("fraud_rate", "33.3", [("visit", "CLEAN", {}), ("click", "CLEAN", {}), ("click", "FRAUD", {})], "33.3333"),
        ("bot_rate", 100, [("click", "CLEAN", {"signals": {"bot": {"type": "tool"}}})], "100"),
        ("ctr", 50, [("impression", None, {}), ("impression", None, {}), ("click", "CLEAN", {})], "50"),
        (
            "spend",
            "0.3",
            [("spend", None, {"amount": Decimal("0.1")}), ("spend", None, {"amount": Decimal("0.2")})],
            "0.3",
        ),
        ("payout", 3, [("conversion", None, {"payout": Decimal("3.00")})], "3.00"),
    ],
)
def test_what_each_metric_measures(
    metric: str, threshold: object, posted: list[tuple[str, str | None, dict[str, Any]]], value: str
) -> None:
    """Counts, rates in percent and exact money; the last activity is the one that fires."""
    watched = Watched(alert(metric=metric, threshold=threshold))
    fired = [watched.post(kind, 1, label, **data) for kind, label, data in posted]
    assert [len(found) for found in fired] == [0] * (len(posted) - 1) + [1]
    assert str(fired[-1][0].facts["alert"]["value"]) == value


def test_automation_is_recognised_by_its_reasons() -> None:
    """A score's reasons say bot as well as the producer's own signals."""
    watched = Watched(alert(metric="bot_rate", threshold=50))
    assert watched.post("click", 1, "CLEAN", "vpn_detected") == []
    assert len(watched.post("click", 2, "SUSPICIOUS", "bot_user_agent")) == 1


def test_a_minimum_count_keeps_rates_of_little_quiet() -> None:
    """One conversion of one click is a hundred percent of nothing much."""
    watched = Watched(alert(metric="conversion_rate", threshold=10, min_count=3))
    assert watched.post("click", 1, "CLEAN") == watched.post("conversion", 2) == watched.post("click", 3, "CLEAN") == []
    assert len(watched.post("click", 4, "CLEAN")) == 1


def test_an_alert_may_watch_one_campaign() -> None:
    """Other campaigns' clicks count for other alerts; an id is the same as text and as number."""
    watched = Watched(alert(campaign="7"), alert(id="alr_2", threshold=4))
    assert watched.clicks(1, 2, 3, campaign={"id": 8}) == []
    assert [found.facts["alert"]["id"] for found in watched.post("click", 4, "CLEAN", campaign={"id": 7})] == ["alr_2"]
    assert watched.clicks(5, campaign={"id": "7"}) == []
    (found,) = watched.post("click", 6, "CLEAN", campaign={"id": 7})
    assert found.facts["alert"]["campaign"] == {"id": "7"}


def test_the_campaign_is_called_by_its_name() -> None:
    """By the last that its activity gave, also where silence fires."""
    watched = Watched(alert(campaign="7", op="<", threshold=2))
    watched.clicks(1, campaign={"id": 7, "name": "Spring"})
    watched.clicks(30, 40, 50, 59, campaign={"id": 7})
    (found,) = watched.wait_until(START + 200_000, {"alert": alerts.silence})
    assert found.facts["alert"]["campaign"] == {"id": "7", "name": "Spring"}


def test_traffic_that_stops_fires_without_any_activity() -> None:
    """Fewer than two clicks a minute: told by a timer when they have left the window, once, and again after a rise."""
    watched = Watched(alert(op="<", threshold=2))
    assert watched.clicks(*range(0, 120, 10)) == []
    assert watched.silence(1_000) == [160]
    assert watched.clicks(1_001, 1_002) == []
    assert watched.silence(2_000) == [1_061]


def test_no_traffic_at_all_fires_after_a_whole_window() -> None:
    """An alert on a falling metric watches for its window before it judges."""
    watched = Watched(alert(op="<=", threshold=0))
    assert watched.silence(59.9) == []
    assert watched.silence(60) == [60]


def test_a_removed_alert_is_forgotten() -> None:
    """It measures no more and its timer is gone."""
    watched = Watched(alert(op="<"))
    assert watched.timers
    watched.apply(lambda ctx: alerts.remove(ctx, "alr_1"))
    assert watched.timers == {}
    assert set(watched.values) == {"alerts"}


# --- against an oracle that keeps everything and looks at every slot --------------------------------------------------


class Oracle:
    def __init__(self, alert: Alert) -> None:
        self.alert, self.facts, self.present = alert, [], alert.created_at
        self.armed, self.came_back, self.fired_at, self.fired = True, False, 0, []

    def look(self, at: int) -> None:
        self.present = max(self.present, at)
        here = self.alert.slot(self.present)
        total = sum((part.count for slot, part in self.facts if here - 60 < slot <= here))
        beyond = total > self.alert.threshold if self.alert.op == ">" else total < self.alert.threshold
        if self.alert.op == "<" and self.present < self.alert.created_at + self.alert.window_s * 1000:
            beyond = False
        if not self.armed:
            self.came_back |= not beyond
            self.armed = self.came_back and self.present >= self.fired_at + self.alert.cooldown_s * 1000
        if self.armed and beyond:
            self.armed, self.came_back, self.fired_at = False, False, self.present
            self.fired.append((self.present, total))

    def post(self, at: int) -> None:
        step = self.alert.window_s * 1000 // 60
        marks = range(self.present - self.present % step, at + 1, step) if at > self.present else []
        marks = {mark for mark in marks if mark > self.present}
        marks |= {self.alert.created_at + self.alert.window_s * 1000}
        done = self.present
        while ahead := [mark for mark in {*marks, self.fired_at + self.alert.cooldown_s * 1000} if done < mark <= at]:
            done = min(ahead)
            self.look(done)
        self.look(at)
        self.facts.append((self.alert.slot(at), Part(1, 1)))
        self.look(at)


@settings(max_examples=150)
@given(
    op=st.sampled_from([">", "<"]),
    threshold=st.integers(0, 4),
    cooldown=st.sampled_from([0, 30, 200]),
    steps=st.lists(st.integers(-70_000, 100_000) | st.integers(-500, 3_000), max_size=25),
)
def test_it_fires_as_by_looking_at_every_slot(op: str, threshold: int, cooldown: int, steps: list[int]) -> None:
    """The same instants and values as an oracle that keeps every click and looks at each slot of the time between."""
    one = alert(op=op, threshold=threshold, cooldown_s=cooldown)
    oracle, watch, fired, at = Oracle(one), alerts.begin(one), [], int(START)
    for step in steps:
        at = max(START, at + step)
        oracle.post(at)
        watch, found = alerts.measure(one, watch, Millis(at), Part(1, 1))
        fired += [(firing.at, firing.value) for firing in found]
    assert fired == oracle.fired
    assert len(watch.slots) <= alerts.SLOTS


@settings(max_examples=100)
@given(steps=st.lists(st.integers(0, 30_000), max_size=15), threshold=st.integers(1, 4))
def test_the_timer_tells_when_silence_fires(steps: list[int], threshold: int) -> None:
    """Advancing to that instant fires then, and one millisecond less does not."""
    one = alert(op="<", threshold=threshold)
    watch, at = alerts.begin(one), int(START)
    for step in steps:
        at += step
        watch, _ = alerts.measure(one, watch, Millis(at), Part(1, 1))
    due = alerts.silent_until(one, watch)
    assert (due is None) == (not watch.armed and not _can_return(one, watch))
    if due is not None:
        assert alerts.advance(one, watch, Millis(due - 1))[1] == []
        assert [firing.at for firing in alerts.advance(one, watch, due)[1]] == [due]


def _can_return(one: Alert, watch: Watch) -> bool:
    """Whether it has come back since it fired: then it waits for the next fall."""
    return watch.came_back or not alerts.holds(one, watch)
