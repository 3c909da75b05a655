"""What comes back over HTTP and what is recorded of it, in honest cases and lying ones."""

import gzip

import pytest

from tests.sender.wire import OK, RawServer, exchange, once, open_sender, outcome_of, request_to, run
from tocsin.model import OutcomeKind

LINE = b"HTTP/1.1 200 OK\r\n"


def answered(answer: bytes, timeout_s: float = 5.0):
    with RawServer(once(answer)) as server:
        return exchange(server.url, timeout_s)


def test_a_plain_answer_is_recorded_as_it_came():
    """Status, headers, body, peer and duration of a 200 are recorded, and there is no error."""
    outcome = answered(b"HTTP/1.1 200 OK\r\nX-Trace:  a b \r\nset-cookie: s=1\r\nContent-Length: 5\r\n\r\nhello")
    assert outcome.kind is OutcomeKind.SUCCEEDED
    assert outcome.ok
    assert outcome.status_code == 200
    assert outcome.headers == (("X-Trace", "a b"), ("set-cookie", "s=1"), ("Content-Length", "5"))
    assert outcome.body == b"hello"
    assert not outcome.body_truncated
    assert outcome.error is None
    assert outcome.peer == "127.0.0.1"
    assert 0 < outcome.duration_us < 5_000_000
    assert not outcome.resent


def test_the_request_arrives_as_it_was_rendered():
    """Method, path, headers and body arrive unchanged, and nothing is added but Host and Content-Length."""
    seen = []

    def script(connection):
        seen.append(connection.read_request())
        connection.write(OK)

    with RawServer(script) as server:
        exchange(
            f"http://127.0.0.1:{server.port}/a/../b//c?x=%41&y",
            headers=(("X-Empty", ""), ("Content-Type", "application/json"), ("User-Agent", "Tocsin/9")),
            body=b'{"a":"\xc3\xa9"}',
        )
    head, _, body = seen[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /a/../b//c?x=%41&y HTTP/1.1"
    assert sorted(lines[1:]) == sorted(
        [
            b"Host: 127.0.0.1:%d" % server.port,
            b"X-Empty:",
            b"Content-Type: application/json",
            b"User-Agent: Tocsin/9",
            b"Content-Length: 10",
        ]
    )
    assert body == b'{"a":"\xc3\xa9"}'


def test_a_body_of_two_mebibytes_goes_out_whole_and_unasked():
    """A large body is sent at once, without waiting for 100 Continue."""
    seen = []

    def script(connection):
        seen.append(connection.read_request())
        connection.write(OK)

    body = b"x" * (2 << 20)
    with RawServer(script) as server:
        assert exchange(server.url, body=body).ok
    assert b"expect" not in seen[0][:1000].lower()
    assert seen[0].endswith(b"\r\n\r\n" + body)


def test_an_address_with_an_events_values_goes_out_whole_and_is_not_remembered():
    """A postback's may have 8192 characters; what is longer is blocked, and no memory is spent on either."""
    seen = []

    def script(connection):
        while (request := connection.read_request()) is not None:
            seen.append(request)
            connection.write(OK)

    with RawServer(script) as server:
        stem = f"http://127.0.0.1:{server.port}/?v="

        async def main():
            async with open_sender() as sender:
                request = request_to(stem + "x" * (8_192 - len(stem)), method="GET")
                assert (await outcome_of(sender, request)).ok
                assert not sender._routes
                assert not sender._target.cache_info().currsize
                longer = await outcome_of(sender, request_to(request.url + "xx"))
                assert longer.kind is OutcomeKind.BLOCKED

        run(main())
    [request] = seen
    assert len(request.partition(b" HTTP/1.1")[0]) == 8_192 - len(stem) + len("GET /?v=")


METHODS = ("POST", "GET", "PATCH", "GET", "PATCH", "PATCH", "POST", "GET", "POST")


def test_each_method_goes_out_as_itself():
    """A GET has no body, a POST and a PATCH have theirs, by whichever handle the one before was sent."""
    seen = []

    def script(connection):
        while (request := connection.read_request()) is not None:
            seen.append(request)
            connection.write(OK)

    with RawServer(script) as server:

        async def main():
            async with open_sender() as sender:
                for method in METHODS:
                    assert (await outcome_of(sender, request_to(server.url, method=method))).ok

        run(main())
    assert [request.split(b" ")[0].decode() for request in seen] == list(METHODS)
    for method, request in zip(METHODS, seen, strict=True):
        assert (b"content-length: 12" in request.lower()) is (method != "GET")
        assert request.endswith(b"\r\n\r\n" if method == "GET" else b'\r\n\r\n{"type":"t"}')


S, R, H = OutcomeKind.SUCCEEDED, OutcomeKind.REDIRECTED, OutcomeKind.HTTP_ERROR
L, P = OutcomeKind.CONNECTION_LOST, OutcomeKind.PROTOCOL_ERROR

CASES = {
    # honest
    "HTTP/1.0, until the close": (b"HTTP/1.0 200 OK\r\n\r\nhello", S, 200, b"hello"),
    "no length, until the close": (LINE + b"\r\nhello", S, 200, b"hello"),
    "chunked, with a trailer": (
        LINE + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n",
        S,
        200,
        b"abcde",
    ),
    "lines that end with LF only": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", S, 200, b"ok"),
    "interim answers first": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" + OK,
        S,
        200,
        b"ok",
    ),
    "any 2xx": (b"HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n", S, 299, b""),
    "400": (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad", H, 400, b"bad"),
    "410": (b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", H, 410, b""),
    "503": (b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", H, 503, b""),
    "a status nobody knows": (b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", H, 999, b""),
    # redirects
    "301": (b"HTTP/1.1 301 M\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", R, 301, b""),
    "304": (b"HTTP/1.1 304 Not Modified\r\n\r\n", R, 304, b""),
    "307": (b"HTTP/1.1 307 T\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", R, 307, b""),
    "308 without an address": (b"HTTP/1.1 308 P\r\nContent-Length: 0\r\n\r\n", R, 308, b""),
    # lying
    "204 with a body": (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", S, 204, b""),
    "garbage after the answer": (OK + b"\x00\xff garbage", S, 200, b"ok"),
    "a length too short": (LINE + b"Content-Length: 2\r\n\r\nabcdef", S, 200, b"ab"),
    "a length too long": (LINE + b"Content-Length: 50\r\n\r\nabc", L, 200, b"abc"),
    "a negative length": (LINE + b"Content-Length: -2\r\n\r\nabc", P, 200, b""),
    "a length in words": (LINE + b"Content-Length: two\r\n\r\nabc", P, 200, b""),
    "two lengths": (LINE + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc", P, 200, b""),
    "a malformed chunk": (LINE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", P, 200, b""),
    "a chunk of 2^80 bytes": (LINE + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nabc\r\n", P, 200, b""),
    "a chunk cut short": (LINE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc", L, 200, b"abc"),
    "a transfer coding not asked for": (LINE + b"Transfer-Encoding: gzip\r\n\r\n" + gzip.compress(b"x"), P, 200, b""),
    "a header without a colon": (LINE + b"garbage\r\n\r\nabc", P, 200, b""),
    "binary garbage for a header": (LINE + b"\x00\x01\xfe\xff\r\n\r\nabc", P, 200, b""),
    "101, not asked for": (b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nraw", P, 101, b""),
    "600 headers": (LINE + b"A: b\r\n" * 600 + b"\r\n", P, 200, b""),
    # no HTTP at all
    "no status line": (b"hello world", P, None, b""),
    "another protocol": (b"SSH-2.0-OpenSSH_9.7\r\n", P, None, b""),
    "a status below 100": (b"HTTP/1.1 099 No\r\n\r\n", P, None, b""),
    "HTTP/2 in a status line": (b"HTTP/2 200 OK\r\n\r\n", P, None, b""),
    # broken off
    "half a status line": (b"HTTP/1.1 20", L, None, b""),
    "half the headers": (LINE + b"X-Tr", L, 200, b""),
    "a status line alone": (LINE, L, 200, b""),
    "nothing": (b"", L, None, b""),
}


@pytest.mark.parametrize("case", CASES)
def test_each_answer_has_its_kind(case):
    """An answer's kind, status and body are what really came, and every failure has a plain sentence."""
    answer, kind, status, body = CASES[case]
    outcome = answered(answer)
    assert (outcome.kind, outcome.status_code, outcome.body) == (kind, status, body)
    assert not outcome.body_truncated
    assert outcome.peer == "127.0.0.1"
    if kind is OutcomeKind.SUCCEEDED:
        assert outcome.error is None
    else:
        assert outcome.error[0].isupper()
        assert outcome.error.endswith(".")
        assert "libcurl" not in outcome.error


def test_a_redirect_says_where_to():
    """The sentence about a redirect names its target, so that the address can be mended."""
    outcome = answered(b"HTTP/1.1 301 M\r\nLocation: https://new.example/hook\r\nContent-Length: 0\r\n\r\n")
    assert outcome.error == (
        "The receiver answered 301 Moved Permanently to https://new.example/hook; redirects are never followed."
    )


def test_headers_of_interim_answers_are_not_recorded():
    """Only the final answer's headers are recorded, without a trailer's."""
    outcome = answered(
        b"HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n"
        + LINE
        + b"Transfer-Encoding: chunked\r\nX-Own: 2\r\n\r\n1\r\na\r\n0\r\nX-Trailer: 3\r\n\r\n"
    )
    assert outcome.headers == (("Transfer-Encoding", "chunked"), ("X-Own", "2"))


def test_a_compressed_answer_stays_compressed():
    """A compressed bomb is kept as the bytes that it is."""
    bomb = gzip.compress(b"\0" * 10_000_000)
    outcome = answered(LINE + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)
    assert outcome.kind is OutcomeKind.SUCCEEDED
    assert outcome.body == bomb
    assert len(bomb) < 16_384


def test_reset_after_the_request():
    """A connection that is reset before any answer is lost, and there is no status."""

    def script(connection):
        connection.read_request()
        connection.reset()

    with RawServer(script) as server:
        outcome = exchange(server.url)
    assert (outcome.kind, outcome.status_code) == (OutcomeKind.CONNECTION_LOST, None)
    assert not outcome.resent
    assert outcome.error == "The connection was closed before an answer came; the request may have been received."


@pytest.mark.parametrize("length", [b"Content-Length: 50\r\n", b""])
def test_reset_in_the_body(length):
    """A connection that is reset within the body is lost; status, headers and what came of the body are recorded."""

    def script(connection):
        connection.read_request()
        connection.write(LINE + length + b"X-A: b\r\n\r\nabc")
        connection.wait(0.1)
        connection.reset()

    with RawServer(script) as server:
        outcome = exchange(server.url)
    assert (outcome.kind, outcome.status_code, outcome.body) == (OutcomeKind.CONNECTION_LOST, 200, b"abc")
    assert ("X-A", "b") in outcome.headers


def test_an_early_refusal_of_a_large_body_is_an_answer():
    """A receiver that answers 413 while the body is still going out has answered 413."""

    def script(connection):
        connection.sock.recv(1000)
        connection.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.hang()

    with RawServer(script) as server:
        outcome = exchange(server.url, body=b"x" * (1 << 20))
    assert (outcome.kind, outcome.status_code) == (OutcomeKind.HTTP_ERROR, 413)


def test_nobody_listens():
    """A refused connection is a connect error that names the address."""
    with RawServer(once(OK)) as server:
        pass
    outcome = exchange(server.url)
    assert outcome.kind is OutcomeKind.CONNECT_ERROR
    assert outcome.error == "No connection to 127.0.0.1: connection refused."
    assert outcome.peer is None
    assert outcome.status_code is None


UNSENDABLE = {
    "a method that is none of ours": {"method": "DELETE"},
    "a line break in a header": {"headers": (("X-A", "b\r\nX-B: c"),)},
    "a NUL in a header": {"headers": (("X-A", "b\0c"),)},
    "a header beyond Latin-1": {"headers": (("X-A", "\N{BELL}"),)},
}


@pytest.mark.parametrize("case", UNSENDABLE)
def test_what_cannot_be_a_request_is_not_sent(case):
    """A request that HTTP cannot express is unsendable, and nothing is dialled."""
    with RawServer(once(OK)) as server:
        outcome = exchange(server.url, **UNSENDABLE[case])
    assert outcome.kind is OutcomeKind.UNSENDABLE
    assert outcome.error.startswith("Nothing was sent: ")
    assert server.connections == []
