"""Claimed deliveries that lie in memory until they are sent, and their way back.

    claim, commit ──▶ put ──▶ lane.queue ──▶ pick ──▶ attempts
                                  └──give_back──▶ settler ──▶ store

How many there may be does not grow with the backlog.
"""

from functools import partial
from typing import Protocol

from tocsin.clock import Clock
from tocsin.engine.dispatching.lanes import Lane, Stored
from tocsin.engine.dispatching.shares import Held
from tocsin.engine.settler import Settler
from tocsin.model import AccountId
from tocsin.store.port import Claimed


class Keeper(Protocol):
    """Who gives the lanes their turns."""

    def room_freed(self) -> None:
        """A lane that waited for room may claim."""
        ...


class Stock:
    def __init__(self, *, keeper: Keeper, stored: Stored, settler: Settler, clock: Clock) -> None:
        self._keeper = keeper
        self._stored = stored
        self._settler = settler
        self._clock = clock
        self._held = Held()

    @property
    def number(self) -> int:
        return self._held.number

    def room(self, account_id: AccountId) -> int:
        """How many more the account may have in memory."""
        return self._held.room(account_id)

    def put(self, lane: Lane, claimed: Claimed) -> None:
        """Behind what waits in the lane's queue."""
        self._settler.held.add(claimed.id)
        lane.queue.append(claimed)
        self._held.take(lane.account_id, len(claimed.data))

    def pick(self, lane: Lane) -> Claimed:
        """The next one of a queue that is not empty."""
        claimed = lane.queue.popleft()
        self._held.give(lane.account_id, len(claimed.data))
        self._keeper.room_freed()
        return claimed

    def give_back(self, lane: Lane) -> None:
        """All that waits in its queue."""
        while lane.queue:
            self.release(lane, self.pick(lane))

    def release(self, lane: Lane, claimed: Claimed) -> None:
        """Gives a claimed delivery back unsent: it waits in the store again, with the due time it had."""
        if not lane.gone:  # else it waits again already
            self._settler.release(claimed.id, lane.epoch, partial(self._stored_again, lane))

    def _stored_again(self, lane: Lane) -> None:
        self._stored(lane.webhook_id, lane.account_id, self._clock.now_ms(), lane.shard)
