"""Partners: applied, approved, banned, each said once per transition; and billing, which is passed on as it came."""

from typing import Any

import msgspec

from tocsin.clock import Millis
from tocsin.triggers.activity import Activity, text_id
from tocsin.triggers.context import Context


class Partner(msgspec.Struct, frozen=True, kw_only=True):
    """Under ``partner:<id>``. `status` None: it has only been named."""

    id: str | int
    name: str | None = None
    status: str | None = None
    reason: str | None = None
    created_at: Millis
    updated_at: Millis


class PartnerEdit(msgspec.Struct, frozen=True, kw_only=True):
    """What the API can set. `status` None: it stays."""

    name: str
    status: str | None = None
    reason: str | None = None


def changed(ctx: Context, activity: Activity) -> None:
    """An activity of the kind `partner`."""
    posted = activity.data["partner"]
    _change(
        ctx,
        posted["id"],
        activity.at,
        name=posted.get("name"),
        status=activity.data["status"],
        reason=activity.data.get("reason"),
        facts=activity.data,
    )


def billing(ctx: Context, activity: Activity) -> None:
    ctx.occur("billing", activity.at, dict(activity.data))


def configure(ctx: Context, id_: str, edit: PartnerEdit, now: Millis) -> Partner:
    """Sets what the API can set, and fires as the activity does."""
    return _change(ctx, id_, now, name=edit.name, status=edit.status, reason=edit.reason, facts={})


def _change(
    ctx: Context,
    id_: str | int,
    at: Millis,
    *,
    name: str | None,
    status: str | None,
    reason: str | None,
    facts: dict[str, Any],
) -> Partner:
    key = f"partner:{text_id(id_)}"
    before = ctx.state.get(key, Partner)
    after = before or Partner(id=id_, created_at=at, updated_at=at)
    moved = status is not None and status != after.status
    after = msgspec.structs.replace(
        after,
        name=name or after.name,
        status=status or after.status,
        reason=reason if moved else reason or after.reason,
    )
    if after == before:
        return after
    after = msgspec.structs.replace(after, updated_at=at)
    ctx.state.put(key, after)
    if moved:
        posted = facts.get("partner") or {}
        partner = {**posted, "id": posted.get("id", after.id), "name": after.name or text_id(after.id)}
        told: dict[str, Any] = {**facts, "partner": partner, "status": status}
        if after.reason is not None:
            told["reason"] = after.reason
        ctx.occur(f"partner_{status}", at, told)
    return after
