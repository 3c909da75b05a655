"""What becomes of deliveries to people, so that nobody is flooded: sent on their own, or counted in a digest. Pure.

    claimed ──sort──▶ singles   sent now, each takes one of the window's places; urgent ones take none
                 ├──▶ digests   that are due: a window's summary, the next words on an incident
                 ├──▶ piles     counted in an open digest
                 └──▶ put_off   digests that wait again: quiet hours, or one is still on its way

A window opens with the first delivery that comes while none is open. Of an open digest nothing is lost by sending late
or by sorting twice, so whatever was not written for sure is simply sorted again.

At most one summary of a webhook waits at any time. One that could not be sent is open again, and takes what follows:
it goes out with the next window that ends, which costs nothing of its schedule, and otherwise when its schedule says.
So an outage leaves one summary, however long it lasts, and a chat that is dead still uses up its schedule.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from tocsin.channels.summary import Summary
from tocsin.clock import Millis
from tocsin.engine.gathering.quiet_hours import Quiet
from tocsin.model import DIGEST_TYPE, NOTICE_TYPE, DeliveryId, DeliveryState, EventId
from tocsin.store.port import Claimed, DigestKind

# A message that is edited more often is not read more often; both chats that can do it allow one a second.
EDIT_MS = 5_000

# A summary that is due while the one before has not left yet (its chat is being held) looks again so much later.
BEHIND_MS = 5_000


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What a webhook's owner wants, and what its chat can do.

    Args:
        max: deliveries of a window that are sent on their own.
        urgent: whether a type breaks through.
        fraud: whether a type is news of fraud.
        edits: whether messages can be changed once they were sent.
    """

    window_ms: int
    max: int
    quiet: Quiet | None
    urgent: Callable[[str], bool]
    fraud: Callable[[str], bool]
    edits: bool

    def quiet_until(self, at: Millis) -> Millis | None:
        return self.quiet.until(at) if self.quiet is not None else None


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """One that waits, or is being sent, as far as sorting depends on it.

    Args:
        message: the service's name for it; None: it was never sent.
        closes_at: of an incident: when it is over unless more comes.
        shown_at: of an incident: when it was last sent.
        sending: of an incident: it is on its way, and takes members all the same. A summary that is takes none.
        not_before: it may not be sent earlier, whatever comes.
        retry_at: of a summary that failed: when its schedule says. Tries before that are free.
    """

    delivery_id: DeliveryId
    event_id: EventId
    kind: DigestKind
    opened_at: Millis
    due_at: Millis
    tries: int = 0
    message: str | None = None
    revision: int = 0
    closes_at: Millis = Millis(0)
    shown_at: Millis = Millis(0)
    sending: bool = False
    not_before: Millis = Millis(0)
    retry_at: Millis | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook's window and its open digests. `sent` of the window's places are taken."""

    opened_at: Millis
    ends_at: Millis
    sent: int = 0
    summary: Digest | None = None
    incident: Digest | None = None


NEVER = Standing(opened_at=Millis(0), ends_at=Millis(0))


class Ending(msgspec.Struct, frozen=True):
    """What becomes of a delivery after an attempt: as in `Settlement`."""

    state: DeliveryState
    due_at: Millis | None
    tries: int


class Memory:
    """What is known of a webhook that gathers, without asking the store."""

    __slots__ = ("busy", "late", "meanwhile", "shown", "standing", "summaries")

    def __init__(self, standing: Standing, summaries: dict[DeliveryId, Summary]) -> None:
        self.standing = standing
        self.summaries = summaries  # of the open digests
        self.late: dict[DeliveryId, Digest] = {}  # summaries that were closed to be sent
        self.shown: dict[DeliveryId, int] = {}  # of incidents: how many were counted when it was last sent
        self.busy = False  # what was claimed is being counted: `standing` is about to change
        # What became of incidents meanwhile: delivery, ending, the service's name for the message, when.
        self.meanwhile: list[tuple[DeliveryId, Ending, str | None, Millis]] = []

    @property
    def next_due(self) -> Millis | None:
        """When the first of the digests that wait is to be sent."""
        waiting = (self.standing.summary, self.standing.incident)
        return min((one.due_at for one in waiting if one is not None and not one.sending), default=None)


class Pile(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted in one digest: events, and digests with all that they count."""

    into: DeliveryId
    events: list[Claimed]
    digests: list[Claimed]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Each claimed delivery is in exactly one of the four."""

    standing: Standing
    singles: tuple[Claimed, ...]
    digests: tuple[tuple[Claimed, Digest], ...]
    piles: tuple[Pile, ...]
    put_off: tuple[Claimed, ...]


class Queued(msgspec.Struct, frozen=True):
    """What was sorted before and has not left yet."""

    singles: int = 0
    summaries: int = 0


def sort(
    rules: Rules,
    standing: Standing,
    claimed: Sequence[Claimed],
    now: Millis,
    *,
    known: Mapping[DeliveryId, Digest],
    queued: Queued,
    new_id: Callable[[], int],
) -> Plan:
    """Sorts what was claimed, in its order, digests first.

    Args:
        known: the digests among them that are not open.
    """
    sorting = _Sorting(rules, standing, now, queued, new_id)
    for one in claimed:
        if one.type == DIGEST_TYPE:
            sorting.digest(one, known)
    sorting.settle_summary()
    for one in claimed:
        if one.type != DIGEST_TYPE:
            sorting.event(one)
    return sorting.plan()


class _Sorting:
    def __init__(
        self, rules: Rules, standing: Standing, now: Millis, queued: Queued, new_id: Callable[[], int]
    ) -> None:
        self._rules = rules
        self._now = now
        self._new_id = new_id
        self._queued = queued
        # A window ends when it was to end, or, if its owner has made windows shorter meanwhile, as these would.
        ends_at = min(standing.ends_at, standing.opened_at + rules.window_ms)
        if standing.opened_at <= now < ends_at:
            self._opened_at, self._ends_at, self._sent = standing.opened_at, Millis(ends_at), standing.sent
        else:
            # What waits for its turn since the window before leaves in this one.
            self._opened_at, self._ends_at, self._sent = now, Millis(now + rules.window_ms), queued.singles
        self._summary = standing.summary
        self._incident = standing.incident
        self._quiet_until = rules.quiet_until(now)
        self._singles: list[Claimed] = []
        self._digests: list[tuple[Claimed, Digest]] = []
        self._piles: dict[DeliveryId, Pile] = {}
        self._put_off: list[Claimed] = []
        self._due: Claimed | None = None  # the summary that is to be sent: `_summary`

    def plan(self) -> Plan:
        return Plan(
            standing=Standing(
                opened_at=self._opened_at,
                ends_at=self._ends_at,
                sent=self._sent,
                summary=self._summary,
                incident=self._incident,
            ),
            singles=tuple(self._singles),
            digests=tuple(self._digests),
            piles=tuple(self._piles.values()),
            put_off=tuple(self._put_off),
        )

    # --- digests --------------------------------------------------------------------------------------------------

    def digest(self, one: Claimed, known: Mapping[DeliveryId, Digest]) -> None:
        if self._summary is not None and one.id == self._summary.delivery_id:
            self._due = one
        elif self._incident is not None and one.id == self._incident.delivery_id:
            self._due_incident(one, self._incident)
        elif (late := known[one.id]).kind is DigestKind.SUMMARY:
            self._late_summary(one, late)
        else:
            self._late_incident(one, late)

    def _late_summary(self, one: Claimed, late: Digest) -> None:
        """It was closed to be sent, and was not."""
        if self._summary is not None:
            self._summary = _absorbing(self._summary, late)
            self._pile(self._summary).digests.append(one)
        elif late.retry_at is not None and late.retry_at > self._now:
            # It came back to join another one, which has meanwhile left.
            self._summary = replace(late, due_at=late.retry_at)
            self._put_off.append(one)
        else:
            self._summary, self._due = late, one

    def settle_summary(self) -> None:
        """What becomes of a summary that is due."""
        one, summary = self._due, self._summary
        if one is None or summary is None:
            return
        due_at = max(summary.not_before, self._quiet_until or 0)
        if self._queued.summaries:
            due_at = max(due_at, self._now + BEHIND_MS)
        if due_at > self._now:
            self._summary = replace(summary, due_at=Millis(due_at))
            self._put_off.append(one)
        else:
            self._summary = None
            self._digests.append((one, summary))

    def _due_incident(self, one: Claimed, incident: Digest) -> None:
        if incident.message is None and self._quiet_until is not None:
            self._incident = None
            self._fold_into_summary().digests.append(one)
            return
        over = self._now >= incident.closes_at
        self._incident = None if over else replace(incident, sending=True)
        self._digests.append((one, incident))

    def _late_incident(self, one: Claimed, late: Digest) -> None:
        """It is over, and its last words were not sent."""
        if late.message is not None:  # a message that is there is edited, in quiet hours too: nobody hears it
            self._digests.append((one, late))
        elif self._incident is not None:
            self._incident = _absorbing(self._incident, late)
            self._pile(self._incident).digests.append(one)
        elif self._quiet_until is not None:
            self._fold_into_summary().digests.append(one)
        else:
            self._digests.append((one, late))

    # --- events ---------------------------------------------------------------------------------------------------

    def event(self, one: Claimed) -> None:
        rules = self._rules
        if one.type == NOTICE_TYPE or rules.urgent(one.type):
            self._singles.append(one)
            return
        fraud = rules.fraud(one.type)
        quiet = self._quiet_until is not None
        if fraud and self._incident is not None and not (quiet and self._incident.message is None):
            self._fold_into_incident(self._incident).events.append(one)
        elif not quiet and self._sent < rules.max:
            self._sent += 1
            self._singles.append(one)
        elif fraud and rules.edits and not quiet:
            self._fold_into_incident(self._new(DigestKind.INCIDENT, self._now)).events.append(one)
        else:
            self._fold_into_summary().events.append(one)

    def _fold_into_incident(self, incident: Digest) -> Pile:
        due_at = incident.due_at
        if not incident.sending:
            due_at = Millis(min(due_at, max(self._now, incident.shown_at + EDIT_MS, incident.not_before)))
        self._incident = replace(incident, due_at=due_at, closes_at=Millis(self._now + self._rules.window_ms))
        return self._pile(self._incident)

    def _fold_into_summary(self) -> Pile:
        wake = self._quiet_until or self._rules.quiet_until(self._ends_at) or self._ends_at
        summary = self._summary or self._new(DigestKind.SUMMARY, wake)
        self._summary = replace(summary, due_at=Millis(max(summary.not_before, min(summary.due_at, wake))))
        return self._pile(self._summary)

    def _new(self, kind: DigestKind, due_at: Millis) -> Digest:
        return Digest(
            delivery_id=DeliveryId(self._new_id()),
            event_id=EventId(self._new_id()),
            kind=kind,
            opened_at=self._now,
            due_at=due_at,
        )

    def _pile(self, into: Digest) -> Pile:
        pile = self._piles.get(into.delivery_id)
        if pile is None:
            pile = self._piles[into.delivery_id] = Pile(into=into.delivery_id, events=[], digests=[])
        return pile


def _absorbing(digest: Digest, late: Digest) -> Digest:
    """The digest with what another one has used of its schedule, if that is more."""
    not_before = Millis(max(digest.not_before, late.not_before))
    digest = replace(digest, not_before=not_before, due_at=Millis(max(digest.due_at, not_before)))
    return digest if late.tries <= digest.tries else replace(digest, tries=late.tries, retry_at=late.retry_at)
