"""Paces: how fast a service may be written to, shared by all webhooks with one token or one chat.

    share.may_start ──▶ started ──▶ ended          throttle: nothing before that instant, and less in a window
          └─no─▶ wait: a place in the line of the pace that is in the way; its first one looks again when it is free

A place in a window is taken from an attempt's start until a window after its end: wherever in between the service
counted it, no window of the service's holds more than `count`. Pure: no clock, no waiting; `turns` does both.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

from tocsin.channels.chat import PaceRule
from tocsin.clock import Millis
from tocsin.model import WebhookId

# A service asks for seconds or minutes. What asks for more than a day is not believed.
HOLD_MAX_S = 86_400.0

# A service that keeps saying stop, with nothing taken in between, is left alone for at least so long, longer each time:
# an attempt every five minutes fills nobody's log, and is soon enough once it is well.
_PATIENCE_S = (0.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 300.0)

_NEVER = Millis(1 << 62)
_EVER = Millis(0)


class Paces:
    """Those of this process, by key."""

    def __init__(self) -> None:
        self.called: deque[WebhookId] = deque()  # whose turn may have come: the keeper of the lanes looks at them
        self._paces: dict[str, _Pace] = {}
        self._unused: set[str] = set()  # without members: forgotten once there is nothing to remember of them

    def __len__(self) -> int:
        return len(self._paces)

    def share(self, who: WebhookId, rules: Sequence[PaceRule], now: Millis, since: Millis = _EVER) -> "Share":
        """A webhook's part in the paces of its address. Of a webhook one at a time; the one before is closed first.

        Args:
            since: what others sent before is not known; so the first window counts as half used.
        """
        return Share(self, who, tuple(rules), [self._pace(rule, now, since) for rule in rules])

    def note(self, rules: Iterable[PaceRule], now: Millis) -> None:
        """Counts a message that went out past the lanes, sent by hand."""
        for rule in rules:
            self._pace(rule, now).took(now)

    def throttle(self, keys: Iterable[str], wait_s: float, now: Millis) -> Millis:
        """The service said stop, for so long: from now on nothing is sent until then, and less in a window.

        Returns:
            When messages with these keys may go out again.
        """
        until = _after(wait_s, now)
        for pace in self._named(keys):
            until = max(until, pace.throttled(wait_s, now))
        return until

    def hold(self, keys: Iterable[str], wait_s: float, now: Millis) -> Millis:
        """The service said beforehand that it will take nothing for so long; until when."""
        until = _after(wait_s, now)
        for pace in self._named(keys):
            pace.held_until = max(pace.held_until, until)
        return until

    def members(self, keys: Iterable[str]) -> Sequence[WebhookId]:
        """The webhooks that share one of these."""
        return list(dict.fromkeys(who for pace in self._named(keys) for who in pace.members))

    def forget(self, now: Millis) -> None:
        """Drops what nobody has a share in and what says no more than a fresh one would."""
        for key in [key for key in self._unused if self._paces[key].quiet(now)]:
            self._unused.remove(key)
            del self._paces[key]

    def _named(self, keys: Iterable[str]) -> "list[_Pace]":
        return [self._paces[key] for key in dict.fromkeys(keys) if key in self._paces]

    def _pace(self, rule: PaceRule, now: Millis, since: Millis = _EVER) -> "_Pace":
        pace = self._paces.get(rule.key)
        if pace is None:
            pace = self._paces[rule.key] = _Pace(rule)
            self._unused.add(rule.key)
        if pace.since < since:  # also one that was kept here before others had it
            pace.since = since
            if now < since + pace.window_ms:
                pace.taken.extend([since] * (rule.count // 2))
        return pace

    def _joined(self, who: WebhookId, pace: "_Pace") -> None:
        pace.members[who] = None
        self._unused.discard(pace.key)

    def _left(self, who: WebhookId, pace: "_Pace") -> None:
        del pace.members[who]
        if not pace.members:
            self._unused.add(pace.key)


class Share:
    """A webhook's part in the paces of its address: it may start when all of them allow it, and in its turn.

    It waits at one pace at a time, the first that is in the way, behind those that came before. Having had its turn
    there it goes on to the next, as all others with these keys do: in one order, so nobody waits in a circle.
    """

    __slots__ = ("_at", "_pace_list", "_paces", "rules", "who")

    def __init__(self, paces: Paces, who: WebhookId, rules: tuple[PaceRule, ...], pace_list: "list[_Pace]") -> None:
        self.who = who
        self.rules = rules
        self._paces = paces
        self._pace_list = pace_list
        self._at = -1  # in which pace's line it stands
        for pace in pace_list:
            paces._joined(who, pace)  # noqa: SLF001 - two classes of one mechanism

    @property
    def held_until(self) -> Millis:
        """The service takes nothing before."""
        return max((pace.held_until for pace in self._pace_list), default=Millis(0))

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(rule.key for rule in self.rules)

    def may_start(self, now: Millis) -> bool:
        return self._in_the_way(now) is None

    def wait(self, now: Millis) -> Millis | None:
        """Stands in line, for one that may not start now but else would.

        Returns:
            When to look again. None: others are before it, or an attempt under way has to end first; it is `called`.
        """
        at = self._in_the_way(now)
        if at is None:
            return now
        if at != self._at:
            self.leave()
            self._at = at
            self._pace_list[at].line[self.who] = None
        pace = self._pace_list[at]
        free_at = pace.free_at(now)
        return free_at if pace.first == self.who and free_at < _NEVER else None

    def leave(self) -> None:
        """It has nothing to send, or is kept from it by something else. Who stood behind it is called."""
        if self._at < 0:
            return
        pace, self._at = self._pace_list[self._at], -1
        was_first = pace.first == self.who
        del pace.line[self.who]
        if was_first:
            self._call(pace)

    def started(self) -> None:
        self.leave()
        for pace in self._pace_list:
            pace.under_way += 1

    def ended(self, now: Millis, *, taken: bool) -> None:
        """Its attempt did; `taken`: the service may have counted it."""
        for pace in self._pace_list:
            pace.under_way -= 1
            if taken:
                pace.took(now)
            self._call(pace)

    def went_well(self) -> None:
        """The service took a message: what it said before about stopping is over."""
        for pace in self._pace_list:
            pace.refusals = 0

    def close(self) -> None:
        """Its webhook has another address from now on, or is forgotten. What is under way still ends here."""
        self.leave()
        for pace in self._pace_list:
            self._paces._left(self.who, pace)  # noqa: SLF001 - two classes of one mechanism

    def _in_the_way(self, now: Millis) -> int | None:
        for at, pace in enumerate(self._pace_list):
            if pace.free_at(now) > now:
                return at
            if pace.line and (at > self._at or (at == self._at and pace.first != self.who)):
                return at
        return None

    def _call(self, pace: "_Pace") -> None:
        if pace.line:
            self._paces.called.append(pace.first)


class _Pace:
    """One limit, as it stands."""

    __slots__ = (
        "count",
        "held_until",
        "key",
        "line",
        "members",
        "most",
        "refusals",
        "rises_at",
        "since",
        "taken",
        "under_way",
        "window_ms",
    )

    def __init__(self, rule: PaceRule) -> None:
        self.key = rule.key
        self.count = rule.count
        self.window_ms = -int(-rule.window_s * 1000 // 1)
        self.most = rule.count  # in a window, as far as the service was seen to take them
        self.rises_at = Millis(0)  # when it is tried whether one more is taken
        self.since = Millis(0)  # all that was sent from then on is known here
        self.taken: deque[Millis] = deque(maxlen=rule.count)  # ends of attempts; older ones can be in nobody's way
        self.under_way = 0
        self.held_until = Millis(0)
        self.refusals = 0  # in a row
        self.line: OrderedDict[WebhookId, None] = OrderedDict()
        self.members: dict[WebhookId, None] = {}

    @property
    def first(self) -> WebhookId:
        """Of the line, which is not empty."""
        return next(iter(self.line))

    def free_at(self, now: Millis) -> Millis:
        """When one more may start; `_NEVER`: not before one of those under way has ended."""
        self._catch_up(now)
        over = self.under_way + len(self.taken) - self.most
        if over < 0:
            return self.held_until
        if over >= len(self.taken):
            return _NEVER
        return max(self.held_until, Millis(self.taken[over] + self.window_ms))

    def took(self, now: Millis) -> None:
        self.taken.append(Millis(now + 1))  # an instant is cut to whole milliseconds: it may have been a little later

    def throttled(self, wait_s: float, now: Millis) -> Millis:
        self._catch_up(now)
        if now >= self.held_until:  # else another attempt of the same moment was told the same
            self.refusals += 1
            self.most = max(1, min(self.most, len(self.taken)))
        patience_s = _PATIENCE_S[min(self.refusals, len(_PATIENCE_S)) - 1]
        self.held_until = max(self.held_until, _after(max(wait_s, patience_s), now))
        self.rises_at = Millis(self.held_until + self.window_ms)
        return self.held_until

    def quiet(self, now: Millis) -> bool:
        """A fresh one would be the same."""
        self._catch_up(now)
        return (
            not self.taken
            and not self.under_way
            and self.held_until + 1000 * _PATIENCE_S[-1] <= now  # so long it counts how often it was told to stop
            and self.most == self.count
        )

    def _catch_up(self, now: Millis) -> None:
        while self.taken and self.taken[0] + self.window_ms <= now:
            self.taken.popleft()
        if self.most < self.count and now >= self.rises_at:
            windows = 1 + (now - self.rises_at) // self.window_ms
            self.most = min(self.count, self.most + windows)
            self.rises_at = Millis(self.rises_at + windows * self.window_ms)


def _after(wait_s: float, now: Millis) -> Millis:
    """At least a second where what was asked for is no span of time."""
    if not wait_s > 0:
        wait_s = 1.0
    return Millis(now - int(-min(wait_s, HOLD_MAX_S) * 1000 // 1) + 1)
