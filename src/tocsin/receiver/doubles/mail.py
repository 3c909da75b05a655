"""A mail server with mailboxes to look into: SMTP on one port, the page on another."""

import asyncio
import ssl
import warnings
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any, ClassVar
from urllib.parse import quote

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tocsin.clock import Clock
from tocsin.receiver.doubles.double import Double, Failure, Request, Ruling
from tocsin.receiver.doubles.history import KEPT, Raw, Refused, Shown
from tocsin.receiver.doubles.mail_errors import CUT, ERRORS, MailFailure, Stage
from tocsin.receiver.doubles.mail_view import fault, part, read, view
from tocsin.receiver.hosting.asgi import Reply

_MAX_MAIL_BYTES = 10 << 20  # alerts have some 20 kB; Gmail takes 25 MB
_CLOSING = 421  # RFC 5321 §4.2.3: the server ends the conversation
_LAST_WORDS_S = 0.02  # in which the answer goes out before
_FRAME = "/_double/mail/"
# Of a mail's HTML part: its own styles, no script, no picture from elsewhere, no rights at all.
_FRAME_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox"
)


class MailDouble(Double):
    """Args:
    smtp_port: 0 takes a free one; `port` is the page's.
    tls: offers STARTTLS with it, or speaks TLS from the start where `implicit`.
    users: who may log in, with passwords, and nobody sends without; None: nobody has to.
    mailboxes: whose mail is taken; None: everybody's.
    utf8: whether it offers SMTPUTF8.
    """

    service: ClassVar[str] = "smtp"
    name: ClassVar[str] = "a mail client"
    title: ClassVar[str] = "Inbox"
    ERRORS: ClassVar[Mapping[str, Failure]] = ERRORS

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        smtp_port: int = 0,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        users: Mapping[str, str] | None = None,
        mailboxes: tuple[str, ...] | None = None,
        utf8: bool = True,
        clock: Clock | None = None,
        rate_limits: bool = True,
        kept: int = KEPT,
    ) -> None:
        super().__init__(host, port, clock=clock, rate_limits=rate_limits, kept=kept)
        self.smtp_port = smtp_port
        self._tls = tls
        self.implicit = implicit
        self._users = users
        self._mailboxes = mailboxes
        self._utf8 = utf8
        self._count = 0
        self._server: asyncio.Server | None = None
        self._open: set[SMTP] = set()

    @property
    def address(self) -> str:
        return f"mailto:{self._mailboxes[0] if self._mailboxes else 'alerts@example.com'}"

    @property
    def smtp_url(self) -> str:
        """What to set as `TOCSIN_SMTP_URL`."""
        host = self._host.host
        scheme = "smtps" if self.implicit else "smtp"
        user, password = next(iter(self._users.items())) if self._users else ("", "")
        login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
        where = f"[{host}]" if ":" in host else host
        return f"{scheme}://{login}{where}:{self.smtp_port}/?from=tocsin@example.com"

    def message(self, shown: Shown) -> EmailMessage:
        """The mail, taken apart."""
        return read(shown.raw.body)

    # --- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._accept, self._host.host, self.smtp_port, ssl=self._tls if self.implicit else None
        )
        self.smtp_port = self._server.sockets[0].getsockname()[1]
        try:
            await super().start()
        except OSError:
            self._server.close()
            raise

    async def stop(self) -> None:
        await super().stop()
        if self._server is not None:
            self._server.close()
        for smtp in self._open:
            cut(smtp)
        await asyncio.sleep(0.01)  # connections that were hung up are let go in the turns after

    def _accept(self) -> asyncio.Protocol:
        with warnings.catch_warnings():
            # Without TLS, passwords are shown to this machine only, as whoever started it wanted.
            warnings.filterwarnings("ignore", "Requiring AUTH while not requiring TLS", UserWarning)
            smtp = self._speaker()
        self._open = {one for one in self._open if one.transport is not None and not one.transport.is_closing()}
        self._open.add(smtp)
        return smtp

    def _speaker(self) -> SMTP:
        return SMTP(
            _Desk(self),
            hostname="mail.example.com",
            ident="ESMTP",
            data_size_limit=_MAX_MAIL_BYTES,
            enable_SMTPUTF8=self._utf8,
            tls_context=None if self.implicit else self._tls,
            require_starttls=False,
            authenticator=self._judge if self._users is not None else None,
            auth_required=self._users is not None,
            auth_require_tls=self._tls is not None and not self.implicit,
            auth_exclude_mechanism=() if self._users is not None else ("LOGIN", "PLAIN"),
        )

    # --- mails ------------------------------------------------------------------------------------------------------

    def _judge(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: Any) -> AuthResult:  # noqa: ARG002 - aiosmtpd calls it so
        told = self.told_at("AUTH")
        if told is not None:
            self.refuse(told[0], told[1].body, Raw(method="AUTH", path="", headers=(), body=b""))
            return AuthResult(success=False, handled=False, message=told[1].body)
        known = self._users.get(login.login.decode()) if self._users and isinstance(login, LoginPassword) else None
        right = known is not None and known.encode() == login.password
        if not right:
            self.refuse("auth_failed", ERRORS["auth_failed"].body, Raw(method="AUTH", path="", headers=(), body=b""))
        return AuthResult(success=right, handled=False, message=None if right else ERRORS["auth_failed"].body)

    def told_at(self, stage: Stage) -> tuple[str, MailFailure] | None:
        """What it was told to answer next, if it is this command that is answered so."""
        if not self._told:
            return None
        name = self._told[0].name
        if ERRORS[name].stage != stage:
            return None
        self._used()
        return name, ERRORS[name]

    def knows(self, recipient: str) -> bool:
        return self._mailboxes is None or recipient.lower() in {one.lower() for one in self._mailboxes}

    def keep(self, envelope: Envelope, raw: Raw) -> str:
        """Its number, as servers tell it."""
        self._count += 1
        message = read(raw.body)
        self.take(
            Shown(
                id=str(self._count),
                at=self.now(),
                chat=", ".join(envelope.rcpt_tos),
                sender=_name(message) or envelope.mail_from or "",
                blocks=(view(message, f"{_FRAME}{self._count}"),),
                raw=raw,
            )
        )
        return f"{self._count:010X}"

    def refuse(self, name: str, said: str, raw: Raw, why: str = "") -> None:
        meaning = ERRORS[name].meaning
        self.history.add(
            Refused(at=self.now(), status=int(said[:3] or 0), name=name, why=why or meaning, body=said, raw=raw)
        )

    # --- the page ---------------------------------------------------------------------------------------------------

    def _told_to(self) -> Ruling | None:
        """It is mails that it was told of."""
        return None

    def _about(self) -> Mapping[str, Any]:
        return {**super()._about(), "address": self.smtp_url}

    def rule(self, request: Request) -> Ruling:
        """The HTML part of a mail, for the page's frame."""
        if request.method == "GET" and request.path.startswith(_FRAME):
            for shown in self.messages:
                if shown.id == request.path.removeprefix(_FRAME):
                    return Ruling(reply=_framed(part(self.message(shown), "html")))
        return Ruling(reply=Reply(status=404))


def _framed(html: str) -> Reply:
    headers = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", _FRAME_POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-store"),
    )
    return Reply(headers=headers, body=html.encode("utf-8", "replace"))


def _name(message: EmailMessage) -> str:
    addresses = getattr(message["From"], "addresses", ())
    return str(addresses[0].display_name or addresses[0].addr_spec) if addresses else ""


def cut(smtp: SMTP) -> None:
    if isinstance(smtp.transport, asyncio.WriteTransport):
        smtp.transport.abort()


class _Desk:
    """What aiosmtpd asks, for one connection."""

    def __init__(self, double: MailDouble) -> None:
        self._double = double

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, smtp: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        refused = await self._refusal("MAIL", smtp, session, envelope)
        if refused is not None:
            return refused
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self,
        smtp: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],  # noqa: ARG002 - as above
    ) -> str:
        refused = await self._refusal("RCPT", smtp, session, envelope, address)
        if refused is None and not self._double.knows(address):
            refused = self._refused("unknown_user", session, envelope, address)
        if refused is not None:
            return refused
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, smtp: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        refused = await self._refusal("DATA", smtp, session, envelope)
        if refused is not None:
            return refused
        raw = self._raw(session, envelope)
        why = fault(raw.body, utf8="SMTPUTF8" in envelope.mail_options)
        if why:
            return self._refused("malformed", session, envelope, why=why)
        return f"250 2.0.0 Ok: queued as {self._double.keep(envelope, raw)}"

    async def _refusal(
        self, stage: Stage, smtp: SMTP, session: Session, envelope: Envelope, recipient: str = ""
    ) -> str | None:
        told = self._double.told_at(stage)
        if told is None:
            return None
        name, failure = told
        said = self._refused(name, session, envelope, recipient)
        if name == CUT:
            cut(smtp)
        elif failure.status == _CLOSING and smtp.transport is not None:
            asyncio.get_running_loop().call_later(_LAST_WORDS_S, smtp.transport.close)
        elif not failure.status:
            await asyncio.Event().wait()  # until the connection is lost, with which this ends
        return said

    def _refused(self, name: str, session: Session, envelope: Envelope, recipient: str = "", why: str = "") -> str:
        said = ERRORS[name].body
        self._double.refuse(name, said, self._raw(session, envelope, recipient), why)
        return said

    def _raw(self, session: Session, envelope: Envelope, recipient: str = "") -> Raw:
        headers = [("EHLO", session.host_name or ""), ("MAIL FROM", envelope.mail_from or "")]
        headers += [("MAIL option", option) for option in envelope.mail_options]
        headers += [("RCPT TO", one) for one in envelope.rcpt_tos]
        headers += [("TLS", "yes" if session.ssl is not None or self._double.implicit else "no")]
        body = envelope.content if isinstance(envelope.content, bytes) else b""
        to = recipient or ", ".join(envelope.rcpt_tos)
        return Raw(method="DATA", path=to, headers=tuple(headers), body=body)
