"""What one process is told holds in all: at once for what comes after, and whether news of it comes or not."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from tests.engine.cluster.house import SYSTEM, House, house
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tocsin.app import App
from tocsin.control.webhook_bodies import WebhookPatch
from tocsin.model import DeliveryState

PATH = "/hook"
NEWS = pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


def silence(one: House) -> None:
    """Nobody hears of anything from now on, as behind a pooler."""

    async def tell(_: Sequence[str]) -> None: ...

    for app in one.apps:
        app.store.news.tell = tell  # type: ignore[method-assign]


async def polled(*apps: App) -> None:
    for app in apps:
        await app.changes.poll()


@NEWS
def test_a_new_address_holds_for_the_next_event(tmp_path: Path, receiver: LedgerReceiver, told: bool):  # noqa: FBT001
    """Whoever accepts it, whoever sends it: an event that is accepted after a change was answered goes by it."""

    async def scenario() -> None:
        async with house(tmp_path, "all", "all") as one:
            first, second = one.apps
            if not told:
                silence(one)
            for app in one.apps:
                app.changes._task.cancel()  # type: ignore[union-attr]
            webhook = await one.hook(receiver.url("/0"), second)
            for n in range(1, 6):
                for by in (second, first):  # both know it as it is now
                    await one.publish(by)
                await second.dispatcher.backlogs.look()
                before = 2 if n == 1 else 4
                await one.until(lambda n=n, k=before: len(receiver.counts(f"/{n - 1}")) == k)
                patch = WebhookPatch(url=receiver.url(f"/{n}"))
                await first.control.webhooks.change(SYSTEM, one.account.id, webhook.id, patch)
                for by in (first, second):
                    await one.publish(by)
                    await second.dispatcher.backlogs.look()
                await one.until(lambda n=n: len(receiver.counts(f"/{n}")) == 2)
                assert len(receiver.counts(f"/{n - 1}")) == before

    run(scenario)


@NEWS
def test_a_webhook_is_disabled_everywhere(tmp_path: Path, receiver: LedgerReceiver, told: bool):  # noqa: FBT001
    """What waits for it is held by whoever sends for it; enabled again in any process, it goes out."""
    receiver.script(PATH, Answer(500), Answer())

    async def scenario() -> None:
        async with house(tmp_path, "all", "all") as one:
            first, second = one.apps
            if not told:
                silence(one)
            webhook = await one.hook(receiver.url(PATH), second)
            await one.publish(first)
            await one.until(lambda: len(receiver.counts(PATH)) == 1)
            await one.until(lambda: not second.settler.waiting and not second.dispatcher.in_flight)
            await first.control.webhooks.disable(SYSTEM, one.account.id, webhook.id, "enough")
            await polled(first, second)
            await one.advance(10)
            lane = second.dispatcher._holdings.get(webhook.id)
            await one.until(lambda: lane is not None and lane.held_until > one.clock.now_ms() + 1000)
            await asyncio.sleep(0.1)
            assert len(receiver.arrivals(PATH)) == 1
            await first.control.webhooks.enable(SYSTEM, one.account.id, webhook.id, held="resume")
            await polled(first, second)
            await one.succeeded(1)

    run(scenario)
    assert len(receiver.arrivals(PATH)) == 2


@NEWS
def test_what_waits_for_a_deleted_webhook_is_dropped(tmp_path: Path, receiver: LedgerReceiver, told: bool):  # noqa: FBT001
    """By the process that deletes it, whoever sends for it; that one forgets it."""
    receiver.script(PATH, Answer(500))

    async def scenario() -> None:
        async with house(tmp_path, "all", "all") as one:
            first, second = one.apps
            if not told:
                silence(one)
            webhook = await one.hook(receiver.url(PATH), second)
            for _ in range(3):
                await one.publish(first)
            await one.until(lambda: len(receiver.counts(PATH)) == 3)
            await one.until(lambda: not second.settler.waiting and not second.dispatcher.in_flight)
            await first.control.webhooks.remove(SYSTEM, one.account.id, webhook.id)

            async def cancelled() -> bool:
                return await one.states() == {DeliveryState.CANCELLED: 3}

            await one.until(cancelled)
            await polled(second)
            await one.advance(30)
            assert len(receiver.arrivals(PATH)) == 3

    run(scenario)


def test_what_nobody_told_of_is_found(tmp_path: Path, receiver: LedgerReceiver):
    """Deliveries that another process has stored are sent once the store is looked through; also by a lane that had
    nothing to do, and by one that waits for later.
    """

    async def scenario() -> None:
        async with house(tmp_path, "all", "all") as one:
            first, second = one.apps
            await one.hook(receiver.url(PATH), second)
            silence(one)
            for number in (1, 2):
                await one.publish(first)
                await asyncio.sleep(0.05)
                assert len(receiver.counts(PATH)) == number - 1
                await second.dispatcher.backlogs.look()
                await one.succeeded(number)
            await one.publish(second)
            await one.succeeded(3)

    run(scenario)


def test_a_webhook_that_is_new_is_not_taken_for_deleted(tmp_path: Path, receiver: LedgerReceiver):
    """A process that sends for a webhook which was made in another, and of which it has not heard, sends to it."""

    async def scenario() -> None:
        async with house(tmp_path, "all", "all") as one:
            first, second = one.apps
            silence(one)
            for app in one.apps:
                app.changes._task.cancel()  # type: ignore[union-attr]
            await second.directory.view(one.account.id)
            await one.hook(receiver.url(PATH), second)
            await one.publish(first)
            await second.dispatcher.backlogs.look()
            await one.succeeded(1)

    run(scenario)


def test_a_success_by_hand_elsewhere_ends_the_run_of_failures(tmp_path: Path, receiver: LedgerReceiver):
    """A retry that is asked of a process which does not send for the webhook counts where it is sent for."""
    receiver.script(PATH, Answer(500), Answer())

    async def scenario() -> None:
        async with house(tmp_path, "all", "all") as one:
            first, second = one.apps
            webhook = await one.hook(receiver.url(PATH), second)
            await one.publish(first)
            await one.until(lambda: len(receiver.counts(PATH)) == 1)
            await one.until(lambda: not second.settler.waiting and not second.dispatcher.in_flight)
            lane = second.dispatcher._holdings[webhook.id]
            assert lane.unbroken_since is not None
            [delivery] = await one.deliveries()
            attempt = await first.manual.retry_now(one.account.id, delivery.id)
            assert attempt.outcome.ok
            await one.until(lambda: lane.unbroken_since is None)
            await one.succeeded(1)

    run(scenario)
