"""Which receivers are trusted, and what is said of the others."""

import asyncio
import datetime as dt
import socket
import ssl

import pytest

from tests.sender.certificates import Authority
from tests.sender.names import NameServer, fixed
from tests.sender.wire import OK, RawServer, always, loopback_guard, open_sender, outcome_of, request_to, run
from tocsin.engine.sending.resolver import Resolver
from tocsin.engine.sending.sender import Sender
from tocsin.errors import Misconfigured
from tocsin.model import OutcomeKind

DAY = dt.timedelta(days=1)
TLS_ERROR = OutcomeKind.TLS_ERROR


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


def send_to(server, ca_file, *, path="/", times=1, host="127.0.0.1", timeout_s=5.0, servers=None):
    async def main():
        async with open_sender(ca_file=ca_file and str(ca_file), servers=servers) as sender:
            url = f"https://{host}:{server.port}{path}"
            return [await outcome_of(sender, request_to(url, timeout_s)) for _ in range(times)]

    return run(main())


def test_a_trusted_receiver_is_sent_to(authority):
    """A certificate from a trusted authority, for the host, is accepted, and the connection is kept."""
    with RawServer(always(OK), tls=authority.issue("127.0.0.1").server()) as server:
        outcomes = send_to(server, authority.ca_file, times=3)
        assert len(server.connections) == 1
    assert all(outcome.ok for outcome in outcomes)
    assert outcomes[0].peer == "127.0.0.1"


def test_a_named_receiver_is_asked_for_by_name(authority):
    """The name, not the address that it is dialled at, is what the certificate must be for and what SNI says."""
    asked = []
    context = authority.issue("a.example").server()
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    with NameServer(fixed(a=["127.0.0.7"])) as names, RawServer(always(OK), host="127.0.0.7", tls=context) as server:
        (outcome,) = send_to(server, authority.ca_file, host="a.example", servers=[names.address])
    assert outcome.ok
    assert asked == ["a.example"]


REFUSED = {
    "another host": ({"hosts": ["other.example"]}, "The receiver's certificate is for another host name."),
    "expired": ({"begins": -2 * DAY, "ends": -DAY / 2}, "The receiver's certificate has expired."),
    "not yet valid": ({"begins": DAY / 2}, "The receiver's certificate is not valid yet."),
    "self-signed": (
        {"self_signed": True},
        "The receiver's certificate is signed by itself, not by a trusted authority.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_untrusted_certificate_is_a_tls_error(authority, case):
    """A certificate that does not hold is a TLS error that says why, and no request is sent."""
    settings, sentence = REFUSED[case]
    settings = dict(settings)
    certificate = authority.issue(*settings.pop("hosts", ["127.0.0.1"]), **settings)
    with RawServer(always(OK), tls=certificate.server()) as server:
        (outcome,) = send_to(server, authority.ca_file)
    assert (outcome.kind, outcome.status_code, outcome.error) == (TLS_ERROR, None, sentence)
    assert outcome.peer == "127.0.0.1"
    assert all(connection.received == 0 for connection in server.connections)


def test_an_authority_that_is_not_trusted_is_a_tls_error(authority):
    """Without a ca_file the public authorities count, and ours is none of them."""
    with RawServer(always(OK), tls=authority.issue("127.0.0.1").server()) as server:
        (outcome,) = send_to(server, None)
    assert outcome.kind is TLS_ERROR
    assert "trusted authority" in outcome.error


def test_tls_below_1_2_is_refused(authority):
    """A receiver that speaks nothing newer than TLS 1.1 is a TLS error."""
    context = authority.issue("127.0.0.1").server()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with RawServer(always(OK), tls=context) as server:
        (outcome,) = send_to(server, authority.ca_file)
    assert outcome.kind is TLS_ERROR
    assert outcome.error == "The receiver offers no version of TLS from 1.2 on."


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(authority, version):
    """Both current versions work, and HTTP/1.1 is all that is offered over them."""
    context = authority.issue("127.0.0.1").server(minimum_version=version, maximum_version=version)
    context.set_alpn_protocols(["h2", "http/1.1"])
    chosen = []

    def script(connection):
        chosen.append((connection.sock.version(), connection.sock.selected_alpn_protocol()))
        always(OK)(connection)

    with RawServer(script, tls=context) as server:
        (outcome,) = send_to(server, authority.ca_file)
    assert outcome.ok
    assert chosen == [(version.name.replace("_", "."), "http/1.1")]


def test_plain_http_where_tls_was_expected(authority):
    """A receiver that answers in plain text is a TLS error that suspects it."""

    def plain(connection):
        connection.sock.recv(1000)
        connection.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with RawServer(plain) as server:
        (outcome,) = send_to(server, authority.ca_file)
    assert outcome.kind is TLS_ERROR
    assert outcome.error == "What answers there does not speak TLS; is it plain http?"


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_handshake_that_breaks_off(authority, end):
    """A connection that ends amid the handshake is a TLS error: nothing was sent."""

    def script(connection):
        connection.sock.recv(1000)
        getattr(connection, end)()

    with RawServer(script) as server:
        (outcome,) = send_to(server, authority.ca_file)
    assert (outcome.kind, outcome.error) == (TLS_ERROR, "The receiver broke off the TLS handshake.")


def test_a_handshake_that_hangs_ends_at_the_time_limit(authority):
    """A receiver that never answers the handshake costs the time limit and no more."""
    with RawServer(lambda connection: connection.hang()) as server:
        (outcome,) = send_to(server, authority.ca_file, timeout_s=0.4)
    assert outcome.kind is OutcomeKind.TIMEOUT
    assert outcome.error == "Connected, but the TLS handshake was not finished within 0.4 s."


def test_a_connection_is_not_shared_between_names(authority):
    """A kept TLS connection to one name is not used for another at the same address, whose certificate it lacks."""
    context = authority.issue("a.example").server()
    answers = fixed(a=["127.0.0.7"], b=["127.0.0.7"])
    with NameServer(answers) as names, RawServer(always(OK), host="127.0.0.7", tls=context) as server:

        async def main():
            async with open_sender(ca_file=str(authority.ca_file), servers=[names.address]) as sender:
                return [
                    await outcome_of(sender, request_to(f"https://{name}.example:{server.port}/"))
                    for name in ("a", "b")
                ]

        right, wrong = run(main())
    assert right.ok
    assert (wrong.kind, wrong.error) == (TLS_ERROR, "The receiver's certificate is for another host name.")


def test_a_kept_tls_connection_that_dies_unanswered_is_told(authority):
    """Over TLS too, a request that libcurl had to send twice is recorded as such."""

    def script(connection):
        connection.read_request()
        connection.write(OK)
        connection.read_request()

    with RawServer(script, tls=authority.issue("127.0.0.1").server()) as server:
        first, second = send_to(server, authority.ca_file, times=2)
    assert first.ok
    assert not first.resent
    assert second.ok
    assert second.resent


def test_an_answer_cut_off_without_a_farewell_is_lost(authority):
    """Where only the close ends a body, a TLS connection that ends without close_notify may have been cut by anyone."""

    def script(connection):
        connection.read_request()
        connection.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        connection.wait(0.1)
        socket.socket(fileno=connection.sock.detach()).close()

    with RawServer(script, tls=authority.issue("127.0.0.1").server()) as server:
        (outcome,) = send_to(server, authority.ca_file)
    assert (outcome.kind, outcome.status_code, outcome.body) == (OutcomeKind.CONNECTION_LOST, 200, b"hello")


def test_many_handshakes_at_once(authority):
    """Fifty new TLS connections at once all come about."""
    with RawServer(always(OK), tls=authority.issue("127.0.0.1").server()) as server:

        async def main():
            async with open_sender(ca_file=str(authority.ca_file)) as sender:
                request = request_to(f"https://127.0.0.1:{server.port}/", 20.0)
                return await asyncio.gather(*(outcome_of(sender, request) for _ in range(50)))

        outcomes = run(main())
    assert all(outcome.ok for outcome in outcomes)


@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_a_ca_file_without_certificates_stops_the_start(tmp_path, content):
    """A ca_file that is missing or holds no certificates is a misconfiguration, not a TLS error of every receiver."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)

    async def main():
        Sender(loopback_guard(), Resolver(), ca_file=str(path))

    with pytest.raises(Misconfigured, match="TOCSIN_CA_FILE"):
        run(main())
