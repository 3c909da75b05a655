"""Pages of the documentation, taken apart: blocks, headings, links, and the prose between."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<info>[^`]*)$")
_HEADING = re.compile(r"^#{1,6} +(?P<text>.+?) *#*$")
_LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<target>[^()\s]+)\)")
_CODE = re.compile(r"(`+)(.+?)\1")


@dataclass(frozen=True)
class Block:
    """A fenced block. `words` are the info string's after the language: bare ones are their own value."""

    page: str
    line: int
    language: str
    words: Mapping[str, str]
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Page:
    path: Path
    text: str
    blocks: list[Block] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    prose: str = ""  # without the fenced blocks

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def anchors(self) -> set[str]:
        """As GitHub makes them: a repeated heading has a number."""
        found: set[str] = set()
        for heading in self.headings:
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
            anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
            numbered, n = anchor, 0
            while numbered in found:
                n += 1
                numbered = f"{anchor}-{n}"
            found.add(numbered)
        return found

    @property
    def links(self) -> list[str]:
        return [found["target"] for found in _LINK.finditer(_CODE.sub("", self.prose))]

    @property
    def codes(self) -> list[str]:
        """What stands in backticks."""
        return [found[2].strip() for found in _CODE.finditer(self.prose)]

    def section(self, heading: str) -> str:
        """The prose below a heading, up to the next one."""
        lines = self.prose.splitlines()
        begin = next(n for n, line in enumerate(lines) if (match := _HEADING.match(line)) and match["text"] == heading)
        end = next((n for n in range(begin + 1, len(lines)) if _HEADING.match(lines[n])), len(lines))
        return "\n".join(lines[begin + 1 : end])


def read(path: Path) -> Page:
    return parse(path, path.read_text(encoding="utf-8"))


def parse(path: Path, text: str) -> Page:
    """Takes a page apart; `path` is only its name."""
    page = Page(path, text)
    prose: list[str] = []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if not fence:
            heading = _HEADING.match(lines[at])
            if heading:
                page.headings.append(heading["text"])
            prose.append(lines[at])
            at += 1
            continue
        end = next(n for n in range(at + 1, len(lines)) if lines[n].strip() == fence["ticks"])
        language, *words = shlex.split(fence["info"]) or [""]
        indent = len(fence["indent"])
        page.blocks.append(
            Block(
                page=page.name,
                line=at + 1,
                language=language,
                words={name: value if sign else name for name, sign, value in (word.partition("=") for word in words)},
                text="\n".join(line[indent:] for line in lines[at + 1 : end]),
            )
        )
        prose.append("")
        at = end + 1
    return Page(page.path, page.text, page.blocks, page.headings, "\n".join(prose))


def table(text: str) -> list[list[str]]:
    """The rows of the first table in a piece of Markdown, without its head."""
    lines = [line.strip() for line in text.splitlines()]
    begin = next(n for n, line in enumerate(lines) if line.startswith("|"))
    rows = list(takewhile(lambda line: line.startswith("|"), lines[begin:]))
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows[2:]]


@cache
def pages() -> tuple[Page, ...]:
    """Every page that is for readers."""
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks" / "README.md"]
    return tuple(read(path) for path in sorted(paths))


def page(name: str) -> Page:
    return next(page for page in pages() if page.name == name)
