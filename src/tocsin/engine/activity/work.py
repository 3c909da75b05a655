"""What stands in the queue of `activities`: an activity, a timer that is due, a change of what triggers know."""

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from tocsin.clock import Millis
from tocsin.model import AccountId, EventId
from tocsin.store.port import Change as AuditChange
from tocsin.store.port import KnownActivity, NewActivity, NewEvent, Timer
from tocsin.triggers.activity import Activity, ActivityId, Kind, erased_by
from tocsin.triggers.context import Context
from tocsin.triggers.decide import Decision, change, decide, tick
from tocsin.triggers.foresight import foresee, foresee_tick
from tocsin.triggers.occurrences import Judgement

T = TypeVar("T")


class NewItem(msgspec.Struct, frozen=True, kw_only=True):
    """An activity as it was posted."""

    kind: Kind
    raw: dict[str, Any]  # its keys beyond kind, external_id and at
    source: bytes  # the same as compact JSON: what the log keeps, and what makes two activities the same content
    external_id: str | None = None
    at: Millis | None = None  # None: when it is accepted

    def digest(self) -> bytes:
        at = "" if self.at is None else str(self.at)
        return hashlib.blake2b(b"%s\0%s\0%s" % (self.kind.encode(), at.encode(), self.source), digest_size=16).digest()


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What a publisher is told. `duplicate`: nothing was counted; the rest is what was said of the first one."""

    id: ActivityId
    duplicate: bool
    events: Sequence[tuple[EventId, str]]  # with their types, in the order in which they fired
    judgement: Judgement | None


class _Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the log keeps of an answer."""

    events: Sequence[tuple[EventId, str]] = ()
    judgement: Judgement | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Result).decode


class Work(ABC):
    """One thing to be decided in its account's turn. Ends in exactly one of `done` and `failed`; an activity that
    repeats another in `repeats` or `repeats_known`.
    """

    __slots__ = ("account_id",)

    label: str = ""  # for the log

    def __init__(self, account_id: AccountId) -> None:
        self.account_id = account_id

    @property
    def size(self) -> int:
        """Bytes that it holds while it waits."""
        return 0

    def foreseen(self) -> Iterable[str]:
        """Keys that it will most likely ask for."""
        return ()

    @abstractmethod
    def decide(self, ctx: Context) -> Decision:
        """Raises `Unread` or `errors.Rejected`; nothing is changed then."""

    @abstractmethod
    def done(self) -> None:
        """It is durable."""

    @abstractmethod
    def failed(self, error: Exception) -> None:
        """Nothing of it was kept."""


class Posting:
    """The activities of one request, answered together once each has its own answer."""

    __slots__ = ("_left", "_results", "answer")

    def __init__(self, size: int, answer: asyncio.Future[Sequence[Taken | Exception]]) -> None:
        self._results: list[Any] = [None] * size
        self._left = size
        self.answer = answer

    def settle(self, index: int, result: Taken | Exception) -> None:
        self._results[index] = result
        self._left -= 1
        if not self._left and not self.answer.done():  # its publisher may have gone away
            self.answer.set_result(self._results)


class Posted(Work):
    __slots__ = ("_index", "_posting", "_source", "activity", "digest", "external_id", "label", "taken")

    def __init__(self, account_id: AccountId, activity: Activity, item: NewItem, posting: Posting, index: int) -> None:
        super().__init__(account_id)
        self.activity = activity
        self.external_id = item.external_id
        self.digest = b"" if item.external_id is None else item.digest()
        self.label = item.kind
        self._source = item.source
        self._posting = posting
        self._index = index

    @property
    def size(self) -> int:
        return len(self._source)

    def foreseen(self) -> Iterable[str]:
        return foresee(self.activity)

    def decide(self, ctx: Context) -> Decision:
        ctx.state.now = self.activity.accepted_at
        return decide(ctx, self.activity)

    def record(self, decision: Decision, events: Sequence[NewEvent]) -> NewActivity:
        """Its row in the log. What is decided last is what its publisher is told."""
        activity = self.activity
        told = [(one.id, one.type) for one in events]
        self.taken = Taken(id=activity.id, duplicate=False, events=told, judgement=decision.judgement)
        return NewActivity(
            id=activity.id,
            kind=activity.kind,
            at=activity.at,
            accepted_at=activity.accepted_at,
            external_id=self.external_id,
            digest=self.digest,
            data=self._source,
            result=_encode(_Result(events=told, judgement=decision.judgement)),
            visitor_id=erased_by(activity.data),
        )

    def done(self) -> None:
        self._posting.settle(self._index, self.taken)

    def repeats(self, first: "Posted") -> None:
        """Its external id is that of an earlier activity of the same batch, with the same content."""
        self._posting.settle(self._index, msgspec.structs.replace(first.taken, duplicate=True))

    def repeats_known(self, first: KnownActivity) -> None:
        """Its external id is known, with the same content."""
        kept = _decode(first.result)
        taken = Taken(id=ActivityId(first.id), duplicate=True, events=kept.events, judgement=kept.judgement)
        self._posting.settle(self._index, taken)

    def failed(self, error: Exception) -> None:
        self._posting.settle(self._index, error)


class Tick(Work):
    """A timer that is due. `end`: None, or why it was not done."""

    __slots__ = ("_end", "_now", "due_at", "label", "name")

    def __init__(self, timer: Timer, now: Millis, end: asyncio.Future[Exception | None]) -> None:
        super().__init__(timer.account_id)
        self._now = now
        self.name = timer.name
        self.due_at = timer.due_at
        self.label = timer.name.partition(":")[0]
        self._end = end

    def foreseen(self) -> Iterable[str]:
        return foresee_tick(self.name)

    def decide(self, ctx: Context) -> Decision:
        ctx.state.now = self._now
        return tick(ctx, self.name, self.due_at)

    def done(self) -> None:
        if not self._end.done():
            self._end.set_result(None)

    def failed(self, error: Exception) -> None:
        if not self._end.done():
            self._end.set_result(error)


class Change(Work, Generic[T]):
    """What a person changes of what triggers know. `audited`: its entry for the audit log, if it changed anything."""

    __slots__ = ("_audit", "_change", "_now", "_result", "answer", "audited")

    label = "change"

    def __init__(
        self,
        account_id: AccountId,
        how: Callable[[Context], T],
        audit: AuditChange | None,
        now: Millis,
        answer: asyncio.Future[T],
    ) -> None:
        super().__init__(account_id)
        self._audit = audit
        self.audited: AuditChange | None = None
        self._now = now
        self._change = how
        self.answer = answer

    def decide(self, ctx: Context) -> Decision:
        ctx.state.now = self._now
        self._result, decision = change(ctx, self._change)
        self.audited = self._audit if ctx.state.changing else None
        return decision

    def done(self) -> None:
        if not self.answer.done():
            self.answer.set_result(self._result)

    def failed(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
