"""The ledger of what is fraud, and how well the rules have found it."""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from tocsin.cli.traffic.day import Made
from tocsin.cli.traffic.frauds import PATTERNS


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """How well one pattern was found.

    A click *counts as found* when its label is not CLEAN. `injected`: clicks of the pattern; `caught`: those of them
    that were found. `flagged`: all clicks that were found with one of the pattern's marks among their reasons; `right`:
    those of them that are fraud, of whichever pattern, as a click can bear the marks of several.
    """

    pattern: str
    injected: int
    caught: int
    flagged: int
    right: int

    @property
    def recall(self) -> float:
        """1.0 where nothing was injected."""
        return self.caught / self.injected if self.injected else 1.0

    @property
    def precision(self) -> float:
        """1.0 where nothing was flagged."""
        return self.right / self.flagged if self.flagged else 1.0


class Truth:
    """Counts as clicks are judged; holds counters only."""

    def __init__(self) -> None:
        self.clicks = 0
        self.false_alarms = 0  # honest clicks that were found
        self._injected: Counter[str] = Counter()
        self._caught: Counter[str] = Counter()
        self._flagged: Counter[str] = Counter()
        self._right: Counter[str] = Counter()

    def judged(self, made: Made, label: str, reasons: Iterable[str]) -> None:
        """Takes one click and what was found of it: its label and the rules that held."""
        self.clicks += 1
        if made.pattern is not None:
            self._injected[made.pattern] += 1
        if label == "CLEAN":
            return
        if made.pattern is None:
            self.false_alarms += 1
        else:
            self._caught[made.pattern] += 1
        held = frozenset(reasons)
        for name, pattern in PATTERNS.items():
            if held & pattern.marks:
                self._flagged[name] += 1
                self._right[name] += made.pattern is not None

    def found(self) -> Sequence[Found]:
        return [
            Found(
                pattern=name,
                injected=self._injected[name],
                caught=self._caught[name],
                flagged=self._flagged[name],
                right=self._right[name],
            )
            for name in PATTERNS
        ]
