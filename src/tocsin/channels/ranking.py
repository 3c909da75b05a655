"""Counts by name in bounded memory: the names that come often are kept, and nothing is uncounted.

The algorithm is that of Misra and Gries, whose tables can be merged (Agarwal and others, "Mergeable Summaries", 2012):
a name that finds no room takes one from the count of each that is kept, and of itself; what was taken counts as
`others`. So the sum over `kept` and `others` is always what was counted; the counts of kept names are exact until more
names came than there is room for, and lower bounds from then on; and a name that makes up more than 1/101 of all is
certain to be among them.
"""

from collections.abc import Mapping
from decimal import Context, Decimal

import msgspec

# Messages show three; one name in a hundred events is worth being found. A full table of campaigns is some 10 KB, and
# is written anew with every piece that is folded.
CAPACITY = 100

# A name is a key here; longer ones than this are told apart by their beginnings.
MAX_NAME = 120

# Exact for sums of a billion amounts below `MAX_AMOUNT`.
_EXACT = Context(prec=60)
MAX_AMOUNT = Decimal(10) ** 15
_PLACES = Decimal("0.000001")

Money = dict[str, Decimal]  # by currency


class Tally(msgspec.Struct, omit_defaults=True):
    """How often, and how much money. `label`: what it is called, where the name is an id."""

    count: int = 0
    payout: Money = {}
    loss: Money = {}
    label: str = ""

    def add(self, other: "Tally") -> None:
        self.count += other.count
        self.label = other.label or self.label
        if other.payout:
            add_money(self.payout, other.payout)
        if other.loss:
            add_money(self.loss, other.loss)

    def copy(self) -> "Tally":
        return Tally(self.count, dict(self.payout), dict(self.loss), self.label)


class Ranking(msgspec.Struct, omit_defaults=True):
    """`exact`: every name that came is kept, with all that was counted of it."""

    kept: dict[str, Tally] = {}
    others: Tally = msgspec.field(default_factory=Tally)
    exact: bool = True

    def add(self, name: str, tally: Tally) -> None:
        """Counts once: `tally.count` is 1."""
        name = name[:MAX_NAME]
        known = self.kept.get(name)
        if known is not None:
            known.add(tally)
        elif len(self.kept) < CAPACITY:
            self.kept[name] = tally.copy()
        else:
            self.exact = False
            self.others.add(Tally(tally.count, tally.payout, tally.loss))
            self._take(1)

    def merge(self, other: "Ranking") -> None:
        for name, tally in other.kept.items():
            known = self.kept.get(name)
            if known is None:
                self.kept[name] = tally.copy()
            else:
                known.add(tally)
        self.others.add(other.others)
        self.exact = self.exact and other.exact
        if len(self.kept) > CAPACITY:
            self.exact = False
            self._take(sorted((tally.count for tally in self.kept.values()), reverse=True)[CAPACITY])

    def _take(self, each: int) -> None:
        """Takes as much from the count of each that is kept. Those of which nothing is left go."""
        gone = []
        for name, tally in self.kept.items():
            taken = min(each, tally.count)
            tally.count -= taken
            self.others.count += taken
            if not tally.count:
                gone.append(name)
        for name in gone:
            tally = self.kept.pop(name)
            self.others.add(Tally(0, tally.payout, tally.loss))

    def top(self, n: int) -> list[tuple[str, Tally]]:
        """Those that came most often, by name where as often."""
        return sorted(self.kept.items(), key=lambda one: (-one[1].count, one[0]))[:n]

    @property
    def count(self) -> int:
        """Of all that was counted."""
        return self.others.count + sum(tally.count for tally in self.kept.values())


def add_money(to: Money, more: Mapping[str, Decimal]) -> None:
    for currency, amount in more.items():
        to[currency] = _EXACT.add(to.get(currency, Decimal(0)), amount)


def countable(amount: Decimal) -> Decimal | None:
    """The amount as it can be added up exactly, to six decimal places; None where nobody has that much money."""
    if not -MAX_AMOUNT < amount < MAX_AMOUNT:
        return None
    exponent = amount.as_tuple().exponent
    return amount.quantize(_PLACES, context=_EXACT) if isinstance(exponent, int) and exponent < -6 else amount
