"""Lanes: one per webhook, so that one webhook's trouble stays its own.

A lane says what may start now: how many attempts are in flight, what it may have, whether it is held, when its rate
allows the next, when its stored backlog is next due, and which paces it shares with others (`paces`). The lanes that
can start something take turns: accounts in rotation, and within an account its lanes in rotation. No I/O and no waiting
here; `turns` and `claims` do both.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator

from tocsin.channels import CHATS
from tocsin.clock import Millis
from tocsin.engine.dispatching.paces import Share
from tocsin.engine.gathering.sorting import Memory
from tocsin.model import AccountId, Outcome, OutcomeKind, Webhook, WebhookId, WebhookState
from tocsin.store.port import Claimed

# How many attempts a webhook may have under way where its owner sets no limit: enough for 640 deliveries a second at a
# receiver that takes 50 ms, and few enough that it does not look like an attack.
DEFAULT_MAX_IN_FLIGHT = 32

# A lane starts with this many and earns one more with each success, so that a hundred webhooks that hang from their
# first delivery on cannot take all places before anything is known of them.
START_IN_FLIGHT = 8

# A lane whose receiver hangs or throttles is cut down to this many: enough to notice that it is back.
MIN_IN_FLIGHT = 2

# Claimed deliveries that a lane may hold in memory, waiting for room.
BUFFER = 64

# Deliveries that a lane claims at once where most are only counted: some 20 ms of work.
GATHER_AT_ONCE = 500

# How an attempt ended that says "less at once": the others say nothing about load.
_OVERLOADED = frozenset({OutcomeKind.TIMEOUT, OutcomeKind.CONNECT_ERROR, OutcomeKind.DNS_ERROR})
_OVERLOADED_STATUSES = frozenset({429, 503})

# Who is told that a delivery waits in the store, durable: for which webhook, of which account and shard, until when.
Stored = Callable[[WebhookId, AccountId, Millis, int], None]

FOREVER = Millis((1 << 63) - 1)
_EVER = Millis(0)


class Lane:
    """One webhook's way out."""

    __slots__ = (
        "account_id",
        "claiming",
        "configured",
        "epoch",
        "failing_since",
        "gathers",
        "gone",
        "held_until",
        "in_flight",
        "limit",
        "max_in_flight",
        "memory",
        "next_due",
        "next_start_ms",
        "open",
        "queue",
        "rate_limit",
        "ready",
        "reserved",
        "rests_until",
        "shard",
        "share",
        "succeeded_at",
        "timer_at",
        "unbroken_since",
        "unwell",
        "version",
        "warned_at",
        "webhook_id",
    )

    def __init__(self, webhook_id: WebhookId, account_id: AccountId, shard: int = 0, epoch: int = 0) -> None:
        self.webhook_id = webhook_id
        self.account_id = account_id
        self.shard = shard
        self.epoch = epoch  # under which its deliveries are claimed, and what becomes of them is written
        self.open = True  # it may take places, claim and start; not before what the store knows of it was read
        self.gone = False  # its epoch ended: another process may send for its webhook by now
        self.queue: deque[Claimed] = deque()  # claimed, waiting for room
        self.reserved = 0  # promised to events that are being committed
        self.in_flight = 0
        self.configured = False  # its webhook's settings are known
        self.version = 0  # of these settings
        self.max_in_flight = DEFAULT_MAX_IN_FLIGHT  # what its owner allows
        self.limit = START_IN_FLIGHT  # what its receiver bears, as far as is known
        self.unwell = False  # its receiver is slow, down or throttling
        self.rate_limit: float | None = None  # starts a second
        self.next_start_ms = 0.0  # when the rate allows the next one
        self.held_until = Millis(0)  # deliveries wait in the store until then
        self.share: Share | None = None  # in the paces that it keeps with other lanes, of a chat
        self.next_due: Millis | None = None  # of the stored backlog
        self.gathers = False  # what it claims is sorted first: some is sent, some counted in a digest
        self.memory: Memory | None = None  # of a lane that gathers: how its window stands
        self.rests_until = Millis(0)  # claims nothing until then
        self.claiming = False
        self.ready = False  # stands in the rotation
        self.timer_at: Millis | None = None  # the wake-up that is set for it
        self.succeeded_at = Millis(0)  # when an attempt last did, as far as it happened in this process
        # Two beginnings of the run of failed attempts that goes on now. Enabling begins it anew for the one that counts
        # the days; only a success ends the other one, by which a success is proved not to have been.
        self.failing_since: Millis | None = None
        self.unbroken_since: Millis | None = None
        self.warned_at: Millis | None = None

    @property
    def idle(self) -> bool:
        """Nothing is known of it that a fresh lane would not be right about."""
        return (
            not self.queue
            and not self.reserved
            and not self.in_flight
            and not self.claiming
            and not self.ready
            and self.next_due is None
            and self.unbroken_since is None
            and not self.unwell
            and self.next_start_ms == 0.0
        )

    @property
    def busy(self) -> bool:
        """Something of it is claimed, or may be at any moment."""
        return bool(self.in_flight or self.queue or self.reserved or self.claiming)

    def configure(self, webhook: Webhook, since: Millis = _EVER) -> None:
        """Takes over what the webhook's settings and state say.

        Args:
            since: what was sent before by others is not known; they may have begun one just then.
        """
        self.gathers = webhook.settings.channel in CHATS
        # One after the other into a chat, so that people read what happened in its order.
        unless_said = 1 if self.gathers else DEFAULT_MAX_IN_FLIGHT
        self.max_in_flight = webhook.settings.max_in_flight or unless_said
        self.limit = min(max(self.limit, min(START_IN_FLIGHT, self.max_in_flight)), self.max_in_flight)
        self.rate_limit = webhook.settings.rate_limit
        if self.rate_limit is not None and not self.version and webhook.created_at < since:
            self.next_start_ms = max(self.next_start_ms, since + 1000 / self.rate_limit)
        active = webhook.state is WebhookState.ACTIVE and not webhook.deleted
        self.held_until = (webhook.muted_until or Millis(0)) if active else FOREVER
        if self.share is not None:
            self.held_until = max(self.held_until, self.share.held_until)
        if active and self.failing_since is not None and self.failing_since < webhook.status_since:
            self.failing_since = self.warned_at = None  # it was enabled again: its run of failures begins anew
        self.version = webhook.version
        self.configured = True

    def reserve(self, now: Millis) -> bool:
        """Whether an event that is about to be committed may be handed over in memory; if so, its place is kept.

        Where the lane has a backlog, an event goes behind it, into the store.
        """
        if (
            self.gathers
            or not self.open
            or self.next_due is not None
            or self.claiming
            or now < self.held_until
            or self.in_flight + len(self.queue) + self.reserved >= self.limit + BUFFER
        ):
            return False
        self.reserved += 1
        return True

    def may_start(self, now: Millis) -> bool:
        return (
            self.in_flight < self.limit
            and now >= self.held_until
            and now >= self.next_start_ms
            and (self.share is None or self.share.may_start(now))
        )

    def started(self, now: Millis) -> None:
        self.in_flight += 1
        if self.share is not None:
            self.share.started()
        if self.rate_limit is not None:
            self.next_start_ms = max(self.next_start_ms, float(now)) + 1000 / self.rate_limit

    def ended(self, outcome: Outcome) -> None:
        """Gives the place back and learns how much the receiver bears: half on trouble, one more on each success."""
        self.in_flight -= 1
        if outcome.ok:
            if self.limit < self.max_in_flight:
                self.limit += 1
            if self.unwell and self.limit >= min(START_IN_FLIGHT, self.max_in_flight):
                self.unwell = False
        elif outcome.kind in _OVERLOADED or outcome.status_code in _OVERLOADED_STATUSES:
            self.limit = min(self.max_in_flight, max(MIN_IN_FLIGHT, self.limit // 2))
            self.unwell = True

    def succeeded(self, now: Millis) -> bool:
        """Ends the run of failures; whether there was one."""
        self.succeeded_at = now
        if self.unbroken_since is None:
            return False
        self.failing_since = self.unbroken_since = self.warned_at = None
        return True

    def failed(self, started_at: Millis, now: Millis) -> bool:
        """Begins the run of failures, or finds that it began earlier; whether there is something new to be kept.

        Attempts do not end in the order in which they started: nothing has succeeded since this one did either, unless
        something has meanwhile.
        """
        since = max(started_at, self.succeeded_at)
        if self.failing_since is not None and self.unbroken_since is not None and self.unbroken_since <= since:
            return False
        self.failing_since = self.failing_since or now
        self.unbroken_since = since if self.unbroken_since is None else min(since, self.unbroken_since)
        return True

    def wanted(self, now: Millis) -> int:
        """How many deliveries to claim now: as many as there is room for in flight, and as much again to follow."""
        if self.next_due is None or self.next_due > now or now < self.claims_from:
            return 0
        if self.gathers:  # what is counted in a digest takes no place
            return max(0, GATHER_AT_ONCE - len(self.queue))
        room = 2 * self.limit - self.in_flight - len(self.queue) - self.reserved
        if self.rate_limit is not None:
            room = min(room, max(1, int(self.rate_limit)))
        # More may be under way than there is room for: a limit was lowered. What ends then asks again.
        # Claiming in larger pieces than single places costs less; a lane that still has half its room full waits.
        return room if room >= self.limit or (room > 0 and not self.queue) else 0

    @property
    def claims_from(self) -> Millis:
        """Before then it claims nothing."""
        return max(self.held_until, self.rests_until)

    def stored(self, due_at: Millis) -> None:
        """A delivery of this lane waits in the store."""
        if self.next_due is None or due_at < self.next_due:
            self.next_due = due_at


class Rotation:
    """The lanes that have something to start: whose turn it is, fairly by account and then by lane."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[AccountId, OrderedDict[WebhookId, Lane]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._accounts)

    def add(self, lane: Lane) -> None:
        if lane.ready:
            return
        lane.ready = True
        self._accounts.setdefault(lane.account_id, OrderedDict())[lane.webhook_id] = lane

    def remove(self, lane: Lane) -> None:
        if not lane.ready:
            return
        lane.ready = False
        lanes = self._accounts[lane.account_id]
        del lanes[lane.webhook_id]
        if not lanes:
            del self._accounts[lane.account_id]

    def next(self) -> Lane:
        """The lane whose turn it is, taken out: its account goes to the end of the line. Never call it empty."""
        account_id, lanes = self._accounts.popitem(last=False)
        _, lane = lanes.popitem(last=False)
        lane.ready = False
        if lanes:
            self._accounts[account_id] = lanes
        return lane

    def __iter__(self) -> Iterator[Lane]:
        for lanes in self._accounts.values():
            yield from lanes.values()
