"""What counts and what fires, by kind of activity: which rules there are, and in which order they look at one.

Promises: a rule is a pure function over what is remembered; it changes that, says what occurred, or refuses the
activity by raising `errors.Rejected`. Leaves out: how its changes are kept (`engine.activity`), what a dialect makes of
them (`firing`).
"""

from collections.abc import Callable, Mapping

import msgspec

from tocsin.clock import Millis
from tocsin.triggers import scoring
from tocsin.triggers.activity import Activity, Kind
from tocsin.triggers.context import Context
from tocsin.triggers.rules import alerts, budgets, campaigns, conversions, partners, summaries, traffic

Rule = Callable[[Context, Activity], None]
Tick = Callable[[Context, str, Millis], None]  # the timer's name, and when it was due

# The order matters: a rule reads what the ones before it have found.
RULES: Mapping[Kind, tuple[Rule, ...]] = {
    Kind.CLICK: (
        scoring.judge,
        traffic.click,
        summaries.count,
        alerts.count,
        campaigns.count,
        conversions.remember_click,
    ),
    Kind.VISIT: (scoring.judge, traffic.visit, summaries.count, alerts.count),
    Kind.IMPRESSION: (traffic.impression, alerts.count, campaigns.count),
    Kind.CONVERSION: (conversions.recorded, alerts.count),
    Kind.CONVERSION_STATUS: (conversions.status_changed,),
    Kind.SPEND: (budgets.spent, alerts.count),
    Kind.CAMPAIGN: (campaigns.changed,),
    Kind.PARTNER: (partners.changed,),
    Kind.BILLING: (partners.billing,),
}

# By the noun of a timer's name: what comes before its colon.
TICKS: Mapping[str, Tick] = {
    "alert": alerts.silence,
    "hold": conversions.hold_over,
    "midnight": summaries.midnight,
}


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What must be there of every account whose dialect makes an event of the occurrence `wanted`, before any activity:
    `rule` puts `key`, as it must be at that instant; it is called again when the account was changed.
    """

    wanted: str
    key: str
    rule: Callable[[Context, Millis], None]


OPENINGS: tuple[Opening, ...] = (Opening(wanted="daily_summary", key="day", rule=summaries.keep_time),)
