"""Verifies a webhook that has arrived, in one call, with nothing beyond the standard library.

With Flask:

    from flask import Flask, request
    from tocsin.receiver.verify import VerificationError, verify

    app = Flask(__name__)
    SECRET = "whsec_…"  # shown once, when the webhook was made

    @app.post("/hooks")
    def hook():
        try:
            verified = verify(request.headers, request.get_data(), SECRET)
        except VerificationError as error:
            app.logger.warning("webhook refused: %s", error)  # for you: it says what to mend
            return "", 401  # for whoever sent it: nothing
        if not already_seen(verified.id):  # retries and replays carry the same id
            handle(verified.type, verified.event)
        return "", 204

With nothing but Python:

    from http.server import BaseHTTPRequestHandler, HTTPServer
    from tocsin.receiver.verify import VerificationError, verify

    SECRET = "whsec_…"

    class Hooks(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                verified = verify(self.headers, body, SECRET)
            except VerificationError as error:
                self.log_message("webhook refused: %s", error)
                self.send_response(401)
            else:
                print(verified.id, verified.type, verified.event)
                self.send_response(204)
            self.end_headers()

    HTTPServer(("127.0.0.1", 8000), Hooks).serve_forever()

Always give the bytes as they came: a body that was parsed and written again has another signature.

This file can be copied alone: whatever it takes or refuses, it does by itself. Why a signature does not fit is looked
for by `tocsin.receiver.explain`, only once it is refused, and only where that is there: so the code that says yes stays
short enough to be read, and nothing in the one that explains can let anything in.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal, NoReturn

__all__ = ["DIALECTS", "PROFILES", "Cause", "Dialect", "VerificationError", "Verified", "verify"]

TOLERANCE_S = 300.0  # Standard Webhooks' own libraries, and the document behind `trcker`: five minutes

_HEX = re.compile(r"[0-9a-f]{64}")  # lower case only, as it is sent: every signature has one spelling
_SECONDS = re.compile(r"[0-9]{1,11}")  # until the year 5138
_MILLISECONDS = re.compile(r"[0-9]{13}")


class Cause(StrEnum):
    """Why a webhook is refused."""

    MISSING_HEADER = "missing_header"  # a header that the signature needs is not there
    OTHER_DIALECT = "other_dialect"  # the headers of another profile are there
    OTHER_HEADER = "other_header"  # what belongs into the signature's header is in another one
    MALFORMED_HEADER = "malformed_header"  # a header is there, but not in the form that the profile gives it
    TIMESTAMP_TOO_OLD = "timestamp_too_old"
    TIMESTAMP_TOO_NEW = "timestamp_too_new"
    SECRET_MALFORMED = "secret_malformed"  # noqa: S105 - a cause, not a secret
    BODY_CHANGED = "body_changed"  # the signature fits the same body, written differently
    WRONG_KEY_FORM = "wrong_key_form"  # the secret is right, but another key was made of it
    SIGNED_OTHERWISE = "signed_otherwise"  # the secret is right, but something else than the profile's text was signed
    WRONG_SECRET = "wrong_secret"  # noqa: S105 - a cause, not a secret
    UNSUPPORTED = "unsupported"  # signed with ed25519, which Python's standard library does not have
    NOT_JSON = "not_json"  # the signature is right, the body is no JSON


class VerificationError(Exception):
    """The webhook cannot be trusted. Its text is for the receiver's own log; answer the sender with a bare 401."""

    def __init__(self, cause: Cause, sentence: str) -> None:
        super().__init__(f"{sentence} [{cause}]")
        self.cause = cause
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Verified:
    """A webhook whose signature is right.

    `id` deduplicates: it is the same for every retry and replay. `standard`, `trcker` and `cue` sign it; the other
    dialects do not, so there it protects from accidents, not from someone who repeats an old request on purpose.
    """

    id: str | None
    type: str | None
    timestamp: datetime | None  # when this attempt was signed, where the dialect says so
    event: Any  # the body, parsed
    profile: str
    scheme: str  # how it was signed: see `Dialect`
    secret_index: int  # which of the secrets that were given it fits, from 0


Scheme = Literal["standard-webhooks", "hmac-hex", "timestamped-hmac-hex", "token"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a sender signs, and where its requests say what they are.

    standard-webhooks       webhook-signature: "v1,BASE64 …" of "webhook-id.webhook-timestamp.body" with HMAC-SHA256,
                            keyed with the base64-decoded bytes after whsec_
    hmac-hex                HEADER: PREFIX + hex HMAC-SHA256 of the body, keyed with the secret's own bytes
    timestamped-hmac-hex    HEADER: PREFIX + "t=UNIX_SECONDS,v1=HEX" over "t.body", keyed alike
    token                   HEADER: PREFIX + the secret itself
    """

    name: str
    scheme: Scheme
    header: str = "webhook-signature"  # in any case
    prefix: str = ""
    first_keys: tuple[str, ...] = ()  # those that the envelope puts into bodies, in their order
    other_schemes: tuple[Scheme, ...] = ()  # those that a webhook may use instead
    id_key: str | None = None  # of the body, where the event's id is signed; else it is in Webhook-Id
    type_key: str | None = None  # of the body
    type_header: str | None = None  # where the body does not say the type
    may_be_unsigned: bool = False  # a webhook that was made without a secret

    @property
    def shown(self) -> str:
        """What the header looks like."""
        return " or ".join(self.prefix + _SHOWN[scheme] for scheme in (self.scheme, *self.other_schemes))


_SHOWN: Mapping[str, str] = {
    "standard-webhooks": "v1,BASE64",
    "hmac-hex": "HEX",
    "timestamped-hmac-hex": "t=UNIX_SECONDS,v1=HEX",
    "token": "SECRET",
}

# The dialects that Tocsin comes with; a test holds them to the data that its sender signs by.
DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        dialect.name: dialect
        for dialect in (
            Dialect("standard", "standard-webhooks", first_keys=("type", "timestamp", "data"), type_key="type"),
            Dialect(
                "cloakradar",
                "hmac-hex",
                "x-cloakradar-signature",
                "sha256=",
                ("event", "timestamp", "webhook_id", "data"),
                type_key="event",
            ),
            Dialect(
                "clickdefender",
                "hmac-hex",
                "x-clickdefender-signature",
                first_keys=("event", "timestamp", "property"),
                type_key="event",
            ),
            Dialect(
                "trcker",
                "timestamped-hmac-hex",
                "x-trcker-signature",
                first_keys=("id", "event", "createdAt", "brandId", "data"),
                id_key="id",
                type_key="event",
                type_header="x-trcker-event",
                may_be_unsigned=True,
            ),
            Dialect(
                "visits",
                "token",
                "x-webhook-signature",
                other_schemes=("hmac-hex",),
                type_header="x-webhook-event",
            ),
            Dialect(
                "cue",
                "hmac-hex",
                "cue-signature",
                "sha256=",
                ("id", "type", "created", "data", "api_version"),
                id_key="id",
                type_key="type",
            ),
        )
    }
)

PROFILES = tuple(DIALECTS)


def verify(
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    body: bytes | str,
    secret: str | Sequence[str],
    *,
    profile: str | Dialect = "standard",
    tolerance_s: float | None = TOLERANCE_S,
    now: float | None = None,
    header: str | None = None,
) -> Verified:
    """Checks a request's signature and gives its event.

    Args:
        headers: of the request; any mapping or pairs, names in any case.
        body: of the request, exactly as it came.
        secret: the webhook's. Several are tried in turn: the new and the old one while it is rotated.
        profile: the dialect of the account that sends: the name of one that Tocsin comes with, or one of your own.
        tolerance_s: how far the time of signing may be from `now`, where the dialect signs one (`standard`, `trcker`);
            None: as far as it likes.
        now: seconds since 1970; None: the system's.
        header: the header that was chosen instead of the dialect's (``X-Webhook-Signature`` of `visits`).

    Raises:
        VerificationError: it must not be trusted; `cause` says why, the text how to mend it.
        ValueError: there is no such profile.
    """
    dialect = profile if isinstance(profile, Dialect) else DIALECTS.get(profile)
    if dialect is None:
        raise ValueError(f"no profile is called {profile!r}; there are {', '.join(PROFILES)}")
    given = _Headers(headers)
    secrets = _texts(secret)
    raw = _raw(body)
    name = (header or dialect.header).lower()
    try:
        fit = _check(dialect, given, name, raw, secrets, time.time() if now is None else now, tolerance_s)
    except VerificationError as error:
        raise _explained(error, dialect, given, name, raw, secrets) from None
    event = _parsed(raw)
    return Verified(
        id=_id(given, event, dialect),
        type=_type(given, event, dialect),
        timestamp=None if fit.signed_at is None else datetime.fromtimestamp(fit.signed_at, UTC),
        event=event,
        profile=dialect.name,
        scheme=fit.scheme,
        secret_index=fit.secret_index,
    )


# --- one function a scheme ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a header claims: that with one of the keys this text has one of these signatures."""

    keys: Sequence[bytes | None]  # one a secret, in their order; None: no key can be made of it
    start: bytes  # signed before the body
    signatures: Sequence[str]  # hex
    signed_at: int | None = None


@dataclass(frozen=True, slots=True)
class _Fit:
    scheme: str
    secret_index: int
    signed_at: int | None = None


def _check(
    dialect: Dialect,
    given: "_Headers",
    header: str,
    body: bytes,
    secrets: Sequence[str],
    now: float,
    tolerance_s: float | None,
) -> _Fit:
    value = _required(given, header, dialect)
    first: VerificationError | None = None
    for scheme in (dialect.scheme, *dialect.other_schemes):
        try:
            if scheme == "token":
                return _check_token(dialect, header, value, secrets)
            claim = _CLAIMS[scheme](dialect, given, header, value, secrets)
            index = _matching(claim, body)
            if claim.signed_at is not None:
                _check_time(claim.signed_at, now, tolerance_s, right=index is not None)
            if index is not None:
                return _Fit(scheme, index, claim.signed_at)
            _fail(Cause.WRONG_SECRET, _NO_MATCH)
        except VerificationError as error:
            first = first or error
    assert first is not None, "there is at least one scheme"
    raise first


_NO_MATCH = "no signature matches: the secret is another one, or the body is not the one that was sent"


def _matching(claim: _Claim, body: bytes) -> int | None:
    """Which key one of the signatures is by."""
    for index, key in enumerate(claim.keys):
        if key:
            digest = hmac.new(key, claim.start, hashlib.sha256)
            digest.update(body)
            if any(hmac.compare_digest(digest.hexdigest(), signature) for signature in claim.signatures):
                return index
    return None


def _claim_standard(dialect: Dialect, given: "_Headers", header: str, value: str, secrets: Sequence[str]) -> _Claim:
    """``webhook-signature: v1,BASE64 …``: HMAC-SHA256 of "id.timestamp.body", keyed with the bytes after whsec_."""
    message_id = _required(given, "webhook-id", dialect)
    timestamp = _required(given, "webhook-timestamp", dialect)
    entries = [entry.partition(",") for entry in value.split()]
    versions = {version for version, _, _ in entries}
    if all(one.startswith(("whpk_", "whsk_")) for one in secrets) or ("v1" not in versions and "v1a" in versions):
        _fail(
            Cause.UNSUPPORTED,
            "v1a signatures and whpk_ keys are ed25519, which Python's standard library does not have; "
            "use `tocsin verify`, a library with ed25519, or a whsec_ secret for this webhook",
        )
    signatures = [
        decoded.hex()
        for version, _, text in entries
        if version == "v1"
        and (decoded := _base64(text)) is not None
        and len(decoded) == hashlib.sha256().digest_size
        and base64.b64encode(decoded).decode() == text  # its last letter could be written in four ways
    ]
    if not signatures:
        _fail_form(header, dialect)
    keys = [None if one.startswith(("whpk_", "whsk_")) else _standard_key(one) for one in secrets]
    if not any(keys):
        _fail(
            Cause.SECRET_MALFORMED,
            "the secret is not whsec_ followed by base64; copy it whole, as it was shown when the webhook was made",
        )
    return _Claim(keys, _utf8(f"{message_id}.{timestamp}."), signatures, _seconds("webhook-timestamp", timestamp))


def _claim_timestamped(dialect: Dialect, given: "_Headers", header: str, value: str, secrets: Sequence[str]) -> _Claim:
    """``t=UNIX_SECONDS,v1=HEX``, in any order: HMAC-SHA256 of "t.body", keyed with the secret's own bytes.

    The receiver in the document behind `trcker` reads the pairs into an object, so their order does not count there.
    """
    del given
    parts = dict(part.strip().partition("=")[::2] for part in _after_prefix(header, value, dialect).split(","))
    if not _HEX.fullmatch(parts.get("v1", "")) or "t" not in parts:
        _fail_form(header, dialect)
    signed_at = _seconds(f"t in {header}", parts["t"])
    return _Claim([_utf8(one) for one in secrets], _utf8(parts["t"]) + b".", [parts["v1"]], signed_at)


def _claim_hex(dialect: Dialect, given: "_Headers", header: str, value: str, secrets: Sequence[str]) -> _Claim:
    """HEX, after its prefix: HMAC-SHA256 of the body, keyed with the secret's own bytes."""
    del given
    digest = _after_prefix(header, value, dialect)
    if not _HEX.fullmatch(digest):
        _fail_form(header, dialect)
    return _Claim([_utf8(one) for one in secrets], b"", [digest])


_CLAIMS = {
    "standard-webhooks": _claim_standard,
    "timestamped-hmac-hex": _claim_timestamped,
    "hmac-hex": _claim_hex,
}


def _check_token(dialect: Dialect, header: str, value: str, secrets: Sequence[str]) -> _Fit:
    token = _utf8(_after_prefix(header, value, dialect))
    for index, secret in enumerate(secrets):
        if hmac.compare_digest(token, _utf8(secret)):
            return _Fit("token", index)
    raise VerificationError(
        Cause.WRONG_SECRET, f"the token in {header} is not the secret: it is another webhook's, or was changed since"
    )


# --- refusals -----------------------------------------------------------------------------------------------------


def _explained(
    error: VerificationError,
    dialect: Dialect,
    given: "_Headers",
    header: str,
    body: bytes,
    secrets: Sequence[str],
) -> VerificationError:
    """The same refusal with what there is to find out about it."""
    try:
        from tocsin.receiver.explain import explain  # noqa: PLC0415 - only once something is refused
    except ImportError:  # this file was copied alone
        return error
    if error.cause in (Cause.TIMESTAMP_TOO_OLD, Cause.TIMESTAMP_TOO_NEW, Cause.UNSUPPORTED):
        return error
    found = explain(dialect, DIALECTS.values(), header, given.values, body, secrets, refused_as=error.cause)
    return error if found is None else VerificationError(Cause(found[0]), found[1])


def _fail(cause: Cause, sentence: str) -> NoReturn:
    raise VerificationError(cause, sentence)


def _fail_form(header: str, dialect: Dialect) -> NoReturn:
    _fail(
        Cause.MALFORMED_HEADER,
        f"{header} does not look like {dialect.shown}: it was cut or changed on its way, or `profile` is not the "
        "sender's dialect",
    )


def _required(given: "_Headers", name: str, dialect: Dialect) -> str:
    value = given.get(name)
    if not value:
        hint = "; a webhook that was made without a secret is not signed" if dialect.may_be_unsigned else ""
        _fail(
            Cause.MISSING_HEADER,
            f"{name} is missing: a proxy may have taken it away, or this is no webhook at all{hint}",
        )
    return value


def _after_prefix(header: str, value: str, dialect: Dialect) -> str:
    if not value.startswith(dialect.prefix):
        _fail_form(header, dialect)
    return value.removeprefix(dialect.prefix)


# --- parts --------------------------------------------------------------------------------------------------------


class _Headers:
    """A request's headers, by lower-case name."""

    def __init__(self, headers: Any) -> None:
        self.values: dict[str, list[str]] = {}
        for name, value in headers.items() if hasattr(headers, "items") else headers:
            self.values.setdefault(_text(name).lower(), []).append(_text(value).strip())

    def get(self, name: str) -> str | None:
        """Its value, or None.

        Raises:
            VerificationError: it is there twice, so that nobody can say which one counts.
        """
        values = self.values.get(name, [])
        if len(values) > 1:
            _fail(Cause.MALFORMED_HEADER, f"{name} is there {len(values)} times; a proxy may have added one")
        return values[0] if values else None


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _texts(secret: str | Sequence[str]) -> Sequence[str]:
    secrets = [secret] if isinstance(secret, str) else list(secret or ())
    if not secrets or not all(isinstance(one, str) and one for one in secrets):
        _fail(Cause.SECRET_MALFORMED, "the secret is empty; is the variable that should hold it set?")
    return secrets


def _raw(body: object) -> bytes:
    if isinstance(body, str):
        return _utf8(body)
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    _fail(
        Cause.BODY_CHANGED,
        f"the body is a {type(body).__name__}, so it was parsed already; pass the raw bytes of the request",
    )


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        _fail(Cause.NOT_JSON, "the signature is right, but the body is no JSON")


def _standard_key(secret: str) -> bytes | None:
    """The bytes after ``whsec_``, which may be left out, as Standard Webhooks' own libraries let it."""
    return _base64(secret.removeprefix("whsec_")) or None


def _base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None


def _seconds(name: str, text: str) -> int:
    if _MILLISECONDS.fullmatch(text):
        _fail(Cause.MALFORMED_HEADER, f"{name} is in milliseconds; it must be in whole seconds since 1970")
    if not _SECONDS.fullmatch(text):
        _fail(Cause.MALFORMED_HEADER, f"{name} is not a whole number of seconds since 1970")
    return int(text)


def _check_time(signed_at: int, now: float, tolerance_s: float | None, *, right: bool) -> None:
    if tolerance_s is None or abs(now - signed_at) <= tolerance_s:
        return
    besides = "; apart from its time the signature is right" if right else "; and the signature does not match either"
    if now > signed_at:
        _fail(
            Cause.TIMESTAMP_TOO_OLD,
            f"signed {now - signed_at:.0f} s ago, more than the {tolerance_s:.0f} s allowed: an old request is being "
            f"repeated, it waited too long here before it was checked, or this machine's clock is ahead{besides}",
        )
    _fail(
        Cause.TIMESTAMP_TOO_NEW,
        f"signed {signed_at - now:.0f} s in the future, more than the {tolerance_s:.0f} s allowed: this machine's "
        f"clock, or the sender's, is wrong{besides}",
    )


def _id(given: _Headers, event: Any, dialect: Dialect) -> str | None:
    """The deduplication key: the signed one of the body, where the dialect has it there, else the header."""
    found = event.get(dialect.id_key) if isinstance(event, dict) and dialect.id_key else None
    return found if isinstance(found, str) else given.get("webhook-id")


def _type(given: _Headers, event: Any, dialect: Dialect) -> str | None:
    """Likewise: from the body, where the dialect says it there, for that is signed."""
    found = event.get(dialect.type_key) if isinstance(event, dict) and dialect.type_key else None
    if isinstance(found, str):
        return found
    return given.get(dialect.type_header.lower()) if dialect.type_header else None
