"""Why a signature does not fit: what would have fitted, found by trying the mistakes that are made.

Everything here runs after `verify` has refused a request, and only chooses the words: it returns a cause and a sentence
for the receiver's own log. It tells of whole matches only, never of a part of a signature or secret that is right, and
repeats neither; so even where a sentence gets out, nobody can build a signature from it step by step. It needs nothing
beyond the standard library, and bounds its work: who sends rubbish must not make a receiver sweat.
"""

import base64
import binascii
import hmac
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from tocsin.receiver.verify import Dialect

# What is looked into: nearly all bodies have some KB. Trying everything costs as much as two hundred verifications,
# 30 ms for the largest that are looked into: little enough that rubbish sent on purpose is no lever.
_DIAGNOSED_BYTES = 256 << 10
_SECRETS = 8
_DIGESTS = 8
_HEADERS = 64

_HEX_DIGEST = re.compile(r"(?<![0-9A-Za-z+/_-])[0-9A-Fa-f]{64}(?![0-9A-Za-z+/_-])")
_BASE64_DIGEST = re.compile(r"(?<![0-9A-Za-z+/_-])[0-9A-Za-z+/_-]{43}(?:=|%3[Dd])?(?![0-9A-Za-z+/_=-])")
_TIME = re.compile(r"\bt=([0-9]{1,17})(?![0-9])")
_FORM = re.compile(r"[ -~]{1,60}")
_TELLING = re.compile(r"sign|token|secret|hmac|digest|auth|sig\b", re.IGNORECASE)
_VARIABLE = re.compile(r"(?:export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*[=:]\s*(?=\S)")
_STANDARD = ("webhook-id", "webhook-timestamp")
_AROUND = " \t\r\n\"'`"


class Found(NamedTuple):
    cause: str
    sentence: str


class _Digest(NamedTuple):
    raw: bytes
    written: str  # "HEX", "UPPER-CASE HEX" or "BASE64"


class _Key(NamedTuple):
    raw: bytes
    cause: str
    how: str  # a sentence


class _Request(NamedTuple):
    dialect: "Dialect"
    header: str
    headers: Mapping[str, Sequence[str]]
    body: bytes
    secrets: Sequence[str]

    @property
    def value(self) -> str:
        return (self.headers.get(self.header) or [""])[0]

    @property
    def schemes(self) -> tuple[str, ...]:
        return (self.dialect.scheme, *self.dialect.other_schemes)

    def one(self, name: str) -> str:
        return (self.headers.get(name) or [""])[0]

    def under(self, dialect: "Dialect", header: str | None = None) -> "_Request":
        return self._replace(dialect=dialect, header=(header or dialect.header).lower())


def explain(
    dialect: "Dialect",
    others: Iterable["Dialect"],
    header: str,
    headers: Mapping[str, Sequence[str]],
    body: bytes,
    secrets: Sequence[str],
    *,
    refused_as: str,
) -> Found | None:
    """What there is to say about a request that was refused; None: no more than is said already.

    Args:
        dialect: the one that was expected.
        others: the ones that it might be instead.
        header: the signature's, in lower case.
        headers: all of them, by lower-case name.
        body: as it came.
        secrets: as they were given.
        refused_as: the cause so far.
    """
    request = _Request(dialect, header, headers, body[:_DIAGNOSED_BYTES], tuple(secrets)[:_SECRETS])
    whole = len(body) <= _DIAGNOSED_BYTES
    if refused_as == "missing_header":
        return _missing(request, others) if whole else None
    if refused_as == "malformed_header" and any(len(headers.get(name, ())) > 1 for name in (header, *_STANDARD)):
        return None
    found = (_mistake(request) if whole else None) or _placeholder(request)
    if found is None and refused_as == "wrong_secret":
        found = (_suspicion(request) if whole else None) or Found("wrong_secret", _no_match(request))
    if found is None and refused_as == "malformed_header":
        found = _malformed(request)
    return found


# --- what is missing ----------------------------------------------------------------------------------------------


def _missing(request: _Request, others: Iterable["Dialect"]) -> Found | None:
    """The signature's header is not there: perhaps it is another dialect's request, or the header was renamed."""
    wanted = request.header
    if request.value:
        return None  # another header that is needed
    for other in others:
        if other.name != request.dialect.name and request.one(other.header.lower()):
            theirs = other.header.lower()
            fits = " (the secret fits there)" if _fits(request.under(other)) else ""
            return Found(
                "other_dialect",
                f"{wanted} is missing, but {theirs} is there: the sender speaks {other.name!r}{fits}; "
                f"verify it with profile={other.name!r}",
            )
    names = [name for name, values in request.headers.items() if values and values[0]][:_HEADERS]
    for name in names:
        if _fits(request.under(request.dialect, name)):
            return Found(
                "other_header",
                f"{wanted} is missing, but {name} holds what belongs into it, and it fits: the webhook's "
                f"options name that header, or a proxy has renamed it; verify it with header={name!r}",
            )
    telling = [name for name in names if _TELLING.search(name)]
    if telling:
        return Found(
            "missing_header",
            f"{wanted} is missing: a proxy may have taken it away, or the webhook names another header for it; "
            f"these are there and could be it, but fit with no secret that was given: {', '.join(telling[:5])}",
        )
    return None


def _fits(request: _Request) -> bool:
    """Whether the header would verify, its time aside."""
    value = request.value
    if not value.startswith(request.dialect.prefix):
        return False
    bare = value.removeprefix(request.dialect.prefix)
    if "token" in request.schemes and any(_same(bare, secret) for secret in request.secrets):
        return True
    return _matches(request, [key for key in _own_keys(request) if key], _starts(request), _digests(value))


# --- one mistake at a time ----------------------------------------------------------------------------------------


def _mistake(request: _Request) -> Found | None:
    """The one thing that, were it otherwise, would make the signature fit."""
    found = _bare_secret(request)
    digests = _digests(request.value)
    if found or not digests:
        return found
    own = [key for key in _own_keys(request) if key]
    starts = _starts(request)
    if _matches(request, own, starts, digests):
        return Found("malformed_header", _form(request, digests))
    for how, body in _rewritten(request.body, request.dialect.first_keys):
        if _matches(request._replace(body=body), own, starts, digests):
            return Found(
                "body_changed",
                f"the signature fits the same body {how}: something has rewritten it on its way here; "
                "pass the raw bytes of the request, as they came",
            )
    return _other_key(request, own, starts, digests) or _other_text(request, own, starts, digests)


def _bare_secret(request: _Request) -> Found | None:
    """Whether the header holds the secret itself: where that is wrong, or with something done to it."""
    if "token" in request.schemes:
        return _token_mistake(request)
    if any(_same(request.value.removeprefix(request.dialect.prefix), secret) for secret in request.secrets):
        return Found(
            "malformed_header",
            f"{request.header} holds the secret itself, not a signature made with it: the sender sends tokens; set it "
            f"to sign, or check `profile`: {request.dialect.name!r} signs",
        )
    return None


def _other_key(
    request: _Request, own: Sequence[bytes], starts: Sequence[bytes], digests: Sequence[_Digest]
) -> Found | None:
    for secret in request.secrets:
        for key in _other_keys(request, secret):
            if key.raw not in own and _matches(request, [key.raw], starts, digests):
                return Found(key.cause, key.how)
    return None


def _other_text(
    request: _Request, own: Sequence[bytes], starts: Sequence[bytes], digests: Sequence[_Digest]
) -> Found | None:
    for how, start in _other_starts(request):
        if start not in starts and _matches(request, own, [start], digests):
            return Found(
                "signed_otherwise",
                f"the secret is right, but the signature is over {how}; {request.dialect.name!r} signs "
                f"{_SIGNED[request.dialect.scheme]}: check that `profile` is the sender's dialect",
            )
    return None


_SIGNED = {
    "standard-webhooks": '"webhook-id.webhook-timestamp.body"',
    "timestamped-hmac-hex": '"t.body", with the t of its header',
    "hmac-hex": "the body alone",
    "token": "the body alone, where it signs",
}


def _matches(request: _Request, keys: Sequence[bytes], starts: Sequence[bytes], digests: Sequence[_Digest]) -> bool:
    return any(
        hmac.compare_digest(made, digest.raw)
        for key in keys
        for start in starts
        for made in [hmac.digest(key, start + request.body, "sha256")]
        for digest in digests
    )


def _digests(value: str) -> list[_Digest]:
    """All that looks like a SHA-256 in a header, in whatever form."""
    found = [
        _Digest(bytes.fromhex(text), "HEX" if text == text.lower() else "UPPER-CASE HEX")
        for text in _HEX_DIGEST.findall(value)
    ]
    for text in _BASE64_DIGEST.findall(value):
        raw = _base64(text[:43].replace("-", "+").replace("_", "/") + "=")
        if raw:
            found.append(_Digest(raw, "BASE64"))
    return found[:_DIGESTS]


# Whether it is the header itself that is at fault, or the time in it.
_WELL_FORMED = {
    "standard-webhooks": re.compile(r"(?:.* )?v1,[0-9A-Za-z+/]{43}=(?: .*)?"),
    "timestamped-hmac-hex": re.compile(r"t=.*,v1=[0-9a-f]{64}|v1=[0-9a-f]{64},t=.*"),
    "hmac-hex": re.compile(r"[0-9a-f]{64}"),
    "token": re.compile(r".*"),
}


def _form(request: _Request, digests: Sequence[_Digest]) -> str:
    """The digest is right, so it is the form that is not."""
    time = _TIME.search(request.value)
    right = "the digest itself is right, so secret and body are, too"
    if "timestamped-hmac-hex" in request.schemes and time and len(time[1]) > 11:
        return f"t in {request.header} is in milliseconds; it must be in whole seconds since 1970; {right}"
    if "standard-webhooks" in request.schemes and len(request.one("webhook-timestamp")) > 11:
        return f"webhook-timestamp is in milliseconds; it must be in whole seconds since 1970; {right}"
    form = _BASE64_DIGEST.sub("BASE64", _HEX_DIGEST.sub("HEX", request.value))
    upper = any(digest.written == "UPPER-CASE HEX" for digest in digests)
    form = form.replace("HEX", "UPPER-CASE HEX") if upper else form
    form = _TIME.sub("t=UNIX_SECONDS", form)
    shown = f" written as {form!r}" if _FORM.fullmatch(form) and not _holds_secret(form, request.secrets) else ""
    mend = ", with the digits in lower case" if upper else ""
    return (
        f"{request.header} is{shown or ' written otherwise'}, not as {request.dialect.shown!r}{mend}; {right}: "
        "something on its way here changes the header, or whatever signed it writes it so"
    )


def _malformed(request: _Request) -> Found | None:
    """No digest in it fits, or none is there: what can be said of its form."""
    value = request.value
    wanted = request.dialect.shown
    hexes = [part for part in re.findall(r"[0-9A-Fa-f]{16,}", value) if len(part) != 64]
    if request.dialect.scheme != "standard-webhooks" and hexes:
        why = {32: ", as an MD5 has", 40: ", as a SHA-1 has", 96: ", as a SHA-384 has", 128: ", as a SHA-512 has"}
        digits = len(hexes[0])
        return Found(
            "malformed_header",
            f"{request.header} does not look like {wanted}: it holds {digits} hex digits"
            f"{why.get(digits, '')}, and a SHA-256 has 64: it was cut or changed on its way, or the sender signs "
            "with another hash",
        )
    if _digests(value) and not _WELL_FORMED[request.dialect.scheme].fullmatch(
        value.removeprefix(request.dialect.prefix)
    ):
        return Found(
            "malformed_header",
            f"{request.header} does not look like {wanted}, and the digest in it does not fit either: `profile` is "
            "not the sender's dialect, or the secret is another one",
        )
    return None


# --- secrets ------------------------------------------------------------------------------------------------------


def _own_keys(request: _Request) -> list[bytes | None]:
    """The keys that the dialect makes of the secrets."""
    if request.dialect.scheme == "standard-webhooks":
        return [_standard_key(secret) for secret in request.secrets]
    return [_utf8(secret) for secret in request.secrets]


def _spellings(secret: str) -> Iterator[tuple[str, str]]:
    """How the secret may have looked before something was done to it, each with a sentence."""
    stripped = secret.strip(_AROUND)
    if stripped != secret:
        kind = "spaces or a line break" if secret.strip() == stripped else "quotes"
        yield stripped, f"the secret has {kind} around it; take them away"
    bare = _VARIABLE.sub("", stripped, count=1)
    if bare != stripped:
        yield bare.strip(_AROUND), "the secret has the name of its variable before it; give only what follows"
    if "%" in secret:
        yield unquote(secret), "the secret is URL-encoded; decode its %XX first"
    if " " in stripped:
        yield stripped.replace(" ", "+"), "the secret has blanks where + was: it was URL-decoded once too often"
    once = _base64(stripped)
    if once and once.isascii() and once.strip():
        yield (
            once.decode().strip(_AROUND),
            "the secret was base64-encoded once more, as Kubernetes shows its secrets; decode it once",
        )
    if not stripped.startswith("whsec_"):
        yield f"whsec_{stripped}", "the secret lacks the whsec_ that it begins with; it belongs to it here"


def _other_keys(request: _Request, secret: str) -> Iterator[_Key]:
    """What else may have been made of the secret, on either side."""
    standard = request.dialect.scheme == "standard-webhooks"
    for text, how in _spellings(secret):
        key = _standard_key(text) if standard else _utf8(text)
        if key:
            yield _Key(key, "secret_malformed", how)
    if standard:
        lost = len(secret.removeprefix("whsec_")) % 4
        padded = _base64(secret.removeprefix("whsec_") + "=" * (4 - lost)) if lost else None
        if padded:
            yield _Key(padded, "secret_malformed", "the secret has lost the = at its end; copy it whole")
    text = secret.removeprefix("whsec_")
    forms: tuple[tuple[str, Callable[[], bytes | None]], ...] = (
        ("the secret's text as it stands, whsec_ and all", lambda: _utf8(secret)),
        ("the secret's text after whsec_, not decoded", lambda: _utf8(text)),
        ("the base64-decoded bytes after whsec_", lambda: _base64(text)),
        ("the base64url-decoded bytes after whsec_", lambda: _base64(text.replace("-", "+").replace("_", "/"))),
        ("the bytes that the secret's hex digits stand for", lambda: _hex(text)),
    )
    for how, make in forms:
        key = make()
        if key:
            yield _Key(
                key,
                "wrong_key_form",
                f"the secret is right, but the sender keyed its signature with {how}; check that `profile` is the "
                "sender's dialect: `standard` decodes the secret, the others take its text",
            )


def _token_mistake(request: _Request) -> Found | None:
    value = request.value
    bare = value.removeprefix(request.dialect.prefix)
    for secret in request.secrets:
        for text, how in _spellings(secret):
            if _same(bare, text):
                return Found("secret_malformed", how)
        around = value.strip(_AROUND)
        if any(_same(around.removeprefix(word), secret) for word in ("", "Bearer ", "Token ", "sha256=")):
            return Found(
                "malformed_header",
                f"{request.header} holds the secret, with something before or around it; something on its way here "
                "changes the header, or whatever sends it writes it so",
            )
    return None


def _placeholder(request: _Request) -> Found | None:
    for secret in request.secrets:
        if secret.endswith(("…", "...")) or not secret.strip("*•xX"):
            return Found(
                "secret_malformed",
                "the secret is a placeholder, not the secret; it was shown when the webhook was made, or can be "
                "replaced with rotate-secret",
            )
    return None


def _holds_secret(text: str, secrets: Sequence[str]) -> bool:
    return any(secret in text for secret in secrets)


# --- what was signed ----------------------------------------------------------------------------------------------


def _starts(request: _Request) -> list[bytes]:
    """What the dialect signs before the body."""
    if request.dialect.scheme == "standard-webhooks":
        return [_utf8(f"{request.one('webhook-id')}.{request.one('webhook-timestamp')}.")]
    if request.dialect.scheme == "timestamped-hmac-hex":
        time = _TIME.search(request.value)
        return [_utf8(time[1]) + b"."] if time else []
    return [b""]


def _other_starts(request: _Request) -> Iterator[tuple[str, bytes]]:
    """What other dialects, and other people's code, sign before the body."""
    yield "the body alone, with nothing before it", b""
    message_id, timestamp = request.one("webhook-id"), request.one("webhook-timestamp")
    time = _TIME.search(request.value)
    stamps = [text for text in (time[1] if time else "", timestamp) if text]
    for stamp in stamps:
        yield "the time, a full stop and the body", _utf8(f"{stamp}.")
        yield "the time and the body, without the full stop between them", _utf8(stamp)
        yield "the time, a line break and the body", _utf8(f"{stamp}\n")
        if message_id:
            yield "id, time and body, joined by full stops", _utf8(f"{message_id}.{stamp}.")
            yield "time, id and body, joined by full stops", _utf8(f"{stamp}.{message_id}.")
    if message_id:
        yield "the id, a full stop and the body", _utf8(f"{message_id}.")


def _rewritten(body: bytes, first_keys: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The body as it may have been before a framework got hold of it, the likeliest first."""
    if body.endswith((b"\n", b"\r")):
        yield "without the line break at its end", body.rstrip(b"\r\n")
    if body != body.strip():
        yield "without the white space around it", body.strip()
    if body.startswith(b"\xef\xbb\xbf"):
        yield "without its byte order mark", body[3:]
    with suppress(UnicodeError):
        yield "before its UTF-8 was taken for Latin-1", body.decode().encode("latin-1")
    value = _json(body)
    if value is not None:
        yield from _styles(value, "")
    if isinstance(value, dict) and _order(value, first_keys):
        ordered = {key: value[key] for key in first_keys if key in value}
        yield from _styles(ordered | value, " with its keys in the sender's order")
    yield "with a line break at its end", body + b"\n"
    if b"\r\n" in body:
        yield "with other line breaks", body.replace(b"\r\n", b"\n")


def _styles(value: object, besides: str) -> Iterator[tuple[str, bytes]]:
    for ascii_only in (False, True):
        escapes = " with non-ASCII characters escaped" if ascii_only else ""
        for how, indent, separators in (
            ("without spaces", None, (",", ":")),
            ("with a space after each comma and colon", None, (", ", ": ")),
            ("indented by two", 2, (",", ": ")),
            ("indented by four", 4, (",", ": ")),
        ):
            try:
                text = json.dumps(value, ensure_ascii=ascii_only, indent=indent, separators=separators)
            except (ValueError, RecursionError):
                return
            yield f"written {how}{escapes}{besides}", _utf8(text)


# --- no proof, but a hint -----------------------------------------------------------------------------------------


def _suspicion(request: _Request) -> Found | None:
    """Nothing that would fit was found, but the body cannot be what was sent."""
    if request.dialect.scheme == "token" and not _digests(request.value):
        return None  # the body has no part in it
    body, length = request.body, request.one("content-length")
    raw = "pass the raw bytes of the request, as they came"
    if not body:
        return Found("body_changed", f"the body is empty: something here has read it before; keep its bytes, and {raw}")
    if length.isascii() and length.isdigit() and len(length) < 16 and int(length) != len(body):
        return Found(
            "body_changed",
            f"no signature matches, and the body has {len(body)} bytes where Content-Length says {int(length)}: it "
            f"was cut, decoded or rewritten on its way here; {raw}",
        )
    value = _json(body)
    order = _order(value, request.dialect.first_keys) if isinstance(value, dict) else None
    if order:
        return Found(
            "body_changed",
            f"no signature matches, and the body's keys come as {order}, not as they are sent: "
            f"something has rewritten it on its way here; {raw}",
        )
    if "�" in body.decode(errors="ignore"):
        return Found(
            "body_changed",
            "no signature matches, and the body holds U+FFFD, which stands for bytes that were decoded wrongly: "
            f"something has rewritten it on its way here; {raw}",
        )
    return None


def _no_match(request: _Request) -> str:
    """With nothing else to blame, it is the secret; a token says nothing of the body, so then it is that alone."""
    several = len(request.secrets) > 1
    signatures = sum(entry.startswith("v1,") for entry in request.value.split())
    if request.dialect.scheme == "standard-webhooks" and signatures > 1:
        return (
            f"no signature matches: there are {signatures}, so the webhook's secret is being rotated, and "
            f"{'these are' if several else 'this is'} neither the new secret nor the old one, or the body is not "
            "the one that was sent; compare it with the webhook's"
        )
    if request.dialect.scheme == "standard-webhooks":
        rotation = "both sign until a rotation's overlap ends, then only the new one"
    else:
        rotation = "until a rotation's overlap ends the old one signs, then only the new one"
    first, body = "no signature matches", ", or the body is not the one that was sent"
    if request.dialect.scheme == "token" and _digests(request.value):
        first = f"neither is {request.header} the secret, nor a digest made with it"
    elif request.dialect.scheme == "token":
        first, body = f"the token in {request.header} is not the secret", ""
        if request.dialect.other_schemes and re.fullmatch(r"[0-9a-f]{16,}", request.value):
            first += f" (and {len(request.value)} hex digits are no digest either: a SHA-256 has 64)"
    who = "this is another webhook's secret"
    if several:
        who = "none of these secrets signs here: each is another webhook's"
    more = "" if several else "; give both while it is rotated"
    return (
        f"{first}: {who}, or one from before or after a rotation ({rotation}){body}; compare it with the "
        f"webhook's{more}, or rotate it"
    )


def _order(value: Mapping[str, object], first_keys: Sequence[str]) -> str | None:
    """The order of the body's first keys, if it is not the dialect's."""
    if not set(first_keys) <= value.keys():
        return None
    found = [key for key in value if key in first_keys]
    return None if found == list(first_keys) else ", ".join(found)


# --- parts --------------------------------------------------------------------------------------------------------


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(_utf8(one), _utf8(other))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _hex(text: str) -> bytes | None:
    return bytes.fromhex(text) if re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", text) else None


def _standard_key(secret: str) -> bytes | None:
    return _base64(secret.removeprefix("whsec_")) or None


def _base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
