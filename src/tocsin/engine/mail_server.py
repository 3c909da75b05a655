"""The operator's own mail server: one connection over which mails go out, and what its answers mean.

The second and last door to the network. It leads to `TOCSIN_SMTP_URL` only, which the operator chose and which often is
on the inside; so the outbound guard, which protects the inside from addresses that users choose, does not judge it.
"""

import ipaddress
import ssl
from enum import StrEnum
from urllib.parse import unquote, urlsplit

import aiosmtplib
import certifi
import msgspec

from tocsin.errors import Misconfigured

# A mail server answers within seconds. RFC 5321 §4.5.3.2 lets one think for minutes about a mail; what it has not
# taken after four times as long is tried again under the same Message-ID.
TIMEOUT_S = 30.0
_MAIL_TIMEOUTS = 4
_QUIT_TIMEOUT_S = 5.0
_REASON_LENGTH = 300

# Quoted names, comments, groups, lists: what RFC 5322 allows and nobody has.
_NOT_IN_ADDRESSES = frozenset('<>"(),;\\')

_FORM = "write smtp://user:password@mail.example.com:587/?from=tocsin@example.com, or smtps://…"


class MailTrouble(Exception):
    """No mail can be handed to the server now; `str` is one plain sentence without credentials."""


class Fate(StrEnum):
    """What became of one mail."""

    SENT = "sent"  # the server took it
    LATER = "later"  # it may be taken another time
    REFUSED = "refused"  # this very mail, for good


class Answer(msgspec.Struct, frozen=True):
    """`well` False: whatever this mail is at, the server or its connection is not well either."""

    fate: Fate
    reason: str = ""
    well: bool = True


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
            raise MailTrouble(self._trouble(error)) from error
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

    def _trouble(self, error: Exception) -> str:
        where = self._where()
        cause = error.__cause__ if isinstance(error, aiosmtplib.SMTPConnectError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {where} is not trusted: {cause.verify_message.rstrip('.')}; its authority can be "
                "given in TOCSIN_SMTP_CA_FILE"
            )
        if isinstance(error, aiosmtplib.SMTPAuthenticationError):
            return f"{where} refuses the login: {_said(error)}"
        if isinstance(error, aiosmtplib.SMTPResponseException):
            return f"{where} refuses the conversation: {_said(error)}"
        return f"{where} cannot be spoken with: {_plain(str(error) or type(error).__name__)}"

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
    """`how`: whether it is encrypted and logged in, for people."""

    def __init__(self, client: aiosmtplib.SMTP, sender: str, how: str, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._sender = sender
        self.how = how

    async def send(self, recipient: str, mail: bytes) -> Answer:
        """Hands one mail in.

        Args:
            recipient: as `on_the_wire` has it.
            mail: headers and body; in 7 bits, unless an address needs SMTPUTF8.
        """
        utf8 = not (self._sender.isascii() and recipient.isascii())
        try:
            await self._client.sendmail(
                self._sender,
                [recipient],
                mail,
                mail_options=["SMTPUTF8"] if utf8 else [],
                timeout=self._timeout_s,
            )
        except aiosmtplib.SMTPSenderRefused as error:
            # Every mail has the same sender: it is the server's set-up, and no reason to give this mail up.
            return Answer(Fate.LATER, f"the sender is refused: {_said(error)}", well=False)
        except aiosmtplib.SMTPRecipientsRefused as error:
            return self._judged("the recipient is refused", error.recipients[0], recipient)
        except aiosmtplib.SMTPDataError as error:
            return self._judged("the mail is refused", error, recipient)
        except aiosmtplib.SMTPNotSupported:
            return Answer(Fate.REFUSED, "the mail server takes no addresses beyond ASCII")
        except ValueError:
            return Answer(Fate.REFUSED, "the recipient is no address that a mail server takes")
        except (aiosmtplib.SMTPException, OSError) as error:
            return Answer(Fate.LATER, f"the conversation broke off: {_plain(str(error))}", well=False)
        return Answer(Fate.SENT)

    def _judged(self, what: str, error: aiosmtplib.SMTPResponseException, recipient: str) -> Answer:
        # The log names no address; servers like to repeat it.
        reason = f"{what}: {_said(error)}".replace(recipient, "…")
        fate = Fate.REFUSED if 500 <= error.code < 600 else Fate.LATER
        return Answer(fate, reason, well=self._client.is_connected)

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


def on_the_wire(address: str) -> str:
    """An address as mail servers know it: the domain in ASCII (IDNA). Raises `ValueError` where it is none, or where
    it holds what could be taken for more than an address.
    """
    local, _, domain = address.rpartition("@")
    if not domain.isascii():
        domain = domain.encode("idna").decode()
    found = f"{local}@{domain}"
    if (
        not (local and domain)
        or "@" in local
        or "=?" in found  # an encoded word: headers would decode it
        or any(c in _NOT_IN_ADDRESSES or c.isspace() or not c.isprintable() for c in found)
    ):
        raise ValueError("no address")
    return found


def _literal_of(address: str) -> str:
    """How we greet (RFC 5321 §4.1.3): a name of ours that is right for everyone may not exist, our address does."""
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _said(error: aiosmtplib.SMTPResponseException) -> str:
    return _plain(f"{error.code} {error.message}")


def _plain(text: str) -> str:
    return " ".join(text.split())[:_REASON_LENGTH]
