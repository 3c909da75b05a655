"""Which HTTP client sends: the same signed POSTs by each candidate, on one core, plain and over TLS.

    python benchmarks/clients.py                      # every candidate, each in a process of its own
    python benchmarks/clients.py --count 50000        # the long form

    loop     libcurl inside the event loop: the sender as it is
    thread   libcurl in a thread with a loop of its own, fed and answered in groups
    bare     libcurl with neither asyncio nor any of the sender's checks and records: the most that pycurl gives
    hand     a hand-written HTTP/1.1 client on asyncio and httptools: the most that asyncio gives, with nothing checked
    httpx, aiohttp, niquests   where they are installed

Four questions are asked of each. *plain*, *TLS*: requests over kept connections, 64 at once. *new TLS*: a new
connection for each request, so handshakes. *busy*: plain, with 50 µs of other Python work for each outcome, as the rest
of the server has it. Rates are by processor time of the client's whole process, so that neither the receiver nor other
work on the machine counts. *late* is how long a client kept the event loop from a heartbeat, the 99th percentile and
the worst: how late the beat came, but no more than the processor time that the client used meanwhile.
"""

import asyncio
import contextlib
import importlib.util
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

import candidates
from candidates import BODY, Work
from harness import LOAD_CORE, SERVER_CORE, arguments, percentile, say
from tests.sender.certificates import Authority

OTHER_WORK_S = 50e-6  # half of the 100 µs that 10,000 events a second leave for each
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nok"
)
CLOSING = ANSWER.replace(b"Content-Type: text/plain", b"Connection: close")
CANDIDATES = ("loop", "thread", "bare", "hand", "aiohttp", "httpx", "niquests")
SLOW = ("httpx", "niquests")
QUESTIONS = ("plain", "TLS", "new TLS", "busy")


class Heartbeat:
    """Measures how late the loop is by the client's own doing, every two milliseconds, once it is under way."""

    def __init__(self) -> None:
        self.late_s: list[float] = []
        self._due = self._cpu_s = 0.0
        self._handle = asyncio.get_running_loop().call_later(0.1, self._beat)

    def _beat(self) -> None:
        now, cpu_s = time.perf_counter(), time.process_time()
        if self._due:
            self.late_s.append(min(now - self._due, cpu_s - self._cpu_s))
        self._due, self._cpu_s = now + 0.002, cpu_s
        self._handle = asyncio.get_running_loop().call_later(0.002, self._beat)

    def stop(self) -> None:
        self._handle.cancel()


class Receiving(asyncio.Protocol):
    """Answers whatever holds a whole request of ours."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._missing = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer and self._buffer.endswith(BODY[-8:]):
            self._buffer = b""
            self._transport.write(self._answer)
            if self._answer is CLOSING:
                self._transport.close()


async def receive(chain: str) -> None:
    loop = asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    ports = []
    for answer, tls in ((ANSWER, None), (ANSWER, context), (CLOSING, context)):
        server = await loop.create_server(partial(Receiving, answer), "127.0.0.1", 0, ssl=tls, backlog=1024)
        ports.append(server.sockets[0].getsockname()[1])
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


async def ask(candidate: str, question: str, url: str, ca_file: str, count: int) -> dict[str, float]:
    by = getattr(candidates, f"by_{candidate}")
    await by(url, ca_file, Work(min(count, 500), 0.0))  # what is made once is made
    work = Work(count, OTHER_WORK_S if question == "busy" else 0.0)
    heart = Heartbeat()
    cpu = time.process_time()
    await by(url, ca_file, work)
    each_s = (time.process_time() - cpu) / count - (OTHER_WORK_S if question == "busy" else 0.0)
    heart.stop()
    late_s = heart.late_s or [0.0]
    return {"each_s": each_s, "p99_s": percentile(late_s, 99), "worst_s": max(late_s)}


def pinned(core: int, *more: str, **pipes: Any) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **pipes)
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(process.pid, {core})
    return process


def main() -> None:
    args = arguments(
        __doc__,
        count=(5_000, "requests for each candidate and question; slow ones and handshakes get a tenth"),
        rounds=(3, "times that all is asked; the medians are shown"),
        only=("", "candidates, comma-separated"),
    )
    chosen = args.only.split(",") if args.only else CANDIDATES
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        chain = authority.issue("127.0.0.1").chain
        receiver = pinned(LOAD_CORE, "--receive", str(chain), stdin=subprocess.PIPE)
        assert receiver.stdout is not None
        plain, tls, new = json.loads(receiver.stdout.readline())
        urls = {
            "plain": f"http://127.0.0.1:{plain}/",
            "busy": f"http://127.0.0.1:{plain}/",
            "TLS": f"https://127.0.0.1:{tls}/",
            "new TLS": f"https://127.0.0.1:{new}/",
        }
        chosen = [name for name in chosen if name in CANDIDATES[:4] or importlib.util.find_spec(name)]
        found: dict[tuple[str, str], list[dict[str, float]]] = {}
        try:
            for _ in range(args.rounds):
                for question in QUESTIONS:
                    for candidate in chosen:
                        count = args.count // (10 if candidate in SLOW or question == "new TLS" else 1)
                        process = pinned(
                            SERVER_CORE,
                            "--ask",
                            candidate,
                            question,
                            urls[question],
                            str(authority.ca_file),
                            str(count),
                        )
                        said, _ = process.communicate(timeout=300)
                        found.setdefault((question, candidate), []).append(json.loads(said))
        finally:
            receiver.kill()
            receiver.wait()
            show(found)


def show(found: dict[tuple[str, str], list[dict[str, float]]]) -> None:
    say(f"{'':10}{'':10}{'a second':>12}{'µs each':>10}{'of bare':>10}{'late p99':>12}{'worst':>12}")
    for (question, candidate), rounds in found.items():
        each_s, p99_s, worst_s = (
            statistics.median(one[key] for one in rounds) for key in ("each_s", "p99_s", "worst_s")
        )
        bare = statistics.median(one["each_s"] for one in found.get((question, "bare"), rounds))
        late = "" if candidate == "bare" else f"{p99_s * 1e3:9.1f} ms{worst_s * 1e3:9.1f} ms"
        say(f"{question:10}{candidate:10}{1 / each_s:12,.0f}{each_s * 1e6:10.1f}{bare / each_s:10.2f}{late}")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        if "--receive" in sys.argv:
            uvloop.run(receive(sys.argv[-1]))
        elif "--ask" in sys.argv:
            name, question, url, ca_file, count = sys.argv[2:]
            print(json.dumps(uvloop.run(ask(name, question, url, ca_file, int(count)))))
        else:
            main()
