"""E-mail to the owners of webhooks: what has gone wrong with one, and how to set it right.

The second and last door to the network: it opens only to the operator's own mail server (`TOCSIN_SMTP_URL`). A notice
is what the API shows anyway, said once more, so it is kept in memory only; a mail server that does not answer is asked
again for some hours.
"""

import asyncio
import logging
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import aiosmtplib

from tocsin import ids
from tocsin.errors import Misconfigured
from tocsin.model import Account, Webhook

log = logging.getLogger(__name__)

_WAITING_MAX = 1_000
_RETRIES_S = (30.0, 300.0, 1_800.0, 7_200.0)
_TIMEOUT_S = 30.0


class Mailer:
    """Sends notices one after another; without a mail server it only logs that there is something to say.

    Args:
        url: ``smtp://user:password@host:587/?from=tocsin@example.com`` (STARTTLS where offered) or ``smtps://…``.
        public_url: where the dashboard and API are reached from outside, for links.
    """

    def __init__(self, url: str | None, public_url: str | None) -> None:
        self._public_url = (public_url or "").rstrip("/")
        self._queue: asyncio.Queue[EmailMessage] = asyncio.Queue(_WAITING_MAX)
        self._task: asyncio.Task[None] | None = None
        self._server = None if url is None else _Server(url)

    def start(self) -> None:
        if self._server is not None:
            self._task = asyncio.create_task(self._run(self._server), name="mailer")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def webhook_warned(self, account: Account, webhook: Webhook, reason: str) -> None:
        self._notify(account, webhook, "is failing", reason, "It will be disabled if this goes on.")

    def webhook_stopped(self, account: Account, webhook: Webhook, reason: str) -> None:
        advice = "Its deliveries wait and nothing is lost: once the receiver is well again, enable the webhook."
        self._notify(account, webhook, f"was {webhook.state}", reason, advice)

    def _notify(self, account: Account, webhook: Webhook, what: str, reason: str, advice: str) -> None:
        if self._server is None or account.notify_email is None:
            return
        name = webhook.settings.name or ids.show("wh_", webhook.id)
        message = EmailMessage()
        message["From"] = self._server.sender
        message["To"] = account.notify_email
        message["Subject"] = f"Webhook {name} {what}".replace("\r", " ").replace("\n", " ")
        lines = [
            f"The webhook {name} of {account.name} {what}.",
            "",
            f"Why: {reason}",
            f"Address: {webhook.settings.url_shown}",
            f"Id: {ids.show('wh_', webhook.id)}",
            "",
            advice,
        ]
        if self._public_url:
            lines += ["", f"{self._public_url}/v1/webhooks/{ids.show('wh_', webhook.id)}"]
        message.set_content("\n".join(lines))
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            log.warning("notice_dropped", extra={"webhook": ids.show("wh_", webhook.id)})

    async def _run(self, server: "_Server") -> None:
        while True:
            message = await self._queue.get()
            for wait_s in (*_RETRIES_S, None):
                try:
                    await server.send(message)
                    break
                except (aiosmtplib.SMTPException, OSError) as error:
                    log.warning("notice_unsent", extra={"reason": str(error)})
                    if wait_s is None or isinstance(error, aiosmtplib.SMTPRecipientsRefused):
                        break
                    await asyncio.sleep(wait_s)


class _Server:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise Misconfigured("TOCSIN_SMTP_URL is no smtp://user:password@host:587/?from=… or smtps://… address")
        self._host = parts.hostname
        self._tls = parts.scheme == "smtps"
        self._port = parts.port or (465 if self._tls else 587)
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        named = [value for name, _, value in (pair.partition("=") for pair in parts.query.split("&")) if name == "from"]
        self.sender = unquote(named[0]) if named else (self._user or f"tocsin@{self._host}")

    async def send(self, message: EmailMessage) -> None:
        await aiosmtplib.send(
            message,
            hostname=self._host,
            port=self._port,
            username=self._user,
            password=self._password,
            use_tls=self._tls,
            timeout=_TIMEOUT_S,
        )
