"""The parts of the work that cannot be avoided, each bare and alone: the sum of their costs limits any server.

    http     uvicorn and a raw ASGI callable: decode one event, answer 202
    commit   apsw: event and delivery, then attempt and outcome, in transactions of a given size, synced as the store's
    post     libcurl: sign and POST one body, many at once, connections kept

Run by end_to_end.py, pinned to the server's core; alone: ``python benchmarks/parts.py post --url http://… --count N``.
Each prints one JSON line with its count, seconds, and processor seconds.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import os
import select
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pycurl
import uvicorn

DATA = json.dumps({"visitor": {"id": "v-1", "ip": "203.0.113.9", "user_agent": "M" * 110}, "note": "n" * 430}).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("http", "commit", "post"))
    parser.add_argument("--count", type=int, default=20_000, help="events")
    parser.add_argument("--batch", type=int, default=100, help="commit: events in a transaction")
    parser.add_argument("--url", default="", help="post: where to")
    parser.add_argument("--at-once", type=int, default=64, help="post: requests under way")
    parser.add_argument("--core", type=int, default=-1, help="pin to this core")
    args = parser.parse_args()
    if args.core >= 0 and (os.cpu_count() or 1) > args.core:
        os.sched_setaffinity(0, {args.core})
    if args.part == "http":
        asyncio.run(_http())
        return
    began, cpu = time.perf_counter(), time.process_time()
    if args.part == "commit":
        _commit(args.count, args.batch)
    else:
        _post(args.url, args.count, args.at_once)
    spent = {"count": args.count, "seconds": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
    print(json.dumps(spent))


# --- http ---------------------------------------------------------------------------------------------------------


class _Event(msgspec.Struct):
    type: str
    data: msgspec.Raw
    external_id: str | None = None


_decoder = msgspec.json.Decoder(_Event)
_RECEIPT = b'{"id":"evt_0000000000000","type":"click.created","timestamp":"2026-01-01T00:00:00Z","matched":1}'
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(_RECEIPT)).encode())]


async def _answer(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001 - ASGI's signature
    message = await receive()
    _decoder.decode(message["body"])
    await send({"type": "http.response.start", "status": 202, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _RECEIPT})


async def _http() -> None:
    """Serves until it is ended; prints its address first."""
    config = uvicorn.Config(
        _answer, port=0, http="httptools", loop="uvloop", ws="none", lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)
    await serving


# --- commit -------------------------------------------------------------------------------------------------------

_SCHEMA = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE event (id INTEGER PRIMARY KEY, account INTEGER, type TEXT, at INTEGER, data BLOB);
    CREATE TABLE live (id INTEGER PRIMARY KEY, event INTEGER, webhook INTEGER, due INTEGER);
    CREATE TABLE ended (id INTEGER PRIMARY KEY, event INTEGER, webhook INTEGER, state INTEGER, at INTEGER);
    CREATE TABLE attempt (id INTEGER PRIMARY KEY, delivery INTEGER, n INTEGER, status INTEGER, us INTEGER, head BLOB);
"""
_ANSWER_HEAD = b"content-length: 0\r\nserver: receiver\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"


def _commit(count: int, batch: int) -> None:
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        database = apsw.Connection(str(Path(folder) / "bare.db"))
        list(database.execute(_SCHEMA))  # to its end: a PRAGMA answers rows
        for first in range(0, count, batch):
            ids = range(first, min(count, first + batch))
            with database:
                database.executemany(
                    "INSERT INTO event VALUES (?,?,?,?,?)", ((i, i, "click.created", i, DATA) for i in ids)
                )
                database.executemany("INSERT INTO live VALUES (?,?,?,?)", ((i, i, i % 10_000, i) for i in ids))
            with database:
                database.executemany("DELETE FROM live WHERE id = ?", ((i,) for i in ids))
                database.executemany("INSERT INTO ended VALUES (?,?,?,?,?)", ((i, i, i % 10_000, 1, i) for i in ids))
                database.executemany(
                    "INSERT INTO attempt VALUES (?,?,?,?,?,?)", ((i, i, 1, 200, 900, _ANSWER_HEAD) for i in ids)
                )
        database.close()


# --- post ---------------------------------------------------------------------------------------------------------


class _Posts:
    """libcurl's multi interface on epoll; a handle is used again as soon as its request has ended."""

    def __init__(self, url: str, count: int) -> None:
        self._url = url
        self._left = count
        self._numbers = itertools.count()
        self._key = base64.b64decode("C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
        self._multi = pycurl.CurlMulti()
        self._poll = select.epoll()
        self._watched: set[int] = set()
        self._timeout_ms = 0
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)

    def run(self, at_once: int) -> None:
        started = 0
        for _ in range(min(at_once, self._left)):
            handle = pycurl.Curl()
            handle.setopt(pycurl.POST, 1)
            handle.setopt(pycurl.URL, self._url)
            handle.setopt(pycurl.NOSIGNAL, 1)
            handle.setopt(pycurl.PROXY, "")
            handle.setopt(pycurl.WRITEFUNCTION, lambda _: None)
            self._start(handle)
            started += 1
        self._left -= started
        under_way = started
        while under_way:
            events = self._poll.poll(max(0, self._timeout_ms) / 1000 if self._timeout_ms >= 0 else 1.0)
            for descriptor, mask in events:
                bits = (pycurl.CSELECT_IN if mask & ~select.EPOLLOUT else 0) | (
                    pycurl.CSELECT_OUT if mask & select.EPOLLOUT else 0
                )
                self._multi.socket_action(descriptor, bits)
            if not events:
                self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
            _, ended, failed = self._multi.info_read()
            if failed:
                raise SystemExit(f"a request failed: {failed[0][2]}")
            for handle in ended:
                self._multi.remove_handle(handle)
                if self._left:
                    self._left -= 1
                    self._start(handle)
                else:
                    under_way -= 1

    def _start(self, handle: pycurl.Curl) -> None:
        event_id = f"evt_{next(self._numbers):013d}"
        at = str(int(time.time()))
        signed = hmac.digest(self._key, f"{event_id}.{at}.".encode() + DATA, hashlib.sha256)
        handle.setopt(
            pycurl.HTTPHEADER,
            [
                "Content-Type: application/json",
                "User-Agent: Tocsin/0",
                f"Webhook-Id: {event_id}",
                f"Webhook-Timestamp: {at}",
                f"Webhook-Signature: v1,{base64.b64encode(signed).decode()}",
            ],
        )
        handle.setopt(pycurl.POSTFIELDS, DATA)
        self._multi.add_handle(handle)

    def _watch(self, what: int, descriptor: int, _multi: object, _data: object) -> None:
        if what == pycurl.POLL_REMOVE:
            self._watched.discard(descriptor)
            self._poll.unregister(descriptor)
            return
        mask = (select.EPOLLIN if what & pycurl.POLL_IN else 0) | (select.EPOLLOUT if what & pycurl.POLL_OUT else 0)
        if descriptor in self._watched:
            self._poll.modify(descriptor, mask)
        else:
            self._watched.add(descriptor)
            self._poll.register(descriptor, mask)

    def _set_timer(self, timeout_ms: int) -> None:
        self._timeout_ms = timeout_ms


def _post(url: str, count: int, at_once: int) -> None:
    if not url:
        sys.exit("post needs --url")
    _Posts(url, count).run(at_once)


if __name__ == "__main__":
    main()
