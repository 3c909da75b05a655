"""Sends the notices that the store holds by e-mail: to the owners of webhooks, and to readers who are to agree.

    change of a webhook ──one transaction──▶ notice ──due──▶ compose ──▶ mail server ──▶ removed

A notice is removed when the server has taken its mail, so a crash between the two sends it twice, never not at all;
both bear the same Message-ID, by which mailboxes know the second as the first.

What goes wrong with one mail postpones that mail; what goes wrong with the server pauses all of them. A notice ends
unsent where the server refuses it for good, where it is no longer true (the webhook was enabled again, or deleted),
where the account names nobody to tell, and once it is `KEPT_MS` old. Without a mail server none is written: one that is
set up later must not begin with old news.
"""

import asyncio
import logging
from typing import NamedTuple
from urllib.parse import unquote

from tocsin import failpoints, ids, profiles
from tocsin.channels.mail_address import SCHEME
from tocsin.clock import Clock, Millis
from tocsin.engine.cluster.tenure import Tenure
from tocsin.engine.mail.confirmations import asks
from tocsin.engine.mail.door import MailDoor
from tocsin.engine.mail.notices import compose
from tocsin.engine.mail.server import Answer, Fate, MailTrouble, on_the_wire
from tocsin.errors import Misconfigured, TocsinError
from tocsin.ids import IdSource
from tocsin.model import Account, Notice, NoticeId, NoticeKind, Webhook, WebhookState
from tocsin.security.links import Links
from tocsin.store.port import Accounts, Notices, Webhooks
from tocsin.telemetry import Metrics

log = logging.getLogger(__name__)

# A mail server that fails on a Friday evening and is mended on Monday still has something to tell.
KEPT_MS = 3 * 86_400_000

# Waits of one mail that was put off: a greylisting server wants minutes, a full mailbox hours.
_WAITS_S = (60, 300, 900, 1_800, 3_600)

# Waits of all mails, after the server itself was not well; begins anew with each mail that it takes.
_PAUSES_S = (10, 30, 60, 300, 900)

_BATCH = 50
_LOOK_S = 10.0  # at the latest, so that what another process has written, or a change of the clock, is noticed
_DEFECT_S = 60.0
_STORE_WAIT_S = 10.0
_GRACE_S = 2.0  # what a stop leaves the mail under way: most are through in less, and need not be sent twice


class Mailer:
    """Works on one event loop; no more than one mail is on its way.

    Args:
        door: where it leads to no server, no notice is written and none is sent.
        public_url: where the API is reached from outside, for links.
    """

    def __init__(
        self,
        *,
        door: MailDoor,
        notices: Notices,
        accounts: Accounts,
        webhooks: Webhooks,
        tenure: Tenure,
        clock: Clock,
        id_source: IdSource,
        metrics: Metrics,
        public_url: str | None,
        links: Links,
    ) -> None:
        self._door = door
        self._notices = notices
        self._accounts = accounts
        self._webhooks = webhooks
        self._tenure = tenure
        self._clock = clock
        self._id_source = id_source
        self._metrics = metrics
        self._links = links
        self._public_url = (public_url or "").rstrip("/")
        self._written = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._failures = 0  # of the server, in a row
        self._paused_until = Millis(0)
        self._trouble = "the mail server was not asked in time"  # what went wrong last
        self._gone: set[NoticeId] = set()  # done with, but the store could not forget them yet

    def start(self) -> None:
        self._stopping = False
        if self._door.server is not None:
            self._task = asyncio.create_task(self._run(), name="mailer")

    async def stop(self) -> None:
        """Ends with the mail under way, or after `_GRACE_S` without it; the rest waits in the store."""
        self._stopping = True
        self._written.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_GRACE_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # --- for whoever changes webhooks -------------------------------------------------------------------------------

    def draft(self, webhook: Webhook, kind: NoticeKind, reason: str, at: Millis) -> Notice | None:
        """The notice to write with a change; None where nobody could be told."""
        if self._door.server is None:
            return None
        return Notice(
            id=NoticeId(self._id_source.next()),
            account_id=webhook.account_id,
            webhook_id=webhook.id,
            kind=kind,
            reason=reason,
            at=at,
        )

    def wake(self) -> None:
        """A notice was written."""
        self._written.set()

    # --- sending ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._stopping:
            self._written.clear()
            try:
                again_at = await self.send_due()
            except TocsinError as error:
                log.warning("notices_wait", extra={"reason": error.detail})
                await self._rest(_STORE_WAIT_S)
                continue
            except Exception:
                log.exception("mailer_failed")  # a defect; what is due stays so
                await self._rest(_DEFECT_S)
                continue
            await self._rest(_LOOK_S if again_at is None else min((again_at - self._clock.now_ms()) / 1000, _LOOK_S))

    async def _rest(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, wait_s)):
                await self._written.wait()
        except TimeoutError:
            pass

    async def send_due(self) -> Millis | None:
        """Sends what is due, one mail after the other. While the server is paused, does nothing.

        Returns:
            When there is something to do again; None: when a notice is written.
        """
        server = self._door.server
        if server is None or not self._may:
            return None
        if self._clock.now_ms() < self._paused_until:
            return self._paused_until
        try:
            while self._may and (batch := await self._notices.due(self._clock.now_ms(), _BATCH)):
                for notice in batch:
                    if self._may:
                        await self._send(server.sender, notice)
        except MailTrouble as trouble:
            self._pause(str(trouble))
            return self._paused_until
        return await self._notices.next_due() if self._may else None

    @property
    def _may(self) -> bool:
        """A process that was frozen must not send what others have sent meanwhile, before it knows of that."""
        return not self._stopping and self._tenure.leads(self._clock.monotonic_s())

    async def _send(self, sender: str, notice: Notice) -> None:
        """Raises `MailTrouble` where the server is not well; a mail that it was not asked to take stays due."""
        if notice.id in self._gone:
            await self._forget(notice)
            return
        if self._clock.now_ms() - notice.at > KEPT_MS:
            webhook, named = _ids(notice)
            log.warning("notice_dropped", extra={"webhook": webhook, "notice": named, "reason": self._trouble})
            self._metrics.notice_ended("expired")
            await self._forget(notice)
            return
        to = await self._told(notice)
        if to is None:
            self._metrics.notice_ended("moot")
            await self._forget(notice)
            return
        try:
            recipient = on_the_wire(to.address)
        except ValueError:
            answer = Answer(Fate.REFUSED, "the address is none that a mail server takes")
        else:
            mail = self._worded(notice, to, sender, recipient)
            failpoints.reach("before_mail")
            answer = await self._handed_in(recipient, mail)
            failpoints.reach("after_mail")
        await self._settle(notice, answer)
        if not answer.well:
            raise MailTrouble(answer.reason)

    def _worded(self, notice: Notice, to: "_Told", sender: str, recipient: str) -> bytes:
        if notice.kind is NoticeKind.CONFIRM:
            return asks(notice, to.account, to.webhook, links=self._links, sender=sender, recipient=recipient)
        mail = compose(
            notice,
            to.account,
            to.webhook,
            sender=sender,
            recipient=recipient,
            public_url=self._public_url,
            disabled_after_s=_disabled_after_s(to.account),
        )
        return mail.as_bytes()

    async def _handed_in(self, recipient: str, mail: bytes) -> Answer:
        try:
            return await self._door.hand_in(recipient, mail)
        except MailTrouble:
            self._metrics.mail_failures += 1
            raise

    async def _told(self, notice: Notice) -> "_Told | None":
        """Whom to tell, and of what; None where there is nobody, or nothing to tell any more."""
        webhook = await self._webhooks.get(notice.account_id, notice.webhook_id)
        account = await self._accounts.get(notice.account_id)
        if webhook is None or account is None:
            return None
        if notice.kind is NoticeKind.CONFIRM:
            address = webhook.settings.url_shown.removeprefix(SCHEME)
            return _Told(account, webhook, unquote(address)) if webhook.settings.unconfirmed else None
        if account.notify_email is None:
            return None
        if notice.kind is NoticeKind.FAILING:
            still_so = webhook.state is WebhookState.ACTIVE
        else:
            still_so = webhook.state == notice.kind.value and webhook.status_since == notice.at
        return _Told(account, webhook, account.notify_email) if still_so else None

    async def _settle(self, notice: Notice, answer: Answer) -> None:
        webhook, named = _ids(notice)
        if answer.fate is Fate.LATER:
            self._metrics.mail_failures += 1
            self._trouble = answer.reason
            wait_s = _WAITS_S[min(notice.tries, len(_WAITS_S) - 1)]
            log.warning(
                "notice_postponed",
                extra={"webhook": webhook, "notice": named, "reason": answer.reason, "wait_s": wait_s},
            )
            await self._notices.postpone(notice, Millis(self._clock.now_ms() + wait_s * 1000))
            return
        self._failures = 0
        if answer.fate is Fate.SENT:
            log.info("notice_sent", extra={"webhook": webhook, "notice": named, "kind": notice.kind.value})
        else:
            log.warning("notice_refused", extra={"webhook": webhook, "notice": named, "reason": answer.reason})
        self._metrics.notice_ended(answer.fate.value)
        await self._forget(notice)

    async def _forget(self, notice: Notice) -> None:
        """While the store cannot, it is remembered that this one must not go out again."""
        self._gone.add(notice.id)
        await self._notices.remove(notice)
        self._gone.discard(notice.id)

    def _pause(self, reason: str) -> None:
        pause_s = _PAUSES_S[min(self._failures, len(_PAUSES_S) - 1)]
        self._failures += 1
        self._paused_until = Millis(self._clock.now_ms() + pause_s * 1000)
        self._trouble = reason
        log.warning("mail_paused", extra={"reason": reason, "wait_s": pause_s})


class _Told(NamedTuple):
    account: Account
    webhook: Webhook
    address: str


def _ids(notice: Notice) -> tuple[str, str]:
    return ids.show("wh_", notice.webhook_id), ids.show("ntc_", notice.id)


def _disabled_after_s(account: Account) -> float | None:
    try:
        return profiles.load(account.profile).disable.failing_for_s
    except Misconfigured:  # a dialect of the operator's own that is no longer there
        return None
