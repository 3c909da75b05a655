"""What a webhook's settings must be before they are kept: each check names the value at fault and how to mend it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tocsin.engine.directory import AccountView
from tocsin.engine.sending.resolver import ResolveFailed, Resolver
from tocsin.errors import Fault, Invalid
from tocsin.model import WebhookSettings
from tocsin.nearest import did_you_mean
from tocsin.profiles import Profile
from tocsin.profiles.signatures import header_pointer
from tocsin.security.guard import Guard
from tocsin.security.headers import check_custom_headers


def check_events(view: AccountView, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The patterns without repetition, in their order; each must take at least one event type that there is.

    Raises:
        Invalid: `unknown_event_type`, with the nearest names for each.
    """
    entries = view.entries()
    families = {f"{name[:at]}.*" for name in entries for at, letter in enumerate(name) if letter == "."}
    known = {"*", *entries, *families}
    unknown = [(index, pattern) for index, pattern in enumerate(patterns) if pattern not in known]
    if unknown:
        raise Invalid(
            "each of events is an event type, a family such as click.*, or *; GET /v1/event-types lists them",
            code="unknown_event_type",
            faults=[
                Fault(f"/events/{index}", f"nothing is called {pattern!r}{did_you_mean(pattern, known)}")
                for index, pattern in unknown[:20]  # each is compared with every name that there is
            ],
        )
    return tuple(dict.fromkeys(patterns))


async def check_url(guard: Guard, resolver: Resolver, url: str, *, https_only: bool) -> str:
    """The address as it will be dialled. A name that does not resolve now is taken: its attempts will say so.

    Raises:
        Invalid: `url_refused`: the address itself, or one that its name resolves to, is refused.
    """
    address = guard.parse(url, https_only=https_only)
    if not address.literal:
        try:
            ips = await resolver.resolve(address.host)
        except ResolveFailed:
            return address.url
        refusal = guard.check_resolved(address, ips) if ips else None
        if refusal is not None:
            raise Invalid("the address is refused", code="url_refused", faults=[Fault("/url", refusal)])
    return address.url


def check_settings(view: AccountView, settings: WebhookSettings, headers: Mapping[str, str]) -> None:
    """The checks that need nothing but the account's view.

    Raises:
        Invalid: with a pointer to each value at fault.
    """
    check_options(view, settings.options)
    check_custom_headers(headers, view.profile.own_headers)
    signature, _ = view.profile.signs_in(settings.options)
    if signature.lower() in {name.lower() for name in headers}:  # only an option can have brought them together
        detail = f"the webhook has a header {signature} of its own, which would be sent twice; remove that one"
        pointer = f"/options/{view.profile.signature.header_option}"
        raise Invalid("two headers have one name", code="header_refused", faults=[Fault(pointer, detail)])


class Taken(NamedTuple):
    """A webhook's headers without its token, and the secret that was asked for, in whichever way."""

    headers: dict[str, str | None]
    secret: str | None
    replaces: str | None  # the header that held the token, in lower case


def take_secret(
    profile: Profile, headers: Mapping[str, str | None], options: Mapping[str, Any], secret: str | None = None
) -> Taken:
    """A dialect may let its token be given as a header, for that is how its own form is filled in.

    Raises:
        Invalid: `secret_invalid`, `header_refused`, or two secrets are given.
    """
    rest, token = profile.take_token(headers, options)
    if token is not None:
        name, value = token
        try:
            profile.check_secret(value)
        except Invalid as error:
            faults = [Fault(header_pointer(name), fault.detail) for fault in error.faults]
            raise Invalid(error.detail, code=error.code, faults=faults) from None
        if secret is not None and secret != value:
            raise Invalid(
                "two different secrets are given",
                code="secret_invalid",
                faults=[
                    Fault("/secret", f"{name} is given too, with another value; leave one of them out"),
                    Fault(header_pointer(name), "this header holds the secret, and secret is another one"),
                ],
            )
        return Taken(rest, value, name.lower())
    if secret is not None:
        profile.check_secret(secret)
    return Taken(rest, secret, None)


def check_options(view: AccountView, options: Mapping[str, Any]) -> None:
    """An option that nothing reads is refused, not kept."""
    profile = view.profile
    known = profile.option_names
    there_are = f"there are {', '.join(sorted(known))}" if known else f"the profile {profile.name} has none"
    faults = [
        Fault(f"/options/{name[:64]}", f"there is no such option{did_you_mean(name, known)}; {there_are}")
        for name in [name for name in options if name not in known][:20]
    ]
    if faults:
        raise Invalid("an option is unknown", code="option_invalid", faults=faults)
    profile.check_options(options)
