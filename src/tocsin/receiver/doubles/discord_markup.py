"""Discord's Markdown as a person sees it (Discord's help: Markdown Text 101; its documents: Message Formatting)."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from tocsin.receiver.doubles.display import Look, Mark, Run, Runs, Text

_ANY = r"(?:\\.|[^\\])"  # one character, or one that is escaped
_INLINE = re.compile(
    r"\\(?P<escaped>[^A-Za-z0-9\s])"
    r"|(?P<ticks>`+)(?P<code>.+?)(?<!`)(?P=ticks)(?!`)"
    r"|\[(?P<label>(?:\\.|[^\\\]\n])+)\]"
    r"\(<?(?P<target>https?://[^\s<>()]+(?:\([^\s<>()]*\)[^\s<>()]*)*)>?(?: \"[^\"]*\")?\)"
    r"|<(?P<angle>https?://[^\s>]+|@[!&]?\d+|#\d+|t:-?\d+(?::[tTdDfFR])?|a?:\w+:\d+)>"
    r"|(?P<all>@(?:everyone|here))(?!\w)"
    r"|(?P<url>https?://[^\s<]+[^\s<.,:;\"'\]\)*_~|`])"
    rf"|\*\*(?P<bold>{_ANY}+?)\*\*(?!\*)"
    rf"|__(?P<underline>{_ANY}+?)__(?!_)"
    rf"|~~(?P<strike>{_ANY}+?)~~"
    rf"|\|\|(?P<spoiler>{_ANY}+?)\|\|"
    rf"|\*(?=\S)(?P<star>{_ANY}*?(?:\\.|[^\s*\\]))\*(?!\*)"
    rf"|(?<!\w)_(?P<low>{_ANY}+?)_(?!\w)",
    re.DOTALL,
)
_STYLES: dict[str, Mark] = {
    "bold": "bold", "underline": "underline", "strike": "strike", "spoiler": "spoiler", "star": "italic",
    "low": "italic",
}  # fmt: skip
_DEEPEST = 8  # styles within styles; what is deeper stays as it is written
_FENCE = re.compile(r"```(?:[A-Za-z0-9_+-]*\n)?(?P<code>.+?)```", re.DOTALL)
_LINE = re.compile(
    r"(?P<heading>#{1,3}) +(?=\S)|(?P<small>-#) +(?=\S)|(?P<all>>>>) |(?P<quote>>) |(?P<item>\s*[-*]) +(?=\S)"
)


def blocks_of(text: str, *, callable_by: frozenset[str] = frozenset()) -> tuple[Text, ...]:
    """Headings, quotations, lists, code and paragraphs. `callable_by`: see `runs_of`."""
    blocks: list[Text] = []
    at = 0
    for fence in _FENCE.finditer(text):
        blocks += _paragraphs(text[at : fence.start()], callable_by)
        blocks.append(Text((Run(fence["code"].strip("\n"), ("code",)),), "pre"))
        at = fence.end()
    blocks += _paragraphs(text[at:], callable_by)
    return tuple(blocks)


def runs_of(text: str, marks: tuple[Mark, ...] = (), *, callable_by: frozenset[str] = frozenset()) -> Runs:
    """A line of text. `callable_by`: which mentions call anybody: ``everyone``, ``users``, ``roles``, or single ids."""
    return tuple(_runs(text, marks, callable_by))


def _paragraphs(text: str, callable_by: frozenset[str]) -> Iterator[Text]:
    waiting: list[str] = []
    look: Look = "plain"

    def given() -> Iterator[Text]:
        nonlocal waiting
        joined = "\n".join(waiting).strip("\n")
        waiting = []
        if joined:
            yield Text(runs_of(joined, callable_by=callable_by), look)

    lines = text.split("\n")
    for index, line in enumerate(lines):
        found = _LINE.match(line)
        rest = line[found.end() :] if found else line
        if found and found["all"]:
            yield from given()
            yield Text(runs_of("\n".join([rest, *lines[index + 1 :]]), callable_by=callable_by), "quote")
            return
        if found and (found["heading"] or found["small"]):
            yield from given()
            runs = runs_of(rest, callable_by=callable_by)
            yield Text(runs, "heading", len(found["heading"])) if found["heading"] else Text(runs, "small")
            continue
        here: Look = "quote" if found and found["quote"] else "plain"
        if here != look:
            yield from given()
            look = here
        waiting.append(f"{found['item'][:-1]}• {rest}" if found and found["item"] else rest)
    yield from given()


def _runs(text: str, marks: tuple[Mark, ...], callable_by: frozenset[str]) -> Iterator[Run]:
    plain: list[str] = []
    at = 0

    def given() -> Iterator[Run]:
        nonlocal plain
        if plain:
            yield Run("".join(plain), marks)
        plain = []

    for found in _INLINE.finditer(text):
        plain.append(text[at : found.start()])
        at = found.end()
        if found["escaped"]:
            plain.append(found["escaped"])
            continue
        plain = [part for part in plain if part]
        yield from given()
        yield from _found(found, marks, callable_by)
    plain.append(text[at:])
    plain = [part for part in plain if part]
    yield from given()


def _found(found: re.Match[str], marks: tuple[Mark, ...], callable_by: frozenset[str]) -> Iterator[Run]:
    kind = found.lastgroup or ""
    if kind in _STYLES and len(marks) >= _DEEPEST:
        yield Run(found[0], marks)
    elif kind in _STYLES:
        yield from _runs(found[kind], (*marks, _STYLES[kind]), callable_by)
    elif found["code"] is not None:
        code = found["code"]
        yield Run(code.strip() if code.strip() else code, (*marks, "code"))
    elif found["label"] is not None:
        for run in _runs(found["label"], marks, frozenset()):
            yield Run(run.text, run.marks, found["target"])
    elif found["url"] is not None:
        yield Run(found["url"], marks, found["url"])
    elif found["all"] is not None:
        yield _calling(found["all"], marks, called="everyone" in callable_by)
    else:
        yield _angle(found["angle"], marks, callable_by)


def _angle(inside: str, marks: tuple[Mark, ...], callable_by: frozenset[str]) -> Run:
    if inside.startswith("http"):
        return Run(inside, marks, inside)
    if inside.startswith("@"):
        id_ = inside.lstrip("@!&")
        kind = "roles" if inside.startswith("@&") else "users"
        return _calling(f"@{id_}", marks, called=bool({kind, id_} & callable_by))
    if inside.startswith("#"):
        return Run(inside, marks)
    if inside.startswith("t:"):
        stamp = int(inside.split(":")[1])
        if abs(stamp) >= 1 << 36:  # some two thousand years
            return Run(f"<{inside}>", marks)
        return Run(f"{datetime.fromtimestamp(stamp, UTC):%d %B %Y %H:%M}", marks)
    return Run(f":{inside.split(':')[1]}:", marks)


def _calling(text: str, marks: tuple[Mark, ...], *, called: bool) -> Run:
    return Run(text, (*marks, "mention") if called else marks)
