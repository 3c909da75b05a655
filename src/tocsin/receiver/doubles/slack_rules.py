"""What Slack refuses in a message, with its own words for it (docs.slack.dev/reference/block-kit).

Characters are counted as UTF-16 does: Slack does not say how it counts, and this is the strictest of the ways that it
may, so that what passes here passes there.
"""

from collections.abc import Callable, Mapping
from typing import Any

MAX_ATTACHMENTS = 100
MAX_BLOCKS = 50
MAX_TEXT = 40_000  # of `text`; what is longer is cut, not refused
SECTION = 3_000
FIELD = 2_000
FIELDS = 10
HEADER = 150
CONTEXT_ELEMENTS = 10
ACTION_ELEMENTS = 25
MARKDOWN = 12_000  # over all markdown blocks of a message
_BLOCK_ID = 255
_ALT_TEXT = 2_000
_URL = 3_000
_BUTTON = 75
_BUTTON_VALUE = 2_000
_TITLE = 2_000


class Fault(Exception):
    """`name`: the error as the webhook answers it; the sentence is what Slack's Web API would say beside it."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(sentence)
        self.name = name
        self.sentence = sentence


class _Wrong(Exception):
    def __init__(self, what: str, pointer: str) -> None:
        super().__init__(f"{what} [json-pointer:{pointer}]")


def length(text: str) -> int:
    """In UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def check(payload: Any) -> None:
    """A message as an incoming webhook takes it.

    Raises:
        Fault: it does not take this one.
    """
    if not isinstance(payload, dict):
        raise Fault("invalid_payload", "the payload is no JSON object")
    text, attachments, blocks = payload.get("text"), payload.get("attachments"), payload.get("blocks")
    if text is not None and not isinstance(text, str):
        raise Fault("invalid_payload", "text is no string")
    if attachments is not None and not isinstance(attachments, list):
        raise Fault("invalid_attachments", "attachments is no list")
    if attachments and len(attachments) > MAX_ATTACHMENTS:
        raise Fault("too_many_attachments", f"{len(attachments)} attachments; {MAX_ATTACHMENTS} are allowed")
    if not ((text and text.strip()) or attachments or blocks):
        raise Fault("no_text", "neither text nor blocks nor attachments")
    if blocks is not None:
        try:
            _blocks(blocks, "/blocks", {})
        except _Wrong as wrong:
            raise Fault("invalid_blocks", str(wrong)) from None
    for index, attachment in enumerate(attachments or ()):
        pointer = f"/attachments/{index}"
        try:
            _attachment(attachment, pointer)
        except _Wrong as wrong:
            raise Fault("invalid_attachments", str(wrong)) from None


# Strings of an attachment without blocks (docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments).
_ATTACHMENT_STRINGS = (
    "author_icon", "author_link", "author_name", "color", "fallback", "footer", "footer_icon", "image_url", "pretext",
    "text", "thumb_url", "title", "title_link",
)  # fmt: skip


def _attachment(attachment: Any, pointer: str) -> None:
    if not isinstance(attachment, dict):
        raise _Wrong("must be an object", pointer)
    for name in _ATTACHMENT_STRINGS:
        if attachment.get(name) is not None and not isinstance(attachment[name], str | int):
            raise _Wrong("must be a string", f"{pointer}/{name}")
    if "blocks" in attachment:
        _blocks(attachment["blocks"], f"{pointer}/blocks", {})
        return
    shown = ("text", "title", "pretext", "fallback", "fields", "image_url", "author_name")
    if not any(attachment.get(name) for name in shown):
        raise _Wrong("an attachment needs something to show", pointer)
    fields = attachment.get("fields") or []
    if not isinstance(fields, list) or not all(isinstance(field, dict) for field in fields):
        raise _Wrong("must be a list of objects", f"{pointer}/fields")


# --- blocks -----------------------------------------------------------------------------------------------------------

_Counts = dict[str, Any]  # what is counted over all blocks of a list


def _blocks(blocks: Any, pointer: str, counts: _Counts) -> None:
    if not isinstance(blocks, list):
        raise _Wrong("must be an array", pointer)
    if len(blocks) > MAX_BLOCKS:
        raise _Wrong(f"no more than {MAX_BLOCKS} items allowed", pointer)
    counts["ids"] = set()
    counts["markdown"] = 0
    for index, block in enumerate(blocks):
        at = f"{pointer}/{index}"
        if not isinstance(block, dict):
            raise _Wrong("must be an object", at)
        kind = block.get("type")
        if not isinstance(kind, str) or kind not in _KINDS:
            raise _Wrong(f"unsupported type: {kind}", f"{at}/type")
        keys, judge = _KINDS[kind]
        _only(block, {"type", "block_id", *keys}, at)
        if "block_id" in block:
            id_ = _string(block, "block_id", at, _BLOCK_ID, least=0)
            if id_ and id_ in counts["ids"]:
                raise _Wrong("`block_id` already exists", f"{at}/block_id")
            counts["ids"].add(id_)
        judge(block, at, counts)


def _section(block: Mapping[str, Any], at: str, _: _Counts) -> None:
    if block.get("text") is None and not block.get("fields"):
        raise _Wrong("must provide either `text` or `fields`", at)
    if block.get("text") is not None:
        _text(block["text"], f"{at}/text", SECTION)
    if "fields" in block:
        fields = _list(block, "fields", at, FIELDS)
        for index, field in enumerate(fields):
            _text(field, f"{at}/fields/{index}", FIELD)
    if "accessory" in block:
        _element(block["accessory"], f"{at}/accessory")


def _header(block: Mapping[str, Any], at: str, _: _Counts) -> None:
    _text(block.get("text"), f"{at}/text", HEADER, plain_only=True)


def _context(block: Mapping[str, Any], at: str, _: _Counts) -> None:
    for index, element in enumerate(_list(block, "elements", at, CONTEXT_ELEMENTS)):
        where = f"{at}/elements/{index}"
        if isinstance(element, dict) and element.get("type") == "image":
            _picture(element, where)
        else:
            _text(element, where, SECTION)


def _actions(block: Mapping[str, Any], at: str, _: _Counts) -> None:
    for index, element in enumerate(_list(block, "elements", at, ACTION_ELEMENTS)):
        _element(element, f"{at}/elements/{index}")


def _image(block: Mapping[str, Any], at: str, _: _Counts) -> None:
    _picture(block, at)
    if "title" in block:
        _text(block["title"], f"{at}/title", _TITLE, plain_only=True)


def _markdown(block: Mapping[str, Any], at: str, counts: _Counts) -> None:
    counts["markdown"] += length(_string(block, "text", at, MARKDOWN))
    if counts["markdown"] > MARKDOWN:
        raise _Wrong(f"markdown blocks hold {MARKDOWN} characters together", f"{at}/text")


def _rich_text(block: Mapping[str, Any], at: str, _: _Counts) -> None:
    elements = block.get("elements")
    if not isinstance(elements, list) or not all(isinstance(one, dict) and "type" in one for one in elements):
        raise _Wrong("missing required field: elements", at)


def _divider(block: Mapping[str, Any], at: str, counts: _Counts) -> None:
    """It has nothing that could be wrong."""


_Judge = Callable[[Mapping[str, Any], str, _Counts], None]
_KINDS: Mapping[str, tuple[frozenset[str], _Judge]] = {
    "section": (frozenset({"text", "fields", "accessory", "expand"}), _section),
    "header": (frozenset({"text", "level"}), _header),
    "context": (frozenset({"elements"}), _context),
    "divider": (frozenset(), _divider),
    "actions": (frozenset({"elements"}), _actions),
    "image": (frozenset({"image_url", "slack_file", "alt_text", "title"}), _image),
    "markdown": (frozenset({"text"}), _markdown),
    "rich_text": (frozenset({"elements"}), _rich_text),
}


# --- parts of blocks --------------------------------------------------------------------------------------------------


def _text(value: Any, at: str, most: int, *, plain_only: bool = False) -> None:
    if not isinstance(value, dict):
        raise _Wrong("missing required field: text" if value is None else "must be an object", at)
    kind = value.get("type")
    if kind not in (("plain_text",) if plain_only else ("plain_text", "mrkdwn")):
        raise _Wrong("must be a valid text object", f"{at}/type")
    _only(value, {"type", "text", "emoji" if kind == "plain_text" else "verbatim"}, at)
    for flag in ("emoji", "verbatim"):
        if flag in value and not isinstance(value[flag], bool):
            raise _Wrong("must be a boolean", f"{at}/{flag}")
    _string(value, "text", at, most)


def _element(element: Any, at: str) -> None:
    if not isinstance(element, dict) or not isinstance(element.get("type"), str):
        raise _Wrong("must be an element", at)
    if element["type"] == "image":
        _picture(element, at)
    elif element["type"] == "button":
        _only(element, {"type", "text", "action_id", "url", "value", "style", "confirm", "accessibility_label"}, at)
        _text(element.get("text"), f"{at}/text", _BUTTON, plain_only=True)
        for name, most in (("action_id", _BLOCK_ID), ("url", _URL), ("value", _BUTTON_VALUE)):
            if name in element:
                _string(element, name, at, most, least=0)
        if element.get("style", "primary") not in ("primary", "danger"):
            raise _Wrong("must be one of: primary, danger", f"{at}/style")


def _picture(value: Mapping[str, Any], at: str) -> None:
    _string(value, "alt_text", at, _ALT_TEXT, least=0)
    if "slack_file" not in value:
        url = _string(value, "image_url", at, _URL)
        if not url.lower().startswith(("http://", "https://")):
            raise _Wrong("must be a valid URL", f"{at}/image_url")


def _list(block: Mapping[str, Any], name: str, at: str, most: int) -> list[Any]:
    value = block.get(name)
    if not isinstance(value, list):
        raise _Wrong(f"missing required field: {name}", at)
    if not value:
        raise _Wrong("no fewer than 1 items allowed", f"{at}/{name}")
    if len(value) > most:
        raise _Wrong(f"no more than {most} items allowed", f"{at}/{name}")
    return value


def _string(value: Mapping[str, Any], name: str, at: str, most: int, *, least: int = 1) -> str:
    text = value.get(name)
    if text is None:
        raise _Wrong(f"missing required field: {name}", at)
    if not isinstance(text, str):
        raise _Wrong("must be a string", f"{at}/{name}")
    if length(text) > most:
        raise _Wrong(f"must be less than {most + 1} characters", f"{at}/{name}")
    if length(text) < least:
        raise _Wrong(f"must be more than {least - 1} characters", f"{at}/{name}")
    return text


def _only(value: Mapping[str, Any], known: set[str], at: str) -> None:
    for name in value:
        if name not in known:
            raise _Wrong(f"invalid additional property: {name}", at)
