"""A dialect whose webhooks fail with a delivery: after its last retry, unless another delivery succeeded meanwhile.

CONTRACT §4, `cloakradar`: retries after 1, 5 and 30 minutes, then "webhook `failed` and disabled with e-mail, unless
another delivery to it succeeded meanwhile".
"""

import asyncio
import json
import logging
from pathlib import Path

import pytest

from tests.engine.walk import SYSTEM, walk
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tocsin.clock import Millis
from tocsin.engine.policy import succeeded_meanwhile
from tocsin.model import DeliveryState, NoticeKind
from tocsin.store.port import Page

PATH = "/hook"
DOWN = Answer(500)
ENDURES = 36 * 60  # seconds from a delivery's first attempt to its last
# Nobody listens there, so that notices stay where they can be counted.
MAIL = {"smtp_url": "smtp://127.0.0.1:9/?from=tocsin@example.com"}


def well_for(*names: str):
    """A receiver that takes the events of those names and refuses all others."""
    return lambda arrival: Answer(200 if json.loads(arrival.body)["data"].get("name") in names else 500)


def stops(caplog: pytest.LogCaptureFixture) -> int:
    return sum(record.getMessage() == "webhook_stopped" for record in caplog.records)


def run(scenario) -> None:
    asyncio.run(scenario())


def test_a_delivery_exhausted_alone_fails_its_webhook(
    tmp_path: Path, receiver: LedgerReceiver, caplog: pytest.LogCaptureFixture
):
    """After three retries the webhook is failed, with a reason, an audit entry and a notice; events are kept."""
    receiver.script(PATH, DOWN)
    caplog.set_level(logging.WARNING, logger="tocsin")

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH), "cloakradar", settings=MAIL) as one:
            first = await one.publish()
            delivery = await one.exhaust(first)
            assert (delivery.state, delivery.attempts) == (DeliveryState.FAILED, 4)
            webhook = await one.webhook()
            assert webhook.state.value == "failed"
            assert "last retry" in webhook.status_reason
            assert "500" in webhook.status_reason
            assert webhook.status_since == one.clock.now_ms()
            assert (await one.audit("webhook.failed"), stops(caplog)) == (1, 1)
            [notice] = await one.app.store.notices.due(Millis(2**60), 10)
            assert (notice.kind, notice.reason) == (NoticeKind.FAILED, webhook.status_reason)

            kept = await one.publish()
            assert kept.matched == 0
            assert (await one.app.store.records.event(one.account_id, kept.id)).data is not None
            assert [delivery.event_id for delivery in await one.deliveries()] == [first.id]

    run(scenario)


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize(
    ("success_at", "ends"),
    [(-60, "failed"), (30, "active"), (20 * 60, "active"), (ENDURES - 1, "active")],
    ids=["before the first attempt", "before the first retry", "between two retries", "just before the last"],
)
def test_a_success_counts_from_the_first_attempt_on(
    tmp_path: Path, receiver: LedgerReceiver, success_at: int, ends: str, restarted
):  # fmt: skip
    """One success of another delivery, between the first attempt and the last, keeps the webhook active; also where
    another delivery fails after it, and where the process is another one by then.
    """
    receiver.script(PATH, well_for("well"))

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH), "cloakradar") as one:
            began = one.clock.now_ms() + 60_000
            succeeded = None

            async def succeed() -> None:
                nonlocal succeeded
                one.advance_to(began + success_at * 1000)
                succeeded = await one.publish(name="well")
                assert (await one.settled(1, succeeded)).state is DeliveryState.SUCCEEDED
                if restarted:
                    await one.restart()
                one.advance(0.5)
                await one.settled(1, await one.publish(name="down too"))

            if success_at < 0:
                await succeed()
            one.advance_to(began)
            doomed = await one.publish(name="doomed")
            delivery = await one.settled(1, doomed)
            while delivery.state is DeliveryState.RETRYING:
                if succeeded is None and delivery.due_at >= began + success_at * 1000:
                    await succeed()
                one.advance_to(max(delivery.due_at, one.clock.now_ms()))
                delivery = await one.settled(delivery.attempts + 1, doomed)
            await one.cared_for()
            assert succeeded is not None
            assert (delivery.state, delivery.attempts) == (DeliveryState.FAILED, 4)
            assert await one.state() == ends

    run(scenario)


@pytest.mark.parametrize(("how", "ends"), [("retry", "active"), ("failed retry", "failed"), ("test", "failed")])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_manual_retry_counts_and_a_test_does_not(
    tmp_path: Path, receiver: LedgerReceiver, how: str, ends: str, restarted
):  # fmt: skip
    """A delivery brought through by hand shows that the receiver is well; an example sent to it is no delivery."""
    receiver.script(PATH, DOWN)

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH), "cloakradar") as one:
            doomed = await one.publish(name="doomed")
            await one.settled(1, doomed)
            one.advance(10)
            other = await one.publish(name="other")
            found = await one.settled(1, other)
            one.advance(10)
            if how != "failed retry":
                receiver.script(PATH, Answer())
            if how == "test":
                attempt = await one.app.manual.send_test(one.account_id, one.webhook_id, None)
            else:
                attempt = await one.app.manual.retry_now(one.account_id, found.id)
            assert attempt.outcome.ok is (how != "failed retry")
            receiver.script(PATH, DOWN)
            if restarted:
                await one.restart()
            await one.exhaust(doomed)
            assert await one.state() == ends

    run(scenario)


def test_a_restart_in_the_schedule_changes_nothing(tmp_path: Path, receiver: LedgerReceiver):
    """Without a success the webhook fails also where every attempt was made by another process."""
    receiver.script(PATH, DOWN)

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH), "cloakradar") as one:
            doomed = await one.publish()
            for attempts in (1, 2, 3):
                delivery = await one.settled(attempts, doomed)
                await one.restart(away_s=(delivery.due_at - one.clock.now_ms()) / 1000)
            assert (await one.settled(4, doomed)).state is DeliveryState.FAILED
            await one.cared_for()
            assert await one.state() == "failed"

    run(scenario)


def test_two_exhausted_at_once_are_told_once(
    tmp_path: Path, receiver: LedgerReceiver, caplog: pytest.LogCaptureFixture
):
    """Deliveries that end together make one change of state: one audit entry, one line in the log, one notice."""
    receiver.script(PATH, DOWN)
    caplog.set_level(logging.WARNING, logger="tocsin")

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH), "cloakradar", settings=MAIL) as one:
            both = [await one.publish(), await one.publish()]
            for attempts in (1, 2, 3):
                found = [await one.settled(attempts, each) for each in both]
                one.advance_to(max(delivery.due_at for delivery in found))
            for each in both:
                assert (await one.settled(4, each)).state is DeliveryState.FAILED
            await one.cared_for()
            assert await one.state() == "failed"
            assert (await one.audit("webhook.failed"), stops(caplog)) == (1, 1)
            assert len(await one.app.store.notices.due(Millis(2**60), 10)) == 1

    run(scenario)


def test_a_slow_first_attempt_is_not_taken_for_a_success(tmp_path: Path, receiver: LedgerReceiver):
    """A delivery whose first attempt ended after a later one is exhausted alone all the same."""
    receiver.script(PATH, lambda arrival: Answer(500, after_s=0.3 if b"slow" in arrival.body else 0))

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH), "cloakradar") as one:
            slow = await one.publish(name="slow")
            await asyncio.to_thread(receiver.wait_for, PATH, 1)
            one.advance(1)
            quick = await one.settled(1, await one.publish(name="quick"))
            assert (await one.delivery(slow)).attempts == 0
            await one.app.manual.cancel(one.account_id, quick.id)
            await one.settled(1, slow)
            receiver.script(PATH, DOWN)
            await one.exhaust(slow)
            assert await one.state() == "failed"

    run(scenario)


@pytest.mark.parametrize("restarted", [False, True])
def test_after_enabling_the_held_ones_go_on_and_can_fail_it_again(
    tmp_path: Path, receiver: LedgerReceiver, restarted
):  # fmt: skip
    """Enabling is no success: what was held goes on with the tries it has left, and its end counts as before."""
    receiver.script(PATH, DOWN)

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH), "cloakradar") as one:
            doomed = await one.publish()
            for attempts in (1, 2):
                one.advance_to((await one.settled(attempts, doomed)).due_at)
            await one.settled(3, doomed)
            held = await one.publish()
            await one.settled(1, held)
            await one.exhaust(doomed, 3)
            assert await one.state() == "failed"
            one.advance(86_400)
            before = await one.delivery(held)
            assert before.state is DeliveryState.RETRYING
            await one.enable()
            await one.settled(before.attempts + 1, held)
            if restarted:
                await one.restart()
            assert (await one.exhaust(held, before.attempts + 1)).attempts == 4
            assert await one.state() == "failed"
            assert await one.audit("webhook.failed") == 2

            await one.enable()
            again = await one.publish()
            assert again.matched == 1
            await one.exhaust(again)
            assert await one.audit("webhook.failed") == 3

    run(scenario)


def test_a_stopped_webhook_holds_what_was_on_its_way_in_memory(tmp_path: Path, receiver: LedgerReceiver):
    """What waited in memory for its turn waits in the store once the webhook is stopped, so that it can be dropped."""
    receiver.script(PATH, Answer(410, after_s=0.3))

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH), rate_limit=1) as one:
            receipts = [await one.publish() for _ in range(5)]
            await one.settled(1, receipts[0])
            await one.until(lambda: _is(one, "disabled"))
            await one.cared_for()
            states = [(await one.delivery(receipt)).state.value for receipt in receipts[1:]]
            assert states == ["pending"] * 4
            await one.enable("drop")
            assert [(await one.delivery(receipt)).state.value for receipt in receipts[1:]] == ["cancelled"] * 4
            assert len(receiver.arrivals(PATH)) == 1

    run(scenario)


async def _is(one, state: str) -> bool:
    return await one.state() == state


def test_a_person_who_disables_at_that_moment_has_the_last_word(tmp_path: Path, receiver: LedgerReceiver):
    """A webhook that its owner disabled stays so, with the owner's reason."""
    receiver.script(PATH, DOWN)

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH), "cloakradar") as one:
            doomed = await one.publish()
            for attempts in (1, 2, 3):
                delivery = await one.settled(attempts, doomed)
                if attempts < 3:
                    one.advance_to(delivery.due_at)
            receiver.script(PATH, Answer(500, after_s=0.2))
            one.advance_to(delivery.due_at)
            await asyncio.to_thread(receiver.wait_for, PATH, 4)
            await one.app.control.webhooks.disable(SYSTEM, one.account_id, one.webhook_id, "holidays")
            assert (await one.settled(4, doomed)).state is DeliveryState.FAILED
            await one.cared_for()
            assert ((await one.webhook()).state.value, (await one.webhook()).status_reason) == ("disabled", "holidays")
            audit = await one.app.store.records.audit(one.account_id, Page(limit=9))
            assert audit[0].action == "webhook.disabled"

    run(scenario)


@pytest.mark.parametrize(("unbroken_since", "meanwhile"), [(999, False), (1000, False), (1001, True)])
def test_the_rule(unbroken_since, meanwhile):
    """A success after the first attempt began shows as a run of failures that began later than it."""
    found = succeeded_meanwhile(unbroken_since=Millis(unbroken_since), first_attempt_at=Millis(1000))
    assert found is meanwhile
