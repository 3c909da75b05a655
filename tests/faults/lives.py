"""Processes that die where they are meant to, and are started again."""

import signal
import time
from collections.abc import Callable, Sequence

from tests.faults.evidence import Fault
from tests.faults.plans import TAKING_IN
from tests.support.cluster import Fleet
from tests.support.waiting import until


class Lives:
    """Has one process after the other die: at each failpoint in turn, whichever of those that pass it comes first."""

    def __init__(
        self, fleet: Fleet, kills: Sequence[str], *, mortal: Sequence[int] | None = None, revive: bool = True
    ) -> None:
        """`kills`: ``after_send:3`` and the like. The first is for any process that passes it; each later one for the
        next life of the process that has died.

        Args:
            mortal: who can die first; None: whoever takes requests where that is what the failpoint is about, else
                whoever sends.
            revive: whether a process that sends is started again, where there are others that send.
        """
        self.fleet = fleet
        self.faults: list[Fault] = []
        self._kills = list(kills)
        taking_in = bool(kills) and kills[0].split(":", 1)[0] in TAKING_IN
        self._mortal = mortal or ((0,) if taking_in else fleet.shape.senders)
        self._revive = revive or len(fleet.shape.senders) == 1
        self._left: set[int] = set()  # dead for good

    def start(self, prepare: Callable[[], None]) -> None:
        """Starts the fleet, `prepare`s what there is to be before anybody dies, and has it begin to die.

        The process that takes requests is restarted for that: what is made there is committed as events are.
        """
        first = self._kills.pop(0)
        token = self.fleet.folder / "token"
        token.touch()
        armed = dict.fromkeys(self._mortal, f"{first}:kill:{token}")
        self.fleet.start({n: where for n, where in armed.items() if n})
        prepare()
        if 0 in armed:
            self.fleet.api.restart(armed[0])

    def tend(self) -> None:
        """Notes who has died since, and starts it again."""
        for n, process in enumerate(self.fleet.processes):
            if process.running or n in self._left:
                continue
            code = process.wait_end()
            assert code == -signal.SIGKILL, f"it ended by itself, code {code}\n{process.log_tail()}"
            self.faults.append(Fault(n, time.time()))
            if self._revive or n not in self.fleet.shape.senders:
                process.start(self._kills.pop(0) if self._kills else None)
            else:
                self._left.add(n)

    @property
    def risen(self) -> bool:
        """Somebody has died, and whoever was to be started again was."""
        return bool(self.faults) and not any(
            not process.running and n not in self._left for n, process in enumerate(self.fleet.processes)
        )

    def until(self, done: Callable[[], object], what: Callable[[], object], within_s: float) -> None:
        """Waits until it is done, and tends meanwhile."""

        def look() -> bool:
            self.tend()
            return bool(done())

        until(look, lambda: f"{what()}\n{self.fleet.log_tail()}", within_s)
