"""From an event and a webhook to the request that is sent: pure, and the same for tests, previews and the log."""

import msgspec

from tocsin import __version__, ids
from tocsin.clock import Millis
from tocsin.model import Account, Event, EventId, Request, Webhook, WebhookId, WebhookSecrets
from tocsin.profiles import Facts, Profile
from tocsin.profiles.masking import mask_ips

MASK = "***"
USER_AGENT = f"Tocsin/{__version__}"
_STATIC = (("Content-Type", "application/json"), ("User-Agent", USER_AGENT))


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook, ready to be rendered for: everything about it that does not change from event to event."""

    webhook: Webhook
    secrets: WebhookSecrets
    profile: Profile
    account_text: str
    account_external_id: str | None
    account_name: str
    webhook_text: str
    masks_ips: bool
    static_headers: tuple[tuple[str, str], ...]


def target(account: Account, profile: Profile, webhook: Webhook, secrets: WebhookSecrets) -> Target:
    own = {name.lower() for name in secrets.headers}
    signature, _ = profile.signs_in(webhook.settings.options)
    taken = profile.own_headers | {signature.lower()}
    return Target(
        webhook=webhook,
        secrets=secrets,
        profile=profile,
        account_text=ids.show("acc_", account.id),
        account_external_id=account.external_id,
        account_name=account.name,
        webhook_text=ids.show("wh_", webhook.id),
        masks_ips=masks_ips(account, profile),
        static_headers=(
            *(header for header in _STATIC if header[0].lower() not in own),
            *((name, value) for name, value in secrets.headers.items() if name.lower() not in taken),
        ),
    )


def masks_ips(account: Account, profile: Profile) -> bool:
    """Whether bodies show IP addresses masked: as the account says, else as its dialect does."""
    said = account.settings.get("mask_ips")
    return profile.mask_ips if said is None else said is True


def signing_secrets(secrets: WebhookSecrets, profile: Profile, at: Millis) -> tuple[str, ...]:
    """Which secrets sign now.

    While a rotation overlaps, a dialect whose header holds several signatures signs with both; the others' receivers
    know one secret, the old one, until the overlap ends.
    """
    if secrets.secret is None:
        return ()
    if secrets.previous_secret is None or secrets.overlap_until is None or at >= secrets.overlap_until:
        return (secrets.secret,)
    if profile.signs_with_both:
        return (secrets.secret, secrets.previous_secret)
    return (secrets.previous_secret,)


def render(to: Target, *, event_id: EventId, type: str, timestamp: Millis, data: bytes, at: Millis) -> Request:
    """The request for one attempt, signed over its exact bytes at the instant `at`."""
    profile = to.profile
    facts = Facts(
        event_id=ids.show("evt_", event_id),
        type=type,
        timestamp=timestamp,
        data=mask_ips(data) if to.masks_ips else data,
        webhook_id=to.webhook_text,
        account_id=to.account_text,
        account_external_id=to.account_external_id,
        account_name=to.account_name,
    )
    body = profile.render_body(facts)
    signed = profile.sign(facts, body, signing_secrets(to.secrets, profile, at), at, to.webhook.settings.options)
    return Request(
        method="POST",
        url=to.secrets.url,
        headers=to.static_headers + signed,
        body=body,
        timeout_s=profile.timeout_s,
    )


def body_of(account: Account, profile: Profile, webhook_id: WebhookId, event: Event) -> bytes | None:
    """What `render` makes of an event for a webhook, also one that is gone; None once the event's data are gone."""
    if event.data is None:
        return None
    return profile.render_body(
        Facts(
            event_id=ids.show("evt_", event.id),
            type=event.type,
            timestamp=event.timestamp,
            data=mask_ips(event.data) if masks_ips(account, profile) else event.data,
            webhook_id=ids.show("wh_", webhook_id),
            account_id=ids.show("acc_", account.id),
            account_external_id=account.external_id,
            account_name=account.name,
        )
    )


def masked(to: Target, request: Request) -> tuple[tuple[str, str], ...]:
    """The request's headers as they may be shown and kept: custom values and bare secrets taken out."""
    secrets = to.secrets
    if not secrets.headers and not to.profile.shows_secret:
        return request.headers
    custom = {name.lower() for name in secrets.headers}
    header, scheme = to.profile.signs_in(to.webhook.settings.options)
    if scheme == "token":
        custom.add(header.lower())
    hidden = {value for value in (secrets.secret, secrets.previous_secret) if value}
    return tuple(
        (name, MASK if name.lower() in custom or value in hidden else value) for name, value in request.headers
    )
