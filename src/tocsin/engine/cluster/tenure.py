"""What this process may do now: under which epoch it writes, for which shards it sends, and until when.

One object, read by all parts of the engine and changed only by `membership`.
"""

import math

from tocsin.shards import ALL, CHIEF


class Tenure:
    """Before the process has joined: it holds nothing, and whatever it writes is refused."""

    __slots__ = ("epoch", "shards", "until_s")

    def __init__(self) -> None:
        self.epoch = 0
        self.shards: frozenset[int] = frozenset()
        self.until_s = -math.inf  # monotonic: no attempt starts after it, for others may have taken over

    def leads(self, at_s: float) -> bool:
        """Whether what is done once may be begun here, at that moment."""
        return CHIEF in self.shards and at_s < self.until_s

    @classmethod
    def of_all(cls, epoch: int) -> "Tenure":
        """For ever, of everything: there are no others."""
        tenure = cls()
        tenure.epoch, tenure.shards, tenure.until_s = epoch, ALL, math.inf
        return tenure
