"""What this process has in memory to send for: its shards, and the lanes of their webhooks.

    begin ──▶ shard is read ──ready──▶ its lanes are open ──close──▶ it is left ──drop──▶ nothing is known of it
                                             └────────────────forget: the epoch has ended────────────▲

No I/O and no waiting: `dispatcher` and `backlogs` do both.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from tocsin.clock import Millis
from tocsin.engine.dispatching.lanes import Lane
from tocsin.model import AccountId, WebhookId


class Holdings:
    """Lanes are made when something is known of their webhooks, and only in shards that are held."""

    def __init__(self) -> None:
        self._lanes: dict[WebhookId, Lane] = {}
        self._accounts: dict[AccountId, dict[WebhookId, Lane]] = {}
        self._since: dict[int, Millis] = {}
        self._reading: set[int] = set()
        self._leaving: set[int] = set()
        # Places that were reserved in lanes that are no longer there: what is committed for them has none.
        self._stale: Counter[WebhookId] = Counter()

    # --- lanes ----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._lanes)

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    def __getitem__(self, webhook_id: WebhookId) -> Lane:
        return self._lanes[webhook_id]

    def get(self, webhook_id: WebhookId) -> Lane | None:
        return self._lanes.get(webhook_id)

    def of_account(self, account_id: AccountId) -> list[Lane]:
        return list(self._accounts.get(account_id, {}).values())

    def lane(self, webhook_id: WebhookId, account_id: AccountId, shard: int, epoch: int) -> Lane:
        """The lane of a webhook whose shard is held; made, where there is none."""
        lane = self._lanes.get(webhook_id)
        if lane is None:
            lane = self._lanes[webhook_id] = Lane(webhook_id, account_id, shard, epoch)
            lane.open = shard not in self._reading and shard not in self._leaving
            self._accounts.setdefault(account_id, {})[webhook_id] = lane
        return lane

    def remove(self, lane: Lane) -> None:
        """From now on nothing is known of its webhook."""
        lane.open = False
        if lane.reserved:
            self._stale[lane.webhook_id] += lane.reserved
        if lane.share is not None:
            lane.share.close()
        del self._lanes[lane.webhook_id]
        others = self._accounts[lane.account_id]
        del others[lane.webhook_id]
        if not others:
            del self._accounts[lane.account_id]

    def place_of(self, webhook_id: WebhookId) -> Lane | None:
        """Gives a reserved place back; whose it was. None: that lane is no longer there."""
        if webhook_id in self._stale:
            self._stale[webhook_id] -= 1
            if not self._stale[webhook_id]:
                del self._stale[webhook_id]
            return None
        lane = self._lanes[webhook_id]
        lane.reserved -= 1
        return lane

    # --- shards ---------------------------------------------------------------------------------------------------

    @property
    def shards(self) -> frozenset[int]:
        """Those that are held, and not being left."""
        return frozenset(self._since.keys() - self._leaving)

    def holds(self, shard: int) -> bool:
        """Whether what waits for its webhooks is this process's to send."""
        return shard in self._since

    def leaves(self, shard: int) -> bool:
        return shard in self._leaving

    def since(self, shard: int) -> Millis:
        """What was sent before by others is not known."""
        return self._since.get(shard, Millis(0))

    def begin(self, shards: Iterable[int], now: Millis) -> None:
        for shard in shards:
            self._since.setdefault(shard, now)
            self._reading.add(shard)

    def reads(self, shard: int) -> bool:
        return shard in self._reading

    def ready(self, shards: frozenset[int]) -> list[Lane]:
        """What the store knew is known now; their lanes, which may begin."""
        self._reading -= shards
        lanes = [lane for lane in self._lanes.values() if lane.shard in shards and lane.shard not in self._leaving]
        for lane in lanes:
            lane.open = True
        return lanes

    def close(self, shards: frozenset[int]) -> list[Lane]:
        """Their lanes, which begin nothing more."""
        self._leaving |= shards & self._since.keys()
        lanes = [lane for lane in self._lanes.values() if lane.shard in shards]
        for lane in lanes:
            lane.open = False
        return lanes

    def drop(self, shards: frozenset[int]) -> None:
        """They are no longer held."""
        for lane in [lane for lane in self._lanes.values() if lane.shard in shards]:
            self.remove(lane)
        for shard in shards:
            self._since.pop(shard, None)
        self._leaving -= shards
        self._reading -= shards

    def forget(self) -> list[Lane]:
        """The epoch has ended; the lanes that there were."""
        lanes = list(self._lanes.values())
        for lane in lanes:
            lane.gone = True
            self.remove(lane)
        self._since.clear()
        self._reading.clear()
        self._leaving.clear()
        return lanes

    def loads(self) -> dict[int, int]:
        """How much there is to do for each shard that has any: attempts under way, and what waits for them."""
        loads: Counter[int] = Counter()
        for lane in self._lanes.values():
            loads[lane.shard] += lane.in_flight + len(lane.queue) + (lane.next_due is not None)
        return loads
