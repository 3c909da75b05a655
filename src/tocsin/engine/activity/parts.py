"""One account's share of a batch: what it must read, what it decides, what it writes."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import msgspec

from tocsin import ids
from tocsin.clock import Millis
from tocsin.engine.activity.work import Change, Posted, Tick, Work
from tocsin.engine.departures import Departures
from tocsin.engine.directory import AccountView
from tocsin.engine.ingest import KEPT_VISITOR_CHARS
from tocsin.errors import Conflict, Defect, Rejected, TocsinError
from tocsin.model import AccountId
from tocsin.store.port import KnownActivity, NewActivity, NewEvent, TriggerAsk, TriggerRead, TriggerWrite
from tocsin.triggers.activity import erased_by
from tocsin.triggers.context import Context
from tocsin.triggers.decide import Decision
from tocsin.triggers.firing import Fired, Unfired
from tocsin.triggers.occurrences import Occurrence
from tocsin.triggers.state import State, Unread

log = logging.getLogger(__name__)


class Firing(Protocol):
    """What a dialect makes of occurrences (`triggers.firing`)."""

    @property
    def wanted(self) -> frozenset[str]: ...

    def events(
        self, occurrence: Occurrence, *, timezone: ZoneInfo, unfired: Callable[[Unfired], None] | None = None
    ) -> Sequence[Fired]: ...


class _Decided:
    """What became of one work so far; exactly one of `error`, `first` and `decision` is set."""

    __slots__ = ("decision", "error", "events", "fired", "first", "unfired", "work")

    def __init__(
        self,
        work: Work,
        *,
        error: Exception | None = None,
        first: "KnownActivity | Posted | None" = None,
        decision: Decision | None = None,
        fired: Sequence[tuple[Occurrence, Fired]] = (),
        unfired: Sequence[Unfired] = (),
    ) -> None:
        self.work = work
        self.error = error
        self.first = first  # the activity that it repeats: of the log, or earlier in this batch
        self.decision = decision
        self.fired = fired
        self.unfired = unfired
        self.events: list[NewEvent] = []


class Part:
    """Decides its works in their order; may have to be read for several times, and be decided again."""

    def __init__(self, account_id: AccountId, works: Sequence[Work], also: Iterable[str] = ()) -> None:
        """`also`: keys that it will ask for, beyond those that its works foresee."""
        self.account_id = account_id
        self.works = works
        self.closed = False  # everyone was told
        self.refused = 0  # how often somebody else had written meanwhile
        self.missing: frozenset[str] = frozenset()  # what must be read before it can be decided to its end
        self._keys = frozenset(key for work in works for key in work.foreseen()) | frozenset(also)
        self._names = frozenset(
            work.external_id for work in works if isinstance(work, Posted) and work.external_id is not None
        )
        self._timers = frozenset(work.name for work in works if isinstance(work, Tick))
        self.again()

    def again(self) -> None:
        """Forgets what was read and decided: it was stale."""
        self._keys |= self.missing
        self.missing = frozenset()
        self._version: int | None = None
        self._known: Mapping[str, KnownActivity] = {}
        self._state = State()
        self.decisions: list[_Decided] = []
        self._named: dict[str, Posted] = {}
        self._booked: list[NewEvent] = []
        self._writes = False

    def begin(self, view: AccountView, firing: Firing) -> None:
        """By the account as it is now."""
        self._view = view
        self._firing = firing

    # --- reading --------------------------------------------------------------------------------------------------

    def ask(self) -> TriggerAsk:
        if self._version is None:
            return TriggerAsk(
                account_id=self.account_id, keys=self._keys, external_ids=self._names, timers=self._timers
            )
        return TriggerAsk(account_id=self.account_id, keys=self.missing)

    @property
    def version_read(self) -> int | None:
        """Of the account's state; None: it was not read."""
        return self._version

    @property
    def version_left(self) -> int | None:
        """Once this is durable."""
        return self._version + 1 if self._version is not None and self._writes and self.closed else self._version

    def load(self, read: TriggerRead) -> bool:
        """False: somebody else has written meanwhile, so that all must be asked for anew."""
        if self._version is None:
            self._version = read.version
            self._known = read.known
            self._ctx = Context(self._state, self._view.trigger_settings, self._view.zone, self._firing.wanted)
        elif self._version != read.version:
            return False
        self._keys |= self.missing
        self.missing = frozenset()
        self._state.load(read.values, read.timers)
        return True

    # --- deciding -------------------------------------------------------------------------------------------------

    def decide(self, most: int) -> int:
        """Goes on deciding, `most` works at a time; how many it has looked at. `missing` tells what it lacks."""
        done = len(self.decisions)
        for n, work in enumerate(self.works[done : done + most]):
            try:
                self.decisions.append(self._decide(work))
            except Unread as unread:
                self.missing = self._needed(done + n) | frozenset(unread.keys)
                return n + 1
        return min(most, len(self.works) - done)

    @property
    def decided(self) -> bool:
        return len(self.decisions) == len(self.works)

    def _decide(self, work: Work) -> _Decided:
        if isinstance(work, Posted) and work.external_id is not None:
            first = self._named.get(work.external_id) or self._known.get(work.external_id)
            if first is not None:
                if first.digest == work.digest:
                    return _Decided(work, first=first)
                first_id = ids.show("act_", first.activity.id if isinstance(first, Posted) else first.id)
                return _Decided(work, error=_conflict(first_id))
        ctx = self._ctx
        unfired: list[Unfired] = []
        try:
            decision = work.decide(ctx)
            fired = [
                (occurrence, one)
                for occurrence in decision.occurrences
                for one in self._firing.events(occurrence, timezone=ctx.timezone, unfired=unfired.append)
            ]
        except (Unread, Rejected) as error:
            ctx.state.undo()
            if isinstance(error, Unread):
                raise
            return _Decided(work, error=error)
        except Exception:
            ctx.state.undo()
            log.exception("deciding_failed", extra={"account": ids.show("acc_", self.account_id), "of": work.label})
            return _Decided(work, error=Defect("an unexpected error; the server's log has it"))
        ctx.state.keep()
        if isinstance(work, Posted) and work.external_id is not None:
            self._named[work.external_id] = work
        return _Decided(work, decision=decision, fired=fired, unfired=unfired)

    def _needed(self, begin: int) -> frozenset[str]:
        """What the works from there on will ask for: tried on the state as it is, so that one read serves them all."""
        needed: set[str] = set()
        for work in self.works[begin:]:
            try:
                work.decide(self._ctx)
            except Unread as unread:
                needed.update(unread.keys)
            except Exception:  # noqa: BLE001, S110 - a trial; it is told when it is decided
                pass
            self._state.undo()
        return frozenset(needed)

    # --- writing --------------------------------------------------------------------------------------------------

    def book(self, departures: Departures, now: Millis) -> TriggerWrite | None:
        """What is to be written, its events booked; None: nothing changes."""
        activities: list[NewActivity] = []
        for one in self.decisions:
            if one.decision is None:
                continue
            one.events = [_book(self._view, departures, occurrence, fired, now) for occurrence, fired in one.fired]
            self._booked += one.events
            if isinstance(one.work, Posted):
                activities.append(one.work.record(one.decision, one.events))
        changes = self._state.changes()
        if not (activities or self._booked or changes.puts or changes.drops or changes.timers):
            return None
        if self._version is None:
            raise RuntimeError("a part was written that was never read")
        self._writes = True
        return TriggerWrite(
            account_id=self.account_id,
            version=self._version,
            config_version=self._view.account.config_version,
            activities=tuple(activities),
            puts=changes.puts,
            drops=changes.drops,
            timers=changes.timers,
            events=tuple(self._booked),
            audit=tuple(
                audited
                for one in self.decisions
                if one.decision is not None and isinstance(one.work, Change) and (audited := one.work.audited)
            ),
        )

    def unbook(self, departures: Departures) -> None:
        """Nothing was written."""
        for event in self._booked:
            departures.cancel(event)
        self._booked = []

    def end(self, departures: Departures, now: Millis) -> None:
        """It is durable: everyone is told, and the events set out."""
        self.closed = True
        for one in self.decisions:
            work = one.work
            if one.error is not None:
                work.failed(one.error)
            elif isinstance(work, Posted) and one.first is not None:
                first = one.first
                if isinstance(first, Posted):
                    work.repeats(first)
                else:
                    work.repeats_known(first)
            else:
                work.done()
        for event in self._booked:
            try:
                departures.depart(event, now)
            except Exception:
                # A defect. The event is durable and its delivery is found at the next start; the others of the batch,
                # and all that come after it, must not wait for that.
                log.exception("hand_over_failed", extra={"event": ids.show("evt_", event.id)})

    def fail(self, error: Exception) -> None:
        """Nothing was kept. Says so to everyone, unless they were told before."""
        if self.closed:
            return
        self.closed = True
        for work in self.works:
            work.failed(error)

    def halves(self) -> "Sequence[Part]":
        """The same works in two parts, to be written one after the other."""
        middle = len(self.works) // 2
        return Part(self.account_id, self.works[:middle]), Part(self.account_id, self.works[middle:])


def _book(view: AccountView, departures: Departures, occurrence: Occurrence, fired: Fired, now: Millis) -> NewEvent:
    value: Any = None
    if any(hook.filter is not None for hook in view.subscribed(fired.type)):
        value = msgspec.json.decode(fired.data)
    return departures.book(
        view,
        fired.type,
        fired.data,
        value,
        timestamp=fired.timestamp,
        accepted_at=now,
        source="activity",
        visitor_id=(erased_by(occurrence.facts) or "")[:KEPT_VISITOR_CHARS] or None,
    )


def _conflict(first_id: str) -> TocsinError:
    return Conflict(
        f"this external_id was used for other content, in {first_id}; give new content a new external_id",
        code="external_id_conflict",
    )
