"""The life of deliveries as a machine, against a model in plain Python."""

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

from tests.store.world import ALL, STORES, World, joined
from tocsin.clock import Millis
from tocsin.ids import made_at_ms
from tocsin.model import FINAL, TRANSITIONS, WAITING, DeliveryState
from tocsin.store.port import Accepted, DeliveryFilter

PENDING, RETRYING, SENDING = DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.SENDING
SUCCEEDED, FAILED, CANCELLED = DeliveryState.SUCCEEDED, DeliveryState.FAILED, DeliveryState.CANCELLED


class Known:
    """What the model knows of one delivery."""

    def __init__(self, id_: int, event: int, webhook: int, state: DeliveryState, due: int) -> None:
        self.id = id_
        self.event = event
        self.webhook = webhook
        self.state = state
        self.due = due
        self.attempts = 0
        self.tries = 0
        self.claims = 1 if state is SENDING else 0
        self.back = PENDING  # where it goes from SENDING without an outcome
        self.manual = False
        self.finished: int | None = None


class DeliveryLife(RuleBasedStateMachine):
    """Everything that can happen to deliveries, in any order; the store must agree with the model after each step."""

    store: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = Path(tempfile.mkdtemp())
        self.world = World(self.store, self.directory)
        self.known: dict[int, Known] = {}
        self.seen: dict[int, DeliveryState] = {}
        self.bodyless: set[int] = set()

    def do(self, call: Any) -> Any:
        return self.loop.run_until_complete(call)

    @initialize()
    def begin(self) -> None:
        self.do(self.world.open())
        self.account = self.do(self.world.account())
        self.webhooks = [self.do(self.world.webhook(self.account)) for _ in range(2)]

    def teardown(self) -> None:
        self.do(self.world.store.close())
        self.loop.close()
        shutil.rmtree(self.directory)

    def pick(self, data: st.DataObject, *states: DeliveryState, manual: bool = False) -> Known:
        fit = [one for one in self.known.values() if one.state in states and one.manual == manual]
        return data.draw(st.sampled_from(sorted(fit, key=lambda one: one.id)))

    def some(self, *states: DeliveryState, manual: bool = False) -> bool:
        return any(one.state in states and one.manual == manual for one in self.known.values())

    # --- what can happen ------------------------------------------------------------------------------------------

    @rule(seconds=st.integers(0, 90))
    def time_passes(self, seconds: int) -> None:
        self.world.clock.advance(seconds)

    @rule(claimed=st.booleans(), n=st.integers(1, 4))
    def events_come(self, claimed: bool, n: int) -> None:  # noqa: FBT001 - drawn by Hypothesis
        events = [self.do(self.world.new_event(self.account, *self.webhooks, claimed=claimed)) for _ in range(n)]
        assert self.do(self.world.ingest(*events)) == [Accepted()] * n
        for event in events:
            for delivery in event.deliveries:
                state = SENDING if claimed else PENDING
                self.known[delivery.id] = Known(delivery.id, event.id, delivery.webhook_id, state, self.world.now)

    @rule(lane=st.integers(0, 1), n=st.integers(1, 5))
    def claim(self, lane: int, n: int) -> None:
        webhook = self.webhooks[lane]
        waiting = sorted(
            (one for one in self.known.values() if one.webhook == webhook.id and one.state in WAITING),
            key=lambda one: (one.due, one.id),
        )
        expected = [one for one in waiting if one.due <= self.world.now][:n]
        answer = self.do(self.world.store.journal.claim([(webhook.id, n)], self.world.now, self.world.epoch))
        for one in expected:
            one.claims += 1
        assert [(c.id, c.attempts, c.tries, c.claim_count) for c in answer.claimed] == [
            (one.id, one.attempts, one.tries, one.claims) for one in expected
        ]
        rest = waiting[len(expected) :]
        assert answer.next_due == {webhook.id: rest[0].due if rest else None}
        for one in expected:
            one.back, one.state = one.state, SENDING

    @precondition(lambda self: self.some(SENDING))
    @rule(data=st.data(), state=st.sampled_from([SUCCEEDED, FAILED, RETRYING, CANCELLED]), delay=st.integers(0, 60))
    def settle(self, data: st.DataObject, state: DeliveryState, delay: int) -> None:
        one = self.pick(data, SENDING)
        due = Millis(self.world.now + delay * 1000) if state is RETRYING else None
        one.attempts += 1
        one.tries += 1
        one.claims = 0
        settlement = self.world.settlement(one.id, state, n=one.attempts, tries=one.tries, due_at=due)
        self.do(self.world.settle(settlement))
        one.state = state
        if due is None:
            one.finished = self.world.now
        else:
            one.due = due

    @precondition(lambda self: self.some(*FINAL))
    @rule(data=st.data())
    def a_stale_outcome_comes(self, data: st.DataObject) -> None:
        one = self.pick(data, *FINAL)
        self.do(self.world.settle(self.world.settlement(one.id, n=one.attempts + 1)))

    @precondition(lambda self: self.some(SENDING))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        one = self.pick(data, SENDING)
        self.do(self.world.store.journal.release([one.id], self.world.epoch))
        one.state = one.back
        one.claims -= 1

    @precondition(lambda self: self.some(*WAITING, *FINAL))
    @rule(data=st.data())
    def retry_by_hand(self, data: st.DataObject) -> None:
        one = self.pick(data, *WAITING, *FINAL)
        claimed = self.do(self.world.store.journal.claim_one(self.account.id, one.id, self.world.now, self.world.epoch))
        if one.event in self.bodyless:
            assert claimed is one.state
            return
        one.claims += 1
        assert (claimed.id, claimed.attempts, claimed.claim_count) == (one.id, one.attempts, one.claims)
        one.back, one.state, one.manual = one.state, SENDING, True

    @precondition(lambda self: self.some(SENDING, manual=True))
    @rule(data=st.data(), ok=st.booleans())
    def settle_by_hand(self, data: st.DataObject, ok: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        one = self.pick(data, SENDING, manual=True)
        one.attempts += 1
        settlement = self.world.settlement(one.id, SUCCEEDED if ok else FAILED, n=one.attempts, tries=99)
        one.state = SUCCEEDED if ok else one.back
        one.manual = False
        one.claims = 0
        if ok:
            one.finished = self.world.now
        assert self.do(self.world.store.journal.settle_manual(settlement, self.world.epoch)) is one.state

    @precondition(lambda self: bool(self.known))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(sorted(self.known.values(), key=lambda one: one.id)))
        if one.state in WAITING:
            one.state, one.finished = CANCELLED, self.world.now
        assert self.do(self.world.store.journal.cancel(self.account.id, one.id, self.world.now)) is one.state

    @rule(lane=st.integers(0, 1))
    def drop_waiting(self, lane: int) -> None:
        webhook_id = self.webhooks[lane].id
        waiting = [one for one in self.known.values() if one.webhook == webhook_id and one.state in WAITING]
        assert self.do(self.world.store.journal.drop_waiting(webhook_id, self.world.now, 1000)) == len(waiting)
        for one in waiting:
            one.state, one.finished = CANCELLED, self.world.now

    @rule(crash=st.booleans())
    def the_owner_changes(self, crash: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        if crash:
            self.do(self.world.reopen())
        else:
            self.world.epoch = self.do(joined(self.world.store, self.world.now))
        for one in self.known.values():
            if one.state is SENDING:
                one.state, one.manual = one.back, False

    @rule()
    def retention_takes_old_bodies(self) -> None:
        now = self.world.now
        purge = self.world.store.housekeeping.purge
        self.do(purge(bodies_before=now, logs_before=Millis(0), dedupe_before=Millis(0), now=now, limit=1_000))
        events = {one.event for one in self.known.values() if made_at_ms(one.event) < now}
        self.bodyless |= events - {one.event for one in self.known.values() if one.state not in FINAL}

    # --- what always holds ----------------------------------------------------------------------------------------

    @invariant()
    def the_store_agrees(self) -> None:
        if not self.known:
            return
        found, _ = self.do(self.world.store.records.deliveries(self.account.id, DeliveryFilter(), ALL))
        assert [delivery.id for delivery in found] == sorted(self.known, reverse=True)
        for delivery in found:
            one = self.known[delivery.id]
            assert delivery.state is one.state
            assert delivery.attempts == one.attempts
            assert delivery.due_at == (one.due if one.state in WAITING else None)
            assert delivery.finished_at == (one.finished if one.state in FINAL else None)
            before = self.seen.get(delivery.id, PENDING)
            assert one.state is before or one.state in reachable(before), (before, one.state)
            self.seen[delivery.id] = one.state

    @invariant()
    def every_attempt_is_there(self) -> None:
        for one in list(self.known.values())[:3]:
            attempts = self.do(self.world.store.records.attempts(self.account.id, one.id))
            assert [attempt.n for attempt in attempts] == [*range(1, one.attempts + 1)]

    @invariant()
    def lanes_are_those_with_something_waiting(self) -> None:
        if not self.known:
            return
        due: dict[int, int] = {}
        for one in self.known.values():
            if one.state in WAITING:
                due[one.webhook] = min(due.get(one.webhook, one.due), one.due)
        lanes = self.do(self.world.store.journal.lanes(0, 10))
        assert {lane.webhook_id: lane.next_due for lane in lanes} == due


def reachable(state: DeliveryState) -> set[DeliveryState]:
    """Within one step of the machine, or through SENDING, which a step may pass."""
    near = set(TRANSITIONS[state])
    return near | {after for middle in near if middle is SENDING for after in TRANSITIONS[middle]}


@pytest.mark.parametrize("name", sorted(STORES))
def test_the_life_of_deliveries(name: str):
    """Whatever happens to deliveries, they are where the model says, and no delivery ends twice."""
    machine = type("Machine", (DeliveryLife,), {"store": name})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=25, stateful_step_count=40, suppress_health_check=list(HealthCheck)),
    )
