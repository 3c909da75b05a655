"""What messages, templates and postbacks may say of an event, under the same names in every dialect.

Where each stands in a dialect's data is said in its messages.toml; this is what the names are, and how a value is read.
What is there in a wrong form is left out, whatever it is: data that a schema let through are not wrong because a
message cannot show them.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

import msgspec

from tocsin.profiles.countries import code_of


class Kind(StrEnum):
    """What a detail is: the form that it is read in, and written in."""

    TEXT = "text"  # str: somebody's words, or a name
    WORD = "word"  # str: one of a program's words, such as budget_exhausted
    ID = "id"  # str, also where it came as a number
    URL = "url"  # str
    IP = "ip"  # str
    DATE = "date"  # str: 2026-03-14
    INSTANT = "instant"  # str: RFC 3339
    COUNTRY = "country"  # str: two capitals; as it came where that is no country's code or English name
    CURRENCY = "currency"  # str, in capitals
    MONEY = "money"  # Decimal, in whole units of the detail `currency`
    NUMBER = "number"  # int, or Decimal where it is no whole number
    PERCENT = "percent"  # the same: 2 for 2 %
    MEASURE = "measure"  # the same: an amount, a percentage or a number, as the detail `metric` says
    COMPARISON = "comparison"  # str: > >= < <=
    SECONDS = "seconds"  # the same
    WORDS = "words"  # tuple[str, ...]
    RANKING = "ranking"  # tuple[tuple[str, int], ...]: names with how often, as they came


class Detail(msgspec.Struct, frozen=True):
    """`label`, `icon`: of a line that shows it alone. `texts`: what that line shows, the first of them of which all is
    known; none: the detail itself.
    """

    kind: Kind
    label: str
    icon: str
    texts: tuple[str, ...] = ()


_T, _W, _I, _U, _M, _N = Kind.TEXT, Kind.WORD, Kind.ID, Kind.URL, Kind.MONEY, Kind.NUMBER
_P, _S, _D, _L = Kind.PERCENT, Kind.MEASURE, Kind.DATE, Kind.WORDS

# Those that every dialect shares; a messages.toml can add its own.
DETAILS: Mapping[str, Detail] = {
    "campaign": Detail(_T, "Campaign", "📊", ("{campaign}", "{campaign_id}")),
    "campaign_id": Detail(_I, "Campaign ID", "📊"),
    "offer": Detail(_T, "Offer", "🎁", ("{offer}", "{offer_id}")),
    "offer_id": Detail(_I, "Offer ID", "🎁"),
    "partner": Detail(_T, "Partner", "🤝", ("{partner}", "{partner_id}")),
    "partner_id": Detail(_I, "Partner ID", "🤝"),
    "ad_id": Detail(_I, "Ad ID", "🖼️"),
    "visitor_id": Detail(_I, "Visitor ID", "👤"),
    "session_id": Detail(_I, "Session ID", "🔗"),
    "click_id": Detail(_I, "Click ID", "🔗"),
    "visit_id": Detail(_I, "Visit ID", "🔗"),
    "conversion_id": Detail(_I, "Conversion ID", "🔗"),
    "conversion_type": Detail(_W, "Type", "🏷️"),
    "transaction_id": Detail(_I, "Transaction ID", "🧾"),
    "payout": Detail(_M, "Payout", "💰"),
    "revenue": Detail(_M, "Revenue", "💵"),
    "loss": Detail(_M, "Estimated Loss", "💸"),
    "cost": Detail(_M, "Cost", "💳"),
    "amount": Detail(_M, "Amount", "💰"),
    "spent": Detail(_M, "Spent", "💸"),
    "budget": Detail(_M, "Budget", "💼"),
    "daily_budget": Detail(_M, "Daily Budget", "📆"),
    "currency": Detail(Kind.CURRENCY, "Currency", "💱"),
    "percent": Detail(_P, "Percent", "📈"),
    "period": Detail(_W, "Period", "🗓️"),
    "country": Detail(Kind.COUNTRY, "Country", "🌍"),
    "region": Detail(_T, "Region", "📍"),
    "city": Detail(_T, "City", "📍"),
    "device": Detail(_W, "Device", "📱", ("{device} ({os})", "{device}", "{os}")),
    "model": Detail(_T, "Model", "📱"),
    "os": Detail(_T, "OS", "⚙️"),
    "browser": Detail(_T, "Browser", "🧭"),
    "user_agent": Detail(_T, "User Agent", "🧭"),
    "ip": Detail(Kind.IP, "IP", "🌐"),
    "company": Detail(_T, "Company", "🏢"),
    "url": Detail(_U, "Page", "🔗"),
    "referrer": Detail(_U, "Referrer", "↩️"),
    "source": Detail(_T, "Source", "🧲", ("{source} ({medium})", "{source}", "{medium}")),
    "medium": Detail(_T, "Channel", "🧲"),
    "placement": Detail(_W, "Placement", "🗂️"),
    "position": Detail(_W, "Position", "🗂️"),
    "score": Detail(_N, "Score", "🎯", ("{score} of 100 ({label})", "{score} of 100")),
    "label": Detail(_W, "Label", "🏷️"),
    "action": Detail(_W, "Advice", "🛡️"),
    "reasons": Detail(_L, "Reasons", "🔎"),
    "fraud_type": Detail(_W, "Fraud Type", "🕵️"),
    "bot_type": Detail(_W, "Bot", "🤖"),
    "confidence": Detail(_P, "Confidence", "🎯"),
    "vpn": Detail(_T, "Provider", "🛡️"),
    "vpn_type": Detail(_W, "Type", "🏷️"),
    "isp": Detail(_T, "Network", "📡", ("{isp} (AS{asn})", "{isp}", "AS{asn}")),
    "asn": Detail(_I, "ASN", "📡"),
    "cloaker": Detail(_T, "Cloaker", "🎭"),
    "status": Detail(_W, "Status", "🚦"),
    "reason": Detail(_W, "Reason", "📝"),
    "detail": Detail(_T, "Detail", "📝"),
    "changes": Detail(_L, "Changed", "✏️"),
    "approved_by": Detail(_W, "Approved By", "✅"),
    "email": Detail(_T, "E-mail", "✉️"),
    "website": Detail(_U, "Website", "🌐"),
    "invoice": Detail(_I, "Invoice", "🧾"),
    "due": Detail(_D, "Due", "🗓️"),
    "alert": Detail(_T, "Alert", "🔔"),
    "metric": Detail(_W, "Metric", "📐"),
    "op": Detail(Kind.COMPARISON, "Comparison", "📐"),
    "threshold": Detail(_S, "Threshold", "📏"),
    "value": Detail(_S, "Value", "📈"),
    "window_s": Detail(Kind.SECONDS, "Window", "⏱️"),
    "cap": Detail(_W, "Cap", "🧢"),
    "billing": Detail(_W, "Billing", "🧾"),
    "limit": Detail(_N, "Limit", "🧢"),
    "count": Detail(_N, "Count", "🔢"),
    "date": Detail(_D, "Date", "🗓️"),
    "at": Detail(Kind.INSTANT, "Time", "🕒"),
    "first_seen": Detail(Kind.INSTANT, "First Seen", "🕒"),
    "window_start": Detail(Kind.INSTANT, "From", "🕒"),
    "window_end": Detail(Kind.INSTANT, "Until", "🕒"),
    "timezone": Detail(_T, "Time Zone", "🕒"),
    "impressions": Detail(_N, "Impressions", "👁️"),
    "clicks": Detail(_N, "Clicks", "🖱️"),
    "conversions": Detail(_N, "Conversions", "🎉"),
    "ctr": Detail(_P, "CTR", "📈"),
    "visitors": Detail(_N, "Visitors", "👥"),
    "clean": Detail(_N, "Clean", "✅"),
    "suspicious": Detail(_N, "Suspicious", "⚠️"),
    "fraud": Detail(_N, "Fraud", "🚨", ("{fraud} ({fraud_rate})", "{fraud}")),
    "fraud_rate": Detail(_P, "Fraud Rate", "📈"),
    "top_rules": Detail(Kind.RANKING, "Top Rules", "🔎"),
    **{f"sub{n}": Detail(_T, f"Sub {n}", "🏷️") for n in range(1, 10)},
}

# --- values -------------------------------------------------------------------------------------------------------

# A number of more digits is nobody's money, and arithmetic would round it, take long over it, or refuse.
_MAX_DIGITS = 18
_LIMIT = 10**_MAX_DIGITS
_DECIMAL = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
# What triggers put where a dialect requires a value and nobody knows one.
_NOT_KNOWN = "unknown"
_MAX_ITEMS = 100  # of a list; messages show a handful


def walk(value: Any, keys: tuple[str, ...]) -> Any:
    """What the keys lead to; through a list, what they lead to in each of its items. None where it is nothing."""
    for at, key in enumerate(keys):
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list):
            found = [walk(item, keys[at:]) for item in value[:_MAX_ITEMS] if isinstance(item, dict)]
            return [item for item in found if item is not None]
        else:
            return None
    return value


def read(kind: Kind, value: Any) -> Any:
    """The value in its kind's form; None where it has another."""
    if kind in _NUMBERS:
        return _number(value)
    if kind is Kind.MONEY:
        found = _number(value)
        return None if found is None else Decimal(found)
    if kind is Kind.WORDS:
        return _words(value)
    if kind is Kind.RANKING:
        return _ranking(value)
    if kind is Kind.ID and type(value) is int and abs(value) < _LIMIT:
        return str(value)
    if not isinstance(value, str) or not (text := value.strip()) or text == _NOT_KNOWN:
        return None
    if kind is Kind.COUNTRY:
        return code_of(text) or text
    return text.upper() if kind is Kind.CURRENCY else text


_NUMBERS = frozenset({Kind.NUMBER, Kind.PERCENT, Kind.MEASURE, Kind.SECONDS})


def _number(value: Any) -> int | Decimal | None:
    """Of a number, or a decimal as text, also with a percent sign behind it."""
    if type(value) is int:
        return value if abs(value) < _LIMIT else None
    if type(value) is float:
        found = Decimal(repr(value))
    elif isinstance(value, Decimal):
        found = value
    elif isinstance(value, str) and _DECIMAL.fullmatch(text := value.strip().removesuffix("%").rstrip()):
        found = Decimal(text)
    else:
        return None
    if not found.is_finite() or not -_LIMIT < found < _LIMIT:
        return None
    try:
        return int(found) if found == found.to_integral_value() else found
    except InvalidOperation:  # more digits than the context carries
        return None


def _words(value: Any) -> tuple[str, ...] | None:
    if not isinstance(value, list):
        return None
    return tuple(dict.fromkeys(item for item in value[:_MAX_ITEMS] if isinstance(item, str) and item.strip())) or None


def _ranking(value: Any) -> tuple[tuple[str, int], ...] | None:
    """Of each item the first text and the first whole number."""
    if not isinstance(value, list):
        return None
    found = []
    for item in value[:_MAX_ITEMS]:
        held = list(item.values())[:_MAX_ITEMS] if isinstance(item, dict) else []
        name = next((one for one in held if isinstance(one, str) and one.strip()), None)
        count = next((one for one in held if type(one) is int and abs(one) < _LIMIT), None)
        if name is not None and count is not None:
            found.append((name, count))
    return tuple(found) or None
