"""What must hold of the evidence of any drill, each as one function that says what is broken."""

import itertools
import math
from collections import Counter

from tests.faults.drill import Evidence
from tests.support.api import Json
from tests.support.receiver import Arrival
from tocsin.clock import parse_rfc3339

# An attempt's instants are whole milliseconds, cut off; receiver and server share the machine's clock.
_SLACK_S = 0.003

# How long an outcome may wait to be written: if it was sent earlier than this before a kill, it was durable by then.
_SETTLE_S = 2.0


def check_all(evidence: Evidence) -> None:
    every_publisher_has_one_id(evidence)
    nothing_accepted_is_lost_and_nothing_is_made_twice(evidence)
    every_delivery_has_one_final_state(evidence)
    every_signature_verifies(evidence)
    ids_are_stable(evidence)
    log_and_ledger_agree(evidence)
    attempts_keep_to_the_schedule(evidence)
    it_died_where_it_should(evidence)


def every_publisher_has_one_id(evidence: Evidence) -> None:
    """However often an event was posted, its publisher was told one id, and at most once that it is new."""
    for number in range(evidence.plan.events):
        answers = evidence.answers[number]
        assert len({id_ for id_, _ in answers}) == 1, f"event {number} has been answered with {answers}"
        assert sum(not duplicate for _, duplicate in answers) <= 1, f"event {number} was new twice: {answers}"


def nothing_accepted_is_lost_and_nothing_is_made_twice(evidence: Evidence) -> None:
    """The API lists exactly the events that were answered for, and each webhook has taken each of them."""
    listed = Counter(event["id"] for event in evidence.events)
    assert listed == Counter(_ids(evidence).values()), "events listed and events answered for differ"
    for webhook, ledger in enumerate(evidence.ledger):
        taken = {arrival.id for arrival in ledger if arrival.ok}
        assert taken == set(listed), f"webhook {webhook} lacks {set(listed) - taken}, has extra {taken - set(listed)}"


def every_delivery_has_one_final_state(evidence: Evidence) -> None:
    """There is one delivery for each event and webhook, and it has succeeded."""
    pairs = Counter((delivery["event_id"], delivery["webhook_id"]) for delivery in evidence.deliveries)
    ids = _ids(evidence).values()
    assert pairs == Counter((id_, webhook) for id_ in ids for webhook in evidence.webhook_ids)
    assert {delivery["status"] for delivery in evidence.deliveries} == {"succeeded"}


def every_signature_verifies(evidence: Evidence) -> None:
    faults = [arrival.fault for ledger in evidence.ledger for arrival in ledger if not arrival.verified]
    assert not faults, f"{len(faults)} arrivals do not verify: {faults[:3]}"


def ids_are_stable(evidence: Evidence) -> None:
    """Whatever arrives for an event carries the id that its publisher was told."""
    ids = _ids(evidence)
    for ledger in evidence.ledger:
        for arrival in ledger:
            assert arrival.id == ids[arrival.data["number"]]


def log_and_ledger_agree(evidence: Evidence) -> None:
    """Every attempt in the log arrived, with the outcome that the log says; every arrival is in the log, but for one a
    delivery and kill, whose outcome was unknown when the server died. So a receiver sees a duplicate only there.
    """
    for delivery in evidence.deliveries:
        ledger = evidence.ledger[evidence.webhook_ids.index(delivery["webhook_id"])]
        arrivals = [arrival for arrival in ledger if arrival.id == delivery["event_id"]]
        unlogged = _without_logged(arrivals, delivery["attempts"])
        for arrival in unlogged:
            fatal = [at for at in evidence.killed_at if 0 <= at - arrival.at <= _SETTLE_S]
            assert fatal, f"{delivery['id']}: the arrival at {arrival.at} is not in the log, and no kill explains it"
            after = [other for other in arrivals if arrival.at < other.at <= fatal[0]]
            assert not after, f"{delivery['id']} was sent again before the kill, at {arrival.at} and again"
        if evidence.plan.quiet:
            assert not unlogged, f"{delivery['id']}: nothing was under way at the kill, and yet it was sent twice"


def _without_logged(arrivals: list[Arrival], attempts: list[Json]) -> list[Arrival]:
    """The arrivals that no attempt in the log stands for: an attempt stands for the first one after its start."""
    left = list(arrivals)
    ordered = sorted(attempts, key=lambda attempt: attempt["n"])
    starts = [parse_rfc3339(attempt["started_at"]) / 1000 - _SLACK_S for attempt in ordered] + [math.inf]
    for attempt, (start, end) in zip(ordered, itertools.pairwise(starts), strict=True):
        own = next((arrival for arrival in left if start <= arrival.at < end), None)
        assert own, f"attempt {attempt['n']} at {start} stands for none of {[arrival.at for arrival in arrivals]}"
        assert attempt["status_code"] == own.answered, f"attempt {attempt['n']} was answered {own.answered}"
        left.remove(own)
    return left


def attempts_keep_to_the_schedule(evidence: Evidence) -> None:
    """A crash costs no retry: the log holds the failures that the receiver gave and one success, numbered from 1."""
    numbers = {id_: number for number, id_ in _ids(evidence).items()}
    for delivery in evidence.deliveries:
        attempts = sorted(delivery["attempts"], key=lambda attempt: attempt["n"])
        assert [attempt["n"] for attempt in attempts] == list(range(1, len(attempts) + 1))
        assert [attempt["outcome"] for attempt in attempts[:-1]] == ["http_error"] * (len(attempts) - 1)
        assert attempts[-1]["outcome"] == "succeeded"
        pair = evidence.webhook_ids.index(delivery["webhook_id"]), numbers[delivery["event_id"]]
        assert len(attempts) <= evidence.plan.failures.get(pair, 0) + 1


def it_died_where_it_should(evidence: Evidence) -> None:
    """The traces that a kill at this failpoint leaves are there: a drill without them has shown nothing."""
    assert evidence.killed_at, "the failpoint was never reached"
    repeated = sum(map(len, evidence.ledger)) - sum(len(delivery["attempts"]) for delivery in evidence.deliveries)
    told_duplicate = sum(duplicate for answers in evidence.answers.values() for _, duplicate in answers)
    match evidence.plan.failpoint:
        case "after_send" | "before_settle":
            assert repeated, "nothing was under way at the kill"
        case "after_commit":
            assert told_duplicate, "nobody had to ask again for an event that was durable already"
        case "before_commit" if evidence.plan.quiet:
            assert not told_duplicate, "the event was durable before its commit"
        case _:
            pass


def _ids(evidence: Evidence) -> dict[int, str]:
    return {number: answers[0][0] for number, answers in evidence.answers.items()}
