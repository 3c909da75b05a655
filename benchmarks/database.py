"""A PostgreSQL server for benchmarks: as durable as in production, and read from outside like our own processes."""

import os
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
        ticks = sum(_spent(self.pid))
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if int(fields[1]) == self.pid:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / _TICKS

    def pin(self, cpus: set[int]) -> None:
        """All processes that it has, and will have."""
        for folder in Path("/proc").glob("[0-9]*"):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(folder.name) == self.pid or int(fields[1]) == self.pid:
                os.sched_setaffinity(int(folder.name), cpus)


def _spent(pid: int) -> list[int]:
    """Its own ticks, and those of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [int(field) for field in fields[11:15]]
