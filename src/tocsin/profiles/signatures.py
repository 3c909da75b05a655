"""How a dialect signs, as data. Every scheme signs the exact bytes of one attempt, at its own instant.

    standard-webhooks       webhook-id, webhook-timestamp, webhook-signature: "v1,BASE64" of "id.timestamp.body" with
                            HMAC-SHA256 keyed with the bytes after whsec_, or "v1a,BASE64" with ed25519 after whsk_
    hmac-hex                HEADER: PREFIX + hex HMAC-SHA256 of the body, keyed with the secret's UTF-8 bytes
    timestamped-hmac-hex    HEADER: "t=UNIX_SECONDS,v1=HEX" over "t.body", keyed alike
    token                   HEADER: the shared secret itself

Sources: Standard Webhooks 1.0.0, "Signature scheme" and "Webhook headers"; the vendors' documents.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tocsin.clock import Millis
from tocsin.errors import Fault, Invalid
from tocsin.profiles.facts import TEXTS, Facts

Headers = tuple[tuple[str, str], ...]
Scheme = Literal["standard-webhooks", "hmac-hex", "timestamped-hmac-hex", "token"]

SYMMETRIC = "whsec_"
ASYMMETRIC = "whsk_"
PUBLIC = "whpk_"
SEED_BYTES = 32  # an ed25519 secret key; serialised alone, or followed by its public key
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")  # RFC 9110 §5.6.2
_RESERVED = frozenset({"host", "transfer-encoding", "connection", "expect", "cookie", "user-agent"})  # CONTRACT §8
_TRANSPORT_PREFIXES = ("content-", "proxy-")
_RESERVED_PREFIXES = (*_TRANSPORT_PREFIXES, "webhook-", "tocsin-")
_CACHED_KEYS = 4096  # decoded keys kept at hand: one a busy webhook, a few hundred bytes each


class SignatureSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[signature]`` of a profile."""

    scheme: Scheme
    header: str | None = None  # all but standard-webhooks
    prefix: str = ""
    rotation: Literal["both", "previous"] = "previous"  # who signs while an old secret still counts
    header_option: str | None = None  # the webhook's option that names another header
    scheme_option: str | None = None  # the webhook's option that picks another scheme, by these names:
    schemes: Mapping[str, Scheme] = msgspec.field(default_factory=dict)
    user_may_set: bool = False  # a webhook's own headers may carry it


class HeaderSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of ``[[headers]]``: sent with every attempt, signed or not."""

    name: str
    source: str = msgspec.field(name="from")


class Signer:
    """Makes all of a dialect's headers for one attempt.

    Raises:
        ValueError: the data contradict themselves; says why.
    """

    def __init__(self, signature: SignatureSpec, headers: Sequence[HeaderSpec]) -> None:
        if (signature.header is None) != (signature.scheme == "standard-webhooks"):
            raise ValueError("signature.header: every scheme needs one but standard-webhooks, which has its own")
        if bool(signature.schemes) != (signature.scheme_option is not None):
            raise ValueError("signature.schemes: goes together with scheme_option")
        if signature.rotation == "both" and signature.scheme != "standard-webhooks":
            raise ValueError("signature.rotation: only the headers of standard-webhooks can hold two signatures")
        if "standard-webhooks" in signature.schemes.values():
            raise ValueError("signature.schemes: standard-webhooks cannot be one among others")
        for header in headers:
            if header.source not in TEXTS:
                raise ValueError(f"headers: {header.name} comes from {header.source!r}; there are {', '.join(TEXTS)}")
        _check_header_names(signature.header, [header.name for header in headers])
        if not all("!" <= char <= "~" for char in signature.prefix):
            raise ValueError("signature.prefix: visible ASCII characters, without spaces")
        self.spec = self._spec = signature
        self._sources = {header.source: header.name for header in headers}
        self._header = signature.header or ""
        self._prefix = signature.prefix
        self._plain = signature.scheme_option is None and signature.header_option is None
        self._extra = tuple((header.name, TEXTS[header.source]) for header in headers)
        self.signs_with_both = signature.rotation == "both"
        self.shows_secret = "token" in {signature.scheme, *signature.schemes.values()}

    @property
    def own_headers(self) -> frozenset[str]:
        """The names that users may not set, in lower case."""
        names = {"webhook-id", *(name.lower() for name, _ in self._extra)}
        if self._spec.scheme == "standard-webhooks":
            names |= {"webhook-timestamp", "webhook-signature"}
        elif not self._spec.user_may_set:
            names.add(self._header.lower())
        return frozenset(names)

    @property
    def further_headers(self) -> tuple[str, ...]:
        """Those beside the ids and the signature, as they are sent."""
        return tuple(name for name, _ in self._extra)

    def header_of(self, source: str) -> str | None:
        """The header that carries that fact."""
        return self._sources.get(source)

    @property
    def option_names(self) -> frozenset[str]:
        """The options of a webhook that the signature reads."""
        return frozenset(filter(None, (self._spec.scheme_option, self._spec.header_option)))

    def check_options(self, options: Mapping[str, object]) -> None:
        """Takes the options of a webhook that are the signature's; the others are not its business.

        Raises:
            Invalid: with a pointer.
        """
        spec = self._spec
        faults = []
        scheme = options.get(spec.scheme_option) if spec.scheme_option else None
        if scheme is not None and not (isinstance(scheme, str) and scheme in spec.schemes):
            faults.append(Fault(f"/options/{spec.scheme_option}", f"must be one of {', '.join(spec.schemes)}"))
        header = options.get(spec.header_option) if spec.header_option else None
        if header is not None:
            why = self._why_not_header(header)
            if why:
                faults.append(Fault(f"/options/{spec.header_option}", why))
        if faults:
            raise Invalid(f"{faults[0].pointer}: {faults[0].detail}", code="option_invalid", faults=faults)

    def _why_not_header(self, name: object) -> str | None:
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            return "must be the name of a header: letters, digits and - at most 64 of them"
        lower = name.lower()
        if lower in self.own_headers or lower in _RESERVED or lower.startswith(_RESERVED_PREFIXES):
            return "this header has another meaning; choose a name of your own, such as X-Webhook-Signature"
        return None

    def headers(
        self, facts: Facts, body: bytes, secrets: Sequence[str], at: Millis, options: Mapping[str, object]
    ) -> Headers:
        """All headers of the dialect; without a secret, those that need none."""
        if self._spec.scheme == "standard-webhooks":
            signed = standard_headers(facts.event_id, body, secrets, at // 1000)
            return signed + tuple((name, text(facts)) for name, text in self._extra) if self._extra else signed
        headers = [("Webhook-Id", facts.event_id)]
        for name, text in self._extra:
            headers.append((name, text(facts)))
        if secrets:
            header, scheme = (self._header, self._spec.scheme) if self._plain else self.chosen(options)
            headers.append((header, self._prefix + _SCHEMES[scheme](secrets[0], body, at // 1000)))
        return tuple(headers)

    def take_token(
        self, headers: Mapping[str, str | None], options: Mapping[str, object]
    ) -> tuple[dict[str, str | None], tuple[str, str] | None]:
        """Parts a webhook's own headers from the token that is given as one of them, where the dialect allows that.

        Returns:
            The other headers, and the token's header, as it was spelled, with its value.

        Raises:
            Invalid: `header_refused`: this webhook sends no token, or two are given.
        """
        if not self._spec.user_may_set:
            return dict(headers), None
        header, scheme = self.chosen(options)
        names = {self._header.lower(), header.lower()}
        given = {name: value for name, value in headers.items() if name.lower() in names and value is not None}
        rest = {name: value for name, value in headers.items() if name.lower() not in names}
        if not given:
            return rest, None
        faults = []
        if scheme != "token":
            why = "this webhook signs its requests, and this header holds the signature; give the key as secret"
            faults = [Fault(header_pointer(name), why) for name in given]
            if self._spec.scheme_option:
                faults.append(Fault(f"/options/{self._spec.scheme_option}", "only a token can be given as a header"))
        elif len(set(given.values())) > 1:
            faults = [Fault(header_pointer(name), "the token is given twice, with two values") for name in given]
        if faults:
            raise Invalid("this header is no token", code="header_refused", faults=faults)
        return rest, next(iter(given.items()))

    def chosen(self, options: Mapping[str, object]) -> tuple[str, str]:
        """The header and the scheme of a webhook with these options; the header is empty for standard-webhooks."""
        spec = self._spec
        header = options.get(spec.header_option) if spec.header_option else None
        scheme = spec.schemes.get(str(options.get(spec.scheme_option, ""))) if spec.scheme_option else None
        return str(header or self._header), scheme or spec.scheme


def header_pointer(name: str) -> str:
    """RFC 6901, into a webhook as it is asked for."""
    return f"/headers/{name.replace('~', '~0').replace('/', '~1')}"


def _check_header_names(signature: str | None, others: Sequence[str]) -> None:
    given = [("signature.header", signature)] if signature is not None else []
    given += [("headers", name) for name in others]
    seen = {"webhook-id"}  # every dialect sends it
    for key, name in given:
        lower = name.lower()
        if not _TOKEN.fullmatch(name) or lower in _RESERVED or lower.startswith(_TRANSPORT_PREFIXES):
            raise ValueError(f"{key}: {name!r} is no header that a dialect can set")
        if lower in seen:
            raise ValueError(f"{key}: {name!r} is sent already")
        seen.add(lower)


# --- the schemes --------------------------------------------------------------------------------------------------


def standard_headers(message_id: str, body: bytes, secrets: Sequence[str], at_s: int) -> Headers:
    """The three headers of Standard Webhooks, with one signature for each secret, in their order."""
    timestamp = str(at_s)
    headers = (("webhook-id", message_id), ("webhook-timestamp", timestamp))
    if not secrets:
        return headers
    signed = f"{message_id}.{timestamp}.".encode() + body
    return (*headers, ("webhook-signature", " ".join([_standard_signature(secret, signed) for secret in secrets])))


def _standard_signature(secret: str, signed: bytes) -> str:
    if secret.startswith(ASYMMETRIC):
        return "v1a," + binascii.b2a_base64(_private_key(secret).sign(signed), newline=False).decode()
    return "v1," + binascii.b2a_base64(hmac.digest(symmetric_key(secret), signed, "sha256"), newline=False).decode()


def _hmac_hex(secret: str, body: bytes, _at_s: int) -> str:
    return hmac.digest(secret.encode(), body, "sha256").hex()


def _timestamped_hmac_hex(secret: str, body: bytes, at_s: int) -> str:
    return f"t={at_s},v1={hmac.digest(secret.encode(), b'%d.%b' % (at_s, body), 'sha256').hex()}"


def _token(secret: str, _body: bytes, _at_s: int) -> str:
    return secret


_SCHEMES: Mapping[str, Callable[[str, bytes, int], str]] = {
    "hmac-hex": _hmac_hex,
    "timestamped-hmac-hex": _timestamped_hmac_hex,
    "token": _token,
}


# --- keys of Standard Webhooks ------------------------------------------------------------------------------------


@lru_cache(maxsize=_CACHED_KEYS)
def symmetric_key(secret: str) -> bytes:
    """The bytes after ``whsec_``.

    Raises:
        ValueError: that is no base64.
    """
    return base64.b64decode(secret.removeprefix(SYMMETRIC), validate=True)


@lru_cache(maxsize=_CACHED_KEYS)
def _private_key(secret: str) -> Ed25519PrivateKey:
    raw = base64.b64decode(secret.removeprefix(ASYMMETRIC), validate=True)
    if len(raw) not in (SEED_BYTES, 2 * SEED_BYTES):
        raise ValueError("a whsk_ key is the base64 of a 32-byte ed25519 secret key, or of that and its public key")
    key = Ed25519PrivateKey.from_private_bytes(raw[:SEED_BYTES])
    if len(raw) > SEED_BYTES and key.public_key().public_bytes_raw() != raw[SEED_BYTES:]:
        raise ValueError("the two halves of this whsk_ key do not belong together")
    return key


def public_key(secret: str) -> str:
    """The ``whpk_…`` that receivers need, of a ``whsk_…``.

    Raises:
        ValueError: it is no such key.
    """
    raw = _private_key(secret).public_key().public_bytes_raw()
    return PUBLIC + base64.b64encode(raw).decode()


def verify_v1a(public: str, message_id: str, timestamp: str, body: bytes, signature_header: str) -> bool:
    """Whether one of the header's ``v1a`` signatures is by that ``whpk_…`` key. Says nothing about the time.

    Raises:
        ValueError: `public` is no such key.
    """
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix(PUBLIC), validate=True))
    signed = f"{message_id}.{timestamp}.".encode() + body
    for entry in signature_header.split():
        version, _, encoded = entry.partition(",")
        if version != "v1a":
            continue
        try:
            key.verify(base64.b64decode(encoded, validate=True), signed)
        except (InvalidSignature, ValueError):
            continue
        return True
    return False
