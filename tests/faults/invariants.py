"""What must hold of the evidence of any drill, each as one function that says what is broken."""

import itertools
import math
from collections import Counter

from tests.faults.evidence import Evidence, Fault
from tests.faults.plans import ACCOUNTS, RETRY_SCALE
from tests.support.api import Json
from tests.support.receiver import Arrival
from tocsin.clock import parse_rfc3339

# An attempt's instants are whole milliseconds, cut off; receiver and server share the machine's clock. On PostgreSQL a
# process's clock is corrected by the database's, whose answer takes its time on a busy machine.
_SLACK_S = {False: 0.003, True: 0.2}

# Between an attempt's start and its first byte, which is not in its duration, on a busy machine.
_ASIDE_S = 1.0

# How long an outcome may wait to be written on a busy machine: what was answered earlier than this before a fault was
# durable by then, or is lost.
_SETTLE_S = 5.0

# Bytes that a process sent before it died are still read.
_LATE_S = 0.5

# A process that is woken may finish what it had begun to send, before it hears that others have taken over.
_WAKE_S = 2.0

# Issue: work resumes within 15 s of a worker's death.
RESUME_S = 15.0


def check_all(evidence: Evidence) -> None:
    every_publisher_has_one_id(evidence)
    nothing_accepted_is_lost_and_nothing_is_made_twice(evidence)
    every_delivery_has_one_final_state(evidence)
    every_signature_verifies(evidence)
    ids_are_stable(evidence)
    accounts_are_apart(evidence)
    no_refused_address_is_dialled(evidence)
    log_and_ledger_agree(evidence)
    attempts_keep_to_the_schedule(evidence)
    work_resumes(evidence)


def every_publisher_has_one_id(evidence: Evidence) -> None:
    """However often an event was posted, its publisher was told one id, and at most once that it is new."""
    for number in range(evidence.plan.events):
        receipts = evidence.receipts[number]
        assert len({receipt.id for receipt in receipts}) == 1, f"event {number} has been answered with {receipts}"
        assert sum(not receipt.duplicate for receipt in receipts) <= 1, f"event {number} was new twice: {receipts}"


def nothing_accepted_is_lost_and_nothing_is_made_twice(evidence: Evidence) -> None:
    """The API lists exactly the events that were answered for, and each webhook has taken each of its own."""
    listed = Counter(event["id"] for events in evidence.events for event in events)
    assert listed == Counter(evidence.ids.values()), "events listed and events answered for differ"
    for n, ledger in enumerate(evidence.ledger):
        taken = {arrival.id for arrival in ledger if arrival.ok}
        due = {evidence.ids[one] for one in evidence.plan.wanted(n) if evidence.plan.state(n, one) == "succeeded"}
        assert taken == due, f"{evidence.plan.hooks[n].path} lacks {due - taken}, has extra {taken - due}"


def every_delivery_has_one_final_state(evidence: Evidence) -> None:
    """There is one delivery for each event and webhook of its account, and it has ended as its receiver had it end."""
    pairs = Counter((one["event_id"], one["webhook_id"]) for one in itertools.chain(*evidence.deliveries))
    wanted = _states(evidence)
    assert pairs == Counter(dict.fromkeys(wanted, 1)), "deliveries made and deliveries due differ"
    for one in itertools.chain(*evidence.deliveries):
        state = wanted[one["event_id"], one["webhook_id"]]
        assert one["status"] == state, f"{one['id']} is {one['status']}, not {state}"


def every_signature_verifies(evidence: Evidence) -> None:
    faults = [arrival.fault for ledger in evidence.ledger for arrival in ledger if not arrival.verified]
    assert not faults, f"{len(faults)} arrivals do not verify: {faults[:3]}"


def ids_are_stable(evidence: Evidence) -> None:
    """Whatever arrives for an event carries the id that its publisher was told."""
    for ledger in evidence.ledger:
        for arrival in ledger:
            assert arrival.id == evidence.ids[arrival.data["number"]], f"{arrival.id} is not its event's id"


def accounts_are_apart(evidence: Evidence) -> None:
    """Nothing of an account is at another's receivers, in its lists, or answered to it."""
    plan = evidence.plan
    for account, (events, deliveries) in enumerate(zip(evidence.events, evidence.deliveries, strict=True)):
        own = {evidence.ids[number] for number, whose in enumerate(plan.accounts) if whose == account}
        arrived = {
            arrival.id
            for hook, ledger in zip(plan.hooks, evidence.ledger, strict=True)
            if hook.account == account
            for arrival in ledger
        }
        seen = arrived | {event["id"] for event in events} | {delivery["event_id"] for delivery in deliveries}
        assert seen <= own, f"account {account} has seen {seen - own}"
        hooks = {id_ for id_, hook in zip(evidence.hook_ids, plan.hooks, strict=True) if hook.account == account}
        sent = {delivery["webhook_id"] for delivery in deliveries}
        assert sent <= hooks, f"account {account} has deliveries to {sent - hooks}"
    assert set(evidence.strangers) <= {404}, f"an account was answered {evidence.strangers} for another's"
    assert not evidence.elsewhere, f"arrived where no webhook leads: {[one.path for one in evidence.elsewhere]}"


def no_refused_address_is_dialled(evidence: Evidence) -> None:
    """Nothing connected to it, and the log says why nothing was sent there."""
    assert not evidence.dialled, f"{evidence.dialled} connections to a refused address"
    refused = {id_ for id_, hook in zip(evidence.hook_ids, evidence.plan.hooks, strict=True) if hook.refused}
    for delivery in itertools.chain(*evidence.deliveries):
        if delivery["webhook_id"] in refused:
            others = {attempt["outcome"] for attempt in delivery["attempts"]} - {"blocked"}
            assert not others, f"{delivery['id']}: attempts at a refused address were {others}, not blocked"


def log_and_ledger_agree(evidence: Evidence) -> None:
    """Every attempt in the log arrived, with the outcome that the log says; every arrival is in the log, but for one a
    delivery and fault, whose outcome was unknown when its process died or froze. So a receiver sees a duplicate only
    there.
    """
    refused = {id_ for id_, hook in zip(evidence.hook_ids, evidence.plan.hooks, strict=True) if hook.refused}
    for delivery in itertools.chain(*evidence.deliveries):
        if delivery["webhook_id"] in refused:
            continue  # nothing arrives there
        arrivals = evidence.arrivals(delivery)
        unlogged = _without_logged(arrivals, delivery["attempts"], _slack_s(evidence))
        explained: set[Fault] = set()
        for arrival in unlogged:
            faults = [one for one in evidence.faults if _was_under_way(arrival, arrivals, one, evidence)]
            assert faults, f"{delivery['id']}: the arrival at {arrival.at} is not in the log, and no fault explains it"
            left = [fault for fault in faults if fault not in explained]
            assert left, f"{delivery['id']} was under way more than once at {faults}"
            explained.add(left[0])
        if evidence.plan.quiet:
            assert not unlogged, f"{delivery['id']}: nothing was under way at the fault, and yet it was sent twice"


def _was_under_way(arrival: Arrival, all_of_it: list[Arrival], fault: Fault, evidence: Evidence) -> bool:
    """Whether the arrival's outcome may have been unknown to a process when it died or froze."""
    last = fault.at + _LATE_S if fault.until is None else fault.until + _WAKE_S
    return (
        fault.process in evidence.plan.shape.senders
        and arrival.at <= last
        and (arrival.answered_at or arrival.at) >= fault.at - _SETTLE_S
        and not any(arrival.at < other.at <= fault.at for other in all_of_it)
    )


def _without_logged(arrivals: list[Arrival], attempts: list[Json], slack_s: float) -> list[Arrival]:
    """The arrivals that no attempt in the log stands for. Attempts stand, in order, each for the first one that came
    while it was made and was answered as it says.
    """
    left = list(arrivals)
    behind = -math.inf
    for attempt in sorted(attempts, key=lambda attempt: attempt["n"]):
        start = parse_rfc3339(attempt["started_at"]) / 1000
        end = start + attempt["duration_ms"] / 1000
        own = [
            arrival
            for arrival in left
            if start - slack_s <= arrival.at <= end + _ASIDE_S
            and arrival.answered == attempt["status_code"]
            and arrival.at > behind
        ]
        assert own, (
            f"attempt {attempt['n']} at {start} stands for none of {[(one.at, one.answered) for one in arrivals]}"
        )
        behind = own[0].at
        left.remove(own[0])
    return left


def _slack_s(evidence: Evidence) -> float:
    return _SLACK_S[evidence.plan.shape.on_postgres]


def attempts_keep_to_the_schedule(evidence: Evidence) -> None:
    """A fault costs no retry and adds none: the log holds the failures that the receiver gave and at most one success,
    numbered from 1, none earlier than the schedule has it.
    """
    numbers = {id_: number for number, id_ in evidence.ids.items()}
    for delivery in itertools.chain(*evidence.deliveries):
        hook = evidence.hook_ids.index(delivery["webhook_id"])
        attempts = sorted(delivery["attempts"], key=lambda attempt: attempt["n"])
        assert [attempt["n"] for attempt in attempts] == list(range(1, len(attempts) + 1))
        failed = attempts[:-1] if delivery["status"] == "succeeded" else attempts
        assert all(attempt["outcome"] != "succeeded" for attempt in failed), f"{delivery['id']} went on after a success"
        assert len(failed) == len(attempts) or attempts[-1]["outcome"] == "succeeded", f"{delivery['id']} never did"
        most = evidence.plan.most_attempts(hook, numbers[delivery["event_id"]])
        assert len(attempts) <= most, f"{delivery['id']} had {len(attempts)} attempts, {most} at most were due"
        if delivery["status"] == "failed":
            assert len(attempts) == most, f"{delivery['id']} was given up after {len(attempts)} of {most}"
        schedule_s = ACCOUNTS[evidence.plan.hooks[hook].account].schedule_s
        for (before, after), delay_s in zip(itertools.pairwise(attempts), schedule_s, strict=False):
            ended = parse_rfc3339(before["started_at"]) / 1000 + before["duration_ms"] / 1000
            early_s = ended + delay_s * RETRY_SCALE - parse_rfc3339(after["started_at"]) / 1000
            assert early_s <= _slack_s(evidence), f"{delivery['id']}: attempt {after['n']} came {early_s:.3f} s early"


def work_resumes(evidence: Evidence) -> None:
    """Where others can go on, what rested because of a fault arrives again soon after. Where a process is alone, it is
    its restart that is waited for, which is not its own to hasten.
    """
    if len(evidence.plan.shape.senders) > 1:
        assert longest_gap_s(evidence) <= RESUME_S, f"work rested for {longest_gap_s(evidence):.1f} s"


def longest_gap_s(evidence: Evidence) -> float:
    """How long anything rested because of a fault: what was accepted before it and not taken yet, until its next
    arrival; what was accepted while others may not have taken over, until its first. From the latest fault, where one
    follows so soon that the first one's work could rest with it.
    """
    accepted = {receipts[0].id: receipts[0].at for receipts in evidence.receipts.values()}
    longest = 0.0
    for delivery, fault in itertools.product(itertools.chain(*evidence.deliveries), evidence.faults):
        arrivals = evidence.arrivals(delivery)
        since = max(fault.at, accepted[delivery["event_id"]])
        if since > fault.at + RESUME_S or any(one.ok and one.at <= since for one in arrivals):
            continue
        following = [one.at for one in arrivals if one.at > since]
        for later in sorted(one.at for one in evidence.faults):
            if since < later <= min([since + RESUME_S, *following[:1]]):
                since = later
        if following:
            longest = max(longest, following[0] - since)
    return longest


def oldest_unwritten_s(evidence: Evidence) -> float:
    """Of the outcomes that were lost at a kill, how long before it the oldest was told."""
    oldest = 0.0
    refused = {id_ for id_, hook in zip(evidence.hook_ids, evidence.plan.hooks, strict=True) if hook.refused}
    for delivery in itertools.chain(*evidence.deliveries):
        if delivery["webhook_id"] not in refused:
            arrivals = evidence.arrivals(delivery)
            for lost in _without_logged(arrivals, delivery["attempts"], _slack_s(evidence)):
                told_at = lost.answered_at or lost.at
                oldest = max([oldest, *(fault.at - told_at for fault in evidence.faults if fault.at > told_at)][:2])
    return oldest


def it_died_where_it_should(evidence: Evidence) -> None:
    """The traces that a kill at this failpoint leaves are there: a drill without them has shown nothing."""
    assert evidence.faults, "the failpoint was never reached"
    refused = {id_ for id_, hook in zip(evidence.hook_ids, evidence.plan.hooks, strict=True) if hook.refused}
    logged = [one for one in itertools.chain(*evidence.deliveries) if one["webhook_id"] not in refused]
    repeated = sum(map(len, evidence.ledger)) - sum(len(delivery["attempts"]) for delivery in logged)
    told_duplicate = sum(receipt.duplicate for receipts in evidence.receipts.values() for receipt in receipts)
    match evidence.plan.failpoint:
        case "after_send" | "before_settle" if not refused:
            assert repeated, "nothing was under way at the kill"
        case "after_commit":
            assert told_duplicate, "nobody had to ask again for an event that was durable already"
        case "before_commit" if evidence.plan.quiet:
            assert not told_duplicate, "the event was durable before its commit"
        case _:
            pass


def _states(evidence: Evidence) -> dict[tuple[str, str], str]:
    """How each delivery ends, by event and webhook."""
    return {
        (evidence.ids[number], id_): evidence.plan.state(hook, number)
        for hook, id_ in enumerate(evidence.hook_ids)
        for number in evidence.plan.wanted(hook)
    }
