"""What an exchange amounts to: libcurl's result and the answer's status become a kind and one plain sentence.

Pure. The sentences are read by the engineer who runs the receiver, in the middle of the night: what was seen, from
where they stand, and where it helps what to look at.
"""

import os
from collections.abc import Sequence
from http import HTTPStatus

import msgspec
import pycurl

from tocsin.model import OutcomeKind, Request

_MAX_SHOWN = 200  # characters of anything that a receiver wrote, inside a sentence


class Route(msgspec.Struct, frozen=True):
    """Where a request goes: judged addresses, and how libcurl is held to them."""

    url: str
    ips: frozenset[str]
    connect_to: list[str]  # for CURLOPT_CONNECT_TO
    resolve: list[str]  # for CURLOPT_RESOLVE; empty: not needed


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a request came that found no whole answer."""

    request: Request
    ips: frozenset[str]
    status: int | None
    refused: str | None  # why the guard would not have it
    headers_exceed: bool
    sends: int
    connected: bool
    secured: bool
    os_errno: int


_TLS = {
    pycurl.E_SSL_CONNECT_ERROR,
    pycurl.E_PEER_FAILED_VERIFICATION,
    pycurl.E_SSL_CERTPROBLEM,
    pycurl.E_SSL_CIPHER,
    pycurl.E_SSL_CACERT_BADFILE,
    pycurl.E_SSL_ISSUER_ERROR,
    pycurl.E_SSL_INVALIDCERTSTATUS,
    pycurl.E_SSL_ENGINE_NOTFOUND,
    pycurl.E_SSL_ENGINE_SETFAILED,
    pycurl.E_USE_SSL_FAILED,
}
# Where pycurl has no name for libcurl's, or only that of its FTP days.
_WEIRD_SERVER_REPLY = 8
_TOO_LARGE = 100  # one header line beyond libcurl's own bound, 100 KB
_NOT_HTTP = {_WEIRD_SERVER_REPLY, pycurl.E_BAD_CONTENT_ENCODING}
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


def by_status(status: int, lines: Sequence[bytes]) -> tuple[OutcomeKind, str | None]:
    """The verdict on a whole answer."""
    if 200 <= status < 300:
        return OutcomeKind.SUCCEEDED, None
    phrase = _PHRASES.get(status)
    said = f"{status} {phrase}" if phrase else str(status)
    if 300 <= status < 400:
        location = next((value for name, value in parse(lines) if name.lower() == "location"), "")
        to = f" to {location[:_MAX_SHOWN]}" if location else ""
        return OutcomeKind.REDIRECTED, f"The receiver answered {said}{to}; redirects are never followed."
    if status == 101:
        return OutcomeKind.PROTOCOL_ERROR, "The receiver answered 101 Switching Protocols, which was not asked for."
    return OutcomeKind.HTTP_ERROR, f"The receiver answered {said}."


def by_failure(code: int, message: str, at: Progress) -> tuple[OutcomeKind, str]:
    """The verdict where no whole answer came. `code`, `message`: libcurl's."""
    if at.refused is not None:
        return OutcomeKind.BLOCKED, f"Nothing was sent: {at.refused}."
    if at.headers_exceed or code == _TOO_LARGE:
        return OutcomeKind.PROTOCOL_ERROR, "The answer's headers exceed 64 KiB or 512 lines; reading stopped there."
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return OutcomeKind.TIMEOUT, _timed_out(at)
    if code in _TLS and not at.sends:
        return OutcomeKind.TLS_ERROR, _tls(message)
    if code == pycurl.E_UNSUPPORTED_PROTOCOL:  # what libcurl says to an answer without a status line
        return OutcomeKind.PROTOCOL_ERROR, "What answers there does not speak HTTP/1.1."
    if code in _NOT_HTTP or (at.sends and "chunk" in message):  # a malformed chunk is "a failure to receive"
        return OutcomeKind.PROTOCOL_ERROR, f"The answer is not valid HTTP: {_clause(message)}."
    if at.sends:
        return OutcomeKind.CONNECTION_LOST, _lost(at)
    return OutcomeKind.CONNECT_ERROR, _unreachable(message, at)


def parse(lines: Sequence[bytes]) -> tuple[tuple[str, str], ...]:
    """Header lines as pairs, as they came but for the white space around a value."""
    pairs = []
    for line in lines:
        name, _, value = line.decode("latin-1").partition(":")
        pairs.append((name, value.strip()))
    return tuple(pairs)


def seconds(timeout_s: float) -> str:
    return f"{timeout_s:g} s"


def _timed_out(at: Progress) -> str:
    limit = seconds(at.request.timeout_s)
    if at.status is not None:
        return f"The receiver answered {at.status}, but its answer had not ended within {limit}."
    if at.sends:
        return f"The request was sent, but no answer came within {limit}."
    if at.connected and at.request.url.startswith("https:"):
        return f"Connected, but the TLS handshake was not finished within {limit}."
    return f"No connection to {_places(at.ips)} within {limit}."


def _lost(at: Progress) -> str:
    if at.status is not None:
        return f"The receiver answered {at.status}, but the connection broke off before its answer's end."
    if at.sends > 1:
        return (
            "The connection was closed without an answer, twice: once when a kept connection was used again, and once "
            "more on a new one. The request may have been received."
        )
    return "The connection was closed before an answer came; the request may have been received."


def _unreachable(message: str, at: Progress) -> str:
    why = os.strerror(at.os_errno).lower() if at.os_errno else _clause(message)
    return f"No connection to {_places(at.ips)}: {why}."


def _tls(message: str) -> str:
    text = message.lower()
    for found, sentence in (
        ("certificate has expired", "The receiver's certificate has expired."),
        ("not yet valid", "The receiver's certificate is not valid yet."),
        (
            "self-signed certificate in certificate chain",
            "The receiver's certificate is from an authority not trusted here.",
        ),
        ("self-signed", "The receiver's certificate is signed by itself, not by a trusted authority."),
        (
            "unable to get local issuer",
            "The receiver's certificate is not from a trusted authority, or it does not send the intermediate ones.",
        ),
        ("no alternative certificate subject name", "The receiver's certificate is for another host name."),
        ("unsupported protocol", "The receiver offers no version of TLS from 1.2 on."),
        ("protocol version", "The receiver offers no version of TLS from 1.2 on."),
        ("wrong version number", "What answers there does not speak TLS; is it plain http?"),
        ("packet length too long", "What answers there does not speak TLS; is it plain http?"),
        ("broken pipe", "The receiver broke off the TLS handshake."),
        ("reset by peer", "The receiver broke off the TLS handshake."),
        ("eof", "The receiver broke off the TLS handshake."),
    ):
        if found in text:
            return sentence
    return f"No trusted TLS connection: {_clause(message)}."


def _places(ips: frozenset[str]) -> str:
    shown = sorted(ips)[:3]
    more = len(ips) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _clause(message: str) -> str:
    """What libcurl says, to be put into a sentence."""
    printable = "".join(c if c.isprintable() else "?" for c in message[:_MAX_SHOWN])
    return printable.rstrip(". ") or "no reason is known"
