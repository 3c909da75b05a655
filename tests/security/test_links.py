"""Links grant what they were made for, for as long as they were made for it, and nothing else."""

import pytest

from tocsin.clock import Millis
from tocsin.model import AccountId, EventId, WebhookId
from tocsin.security.links import CONFIRM_FOR_MS, DIGEST_FOR_MS, Links, Purpose, veiled, veiled_bytes
from tocsin.security.vault import Vault

NOW = Millis(1_767_225_600_000)
ACCOUNT, WEBHOOK, DIGEST = AccountId(1 << 40), WebhookId((1 << 63) - 1), EventId(7)
VAULT = Vault(bytes(range(32)))
LINKS = Links(VAULT.derive("links"), "https://tocsin.example.com/")
ADDRESS = "mailto:ops@example.com"


def test_a_confirmation_is_of_one_address_and_one_week():
    """It says which webhook and which address, and is nothing after its time."""
    token = LINKS.confirm(ACCOUNT, WEBHOOK, ADDRESS, NOW)
    grant = LINKS.read(token, NOW)
    assert grant is not None
    assert (grant.purpose, grant.account_id, grant.subject) == (Purpose.CONFIRM, ACCOUNT, WEBHOOK)
    assert LINKS.is_of(grant, ADDRESS)
    assert not LINKS.is_of(grant, "mailto:other@example.com")
    assert LINKS.read(token, Millis(NOW + CONFIRM_FOR_MS - 1)) == grant
    assert LINKS.read(token, Millis(NOW + CONFIRM_FOR_MS)) is None


def test_who_may_leave_may_for_ever():
    """The same link in each mail, also in one that is read years later."""
    token = LINKS.leave(ACCOUNT, WEBHOOK, ADDRESS)
    assert token == LINKS.leave(ACCOUNT, WEBHOOK, ADDRESS)
    grant = LINKS.read(token, Millis(NOW * 100))
    assert grant is not None
    assert grant.purpose is Purpose.LEAVE


def test_a_digest_is_readable_for_a_month():
    """It is about no address."""
    token = LINKS.digest(ACCOUNT, DIGEST, NOW)
    grant = LINKS.read(token, NOW)
    assert grant is not None
    assert (grant.purpose, grant.subject) == (Purpose.DIGEST, DIGEST)
    assert LINKS.read(token, Millis(NOW + DIGEST_FOR_MS)) is None


def test_a_url_needs_a_public_address():
    """Without one there are tokens, but no links."""
    token = LINKS.leave(ACCOUNT, WEBHOOK, ADDRESS)
    assert LINKS.url(token) == f"https://tocsin.example.com/links/{token}"
    assert Links(VAULT.derive("links"), None).url(token) is None


def test_no_bit_can_be_changed():
    """Every character but the spare bits of the last one counts; so does the key, and what it is for."""
    token = LINKS.confirm(ACCOUNT, WEBHOOK, ADDRESS, NOW)
    for at in range(len(token) - 1):
        other = "A" if token[at] != "A" else "B"
        assert LINKS.read(token[:at] + other + token[at + 1 :], NOW) is None
    assert Links(VAULT.derive("other"), None).read(token, NOW) is None
    assert Links(Vault(bytes(32)).derive("links"), None).read(token, NOW) is None
    assert VAULT.derive("links") not in (bytes(range(32)), VAULT.derive("other"))


@pytest.mark.parametrize("text", ["", "x", "ü" * 63, "=" * 63, "A" * 62, "A" * 64, "A" * 63, " " * 63, "A/+" * 21])
def test_what_is_no_token(text):
    """Nothing that is asked for by guessing breaks anything."""
    assert LINKS.read(text, NOW) is None


def test_what_a_link_grants_is_taken_out_of_logs():
    """In headers and in a mail's quoted-printable text, broken over lines too."""
    url = LINKS.url(LINKS.leave(ACCOUNT, WEBHOOK, ADDRESS))
    assert veiled(f"<{url}>") == "<https://tocsin.example.com/links/***>"
    broken = f'see {url[:50]}=\r\n{url[50:]}\r\nnext <a href=3D"{url[:40]}=\r\n{url[40:]}">'.encode()
    hidden = b"https://tocsin.example.com/links/***"
    assert veiled_bytes(broken) == b"see " + hidden + b'\r\nnext <a href=3D"' + hidden + b'">'
    assert veiled("https://shop.example/links/summer-sale") == "https://shop.example/links/summer-sale"
    assert url is not None
    for at in range(len(url)):
        hidden = veiled_bytes(f"{url[:at]}=\r\n{url[at:]}".encode()).replace(b"=\r\n", b"")
        assert hidden == b"https://tocsin.example.com/links/***", at
