"""What has arrived: the last requests, as they came, with the verdict on each and how it was answered."""

import base64
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from tocsin.clock import Millis, rfc3339
from tocsin.receiver.inbox.judging import Verdict

KEPT = 500
KEPT_BYTES = 64 << 20  # whatever the bodies' sizes
_REMEMBERED_IDS = 50_000  # by which repeated deliveries are known, long after their bodies are let go; some 10 MB


class Arrival(msgspec.Struct, kw_only=True):
    """One request. `status` None: not answered yet; `note`: what happened instead, or why.

    `nth`: how often this event came to this path by now. `duplicate`: an earlier one was answered 2xx.
    """

    n: int
    at: Millis
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    verdict: Verdict
    nth: int = 1
    duplicate: bool = False
    status: int | None = None
    took_ms: float | None = None
    note: str | None = None
    revision: int = 0

    @property
    def test(self) -> bool:
        """It is a test that somebody asked for, not an event."""
        return any(name.lower() == "tocsin-test" for name, _ in self.headers)

    def shown(self) -> dict[str, Any]:
        """As JSON: for the page and for ``tocsin listen --json``."""
        try:
            body, encoding = self.body.decode(), "utf-8"
        except UnicodeDecodeError:
            body, encoding = base64.b64encode(self.body).decode(), "base64"
        verdict = self.verdict
        return {
            "n": self.n,
            "at": rfc3339(self.at),
            "method": self.method,
            "path": self.path,
            "id": verdict.id,
            "type": verdict.type,
            "verified": verdict.verified,
            "profile": verdict.profile,
            "cause": verdict.cause,
            "why": verdict.sentence,
            "remark": verdict.note,
            "nth": self.nth,
            "duplicate": self.duplicate,
            "test": self.test,
            "status": self.status,
            "took_ms": self.took_ms,
            "note": self.note,
            "headers": [list(header) for header in self.headers],
            "body": body,
            "body_encoding": encoding,
        }


class History:
    """Keeps the last arrivals, and tells whoever asked of each one that is new or has changed."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._arrivals: deque[Arrival] = deque()
        self._bytes = 0
        self._count = 0
        self._revision = 0
        self._seen: OrderedDict[tuple[str, str], tuple[int, bool]] = OrderedDict()
        self._listeners: set[Callable[[Arrival], None]] = set()

    def __len__(self) -> int:
        return len(self._arrivals)

    def __iter__(self) -> Iterator[Arrival]:
        return iter(tuple(self._arrivals))

    def add(
        self, *, at: Millis, method: str, path: str, headers: tuple[tuple[str, str], ...], body: bytes, verdict: Verdict
    ) -> Arrival:
        self._count += 1
        nth, taken = self._seen.get((path, verdict.id), (0, False)) if verdict.id else (0, False)
        arrival = Arrival(
            n=self._count,
            at=at,
            method=method,
            path=path,
            headers=headers,
            body=body,
            verdict=verdict,
            nth=nth + 1,
            duplicate=taken,
        )
        self._remember(arrival, taken=taken)
        self._arrivals.append(arrival)
        self._bytes += len(body)
        while len(self._arrivals) > self._kept or (self._bytes > KEPT_BYTES and len(self._arrivals) > 1):
            self._bytes -= len(self._arrivals.popleft().body)
        self._tell(arrival)
        return arrival

    def answered(self, arrival: Arrival, status: int | None, took_ms: float, note: str | None = None) -> None:
        """`status` None: nobody was there any more to take the answer."""
        arrival.status, arrival.took_ms, arrival.note = status, took_ms, note
        if status is not None and 200 <= status < 300:
            self._remember(arrival, taken=True)
        self._tell(arrival)

    def since(self, revision: int) -> list[Arrival]:
        """Those that are new or have changed after that revision, the longest unchanged first."""
        return sorted((one for one in self._arrivals if one.revision > revision), key=lambda one: one.revision)

    def listen(self, listener: Callable[[Arrival], None]) -> Callable[[], None]:
        """Calls `listener` with each arrival that is new or has changed, until the answer is called."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def _remember(self, arrival: Arrival, *, taken: bool) -> None:
        if arrival.verdict.id is None:
            return
        key = (arrival.path, arrival.verdict.id)
        self._seen[key] = (max(arrival.nth, self._seen.get(key, (0, False))[0]), taken)
        self._seen.move_to_end(key)
        if len(self._seen) > _REMEMBERED_IDS:
            self._seen.popitem(last=False)

    def _tell(self, arrival: Arrival) -> None:
        self._revision += 1
        arrival.revision = self._revision
        for listener in tuple(self._listeners):
            listener(arrival)
