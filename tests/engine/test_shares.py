"""Shares: no account can take from the others what there is only so much of."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.engine.dispatching.lanes import Lane
from tocsin.engine.dispatching.shares import Shares, Short


def take_all(shares: Shares, account_id: int) -> int:
    taken = 0
    while n := shares.room(account_id):
        shares.take(account_id, n)
        taken += n
    return taken


@pytest.mark.parametrize("accounts", [1, 2, 4, 9])
def test_each_gets_as_much_as_is_left_for_the_next(accounts: int) -> None:
    """Whatever many take one by one, the next one finds as much as each of them has."""
    shares = Shares(1_000)
    while any(shares.room(account) for account in range(accounts)):
        for account in range(accounts):
            if shares.room(account):
                shares.take(account)
    assert {shares.of(account) for account in range(accounts)} <= {1_000 // (accounts + 1), 1_000 // (accounts + 1) + 1}
    assert shares.room(accounts) > 0
    assert take_all(shares, accounts) >= 1_000 // (accounts + 1) // 2


def test_one_that_comes_first_leaves_half() -> None:
    """However greedily it takes."""
    shares = Shares(64)
    assert take_all(shares, 1) == 32
    assert take_all(shares, 2) == 16
    shares.give(1, 30)
    assert shares.room(2) > 0
    assert shares.free


def test_the_last_one_is_given() -> None:
    """Where hardly anything is left, an account that has nothing may still have it; one that has some may not."""
    shares = Shares(2)
    shares.take(1)
    assert (shares.room(1), shares.room(2)) == (0, 1)
    shares.take(2)
    assert not shares.free
    assert (shares.room(2), shares.room(3)) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9), st.booleans()), max_size=200))
def test_what_is_free_and_taken_add_up(moves: list[tuple[int, int, bool]]) -> None:
    """Nothing is given twice or lost, and who has more than what is free gets nothing."""
    shares = Shares(40)
    has: Counter[int] = Counter()
    for account, n, back in moves:
        if back and has[account]:
            shares.give(account, min(n, has[account]))
            has[account] -= min(n, has[account])
        elif not back and (room := shares.room(account)):
            shares.take(account, min(n, room))
            has[account] += min(n, room)
        assert shares.taken == sum(has.values()) <= 40
        for one in range(6):
            assert shares.of(one) == has[one]
            assert (shares.room(one) > 0) == (has[one] < 40 - shares.taken)


def test_those_that_wait_take_turns_by_account() -> None:
    """One account's many lanes do not come before another's one; who may not yet is asked again later."""
    allowed = {1, 2}
    short = Short(lambda lane: lane.account_id in allowed)
    for webhook_id, account_id in ((10, 1), (11, 1), (12, 1), (20, 2), (30, 3)):
        short.add(Lane(webhook_id, account_id))
        short.add(Lane(webhook_id, account_id))
    assert [lane and lane.webhook_id for lane in (short.next(), short.next(), short.next(), short.next())] == [
        10,
        20,
        11,
        12,
    ]
    assert short.next() is None
    assert short
    allowed.add(3)
    found = short.next()
    assert found is not None
    assert found.webhook_id == 30
    assert not short


def test_a_lane_that_is_taken_away_waits_no_longer() -> None:
    """Also the last one of its account."""
    short = Short(lambda _: True)
    one, other = Lane(1, 1), Lane(2, 1)
    short.add(one)
    short.discard(other)
    short.discard(one)
    assert not short
    assert short.next() is None
    short.add(one)
    short.clear()
    assert not short


def test_accounts_behind_many_that_must_wait_are_reached() -> None:
    """Each time some are asked, and the next time those behind them."""
    short = Short(lambda lane: lane.account_id == 100)
    for account_id in range(101):
        short.add(Lane(account_id, account_id))
    found = [lane for lane in (short.next() for _ in range(10)) if lane]
    assert [lane.account_id for lane in found] == [100]
