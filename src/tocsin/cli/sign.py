"""``tocsin sign``: the headers that a webhook with this body would carry."""

import json
from typing import Annotated

from cyclopts import Parameter

from tocsin.cli.exits import USAGE, Failure
from tocsin.cli.output import AsJson, put, put_json
from tocsin.cli.reading import Input, parse_object, read_bytes, read_instant
from tocsin.cli.settings import OUR_DIALECTS, DialectFlags
from tocsin.cli.verify import Secrets


def sign(
    file: Input,
    /,
    *,
    secret: Secrets = (),
    profile: str = "standard",
    event: str | None = None,
    event_type: Annotated[str, Parameter(name="--type")] = "",
    webhook: str = "wh_0000000000000",
    when: str | None = None,
    options: str | None = None,
    as_json: AsJson = False,
    dialects: DialectFlags = OUR_DIALECTS,
) -> None:
    """Sign a body; print the headers, for instance for curl --header @FILE.

    Args:
        file: The body, signed byte for byte. - is stdin.
        secret: The webhook's secret (or whsk_… for ed25519); repeatable where the dialect signs with several.
        profile: The dialect.
        event: The event's id; that of the body, where the dialect has it there, else a new one, unless given.
        event_type: The event's type, for dialects that have it in a header; that of the body, where it is there.
        webhook: The webhook's id, for dialects that have it in a header.
        when: The instant (RFC 3339) of signing, instead of now.
        options: The webhook's options, as a JSON object.
        as_json: Print JSON.
    """
    dialects.use()
    from tocsin import ids, profiles
    from tocsin.clock import Millis, SystemClock

    if not secret:
        raise Failure(USAGE, "give the webhook's secret with --secret or TOCSIN_WEBHOOK_SECRET")
    dialect = profiles.load(profile)
    for one in secret:
        dialect.check_secret(one)
    chosen = {} if options is None else parse_object(options, "--options")
    dialect.check_options(chosen)
    if len(secret) > 1 and not dialect.signs_with_both:
        raise Failure(USAGE, f"{profile} signs with one secret; while a rotation overlaps that is the old one")
    body = read_bytes(file)
    event = event or _text_at(body, dialect.key_of("event.id"))
    event_type = event_type or _text_at(body, dialect.key_of("event.type")) or ""
    type_header = dialect.header_of("event.type")
    if type_header and not event_type:
        known = ", ".join(sorted(dialect.catalogue))
        raise Failure(USAGE, f"{profile} sends the event's type in {type_header}: give it with --type ({known})")
    clock = SystemClock()
    at = clock.now_ms() if when is None else Millis(read_instant(when, "--when"))
    facts = profiles.Facts(
        event_id=event or ids.show(ids.PREFIXES["event"], ids.IdSource(clock).next()),
        type=event_type,
        timestamp=at,
        data=b"{}",
        webhook_id=webhook,
        account_id="acc_0000000000000",
        account_external_id=None,
        account_name="",
    )
    headers = dialect.sign(facts, body, secret, at, chosen)
    if as_json:
        put_json(dict(headers))
    else:
        for name, value in headers:
            put(f"{name}: {value}")


def _text_at(body: bytes, key: str | None) -> str | None:
    """What the body says under a key of its envelope."""
    try:
        value = json.loads(body) if key is not None else None
    except (ValueError, RecursionError):
        return None
    text = value.get(key) if isinstance(value, dict) else None
    return text if isinstance(text, str) else None
