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
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NoReturn

__all__ = ["PROFILES", "Cause", "VerificationError", "Verified", "verify"]

TOLERANCE_S = 300.0  # Standard Webhooks' own libraries, and the document behind `trcker`: five minutes
_DIAGNOSED_BYTES = 1 << 20  # larger bodies are refused without looking for the reason in them

_HEX = re.compile(r"[0-9A-Fa-f]{64}")
_SECONDS = re.compile(r"[0-9]{1,11}")  # until the year 5138
_MILLISECONDS = re.compile(r"[0-9]{13}")


class Cause(StrEnum):
    """Why a webhook is refused."""

    MISSING_HEADER = "missing_header"  # a header that the signature needs is not there
    OTHER_DIALECT = "other_dialect"  # the headers of another profile are there
    MALFORMED_HEADER = "malformed_header"  # a header is there, but not in the form that the profile gives it
    TIMESTAMP_TOO_OLD = "timestamp_too_old"
    TIMESTAMP_TOO_NEW = "timestamp_too_new"
    SECRET_MALFORMED = "secret_malformed"  # noqa: S105 - a cause, not a secret
    BODY_CHANGED = "body_changed"  # the signature fits the same body, written differently
    WRONG_KEY_FORM = "wrong_key_form"  # the secret is right, but another key was made of it
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


@dataclass(frozen=True, slots=True)
class _Dialect:
    header: str  # in lower case, as all names here
    prefix: str = ""
    first_keys: tuple[str, ...] = ()  # how its bodies begin
    shown: str = ""  # what the header looks like


_DIALECTS: Mapping[str, _Dialect] = {
    "standard": _Dialect("webhook-signature", "v1,", ("type", "timestamp", "data"), "v1,BASE64"),
    "cloakradar": _Dialect(
        "x-cloakradar-signature", "sha256=", ("event", "timestamp", "webhook_id", "data"), "sha256=HEX"
    ),
    "clickdefender": _Dialect("x-clickdefender-signature", "", ("event", "timestamp", "property"), "HEX"),
    "trcker": _Dialect(
        "x-trcker-signature", "t=", ("id", "event", "createdAt", "brandId", "data"), "t=UNIX_SECONDS,v1=HEX"
    ),
    "visits": _Dialect("x-webhook-signature", "", (), "the shared secret, or HEX"),
    "cue": _Dialect("cue-signature", "sha256=", ("id", "type", "created", "data", "api_version"), "sha256=HEX"),
}

PROFILES = tuple(_DIALECTS)


def verify(
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    body: bytes | str,
    secret: str | Sequence[str],
    *,
    profile: str = "standard",
    tolerance_s: float | None = TOLERANCE_S,
    now: float | None = None,
    header: str | None = None,
) -> Verified:
    """Checks a request's signature and gives its event.

    Args:
        headers: of the request; any mapping or pairs, names in any case.
        body: of the request, exactly as it came.
        secret: the webhook's. Several are tried in turn: the new and the old one while it is rotated.
        profile: the dialect of the account that sends.
        tolerance_s: how far the time of signing may be from `now`, where the dialect signs one (`standard`, `trcker`);
            None: as far as it likes.
        now: seconds since 1970; None: the system's.
        header: the header that was chosen instead of ``X-Webhook-Signature`` (`visits`).

    Raises:
        VerificationError: it must not be trusted; `cause` says why, the text how to mend it.
        ValueError: there is no such profile.
    """
    dialect = _DIALECTS.get(profile)
    if dialect is None:
        raise ValueError(f"no profile is called {profile!r}; there are {', '.join(PROFILES)}")
    given = _Headers(headers)
    secrets = _texts(secret)
    raw = _raw(body)
    at = time.time() if now is None else now
    signed_at: int | None = None
    match profile:
        case "standard":
            signed_at = _verify_standard(given, raw, secrets, dialect, at, tolerance_s)
        case "trcker":
            signed_at = _verify_timestamped(given, raw, secrets, dialect, at, tolerance_s)
        case "visits":
            _verify_token(given, raw, secrets, dialect, (header or dialect.header).lower())
        case _:
            _verify_hex(given, raw, secrets, dialect)
    event = _parsed(raw)
    return Verified(
        id=_id(given, event, profile),
        type=_type(given, event),
        timestamp=None if signed_at is None else datetime.fromtimestamp(signed_at, UTC),
        event=event,
        profile=profile,
    )


# --- one function a scheme ----------------------------------------------------------------------------------------


def _verify_standard(
    given: "_Headers", body: bytes, secrets: Sequence[str], dialect: _Dialect, now: float, tolerance_s: float | None
) -> int:
    """``webhook-signature: v1,BASE64 …``: HMAC-SHA256 of "id.timestamp.body", keyed with the bytes after whsec_."""
    signature = given.required(dialect.header, dialect)
    message_id = given.required("webhook-id", dialect)
    timestamp = given.required("webhook-timestamp", dialect)
    entries = [entry.partition(",") for entry in signature.split()]
    versions = {version for version, _, _ in entries}
    secrets = [one for one in secrets if not one.startswith(("whpk_", "whsk_"))]
    if not secrets or ("v1" not in versions and "v1a" in versions):
        _fail(
            Cause.UNSUPPORTED,
            "v1a signatures and whpk_ keys are ed25519, which Python's standard library does not have; "
            "use `tocsin verify`, a library with ed25519, or a whsec_ secret for this webhook",
        )
    signatures = [
        decoded
        for version, _, text in entries
        if version == "v1" and (decoded := _base64(text)) is not None and len(decoded) == hashlib.sha256().digest_size
    ]
    if not signatures:
        _fail_form(dialect.header, dialect)
    signed_at = _seconds("webhook-timestamp", timestamp)
    _check_time(signed_at, now, tolerance_s)
    start = _utf8(f"{message_id}.{timestamp}.")

    def matches(key: bytes, candidate: bytes) -> bool:
        digest = hmac.digest(key, start + candidate, "sha256")
        return any(hmac.compare_digest(digest, signature) for signature in signatures)

    keys = [_standard_key(secret) for secret in secrets]
    if any(matches(key, body) for key in keys if key):
        return signed_at
    for secret, key in zip(secrets, keys, strict=True):
        if key is None and not any(matches(other, body) for _, _, other in _other_keys(secret, key)):
            _fail(
                Cause.SECRET_MALFORMED,
                "the secret is not whsec_ followed by base64; copy it whole, as it was shown when the webhook was made",
            )
    return _explain(matches, secrets, keys, body, dialect)


def _verify_timestamped(
    given: "_Headers", body: bytes, secrets: Sequence[str], dialect: _Dialect, now: float, tolerance_s: float | None
) -> int:
    """``t=UNIX_SECONDS,v1=HEX``: HMAC-SHA256 of "t.body", keyed with the secret's own bytes."""
    value = given.required(dialect.header, dialect)
    parts = dict(part.strip().partition("=")[::2] for part in value.split(","))
    if not _HEX.fullmatch(parts.get("v1", "")) or "t" not in parts:
        _fail_form(dialect.header, dialect)
    signed_at = _seconds(f"{dialect.header}, t", parts["t"])
    _check_time(signed_at, now, tolerance_s)
    _check_digest(bytes.fromhex(parts["v1"]), parts["t"].encode() + b".", body, secrets, dialect)
    return signed_at


def _verify_hex(given: "_Headers", body: bytes, secrets: Sequence[str], dialect: _Dialect) -> None:
    """HEX, with or without ``sha256=``: HMAC-SHA256 of the body, keyed with the secret's own bytes."""
    value = given.required(dialect.header, dialect)
    digest = value.removeprefix(dialect.prefix)
    if not value.startswith(dialect.prefix) or not _HEX.fullmatch(digest):
        _fail_form(dialect.header, dialect)
    _check_digest(bytes.fromhex(digest), b"", body, secrets, dialect)


def _verify_token(given: "_Headers", body: bytes, secrets: Sequence[str], dialect: _Dialect, header: str) -> None:
    """The secret itself; or, where the webhook was made so, HEX as above."""
    value = given.required(header, dialect)
    if any(hmac.compare_digest(_utf8(value), _utf8(secret)) for secret in secrets):
        return
    if _HEX.fullmatch(value):
        _check_digest(bytes.fromhex(value), b"", body, secrets, dialect)
        return
    if any(value.strip() == secret.strip() for secret in secrets):
        _fail(Cause.SECRET_MALFORMED, "the secret has spaces or a line break around it; take them away")
    _fail(Cause.WRONG_SECRET, f"the token in {header} is not the secret: it is another webhook's, or was changed since")


def _check_digest(signature: bytes, start: bytes, body: bytes, secrets: Sequence[str], dialect: _Dialect) -> None:
    def matches(key: bytes, candidate: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(key, start + candidate, "sha256"), signature)

    keys = [_utf8(secret) for secret in secrets]
    if not any(matches(key, body) for key in keys):
        _explain(matches, secrets, keys, body, dialect)


# --- why not ------------------------------------------------------------------------------------------------------


def _explain(
    matches: Callable[[bytes, bytes], bool],
    secrets: Sequence[str],
    keys: Sequence[bytes | None],
    body: bytes,
    dialect: _Dialect,
) -> NoReturn:
    """Finds what would have matched. The signature did not, and nothing here changes that."""
    if len(body) <= _DIAGNOSED_BYTES:
        for how, candidate in _rewritten(body):
            if any(matches(key, candidate) for key in keys if key):
                _fail(
                    Cause.BODY_CHANGED,
                    f"the signature fits the same body {how}: something has rewritten it on its way here; "
                    "pass the raw bytes of the request, as they came",
                )
        for secret, own in zip(secrets, keys, strict=True):
            for cause, how, key in _other_keys(secret, own):
                if matches(key, body):
                    _fail(cause, how)
        order = _order(body, dialect)
        if order:
            _fail(
                Cause.BODY_CHANGED,
                f"no signature matches, and the body's keys come as {order}, not as they are sent: "
                "something has rewritten it on its way here; pass the raw bytes of the request, as they came",
            )
    _fail(
        Cause.WRONG_SECRET,
        "no signature matches: this is another webhook's secret, or an old one, or the body is not the one that was "
        "sent; compare the secret with the webhook's, or rotate it",
    )


def _rewritten(body: bytes) -> Iterator[tuple[str, bytes]]:
    """The body as it may have been before a framework got hold of it, the likeliest first."""
    if body.endswith((b"\n", b"\r")):
        yield "without the line break at its end", body.rstrip(b"\r\n")
    if body.startswith(b"\xef\xbb\xbf"):
        yield "without its byte order mark", body[3:]
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if value is not None:
        for ascii_only in (False, True):
            escapes = " with non-ASCII characters escaped" if ascii_only else ""
            for how, style in (
                ("without spaces", {"separators": (",", ":")}),
                ("with a space after each comma and colon", {}),
                ("indented by two", {"indent": 2}),
                ("indented by four", {"indent": 4}),
            ):
                text = json.dumps(value, ensure_ascii=ascii_only, **style)
                yield f"written {how}{escapes}", _utf8(text)
    yield "with a line break at its end", body + b"\n"
    if b"\r\n" in body:
        yield "with other line breaks", body.replace(b"\r\n", b"\n")


def _other_keys(secret: str, own: bytes | None) -> Iterator[tuple[Cause, str, bytes]]:
    """What else may have been made of the secret, on either side."""
    text = secret.removeprefix("whsec_")
    if secret != secret.strip():
        how = "the secret has spaces or a line break around it; take them away"
        stripped = secret.strip()
        yield Cause.SECRET_MALFORMED, how, _utf8(stripped)
        yield Cause.SECRET_MALFORMED, how, _standard_key(stripped) or b"-"
    candidates = (
        ("the secret's text as it stands, whsec_ and all", _utf8(secret)),
        ("the secret's text after whsec_, not decoded", _utf8(text)),
        ("the base64-decoded bytes after whsec_", _base64(text)),
        ("the base64url-decoded bytes after whsec_", _base64(text.replace("-", "+").replace("_", "/"))),
    )
    for how, key in candidates:
        if key and key != own:
            sentence = (
                f"the secret is right, but the sender keyed its signature with {how}; check that `profile` is the "
                "sender's dialect: `standard` decodes the secret, the others take its text"
            )
            yield Cause.WRONG_KEY_FORM, sentence, key


def _order(body: bytes, dialect: _Dialect) -> str | None:
    """The order of the body's first keys, if it is not the dialect's."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not set(dialect.first_keys) <= value.keys():
        return None
    found = [key for key in value if key in dialect.first_keys]
    return None if found == list(dialect.first_keys) else ", ".join(found)


def _fail(cause: Cause, sentence: str) -> NoReturn:
    raise VerificationError(cause, sentence)


def _fail_form(header: str, dialect: _Dialect) -> NoReturn:
    _fail(
        Cause.MALFORMED_HEADER,
        f"{header} does not look like {dialect.shown}: it was cut or changed on its way, or `profile` is not the "
        "sender's dialect",
    )


# --- parts --------------------------------------------------------------------------------------------------------


class _Headers:
    """A request's headers, by lower-case name."""

    def __init__(self, headers: Any) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in headers.items() if hasattr(headers, "items") else headers:
            self._values.setdefault(_text(name).lower(), []).append(_text(value).strip())

    def get(self, name: str) -> str | None:
        """Its value, or None.

        Raises:
            VerificationError: it is there twice, so that nobody can say which one counts.
        """
        values = self._values.get(name, [])
        if len(values) > 1:
            _fail(Cause.MALFORMED_HEADER, f"{name} is there {len(values)} times; a proxy may have added one")
        return values[0] if values else None

    def required(self, name: str, dialect: _Dialect) -> str:
        value = self.get(name)
        if value:
            return value
        if name not in ("webhook-id", "webhook-timestamp"):
            for profile, other in _DIALECTS.items():
                if other is not dialect and self._values.get(other.header):
                    _fail(
                        Cause.OTHER_DIALECT,
                        f"{name} is missing, but {other.header} is there: the sender speaks {profile!r}; "
                        f"call verify(…, profile={profile!r})",
                    )
        hint = "" if name != "x-trcker-signature" else "; webhooks that were made without a secret are not signed"
        _fail(
            Cause.MISSING_HEADER,
            f"{name} is missing: a proxy may have taken it away, or this is no webhook at all{hint}",
        )


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


def _check_time(signed_at: int, now: float, tolerance_s: float | None) -> None:
    if tolerance_s is None:
        return
    if now - signed_at > tolerance_s:
        _fail(
            Cause.TIMESTAMP_TOO_OLD,
            f"signed {now - signed_at:.0f} s ago, more than the {tolerance_s:.0f} s allowed: an old request is being "
            "repeated, it waited too long here before it was checked, or this machine's clock is ahead",
        )
    if signed_at - now > tolerance_s:
        _fail(
            Cause.TIMESTAMP_TOO_NEW,
            f"signed {signed_at - now:.0f} s in the future, more than the {tolerance_s:.0f} s allowed: this machine's "
            "clock, or the sender's, is wrong",
        )


def _id(given: _Headers, event: Any, profile: str) -> str | None:
    """The deduplication key: the signed one of the body, where the dialect has it there, else the header."""
    if profile in ("trcker", "cue") and isinstance(event, dict) and isinstance(event.get("id"), str):
        return str(event["id"])
    return given.get("webhook-id")


def _type(given: _Headers, event: Any) -> str | None:
    if isinstance(event, dict):
        for key in ("type", "event"):
            if isinstance(event.get(key), str):
                return str(event[key])
    return given.get("x-webhook-event")
