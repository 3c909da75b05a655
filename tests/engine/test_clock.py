"""A clock that is corrected by another's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.clock import CorrectedClock, ManualClock, Millis

NOW = 1_767_225_600_000


def told(clock: CorrectedClock, stored: int, *, way_s: float = 0.0) -> None:
    """The other's instant, told halfway between the two moments."""
    at_s = clock.monotonic_s()
    clock.observe(at_s - way_s / 2, at_s + way_s / 2, Millis(stored))


@pytest.mark.parametrize("wrong_ms", [3_600_000, 700, -700, -3_600_000])
def test_it_shows_the_others_time(wrong_ms: int):
    """However wrong the process's clock is, soon after it was told the other's time it shows that."""
    inner = ManualClock(NOW + wrong_ms)
    clock = CorrectedClock(inner)
    assert clock.now_ms() == NOW + wrong_ms
    told(clock, NOW)
    inner.advance(10)
    assert abs(clock.now_ms() - (NOW + 10_000)) <= 1


def test_forwards_at_once_and_back_at_half_speed():
    """A clock that was behind is right at once. One that was a second ahead goes at half speed until it is right."""
    inner = ManualClock(NOW)
    clock = CorrectedClock(inner)
    told(clock, NOW + 1_000)
    assert abs(clock.now_ms() - (NOW + 1_000)) <= 1
    told(clock, NOW)  # it was set
    for _ in range(10):
        before = clock.now_ms()
        inner.advance(0.2)
        assert 99 <= clock.now_ms() - before <= 101
    inner.advance(1)
    assert abs(clock.now_ms() - (NOW + 3_000)) <= 1


def test_far_ahead_it_steps_back():
    """One that was ahead by more than it may take to be right is set back."""
    inner = ManualClock(NOW)
    clock = CorrectedClock(inner)
    told(clock, NOW + 6_000)
    told(clock, NOW)
    assert abs(clock.now_ms() - NOW) <= 1


def test_the_shortest_way_counts():
    """Of several samples that with the shortest way there and back is believed, as long as it is not too old."""
    inner = ManualClock(NOW)
    clock = CorrectedClock(inner)
    clock.observe(0.0, 0.002, Millis(NOW + 1))
    inner.advance(2)
    clock.observe(2.0, 2.8, Millis(NOW + 2_790))  # slow on the way there: it says too much
    assert abs(clock.now_ms() - (NOW + 2_000)) <= 2
    for n in range(20):
        inner.advance(2)
        at_s = clock.monotonic_s()
        clock.observe(at_s - 0.8, at_s, Millis(NOW + 4_000 + n * 2_000))
    assert clock.now_ms() > NOW + 42_000 + 300


def test_a_change_of_the_systems_time_does_not_matter():
    """Once it was told the time, it goes by spans alone, which no change of the system's time can bend."""

    class Changed(ManualClock):
        def now_ms(self) -> Millis:
            return Millis(super().now_ms() - 3_600_000 * (self.monotonic_s() > 5))

    inner = Changed(NOW)
    clock = CorrectedClock(inner)
    told(clock, NOW)
    inner.advance(10)
    assert abs(clock.now_ms() - (NOW + 10_000)) <= 1


@given(
    st.lists(
        st.tuples(st.floats(0, 30), st.floats(0, 2), st.floats(0, 1), st.integers(-2_000, 2_000)),
        max_size=40,
    )
)
def test_no_correction_leads_back(steps: list[tuple[float, float, float, int]]):
    """Whatever it is told within some seconds of the truth, it never shows an earlier instant than before, and at the
    end it is not further from the truth than what it was told.
    """
    inner = ManualClock(NOW)
    clock = CorrectedClock(inner)
    shown = clock.now_ms()
    for after_s, way_s, place, wrong_ms in steps:
        inner.advance(after_s)
        at_s = clock.monotonic_s()
        told_at = NOW + int((at_s + way_s * place) * 1000) + wrong_ms
        inner.advance(way_s)
        clock.observe(at_s, at_s + way_s, Millis(told_at))
        assert clock.now_ms() >= shown
        shown = clock.now_ms()
    inner.advance(20)
    assert clock.now_ms() >= shown
    truth = NOW + clock.monotonic_s() * 1000
    assert abs(clock.now_ms() - truth) <= 2_000 + 1_000 + 3
