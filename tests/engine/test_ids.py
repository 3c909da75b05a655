"""Ids that are never made twice."""

import itertools

import pytest

from tocsin.clock import ManualClock
from tocsin.ids import NODES, IdSource, first_at, made_at_ms


def test_ids_rise_above_what_was_made_before():
    """Above a given id all ids are greater, whatever the clock says and whosever number it had; without need they are
    of their instant.
    """
    clock = ManualClock()
    before = IdSource(clock, 1023).next()
    for last in (before, before + 1, first_at(clock.now_ms() + 60_000), 0):
        source = IdSource(clock, 5)
        source.begin_above(last)
        ids = [source.next() for _ in range(10_000)]
        assert ids[0] > last
        assert all(a < b for a, b in itertools.pairwise(ids))
        assert {id_ % NODES for id_ in ids} == {5}
    assert made_at_ms(ids[0]) == clock.now_ms()


def test_a_source_that_changes_its_number_goes_on_rising():
    """A process that gets another number makes ids of that number from then on, all greater than before."""
    clock = ManualClock()
    source = IdSource(clock)
    ids = [source.next()]
    for number in (1023, 3, 0):
        source.renumber(number)
        ids.append(source.next())
        assert ids[-1] % NODES == number
        assert ids[-1] > ids[-2]
    with pytest.raises(ValueError, match="1023"):
        source.renumber(1024)
