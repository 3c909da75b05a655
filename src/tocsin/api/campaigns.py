"""Offers, campaigns and partners: set, read, listed; where caps and budgets stand, and when they will be reached."""

from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from tocsin.api import wire
from tocsin.api.operations import Access, Answer, Call, Reply, operation
from tocsin.api.wire import Instant, Limit
from tocsin.clock import Millis, rfc3339
from tocsin.control.campaigns import CampaignPut, Caps, OfferPut, PartnerPut
from tocsin.triggers import counting
from tocsin.triggers.counting import Period
from tocsin.triggers.rules import campaigns
from tocsin.triggers.rules.campaigns import Campaign
from tocsin.triggers.rules.offers import WINDOWS, Offer
from tocsin.triggers.rules.partners import Partner
from tocsin.triggers.windows import WindowKind

_AT = "2026-01-01T00:00:00.000Z"
_OFFER_PUT = {
    "name": "Rocket Shoes, first order",
    "payout": "45.00",
    "hold_s": 1_209_600,
    "timezone": "Europe/Berlin",
    "caps": {"daily": 250},
}
_OFFER = {
    "id": "off_318",
    "name": "Rocket Shoes, first order",
    "payout": "45.00",
    "hold_s": 1_209_600,
    "default_status": None,
    "timezone": "Europe/Berlin",
    "caps": {"daily": 250, "weekly": None, "monthly": None, "global": None},
    "standing": {
        "daily": {
            "window": "2026-01-01",
            "window_start": "2025-12-31T23:00:00.000Z",
            "window_end": "2026-01-01T23:00:00.000Z",
            "count": 120,
            "limit": 250,
            "reached": False,
            "expected_at": "2026-01-01T21:40:00.000Z",
        }
    },
    "per_hour": "14.2857",
    "created_at": _AT,
    "updated_at": _AT,
}
_CAMPAIGN_PUT = {"name": "Spring", "budget": "10000.00", "daily_budget": "400.00", "currency": "EUR"}
_CAMPAIGN = {
    "id": "cmp_1042",
    "name": "Spring",
    "status": "active",
    "status_reason": None,
    "paused_until": None,
    "budget": "10000.00",
    "daily_budget": "400.00",
    "alert_percents": [80, 100],
    "timezone": None,
    "currency": "EUR",
    "spent": "1204.50",
    "standing": {
        "daily": {
            "window": "2026-01-01",
            "window_start": _AT,
            "window_end": "2026-01-02T00:00:00.000Z",
            "spent": "280.00",
            "budget": "400.00",
            "percent": "70.00",
            "reached": False,
            "expected_at": "2026-01-01T17:00:00.000Z",
        }
    },
    "per_hour": "24.0000",
    "performance": {"impressions": 25000, "clicks": 500, "conversions": 45, "ctr": "2.00", "average_cpb": "2.41"},
    "created_at": _AT,
    "updated_at": _AT,
}
_PARTNER_PUT = {"name": "Clickwell Network", "status": "approved"}
_PARTNER = {
    "id": "par_131",
    "name": "Clickwell Network",
    "status": "approved",
    "reason": None,
    "created_at": _AT,
    "updated_at": _AT,
}

PlainId = str | int


class ByIdQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """By id, so that the list stands still while activity goes on."""

    limit: Limit = 50
    cursor: Annotated[str, Meta(max_length=1_400, description="`next_cursor` of the page before")] | None = None


class CapStanding(msgspec.Struct, frozen=True, kw_only=True):
    """`limit` null: the window has no cap. `expected_at`: when the cap will be reached at the present pace; null where
    it is reached, or will not be before the window ends. `window_end` null: it never ends.
    """

    window: str
    window_start: Instant | None
    window_end: Instant | None
    count: int
    limit: int | None
    reached: bool
    expected_at: Instant | None


class OfferShown(msgspec.Struct, frozen=True, kw_only=True):
    """`standing`: by window, as of now. `per_hour`: the present pace of conversions; null: none for a day."""

    id: PlainId
    name: str | None
    payout: Decimal | None
    hold_s: int | None
    default_status: str | None
    timezone: str | None
    caps: Caps
    standing: dict[str, CapStanding]
    per_hour: Decimal | None
    created_at: Instant
    updated_at: Instant


class OfferList(msgspec.Struct, frozen=True, kw_only=True):
    data: list[OfferShown]
    next_cursor: str | None
    has_more: bool


class BudgetStanding(msgspec.Struct, frozen=True, kw_only=True):
    """As `CapStanding`; `percent` of the budget that is spent."""

    window: str
    window_start: Instant | None
    window_end: Instant | None
    spent: Decimal
    budget: Decimal | None
    percent: Decimal | None
    reached: bool
    expected_at: Instant | None


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """`ctr` in percent; `average_cpb`: spent by clicks."""

    impressions: int
    clicks: int
    conversions: int
    ctr: Decimal
    average_cpb: Decimal


class CampaignShown(msgspec.Struct, frozen=True, kw_only=True):
    """`status_reason`, `paused_until`: why it is paused, and when that ends by itself. `standing`: of the `total` and
    the `daily` budget. `per_hour`: the present pace of spending; null: nothing for a day.
    """

    id: PlainId
    name: str | None
    status: str
    status_reason: str | None
    paused_until: Instant | None
    budget: Decimal | None
    daily_budget: Decimal | None
    alert_percents: list[int]
    timezone: str | None
    currency: str | None
    spent: Decimal
    standing: dict[str, BudgetStanding]
    per_hour: Decimal | None
    performance: Performance
    created_at: Instant
    updated_at: Instant


class CampaignList(msgspec.Struct, frozen=True, kw_only=True):
    data: list[CampaignShown]
    next_cursor: str | None
    has_more: bool


class PartnerShown(msgspec.Struct, frozen=True, kw_only=True):
    id: PlainId
    name: str | None
    status: str | None
    reason: str | None
    created_at: Instant
    updated_at: Instant


class PartnerList(msgspec.Struct, frozen=True, kw_only=True):
    data: list[PartnerShown]
    next_cursor: str | None
    has_more: bool


# --- as they are shown ------------------------------------------------------------------------------------------------


def _now_of(period: Period | None, kind: WindowKind, now: Millis, zone: ZoneInfo) -> Period:
    """The window of this moment: one that is over is not open, though nothing has come since."""
    return counting.opened(period, kind, now, zone)


def _bounds(period: Period) -> dict[str, Any]:
    never_ends = period.end is None
    return {
        "window": period.name,
        "window_start": None if never_ends else rfc3339(period.start),
        "window_end": wire.instant(period.end),
    }


def _offer(offer: Offer, zone: ZoneInfo, now: Millis) -> OfferShown:
    standing: dict[str, CapStanding] = {}
    for kind in WINDOWS:
        period = _now_of(offer.windows.get(kind), kind, now, offer.zone(zone))
        limit = offer.caps.get(kind)
        expected = None if limit is None else counting.expected_at(period, Decimal(limit), offer.ring, now)
        standing[kind] = CapStanding(
            **_bounds(period),
            count=int(period.amount),
            limit=limit,
            reached=limit is not None and period.amount >= limit,
            expected_at=wire.instant(expected),
        )
    return OfferShown(
        id=offer.id,
        name=offer.name,
        payout=offer.payout,
        hold_s=offer.hold_s,
        default_status=offer.default_status,
        timezone=offer.timezone,
        caps=msgspec.convert(offer.caps, Caps),
        standing=standing,
        per_hour=_hourly(counting.pace(offer.ring, now)),
        created_at=rfc3339(offer.created_at),
        updated_at=rfc3339(offer.updated_at),
    )


def _campaign(campaign: Campaign, zone: ZoneInfo, now: Millis) -> CampaignShown:
    zone = zone if campaign.timezone is None else ZoneInfo(campaign.timezone)
    paused = campaign.paused(now)
    pause = campaign.pause if paused else None
    total = _now_of(campaign.total, "global", now, zone)
    day = _now_of(campaign.day, "daily", now, zone)
    return CampaignShown(
        id=campaign.id,
        name=campaign.name,
        status=campaign.status if paused or campaign.status != campaigns.PAUSED else campaigns.ACTIVE,
        status_reason=None if pause is None else pause.detail or pause.reason,
        paused_until=None if pause is None else wire.instant(pause.until),
        budget=campaign.budget,
        daily_budget=campaign.daily_budget,
        alert_percents=list(campaign.alert_percents),
        timezone=campaign.timezone,
        currency=campaign.currency,
        spent=campaign.spent,
        standing={
            "total": _budget(total, campaign.budget, campaign, now),
            "daily": _budget(day, campaign.daily_budget, campaign, now),
        },
        per_hour=_hourly(counting.pace(campaign.ring, now)),
        performance=msgspec.convert(campaigns.performance(campaign), Performance),
        created_at=rfc3339(campaign.created_at),
        updated_at=rfc3339(campaign.updated_at),
    )


def _budget(period: Period, budget: Decimal | None, campaign: Campaign, now: Millis) -> BudgetStanding:
    expected = counting.expected_at(period, budget, campaign.ring, now) if budget else None
    return BudgetStanding(
        **_bounds(period),
        spent=period.amount,
        budget=budget,
        percent=(100 * period.amount / budget).quantize(Decimal("0.01")) if budget else None,
        reached=bool(budget) and budget is not None and period.amount >= budget,
        expected_at=wire.instant(expected),
    )


def _hourly(pace: Decimal | None) -> Decimal | None:
    return None if pace is None else pace.quantize(Decimal("0.0001"))


def _partner(partner: Partner, zone: ZoneInfo, now: Millis) -> PartnerShown:  # noqa: ARG001 - as the others are shown
    return PartnerShown(
        id=partner.id,
        name=partner.name,
        status=partner.status,
        reason=partner.reason,
        created_at=rfc3339(partner.created_at),
        updated_at=rfc3339(partner.updated_at),
    )


async def _here(call: Call) -> tuple[ZoneInfo, Millis]:
    return (await call.services.directory.fresh(call.account_id)).zone, call.services.clock.now_ms()


async def _page(call: Call, known: Any, shown: Any, shape: Any) -> Reply:
    after, limit = wire.read_name_cursor(call.query.cursor), call.query.limit
    rows = await known.list(call.account_id, after, limit + 1)
    more = len(rows) > limit
    here = await _here(call)
    data = [shown(one, *here) for _, one in rows[:limit]]
    cursor = wire.name_cursor(rows[limit - 1][0]) if more else None
    return Reply(200, shape(data=data, next_cursor=cursor, has_more=more))


# --- operations -------------------------------------------------------------------------------------------------------


@operation(
    "GET",
    "/v1/offers",
    access=Access.READ,
    query=ByIdQuery,
    answers=(Answer(200, OfferList, "By id", {"data": [_OFFER], "next_cursor": None, "has_more": False}),),
)
async def list_offers(call: Call) -> Reply:
    """List offers, by id, with where their caps stand."""
    return await _page(call, call.services.control.trade.offers, _offer, OfferList)


@operation(
    "GET",
    "/v1/offers/{offer}",
    access=Access.READ,
    answers=(Answer(200, OfferShown, "The offer", _OFFER),),
)
async def get_offer(call: Call) -> Reply:
    """Read an offer, with where its caps stand.

    One that was only mentioned by a conversion is there, too. The pace is what the last 24 hours held, by the time
    since the first of them that held anything began.
    """
    found = await call.services.control.trade.offers.get(call.account_id, call.path["offer"])
    return Reply(200, _offer(found, *await _here(call)))


@operation(
    "PUT",
    "/v1/offers/{offer}",
    access=Access.MANAGE,
    body=OfferPut,
    body_example=_OFFER_PUT,
    answers=(Answer(200, OfferShown, "The offer as it is now", _OFFER),),
)
async def put_offer(call: Call) -> Reply:
    """Set an offer.

    All of it: what is left out is no more; what is counted stays. A cap counts the conversions recorded in its window
    and fires once a window, with the conversion that reaches it; again only if it is raised and reached again.
    """
    found = await call.services.control.trade.offers.put(
        call.actor, call.account_id, call.path["offer"], call.body.edit()
    )
    return Reply(200, _offer(found, *await _here(call)))


@operation(
    "GET",
    "/v1/campaigns",
    access=Access.READ,
    query=ByIdQuery,
    answers=(Answer(200, CampaignList, "By id", {"data": [_CAMPAIGN], "next_cursor": None, "has_more": False}),),
)
async def list_campaigns(call: Call) -> Reply:
    """List campaigns, by id, with where their budgets stand."""
    return await _page(call, call.services.control.trade.campaigns, _campaign, CampaignList)


@operation(
    "GET",
    "/v1/campaigns/{campaign}",
    access=Access.READ,
    answers=(Answer(200, CampaignShown, "The campaign", _CAMPAIGN),),
)
async def get_campaign(call: Call) -> Reply:
    """Read a campaign, with where its budgets stand.

    One that was only mentioned by an activity is there, too. The pace is as an offer's.
    """
    found = await call.services.control.trade.campaigns.get(call.account_id, call.path["campaign"])
    return Reply(200, _campaign(found, *await _here(call)))


@operation(
    "PUT",
    "/v1/campaigns/{campaign}",
    access=Access.MANAGE,
    body=CampaignPut,
    body_example=_CAMPAIGN_PUT,
    answers=(Answer(200, CampaignShown, "The campaign as it is now", _CAMPAIGN),),
    problems=("currency_mismatch",),
)
async def put_campaign(call: Call) -> Reply:
    """Set a campaign.

    All of it: what is left out is no more; what is counted stays. It fires what the activity does: the campaign is
    made, or changed if anything differs. A budget that is raised fires its percentages anew, and ends the pause that it
    caused.
    """
    found = await call.services.control.trade.campaigns.put(
        call.actor, call.account_id, call.path["campaign"], call.body.edit()
    )
    return Reply(200, _campaign(found, *await _here(call)))


@operation(
    "GET",
    "/v1/partners",
    access=Access.READ,
    query=ByIdQuery,
    answers=(Answer(200, PartnerList, "By id", {"data": [_PARTNER], "next_cursor": None, "has_more": False}),),
)
async def list_partners(call: Call) -> Reply:
    """List partners, by id."""
    return await _page(call, call.services.control.trade.partners, _partner, PartnerList)


@operation(
    "GET",
    "/v1/partners/{partner}",
    access=Access.READ,
    answers=(Answer(200, PartnerShown, "The partner", _PARTNER),),
)
async def get_partner(call: Call) -> Reply:
    """Read a partner."""
    found = await call.services.control.trade.partners.get(call.account_id, call.path["partner"])
    return Reply(200, _partner(found, *await _here(call)))


@operation(
    "PUT",
    "/v1/partners/{partner}",
    access=Access.MANAGE,
    body=PartnerPut,
    body_example=_PARTNER_PUT,
    answers=(Answer(200, PartnerShown, "The partner as it is now", _PARTNER),),
)
async def put_partner(call: Call) -> Reply:
    """Set a partner. Another status fires what the activity does."""
    found = await call.services.control.trade.partners.put(
        call.actor, call.account_id, call.path["partner"], call.body.edit()
    )
    return Reply(200, _partner(found, *await _here(call)))


OPERATIONS = (
    *(list_offers, get_offer, put_offer),
    *(list_campaigns, get_campaign, put_campaign),
    *(list_partners, get_partner, put_partner),
)
