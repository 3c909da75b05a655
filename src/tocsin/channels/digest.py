"""What people are told of what was counted: a window's summary, and a burst of fraud while it goes on.

📊 37 alerts in 58 seconds            🚨 Fraud burst: 1,204 alerts in 3 minutes 20 seconds
Fraud Detected: 30                     Fraud Detected: 1,204
New Conversion: 7                      Estimated Loss: $482.10
Payout: $315.00                        Top Campaigns …
Top Campaigns …                        Top Offenders …
"""

from collections.abc import Mapping
from decimal import Decimal
from math import ceil

import orjson

from tocsin import ids
from tocsin.channels import wording
from tocsin.channels.compose import WITH_ICONS, compose, footer
from tocsin.channels.message import Line, Link, Message, Section, Tone
from tocsin.channels.occasion import Occasion
from tocsin.channels.options import ChatOptions
from tocsin.channels.ranking import Ranking
from tocsin.channels.summary import Only, Summary, decode
from tocsin.profiles.details import DETAILS

# What fits a glance.
_TYPES = 8
_CAMPAIGNS = 5
_OFFENDERS = 3  # of each kind

_LABEL = 60  # UTF-16 units

# No window is open for longer, nor any night quiet. What spans more was told of later than it happened, such as
# activity that was brought in from elsewhere; then a span of time says nothing of how pressing it is.
_SPAN_S = 2 * 86_400

_SENTENCES = "en"  # a span of time within a sentence is in the sentence's language, whatever figures are written in


def digest_message(occasion: Occasion, options: ChatOptions, channel: str) -> Message:
    """The message of a digest: `occasion.data` is a `Summary`. One that counts one event is told as that event."""
    summary = decode(orjson.dumps(occasion.data))
    only = summary.named.only if summary.named is not None else None
    if summary.count == 1 and only is not None:
        return compose(_alone(occasion, only), options, channel)
    return _Teller(occasion, summary, options.locale, with_icons=channel in WITH_ICONS).message()


def _alone(occasion: Occasion, only: Only) -> Occasion:
    return Occasion(
        event_id=ids.show("evt_", only.event_id),
        type=only.type,
        timestamp=only.timestamp,
        data=orjson.loads(bytes(only.data)),
        profile=occasion.profile,
        account_name=occasion.account_name,
        test=occasion.test,
        link=occasion.link,
    )


class _Teller:
    def __init__(self, occasion: Occasion, summary: Summary, locale: str, *, with_icons: bool) -> None:
        self._occasion = occasion
        self._summary = summary
        self._locale = locale
        self._with_icons = with_icons

    def message(self) -> Message:
        summary, occasion = self._summary, self._occasion
        title, icon, tone = self._title()
        sections = (
            Section(heading="Top Campaigns", lines=self._ranked(summary.campaigns, _CAMPAIGNS)),
            Section(heading="Top Offenders", lines=self._offenders()),
        )
        return Message(
            title=title,
            icon=icon,
            tone=tone,
            at=summary.last_at,
            lines=(*self._types(), *self._money()),
            sections=tuple(section for section in sections if section.lines),
            link=Link(label=f"See all {self._number(summary.count)}", url=occasion.link) if occasion.link else None,
            footer=footer(occasion),
        )

    def _title(self) -> tuple[str, str, Tone]:
        summary = self._summary
        alerts = "1 alert" if summary.count == 1 else f"{self._number(summary.count)} alerts"
        span_s = ceil((summary.last_at - summary.first_at) / 1000)
        if summary.count > 1 and span_s <= _SPAN_S:
            alerts += f" in {wording.duration(max(1, span_s), _SENTENCES)}"
        if summary.kind == "summary":
            return alerts, "📊", self._tone()
        if summary.over:
            return f"Fraud burst over: {alerts}", "🏁", Tone.WARNING
        return f"Fraud burst: {alerts}", "🚨", Tone.FRAUD

    def _tone(self) -> Tone:
        """What most of it is; the more pressing where it is as much."""
        return max(Tone, key=lambda tone: (self._summary.counted(tone.value), _PRESSING.index(tone)))

    def _types(self) -> list[Line]:
        """How many of each type, and how much, where several types carry money: what was pending and then approved
        would otherwise count twice.
        """
        summary, messages = self._summary, self._occasion.profile.messages
        by_count = sorted(summary.types.items(), key=lambda one: (-one[1].count, one[0]))
        several_pay = sum(bool(tally.payout) for tally in summary.types.values()) > 1
        several_lose = sum(bool(tally.loss) for tally in summary.types.values()) > 1
        lines = []
        for type_, tally in by_count[:_TYPES]:
            parts = [self._number(tally.count)]
            if several_pay and tally.payout:
                parts.append(self._amounts(tally.payout))
            if several_lose and tally.loss:
                parts.append(f"{self._amounts(tally.loss)} lost")
            lines.append(self._line(messages.label(type_), " · ".join(parts), messages.icon(type_)))
        more = sum(tally.count for _, tally in by_count[_TYPES:])
        if more:
            lines.append(self._line("Others", self._number(more), "➕"))
        return lines

    def _money(self) -> list[Line]:
        summary = self._summary
        payouts = [tally.payout for tally in summary.types.values() if tally.payout]
        losses = [tally.loss for tally in summary.types.values() if tally.loss]
        lines = []
        if len(payouts) == 1:
            lines.append(self._line("Payout", self._amounts(payouts[0]), DETAILS["payout"].icon))
        if len(losses) == 1:
            lines.append(self._line("Estimated Loss", self._amounts(losses[0]), DETAILS["loss"].icon))
        if summary.unsummed:
            text = f"{self._number(summary.unsummed)} amounts in currencies that nobody knows"
            lines.append(self._line("Not Added Up", text, "❔"))
        return lines

    def _ranked(self, ranking: Ranking, n: int, label: str = "") -> tuple[Line, ...]:
        lines = []
        for name, tally in ranking.top(n):
            parts = [f"{'' if ranking.exact else 'at least '}{self._number(tally.count)}"]
            parts += [self._amounts(tally.payout)] if tally.payout else []
            parts += [f"{self._amounts(tally.loss)} lost"] if tally.loss else []
            called = wording.words(f"{label} {tally.label or name}".lstrip(), _LABEL)
            if called:
                lines.append(Line(label=called, value=" · ".join(parts)))
        more = ranking.count - sum(tally.count for _, tally in ranking.top(n))
        if lines and more and not label:
            lines.append(Line(label="Others", value=self._number(more)))
        return tuple(lines)

    def _offenders(self) -> tuple[Line, ...]:
        """Those that came more than once: each other one would be as good."""
        summary = self._summary
        kinds = [("Partner", summary.partners)]
        if summary.named is not None:
            kinds += [("IP", summary.named.ips), ("Visitor", summary.named.visitors)]
        return tuple(
            line
            for label, ranking in kinds
            if any(tally.count > 1 for tally in ranking.kept.values())
            for line in self._ranked(ranking, _OFFENDERS, label)
        )

    def _amounts(self, money: Mapping[str, Decimal]) -> str:
        return " + ".join(
            wording.money(amount, currency or None, self._locale) for currency, amount in sorted(money.items())
        )

    def _number(self, n: int) -> str:
        return wording.number(n, self._locale)

    def _line(self, label: str, value: str, icon: str) -> Line:
        return Line(label=wording.words(label, _LABEL), value=value, icon=icon if self._with_icons else "")


_PRESSING = (Tone.INFO, Tone.CONVERSION, Tone.WARNING, Tone.FRAUD)
