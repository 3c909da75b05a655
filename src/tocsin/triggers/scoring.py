"""Scores a click or a visit: which of the twelve rules hold, their points, the label and the action (CONTRACT §5).

Eight rules read the activity and what is known of its address and user agent. Four compare a click with other clicks
of its address or network; visits neither count in them nor are judged by them, since a platform that posts both posts
them for the same arrival. They go by `at`, not by the order of arrival: "five clicks in a minute" holds for the click
that completes five clicks within some minute, whichever of the five that is. What an activity does not say counts
neither for it nor against it: without an address, a user agent or a campaign, the rules that need it do not hold.
"""

import hashlib
import ipaddress
import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import msgspec

from tocsin.clock import Millis
from tocsin.triggers.activity import Activity, AddressFacts, Kind
from tocsin.triggers.context import Context
from tocsin.triggers.occurrences import Judgement
from tocsin.triggers.settings import ScoringPoints, ScoringWindows, TriggerSettings

CLEAN, SUSPICIOUS, FRAUD = LABELS = ("CLEAN", "SUSPICIOUS", "FRAUD")
_ACTIONS = {CLEAN: "ALLOW", SUSPICIOUS: "REVIEW", FRAUD: "BLOCK"}

# In the contract's order, which is the order of `reasons`.
RULES: tuple[str, ...] = ScoringPoints.__struct_fields__

# How many clicks of an address are remembered for `duplicate_click`: an office of hundreds behind one address seldom
# has more clicks in a minute; beyond it the oldest are forgotten, and the rule misses rather than accuses. 1 KiB.
_RECENT = 64
# A late click finds its neighbours as long as no more clicks came after them than a rule needs: twice as many are kept.
_LATE = 2
# A click may lie as far ahead of the server's clock as normalising lets it (five minutes), and be compared with.
_AHEAD_MS = 300_000
_NOTHING: Mapping[str, Any] = MappingProxyType({})
# Parsing an address takes 3 µs, the look into the cache 0.1; an entry is some 300 bytes.
_PARSED = 8_192


class AddressClicks(msgspec.Struct, frozen=True, array_like=True):
    """``address:<ip>``: the clicks of one address, by `at`; each with the mark of its user agent and campaign."""

    clicks: tuple[tuple[int, int | None], ...] = ()


class NetworkClicks(msgspec.Struct, frozen=True, array_like=True):
    """``network:<net>|<campaign>``: the instants of the clicks of one network on one campaign, in order."""

    clicks: tuple[int, ...] = ()


def judge(ctx: Context, activity: Activity) -> None:
    """Sets `ctx.judgement`, and counts a click for those to come.

    A producer's own `signals.score` stands, and its `signals.reasons` with it; where it gives a score alone, the
    reasons are the rules that hold here.
    """
    held = signs(activity)
    if activity.kind is Kind.CLICK:
        held |= _compared(ctx, activity)
    worth = ctx.settings.points
    reasons: tuple[tuple[str, int], ...] = ()
    if held:
        reasons = tuple((rule, points) for rule in RULES if rule in held and (points := getattr(worth, rule)))
    score = min(100, sum(points for _, points in reasons))
    signals = _part(activity.data, "signals")
    if (own := signals.get("score")) is not None:
        score = max(0, min(100, int(own)))
        reasons = _own_reasons(signals.get("reasons")) or reasons
    label = label_of(score, ctx.settings)
    ctx.judgement = Judgement(score=score, label=label, action=_ACTIONS[label], reasons=reasons)


def label_of(score: int, settings: TriggerSettings) -> str:
    if score >= settings.fraud_from:
        return FRAUD
    return SUSPICIOUS if score >= settings.suspicious_from else CLEAN


def signs(activity: Activity) -> set[str]:
    """The rules that hold of the activity by itself, whatever they are worth to the account."""
    held = _known(activity.address)
    if activity.agent is not None and activity.agent.bot is not None:
        held.add("bot_user_agent")
    if signals := _part(activity.data, "signals"):
        held |= _told(signals)
    return held


def _known(address: AddressFacts | None) -> set[str]:
    held = set()
    if address is not None:
        if address.hosting is not None:
            held.add("datacenter_ip")
        if address.vpn is not None or address.proxy:
            held.add("vpn_detected")
        if address.tor:
            held.add("tor_exit")
        if address.listed:
            held.add("ipsum_hit")
    return held


def _told(signals: Mapping[str, Any]) -> set[str]:
    held = set()
    if signals.get("vpn") or signals.get("proxy"):
        held.add("vpn_detected")
    if signals.get("honeypot"):
        held.add("honeypot")
    if signals.get("webdriver"):
        held.add("webdriver_present")
    # Told to be none at all, as a number or a list; not told at all says nothing.
    if signals.get("plugins") is not None and not signals["plugins"]:
        held.add("missing_plugins")
    return held


def network_of(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Its /24, or /48 in IPv6: what one customer of a provider is given at most, and a farm rents."""
    bits = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network((address, bits), strict=False))


@lru_cache(maxsize=_PARSED)
def place(ip: str) -> tuple[str, str] | None:
    """An address in its one canonical form and its network; None: it is none. IPv4 in IPv6 is IPv4."""
    try:
        if ":" not in ip:
            ipaddress.IPv4Address(ip)  # it takes the canonical form alone
            return ip, f"{ip.rpartition('.')[0]}.0/24"
        address = ipaddress.ip_address(ip)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address), network_of(address)


# --- the rules that compare ----------------------------------------------------------------------------------------


def keys(activity: Activity) -> tuple[str, ...]:
    """Where the clicks of its address, and those of its network on its campaign, are remembered; as far as told."""
    ip = _part(activity.data, "visitor").get("ip")
    return _keys(ip, activity.id_of("campaign")) if isinstance(ip, str) else ()


@lru_cache(maxsize=_PARSED)
def _keys(ip: str, campaign: str | None) -> tuple[str, ...]:
    placed = place(ip)
    if placed is None:
        return ()
    address, network = placed
    return (f"address:{address}",) if campaign is None else (f"address:{address}", f"network:{network}|{campaign}")


def _compared(ctx: Context, activity: Activity) -> set[str]:
    where = keys(activity)
    if not where:
        return set()
    ctx.state.need(*where)
    address_key, network_key = where[0], (where[1] if len(where) > 1 else None)
    visitor = _part(activity.data, "visitor")
    campaign = activity.id_of("campaign")

    windows, held = ctx.settings.windows, set()
    # Forgotten by the server's clock: what is older when a click comes is not compared with.
    known_until = max(activity.accepted_at, activity.at) + _AHEAD_MS

    known = (ctx.state.get(address_key, AddressClicks) or AddressClicks()).clicks
    mark = _mark(visitor.get("user_agent"), campaign)
    instants = [at for at, _ in known]
    if _crowded(instants, activity.at, windows.rapid_clicks, windows.rapid_clicks_s):
        held.add("rapid_clicks")
    if mark is not None and any(
        other == mark and abs(at - activity.at) <= windows.duplicate_click_s * 1000 for at, other in known
    ):
        held.add("duplicate_click")
    if _steady(instants, activity.at, windows):
        held.add("consistent_timing")
    ctx.state.put(
        address_key,
        AddressClicks(_with_click(known, (activity.at, mark), windows)),
        until=Millis(known_until + _longest_s(windows) * 1000),
    )

    if network_key is not None:
        near = (ctx.state.get(network_key, NetworkClicks) or NetworkClicks()).clicks
        if _crowded(near, activity.at, windows.same_ip_pattern, windows.same_ip_pattern_s):
            held.add("same_ip_pattern")
        ctx.state.put(
            network_key,
            NetworkClicks(tuple(sorted((*near, activity.at))[-_LATE * windows.same_ip_pattern :])),
            until=Millis(known_until + _longest_s(windows) * 1000),
        )
    return held


def _crowded(known: Sequence[int], at: int, count: int, window_s: int) -> bool:
    """Whether the click at `at` is one of `count` that lie within some window of that length, its ends included."""
    if len(known) + 1 < count:
        return False
    window_ms = window_s * 1000
    low = bisect_left(known, at - window_ms)
    near = list(known[low : bisect_right(known, at + window_ms)])
    insort(near, at)
    return any(last - first <= window_ms for first, last in zip(near, near[count - 1 :], strict=False))


def _steady(known: Sequence[int], at: int, windows: ScoringWindows) -> bool:
    """Whether the click is one of a run of so many, neighbours by `at`, whose spacing hardly varies.

    The coefficient of variation of the gaps: their standard deviation (of the population: these are all of them) over
    their mean. Clicks that all share one instant have no spacing: they say how coarse a clock is, not that a machine
    clicked, and `rapid_clicks` counts them.
    """
    count, window_ms = windows.consistent_timing_clicks, windows.consistent_timing_s * 1000
    if len(known) + 1 < count:
        return False
    clicks = list(known)
    where = bisect_right(clicks, at)
    clicks.insert(where, at)
    for first in range(max(0, where - count + 1), min(where, len(clicks) - count) + 1):
        run = clicks[first : first + count]
        if 0 < run[-1] - run[0] <= window_ms and _variation(run) < windows.consistent_timing_percent:
            return True
    return False


def _variation(run: Sequence[int]) -> float:
    """Of the gaps between the instants, in percent."""
    gaps = [after - before for before, after in pairwise(run)]
    mean = math.fsum(gaps) / len(gaps)
    return 100 * math.sqrt(math.fsum((gap - mean) ** 2 for gap in gaps) / len(gaps)) / mean


def _with_click(
    known: Sequence[tuple[int, int | None]], click: tuple[int, int | None], windows: ScoringWindows
) -> tuple[tuple[int, int | None], ...]:
    """As many as the rules need: the latest few, and of the last moments all up to a bound."""
    clicks = sorted((*known, click), key=_instant)
    needed = _LATE * max(windows.rapid_clicks, windows.consistent_timing_clicks)
    if len(clicks) <= needed:
        return tuple(clicks)
    recent = len(clicks) - bisect_left(clicks, clicks[-1][0] - windows.duplicate_click_s * 1000, key=_instant)
    return tuple(clicks[-max(needed, min(recent, _RECENT)) :])


def _instant(click: tuple[int, int | None]) -> int:
    return click[0]


def _longest_s(windows: ScoringWindows) -> int:
    """Traffic may be posted hours after it happened, in files: what came with the one before is still to be compared.

    So all clicks are remembered for the longest window there is, a day unless the account says otherwise.
    """
    return max(
        windows.rapid_clicks_s, windows.duplicate_click_s, windows.consistent_timing_s, windows.same_ip_pattern_s
    )


def _mark(user_agent: object, campaign: str | None) -> int | None:
    """One number for a user agent and campaign: 64 bits, in which two of an address's never meet by chance."""
    if not isinstance(user_agent, str) or not user_agent or campaign is None:
        return None
    said = f"{campaign}\0{user_agent}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest())


# --- what a producer says -------------------------------------------------------------------------------------------


def _own_reasons(given: object) -> tuple[tuple[str, int], ...]:
    """As names, or as objects of a rule and its points (or, as clickdefender's document has it, its score)."""
    if not isinstance(given, Iterable) or isinstance(given, str | bytes | Mapping):
        return ()
    reasons: list[tuple[str, int]] = []
    for one in given:
        if isinstance(one, str):
            reasons.append((one, 0))
        elif isinstance(one, Mapping) and isinstance(rule := one.get("rule"), str):
            points = one.get("points", one.get("score"))
            reasons.append((rule, 0 if points is None else int(points)))
    return tuple(reasons)


def _part(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = data.get(name)
    if type(found) is dict:
        return found
    return found if found is not None and isinstance(found, Mapping) else _NOTHING
