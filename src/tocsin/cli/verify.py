"""``tocsin verify``: whether a webhook is what it claims to be, and if not, why and what to do."""

import sys
from typing import Annotated

import msgspec
from cyclopts import Parameter

from tocsin.cli.exits import INVALID, OK, UNDELIVERED, USAGE, Failure
from tocsin.cli.output import AsJson, Flag, Texts, put, put_json, say
from tocsin.cli.reading import Input, read_bytes, read_instant, split_headers
from tocsin.cli.settings import OUR_DIALECTS, DialectFlags
from tocsin.errors import Malformed

Secrets = Annotated[
    tuple[str, ...],
    Parameter(name="--secret", env_var="TOCSIN_WEBHOOK_SECRET", negative=(), show_default=False),
]


def verify(
    file: Input,
    /,
    *,
    secret: Secrets = (),
    header: Annotated[Texts, Parameter(name="--header")] = (),
    profile: str | None = None,
    signature_header: str | None = None,
    when: str | None = None,
    tolerance_s: float = 300.0,
    any_time: Flag = False,
    as_json: AsJson = False,
    dialects: DialectFlags = OUR_DIALECTS,
) -> int:
    """Check the signature of a webhook.

    Args:
        file: The saved request, headers and body; with --header only its body. - is stdin.
        secret: The webhook's secret, or its public key (whpk_…); repeatable: one of them must fit.
        header: A header of the request, 'Name: value'; repeatable.
        profile: The sender's dialect; found by the headers unless said otherwise.
        signature_header: The header that the signature is in, where another was chosen (visits).
        when: The instant (RFC 3339) to judge its time by, instead of now.
        tolerance_s: How many seconds the time of signing may be away.
        any_time: Take a signature of any age.
        as_json: Print JSON.
    """
    dialects.use()
    from tocsin import profiles
    from tocsin.receiver.inbox.judging import judge
    from tocsin.receiver.inbox.saved import read_request

    if not secret:
        raise Failure(USAGE, "give the webhook's secret with --secret or TOCSIN_WEBHOOK_SECRET")
    if profile is not None and profile not in profiles.names():
        raise Failure(USAGE, f"no profile is called {profile!r}; there are {', '.join(profiles.names())}")
    raw = read_bytes(file)
    if header:
        headers, body = list(split_headers(header).items()), raw
    else:
        try:
            headers, body = read_request(raw)
        except Malformed as error:
            hint = ["Give the headers with --header 'Name: value' if the file holds only the body."]
            raise Failure(INVALID, f"{file}: {error.detail}", hint) from None
    verdict = judge(
        headers,
        body,
        secret,
        profile=profile,
        tolerance_s=None if any_time else tolerance_s,
        now=None if when is None else read_instant(when, "--when") / 1000,
        header=signature_header,
    )
    if as_json:
        put_json(msgspec.to_builtins(verdict))
    elif verdict.verified:
        put(f"verified: {verdict.type or 'an event'} {verdict.id or ''} ({verdict.profile})")
        if verdict.note:
            put(f"  {verdict.note}")
    if not verdict.verified and not as_json:
        sys.stdout.flush()
        say(f"not verified{f' ({verdict.profile})' if verdict.profile else ''}: {verdict.cause}")
        say(f"  {verdict.sentence}")
        if verdict.right_but_for_time:
            say("  The signature itself is right: with --any-time (or the right --when) it verifies.")
    return OK if verdict.verified else UNDELIVERED
