"""Lanes and their rotation: what may start, whose turn it is, and how a lane learns what its receiver bears."""

from collections import Counter

import pytest

from tocsin.clock import Millis
from tocsin.engine.dispatching.lanes import (
    BUFFER,
    DEFAULT_MAX_IN_FLIGHT,
    FOREVER,
    MIN_IN_FLIGHT,
    START_IN_FLIGHT,
    Lane,
    Rotation,
)
from tocsin.model import Outcome, OutcomeKind, Webhook, WebhookSettings, WebhookState
from tocsin.store.port import Claimed

NOW = Millis(1_767_225_600_000)
OK = Outcome(kind=OutcomeKind.SUCCEEDED, status_code=200)
TIMEOUT = Outcome(kind=OutcomeKind.TIMEOUT)
ERROR = Outcome(kind=OutcomeKind.HTTP_ERROR, status_code=500)


def webhook(*, state=WebhookState.ACTIVE, muted_until=None, **settings):
    return Webhook(
        id=1,
        account_id=1,
        version=1,
        from_config=1,
        state=state,
        status_reason=None,
        status_since=NOW,
        muted_until=muted_until,
        settings=WebhookSettings(url_shown="https://example.com", events=("*",), **settings),
        sealed=b"",
        created_at=NOW,
        updated_at=NOW,
    )


def claimed(number=1):
    return Claimed(
        id=number,
        event_id=number,
        webhook_id=1,
        account_id=1,
        type="t",
        timestamp=NOW,
        data=b"{}",
        attempts=0,
        tries=0,
        claim_count=1,
    )


def lane(account_id=1, webhook_id=1):
    return Lane(webhook_id, account_id)


def run(a_lane, outcome):
    a_lane.started(NOW)
    a_lane.ended(outcome)


def test_a_lane_starts_small_and_earns_its_full_width():
    """Each success adds a place, up to what the webhook's owner allows."""
    a_lane = lane()
    assert a_lane.limit == START_IN_FLIGHT
    for _ in range(100):
        run(a_lane, OK)
    assert a_lane.limit == DEFAULT_MAX_IN_FLIGHT


def test_a_hanging_receiver_is_cut_down_and_recovers():
    """Timeouts halve the places down to a few; successes bring them back and it counts as well again."""
    a_lane = lane()
    for _ in range(10):
        run(a_lane, TIMEOUT)
    assert (a_lane.limit, a_lane.unwell) == (MIN_IN_FLIGHT, True)
    for _ in range(START_IN_FLIGHT):
        run(a_lane, OK)
    assert not a_lane.unwell


def test_an_error_answer_says_nothing_about_load():
    """A receiver that answers 500 at once is not slow: it keeps its places."""
    a_lane = lane()
    run(a_lane, ERROR)
    assert (a_lane.limit, a_lane.unwell) == (START_IN_FLIGHT, False)


def test_places_are_reserved_up_to_the_buffer_only():
    """Beyond what can be sent soon, events go into the store."""
    a_lane = lane()
    assert sum(a_lane.reserve(NOW) for _ in range(1000)) == START_IN_FLIGHT + BUFFER


def test_nothing_overtakes_a_stored_backlog():
    """While deliveries of the lane wait in the store, new ones queue up behind them there."""
    a_lane = lane()
    a_lane.stored(NOW)
    assert not a_lane.reserve(NOW)


def test_a_disabled_or_muted_webhook_holds_its_lane():
    """Held means: nothing is reserved, started or claimed until it ends."""
    a_lane = lane()
    a_lane.configure(webhook(state=WebhookState.DISABLED))
    assert a_lane.held_until == FOREVER
    assert not a_lane.reserve(NOW)  # nothing waits yet: it is the hold that refuses
    a_lane.stored(NOW)
    assert not a_lane.may_start(NOW)
    assert a_lane.wanted(NOW) == 0
    a_lane.configure(webhook(muted_until=Millis(NOW + 10)))
    assert not a_lane.may_start(NOW)
    assert a_lane.may_start(Millis(NOW + 10))
    assert a_lane.wanted(Millis(NOW + 10)) > 0


def test_a_rate_limit_spaces_the_starts():
    """Four a second are one every 250 ms, with no burst at the beginning."""
    a_lane = lane()
    a_lane.configure(webhook(rate_limit=4))
    starts = []
    for ms in range(1000):
        at = Millis(NOW + ms)
        if a_lane.may_start(at):
            a_lane.started(at)
            a_lane.ended(OK)
            starts.append(ms)
    assert starts == [0, 250, 500, 750]


def test_max_in_flight_is_never_exceeded():
    """The owner's limit holds from the first delivery on and however well the receiver does."""
    a_lane = lane()
    a_lane.configure(webhook(max_in_flight=2))
    for _ in range(10):
        run(a_lane, OK)
    a_lane.started(NOW)
    assert a_lane.may_start(NOW)
    a_lane.started(NOW)
    assert not a_lane.may_start(NOW)


def test_a_claim_takes_no_more_than_can_be_sent_soon():
    """A backlog of millions is read a few at a time."""
    a_lane = lane()
    a_lane.stored(NOW)
    assert a_lane.wanted(NOW) == 2 * START_IN_FLIGHT
    for number in range(2 * START_IN_FLIGHT):
        a_lane.queue.append(claimed(number))
    assert a_lane.wanted(NOW) == 0


def test_accounts_take_turns_however_many_lanes_each_has():
    """An account with a hundred busy webhooks gets as many turns as one with a single webhook."""
    rotation, turns = Rotation(), Counter()
    big = [lane(account_id=1, webhook_id=number) for number in range(100)]
    small = lane(account_id=2, webhook_id=1000)
    for one in (*big, small):
        rotation.add(one)
    for _ in range(200):
        one = rotation.next()
        turns[one.account_id] += 1
        rotation.add(one)
    assert turns == {1: 100, 2: 100}


def test_lanes_of_one_account_take_turns():
    """Within an account nobody is passed over."""
    rotation, turns = Rotation(), Counter()
    for number in range(5):
        rotation.add(lane(webhook_id=number))
    for _ in range(50):
        one = rotation.next()
        turns[one.webhook_id] += 1
        rotation.add(one)
    assert set(turns.values()) == {10}


def test_a_lane_that_nothing_is_known_of_may_be_forgotten():
    """Memory follows the lanes at work, not the webhooks there are."""
    a_lane = lane()
    assert a_lane.idle
    a_lane.stored(NOW)
    assert not a_lane.idle


def test_a_run_of_failures_begins_with_the_earliest_attempt_after_the_last_success():
    """Attempts end in another order than they started; what started before a success and failed after it proves
    nothing about the time before.
    """
    a_lane = lane()
    assert a_lane.failed(Millis(20), Millis(25))
    assert a_lane.failed(Millis(10), Millis(30))
    assert not a_lane.failed(Millis(15), Millis(35))
    assert (a_lane.unbroken_since, a_lane.failing_since) == (10, 25)
    assert not a_lane.idle
    assert a_lane.succeeded(Millis(40))
    assert not a_lane.succeeded(Millis(50))
    assert (a_lane.unbroken_since, a_lane.failing_since) == (None, None)
    assert a_lane.failed(Millis(45), Millis(60))
    assert a_lane.unbroken_since == 50


def test_enabling_begins_the_days_of_failing_anew_but_is_no_success():
    """The owner gets the whole span again; whether anything succeeded meanwhile is another question."""
    a_lane = lane()
    a_lane.failed(Millis(10), Millis(20))
    a_lane.configure(webhook())
    assert (a_lane.unbroken_since, a_lane.failing_since) == (10, None)
    assert not a_lane.idle
    assert a_lane.failed(Millis(NOW + 5), Millis(NOW + 6))
    assert (a_lane.unbroken_since, a_lane.failing_since) == (10, NOW + 6)


@pytest.mark.parametrize("under_way", [1, 2, 3, 5, 64])
def test_a_lane_with_more_under_way_than_it_may_have_claims_nothing(under_way: int):
    """After its limit was lowered a lane asks for no negative number, which would read as "nothing waits"."""
    a_lane = lane()
    a_lane.max_in_flight = a_lane.limit = 1
    a_lane.in_flight = under_way
    a_lane.stored(NOW)
    assert a_lane.wanted(NOW) == (1 if under_way == 1 else 0)
