"""What a digest says of its members: counted as they are folded in, never read again.

All totals are exact, and are the same however the members were cut into pieces. Names are kept as `ranking` says.
"""

from decimal import Decimal
from functools import cache
from typing import Any, Literal

import msgspec

from tocsin.channels.ranking import MAX_NAME, Money, Ranking, Tally, countable
from tocsin.clock import Millis
from tocsin.profiles import Profile
from tocsin.profiles.masking import mask_text
from tocsin.profiles.messages import Tone

Kind = Literal["summary", "incident"]

# What is counted of an event, beside itself.
_COUNTED = ("payout", "loss", "currency", "campaign", "campaign_id", "partner", "partner_id", "ip", "visitor_id")

# Whose visitors are worth naming.
_OFFENDING: frozenset[Tone] = frozenset({"fraud", "warning"})


class Only(msgspec.Struct):
    """The one event, while there is but one: it is told as if it had been sent on its own."""

    event_id: int
    type: str
    timestamp: Millis
    data: msgspec.Raw


class Named(msgspec.Struct, omit_defaults=True):
    """All that may tell of a visitor; an erasure takes it as a whole (`store.port.digests.NAMED`).

    Addresses are masked before they are counted.
    """

    ips: Ranking = msgspec.field(default_factory=Ranking)
    visitors: Ranking = msgspec.field(default_factory=Ranking)
    only: Only | None = None


class Summary(msgspec.Struct, omit_defaults=True):
    """Kept as the data of the digest's event.

    Args:
        types: by event type; as many as the account's catalogue has.
        tones: the same events by what sort of news they are.
        campaigns: by id, or name where there is none, of all events; `partners`: of fraud and warnings.
        unsummed: amounts of money that are in no total: in a currency that there is not, or of 10^15 and more. Those of
            which nobody names the currency are added up under an empty one.
        first_at, last_at: by the events' own timestamps.
        closes_at: of an incident, when it is over unless more comes.
        over: of an incident: it takes no more.
    """

    kind: Kind = "summary"
    count: int = 0
    first_at: Millis = Millis(0)
    last_at: Millis = Millis(0)
    types: dict[str, Tally] = {}
    tones: dict[str, Tally] = {}
    campaigns: Ranking = msgspec.field(default_factory=Ranking)
    partners: Ranking = msgspec.field(default_factory=Ranking)
    unsummed: int = 0
    named: Named | None = msgspec.field(default_factory=Named)
    closes_at: Millis | None = None
    over: bool = False

    def add(self, profile: Profile, type: str, timestamp: Millis, data: Any, *, event_id: int, raw: bytes) -> None:
        """Counts one event.

        Args:
            data: parsed JSON of `raw`.
        """
        details = profile.messages.details(type, data, _COUNTED)
        tone = profile.messages.tone(type)
        tally = self._tally(details)
        self._seen(timestamp, timestamp)
        self.types.setdefault(type, Tally()).add(tally)
        self.tones.setdefault(tone, Tally()).add(tally)
        _rank(self.campaigns, details, "campaign_id", "campaign", tally)
        named = self.named
        if tone in _OFFENDING:
            once = Tally(1)
            _rank(self.partners, details, "partner_id", "partner", once)
            if named is not None:
                if (ip := details.get("ip")) is not None:
                    named.ips.add(mask_text(ip), once)
                if (visitor := details.get("visitor_id")) is not None:
                    named.visitors.add(visitor, once)
        self.count += 1
        if named is not None:
            named.only = Only(event_id, type, timestamp, msgspec.Raw(raw)) if self.count == 1 else None

    def merge(self, other: "Summary") -> None:
        """Takes in what another one counted."""
        if not other.count:
            return
        self._seen(other.first_at, other.last_at)
        for own, others in ((self.types, other.types), (self.tones, other.tones)):
            for name, tally in others.items():
                own.setdefault(name, Tally()).add(tally)
        self.campaigns.merge(other.campaigns)
        self.partners.merge(other.partners)
        self.unsummed += other.unsummed
        if self.named is not None and other.named is not None:
            self.named.ips.merge(other.named.ips)
            self.named.visitors.merge(other.named.visitors)
            self.named.only = None if self.count else other.named.only
        elif self.named is None and not self.count:
            self.named = other.named
        elif self.named is not None:
            self.named.only = None
        self.count += other.count

    def encoded(self) -> bytes:
        return _encode(self)

    def payout(self) -> Money:
        """Of the conversions."""
        return self._of("conversion").payout

    def loss(self) -> Money:
        """By fraud, as it was estimated."""
        return self._of("fraud").loss

    def counted(self, tone: Tone) -> int:
        return self._of(tone).count

    def _of(self, tone: Tone) -> Tally:
        return self.tones.get(tone) or Tally()

    def _seen(self, first_at: Millis, last_at: Millis) -> None:
        if not self.count or first_at < self.first_at:
            self.first_at = first_at
        if not self.count or last_at > self.last_at:
            self.last_at = last_at

    def _tally(self, details: dict[str, Any]) -> Tally:
        return Tally(1, self._money(details, "payout"), self._money(details, "loss"))

    def _money(self, details: dict[str, Any], name: str) -> Money:
        amount: Decimal | None = details.get(name)
        if amount is None:
            return {}
        currency = details.get("currency", "")
        amount = countable(amount)
        if amount is None or (currency and currency not in _currencies()):
            self.unsummed += 1
            return {}
        return {currency: amount}


def _rank(ranking: Ranking, details: dict[str, Any], id_: str, name: str, tally: Tally) -> None:
    called = details.get(name)
    key = details.get(id_) or called
    if key is not None:
        label = "" if called is None or called == key else called[:MAX_NAME]
        ranking.add(key, Tally(tally.count, tally.payout, tally.loss, label))


@cache
def _currencies() -> frozenset[str]:
    """Those that there are. Others would be whatever somebody wrote there, and as many as they like."""
    from babel import Locale  # noqa: PLC0415 - a server that sends no messages does without its 70 ms and 9 MB

    return frozenset(Locale("en").currencies)


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Summary)


def decode(data: bytes) -> Summary:
    return _decoder.decode(data)
