"""A PostgreSQL server for benchmarks: as durable as in production, and read from outside like our own processes."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from harness import ROOT  # noqa: F401 - finds tests.support
from tests.support import postgres

# A power failure loses nothing, and tables are vacuumed as they would be. Memory as for a small machine.
_SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "track_io_timing": "on",
}
_TICKS = os.sysconf("SC_CLK_TCK")


class Database:
    """A server of the benchmark's own. What `tests.support.postgres` makes from now on is on it."""

    def __init__(self, **settings: str) -> None:
        server = postgres.start({**_SETTINGS, **settings})
        os.environ[postgres.VARIABLE] = str(server.folder)
        self.pid = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])

    def cpu_s(self) -> float:
        """Processor time of all its processes so far, those that have ended included."""
        own = _stat(self.pid)
        ticks = sum(int(field) for field in own[11:15]) if own else 0
        return (ticks + sum(int(fields[11]) + int(fields[12]) for _, fields in self._children())) / _TICKS

    def pin(self, cpus: set[int]) -> None:
        """All processes that it has, and will have."""
        for pid in (self.pid, *(pid for pid, _ in self._children())):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(pid, cpus)

    def _children(self) -> Iterator[tuple[int, list[str]]]:
        for folder in Path("/proc").glob("[0-9]*"):
            fields = _stat(int(folder.name))
            if fields and int(fields[1]) == self.pid:
                yield int(folder.name), fields


def _stat(pid: int) -> list[str]:
    """Of /proc, from the state on; empty: it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
