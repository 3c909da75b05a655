"""``tocsin listen --as …``: a chat or a mailbox to send alerts to, on this machine."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter, validators

from tocsin.cli.exits import USAGE, Failure
from tocsin.cli.output import say
from tocsin.nearest import did_you_mean

if TYPE_CHECKING:
    from tocsin.receiver.doubles import Double

Service = Literal["slack", "telegram", "discord", "smtp"]

_GROUP = Group("With --as", sort_key=50)
_Port = Annotated[int, Parameter(group=_GROUP, validator=validators.Number(gte=0, lte=65_535))]
_Optional = Parameter(group=_GROUP, negative=(), show_default=False)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DoubleFlags:
    """How the service that stands in for a real one behaves."""

    fail: Annotated[str | None, _Optional] = None
    """Refuse everything with this error of the service; an unknown name lists them."""

    rate_limits: Annotated[bool, Parameter(group=_GROUP)] = True
    """Keep the service's limits of messages in a time."""

    smtp_port: _Port = 2525
    """The port of the mail server (smtp); --port is its page's."""

    certificate: Annotated[Path | None, _Optional] = None
    """Offer STARTTLS with this certificate and key, in one PEM file (smtp)."""

    login: Annotated[str | None, _Optional] = None
    """Take mails only after a login as user:password (smtp)."""


AS_IT_IS = DoubleFlags()


def make_double(service: Service, host: str, port: int, flags: DoubleFlags) -> "Double":
    """The double as it was asked for.

    Raises:
        Failure: what was asked for makes no sense.
    """
    from tocsin.receiver.doubles import DiscordDouble, MailDouble, SlackDouble, TelegramDouble

    if service != "smtp" and (flags.certificate or flags.login or flags.smtp_port != AS_IT_IS.smtp_port):
        raise Failure(USAGE, "--smtp-port, --certificate and --login go with --as smtp")
    made: Double
    if service == "smtp":
        made = MailDouble(host, port, smtp_port=flags.smtp_port, tls=_tls(flags.certificate), users=_users(flags.login))
    else:
        kinds: dict[str, Callable[..., Double]] = {
            "slack": SlackDouble,
            "telegram": TelegramDouble,
            "discord": DiscordDouble,
        }
        made = kinds[service](host, port, rate_limits=flags.rate_limits)
    if flags.fail is not None:
        if flags.fail not in made.ERRORS:
            meant = did_you_mean(flags.fail, made.ERRORS)
            raise Failure(
                USAGE, f"{made.name} has no error {flags.fail!r}{meant}", [f"There are {', '.join(made.ERRORS)}."]
            )
        made.fail_with(flags.fail, times=None)
    return made


def _users(login: str | None) -> dict[str, str] | None:
    if login is None:
        return None
    user, _, password = login.partition(":")
    if not user or not password:
        raise Failure(USAGE, "--login takes a user and a password, such as me:secret")
    return {user: password}


def _tls(certificate: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate)
    except OSError as error:  # ssl.SSLError is one
        raise Failure(USAGE, f"--certificate {certificate}: {error.strerror or error}") from None
    return context


def announce(double: "Double") -> None:
    from tocsin.receiver.doubles import MailDouble

    say(f"Listening at {double.page} as {double.name}; open it in a browser to see the messages.")
    if isinstance(double, MailDouble):
        say(f"The mail server: TOCSIN_SMTP_URL={double.smtp_url}")
        say(f"A webhook's address: {double.address}, or any other mailbox")
    else:
        say(f"A webhook's address: {double.address}")
        say("A server sends to this machine with --allow-http --allow-networks 127.0.0.0/8.")
