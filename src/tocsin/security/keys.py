"""API keys: 256 random bits, shown once, kept as a SHA-256 digest.

A plain digest is enough for a value with that much randomness: there is nothing to guess, so nothing to slow down.
"""

import base64
import hashlib
from collections.abc import Callable

PREFIXES = ("tsn_", "tk_")  # CONTRACT §3: how every key begins that this program makes

_RANDOM_BYTES = 32
_HINT_CHARACTERS = 8  # the prefix and four or five more: recognisable, and at most 30 of 256 bits


def new_key(prefix: str, random_bytes: Callable[[int], bytes]) -> str:
    """``tsn_`` and 43 characters of A–Z a–z 0–9 - _."""
    return prefix + base64.urlsafe_b64encode(random_bytes(_RANDOM_BYTES)).rstrip(b"=").decode()


def looks_like_key(text: str) -> bool:
    """Whether it can only be meant as a key: nothing else that names somebody may begin so."""
    return text.startswith(PREFIXES)


def digest(key: str) -> bytes:
    """32 bytes. Any text has one, also one that no key can be."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def hint(key: str) -> str:
    """How the key begins, to recognise it by."""
    return key[:_HINT_CHARACTERS]
