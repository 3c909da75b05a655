"""What the demonstration found: for each webhook what was to happen and what did."""

from collections.abc import Mapping, Sequence
from statistics import quantiles
from typing import Any

import msgspec

from tocsin.cli.demo.chat_report import ChatRow
from tocsin.cli.demo.faults import set_faults, shortened
from tocsin.cli.demo.happenings import TrafficRow
from tocsin.cli.demo.scenario import Fate, Part
from tocsin.receiver.inbox.arrivals import Arrival


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook. `faults`: what went otherwise than foreseen; empty: nothing."""

    profile: str
    receiver: str
    does: str
    webhook: str
    expected: int  # events
    arrived: int  # different ones
    requests: int
    verified: int
    retries: int
    duplicates: int
    states: Mapping[str, int]
    status: str
    status_reason: str | None
    latency_ms: Sequence[float]  # median and 99th percentile, from the 202 to the arrival
    faults: Sequence[str]


class Check(msgspec.Struct, frozen=True):
    """Something that holds beside the deliveries."""

    what: str
    fault: str | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    seconds: float
    events: int
    duplicates_refused: int
    traffic: Sequence[TrafficRow]
    rows: Sequence[Row]
    chats: Sequence[ChatRow]
    checks: Sequence[Check]

    @property
    def ok(self) -> bool:
        faults = [row.faults for rows in (self.traffic, self.rows, self.chats) for row in rows]
        return not any(faults) and not any(check.fault for check in self.checks)


def judge_webhook(
    *,
    profile: str,
    part: Part,
    fate: Fate,
    webhook: Mapping[str, Any],
    expected: Mapping[str, float],
    deliveries: Sequence[Mapping[str, Any]],
    arrivals: Sequence[Arrival],
) -> Row:
    """Compares.

    Args:
        expected: the events that must go to it, with the instant of each 202 (seconds since 1970).
        deliveries: of the webhook; with `attempts` where the fate has more than one step.
        arrivals: the receiver's ledger for it.
    """
    faults = [
        *_delivery_faults(fate, expected, deliveries),
        *_arrival_faults(profile, fate, expected, arrivals),
    ]
    if webhook["status"] != fate.webhook:
        faults.append(f"the webhook should be {fate.webhook} and is {webhook['status']} ({webhook['status_reason']})")
    states: dict[str, int] = {}
    for delivery in deliveries:
        states[delivery["status"]] = states.get(delivery["status"], 0) + 1
    ids = {arrival.verdict.id for arrival in arrivals}
    return Row(
        profile=profile,
        receiver=part.name,
        does=part.does,
        webhook=webhook["id"],
        expected=len(expected),
        arrived=len(ids),
        requests=len(arrivals),
        verified=sum(arrival.verdict.verified is True for arrival in arrivals),
        retries=len(arrivals) - len(ids),
        duplicates=sum(arrival.duplicate for arrival in arrivals),
        states=states,
        status=webhook["status"],
        status_reason=webhook["status_reason"],
        latency_ms=_latency_ms(expected, arrivals),
        faults=faults,
    )


def _delivery_faults(fate: Fate, expected: Mapping[str, float], deliveries: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [delivery["event_id"] for delivery in deliveries]
    faults = set_faults("deliveries", expected.keys(), found)
    wrong = []
    for delivery in deliveries:
        if delivery["status"] != fate.ends:
            wrong.append(f"{delivery['id']} should have {fate.ends} and is {delivery['status']}")
        elif "attempts" not in delivery:
            if (delivery["attempt_count"], delivery["status_code"]) != (1, fate.steps[-1].status_code):
                wrong.append(f"{delivery['id']} took {delivery['attempt_count']} attempts, not 1")
        else:
            went = [(one["outcome"], one["status_code"]) for one in delivery["attempts"]]
            if went != [(step.outcome, step.status_code) for step in fate.steps]:
                shown = ", ".join(str(code or outcome) for outcome, code in went)
                wrong.append(f"{delivery['id']} should have gone {', '.join(map(str, fate.steps))} and went {shown}")
    return faults + shortened(wrong)


def _arrival_faults(profile: str, fate: Fate, expected: Mapping[str, float], arrivals: Sequence[Arrival]) -> list[str]:
    faults = set_faults("arrivals", expected.keys(), {arrival.verdict.id or "?" for arrival in arrivals})
    wrong = []
    counts: dict[str | None, int] = {}
    for arrival in arrivals:
        verdict = arrival.verdict
        counts[verdict.id] = counts.get(verdict.id, 0) + 1
        if not verdict.verified:
            wrong.append(f"arrival {arrival.n} does not verify: {verdict.sentence}")
        elif verdict.profile != profile:
            wrong.append(f"arrival {arrival.n} came in the dialect {verdict.profile}")
        if arrival.duplicate:
            wrong.append(f"{verdict.id} came again after it was answered 2xx")
    wrong.extend(
        f"{id_} arrived {count} times, not {len(fate.steps)}"
        for id_, count in counts.items()
        if count != len(fate.steps)
    )
    return faults + shortened(wrong)


def _latency_ms(expected: Mapping[str, float], arrivals: Sequence[Arrival]) -> Sequence[float]:
    """Of first arrivals. One that came before its 202 was read took no time."""
    spans = [
        max(0.0, arrival.at - expected[id_] * 1000)
        for arrival in arrivals
        if arrival.nth == 1 and (id_ := arrival.verdict.id or "") in expected
    ]
    if len(spans) < 2:
        return tuple(spans) * 2
    cuts = quantiles(spans, n=100, method="inclusive")
    return (round(cuts[49], 1), round(cuts[98], 1))
