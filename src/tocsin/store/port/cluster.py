"""The processes that work on one database, which of them sends for which shards, and what they tell one another."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from tocsin.clock import Millis


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one process. What it writes carries its epoch until it leaves or is buried."""

    epoch: int  # never given twice, rising
    number: int  # below `ids.NODES`, of no other living node: keeps the ids of processes apart
    last_id: int  # no id that was ever made with this number, or will be by an earlier node with it, is greater


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a node stands after a beat."""

    held: frozenset[int]  # the shards that it sends for
    due: int  # how many its fair share is; it gives back what it holds beyond that
    senders: int  # living nodes that send
    buried: int  # nodes that this beat found dead
    stored_now: Millis | None  # see `Cluster.stored_now`; told last of all


class Present(msgspec.Struct, frozen=True, kw_only=True):
    """A node, for people to look at."""

    name: str
    sends: bool
    seen_at: Millis
    shards: frozenset[int]


class Cluster(Protocol):
    """Who is there. Every write of the journal, of digests and of triggers carries the epoch of a node that is; any
    other is refused with `Unavailable(code="not_owner")`.

    `bury_before`: nodes that were not seen since are dead. To bury one: its epoch ends (what it is committing is waited
    for, everything later is refused), its shards are free, and what it had claimed waits again with the due time it
    had; a manual attempt that was under way leaves its delivery as it was.
    """

    @property
    def shared(self) -> bool:
        """Whether other processes may be at work on the database."""
        ...

    async def stored_now(self) -> Millis | None:
        """The instant by the database's clock, in which nodes say when they were seen; None: it has none of its own."""
        ...

    async def join(self, *, name: str, sends: bool, now: Millis, bury_before: Millis) -> Node:
        """Becomes a node, which holds nothing yet; where the database is not shared, it is the only one, at once.

        Args:
            name: for people: where it runs.
            sends: it takes shards.
        """
        ...

    async def beat(self, epoch: int, *, now: Millis, bury_before: Millis, last_id: int) -> Standing:
        """Says that the node is there, buries the dead, and takes free shards up to its fair share.

        Args:
            last_id: the greatest id that it may make until its next beat.

        Raises:
            Unavailable: `not_owner`: it was buried. Its memory of what it sends is worth nothing; it joins anew.
        """
        ...

    async def nodes(self) -> Sequence[Present]:
        """All that are there, or have not been found dead yet, the eldest first; none where nobody shares."""
        ...

    async def retire(self, epoch: int) -> None:
        """It takes no more shards, and what it has is due to others; it sends for that until it gives it up."""
        ...

    async def give(self, epoch: int, shards: frozenset[int]) -> None:
        """Gives up shards of which nothing is claimed any more by this node."""
        ...

    async def leave(self, epoch: int) -> None:
        """Ends the node as if it had been buried."""
        ...


class News(Protocol):
    """What processes tell one another, quickly and without promise: a line may be lost, never for long unnoticed, as
    everything that it tells of is also looked for.
    """

    async def tell(self, lines: Sequence[str]) -> None:
        """To all other processes. A line has no newline in it, and 1,000 bytes at most. What cannot be told now is
        forgotten.
        """
        ...

    async def listen(self, heard: Callable[[str], None], lost: Callable[[], None]) -> None:
        """Calls `heard` with each line that others tell from now on, and `lost` where some may have been missed."""
        ...
