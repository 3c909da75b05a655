"""Runs the bare parts, one after the other on the server's core, and says what limit they set together."""

import asyncio
import json
import os
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness import SERVER_CORE, row, say
from load import Load, Sink, post
from parts import DATA

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Spent:
    """What a number of operations took."""

    count: int
    seconds: float
    cpu_s: float

    @property
    def rate(self) -> float:
        return self.count / self.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / self.count * 1e6


async def bare_parts(count: int, batch: float) -> dict[str, Spent]:
    """Each part `count` times; commits in transactions of `batch` events, as the server's were."""
    size = max(1, round(batch))
    sink = Sink()
    await sink.start()
    try:
        return {
            "raw HTTP answer (uvicorn)": await _http(count),
            f"group commit of {size} (apsw)": await _run("commit", count, "--batch", str(size)),
            "signed POST (libcurl)": await _run("post", count, "--url", f"http://127.0.0.1:{sink.port}/bare"),
        }
    finally:
        sink.stop()


def show_limit(parts: Mapping[str, Spent], whole: Spent) -> None:
    """Both by the clock and by the processor's time: the second does not feel what else the machine does."""
    say("\nthe bare parts, each alone on the server's core")
    for name, spent in parts.items():
        row(name, f"{spent.rate:,.0f} /s", f"{1e6 / spent.rate:.1f} µs; processor {spent.cpu_us:.1f} µs")
    limit = 1 / sum(1 / spent.rate for spent in parts.values())
    cpu_us = sum(spent.cpu_us for spent in parts.values())
    row("the limit that they set", f"{limit:,.0f} /s", f"{1e6 / limit:.1f} µs; processor {cpu_us:.1f} µs")
    row("end to end", f"{whole.rate:,.0f} /s", f"{1e6 / whole.rate:.1f} µs; processor {whole.cpu_us:.1f} µs")
    row("ratio to the limit", f"{whole.rate / limit:.2f}", f"by processor time {cpu_us / whole.cpu_us:.2f}")


async def _start(part: str, *more: str) -> Process:
    command = [str(Path(__file__).with_name("parts.py")), part, "--core", str(SERVER_CORE), *more]
    return await asyncio.create_subprocess_exec(sys.executable, *command, stdout=subprocess.PIPE)


async def _run(part: str, count: int, *more: str) -> Spent:
    process = await _start(part, "--count", str(count), *more)
    said, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"the bare part {part} failed")
    return Spent(**json.loads(said))


async def _http(count: int) -> Spent:
    process = await _start("http")
    try:
        url = (await process.stdout.readline()).decode().strip()  # type: ignore[union-attr] - it has a pipe
        cpu_s = _cpu_s(process)
        body = b'{"type":"click.created","data":' + DATA + b"}"
        load = Load([post("/v1/events", "tsn_bare", body)], total=count)
        await load.run(url)
        return Spent(count, load.ended_at - load.began_at, _cpu_s(process) - cpu_s)
    finally:
        process.kill()
        await process.wait()


def _cpu_s(process: Process) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
