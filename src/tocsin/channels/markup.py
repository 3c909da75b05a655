"""The small neutral markup that templates write: ``**bold**``, ```code```, ``[label](https://…)``, line breaks.

Whatever is no complete mark is text. A backslash takes the meaning from the mark behind it; `escape` puts one before
each, so that no value can become markup.
"""

import re
from collections.abc import Iterator

from tocsin.channels.limits import clean
from tocsin.channels.message import Span, SpanKind

MAX_URL = 2_048

_MARKS = re.compile(r"([\\*`\[\]()])")
# Not across a line's end, so that a mark that was never closed costs its own line only. No pattern can go back over
# what it has taken: each part excludes what the next one begins with.
_TOKEN = re.compile(
    r"\\(?P<escaped>[\\*`\[\]()])"
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


def cleaned(given: tuple[Span, ...]) -> tuple[Span, ...]:
    """Spans whose text is `limits.clean`, with the blanks and breaks between one and the next left in place."""
    kept: list[Span] = []
    for span in given:
        core = clean(span.text, lines=True)
        before = _edge(span.text[: len(span.text) - len(span.text.lstrip())]) if kept else ""
        after = _edge(span.text[len(span.text.rstrip()) :]) if core else ""
        text = before + core + after
        if text:
            kept.append(Span(text=text, kind=span.kind, url=span.url) if core else Span(text=text))
    if kept:
        last = kept[-1]
        kept[-1] = Span(text=last.text.rstrip(), kind=last.kind, url=last.url)
    return tuple(span for span in kept if span.text)


def _spans(text: str) -> Iterator[Span]:
    at = 0
    for found in _TOKEN.finditer(text):
        yield Span(text=text[at : found.start()])
        at = found.end()
        if found["escaped"]:
            yield Span(text=found["escaped"])
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


def _edge(blanks: str) -> str:
    breaks = blanks.count("\n")
    return "\n" * min(breaks, 2) if breaks else " " if blanks else ""
