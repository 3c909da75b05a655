"""What rules find out, in the words of no dialect. `firing` turns an occurrence into a dialect's event, or into none.

Facts are nested dicts with snake_case keys. Every occurrence of an activity carries that activity's `data` (CONTRACT
§5), completed; below, what is added. Amounts are `Decimal`, ids keep their JSON type, instants are `Millis`.

    click, visit, impression    score, label, action, reasons [{rule, points}] (click and visit)
    visit, visitor              first_seen; visitor: it is this one
    fraud, suspicious           as click; visitor_first: whether this label is new for the visitor (by the rule that a
                                label fires once per visitor and again only when it rises); fraud_type, indicators
                                [names], estimated_loss (where the click has a cost); ip ("unknown") and
                                user_agent (""), as have bot, vpn and cloaker
    brand_risk                  a click's score is above the account's threshold: threshold
    bot                         bot {type, confidence, indicators}
    vpn                         vpn {provider, kind: vpn|proxy|tor}, proxy; tor
    cloaker                     cloaker {name, indicators}
    conversion                  status; the visitor and campaign of its click where they are known
    conversion_approved         as conversion, as it is now; automatic: by hold time
    conversion_rejected         as conversion; reason
    partner_applied, partner_approved, partner_banned
    cap                         cap {window: daily|weekly|monthly|global, limit, count, window_start, window_end}
    campaign_created, campaign_updated, campaign_resumed        campaign {…}, changed [names]
    campaign_paused             campaign {…}, reason: cap_reached|budget_exhausted|manual|…, detail (a sentence)
    budget_threshold            budget {scope: total|daily, percent, amount, spent, period_start}, campaign
    budget_exhausted            budget {amount, spent}, campaign, performance {impressions, clicks, conversions, ctr,
                                average_cpb}
    alert                       alert {id, name, metric, op, threshold, value, window_s, count, campaign {id, name}};
                                names and campaign where it has them
    daily_summary               summary {date, timezone, total_visitors, clean_count, suspicious_count, fraud_count,
                                fraud_rate ("2.0%"), fraud_percent, top_rules [{rule, count}]}
    billing                     the activity's data
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from tocsin.clock import Millis

# What each is called, for people.
WORDS: Mapping[str, str] = MappingProxyType(
    {
        "click": "a click",
        "visit": "a visit",
        "visitor": "a visitor's first visit",
        "impression": "an impression",
        "fraud": "a click or visit judged FRAUD",
        "suspicious": "a click or visit judged SUSPICIOUS",
        "brand_risk": "a click with a score above the account's threshold",
        "bot": "automation recognised behind a click or visit",
        "vpn": "a click or visit through a VPN, a proxy or Tor",
        "cloaker": "a competing cloaker behind a click or visit",
        "conversion": "a conversion",
        "conversion_approved": "a conversion approved, by hand or after its hold time",
        "conversion_rejected": "a conversion rejected",
        "partner_applied": "a partner who applies",
        "partner_approved": "a partner approved",
        "partner_banned": "a partner banned",
        "cap": "an offer's cap reached",
        "campaign_created": "a campaign made",
        "campaign_updated": "a campaign changed",
        "campaign_resumed": "a campaign resumed",
        "campaign_paused": "a campaign paused",
        "budget_threshold": "spending that passes a percentage of a budget",
        "budget_exhausted": "a total budget spent",
        "alert": "a metric past an alert's threshold",
        "daily_summary": "midnight in the account's time zone",
        "billing": "billing",
    }
)
NAMES = frozenset(WORDS)


class Occurrence(msgspec.Struct, frozen=True, kw_only=True):
    name: str  # of NAMES
    at: Millis
    facts: Mapping[str, Any]


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What scoring says of a click or visit."""

    score: int  # 0 to 100
    label: str  # CLEAN, SUSPICIOUS, FRAUD
    action: str  # ALLOW, REVIEW, BLOCK
    reasons: tuple[tuple[str, int], ...]  # rule and points, in the order in which the rules are listed
