"""Paces that webhooks share: never more than a service takes, in turns, and learned from what it says."""

import heapq
import itertools
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.channels.chat import PaceRule
from tocsin.clock import Millis
from tocsin.engine.dispatching.paces import HOLD_MAX_S, Paces

NOW = Millis(1_767_225_600_000)

CHAT = PaceRule(key="chat", count=1, window_s=1)
GROUP = PaceRule(key="group", count=20, window_s=60)
BOT = PaceRule(key="bot", count=30, window_s=1)


@pytest.fixture
def paces():
    return Paces()


def at(seconds):
    return Millis(NOW + round(seconds * 1000))


def send(share, seconds=0.0):
    """A message that goes out and is taken in that instant."""
    assert share.may_start(at(seconds))
    share.started()
    share.ended(at(seconds), taken=True)


class Walk:
    """Lanes that always have something to send, kept as the dispatcher keeps them, through simulated time."""

    def __init__(self, paces, shares, take_ms):
        self.starts = []  # (when, who)
        self.arrivals = []  # when the service counted each
        self.looks = 0
        self._paces = paces
        self._shares = {share.who: share for share in shares}
        self._take_ms = take_ms
        self._now = NOW
        self._order = itertools.count()
        self._heap = []
        self._busy = {}
        for share in shares:
            self._look(share.who)
        self._look_at_called()

    def _look(self, who):
        self.looks += 1
        share = self._shares[who]
        if who in self._busy:
            share.leave()
        elif share.may_start(self._now):
            share.started()
            self.starts.append((self._now, who))
            takes, counted = self._take_ms()
            self._busy[who] = self._now + counted
            heapq.heappush(self._heap, (self._now + takes, next(self._order), "end", who))
        else:
            again_at = share.wait(self._now)
            if again_at is not None:
                assert again_at > self._now
                heapq.heappush(self._heap, (again_at, next(self._order), "look", who))

    def _look_at_called(self):
        while self._paces.called:
            self._look(self._paces.called.popleft())

    def until(self, end):
        while self._heap and self._heap[0][0] <= end:
            self._now, _, what, who = heapq.heappop(self._heap)
            if what == "end":
                self.arrivals.append(self._busy.pop(who))
                self._shares[who].ended(self._now, taken=True)
            self._look(who)
            self._look_at_called()


# --- limits -------------------------------------------------------------------------------------------------------


@given(
    rules=st.lists(st.tuples(st.integers(1, 7), st.sampled_from([0.5, 1.0, 3.0])), min_size=1, max_size=3),
    lanes=st.integers(1, 6),
    seed=st.integers(0, 1_000),
)
def test_no_window_holds_more_than_the_service_takes(rules, lanes, seed):
    """However long attempts take, and wherever between start and end the service counts them, it never sees more."""
    rng = random.Random(seed)

    def take_ms():
        takes = rng.choice([0, 1, 40, 700])
        return takes, rng.choice([0, takes, rng.randint(0, takes)])

    paces = Paces()
    kept = tuple(PaceRule(key=f"k{i}", count=count, window_s=window_s) for i, (count, window_s) in enumerate(rules))
    walk = Walk(paces, [paces.share(who, kept, NOW) for who in range(lanes)], take_ms)
    walk.until(NOW + 20_000)
    arrivals = sorted(walk.arrivals)
    for count, window_s in rules:
        for first, one_too_many in zip(arrivals, arrivals[count:], strict=False):
            assert one_too_many - first >= window_s * 1000
    slowest = min(count / (window_s + 1) for count, window_s in rules)  # an attempt takes 0.7 s at most
    assert len(arrivals) >= 19 * min(slowest, lanes)  # and what it takes is used


def test_a_message_under_way_takes_its_place(paces):
    """While an attempt is under way nobody knows when it is counted: the next waits for its end and a window more."""
    one, other = (paces.share(who, (CHAT,), NOW) for who in (1, 2))
    one.started()
    assert not other.may_start(at(5))
    assert other.wait(at(5)) is None
    one.ended(at(6), taken=True)
    assert list(paces.called) == [2]
    assert other.wait(at(6)) == at(7) + 1
    assert other.may_start(Millis(at(7) + 1))


def test_what_was_not_sent_takes_no_place(paces):
    """A delivery that was given back unsent, or that the service refused, leaves its place to the next."""
    one, other = (paces.share(who, (CHAT,), NOW) for who in (1, 2))
    one.started()
    other.wait(NOW)
    one.ended(NOW, taken=False)
    assert other.may_start(NOW)


def test_all_paces_of_an_address_hold(paces):
    """A chat of a bot keeps its own pace and the bot's; another chat of that bot only the bot's."""
    bot = PaceRule(key="bot", count=2, window_s=1)
    one = paces.share(1, (CHAT, bot), NOW)
    other = paces.share(2, (PaceRule(key="other", count=1, window_s=1), bot), NOW)
    send(one)
    assert not one.may_start(NOW)
    send(other)
    third = paces.share(3, (PaceRule(key="third", count=1, window_s=1), bot), NOW)
    assert not third.may_start(NOW)
    assert third.may_start(at(1.1))


def test_the_first_window_after_a_start_counts_as_half_used():
    """What was sent before a restart is not known: ten of twenty go out at once, the others a minute after it."""
    paces = Paces()
    share = paces.share(1, (GROUP,), at(30), since=NOW)
    for _ in range(10):
        send(share, 30)
    assert not share.may_start(at(59.9))
    assert share.may_start(at(60))


def test_what_is_sent_by_hand_is_counted(paces):
    """A test takes a place, also of a chat that no lane has written to yet."""
    paces.note((CHAT,), NOW)
    share = paces.share(1, (CHAT,), NOW)
    assert not share.may_start(at(0.9))
    assert share.may_start(at(1.1))


# --- turns --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lanes", [2, 7, 50])
def test_lanes_of_one_key_take_turns(paces, lanes):
    """Everybody comes equally often, whoever came first."""
    walk = Walk(paces, [paces.share(who, (CHAT, BOT), NOW) for who in range(lanes)], lambda: (20, 10))
    walk.until(NOW + 400_000)
    turns = Counter(who for _, who in walk.starts)
    assert len(turns) == lanes
    assert max(turns.values()) - min(turns.values()) <= 1


def test_nobody_starves_where_paces_overlap(paces):
    """A hundred chats of a bot that is the bottleneck: all come, some shared by several, in about equal turns."""
    bot = PaceRule(key="bot", count=5, window_s=1)
    shares = [paces.share(who, (PaceRule(key=f"chat{who % 80}", count=1, window_s=1), bot), NOW) for who in range(100)]
    walk = Walk(paces, shares, lambda: (15, 15))
    walk.until(NOW + 400_000)
    turns = Counter(who for _, who in walk.starts)
    assert len(turns) == 100
    assert min(turns.values()) >= 0.5 * sum(turns.values()) / 100
    assert sum(turns.values()) >= 0.9 * 5 * 400 / 1.02


def test_a_free_place_wakes_one_lane_not_all(paces):
    """A thousand lanes that wait for one chat cost a few looks for each message, not a thousand."""
    walk = Walk(paces, [paces.share(who, (CHAT,), NOW) for who in range(1_000)], lambda: (20, 10))
    before, looks_before = len(walk.starts), walk.looks
    walk.until(NOW + 100_000)
    assert len(walk.starts) - before >= 95
    assert (walk.looks - looks_before) / (len(walk.starts) - before) < 5


def test_who_leaves_the_line_calls_the_next(paces):
    """A lane that is held, or has nothing left, does not keep those behind it waiting."""
    one, other, third = (paces.share(who, (CHAT,), NOW) for who in (1, 2, 3))
    send(one)
    assert other.wait(NOW) is not None
    assert third.wait(NOW) is None
    other.leave()
    assert list(paces.called) == [3]
    assert third.wait(NOW) == at(1) + 1
    third.close()
    assert one.may_start(at(1.1))


def test_who_comes_late_stands_behind_those_who_wait(paces):
    """A place that has just become free belongs to the first in the line, not to whoever asks first."""
    one, other, late = (paces.share(who, (CHAT,), NOW) for who in (1, 2, 3))
    send(one)
    other.wait(NOW)
    assert not late.may_start(at(2))
    assert other.may_start(at(2))


# --- what the service says ----------------------------------------------------------------------------------------


def test_throttled_holds_all_with_that_key_and_nobody_else(paces):
    """Nothing goes out before the service said so, by any webhook with that token; another token's are free."""
    one, other = (paces.share(who, (CHAT, BOT), NOW) for who in (1, 2))
    apart = paces.share(3, (PaceRule(key="elsewhere", count=1, window_s=1),), NOW)
    until = paces.throttle(("bot",), 7.25, NOW)
    assert until >= at(7.25)
    assert sorted(paces.members(("bot",))) == [1, 2]
    for share in (one, other):
        assert not share.may_start(at(7.249))
        assert share.held_until == until
    assert one.may_start(until)
    assert apart.may_start(NOW)


def test_a_pause_asked_for_beforehand_teaches_nothing(paces):
    """The service says that its bucket is empty: it is waited for, and no less is sent afterwards."""
    share = paces.share(1, (GROUP,), NOW)
    send(share)
    until = paces.hold(("group",), 2.5, NOW)
    assert not share.may_start(at(2.4))
    for _ in range(19):
        send(share, (until - NOW) / 1000)


def test_it_learns_how_much_is_really_taken(paces):
    """Seven were taken when the service said stop: seven a window from then on, and one more with each that passes."""
    share = paces.share(1, (GROUP,), NOW)
    for _ in range(7):
        send(share)
    share.started()
    until = paces.throttle(("group",), 5, NOW)
    share.ended(NOW, taken=False)
    assert not share.may_start(until)  # seven in this window already
    second = (until - NOW) / 1000 + 60.0
    for _ in range(8):  # one window has passed well
        send(share, second)
    assert not share.may_start(at(second))
    third = second + 61
    for _ in range(9):
        send(share, third)
    assert not share.may_start(at(third))
    hours = third + 3_600
    for _ in range(20):  # never more than the service documents
        send(share, hours)
    assert not share.may_start(at(hours))


def test_one_message_is_always_tried(paces):
    """A service that takes nothing at all is still asked, one message at a time."""
    share = paces.share(1, (GROUP,), NOW)
    until = paces.throttle(("group",), 1, NOW)
    share.started()
    assert not share.may_start(until)
    share.ended(until, taken=False)
    assert share.may_start(until)


def test_a_service_that_only_says_stop_is_asked_ever_more_rarely(paces):
    """Refusal after refusal, the pause grows to five minutes; a message that is taken ends that."""
    share = paces.share(1, (CHAT,), NOW)
    waits, now = [], NOW
    for _ in range(14):
        until = paces.throttle(("chat",), 1, now)
        waits.append((until - now) // 1000)
        now = until
    assert waits[:5] == [1, 2, 4, 8, 16]
    assert waits[-1] == 300
    share.went_well()
    assert (paces.throttle(("chat",), 1, now) - now) // 1000 == 1


def test_one_burst_counts_as_one_refusal(paces):
    """Several attempts under way are told to stop in the same moment: that is one lesson, not several."""
    share = paces.share(1, (GROUP,), NOW)
    for _ in range(9):
        send(share)
    for _ in range(5):
        until = paces.throttle(("group",), 1, NOW)
    assert until <= at(1) + 1
    assert paces.throttle(("group",), 1, until) - until <= 2_001


@pytest.mark.parametrize("wait_s", [0.0, -3.0, float("nan"), float("inf"), 1e12])
def test_nonsense_is_no_instant(paces, wait_s):
    """What is no span of time, or one of years, holds for a second at least and a day at most."""
    share = paces.share(1, (CHAT,), NOW)
    until = paces.throttle(("chat",), wait_s, NOW)
    assert at(1) <= until <= at(HOLD_MAX_S) + 1
    assert not share.may_start(Millis(until - 1))


def test_unknown_keys_hold_nobody(paces):
    """A key that no webhook here has is waited for by the delivery that met it, and by nobody else."""
    share = paces.share(1, (CHAT,), NOW)
    assert paces.throttle(("nobody",), 3, NOW) >= at(3)
    assert paces.members(("nobody",)) == []
    assert share.may_start(NOW)


# --- memory -------------------------------------------------------------------------------------------------------


def test_paces_that_say_nothing_are_forgotten(paces):
    """Ten thousand chats that were written to and are gone leave nothing behind; who is held is remembered."""
    for who in range(10_000):
        share = paces.share(who, (PaceRule(key=f"chat{who}", count=20, window_s=60),), NOW)
        send(share)
        share.close()
    held = paces.share(1, (CHAT,), NOW)
    paces.throttle(("chat",), 10_000, NOW)
    held.close()
    paces.forget(at(1))
    assert len(paces) == 10_001
    paces.forget(at(1_000))
    assert len(paces) == 1
    paces.forget(at(20_000))
    assert len(paces) == 0


def test_an_attempt_that_outlives_its_address_ends_where_it_began(paces):
    """The webhook's address changes while a message is under way: its place is given back, and then forgotten."""
    share = paces.share(1, (CHAT,), NOW)
    share.started()
    share.close()
    paces.forget(at(3_600))
    assert len(paces) == 1
    share.ended(at(3_600), taken=True)
    paces.forget(at(7_200))
    assert len(paces) == 0
