"""The small neutral markup that templates write: ``**bold**``, ```code```, ``[label](https://…)``, line breaks.

Whatever is no complete mark is text. A backslash takes the meaning from the mark behind it; `escape` puts one before
each, so that no value can become markup.
"""

import re
from collections.abc import Iterator, Sequence

from tocsin.channels.limits import clean
from tocsin.channels.message import Span, SpanKind

MAX_URL = 2_048

_MARKS = re.compile(r"([\\*`\[\]()])")
# Not across a line's end, so that a mark that was never closed costs its own line only. No pattern can go back over
# what it has taken: each part excludes what the next one begins with.
_TOKEN = re.compile(
    r"\\(?P<escaped>[\\*`\[\]()])"
    # What was to stand within is missing: so is the mark.
    r"|(?P<empty>\*{4}|``|\[\]\([^\\()\s]*\))"
    r"|\[(?P<unlinked>(?:[^\\\[\]\n]|\\[^\n])+)\]\(\)"
    r"|\*\*(?P<bold>(?:[^\\*\n]|\\[^\n]|\*(?!\*))+)\*\*"
    r"|`(?P<code>(?:[^\\`\n]|\\[^\n])+)`"
    r"|\[(?P<label>(?:[^\\\[\]\n]|\\[^\n])+)\]\((?P<url>https?://(?:[^\\()\s]|\\[^\s])+)\)"
)


def escape(text: str) -> str:
    """Text that `spans` reads as itself."""
    return _MARKS.sub(r"\\\1", text)


def plain(text: str) -> str:
    """Markup read as text: a title cannot hold any."""
    return "".join(span.text for span in spans(text))


def spans(text: str) -> tuple[Span, ...]:
    """Reads markup; neighbours of one kind are one. Links lead to http(s) only."""
    merged: list[Span] = []
    for span in _spans(text):
        if merged and span.kind is SpanKind.TEXT and merged[-1].kind is SpanKind.TEXT:
            merged[-1] = Span(text=merged[-1].text + span.text)
        elif span.text:
            merged.append(span)
    return tuple(merged)


def cleaned(given: Sequence[Span]) -> tuple[Span, ...]:
    """Spans whose text is `limits.clean`, with the blanks and breaks between one and the next left in place."""
    kept: list[Span] = []
    breaks = 2  # at the end of what there is so far, as many as a text may have
    blank = True  # whether it ends with a blank or break
    for span in given:
        text = clean(span.text, lines=True, ends=True)
        inner = text.lstrip("\n")
        text = "\n" * min(len(text) - len(inner), 2 - breaks) + inner
        text = text.removeprefix(" ") if blank else text
        if not text:
            continue
        kept.append(Span(text=text, kind=span.kind, url=span.url) if text.strip() else Span(text=text))
        ends = len(text) - len(text.rstrip("\n"))
        breaks = ends if ends < len(text) else breaks + ends
        blank = text[-1].isspace()
    while kept and not (last := kept[-1].text.rstrip()):
        kept.pop()
    if kept:
        kept[-1] = Span(text=last, kind=kept[-1].kind, url=kept[-1].url)
    return tuple(kept)


def _spans(text: str) -> Iterator[Span]:
    at = 0
    for found in _TOKEN.finditer(text):
        yield Span(text=text[at : found.start()])
        at = found.end()
        if found["escaped"]:
            yield Span(text=found["escaped"])
        elif found["empty"]:
            continue
        elif found["unlinked"]:
            yield Span(text=_unescaped(found["unlinked"]))
        elif found["bold"]:
            yield Span(text=_unescaped(found["bold"]), kind=SpanKind.BOLD)
        elif found["code"]:
            yield Span(text=_unescaped(found["code"]), kind=SpanKind.CODE)
        elif len(found["url"]) <= MAX_URL:
            yield Span(text=_unescaped(found["label"]), kind=SpanKind.LINK, url=_unescaped(found["url"]))
        else:
            yield Span(text=_unescaped(found["label"]))
    yield Span(text=text[at:])


def _unescaped(text: str) -> str:
    return re.sub(r"\\([\\*`\[\]()])", r"\1", text)
