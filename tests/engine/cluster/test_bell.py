"""What is rung in one process is heard in the others: once, for all that say the same."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from tocsin.channels.chat import PaceRule
from tocsin.clock import ManualClock, Millis
from tocsin.engine.cluster.bell import Bell
from tocsin.errors import Unavailable

RULE = PaceRule(key="chat", count=1, window_s=1.0)


class Street:
    """News among the bells of one test; it counts what is told, and can be dug up."""

    def __init__(self) -> None:
        self.houses: list[Lines] = []
        self.told: list[str] = []
        self.dug_up = False


class Lines:
    def __init__(self, street: Street) -> None:
        self._street = street
        self.heard: Callable[[str], None] = lambda _: None
        self.lost: Callable[[], None] = lambda: None
        street.houses.append(self)

    async def tell(self, lines: Sequence[str]) -> None:
        if self._street.dug_up:
            raise Unavailable("the street is dug up")
        self._street.told += lines
        for other in self._street.houses:
            if other is not self:
                for line in lines:
                    other.heard(line)

    async def listen(self, heard: Callable[[str], None], lost: Callable[[], None]) -> None:
        self.heard, self.lost = heard, lost


class Parts:
    """All that act, and write down what they were told."""

    def __init__(self) -> None:
        self.did: list[tuple[Any, ...]] = []
        self.shards = frozenset({1, 2})

    def forget(self, account_id: int) -> None:
        self.did.append(("forget", account_id))

    def stored(self, webhook_id: int, account_id: int, due_at: int, shard: int | None = None) -> None:
        self.did.append(("stored", webhook_id, account_id, due_at, shard))

    def webhook_changed(self, webhook: Any) -> None:
        self.did.append(("webhook_changed", webhook.id))

    def account_changed(self, account_id: int) -> None:
        self.did.append(("account_changed", account_id))

    def succeeded(self, webhook_id: int) -> None:
        self.did.append(("succeeded", webhook_id))

    def sent_by_hand(self, rules: Sequence[PaceRule], now: int) -> None:
        self.did.append(("sent_by_hand", *rules))

    def hold_paces(self, keys: Sequence[str], wait_s: float, now: Millis, *, refused: bool) -> Millis:
        self.did.append(("hold_paces", tuple(keys), wait_s, refused))
        return now

    def set(self, due_at: int) -> None:
        self.did.append(("set", due_at))


class Wakes:
    def __init__(self, parts: Parts, name: str) -> None:
        self._parts = parts
        self._name = name

    def wake(self) -> None:
        self._parts.did.append((self._name,))


async def hung(street: Street, *, shared: bool = True) -> tuple[Bell, Parts]:
    bell, parts = Bell(Lines(street), ManualClock(), shared=shared), Parts()
    bell.attach(
        views=parts,
        lanes=parts,
        settings=parts,
        turns=parts,
        backlogs=Wakes(parts, "backlogs"),
        jobs=Wakes(parts, "jobs"),
        mail=Wakes(parts, "mail"),
        timers=parts,
        members=Wakes(parts, "members"),
    )
    await bell.start()
    return bell, parts


def ring_all(bell: Bell) -> None:
    bell.waiting(7, 3, 2, Millis(100))
    bell.account_changed(3)
    bell.sent_by_hand([RULE], Millis(0))
    bell.hold_paces(["chat"], 2.5, Millis(0), refused=True)
    bell.job_written()
    bell.timer_set(Millis(50))
    bell.notice_written()
    bell.shards_given()


def test_everything_that_is_rung_is_heard():
    """Each line means to the others what it meant where it was rung."""

    async def scenario() -> None:
        street = Street()
        (one, here), (other, there) = await hung(street), await hung(street)
        ring_all(one)
        await one.stop()
        await other.stop()
        assert there.did == [
            ("stored", 7, 3, 100, 2),
            ("forget", 3),
            ("account_changed", 3),
            ("sent_by_hand", RULE),
            ("hold_paces", ("chat",), 2.5, True),
            ("jobs",),
            ("set", 50),
            ("mail",),
            ("members",),
        ]
        assert here.did == [
            ("forget", 3),
            ("sent_by_hand", RULE),
            ("hold_paces", ("chat",), 2.5, True),
            ("jobs",),
            ("set", 50),
            ("mail",),
        ]

    asyncio.run(scenario())


def test_a_flood_is_told_in_few_lines():
    """Of many deliveries that wait for one webhook the others hear once, with the earliest due time."""

    async def scenario() -> None:
        street = Street()
        (one, _), (other, there) = await hung(street), await hung(street)
        for due_at in range(1_000, 2_000):
            one.waiting(7, 3, 1, Millis(due_at))
            one.account_changed(3)
        one.waiting(7, 3, 1, Millis(500))
        await one.stop()
        await other.stop()
        assert len(street.told) == 2
        assert there.did == [("stored", 7, 3, 500, 1), ("forget", 3), ("account_changed", 3)]

    asyncio.run(scenario())


def test_what_is_not_ones_own_is_passed_over():
    """Deliveries of shards that another has; lines of a newer program, and nonsense."""

    async def scenario() -> None:
        street = Street()
        (one, _), (other, there) = await hung(street), await hung(street)
        one.waiting(7, 3, 9, Millis(1))
        await one.stop()
        for line in ('["thunder",1]', "[]", "nonsense", '["changed"]', '["waiting","x",1,1,1]'):
            street.houses[1].heard(line)
        assert there.did == []
        street.houses[1].lost()
        assert there.did == [("backlogs",), ("members",)]
        await other.stop()

    asyncio.run(scenario())


def test_news_that_cannot_be_told_are_forgotten():
    """They do not pile up, and those that come after them are told."""

    async def scenario() -> None:
        street = Street()
        (one, _), (other, there) = await hung(street), await hung(street)
        street.dug_up = True
        one.job_written()
        await asyncio.sleep(0.05)
        street.dug_up = False
        one.notice_written()
        await one.stop()
        await other.stop()
        assert there.did == [("mail",)]

    asyncio.run(scenario())


def test_a_process_that_is_alone_tells_nobody():
    """On a database of its own nothing is told; what happens here is acted on here."""

    async def scenario() -> None:
        street = Street()
        one, here = await hung(street, shared=False)
        ring_all(one)
        await one.stop()
        assert street.told == []
        assert ("jobs",) in here.did

    asyncio.run(scenario())
