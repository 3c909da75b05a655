"""Connections that are kept, die, pile up or are closed, and what a stop does to them."""

import asyncio
import threading

from tests.sender.wire import (
    OK,
    RawServer,
    always,
    exchange,
    loopback_guard,
    open_sender,
    outcome_of,
    request_to,
    run,
)
from tocsin.engine.sending.connections import Connections
from tocsin.engine.sending.resolver import Resolver
from tocsin.engine.sending.sender import Sender
from tocsin.model import OutcomeKind

LOST, OK_KIND = OutcomeKind.CONNECTION_LOST, OutcomeKind.SUCCEEDED


def one_after_the_other(url, times, pause_s=0.0, **settings):
    async def main():
        outcomes = []
        async with open_sender(**settings) as sender:
            for _ in range(times):
                outcomes.append(await outcome_of(sender, request_to(url)))
                await asyncio.sleep(pause_s)
        return outcomes

    return run(main())


def test_connections_are_used_again():
    """Requests one after the other go over one connection."""
    with RawServer(always(OK)) as server:
        outcomes = one_after_the_other(server.url, 5)
    assert [outcome.kind for outcome in outcomes] == [OK_KIND] * 5
    assert not any(outcome.resent for outcome in outcomes)
    assert {outcome.peer for outcome in outcomes} == {"127.0.0.1"}
    assert len(server.connections) == 1


def test_a_connection_that_the_receiver_closes_is_not_used_again():
    """After `Connection: close`, or an HTTP/1.0 answer, the next request opens a new one."""
    for answer in (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ):
        with RawServer(always(answer)) as server:
            outcomes = one_after_the_other(server.url, 3)
        assert all(outcome.ok and not outcome.resent for outcome in outcomes)
        assert len(server.connections) == 3


def test_a_connection_closed_while_idle_costs_no_attempt():
    """A connection that the receiver closed after its answer is replaced, after a second unnoticed.

    Within the second libcurl may still try it, find it dead, and send on a new one, which is then told.
    """

    def script(connection):
        connection.read_request()
        connection.write(OK)

    with RawServer(script) as server:
        outcomes = one_after_the_other(server.url, 3, pause_s=0.05)
    assert all(outcome.ok for outcome in outcomes)
    assert len(server.connections) == 3
    with RawServer(script) as server:
        outcomes = one_after_the_other(server.url, 2, pause_s=1.1)
    assert all(outcome.ok and not outcome.resent for outcome in outcomes)
    assert len(server.connections) == 2


def test_a_cut_connection_is_not_used_again():
    """A connection whose answer was cut, with the rest still on its way, carries no other request."""

    def script(connection):
        while connection.read_request() is not None:
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n" + b"a" * 40_000)

    with RawServer(script) as server:
        outcomes = one_after_the_other(server.url, 2)
    assert [len(outcome.body) for outcome in outcomes] == [16_384, 16_384]
    assert len(server.connections) == 2


class Dying:
    """Answers the first request of a connection; reads the next and closes without a word.

    From connection `refuse_from` on, it does not answer the first one either.
    """

    def __init__(self, refuse_from=None):
        self.requests = 0
        self.lock = threading.Lock()
        self.refuse_from = refuse_from

    def __call__(self, connection):
        if self.refuse_from is not None and connection.number >= self.refuse_from:
            with self.lock:
                self.requests += connection.read_request() is not None
            return
        for nth in (1, 2):
            if connection.read_request() is None:
                return
            with self.lock:
                self.requests += 1
            if nth == 1:
                connection.write(OK)


def test_a_kept_connection_that_dies_unanswered_is_told():
    """The receiver got the request twice, over the kept connection and a new one, and the outcome says so."""
    script = Dying()
    with RawServer(script) as server:
        first, second = one_after_the_other(server.url, 2)
    assert first.ok
    assert not first.resent
    assert second.ok
    assert second.resent
    assert script.requests == 3
    assert len(server.connections) == 2


def test_when_the_second_sending_dies_too_it_is_lost_and_told():
    """Two sendings that both die unanswered are one lost attempt, said to have been sent twice."""
    script = Dying(refuse_from=2)
    with RawServer(script) as server:
        _, second = one_after_the_other(server.url, 2)
    assert (second.kind, second.status_code, second.resent) == (LOST, None, True)
    assert "twice" in second.error
    assert script.requests == 3


def test_never_more_than_two_sendings():
    """With many kept connections that all die, one request still arrives at most twice."""
    together = threading.Barrier(4)

    def script(connection):
        nth = 0
        while connection.read_request() is not None:
            nth += 1
            with lock:
                arrivals.append(nth)
            if nth == 2:
                return  # each kept connection dies with its second request
            if connection.number <= 4:
                together.wait(timeout=5)
            connection.write(OK)

    arrivals = []
    lock = threading.Lock()
    with RawServer(script) as server:

        async def main():
            async with open_sender() as sender:
                await asyncio.gather(*(outcome_of(sender, request_to(server.url)) for _ in range(4)))
                assert len(server.connections) == 4
                before = len(arrivals)
                outcome = await outcome_of(sender, request_to(server.url))
                return outcome, len(arrivals) - before

        outcome, sendings = run(main())
    assert outcome.resent
    assert sendings == 2
    assert outcome.ok or outcome.kind is LOST


def test_a_first_sending_that_dies_is_not_repeated():
    """On a new connection nothing is sent twice."""
    with RawServer(Dying(refuse_from=1)) as server:
        outcome = exchange(server.url)
    assert (outcome.kind, outcome.resent) == (LOST, False)
    assert len(server.connections) == 1


def test_connections_at_once_are_bounded_and_the_rest_wait_their_turn():
    """More requests than connections: as many as allowed are on the wire, all are answered, in_flight counts all."""
    most = []
    now = [0]
    lock = threading.Lock()

    def script(connection):
        while connection.read_request() is not None:
            with lock:
                now[0] += 1
                most.append(now[0])
            connection.wait(0.02)
            with lock:
                now[0] -= 1
            connection.write(OK)

    with RawServer(script) as server:

        async def main():
            async with open_sender(max_connections=4) as sender:
                asked = [asyncio.ensure_future(outcome_of(sender, request_to(server.url))) for _ in range(20)]
                await asyncio.sleep(0)
                assert sender.in_flight == 20
                outcomes = await asyncio.gather(*asked)
                assert sender.in_flight == 0
                return outcomes

        outcomes = run(main())
    assert all(outcome.ok for outcome in outcomes)
    assert max(most) == 4
    assert len(server.connections) == 4


def test_waiting_for_a_turn_does_not_count_against_the_receiver():
    """The time limit begins when a request goes out, not while it waits for others."""

    def script(connection):
        while connection.read_request() is not None:
            connection.wait(0.2)
            connection.write(OK)

    with RawServer(script) as server:

        async def main():
            async with open_sender(max_connections=1) as sender:
                return await asyncio.gather(*(outcome_of(sender, request_to(server.url, 0.5)) for _ in range(4)))

        outcomes = run(main())
    assert all(outcome.ok for outcome in outcomes)


def test_idle_connections_are_bounded():
    """Of many receivers' connections no more are kept than allowed."""
    servers = [RawServer(always(OK)) for _ in range(6)]
    for server in servers:
        server.__enter__()
    try:

        async def main():
            async with open_sender(max_connections=2) as sender:
                for server in servers:
                    await outcome_of(sender, request_to(server.url))
                await asyncio.sleep(0.2)
                return sum(server.connections[0].closed_by_client() for server in servers)

        assert run(main()) >= 4
    finally:
        for server in servers:
            server.__exit__()


def test_idle_connections_are_closed_after_a_while():
    """A connection that nothing is sent on is closed by and by, without any other request."""
    with RawServer(always(OK)) as server:

        async def main():
            async with open_sender(idle_s=1) as sender:
                await outcome_of(sender, request_to(server.url))
                assert not server.connections[0].closed_by_client()
                for _ in range(60):
                    await asyncio.sleep(0.05)
                    if server.connections[0].closed_by_client():
                        return True
                return False

        assert run(main())


def stopping(script, count, start=None, **settings):
    """Sends `count` requests, closes the sender amid them, and returns each outcome that was told, and the time."""
    told = []
    with RawServer(script) as server:

        async def main():
            loop = asyncio.get_running_loop()
            resolver = Resolver()
            sender = Sender(loopback_guard(), resolver, **settings)
            for _ in range(count):
                sender.send(request_to(server.url, 30.0), told.append)
            await asyncio.sleep(0.2)
            began = loop.time()
            await sender.close()
            took_s = loop.time() - began
            in_flight = sender.in_flight
            sender.send(request_to(server.url), told.append)
            await sender.close()
            await asyncio.sleep(0.05)
            await resolver.close()
            return took_s, in_flight

        took_s, in_flight = run(main())
    return told, took_s, in_flight


def test_a_stop_ends_everything_at_once_and_tells_each_once():
    """What is on the wire, waits for its turn or comes after the stop is told once each, as lost by the stop."""
    told, took_s, in_flight = stopping(lambda connection: connection.hang(), 10, max_connections=4)
    assert len(told) == 11
    assert {outcome.kind for outcome in told} == {LOST}
    assert all("stopped" in outcome.error for outcome in told)
    assert sum("may have been received" in outcome.error for outcome in told) == 4
    assert in_flight == 0
    assert took_s < 2


def test_one_outcome_that_cannot_be_taken_costs_no_other():
    """A `done` that raises is reported to the loop, and the next ones are called."""
    reported = []
    with RawServer(always(OK)) as server:

        async def main():
            asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
            async with open_sender() as sender:

                def fails(_outcome):
                    raise RuntimeError("done")

                sender.send(request_to(server.url), fails)
                return await outcome_of(sender, request_to(server.url))

        outcome = run(main())
    assert outcome.ok
    assert [str(error) for error in reported] == ["done"]


def test_a_request_may_be_sent_from_within_done():
    """`done` may send the next request."""
    with RawServer(always(OK)) as server:

        async def main():
            ended = asyncio.get_running_loop().create_future()
            async with open_sender() as sender:
                left = [10]

                def again(outcome):
                    assert outcome.ok
                    left[0] -= 1
                    if left[0]:
                        sender.send(request_to(server.url), again)
                    else:
                        ended.set_result(None)

                sender.send(request_to(server.url), again)
                await asyncio.wait_for(ended, 5)

        run(main())
    assert len(server.connections) == 1


def test_the_loop_is_given_back_after_each_turn(monkeypatch):
    """However much is under way, libcurl gets no more than three bounded turns before everything else has its own."""
    turns = [0]
    turn = Connections._turn

    def counted(connections):
        turns[0] += 1
        turn(connections)

    monkeypatch.setattr(Connections, "_turn", counted)
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    between = []
    with RawServer(always(closing)) as server:

        async def main():
            loop = asyncio.get_running_loop()

            def everything_else():
                between.append(turns[0])
                turns[0] = 0
                loop.call_soon(everything_else)

            async with open_sender() as sender:
                loop.call_soon(everything_else)
                requests = (outcome_of(sender, request_to(server.url, 20.0)) for _ in range(600))
                return await asyncio.gather(*requests)

        outcomes = run(main())
    assert all(outcome.ok for outcome in outcomes)
    assert sum(between) > 20
    assert max(between) <= 3


def test_many_at_once_are_all_answered():
    """Several hundred requests at once, to names and literals, each get their own answer."""

    def script(connection):
        while (request := connection.read_request()) is not None:
            body = request.partition(b"\r\n\r\n")[2]
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with RawServer(script) as server:

        async def main():
            async with open_sender(max_connections=50) as sender:
                return await asyncio.gather(
                    *(outcome_of(sender, request_to(server.url, 20.0, body=b"%d" % n)) for n in range(500))
                )

        outcomes = run(main())
    assert [outcome.body for outcome in outcomes] == [b"%d" % n for n in range(500)]
    assert len(server.connections) <= 50
