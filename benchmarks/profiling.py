"""Where a running server's time goes, by sampling it from outside with py-spy: the product carries nothing for it."""

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

_SAMPLES_A_SECOND = 200
_LONGEST_S = 600
_LINES = 25
# What every stack begins with: it says nothing about where time goes.
_ROOTS = ("threading.py", "runpy", "cyclopts/", "asyncio/runners.py", "tocsin/cli/", "tocsin/__main__.py")


class Profile:
    """Samples a process from now until `report`."""

    def __init__(self, pid: int) -> None:
        found = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
        if found is None:
            raise SystemExit("--profile needs py-spy: pip install py-spy")
        self._stacks = Path(tempfile.mkdtemp(prefix="tocsin-bench-")) / "stacks"
        self._sampler = subprocess.Popen(
            [
                *(found, "record", "--pid", str(pid), "--format", "raw", "--output", str(self._stacks), "--threads"),
                *("--rate", str(_SAMPLES_A_SECOND), "--duration", str(_LONGEST_S), "--nonblocking"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def report(self) -> str:
        """Shares of the samples that were not idle: by thread, by what was running, and by what had called it. A thread
        that waits for the disk is not idle.
        """
        self._sampler.send_signal(2)  # SIGINT: it writes down what it has
        self._sampler.wait(60)
        own: Counter[str] = Counter()
        whole: Counter[str] = Counter()
        threads: Counter[str] = Counter()
        for line in self._stacks.read_text().splitlines():
            stack, _, count = line.rpartition(" ")
            frames = stack.split(";")
            threads[frames[0]] += int(count)
            own[frames[-1]] += int(count)
            for frame in {_function(frame) for frame in frames[1:]}:
                if not any(root in frame for root in _ROOTS):
                    whole[frame] += int(count)
        shutil.rmtree(self._stacks.parent)
        total = sum(threads.values()) or 1
        parts = [
            *_table("by thread", threads, total),
            *_table("itself, by line", own, total),
            *_table("with what it calls, by function", whole, total),
        ]
        return "\n".join(parts)


def _function(frame: str) -> str:
    """``publish (tocsin/engine/ingest.py:123)`` without its line."""
    return frame.rpartition(":")[0] + ")" if ":" in frame else frame


def _table(title: str, counts: Counter[str], total: int) -> list[str]:
    return [f"  {title}", *(f"    {100 * count / total:5.1f} %  {name}" for name, count in counts.most_common(_LINES))]
