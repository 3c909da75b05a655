"""Campaigns: made, changed, paused, resumed, and what was counted of each.

A campaign is made by its first mention, whatever mentions it; `created` fires when it is declared, by an activity of
the kind `campaign` or through the API. A pause fires once per transition. One that a cap caused is over when the cap's
window is; one by a budget when the budget is raised.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from tocsin.clock import Millis
from tocsin.errors import Fault, Invalid
from tocsin.triggers.activity import Activity, Kind, text_id
from tocsin.triggers.context import Context
from tocsin.triggers.counting import Period, Ring

DAY_MS = 86_400_000
# A campaign or offer that was only mentioned is forgotten after so long without another mention: a year's season, and
# some. One that somebody declared stays.
MENTIONED_MS = 400 * DAY_MS
DEFAULT_PERCENTS = (80, 100)  # CONTRACT §5
# What is remembered of a target audience, which is read and written with every click. A larger one is passed on in its
# own event only.
_MOST_AUDIENCE_BYTES = 4_096

ACTIVE, PAUSED = "active", "paused"


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """`cause`: which cap or budget; None: somebody's hand. `until`: when it is over by itself."""

    reason: str
    detail: str | None
    at: Millis
    cause: str | None = None
    until: Millis | None = None


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """Under ``campaign:<id>``. Amounts are of one currency: the first that was named."""

    id: str | int
    name: str | None = None
    budget: Decimal | None = None
    daily_budget: Decimal | None = None
    alert_percents: tuple[int, ...] = DEFAULT_PERCENTS
    timezone: str | None = None  # None: the account's
    currency: str | None = None
    status: str = ACTIVE
    target_audience: dict[str, Any] | None = None
    pause: Pause | None = None
    total: Period | None = None  # what was spent
    day: Period | None = None
    ring: Ring = ()
    impressions: int = 0
    clicks: int = 0
    conversions: int = 0
    declared: bool = False
    created_at: Millis
    updated_at: Millis

    @property
    def spent(self) -> Decimal:
        return Decimal(0) if self.total is None else self.total.amount

    def paused(self, at: Millis) -> bool:
        if self.status != PAUSED:
            return False
        return self.pause is None or self.pause.until is None or at < self.pause.until


class CampaignEdit(msgspec.Struct, frozen=True, kw_only=True):
    """What the API can set: all of it at once; what is left out is as for a new campaign."""

    name: str
    budget: Decimal | None = None
    daily_budget: Decimal | None = None
    alert_percents: tuple[int, ...] = DEFAULT_PERCENTS
    timezone: str | None = None
    currency: str | None = None


_COUNTED = {Kind.IMPRESSION: "impressions", Kind.CLICK: "clicks", Kind.CONVERSION: "conversions"}
_SHOWN = ("budget", "daily_budget", "currency", "target_audience")


# --- rules ------------------------------------------------------------------------------------------------------------


def changed(ctx: Context, activity: Activity) -> None:
    """An activity of the kind `campaign`."""
    posted = activity.data["campaign"]
    id_ = text_id(posted["id"])
    known = _known(ctx, id_, activity.at)
    before = known or _new(posted["id"], activity.at)
    after = _with(before, posted, activity.at)
    action = activity.data["action"]
    stopped = posted.get("status") == PAUSED
    if action == "created" and not before.declared and stopped:  # nobody pauses it: it is made so
        after = msgspec.structs.replace(after, status=PAUSED, pause=Pause(reason="manual", detail=None, at=activity.at))
        stopped = False
    names = _differing(before, after)
    facts = dict(activity.data)
    if action == "created" and not before.declared:
        _say(ctx, "campaign_created", activity.at, after, facts)
    elif action == "updated" or (action == "created" and names):
        _say(ctx, "campaign_updated", activity.at, after, {**facts, "changed": names})
    was = before.paused(activity.at)
    reason = activity.data.get("reason")
    if action == "paused" or (action != "resumed" and stopped):
        keep(ctx, after, activity.accepted_at)
        pause(ctx, id_, activity.at, activity.accepted_at, reason=reason or "manual", detail=None, facts=facts)
        return
    if action == "resumed" or (action == "updated" and was and after.status == ACTIVE):
        after = msgspec.structs.replace(after, status=ACTIVE, pause=None)
        if was or known is None:
            _say(ctx, "campaign_resumed", activity.at, after, {**facts, "reason": reason or "manual"})
    keep(ctx, resume_if_raised(ctx, after, activity.at), activity.accepted_at)


def count(ctx: Context, activity: Activity) -> None:
    """An impression or click of a campaign. Conversions are counted where they are recorded (`conversions`)."""
    tally(ctx, activity.data.get("campaign"), activity)


# --- for the rules of others, and the API -----------------------------------------------------------------------------


def tally(ctx: Context, named: object, activity: Activity) -> None:
    """One more of the activity's kind for the campaign, if there is one."""
    if not isinstance(named, Mapping) or named.get("id") is None:
        return
    found = mentioned(ctx, named, activity.at)
    field = _COUNTED[activity.kind]
    keep(ctx, msgspec.structs.replace(found, **{field: getattr(found, field) + 1}), activity.accepted_at)


def mentioned(ctx: Context, named: Mapping[str, Any], at: Millis) -> Campaign:
    """The campaign that an activity names, made by that where it is new; for the caller to `keep`."""
    found = _known(ctx, text_id(named["id"]), at)
    name = named.get("name")
    if found is None:
        return _new(named["id"], at, name)
    # What people call it is theirs to say once it is declared.
    if name is not None and name != found.name and not found.declared:
        return msgspec.structs.replace(found, name=name)
    return found


def keep(ctx: Context, campaign: Campaign, now: Millis) -> None:
    until = None if campaign.declared else Millis(now + MENTIONED_MS)
    ctx.state.put(f"campaign:{text_id(campaign.id)}", campaign, until=until)


def pause(
    ctx: Context,
    id_: str,
    at: Millis,
    now: Millis,
    *,
    reason: str,
    detail: str | None,
    facts: Mapping[str, Any],
    cause: str | None = None,
    until: Millis | None = None,
) -> None:
    """Pauses a campaign that is known; says so unless it is paused already.

    A cap or budget that fires again was raised, or its window is a new one: the pause that it caused before is over.
    And a cap's pause gives way to one by hand or by a budget, which does not end by itself; not every dialect tells of
    the former.
    """
    campaign = ctx.state.get(f"campaign:{id_}", Campaign)
    assert campaign is not None, "whoever pauses a campaign has kept it"
    before = None if campaign.pause is None else campaign.pause.cause
    again = cause is not None and before == cause
    gives_way = _by_cap(before) and not _by_cap(cause)
    if campaign.paused(at) and not again and not gives_way:
        return
    paused = Pause(reason=reason, detail=detail, at=at, cause=cause, until=until)
    campaign = msgspec.structs.replace(campaign, status=PAUSED, pause=paused, updated_at=at)
    keep(ctx, campaign, now)
    more: dict[str, Any] = {"reason": reason}
    if detail is not None:
        more["detail"] = detail
    _say(ctx, "campaign_paused", at, campaign, {**facts, **more})


def _by_cap(cause: str | None) -> bool:
    return cause is not None and cause.startswith("cap:")


def configure(ctx: Context, id_: str, edit: CampaignEdit, now: Millis) -> Campaign:
    """Sets what the API can set, and fires as the activity does; nothing where nothing changes.

    Raises:
        Invalid: `currency_mismatch`.
    """
    known = _known(ctx, id_, now)
    before = known or _new(id_, now)
    check_currency(before, edit.currency, "/currency")
    values = msgspec.structs.asdict(edit)
    if edit.currency is None:
        del values["currency"]
    after = msgspec.structs.replace(before, **values, declared=True)
    names = _differing(before, after)
    if before.declared and not names:
        return before
    after = msgspec.structs.replace(after, updated_at=now)
    if before.declared:
        _say(ctx, "campaign_updated", now, after, {"changed": names})
    else:
        _say(ctx, "campaign_created", now, after, {})
    keep(ctx, resume_if_raised(ctx, after, now), now)
    return ctx.state.get(f"campaign:{id_}", Campaign) or after


def resume_if_raised(ctx: Context, campaign: Campaign, at: Millis) -> Campaign:
    """A budget that was raised above what is spent, or taken away, ends the pause that it caused."""
    if campaign.pause is None or campaign.pause.cause != "budget" or not campaign.paused(at):
        return campaign
    if campaign.budget is not None and campaign.budget <= campaign.spent:
        return campaign
    campaign = msgspec.structs.replace(campaign, status=ACTIVE, pause=None, updated_at=at)
    _say(ctx, "campaign_resumed", at, campaign, {"reason": "budget_raised"})
    return campaign


def check_currency(campaign: Campaign, currency: str | None, pointer: str) -> None:
    """Raises `Invalid` where amounts of two currencies would be added up."""
    if currency is not None and campaign.currency is not None and currency != campaign.currency:
        raise Invalid(
            f"the campaign's amounts are in {campaign.currency}",
            code="currency_mismatch",
            faults=[Fault(pointer, f"convert to {campaign.currency}, or use a campaign for each currency")],
        )


def facts_of(campaign: Campaign, posted: object = None) -> dict[str, Any]:
    """The campaign as an occurrence shows it; what was posted of it stands, the id in the JSON type it had there."""
    facts: dict[str, Any] = {"id": campaign.id, "name": campaign.name or text_id(campaign.id)}
    for name in _SHOWN:
        if (value := getattr(campaign, name)) is not None:
            facts[name] = value
    facts["status"] = campaign.status
    if isinstance(posted, Mapping):
        facts = {**posted, **facts, "id": posted.get("id", campaign.id)}
        # An audience that is too large to be remembered is shown where it was posted.
    return facts


def performance(campaign: Campaign) -> dict[str, Any]:
    """`ctr` in percent, `average_cpb` spent by clicks (the words of one document); two decimals, 0 where nothing is."""
    return {
        "impressions": campaign.impressions,
        "clicks": campaign.clicks,
        "conversions": campaign.conversions,
        "ctr": _ratio(Decimal(100 * campaign.clicks), campaign.impressions),
        "average_cpb": _ratio(campaign.spent, campaign.clicks),
    }


def _ratio(part: Decimal, whole: int) -> Decimal:
    return (part / whole).quantize(Decimal("0.01")) if whole else Decimal(0)


def _say(ctx: Context, name: str, at: Millis, campaign: Campaign, facts: Mapping[str, Any]) -> None:
    ctx.occur(name, at, {**facts, "campaign": facts_of(campaign, facts.get("campaign"))})


def _known(ctx: Context, id_: str, at: Millis) -> Campaign | None:
    """As it is at that time: a pause that has ended by itself is none."""
    found = ctx.state.get(f"campaign:{id_}", Campaign)
    if found is not None and found.status == PAUSED and not found.paused(at):
        return msgspec.structs.replace(found, status=ACTIVE, pause=None)
    return found


def _new(id_: str | int, at: Millis, name: str | None = None) -> Campaign:
    return Campaign(id=id_, name=name, created_at=at, updated_at=at)


def _with(before: Campaign, posted: Mapping[str, Any], at: Millis) -> Campaign:
    """What an activity tells of a campaign; what it leaves out stays."""
    check_currency(before, posted.get("currency"), "/campaign/currency")
    told = {name: posted[name] for name in ("name", *_SHOWN) if posted.get(name) is not None}
    for name in ("budget", "daily_budget"):
        if name in told:
            told[name] = Decimal(told[name])
    if len(msgspec.json.encode(told.get("target_audience"))) > _MOST_AUDIENCE_BYTES:
        told["target_audience"] = None
    status = posted.get("status")
    if isinstance(status, str) and status != PAUSED:
        told["status"] = status
    return msgspec.structs.replace(before, **told, declared=True, updated_at=at)


def _differing(before: Campaign, after: Campaign) -> list[str]:
    names = ("name", *_SHOWN, "status", "alert_percents", "timezone")
    return [name for name in names if getattr(before, name) != getattr(after, name)]
