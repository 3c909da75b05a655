"""Conversions: recorded, held, approved, rejected.

A conversion is known by its `conversion_id` while it is remembered. The same one posted again changes nothing; with
another status it is a change of status; with other amounts it is refused, as other content under one `external_id` is.
Any change of status is allowed and fires: pending or rejected to approved, pending or approved to rejected (an order
that was charged back); the status that it has already changes nothing.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from tocsin.clock import Millis
from tocsin.errors import Conflict, Fault, Invalid
from tocsin.triggers.activity import Activity, text_id
from tocsin.triggers.context import Context
from tocsin.triggers.rules import campaigns, offers
from tocsin.triggers.rules.campaigns import DAY_MS

# A network pays out monthly, and disputes take another month or two.
CONVERSION_MS = 90 * DAY_MS
# As long as advertisers' postbacks look back for their click (30 days is what most networks use).
CLICK_MS = 30 * DAY_MS

PENDING, APPROVED, REJECTED = "pending", "approved", "rejected"

# What a conversion takes from its click where it does not say so itself, and of a visitor what its events show.
_OF_CLICK = ("campaign", "offer", "partner", "ad", "session_id")
_OF_VISITOR = (
    *("id", "ip", "user_agent", "country", "country_name", "region", "city"),
    *("device", "os", "browser", "language", "timezone", "company"),
)
_OF_CONVERSION = (
    *("conversion_id", "click_id", "transaction_id", "currency", "type", *_OF_CLICK, "visitor"),
    *(f"sub{n}" for n in range(1, 10)),
)
_WONT_CHANGE = ("payout", "revenue", "currency", "offer_id")


class Click(msgspec.Struct, frozen=True):
    """Under ``click:<id>``: what a conversion needs of its click."""

    facts: dict[str, Any]


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """Under ``conversion:<id>``."""

    status: str
    at: Millis
    facts: dict[str, Any]  # the keys of an activity, but for its amounts
    payout: Decimal
    revenue: Decimal | None
    offer_id: str | None
    reason: str | None = None

    def shown(self) -> dict[str, Any]:
        facts = {**self.facts, "payout": self.payout, "status": self.status}
        if self.revenue is not None:
            facts["revenue"] = self.revenue
        return facts


def key_of(conversion_id: str | int) -> str:
    return f"conversion:{text_id(conversion_id)}"


# --- rules ------------------------------------------------------------------------------------------------------------


def remember_click(ctx: Context, activity: Activity) -> None:
    """For the conversions that will name it."""
    id_ = activity.data.get("click_id")
    if id_ is None or "conversion" not in ctx.wanted:
        return
    facts = {name: activity.data[name] for name in _OF_CLICK if activity.data.get(name) is not None}
    if visitor := _visitor(activity.data.get("visitor")):
        facts["visitor"] = visitor
    ctx.state.put(f"click:{text_id(id_)}", Click(facts), until=Millis(activity.accepted_at + CLICK_MS))


def recorded(ctx: Context, activity: Activity) -> None:
    """Raises `Conflict` (`conversion_conflict`)."""
    key = key_of(activity.data["conversion_id"])
    known = ctx.state.get(key, Conversion)
    facts = _completed(ctx, activity)
    offer = offers.mentioned(ctx, facts.get("offer"), activity.at)
    conversion = _conversion(activity, facts, offer)
    if known is not None:
        _again(ctx, activity, key, known, conversion)
        ctx.settled = True
        return
    facts |= conversion.shown()
    _keep(ctx, key, conversion, activity.accepted_at)
    if conversion.status == PENDING and offer is not None and offer.hold_s:
        _hold(ctx, key, conversion, Millis(activity.at + offer.hold_s * 1000), activity.accepted_at)
    campaigns.tally(ctx, facts.get("campaign"), activity)
    _name(ctx, facts)
    ctx.occur("conversion", activity.at, facts)
    if offer is not None:
        offers.count(ctx, activity, offer, facts)


def status_changed(ctx: Context, activity: Activity) -> None:
    """Raises `Invalid` (`unknown_conversion`)."""
    id_ = activity.data["conversion_id"]
    key = key_of(id_)
    known = ctx.state.get(key, Conversion)
    if known is None:
        raise Invalid(
            f"no conversion {text_id(id_)[:128]!r} is known",
            code="unknown_conversion",
            faults=[Fault("/conversion_id", "post the conversion first; they are remembered for 90 days")],
        )
    _move(ctx, key, known, activity.data["status"], activity.at, activity.accepted_at, activity.data)


def hold_over(ctx: Context, name: str, due_at: Millis) -> None:
    """The timer's rule: what is pending still is approved."""
    key = f"conversion:{name.partition(':')[2]}"
    known = ctx.state.get(key, Conversion)
    if known is not None and known.status == PENDING:
        _move(ctx, key, known, APPROVED, due_at, due_at, {}, automatic=True)


# --- how --------------------------------------------------------------------------------------------------------------


def _completed(ctx: Context, activity: Activity) -> dict[str, Any]:
    """The activity's data, with what its click knows and it does not say."""
    facts = dict(activity.data)
    id_ = facts.get("click_id")
    click = None if id_ is None else ctx.state.get(f"click:{text_id(id_)}", Click)
    if click is not None:
        for name in _OF_CLICK:
            if facts.get(name) is None and name in click.facts:
                facts[name] = click.facts[name]
        facts["visitor"] = _one_visitor(click.facts.get("visitor"), facts.get("visitor"))
        if not facts["visitor"]:
            del facts["visitor"]
    return facts


def _one_visitor(of_click: object, posted: object) -> dict[str, Any]:
    own: dict[str, Any] = posted if isinstance(posted, dict) else {}
    if not isinstance(of_click, dict):
        return own
    ids = {text_id(one["id"]) for one in (of_click, own) if one.get("id") is not None}
    if len(ids) > 1:
        return own  # bought on another device: nothing of the one is true of the other
    return {**of_click, **{name: value for name, value in own.items() if value is not None}}


def _conversion(activity: Activity, facts: Mapping[str, Any], offer: offers.Offer | None) -> Conversion:
    status = facts.get("status")
    if status is None:
        status = offer.default_status if offer is not None else None
    if status is None:
        status = PENDING if offer is not None and offer.hold_s else APPROVED
    payout = facts.get("payout")
    if payout is None and offer is not None:
        payout = offer.payout
    revenue = facts.get("revenue")
    kept = {name: facts[name] for name in _OF_CONVERSION if facts.get(name) is not None}
    if "visitor" in kept:
        kept["visitor"] = _visitor(kept["visitor"])
    return Conversion(
        status=status,
        at=activity.at,
        facts=kept,
        payout=Decimal(0) if payout is None else Decimal(payout),
        revenue=None if revenue is None else Decimal(revenue),
        offer_id=None if offer is None else text_id(offer.id),
    )


def _again(ctx: Context, activity: Activity, key: str, known: Conversion, posted: Conversion) -> None:
    for name in _WONT_CHANGE:
        told = name == "offer_id" or activity.data.get(name) is not None
        before, after = (one.facts.get(name) if name == "currency" else getattr(one, name) for one in (known, posted))
        if told and after is not None and before != after:
            raise Conflict(
                f"this conversion_id was recorded with another {name}",
                code="conversion_conflict",
                faults=[Fault("/conversion_id", "give another conversion another id; what is recorded stays")],
            )
    if activity.data.get("status") is not None:
        _move(ctx, key, known, posted.status, activity.at, activity.accepted_at, {})


def _move(
    ctx: Context,
    key: str,
    known: Conversion,
    status: str,
    at: Millis,
    now: Millis,
    posted: Mapping[str, Any],
    *,
    automatic: bool = False,
) -> None:
    if status == known.status or status not in (APPROVED, REJECTED):
        return
    reason = posted.get("reason")
    moved = msgspec.structs.replace(known, status=status, reason=reason)
    _keep(ctx, key, moved, now)
    if known.status == PENDING:
        ctx.state.clear_timer(_timer(key))
    facts = {**posted, **moved.shown(), "automatic": automatic, "decided_at": at}
    _name(ctx, facts)
    ctx.occur(f"conversion_{status}", at, facts)


def _name(ctx: Context, facts: dict[str, Any]) -> None:
    """Offer and campaign by the names that they are known by, where the activity gave none."""
    for noun in ("offer", "campaign"):
        named = facts.get(noun)
        if not isinstance(named, dict) or named.get("id") is None or named.get("name") is not None:
            continue
        known = (
            offers.mentioned(ctx, named, Millis(0)) if noun == "offer" else campaigns.mentioned(ctx, named, Millis(0))
        )
        if known is not None and known.name is not None:
            facts[noun] = {**named, "name": known.name}


def _hold(ctx: Context, key: str, conversion: Conversion, due: Millis, now: Millis) -> None:
    ctx.state.set_timer(_timer(key), due)
    _keep(ctx, key, conversion, max(due, now))  # it outlives its hold


def _timer(key: str) -> str:
    return f"hold:{key.partition(':')[2]}"


def _keep(ctx: Context, key: str, conversion: Conversion, now: Millis) -> None:
    ctx.state.put(key, conversion, until=Millis(now + CONVERSION_MS))


def _visitor(visitor: Any) -> dict[str, Any]:
    if not isinstance(visitor, dict):
        return {}
    return {name: found for name in _OF_VISITOR if (found := visitor.get(name)) is not None}
