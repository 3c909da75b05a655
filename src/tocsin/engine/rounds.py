"""What is done once in the whole installation, by the process that has the first shard: the chief.

Its rounds start when it becomes the chief and are over before another can be. Each could be done by two at once all the
same, as can happen while a process does not know yet that it was given up: what they write is written once (versions,
keys, progress that is compared), and what they send bears the id that it bore the first time.
"""

import asyncio
from typing import Protocol


class Round(Protocol):
    """One kind of such work. It can be started again after it was stopped, and then begins by looking what there is."""

    def start(self) -> None: ...

    async def stop(self) -> None:
        """Returns once it does nothing any more."""
        ...


class Rounds:
    """All of them, started and stopped together."""

    def __init__(self, *rounds: Round) -> None:
        self._rounds = rounds
        self._running = False

    @property
    def running(self) -> bool:
        """Whether this process is the chief, and at work as such."""
        return self._running

    def start(self) -> None:
        """Nothing, where they run."""
        if not self._running:
            self._running = True
            for one in self._rounds:
                one.start()

    async def stop(self) -> None:
        """Nothing, where they do not run."""
        if self._running:
            self._running = False
            await asyncio.gather(*(one.stop() for one in self._rounds))
