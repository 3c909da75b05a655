"""Files of activities, line by line: JSON lines, or CSV with a header."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, BinaryIO, Literal

import msgspec

Form = Literal["jsonl", "csv"]

# Keys whose values are numbers or yes and no. A cell of CSV is text otherwise: an id such as 007 stays what it is.
_NUMBERS = frozenset({"signals.score", "signals.plugins", "signals.bot.confidence"})
_FLAGS = frozenset(
    {"signals.webdriver", "signals.honeypot", "signals.proxy", "signals.bot", "signals.vpn", "signals.cloaker"}
)
_YES_NO = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
# Longer than an activity may be (64 KiB); such a line is told of without being read into memory.
_LINE_BYTES = 1 << 20


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line: an activity's bytes, or what is wrong with it. `number`: its own, or that of a record's first line."""

    number: int
    body: bytes = b""
    fault: str | None = None


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """What lines do not say themselves. `ids`: lines without an external id get this, a colon and their number."""

    kind: str | None = None
    ids: str | None = None


def form_of(name: str) -> Form:
    """By its ending; JSON lines unless it is CSV."""
    return "csv" if PurePath(name).suffix.lower() == ".csv" else "jsonl"


def read_lines(file: BinaryIO, form: Form, added: Added, begin: int = 1) -> Iterator[Line]:
    """The activities of a file, from line `begin` on; empty lines are passed over."""
    found = _read_csv(file, added) if form == "csv" else _read_jsonl(file, added)
    return (line for line in found if line.number >= begin)


def _read_jsonl(file: BinaryIO, added: Added) -> Iterator[Line]:
    number = 0
    while raw := file.readline(_LINE_BYTES):
        number += 1
        if len(raw) == _LINE_BYTES and not raw.endswith(b"\n"):
            while (raw := file.readline(_LINE_BYTES)) and not raw.endswith(b"\n"):
                pass
            yield Line(number=number, fault="it is longer than an activity may be (64 KiB)")
            continue
        text = raw.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else raw.strip()
        if text:
            yield _json_line(number, text, added)


def _json_line(number: int, text: bytes, added: Added) -> Line:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Line(number=number, fault=f"it is no JSON: {error}")
    if not isinstance(value, dict):
        return Line(number=number, fault="it is no JSON object")
    return _completed(number, value, text, added)


def _completed(number: int, value: Mapping[str, Any], text: bytes, added: Added) -> Line:
    """The line's own bytes, since the server judges them as they are, with what it does not say put before them."""
    more = {}
    if added.kind is not None and value.get("kind", added.kind) != added.kind:
        return Line(number=number, fault=f"its kind is {value['kind']!r}, not {added.kind!r}")
    if added.kind is not None and "kind" not in value:
        more["kind"] = added.kind
    if added.ids is not None and "external_id" not in value:
        more["external_id"] = f"{added.ids}:{number}"
    if not more:
        return Line(number=number, body=text)
    comma = b"," if value else b""
    return Line(number=number, body=json.dumps(more).encode()[:-1] + comma + text[1:])


def _read_csv(file: BinaryIO, added: Added) -> Iterator[Line]:
    text = _Decoded(file)
    rows = csv.reader(text, strict=True)
    header: Sequence[str] | None = None
    while True:
        began = text.number + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except (csv.Error, UnicodeDecodeError) as error:
            yield Line(number=began, fault=f"it is no CSV: {error}")
            if header is None:
                return
            continue
        if not any(row):
            continue
        if header is None:
            header = [name.strip() for name in row]
            if fault := _header_fault(header):
                yield Line(number=began, fault=fault)
                return
        elif len(row) != len(header):
            yield Line(number=began, fault=f"it has {len(row)} cells, and the header {len(header)}")
        else:
            yield _csv_line(began, dict(zip(header, row, strict=True)), added)


class _Decoded:
    """Lines of text out of bytes, counted."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number = 0

    def __iter__(self) -> "_Decoded":
        return self

    def __next__(self) -> str:
        raw = self._file.readline(_LINE_BYTES)
        if not raw:
            raise StopIteration
        self.number += 1
        return raw.decode("utf-8-sig" if self.number == 1 else "utf-8")


def _header_fault(header: Sequence[str]) -> str | None:
    if len(set(header)) != len(header):
        return "the header names a column twice"
    for name in header:
        if not all(name.split(".")):
            return f"the header's column {name!r} is no key; they are such as click_id or visitor.ip"
        if any(other.startswith(f"{name}.") for other in header):
            return f"the header has both {name} and keys in it"
    return None


def _csv_line(number: int, cells: Mapping[str, str], added: Added) -> Line:
    try:
        value = from_cells(cells)
    except ValueError as error:
        return Line(number=number, fault=str(error))
    return _completed(number, value, json.dumps(value, ensure_ascii=False).encode(), added)


def from_cells(cells: Mapping[str, str]) -> dict[str, Any]:
    """An activity from names such as ``visitor.ip`` and their texts; empty ones are left out.

    Raises:
        ValueError: a text does not fit its name.
    """
    made: dict[str, Any] = {}
    for name, text in cells.items():
        if text == "":
            continue
        *outer, last = name.split(".")
        inside = made
        for step in outer:
            inside = inside.setdefault(step, {})
            if not isinstance(inside, dict):
                raise ValueError(f"{name} stands inside {step}, which has a value of its own")  # noqa: TRY004 - as said
        inside[last] = _cell(name, text)
    return made


def _cell(name: str, text: str) -> Any:
    if name in _NUMBERS:
        try:
            return json.loads(text)
        except ValueError:
            raise ValueError(f"{name} is a number, not {text!r}") from None
    if name in _FLAGS and text.lower() in _YES_NO:
        return _YES_NO[text.lower()]
    if text[0] in "[{":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text
