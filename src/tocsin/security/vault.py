"""Encryption at rest: AES-256-GCM, each secret bound to its account and webhook.

A sealed value is one version byte, a random 96-bit nonce, and the ciphertext with its 128-bit tag. The ids of the
account and the webhook are authenticated with it, so that a row copied to another webhook does not open.
"""

import hashlib
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tocsin.errors import Misconfigured

KEY_BYTES = 32
_VERSION = b"\x01"
_NONCE_BYTES = 12  # NIST SP 800-38D; random nonces are safe for 2^32 seals with one key


class Vault:
    """Seals and opens with one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise Misconfigured(f"the key of the secrets must be {KEY_BYTES} bytes, not {len(key)}")
        self._key = key
        self._aead = AESGCM(key)
        # Says whether a key is the same one, and nothing else of it.
        self.fingerprint = hashlib.blake2b(key, digest_size=16, person=b"tocsin-vault").hexdigest()

    def derive(self, use: str) -> bytes:
        """Another key of 32 bytes, for another use (RFC 5869): from it neither this one nor any other follows."""
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"tocsin {use}".encode()).derive(self._key)

    def seal(self, account_id: int, webhook_id: int, plain: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._aead.encrypt(nonce, plain, _bound_to(account_id, webhook_id))

    def open(self, account_id: int, webhook_id: int, sealed: bytes) -> bytes:
        """Raises `Misconfigured` where the value is not this key's, not this webhook's, or damaged."""
        if sealed[:1] != _VERSION or len(sealed) < 1 + _NONCE_BYTES:
            raise Misconfigured("a sealed secret has an unknown form: it was written by a newer version, or is damaged")
        nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._aead.decrypt(nonce, ciphertext, _bound_to(account_id, webhook_id))
        except InvalidTag:
            raise Misconfigured(
                "a sealed secret does not open: the key is not the one it was sealed with, or the row is damaged"
            ) from None


def _bound_to(account_id: int, webhook_id: int) -> bytes:
    return account_id.to_bytes(8, "big") + webhook_id.to_bytes(8, "big")


def read_or_make_key(path: Path) -> bytes:
    """The key in the file; made, for its owner alone (0600), where there is none.

    The file appears whole or not at all, and one that exists is never written over.

    Raises:
        Misconfigured: the file cannot be read or made, holds something else, or others may read it too.
    """
    try:
        if not path.exists():
            _make_key(path)
        mode = path.stat().st_mode
        key = path.read_bytes()
    except OSError as error:
        raise Misconfigured(f"the key file {path} cannot be read or made: {error.strerror}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Misconfigured(f"the key file {path} can be read by others; run: chmod 600 {path}")
    if len(key) != KEY_BYTES:
        raise Misconfigured(f"the key file {path} does not hold {KEY_BYTES} bytes; bring the right one back")
    return key


def _make_key(path: Path) -> None:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")  # a crash leaves it behind, unused
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, secrets.token_bytes(KEY_BYTES))
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(draft, path)  # fails where another process was first: then its key counts
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
