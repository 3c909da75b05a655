"""What the benchmarks share: which core does what, how a server is started and read, how figures are printed."""

import argparse
import gc
import os
import re
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # tests.support: the benchmarks start the server as the tests do

from tests.support.server import Server  # noqa: E402 - found by the line above

SERVER_CORE, LOAD_CORE = 0, 1

# The body of one published event: 600 bytes of `data`, as a click with its visitor has them.
EVENT_TYPE = "click.created"


def arguments(description: str | None, **defaults: tuple[Any, str]) -> argparse.Namespace:
    """Reads the command line: one option for each default, with its explanation."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name, (default, explanation) in defaults.items():
        option = f"--{name.replace('_', '-')}"
        if default is False:
            parser.add_argument(option, action="store_true", help=explanation)
        else:
            parser.add_argument(option, type=type(default), default=default, help=explanation)
    return parser.parse_args()


def take_load_core() -> None:
    """Moves this process, which makes the load and receives, off the server's core; no collector pauses in it."""
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {LOAD_CORE})
    gc.disable()


def start_server(folder: Path, **settings: object) -> Server:
    """A server of its own core, ready."""
    return Server(folder, cpus={SERVER_CORE}, **settings).start()


def scrape(server: Server) -> dict[str, float]:
    """The server's metrics: ``tocsin_attempts_total{outcome="succeeded"}`` and so on."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {name: float(value) for name, value in re.findall(r"^(tocsin_\S+) (\S+)$", text, re.MULTILINE)}


def peak_rss_bytes(server: Server) -> int:
    """The most memory that the server ever had."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10  # type: ignore[index]


def written_bytes(server: Server) -> int:
    """What the server has caused to be written to the disk so far."""
    return int(re.search(r"^write_bytes: (\d+)", Path(f"/proc/{server.pid}/io").read_text(), re.MULTILINE)[1])  # type: ignore[index]


def store_bytes(folder: Path) -> int:
    """What a store's files take on the disk, log included."""
    return sum(file.stat().st_size for file in folder.glob("tocsin.db*"))


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of the values do not exceed; NaN of none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def say(text: str = "") -> None:
    print(text, flush=True)


def row(name: str, value: str, note: str = "") -> None:
    say(f"  {name:<34}{value:>14}  {note}".rstrip())


def latencies(name: str, seconds: Sequence[float]) -> None:
    """One line of p50, p99 and the worst, in milliseconds."""
    p50, p99, worst = (percentile(seconds, percent) * 1000 for percent in (50, 99, 100))
    row(name, f"{p50:.2f} ms", f"p99 {p99:.2f} ms, worst {worst:.2f} ms")
