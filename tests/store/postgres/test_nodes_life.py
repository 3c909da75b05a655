"""The life of nodes as a machine: whatever comes, goes, is slow or dies, no shard is sent for by two."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.store.postgres.test_nodes import LEASE_MS, beat, join
from tests.store.world import STORES, World, forget
from tocsin.errors import Unavailable
from tocsin.ids import first_at
from tocsin.shards import ALL, SHARDS
from tocsin.store.port import Standing


class Process:
    """What a process believes of itself: the shards that it sends for, until its lease has run out."""

    def __init__(self, epoch: int, number: int, *, sends: bool) -> None:
        self.epoch = epoch
        self.number = number
        self.sends = sends
        self.held: frozenset[int] = frozenset()
        self.due = 0
        self.until = 0


class NodesLife(RuleBasedStateMachine):
    """Nodes of two stores, as two programs have them open, and one clock for all."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = Path(tempfile.mkdtemp())
        self.world = World("postgres", self.directory)
        self.there: list[Process] = []
        self.last_id: dict[int, int] = {}  # by number

    def do(self, call: Any) -> Any:
        return self.loop.run_until_complete(call)

    @initialize()
    def begin(self) -> None:
        self.do(self.world.open())
        self.do(self.world.store.cluster.leave(self.world.epoch))
        self.second = self.do(STORES["postgres"](self.directory, self.world.clock))

    def teardown(self) -> None:
        try:
            self.do(self.converge())
        finally:
            self.do(self.second.close())
            self.do(self.world.store.close())
            self.do(forget("postgres", self.directory))
            self.loop.close()
            shutil.rmtree(self.directory)

    async def beat(self, one: Process) -> None:
        """As a process does it; one that was given up forgets what it had."""
        at = self.world.now
        ahead = first_at(at + LEASE_MS)
        store = (self.world.store, self.second)[one.epoch % 2]
        refused = ""
        try:
            standing: Standing = await beat(self.world, one.epoch, last_id=ahead, store=store)
        except Unavailable as error:
            refused = error.code
        if refused:
            assert (refused, one.until <= at) == ("not_owner", True)  # nobody is buried within its lease
            self.there.remove(one)
        else:
            assert one.held <= standing.held or one.until <= at
            one.held, one.due, one.until = standing.held, standing.due, at + LEASE_MS
            self.last_id[one.number] = max(ahead, self.last_id.get(one.number, 0))

    @precondition(lambda self: len(self.there) < 6)
    @rule(sends=st.sampled_from([True, True, True, False]))
    def joins(self, *, sends: bool) -> None:
        node = self.do(join(self.world, sends=sends))
        living = {one.number for one in self.there if one.until > self.world.now}
        assert node.number not in living
        assert node.last_id >= self.last_id.get(node.number, 0)
        one = Process(node.epoch, node.number, sends=sends)
        one.until = self.world.now + LEASE_MS
        self.there.append(one)

    @precondition(lambda self: self.there)
    @rule(data=st.data())
    def some_beat(self, data: st.DataObject) -> None:
        """At the same moment."""
        which = data.draw(st.lists(st.sampled_from(self.there), min_size=1, unique=True))

        async def together() -> None:
            await asyncio.gather(*(self.beat(one) for one in which))

        self.do(together())

    @precondition(lambda self: any(len(one.held) > one.due for one in self.there))
    @rule(data=st.data())
    def one_gives(self, data: st.DataObject) -> None:
        """Some of its surplus, as nothing of that is under way any more."""
        one = data.draw(st.sampled_from([one for one in self.there if len(one.held) > one.due]))
        surplus = sorted(one.held)[one.due :]
        self.do(self.give(one, frozenset(surplus[: data.draw(st.integers(1, len(surplus)))])))

    async def give(self, one: Process, shards: frozenset[int]) -> None:
        one.held -= shards
        await self.world.store.cluster.give(one.epoch, shards)

    @precondition(lambda self: self.there)
    @rule(data=st.data())
    def one_leaves(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.there))
        self.there.remove(one)
        self.do(self.world.store.cluster.leave(one.epoch))

    @precondition(lambda self: self.there)
    @rule(data=st.data())
    def one_dies(self, data: st.DataObject) -> None:
        self.there.remove(data.draw(st.sampled_from(self.there)))

    @rule(ms=st.sampled_from([1, 500, 2_000, LEASE_MS - 1, LEASE_MS, LEASE_MS + 1, 60_000]))
    def time_passes(self, ms: int) -> None:
        self.world.clock.advance(ms / 1000)

    @invariant()
    def no_shard_is_sent_for_twice(self) -> None:
        taken: set[int] = set()
        for one in self.there:
            if one.until > self.world.now:
                assert not taken & one.held
                taken |= one.held

    async def converge(self) -> None:
        """Who is left shares all, evenly, once the dead are buried and what is too much was given."""
        for _ in range(8):
            for one in list(self.there):
                await self.beat(one)
                surplus = frozenset(sorted(one.held)[one.due :])
                if one in self.there and surplus:
                    await self.give(one, surplus)
            self.no_shard_is_sent_for_twice()
            self.world.clock.advance(2.001)
        shares = [one.held for one in self.there if one.sends]
        if shares:
            assert frozenset().union(*shares) == ALL
            assert sum(map(len, shares)) == SHARDS
            assert {len(share) for share in shares} <= {SHARDS // len(shares), -(-SHARDS // len(shares))}
        assert all(not one.held for one in self.there if not one.sends)


def test_the_life_of_nodes() -> None:
    """Whatever nodes do, and however long they are silent: nobody is buried within its lease, no shard is sent for by
    two, no id is made twice, and in the end all shards are shared out.
    """
    run_state_machine_as_test(
        NodesLife,
        settings=settings(max_examples=12, stateful_step_count=30, suppress_health_check=list(HealthCheck)),
    )
