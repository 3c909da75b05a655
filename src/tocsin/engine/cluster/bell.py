"""What happened, said to whoever must act on it: in this process at once, in the others as soon as can be.

    a part ──▶ Bell ──▶ the parts of this process
                 └────▶ news ──▶ Bell ──▶ the parts of every other process

Everything that the others are told of they would find by looking, only later (`store.port.News`). One line says the
same of many: what waits for one webhook, or changes in one account, is told once in `_FLUSH_S`.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

import msgspec

from tocsin.channels.chat import PaceRule
from tocsin.clock import Clock, Millis
from tocsin.errors import TocsinError
from tocsin.model import AccountId, Webhook, WebhookId
from tocsin.store.port import News

log = logging.getLogger(__name__)

# What happens meanwhile is told together: nobody notices so short a wait, and a flood of events costs a hundred lines a
# second and webhook.
_FLUSH_S = 0.01

# Lines that wait to be told; beyond it the others find out by themselves.
_MAX_LINES = 10_000


# --- lines of the news. What an older or newer program says in another form is not understood, and passed over. -------


class Waiting(msgspec.Struct, frozen=True, array_like=True, tag="waiting"):
    """Deliveries wait in the store."""

    webhook_id: WebhookId
    account_id: AccountId
    shard: int
    due_at: Millis


class Changed(msgspec.Struct, frozen=True, array_like=True, tag="changed"):
    """An account's settings, or those of one of its webhooks, are others from now on."""

    account_id: AccountId


class Succeeded(msgspec.Struct, frozen=True, array_like=True, tag="succeeded"):
    """A delivery was brought through by hand."""

    webhook_id: WebhookId


class Paced(msgspec.Struct, frozen=True, array_like=True, tag="paced"):
    """A message went out by hand, into a chat that keeps these paces."""

    rules: tuple[PaceRule, ...]


class Held(msgspec.Struct, frozen=True, array_like=True, tag="held"):
    """A service said to a message by hand that it takes nothing for so long."""

    keys: tuple[str, ...]
    wait_s: float
    refused: bool


class Jobs(msgspec.Struct, frozen=True, array_like=True, tag="jobs"):
    """An event with very many webhooks was accepted."""


class Timers(msgspec.Struct, frozen=True, array_like=True, tag="timers"):
    """A timer was set."""

    due_at: Millis


class Mail(msgspec.Struct, frozen=True, array_like=True, tag="mail"):
    """A notice was written."""


class Shards(msgspec.Struct, frozen=True, array_like=True, tag="shards"):
    """Shards are free."""


Line = Waiting | Changed | Succeeded | Paced | Held | Jobs | Timers | Mail | Shards

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Line)


class Views(Protocol):
    def forget(self, account_id: AccountId) -> None: ...


class Lanes(Protocol):
    """Sends to webhooks."""

    def stored(
        self, webhook_id: WebhookId, account_id: AccountId, due_at: Millis, shard: int | None = None
    ) -> None: ...

    def succeeded(self, webhook_id: WebhookId) -> None: ...

    @property
    def shards(self) -> frozenset[int]: ...


class Settings(Protocol):
    """What its lanes go by."""

    def webhook_changed(self, webhook: Webhook) -> None: ...

    def account_changed(self, account_id: AccountId) -> None: ...


class Turns(Protocol):
    """Of its lanes."""

    def sent_by_hand(self, rules: Sequence[PaceRule], now: Millis) -> None: ...

    def hold_paces(self, keys: Sequence[str], wait_s: float, now: Millis, *, refused: bool) -> Millis: ...


class Waker(Protocol):
    """Does what there is to do as soon as it is woken, if it works in this process."""

    def wake(self) -> None: ...


class Clockwork(Protocol):
    def set(self, due_at: Millis) -> None:
        """A timer was set; it may be the next one."""
        ...


class Bell:
    """Its methods are named after what happened; the parts that act on it are given with `attach`."""

    _views: Views
    _lanes: Lanes
    _settings: Settings
    _turns: Turns
    _backlogs: Waker
    _jobs: Waker
    _mail: Waker
    _timers: Clockwork
    _members: Waker

    def __init__(self, news: News, clock: Clock, *, shared: bool) -> None:
        """`shared`: there may be other processes."""
        self._news = news
        self._clock = clock
        self._shared = shared
        self._lines: dict[object, Line] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def attach(
        self,
        *,
        views: Views,
        lanes: Lanes,
        settings: Settings,
        turns: Turns,
        backlogs: Waker,
        jobs: Waker,
        mail: Waker,
        timers: Clockwork,
        members: Waker,
    ) -> None:
        """Args:
        backlogs: what looks for deliveries that were not told of. jobs: fan-out. mail: what sends notices. members: who
            takes free shards.
        """
        self._views, self._lanes, self._settings, self._turns = views, lanes, settings, turns
        self._backlogs = backlogs
        self._jobs, self._mail, self._timers, self._members = jobs, mail, timers, members

    async def start(self) -> None:
        if self._shared:
            await self._news.listen(self._hear, self._missed)
            self._task = asyncio.create_task(self._tell(), name="bell")

    async def stop(self) -> None:
        """Tells what is still to be told."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self._flush()

    # --- what happened here ---------------------------------------------------------------------------------------

    def waiting(self, webhook_id: WebhookId, account_id: AccountId, shard: int, due_at: Millis) -> None:
        """A delivery waits in the store, for another process."""
        key = (Waiting, webhook_id)
        told = self._lines.get(key)
        if isinstance(told, Waiting):
            due_at = min(due_at, told.due_at)
        self._ring(key, Waiting(webhook_id, account_id, shard, due_at))

    def account_changed(self, account_id: AccountId) -> None:
        self._views.forget(account_id)
        self._ring((Changed, account_id), Changed(account_id))

    def webhook_changed(self, webhook: Webhook) -> None:
        """Its settings or its state, or it is new or deleted."""
        self.account_changed(webhook.account_id)
        self._settings.webhook_changed(webhook)

    def succeeded(self, webhook: Webhook) -> None:
        """A delivery was brought through by hand."""
        if webhook.shard in self._lanes.shards:
            self._lanes.succeeded(webhook.id)
        else:
            self._ring((Succeeded, webhook.id), Succeeded(webhook.id))

    def sent_by_hand(self, rules: Sequence[PaceRule], now: Millis) -> None:
        """Into a chat that keeps these paces."""
        self._turns.sent_by_hand(rules, now)
        self._ring(object(), Paced(tuple(rules)))

    def hold_paces(self, keys: Sequence[str], wait_s: float, now: Millis, *, refused: bool) -> Millis:
        """A service said to a message by hand that it takes nothing for so long; until when."""
        self._ring(object(), Held(tuple(keys), wait_s, refused))
        return self._turns.hold_paces(keys, wait_s, now, refused=refused)

    def job_written(self) -> None:
        """An event with very many webhooks was accepted."""
        self._jobs.wake()
        self._ring(Jobs, Jobs())

    def notice_written(self) -> None:
        self._mail.wake()
        self._ring(Mail, Mail())

    def timer_set(self, due_at: Millis) -> None:
        self._timers.set(due_at)
        told = self._lines.get(Timers)
        self._ring(Timers, Timers(min(due_at, told.due_at) if isinstance(told, Timers) else due_at))

    def shards_given(self) -> None:
        """Others may take them."""
        self._ring(Shards, Shards())

    # --- to the others and from them ------------------------------------------------------------------------------

    def _ring(self, key: object, line: Line) -> None:
        if self._shared and (len(self._lines) < _MAX_LINES or key in self._lines):
            self._lines[key] = line
            self._wake.set()

    async def _tell(self) -> None:
        while True:
            await self._wake.wait()
            await self._flush()
            await asyncio.sleep(_FLUSH_S)

    async def _flush(self) -> None:
        self._wake.clear()
        lines, self._lines = [_encoder.encode(line).decode() for line in self._lines.values()], {}
        if not lines:
            return
        try:
            await self._news.tell(lines)
        except TocsinError as error:
            log.info("news_lost", extra={"lines": len(lines), "reason": error.detail})

    def _hear(self, text: str) -> None:
        try:
            line = _decoder.decode(text)
        except msgspec.DecodeError:
            return  # of a program of another version
        match line:
            case Jobs():
                self._jobs.wake()
            case Timers():
                self._timers.set(line.due_at)
            case Mail():
                self._mail.wake()
            case Shards():
                self._members.wake()
            case _:
                self._hear_of_lanes(line)

    def _hear_of_lanes(self, line: Waiting | Changed | Succeeded | Paced | Held) -> None:
        lanes = self._lanes
        match line:
            case Waiting():
                if line.shard in lanes.shards:
                    lanes.stored(line.webhook_id, line.account_id, line.due_at, line.shard)
            case Changed():
                self._views.forget(line.account_id)
                self._settings.account_changed(line.account_id)
            case Succeeded():
                lanes.succeeded(line.webhook_id)
            case Paced():
                self._turns.sent_by_hand(line.rules, self._clock.now_ms())
            case Held():
                self._turns.hold_paces(line.keys, line.wait_s, self._clock.now_ms(), refused=line.refused)

    def _missed(self) -> None:
        """What waits is found by looking; the rest is looked for every second or so anyway."""
        self._backlogs.wake()
        self._members.wake()
