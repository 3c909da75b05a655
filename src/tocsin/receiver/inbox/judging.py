"""Whether a request is what it claims to be, and if not, why: `receiver.verify` for those who look on.

It knows the dialects that are installed beside ours, finds each request's by its headers, finds the header that a
webhook's options have named, knows ed25519 where the SDK cannot, and says apart what an SDK must not: that only the
time is wrong.
"""

import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from tocsin import profiles
from tocsin.profiles import Profile, signatures
from tocsin.receiver.verify import TOLERANCE_S, Cause, Dialect, VerificationError, verify

Headers = Sequence[tuple[str, str]]

_NOT_ITS_HEADERS = (Cause.MISSING_HEADER, Cause.OTHER_DIALECT, Cause.OTHER_HEADER)
_KEY_PAIR = (signatures.PUBLIC, signatures.ASYMMETRIC)
_TRIED_HEADERS = 64  # a request has some ten


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`verified` None: no secret was given to check with. `note`: what a receiver should know though it is verified.
    `right_but_for_time`: apart from its time all is right.
    """

    verified: bool | None
    profile: str | None = None
    cause: str | None = None
    sentence: str | None = None
    note: str | None = None
    id: str | None = None
    type: str | None = None
    right_but_for_time: bool = False


class _Claims(NamedTuple):
    """What an unverified request says of itself."""

    id: str | None
    type: str | None


class _Arrived(NamedTuple):
    """A request, read once for all dialects. `given`: its headers by lower-case name; `body`: parsed, if it is JSON."""

    headers: Headers
    raw: bytes
    given: dict[str, str]
    body: Any

    @classmethod
    def of(cls, headers: Headers, raw: bytes) -> "_Arrived":
        try:
            body = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            body = None
        return cls(headers, raw, {name.lower(): value.strip() for name, value in headers}, body)


class _Terms(NamedTuple):
    """What to verify by."""

    secrets: Sequence[str]
    tolerance_s: float | None
    now: float
    header: str | None


@lru_cache(maxsize=64)
def dialect_of(profile: Profile) -> Dialect:
    """What the receivers' side must know of a dialect, from the data that its sender signs by."""
    spec = profile.signature
    return Dialect(
        name=profile.name,
        scheme=spec.scheme,
        header=(spec.header or "webhook-signature").lower(),
        prefix=spec.prefix,
        first_keys=profile.envelope_keys,
        other_schemes=tuple(scheme for scheme in spec.schemes.values() if scheme != spec.scheme),
        id_key=profile.key_of("event.id"),
        type_key=profile.key_of("event.type"),
        type_header=(profile.header_of("event.type") or "").lower() or None,
        may_be_unsigned=profile.may_be_unsigned,
    )


def judge(
    headers: Headers,
    body: bytes,
    secrets: Sequence[str],
    *,
    profile: str | None = None,
    tolerance_s: float | None = TOLERANCE_S,
    now: float | None = None,
    header: str | None = None,
) -> Verdict:
    """Verifies, with any one of the secrets.

    Args:
        profile: the dialect; None: found by the headers.
        tolerance_s, now, header: as `receiver.verify.verify` takes them.
    """
    arrived = _Arrived.of(headers, body)
    known = [profiles.load(name) for name in (profiles.names() if profile is None else (profile,))]
    if profile is None and header is not None:  # only some let it be chosen
        known = [one for one in known if one.signature.header_option] or known
    ranked = sorted(known, key=lambda one: -_likeness(arrived, dialect_of(one)))
    if not secrets:
        likely = profile is not None or header is not None or _likeness(arrived, dialect_of(ranked[0])) > 0
        found = dialect_of(ranked[0]) if likely else None
        claims = _claims(arrived, found)
        return Verdict(verified=None, profile=None if found is None else found.name, id=claims.id, type=claims.type)
    terms = _Terms(secrets, tolerance_s, time.time() if now is None else now, header)
    verdict = _judge(arrived, ranked, terms, named=profile is not None)
    if verdict.cause in (Cause.TIMESTAMP_TOO_OLD, Cause.TIMESTAMP_TOO_NEW):
        timeless = _judge(arrived, ranked, terms._replace(tolerance_s=None), named=profile is not None)
        if timeless.verified:
            return msgspec.structs.replace(verdict, right_but_for_time=True)
    return verdict


def _judge(arrived: _Arrived, ranked: Sequence[Profile], terms: _Terms, *, named: bool) -> Verdict:
    """The verdict of the first dialect that verifies; else of the likeliest one."""
    refused: list[Verdict] = []
    for profile in ranked:
        verdict = _judge_as(arrived, profile, terms)
        if verdict.verified:
            return verdict
        refused.append(verdict)
    if named:
        return _spoken_otherwise(arrived, refused[0]) or refused[0]
    for verdict in refused:
        if verdict.cause not in _NOT_ITS_HEADERS:
            return verdict
    if _likeness(arrived, dialect_of(ranked[0])) > 0:
        return refused[0]
    sentence = (
        "none of the headers that a signature comes in is there: a proxy may have taken them away, the webhook was "
        "made without a secret, or this is no webhook at all"
    )
    claims = _claims(arrived, None)
    return Verdict(verified=False, cause=Cause.MISSING_HEADER, sentence=sentence, id=claims.id, type=claims.type)


def _spoken_otherwise(arrived: _Arrived, verdict: Verdict) -> Verdict | None:
    """Where the header of one of the installed dialects, which the SDK does not know, is there instead."""
    if verdict.cause != Cause.MISSING_HEADER:
        return None
    for name in profiles.names():
        header = dialect_of(profiles.load(name)).header
        if name != verdict.profile and header in arrived.given:
            sentence = f"{verdict.sentence}; but {header} is there: the sender speaks {name!r}"
            return msgspec.structs.replace(verdict, cause=Cause.OTHER_DIALECT, sentence=sentence)
    return None


def _likeness(arrived: _Arrived, dialect: Dialect) -> int:
    """How much a request looks like one of that dialect's; 0: not at all."""
    keys = list(arrived.body) if isinstance(arrived.body, dict) else []
    return (
        8 * (dialect.header in arrived.given)
        + 4 * (dialect.type_header in arrived.given)
        + 2 * bool(dialect.first_keys and [key for key in keys if key in dialect.first_keys] == [*dialect.first_keys])
        + (dialect.scheme == "standard-webhooks" and "webhook-timestamp" in arrived.given)
    )


def _judge_as(arrived: _Arrived, profile: Profile, terms: _Terms) -> Verdict:
    dialect = dialect_of(profile)
    claims = _claims(arrived, dialect)
    try:
        if dialect.scheme == "standard-webhooks":
            verdict = _judge_key_pairs(arrived, dialect, terms, claims)
            if verdict is not None:
                return verdict
        if terms.header is None and profile.signature.header_option and dialect.header not in arrived.given:
            return _judge_headers(arrived, dialect, terms, claims)
        return _verified(arrived, dialect, terms, terms.header)
    except VerificationError as error:
        return _refused(dialect.name, error.cause, error.sentence, claims)


def _verified(arrived: _Arrived, dialect: Dialect, terms: _Terms, header: str | None) -> Verdict:
    plain = [secret for secret in terms.secrets if not secret.startswith(_KEY_PAIR)]
    secrets = plain or list(terms.secrets)
    verified = verify(
        arrived.headers,
        arrived.raw,
        secrets,
        profile=dialect,
        tolerance_s=terms.tolerance_s,
        now=terms.now,
        header=header,
    )
    notes = []
    if dialect.other_schemes:
        how = "the secret itself" if verified.scheme == "token" else "an HMAC of the body"
        notes.append(f"{header or dialect.header} holds {how}")
    if len(secrets) > 1:
        notes += _rotation_note(arrived, dialect, secrets, verified.secret_index, terms)
    return Verdict(
        verified=True,
        profile=dialect.name,
        note="; ".join(notes) or None,
        id=verified.id,
        type=verified.type,
    )


def _rotation_note(
    arrived: _Arrived, dialect: Dialect, secrets: Sequence[str], index: int, terms: _Terms
) -> Iterator[str]:
    """Which of several secrets signs now: what somebody wants to know who is changing them."""
    which = f"secret {index + 1} of {len(secrets)} fits"
    if dialect.scheme != "standard-webhooks":
        when = "while a secret is rotated the old one signs until the overlap ends, then only the new one"
        yield which if len(secrets) > 2 else f"{which}; {when}"
        return
    for other in secrets[index + 1 :]:
        try:
            verify(arrived.headers, arrived.raw, other, profile=dialect, tolerance_s=None, now=terms.now)
        except VerificationError:
            continue
        yield "two of the secrets fit: a rotation is under way, and both sign until its overlap ends"
        return
    yield which if len(secrets) > 2 else f"only {which}: no rotation between the two is under way"


def _judge_headers(arrived: _Arrived, dialect: Dialect, terms: _Terms, claims: _Claims) -> Verdict:
    """Where a webhook may name the signature's header, and the usual one is missing: any header that fits.

    This is for looking on. A receiver knows which header it has chosen, and must look at no other. What looks nothing
    like this dialect, and what stands in another dialect's header, is that one's to judge.
    """
    theirs = {dialect_of(profiles.load(name)).header for name in profiles.names()}
    likely = _likeness(arrived, dialect) > 0
    for name in [name for name in arrived.given if likely and name not in theirs][:_TRIED_HEADERS]:
        try:
            return _verified(arrived, dialect, terms, name)
        except VerificationError:
            continue
    try:
        return _verified(arrived, dialect, terms, None)
    except VerificationError as error:
        return _refused(dialect.name, error.cause, error.sentence, claims)


# --- ed25519 ------------------------------------------------------------------------------------------------------


def _judge_key_pairs(arrived: _Arrived, dialect: Dialect, terms: _Terms, claims: _Claims) -> Verdict | None:
    """None: by the keys alone nothing is decided."""
    keys = [secret for secret in terms.secrets if secret.startswith(_KEY_PAIR)]
    if not keys:
        return None
    if _fits_v1a(arrived.headers, arrived.raw, keys, terms.tolerance_s, terms.now):
        return Verdict(verified=True, profile=dialect.name, id=claims.id, type=claims.type)
    if len(keys) < len(terms.secrets):
        return None
    return _refused(
        dialect.name,
        Cause.WRONG_SECRET,
        "no v1a signature matches this key: it is another webhook's, or the body is not the one that was sent",
        claims,
    )


def _fits_v1a(headers: Headers, body: bytes, keys: Sequence[str], tolerance_s: float | None, now: float) -> bool:
    """Whether an ed25519 signature is by one of the ``whpk_`` (or ``whsk_``) keys.

    Raises:
        VerificationError: something is wrong before any signature is looked at.
    """
    given = {name.lower(): value.strip() for name, value in headers}
    for name in ("webhook-signature", "webhook-id", "webhook-timestamp"):
        if not given.get(name):
            raise VerificationError(
                Cause.MISSING_HEADER, f"{name} is missing: a proxy may have taken it away, or this is no webhook at all"
            )
    stamp = given["webhook-timestamp"]
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 12):  # until the year 5138
        raise VerificationError(Cause.MALFORMED_HEADER, "webhook-timestamp is not a whole number of seconds since 1970")
    age_s = now - int(stamp)
    if tolerance_s is not None and abs(age_s) > tolerance_s:
        cause = Cause.TIMESTAMP_TOO_OLD if age_s > 0 else Cause.TIMESTAMP_TOO_NEW
        where = "ago" if age_s > 0 else "in the future"
        raise VerificationError(cause, f"signed {abs(age_s):.0f} s {where}, more than the {tolerance_s:.0f} s allowed")
    try:
        public = [signatures.public_key(key) if key.startswith(signatures.ASYMMETRIC) else key for key in keys]
        return any(
            signatures.verify_v1a(key, given["webhook-id"], stamp, body, given["webhook-signature"]) for key in public
        )
    except ValueError:
        raise VerificationError(
            Cause.SECRET_MALFORMED, "the key is not whpk_ (or whsk_) followed by the base64 of an ed25519 key"
        ) from None


def _refused(profile: str, cause: Cause, sentence: str, claims: _Claims) -> Verdict:
    return Verdict(verified=False, profile=profile, cause=cause, sentence=sentence, id=claims.id, type=claims.type)


def _claims(arrived: _Arrived, dialect: Dialect | None) -> _Claims:
    """What an unverified request says of itself: its id and type, from where its dialect says them."""
    body = arrived.body if isinstance(arrived.body, dict) else {}
    if dialect is None:
        return _Claims(arrived.given.get("webhook-id"), _text_at(body, "type") or _text_at(body, "event"))
    return _Claims(
        _text_at(body, dialect.id_key) or arrived.given.get("webhook-id"),
        _text_at(body, dialect.type_key) or arrived.given.get(dialect.type_header or ""),
    )


def _text_at(body: dict[str, Any], key: str | None) -> str | None:
    value = body.get(key) if key is not None else None
    return value if isinstance(value, str) else None
