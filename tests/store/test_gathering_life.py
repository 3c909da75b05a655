"""Gathering as a machine: whatever happens, every delivery is told of once, on its own or in one digest."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import pytest
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

from tests.store import gatherer
from tests.store.gatherer import ids_of
from tests.store.world import ALL, STORES, World, joined
from tocsin.model import DIGEST_TYPE, FINAL, DeliveryState
from tocsin.store.port import Claimed, DeliveryFilter

SUCCEEDED, FAILED, RETRYING = DeliveryState.SUCCEEDED, DeliveryState.FAILED, DeliveryState.RETRYING
DIGESTED, SENDING = DeliveryState.DIGESTED, DeliveryState.SENDING


class Gathering(RuleBasedStateMachine):
    """One webhook that gathers, with a receiver that may fail, and an owner that may die."""

    store: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = Path(tempfile.mkdtemp())
        self.world = World(self.store, self.directory)
        self.accepted: set[int] = set()
        self.ended: dict[int, DeliveryState] = {}
        self.held: list[Claimed] = []  # claimed and not yet gathered
        self.sending: list[Claimed] = []

    def do(self, call: Any) -> Any:
        return self.loop.run_until_complete(call)

    @initialize()
    def begin(self) -> None:
        self.do(self.world.open())
        self.account = self.do(self.world.account())
        self.webhook = self.do(self.world.webhook(self.account))

    def teardown(self) -> None:
        try:
            if self.accepted:
                self.let_all_arrive()
        finally:
            self.do(self.world.store.close())
            self.loop.close()
            shutil.rmtree(self.directory)

    # --- what can happen ------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0, 1, 6]))
    def time_passes(self, seconds: int) -> None:
        self.world.clock.advance(seconds)

    @rule(n=st.integers(1, 5))
    def events_come(self, n: int) -> None:
        for _ in range(n):
            event = self.do(self.world.accept(self.account, self.webhook))
            self.accepted.add(event.deliveries[0].id)

    @rule(n=st.integers(1, 6))
    def claim(self, n: int) -> None:
        if not self.held:
            self.held = self.do(self.world.claim(self.webhook, n))

    @precondition(lambda self: self.held)
    @rule()
    def gather(self) -> None:
        self.sending += self.do(gatherer.gather(self.world, self.account, self.webhook, self.held))
        self.held = []

    @precondition(lambda self: self.sending)
    @rule(state=st.sampled_from([SUCCEEDED, FAILED, RETRYING, RETRYING]))
    def settle(self, state: DeliveryState) -> None:
        one, self.sending = self.sending[0], self.sending[1:]
        self.do(gatherer.send(self.world, [one], lambda _: state))

    @precondition(lambda self: self.held)
    @rule()
    def give_back(self) -> None:
        self.do(self.world.store.journal.release([one.id for one in self.held], self.world.epoch))
        self.held = []

    @rule(whole=st.booleans())
    def the_owner_dies(self, whole: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        if whole:
            self.do(self.world.reopen())
        else:
            self.world.epoch = self.do(joined(self.world.store, self.world.now))
        self.held, self.sending = [], []

    # --- what always holds ----------------------------------------------------------------------------------------

    @invariant()
    def summaries_name_their_members(self) -> None:
        if not self.accepted:
            return
        found, _ = self.do(self.world.store.records.deliveries(self.account.id, DeliveryFilter(), ALL))
        assert {one.id for one in found if one.type != DIGEST_TYPE} == self.accepted
        by_id = {one.id: one for one in found}
        told: dict[int, list[int]] = {}
        for one in found:
            assert (one.state is DIGESTED) == (one.digest_id is not None)
            if one.state in FINAL:
                assert self.ended.setdefault(one.id, one.state) is one.state
            if one.type == DIGEST_TYPE:
                event = self.do(self.world.store.records.event(self.account.id, one.event_id))
                told[one.id] = sorted(ids_of(event.data))
        for id_, ids in told.items():
            members = self.do(self.world.store.digests.members(self.account.id, id_, ALL))
            stood_for: list[int] = []
            for member in members:
                assert by_id[member.id].digest_id == id_
                stood_for += told[member.id] if member.type == DIGEST_TYPE else [member.id]
            assert ids == sorted(stood_for)
            assert len(set(ids)) == len(ids)

    def let_all_arrive(self) -> None:
        """However it went so far: in the end each delivery was told of, once."""
        self.do(self.world.reopen())
        for _ in range(100):
            self.world.clock.advance(6)
            claimed = self.do(self.world.claim(self.webhook))
            sending = self.do(gatherer.gather(self.world, self.account, self.webhook, claimed))
            self.do(gatherer.send(self.world, sending, lambda _: SUCCEEDED))
            if not self.do(self.world.store.journal.lanes(0, 10)):
                break
        self.summaries_name_their_members()
        found, _ = self.do(self.world.store.records.deliveries(self.account.id, DeliveryFilter(), ALL))
        told: list[int] = []
        for one in found:
            assert one.state in FINAL
            if one.state is DIGESTED:
                continue
            if one.type == DIGEST_TYPE:
                event = self.do(self.world.store.records.event(self.account.id, one.event_id))
                told += ids_of(event.data)
            else:
                told.append(one.id)
        assert sorted(told) == sorted(self.accepted)


@pytest.mark.parametrize("name", sorted(STORES))
def test_the_life_of_gathered_deliveries(name: str):
    """Events come, are claimed, gathered, sent or not, and owners die: nothing is lost and nothing told of twice."""
    machine = type("Machine", (Gathering,), {"store": name})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=25, stateful_step_count=40, suppress_health_check=list(HealthCheck)),
    )
