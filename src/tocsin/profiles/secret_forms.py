"""What a dialect's signing secrets look like, as data: how they are made, and which of a user's are taken."""

import base64
from collections.abc import Callable
from typing import Literal

import msgspec

from tocsin.errors import Fault, Invalid
from tocsin.profiles import signatures

_MADE_BYTES = 32  # 256 bits: as long as SHA-256's output, and what Standard Webhooks' own tools make

# Standard Webhooks 1.0.0, "Signature scheme": at least 24 bytes (192 bits), at most 64 (512).
_MIN_BYTES = 24
_MAX_BYTES = 64


class SecretSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[secret]`` of a profile."""

    form: Literal["standard-webhooks", "text"]
    made: bool = True  # where none is given: whether one is made, or nothing is signed
    max_chars: int = 256  # of a text


def make(spec: SecretSpec, random_bytes: Callable[[int], bytes]) -> str | None:
    """A new secret, or None where the dialect then does without."""
    if not spec.made:
        return None
    raw = random_bytes(_MADE_BYTES)
    return signatures.SYMMETRIC + base64.b64encode(raw).decode() if spec.form == "standard-webhooks" else raw.hex()


def check(spec: SecretSpec, text: str) -> None:
    """Takes a user's own secret.

    Raises:
        Invalid: `secret_invalid`: it does not have the dialect's form; says how to mend it, and never repeats it.
    """
    why = _why_not_standard(text) if spec.form == "standard-webhooks" else _why_not_text(text, spec.max_chars)
    if why:
        raise Invalid(f"secret: {why}", code="secret_invalid", faults=[Fault("/secret", why)])


def _why_not_text(text: str, max_chars: int) -> str | None:
    if not 1 <= len(text) <= max_chars:
        return f"it has {len(text)} characters; 1 to {max_chars} are taken"
    # A token travels in a header, where anything else is changed on the way; so no dialect takes more. Blanks between
    # words pass: "Bearer …" is what many put into such a header.
    if text != text.strip() or not all(" " <= char <= "~" for char in text):
        return "only visible ASCII characters, with no blanks around, are taken: receivers would not agree on others"
    return None


def _why_not_standard(text: str) -> str | None:
    if text.startswith(signatures.ASYMMETRIC):
        try:
            signatures.public_key(text)
        except ValueError as error:
            return f"not an ed25519 key after whsk_: {error}"
        return None
    if text.startswith(signatures.PUBLIC):
        return "this is a public key (whpk_); signing needs the secret one (whsk_)"
    if not text.startswith(signatures.SYMMETRIC):
        return "it must begin with whsec_ (or whsk_ for ed25519); make one with: echo whsec_$(openssl rand -base64 32)"
    try:
        raw = base64.b64decode(text.removeprefix(signatures.SYMMETRIC), validate=True)
    except ValueError:
        return "what follows whsec_ is not padded standard base64 (A-Z a-z 0-9 + /)"
    if not _MIN_BYTES <= len(raw) <= _MAX_BYTES:
        return f"it holds {len(raw)} bytes; Standard Webhooks asks for {_MIN_BYTES} to {_MAX_BYTES}"
    return None
