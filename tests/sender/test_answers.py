"""What comes back over HTTP, and what is recorded of it: kind, status, headers, body, in honest cases and lying ones."""

import pytest

from tests.sender.wire import OK, RawServer, always, exchange, once
from tocsin.model import OutcomeKind


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
    """Method, path, headers and body arrive unchanged, and libcurl adds nothing but Host and Content-Length."""
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


if __name__ == "__main__":
    pytest.main([__file__])
