"""What only a real connection shows: bodies that are not read to their end, HEAD, and connections kept."""

import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from tests.support.api import Shop
from tests.support.server import Server

_MIB = 1 << 20


@pytest.fixture
def shop(server: Server) -> Shop:
    return server.operator.shop()


@pytest.fixture
def connection(server: Server) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    yield connection
    connection.close()


def head(shop: Shop, framing: str) -> bytes:
    lines = ["POST /v1/events HTTP/1.1", "Host: x", f"Authorization: Bearer {shop.key}", framing, "", ""]
    return "\r\n".join(lines).encode()


def test_a_large_upload_is_cut_off(server: Server, shop: Shop):
    """A body that goes on beyond the limit is answered while it is still being sent, and the connection is closed."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as raw:
        raw.sendall(head(shop, "Transfer-Encoding: chunked"))
        chunk = b"%x\r\n%b\r\n" % (_MIB // 4, b" " * (_MIB // 4))
        sent = 0
        try:
            while sent < 1_000 * _MIB:
                raw.sendall(chunk)
                sent += _MIB // 4
        except OSError:
            pass  # the server has closed it: what else is to be shown
        assert sent < 100 * _MIB
    assert server.operator.call("GET", "/healthz").status == 200


def test_a_declared_large_upload_is_answered(server: Server, shop: Shop):
    """A body that says it is too large is answered with 413 before it is sent."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as raw:
        raw.sendall(head(shop, f"Content-Length: {2 * _MIB}"))
        answer = http.client.HTTPResponse(raw)
        answer.begin()
        assert answer.status == 413
        assert json.loads(answer.read())["code"] == "body_too_large"


def test_head_has_no_body(connection: http.client.HTTPConnection, shop: Shop):
    """HEAD answers as GET does, without the body, and the connection goes on."""
    for _ in range(2):
        connection.request("HEAD", "/v1/webhooks", headers={"Authorization": f"Bearer {shop.key}"})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
        assert int(answer.headers["content-length"]) > 0


def test_connections_outlive_refusals(connection: http.client.HTTPConnection, shop: Shop):
    """A refused request leaves its connection usable."""
    headers = {"Authorization": f"Bearer {shop.key}"}
    for body, status in ((b"{", 400), (b"{}", 422), (json.dumps(shop.event()).encode(), 202)):
        connection.request("POST", "/v1/events", body, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
        assert answer.headers["connection"] != "close"


def test_an_answer_tells_neither_server_nor_version(connection: http.client.HTTPConnection):
    """Headers do not tell what the server is made of."""
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    answer.read()
    assert "server" not in answer.headers
    assert "x-powered-by" not in answer.headers
