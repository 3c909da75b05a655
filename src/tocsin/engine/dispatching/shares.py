"""Shares: what there is only so much of is shared between accounts, so that none can take it all from the others.

An account may take more as long as it has less than what is free. So one that is alone gets half, two get a third each,
nine a tenth; and for whoever comes next there is always as much left as each of them has. Nothing is set aside, nothing
is configured, and no account's number needs to be known. No I/O and no waiting here.
"""

from collections import OrderedDict
from collections.abc import Callable

from tocsin.engine.dispatching.lanes import Lane
from tocsin.model import AccountId, WebhookId

# Attempts under way at once, over all webhooks. Each costs a connection and some 100 KB at worst.
MAX_IN_FLIGHT = 1_000

# Lanes whose receivers are slow or down get at most this share of the places, so that the well ones always have some.
UNWELL_SHARE = 0.5

# Claimed deliveries in memory, waiting for room in their lanes: their number, and the bytes of their bodies.
_MAX_HELD = 8_192
_MAX_HELD_BYTES = 64 << 20

# Accounts that are asked, when something was given back, whether that is enough for one of their lanes. Nearly always
# the first one may; where it may not, the next time goes on with those behind it.
_ASKED = 16


class Shares:
    __slots__ = ("_by_account", "taken", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0
        self._by_account: dict[AccountId, int] = {}

    @property
    def free(self) -> bool:
        return self.taken < self.total

    def of(self, account_id: AccountId) -> int:
        return self._by_account.get(account_id, 0)

    def room(self, account_id: AccountId) -> int:
        """How much the account may take now; it is not refused more."""
        return max(0, (self.total - self.taken - self._by_account.get(account_id, 0) + 1) // 2)

    def take(self, account_id: AccountId, n: int = 1) -> None:
        self.taken += n
        self._by_account[account_id] = self._by_account.get(account_id, 0) + n

    def give(self, account_id: AccountId, n: int = 1) -> None:
        self.taken -= n
        left = self._by_account.get(account_id, 0) - n
        if left:
            self._by_account[account_id] = left
        else:
            self._by_account.pop(account_id, None)


class Places:
    """For attempts under way."""

    __slots__ = ("_all", "_unwell")

    def __init__(self) -> None:
        self._all = Shares(MAX_IN_FLIGHT)
        self._unwell = Shares(round(MAX_IN_FLIGHT * UNWELL_SHARE))

    @property
    def taken(self) -> int:
        return self._all.taken

    @property
    def free(self) -> bool:
        return self._all.free

    def may(self, lane: Lane) -> bool:
        """Whether there is one for the lane now."""
        return self._all.room(lane.account_id) > 0 and (not lane.unwell or self._unwell.room(lane.account_id) > 0)

    def take(self, lane: Lane) -> None:
        self._all.take(lane.account_id)
        if lane.unwell:
            self._unwell.take(lane.account_id)

    def give(self, lane: Lane, *, unwell: bool) -> None:
        """`unwell`: whether the lane was when it took the place."""
        self._all.give(lane.account_id)
        if unwell:
            self._unwell.give(lane.account_id)


class Held:
    """Claimed deliveries in memory."""

    __slots__ = ("_bytes", "_numbers")

    def __init__(self) -> None:
        self._numbers = Shares(_MAX_HELD)
        self._bytes = Shares(_MAX_HELD_BYTES)

    @property
    def number(self) -> int:
        return self._numbers.taken

    def room(self, account_id: AccountId) -> int:
        """How many more the account may hold; of whatever size, if its bodies are not too large already."""
        return self._numbers.room(account_id) if self._bytes.room(account_id) else 0

    def take(self, account_id: AccountId, size: int) -> None:
        self._numbers.take(account_id)
        self._bytes.take(account_id, size)

    def give(self, account_id: AccountId, size: int) -> None:
        self._numbers.give(account_id)
        self._bytes.give(account_id, size)


class Short:
    """Lanes that wait until their accounts may have more of something: accounts in turn, and within one its lanes."""

    def __init__(self, may: Callable[[Lane], bool]) -> None:
        """`may`: whether there is enough for a lane now."""
        self._may = may
        self._accounts: OrderedDict[AccountId, OrderedDict[WebhookId, Lane]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._accounts)

    def add(self, lane: Lane) -> None:
        self._accounts.setdefault(lane.account_id, OrderedDict())[lane.webhook_id] = lane

    def discard(self, lane: Lane) -> None:
        lanes = self._accounts.get(lane.account_id)
        if lanes is not None and lanes.pop(lane.webhook_id, None) is not None and not lanes:
            del self._accounts[lane.account_id]

    def clear(self) -> None:
        self._accounts.clear()

    def next(self) -> Lane | None:
        """One that need not wait any longer, taken out; None: those that were asked must."""
        for _ in range(min(_ASKED, len(self._accounts))):
            account_id, lanes = next(iter(self._accounts.items()))
            webhook_id, lane = next(iter(lanes.items()))
            self._accounts.move_to_end(account_id)
            lanes.move_to_end(webhook_id)
            if self._may(lane):
                self.discard(lane)
                return lane
        return None
