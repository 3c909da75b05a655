"""API keys."""

import re
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.security.keys import digest, hint, new_key


@pytest.mark.parametrize("prefix", ["tsn_", "tk_"])
def test_a_key_is_its_prefix_and_256_random_bits(prefix: str) -> None:
    """The prefix and 43 characters that survive any shell, header and address."""
    asked = []

    def random_bytes(count: int) -> bytes:
        asked.append(count)
        return secrets.token_bytes(count)

    key = new_key(prefix, random_bytes)
    assert re.fullmatch(prefix + r"[A-Za-z0-9_-]{43}", key)
    assert asked == [32]


def test_every_random_bit_counts() -> None:
    """Changing any of the 256 bits changes the key."""
    base = bytes(32)
    changed = {new_key("tsn_", lambda _, bit=bit: (1 << bit).to_bytes(32, "big")) for bit in range(256)}
    assert len(changed | {new_key("tsn_", lambda _: base)}) == 257


def test_the_digest_is_sha256() -> None:
    """The known answer of FIPS 180 for "abc"."""
    assert digest("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(st.text(st.characters(codec=None, categories=None), max_size=50))
def test_whatever_is_sent_as_a_key_has_a_digest(text: str) -> None:
    """No text raises, lone surrogates included."""
    assert len(digest(text)) == 32


@pytest.mark.parametrize("prefix", ["tsn_", "tk_"])
def test_the_hint_recognises_and_tells_nothing_more(prefix: str) -> None:
    """The first eight characters, so that most of the key stays unknown."""
    key = new_key(prefix, secrets.token_bytes)
    assert hint(key) == key[:8]
