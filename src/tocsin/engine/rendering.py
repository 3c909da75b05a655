"""From an event and a webhook to the request that is sent: pure, and the same for tests, previews and the log."""

import msgspec
import orjson
from msgspec.structs import replace

from tocsin import USER_AGENT, ids
from tocsin.channels import CHATS, Chat, ChatAddress, postback
from tocsin.channels.compose import compose
from tocsin.channels.digest import digest_message
from tocsin.channels.message import Message
from tocsin.channels.occasion import Occasion
from tocsin.channels.options import ChatOptions, PostbackOptions
from tocsin.clock import Millis
from tocsin.errors import Invalid
from tocsin.model import DIGEST_TYPE, MASK, Account, Event, EventId, Request, Webhook, WebhookId, WebhookSecrets
from tocsin.profiles import Facts, Profile
from tocsin.profiles.masking import mask_ips
from tocsin.security.links import Links, veiled, veiled_bytes

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
    links: Links | None = None
    chat: "ChatTarget | None" = None  # where its channel is a chat
    postback: "PostbackTarget | None" = None  # where it is postbacks
    unusable: str | None = None  # why nothing can be sent: an older version took what this one does not understand


class ChatTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A chat, and how its owner wants to be told."""

    channel: Chat
    address: ChatAddress
    options: ChatOptions


class PostbackTarget(msgspec.Struct, frozen=True, kw_only=True):
    """An address with macros in it."""

    address: postback.PostbackAddress
    options: PostbackOptions


def target(
    account: Account, profile: Profile, webhook: Webhook, secrets: WebhookSecrets, links: Links | None = None
) -> Target:
    own = {name.lower() for name in secrets.headers}
    signature, _ = profile.signs_in(webhook.settings.options)
    taken = profile.own_headers | {signature.lower()}
    chat, called, unusable = None, None, None
    channel = CHATS.get(webhook.settings.channel)
    try:
        if channel is not None:
            options = msgspec.convert(webhook.settings.options, ChatOptions)
            address = _signed_off(channel.parse(secrets.url), webhook, links)
            chat = ChatTarget(channel=channel, address=address, options=options)
        elif webhook.settings.channel == postback.NAME:
            called = PostbackTarget(
                address=postback.parse_postback(secrets.url),
                options=msgspec.convert(webhook.settings.options, PostbackOptions),
            )
        elif not webhook.settings.signed:
            unusable = f"this version has no channel {webhook.settings.channel!r}"
    except (Invalid, msgspec.ValidationError) as error:
        unusable = f"its address or options are not understood any more: {error}"
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
        links=links,
        chat=chat,
        postback=called,
        unusable=unusable,
    )


def _signed_off(address: ChatAddress, webhook: Webhook, links: Links | None) -> ChatAddress:
    """With whose it is, and where its reader can put an end to it: mail goes to people who have no part in Tocsin."""
    leave = None
    if address.dial is None and links is not None:
        leave = links.url(links.leave(webhook.account_id, webhook.id, address.url))
    return replace(address, webhook=ids.show("wh_", webhook.id), leave=leave)


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


def render(
    to: Target,
    *,
    event_id: EventId,
    type: str,
    timestamp: Millis,
    data: bytes,
    at: Millis,
    edit: str | None = None,
    test: bool = False,
) -> Request:
    """The request for one attempt, signed over its exact bytes at the instant `at` where its channel is `standard`.

    Args:
        edit: a chat's name for the message that is to be changed to this one.
        test: marks a message for people as a test.

    Raises:
        Invalid: the webhook is unusable, or a postback cannot be called with this event's values.
    """
    if to.unusable is not None:
        raise Invalid(to.unusable)
    if to.chat is not None:
        chat = to.chat
        said = message(to, chat.channel.name, event_id=event_id, type=type, timestamp=timestamp, data=data, test=test)
        said = replace(said, id=ids.show("evt_", event_id))
        return chat.channel.render(said, chat.address, edit=edit if chat.channel.edits else None)
    if to.postback is not None:
        occasion = Occasion(
            event_id=ids.show("evt_", event_id),
            type=type,
            timestamp=timestamp,
            data=orjson.loads(mask_ips(data) if to.masks_ips else data),
            profile=to.profile,
            account_name=to.account_name,
        )
        account = to.account_external_id or to.account_text
        details = postback.details_of(occasion, account=account, webhook=to.webhook_text)
        return postback.render_postback(to.postback.address, details, to.postback.options)
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


def message(
    to: Target, channel: str, *, event_id: EventId, type: str, timestamp: Millis, data: bytes, test: bool = False
) -> Message:
    """What people are told of an event in the channel of that name, also where the webhook's own is another one."""
    options = to.chat.options if to.chat is not None else ChatOptions()
    occasion = Occasion(
        event_id=ids.show("evt_", event_id),
        type=type,
        timestamp=timestamp,
        data=orjson.loads(mask_ips(data)),  # CONTRACT §8: in chats always, whatever the account's bodies show
        profile=to.profile,
        account_name=to.account_name,
        test=test,
        link=_page(to, event_id, timestamp) if type == DIGEST_TYPE else None,
    )
    tell = digest_message if type == DIGEST_TYPE else compose
    return tell(occasion, options, channel)


def _page(to: Target, event_id: EventId, made_at: Millis) -> str | None:
    """Where a digest's members are told."""
    if to.links is None:
        return None
    return to.links.url(to.links.digest(to.webhook.account_id, event_id, made_at))


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


def kept_body(to: Target, request: Request, *, whole: bool = False) -> bytes | None:
    """What the log keeps of a request: a signed body can be rendered again from its event, a message or postback only
    as long as nobody has changed its settings. Without credentials, and without what its links allow: whoever reads a
    log is not whom they were sent to.

    Of a GET, which has no body, it is the address as it was called: it holds values of the event, and is erased with
    them.

    Args:
        whole: also what could be rendered again, but for the event, which nobody keeps.
    """
    if to.webhook.settings.signed:
        return request.body if whole else None
    if to.postback is None:
        return veiled_bytes(request.body)
    if request.method == "GET":
        return shown_url(to, request).encode()
    return postback.shown_form(request.body.decode()).encode()


def shown_url(to: Target, request: Request) -> str:
    """The address that a request goes to, without credentials."""
    return to.webhook.settings.url_shown if to.postback is None else postback.shown(request.url)


def masked(to: Target, request: Request) -> tuple[tuple[str, str], ...]:
    """The request's headers as they may be shown and kept: custom values and bare secrets taken out."""
    secrets = to.secrets
    if to.chat is not None:
        return tuple((name, veiled(value)) for name, value in request.headers)
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
