"""Dialects that are installed beside ours: looked on like any other, by their data."""

import hmac
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest

from tocsin import profiles
from tocsin.profiles.loader import DATA
from tocsin.receiver.inbox.judging import judge

BODY = b'{"id":"evt_1","type":"ad.click","created":"2026-03-14T09:26:53Z","data":{},"api_version":"v1"}'
SIGNED = [("X-Umbra-Sig", "sig:" + hmac.digest(b"secret", BODY, "sha256").hex())]


@pytest.fixture(autouse=True)
def umbra(tmp_path: Path) -> Iterator[None]:
    """A seventh dialect: cue with another header and prefix."""
    copytree(DATA / "cue", tmp_path / "umbra")
    file = tmp_path / "umbra" / "profile.toml"
    text = file.read_text()
    for old, new in (('name = "cue"', 'name = "umbra"'), ("Cue-Signature", "X-Umbra-Sig"), ("sha256=", "sig:")):
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    profiles.also_from(tmp_path)
    yield
    profiles.also_from(None)


def test_it_is_found_and_verified() -> None:
    """By its header, with id and type from where its envelope has them; a wrong secret is told as in any dialect."""
    verdict = judge(SIGNED, BODY, ["secret"])
    assert (verdict.verified, verdict.profile, verdict.id, verdict.type) == (True, "umbra", "evt_1", "ad.click")
    verdict = judge(SIGNED, BODY, ["another"])
    assert (verdict.verified, verdict.profile, verdict.cause) == (False, "umbra", "wrong_secret")
    verdict = judge([("X-Umbra-Sig", SIGNED[0][1][4:])], BODY, ["secret"])
    assert (verdict.profile, verdict.cause) == ("umbra", "malformed_header")
    assert "not as 'sig:HEX'" in (verdict.sentence or "")


def test_it_is_named_where_another_was_expected() -> None:
    """Both ways: its header at a receiver for cue, and cue's at a receiver for it."""
    verdict = judge(SIGNED, BODY, ["secret"], profile="trcker")
    assert verdict.cause in ("other_dialect", "other_header")
    verdict = judge([("X-Umbra-Sig", "sig:" + "0" * 64)], BODY, ["secret"], profile="cue")
    assert verdict.cause == "other_dialect"
    assert "x-umbra-sig is there: the sender speaks 'umbra'" in (verdict.sentence or "")
    digest = SIGNED[0][1][4:]
    verdict = judge([("Cue-Signature", f"sha256={digest}")], BODY, ["secret"], profile="umbra")
    assert (verdict.verified, verdict.cause) == (False, "other_dialect")
