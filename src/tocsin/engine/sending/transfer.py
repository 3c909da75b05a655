"""One request on its way through libcurl: what is asked of it, and what is allowed to come back."""

import re
import socket
from collections.abc import Callable
from typing import Any

import pycurl

from tocsin.engine.sending import answers
from tocsin.engine.sending.answers import Route
from tocsin.model import Outcome, OutcomeKind, Request

# CONTRACT §8: at most this much of an answer's body is read.
MAX_BODY_BYTES = 16 * 1024
# An answer's headers, trailers and interim (1xx) answers together. Servers send a few hundred bytes and themselves
# refuse requests beyond 8 to 32 KiB; it also ends a server that sends interim answers for ever.
MAX_HEADER_BYTES = 64 * 1024
MAX_HEADER_LINES = 512
# Of these, what is recorded: as much as of a body.
MAX_KEPT_HEADER_BYTES = 16 * 1024
# What the kernel may hold of an answer before it is read (it doubles the figure): of 1024 hostile receivers 64 MiB.
_RECEIVE_BUFFER_BYTES = 32 * 1024
# One read; libcurl does ten a turn at most. A receiver that floods with what leads to nothing, such as a chunk's
# extension without end, so gets some 40 µs a turn, the most answers fit into one, and 16 KiB cost sixteen.
_READ_BYTES = 1024
# A certificate is looked at when a connection is made: how long one that has been withdrawn can go on counting.
_LIFETIME_S = 3600
# The first, and once more where a kept connection died before any answer: libcurl itself would go on to five.
_MAX_SENDS = 2
_SWITCHING = b"101"
_BREAKS = re.compile(r"[\r\n\0]")

_NOWHERE = Route("", frozenset(), [], [])


class HandedSocket:
    """A socket as pycurl wants it: pycurl duplicates the descriptor."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def fileno(self) -> int:
        return self._sock.fileno()


def common_options(curl: pycurl.Curl, ca_file: str, idle_s: int) -> None:
    """What holds for every request, whatever the environment says."""
    curl.setopt(pycurl.NOSIGNAL, 1)
    curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
    curl.setopt(pycurl.REDIR_PROTOCOLS, 0)
    curl.setopt(pycurl.FOLLOWLOCATION, 0)
    curl.setopt(pycurl.PROXY, "")
    curl.setopt(pycurl.NOPROXY, "*")
    curl.setopt(pycurl.NETRC, pycurl.NETRC_IGNORED)
    curl.setopt(pycurl.PATH_AS_IS, 1)
    curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
    curl.setopt(pycurl.HTTP09_ALLOWED, 0)
    curl.setopt(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
    curl.setopt(pycurl.SSL_VERIFYPEER, 1)
    curl.setopt(pycurl.SSL_VERIFYHOST, 2)
    curl.setopt(pycurl.CAINFO, ca_file)
    curl.setopt(pycurl.MAXAGE_CONN, idle_s)
    curl.setopt(pycurl.MAXLIFETIME_CONN, _LIFETIME_S)
    curl.setopt(pycurl.BUFFERSIZE, _READ_BYTES)


class Transfer:
    """One libcurl handle, used for one request after the other, and what came back of the present one.

    Args:
        ca_file: trust anchors.
        idle_s: a connection idle for longer is not used again.
        refusal: why an address must not be dialled; None: it may. Asked for each socket before it is opened, and
            for the peer of each connection, a kept one too, before a request goes over it.
    """

    def __init__(self, ca_file: str, idle_s: int, refusal: Callable[[str], str | None]) -> None:
        self.curl = curl = pycurl.Curl()
        common_options(curl, ca_file, idle_s)
        curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        curl.setopt(pycurl.PREREQFUNCTION, self._before_send)
        curl.setopt(pycurl.HEADERFUNCTION, self._take_header)
        curl.setopt(pycurl.WRITEFUNCTION, self._take_body)
        self._refusal = refusal
        self._method = ""
        self._timeout_ms = 0
        self.request: Request
        self.done: Callable[[Outcome], None]
        self._route = _NOWHERE
        self._waited_us = 0
        self._sockets: list[socket.socket] = []
        self._sends = 0
        self._peer: str | None = None
        self._refused: str | None = None
        self._status: int | None = None
        self._lines: list[bytes] = []
        self._header_bytes = 0
        self._header_lines = 0
        self._headers_over = False
        self._headers_exceed = False
        self._body = b""
        self._cut = False

    def load(self, request: Request, route: Route, waited_s: float, done: Callable[[Outcome], None]) -> None:
        """Makes the handle ready for a request whose name has been resolved, which took `waited_s`.

        Raises:
            ValueError: libcurl cannot express the request.
        """
        self.request = request
        self.done = done
        self._waited_us = int(waited_s * 1e6)
        self._sends = 0
        self._peer = self._refused = self._status = None
        self._lines = []
        self._header_bytes = self._header_lines = 0
        self._headers_over = self._headers_exceed = self._cut = False
        self._body = b""
        setopt = self.curl.setopt
        try:
            if route is not self._route:
                setopt(pycurl.URL, route.url)
                setopt(pycurl.CONNECT_TO, route.connect_to)
                self._route = route
            if route.resolve:  # each time: libcurl forgets such entries after a minute
                setopt(pycurl.RESOLVE, route.resolve)
            if request.method != self._method:
                self._set_method(request.method)
            if request.method != "GET":
                setopt(pycurl.POSTFIELDS, request.body)
            setopt(pycurl.HTTPHEADER, _header_lines(request))
            timeout_ms = max(1, int((request.timeout_s - waited_s) * 1000))
            if timeout_ms != self._timeout_ms:
                setopt(pycurl.TIMEOUT_MS, timeout_ms)
                self._timeout_ms = timeout_ms
        except (pycurl.error, UnicodeError, TypeError) as error:
            raise ValueError(str(error)) from None

    def _set_method(self, method: str) -> None:
        if method == "PATCH":  # to libcurl a POST that is called otherwise
            self.curl.setopt(pycurl.CUSTOMREQUEST, method)
        elif self._method == "PATCH":
            self.curl.unsetopt(pycurl.CUSTOMREQUEST)
        self.curl.setopt(pycurl.HTTPGET if method == "GET" else pycurl.POST, 1)
        self._method = method

    def unload(self) -> None:
        """Lets go of what belongs to one request."""
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
        self._lines = []
        self._body = b""

    # --- asked by libcurl, in the midst of its work: nothing here may raise or call it ----------------------------

    def _open_socket(self, _purpose: int, address: Any) -> HandedSocket | int:
        ip = address.addr[0]
        if self._refuses(ip):
            return int(pycurl.SOCKET_BAD)
        try:
            sock = socket.socket(address.family, address.socktype, address.protocol)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        except OSError:  # out of descriptors, or no such family here
            return int(pycurl.SOCKET_BAD)
        # Kept until the request goes out, to ask the socket itself who is at its other end.
        self._sockets.append(sock)
        return HandedSocket(sock)

    def _before_send(self, ip: str, _local_ip: str, port: int, _local_port: int) -> int:
        """The connection stands, new or kept; the request is about to go out."""
        if self._sockets and not self._is_peer(ip, port):
            self._refused = f"the connection is not to {ip}"
            return int(pycurl.PREREQFUNC_ABORT)
        if self._refuses(ip) or self._sends == _MAX_SENDS:
            return int(pycurl.PREREQFUNC_ABORT)
        self._sends += 1
        self._peer = ip
        return int(pycurl.PREREQFUNC_OK)

    def _refuses(self, ip: str) -> bool:
        if ip not in self._route.ips:
            self._refused = f"{ip} is not an address of the receiver"
        elif (why := self._refusal(ip)) is not None:
            self._refused = why
        else:
            return False
        return True

    def _is_peer(self, ip: str, port: int) -> bool:
        found = False
        for sock in self._sockets:
            try:
                peer = sock.getpeername()
            except OSError:  # the one that lost the race of several addresses
                continue
            finally:
                sock.close()
            found = found or peer[:2] == (ip, port)
        self._sockets.clear()
        return found

    def _take_header(self, line: bytes) -> int | None:
        self._header_bytes += len(line)
        self._header_lines += 1
        if self._header_bytes > MAX_HEADER_BYTES or self._header_lines > MAX_HEADER_LINES:
            self._headers_exceed = True
            return 0
        if self._headers_over:  # a trailer
            return None
        if line.startswith(b"HTTP/"):
            self._lines = []
            code = line[9:12]  # libcurl has checked the line
            final = code.isdigit() and (code >= b"200" or code == _SWITCHING)
            self._status = int(code) if final else None
        elif line in (b"\r\n", b"\n"):
            self._headers_over = self._status is not None
            if self._status == int(_SWITCHING):  # from here on it is no HTTP
                self._cut = True
                return 0
        elif self._status is not None and self._header_bytes <= MAX_KEPT_HEADER_BYTES:
            self._lines.append(line)
        return None

    def _take_body(self, chunk: bytes) -> int | None:
        room = MAX_BODY_BYTES - len(self._body)
        if len(chunk) > room:
            self._body += chunk[:room]
            self._cut = True
            return 0
        self._body = self._body + chunk if self._body else chunk
        return None

    # --- the end --------------------------------------------------------------------------------------------------

    def outcome(self, code: int, message: str) -> Outcome:
        """What became of the request. `code`, `message`: libcurl's result and its words."""
        status = self._status
        # libcurl also takes headers for whole that end with the connection.
        whole = self._headers_over and (code == 0 or self._cut or len(self._body) >= MAX_BODY_BYTES)
        if whole and status is not None:
            kind, error = answers.by_status(status, self._lines)
        else:
            kind, error = answers.by_failure(
                code,
                message,
                answers.Progress(
                    request=self.request,
                    ips=self._route.ips,
                    status=status,
                    refused=self._refused,
                    headers_exceed=self._headers_exceed,
                    sends=self._sends,
                    connected=self.curl.getinfo(pycurl.CONNECT_TIME_T) > 0,
                    secured=self.curl.getinfo(pycurl.APPCONNECT_TIME_T) > 0,
                    os_errno=self.curl.getinfo(pycurl.OS_ERRNO),
                ),
            )
        return Outcome(
            kind=kind,
            status_code=status,
            headers=answers.parse(self._lines) if status is not None else (),
            body=self._body,
            body_truncated=whole and code != 0 and status != int(_SWITCHING),
            error=error,
            duration_us=self._waited_us + self.curl.getinfo(pycurl.TOTAL_TIME_T),
            peer=self._peer or (self.curl.getinfo(pycurl.PRIMARY_IP) or None),
            resent=self._sends > 1,
        )

    def stopped(self) -> Outcome:
        """What can be said of a request that was given up because the process stops."""
        sent = "after the request was sent; it may have been received" if self._sends else "before the request was sent"
        return Outcome(
            kind=OutcomeKind.CONNECTION_LOST,
            status_code=self._status,
            error=f"Tocsin stopped {sent}.",
            peer=self._peer,
            resent=self._sends > 1,
        )

    def close(self) -> None:
        self.unload()
        self.curl.close()


def _header_lines(request: Request) -> list[str] | list[bytes]:
    # No interim answer is waited for, and libcurl's own Accept says nothing. An empty value is written with a
    # semicolon; with a colon it would take the header out.
    lines = ["Expect:", "Accept:"]
    lines += [f"{name}: {value}" if value else f"{name};" for name, value in request.headers]
    text = "".join(lines)
    if text.isascii() and text.isprintable():
        return lines
    if _BREAKS.search(text):
        raise ValueError("a header holds a line break or a NUL")
    return [line.encode("latin-1") for line in lines]
