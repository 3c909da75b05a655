"""What can be posted, kind by kind (CONTRACT §5): which keys there are, their types and bounds.

The structs say what must fit; keys beyond theirs are kept (`faults.Open`). `normalise` checks by them, and the
description of the API and its reference page are made from them.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tocsin.faults import Open
from tocsin.triggers.activity import Kind

MAX_BYTES = 64 << 10  # of one activity: a browser's longest addresses and a page of context, many times over
MAX_TEXT = 8_192  # characters of a text: servers refuse longer addresses and headers
MAX_KEY = 256  # characters of a key
MAX_ITEMS = 1_000  # of a list or an object
MAX_DEPTH = 16

_MAX_SAFE = 2**53 - 1

# An id becomes a key of what is remembered, a macro, a line in a chat: so no control characters.
_ID_SAYS = {"says": "expected an id: text without control characters, or an integer"}
Id = (
    Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$(?!\n)", extra=_ID_SAYS)]
    | Annotated[int, Meta(ge=-_MAX_SAFE, le=_MAX_SAFE)]
)
Text = Annotated[str, Meta(max_length=1_024)]
Address = Annotated[str, Meta(max_length=MAX_TEXT)]  # of the web
Indicators = Annotated[list[Annotated[str, Meta(max_length=256)]], Meta(max_length=50)]
Score = Annotated[int, Meta(ge=0, le=100)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Number = str | int | float | bool

Amount = Annotated[
    Decimal,
    Meta(
        description="a decimal as text, up to twelve digits and nine decimals; or a number of at most 15 digits",
        extra_json_schema={"type": ["string", "number"], "format": "decimal"},
        examples=["45.00"],
    ),
]
Currency = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z]{3,5}$(?!\n)",  # ISO 4217, and what networks pay in beside it: USDT
        extra={"says": "expected a currency such as EUR"},
        examples=["EUR"],
    ),
]
Country = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z][A-Za-z0-9]$(?!\n)",
        extra={"says": "expected a country's two letters (ISO 3166-1), such as DE"},
        examples=["DE"],
    ),
]


class Named(Open, kw_only=True):
    """A campaign, an offer, a partner."""

    id: Id
    name: Text | None = None


class Ad(Open, kw_only=True):
    id: Id


class Company(Open, kw_only=True):
    name: Text | None = None
    domain: Text | None = None


class Screen(Open, kw_only=True):
    height: Number | None = None
    width: Number | None = None
    touch: Number | None = None


class Browser(Open, kw_only=True):
    name: Text | None = None
    version: Text | None = None
    vendor: Text | None = None


class Visitor(Open, kw_only=True):
    """`device`, `os`, `browser` and `country` are derived from `user_agent` and `ip` where they are not given."""

    id: Id | None = None
    ip: Annotated[str, Meta(max_length=64, examples=["203.0.113.24"])] | None = None
    user_agent: Annotated[str, Meta(max_length=4_096)] | None = None
    country: Country | None = None
    country_name: Text | None = None
    device: Annotated[str, Meta(max_length=1_024, examples=["mobile"])] | None = None
    os: Annotated[str, Meta(max_length=1_024, examples=["iOS"])] | None = None
    os_version: Text | None = None
    browser: Text | Browser | None = None
    browser_version: Text | None = None
    browser_vendor: Text | None = None
    timezone: Text | None = None
    screen: Screen | None = None
    company: Company | None = None


class KnownVisitor(Visitor, kw_only=True):
    """The same; the id must be there."""

    id: Id


class Reason(Open, kw_only=True):
    rule: Annotated[str, Meta(min_length=1, max_length=256)]
    points: Annotated[int, Meta(ge=-100, le=100)] | None = None


class Bot(Open, kw_only=True):
    type: Text | None = None
    confidence: Percent | None = None
    indicators: Indicators | None = None


class Vpn(Open, kw_only=True):
    provider: Text | None = None


class Cloaker(Open, kw_only=True):
    name: Text | None = None
    indicators: Indicators | None = None


class Fraud(Open, kw_only=True):
    type: Text | None = None
    indicators: Indicators | None = None


class Signals(Open, kw_only=True):
    """What the producer has seen itself. `score` stands: nothing is added to it. `plugins`: how many, or which."""

    score: Score | None = None
    reasons: Annotated[list[Annotated[str, Meta(max_length=256)] | Reason], Meta(max_length=50)] | None = None
    webdriver: bool | None = None
    honeypot: bool | None = None
    plugins: bool | int | list[Text] | None = None
    bot: bool | Bot | None = None
    vpn: bool | Vpn | None = None
    proxy: bool | None = None
    cloaker: bool | Cloaker | None = None
    fraud: bool | Fraud | None = None


class Location(Open, kw_only=True):
    country: Text | None = None
    state: Text | None = None
    city: Text | None = None


class TrafficSource(Open, kw_only=True):
    channel: Text | None = None
    source: Text | None = None
    campaign: Text | None = None


class Device(Open, kw_only=True):
    type: Text | None = None
    model: Text | None = None
    os: Text | None = None
    gpu: Text | None = None
    hardware_concurrency: Number | None = None


# --- the kinds ----------------------------------------------------------------------------------------------------


class _Traffic(Open, kw_only=True):
    campaign: Named | None = None
    offer: Named | None = None
    partner: Named | None = None


class Click(_Traffic, kw_only=True):
    """A click on an ad or a tracking link. It is scored."""

    click_id: Id
    ad: Ad | None = None
    visitor: Visitor | None = None
    landing_url: Address | None = None
    cost: Amount | None = None
    currency: Currency | None = None
    session_id: Id | None = None
    context: dict[str, Any] | None = None
    signals: Signals | None = None


class Visit(_Traffic, kw_only=True):
    """A visit to a page. It is scored. Without `params` they are read from `url`, without `traffic_source` it is told
    from UTM parameters, else from `referrer`.
    """

    visit_id: Id
    url: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    visitor: KnownVisitor
    ad: Ad | None = None
    referrer: Address | None = None
    params: Annotated[dict[str, Number], Meta(max_length=100)] | None = None
    location: Location | None = None
    traffic_source: TrafficSource | None = None
    device: Device | None = None
    screen: Screen | None = None
    browser: Browser | None = None
    timezone: Text | None = None
    signals: Signals | None = None


class Impression(_Traffic, kw_only=True):
    """An ad was shown."""

    ad: Ad
    visitor: Visitor | None = None
    placement: Text | dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    session_id: Id | None = None


class Conversion(_Traffic, kw_only=True):
    """A sale, a lead, an installation. `payout` may be left out where `offer` or `click_id` leads to an offer: it is
    that offer's then, or 0. Without `status`: the offer's `default_status`, else `pending` if the offer has a hold
    time, else `approved`. What is known of the click is filled in by its `click_id`.
    """

    conversion_id: Id
    currency: Currency
    payout: Amount | None = None
    ad: Ad | None = None
    visitor: Visitor | None = None
    click_id: Id | None = None
    transaction_id: Id | None = None
    revenue: Amount | None = None
    status: Literal["pending", "approved"] | None = None
    type: Text | None = None
    sub1: Number | None = None
    sub2: Number | None = None
    sub3: Number | None = None
    sub4: Number | None = None
    sub5: Number | None = None
    sub6: Number | None = None
    sub7: Number | None = None
    sub8: Number | None = None
    sub9: Number | None = None


class ConversionStatus(Open, kw_only=True):
    """A conversion is approved or rejected by hand."""

    conversion_id: Id
    status: Literal["approved", "rejected"]
    reason: Text | None = None


class Spend(Open, kw_only=True):
    """Money spent on a campaign. A negative amount takes back what was posted too high."""

    campaign: Named
    amount: Amount
    currency: Currency | None = None


class Campaign(Open, kw_only=True):
    id: Id
    name: Text | None = None
    budget: Amount | None = None
    daily_budget: Amount | None = None
    currency: Currency | None = None
    status: Annotated[str, Meta(max_length=64)] | None = None
    target_audience: dict[str, Any] | None = None


class CampaignChange(Open, kw_only=True):
    """A campaign was made, changed, paused by hand or resumed."""

    campaign: Campaign
    action: Literal["created", "updated", "paused", "resumed"]


class PartnerChange(Open, kw_only=True):
    """A partner applied, was approved or banned."""

    partner: Named
    status: Literal["applied", "approved", "banned"]
    reason: Text | None = None


class Billing(Open, kw_only=True):
    """Whatever your billing has to tell."""

    data: dict[str, Any]


SHAPES: Mapping[Kind, type[msgspec.Struct]] = {
    Kind.VISIT: Visit,
    Kind.CLICK: Click,
    Kind.IMPRESSION: Impression,
    Kind.CONVERSION: Conversion,
    Kind.CONVERSION_STATUS: ConversionStatus,
    Kind.SPEND: Spend,
    Kind.CAMPAIGN: CampaignChange,
    Kind.PARTNER: PartnerChange,
    Kind.BILLING: Billing,
}

# Where amounts stand: kept exact from the text that was posted. All other numbers are JSON's.
AMOUNTS: Mapping[Kind, tuple[tuple[str, ...], ...]] = {
    Kind.CLICK: (("cost",),),
    Kind.CONVERSION: (("payout",), ("revenue",)),
    Kind.SPEND: (("amount",),),
    Kind.CAMPAIGN: (("campaign", "budget"), ("campaign", "daily_budget")),
}
