"""Which keys an activity's rules will most likely ask for, so that they are read for a whole batch at once.

Only speed hangs on it: what a rule asks for beyond these is read then (`state.Unread`), and what it does not ask for
was read in vain.
"""

from collections.abc import Iterable

from tocsin.triggers import scoring
from tocsin.triggers.activity import Activity, Kind
from tocsin.triggers.rules import summaries, traffic

_NAMED = ("campaign", "offer", "partner")
_JUDGED = frozenset({Kind.CLICK, Kind.VISIT})
_ALERTING = frozenset({Kind.CLICK, Kind.VISIT, Kind.IMPRESSION, Kind.CONVERSION, Kind.SPEND})


def foresee(activity: Activity) -> set[str]:
    """Keys of everybody that the activity names, and of what is counted for the whole account."""
    keys = {f"{noun}:{id_}" for noun in _NAMED if (id_ := activity.id_of(noun)) is not None}
    kind = activity.kind
    if kind in _ALERTING:
        keys.add("alerts")
    if kind in _JUDGED:
        keys.add("day")
        keys.update(filter(None, (traffic.visitor_key(activity), summaries.visitor_key(activity))))
        if kind is Kind.CLICK:
            keys.update(scoring.keys(activity))
    else:
        for noun in ("conversion", "click"):
            if isinstance(id_ := activity.data.get(f"{noun}_id"), str | int):
                keys.add(f"{noun}:{id_}")
    return keys


def foresee_tick(name: str) -> Iterable[str]:
    """As `foresee`, for a timer."""
    noun, _, subject = name.partition(":")
    return {"hold": (f"conversion:{subject}",), "midnight": ("day",), "alert": ("alerts", name)}.get(noun, ())
