"""One day's activities in the order of time."""

import heapq
import math
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import accumulate
from typing import Any

import msgspec

from tocsin.cli.traffic.audience import Audience, Visitor
from tocsin.cli.traffic.frauds import PATTERNS, Click, Pattern, longest_ms
from tocsin.cli.traffic.market import CAMPAIGNS, PARTNERS, Campaign, partner, placement, some_campaign
from tocsin.clock import Millis, rfc3339

DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
# How many clicks each hour has: a night, a lunch break, an evening on the sofa.
_HOURS = (22, 15, 10, 8, 8, 11, 18, 28, 38, 45, 49, 53, 57, 52, 49, 50, 53, 58, 66, 76, 83, 79, 60, 38)
_UNTIL = tuple(accumulate(_HOURS, initial=0))

_SEEN_BEFORE = 0.15  # of clicks: their impression is reported too
_LANDED = 0.25  # the landing page reports the visit
_CONVERTS = 0.025
_PENDING = 0.4  # of conversions: decided by hand later
_REJECTED = 0.2  # of those
_DELAY_MEDIAN_S = 1_500  # from click to conversion; its logarithm is normal
_DELAY_SIGMA = 1.2
_DECIDED_H = (0.5, 4.0)


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """One activity. `pattern`: the fraud that it belongs to, which its body does not tell."""

    at: Millis
    body: Mapping[str, Any]  # as it is posted
    pattern: str | None = None

    @property
    def kind(self) -> str:
        return str(self.body["kind"])

    @property
    def external_id(self) -> str:
        return str(self.body["external_id"])


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """A day's traffic: iterate over it. Nothing is after its end: what would come later did not happen.

    `clicks`: all of them, fraud included; `fraud`: its share, a fifth for each pattern. `begins_at`: the day's first
    instant.
    """

    clicks: int
    seed: int
    begins_at: Millis
    fraud: float = 0.02

    def __iter__(self) -> Iterator[Made]:
        luck = random.Random(f"{self.seed}/{self.clicks}")  # noqa: S311 - variety, no secret
        prefix = f"{datetime.fromtimestamp(self.begins_at / 1000, UTC):%Y%m%d}-{self.seed}-"
        audience = Audience(luck, prefix)
        pen = _Pen(luck, prefix)
        each = round(self.clicks * self.fraud / len(PATTERNS))
        series = [self._frauds(pattern, each, audience, pen) for pattern in PATTERNS.values()]
        honest = self._honest(self.clicks - each * len(PATTERNS), audience, pen)
        journeys = heapq.merge(honest, *series, key=lambda journey: journey[0].at)
        ends_at = self.begins_at + DAY_MS
        yield from _opening(self.begins_at, pen)
        yield from _with_spend((made for made in _in_order(journeys) if made.at < ends_at), self.begins_at, pen)

    def _honest(self, clicks: int, audience: Audience, pen: "_Pen") -> Iterator[Sequence[Made]]:
        for number in range(clicks):
            # The n-th of the day is drawn from the n-th of `clicks` slices that weigh alike, so they come in order.
            at = Millis(self.begins_at + _instant((number + pen.luck.random()) / clicks))
            yield _journey(at, audience.someone(), some_campaign(pen.luck), pen, self.begins_at + DAY_MS - 1)

    def _frauds(self, pattern: Pattern, clicks: int, audience: Audience, pen: "_Pen") -> Iterator[Sequence[Made]]:
        series = math.ceil(clicks / pattern.clicks)
        room_ms = DAY_MS - longest_ms(pattern)
        for number in range(series):
            begins = self.begins_at + round((number + pen.luck.random()) / series * room_ms)
            size = clicks // series + (number < clicks % series)
            yield [
                pen.click(Millis(begins + click.after_ms), click.visitor, click.campaign, pattern.name)
                for click in _by_time(pattern.make(pen.luck, audience, size))
            ]


def _by_time(clicks: Sequence[Click]) -> Sequence[Click]:
    return sorted(clicks, key=lambda click: click.after_ms)


def _instant(share: float) -> int:
    """When that share of the day's clicks is over, in milliseconds from its beginning."""
    weight = share * _UNTIL[-1]
    hour = min(bisect_right(_UNTIL, weight) - 1, len(_HOURS) - 1)
    return round((hour + (weight - _UNTIL[hour]) / _HOURS[hour]) * _HOUR_MS)


def _journey(at: Millis, visitor: Visitor, campaign: Campaign, pen: "_Pen", latest: int) -> Sequence[Made]:
    """What one person does, in the order of time; `latest`: when the click is to be at the latest."""
    luck = pen.luck
    made = []
    if luck.random() < _SEEN_BEFORE:
        made.append(pen.impression(at, visitor, campaign))
        at = Millis(min(latest, at + luck.randint(900, 20_000)))
    click = pen.click(at, visitor, campaign)
    made.append(click)
    if luck.random() < _LANDED:
        made.append(pen.visit(Millis(at + luck.randint(300, 4_000)), visitor, click))
    if luck.random() < _CONVERTS:
        at = Millis(at + 10_000 + round(luck.lognormvariate(math.log(_DELAY_MEDIAN_S), _DELAY_SIGMA) * 1000))
        pending = luck.random() < _PENDING
        conversion = pen.conversion(at, campaign, click, pending=pending)
        made.append(conversion)
        if pending:
            at = Millis(at + round(luck.uniform(*_DECIDED_H) * _HOUR_MS))
            made.append(pen.conversion_status(at, conversion))
    return made


def _in_order(journeys: Iterable[Sequence[Made]]) -> Iterator[Made]:
    """The activities of journeys that come in the order of their beginnings; holds those of journeys under way."""
    waiting: list[tuple[Millis, int, Made]] = []
    count = 0
    for journey in journeys:
        while waiting and waiting[0][0] <= journey[0].at:
            yield heapq.heappop(waiting)[2]
        for made in journey:
            heapq.heappush(waiting, (made.at, count, made))
            count += 1
    while waiting:
        yield heapq.heappop(waiting)[2]


def _opening(at: Millis, pen: "_Pen") -> Iterator[Made]:
    """The account's business, as it stands when the day begins."""
    for campaign in CAMPAIGNS:
        budget = {"budget": "250000.00", "daily_budget": "25000.00", "status": "active"}
        yield pen.write(at, "campaign", action="created", campaign={**campaign.named, **budget})
    for number in range(PARTNERS):
        yield pen.write(at, "partner", partner=partner(number), status="applied")
        yield pen.write(at, "partner", partner=partner(number), status="approved")


def _with_spend(activities: Iterable[Made], begins_at: Millis, pen: "_Pen") -> Iterator[Made]:
    """Adds what the clicks of each hour have cost, at its end; after the last, the day's bill."""
    clicks: Counter[int] = Counter()
    owed = Decimal(0)
    hour_ends = begins_at + _HOUR_MS

    def spend(at: Millis) -> Iterator[Made]:
        nonlocal owed
        for campaign in CAMPAIGNS:
            if count := clicks.pop(campaign.named["id"], 0):
                amount = count * Decimal(campaign.cost)
                owed += amount
                yield pen.write(at, "spend", campaign={"id": campaign.named["id"]}, amount=str(amount), currency="EUR")

    last = begins_at
    for made in activities:
        while made.at >= hour_ends:
            yield from spend(Millis(hour_ends))
            hour_ends += _HOUR_MS
        if made.kind == "click":
            clicks[made.body["campaign"]["id"]] += 1
        last = made.at
        yield made
    end = Millis(min(begins_at + DAY_MS - 1, hour_ends))
    yield from spend(end)
    if owed:
        yield pen.write(
            max(end, last), "billing", data={"invoice": f"{pen.prefix}1", "amount": str(owed), "currency": "EUR"}
        )


class _Pen:
    """Writes activities: numbers them, and gives each the ids that others refer to."""

    def __init__(self, luck: random.Random, prefix: str) -> None:
        self.luck = luck
        self.prefix = prefix
        self._counts: Counter[str] = Counter()

    def write(self, at: Millis, kind: str, pattern: str | None = None, **keys: Any) -> Made:
        body = {"kind": kind, "external_id": f"{kind}-{self.prefix}{self._next(kind)}", "at": rfc3339(at), **keys}
        return Made(at=at, body=body, pattern=pattern)

    def impression(self, at: Millis, visitor: Visitor, campaign: Campaign) -> Made:
        return self.write(
            at,
            "impression",
            campaign=campaign.named,
            ad=campaign.ad,
            visitor=visitor.about,
            **placement(self.luck),
        )

    def click(self, at: Millis, visitor: Visitor, campaign: Campaign, pattern: str | None = None) -> Made:
        url, _ = campaign.landing(self.luck)
        signals = {"signals": visitor.signals} if visitor.signals else {}
        return self.write(
            at,
            "click",
            pattern,
            click_id=f"clk-{self.prefix}{self._next('click_id')}",
            campaign=campaign.named,
            offer=campaign.offer,
            partner=campaign.partner(self.luck),
            ad=campaign.ad,
            visitor=visitor.about,
            landing_url=url,
            cost=campaign.cost,
            **signals,
        )

    def visit(self, at: Millis, visitor: Visitor, click: Made) -> Made:
        campaign = CAMPAIGNS[click.body["campaign"]["id"] - CAMPAIGNS[0].named["id"]]
        _, referrer = campaign.landing(self.luck)
        seen = {"referrer": referrer} if referrer else {}
        return self.write(
            at,
            "visit",
            visit_id=f"vis-{self.prefix}{self._next('visit_id')}",
            url=click.body["landing_url"],
            campaign=click.body["campaign"],
            visitor=visitor.about,
            **seen,
        )

    def conversion(self, at: Millis, campaign: Campaign, click: Made, *, pending: bool) -> Made:
        number = self._next("conversion_id")
        body = click.body
        return self.write(
            at,
            "conversion",
            conversion_id=f"cnv-{self.prefix}{number}",
            click_id=body["click_id"],
            transaction_id=f"order-{self.prefix}{number}",
            payout=campaign.payout,
            revenue=str(Decimal(campaign.payout) * Decimal("1.30")),
            currency="EUR",
            status="pending" if pending else "approved",
            type="sale",
            sub1=self.luck.choice(("story", "reel", "banner")),
            **{name: body[name] for name in ("campaign", "offer", "partner", "visitor")},
        )

    def conversion_status(self, at: Millis, conversion: Made) -> Made:
        rejected = self.luck.random() < _REJECTED
        decided: dict[str, Any] = (
            {"status": "rejected", "reason": "order cancelled"} if rejected else {"status": "approved"}
        )
        return self.write(at, "conversion_status", conversion_id=conversion.body["conversion_id"], **decided)

    def _next(self, what: str) -> int:
        self._counts[what] += 1
        return self._counts[what]
