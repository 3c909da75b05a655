"""Whose turn it is: looks at what each lane can do next, and lets it start, claim, or wait for its time.

    schedule ──┬─▶ rotation ──pump──▶ attempts    something waits in memory
               ├─▶ claims                         something waits in the store
               ├─▶ alarms ──tick──▶ schedule      it is not due yet, or the lane is held
               └─▶ paces ──called──▶ schedule     others are before it at a pace that they share

Lanes that could start, but for a place, or claim, but for memory, stand aside until some is given back.
"""

import random
from collections.abc import Sequence

from tocsin.channels.chat import PaceRule
from tocsin.clock import Clock, Millis
from tocsin.engine.cluster.tenure import Tenure
from tocsin.engine.dispatching.alarms import Alarms
from tocsin.engine.dispatching.attempts import Attempts
from tocsin.engine.dispatching.claims import Claims
from tocsin.engine.dispatching.holdings import Holdings
from tocsin.engine.dispatching.lanes import Lane, Rotation
from tocsin.engine.dispatching.paces import Paces, Share
from tocsin.engine.dispatching.shares import Places, Short
from tocsin.engine.dispatching.stock import Stock
from tocsin.engine.settler import MAX_WAITING, Settler
from tocsin.store.port import Claimed

# Idle lanes that are kept with what was learned of their receivers: some 500 bytes each.
_MAX_IDLE_LANES = 16_384
_PRUNE_MS = 10_000

# Where a service asks for so short a pause, what is claimed waits in memory; else it goes back to the store.
_SHORT_HOLD_MS = 5_000

# After a start, lanes that are overdue set out over this span, not all at once; a few lanes take no time.
_SPREAD_MAX_MS = 5_000
_SPREAD_PER_LANE_MS = 10


class Turns:
    """Those of the lanes that are open."""

    _stock: Stock
    _claims: Claims
    _attempts: Attempts

    def __init__(
        self,
        *,
        holdings: Holdings,
        places: Places,
        paces: Paces,
        settler: Settler,
        tenure: Tenure,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._holdings = holdings
        self._places = places
        self._paces = paces
        self._settler = settler
        self._tenure = tenure
        self._clock = clock
        self._rng = rng
        self._alarms = Alarms(holdings, clock, self.tick)
        self._rotation = Rotation()
        self._benched = Short(places.may)  # they could start, but for a place
        self._short = Short(lambda lane: self._stock.room(lane.account_id) > 0)  # they could claim, but for memory
        self._prune_at = Millis(0)
        self._pumping = False
        self._calling = False

    def attach(self, *, stock: Stock, claims: Claims, attempts: Attempts) -> None:
        """What it gives turns to."""
        self._stock, self._claims, self._attempts = stock, claims, attempts

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """From now on it wakes lanes by itself."""
        self._alarms.start()
        self.tick()

    def stop(self) -> None:
        self._alarms.stop()

    @property
    def lapsed(self) -> bool:
        """The lease has run out: nothing is begun until a beat is answered, for others may have taken over."""
        return self._clock.monotonic_s() > self._tenure.until_s

    def set_out(self, lanes: Sequence[Lane]) -> None:
        """Lanes that were read from the store, and may begin."""
        now = self._clock.now_ms()
        overdue = []
        for lane in lanes:
            if lane.next_due is not None and lane.next_due <= now:
                overdue.append(lane)
            else:
                self.schedule(lane, now)
        spread_ms = min(_SPREAD_MAX_MS, _SPREAD_PER_LANE_MS * (len(overdue) - 1))
        for lane in overdue:
            self._alarms.set(lane, Millis(now + round(spread_ms * self._rng.random())))
        self.tick()

    def close(self, lanes: Sequence[Lane]) -> None:
        """Nothing more is begun for them; those behind them at their paces may go on."""
        for lane in lanes:
            self.rest(lane)
        self._call_next(self._clock.now_ms())

    def rest(self, lane: Lane) -> None:
        """Nothing more is begun for it."""
        self._rotation.remove(lane)
        self._benched.discard(lane)
        self._short.discard(lane)
        self._stock.give_back(lane)
        if lane.share is not None:
            lane.share.leave()

    def forget(self) -> None:
        """The epoch has ended: it is nobody's turn."""
        self._benched.clear()
        self._short.clear()
        self._rotation = Rotation()
        self._alarms.clear()

    # --- what a lane can do next ----------------------------------------------------------------------------------

    def schedule(self, lane: Lane, now: Millis) -> None:
        """Looks at what the lane can do next: start, claim, or be woken at a time; or be forgotten."""
        if not lane.open:
            return
        if lane.share is not None:
            self._take_turns(lane, lane.share, now)
        elif lane.queue:
            if lane.may_start(now):
                self._rotation.add(lane)
            elif lane.in_flight < lane.limit and lane.held_until <= now:
                self._alarms.set(lane, Millis(int(lane.next_start_ms) + 1))
        if lane.next_due is not None and not lane.claiming:
            if lane.next_due > now or lane.claims_from > now:
                self._alarms.set(lane, max(lane.next_due, lane.claims_from))
            elif lane.wanted(now):
                self._want(lane)
        elif lane.next_start_ms and lane.next_start_ms <= now:
            lane.next_start_ms = 0.0

    def _want(self, lane: Lane) -> None:
        if self._stock.room(lane.account_id):
            self._claims.want(lane)
        else:
            self._short.add(lane)

    def room_freed(self) -> None:
        """One delivery less is in memory: a lane that waited for room may claim."""
        if self._short and (lane := self._short.next()) is not None:
            self._claims.want(lane)

    def tick(self) -> None:
        """Wakes the lanes whose time has come. Called by its own timer; by a test that moves its clock."""
        now = self._clock.now_ms()
        for lane in self._alarms.due(now):
            self.schedule(lane, now)
        self._prune(now)
        self._alarms.wait()
        self.pump()

    def _prune(self, now: Millis) -> None:
        """Forgets lanes that are empty and well, so that memory follows the webhooks at work."""
        if now < self._prune_at:
            return
        self._prune_at = Millis(now + _PRUNE_MS)
        if len(self._holdings) > _MAX_IDLE_LANES:
            for lane in [lane for lane in self._holdings if lane.idle]:
                self._holdings.remove(lane)
        self._paces.forget(now)

    # --- starting -------------------------------------------------------------------------------------------------

    def join(self, lane: Lane, claimed: Claimed, now: Millis) -> None:
        """A delivery came that is already claimed: it is sent at once if nobody waits, else in its turn."""
        if (
            not lane.queue
            and not lane.unwell
            and lane.open
            and not self._rotation
            and self._places.may(lane)
            and not self.lapsed
            and lane.may_start(now)
        ):
            self._attempts.start(lane, claimed, now)
            return
        self._stock.put(lane, claimed)
        if not lane.open:
            self._stock.give_back(lane)
        self.schedule(lane, now)
        self.pump()

    def pump(self) -> None:
        """Starts what may be started, in rotation, while there are places."""
        if not self._rotation or self._pumping or self._settler.waiting >= MAX_WAITING or self.lapsed:
            return
        self._pumping = True
        try:
            self._start_in_turn(self._clock.now_ms())
        finally:
            self._pumping = False

    def _start_in_turn(self, now: Millis) -> None:
        rotation = self._rotation
        while rotation and self._places.free:
            lane = rotation.next()
            if not lane.queue or not lane.may_start(now):
                self.schedule(lane, now)
                continue
            if not self._places.may(lane):
                self._benched.add(lane)
                if lane.share is not None:
                    lane.share.leave()
                    self._call_next(now)
                continue
            self._attempts.start(lane, self._stock.pick(lane), now)
            self.schedule(lane, now)

    def place_freed(self) -> None:
        """One attempt less is under way: a lane that waited for a place may have it."""
        if self._benched and (lane := self._benched.next()) is not None:
            self._rotation.add(lane)

    def ended(self, lane: Lane, now: Millis) -> None:
        """An attempt of that lane ended, and what follows from it is under way."""
        self.place_freed()
        self.schedule(lane, now)
        self.pump()

    # --- at a pace ------------------------------------------------------------------------------------------------

    def _take_turns(self, lane: Lane, share: Share, now: Millis) -> None:
        """Looks at what a lane can start that keeps a pace with others, and then at those who are next."""
        if not lane.queue or lane.in_flight >= lane.limit or lane.held_until > now:
            share.leave()
        elif lane.next_start_ms > now:
            share.leave()
            self._alarms.set(lane, Millis(int(lane.next_start_ms) + 1))
        elif share.may_start(now):
            self._rotation.add(lane)
        else:
            again_at = share.wait(now)
            if again_at is not None:
                self._alarms.set(lane, again_at)
        self._call_next(now)

    def _call_next(self, now: Millis) -> None:
        """Looks at the lanes whose turn may have come at their pace; each may call another one."""
        if self._calling:
            return
        self._calling = True
        try:
            while self._paces.called:
                lane = self._holdings.get(self._paces.called.popleft())
                if lane is not None:
                    self.schedule(lane, now)
        finally:
            self._calling = False

    def pace_freed(self, now: Millis) -> None:
        """An attempt of a lane that keeps a pace with others is over: the next of them may have its turn."""
        self._call_next(now)
        self.pump()

    def hold_paces(self, keys: Sequence[str], wait_s: float, now: Millis, *, refused: bool) -> Millis:
        """Nothing is sent for so long by any lane with one of these: the service asked for it.

        Args:
            refused: it has refused a message, and not only said that the next one would be.

        Returns:
            Until when.
        """
        until = self._paces.throttle(keys, wait_s, now) if refused else self._paces.hold(keys, wait_s, now)
        if until - now < _SHORT_HOLD_MS:
            return until
        for webhook_id in self._paces.members(keys):
            lane = self._holdings[webhook_id]
            self.hold_lane(lane, until)
            self.schedule(lane, now)
        return until

    def hold_lane(self, lane: Lane, until: Millis) -> None:
        """Nothing is sent by that lane until then, or until its webhook is changed."""
        lane.held_until = max(lane.held_until, until)
        self._stock.give_back(lane)

    def sent_by_hand(self, rules: Sequence[PaceRule], now: Millis) -> None:
        """A message went out past the lanes, into a chat that keeps these paces."""
        self._paces.note(rules, now)
