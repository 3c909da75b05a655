"""A mail server on loopback that keeps what it is given, and answers as a test tells it to.

with MailHost() as host:
    host.script("RCPT", "450 4.2.1 busy", DROP)
    …
    [mail] = host.wait_for(1)
"""

import asyncio
import ssl
import threading
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.waiting import until

HANG = "hang"  # no answer, until the server ends
DROP = "drop"  # the connection is cut
TAKE = "250 taken"


@dataclass(frozen=True)
class Mail:
    sender: str
    recipient: str
    raw: bytes
    options: tuple[str, ...]  # of MAIL
    tls: bool
    user: str | None
    greeting: str  # of EHLO
    connection: int

    @property
    def message(self) -> EmailMessage:
        message = message_from_bytes(self.raw, policy=default)
        assert isinstance(message, EmailMessage)
        return message

    def part(self, kind: str) -> str:
        body = self.message.get_body((kind,))
        assert body is not None
        return body.get_content()


class MailHost:
    """Args:
    tls: what to encrypt with: from the start where `implicit`, else after STARTTLS.
    users: who may log in, with passwords; None: nobody has to. Without `tls` they may in the clear: it is the client
        that must not.
    """

    def __init__(
        self, *, tls: ssl.SSLContext | None = None, implicit: bool = False, users: Mapping[str, str] | None = None
    ) -> None:
        self.mails: list[Mail] = []
        self.connections = 0
        self.logins: list[bytes] = []  # passwords that were shown to it
        self.port = 0
        self.silent = False  # takes connections and says nothing
        self.utf8 = True
        self.most: int | None = None  # connections at once; more are turned away
        self._tls = tls
        self._implicit = implicit
        self._users = users
        self._scripts: dict[str, deque[str]] = defaultdict(deque)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mail-host")
        self._server: asyncio.Server | None = None
        self._open: set[SMTP] = set()

    def script(self, command: str, *answers: str) -> None:
        """What the next ``MAIL``, ``RCPT`` or ``DATA`` are answered; after these, as a mail server should."""
        self._scripts[command].extend(answers)

    def url(self, user: str = "", *, host: str = "127.0.0.1", options: str = "") -> str:
        scheme = "smtps" if self._implicit else "smtp"
        login = f"{user}@" if user else ""
        return f"{scheme}://{login}{host}:{self.port}/?from=tocsin@example.com{options}"

    def wait_for(self, n: int, within_s: float = 15.0) -> list[Mail]:
        until(lambda: len(self.mails) >= n, lambda: f"{n} mails, but {len(self.mails)}", within_s)
        return list(self.mails)

    # --- life -------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await self._loop.create_server(
            self._accept, "127.0.0.1", self.port, ssl=self._tls if self._implicit else None
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for smtp in self._open:
            if smtp.transport is not None:
                smtp.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # connections that were hung up are let go in the turns after

    def _accept(self) -> asyncio.Protocol:
        self.connections += 1
        if self.silent:
            return asyncio.Protocol()
        still = sum(smtp.transport is not None and not smtp.transport.is_closing() for smtp in self._open)
        if self.most is not None and still >= self.most:
            return _Full()
        smtp = SMTP(
            _Desk(self, self.connections),
            hostname="mail.test",
            loop=self._loop,
            enable_SMTPUTF8=self.utf8,
            tls_context=None if self._implicit else self._tls,
            authenticator=self._judge if self._users is not None else None,
            auth_required=self._users is not None,
            auth_require_tls=self._tls is not None and not self._implicit,
            auth_exclude_mechanism=() if self._users is not None else ("LOGIN", "PLAIN"),
        )
        self._open.add(smtp)
        return smtp

    def _judge(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: Any) -> AuthResult:
        assert isinstance(login, LoginPassword)
        self.logins.append(login.password)
        assert self._users is not None
        known = self._users.get(login.login.decode())
        session.user = login.login.decode()  # type: ignore[attr-defined]
        return AuthResult(success=known is not None and known.encode() == login.password, handled=False)

    async def answer(self, command: str, smtp: SMTP) -> str:
        script = self._scripts[command]
        answer = script.popleft() if script else TAKE
        if answer == HANG:
            await asyncio.Event().wait()
        if answer == DROP:
            assert smtp.transport is not None
            smtp.transport.abort()
        return answer


class _Full(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"421 4.7.0 too many connections\r\n")
        transport.close()


class _Desk:
    """What aiosmtpd asks, for one connection."""

    def __init__(self, host: MailHost, connection: int) -> None:
        self._host = host
        self._connection = connection

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, smtp: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = await self._host.answer("MAIL", smtp)
        if answer == TAKE:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return answer

    async def handle_RCPT(  # noqa: N802
        self, smtp: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = await self._host.answer("RCPT", smtp)
        if answer == TAKE:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, smtp: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = await self._host.answer("DATA", smtp)
        if answer == TAKE:
            assert isinstance(envelope.content, bytes)
            [recipient] = envelope.rcpt_tos
            self._host.mails.append(
                Mail(
                    sender=envelope.mail_from or "",
                    recipient=recipient,
                    raw=envelope.content,
                    options=tuple(envelope.mail_options),
                    tls=smtp.transport is not None and smtp.transport.get_extra_info("sslcontext") is not None,
                    user=getattr(session, "user", None),
                    greeting=session.host_name or "",
                    connection=self._connection,
                )
            )
        return answer
