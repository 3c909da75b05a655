"""The same day's activity for every account: what fired is held against what the traffic was made to be."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tocsin.cli.traffic import Day, Made, Truth
from tocsin.clock import Millis
from tocsin.profiles import Profile
from tocsin.triggers import firing

_CLICKS = 100
_FRAUD = 0.5  # ten clicks of each pattern
_DAY_MS = 86_400_000
# Four clicks of a series pass before it can be told from a person's clicks: of ten, six are found. Of a hundred honest
# clicks a day has fewer than one that is suspected; here there are fifty.
_FOUND_AT_LEAST = 0.6
_ALARMS_AT_MOST = 1
_LABELS = ("CLEAN", "SUSPICIOUS", "FRAUD")
_SHOWN = 3

Results = Sequence[Mapping[str, Any]]


class TrafficRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one account's dialect made of the activities. `faults`: what it should have made of them."""

    profile: str
    activities: int
    events: int
    types: Mapping[str, int]
    fraud: int  # clicks that were made as fraud
    found: int  # of those
    alarms: int  # honest clicks that were suspected
    faults: Sequence[str]


def happenings(seed: int, now: Millis) -> Sequence[Made]:
    """Yesterday's traffic, half of it fraud: short, and with all that can happen."""
    begins = Millis(now - now % _DAY_MS - _DAY_MS)
    return tuple(Day(clicks=_CLICKS, seed=seed, begins_at=begins, fraud=_FRAUD))


def judge_traffic(
    profile: Profile, posted: Sequence[Made], results: Results, again: Results, like: Results
) -> TrafficRow:
    """Compares.

    Args:
        results: of the activities as they were posted, in order.
        again: of the last of them, posted a second time under the same external ids.
        like: the first account's results: judgements know no dialect.
    """
    truth = Truth()
    fired: Counter[str] = Counter()
    for made, result in zip(posted, results, strict=True):
        fired.update(event["type"] for event in result["events"])
        if made.kind == "click":
            truth.judged(made, result["label"], [reason["rule"] for reason in result["reasons"]])
    found = truth.found()
    faults = [
        *_type_faults(profile, posted, results, fired),
        *_truth_faults(truth),
        *_again_faults(results, again),
    ]
    unlike = [one["id"] for one, other in zip(results, like, strict=True) if one.get("label") != other.get("label")]
    if unlike:
        faults.append(f"{len(unlike)} are judged otherwise than in another account, such as {unlike[0]}")
    return TrafficRow(
        profile=profile.name,
        activities=len(results),
        events=fired.total(),
        types=dict(sorted(fired.items())),
        fraud=sum(one.injected for one in found),
        found=sum(one.caught for one in found),
        alarms=truth.false_alarms,
        faults=faults,
    )


def _truth_faults(truth: Truth) -> Iterator[str]:
    for one in truth.found():
        if one.recall < _FOUND_AT_LEAST:
            yield f"of {one.injected} clicks of the fraud {one.pattern} only {one.caught} were found"
    if truth.false_alarms > _ALARMS_AT_MOST:
        yield f"{truth.false_alarms} honest clicks were suspected"


def _again_faults(results: Results, again: Results) -> Iterator[str]:
    """Posted again, each is a duplicate, and its answer names the events of the first time."""
    tail = results[len(results) - len(again) :]
    wrong = [
        after["id"]
        for before, after in zip(tail, again, strict=True)
        if not after["duplicate"] or (after["id"], after["events"]) != (before["id"], before["events"])
    ]
    if wrong:
        yield f"posted again, {len(wrong)} were not recognised, such as {wrong[0]}"


def _type_faults(profile: Profile, posted: Sequence[Made], results: Results, fired: Mapping[str, int]) -> Sequence[str]:
    """Each event type as often as what it is fired by has occurred."""
    occurred: Counter[str] = Counter()
    rises: Counter[str] = Counter()  # labels that were new for their visitor: some dialects tell only of those
    labels: dict[str, int] = {}
    seen: set[str] = set()
    for made, result in zip(posted, results, strict=True):
        occurred.update(_occurrences(made, result, seen))
        if (label := _LABELS.index(result.get("label", "CLEAN"))) > labels.get(visitor := _visitor(made), 0):
            labels[visitor] = label
            rises["fraud" if label == len(_LABELS) - 1 else "suspicious"] += 1
    faults = []
    for type_, by in firing.load(profile).fired_by.items():
        allowed = {
            sum(occurred[name] for name in by),
            sum(rises[name] if name in rises else occurred[name] for name in by),
        }
        if fired.get(type_, 0) not in allowed:
            faults.append(f"{type_} fired {fired.get(type_, 0)} times, not {max(allowed)}")
    return faults[:_SHOWN]


def _visitor(made: Made) -> str:
    return str(made.body.get("visitor", {}).get("id"))


def _occurrences(made: Made, result: Mapping[str, Any], seen: set[str]) -> Iterator[str]:
    """What an activity must be found to be (CONTRACT §5). Budgets and caps are not reached on such a day."""
    kind, body = made.kind, made.body
    if kind in ("click", "visit"):
        yield kind
        if kind == "visit" and _visitor(made) not in seen:
            seen.add(_visitor(made))
            yield "visitor"
        rules = {reason["rule"] for reason in result["reasons"]}
        yield from {"FRAUD": ("fraud",), "SUSPICIOUS": ("suspicious",)}.get(result["label"], ())
        if kind == "click" and result["score"] > 80:  # the brand's threshold, unless it is set otherwise
            yield "brand_risk"
        if rules & {"webdriver_present", "bot_user_agent"}:
            yield "bot"
        if rules & {"vpn_detected", "tor_exit"}:
            yield "vpn"
    elif kind in ("impression", "conversion", "billing"):
        yield kind
    elif kind == "conversion_status":
        yield f"conversion_{body['status']}"
    elif kind == "partner":
        yield f"partner_{body['status']}"
    elif kind == "campaign":
        yield f"campaign_{body['action']}"
