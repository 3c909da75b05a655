"""What decides an account's routing, compiled and kept in memory, as fresh as the store.

A view is loaded whole, in one read, and thrown away when its account changes. One that another process's change has
made stale is found out: by the commit of what was decided by it, which compares `config_version`; and by `outdated`,
which is asked before anything is refused by it, or done for a person.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from zoneinfo import ZoneInfo

import msgspec

from tocsin import errors, ids
from tocsin.engine.filtering.filters import Filter, compile_filter
from tocsin.engine.rendering import Target, target
from tocsin.errors import Invalid, ProfileMissing
from tocsin.model import OWN_TYPES, Account, AccountId, Webhook, WebhookId, WebhookSecrets, WebhookState
from tocsin.profiles import CatalogueEntry, Profile
from tocsin.profiles import load as load_profile
from tocsin.profiles import names as profile_names
from tocsin.profiles.schemas import compile_schema
from tocsin.security.links import Links
from tocsin.security.vault import Vault
from tocsin.store.port import Accounts, Snapshot, Snapshots
from tocsin.triggers.settings import TriggerSettings

log = logging.getLogger(__name__)

# An account of one webhook takes about 1 KB here, and reading one anew costs as much as an event. Ten thousand busy
# accounts fit.
MAX_VIEWS = 16_384

_secrets_decoder = msgspec.json.Decoder(WebhookSecrets)


class WebhookView:
    """A webhook with its filter compiled and its secrets opened."""

    __slots__ = ("filter", "secrets", "target", "usable", "webhook")

    def __init__(
        self, account: Account, profile: Profile, webhook: Webhook, secrets: WebhookSecrets, links: Links | None
    ) -> None:
        self.webhook = webhook
        self.secrets = secrets
        self.filter: Filter | None = None
        self.usable = True  # a filter that an older version took and this one refuses takes nothing
        if webhook.settings.filter is not None:
            try:
                self.filter = compile_filter(webhook.settings.filter)
            except Invalid as error:
                self.usable = False
                log.warning("filter_unusable", extra={"webhook": ids.show("wh_", webhook.id), "reason": error.detail})
        self.target: Target = target(account, profile, webhook, secrets, links)


class AccountView:
    """One account at one `config_version`."""

    __slots__ = ("_custom", "_subscribed", "_unusable", "account", "profile", "trigger_settings", "webhooks", "zone")

    def __init__(self, snapshot: Snapshot, vault: Vault, links: Links | None) -> None:
        account = snapshot.account
        self.account = account
        if account.profile not in profile_names():
            raise ProfileMissing(
                f"the account's profile {account.profile!r} is not among those that this server was started with: "
                f"{', '.join(profile_names())}"
            )
        self.profile = load_profile(account.profile)
        self.zone = ZoneInfo(account.timezone)
        self.trigger_settings = _trigger_settings(account)
        self._custom: dict[str, CatalogueEntry] = {}
        self._unusable: dict[str, Invalid] = {}
        for event_type in snapshot.event_types:
            try:
                validator = compile_schema(event_type.schema)
            except Invalid as error:  # an older version took it
                self._unusable[event_type.name] = error
                continue
            self._custom[event_type.name] = CatalogueEntry(
                event_type=event_type, validator=validator, visitor_pointer=None
            )
        self.webhooks: Mapping[WebhookId, WebhookView] = {
            webhook.id: WebhookView(account, self.profile, webhook, open_secrets(vault, webhook), links)
            for webhook in snapshot.webhooks
        }
        self._subscribed: dict[str, tuple[WebhookView, ...]] = {}

    def entry(self, type: str) -> CatalogueEntry | None:
        """Raises `Invalid` where this version cannot use the type's schema any more."""
        if type in self._unusable:
            raise self._unusable[type]
        return self._custom.get(type) or self.profile.catalogue.get(type)

    def entries(self) -> Mapping[str, CatalogueEntry]:
        return {**self.profile.catalogue, **self._custom}

    def subscribed(self, type: str) -> tuple[WebhookView, ...]:
        """The active webhooks whose patterns take that type, before their filters; by rising id."""
        found = self._subscribed.get(type)
        if found is None:
            found = self._subscribed[type] = tuple(
                hook
                for _, hook in sorted(self.webhooks.items())
                if hook.usable
                and hook.webhook.state is WebhookState.ACTIVE
                and takes(hook.webhook.settings.events, type)
            )
        return found


def _trigger_settings(account: Account) -> TriggerSettings:
    try:
        return msgspec.convert(account.settings.get("triggers") or {}, TriggerSettings)
    except msgspec.ValidationError as error:  # an older version took them
        log.warning("trigger_settings_unusable", extra={"account": ids.show("acc_", account.id), "reason": str(error)})
        return TriggerSettings()


def takes(patterns: tuple[str, ...], type: str) -> bool:
    """Whether one of the patterns (an exact name, ``prefix.*`` or ``*``) takes that type; none takes Tocsin's own."""
    return not type.startswith(OWN_TYPES) and any(
        pattern in ("*", type) or (pattern.endswith(".*") and type.startswith(pattern[:-1])) for pattern in patterns
    )


def open_secrets(vault: Vault, webhook: Webhook) -> WebhookSecrets:
    return _secrets_decoder.decode(vault.open(webhook.account_id, webhook.id, webhook.sealed))


def seal_secrets(vault: Vault, account_id: AccountId, webhook_id: WebhookId, secrets: WebhookSecrets) -> bytes:
    return vault.seal(account_id, webhook_id, msgspec.json.encode(secrets))


class Directory:
    """The views in use, the least recently used forgotten first."""

    def __init__(
        self, snapshots: Snapshots, vault: Vault, links: Links | None = None, accounts: Accounts | None = None
    ) -> None:
        """`accounts`: where other processes change them too."""
        self._snapshots = snapshots
        self._accounts = accounts
        self._vault = vault
        self._links = links
        self._views: OrderedDict[AccountId, AccountView] = OrderedDict()
        self._loading: dict[AccountId, asyncio.Task[AccountView]] = {}

    def cached(self, account_id: AccountId) -> AccountView | None:
        """The view, where it is at hand: the hot path's way, without waiting."""
        return self._views.get(account_id)

    async def view(self, account_id: AccountId) -> AccountView:
        """Raises `errors.NotFound` where there is no such account, `ProfileMissing` where its profile is not there."""
        while True:
            view = self._views.get(account_id)
            if view is not None:
                self._views.move_to_end(account_id)
                return view
            loading = self._loading.get(account_id)
            if loading is None:
                loading = self._loading[account_id] = asyncio.create_task(self._load(account_id))
            view = await asyncio.shield(loading)
            if self._views.get(account_id) is view:
                return view
            # It was forgotten while it was being loaded, and may be as the account was before: load again.

    async def fresh(self, account_id: AccountId) -> AccountView:
        """As `view`, with all that was answered before, by whichever process."""
        view = self._views.get(account_id)
        if view is not None:
            await self.outdated(view)
        elif self._accounts is not None:
            self.forget(account_id)  # a load under way may have begun before
        return await self.view(account_id)

    async def outdated(self, view: AccountView) -> bool:
        """Whether the account has changed since; then whoever asks next reads it anew."""
        if self._accounts is None:
            return False
        account = await self._accounts.get(view.account.id)
        if account is not None and account.config_version == view.account.config_version:
            return False
        if self._views.get(view.account.id) is view:
            self.forget(view.account.id)
        return True

    def forget(self, account_id: AccountId) -> None:
        """The account changed: the next one to ask reads it anew, also where a load is under way."""
        self._views.pop(account_id, None)
        self._loading.pop(account_id, None)

    async def _load(self, account_id: AccountId) -> AccountView:
        this = asyncio.current_task()
        try:
            snapshot = await self._snapshots.snapshot(account_id)
            if snapshot is None:
                raise errors.NotFound("there is no such account")
            view = AccountView(snapshot, self._vault, self._links)
            if self._loading.get(account_id) is this:
                self._views[account_id] = view
                if len(self._views) > MAX_VIEWS:
                    self._views.popitem(last=False)
            return view
        finally:
            if self._loading.get(account_id) is this:
                del self._loading[account_id]
