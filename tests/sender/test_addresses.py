"""What the sender will dial: only what the guard has passed, whatever names, caches or the environment say."""

import asyncio
import ipaddress
import os
import socket
import time

import pycurl
import pytest

from tests.sender.names import HANG, NameServer, fixed
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
from tests.support.waiting import until
from tocsin.engine.sending.answers import Route
from tocsin.engine.sending.sender import make_route
from tocsin.engine.sending.transfer import Transfer
from tocsin.errors import Invalid
from tocsin.model import OutcomeKind
from tocsin.security.guard import Guard

BLOCKED, DNS, SUCCEEDED = OutcomeKind.BLOCKED, OutcomeKind.DNS_ERROR, OutcomeKind.SUCCEEDED


def send_to(url, *, guard=None, servers=None, times=1, pause_s=0.0, timeout_s=5.0, **settings):
    async def main():
        outcomes = []
        async with open_sender(guard=guard, servers=servers, **settings) as sender:
            for nth in range(times):
                if nth:
                    await asyncio.sleep(pause_s)
                outcomes.append(await outcome_of(sender, request_to(url, timeout_s)))
        return outcomes

    return run(main())


def narrow_guard(*networks):
    return Guard(True, [ipaddress.ip_network(network) for network in networks])


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "10.0.0.1", "169.254.169.254", "[::ffff:127.0.0.1]", "2130706433"]
)
def test_a_refused_literal_is_blocked_and_never_dialled(host):
    """A request to an address that the guard refuses is blocked with the guard's reason, before any socket."""
    with RawServer(always(OK)) as server:
        (outcome,) = send_to(f"http://{host}:{server.port}/", guard=narrow_guard("192.0.2.0/24"))
        assert server.connections == []
    assert (outcome.kind, outcome.status_code, outcome.peer) == (BLOCKED, None, None)
    assert outcome.error.startswith("Nothing was sent: ")


def test_done_is_never_called_from_within_send():
    """Also an outcome that is known at once is told after `send` has returned."""

    async def main():
        told = []
        async with open_sender(guard=narrow_guard("192.0.2.0/24")) as sender:
            sender.send(request_to("http://10.0.0.1/"), told.append)
            sender.send(request_to("http://10.0.0.1/", method="PUT"), told.append)
            assert told == []
            await asyncio.sleep(0)
            return [outcome.kind for outcome in told]

    assert run(main()) == [BLOCKED, OutcomeKind.UNSENDABLE]


def test_plain_http_is_blocked_where_it_is_not_allowed():
    """An http address that was saved while that was allowed is blocked once it is not."""
    with RawServer(always(OK)) as server:
        (outcome,) = send_to(server.url, guard=Guard(False, [ipaddress.ip_network("127.0.0.0/8")]))
        assert server.connections == []
    assert outcome.kind is BLOCKED


def test_an_ipv6_literal_is_dialled():
    """Bracketed IPv6 literals work, mapped ones too where their IPv4 address is allowed."""
    with RawServer(always(OK), host="::1") as server:
        (outcome,) = send_to(server.url)
    assert (outcome.kind, outcome.peer) == (SUCCEEDED, "::1")


def test_a_name_is_dialled_at_its_address():
    """A name goes to the address that it resolves to, with the name in the Host header."""
    seen = []

    def script(connection):
        seen.append(connection.read_request())
        connection.write(OK)

    with NameServer(fixed(a=["127.0.0.7"])) as names, RawServer(script, host="127.0.0.7") as server:
        (outcome,) = send_to(f"http://a.example:{server.port}/", servers=[names.address])
    assert (outcome.kind, outcome.peer) == (SUCCEEDED, "127.0.0.7")
    assert b"Host: a.example:%d\r\n" % server.port in seen[0]


def test_a_name_with_several_addresses_uses_one_that_answers():
    """Where one address of several refuses connections, the next one is tried, within one attempt."""
    answers = fixed(a=["127.0.0.8", "::1", "127.0.0.7"])
    with NameServer(answers) as names, RawServer(always(OK), host="127.0.0.7") as server:
        outcomes = send_to(f"http://a.example:{server.port}/", servers=[names.address], times=3)
    assert {(outcome.kind, outcome.peer) for outcome in outcomes} == {(SUCCEEDED, "127.0.0.7")}
    assert not any(outcome.resent for outcome in outcomes)
    assert len(server.connections) == 1


def test_no_address_of_several_answers():
    """Where none of a name's addresses takes connections, the sentence names them."""
    with NameServer(fixed(a=["127.0.0.8", "127.0.0.9"])) as names:
        with RawServer(always(OK)) as server:
            pass
        (outcome,) = send_to(f"http://a.example:{server.port}/", servers=[names.address])
    assert outcome.kind is OutcomeKind.CONNECT_ERROR
    assert outcome.error == "No connection to 127.0.0.8, 127.0.0.9: connection refused."


@pytest.mark.parametrize("ips", [["127.0.0.7", "10.0.0.1"], ["10.0.0.1", "127.0.0.7"], ["127.0.0.7", "fd00::1"]])
def test_one_refused_address_among_several_blocks_all(ips):
    """A name that resolves to an allowed and a refused address is not dialled at all."""
    with NameServer(fixed(a=ips)) as names, RawServer(always(OK), host="127.0.0.7") as server:
        (outcome,) = send_to(f"http://a.example:{server.port}/", servers=[names.address])
        assert server.connections == []
    assert outcome.kind is BLOCKED
    assert "a.example resolves to " in outcome.error


def test_a_name_that_changes_its_answer_between_save_and_connect():
    """An address that passed when the webhook was saved is resolved and judged anew for the attempt (DNS rebinding)."""

    def rebinding(_name, nth):
        return ["93.184.215.14"] if nth == 1 else ["127.0.0.1"]

    guard = narrow_guard("192.0.2.0/24")
    with NameServer(rebinding) as names, RawServer(always(OK)) as server:

        async def main():
            async with open_sender(guard=guard, servers=[names.address]) as sender:
                address = guard.parse(f"http://a.example:{server.port}/")
                ips = await sender._resolver.resolve(address.host)
                assert guard.check_resolved(address, ips) is None  # saved
                await asyncio.sleep(1.05)  # the answer's time to live is over
                return await outcome_of(sender, request_to(address.url))

        outcome = run(main())
        assert server.connections == []
    assert outcome.kind is BLOCKED
    assert outcome.error.startswith("Nothing was sent: a.example resolves to 127.0.0.1: ")
    assert "loopback" in outcome.error


def test_what_was_judged_is_what_is_dialled():
    """Within an answer's time to live the name is asked once; judging and dialling use that one answer."""

    def flipping(_name, nth):
        return ["127.0.0.7"] if nth == 1 else ["127.0.0.1"]

    with NameServer(flipping, ttl_s=60) as names, RawServer(always(OK), host="127.0.0.7") as server:
        outcomes = send_to(
            f"http://a.example:{server.port}/", guard=narrow_guard("127.0.0.7/32"), servers=[names.address], times=5
        )
        assert names.asked.count(("a.example", 1)) == 1
    assert {(outcome.kind, outcome.peer) for outcome in outcomes} == {(SUCCEEDED, "127.0.0.7")}


def test_a_kept_connection_is_not_used_once_the_name_points_elsewhere():
    """When a name's answer changes, its old connection is left alone and the new address is dialled."""

    def moving(_name, nth):
        return ["127.0.0.7"] if nth == 1 else ["127.0.0.8"]

    with (
        NameServer(moving) as names,
        RawServer(always(OK), host="127.0.0.7") as old,
        RawServer(always(OK), host="127.0.0.8", port=old.port) as new,
    ):
        outcomes = send_to(f"http://a.example:{old.port}/", servers=[names.address], times=2, pause_s=1.05)
        assert (len(old.connections), len(new.connections)) == (1, 1)
    assert [outcome.peer for outcome in outcomes] == ["127.0.0.7", "127.0.0.8"]


def test_a_kept_connection_is_not_used_once_the_name_lost_an_address():
    """A connection to one of several addresses is not used after the name has changed to the others."""

    def moving(_name, nth):
        return ["127.0.0.7", "127.0.0.8"] if nth == 1 else ["127.0.0.8"]

    with (
        NameServer(moving) as names,
        RawServer(always(OK), host="127.0.0.7") as first,
        RawServer(always(OK), host="127.0.0.8", port=first.port),
    ):
        outcomes = send_to(f"http://a.example:{first.port}/", servers=[names.address], times=2, pause_s=1.05)
    assert outcomes[1].peer == "127.0.0.8"


def test_a_kept_connection_is_not_used_once_all_addresses_are_others():
    """Several addresses that change to several others are another destination."""

    def moving(_name, nth):
        return ["127.0.0.7", "127.0.0.8"] if nth == 1 else ["127.0.0.9", "127.0.0.10"]

    with (
        NameServer(moving) as names,
        RawServer(always(OK), host="127.0.0.7") as first,
        RawServer(always(OK), host="127.0.0.8", port=first.port),
        RawServer(always(OK), host="127.0.0.9", port=first.port),
        RawServer(always(OK), host="127.0.0.10", port=first.port),
    ):
        outcomes = send_to(f"http://a.example:{first.port}/", servers=[names.address], times=2, pause_s=1.05)
    assert [outcome.kind for outcome in outcomes] == [SUCCEEDED, SUCCEEDED]
    assert outcomes[0].peer in {"127.0.0.7", "127.0.0.8"}
    assert outcomes[1].peer in {"127.0.0.9", "127.0.0.10"}


class TurningGuard(Guard):
    """A guard whose judgement of one address can turn."""

    turned = None

    def refusal(self, ip):
        return "it has turned bad" if ip == self.turned else super().refusal(ip)


def test_a_kept_connection_is_not_used_once_its_peer_is_refused():
    """The peer of a kept connection is judged before each request that would go over it."""
    seen = []

    def script(connection):
        while (request := connection.read_request()) is not None:
            seen.append(request)
            connection.write(OK)

    guard = TurningGuard(True, [ipaddress.ip_network("127.0.0.0/8")])
    with RawServer(script) as server:

        async def main():
            async with open_sender(guard=guard) as sender:
                first = await outcome_of(sender, request_to(server.url))
                guard.turned = "127.0.0.1"  # the parsed address and its route are remembered as good
                return first, await outcome_of(sender, request_to(server.url))

        first, second = run(main())
    assert first.ok
    assert second.kind is BLOCKED
    assert second.error == "Nothing was sent: it has turned bad."
    assert len(seen) == 1
    assert len(server.connections) == 1


def test_two_names_at_one_address_keep_apart_in_their_host_headers():
    """Names that share an address each get their own Host header, over whichever connection."""
    seen = []

    def script(connection):
        while (request := connection.read_request()) is not None:
            seen.append(request.split(b"\r\n")[1])
            connection.write(OK)

    with NameServer(fixed(a=["127.0.0.7"], b=["127.0.0.7"])) as names, RawServer(script, host="127.0.0.7") as server:

        async def main():
            async with open_sender(servers=[names.address]) as sender:
                for name in ("a", "b", "a"):
                    await outcome_of(sender, request_to(f"http://{name}.example:{server.port}/"))

        run(main())
    assert seen == [b"Host: %s.example:%d" % (name, server.port) for name in (b"a", b"b", b"a")]


# --- beneath the guard: libcurl itself is held to the route -----------------------------------------------------------


def dial(url, route, refusal=lambda _ip: None):
    """Drives one transfer by libcurl alone."""
    transfer = Transfer("", 60, refusal)
    ended = []
    transfer.load(request_to(url, 3.0), route, 0.0, ended.append)
    try:
        transfer.curl.perform()
        code, message = 0, ""
    except pycurl.error as error:
        code, message = error.args
    outcome = transfer.outcome(code, message)
    transfer.close()
    return outcome


def test_a_url_that_libcurl_reads_differently_still_goes_to_the_judged_address():
    """Whatever host libcurl finds in the URL, it connects to the judged address."""
    with RawServer(always(OK), host="127.0.0.7") as judged, RawServer(always(OK), port=judged.port) as other:
        outcome = dial(
            f"http://127.0.0.1:{other.port}/",
            make_route(f"http://127.0.0.1:{other.port}/", ("127.0.0.7",), judged.port),
        )
        assert outcome.peer == "127.0.0.7"
        assert other.connections == []


def test_a_socket_to_any_other_address_is_not_opened():
    """Were libcurl led elsewhere, the socket is refused before it is opened."""
    with RawServer(always(OK)) as server:
        outcome = dial(server.url, Route(server.url, frozenset({"127.0.0.7"}), [], []))
        assert server.connections == []
    assert outcome.kind is BLOCKED
    assert "127.0.0.1 is not an address of the receiver" in outcome.error


def test_a_socket_to_a_refused_address_is_not_opened():
    """The guard is asked once more as the socket is opened."""
    with RawServer(always(OK)) as server:
        outcome = dial(server.url, make_route(server.url, ("127.0.0.1",), server.port), lambda _ip: "it is bad")
        assert server.connections == []
    assert outcome.kind is BLOCKED
    assert outcome.error == "Nothing was sent: it is bad."


def test_the_sockets_own_peer_is_judged_before_anything_is_said():
    """A connection whose peer is refused once it stands is dropped without a byte."""
    asked = []

    def passes_once(ip):
        asked.append(ip)
        return None if len(asked) == 1 else "it is bad"

    seen = []

    def script(connection):
        seen.append(connection.read_request())

    with RawServer(script) as server:
        outcome = dial(server.url, make_route(server.url, ("127.0.0.1",), server.port), passes_once)
        until(lambda: seen, "the receiver has noticed the end")
    assert outcome.kind is BLOCKED
    assert asked == ["127.0.0.1", "127.0.0.1"]
    assert seen == [None]
    assert server.connections[0].received == 0


def test_a_socket_whose_peer_is_not_the_one_named_is_not_spoken_to():
    """Were a socket connected elsewhere than libcurl says, nothing would go over it."""
    with RawServer(always(OK)) as server, socket.create_connection(("127.0.0.1", server.port)) as elsewhere:
        transfer = Transfer("", 60, lambda _ip: None)
        for ip, expected in (("127.0.0.1", pycurl.PREREQFUNC_OK), ("127.0.0.9", pycurl.PREREQFUNC_ABORT)):
            transfer.load(request_to(server.url), make_route(server.url, (ip,), server.port), 0.0, print)
            transfer._sockets.append(elsewhere.dup())
            assert transfer._before_send(ip, "127.0.0.1", server.port, 1) == expected
        assert transfer.outcome(pycurl.E_ABORTED_BY_CALLBACK, "").kind is BLOCKED
        transfer.close()


def test_other_protocols_are_not_spoken():
    """Neither files nor other protocols than http and https can be asked for."""
    for url in ("file:///etc/passwd", "ftp://127.0.0.1:2121/", "gopher://127.0.0.1:2121/", "dict://127.0.0.1:2121/"):
        outcome = dial(url, Route(url, frozenset({"127.0.0.1"}), [], []))
        assert (outcome.kind, outcome.body) == (OutcomeKind.PROTOCOL_ERROR, b"")
        with pytest.raises(Invalid):
            loopback_guard().parse(url)


# --- the environment --------------------------------------------------------------------------------------------------


def test_proxies_from_the_environment_are_ignored(monkeypatch):
    """With every proxy variable set, the receiver is dialled directly."""
    with RawServer(always(OK)) as proxy, RawServer(always(OK)) as server:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        outcome = exchange(server.url)
        assert len(server.connections) == 1
        assert proxy.connections == []
    assert outcome.ok


def test_netrc_is_ignored(monkeypatch, tmp_path):
    """Credentials in a .netrc are never sent."""
    (tmp_path / ".netrc").write_text("default login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    seen = []

    def script(connection):
        seen.append(connection.read_request())
        connection.write(OK)

    with RawServer(script) as server:
        assert exchange(server.url).ok
    assert b"authorization" not in seen[0].lower()
    assert os.environ["HOME"] == str(tmp_path)


def test_cookies_are_not_kept():
    """A cookie that a receiver sets is not sent back."""
    seen = []

    def script(connection):
        while (request := connection.read_request()) is not None:
            seen.append(request)
            connection.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    with RawServer(script) as server:
        send_to(server.url, times=2)
    assert len(seen) == 2
    assert b"cookie" not in seen[1].lower()


def test_redirects_are_not_followed():
    """The target of a redirect is never dialled."""
    with RawServer(always(OK)) as target:
        answer = b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % target.url.encode()
        with RawServer(always(answer)) as server:
            outcome = exchange(server.url)
        assert target.connections == []
    assert (outcome.kind, outcome.status_code) == (OutcomeKind.REDIRECTED, 302)


# --- names that do not resolve ----------------------------------------------------------------------------------------

FAILURES = {
    "no such name": (3, "a.example does not resolve: the name does not exist."),
    "no address": ([], "a.example does not resolve: the name has no address."),
    "server failure": (2, "a.example does not resolve: its name server reports a failure (SERVFAIL)."),
    "refused": (5, "a.example does not resolve: its name server refuses to answer (REFUSED)."),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_name_that_does_not_resolve(case):
    """A failed lookup is a DNS error that says which, and nothing is dialled."""
    answer, sentence = FAILURES[case]
    with NameServer(fixed(a=answer)) as names:
        (outcome,) = send_to("https://a.example/", servers=[names.address])
    assert (outcome.kind, outcome.error) == (DNS, sentence)
    assert (outcome.status_code, outcome.peer) == (None, None)


def test_a_hanging_name_ends_at_the_time_limit_and_delays_nobody():
    """While names that never resolve are being asked for, other names' requests go through."""
    answers = lambda name, _nth: HANG if name.endswith("hang.example") else ["127.0.0.7"]  # noqa: E731
    with NameServer(answers) as names, RawServer(always(OK), host="127.0.0.7") as server:

        async def main():
            async with open_sender(servers=[names.address]) as sender:
                hanging = [
                    asyncio.ensure_future(outcome_of(sender, request_to(f"https://a{n}.hang.example/", 1.0)))
                    for n in range(600)
                ]
                await asyncio.sleep(0.05)
                quick = await asyncio.gather(
                    *(outcome_of(sender, request_to(f"http://b{n}.example:{server.port}/")) for n in range(20))
                )
                assert not any(future.done() for future in hanging)
                return quick, await asyncio.gather(*hanging)

        began = time.monotonic()
        quick, hung = run(main())
        assert time.monotonic() - began < 8
    assert all(outcome.ok for outcome in quick)
    assert {outcome.kind for outcome in hung} == {OutcomeKind.TIMEOUT}
    assert hung[0].error == "a0.hang.example had not been resolved within 1 s."
    assert all(outcome.duration_us >= 900_000 for outcome in hung)


def test_time_spent_resolving_counts():
    """The time limit covers the lookup: what it took is not available to the answer."""

    def slow(_name, _nth):
        time.sleep(0.3)
        return ["127.0.0.7"]

    def script(connection):
        connection.read_request()
        connection.hang()

    with NameServer(slow) as names, RawServer(script, host="127.0.0.7") as server:
        (outcome,) = send_to(f"http://a.example:{server.port}/", servers=[names.address], timeout_s=0.8)
    assert outcome.kind is OutcomeKind.TIMEOUT
    assert 750_000 < outcome.duration_us < 1_500_000
