"""Encryption at rest and the key file."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import Misconfigured
from tocsin.security.vault import Vault, read_or_make_key

KEY = bytes(range(32))
ids = st.integers(0, 2**63 - 1)


@given(ids, ids, st.binary(max_size=2000))
def test_opens_what_was_sealed(account: int, webhook: int, plain: bytes) -> None:
    """What was sealed opens for the same account and webhook, and is not readable before."""
    sealed = Vault(KEY).seal(account, webhook, plain)
    assert Vault(KEY).open(account, webhook, sealed) == plain
    assert len(sealed) == 1 + 12 + len(plain) + 16
    assert len(plain) < 8 or plain not in sealed


def test_opens_nowhere_else() -> None:
    """Another account, another webhook, the two swapped, or another key: it does not open."""
    vault = Vault(KEY)
    sealed = vault.seal(1, 2, b"secret")
    for account, webhook in ((1, 3), (3, 2), (2, 1), (258, 2)):
        with pytest.raises(Misconfigured, match="does not open"):
            vault.open(account, webhook, sealed)
    with pytest.raises(Misconfigured, match="does not open"):
        Vault(bytes(32)).open(1, 2, sealed)


@given(st.data())
def test_any_change_is_noticed(data: st.DataObject) -> None:
    """A changed byte anywhere, a cut, or rubbish is an error that says so, never other bytes."""
    sealed = bytearray(Vault(KEY).seal(1, 2, b"secret"))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    cut = bytes(sealed[:place])
    for damaged in (bytes(sealed), cut, data.draw(st.binary(max_size=40))):
        with pytest.raises(Misconfigured):
            Vault(KEY).open(1, 2, damaged)


def test_no_two_seals_are_alike() -> None:
    """The nonce is fresh for each seal, so that equal secrets do not look equal."""
    vault = Vault(KEY)
    assert len({vault.seal(1, 2, b"secret") for _ in range(1000)}) == 1000


def test_the_fingerprint_tells_keys_apart_and_is_no_key() -> None:
    """Equal keys have equal fingerprints; it holds nothing of the key."""
    assert Vault(KEY).fingerprint == Vault(KEY).fingerprint
    assert Vault(KEY).fingerprint != Vault(bytes(32)).fingerprint
    assert KEY.hex()[:16] not in Vault(KEY).fingerprint


def test_a_key_has_32_bytes() -> None:
    """A key of another length is refused."""
    with pytest.raises(Misconfigured, match="32 bytes"):
        Vault(b"short")


# --- the key file -----------------------------------------------------------------------------------------------


def test_the_key_is_made_once(tmp_path: Path) -> None:
    """The first call makes a random key that only its owner can read; later ones read it."""
    path = tmp_path / "tocsin.db.key"
    key = read_or_make_key(path)
    assert len(key) == 32
    assert read_or_make_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["tocsin.db.key"]
    assert read_or_make_key(tmp_path / "other.key") != key


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    """With an open umask the file is still its owner's alone, from its first moment."""
    before = os.umask(0)
    try:
        read_or_make_key(tmp_path / "key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"half", bytes(33)])
def test_a_file_that_holds_something_else_is_left_alone(tmp_path: Path, content: bytes) -> None:
    """A file that is no key stops the start and stays as it is."""
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(Misconfigured, match="does not hold 32 bytes"):
        read_or_make_key(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """A key file open to others stops the start and says how to close it."""
    path = tmp_path / "key"
    read_or_make_key(path)
    path.chmod(mode)
    with pytest.raises(Misconfigured, match="chmod 600"):
        read_or_make_key(path)


def test_no_folder_no_key(tmp_path: Path) -> None:
    """Where the file cannot be made, the error names it."""
    with pytest.raises(Misconfigured, match="missing"):
        read_or_make_key(tmp_path / "missing" / "key")


_RACE = """
import sys
from pathlib import Path
from tocsin.security.vault import read_or_make_key
sys.stdin.read()
print(read_or_make_key(Path(sys.argv[1])).hex())
"""


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    """Processes that make the key at the same moment all end with the same one."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _RACE, tmp_path / "key"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    for process in started:
        assert process.stdin
        process.stdin.flush()
    keys = {process.communicate("")[0].strip() for process in started}
    assert keys == {(tmp_path / "key").read_bytes().hex()}
    assert [found.name for found in tmp_path.iterdir()] == ["key"]


_KILLED = """
import os, signal, sys
from pathlib import Path
from tocsin.security import vault
real = getattr(os, sys.argv[2])
def die(*args, **kwargs):
    if sys.argv[3] == "after":
        real(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(os, sys.argv[2], die)
vault.read_or_make_key(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("call", ["write", "fsync", "link"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_leaves_a_whole_key_or_none(tmp_path: Path, call: str, when: str) -> None:
    """Killed at any step of making it, the key file is absent or whole, and the next start goes on."""
    path = tmp_path / "key"
    killed = subprocess.run([sys.executable, "-c", _KILLED, path, call, when], check=False)
    assert killed.returncode == -signal.SIGKILL
    left = path.read_bytes() if path.exists() else None
    assert left is None or len(left) == 32
    assert read_or_make_key(path) == (left or path.read_bytes())
