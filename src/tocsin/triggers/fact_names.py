"""What the facts of each occurrence are called: `occurrences` as data, so that what reads them is checked at load.

A tree: ``{…}`` an object with these keys, and perhaps others that were posted; ``[…]`` a list of such items; `LEAF` a
value; `OPEN` a value or an object with keys that nobody knows beforehand.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

LEAF = "leaf"
OPEN = "open"

_NAMED = {"id": LEAF, "name": LEAF}
_CAMPAIGN_FACTS = {
    **_NAMED,
    "status": LEAF,
    "budget": LEAF,
    "daily_budget": LEAF,
    "currency": LEAF,
    "spent": LEAF,
    "target_audience": OPEN,
}
_VISITOR = {
    "id": LEAF,
    "ip": LEAF,
    "user_agent": LEAF,
    "country": LEAF,
    "country_name": LEAF,
    "region": LEAF,
    "city": LEAF,
    "device": LEAF,
    "os": LEAF,
    "os_version": LEAF,
    "browser": LEAF,
    "browser_version": LEAF,
    "browser_vendor": LEAF,
    "language": LEAF,
    "timezone": LEAF,
    "screen": OPEN,
    "company": OPEN,
}
# CONTRACT §5, the row "all".
_ALL: dict[str, Any] = {
    "external_id": LEAF,
    "campaign": _CAMPAIGN_FACTS,
    "offer": _NAMED,
    "partner": _NAMED,
    "ad": _NAMED,
    "visitor": _VISITOR,
    "currency": LEAF,
}
_SIGNS: dict[str, Any] = {"indicators": LEAF}
_JUDGED: dict[str, Any] = {
    "score": LEAF,
    "label": LEAF,
    "action": LEAF,
    "reasons": [{"rule": LEAF, "points": LEAF}],
    "signals": OPEN,
}
_CLICK: dict[str, Any] = {
    **_ALL,
    **_JUDGED,
    "click_id": LEAF,
    "landing_url": LEAF,
    "cost": LEAF,
    "session_id": LEAF,
    "context": OPEN,
}
_TRAFFIC_SOURCE = {"channel": LEAF, "source": LEAF, "campaign": LEAF}
_VISIT: dict[str, Any] = {
    **_ALL,
    **_JUDGED,
    "visit_id": LEAF,
    "url": LEAF,
    "referrer": LEAF,
    "params": OPEN,
    "location": {"country": LEAF, "city": LEAF, "state": LEAF},
    "traffic_source": _TRAFFIC_SOURCE,
    "device": {"type": LEAF, "model": LEAF, "os": LEAF, "gpu": LEAF, "hardware_concurrency": LEAF},
    "browser": {"name": LEAF, "version": LEAF, "vendor": LEAF},
    "screen": {"width": LEAF, "height": LEAF, "touch": LEAF},
    "timezone": LEAF,
    "first_seen": LEAF,
}
# Clicks and visits are judged alike.
_THREAT = {**_CLICK, **_VISIT, "ip": LEAF, "user_agent": LEAF}
_CONVERSION: dict[str, Any] = {
    **_ALL,
    "conversion_id": LEAF,
    "click_id": LEAF,
    "transaction_id": LEAF,
    "session_id": LEAF,
    "payout": LEAF,
    "revenue": LEAF,
    "status": LEAF,
    "type": LEAF,
    **{f"sub{number}": LEAF for number in range(1, 10)},
}
_FRAUD = {
    **_THREAT,
    "visitor_first": LEAF,
    "fraud_type": LEAF,
    **_SIGNS,
    "estimated_loss": LEAF,
}
_PARTNER: dict[str, Any] = {
    **_ALL,
    "status": LEAF,
    "reason": LEAF,
    "email": LEAF,
    "website": LEAF,
    "traffic_types": LEAF,
}
_CAMPAIGN: dict[str, Any] = {**_ALL, "action": LEAF, "changed": LEAF, "reason": LEAF, "detail": LEAF}
_SPEND: dict[str, Any] = {**_ALL, "amount": LEAF}

FACTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "click": _CLICK,
        "visit": _VISIT,
        "visitor": {**_CLICK, **_VISIT},
        "impression": {
            **_ALL,
            "impression_id": LEAF,
            "placement": OPEN,
            "context": OPEN,
            "session_id": LEAF,
            "cost": LEAF,
        },
        "fraud": _FRAUD,
        "suspicious": _FRAUD,
        "brand_risk": {**_CLICK, "threshold": LEAF},
        "bot": {**_THREAT, "bot": {"type": LEAF, "confidence": LEAF, **_SIGNS}},
        "vpn": {
            **_THREAT,
            "vpn": {"provider": LEAF, "kind": LEAF, "asn": LEAF, "isp": LEAF},
            "proxy": LEAF,
            "tor": LEAF,
        },
        "cloaker": {**_THREAT, "cloaker": {"name": LEAF, **_SIGNS}},
        "conversion": _CONVERSION,
        "conversion_approved": {**_CONVERSION, "automatic": LEAF, "decided_at": LEAF},
        "conversion_rejected": {**_CONVERSION, "reason": LEAF, "decided_at": LEAF},
        "partner_applied": _PARTNER,
        "partner_approved": _PARTNER,
        "partner_banned": _PARTNER,
        "cap": {
            **_CONVERSION,
            "cap": {
                "window": LEAF,
                "limit": LEAF,
                "count": LEAF,
                "window_start": LEAF,
                "window_end": LEAF,
                "timezone": LEAF,
            },
        },
        "campaign_created": _CAMPAIGN,
        "campaign_updated": _CAMPAIGN,
        "campaign_resumed": _CAMPAIGN,
        "campaign_paused": {**_CONVERSION, **_SPEND, **_CAMPAIGN, "budget": {"amount": LEAF, "spent": LEAF}},
        "budget_threshold": {
            **_SPEND,
            "budget": {
                "scope": LEAF,
                "percent": LEAF,
                "amount": LEAF,
                "spent": LEAF,
                "period_start": LEAF,
                "date": LEAF,
            },
        },
        "budget_exhausted": {
            **_SPEND,
            "budget": {"amount": LEAF, "spent": LEAF},
            "performance": {
                "impressions": LEAF,
                "clicks": LEAF,
                "conversions": LEAF,
                "ctr": LEAF,
                "average_cpb": LEAF,
            },
        },
        "alert": {
            "alert": {
                "id": LEAF,
                "name": LEAF,
                "metric": LEAF,
                "op": LEAF,
                "threshold": LEAF,
                "value": LEAF,
                "window_s": LEAF,
                "count": LEAF,
                "campaign": _NAMED,
            }
        },
        "daily_summary": {
            "summary": {
                "date": LEAF,
                "timezone": LEAF,
                "total_visitors": LEAF,
                "clean_count": LEAF,
                "suspicious_count": LEAF,
                "fraud_count": LEAF,
                "fraud_rate": LEAF,
                "fraud_percent": LEAF,
                "top_rules": [{"rule": LEAF, "count": LEAF}],
            }
        },
        "billing": {**_ALL, "data": OPEN},
    }
)
