"""Gathers what is claimed for chats and mail: decides with `sorting`, counts with `summary`, writes, and remembers.

    claimed ──▶ sort ──▶ count ──▶ store: window, members, digests in one transaction ──▶ what is sent now

What is remembered of a lane is what the store holds; after any trouble it is forgotten, and read again.
"""

import asyncio
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import orjson
from msgspec.structs import replace

from tocsin import failpoints
from tocsin.channels.options import ChatOptions
from tocsin.channels.summary import Summary, decode
from tocsin.clock import Clock, Millis
from tocsin.engine.directory import AccountView, Directory, WebhookView, takes
from tocsin.engine.dispatching.lanes import Lane
from tocsin.engine.gathering.quiet_hours import Quiet, parse
from tocsin.engine.gathering.sorting import (
    EDIT_MS,
    NEVER,
    Digest,
    Ending,
    Memory,
    Plan,
    Queued,
    Rules,
    Standing,
    sort,
)
from tocsin.errors import Conflict, Unavailable
from tocsin.ids import IdSource
from tocsin.model import DIGEST_TYPE, DeliveryId, DeliveryState
from tocsin.profiles import Profile
from tocsin.store.port import Claimed, DigestKind, Digests, Fold, Gathered, Journal, OpenDigest, Window
from tocsin.telemetry import Metrics

# Counting an event takes some 30 µs: after so many of them others have a turn.
_SLICE = 100

# An open digest may be cancelled, or an erasure change it, between the reading of it and the writing.
_TRIES = 5


def rules_of(options: ChatOptions, zone: ZoneInfo, profile: Profile, *, edits: bool) -> Rules:
    """Args:
    zone: the account's.
    """
    quiet = options.quiet_hours
    return Rules(
        window_ms=options.digest.window_s * 1000,
        max=options.digest.max,
        quiet=None
        if quiet is None
        else Quiet(parse(quiet.from_), parse(quiet.to), ZoneInfo(quiet.timezone) if quiet.timezone else zone),
        urgent=lambda type_: takes(options.urgent, type_),
        fraud=lambda type_: profile.messages.tone(type_) == "fraud",
        edits=edits,
    )


class Gatherer:
    def __init__(
        self,
        *,
        digests: Digests,
        journal: Journal,
        directory: Directory,
        id_source: IdSource,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._digests = digests
        self._journal = journal
        self._directory = directory
        self._id_source = id_source
        self._clock = clock
        self._metrics = metrics

    # --- what was claimed -----------------------------------------------------------------------------------------

    async def gather(
        self, lane: Lane, claimed: Sequence[Claimed], queued: Queued
    ) -> tuple[list[Claimed], Millis | None]:
        """Writes what becomes of a lane's claimed deliveries.

        Returns:
            Those that are sent now, in their order; and when the first of the digests that wait is due.

        Raises:
            TocsinError: nothing was written for sure; all of them are to be given back.
        """
        put_off: set[DeliveryId] = set()  # they wait again already, whatever becomes of the rest
        try:
            for _ in range(_TRIES):
                claimed = [one for one in claimed if one.id not in put_off]
                view = await self._directory.view(lane.account_id)
                hook = view.webhooks.get(lane.webhook_id)
                if hook is None or hook.target.chat is None:
                    lane.memory = None
                    return list(claimed), None  # it was deleted meanwhile, or cannot be sent to: an attempt tells
                try:
                    return await self._gather(lane, claimed, queued, view, hook, put_off)
                except Conflict:
                    lane.memory = None
        except BaseException:
            lane.memory = None
            raise
        raise Unavailable("the digests of a webhook change faster than they can be written")

    async def _gather(
        self,
        lane: Lane,
        claimed: Sequence[Claimed],
        queued: Queued,
        view: AccountView,
        hook: WebhookView,
        put_off: set[DeliveryId],
    ) -> tuple[list[Claimed], Millis | None]:
        chat = hook.target.chat
        assert chat is not None
        memory = lane.memory or await self._read(lane)
        now = self._clock.now_ms()
        known = {one.id: memory.late.get(one.id) or _late(one) for one in claimed if one.type == DIGEST_TYPE}
        plan = sort(
            rules_of(chat.options, view.zone, view.profile, edits=chat.channel.edits),
            memory.standing,
            claimed,
            now,
            known=known,
            queued=queued,
            new_id=self._id_source.next,
        )
        lane.memory = memory
        memory.busy = True
        counted = await self._count(memory, plan, view.profile)
        sent = self._sent(memory, plan)
        if plan.put_off:
            await self._journal.release([one.id for one in plan.put_off], lane.epoch)
            put_off.update(one.id for one in plan.put_off)
        failpoints.reach("before_gather")
        await self._digests.gather([_gathered(lane, memory, plan, now)], lane.epoch)
        failpoints.reach("after_gather")
        self._remember(memory, plan)
        self._metrics.deliveries_ended[DeliveryState.DIGESTED] += counted
        return sent, memory.next_due

    async def _read(self, lane: Lane) -> Memory:
        window = await self._digests.window(lane.webhook_id)
        if window is None:
            return Memory(NEVER, {})
        standing = Standing(opened_at=window.opened_at, ends_at=window.ends_at, sent=window.sent)
        summaries: dict[DeliveryId, Summary] = {}
        for one in window.open:
            summary = decode(one.summary)
            digest = Digest(
                delivery_id=one.delivery_id,
                event_id=one.event_id,
                kind=one.kind,
                opened_at=one.opened_at,
                due_at=one.due_at,
                tries=one.tries,
                message=one.message,
                revision=one.revision,
                closes_at=summary.closes_at or Millis(0),
            )
            summaries[one.delivery_id] = summary
            if one.kind is DigestKind.SUMMARY:
                standing = replace(standing, summary=digest)
            else:
                standing = replace(standing, incident=digest)
        return Memory(standing, summaries)

    async def _count(self, memory: Memory, plan: Plan, profile: Profile) -> int:
        """Counts each pile in its digest's summary; how many events."""
        for one in plan.put_off:  # it may be open again, having been closed to be sent
            if one.id not in memory.summaries:
                memory.summaries[one.id] = decode(one.data)
        counted = 0
        for pile in plan.piles:
            summary = memory.summaries.get(pile.into)
            if summary is None:
                summary = memory.summaries[pile.into] = self._begun(plan, pile.into)
            for one in pile.digests:
                summary.merge(decode(one.data))
                memory.late.pop(one.id, None)
            for one in pile.events:
                summary.add(
                    profile, one.type, one.timestamp, orjson.loads(one.data), event_id=one.event_id, raw=one.data
                )
                counted += 1
                if not counted % _SLICE:
                    await asyncio.sleep(0)
        incident = plan.standing.incident
        if incident is not None:
            memory.summaries[incident.delivery_id].closes_at = incident.closes_at
        return counted

    def _begun(self, plan: Plan, id_: DeliveryId) -> Summary:
        """A summary that nothing was counted in: of a digest that is new, or of one that is to be sent."""
        for one, _ in plan.digests:
            if one.id == id_:
                return decode(one.data)
        incident = plan.standing.incident
        return Summary(kind="incident" if incident is not None and incident.delivery_id == id_ else "summary")

    def _sent(self, memory: Memory, plan: Plan) -> list[Claimed]:
        """What is sent now: digests with all that they count."""
        sent = []
        for one, digest in plan.digests:
            summary = memory.summaries.get(one.id)
            if summary is None:
                summary = memory.summaries[one.id] = decode(one.data)
            open_ = plan.standing.incident is not None and plan.standing.incident.delivery_id == one.id
            if digest.kind is DigestKind.INCIDENT:
                summary.over = not open_
                memory.shown[one.id] = summary.count
            sent.append(replace(one, data=summary.encoded(), tries=digest.tries))
        sent.extend(plan.singles)
        return sent

    def _remember(self, memory: Memory, plan: Plan) -> None:
        memory.standing = plan.standing
        for one, digest in plan.digests:
            if digest.kind is DigestKind.SUMMARY:
                memory.late[one.id] = digest
        for put_off in plan.put_off:
            memory.late.pop(put_off.id, None)
        open_ = {one.delivery_id for one in (plan.standing.summary, plan.standing.incident) if one is not None}
        memory.summaries = {id_: summary for id_, summary in memory.summaries.items() if id_ in open_}
        memory.shown = {id_: count for id_, count in memory.shown.items() if id_ in open_}
        memory.busy = False
        for id_, ending, message, at in memory.meanwhile:
            if memory.standing.incident is not None and memory.standing.incident.delivery_id == id_:
                memory.standing = replace(
                    memory.standing, incident=_going_on(memory.standing.incident, ending, message, at)
                )
        memory.meanwhile.clear()

    # --- what became of what was sent -----------------------------------------------------------------------------

    def ended(self, lane: Lane, claimed: Claimed, ending: Ending, message: str | None, now: Millis) -> Ending:
        """What becomes of a delivery of a lane that gathers, where the attempt and its schedule say `ending`.

        Only a digest may come to something else: an incident goes on; a summary that failed joins the one that is open,
        or is open again.

        Args:
            message: what the service calls it from now on; None: as before; empty: it is gone.
        """
        if claimed.type != DIGEST_TYPE:
            return ending
        memory = lane.memory
        told = decode(claimed.data)
        if told.kind == "summary":
            if memory is None:
                return ending
            late = memory.late.pop(claimed.id) if claimed.id in memory.late else _late(claimed)
            return self._summary_ended(memory, late, claimed, ending, now)
        if told.over:
            return ending
        more = memory is None or memory.busy  # it is not known what is being counted just now
        if memory is not None and not memory.busy:
            incident = memory.standing.incident
            if incident is None or incident.delivery_id != claimed.id:
                return ending
            more = memory.summaries[claimed.id].count != memory.shown.get(claimed.id)
            told = memory.summaries[claimed.id]
        message = claimed.message if message is None else message or None
        if ending.state is DeliveryState.SUCCEEDED and message is not None:
            closes_at = told.closes_at or now
            ending = Ending(DeliveryState.PENDING, Millis(min(now + EDIT_MS, closes_at)) if more else closes_at, 0)
        # One that cannot be named cannot be edited: it is at its end, and the next fraud begins another.
        if memory is not None and memory.busy:
            memory.meanwhile.append((claimed.id, ending, message, now))
        elif memory is not None and memory.standing.incident is not None:
            incident = _going_on(memory.standing.incident, ending, message, now)
            memory.standing = replace(memory.standing, incident=incident)
        return ending

    def _summary_ended(self, memory: Memory, summary: Digest, claimed: Claimed, ending: Ending, now: Millis) -> Ending:
        retry_at = summary.retry_at
        if ending.state is DeliveryState.SUCCEEDED:
            return ending
        if ending.tries == claimed.tries:  # it was not refused, but is to come later
            if ending.due_at is None:
                return ending
            summary = replace(summary, not_before=ending.due_at)
        elif summary.tries and retry_at is not None and now < retry_at:  # a window's end, before its schedule says
            ending = Ending(DeliveryState.RETRYING, retry_at, summary.tries)
        elif ending.due_at is None:
            return ending
        else:
            summary = replace(summary, tries=ending.tries, retry_at=ending.due_at)
        assert ending.due_at is not None
        if memory.busy or memory.standing.summary is not None:
            memory.late[claimed.id] = summary
            return replace(ending, due_at=now)  # it comes back at once, to join the open one
        memory.standing = replace(memory.standing, summary=replace(summary, due_at=ending.due_at))
        memory.summaries[claimed.id] = decode(claimed.data)
        return ending


def _going_on(incident: Digest, ending: Ending, message: str | None, now: Millis) -> Digest | None:
    """An incident after an attempt to tell of it; None: it takes no more."""
    if ending.due_at is None:
        return None
    if ending.state is DeliveryState.RETRYING:  # its schedule holds, whatever comes meanwhile
        return replace(
            incident,
            sending=False,
            tries=ending.tries,
            message=message,
            due_at=ending.due_at,
            not_before=ending.due_at,
        )
    return replace(
        incident,
        sending=False,
        tries=0,
        message=message,
        shown_at=now,
        due_at=ending.due_at,
        not_before=Millis(0),
    )


def _late(one: Claimed) -> Digest:
    """A digest that is no longer open, of which only the store knew."""
    return Digest(
        delivery_id=one.id,
        event_id=one.event_id,
        kind=DigestKind(decode(one.data).kind),
        opened_at=one.timestamp,
        due_at=Millis(0),
        tries=one.tries,
        message=one.message,
        revision=one.revision,
    )


def _gathered(lane: Lane, memory: Memory, plan: Plan, now: Millis) -> Gathered:
    standing = plan.standing
    digests = {digest.delivery_id: digest for _, digest in plan.digests}
    waiting = [one for one in (standing.summary, standing.incident) if one is not None]
    digests.update((one.delivery_id, one) for one in waiting)
    open_ = {id_: _open(one, memory.summaries[id_]) for id_, one in digests.items()}
    folds = [
        Fold(members=tuple(one.id for one in (*pile.digests, *pile.events)), into=open_[pile.into])
        for pile in plan.piles
    ]
    piled = {pile.into for pile in plan.piles}
    # The last words on an incident are kept too.
    folds += [
        Fold(members=(), into=open_[id_])
        for id_, one in digests.items()
        if memory.summaries[id_].over and id_ not in piled
    ]
    window = Window(
        webhook_id=lane.webhook_id,
        opened_at=standing.opened_at,
        ends_at=standing.ends_at,
        sent=standing.sent,
        open=tuple(open_[one.delivery_id] for one in waiting),
    )
    return Gathered(account_id=lane.account_id, at=now, window=window, folds=tuple(folds))


def _open(digest: Digest, summary: Summary) -> OpenDigest:
    return OpenDigest(
        delivery_id=digest.delivery_id,
        event_id=digest.event_id,
        kind=digest.kind,
        opened_at=digest.opened_at,
        due_at=digest.due_at,
        summary=summary.encoded(),
        tries=digest.tries,
        revision=digest.revision,
    )
