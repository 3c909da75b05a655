"""Where pages lead: links to pages and headings that there are, the index to every page, nothing to one machine."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.docs.markdown import ROOT, Page, pages, read

# Folders of one machine, or of one person.
_LOCAL = re.compile(r"(?<![\w.:/])/(?:work|home|tmp|root|Users|mnt|private)\b|\b[A-Z]:\\|~/")

_EACH = pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)


def _targets(page: Page) -> list[tuple[Path, str]]:
    """The files that a page links to, with the heading's anchor."""
    found = []
    for link in page.links:
        parts = urlsplit(link)
        if not parts.scheme:
            path = (page.path.parent / parts.path).resolve() if parts.path else page.path
            found.append((path, parts.fragment))
    return found


@_EACH
def test_links_lead_somewhere(page: Page) -> None:
    """Each relative link names a file that is there, and a heading in it."""
    for path, anchor in _targets(page):
        assert path.exists(), f"{page.name} links to {path.relative_to(ROOT)}, which is not there"
        if anchor:
            assert anchor in read(path).anchors, f"{page.name}: no heading of {path.relative_to(ROOT)} is #{anchor}"


@_EACH
def test_links_to_the_world_are_https(page: Page) -> None:
    """What leads outside does so encrypted."""
    for link in page.links:
        assert urlsplit(link).scheme in ("", "https"), f"{page.name} links to {link}"


@_EACH
def test_no_page_names_a_folder_of_one_machine(page: Page) -> None:
    """Paths are relative, or those of a system on which Tocsin is installed."""
    found = _LOCAL.search(page.text)
    assert found is None, f"{page.name} names {page.text[found.start() : found.start() + 40]!r}"


def test_every_page_can_be_found_from_the_index() -> None:
    """Whoever begins at docs/index.md gets to each page of docs/."""
    index = ROOT / "docs" / "index.md"
    reached: set[Path] = set()
    waiting = [index]
    while waiting:
        path = waiting.pop()
        if path.is_dir():
            waiting.extend(path.glob("*.md"))
        if path in reached or path.suffix != ".md" or not path.exists():
            continue
        reached.add(path)
        waiting.extend(target for target, _ in _targets(read(path)))
    lost = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")} - {
        path.relative_to(ROOT).as_posix() for path in reached
    }
    assert not lost
