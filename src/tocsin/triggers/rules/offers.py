"""Offers: what a conversion of one is worth, how long it is held, and its caps.

A cap counts the conversions recorded in its window, pending and approved; one that is rejected later stays counted, so
that no number that was reported changes. It fires once a window when the count reaches it, again only for a higher
limit. Caps are looked at when a conversion is recorded: one that is set or lowered to what is counted already fires
with the next.
"""

from decimal import Decimal
from typing import Any, get_args
from zoneinfo import ZoneInfo

import msgspec

from tocsin.clock import Millis
from tocsin.triggers.activity import Activity, text_id
from tocsin.triggers.context import Context
from tocsin.triggers.counting import Period, Ring, add, note, opened, reach
from tocsin.triggers.rules import campaigns
from tocsin.triggers.rules.campaigns import MENTIONED_MS
from tocsin.triggers.windows import WindowKind

WINDOWS: tuple[WindowKind, ...] = get_args(WindowKind)


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """Under ``offer:<id>``. `windows`: the open one of each kind, counted whether it has a cap or not, so that a cap
    which is set in its middle knows what came before.
    """

    id: str | int
    name: str | None = None
    payout: Decimal | None = None
    hold_s: int | None = None
    default_status: str | None = None
    timezone: str | None = None  # None: the account's
    caps: dict[str, int] = {}
    windows: dict[str, Period] = {}
    ring: Ring = ()
    declared: bool = False
    created_at: Millis
    updated_at: Millis

    def zone(self, of_account: ZoneInfo) -> ZoneInfo:
        return of_account if self.timezone is None else ZoneInfo(self.timezone)


class OfferEdit(msgspec.Struct, frozen=True, kw_only=True):
    """What the API can set: all of it at once; what is left out is no more."""

    name: str
    payout: Decimal | None = None
    hold_s: int | None = None
    default_status: str | None = None
    timezone: str | None = None
    caps: dict[str, int] = {}


def configure(ctx: Context, id_: str, edit: OfferEdit, now: Millis) -> Offer:
    before = ctx.state.get(f"offer:{id_}", Offer) or Offer(id=id_, created_at=now, updated_at=now)
    after = msgspec.structs.replace(before, **msgspec.structs.asdict(edit), declared=True)
    if after != before:
        after = msgspec.structs.replace(after, updated_at=now)
        _keep(ctx, after, now)
    return after


def mentioned(ctx: Context, named: object, at: Millis) -> Offer | None:
    """The offer that an activity names, made by that where it is new."""
    if not isinstance(named, dict) or named.get("id") is None:
        return None
    found = ctx.state.get(f"offer:{text_id(named['id'])}", Offer)
    if found is None:
        return Offer(id=named["id"], name=named.get("name"), created_at=at, updated_at=at)
    if named.get("name") is not None and not found.declared:
        return msgspec.structs.replace(found, name=named["name"])
    return found


def count(ctx: Context, activity: Activity, offer: Offer, facts: dict[str, Any]) -> None:
    """One conversion more; `facts`: of the conversion. Its campaign, if it has one, is known."""
    zone = offer.zone(ctx.timezone)
    one = Decimal(1)
    counted = {kind: add(opened(offer.windows.get(kind), kind, activity.at, zone), one) for kind in WINDOWS}
    reached = []
    for kind in WINDOWS:
        if (limit := offer.caps.get(kind)) is None:
            continue
        fired = reach(counted[kind], "cap", Decimal(limit), Decimal(limit))
        if fired is not None:
            counted[kind] = fired
            reached.append((kind, limit))
    offer = msgspec.structs.replace(offer, windows=counted, ring=note(offer.ring, activity.at, one))
    _keep(ctx, offer, activity.accepted_at)
    for kind, limit in reached:
        _fire(ctx, activity, offer, kind, limit, facts)


def _fire(ctx: Context, activity: Activity, offer: Offer, kind: WindowKind, limit: int, facts: dict[str, Any]) -> None:
    period = offer.windows[kind]
    cap = {
        "window": kind,
        "limit": limit,
        "count": int(period.amount),
        # The window that never ends begins for people when the offer does.
        "window_start": period.start if period.end is not None else offer.created_at,
        "window_end": period.end,
        "timezone": offer.zone(ctx.timezone).key,
    }
    told = {**facts, "cap": cap}
    ctx.occur("cap", activity.at, told)
    campaign = facts.get("campaign")
    if not isinstance(campaign, dict) or campaign.get("id") is None:
        return
    campaigns.pause(
        ctx,
        text_id(campaign["id"]),
        activity.at,
        activity.accepted_at,
        reason="cap_reached",
        detail=f"the {kind} cap of {limit} conversions of {offer.name or offer.id} is reached",
        facts=told,
        cause=f"cap:{kind}:{text_id(offer.id)}",
        until=period.end,
    )


def _keep(ctx: Context, offer: Offer, now: Millis) -> None:
    until = None if offer.declared else Millis(now + MENTIONED_MS)
    ctx.state.put(f"offer:{text_id(offer.id)}", offer, until=until)
