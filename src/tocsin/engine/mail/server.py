"""The operator's own mail server: one connection over which mails go out, and what its answers mean.

The second and last door to the network. It leads to `TOCSIN_SMTP_URL` only, which the operator chose and which often is
on the inside; so the outbound guard, which protects the inside from addresses that users choose, does not judge it.
"""

import ipaddress
import socket
import ssl
from enum import StrEnum
from urllib.parse import unquote, urlsplit

import aiosmtplib
import certifi
import msgspec

from tocsin.channels.mail_address import on_the_wire
from tocsin.errors import Misconfigured
from tocsin.model import OutcomeKind

__all__ = ["Answer", "Fate", "MailConnection", "MailServer", "MailTrouble", "Reply", "on_the_wire"]

# A mail server answers within seconds. RFC 5321 §4.5.3.2 lets one think for minutes about a mail; what it has not
# taken after four times as long is tried again under the same Message-ID.
TIMEOUT_S = 30.0
_MAIL_TIMEOUTS = 4
_QUIT_TIMEOUT_S = 5.0
_REASON_LENGTH = 300
_CLOSING = 421  # RFC 5321 §4.2.3: the server ends the conversation

_FORM = "write smtp://user:password@mail.example.com:587/?from=tocsin@example.com, or smtps://…"


class Reply(msgspec.Struct, frozen=True):
    """What the server said, whole, and to which command."""

    command: str  # "MAIL", "RCPT", "DATA"; "CONNECT", "AUTH" before any mail
    code: int
    text: str


class MailTrouble(Exception):
    """No mail can be handed to the server now; `str` is one plain sentence without credentials."""

    def __init__(self, what: str, kind: OutcomeKind = OutcomeKind.CONNECT_ERROR, reply: Reply | None = None) -> None:
        super().__init__(what)
        self.kind = kind
        self.reply = reply


class Fate(StrEnum):
    """What became of one mail."""

    SENT = "sent"  # the server took it
    LATER = "later"  # it may be taken another time
    REFUSED = "refused"  # this very mail, for good


class Answer(msgspec.Struct, frozen=True):
    """`well` False: whatever this mail is at, the server or its connection is not well either.

    `reply`: the one that decided; None where the conversation broke off. `unsaid`: it did before the server knew of any
    mail, so nothing can have come of it.
    """

    fate: Fate
    reason: str = ""
    well: bool = True
    reply: Reply | None = None
    unsaid: bool = False


class MailServer:
    """Where mails are handed in.

    Args:
        url: ``smtp://user:password@host:587/?from=tocsin@example.com`` (STARTTLS where it is offered; port 587 unless
            said) or ``smtps://…`` (TLS from the start; port 465 unless said). ``tls=off`` leaves out STARTTLS, for a
            relay on the same machine.
        ca_file: trust anchors for its certificate; None: certifi's.

    Raises:
        Misconfigured: the address cannot be understood, or `ca_file` holds no certificates.
    """

    def __init__(self, url: str, ca_file: str | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path not in ("", "/") or parts.fragment:
            raise Misconfigured(
                f"TOCSIN_SMTP_URL is not understood; {_FORM} (in a password, write / as %2F, # as %23, @ as %40)"
            )
        self.host = parts.hostname
        self._implicit = parts.scheme == "smtps"
        try:
            self.port = parts.port or (465 if self._implicit else 587)
        except ValueError:
            raise Misconfigured(f"TOCSIN_SMTP_URL: the port is no port; {_FORM}") from None
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        given = dict(pair.partition("=")[::2] for pair in parts.query.split("&") if pair)
        if not given.keys() <= {"from", "tls"} or given.get("tls", "off") != "off":
            raise Misconfigured("TOCSIN_SMTP_URL: after the ? only from=address and tls=off are known")
        self._start_tls = not self._implicit and "tls" not in given
        sender = unquote(given.get("from", "")) or (self._user if "@" in self._user else f"tocsin@{self._literal()}")
        try:
            self.sender = on_the_wire(sender)
        except ValueError:
            raise Misconfigured(f"TOCSIN_SMTP_URL: from={sender} is no e-mail address") from None
        try:
            self._context = ssl.create_default_context(cafile=ca_file or certifi.where())
        except (OSError, ssl.SSLError) as error:
            raise Misconfigured(f"{ca_file} holds no certificates: {error}") from None
        self._timeout_s = timeout_s

    async def connect(self) -> "MailConnection":
        """Raises `MailTrouble`."""
        client = aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            use_tls=self._implicit,
            start_tls=False,  # below, where it is decided
            tls_context=self._context,
            timeout=self._timeout_s,
            local_hostname="localhost",  # until the connection shows our address
        )
        try:
            await client.connect()
            client.local_hostname = _literal_of(client.get_transport_info("sockname")[0])
            await client.ehlo()
            if self._start_tls and client.supports_extension("starttls"):
                await client.starttls()
                await client.ehlo()
            tls = client.get_transport_info("ssl_object")
            if self._user:
                self._may_log_in(client, encrypted=tls is not None)
                await client.login(self._user, self._password)
        except MailTrouble:
            client.close()
            raise
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            client.close()
            raise self._trouble(error) from error
        except BaseException:
            client.close()
            raise
        how = "without TLS" if tls is None else f"over {tls.version()}"
        how = f"{how}, logged in" if self._user else how
        return MailConnection(client, self.sender, how, _MAIL_TIMEOUTS * self._timeout_s)

    def _may_log_in(self, client: aiosmtplib.SMTP, *, encrypted: bool) -> None:
        if not encrypted and not self._on_this_machine():
            raise MailTrouble(
                f"{self._where()} offers no TLS, and the password is not sent readable; use smtps://, or a server that "
                "offers STARTTLS"
            )
        if not client.supported_auth_methods:
            raise MailTrouble(
                f"{self._where()} offers no way to log in; leave user and password out, or use its other port"
            )

    def _trouble(self, error: Exception) -> MailTrouble:
        where = self._where()
        cause = error.__cause__ if isinstance(error, aiosmtplib.SMTPConnectError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            return MailTrouble(
                f"the certificate of {where} is not trusted: {cause.verify_message.rstrip('.')}; its authority can be "
                "given in TOCSIN_SMTP_CA_FILE",
                OutcomeKind.TLS_ERROR,
            )
        if isinstance(error, aiosmtplib.SMTPAuthenticationError):
            reply = Reply("AUTH", error.code, error.message)
            return MailTrouble(f"{where} refuses the login: {_said(error)}", OutcomeKind.MAIL_ERROR, reply)
        if isinstance(error, aiosmtplib.SMTPResponseException):
            reply = Reply("CONNECT", error.code, error.message)
            return MailTrouble(f"{where} refuses the conversation: {_said(error)}", OutcomeKind.MAIL_ERROR, reply)
        kind = OutcomeKind.CONNECT_ERROR
        if isinstance(error, aiosmtplib.SMTPTimeoutError | TimeoutError):
            kind = OutcomeKind.TIMEOUT
        elif isinstance(cause, ssl.SSLError):
            kind = OutcomeKind.TLS_ERROR
        elif isinstance(cause, socket.gaierror):
            kind = OutcomeKind.DNS_ERROR
        return MailTrouble(f"{where} cannot be spoken with: {_plain(str(error) or type(error).__name__)}", kind)

    def _where(self) -> str:
        return f"{self._literal()}:{self.port}"

    def _literal(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def _on_this_machine(self) -> bool:
        """Judged by what is written, not by what a name resolves to: names can be made to lie."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class MailConnection:
    """`how`: whether it is encrypted and logged in, for people. `peer`: the address that it was connected to."""

    def __init__(self, client: aiosmtplib.SMTP, sender: str, how: str, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._sender = sender
        self.how = how
        self.peer: str | None = (client.get_transport_info("peername") or (None,))[0]

    @property
    def open(self) -> bool:
        """As far as is known without asking."""
        return self._client.is_connected

    async def send(self, recipient: str, mail: bytes) -> Answer:
        """Hands one mail in.

        Args:
            recipient: as `on_the_wire` has it.
            mail: headers and body; in 7 bits, unless an address needs SMTPUTF8.
        """
        client, limit_s = self._client, self._timeout_s
        ascii_only = self._sender.isascii() and recipient.isascii()
        if not ascii_only and not client.supports_extension("smtputf8"):
            return Answer(Fate.REFUSED, "the mail server takes no addresses beyond ASCII")
        options = [f"SIZE={len(mail)}"] if client.supports_extension("size") else []
        if not ascii_only:
            options.append("SMTPUTF8")
        encoding = "ascii" if ascii_only else "utf-8"
        command = "MAIL"
        try:
            await client.mail(self._sender, options=options, encoding=encoding, timeout=limit_s)
            command = "RCPT"
            await client.rcpt(recipient, encoding=encoding, timeout=limit_s)
            command = "DATA"
            taken = await client.data(mail, timeout=limit_s)
        except aiosmtplib.SMTPResponseException as error:
            await self._reset()
            return self._judged(command, error, recipient)
        except ValueError:
            return Answer(Fate.REFUSED, "the recipient is no address that a mail server takes")
        except (aiosmtplib.SMTPException, OSError) as error:
            reason = f"the conversation broke off: {_plain(str(error))}"
            return Answer(Fate.LATER, reason, well=False, unsaid=command == "MAIL")
        return Answer(Fate.SENT, reply=Reply(command, taken.code, taken.message))

    def _judged(self, command: str, error: aiosmtplib.SMTPResponseException, recipient: str) -> Answer:
        reply = Reply(command, error.code, error.message)
        if command == "MAIL":
            # Every mail has the same sender: it is the server's set-up, and no reason to give this mail up.
            said = f"the sender is refused: {_said(error)}"
            return Answer(Fate.LATER, said, well=False, reply=reply, unsaid=error.code == _CLOSING)
        # The log names no address; servers like to repeat it.
        what = "the recipient is refused" if command == "RCPT" else "the mail is refused"
        reason = f"{what}: {_said(error)}".replace(recipient, "…")
        fate = Fate.REFUSED if 500 <= error.code < 600 else Fate.LATER
        return Answer(fate, reason, well=self._client.is_connected, reply=reply)

    async def _reset(self) -> None:
        """So that the next mail finds nothing of this one."""
        try:
            await self._client.rset(timeout=_QUIT_TIMEOUT_S)
        except (aiosmtplib.SMTPException, OSError):
            self.drop()

    async def quit(self) -> None:
        """Takes leave, as far as the server lets us."""
        try:
            await self._client.quit(timeout=_QUIT_TIMEOUT_S)
        except (aiosmtplib.SMTPException, OSError):
            pass
        finally:
            self.drop()

    def drop(self) -> None:
        """Hangs up at once. A mail that the server had not confirmed may have been taken all the same."""
        self._client.close()


def _literal_of(address: str) -> str:
    """How we greet (RFC 5321 §4.1.3): a name of ours that is right for everyone may not exist, our address does."""
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _said(error: aiosmtplib.SMTPResponseException) -> str:
    return _plain(f"{error.code} {error.message}")


def _plain(text: str) -> str:
    return " ".join(text.split())[:_REASON_LENGTH]
