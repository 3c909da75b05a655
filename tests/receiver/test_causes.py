"""Each mistake that can be made with a signature, in each dialect where it can be made: one delivery is really signed
by the dialect's own data, exactly one thing about it is spoilt, and the refusal must name it and how to mend it.
"""

import base64
import hmac
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.clock import Millis
from tocsin.profiles import Facts, load
from tocsin.profiles.jsjson import stabilise
from tocsin.receiver import explain
from tocsin.receiver.verify import DIALECTS, PROFILES, Cause, VerificationError, verify

AT_S = 1_773_480_500
WHSEC = "whsec_MfKQ9r8GKYqrTwj+PD8ILPZIo2LaLaSw"
TEXT = "9a41c3f0d27be5886b1f0e44c5a7d3920f6c8e1b7a5d4432c1e09f8b6d7a5e31"
DATA = '{"zone":"a/b","name":"Zürich – Spring","payout":45,"rates":[0.5,{"b":null,"a":1}]}'.encode()
SIGNING = ("standard", "cloakradar", "clickdefender", "trcker", "cue", "visits hmac")
HEX = ("cloakradar", "clickdefender", "trcker", "cue", "visits hmac")
ALL = (*SIGNING, "visits token")
TEXTUAL = (*HEX, "visits token")


@dataclass(frozen=True)
class Delivery:
    """What arrives, and how its receiver verifies it."""

    kind: str
    headers: Mapping[str, str]
    body: bytes
    secret: Any
    terms: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return next(name for name in self.headers if "signature" in name.lower())

    @property
    def value(self) -> str:
        return self.headers[self.name]

    @property
    def digest(self) -> str:
        found = re.search(r"[0-9a-f]{64}$|[A-Za-z0-9+/]{43}=$", self.value)
        assert found
        return found[0]

    @property
    def key(self) -> bytes:
        return base64.b64decode(self.secret[6:]) if self.kind == "standard" else self.secret.encode()

    @property
    def start(self) -> bytes:
        """What is signed before the body."""
        if self.kind == "standard":
            return f"{self.headers['webhook-id']}.{AT_S}.".encode()
        return b"%d." % AT_S if self.kind == "trcker" else b""

    def valued(self, value: str) -> "Delivery":
        return replace(self, headers={**self.headers, self.name: value})

    def resigned(self, key: bytes | None = None, start: bytes | None = None, body: bytes | None = None) -> "Delivery":
        """The same with a signature that somebody else's code might have made."""
        message = (self.start if start is None else start) + (self.body if body is None else body)
        mac = hmac.digest(self.key if key is None else key, message, "sha256")
        return self.valued(
            self.value.replace(self.digest, base64.b64encode(mac).decode() if self.kind == "standard" else mac.hex())
        )

    def verify(self) -> Any:
        return verify(
            self.headers,
            self.body,
            self.secret,
            **{"profile": self.kind.split()[0], "now": AT_S, **self.terms},
        )


def delivery(kind: str, data: bytes = DATA, secret: str | None = None, **options: str) -> Delivery:
    vendor, _, how = kind.partition(" ")
    secret = secret or (WHSEC if vendor == "standard" else TEXT)
    profile = load(vendor)
    facts = Facts(
        event_id="evt_06f3k9w2zq8rt",
        type=next(iter(profile.catalogue)),
        timestamp=Millis(1_773_480_413_080),
        data=stabilise(data)[1],
        webhook_id="wh_06f3k9w2zq8rv",
        account_id="acc_06f3k9w2zq8rw",
        account_external_id=None,
        account_name="Shop",
    )
    body = profile.render_body(facts)
    chosen = {"signature": how, **options} if how else options
    headers = dict(profile.sign(facts, body, (secret,), Millis(AT_S * 1000), chosen))
    return Delivery(kind, headers, body, secret)


def without(one: Delivery, name: str) -> Delivery:
    return replace(one, headers={key: value for key, value in one.headers.items() if key != name})


def sorted_keys(one: Delivery) -> bytes:
    return json.dumps(json.loads(one.body), sort_keys=True, ensure_ascii=False).encode()


def data_first(one: Delivery, *, sort: bool = True) -> bytes:
    """The body with `data` before all else, and its own keys sorted, so that nothing can be put back."""
    value = json.loads(one.body)
    data = dict(sorted(value["data"].items())) if sort else value["data"]
    return json.dumps({"data": data} | {key: value[key] for key in value if key != "data"}, ensure_ascii=False).encode()


def urlsafe(one: Delivery) -> Delivery:
    """A delivery whose digest has a letter that base64url writes otherwise."""
    for number in range(100):
        made = delivery("standard", b'{"n":%d}' % number)
        if "+" in made.digest or "/" in made.digest:
            return made.valued(made.value.replace("+", "-").replace("/", "_"))
    raise AssertionError


# --- the table ------------------------------------------------------------------------------------------------------

Spoil = Callable[[Delivery], Delivery]
_cases: list[Any] = []


def case(name: str, kinds: tuple[str, ...], cause: Cause, *words: str) -> Callable[[Spoil], Spoil]:
    """One mistake: where it can be made, what it is called, and the decisive words about it."""

    def add(spoil: Spoil) -> Spoil:
        _cases.extend(pytest.param(kind, spoil, cause, words, id=f"{name}-{kind}") for kind in kinds)
        return spoil

    return add


def other_secret(one: Delivery) -> str:
    return "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD" if one.kind == "standard" else "f" * 64


# secrets

case("another webhook's secret", ALL, Cause.WRONG_SECRET, "another webhook's secret", "rotat", "overlap")(
    lambda one: replace(one, secret=other_secret(one))
)
case("two secrets, neither", ALL, Cause.WRONG_SECRET, "none of these secrets signs here", "rotation")(
    lambda one: replace(one, secret=[other_secret(one), other_secret(one)])
)
case("a line break after the secret", ALL, Cause.SECRET_MALFORMED, "spaces or a line break around it", "take them")(
    lambda one: replace(one, secret=one.secret + "\n")
)
case("quotes around the secret", ALL, Cause.SECRET_MALFORMED, "quotes around it", "take them away")(
    lambda one: replace(one, secret=f'"{one.secret}"')
)
case("the variable's name", ALL, Cause.SECRET_MALFORMED, "name of its variable", "only what follows")(
    lambda one: replace(one, secret=f"WEBHOOK_SECRET={one.secret}")
)
case("base64 once more", ALL, Cause.SECRET_MALFORMED, "base64-encoded once more", "decode it once")(
    lambda one: replace(one, secret=base64.b64encode(one.secret.encode()).decode())
)
case("a URL-encoded secret", ("standard",), Cause.SECRET_MALFORMED, "URL-encoded")(
    lambda one: replace(one, secret=quote(one.secret, safe=""))
)
case("a secret decoded too often", ("standard",), Cause.SECRET_MALFORMED, "blanks where + was")(
    lambda one: replace(one, secret=one.secret.replace("+", " "))
)
case("a placeholder", ALL, Cause.SECRET_MALFORMED, "placeholder", "rotate-secret")(
    lambda one: replace(one, secret="whsec_…")
)
case("an unset variable", ALL, Cause.SECRET_MALFORMED, "is empty", "variable")(lambda one: replace(one, secret=""))
case("a cut secret", ("standard",), Cause.SECRET_MALFORMED, "whsec_ followed by base64", "copy it whole")(
    lambda one: replace(one, secret=one.secret[:-3])
)


@case("padding lost", ("standard",), Cause.SECRET_MALFORMED, "lost the = at its end")
def _padding(one: Delivery) -> Delivery:
    made = delivery("standard", secret="whsec_" + base64.b64encode(b"k" * 31).decode())
    return replace(made, secret=made.secret.rstrip("="))


@case("whsec_ lost", TEXTUAL, Cause.SECRET_MALFORMED, "lacks the whsec_")
def _whsec(one: Delivery) -> Delivery:
    made = delivery(one.kind, secret=WHSEC)
    return replace(made, secret=WHSEC.removeprefix("whsec_"))


case("key not decoded", ("standard",), Cause.WRONG_KEY_FORM, "secret is right", "whsec_ and all", "`profile`")(
    lambda one: one.resigned(key=one.secret.encode())
)
case("key half decoded", ("standard",), Cause.WRONG_KEY_FORM, "not decoded")(
    lambda one: one.resigned(key=one.secret[6:].encode())
)
case("key decoded", HEX, Cause.WRONG_KEY_FORM, "base64-decoded bytes after whsec_", "the others take its text")(
    lambda one: replace(delivery(one.kind, secret=WHSEC).resigned(key=base64.b64decode(WHSEC[6:])))
)
case("hex key decoded", HEX, Cause.WRONG_KEY_FORM, "hex digits stand for")(
    lambda one: one.resigned(key=bytes.fromhex(one.secret))
)


@case("rotation under way", ("standard",), Cause.WRONG_SECRET, "there are 2", "neither the new secret nor the old")
def _rotation(one: Delivery) -> Delivery:
    return replace(one.valued(f"{one.value} {one.value}"), secret=other_secret(one))


# the header

case("no header", ALL, Cause.MISSING_HEADER, "is missing", "proxy")(lambda one: without(one, one.name))
case("an empty header", ALL, Cause.MISSING_HEADER, "is missing")(lambda one: one.valued(""))
case("unsigned", ("trcker",), Cause.MISSING_HEADER, "made without a secret is not signed")(
    lambda one: without(one, one.name)
)
case("no id", ("standard",), Cause.MISSING_HEADER, "webhook-id is missing")(lambda one: without(one, "webhook-id"))
case("no time", ("standard",), Cause.MISSING_HEADER, "webhook-timestamp is missing")(
    lambda one: without(one, "webhook-timestamp")
)
case("twice", ALL, Cause.MALFORMED_HEADER, "is there 2 times", "proxy")(
    lambda one: replace(one, headers=[*one.headers.items(), (one.name.upper(), one.value)])  # type: ignore[arg-type]
)
case("renamed", ALL, Cause.OTHER_HEADER, "x-forwarded-sig holds", "header='x-forwarded-sig'")(
    lambda one: replace(
        without(one, one.name), headers={**without(one, one.name).headers, "X-Forwarded-Sig": one.value}
    )
)
case("a candidate", ALL, Cause.MISSING_HEADER, "x-api-token", "fit with no secret")(
    lambda one: replace(without(one, one.name), headers={**without(one, one.name).headers, "X-Api-Token": "what"})
)
case(
    "chosen otherwise", ("visits token", "visits hmac"), Cause.OTHER_HEADER, "options name that header", "'x-crm-key'"
)(lambda one: delivery(one.kind, signature_header="X-Crm-Key"))
case("upper case", HEX, Cause.MALFORMED_HEADER, "UPPER-CASE HEX", "lower case", "digest itself is right")(
    lambda one: one.valued(one.value.replace(one.digest, one.digest.upper()))
)
case("base64 for hex", HEX, Cause.MALFORMED_HEADER, "BASE64", "HEX", "digest itself is right")(
    lambda one: one.valued(one.value.replace(one.digest, base64.b64encode(bytes.fromhex(one.digest)).decode()))
)
case(
    "hex for base64", ("standard",), Cause.MALFORMED_HEADER, "'v1,HEX'", "not as 'v1,BASE64'", "digest itself is right"
)(lambda one: one.valued("v1," + base64.b64decode(one.digest).hex()))
case("base64url", ("standard",), Cause.MALFORMED_HEADER, "written", "digest itself is right")(urlsafe)
case("quotes around it", SIGNING, Cause.MALFORMED_HEADER, "written as", "digest itself is right")(
    lambda one: one.valued(f'"{one.value}"')
)
case("prefix missing", ("cloakradar", "cue"), Cause.MALFORMED_HEADER, "'HEX', not as 'sha256=HEX'", "digest itself")(
    lambda one: one.valued(one.digest)
)
case("prefix too much", ("clickdefender", "visits hmac"), Cause.MALFORMED_HEADER, "'sha256=HEX'", "digest itself is")(
    lambda one: one.valued("sha256=" + one.digest)
)
case("another prefix", ("cloakradar", "cue"), Cause.MALFORMED_HEADER, "'sha1=HEX'", "'sha256=HEX'", "digest itself is")(
    lambda one: one.valued("sha1=" + one.digest)
)
case("v1= for v1,", ("standard",), Cause.MALFORMED_HEADER, "'v1=BASE64', not as 'v1,BASE64'", "digest itself is right")(
    lambda one: one.valued("v1=" + one.digest)
)
case("no v1,", ("standard",), Cause.MALFORMED_HEADER, "'BASE64', not as 'v1,BASE64'", "digest itself is right")(
    lambda one: one.valued(one.digest)
)
case("cut", SIGNING[:-1], Cause.MALFORMED_HEADER, "does not look like", "cut")(lambda one: one.valued(one.value[:-9]))
case("a SHA-1", HEX[:-1], Cause.MALFORMED_HEADER, "40 hex digits", "SHA-1", "64")(
    lambda one: one.valued(one.value.replace(one.digest, one.digest[:40]))
)
case("the secret sent", ("cloakradar", "clickdefender", "trcker", "cue", "standard"), Cause.MALFORMED_HEADER,
     "holds the secret itself", "not a signature")(lambda one: one.valued(one.secret))  # fmt: skip
case("a word before the token", ("visits token",), Cause.MALFORMED_HEADER, "something before or around it")(
    lambda one: one.valued("Bearer " + one.value)
)
case("another token", ("visits token",), Cause.WRONG_SECRET, "is not the secret", "rotation")(
    lambda one: one.valued("another-token")
)
case("another token or digest", ("visits token",), Cause.WRONG_SECRET, "neither", "nor a digest made with it")(
    lambda one: one.valued("ab" * 32)
)
case("a cut digest or another token", ("visits hmac",), Cause.WRONG_SECRET, "is not the secret", "55 hex digits", "64")(
    lambda one: one.valued(one.value[:-9])
)
case("no t", ("trcker",), Cause.MALFORMED_HEADER, "does not look like t=UNIX_SECONDS,v1=HEX")(
    lambda one: one.valued(f"v1={one.digest}")
)
case(
    "t in milliseconds", ("trcker",), Cause.MALFORMED_HEADER, "t in x-trcker-signature is in milliseconds", "is right"
)(
    lambda one: one.valued(one.value.replace("t=", "t=").replace(str(AT_S), f"{AT_S}000")).resigned(
        start=b"%d000." % AT_S
    )
)
case("milliseconds", ("standard",), Cause.MALFORMED_HEADER, "webhook-timestamp is in milliseconds", "whole seconds")(
    lambda one: replace(one, headers={**one.headers, "webhook-timestamp": f"{AT_S}000"})
)
case("no number", ("standard",), Cause.MALFORMED_HEADER, "webhook-timestamp is not a whole number")(
    lambda one: replace(one, headers={**one.headers, "webhook-timestamp": "today"})
)

# what was signed

case("the body alone", ("standard", "trcker"), Cause.SIGNED_OTHERWISE, "secret is right", "the body alone", "signs")(
    lambda one: one.resigned(start=b"")
)
case("without the full stop", ("trcker",), Cause.SIGNED_OTHERWISE, "without the full stop")(
    lambda one: one.resigned(start=str(AT_S).encode())
)
case("without the id", ("standard",), Cause.SIGNED_OTHERWISE, "the time, a full stop and the body", "webhook-id")(
    lambda one: one.resigned(start=b"%d." % AT_S)
)

# the time

case("stale", ("standard", "trcker"), Cause.TIMESTAMP_TOO_OLD, "signed 301 s ago", "repeated", "signature is right")(
    lambda one: replace(one, terms={"now": AT_S + 301})
)
case("from the future", ("standard", "trcker"), Cause.TIMESTAMP_TOO_NEW, "301 s in the future", "clock", "is right")(
    lambda one: replace(one, terms={"now": AT_S - 301})
)
case("stale and wrong", ("standard", "trcker"), Cause.TIMESTAMP_TOO_OLD, "does not match either")(
    lambda one: replace(one, terms={"now": AT_S + 301}, secret=other_secret(one))
)

# the body

for _name, _rewrite in {
    "spaced": lambda body: json.dumps(json.loads(body)).encode(),
    "indented": lambda body: json.dumps(json.loads(body), indent=2, ensure_ascii=False).encode(),
    "escaped": lambda body: json.dumps(json.loads(body), separators=(",", ":")).encode(),
    "PHP's slashes": lambda body: body.replace(b"/", b"\\/"),
    "line break": lambda body: body + b"\n",
    "blanks": lambda body: b" " + body + b" ",
    "byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "Latin-1": lambda body: body.decode("latin-1").encode(),
}.items():
    case(f"body: {_name}", SIGNING, Cause.BODY_CHANGED, "fits the same body", "raw bytes")(
        lambda one, rewrite=_rewrite: replace(one, body=rewrite(one.body))  # type: ignore[misc]
    )
case("body parsed", ALL, Cause.BODY_CHANGED, "is a dict", "parsed already", "raw bytes")(
    lambda one: replace(one, body=json.loads(one.body))
)
case("body read before", SIGNING, Cause.BODY_CHANGED, "body is empty", "read it before")(
    lambda one: replace(one, body=b"")
)
case("body cut", SIGNING, Cause.BODY_CHANGED, "Content-Length says", "cut")(
    lambda one: replace(one, body=one.body[:-7], headers={**one.headers, "Content-Length": str(len(one.body))})
)
case("sorted", ("standard", "trcker", "cue", "cloakradar"), Cause.BODY_CHANGED, "keys come as data, ", "raw bytes")(
    lambda one: replace(one, body=sorted_keys(one)) if one.kind in ("standard",) else replace(one, body=data_first(one))
)
case("an envelope's keys moved", ("standard", "trcker", "cue", "cloakradar"), Cause.BODY_CHANGED, "the sender's order")(
    lambda one: replace(one, body=data_first(one, sort=False))
)
case("decoded wrongly", SIGNING, Cause.BODY_CHANGED, "U+FFFD", "raw bytes")(
    lambda one: replace(one, body=one.body.decode("ascii", "replace").encode())
)


def _others() -> Iterator[Any]:
    for spoken in ALL:
        for expected in PROFILES:
            if expected != spoken.split()[0]:
                yield pytest.param(spoken, expected, id=f"{spoken} for {expected}")


# --- what is held to it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "spoil", "cause", "words"), _cases)
def test_the_cause_is_found_and_told(kind: str, spoil: Spoil, cause: Cause, words: tuple[str, ...]) -> None:
    """The whole delivery verifies; with one thing spoilt it does not, and that thing is named, never a secret."""
    whole = delivery(kind)
    whole.verify()
    spoilt = spoil(whole)
    with pytest.raises(VerificationError) as caught:
        spoilt.verify()
    error = caught.value
    assert error.cause is cause, error.sentence
    for word in words:
        assert word in error.sentence
    for secret in {WHSEC, TEXT, WHSEC[6:], *([spoilt.secret] if isinstance(spoilt.secret, str) else spoilt.secret)}:
        assert not secret or secret not in str(error)


@pytest.mark.parametrize(("spoken", "expected"), [*_others()])
def test_the_dialect_that_is_spoken_is_named(spoken: str, expected: str) -> None:
    """Each dialect's delivery at a receiver for each other: which one it is, and whether the secret fits there."""
    one = delivery(spoken)
    for secret, fits in ((one.secret, True), (other_secret(one), False)):
        with pytest.raises(VerificationError) as caught:
            replace(one, secret=secret, terms={"profile": expected}).verify()
        assert caught.value.cause is Cause.OTHER_DIALECT
        assert f"profile={spoken.partition(' ')[0]!r}" in caught.value.sentence
        assert ("(the secret fits there)" in caught.value.sentence) is fits


def test_pairs_in_any_order() -> None:
    """The document's receiver for trcker reads t and v1 into an object: their order means nothing there, nor here."""
    one = delivery("trcker")
    turned = ",".join(reversed(one.value.split(",")))
    assert turned.startswith("v1=")
    assert one.valued(turned).verify().timestamp.timestamp() == AT_S


def test_which_secret_fits() -> None:
    """Where several are given it is told which one fits, and how it was used."""
    for kind in ALL:
        one = delivery(kind)
        verified = replace(one, secret=[other_secret(one), one.secret]).verify()
        assert verified.secret_index == 1
        expected = "token" if kind == "visits token" else "hmac-hex" if kind == "visits hmac" else None
        assert verified.scheme == (expected or DIALECTS[kind].scheme)


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_values = st.one_of(st.integers(-(2**53) + 1, 2**53 - 1), st.booleans(), st.none(), _texts)
_events = st.dictionaries(_texts, st.one_of(_values, st.lists(_values, max_size=3)), max_size=4)
_visible = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=16, max_size=80)


@pytest.mark.parametrize("kind", ALL)
@settings(max_examples=50)
@given(event=_events, raw=st.binary(min_size=24, max_size=64), text=_visible, place=st.integers(0, 10**6),
       change=st.integers(1, 255))  # fmt: skip
def test_one_changed_byte_is_refused(
    kind: str, event: Mapping[str, Any], raw: bytes, text: str, place: int, change: int
) -> None:
    """What is signed verifies, under any secret; with any one byte of body, signature, signed header or secret changed
    it does not. (A token says nothing of the body.)
    """
    secret = "whsec_" + base64.b64encode(raw).decode() if kind == "standard" else text
    one = delivery(kind, json.dumps(event).encode(), secret)
    assert one.verify().event == json.loads(one.body)

    def changed(text: str) -> str:
        """Another character that can stand in a header."""
        at = place % len(text)
        other = chr(33 + (ord(text[at]) - 33 + 1 + (change % 93)) % 94)
        return text[:at] + other + text[at + 1 :]

    # The last letter of a whsec_ secret can be written in several ways, so there it is a byte of the key that changes.
    at = place % len(raw)
    key = raw[:at] + bytes([raw[at] ^ change]) + raw[at + 1 :]
    other_key = "whsec_" + base64.b64encode(key).decode() if kind == "standard" else changed(secret)
    spoilt = [one.valued(changed(one.value)), replace(one, secret=other_key)]
    if kind == "standard":
        signed = ("webhook-id", "webhook-timestamp")
        spoilt += [replace(one, headers={**one.headers, name: changed(one.headers[name])}) for name in signed]
    if kind != "visits token":
        at = place % len(one.body)
        body = one.body[:at] + bytes([one.body[at] ^ change]) + one.body[at + 1 :]
        spoilt.append(replace(one, body=body))
    for other in spoilt:
        with pytest.raises(VerificationError):
            other.verify()


def test_a_digest_has_one_spelling() -> None:
    """The last letter of a digest in base64 holds two bits that say nothing: they are held to all the same."""
    one = delivery("standard")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = one.digest[:-2] + letters[letters.index(one.digest[-2]) ^ 1] + "="
    assert base64.b64decode(other) == base64.b64decode(one.digest)
    with pytest.raises(VerificationError):
        one.valued("v1," + other).verify()


def test_nothing_is_told_of_a_part() -> None:
    """A digest of which all but one digit is right is as wrong as any other: the sentences are the same."""
    one = delivery("clickdefender")
    near = one.value[:-1] + ("0" if one.value[-1] != "0" else "1")
    told = set()
    for value in (near, "0" * 64):
        with pytest.raises(VerificationError) as caught:
            one.valued(value).verify()
        told.add(str(caught.value))
    assert len(told) == 1


def test_rubbish_is_refused_in_bounded_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither many secrets, nor many digests, nor many headers make more than a few hundred HMACs of a request."""
    made = 0
    digest = hmac.digest

    def counting(*arguments: Any) -> bytes:
        nonlocal made
        made += 1
        return digest(*arguments)

    monkeypatch.setattr(explain.hmac, "digest", counting)
    one = delivery("trcker")
    value = ",".join([f"t={AT_S}", *[f"v1={number:064x}" for number in range(500)]])
    headers = {f"X-Sign-{number}": value for number in range(500)}
    secrets = [f"secret number {number} with + and %20" for number in range(200)]
    for given_ in ({one.name: value}, headers):
        with pytest.raises(VerificationError):
            replace(one, headers=given_, secret=secrets).verify()
    assert 100 < made < 1500
