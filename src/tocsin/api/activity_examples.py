"""One activity of each kind, as the description of the API and the documentation show it."""

from collections.abc import Mapping
from typing import Any

from tocsin.triggers.activity import Kind

_CAMPAIGN = {"id": "cmp_1042", "name": "Spring sale"}
_OFFER = {"id": "off_318", "name": "Fibre 500, 24 months"}
_PARTNER = {"id": "par_88", "name": "Clickwell Network"}
_AGENT = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.3 Mobile/15E148 Safari/604.1"
)
_VISITOR = {"id": "vis_7f3k2m9q", "ip": "203.0.113.24", "user_agent": _AGENT, "country": "DE"}
_AT = "2026-01-01T00:00:00Z"

EXAMPLES: Mapping[Kind, Mapping[str, Any]] = {
    Kind.VISIT: {
        "kind": "visit",
        "external_id": "visit-1",
        "at": _AT,
        "visit_id": "vst_01JP9RDF6Q",
        "url": "https://shop.example/spring?utm_source=newsletter&utm_medium=email&utm_campaign=spring",
        "referrer": "https://mail.example/",
        "visitor": {**_VISITOR, "timezone": "Europe/Berlin", "screen": {"width": 393, "height": 852, "touch": True}},
        "device": {"model": "iPhone 16", "gpu": "Apple GPU", "hardware_concurrency": 6},
    },
    Kind.CLICK: {
        "kind": "click",
        "external_id": "click-1",
        "at": _AT,
        "click_id": "clk_01JP9QK6X3",
        "campaign": _CAMPAIGN,
        "offer": _OFFER,
        "partner": _PARTNER,
        "visitor": _VISITOR,
        "landing_url": "https://shop.example/spring?utm_source=clickwell",
        "cost": "0.42",
        "signals": {"webdriver": False, "plugins": 5},
    },
    Kind.IMPRESSION: {
        "kind": "impression",
        "external_id": "impression-1",
        "ad": {"id": "ad_5531"},
        "campaign": _CAMPAIGN,
        "placement": "sidebar",
        "context": {"page": "https://magazine.example/fibre"},
        "session_id": "ses_4c19ae02",
        "visitor": _VISITOR,
    },
    Kind.CONVERSION: {
        "kind": "conversion",
        "external_id": "conversion-1",
        "conversion_id": "cnv_01JP9S2KYM",
        "click_id": "clk_01JP9QK6X3",
        "transaction_id": "order-48213",
        "payout": "45.00",
        "revenue": "60.00",
        "currency": "EUR",
        "type": "sale",
        "sub1": "winter-promo",
        "campaign": _CAMPAIGN,
        "offer": _OFFER,
        "partner": _PARTNER,
    },
    Kind.CONVERSION_STATUS: {
        "kind": "conversion_status",
        "conversion_id": "cnv_01JP9S2KYM",
        "status": "rejected",
        "reason": "order cancelled",
    },
    Kind.SPEND: {
        "kind": "spend",
        "external_id": "spend-2026-01-01-13",
        "campaign": {"id": "cmp_1042"},
        "amount": "12.50",
        "currency": "EUR",
    },
    Kind.CAMPAIGN: {
        "kind": "campaign",
        "action": "created",
        "campaign": {
            **_CAMPAIGN,
            "budget": "10000.00",
            "daily_budget": "400.00",
            "currency": "EUR",
            "target_audience": {"countries": ["DE"]},
        },
    },
    Kind.PARTNER: {"kind": "partner", "partner": _PARTNER, "status": "banned", "reason": "fraud rate of 38 %"},
    Kind.BILLING: {
        "kind": "billing",
        "external_id": "invoice-2026-0311",
        "data": {"kind": "invoice.issued", "amount": "8214.90", "currency": "EUR", "status": "open"},
    },
}
