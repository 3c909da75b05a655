"""What was probably meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.nearest import did_you_mean, nearest

NAMES = ["click.created", "conversion.created", "conversion.approved", "visitor.high_risk", "url", "events", "name"]


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("clik.created", "click.created"),
        ("Click.created", "click.created"),
        ("conversion.aproved", "conversion.approved"),
        ("visitors.high_risk", "visitor.high_risk"),
        ("ulr", "url"),
        ("nmae", "name"),
        ("event", "events"),
    ],
)
def test_slips_are_understood(slip: str, meant: str):
    """A letter left out, added, changed or swapped does not hide what was meant."""
    assert nearest(slip, NAMES)[0] == meant


def test_nothing_near_is_nothing():
    """Names that have nothing in common with any other are answered with none."""
    assert nearest("zzz", NAMES) == []
    assert nearest("", NAMES) == []
    assert nearest("x", []) == []
    assert did_you_mean("zzz", NAMES) == ""


@given(st.lists(st.text(max_size=30), max_size=60), st.text(max_size=300))
def test_only_known_names_are_answered(known: list[str], name: str):
    """Whatever is asked, at most three names come back, each known, none twice."""
    found = nearest(name, set(known))
    assert len(found) <= 3
    assert len(set(found)) == len(found)
    assert set(found) <= set(known)


@given(
    st.sets(st.text(st.characters(codec="ascii", categories=["Ll"]), min_size=4, max_size=20), min_size=1), st.data()
)
def test_one_letter_left_out_is_found(known: set[str], data: st.DataObject):
    """Of few names, the one that lost a letter is always among those answered."""
    few = sorted(known)[:5]
    name = data.draw(st.sampled_from(few))
    at = data.draw(st.integers(0, len(name) - 1))
    assert name in nearest(name[:at] + name[at + 1 :], few)
