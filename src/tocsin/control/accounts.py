"""Accounts: made by the operator with their first key, changed, removed."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from tocsin import ids, profiles
from tocsin.clock import Clock
from tocsin.control.actor import Actor
from tocsin.control.keyring import Keyring
from tocsin.control.keys import KeyControl
from tocsin.control.values import Email, ExternalId, Name, check_timezone
from tocsin.engine.activity.openings import Openings
from tocsin.engine.cluster.bell import Bell
from tocsin.engine.directory import Directory
from tocsin.errors import Fault, Forbidden, Invalid, NotFound
from tocsin.ids import IdSource
from tocsin.model import Account, AccountId
from tocsin.nearest import did_you_mean
from tocsin.security.keys import PREFIXES, looks_like_key
from tocsin.store.port import Accounts, Page
from tocsin.triggers.settings import TriggerSettings


class AccountSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an account says of itself beyond its columns. Null: as its profile has it. An unknown one is refused."""

    mask_ips: (
        Annotated[
            bool | None,
            msgspec.Meta(description="whether bodies show IP addresses masked; null: as the profile has it"),
        ]
        | UnsetType
    ) = UNSET
    triggers: (
        Annotated[
            TriggerSettings | None,
            msgspec.Meta(
                description="thresholds of scoring; they replace those before, and what is left out is as it comes; "
                "null: all as they come"
            ),
        ]
        | UnsetType
    ) = UNSET

    def over(self, known: Mapping[str, object]) -> dict[str, object]:
        """Those known with these laid over them; what is null is no longer kept."""
        merged = {**known, **msgspec.to_builtins(self)}
        return {name: value for name, value in merged.items() if value is not None}


class NewAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Name
    profile: str = "standard"
    timezone: str = "UTC"
    external_id: ExternalId | None = None
    notify_email: Email | None = None
    settings: AccountSettings = AccountSettings()


class AccountPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays; null empties what may be empty. A profile is for life."""

    name: Name | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    external_id: ExternalId | UnsetType | None = UNSET
    notify_email: Email | UnsetType | None = UNSET
    settings: AccountSettings | UnsetType = UNSET


class AccountControl:
    def __init__(
        self,
        *,
        accounts: Accounts,
        keys: KeyControl,
        keyring: Keyring,
        directory: Directory,
        bell: Bell,
        openings: Openings,
        clock: Clock,
        id_source: IdSource,
    ) -> None:
        self._accounts = accounts
        self._keys = keys
        self._keyring = keyring
        self._directory = directory
        self._bell = bell
        self._openings = openings
        self._clock = clock
        self._id_source = id_source

    async def create(self, actor: Actor, new: NewAccount) -> tuple[Account, str]:
        """The account and the text of its first key, which cannot be shown again.

        Raises:
            Invalid: the profile or the time zone is unknown.
            Conflict: `external_id_taken`.
        """
        if new.profile not in profiles.names():
            known = profiles.names()
            raise Invalid(
                "the profile is unknown",
                faults=[
                    Fault(
                        "/profile",
                        f"no profile is called {new.profile[:64]!r}{did_you_mean(new.profile, known)}; "
                        f"there are {', '.join(known)}",
                    )
                ],
            )
        check_timezone(new.timezone)
        _check_external_id(new.external_id)
        now = self._clock.now_ms()
        account = Account(
            id=AccountId(self._id_source.next()),
            name=new.name,
            profile=new.profile,
            timezone=new.timezone,
            external_id=new.external_id,
            notify_email=new.notify_email,
            settings=new.settings.over({}),
            config_version=1,
            created_at=now,
            updated_at=now,
        )
        key, text = self._keys.make(account.id, prefix=profiles.load(new.profile).key_prefix, name="first")
        change = actor.change(now, "account.created", ids.show("acc_", account.id), name=new.name, profile=new.profile)
        await self._accounts.add(account, key, change)
        await self._openings.open(account)
        return account, text

    async def get(self, account_id: AccountId) -> Account:
        account = await self._accounts.get(account_id)
        if account is None:
            raise NotFound("there is no such account")
        return account

    async def list(self, page: Page) -> Sequence[Account]:
        return await self._accounts.list(page)

    async def change(self, actor: Actor, account_id: AccountId, patch: AccountPatch) -> Account:
        """Raises `Invalid`, `Conflict` (`external_id_taken`), `Forbidden` (`operator_only`) or `NotFound`."""
        if patch.timezone is not UNSET:
            check_timezone(patch.timezone)
        account = await self.get(account_id)
        edit = {name: value for name in patch.__struct_fields__ if (value := getattr(patch, name)) is not UNSET}
        if patch.settings is not UNSET:
            edit["settings"] = patch.settings.over(account.settings)
        changed = {name: value for name, value in edit.items() if value != getattr(account, name)}
        if not changed:
            return account
        if "external_id" in changed:
            _check_external_id(changed["external_id"])
            # It names the account to others: to receivers, and to a gateway's server that is trusted to say who calls.
            # Whoever could choose it could pass for somebody else, or learn from a conflict who else is there.
            if actor.principal is not None and actor.principal.account_id is not None:
                raise Forbidden(
                    "only the operator's key may change an external_id",
                    code="operator_only",
                    faults=[Fault("/external_id", "leave it out, or ask the operator")],
                )
        now = self._clock.now_ms()
        stored = await self._accounts.change(
            msgspec.structs.replace(account, **changed, updated_at=now),
            actor.change(now, "account.changed", ids.show("acc_", account_id), **_shown(changed)),
        )
        self._bell.account_changed(account_id)
        if "timezone" in changed:
            await self._openings.open(stored)
        return stored

    async def remove(self, actor: Actor, account_id: AccountId) -> None:
        """With its keys and webhooks, at once; what waits is never sent.

        Raises:
            NotFound: no such account.
        """
        view = await self._directory.fresh(account_id)
        now = self._clock.now_ms()
        change = actor.change(now, "account.removed", ids.show("acc_", account_id), name=view.account.name)
        if not await self._accounts.remove(account_id, change):
            raise NotFound("there is no such account")
        self._bell.account_changed(account_id)
        await self._keyring.poll()
        for hook in view.webhooks.values():
            self._bell.webhook_changed(msgspec.structs.replace(hook.webhook, deleted=True))


def _check_external_id(external_id: str | None) -> None:
    """Where either can be given, nobody may have to guess which it is."""
    if external_id is not None and looks_like_key(external_id):
        raise Invalid(
            "the external_id looks like an API key",
            faults=[Fault("/external_id", f"keys begin with {' or '.join(PREFIXES)}; choose another")],
        )


def _shown(changed: Mapping[str, object]) -> Mapping[str, object]:
    """For the audit log: an e-mail address is personal, so only that it changed."""
    return {name: "changed" if name == "notify_email" else value for name, value in changed.items()}
