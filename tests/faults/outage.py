"""One outage: publish to a real server without a pause, let something under it fail, and judge what all sides know.

    before ───▶ outage begins ──▶ it ends ───▶ after ───▶ everything delivered ──▶ judged

Publishers keep a ledger of every answer. They ask again where nothing was accepted, but for those that give up at the
first refusal: what became of theirs nobody asks about, and it must not be stuck for that.
"""

import http.client
import itertools
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from urllib.parse import urlsplit

from tests.support.api import CLICK, Json, Shop
from tests.support.receiver import Arrival, LedgerReceiver
from tests.support.replies import Answer, Reply
from tests.support.server import Server
from tests.support.waiting import until

# The standard profile's first retry after 5 s becomes one after 0.1 s.
RETRY_SCALE = 0.02

# Issue 6: whatever happens, who publishes is answered within this time.
ANSWER_S = 15.0

# Issue 6: how soon after the end of an outage publishing works again.
RECOVERY_S = 30.0

# A delivery whose retry waits, and what must be looked for again after an outage, ends within this time.
DELIVERED_WITHIN_S = 90.0

_REFUSALS = {"store_unavailable", "commit_unknown", "overloaded", "stopping"}

_AGAIN_S = 0.1  # sooner than Retry-After asks for: more questions, sharper answers

# Every so many events are given up at the first refusal.
_GIVES_UP = 4


@dataclass(frozen=True)
class Asked:
    """One request to publish, and what came of it."""

    number: int
    began: float  # time.monotonic()
    took_s: float
    status: int | None  # None: the connection ended without an answer
    code: str | None = None
    id: str | None = None
    fault: str | None = None  # what is wrong with a refusal

    @property
    def ended(self) -> float:
        return self.began + self.took_s

    @property
    def accepted(self) -> bool:
        return self.status in {200, 202}


class Publishers:
    """Threads that publish numbered events, each the next as soon as the one before is answered."""

    def __init__(self, shop: Shop, address: Callable[[], str], *, threads: int = 4, per_s: float | None = 120) -> None:
        self.ledger: list[Asked] = []
        self.failed: list[Exception] = []
        self._shop = shop
        self._address = address
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._pause_s = 0.0 if per_s is None else threads / per_s
        self._ending = threading.Event()
        self._body = shop.event(CLICK)
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No more events; waits until those that are asked for again and again are accepted."""
        self._ending.set()
        for thread in self._threads:
            thread.join(RECOVERY_S + ANSWER_S)
            assert not thread.is_alive(), "a publisher still asks for an event that is not accepted"
        if self.failed:
            raise self.failed[0]

    def _run(self) -> None:
        door = _Door(self._address, {"Content-Type": "application/json", "Authorization": f"Bearer {self._shop.key}"})
        try:
            while not self._ending.is_set():
                with self._lock:
                    number = next(self._numbers)
                began = time.monotonic()
                self._publish(door, number)
                self._ending.wait(max(0.0, self._pause_s - (time.monotonic() - began)))
        except Exception as error:  # noqa: BLE001 - raised again where the publishers are stopped
            self.failed.append(error)
        finally:
            door.close()

    def _publish(self, door: "_Door", number: int) -> None:
        event = self._body | {"external_id": f"n{number}", "data": self._body["data"] | {"number": number}}
        body = json.dumps(event).encode()
        while not (asked := _ask(door, number, body)).accepted:
            self.ledger.append(asked)
            if number % _GIVES_UP == 0:
                return
            time.sleep(_AGAIN_S)
        self.ledger.append(asked)


class _Door:
    """A connection that is kept, and made anew where it ended or the server lives elsewhere now."""

    def __init__(self, address: Callable[[], str], headers: Mapping[str, str]) -> None:
        self._address = address
        self._headers = dict(headers)
        self._connection: http.client.HTTPConnection | None = None

    def post(self, body: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
        where = urlsplit(self._address())
        if self._connection is None or self._connection.port != where.port:
            self.close()
            self._connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
        try:
            self._connection.request("POST", "/v1/events", body, self._headers)
            answer = self._connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _ask(door: _Door, number: int, body: bytes) -> Asked:
    began = time.monotonic()
    try:
        answer = door.post(body)
    except (OSError, http.client.HTTPException):
        return Asked(number, began, time.monotonic() - began, None)
    return _judged(number, began, *answer)


def _judged(number: int, began: float, status: int, headers: http.client.HTTPMessage, body: bytes) -> Asked:
    took_s = time.monotonic() - began
    told: Json = json.loads(body)
    if status in {200, 202}:
        return Asked(number, began, took_s, status, id=told["id"])
    fault = None
    if status != 503:
        fault = f"the status is {status}"
    elif headers.get_content_type() != "application/problem+json":
        fault = f"its type is {headers.get_content_type()}"
    elif not headers.get("Retry-After", "").isdigit():
        fault = "it has no Retry-After"
    elif told["status"] != 503 or told["code"] not in _REFUSALS or not told["detail"]:
        fault = f"the problem says {told}"
    return Asked(number, began, took_s, status, told.get("code"), fault=fault)


@dataclass
class Evidence:
    """What all sides know in the end. Instants are those of `time.monotonic`."""

    ledger: Sequence[Asked]
    began: float  # the publishers
    broke: float  # the outage
    mended: float
    stopped: float  # the publishers
    webhook_ids: Sequence[str]
    arrivals: Sequence[Sequence[Arrival]]  # by webhook
    events: Sequence[Json]
    deliveries: Sequence[Json]
    may_be_unanswered: bool = False  # the server itself ended
    may_repeat: Callable[[Arrival], bool] = field(default=lambda _: False)

    @property
    def recovered_s(self) -> float:
        """From the end of the outage to the first event that was asked for and accepted after it."""
        since = [asked.ended for asked in self.ledger if asked.accepted and asked.ended >= self.mended]
        return min(since, default=float("inf")) - self.mended

    def rate(self, begin: float, end: float) -> float:
        return sum(1 for asked in self.ledger if asked.accepted and begin <= asked.ended < end) / (end - begin)

    @property
    def ratio(self) -> float:
        """Events a second after the outage, to those before it."""
        return self.rate(self.mended, self.stopped) / self.rate(self.began, self.broke)

    def __str__(self) -> str:
        ledger = [asked for asked in self.ledger if self.began <= asked.ended < self.stopped]
        during = [asked for asked in ledger if self.broke <= asked.ended < self.mended]
        told = Counter(asked.code or asked.status for asked in ledger)
        longest = max((asked.took_s for asked in ledger), default=0.0)
        return (
            f"{self.rate(self.began, self.broke):.0f}/s before; {self.mended - self.broke:.1f} s of outage with "
            f"{sum(asked.accepted for asked in during)} of {len(during)} accepted; accepted again after "
            f"{self.recovered_s:.2f} s; {self.rate(self.mended, self.stopped):.0f}/s in the "
            f"{self.stopped - self.mended:.0f} s after it, {self.ratio:.2f} of before; longest answer {longest:.1f} s; "
            f"told {dict(told)}"
        )


class Stage:
    """A server, a shop with three webhooks, and who publishes to it."""

    def __init__(self, server: Server, receiver: LedgerReceiver, **pace: float | None) -> None:
        self.server = server
        self.receiver = receiver
        self.shop = server.operator.shop()
        self.webhook_ids: list[str] = []
        self.paths = ["/quick", "/slow", "/failing"]
        for path, reply in zip(self.paths, (_quick, _slow, _failing()), strict=True):
            made = self.shop.webhook(receiver.url(path), [CLICK])
            self.webhook_ids.append(made["id"])
            receiver.trust(path, made["secret"])
            receiver.script(path, reply)
        self.publishers = Publishers(self.shop, lambda: server.url, **pace)

    def run(self, *outages: Callable[[], None], before_s: float, after_s: float) -> Sequence[Evidence]:
        """Each outage begins and ends. The publishers go on for `after_s` after it, and until they are heard again.

        Returns:
            The evidence of each: the same, but for its time.
        """
        self.publishers.start()
        began = time.monotonic()
        times = []
        for outage in outages:
            time.sleep(before_s)
            broke = time.monotonic()
            outage()
            mended = time.monotonic()
            time.sleep(after_s)
            until(partial(self._heard_since, mended), self._unheard, RECOVERY_S)
            ended = time.monotonic()
            times.append({"began": began, "broke": broke, "mended": mended, "stopped": ended})
            began = ended
        self.publishers.stop()
        evidence = self.gather(**times[-1])
        return [replace(evidence, **instants) for instants in times]

    def _heard_since(self, mended: float) -> bool:
        return any(asked.accepted and asked.began >= mended for asked in self.publishers.ledger[-200:])

    def _unheard(self) -> str:
        return f"publishing again; the last answers: {self.publishers.ledger[-3:]}\n{self.server.log_tail()}"

    def gather(self, began: float, broke: float, mended: float, stopped: float) -> Evidence:
        self._wait_until_all_ended()
        return Evidence(
            ledger=self.publishers.ledger,
            began=began,
            broke=broke,
            mended=mended,
            stopped=stopped,
            webhook_ids=self.webhook_ids,
            arrivals=[self.receiver.arrivals(path) for path in self.paths],
            events=list(self.shop.pages("/v1/events")),
            deliveries=self.shop.deliveries(),
        )

    def _wait_until_all_ended(self) -> None:
        def live() -> list[Json]:
            return [one for state in ("pending", "sending", "retrying") for one in self.shop.deliveries(status=state)]

        until(
            lambda: not live() and not live(),  # one that goes from one state to another can slip through one look
            lambda: f"the end of {Counter(one['status'] for one in live())}: {live()[:3]}\n{self.server.log_tail()}",
            DELIVERED_WITHIN_S,
        )


def _quick(_: Arrival) -> Reply:
    return Answer()


def _slow(_: Arrival) -> Reply:
    return Answer(after_s=0.05)


def _failing() -> Callable[[Arrival], Reply]:
    """Refuses every third event once: its retry waits in the store, and is claimed from there."""
    seen: set[str] = set()

    def answer(arrival: Arrival) -> Reply:
        fails = arrival.data["number"] % 3 == 0 and arrival.id not in seen
        seen.add(arrival.id)
        return Answer(500 if fails else 200)

    return answer


# --- the judge ----------------------------------------------------------------------------------------------------


def judge(evidence: Evidence) -> None:
    answers_are_in_order(evidence)
    nothing_accepted_is_lost(evidence)
    every_delivery_has_ended_once(evidence)
    every_arrival_is_accounted_for(evidence)


def answers_are_in_order(evidence: Evidence) -> None:
    """Accepted, or refused with a problem that says when to come again; in time; and one id for each event."""
    faults = [asked for asked in evidence.ledger if asked.fault]
    assert not faults, f"{len(faults)} refusals are not in order: {faults[:3]}"
    late = [asked for asked in evidence.ledger if asked.took_s > ANSWER_S]
    assert not late, f"{len(late)} answers took longer than {ANSWER_S} s: {late[:3]}"
    unanswered = [asked for asked in evidence.ledger if asked.status is None]
    assert evidence.may_be_unanswered or not unanswered, f"{len(unanswered)} requests were not answered"
    ids: defaultdict[int, set[str | None]] = defaultdict(set)
    for asked in evidence.ledger:
        if asked.accepted:
            ids[asked.number].add(asked.id)
    torn = {number: of for number, of in ids.items() if len(of) > 1}
    assert not torn, f"events with several ids: {torn}"


def nothing_accepted_is_lost(evidence: Evidence) -> None:
    """Each accepted event is there, once, under its id. What else is there was asked for and never accepted."""
    accepted = {asked.number: asked.id for asked in evidence.ledger if asked.accepted}
    listed = Counter(event["external_id"] for event in evidence.events)
    assert max(listed.values()) == 1, f"events that are there twice: {[n for n, count in listed.items() if count > 1]}"
    there = {event["external_id"]: event["id"] for event in evidence.events}
    lost = {number: id_ for number, id_ in accepted.items() if there.get(f"n{number}") != id_}
    assert not lost, f"{len(lost)} accepted events are lost, such as {dict(itertools.islice(lost.items(), 3))}"
    asked_for = {f"n{asked.number}" for asked in evidence.ledger}
    assert set(there) <= asked_for, f"nobody asked for {set(there) - asked_for}"


def every_delivery_has_ended_once(evidence: Evidence) -> None:
    """Each event that is there, whatever its publisher was told, has one delivery for each webhook; it succeeded."""
    pairs = Counter((one["event_id"], one["webhook_id"]) for one in evidence.deliveries)
    expected = {(event["id"], webhook) for event in evidence.events for webhook in evidence.webhook_ids}
    assert set(pairs) == expected, f"{len(expected - set(pairs))} are missing, {len(set(pairs) - expected)} too many"
    assert max(pairs.values()) == 1
    ends = Counter(one["status"] for one in evidence.deliveries)
    assert set(ends) == {"succeeded"}, f"deliveries have ended as {ends}"


def every_arrival_is_accounted_for(evidence: Evidence) -> None:
    """Receivers saw exactly the attempts that the log has, all signed, each event at last taken; but for arrivals that
    the outage excuses.
    """
    for webhook, arrivals in zip(evidence.webhook_ids, evidence.arrivals, strict=True):
        assert all(arrival.verified for arrival in arrivals)
        attempts = {
            one["event_id"]: one["attempt_count"] for one in evidence.deliveries if one["webhook_id"] == webhook
        }
        seen: defaultdict[str, list[Arrival]] = defaultdict(list)
        for arrival in arrivals:
            seen[arrival.id].append(arrival)
        assert set(seen) == set(attempts), f"{webhook}: {len(set(attempts) - set(seen))} events never arrived"
        for event_id, of_event in seen.items():
            assert any(arrival.ok for arrival in of_event), f"{event_id} was not taken by {webhook}"
            extra = len(of_event) - attempts[event_id]
            excused = sum(evidence.may_repeat(arrival) for arrival in of_event)
            assert 0 <= extra <= excused, (
                f"{event_id} arrived {len(of_event)} times at {webhook} for {attempts[event_id]} attempts in the log"
            )
