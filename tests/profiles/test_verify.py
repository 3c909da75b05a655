"""The receiver's own check: takes what every dialect signs, and says why it takes nothing else."""

import base64
import hmac
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tocsin
from tocsin.profiles import Facts, Profile, load
from tocsin.receiver import verify as module
from tocsin.receiver.inbox.judging import dialect_of
from tocsin.receiver.verify import DIALECTS, PROFILES, Cause, VerificationError, Verified, verify

WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
TEXT = "your_signing_secret_here"
AT_S = 1_773_480_500
DATA = b'{"click_id":"clk_1","name":"Fibre \xe2\x80\x93 Spring","payout":45,"rates":[0.5,{"a":null}]}'

Headers = dict[str, str]
vendors = pytest.mark.parametrize("vendor", PROFILES)


@pytest.fixture(scope="session")
def deliver(dialects: Mapping[str, Profile], make_facts: Any) -> Callable[..., tuple[Headers, bytes, str]]:
    """Headers, body and secret, as they arrive."""

    def deliver(
        vendor: str, data: bytes = DATA, secret: str | None = None, options: Mapping[str, object] | None = None
    ) -> tuple[Headers, bytes, str]:
        secret = secret or (WHSEC if vendor == "standard" else TEXT)
        facts = make_facts(data=data)
        body = dialects[vendor].render_body(facts)
        return dict(dialects[vendor].sign(facts, body, (secret,), AT_S * 1000, options or {})), body, secret

    return deliver


def refused(headers: Any, body: Any, secret: Any, vendor: str = "standard", **more: Any) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        verify(headers, body, secret, **{"profile": vendor, "now": AT_S, **more})
    error = caught.value
    assert f"[{error.cause}]" in str(error)
    secrets = [secret] if isinstance(secret, str) else secret
    assert not any(one and one in str(error) for one in secrets)
    return error


def test_there_are_six_dialects() -> None:
    """CONTRACT §4."""
    assert PROFILES == ("standard", "cloakradar", "clickdefender", "trcker", "visits", "cue")


@vendors
def test_each_dialect_is_the_one_that_signs(vendor: str) -> None:
    """What the SDK knows by itself is what the sender's data say."""
    dialect = dialect_of(load(vendor))
    assert DIALECTS[vendor] == dialect


# --- what is taken ------------------------------------------------------------------------------------------------


@vendors
def test_what_is_signed_is_taken(deliver: Any, vendor: str) -> None:
    """Each dialect's delivery verifies and gives id, type, time of signing and event."""
    headers, body, secret = deliver(vendor)
    verified = verify(headers, body, secret, profile=vendor, now=AT_S)
    assert verified == Verified(
        id="evt_06f3k9w2zq8rt",
        type="ad.click",
        timestamp=datetime.fromtimestamp(AT_S, UTC) if vendor in ("standard", "trcker") else None,
        event=json.loads(body),
        profile=vendor,
        scheme=DIALECTS[vendor].scheme,
        secret_index=0,
    )


_data = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.one_of(st.integers(-(2**53) + 1, 2**53 - 1), st.booleans(), st.text(st.characters(exclude_categories=["Cs"]))),
    max_size=4,
)


@settings(max_examples=60)
@given(data=_data, raw_key=st.binary(min_size=24, max_size=64), position=st.integers(0, 10**6), bit=st.integers(0, 7))
@vendors
def test_one_flipped_bit_is_refused(
    deliver: Any, vendor: str, data: dict[str, Any], raw_key: bytes, position: int, bit: int
) -> None:
    """Any event under any secret verifies; with one bit of its body, signature or secret flipped it does not."""
    secret = "whsec_" + base64.b64encode(raw_key).decode() if vendor == "standard" else raw_key.hex()
    stable = json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()
    options = {"signature": "hmac"}
    headers, body, _ = deliver(vendor, stable, secret, options)
    arguments = {"profile": vendor, "now": AT_S}
    assert verify(headers, body, secret, **arguments).event == json.loads(body)

    at = position % len(body)
    flipped = body[:at] + bytes([body[at] ^ (1 << bit)]) + body[at + 1 :]
    assert refused(headers, flipped, secret, **arguments | {"vendor": vendor}).cause in (
        Cause.WRONG_SECRET,
        Cause.BODY_CHANGED,
    )
    name = next(name for name in headers if "signature" in name.lower())
    digest = re.search(r"[0-9a-f]{64}$|[A-Za-z0-9+/]{43}=$", headers[name])
    assert digest
    at = digest.start() + position % 42
    swapped = headers[name][:at] + ("a" if headers[name][at] != "a" else "b") + headers[name][at + 1 :]
    assert refused(headers | {name: swapped}, body, secret, vendor).cause is Cause.WRONG_SECRET
    other_key = bytes([raw_key[0] ^ (1 << bit)]) + raw_key[1:]
    other = "whsec_" + base64.b64encode(other_key).decode() if vendor == "standard" else other_key.hex()
    assert refused(headers, body, other, vendor).cause is Cause.WRONG_SECRET


def test_visits_takes_token_and_digest_in_the_header_that_was_chosen(deliver: Any) -> None:
    """Both ways of `visits`, each also under another name."""
    for options in ({"signature": "token"}, {"signature": "hmac"}):
        headers, body, secret = deliver("visits", options=options)
        assert verify(headers, body, secret, profile="visits").event == json.loads(body)
        headers, body, secret = deliver("visits", options=options | {"signature_header": "X-Our-Sig"})
        assert verify(headers, body, secret, profile="visits", header="x-our-sig").event == json.loads(body)
        error = refused(headers, body, secret, "visits")
        assert error.cause is Cause.OTHER_HEADER
        assert "x-our-sig" in error.sentence


@vendors
def test_any_of_several_secrets_will_do(deliver: Any, vendor: str) -> None:
    """While a secret is rotated a receiver gives both."""
    headers, body, secret = deliver(vendor)
    other = OTHER if vendor == "standard" else "an-older-key"
    assert verify(headers, body, [other, secret], profile=vendor, now=AT_S).type == "ad.click"
    assert refused(headers, body, [other, other], vendor).cause is Cause.WRONG_SECRET


def test_headers_come_in_any_form(deliver: Any) -> None:
    """Mappings, pairs, bytes, any case, spaces around values."""
    headers, body, secret = deliver("standard")
    for form in (
        {name.upper(): value for name, value in headers.items()},
        list(headers.items()),
        [(name.encode(), value.encode()) for name, value in headers.items()],
        {name.title(): f" {value} " for name, value in headers.items()},
    ):
        assert verify(form, body, secret, now=AT_S).id == "evt_06f3k9w2zq8rt"


def test_bodies_come_as_text_too(deliver: Any) -> None:
    """A body that was decoded, not parsed, is as good as its bytes."""
    headers, body, secret = deliver("standard")
    for form in (body.decode(), bytearray(body), memoryview(body)):
        assert verify(headers, form, secret, now=AT_S).event["data"]["payout"] == 45


def test_the_signed_id_counts(deliver: Any) -> None:
    """Where the body carries the id, it is taken from there: the header of `trcker` and `cue` is not signed."""
    for vendor in ("trcker", "cue"):
        headers, body, secret = deliver(vendor)
        assert verify(headers | {"Webhook-Id": "evt_forged"}, body, secret, profile=vendor, now=AT_S).id == (
            "evt_06f3k9w2zq8rt"
        )
        del headers["Webhook-Id"]
        assert verify(headers, body, secret, profile=vendor, now=AT_S).id == "evt_06f3k9w2zq8rt"


# --- why not ------------------------------------------------------------------------------------------------------


@vendors
def test_a_missing_signature_is_told(deliver: Any, vendor: str) -> None:
    """The header is named."""
    headers, body, secret = deliver(vendor)
    name = next(name for name in headers if "signature" in name.lower())
    for without in ({key: value for key, value in headers.items() if key != name}, headers | {name: ""}):
        error = refused(without, body, secret, vendor)
        assert error.cause is Cause.MISSING_HEADER
        assert name.lower() in error.sentence


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_standard_needs_three_headers(deliver: Any, name: str) -> None:
    """Without its id or time a signature says nothing."""
    headers, body, secret = deliver("standard")
    del headers[name]
    error = refused(headers, body, secret)
    assert error.cause is Cause.MISSING_HEADER
    assert name in error.sentence


@pytest.mark.parametrize("spoken", PROFILES)
@pytest.mark.parametrize("expected", PROFILES)
def test_another_dialect_is_recognised(deliver: Any, spoken: str, expected: str) -> None:
    """A receiver that expects one dialect and gets another learns which."""
    headers, body, secret = deliver(spoken)
    if spoken != expected:
        error = refused(headers, body, secret, expected)
        assert error.cause is Cause.OTHER_DIALECT
        assert f"profile={spoken!r}" in error.sentence


@pytest.mark.parametrize(
    ("vendor", "name", "value"),
    [
        ("standard", "webhook-signature", "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ("standard", "webhook-signature", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ("standard", "webhook-signature", "v1,"),
        ("standard", "webhook-signature", "v1,g0hM9SsE"),
        ("standard", "webhook-signature", "v1,%%% v1,é"),
        ("standard", "webhook-timestamp", "now"),
        ("standard", "webhook-timestamp", "-1"),
        ("standard", "webhook-timestamp", "1773480500.5"),
        ("standard", "webhook-timestamp", "١٧٧٣٤٨٠٥٠٠"),
        ("standard", "webhook-timestamp", "9" * 30),
        ("cloakradar", "X-CloakRadar-Signature", "a" * 64),
        ("cloakradar", "X-CloakRadar-Signature", "sha256=abc"),
        ("clickdefender", "X-ClickDefender-Signature", "sha256=" + "a" * 64),
        ("cue", "Cue-Signature", "sha1=" + "a" * 40),
        ("trcker", "X-Trcker-Signature", "a" * 64),
        ("trcker", "X-Trcker-Signature", "v1=" + "a" * 64),
        ("trcker", "X-Trcker-Signature", "t=1773480500"),
        ("trcker", "X-Trcker-Signature", "t=x,v1=" + "a" * 64),
        ("trcker", "X-Trcker-Signature", "t=1773480500,v1=short"),
    ],
)
def test_a_header_of_another_form_is_told(deliver: Any, vendor: str, name: str, value: str) -> None:
    """A cut or foreign value is not called a wrong secret."""
    headers, body, secret = deliver(vendor)
    error = refused(headers | {name: value}, body, secret, vendor)
    assert error.cause is Cause.MALFORMED_HEADER
    assert name.lower() in error.sentence


def test_milliseconds_are_recognised(deliver: Any) -> None:
    """The likeliest mistake with a time has a sentence of its own."""
    headers, body, secret = deliver("standard")
    error = refused(headers | {"webhook-timestamp": f"{AT_S}000"}, body, secret)
    assert error.cause is Cause.MALFORMED_HEADER
    assert "milliseconds" in error.sentence


def test_a_header_that_is_there_twice_is_refused(deliver: Any) -> None:
    """Nobody can say which one counts."""
    headers, body, secret = deliver("standard")
    error = refused([*headers.items(), ("Webhook-Id", "evt_2")], body, secret)
    assert error.cause is Cause.MALFORMED_HEADER
    assert "2 times" in error.sentence


@pytest.mark.parametrize("vendor", ["standard", "trcker"])
def test_the_time_of_signing_is_held_to(deliver: Any, vendor: str) -> None:
    """Five minutes either way, or what the receiver says; the edge itself still passes."""
    headers, body, secret = deliver(vendor)
    for now in (AT_S - 300, AT_S + 300):
        assert verify(headers, body, secret, profile=vendor, now=now).type == "ad.click"
    late, early = (refused(headers, body, secret, vendor, now=now) for now in (AT_S + 301, AT_S - 301))
    assert (late.cause, early.cause) == (Cause.TIMESTAMP_TOO_OLD, Cause.TIMESTAMP_TOO_NEW)
    assert "301 s ago" in late.sentence
    assert refused(headers, body, secret, vendor, now=AT_S + 11, tolerance_s=10).cause is Cause.TIMESTAMP_TOO_OLD
    assert verify(headers, body, secret, profile=vendor, now=AT_S + 10**8, tolerance_s=None).type == "ad.click"


def test_the_time_is_the_systems_unless_given(deliver: Any) -> None:
    """An old delivery is old today."""
    headers, body, secret = deliver("standard")
    assert verify(headers, body, secret, tolerance_s=10**12).type == "ad.click"
    assert refused(headers, body, secret, now=None, tolerance_s=0.0).cause in (
        Cause.TIMESTAMP_TOO_OLD,
        Cause.TIMESTAMP_TOO_NEW,
    )


@vendors
@pytest.mark.parametrize(
    "rewrite",
    [
        lambda body: json.dumps(json.loads(body)).encode(),
        lambda body: json.dumps(json.loads(body), indent=2, ensure_ascii=False).encode(),
        lambda body: json.dumps(json.loads(body), separators=(",", ":")).encode(),
        lambda body: body + b"\n",
        lambda body: b"\xef\xbb\xbf" + body,
    ],
    ids=["spaced", "indented", "escaped", "line break", "byte order mark"],
)
def test_a_rewritten_body_is_recognised(deliver: Any, vendor: str, rewrite: Callable[[bytes], bytes]) -> None:
    """The framework parsed the body and wrote it again: the secret is not to blame, and nothing is let in."""
    headers, body, secret = deliver(vendor, options={"signature": "hmac"})
    error = refused(headers, rewrite(body), secret, vendor)
    assert error.cause is Cause.BODY_CHANGED
    assert "raw bytes" in error.sentence


def test_a_sender_that_indents_is_recognised_too(deliver: Any) -> None:
    """Other senders of Standard Webhooks sign other styles; a framework that compacts them breaks them alike."""
    headers, body, secret = deliver("standard")
    for indent in (2, 4):
        styled = json.dumps(json.loads(body), indent=indent).encode()
        mac = hmac.digest(base64.b64decode(WHSEC[6:]), b"evt_06f3k9w2zq8rt.%d.%b" % (AT_S, styled), "sha256")
        signed = headers | {"webhook-signature": "v1," + base64.b64encode(mac).decode()}
        assert verify(signed, styled, secret, now=AT_S).type == "ad.click"
        assert refused(signed, body, secret).cause is Cause.BODY_CHANGED


def test_sorted_keys_are_recognised(deliver: Any) -> None:
    """An order that the sender never writes gives the rewriting away, though nothing can prove it."""
    headers, body, secret = deliver("standard", b'{"b":1,"a":2}')
    error = refused(headers, json.dumps(json.loads(body), sort_keys=True).encode(), secret)
    assert error.cause is Cause.BODY_CHANGED
    assert "data, timestamp, type" in error.sentence


def test_a_parsed_body_is_recognised(deliver: Any) -> None:
    """A dict is no body."""
    headers, body, secret = deliver("standard")
    error = refused(headers, json.loads(body), secret)
    assert error.cause is Cause.BODY_CHANGED
    assert "dict" in error.sentence


@pytest.mark.parametrize(
    "key", [WHSEC.encode(), WHSEC.removeprefix("whsec_").encode()], ids=["whole text", "text after whsec_"]
)
def test_a_key_that_was_not_decoded_is_recognised(deliver: Any, key: bytes) -> None:
    """A sender that keys with the secret's text has the right secret, but not the standard's key."""
    headers, body, _ = deliver("standard")
    mac = hmac.digest(key, f"evt_06f3k9w2zq8rt.{AT_S}.".encode() + body, "sha256")
    headers["webhook-signature"] = "v1," + base64.b64encode(mac).decode()
    error = refused(headers, body, WHSEC)
    assert error.cause is Cause.WRONG_KEY_FORM
    assert "not decoded" in error.sentence or "whsec_ and all" in error.sentence


@pytest.mark.parametrize("vendor", ["cloakradar", "clickdefender", "trcker", "cue"])
def test_a_key_that_was_decoded_is_recognised(deliver: Any, vendor: str) -> None:
    """The other dialects key with the text; one that decodes whsec_ first has the right secret, but not their key."""
    headers, body, secret = deliver(vendor, secret=WHSEC)
    assert verify(headers, body, secret, profile=vendor, now=AT_S).type == "ad.click"
    start = f"{AT_S}.".encode() if vendor == "trcker" else b""
    mac = hmac.digest(base64.b64decode(WHSEC[6:]), start + body, "sha256").hex()
    name = next(name for name in headers if "signature" in name.lower())
    headers[name] = re.sub(r"[0-9a-f]{64}$", mac, headers[name])
    error = refused(headers, body, secret, vendor)
    assert error.cause is Cause.WRONG_KEY_FORM
    assert "base64-decoded" in error.sentence


@vendors
@pytest.mark.parametrize("around", ["{}\n", " {}", "{}\r\n"])
def test_spaces_around_the_secret_are_recognised(deliver: Any, vendor: str, around: str) -> None:
    """A secret read from a file brings its line break along."""
    headers, body, secret = deliver(vendor)
    error = refused(headers, body, around.format(secret), vendor)
    assert error.cause is Cause.SECRET_MALFORMED
    assert "around it" in error.sentence


@pytest.mark.parametrize("secret", ["", [], ["", WHSEC], None])
@vendors
def test_an_empty_secret_never_verifies(deliver: Any, vendor: str, secret: Any) -> None:
    """An unset variable is told, and is no key, though anybody could sign with it."""
    headers, body, _ = deliver(vendor)
    with pytest.raises(VerificationError) as caught:
        verify(headers, body, secret, profile=vendor, now=AT_S)  # type: ignore[arg-type]
    assert caught.value.cause is Cause.SECRET_MALFORMED


def test_an_empty_key_never_verifies(deliver: Any) -> None:
    """whsec_ with nothing behind it is no key either."""
    headers, body, _ = deliver("standard")
    mac = hmac.digest(b"", f"evt_06f3k9w2zq8rt.{AT_S}.".encode() + body, "sha256")
    headers["webhook-signature"] = "v1," + base64.b64encode(mac).decode()
    with pytest.raises(VerificationError) as caught:
        verify(headers, body, "whsec_", now=AT_S)
    assert caught.value.cause is Cause.SECRET_MALFORMED


@pytest.mark.parametrize("secret", ["whsec_%%%", "whsec_MfKQ9r8GKYqrTwjUPD8", "hunter2!"])
def test_a_secret_that_is_no_base64_is_told(deliver: Any, secret: str) -> None:
    """A secret that was cut while copying is told apart from another webhook's."""
    headers, body, _ = deliver("standard")
    assert refused(headers, body, secret).cause is Cause.SECRET_MALFORMED


@vendors
def test_another_secret_is_wrong(deliver: Any, vendor: str) -> None:
    """With nothing else to blame, it is the secret."""
    headers, body, _ = deliver(vendor)
    error = refused(headers, body, OTHER, vendor)
    assert error.cause is Cause.WRONG_SECRET


def test_a_body_too_large_to_look_into_is_refused_at_once(deliver: Any) -> None:
    """Beyond 256 KiB nothing is tried out: an unsigned request cannot make a receiver work."""
    headers, body, secret = deliver("standard", b'{"a":"%b"}' % (b"x" * (256 << 10)))
    assert verify(headers, body, secret, now=AT_S).type == "ad.click"
    assert refused(headers, body + b"\n", secret).cause is Cause.WRONG_SECRET


def test_a_body_that_is_no_json_is_told(deliver: Any) -> None:
    """Its signature may be right all the same; deep nesting is an answer and no crash."""
    for body in (b"not json", b"\xff\xfe", b"[" * 100_000):
        mac = hmac.digest(TEXT.encode(), body, "sha256").hex()
        assert refused({"Cue-Signature": f"sha256={mac}"}, body, TEXT, "cue").cause is Cause.NOT_JSON
        assert refused({"Cue-Signature": f"sha256={mac}"}, body + b"x", TEXT, "cue").cause is Cause.WRONG_SECRET


def test_an_unknown_profile_is_the_callers_mistake() -> None:
    """It is no verdict on the request."""
    with pytest.raises(ValueError, match="no profile is called 'stripe'"):
        verify({}, b"", "x", profile="stripe")


# --- the module itself --------------------------------------------------------------------------------------------

_SOURCE = Path(tocsin.__file__).parents[1]


def test_it_needs_nothing_but_the_standard_library() -> None:
    """Imported by an interpreter without any installed package, it works and has loaded none."""
    script = f"""
import sys
sys.path.insert(0, {str(_SOURCE)!r})
from tocsin.receiver.verify import verify
headers = {{"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
           "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}}
verify(headers, b'{{"test": 2432232314}}', {WHSEC!r}, now=1614265330)
print(*sorted({{name.partition(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names)))
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"__main__", "tocsin"} - set(sys.stdlib_module_names)


def test_signing_and_verifying_share_no_code() -> None:
    """Each checks the other: the dialects never import the receiver's side, nor it theirs."""
    ours = [*(_SOURCE / "tocsin" / "profiles").glob("*.py"), Path(module.__file__)]
    imports = {
        line for file in ours for line in file.read_text().splitlines() if re.match(r"(from|import) tocsin", line)
    }
    assert not [line for line in imports if "receiver" in line]
    assert not re.findall(r"^(?:from|import) tocsin", Path(module.__file__).read_text(), re.MULTILINE)


def _snippets() -> list[str]:
    """The examples in the module's docstring."""
    blocks = re.findall(r"(?:^    .*\n|^\n)+", module.__doc__ or "", re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in blocks if "import" in block]


def test_the_example_without_a_framework_runs() -> None:
    """Pasted as it stands, but for port and secret, it answers 204 to what is signed and 401 to what is not."""
    source = next(snippet for snippet in _snippets() if "http.server" in snippet)
    source = source.replace("whsec_…", WHSEC).replace('("127.0.0.1", 8000)', '("127.0.0.1", 0)')
    source = source.replace("HTTPServer((", "server = HTTPServer((").replace(".serve_forever()", "")
    names: dict[str, Any] = {}
    exec(source, names)
    server = names["server"]
    names["Hooks"].log_message = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for secret, status in ((WHSEC, 204), (OTHER, 401)):
            body = b'{"type":"click.created","timestamp":"2026-03-14T09:26:53Z","data":{}}'
            facts_at = int(datetime.now(UTC).timestamp() * 1000)
            headers = load("standard").sign(_facts(), body, (secret,), facts_at, {})
            connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
            connection.request("POST", "/", body, dict(headers))
            assert connection.getresponse().status == status
            connection.close()
    finally:
        server.shutdown()
        server.server_close()


def _facts() -> Any:
    return Facts(
        event_id="evt_1",
        type="click.created",
        timestamp=0,
        data=b"{}",
        webhook_id="wh_1",
        account_id="acc_1",
        account_external_id=None,
        account_name="",
    )


def test_the_example_with_flask_is_python() -> None:
    """It compiles, and calls `verify` as it is."""
    source = next(snippet for snippet in _snippets() if "flask" in snippet)
    compile(source, "flask example", "exec")
    assert "verify(request.headers, request.get_data(), SECRET)" in source
