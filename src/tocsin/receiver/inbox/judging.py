"""Whether a request is what it claims to be, and if not, why: `receiver.verify` for those who look on.

It finds the dialect by the headers, knows ed25519 where the SDK cannot, and says apart what an SDK must not: that only
the time is wrong.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from tocsin.profiles import signatures
from tocsin.receiver.verify import PROFILES, TOLERANCE_S, Cause, VerificationError, verify

Headers = Sequence[tuple[str, str]]

_NOT_ITS_HEADERS = (Cause.MISSING_HEADER, Cause.OTHER_DIALECT)
_KEY_PAIR = (signatures.PUBLIC, signatures.ASYMMETRIC)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`verified` None: no secret was given to check with. `right_but_for_time`: apart from its time all is right."""

    verified: bool | None
    profile: str | None = None
    cause: str | None = None
    sentence: str | None = None
    id: str | None = None
    type: str | None = None
    right_but_for_time: bool = False


class _Claims(NamedTuple):
    id: str | None
    type: str | None


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
    at = time.time() if now is None else now
    if not secrets:
        claims = _claims(headers, body)
        found = None if profile is None and header is None else profile or "visits"
        return Verdict(verified=None, profile=found, id=claims.id, type=claims.type)
    if profile is None and header is not None:
        profile = "visits"  # the only dialect whose header can be chosen
    verdict = _judge(headers, body, secrets, profile, tolerance_s, at, header)
    if verdict.cause in (Cause.TIMESTAMP_TOO_OLD, Cause.TIMESTAMP_TOO_NEW):
        timeless = _judge(headers, body, secrets, profile, None, at, header)
        if timeless.verified:
            return msgspec.structs.replace(verdict, right_but_for_time=True)
    return verdict


def _judge(
    headers: Headers,
    body: bytes,
    secrets: Sequence[str],
    profile: str | None,
    tolerance_s: float | None,
    now: float,
    header: str | None,
) -> Verdict:
    first: Verdict | None = None
    for candidate in PROFILES if profile is None else (profile,):
        verdict = _judge_as(candidate, headers, body, secrets, tolerance_s, now, header)
        if verdict.verified or verdict.cause not in _NOT_ITS_HEADERS:
            return verdict
        first = first or verdict
    assert first is not None, "there is at least one profile"
    if profile is not None:
        return first
    sentence = (
        "none of the headers that a signature comes in is there: a proxy may have taken them away, the webhook was "
        "made without a secret, or this is no webhook at all"
    )
    claims = _claims(headers, body)
    return Verdict(verified=False, cause=Cause.MISSING_HEADER, sentence=sentence, id=claims.id, type=claims.type)


def _judge_as(
    profile: str,
    headers: Headers,
    body: bytes,
    secrets: Sequence[str],
    tolerance_s: float | None,
    now: float,
    header: str | None,
) -> Verdict:
    claims = _claims(headers, body)
    plain = [secret for secret in secrets if not secret.startswith(_KEY_PAIR)]
    try:
        if profile == "standard":
            keys = [secret for secret in secrets if secret.startswith(_KEY_PAIR)]
            if keys and _fits_v1a(headers, body, keys, tolerance_s, now):
                return Verdict(verified=True, profile=profile, id=claims.id, type=claims.type)
            if keys and not plain:
                return _refused(
                    profile,
                    Cause.WRONG_SECRET,
                    "no v1a signature matches this key: it is another webhook's, or the body is not the one that was "
                    "sent",
                    claims,
                )
        verified = verify(
            headers, body, plain or list(secrets), profile=profile, tolerance_s=tolerance_s, now=now, header=header
        )
    except VerificationError as error:
        return _refused(profile, error.cause, error.sentence, claims)
    return Verdict(verified=True, profile=profile, id=verified.id, type=verified.type)


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


def _claims(headers: Headers, body: bytes) -> _Claims:
    """What an unverified request says of itself: its id and type."""
    given = {name.lower(): value for name, value in headers}
    event_type = given.get("x-webhook-event") or given.get("x-trcker-event")
    if event_type is None:
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            value = None
        if isinstance(value, dict):
            event_type = next((value[key] for key in ("type", "event") if isinstance(value.get(key), str)), None)
    return _Claims(given.get("webhook-id"), event_type)
