"""A name server on loopback that answers as it is told, and remembers what it was asked."""

import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

A, AAAA = 1, 28
HANG = None  # no answer at all

Answers = Callable[[str, int], list[str] | int | None]


class NameServer:
    """Answers over UDP with what `answers(name, nth)` returns: addresses, an RCODE, or HANG.

    `nth` counts the questions for that name and kind, from 1.
    """

    def __init__(self, answers: Answers, ttl_s: int = 0) -> None:
        self._answers = answers
        self._ttl_s = ttl_s
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.asked: list[tuple[str, int]] = []
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(4096)
            if not query:
                return
            answer = self._answer(query)
            if answer is not None:
                self._socket.sendto(answer, client)

    def _answer(self, query: bytes) -> bytes | None:
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode().lower())
            at += query[at] + 1
        name = ".".join(labels)
        (kind,) = struct.unpack("!H", query[at + 1 : at + 3])
        self.asked.append((name, kind))
        found = self._answers(name, self.asked.count((name, kind)))
        if found is HANG:
            return None
        rcode = found if isinstance(found, int) else 0
        records = b""
        count = 0
        for ip in [] if isinstance(found, int) else found:
            family = socket.AF_INET6 if ":" in ip else socket.AF_INET
            if kind != (AAAA if family == socket.AF_INET6 else A):
                continue
            data = socket.inet_pton(family, ip)
            records += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, self._ttl_s, len(data)) + data
            count += 1
        head = query[:2] + struct.pack("!HHHHH", 0x8180 | rcode, 1, count, 0, 0)
        return head + query[12 : at + 5] + records


def fixed(**names: list[str] | int | None) -> Answers:
    """Always the same: ``fixed(a=["127.0.0.1"])`` answers for a.example; names that are not given do not exist."""
    return lambda name, _nth: names.get(name.removesuffix(".example"), 3)
