"""What an alert or a filter would have sent, had it been there: the same rules over what is kept.

The work of one question is bounded by rows and by time, done in slices so that the process goes on with the rest, and
one question at a time; where it was cut, the answer says how far it came.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from tocsin.clock import Clock, Millis
from tocsin.engine.directory import Directory, takes
from tocsin.engine.filtering.filters import Filter, FilterFailed, FilterInput
from tocsin.model import AccountId, Event, EventId
from tocsin.store.port import EventFilter, NewActivity, Page, Records, TriggerAsk, Triggers
from tocsin.triggers.activity import Activity, ActivityId, Kind
from tocsin.triggers.occurrences import Judgement
from tocsin.triggers.rules import alerts, conversions
from tocsin.triggers.rules.alerts import Alert, Firing, Watch
from tocsin.triggers.rules.conversions import Conversion
from tocsin.triggers.windows import window

# Reading and deciding an activity takes some 20 microseconds, so a question is answered within its time even where a
# day has 100,000 of them.
_MAX_ACTIVITIES = 500_000
_MAX_EVENTS = 100_000
_MAX_BODIES = 20_000  # events whose body must be read for a filter: one read each
_TIME_S = 8.0
_SLICE = 250  # some milliseconds
_BODIES_AT_A_TIME = 50

MAX_FIRINGS = 100  # shown; the counts are of all
MAX_SAMPLES = 10
# Of conversions that name no campaign, it is that of their click: of so many clicks, the last ones. As many conversions
# are told from those that are posted again.
_CLICKS = 50_000

_READ: Mapping[str, frozenset[Kind]] = {
    "clicks": frozenset({Kind.CLICK}),
    "conversions": frozenset({Kind.CONVERSION}),
    "conversion_rate": frozenset({Kind.CLICK, Kind.CONVERSION}),
    "fraud_rate": frozenset({Kind.CLICK, Kind.VISIT}),
    "bot_rate": frozenset({Kind.CLICK, Kind.VISIT}),
    "ctr": frozenset({Kind.CLICK, Kind.IMPRESSION}),
    "spend": frozenset({Kind.SPEND}),
    "payout": frozenset({Kind.CONVERSION}),
}


class _Told(msgspec.Struct, frozen=True):
    """What the log keeps of an answer."""

    judgement: Judgement | None = None


class AlertBacktest(msgspec.Struct, frozen=True, kw_only=True):
    since: Millis
    until: Millis  # reached
    complete: bool
    looked_at: int
    fired: int
    by_day: Mapping[str, int]
    firings: Sequence[Firing]


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    event_id: EventId
    type: str
    timestamp: Millis


class FilterBacktest(msgspec.Struct, frozen=True, kw_only=True):
    """`sent`: by day and type. `failed`: the filter could not judge them; `gone`: their bodies are no longer kept."""

    since: Millis  # reached, going back
    until: Millis
    complete: bool
    looked_at: int
    sent: Mapping[str, Mapping[str, int]]
    failed: int
    gone: int
    samples: Sequence[Sample]


class Backtests:
    def __init__(self, *, triggers: Triggers, records: Records, directory: Directory, clock: Clock) -> None:
        self._triggers = triggers
        self._records = records
        self._directory = directory
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()

    async def alert(self, account_id: AccountId, alert: Alert, until: Millis) -> AlertBacktest:
        """As if the alert had been made at its `created_at`. Raises `NotFound`: the account is gone."""
        zone = (await self._directory.fresh(account_id)).zone
        async with self._one_at_a_time:
            run = _AlertRun(alert, zone)
            reached, complete = until, True
            began_s = self._clock.monotonic_s()
            async for rows in self._activities(account_id, alert.created_at, until):
                run.take(rows, await self._payouts(account_id, rows) if alert.metric == "payout" else {})
                if run.looked_at >= _MAX_ACTIVITIES or self._clock.monotonic_s() - began_s > _TIME_S:
                    reached, complete = rows[-1].accepted_at, False
                    break
            run.silence(reached)
            return AlertBacktest(
                since=alert.created_at,
                until=reached,
                complete=complete,
                looked_at=run.looked_at,
                fired=len(run.fired),
                by_day=dict(sorted(run.by_day.items())),
                firings=run.fired[:MAX_FIRINGS],
            )

    async def filter(
        self, account_id: AccountId, patterns: tuple[str, ...], filter: Filter | None, since: Millis, until: Millis
    ) -> FilterBacktest:
        """Newest first, so that what is cut is the oldest. Raises `NotFound`: the account is gone."""
        zone = (await self._directory.fresh(account_id)).zone
        async with self._one_at_a_time:
            sent: dict[str, Counter[str]] = {}
            samples: list[Sample] = []
            looked_at = failed = gone = bodies = 0
            before: int | None = None
            reached, complete = since, True
            began_s = self._clock.monotonic_s()
            while True:
                page = Page(limit=_SLICE, before=before)
                rows, before = await self._records.events(account_id, EventFilter(since=since, until=until), page)
                looked_at += len(rows)
                wanted = [row for row in rows if takes(patterns, row.type)]
                for row, verdict in await self._judge(account_id, wanted, filter):
                    if verdict is None:
                        gone += 1
                    elif isinstance(verdict, FilterFailed):
                        failed += 1
                    elif verdict:
                        day = window("daily", row.accepted_at, zone).name
                        sent.setdefault(day, Counter())[row.type] += 1
                        if len(samples) < MAX_SAMPLES:
                            samples.append(Sample(event_id=row.id, type=row.type, timestamp=row.timestamp))
                bodies += len(wanted) if filter is not None else 0
                if before is None:
                    break
                spent = looked_at >= _MAX_EVENTS or bodies >= _MAX_BODIES
                if spent or self._clock.monotonic_s() - began_s > _TIME_S:
                    reached, complete = (rows[-1].accepted_at if rows else until), False
                    break
            return FilterBacktest(
                since=reached,
                until=until,
                complete=complete,
                looked_at=looked_at,
                sent={day: dict(sorted(types.items())) for day, types in sorted(sent.items())},
                failed=failed,
                gone=gone,
                samples=samples,
            )

    async def _activities(
        self, account_id: AccountId, since: Millis, until: Millis
    ) -> AsyncIterator[Sequence[NewActivity]]:
        after = 0
        while rows := await self._triggers.activities(account_id, since=since, until=until, after=after, limit=_SLICE):
            yield rows
            after = rows[-1].id
            await asyncio.sleep(0)

    async def _payouts(self, account_id: AccountId, rows: Sequence[NewActivity]) -> Mapping[str, Decimal]:
        """What was recorded of the conversions among them that say none themselves, by the key of each."""
        posted = [msgspec.json.decode(row.data) for row in rows if row.kind == Kind.CONVERSION.value]
        keys = frozenset(conversions.key_of(data["conversion_id"]) for data in posted if data.get("payout") is None)
        if not keys:
            return {}
        ask = TriggerAsk(account_id=account_id, keys=keys)
        (read,) = await self._triggers.read([ask], self._clock.now_ms())
        values = {} if read is None else read.values
        return {key: msgspec.msgpack.decode(value, type=Conversion).payout for key, value in values.items() if value}

    async def _judge(
        self, account_id: AccountId, rows: Sequence[Event], filter: Filter | None
    ) -> Sequence[tuple[Event, bool | FilterFailed | None]]:
        if filter is None:
            return [(row, True) for row in rows]
        judged: list[tuple[Event, bool | FilterFailed | None]] = []
        for begin in range(0, len(rows), _BODIES_AT_A_TIME):
            some = rows[begin : begin + _BODIES_AT_A_TIME]
            whole = await asyncio.gather(*(self._records.event(account_id, row.id) for row in some))
            for event in whole:
                if event is not None:
                    judged.append((event, _verdict(event, filter)))
                    await asyncio.sleep(0)  # a filter may take some milliseconds
        return judged


class _AlertRun:
    """An alert that lives through the log again."""

    def __init__(self, alert: Alert, zone: ZoneInfo) -> None:
        self.looked_at = 0
        self.fired: list[Firing] = []
        self.by_day: Counter[str] = Counter()
        self._alert = alert
        self._zone = zone
        self._watch = alerts.begin(alert)
        # A conversion that names no campaign is its click's.
        self._kinds = _READ[alert.metric] | (frozenset() if alert.campaign is None else {Kind.CLICK})
        self._campaigns: dict[str, str] = {}
        self._conversions: dict[str, None] = {}  # in the order in which they were recorded

    def take(self, rows: Sequence[NewActivity], payouts: Mapping[str, Decimal]) -> None:
        """In the order of the log."""
        self.looked_at += len(rows)
        for row in rows:
            self.silence(row.accepted_at)
            activity, judgement = _read(row, self._kinds)
            if activity is None:
                continue
            campaign = None if self._alert.campaign is None else _campaign(activity, self._campaigns)
            payout = None
            if activity.kind is Kind.CONVERSION:
                key = conversions.key_of(activity.data["conversion_id"])
                if self._known(key):
                    continue
                payout = payouts.get(key)
            part = alerts.part_of(self._alert, activity, judgement, campaign, payout)
            if part is not None:
                self._note(alerts.measure(self._alert, self._watch, activity.at, part))

    def _known(self, conversion: str) -> bool:
        """Whether it was recorded before: then it is posted again, which counts nothing."""
        if conversion in self._conversions:
            return True
        self._conversions[conversion] = None
        if len(self._conversions) > _CLICKS:
            del self._conversions[next(iter(self._conversions))]
        return False

    def silence(self, until: Millis) -> None:
        """What its timer would have told, which runs before what is accepted later."""
        if self._alert.by_falling:
            self._note(alerts.advance(self._alert, self._watch, until))

    def _note(self, found: tuple[Watch, list[Firing]]) -> None:
        self._watch, fired = found
        self.fired += fired
        for one in fired:
            self.by_day[window("daily", one.at, self._zone).name] += 1


def _verdict(event: Event, filter: Filter) -> bool | FilterFailed | None:
    if event.data is None:
        return None
    try:
        return filter.matches(FilterInput(event.type, event.timestamp, msgspec.json.decode(event.data)))
    except FilterFailed as failure:
        return failure


def _read(row: NewActivity, kinds: frozenset[Kind]) -> tuple[Activity | None, Judgement | None]:
    """An activity of the log, with the judgement of its day: the settings and the knowledge of now may be others."""
    kind = Kind(row.kind)
    if kind not in kinds:
        return None, None
    data = msgspec.json.decode(row.data)
    activity = Activity(
        id=ActivityId(row.id),
        kind=kind,
        at=row.at,
        accepted_at=row.accepted_at,
        external_id=row.external_id,
        data=data if isinstance(data, dict) else {},
    )
    return activity, msgspec.json.decode(row.result, type=_Told).judgement


def _campaign(activity: Activity, clicks: dict[str, str]) -> str | None:
    own = activity.id_of("campaign")
    click = activity.data.get("click_id")
    if not isinstance(click, str | int):
        return own
    if own is None:
        return clicks.get(str(click))
    if activity.kind is Kind.CLICK:
        clicks[str(click)] = own
        if len(clicks) > _CLICKS:
            del clicks[next(iter(clicks))]
    return own
