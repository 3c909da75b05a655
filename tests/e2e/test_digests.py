"""Floods are kept from people: windows, quiet hours, incidents, outages and restarts, with a real server and chats that
enforce their services' limits.
"""

import asyncio
import itertools
import re
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.api.site import LocalShop, Site
from tocsin.clock import ManualClock
from tocsin.errors import Unavailable
from tocsin.receiver.doubles import DiscordDouble, Double, SlackDouble, TelegramDouble

NOON = 1_773_144_000_000  # 2026-03-10T12:00:00Z
CLICK, FRAUD, CONVERSION = "click.created", "fraud.detected", "conversion.created"
_COUNTED = re.compile(r"([\d,]+) alerts?\b")


class Evening:
    """A server and a chat on one clock, which is moved by hand."""

    def __init__(self, folder: Path, chat: type[Double]) -> None:
        self.folder = folder
        self.clock = ManualClock(NOON)
        self.site = Site(folder, clock=self.clock)
        self._kind = chat
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chat", daemon=True)
        self.chat: Double

    def __enter__(self) -> Self:
        self._thread.start()
        self.site.__enter__()
        self.chat = self._kind(clock=self.clock)
        self._run(self.chat.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self.chat.__aexit__(None, None, None))
        self.site.__exit__()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> None:
        """On the chat's own loop: it outlives the server."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(40)

    def restart(self) -> None:
        """The server stops as it should, and another one goes on with its database and its key."""
        key = self.site.operator_key
        self.site.__exit__()
        self.site = Site(self.folder, clock=self.clock, admin_key=key)
        self.site.operator_key = key
        self.site.__enter__()

    def shop(self, **more) -> LocalShop:
        return self.site.operator.shop(**more)

    def connect(self, shop: LocalShop, **options) -> str:
        events = [CLICK, FRAUD, CONVERSION, "budget.exhausted"]
        made = shop.webhook(self.chat.address, events, channel=self.chat.service, options=options)
        self.after(61)  # so that paces know that nothing was sent before
        return made["id"]

    def after(self, seconds: float, step: float = 1.0) -> None:
        """So much time passes, and whatever is due then has been done."""
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            seconds -= step
            self.settle()

    def tick(self) -> None:
        """Wakes what is due now, and waits for nothing."""

        async def tick() -> None:
            self.site.app.dispatcher.tick()

        self.site.run(tick())

    def settle(self) -> None:
        """Waits until nothing is under way at this instant."""

        quiet = 0
        while quiet < 3:
            self.tick()
            time.sleep(0.002)
            quiet = 0 if self._busy() else quiet + 1

    def _busy(self) -> bool:
        dispatcher = self.site.app.dispatcher
        claims = dispatcher._claims
        claiming = any(lane.claiming for lane in list(dispatcher._holdings))
        waiting = claims._plain.lanes or claims._gathering.lanes
        return bool(dispatcher.in_flight or self.site.app.settler.waiting or claiming or waiting)

    def texts(self) -> list[str]:
        return [message.text for message in self.chat.messages]

    def titles(self) -> list[str]:
        return [text.splitlines()[0] for text in self.texts()]

    def counted(self) -> int:
        """How many alerts the chat shows: a message is one, or as many as it says."""
        return sum(counted(title) for title in self.titles())

    def summaries(self) -> list[str]:
        return [title for title in self.titles() if "alerts in" in title]


def counted(title: str) -> int:
    found = _COUNTED.search(title)
    return int(found[1].replace(",", "")) if found else 1


def states(shop: LocalShop, webhook: str) -> dict[str, int]:
    """The deliveries of events, by state."""
    found: dict[str, int] = {}
    for one in shop.deliveries(webhook=webhook):
        if one["id"].startswith("dlv_"):
            found[one["status"]] = found.get(one["status"], 0) + 1
    return found


@pytest.fixture(params=[SlackDouble, TelegramDouble, DiscordDouble], ids=lambda kind: kind.service)
def evening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Evening]:
    with Evening(tmp_path, request.param) as evening:
        yield evening


@pytest.fixture
def slack(tmp_path: Path) -> Iterator[Evening]:
    with Evening(tmp_path, SlackDouble) as evening:
        yield evening


def test_the_first_at_once_then_one_summary(evening: Evening) -> None:
    """Of a window five are told on their own as they come, and the rest in one message at its end; nothing is refused
    by the service, and each delivery says what became of it.
    """
    shop = evening.shop()
    webhook = evening.connect(shop)
    for _ in range(12):
        shop.publish(CLICK)
        evening.after(1)
    evening.after(10)
    assert len(evening.texts()) == 5
    assert states(shop, webhook) == {"succeeded": 5, "digested": 7}
    evening.after(40)
    assert evening.titles()[5:] == ["📊 7 alerts in 6 seconds"]
    shop.publish(CLICK)
    evening.after(5)
    assert len(evening.texts()) == 7
    assert evening.counted() == 13
    assert evening.chat.refused == []
    (digest,) = [one for one in shop.deliveries(webhook=webhook) if one["id"].startswith("dig_")]
    assert digest["status"] == "succeeded"


def test_one_more_than_fits_is_told_as_itself(slack: Evening) -> None:
    """A summary of one alert is that alert."""
    shop = slack.shop()
    slack.connect(shop, digest={"window_s": 60, "max": 1})
    shop.publish(CLICK)
    shop.publish(CONVERSION)
    slack.after(90)
    assert len(slack.texts()) == 2
    assert "Payout" in slack.texts()[1]
    assert "alert" not in slack.titles()[1]


def test_quiet_hours_hold_and_end_in_one_summary(slack: Evening) -> None:
    """At night nothing is told but what is urgent; the morning begins with one summary of all of it."""
    shop = slack.shop(timezone="Europe/Berlin")
    quiet = {"from": "22:00", "to": "07:00"}
    webhook = slack.connect(shop, quiet_hours=quiet, urgent=["budget.*"], digest={"window_s": 60, "max": 2})
    slack.after(9 * 3_600 - 61 - 30, step=600)  # 21:59:30 in Berlin
    for _ in range(4):
        shop.publish(CLICK)
    slack.after(10)
    assert len(slack.texts()) == 2
    for hour in range(8):
        slack.after(3_600, step=600)
        shop.publish(FRAUD)
        if hour == 3:
            shop.publish("budget.exhausted")
    slack.after(20)
    assert len(slack.texts()) == 3
    assert "Budget" in slack.titles()[2]
    slack.after(3_610, step=10)
    assert len(slack.texts()) == 4
    assert slack.titles()[3].startswith("📊 10 alerts in 8 hours")
    assert slack.counted() == 13
    assert states(shop, webhook) == {"succeeded": 3, "digested": 10}


def test_what_is_urgent_breaks_through_a_flood(slack: Evening) -> None:
    """It is told at once, as itself, while everything else waits for the summary."""
    shop = slack.shop()
    slack.connect(shop, urgent=["budget.exhausted"])
    for _ in range(30):
        shop.publish(CLICK)
    slack.after(10)
    shop.publish("budget.exhausted")
    slack.after(2)
    assert len(slack.texts()) == 6
    assert "Budget" in slack.titles()[5]


@pytest.mark.parametrize("kind", [TelegramDouble, DiscordDouble], ids=lambda kind: kind.service)
def test_a_burst_of_fraud_is_one_message_that_is_edited(tmp_path: Path, kind: type[Double]) -> None:
    """It is posted when the window is full, edited as it goes on, at most every five seconds, and says when it is
    over; what comes afterwards is news again.
    """
    with Evening(tmp_path, kind) as evening:
        shop = evening.shop()
        webhook = evening.connect(shop)
        for _ in range(45):
            shop.publish(FRAUD)
            shop.publish(FRAUD)
            evening.after(1)
        incident = evening.chat.messages[5]
        assert incident.text.startswith("🚨 Fraud burst: ")
        assert 4 <= len(incident.edits) <= 10
        times = [edit.at for edit in incident.edits]
        assert all(later - earlier >= 5_000 for earlier, later in itertools.pairwise(times))
        evening.after(75)
        assert incident.text.splitlines()[0] == "🏁 Fraud burst over: 85 alerts in 42 seconds"
        assert "€63.75" in incident.text
        assert len(evening.texts()) == 6
        assert evening.counted() == 90
        edits = len(incident.edits)
        evening.after(120, step=5)
        assert len(incident.edits) == edits
        shop.publish(FRAUD)
        evening.after(3)
        assert len(evening.texts()) == 7
        assert states(shop, webhook) == {"succeeded": 6, "digested": 85}
        assert evening.chat.refused == []


def test_an_incident_whose_message_was_deleted_is_posted_anew(tmp_path: Path) -> None:
    """Somebody tidied the chat up: the next words are a new message, and go on from there."""
    with Evening(tmp_path, TelegramDouble) as evening:
        shop = evening.shop()
        evening.connect(shop, digest={"window_s": 60, "max": 0})
        shop.publish(FRAUD)
        evening.after(8)
        evening.chat.fail_with("edit_not_found")
        shop.publish(FRAUD)
        evening.after(20)
        assert evening.titles()[-1].startswith("🚨 Fraud burst: 2 alerts")
        assert len(evening.texts()) == 2
        evening.after(60)
        assert evening.titles()[-1].startswith("🏁 Fraud burst over: 2 alerts")
        assert len(evening.texts()) == 2


def test_an_outage_leaves_one_summary(slack: Evening) -> None:
    """However many windows pass while the service is down, what was counted is told in one message afterwards."""
    shop = slack.shop()
    webhook = slack.connect(shop, digest={"window_s": 60, "max": 0})
    slack.chat.fail_with("unavailable", times=None)
    for _ in range(10):
        for _ in range(3):
            shop.publish(CLICK)
        slack.after(61, step=5)
    refused = len(slack.chat.refused)
    assert 10 <= refused <= 16  # each window's end, and what the schedule asks for
    slack.chat.recover()
    slack.after(2 * 3_600, step=20)
    (summary,) = slack.titles()
    assert counted(summary) == 30
    assert states(shop, webhook) == {"digested": 30}


def test_an_outage_with_messages_on_their_own(evening: Evening) -> None:
    """Singles that failed take the places of a later window, or are counted: nothing is told twice, or not at all."""
    shop = evening.shop()
    webhook = evening.connect(shop, digest={"window_s": 60, "max": 2})
    evening.chat.fail_with("unavailable", times=None)
    for _ in range(4):
        for _ in range(5):
            shop.publish(CLICK)
            shop.publish(FRAUD)
        evening.after(61, step=5)
    evening.chat.recover()
    evening.after(3 * 3_600, step=20)
    assert evening.counted() == 40
    assert len(evening.texts()) <= 12
    assert sum(states(shop, webhook).values()) == 40
    assert set(states(shop, webhook)) <= {"succeeded", "digested"}


def test_a_pause_that_the_service_asks_for(slack: Evening) -> None:
    """While the chat is being held alerts are counted, and afterwards the window's rule applies."""
    shop = slack.shop()
    slack.connect(shop, digest={"window_s": 60, "max": 3})
    slack.chat.fail_with("rate_limited", retry_after=300)
    for _ in range(20):
        shop.publish(CLICK)
        slack.after(10)
    assert slack.texts() == []
    slack.after(130)
    slack.after(90)
    assert slack.counted() == 20
    assert len(slack.texts()) <= 5


def test_a_muted_webhook_tells_afterwards_and_floods_nobody(slack: Evening) -> None:
    """What came while it was muted is told by the window's rule: some on their own, the rest in one summary."""
    shop = slack.shop()
    webhook = slack.connect(shop)
    shop.post(f"/v1/webhooks/{webhook}/mute", {"hours": 2})
    for _ in range(40):
        shop.publish(CLICK)
        slack.after(60, step=20)
    assert slack.texts() == []
    slack.after(90 * 60, step=30)
    assert len(slack.texts()) == 6
    assert slack.counted() == 40


def test_a_disabled_webhook_holds_its_digest_and_may_drop_it(slack: Evening) -> None:
    """What was counted waits as deliveries do; enabling tells it, or drops it with all that it counts."""
    shop = slack.shop()
    webhook = slack.connect(shop, digest={"window_s": 60, "max": 1})
    for held, told in (("resume", 4), ("drop", 1)):
        before = slack.counted()
        for _ in range(4):
            shop.publish(CLICK)
        slack.after(5)
        shop.post(f"/v1/webhooks/{webhook}/disable")
        slack.after(300, step=10)
        assert slack.counted() == before + 1
        shop.post(f"/v1/webhooks/{webhook}/enable", {"held": held})
        slack.after(90)
        assert slack.counted() == before + told
    shop.publish(CLICK)
    slack.after(70)
    assert slack.counted() == 6


def test_a_cancelled_digest_takes_no_more(slack: Evening) -> None:
    """Cancelled by hand while it waits, it is never sent, and what comes then is counted in another."""
    shop = slack.shop()
    webhook = slack.connect(shop, digest={"window_s": 60, "max": 0})
    shop.publish(CLICK)
    shop.publish(CLICK)
    slack.after(2)
    (digest,) = [one for one in shop.deliveries(webhook=webhook) if one["id"].startswith("dig_")]
    shop.post(f"/v1/deliveries/{digest['id']}/cancel")
    shop.publish(CLICK)
    shop.publish(CLICK)
    shop.publish(CLICK)
    slack.after(70)
    assert [counted(title) for title in slack.titles()] == [3]


def test_a_restart_neither_loses_nor_repeats(tmp_path: Path) -> None:
    """A window and its digest outlive the process: what was counted before is told with what comes after."""
    with Evening(tmp_path, SlackDouble) as evening:
        shop = evening.shop()
        webhook = evening.connect(shop, digest={"window_s": 60, "max": 2})
        for _ in range(6):
            shop.publish(CLICK)
        evening.after(10)
        evening.restart()
        shop.site = evening.site
        for _ in range(6):
            shop.publish(CLICK)
        evening.after(20)
        assert len(evening.texts()) == 2
        evening.after(60)
        assert [counted(title) for title in evening.titles()] == [1, 1, 10]
        evening.restart()
        shop.site = evening.site
        evening.after(120)
        assert len(evening.texts()) == 3
        assert states(shop, webhook) == {"succeeded": 2, "digested": 10}


def test_a_restart_during_an_incident(tmp_path: Path) -> None:
    """The message that is there goes on being edited, and is closed."""
    with Evening(tmp_path, DiscordDouble) as evening:
        shop = evening.shop()
        evening.connect(shop, digest={"window_s": 60, "max": 0})
        for _ in range(3):
            shop.publish(FRAUD)
            evening.after(6)
        evening.restart()
        shop.site = evening.site
        shop.publish(FRAUD)
        evening.after(90)
        assert evening.titles() == ["🏁 Fraud burst over: 4 alerts in 18 seconds"]


def test_a_flood_is_counted_and_tells_little(evening: Evening) -> None:
    """Two thousand fraud events at once: the chat gets what its settings allow, and not one is uncounted."""
    shop = evening.shop()
    webhook = evening.connect(shop, digest={"window_s": 60, "max": 5})
    for _ in range(10):
        shop.publish_batch([shop.event(FRAUD) for _ in range(200)])
    evening.after(150)
    assert len(evening.texts()) == 6
    assert evening.counted() == 2_000
    assert evening.chat.refused == []
    assert states(shop, webhook) == {"succeeded": 5, "digested": 1_995}


# --- trouble beneath ----------------------------------------------------------------------------------------------


class Troubled:
    """The store's digests, with a store that answers late, or not at all, now and then."""

    def __init__(self, digests: Any, *, late_s: float = 0.0, lost: int = 0, written: bool = False) -> None:
        self._digests = digests
        self._late_s = late_s
        self._written = written
        self.lost = lost

    async def gather(self, gathered: Any, epoch: int) -> None:
        await asyncio.sleep(self._late_s)
        if self.lost and not self._written:
            self.lost -= 1
            raise Unavailable("the store does not answer")
        await self._digests.gather(gathered, epoch)
        if self.lost:
            self.lost -= 1
            raise Unavailable("nobody knows whether it was written", code="commit_unknown")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._digests, name)


def trouble(evening: Evening, **how: Any) -> Troubled:
    gatherer = evening.site.app.dispatcher._claims._gatherer
    gatherer._digests = Troubled(evening.site.app.store.digests, **how)
    return gatherer._digests


@pytest.mark.parametrize("written", [False, True])
def test_a_store_that_fails_loses_nothing(slack: Evening, written: bool) -> None:  # noqa: FBT001 - a parameter
    """What could not be written for sure is sorted again: each alert is told or counted once, and not more is told."""
    shop = slack.shop()
    webhook = slack.connect(shop, digest={"window_s": 60, "max": 3})
    for n in range(12):
        if n in (1, 6):
            broken = trouble(slack, lost=2, written=written)
        shop.publish(CLICK)
        slack.after(2)
    slack.after(90)
    assert broken.lost == 0
    assert slack.counted() == 12
    assert len(slack.texts()) <= 5
    assert set(states(shop, webhook)) <= {"succeeded", "digested"}


def test_an_incident_that_is_told_while_it_is_counted(tmp_path: Path) -> None:
    """A slow store writes what was counted while the message is on its way: the incident goes on, and closes whole."""
    with Evening(tmp_path, TelegramDouble) as evening:
        shop = evening.shop()
        webhook = evening.connect(shop, digest={"window_s": 30, "max": 0})
        trouble(evening, late_s=0.03)
        for _ in range(40):
            shop.publish(FRAUD)
            evening.clock.advance(0.5)
            evening.tick()
        evening.after(60)
        evening.settle()
        assert [counted(title) for title in evening.titles()] == [40]
        assert evening.titles()[0].startswith("🏁")
        assert states(shop, webhook) == {"digested": 40}


def test_an_erasure_while_a_digest_is_open(slack: Evening) -> None:
    """Whoever is erased is in no message that is sent afterwards; what was counted stays counted, and goes on."""
    shop = slack.shop()
    slack.connect(shop, digest={"window_s": 60, "max": 0})
    for _ in range(3):
        shop.publish(FRAUD, visitor={"id": "vis_erased", "ip": "203.0.113.9"})
    slack.after(2)
    shop.ok("DELETE", "/v1/visitors/vis_erased")
    for _ in range(2):
        shop.publish(FRAUD, visitor={"id": "vis_other"})
    slack.after(70)
    (text,) = slack.texts()
    assert counted(text) == 5
    assert "vis_erased" not in text
    assert "203.0" not in text


def test_changed_options_hold_for_what_comes_next(slack: Evening) -> None:
    """A window made shorter, or quiet hours taken away, bring what has gathered forward."""
    shop = slack.shop()
    webhook = slack.connect(shop, digest={"window_s": 3_600, "max": 1})
    for _ in range(5):
        shop.publish(CLICK)
    slack.after(30)
    assert len(slack.texts()) == 1
    shop.change(webhook, options={"digest": {"window_s": 60, "max": 1}})
    shop.publish(CLICK)
    slack.after(40)
    assert [counted(title) for title in slack.titles()] == [1, 5]
    shop.publish(CLICK)
    shop.publish(CLICK)
    slack.after(2)
    shop.change(webhook, options={"quiet_hours": {"from": "11:00", "to": "12:10"}})
    slack.after(120)
    assert slack.counted() == 7  # a summary was due meanwhile
    shop.publish(CLICK)
    slack.after(600, step=20)
    assert slack.counted() == 9
    shop.change(webhook, options={"quiet_hours": {"from": "11:00", "to": "18:00"}})
    shop.publish(CLICK)
    slack.after(120)
    assert slack.counted() == 9
    shop.change(webhook, options={"quiet_hours": None})
    shop.publish(CLICK)
    shop.publish(CLICK)
    slack.after(90)
    assert slack.counted() == 12


def test_a_summary_that_was_not_sent_waits_for_the_morning(tmp_path: Path) -> None:
    """The chat was throttling, the server stopped, and the night began: it is told in the morning, with what came
    then, and what is urgent goes on at once.
    """
    with Evening(tmp_path, SlackDouble) as evening:
        shop = evening.shop()
        webhook = evening.connect(shop, digest={"window_s": 10, "max": 0}, urgent=["budget.exhausted"])
        evening.chat.fail_with("rate_limited", retry_after=120)
        shop.publish(CLICK)
        shop.publish(CLICK)
        evening.after(12)
        assert len(evening.chat.refused) == 1
        evening.restart()
        shop.site = evening.site
        shop.change(webhook, options={"quiet_hours": {"from": "12:01", "to": "14:00", "timezone": "UTC"}})
        evening.after(150)
        shop.publish("budget.exhausted")
        shop.publish(CLICK)
        evening.after(60)
        assert len(evening.texts()) == 1
        evening.after(2 * 3_600, step=60)
        evening.after(30)
        assert [counted(title) for title in evening.titles()] == [1, 3]
        assert states(shop, webhook) == {"digested": 3, "succeeded": 1}


@pytest.mark.parametrize("fails", [False, True])
def test_what_comes_while_a_digest_is_sent_by_hand(slack: Evening, fails: bool) -> None:  # noqa: FBT001 - a parameter
    """It is not counted in what is on its way already: it is told with the next one."""
    shop = slack.shop()
    webhook = slack.connect(shop, digest={"window_s": 60, "max": 0})
    shop.publish(CLICK)
    shop.publish(CLICK)
    slack.after(5)
    (digest,) = [one for one in shop.deliveries(webhook=webhook) if one["id"].startswith("dig_")]
    answer, hold = threading.Event(), threading.Event()
    own = slack.chat._told_to

    def slow() -> Any:
        hold.set()
        assert answer.wait(20)
        slack.chat._told_to = own
        return own()

    slack.chat._told_to = slow
    if fails:
        slack.chat.fail_with("unavailable")
    retry = threading.Thread(target=shop.call, args=("POST", f"/v1/deliveries/{digest['id']}/retry"))
    retry.start()
    assert hold.wait(20)
    for _ in range(3):
        shop.publish(CLICK)
    slack.after(5)
    answer.set()
    retry.join(20)
    slack.after(130)
    assert [counted(title) for title in slack.titles()] == ([5] if fails else [2, 3])
    assert states(shop, webhook) == {"digested": 5}
