"""Clicks, visits and impressions: that they happened, what they were judged to be, and what gave that away."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec

from tocsin.clock import Millis
from tocsin.triggers import scoring
from tocsin.triggers.activity import Activity, Kind
from tocsin.triggers.context import Context
from tocsin.triggers.occurrences import Judgement

_DAY_MS = 86_400_000
# A visitor's id lives in a cookie, and browsers keep none longer than 400 days (RFC 6265bis, 5.5): whoever comes back
# after that has another id.
_SEEN_MS = 400 * _DAY_MS
# A known visitor is written anew once a day at most, so that an ordinary click or visit changes nothing of it.
_RENEW_MS = _DAY_MS

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_OCCURRENCES = {scoring.FRAUD: "fraud", scoring.SUSPICIOUS: "suspicious"}

# What kind of fraud a rule speaks of; that with the most points among a click's reasons names it. In the order of
# preference where points are equal: what was seen of the visitor before where it came from.
FRAUD_TYPES: Mapping[str, frozenset[str]] = {
    "bot": frozenset({"webdriver_present", "bot_user_agent", "honeypot", "missing_plugins"}),
    "click_farm": frozenset({"consistent_timing", "same_ip_pattern"}),
    "click_spam": frozenset({"rapid_clicks", "duplicate_click"}),
    "known_abuser": frozenset({"ipsum_hit"}),
    "hidden_origin": frozenset({"tor_exit", "vpn_detected"}),
    "datacenter_traffic": frozenset({"datacenter_ip"}),
}
UNTYPED = "suspicious_traffic"  # a producer's own score without reasons

# By how much each sign alone makes a machine likely, in percent; together, one minus the chance that all of them are
# wrong. A browser that says it is driven, and an agent that names itself a tool, are almost never people; people too
# have no plugins, and some fill in hidden fields by a password manager.
_BOT_SIGNS: Mapping[str, int] = {
    "honeypot": 50,
    "bot_user_agent": 95,
    "webdriver_present": 95,
    "missing_plugins": 40,
    "consistent_timing": 50,
}
_CRAWLER_ADDRESS = 95
_TOLD = 90  # by its producer, without a confidence
_SUREST = 99  # only its producer knows for certain


class Visitor(msgspec.Struct, frozen=True, array_like=True):
    """``visitor:<id>``. Instants are the `at` of activities."""

    first_seen: Millis | None = None  # its first visit
    kept_at: Millis = Millis(0)
    label: str = scoring.CLEAN  # the highest that was told
    label_at: Millis = Millis(0)


def click(ctx: Context, activity: Activity) -> None:
    judgement = _judged(ctx)
    facts = _facts(activity, judgement)
    ctx.occur("click", activity.at, facts)
    _threats(ctx, activity, judgement, facts)
    if judgement.score > ctx.settings.brand_threshold:
        ctx.occur("brand_risk", activity.at, {**facts, "threshold": ctx.settings.brand_threshold})


def visit(ctx: Context, activity: Activity) -> None:
    judgement = _judged(ctx)
    facts = _facts(activity, judgement)
    first_seen, first = _first_seen(ctx, activity)
    if first_seen is not None:
        facts["first_seen"] = first_seen
    ctx.occur("visit", activity.at, facts)
    if first:
        ctx.occur("visitor", activity.at, facts)
    _threats(ctx, activity, judgement, facts)


def impression(ctx: Context, activity: Activity) -> None:
    ctx.occur("impression", activity.at, dict(activity.data))


def visitor_key(activity: Activity) -> str | None:
    """Where its visitor is remembered. One without an id is its address: so a label still fires once, not per click.

    None: nothing tells it from others; each activity is then a visitor of its own.
    """
    if (id_ := activity.visitor_id) is not None:
        return f"visitor:{id_}"
    ip = _part(activity.data, "visitor").get("ip")
    placed = scoring.place(ip) if isinstance(ip, str) else None
    return None if placed is None else f"visitor:@{placed[0]}"


# --- visitors -------------------------------------------------------------------------------------------------------


def _first_seen(ctx: Context, activity: Activity) -> tuple[Millis | None, bool]:
    """When its visitor first came, and whether that is now. A visit that is told late may lie before the first."""
    key = visitor_key(activity)
    if key is None:
        return None, False
    known = ctx.state.get(key, Visitor) or Visitor()
    if known.first_seen is None:
        _remember(ctx, activity, key, msgspec.structs.replace(known, first_seen=activity.at))
        return activity.at, True
    if activity.at - known.kept_at >= _RENEW_MS:
        _remember(ctx, activity, key, known)
    return known.first_seen, False


def _rises(ctx: Context, activity: Activity, label: str) -> bool:
    """Whether the label is higher than what was told of its visitor; then it is what was told."""
    key = visitor_key(activity)
    if key is None:
        return True
    known = ctx.state.get(key, Visitor) or Visitor()
    forgotten = activity.at - known.label_at >= ctx.settings.labels_days * _DAY_MS
    told = scoring.CLEAN if forgotten else known.label
    if scoring.LABELS.index(label) <= scoring.LABELS.index(told):
        return False
    _remember(ctx, activity, key, msgspec.structs.replace(known, label=label, label_at=activity.at))
    return True


def _remember(ctx: Context, activity: Activity, key: str, visitor: Visitor) -> None:
    labelled = ctx.settings.labels_days * _DAY_MS
    # An address is somebody else's before long: it is kept for the label only, as is who never made a visit.
    brief = activity.visitor_id is None or visitor.first_seen is None
    keep = labelled if brief else max(_SEEN_MS, labelled)
    now = max(activity.accepted_at, activity.at)
    ctx.state.put(key, msgspec.structs.replace(visitor, kept_at=activity.at), until=Millis(now + keep))


# --- threats --------------------------------------------------------------------------------------------------------


def _threats(ctx: Context, activity: Activity, judgement: Judgement, facts: dict[str, Any]) -> None:
    """What is wrong with it, the gravest first. Each carries `ip` and `user_agent`, unknown or not."""
    signals, held = _part(activity.data, "signals"), scoring.signs(activity)
    name = _OCCURRENCES.get(judgement.label)
    if name is None and not held and not signals and (activity.address is None or activity.address.crawler is None):
        return  # as most are
    visitor = _part(activity.data, "visitor")
    facts = {**facts, "ip": visitor.get("ip") or "unknown", "user_agent": visitor.get("user_agent") or ""}
    if name is not None:
        rises = _rises(ctx, activity, judgement.label)
        ctx.occur(name, activity.at, {**facts, **_fraud(activity, judgement, signals), "visitor_first": rises})
    if (bot := _bot(activity, judgement, signals, held)) is not None:
        ctx.occur("bot", activity.at, {**facts, "bot": bot})
    if held & {"vpn_detected", "tor_exit"}:
        ctx.occur("vpn", activity.at, {**facts, **_vpn(activity, signals, held)})
    if signals.get("cloaker"):
        cloaker = _part(signals, "cloaker")
        named = {"name": cloaker.get("name") or "unknown", "indicators": _names(cloaker.get("indicators"))}
        ctx.occur("cloaker", activity.at, {**facts, "cloaker": {**cloaker, **named}})


def _fraud(activity: Activity, judgement: Judgement, signals: Mapping[str, Any]) -> dict[str, Any]:
    own = _part(signals, "fraud")
    found: dict[str, Any] = {
        "fraud_type": own.get("type") or _fraud_type(judgement),
        "indicators": _names(own.get("indicators")) or [rule for rule, _ in judgement.reasons],
    }
    cost = activity.data.get("cost") if activity.kind is Kind.CLICK else None
    if isinstance(cost, Decimal | int | str):
        found["estimated_loss"] = Decimal(cost)
    return found


def _fraud_type(judgement: Judgement) -> str:
    points = {
        name: sum(points for rule, points in judgement.reasons if rule in rules) for name, rules in FRAUD_TYPES.items()
    }
    best = max(points, key=points.__getitem__)  # the first of those that are equal
    return best if points[best] else UNTYPED


def automated(activity: Activity) -> bool:
    """Its producer says so, the browser or its agent does, or the address is a crawler's."""
    crawler = activity.address is not None and activity.address.crawler is not None
    told = bool(_part(activity.data, "signals").get("bot"))
    return told or crawler or bool(scoring.signs(activity) & {"bot_user_agent", "webdriver_present"})


def _bot(activity: Activity, judgement: Judgement, signals: Mapping[str, Any], held: set[str]) -> dict[str, Any] | None:
    if not automated(activity):
        return None
    own = _part(signals, "bot")
    crawler = None if activity.address is None else activity.address.crawler
    signs = [rule for rule in scoring.RULES if rule in _BOT_SIGNS and (rule in held or _reported(judgement, rule))]
    named = None if activity.agent is None else activity.agent.bot
    wrong = 1.0
    beside = [likely for holds, likely in ((crawler, _CRAWLER_ADDRESS), (signals.get("bot"), _TOLD)) if holds]
    for likely in [_BOT_SIGNS[rule] for rule in signs] + beside:
        wrong *= 1 - likely / 100
    confidence = own.get("confidence")
    return {
        **own,
        "type": own.get("type") or named or crawler or ("webdriver" if "webdriver_present" in held else "unknown"),
        "confidence": min(_SUREST, round(100 * (1 - wrong))) if confidence is None else confidence,
        "indicators": _names(own.get("indicators")) or signs + (["crawler_ip"] if crawler else []),
    }


def _vpn(activity: Activity, signals: Mapping[str, Any], held: set[str]) -> dict[str, Any]:
    own = _part(signals, "vpn")
    known = None if activity.address is None else activity.address.vpn
    tor = "tor_exit" in held
    provider = own.get("provider") or known or ("Tor" if tor else "unknown")
    proxy = bool(signals.get("proxy")) or (activity.address is not None and activity.address.proxy)
    named = bool(signals.get("vpn")) or known is not None
    kind = "tor" if tor else "proxy" if proxy and not named else "vpn"
    return {"vpn": {**own, "provider": provider, "kind": kind}, "proxy": proxy, "tor": tor}


def _reported(judgement: Judgement, rule: str) -> bool:
    return any(rule == reason for reason, _ in judgement.reasons)


# --- facts ----------------------------------------------------------------------------------------------------------


def _judged(ctx: Context) -> Judgement:
    assert ctx.judgement is not None, "scoring.judge comes before"
    return ctx.judgement


def _facts(activity: Activity, judgement: Judgement) -> dict[str, Any]:
    return {
        **activity.data,
        "score": judgement.score,
        "label": judgement.label,
        "action": judgement.action,
        "reasons": [{"rule": rule, "points": points} for rule, points in judgement.reasons],
    }


def _names(given: object) -> list[str]:
    return [str(name) for name in given] if isinstance(given, list | tuple) else []


def _part(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = data.get(name)
    if type(found) is dict:
        return found
    return found if found is not None and isinstance(found, Mapping) else _NOTHING
