"""A folder of the user's own dialects: read whole at the start, or the start stops with the file and the key."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tocsin import profiles
from tocsin.errors import Misconfigured
from tocsin.profiles.loader import DATA

_OWN = 'scheme = "standard-webhooks"\nrotation = "both"'


@pytest.fixture(autouse=True)
def _only_ours_afterwards() -> Iterator[None]:
    yield
    profiles.also_from(None)


@pytest.fixture
def add(tmp_path: Path) -> Callable[..., Path]:
    """Puts a dialect into a folder: `standard` under another name, with one piece of its profile.toml replaced."""

    def add(name: str, old: str = "", new: str = "") -> Path:
        folder = tmp_path / "dialects" / name
        shutil.copytree(DATA / "standard", folder)
        file = folder / "profile.toml"
        text = file.read_text().replace('name = "standard"', f'name = "{name}"')
        assert old in text
        file.write_text(text.replace(old, new, 1))
        return folder.parent

    return add


def test_they_stand_beside_ours(add: Callable[..., Path]) -> None:
    """They are named behind ours and loaded by name, always as the same object; None takes them away again."""
    before = profiles.names()
    add("zebra")
    profiles.also_from(add("acme"))
    assert profiles.names() == (*before, "acme", "zebra")
    assert profiles.load("acme").name == "acme"
    assert profiles.load("acme") is profiles.load("acme")
    assert profiles.load("standard") is not profiles.load("acme")
    profiles.also_from(None)
    assert profiles.names() == before
    with pytest.raises(Misconfigured, match="no profile is called 'acme'"):
        profiles.load("acme")


def test_another_folder_replaces_the_first(add: Callable[..., Path], tmp_path: Path) -> None:
    """Two calls do not add up; files and hidden folders beside the dialects are passed over."""
    folder = add("acme")
    profiles.also_from(folder)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    shutil.move(other / "acme", other / "umbra")
    file = other / "umbra" / "profile.toml"
    file.write_text(file.read_text().replace('"acme"', '"umbra"'))
    (other / "README").write_text("ours")
    (other / ".git").mkdir()
    profiles.also_from(other)
    assert "umbra" in profiles.names()
    assert "acme" not in profiles.names()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('form = "standard-webhooks"', 'form = "text"', "secret.form"),
        ('time_limit = "15s"', 'time_limit = "soon"', "time_limit: 'soon'"),
        ("https_only = false", "webhooks = 0", "limits.webhooks"),
        ("[limits]", "[limit]", "limit"),
        (_OWN, 'scheme = "hmac-hex"\nheader = "Content-Type"', "signature.header: 'Content-Type'"),
        (_OWN, 'scheme = "hmac-hex"\nheader = "X Acme"', "signature.header: 'X Acme'"),
        (_OWN, 'scheme = "hmac-hex"\nheader = "Webhook-Id"', "is sent already"),
        (_OWN, 'scheme = "hmac-hex"\nheader = "X-Acme"\nprefix = "sha256 "', "signature.prefix"),
        (_OWN, 'scheme = "hmac-hex"', "signature.header"),
        ("[secret]", '[[headers]]\nname = "Host"\nfrom = "event.id"\n[secret]', "headers: 'Host'"),
    ],
)
def test_a_contradiction_names_file_and_key(add: Callable[..., Path], old: str, new: str, said: str) -> None:
    """What could not be sent or verified is refused, and what was there before stays."""
    profiles.also_from(add("acme"))
    with pytest.raises(Misconfigured) as caught:
        profiles.also_from(add("broken", old, new))
    assert "broken/profile.toml: " in caught.value.detail
    assert said in caught.value.detail
    assert "acme" in profiles.names()


def test_a_name_of_ours_is_taken(add: Callable[..., Path]) -> None:
    """Nobody's accounts change their dialect because a folder has its name."""
    with pytest.raises(Misconfigured, match=r"standard/profile\.toml: name: 'standard' is one of Tocsin's own"):
        profiles.also_from(add("standard"))


@pytest.mark.parametrize("name", ["Acme", "1acme", "acme.v2", "a" * 33])
def test_a_name_is_plain(add: Callable[..., Path], name: str) -> None:
    """It stands in addresses and file names."""
    with pytest.raises(Misconfigured, match=r"profile\.toml: name: a-z"):
        profiles.also_from(add(name))


def test_a_folder_that_is_none_is_told(add: Callable[..., Path], tmp_path: Path) -> None:
    """Not there, without dialects, or a dialect itself: each says what to give."""
    with pytest.raises(Misconfigured, match="there is no such folder"):
        profiles.also_from(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Misconfigured, match="it holds no dialect"):
        profiles.also_from(tmp_path / "empty")
    with pytest.raises(Misconfigured, match="name the folder that holds it"):
        profiles.also_from(add("acme") / "acme")
    (tmp_path / "dialects" / "half").mkdir()
    with pytest.raises(Misconfigured, match=r"half/profile\.toml: cannot be read"):
        profiles.also_from(tmp_path / "dialects")
