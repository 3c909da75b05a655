"""What a channel asks of a webhook: an address of its own form, options of its own, and whether it is signed."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from tocsin.channels import CHATS, macros, postback, templates
from tocsin.channels.options import ChatOptions, PostbackOptions
from tocsin.channels.wording import check_locale
from tocsin.control import webhook_checks as checks
from tocsin.control.values import check_timezone
from tocsin.engine.directory import AccountView, takes
from tocsin.engine.sending.resolver import Resolver
from tocsin.errors import Fault, Invalid, url_refused
from tocsin.faults import faults_of
from tocsin.model import CHANNEL_NAMES, STANDARD
from tocsin.nearest import did_you_mean
from tocsin.security.guard import Guard


class Address(NamedTuple):
    """`shown`: without credentials. `shard`: see `WebhookSettings`."""

    url: str
    shown: str
    shard: int | None = None


def check_channel(channel: str) -> None:
    if channel not in CHANNEL_NAMES:
        hint = did_you_mean(channel, CHANNEL_NAMES) or f"; there are {', '.join(CHANNEL_NAMES)}"
        raise Invalid(
            "the channel is unknown", faults=[Fault("/channel", f"no channel is called {channel[:64]!r}{hint}")]
        )


async def check_address(guard: Guard, resolver: Resolver, view: AccountView, channel: str, url: str) -> Address:
    """The address as it is kept.

    Raises:
        Invalid: `url_refused`: it has not the form of its channel's, or where it leads is refused.
    """
    if channel == postback.NAME:
        called = postback.parse_postback(url)
        await checks.check_url(guard, resolver, called.dial, https_only=view.profile.limits.https_only)
        return Address(called.url, called.shown)
    _check_whose(channel, url)
    chat = CHATS.get(channel)
    if chat is None:
        if macros.has_macros(url):
            raise url_refused(
                f"{channel} fills in no macros; take the channel postback, or write %7B and %7D for braces"
            )
        url = await checks.check_url(guard, resolver, url, https_only=view.profile.limits.https_only)
        return Address(url, url)
    address = chat.parse(url)
    if address.dial is not None:
        await checks.check_url(guard, resolver, address.dial, https_only=False)
    return Address(address.url, address.shown, address.shard)


def _check_whose(channel: str, url: str) -> None:
    """An address of a service's own, given to another channel: nothing that this one sends would be read there."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return  # no address at all, as its channel will say
    for name, chat in CHATS.items():
        if name != channel and host in chat.hosts:
            raise url_refused(
                f"{host} takes messages of the channel {name}, none of {channel}; take the channel {name}"
            )


def check_macros(view: AccountView, channel: str, url: str, events: tuple[str, ...]) -> None:
    """The macros of a postback's address are known: of its dialect, or of the data of the types subscribed to.

    Raises:
        Invalid: `unknown_macro`.
    """
    if channel == postback.NAME:
        types = [entry.event_type for name, entry in view.entries().items() if takes(events, name)]
        postback.check_macros(postback.parse_postback(url), view.profile.messages.kinds, types)


def check_unsigned(channel: str, secret: str | None, headers: Mapping[str, str | None]) -> None:
    """Chats and postbacks are not signed, and take no headers of a user's."""
    faults = []
    if secret is not None:
        faults.append(Fault("/secret", f"{channel} messages are not signed; leave the secret out"))
    if headers:
        faults.append(Fault("/headers", f"{channel} takes no headers of your own; leave them out"))
    if faults:
        raise Invalid("that is for webhooks of the channel standard", faults=faults)


def check_options(view: AccountView, channel: str, options: Mapping[str, Any]) -> None:
    """An option that nothing reads is refused, not kept.

    Raises:
        Invalid: `option_invalid`, with a pointer to each value at fault.
    """
    if channel == STANDARD:
        checks.check_options(view, options)
        return
    shape = PostbackOptions if channel == postback.NAME else ChatOptions
    faults = list(faults_of(options, shape, "/options"))
    if not faults and shape is ChatOptions:
        faults = _faults(view, msgspec.convert(options, ChatOptions))
    if faults:
        raise Invalid("an option is not understood", code="option_invalid", faults=faults)


def _faults(view: AccountView, options: ChatOptions) -> list[Fault]:
    faults = []
    quiet = options.quiet_hours
    if quiet is not None:
        if quiet.from_ == quiet.to:
            detail = "that is when they begin; who wants quiet all day mutes the webhook, or disables it"
            faults.append(Fault("/options/quiet_hours/to", detail))
        if quiet.timezone is not None:
            try:
                check_timezone(quiet.timezone, "/options/quiet_hours/timezone")
            except Invalid as error:
                faults += error.faults
    try:
        check_locale(options.locale)
    except Invalid as error:
        faults += error.faults
    for name, patterns in (("urgent", options.urgent), ("templates", tuple(options.templates))):
        try:
            checks.check_events(view, patterns)
        except Invalid as error:
            for fault in error.faults:
                index = int(fault.pointer.rpartition("/")[2])
                step = str(index) if name == "urgent" else patterns[index].replace("~", "~0").replace("/", "~1")
                faults.append(Fault(f"/options/{name}/{step}", fault.detail))
    types = {name: entry.event_type for name, entry in view.entries().items()}
    return faults + templates.check(
        options.templates,
        view.profile,
        types,
        takes=lambda pattern, type_: takes((pattern,), type_),
        locale=options.locale,
    )
