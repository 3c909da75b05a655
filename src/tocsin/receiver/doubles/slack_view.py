"""What is seen of a message that Slack has taken."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from tocsin.receiver.doubles.display import (
    Block,
    Button,
    Buttons,
    Card,
    Divider,
    Field,
    Fields,
    Picture,
    Run,
    Runs,
    Text,
    plain,
)
from tocsin.receiver.doubles.slack_markup import blocks_of, runs_of, unescape
from tocsin.receiver.doubles.slack_rules import MAX_TEXT

_NAMED = {"good": "#2eb886", "warning": "#daa038", "danger": "#a30200"}
_DEEPEST = 8  # lists in quotations in lists; Slack's own editor makes three
_Part = Mapping[str, Any]


def blocks_seen(payload: _Part) -> tuple[Block, ...]:
    """Blocks stand in the place of the text, which then is only for notifications."""
    return tuple(_message(payload))


def _message(payload: _Part) -> Iterator[Block]:
    text = str(payload.get("text") or "")[:MAX_TEXT]
    if payload.get("blocks"):
        yield from _blocks(payload["blocks"])
    elif text:
        yield from blocks_of(text) if payload.get("mrkdwn", True) else (Text(plain(unescape(text))),)
    for attachment in payload.get("attachments") or ():
        if "blocks" not in attachment and attachment.get("pretext"):
            yield from blocks_of(str(attachment["pretext"]))
        yield Card(tuple(_attachment(attachment)), _colour(attachment.get("color")))


def _colour(value: object) -> str:
    if not isinstance(value, str):
        return ""
    if value in _NAMED:
        return _NAMED[value]
    found = re.fullmatch("#?([0-9a-fA-F]{6})", value)
    return f"#{found[1].lower()}" if found else ""


def _attachment(attachment: _Part) -> Iterator[Block]:
    """With blocks, the older fields beside them are not shown."""
    if "blocks" in attachment:
        yield from _blocks(attachment["blocks"])
        return
    if attachment.get("author_name"):
        yield Text(plain(unescape(str(attachment["author_name"]))), "author")
    if attachment.get("title"):
        runs = runs_of(str(attachment["title"]))
        if link := _web(attachment.get("title_link")):
            runs = tuple(msgspec.structs.replace(run, href=link) for run in runs)
        yield Text(runs, "title")
    if attachment.get("text"):
        yield from blocks_of(str(attachment["text"]))
    if attachment.get("fields"):
        yield Fields(tuple(map(_field, attachment["fields"])))
    if attachment.get("image_url"):
        yield Picture("image", str(attachment["image_url"]))
    if attachment.get("footer"):
        yield Text(plain(unescape(str(attachment["footer"]))), "small")
    shown = ("text", "title", "pretext", "fields", "image_url", "author_name", "footer")
    if not any(attachment.get(name) for name in shown):
        yield Text(plain(unescape(str(attachment.get("fallback") or ""))))


def _field(field: _Part) -> Field:
    title, value = str(field.get("title") or ""), str(field.get("value") or "")
    return Field(plain(unescape(title), "bold"), runs_of(value), bool(field.get("short")))


# --- blocks -----------------------------------------------------------------------------------------------------------


def _blocks(blocks: list[_Part]) -> Iterator[Block]:
    for block in blocks:
        yield from _VIEWS[block["type"]](block)


def _section(block: _Part) -> Iterator[Block]:
    if block.get("text"):
        yield from _text(block["text"])
    if block.get("fields"):
        yield Fields(tuple(Field((), _runs(field), short=True) for field in block["fields"]))
    if block.get("accessory", {}).get("type") == "button":
        yield Buttons((_button(block["accessory"]),))


def _header(block: _Part) -> Iterator[Block]:
    yield Text(_runs(block["text"]), "heading", 2)


def _context(block: _Part) -> Iterator[Block]:
    runs: list[Run] = []
    for element in block["elements"]:
        if runs:
            runs.append(Run("  "))
        runs += plain(element["alt_text"]) if element["type"] == "image" else _runs(element)
    yield Text(tuple(runs), "small")


def _divider(_: _Part) -> Iterator[Block]:
    yield Divider()


def _actions(block: _Part) -> Iterator[Block]:
    yield Buttons(tuple(_button(element) for element in block["elements"] if element["type"] == "button"))


def _image(block: _Part) -> Iterator[Block]:
    yield Picture(block["alt_text"], str(block.get("image_url") or ""))


def _markdown(block: _Part) -> Iterator[Block]:
    yield Text(plain(block["text"]))


def _rich_text(block: _Part) -> Iterator[Block]:
    yield Text(plain("".join(_rich(block["elements"])).rstrip("\n")))


_VIEWS: Mapping[str, Callable[[_Part], Iterator[Block]]] = {
    "section": _section,
    "header": _header,
    "context": _context,
    "divider": _divider,
    "actions": _actions,
    "image": _image,
    "markdown": _markdown,
    "rich_text": _rich_text,
}


def _text(value: _Part) -> tuple[Block, ...]:
    return (Text(_runs(value)),) if value["type"] == "plain_text" else blocks_of(value["text"])


def _runs(value: _Part) -> Runs:
    """The three entities are read in plain text too."""
    return plain(unescape(value["text"])) if value["type"] == "plain_text" else runs_of(value["text"])


def _button(element: _Part) -> Button:
    return Button(unescape(element["text"]["text"]), _web(element.get("url")))


def _web(url: object) -> str:
    return url if isinstance(url, str) and url.startswith(("http://", "https://")) else ""


def _rich(elements: list[Any], depth: int = 0) -> Iterator[str]:
    for element in elements:
        if "elements" in element and depth < _DEEPEST:
            yield from _rich(element["elements"], depth + 1)
            yield "\n"
        else:
            yield str(element.get("text") or element.get("url") or element.get("name") or "")
