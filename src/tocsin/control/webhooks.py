"""Webhooks: made, changed, switched, rotated, previewed and removed; every change is checked, audited and in force for
each event accepted after it was answered.
"""

import secrets as random
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from tocsin import ids
from tocsin.channels import CHATS
from tocsin.clock import Clock, Millis
from tocsin.control import channels
from tocsin.control import webhook_checks as checks
from tocsin.control.actor import Actor
from tocsin.control.consent import UNCONFIRMED, WAITS, Consent, check_confirmed, turned
from tocsin.control.event_types import entry_of
from tocsin.control.webhook_bodies import NewWebhook, Rotation, WebhookPatch, merge_patch
from tocsin.engine.cluster.bell import Bell
from tocsin.engine.directory import AccountView, Directory, WebhookView, open_secrets, seal_secrets, takes
from tocsin.engine.dispatching.lane_settings import LaneSettings
from tocsin.engine.filtering.filters import compile_filter
from tocsin.engine.rendering import masked, message, render, shown_url
from tocsin.engine.sending.resolver import Resolver
from tocsin.errors import Conflict, Fault, Invalid, NotFound
from tocsin.ids import IdSource
from tocsin.model import (
    STANDARD,
    AccountId,
    EventId,
    Notice,
    Request,
    Webhook,
    WebhookId,
    WebhookSecrets,
    WebhookSettings,
    WebhookState,
)
from tocsin.profiles.jsjson import stabilise
from tocsin.profiles.signatures import ASYMMETRIC, public_key
from tocsin.security.guard import Guard
from tocsin.security.vault import Vault
from tocsin.store.port import Page, Records, WebhookEdit, Webhooks

# An account's webhooks are kept in memory together, some 4 KB each.
MAX_WEBHOOKS = 10_000

# Two people, or a person and the system, may change one webhook in the same moment: read it again and try again.
_TRIES = 5

Held = Literal["resume", "drop"]


class Signing(msgspec.Struct, frozen=True, kw_only=True):
    """What may be shown of a webhook's secrets."""

    overlap_until: Millis | None  # until then the secret before a rotation counts too
    public_key: str | None  # of an ed25519 secret: what its receiver verifies with


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it would be sent now, its headers as they may be shown; and the message that people would read in
    each chat, with what is sent there.
    """

    request: Request
    headers: tuple[tuple[str, str], ...]
    url_shown: str
    chats: Mapping[str, Request]


Draft = tuple[WebhookSettings, WebhookSecrets]


class WebhookControl:
    def __init__(
        self,
        *,
        webhooks: Webhooks,
        records: Records,
        vault: Vault,
        guard: Guard,
        resolver: Resolver,
        directory: Directory,
        lane_settings: LaneSettings,
        bell: Bell,
        clock: Clock,
        id_source: IdSource,
        consent: Consent,
    ) -> None:
        self._webhooks = webhooks
        self._records = records
        self._vault = vault
        self._guard = guard
        self._resolver = resolver
        self._directory = directory
        self._lane_settings = lane_settings
        self._bell = bell
        self._clock = clock
        self._id_source = id_source
        self._consent = consent

    # --- reading --------------------------------------------------------------------------------------------------

    async def get(self, account_id: AccountId, webhook_id: WebhookId) -> Webhook:
        webhook = await self._webhooks.get(account_id, webhook_id)
        if webhook is None:
            raise NotFound("there is no such webhook")
        return webhook

    async def list(self, account_id: AccountId, page: Page) -> Sequence[Webhook]:
        return await self._webhooks.list(account_id, page)

    def signing(self, webhook: Webhook) -> Signing:
        secrets = open_secrets(self._vault, webhook)
        until = secrets.overlap_until if secrets.previous_secret is not None else None
        asymmetric = secrets.secret is not None and secrets.secret.startswith(ASYMMETRIC)
        return Signing(
            overlap_until=until if until is not None and until > self._clock.now_ms() else None,
            public_key=public_key(secrets.secret) if asymmetric and secrets.secret is not None else None,
        )

    async def preview(
        self,
        account_id: AccountId,
        webhook_id: WebhookId,
        *,
        event_id: EventId | None,
        type: str | None,
    ) -> Preview:
        """What an event (or the example of a type) makes.

        Raises:
            NotFound: no such webhook or event.
            Invalid: `unknown_event_type`.
            Conflict: `body_gone`: the event's body is no longer kept.
        """
        view = await self._directory.fresh(account_id)
        hook = _hook(view, webhook_id)
        now = self._clock.now_ms()
        if event_id is not None:
            event = await self._records.event(account_id, event_id)
            if event is None:
                raise NotFound("there is no such event")
            if event.data is None:
                raise Conflict("the event's body is no longer kept", code="body_gone")
            return _preview(hook, event.id, event.type, event.timestamp, event.data, now)
        if type is None:
            patterns = hook.webhook.settings.events
            type = next((name for name in view.entries() if takes(patterns, name)), patterns[0])  # noqa: A001 - the word of the API
        example = entry_of(view, type).event_type
        data = stabilise(msgspec.json.encode(example.example))[1]
        return _preview(hook, EventId(self._id_source.next()), example.name, now, data, now)

    # --- writing --------------------------------------------------------------------------------------------------

    async def create(self, actor: Actor, account_id: AccountId, new: NewWebhook) -> tuple[Webhook, str | None]:
        """The webhook and its secret (None where its profile works without one), which cannot be shown again.

        Raises:
            Invalid: any value is at fault; or its channel is e-mail, and no mail server is set up.
            Conflict: `webhook_limit`, `confirmation_paced`.
        """
        view = await self._directory.fresh(account_id)
        profile = view.profile
        channels.check_channel(new.channel)
        channels.check_options(view, new.channel, new.options)
        signed = new.channel == STANDARD
        if signed:
            taken = checks.take_secret(profile, new.headers, new.options, new.secret)
            given, secret = taken.headers, taken.secret or profile.make_secret(random.token_bytes)
        else:
            channels.check_unsigned(new.channel, new.secret, new.headers)
            given, secret = {}, None
        headers = {name: value for name, value in given.items() if value is not None}
        settings = WebhookSettings(
            url_shown="",
            events=checks.check_events(view, new.events),
            name=new.name,
            description=new.description,
            channel=new.channel,
            filter=new.filter,
            header_names=tuple(headers),
            rate_limit=new.rate_limit,
            max_in_flight=new.max_in_flight,
            options=new.options,
        )
        _check_settings(view, settings, headers)
        address = await channels.check_address(self._guard, self._resolver, view, new.channel, new.url)
        channels.check_macros(view, new.channel, address.url, settings.events)
        now = self._clock.now_ms()
        webhook_id = WebhookId(self._id_source.next())
        secrets = WebhookSecrets(url=address.url, headers=headers, secret=secret)
        webhook = Webhook(
            id=webhook_id,
            account_id=account_id,
            version=1,
            from_config=view.account.config_version,
            state=WebhookState.ACTIVE if new.enabled else WebhookState.DISABLED,
            status_reason=None if new.enabled else "created disabled",
            status_since=now,
            muted_until=None,
            settings=replace(settings, url_shown=address.shown, shard=address.shard),
            sealed=seal_secrets(self._vault, account_id, webhook_id, secrets),
            created_at=now,
            updated_at=now,
        )
        notice = None
        if webhook.settings.unconfirmed:
            notice = self._consent.ask(webhook, now)
            if new.enabled:
                webhook = replace(webhook, state=WebhookState.DISABLED, status_reason=UNCONFIRMED)
        limit = MAX_WEBHOOKS if profile.limits.webhooks is None else profile.limits.webhooks
        change = actor.change(now, "webhook.created", ids.show("wh_", webhook_id), url=address.shown, events=new.events)
        stored = await self._webhooks.add(webhook, limit, change, notice)
        self.tell(stored, notice)
        return stored, secret

    async def change(self, actor: Actor, account_id: AccountId, webhook_id: WebhookId, patch: WebhookPatch) -> Webhook:
        """Another e-mail address is asked anew, and the webhook waits for that.

        Raises:
            Invalid: any value is at fault.
            NotFound: no such webhook.
            Conflict: `changed_meanwhile`, `not_confirmed`, `confirmation_paced`.
        """
        view = await self._directory.fresh(account_id)
        address = None
        if patch.url is not UNSET:
            known = await self.get(account_id, webhook_id)  # none: said before a name is looked up for it
            address = await channels.check_address(self._guard, self._resolver, view, known.settings.channel, patch.url)
        named = [name for name in patch.__struct_fields__ if getattr(patch, name) is not UNSET]
        events = None if patch.events is UNSET else checks.check_events(view, patch.events)

        def draft(webhook: Webhook, secrets: WebhookSecrets) -> Draft:
            settings = webhook.settings
            options = merge_patch(settings.options, patch.options)
            channels.check_options(view, settings.channel, options)
            given = patch.headers
            if not settings.signed:
                channels.check_unsigned(settings.channel, None, given or {})
            elif given is not UNSET and given is not None:
                taken = checks.take_secret(view.profile, given, options)
                given = taken.headers
                if taken.replaces is not None:  # it may have been a header like any other until now
                    given |= {name: None for name in secrets.headers if name.lower() == taken.replaces}
                if taken.secret is not None and taken.secret != secrets.secret:
                    secrets = replace(secrets, secret=taken.secret, previous_secret=None, overlap_until=None)
                    named[:] = [*dict.fromkeys([*named, "secret"])]
            headers = merge_patch(secrets.headers, _respelled(given, secrets.headers))
            settings = replace(
                settings,
                url_shown=settings.url_shown if address is None else address.shown,
                shard=settings.shard if address is None else address.shard,
                events=events or settings.events,
                header_names=tuple(headers),
                options=options,
                confirmed_at=settings.confirmed_at if address is None or address.url == secrets.url else None,
                **{
                    name: value
                    for name in ("name", "description", "filter", "rate_limit", "max_in_flight")
                    if (value := getattr(patch, name)) is not UNSET
                },
            )
            _check_settings(view, settings, headers)
            url = secrets.url if address is None else address.url
            if patch.url is not UNSET or patch.events is not UNSET:
                channels.check_macros(view, settings.channel, url, settings.events)
            return settings, replace(secrets, url=url, headers=headers)

        state = None
        if patch.enabled is not UNSET:
            state = WebhookState.ACTIVE if patch.enabled else WebhookState.DISABLED
        return await self.edit(
            actor, account_id, webhook_id, draft, action="webhook.changed", state=state, detail={"changed": named}
        )

    async def enable(
        self, actor: Actor, account_id: AccountId, webhook_id: WebhookId, held: Held
    ) -> tuple[Webhook, int]:
        """Makes it active; what it held goes out under its limits, or is dropped before anything of it can go out.

        Returns:
            The webhook, and how many deliveries were dropped.

        Raises:
            NotFound: no such webhook.
            Conflict: `not_confirmed`.
        """
        check_confirmed((await self.get(account_id, webhook_id)).settings)
        dropped = await self._lane_settings.drop_held(webhook_id) if held == "drop" else 0
        webhook = await self.edit(
            actor,
            account_id,
            webhook_id,
            action="webhook.enabled",
            state=WebhookState.ACTIVE,
            detail={"held": held, "dropped": dropped},
        )
        return webhook, dropped

    async def disable(self, actor: Actor, account_id: AccountId, webhook_id: WebhookId, reason: str) -> Webhook:
        """Events make no deliveries for it from now on; those that wait are held. Attempts under way may end."""
        return await self.edit(
            actor, account_id, webhook_id, action="webhook.disabled", state=WebhookState.DISABLED, reason=reason
        )

    async def mute(self, actor: Actor, account_id: AccountId, webhook_id: WebhookId, hours: float) -> Webhook:
        """Holds its deliveries for so long; 0 ends it."""
        now = self._clock.now_ms()
        until = Millis(now + round(hours * 3_600_000)) if hours else Millis(0)
        return await self.edit(
            actor, account_id, webhook_id, action="webhook.muted", muted_until=until, detail={"hours": hours}
        )

    async def rotate_secret(
        self, actor: Actor, account_id: AccountId, webhook_id: WebhookId, rotation: Rotation
    ) -> tuple[Webhook, str]:
        """The webhook and its new secret, which cannot be shown again.

        While the overlap lasts, `standard` signs with both secrets; the other dialects' receivers go on with the one
        that they know.
        """
        view = await self._directory.fresh(account_id)
        profile = view.profile
        secret = rotation.secret
        if secret is not None:
            profile.check_secret(secret)
        else:
            secret = profile.make_secret(random.token_bytes) or random.token_hex(32)
        now = self._clock.now_ms()

        def draft(webhook: Webhook, secrets: WebhookSecrets) -> Draft:
            if not webhook.settings.signed:
                raise Conflict(f"{webhook.settings.channel} messages are not signed", code="not_signed")
            if secret == secrets.secret:
                raise Invalid(
                    "that is the secret already", faults=[Fault("/secret", "give another one, or none to have it made")]
                )
            overlapping = secrets.overlap_until is not None and now < secrets.overlap_until
            # Where only one secret signs, a second rotation within an overlap must not silence the one in use.
            still = secrets.previous_secret if overlapping and not profile.signs_with_both else secrets.secret
            keep = rotation.overlap_s > 0 and still is not None
            return webhook.settings, replace(
                secrets,
                secret=secret,
                previous_secret=still if keep else None,
                overlap_until=Millis(now + rotation.overlap_s * 1000) if keep else None,
            )

        detail = {"overlap_s": rotation.overlap_s}
        webhook = await self.edit(actor, account_id, webhook_id, draft, action="webhook.secret_rotated", detail=detail)
        return webhook, secret

    async def activate_secret(self, actor: Actor, account_id: AccountId, webhook_id: WebhookId) -> Webhook:
        """Ends a rotation's overlap at once: only the new secret signs.

        Raises:
            Conflict: `no_rotation`: none is under way.
        """
        now = self._clock.now_ms()

        def draft(webhook: Webhook, secrets: WebhookSecrets) -> Draft:
            if secrets.overlap_until is None or now >= secrets.overlap_until:
                raise Conflict("no rotation of its secret is under way", code="no_rotation")
            return webhook.settings, replace(secrets, previous_secret=None, overlap_until=None)

        return await self.edit(actor, account_id, webhook_id, draft, action="webhook.secret_activated")

    async def remove(self, actor: Actor, account_id: AccountId, webhook_id: WebhookId) -> None:
        """It gets nothing any more; what waits for it is cancelled."""
        webhook = await self.get(account_id, webhook_id)
        change = actor.change(self._clock.now_ms(), "webhook.removed", ids.show("wh_", webhook_id))
        if not await self._webhooks.remove(account_id, webhook_id, change):
            raise NotFound("there is no such webhook")
        self.tell(replace(webhook, deleted=True))

    async def edit(
        self,
        actor: Actor,
        account_id: AccountId,
        webhook_id: WebhookId,
        draft: Callable[[Webhook, WebhookSecrets], Draft] | None = None,
        *,
        action: str,
        state: WebhookState | None = None,
        reason: str | None = None,
        muted_until: Millis | None = None,
        detail: Mapping[str, object] | None = None,
        goes_on: bool = False,
    ) -> Webhook:
        """Reads, drafts and writes, again where somebody else was faster. Nothing is written that changes nothing.

        Args:
            goes_on: where the webhook only waited for its reader, it becomes active.
        """
        subject = ids.show("wh_", webhook_id)
        for _ in range(_TRIES):
            webhook = await self.get(account_id, webhook_id)
            settings, sealed, notice = None, None, None
            now = self._clock.now_ms()
            if draft is not None:
                secrets = open_secrets(self._vault, webhook)
                new_settings, new_secrets = draft(webhook, secrets)
                settings = new_settings if new_settings != webhook.settings else None
                if new_secrets != secrets:
                    sealed = seal_secrets(self._vault, account_id, webhook_id, new_secrets)
                if new_settings.unconfirmed and new_secrets.url != secrets.url:
                    notice = self._consent.ask(replace(webhook, settings=new_settings), now)
            if goes_on and webhook.status_reason in WAITS:
                state = WebhookState.ACTIVE
            turn = turned(webhook, settings or webhook.settings, state, reason, asked=notice is not None)
            if settings is None and sealed is None and turn is None and muted_until is None:
                return webhook
            edit = WebhookEdit(
                if_version=webhook.version,
                settings=settings,
                sealed=sealed,
                state=None if turn is None else turn.state,
                status_reason=None if turn is None else turn.reason,
                muted_until=muted_until,
            )
            change = actor.change(now, action, subject, **(detail or {}))
            try:
                stored = await self._webhooks.change(account_id, webhook_id, edit, change, notice)
            except Conflict as error:
                if error.code != "changed_meanwhile":
                    raise
                continue
            if stored is None:
                raise NotFound("there is no such webhook")
            self.tell(stored, notice)
            return stored
        raise Conflict("the webhook keeps being changed by others; try again", code="changed_meanwhile")

    # --- inside ---------------------------------------------------------------------------------------------------

    def tell(self, webhook: Webhook, notice: Notice | None = None) -> None:
        """Whoever sends to it, after a change; and whoever sends the notice that was written with it."""
        self._bell.webhook_changed(webhook)
        if notice is not None:
            self._consent.asked(notice)


def _preview(hook: WebhookView, event_id: EventId, type: str, timestamp: Millis, data: bytes, now: Millis) -> Preview:
    request = render(hook.target, event_id=event_id, type=type, timestamp=timestamp, data=data, at=now)
    chats = {}
    for name, chat in CHATS.items():
        said = message(hook.target, name, event_id=event_id, type=type, timestamp=timestamp, data=data)
        chats[name] = chat.render(said, chat.parse(chat.sample))
    return Preview(
        request=request,
        headers=masked(hook.target, request),
        url_shown=shown_url(hook.target, request),
        chats=chats,
    )


def _check_settings(view: AccountView, settings: WebhookSettings, headers: Mapping[str, str]) -> None:
    """Raises `Invalid` with a pointer to each value at fault. The options of a chat were checked with its channel."""
    if settings.filter is not None:
        compile_filter(settings.filter)
    if settings.signed:
        checks.check_settings(view, settings, headers)


def _hook(view: AccountView, webhook_id: WebhookId) -> WebhookView:
    hook = view.webhooks.get(webhook_id)
    if hook is None:
        raise NotFound("there is no such webhook")
    return hook


def _respelled(
    patch: Mapping[str, str | None] | UnsetType | None, known: Mapping[str, str]
) -> Mapping[str, str | None] | UnsetType | None:
    """Header names know no case: a patch means the header that there is, however it spells it."""
    if patch is UNSET or patch is None:
        return patch
    spelling = {name.lower(): name for name in known}
    return {spelling.get(name.lower(), name): value for name, value in patch.items()}
