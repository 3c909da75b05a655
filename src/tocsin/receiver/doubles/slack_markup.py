"""Slack's mrkdwn as a person sees it (docs.slack.dev/messaging/formatting-message-text).

Only ``&``, ``<`` and ``>`` are special to the service: ``<…>`` is a link, a mention or a date, and the three characters
come as ``&amp;``, ``&lt;`` and ``&gt;``. What is bold or quoted is found afterwards, in what is left.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime

from tocsin.receiver.doubles.display import Look, Mark, Run, Runs, Text

_TOKEN = re.compile(
    r"```(?P<pre>.+?)```"
    r"|`(?P<code>[^`\n]+)`"
    r"|<(?P<angle>[^<>\n]+)>"
    r"|(?P<url>https?://[^\s<>|]+[^\s<>|.,;:!?'\")\]*_~`])",
    re.DOTALL,
)
# Opens after a beginning, a space or punctuation, and closes before the like: `snake_case_name` stays as it is.
_OPENS = re.compile(r"(?<![\w*_~])[*_~](?=\S)")
_CLOSES = re.compile(r"(?<=\S)[*_~](?![\w*_~])")
_MARKS: dict[str, Mark] = {"*": "bold", "_": "italic", "~": "strike"}
_LINK = re.compile(r"(?:https?|mailto|tel|slack):", re.IGNORECASE)
_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">"}
_QUOTE = re.compile(r"(?:>|&gt;) ?")
_PRIVATE = "\ue000"  # stands for a token while styles are found around it


def unescape(text: str) -> str:
    """Just the three entities: ``&quot;`` or ``&#39;`` is read as it is written."""
    return re.sub(r"&(?:amp|lt|gt);", lambda found: _ENTITIES[found[0]], text)


def blocks_of(text: str, look: Look = "plain") -> tuple[Text, ...]:
    """Paragraphs, quotations and blocks of code, in order."""
    found: list[Text] = []
    for part, is_pre in _parts(text):
        if is_pre:
            found.append(Text((Run(unescape(part.strip("\n")), ("code",)),), "pre"))
            continue
        for lines, quoted in _quoted(part):
            runs = runs_of("\n".join(lines))
            if runs:
                found.append(Text(runs, "quote" if quoted else look))
    return tuple(found)


def runs_of(text: str) -> Runs:
    """Text with links, mentions and styles, but for what stands as a block of its own."""
    tokens: list[Run] = []

    def keep(found: re.Match[str]) -> str:
        run = _token(found)
        if run is None:
            return found[0]
        tokens.append(run)
        return _PRIVATE

    rest = _TOKEN.sub(keep, text.replace(_PRIVATE, ""))
    waiting = iter(tokens)
    return tuple(_filled(_styled(rest, ()), waiting))


def _filled(runs: list[Run], tokens: Iterator[Run]) -> list[Run]:
    """Puts the tokens back, in the style that is around them."""
    filled: list[Run] = []
    for run in runs:
        pieces = run.text.split(_PRIVATE)
        for index, piece in enumerate(pieces):
            if index:
                token = next(tokens)
                filled.append(Run(token.text, (*run.marks, *token.marks), token.href))
            if piece:
                filled.append(Run(unescape(piece), run.marks))
    return filled


def _styled(text: str, marks: tuple[Mark, ...]) -> list[Run]:
    runs: list[Run] = []
    at = 0
    for start, end in _spans(text, marks):
        if start > at:
            runs.append(Run(text[at:start], marks))
        runs += _styled(text[start + 1 : end], (*marks, _MARKS[text[start]]))
        at = end + 1
    if at < len(text):
        runs.append(Run(text[at:], marks))
    return runs


def _spans(text: str, marks: tuple[Mark, ...]) -> Iterator[tuple[int, int]]:
    """Where styles begin and end, one after the other: each within a line, and with something in it."""
    closing: dict[str, list[int]] = {mark: [] for mark in _MARKS}
    for found in _CLOSES.finditer(text):
        closing[found[0]].append(found.start())
    lines = [found.start() for found in re.finditer("\n", text)]
    at = 0
    for found in _OPENS.finditer(text):
        start = found.start()
        ends = closing[found[0]]
        if start < at or _MARKS[found[0]] in marks:
            continue
        nth, line = bisect_left(ends, start + 2), bisect_left(lines, start)
        if nth < len(ends) and (line == len(lines) or ends[nth] < lines[line]):
            yield start, ends[nth]
            at = ends[nth] + 1


def _token(found: re.Match[str]) -> Run | None:
    if found["pre"] is not None:
        return Run(unescape(found["pre"]), ("code",))
    if found["code"] is not None:
        return Run(unescape(found["code"]), ("code",))
    if found["url"] is not None:
        return Run(unescape(found["url"]), href=unescape(found["url"]))
    return _angle(found["angle"])


def _angle(inside: str) -> Run | None:
    target, bar, label = inside.partition("|")
    shown = unescape(label) if bar else ""
    if target.startswith("@"):
        return Run(f"@{shown or target[1:]}", ("mention",))
    if target.startswith("#"):
        return Run(f"#{shown or target[1:]}")
    if target.startswith("!date^"):
        return Run(shown or _date(target))
    if target.startswith("!subteam^"):
        return Run(shown or f"@{target.removeprefix('!subteam^')}", ("mention",))
    if target in ("!here", "!channel", "!everyone"):
        return Run(f"@{target[1:]}", ("mention",))
    if target.startswith("!"):
        return Run(shown or f"<{target}>")
    if _LINK.match(target):
        href = unescape(target)
        return Run(
            shown or href.removeprefix("mailto:"), href=href if href.lower().startswith(("http", "mailto")) else ""
        )
    return None  # no control sequence that it knows: read as it is written


def _date(target: str) -> str:
    _, _, rest = target.partition("^")
    stamp = rest.partition("^")[0]
    if not stamp.isdecimal() or len(stamp) > 11:
        return f"<{target}>"
    return f"{datetime.fromtimestamp(int(stamp), UTC):%Y-%m-%d %H:%M}"


def _parts(text: str) -> list[tuple[str, bool]]:
    """Blocks of code that begin and end a line, and what is between them."""
    pieces = re.split(r"(?:^|\n)```(.+?)```(?:\n|$)", text, flags=re.DOTALL)
    return [(piece, bool(index % 2)) for index, piece in enumerate(pieces) if piece]


def _quoted(text: str) -> list[tuple[list[str], bool]]:
    """Lines in groups of quoted and not quoted ones."""
    groups: list[tuple[list[str], bool]] = []
    for line in text.split("\n"):
        found = _QUOTE.match(line)
        quoted = found is not None
        shown = line[found.end() :] if found else line
        if groups and groups[-1][1] == quoted:
            groups[-1][0].append(shown)
        else:
            groups.append(([shown], quoted))
    return groups
