"""Takes events in: checks, routes, and answers each only once it is durable with all of its deliveries.

Publishers wait together: while one transaction is being written the next one gathers, so that the cost of making
something durable is shared by as many events as came meanwhile, and a lone event waits for nobody.
"""

import asyncio
import hashlib
import logging
import re
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from tocsin.clock import Clock, Millis
from tocsin.engine.cluster.tenure import Tenure
from tocsin.engine.departures import Departures
from tocsin.engine.directory import AccountView, Directory
from tocsin.errors import Conflict, Fault, Invalid, NotFound, TocsinError, Unavailable
from tocsin.ids import show
from tocsin.model import AccountId, EventId
from tocsin.nearest import nearest
from tocsin.profiles.jsjson import stabilise
from tocsin.store.port import (
    Accepted,
    AccountGone,
    ContentConflict,
    Duplicate,
    Ingested,
    Journal,
    NewEvent,
    Stale,
)
from tocsin.telemetry import Metrics

log = logging.getLogger(__name__)

# Rows of one transaction. Larger ones cost no less a row and keep the ones behind waiting longer.
_BATCH_ROWS = 1_000
_BATCH_BYTES = 16 << 20

# Events that may wait for their transaction: beyond it the publisher is told to come again, and memory stays bounded.
_MAX_WAITING = 20_000
_MAX_WAITING_BYTES = 256 << 20

# A commit that fails after this long has met a store that hangs; one that refuses, or is not there, says so at once.
_PATIENCE_S = 1.0

_EXTERNAL_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")  # CONTRACT §1

# An account that changes while its event is being committed is matched again; a change takes a person some seconds.
_MATCHES = 20


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What a publisher is told. `duplicate`: nothing was sent, `id` is the first one's."""

    id: EventId
    type: str
    timestamp: Millis
    matched: int
    duplicate: bool


class _Waiting:
    """An event on its way into the store."""

    __slots__ = ("answer", "event")

    def __init__(self, event: NewEvent, answer: asyncio.Future[Ingested]) -> None:
        self.event = event
        self.answer = answer


class Ingest:
    """The way in, for ready events."""

    def __init__(
        self,
        *,
        journal: Journal,
        directory: Directory,
        departures: Departures,
        tenure: Tenure,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._journal = journal
        self._directory = directory
        self._departures = departures
        self._clock = clock
        self._metrics = metrics
        self._tenure = tenure
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = True

    def start(self) -> None:
        self._stopping = False
        self._task = asyncio.create_task(self._commit_loop(), name="ingest")

    async def stop(self) -> None:
        """Takes nothing more and finishes what it has taken."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def publish(
        self,
        account_id: AccountId,
        type: str,
        data: bytes,
        *,
        external_id: str | None = None,
        timestamp: Millis | None = None,
        source: str = "api",
    ) -> Receipt:
        """Takes one event; returns once it is durable.

        Args:
            data: the JSON of `data`, as it came.

        Raises:
            Invalid: the type is unknown, or `data` is not what its schema says, with pointers.
            Conflict: the external id was used for other content.
            NotFound: the account is gone.
            Unavailable: nothing was taken; come again.
        """
        if external_id is not None and not _EXTERNAL_ID.fullmatch(external_id):
            raise Invalid(
                "external_id must be 1 to 128 of A–Z a–z 0–9 _ . : -",
                faults=[Fault("/external_id", "must be 1 to 128 of A–Z a–z 0–9 _ . : -")],
            )
        value, stable = stabilise(data)
        digest = b""
        if external_id is not None:
            digest = hashlib.blake2b(
                b"%s\0%s\0%s" % (type.encode(), str("" if timestamp is None else timestamp).encode(), stable),
                digest_size=16,
            ).digest()
        accepted_at = self._clock.now_ms()
        happened_at = accepted_at if timestamp is None else timestamp
        for _ in range(_MATCHES):
            view = self._directory.cached(account_id) or await self._directory.view(account_id)
            try:
                waiting = self._prepare(
                    view, type, value, stable, external_id, digest, accepted_at, happened_at, source
                )
            except Invalid:
                if await self._directory.outdated(view):  # the type may have been added in another process
                    continue
                raise
            answer = await self._commit(waiting)
            if isinstance(answer, Accepted):
                event = waiting.event
                return Receipt(
                    id=event.id, type=type, timestamp=event.timestamp, matched=event.matched, duplicate=False
                )
            if isinstance(answer, Stale):
                self._directory.forget(account_id)
                continue
            return self._decline(answer, type)
        raise Unavailable("the account keeps changing; publish again", code="overloaded")

    def _prepare(
        self,
        view: AccountView,
        type: str,
        value: Any,
        stable: bytes,
        external_id: str | None,
        digest: bytes,
        accepted_at: Millis,
        timestamp: Millis,
        source: str,
    ) -> _Waiting:
        """Checks the event against its type and finds the webhooks that it goes to.

        From here to the end of `_commit` nothing may be awaited but the commit itself: places are reserved.
        """
        if self._stopping:
            raise Unavailable("the server is stopping; publish again", code="stopping")
        if len(self._waiting) >= _MAX_WAITING or self._waiting_bytes >= _MAX_WAITING_BYTES:
            raise Unavailable("more is coming in than can be stored; publish again in a second", code="overloaded")
        entry = view.entry(type)
        if entry is None:
            raise unknown_type(type, view.entries())
        if not entry.validator.is_valid(value, len(stable)):
            faults = entry.validator.faults(value, "/data")
            raise Invalid(f"data does not fit the schema of {type}", code="data_invalid", faults=faults)
        event = self._departures.book(
            view,
            type,
            stable,
            value,
            timestamp=timestamp,
            accepted_at=accepted_at,
            source=source,
            visitor_id=_visitor(value, entry.visitor_pointer),
            external_id=external_id,
            digest=digest,
        )
        return _Waiting(event, asyncio.get_running_loop().create_future())

    def _decline(self, answer: Ingested, type: str) -> Receipt:
        if isinstance(answer, Duplicate):
            self._metrics.events_duplicate += 1
            return Receipt(
                id=answer.event_id, type=type, timestamp=answer.timestamp, matched=answer.matched, duplicate=True
            )
        if isinstance(answer, ContentConflict):
            raise Conflict(
                f"this external_id was used for other content, in {show('evt_', answer.event_id)}; "
                "give new content a new external_id",
                code="external_id_conflict",
            )
        if isinstance(answer, AccountGone):
            raise NotFound("there is no such account")
        raise Invalid(f"the event cannot be stored: {getattr(answer, 'reason', answer)}", code="unstorable")

    # --- the commit -----------------------------------------------------------------------------------------------

    async def _commit(self, waiting: _Waiting) -> Ingested:
        self._waiting.append(waiting)
        self._waiting_bytes += len(waiting.event.data)
        if not self._wake.is_set():
            self._wake.set()
        # A publisher that goes away takes only its answer along, not its event: that is committed all the same.
        return await waiting.answer

    async def _commit_loop(self) -> None:
        while not (self._stopping and not self._waiting):
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = self._take()
                began_s = self._clock.monotonic_s()
                try:
                    answers = await self._journal.ingest([one.event for one in batch], self._tenure.epoch)
                except Exception as error:  # noqa: BLE001 - every publisher of the batch is told
                    self._fail(batch, error)
                    if self._clock.monotonic_s() - began_s > _PATIENCE_S:
                        self._fail(self._take_all(), _behind(error))
                else:
                    self._metrics.commit_events.observe(len(batch))
                    self._metrics.commit_duration_s.observe(self._clock.monotonic_s() - began_s)
                    now = self._clock.now_ms()
                    for one, answer in zip(batch, answers, strict=True):
                        try:
                            self._settle(one, answer, now)
                        except Exception:
                            # A defect. The event is durable and its delivery is found at the next start; the others
                            # of the batch, and all that come after it, must not wait for that.
                            log.exception("hand_over_failed", extra={"event": show("evt_", one.event.id)})

    def _take_all(self) -> list[_Waiting]:
        batch, self._waiting_bytes = list(self._waiting), 0
        self._waiting.clear()
        return batch

    def _take(self) -> list[_Waiting]:
        waiting = self._waiting
        batch: list[_Waiting] = []
        rows = taken = 0
        while waiting and rows < _BATCH_ROWS and taken < _BATCH_BYTES:
            one = waiting.popleft()
            batch.append(one)
            rows += 1 + len(one.event.deliveries)
            taken += len(one.event.data)
        self._waiting_bytes -= taken
        return batch

    def _settle(self, one: _Waiting, answer: Ingested, now: Millis) -> None:
        """Sends a durable event on its way; takes one back that was not taken."""
        if not one.answer.done():
            one.answer.set_result(answer)
        if isinstance(answer, Accepted):
            self._departures.depart(one.event, now)
        else:
            self._departures.cancel(one.event)

    def _fail(self, batch: list[_Waiting], error: Exception) -> None:
        if not batch:
            return
        if not isinstance(error, TocsinError):
            error = Unavailable(f"the store failed: {error}", code="store_unavailable")
        log.warning("commit_failed", extra={"events": len(batch), "reason": str(error)})
        for one in batch:
            self._departures.cancel(one.event)
            if not one.answer.done():
                one.answer.set_exception(error)


def _behind(error: Exception) -> Unavailable:
    """What those are told whose turn had not come: they would have waited as long again, for the same."""
    return Unavailable(f"nothing was stored: {error}", code="store_unavailable")


def unknown_type(type: str, known: Mapping[str, object]) -> Invalid:
    near = nearest(type, known)
    hint = f"did you mean {' or '.join(near)}?" if near else "GET /v1/event-types lists those there are"
    detail = f"there is no event type {type[:200]!r} in this account; {hint}"
    return Invalid(detail, code="unknown_event_type", faults=[Fault("/type", detail)])


# What is kept of a visitor's id beside the event, for an erasure to find.
KEPT_VISITOR_CHARS = 256


def _visitor(value: Any, pointer: tuple[str, ...] | None) -> str | None:
    if pointer is None:
        return None
    for key in pointer:
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # 7 and "7" are one visitor
    return value[:KEPT_VISITOR_CHARS] if isinstance(value, str) else None
