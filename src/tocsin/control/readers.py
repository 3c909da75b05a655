"""Those who read a webhook's mails: they are asked before the first one, and may leave at any time. They have no key;
what they may is in the links that their mails hold.
"""

import msgspec
from msgspec.structs import replace

from tocsin import ids
from tocsin.clock import Clock
from tocsin.control.actor import Actor
from tocsin.control.consent import UNSUBSCRIBED, Consent
from tocsin.control.webhooks import Draft, WebhookControl
from tocsin.errors import Conflict, Fault, Invalid, NotFound
from tocsin.model import Account, AccountId, Webhook, WebhookId, WebhookSecrets, WebhookState
from tocsin.security.links import Grant, Links, Purpose
from tocsin.store.port import Accounts, WebhookEdit, Webhooks

READER = Actor(role="reader")


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """What a link about a webhook's mails is about."""

    account: Account
    webhook: Webhook


class ReaderControl:
    def __init__(
        self,
        *,
        control: WebhookControl,
        webhooks: Webhooks,
        accounts: Accounts,
        consent: Consent,
        links: Links,
        clock: Clock,
    ) -> None:
        self._control = control
        self._webhooks = webhooks
        self._accounts = accounts
        self._consent = consent
        self._links = links
        self._clock = clock

    # --- for the webhook's owner ------------------------------------------------------------------------------------

    async def ask_again(self, actor: Actor, account_id: AccountId, webhook_id: WebhookId) -> Webhook:
        """Has whoever reads at its address asked once more.

        Raises:
            NotFound: no such webhook.
            Conflict: `no_confirmation`: nobody needs to be asked; `confirmation_paced`; `changed_meanwhile`.
        """
        webhook = await self._control.get(account_id, webhook_id)
        if not webhook.settings.unconfirmed:
            raise Conflict("its address needs no confirmation", code="no_confirmation")
        notice = self._consent.ask(webhook, self._clock.now_ms())
        change = actor.change(notice.at, "webhook.confirmation_asked", ids.show("wh_", webhook_id))
        edit = WebhookEdit(if_version=webhook.version)
        stored = await self._webhooks.change(account_id, webhook_id, edit, change, notice)
        if stored is None:
            raise NotFound("there is no such webhook")
        self._control.tell(stored, notice)
        return stored

    async def confirm(self, actor: Actor, account_id: AccountId, webhook_id: WebhookId, code: str) -> Webhook:
        """Its reader agrees, by the code that was sent there. It becomes active, unless its owner had it otherwise.

        Args:
            code: the whole link will do.

        Raises:
            NotFound: no such webhook.
            Invalid: `code_invalid`.
        """
        await self._control.get(account_id, webhook_id)
        grant = self._links.read(code.strip().rpartition("/")[2], self._clock.now_ms())
        about = (Purpose.CONFIRM, account_id, webhook_id)
        if grant is None or (grant.purpose, grant.account_id, grant.subject) != about:
            raise _no_code()
        return await self._agree(actor, grant)

    # --- for whoever has a link -------------------------------------------------------------------------------------

    def grant(self, token: str) -> Grant | None:
        """What a link allows; None where it is none, or its time is over."""
        return self._links.read(token, self._clock.now_ms())

    async def subscription(self, grant: Grant) -> Subscription | None:
        """What it is about; None where the webhook is gone or has another address now."""
        webhook = await self._webhooks.get(grant.account_id, WebhookId(grant.subject))
        account = await self._accounts.get(grant.account_id)
        if webhook is None or account is None or not self._links.is_of(grant, webhook.settings.url_shown):
            return None
        return Subscription(account=account, webhook=webhook)

    async def use(self, grant: Grant, request_id: str) -> Webhook:
        """Does what a link is for: confirms, or leaves.

        Raises:
            NotFound: no such webhook.
            Invalid: `code_invalid`: it has another address now.
        """
        actor = replace(READER, request_id=request_id)
        return await (self._agree(actor, grant) if grant.purpose is Purpose.CONFIRM else self._leave(actor, grant))

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _agree(self, actor: Actor, grant: Grant) -> Webhook:
        def draft(webhook: Webhook, secrets: WebhookSecrets) -> Draft:
            self._check_address(grant, secrets)
            settings = webhook.settings
            agreed = replace(settings, confirmed_at=self._clock.now_ms()) if settings.unconfirmed else settings
            return agreed, secrets

        webhook_id = WebhookId(grant.subject)
        return await self._control.edit(
            actor, grant.account_id, webhook_id, draft, action="webhook.confirmed", goes_on=True
        )

    async def _leave(self, actor: Actor, grant: Grant) -> Webhook:
        """It is disabled, and enabling it takes its reader's consent anew."""

        def draft(webhook: Webhook, secrets: WebhookSecrets) -> Draft:
            self._check_address(grant, secrets)
            return replace(webhook.settings, confirmed_at=None), secrets

        return await self._control.edit(
            actor,
            grant.account_id,
            WebhookId(grant.subject),
            draft,
            action="webhook.left",
            state=WebhookState.DISABLED,
            reason=UNSUBSCRIBED,
        )

    def _check_address(self, grant: Grant, secrets: WebhookSecrets) -> None:
        if not self._links.is_of(grant, secrets.url):
            raise _no_code()


def _no_code() -> Invalid:
    return Invalid(
        "the code is not the one that was sent to this address, or its time is over",
        code="code_invalid",
        faults=[Fault("/code", "copy it from the newest mail; asking without a code has another one sent")],
    )
