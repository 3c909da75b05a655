"""What is seen of a Telegram message: entities over text, and what Telegram finds in a text by itself."""

import itertools
import re
from collections.abc import Iterator, Sequence

from tocsin.receiver.doubles.display import Block, Look, Mark, Run, Text
from tocsin.receiver.doubles.telegram_html import Entity, Formatted, units

_MARKS: dict[str, Mark] = {
    "bold": "bold", "italic": "italic", "underline": "underline", "strikethrough": "strike", "spoiler": "spoiler",
    "code": "code", "text_mention": "mention",
}  # fmt: skip
_LOOKS: dict[str, Look] = {"pre": "pre", "blockquote": "quote", "expandable_blockquote": "quote"}
# Found without being marked up: addresses, and names that call somebody (five characters at least).
_FOUND = re.compile(r"(?P<url>https?://[^\s<>]+[^\s<>.,;:!?'\")\]])|(?<!\w)(?P<name>@[A-Za-z][A-Za-z0-9_]{4,31})\b")


def blocks_seen(message: Formatted) -> tuple[Block, ...]:
    """Quotations and code stand apart; all else is one text."""
    return tuple(_blocks(message.text, message.entities))


def _blocks(text: str, entities: Sequence[Entity]) -> Iterator[Block]:
    places = _places(text)
    at = 0
    spans = [(places[one.offset], places[one.offset + one.length], one) for one in entities]
    for start, end, entity in spans:
        look = _LOOKS.get(entity.type)
        if look is None or start < at:
            continue
        yield from _paragraph(text, at, start, spans, "plain")
        yield from _paragraph(text, start, end, spans, look)
        at = end
    yield from _paragraph(text, at, len(text), spans, "plain")


def _paragraph(
    text: str, start: int, end: int, spans: Sequence[tuple[int, int, Entity]], look: Look
) -> Iterator[Block]:
    shown = text[start:end]
    start += len(shown) - len(shown.lstrip("\n"))
    end -= len(shown) - len(shown.rstrip("\n"))
    if start < end:
        yield Text(tuple(_runs(text, start, end, spans)), look)


def _runs(text: str, start: int, end: int, spans: Sequence[tuple[int, int, Entity]]) -> Iterator[Run]:
    edges = {start, end}
    for first, last, _ in spans:
        edges |= {edge for edge in (first, last) if start < edge < end}
    ordered = sorted(edges)
    for left, right in itertools.pairwise(ordered):
        over = [entity for first, last, entity in spans if first <= left and right <= last]
        marks = tuple(dict.fromkeys(_MARKS[one.type] for one in over if one.type in _MARKS))
        href = next((one.url for one in over if one.url), "")
        if href or "code" in marks or any(one.type == "pre" for one in over):
            yield Run(text[left:right], marks, href if href.startswith(("http", "mailto")) else "")
        else:
            yield from _found(text[left:right], marks)


def _found(text: str, marks: tuple[Mark, ...]) -> Iterator[Run]:
    at = 0
    for found in _FOUND.finditer(text):
        if found.start() > at:
            yield Run(text[at : found.start()], marks)
        if found["url"]:
            yield Run(found[0], marks, found[0])
        else:
            yield Run(found[0], (*marks, "mention"))
        at = found.end()
    if at < len(text):
        yield Run(text[at:], marks)


def _places(text: str) -> list[int]:
    """For each UTF-16 unit, the character that it belongs to."""
    places = [0] * (units(text) + 1)
    unit = 0
    for index, char in enumerate(text):
        for _ in range(units(char)):
            places[unit] = index
            unit += 1
    places[unit] = len(text)
    return places
