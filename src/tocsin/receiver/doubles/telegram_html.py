"""Telegram's HTML, read as the Bot API server reads it (core.telegram.org/bots/api#html-style).

Its errors, with their byte offsets, are those that api.telegram.org answers. Offsets and lengths of entities are in
UTF-16 units, as everywhere in the Bot API.
"""

import re
from typing import Literal

import msgspec

Kind = Literal[
    "bold", "italic", "underline", "strikethrough", "spoiler", "code", "pre", "text_link", "text_mention",
    "blockquote", "expandable_blockquote", "custom_emoji",
]  # fmt: skip

_KINDS: dict[str, Kind] = {
    "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline", "ins": "underline",
    "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough", "tg-spoiler": "spoiler",
    "span": "spoiler", "code": "code", "pre": "pre", "a": "text_link", "blockquote": "blockquote",
    "tg-emoji": "custom_emoji",
}  # fmt: skip
_SPECIAL = re.compile(rb"[<&]")
_SPACE = b" \t\r\n\v\0"
_ENTITY = re.compile(rb"&(?:#(?P<hex>[xX][0-9a-fA-F]+)|#(?P<number>[0-9]+)|(?P<name>lt|gt|amp|quot)(?![a-zA-Z]));?")
_NAMED = {b"lt": "<", b"gt": ">", b"amp": "&", b"quot": '"'}
_LAST_CODE = 0x10FFFF
_ATTRIBUTE = re.compile(rb"[^\s\0=>]*")
_NAME_TOKEN = re.compile(rb"[A-Za-z0-9.-]*")


class Unreadable(Exception):
    """The sentence is what follows ``Bad Request: can't parse entities: ``."""


class Entity(msgspec.Struct, frozen=True, omit_defaults=True):
    """As the Bot API shows it, in UTF-16 units."""

    type: Kind
    offset: int
    length: int
    url: str = ""
    language: str = ""


class Formatted(msgspec.Struct, frozen=True):
    text: str
    entities: tuple[Entity, ...]


def units(text: str) -> int:
    """The length in UTF-16 units."""
    return len(text) + sum(char > "\uffff" for char in text)


def parse(html: str) -> Formatted:
    """Takes the tags out.

    Raises:
        Unreadable: it is not what Telegram takes for HTML.
    """
    return _Parser(html).run()


class _Open(msgspec.Struct):
    tag: str
    argument: str
    offset: int
    begins: int  # in the pieces of text


class _Parser:
    def __init__(self, html: str) -> None:
        self._raw = html.encode("utf-8", "surrogatepass")
        self._at = 0
        self._pieces: list[str] = []
        self._units = 0
        self._open: list[_Open] = []
        self._entities: list[Entity] = []

    def run(self) -> Formatted:
        raw = self._raw
        while self._at < len(raw):
            if raw[self._at] == 0x26 and (decoded := self._entity()):
                self._add(decoded)
            elif raw[self._at] != 0x3C:
                found = _SPECIAL.search(raw, self._at + 1)
                end = found.start() if found else len(raw)
                self._add(raw[self._at : end].decode("utf-8", "surrogatepass"))
                self._at = end
            elif raw[self._at + 1 : self._at + 2] == b"/":
                self._end_tag()
            else:
                self._start_tag()
        if self._open:
            raise Unreadable(f'Can\'t find end tag corresponding to start tag "{self._open[-1].tag}"')
        text = "".join(self._pieces)
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if _has_halves(text) else text
        if "\ufffd" in text and "\ufffd" not in "".join(self._pieces):
            raise Unreadable(
                "Text contains invalid Unicode characters after decoding HTML entities, check for unmatched surrogate "
                "code units"
            )
        return Formatted(text, tuple(sorted(self._entities, key=lambda one: (one.offset, -one.length))))

    def _add(self, text: str) -> None:
        self._pieces.append(text)
        self._units += units(text)

    def _entity(self) -> str:
        """The character that one stands for, and behind it; empty: it is none, and read as it is written."""
        found = _ENTITY.match(self._raw, self._at)
        if found is None:
            return ""
        if found["name"]:
            decoded = _NAMED[found["name"]]
        else:
            code = int(found["hex"][1:], 16) if found["hex"] else int(found["number"][:9])
            if not 0 < code < _LAST_CODE:
                return ""
            decoded = chr(code)
        self._at = found.end()
        return decoded

    # --- tags -----------------------------------------------------------------------------------------------------

    def _start_tag(self) -> None:
        begin = self._at
        end = self._until_space_or(b">", begin + 1)
        if end >= len(self._raw):
            raise Unreadable(f"Unclosed start tag at byte offset {begin}")
        tag = self._lower(begin + 1, end)
        if tag not in _KINDS:
            raise Unreadable(f'Unsupported start tag "{tag}" at byte offset {begin}')
        self._at = end
        given = self._attributes(tag, begin)
        if tag == "span" and given.get("class") != "tg-spoiler":
            raise Unreadable(f'Tag "span" must have class "tg-spoiler" at byte offset {begin}')
        self._at += 1
        self._open.append(_Open(tag, _argument(tag, given), self._units, len(self._pieces)))

    def _attributes(self, tag: str, begin: int) -> dict[str, str]:
        """Leaves off at the ``>``."""
        given: dict[str, str] = {}
        while True:
            self._skip_space()
            if self._here() == b">":
                return given
            name_end = self._match(_ATTRIBUTE)
            name = self._lower(self._at, name_end)
            if not name:
                if self._here():
                    raise Unreadable(f'Empty attribute name in the tag "{tag}" at byte offset {begin}')
                raise Unreadable(f'Unclosed start tag "{tag}" at byte offset {begin}')
            self._at = name_end
            self._skip_space()
            if self._here() != b"=":
                if tag == "blockquote" and name == "expandable":  # the one attribute that may go without a value
                    given[name] = ""
                    continue
                raise Unreadable(
                    f'Expected equal sign in declaration of an attribute of the tag "{tag}" at byte offset {begin}'
                )
            self._at += 1
            self._skip_space()
            if not self._here():
                raise Unreadable(f'Unclosed start tag "{tag}" at byte offset {begin}')
            given[name] = self._value()
            if not self._here():
                raise Unreadable(f"Unclosed start tag at byte offset {begin}")

    def _value(self) -> str:
        quote = self._here()
        if quote not in (b'"', b"'"):
            begin, end = self._at, self._match(_NAME_TOKEN)
            self._at = end
            if self._here() != b">" and self._here() not in map(bytes, ([byte] for byte in _SPACE)):
                raise Unreadable(f"Unexpected end of name token at byte offset {begin}")
            return self._lower(begin, end)
        self._at += 1
        value: list[bytes] = []
        while (byte := self._here()) and byte != quote:
            if byte == b"&" and (decoded := self._entity()):
                value.append(decoded.encode("utf-8", "surrogatepass"))
            else:
                value.append(byte)
                self._at += 1
        if self._here():
            self._at += 1
        return b"".join(value).decode("utf-8", "replace")

    def _end_tag(self) -> None:
        begin = self._at
        if not self._open:
            raise Unreadable(f"Unexpected end tag at byte offset {begin}")
        end = self._until_space_or(b">", begin + 2)
        found = self._lower(begin + 2, end)
        self._at = end
        self._skip_space()
        if self._here() != b">":
            raise Unreadable(f"Unclosed end tag at byte offset {begin}")
        self._at += 1
        opened = self._open.pop()
        if found and found != opened.tag:
            raise Unreadable(
                f'Unmatched end tag at byte offset {begin}, expected "</{opened.tag}>", found "</{found}>"'
            )
        length = self._units - opened.offset
        if length:
            self._close(opened, length)

    def _close(self, opened: _Open, length: int) -> None:
        kind = _KINDS[opened.tag]
        url = language = ""
        if kind == "text_link":
            link = opened.argument or "".join(self._pieces[opened.begins :])
            if re.fullmatch(r"tg://user\?id=[0-9]+", link):
                kind = "text_mention"
            elif not (url := checked_link(link)):
                return  # no address: the text stays, without a link
        elif kind == "blockquote" and opened.argument:
            kind = "expandable_blockquote"
        elif kind == "custom_emoji" and not opened.argument.isdecimal():
            raise Unreadable("Invalid custom emoji identifier specified")
        elif kind in ("pre", "code"):
            language = opened.argument
            last = self._entities[-1] if self._entities else None
            if last and last.type in ("pre", "code") and (last.offset, last.length) == (opened.offset, length):
                # <pre><code class="language-…">: one block
                self._entities[-1] = Entity("pre", opened.offset, length, language=last.language or language)
                return
        self._entities.append(Entity(kind, opened.offset, length, url, language if kind == "code" else ""))

    # --- where it stands --------------------------------------------------------------------------------------------

    def _here(self) -> bytes:
        return self._raw[self._at : self._at + 1]

    def _skip_space(self) -> None:
        while self._at < len(self._raw) and self._raw[self._at] in _SPACE:
            self._at += 1

    def _until_space_or(self, stop: bytes, at: int) -> int:
        while at < len(self._raw) and self._raw[at] not in _SPACE + stop:
            at += 1
        return at

    def _match(self, pattern: re.Pattern[bytes]) -> int:
        found = pattern.match(self._raw, self._at)
        return found.end() if found else self._at

    def _lower(self, begin: int, end: int) -> str:
        """Only ASCII has two cases here."""
        return self._raw[begin:end].lower().decode("utf-8", "replace")


def _argument(tag: str, given: dict[str, str]) -> str:
    match tag:
        case "a":
            return given.get("href", "")
        case "code":
            return found.removeprefix("language-") if (found := given.get("class", "")).startswith("language-") else ""
        case "tg-emoji":
            return given.get("emoji-id", "")
        case "blockquote":
            return "expandable" if "expandable" in given else ""
    return ""


_SCHEME = re.compile(r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?P<host>[^/?#\s@]+(?::\d+)?)(?P<rest>[/?#]\S*)?")


def checked_link(url: str) -> str:
    """An address as Telegram keeps it; empty: it takes it for none."""
    found = _SCHEME.fullmatch(url.strip())
    if found is None:
        return ""
    scheme = (found["scheme"] or "http").lower()
    if scheme not in ("http", "https", "tg", "ton"):
        return ""
    if scheme in ("http", "https"):
        host = found["host"].lower()
        if "." not in host and not host.startswith(("localhost", "[")):
            return ""
        return f"{scheme}://{host}{found['rest'] or '/'}"
    return f"{scheme}://{found['host']}{found['rest'] or ''}"


def _has_halves(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)
