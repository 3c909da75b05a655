"""An account's own thresholds: ``settings.triggers`` of the account.

Only what differs from the defaults is stored, so that a better default reaches every account that left it alone.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

Points = Annotated[int, Meta(ge=0, le=100)]
Score = Annotated[int, Meta(ge=1, le=100)]
# A visitor's label is remembered so long; the contract's default is 30 days.
Days = Annotated[int, Meta(ge=1, le=365)]


class ScoringPoints(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """CONTRACT §5, "Scoring"; 0 turns a rule off."""

    datacenter_ip: Points = 25
    vpn_detected: Points = 20
    tor_exit: Points = 30
    ipsum_hit: Points = 30
    rapid_clicks: Points = 30
    duplicate_click: Points = 20
    honeypot: Points = 40
    bot_user_agent: Points = 50
    webdriver_present: Points = 60
    missing_plugins: Points = 15
    consistent_timing: Points = 25
    same_ip_pattern: Points = 20


class ScoringWindows(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """CONTRACT §5, "Scoring": how many clicks, in how many seconds."""

    rapid_clicks: Annotated[int, Meta(ge=2, le=50)] = 5
    rapid_clicks_s: Annotated[int, Meta(ge=1, le=3_600)] = 60
    duplicate_click_s: Annotated[int, Meta(ge=1, le=3_600)] = 60
    consistent_timing_clicks: Annotated[int, Meta(ge=3, le=50)] = 5
    consistent_timing_percent: Annotated[float, Meta(gt=0, le=50)] = 5.0
    # The contract sets no window. A day finds whoever clicks every six hours, and is as long as addresses are kept.
    consistent_timing_s: Annotated[int, Meta(ge=1, le=604_800)] = 86_400
    same_ip_pattern: Annotated[int, Meta(ge=2, le=50)] = 5
    same_ip_pattern_s: Annotated[int, Meta(ge=1, le=86_400)] = 600


class TriggerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    points: ScoringPoints = ScoringPoints()
    windows: ScoringWindows = ScoringWindows()
    suspicious_from: Score = 40
    fraud_from: Score = 70
    brand_threshold: Annotated[int, Meta(ge=0, le=100)] = 80  # a score above it
    labels_days: Days = 30

    def __post_init__(self) -> None:
        if self.suspicious_from > self.fraud_from:
            raise ValueError("suspicious_from must not be above fraud_from")
