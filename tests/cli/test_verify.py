"""``tocsin verify`` and ``tocsin sign``: what fits verifies, what does not says why and what to do; exit code 6."""

import base64
import hmac
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook

from tests.cli.conftest import Ran, Terminal

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
BODY = b'{"type":"click.created","timestamp":"2026-01-01T00:00:00Z","data":{"name":"Z\xc3\xbcrich"}}'


@pytest.fixture
def request_file(terminal: Terminal):
    """Writes a saved request, signed by ``tocsin sign``; `body` may differ from what was signed."""

    def write(body: bytes = BODY, *, signed: bytes = BODY, line_end: bytes = b"\r\n", more: bytes = b"") -> str:
        headers = terminal.ok("sign", "-", "--secret", SECRET, stdin=signed).out.splitlines()
        lines = [b"POST /hooks HTTP/1.1", b"Host: example.com", *(line.encode() for line in headers)]
        raw = line_end.join([*lines, *([more] if more else []), b"", b""]) + body
        (terminal.folder / "request.http").write_bytes(raw)
        return "request.http"

    return write


def check(terminal: Terminal, file: str, *arguments: object, secret: str = SECRET) -> Ran:
    return terminal("verify", file, *arguments, webhook_secret=secret)


def test_a_signed_request_verifies(terminal: Terminal, request_file) -> None:
    """What ``sign`` signs, ``verify`` verifies, from a saved request with either kind of line end."""
    for line_end in (b"\r\n", b"\n"):
        ran = check(terminal, request_file(line_end=line_end))
        assert ran.code == 0, ran.err
        assert ran.out.startswith("verified: click.created evt_")


def test_the_standard_library_agrees(terminal: Terminal) -> None:
    """The headers that ``sign`` prints satisfy the `standardwebhooks` package, and its headers satisfy ``verify``."""
    (terminal.folder / "body.json").write_bytes(BODY)
    headers = terminal.json("sign", "body.json", "--secret", SECRET, "--event", "evt_1")
    assert Webhook(SECRET).verify(BODY, headers)["type"] == "click.created"
    given = [part for name, value in headers.items() for part in ("--header", f"{name}: {value}")]
    assert check(terminal, "body.json", *given).code == 0


def test_the_published_vector(terminal: Terminal) -> None:
    """The signature published with Standard Webhooks verifies at its own time."""
    (terminal.folder / "body.json").write_bytes(b'{"test": 2432232314}')
    given = (
        "--header=webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek",
        "--header=webhook-timestamp: 1614265330",
        "--header=webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    )
    assert check(terminal, "body.json", *given, "--when", "2021-02-25T15:02:10Z").code == 0


def test_an_old_request(terminal: Terminal, request_file) -> None:
    """A request that is only too old says so, and that its signature is right; ``--any-time`` takes it."""
    file = request_file()
    ran = check(terminal, file, "--when", "2036-01-01T00:00:00Z")
    assert ran.code == 6
    assert "timestamp_too_old" in ran.err
    assert "The signature itself is right" in ran.err
    assert check(terminal, file, "--when", "2036-01-01T00:00:00Z", "--any-time").code == 0


def test_a_wrong_secret(terminal: Terminal, request_file) -> None:
    """Another secret: exit code 6, the cause on stderr, nothing on stdout."""
    ran = check(terminal, request_file(), secret=OTHER)
    assert (ran.code, ran.out) == (6, "")
    assert "wrong_secret" in ran.err


def test_one_of_two_secrets(terminal: Terminal, request_file) -> None:
    """While a secret is rotated, either one may fit."""
    assert terminal("verify", request_file(), "--secret", OTHER, "--secret", SECRET).code == 0


@pytest.mark.parametrize(
    ("body", "how"),
    [
        (json.dumps(json.loads(BODY)).encode(), "without spaces"),
        (json.dumps(json.loads(BODY), indent=2, ensure_ascii=False).encode(), "without spaces"),
        (BODY + b"\n", "without the line break at its end"),
    ],
)
def test_a_rewritten_body(terminal: Terminal, request_file, body: bytes, how: str) -> None:
    """A body that a framework or an editor has rewritten is recognised as such."""
    ran = check(terminal, request_file(body))
    assert ran.code == 6
    assert "body_changed" in ran.err
    assert how in ran.err


def test_an_editors_line_break_beyond_the_length(terminal: Terminal, request_file) -> None:
    """Where the request says how long its body is, what an editor has added after it is left out."""
    length = f"Content-Length: {len(BODY)}".encode()
    assert check(terminal, request_file(BODY + b"\n", more=length)).code == 0


def test_a_forged_body(terminal: Terminal, request_file) -> None:
    """A body with other content does not verify."""
    assert check(terminal, request_file(BODY.replace(b"click.created", b"click.deleted"))).code == 6


def test_another_dialect(terminal: Terminal, request_file) -> None:
    """With a profile named, headers of another dialect are called by their name; without, it is found by them."""
    ran = check(terminal, request_file(), "--profile", "cue")
    assert ran.code == 6
    assert "other_dialect" in ran.err
    assert "'standard'" in ran.err


def test_dialects_are_found_by_their_headers(terminal: Terminal) -> None:
    """A body signed in a vendor's dialect verifies without the dialect being named."""
    (terminal.folder / "body.json").write_bytes(BODY)
    digest = hmac.digest(b"s3cret", BODY, "sha256").hex()
    for header, profile in (
        (f"X-CloakRadar-Signature: sha256={digest}", "cloakradar"),
        (f"X-ClickDefender-Signature: {digest}", "clickdefender"),
        (f"Cue-Signature: sha256={digest}", "cue"),
        (f"X-Webhook-Signature: {digest}", "visits"),
        ("X-Webhook-Signature: s3cret", "visits"),
    ):
        ran = check(terminal, "body.json", "--header", header, "--json", secret="s3cret")
        assert ran.code == 0, (header, ran)
        assert ran.json["profile"] == profile
    own = ("--header", f"X-Mine: {digest}", "--signature-header", "X-Mine")
    assert check(terminal, "body.json", *own, secret="s3cret").code == 0


def test_a_spoilt_header_is_no_other_dialects(terminal: Terminal) -> None:
    """A digest without its dialect's prefix is told as that, though it would do in a header that `visits` has named."""
    (terminal.folder / "body.json").write_bytes(BODY)
    digest = hmac.digest(b"s3cret", BODY, "sha256").hex()
    for header, profile in (("X-CloakRadar-Signature", "cloakradar"), ("Cue-Signature", "cue")):
        ran = check(terminal, "body.json", "--header", f"{header}: {digest}", secret="s3cret")
        assert ran.code == 6
        assert f"not verified ({profile}): malformed_header" in ran.err
        assert "the digest itself is right" in ran.err


def test_unsigned(terminal: Terminal) -> None:
    """A request without any signature is not verified, and that is said."""
    (terminal.folder / "body.json").write_bytes(BODY)
    ran = check(terminal, "body.json", "--header", "Content-Type: application/json", "--json")
    assert ran.code == 6
    assert (ran.json["verified"], ran.json["cause"]) == (False, "missing_header")


def test_ed25519(terminal: Terminal) -> None:
    """A v1a signature verifies with the public key, or the secret one, and with no other."""
    key = Ed25519PrivateKey.generate()
    secret = "whsk_" + base64.b64encode(key.private_bytes_raw()).decode()
    public = "whpk_" + base64.b64encode(key.public_key().public_bytes_raw()).decode()
    other = "whpk_" + base64.b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
    (terminal.folder / "body.json").write_bytes(BODY)
    headers = terminal.json("sign", "body.json", "--secret", secret)
    assert headers["webhook-signature"].startswith("v1a,")
    given = [part for name, value in headers.items() for part in ("--header", f"{name}: {value}")]
    assert check(terminal, "body.json", *given, secret=public).code == 0
    assert check(terminal, "body.json", *given, secret=secret).code == 0
    assert "wrong_secret" in check(terminal, "body.json", *given, secret=other).err
    assert "secret_malformed" in check(terminal, "body.json", *given, secret="whpk_nonsense").err
    old = check(terminal, "body.json", *given, "--when", "2036-01-01T00:00:00Z", secret=public)
    assert "timestamp_too_old" in old.err
    assert "The signature itself is right" in old.err


def test_what_cannot_be_read(terminal: Terminal) -> None:
    """A missing file, a missing secret or an unknown profile is a usage error; what is no request is invalid."""
    (terminal.folder / "body.json").write_bytes(BODY)
    (terminal.folder / "chunked.http").write_bytes(
        b"POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n5\r\nhello\r\n0\r\n"
    )
    assert check(terminal, "missing.http").code == 2
    assert terminal("verify", "body.json").code == 2
    assert check(terminal, "body.json", "--profile", "nobody").code == 2
    assert check(terminal, "body.json", "--header=A: b", "--when", "yesterday").code == 2
    assert check(terminal, "body.json", "--header", "no colon").code == 2
    assert check(terminal, "body.json").code == 5
    assert check(terminal, "chunked.http").code == 5


def test_sign_refuses_a_bad_secret(terminal: Terminal) -> None:
    """A secret that is none is rejected as invalid, and never repeated."""
    ran = terminal("sign", "-", "--secret", "hunter2", stdin=BODY)
    assert ran.code == 5
    assert "hunter2" not in ran.err
    assert "whsec_" in ran.err


def test_verify_from_stdin(terminal: Terminal, request_file) -> None:
    """``-`` reads the request from stdin."""
    raw = (terminal.folder / request_file()).read_bytes()
    assert terminal("verify", "-", stdin=raw, webhook_secret=SECRET).code == 0
