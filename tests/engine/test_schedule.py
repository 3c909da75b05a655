"""The 75-hour schedule of a delivery through the real engine, store and sender, on a clock that the test moves."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tocsin.app import App, open_app
from tocsin.clock import ManualClock
from tocsin.config import Settings
from tocsin.control.accounts import NewAccount
from tocsin.control.actor import Actor
from tocsin.control.webhook_bodies import NewWebhook
from tocsin.model import DeliveryState, Webhook, WebhookState
from tocsin.store.port import DeliveryFilter, Page

SCHEDULE_S = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]  # CONTRACT §4, standard
SYSTEM = Actor()
PATH = "/hook"


class Walk:
    """One account with one webhook, and a clock."""

    def __init__(self, app: App, clock: ManualClock, account_id: int, webhook: Webhook) -> None:
        self.app = app
        self.clock = clock
        self.account_id = account_id
        self.webhook = webhook

    async def publish(self, **data: object) -> None:
        example = (await self.app.directory.view(self.account_id)).entry("click.created").event_type.example
        await self.app.ingest.publish(self.account_id, "click.created", json.dumps({**example, **data}).encode())

    async def deliveries(self):
        found, _ = await self.app.store.records.deliveries(self.account_id, DeliveryFilter(), Page(limit=50))
        return found

    async def settled(self, attempts: int):
        """The only delivery, once it has had that many attempts and each of them is written down."""
        async with asyncio.timeout(10):
            while True:
                [delivery] = await self.deliveries()
                if delivery.attempts == attempts and delivery.state is not DeliveryState.SENDING:
                    return delivery
                await asyncio.sleep(0.005)

    async def webhook_state(self) -> WebhookState:
        return (await self.app.store.webhooks.get(self.account_id, self.webhook.id)).state

    def advance_to(self, at_ms: int) -> None:
        self.clock.advance((at_ms - self.clock.now_ms()) / 1000)
        self.app.dispatcher.tick()


async def walk(folder: Path, url: str, clock: ManualClock) -> Walk:
    settings = Settings(db=f"sqlite:///{folder}/t.db", allow_http=True, allow_networks="127.0.0.0/8", drain_s=1)
    app = await open_app(settings, clock)
    account, _ = await app.control.accounts.create(SYSTEM, NewAccount(name="Walk"))
    webhook, _ = await app.control.webhooks.create(SYSTEM, account.id, NewWebhook(url=url, events=("click.created",)))
    await app.directory.view(account.id)
    return Walk(app, clock, account.id, webhook)


def test_ten_attempts_over_75_hours_and_then_it_has_failed(tmp_path: Path, receiver: LedgerReceiver):
    """Each retry is due its delay after the end of the attempt before, never early, and the tenth is the last."""
    receiver.script(PATH, Answer(500))

    async def scenario() -> None:
        clock = ManualClock()
        one = await walk(tmp_path, receiver.url(PATH), clock)
        try:
            began = clock.now_ms()
            await one.publish()
            for n, delay_s in enumerate(SCHEDULE_S, start=1):
                delivery = await one.settled(n)
                assert delivery.state is DeliveryState.RETRYING
                wait_s = (delivery.due_at - clock.now_ms()) / 1000
                assert delay_s <= wait_s <= delay_s + max(1, delay_s / 10)
                one.advance_to(delivery.due_at - 1)
                await asyncio.sleep(0.03)
                assert len(receiver.arrivals(PATH)) == n
                one.advance_to(delivery.due_at)
            delivery = await one.settled(10)
            assert delivery.state is DeliveryState.FAILED
            assert 75 * 3600 < (clock.now_ms() - began) / 1000 < 84 * 3600
            assert await one.webhook_state() is WebhookState.ACTIVE
        finally:
            await one.app.close()
        attempts = receiver.arrivals(PATH)
        assert len(attempts) == 10
        assert len({arrival.id for arrival in attempts}) == 1
        assert len({arrival.headers["webhook-timestamp"] for arrival in attempts}) == 10

    asyncio.run(scenario())


def test_the_schedule_goes_on_after_a_restart_in_its_middle(tmp_path: Path, receiver: LedgerReceiver):
    """A retry that was due while the system was down goes out after it is back, and counts as the one it is."""
    receiver.script(PATH, Answer(500), Answer(500), Answer(200))

    async def scenario() -> None:
        clock = ManualClock()
        one = await walk(tmp_path, receiver.url(PATH), clock)
        await one.publish()
        delivery = await one.settled(1)
        one.advance_to(delivery.due_at)
        delivery = await one.settled(2)
        await one.app.close()
        clock.advance(86_400)
        settings = one.app.settings
        one.app = await open_app(settings, clock)
        try:
            delivery = await one.settled(3)
            assert delivery.state is DeliveryState.SUCCEEDED
        finally:
            await one.app.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [500, 200])
def test_five_days_without_a_success_disable_the_webhook(tmp_path: Path, receiver: LedgerReceiver, status: int):
    """An unbroken run of failures over five days disables with a reason; one success in between starts it anew."""
    receiver.script(PATH, Answer(500), Answer(status), Answer(500))

    async def scenario() -> None:
        clock = ManualClock()
        one = await walk(tmp_path, receiver.url(PATH), clock)
        try:
            for number, day in enumerate((0, 3, 6)):
                one.advance_to(1_767_225_600_000 + day * 86_400_000)
                await one.publish(number=number)
                async with asyncio.timeout(10):
                    while sum(d.attempts for d in await one.deliveries()) < len(receiver.arrivals(PATH)) or (
                        len(receiver.arrivals(PATH)) <= number
                    ):
                        await asyncio.sleep(0.005)
            await one.app.caretaker.stop()  # whatever it is about to do is done
            async with asyncio.timeout(10):
                wanted = WebhookState.DISABLED if status == 500 else WebhookState.ACTIVE
                while await one.webhook_state() is not wanted:
                    await asyncio.sleep(0.005)
            webhook = await one.app.store.webhooks.get(one.account_id, one.webhook.id)
            if status == 500:
                assert "5 days" in webhook.status_reason
        finally:
            await one.app.close()

    asyncio.run(scenario())


def test_enabling_begins_the_run_of_failures_anew(tmp_path: Path, receiver: LedgerReceiver):
    """A webhook that was disabled for its failures and enabled again has its five days again."""
    receiver.script(PATH, Answer(500))

    async def scenario() -> None:
        clock = ManualClock()
        one = await walk(tmp_path, receiver.url(PATH), clock)
        try:
            await one.publish()
            await one.settled(1)
            clock.advance(6 * 86_400)
            one.app.dispatcher.tick()
            async with asyncio.timeout(10):
                while await one.webhook_state() is not WebhookState.DISABLED:
                    await asyncio.sleep(0.005)
            await one.app.control.webhooks.enable(SYSTEM, one.account_id, one.webhook.id, held="drop")
            seen = len(receiver.arrivals(PATH))
            await one.publish(number=2)
            async with asyncio.timeout(10):
                while len(receiver.arrivals(PATH)) == seen or one.app.dispatcher.in_flight:
                    await asyncio.sleep(0.005)
            await one.app.caretaker.stop()
            assert await one.webhook_state() is WebhookState.ACTIVE
        finally:
            await one.app.close()

    asyncio.run(scenario())


def test_an_event_of_the_first_second_keeps_its_instant(tmp_path: Path, receiver: LedgerReceiver):
    """The timestamp 0 is an instant like any other, not a missing one."""

    async def scenario() -> None:
        one = await walk(tmp_path, receiver.url(PATH), ManualClock())
        try:
            data = json.dumps(one.app.directory.cached(one.account_id).entry("click.created").event_type.example)
            receipt = await one.app.ingest.publish(one.account_id, "click.created", data.encode(), timestamp=0)
            assert receipt.timestamp == 0
        finally:
            await one.app.close()

    asyncio.run(scenario())
