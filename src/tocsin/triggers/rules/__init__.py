"""What counts and what fires, by kind of activity: which rules there are, and in which order they look at one.

Promises: a rule is a pure function over what is remembered; it changes that, says what occurred, or refuses the
activity by raising `errors.Rejected`. Leaves out: how its changes are kept (`engine.activities`), what a dialect makes
of them (`firing`).
"""

from collections.abc import Callable, Mapping

from tocsin.clock import Millis
from tocsin.triggers.activity import Activity, Kind
from tocsin.triggers.context import Context
from tocsin.triggers.rules import alerts, summaries

Rule = Callable[[Context, Activity], None]
Tick = Callable[[Context, str, Millis], None]  # the timer's name, and when it was due

# The order matters: a rule reads what the ones before it have found.
RULES: Mapping[Kind, tuple[Rule, ...]] = {
    Kind.CLICK: (summaries.count, alerts.count),
    Kind.VISIT: (summaries.count, alerts.count),
    Kind.IMPRESSION: (alerts.count,),
    Kind.CONVERSION: (alerts.count,),
    Kind.CONVERSION_STATUS: (),
    Kind.SPEND: (alerts.count,),
    Kind.CAMPAIGN: (),
    Kind.PARTNER: (),
    Kind.BILLING: (),
}

# By the noun of a timer's name: what comes before its colon.
TICKS: Mapping[str, Tick] = {
    "alert": alerts.silence,
    "midnight": summaries.midnight,
}
