"""Receivers that would take for ever or send without end: cut, recorded truthfully, and cheap.

What the sender reads is measured at the receiver's end: by how much it could write before the connection was closed.
"""

import asyncio
import resource
import time
import tracemalloc
from collections import Counter

import pytest

from tests.sender.wire import RawServer, exchange, open_sender, outcome_of, request_to, run
from tocsin.model import Outcome, OutcomeKind

LINE = b"HTTP/1.1 200 OK\r\n"
LIMIT = 16 * 1024
# Beyond what the sender takes: both kernels' buffers, of which the receiver's own is set below.
BUFFERS = 768 * 1024
S, H, P, T = (
    OutcomeKind.SUCCEEDED,
    OutcomeKind.HTTP_ERROR,
    OutcomeKind.PROTOCOL_ERROR,
    OutcomeKind.TIMEOUT,
)


def flood(first, again, most=10_000_000_000):
    """Sends `first` and then `again` for ever."""

    def script(connection):
        connection.read_request()
        connection.write(first)
        block = again * (1 + 16_384 // len(again))
        while connection.written < most and connection.write(block):
            pass

    return script


FLOODS = {
    "10 GB with a length": (LINE + b"Content-Length: 10000000000\r\n\r\n", b"a", S, 200),
    "no length and no end": (LINE + b"\r\n", b"a", S, 200),
    "chunks for ever": (LINE + b"Transfer-Encoding: chunked\r\n\r\n", b"10\r\n" + b"a" * 16 + b"\r\n", S, 200),
    "an error for ever": (b"HTTP/1.1 500 No\r\n\r\n", b"a", H, 500),
    "one header of a megabyte and more": (LINE + b"X-A: ", b"a", P, 200),
    "headers for ever": (LINE, b"X-A: b\r\n", P, 200),
    "long headers for ever": (LINE, b"X-A: " + b"b" * 5000 + b"\r\n", P, 200),
    "interim answers for ever": (b"", b"HTTP/1.1 102 Processing\r\n\r\n", P, None),
    "interim headers for ever": (b"HTTP/1.1 103 Early Hints\r\n", b"X-A: b\r\n", P, None),
    "trailers for ever": (LINE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n", P, 200),
    "a status line for ever": (b"HTTP/1.1 200 ", b"a", P, None),
    "digits for ever": (b"HTTP/1.1 ", b"2", P, None),
    "a chunk's length for ever": (LINE + b"Transfer-Encoding: chunked\r\n\r\n", b"0", P, 200),
    "a chunk's extension for ever": (LINE + b"Transfer-Encoding: chunked\r\n\r\n3;", b"a", T, 200),
}


@pytest.mark.parametrize("case", FLOODS)
def test_what_never_ends_is_cut(case):
    """An endless answer is read to its bound and closed; what it was so far is recorded."""
    first, again, kind, status = FLOODS[case]
    with RawServer(flood(first, again), send_buffer=64 * 1024) as server:
        outcome = exchange(server.url, 1.0 if kind is T else 5.0)
    assert (outcome.kind, outcome.status_code) == (kind, status)
    assert len(outcome.body) == (LIMIT if kind in (S, H) else 0)
    assert outcome.body_truncated == (kind in (S, H))
    assert sum(len(name) + len(value) for name, value in outcome.headers) <= LIMIT
    if kind is not T:
        assert server.connections[0].written < BUFFERS


def test_many_that_end_at_once_leave_others_their_turns():
    """What follows from each takes a while; between some of them and the next the event loop goes on."""
    turns: list[int] = []

    async def main():
        loop = asyncio.get_running_loop()
        turn = 0

        def count() -> None:
            nonlocal turn
            turn += 1
            if len(turns) < 100:
                loop.call_soon(count)

        def done(outcome: Outcome) -> None:
            assert outcome.kind is T
            turns.append(turn)
            time.sleep(0.001)
            if len(turns) == 100:
                ended.set()

        ended = asyncio.Event()
        async with open_sender() as sender:
            for _ in range(100):
                sender.send(request_to(server.url, timeout_s=0.5), done)
            await asyncio.sleep(0.4)
            count()
            await ended.wait()

    with RawServer(lambda connection: connection.wait(30)) as server:
        run(main())
    assert max(Counter(turns).values()) <= 32


def test_memory_stays_flat_under_floods():
    """A hundred endless answers at once cost no more memory than their 16 KiB each."""
    with RawServer(flood(LINE + b"\r\n", b"a"), send_buffer=64 * 1024) as server:

        async def main():
            async with open_sender() as sender:
                await outcome_of(sender, request_to(server.url))  # what is made once is made
                tracemalloc.start()
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                outcomes = await asyncio.gather(*(outcome_of(sender, request_to(server.url)) for _ in range(100)))
                _, peak = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                assert {outcome.kind for outcome in outcomes} == {S}
                assert peak < 100 * 4 * LIMIT
                assert (after - before) * 1024 < 40_000_000

        run(main())


EXACT = {
    "to the byte": (b"Content-Length: 16384\r\n\r\n" + b"a" * LIMIT, False),
    "to the byte, in chunks": (b"Transfer-Encoding: chunked\r\n\r\n4000\r\n" + b"a" * LIMIT + b"\r\n0\r\n\r\n", False),
    "to the byte, until the close": (b"\r\n" + b"a" * LIMIT, False),
    "a byte more": (b"Content-Length: 16385\r\n\r\n" + b"a" * (LIMIT + 1), True),
    "a byte more, in chunks": (
        b"Transfer-Encoding: chunked\r\n\r\n4001\r\n" + b"a" * (LIMIT + 1) + b"\r\n0\r\n\r\n",
        True,
    ),
}


@pytest.mark.parametrize("case", EXACT)
def test_the_16th_kib_is_the_bound(case):
    """A body of exactly 16 KiB is whole; one byte more is cut, and said to be."""
    rest, truncated = EXACT[case]

    def script(connection):
        connection.read_request()
        connection.write(LINE + rest)

    with RawServer(script) as server:
        outcome = exchange(server.url)
    assert outcome.kind is S
    assert outcome.body == b"a" * LIMIT
    assert outcome.body_truncated is truncated


@pytest.mark.parametrize("after", ["hang", "reset"])
def test_16_kib_are_an_answer_whatever_comes_after(after):
    """An answer whose 16th KiB came in time counts as complete, though its end never comes."""

    def script(connection):
        connection.read_request()
        connection.write(LINE + b"Content-Length: 99999\r\n\r\n" + b"a" * LIMIT)
        connection.wait(0.1)
        getattr(connection, after)()

    with RawServer(script) as server:
        outcome = exchange(server.url, 0.5)
    assert (outcome.kind, outcome.status_code, len(outcome.body)) == (S, 200, LIMIT)
    assert outcome.body_truncated


def silent(connection):
    connection.read_request()
    connection.hang()


def deaf(connection):
    connection.hang()


def dripping(*parts):
    def script(connection):
        connection.read_request()
        for part in parts[:-1]:
            connection.write(part)
        connection.drip(parts[-1])

    return script


def stalling(answer):
    def script(connection):
        connection.read_request()
        connection.write(answer)
        connection.hang()

    return script


SLOW = {
    "never answers": (silent, None, "The request was sent, but no answer came within 0.4 s."),
    "never reads": (deaf, None, "The request was sent, but no answer came within 0.4 s."),
    "drips its status": (
        dripping(b"HTTP/1.1 200 OK\r\n"),
        None,
        "The request was sent, but no answer came within 0.4 s.",
    ),
    "drips its headers": (
        dripping(LINE, b"X-A: " + b"a" * 999),
        200,
        "The receiver answered 200, but its answer had not ended within 0.4 s.",
    ),
    "drips its body": (
        dripping(LINE + b"Content-Length: 999\r\n\r\n", b"a" * 999),
        200,
        "The receiver answered 200, but its answer had not ended within 0.4 s.",
    ),
    "drips chunks": (dripping(LINE + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 99), 200, None),
    "drips interim answers": (dripping(b"HTTP/1.1 102 Processing\r\n\r\n" * 99), None, None),
    "stops within its headers": (stalling(LINE + b"X-A"), 200, None),
    "stops within its body": (stalling(LINE + b"Content-Length: 5\r\n\r\nabc"), 200, None),
    "never closes": (stalling(LINE + b"\r\nabc"), 200, None),
    "answers 500 and stops": (stalling(b"HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\n"), 500, None),
    "answers 301 and stops": (stalling(b"HTTP/1.1 301 M\r\nLocation: /\r\nContent-Length: 5\r\n\r\n"), 301, None),
}


@pytest.mark.parametrize("case", SLOW)
def test_the_time_limit_covers_the_answers_end(case):
    """However a receiver spends its time, the attempt ends at the limit, with the status where one had come."""
    script, status, sentence = SLOW[case]
    with RawServer(script) as server:
        outcome = exchange(server.url, 0.4)
    assert (outcome.kind, outcome.status_code) == (T, status)
    assert outcome.error == (sentence or outcome.error)
    assert outcome.duration_us >= 390_000
    assert not outcome.resent


def test_a_large_body_that_nobody_reads_ends_in_time():
    """A receiver that takes only part of the request is cut at the limit too."""
    with RawServer(deaf_to_the_end) as server:
        outcome = exchange(server.url, 0.4, body=b"x" * (8 << 20))
    assert (outcome.kind, outcome.status_code) == (T, None)


def deaf_to_the_end(connection):
    connection.wait(2)
