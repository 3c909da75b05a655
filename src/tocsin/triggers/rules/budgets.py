"""Budgets: what a campaign has spent, in all and today, and at which percentages that fires.

A budget is looked at when something is spent; what was set or lowered meanwhile fires with the next spending. A
negative amount is a correction: it lowers the sums, and neither fires nor re-arms anything.
"""

from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from tocsin.triggers.activity import Activity, text_id
from tocsin.triggers.context import Context
from tocsin.triggers.counting import Period, add, note, opened, reach
from tocsin.triggers.rules import campaigns
from tocsin.triggers.rules.campaigns import Campaign

_EXHAUSTED = "exhausted"  # the mark of the total budget's end, beside those of percentages


def spent(ctx: Context, activity: Activity) -> None:
    """Raises `Invalid` (`currency_mismatch`)."""
    named = activity.data["campaign"]
    amount = Decimal(activity.data["amount"])
    campaign = campaigns.mentioned(ctx, named, activity.at)
    currency = activity.data.get("currency")
    campaigns.check_currency(campaign, currency, "/currency")
    zone = ctx.timezone if campaign.timezone is None else ZoneInfo(campaign.timezone)
    campaign = msgspec.structs.replace(
        campaign,
        currency=campaign.currency or currency,
        total=add(opened(campaign.total, "global", activity.at, zone), amount),
        day=add(opened(campaign.day, "daily", activity.at, zone), amount),
        ring=note(campaign.ring, activity.at, amount),
    )
    campaigns.keep(ctx, campaign, activity.accepted_at)
    if amount <= 0:
        return
    for scope, field, budget in (
        ("total", "total", campaign.budget),
        ("daily", "day", campaign.daily_budget),
    ):
        if budget:
            campaign = _pass_percents(ctx, activity, campaign, scope, field, budget)
    campaigns.keep(ctx, campaign, activity.accepted_at)
    _exhaust(ctx, activity, campaign)


def _pass_percents(
    ctx: Context, activity: Activity, campaign: Campaign, scope: str, field: str, budget: Decimal
) -> Campaign:
    for percent in sorted(campaign.alert_percents):
        period: Period = getattr(campaign, field)
        fired = reach(period, str(percent), budget * percent / 100, budget)
        if fired is None:
            continue
        campaign = msgspec.structs.replace(campaign, **{field: fired})
        told = {
            "scope": scope,
            "percent": percent,
            "amount": budget,
            "spent": period.amount,
            "period_start": period.start if scope == "daily" else campaign.created_at,
        }
        if scope == "daily":
            told["date"] = period.name
        ctx.occur("budget_threshold", activity.at, _facts(activity, campaign, told))
    return campaign


def _exhaust(ctx: Context, activity: Activity, campaign: Campaign) -> None:
    if not campaign.budget or campaign.total is None:
        return
    fired = reach(campaign.total, _EXHAUSTED, campaign.budget, campaign.budget)
    if fired is None:
        return
    campaign = msgspec.structs.replace(campaign, total=fired)
    campaigns.keep(ctx, campaign, activity.accepted_at)
    told = {"amount": campaign.budget, "spent": campaign.spent}
    facts = {**_facts(activity, campaign, told), "performance": campaigns.performance(campaign)}
    ctx.occur("budget_exhausted", activity.at, facts)
    currency = f" {campaign.currency}" if campaign.currency else ""
    campaigns.pause(
        ctx,
        text_id(campaign.id),
        activity.at,
        activity.accepted_at,
        reason="budget_exhausted",
        detail=f"{campaign.spent} of {campaign.budget}{currency} spent",
        facts=facts,
        cause="budget",
    )


def _facts(activity: Activity, campaign: Campaign, budget: dict[str, Any]) -> dict[str, Any]:
    facts = {**activity.data, "budget": budget, "campaign": campaigns.facts_of(campaign, activity.data["campaign"])}
    if campaign.currency is not None:
        facts["currency"] = campaign.currency
    return facts
