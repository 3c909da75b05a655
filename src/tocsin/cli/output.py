"""What is shown: JSON or tables on stdout, sentences on stderr. Foreign text never reaches a terminal as a command."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

AsJson = Annotated[bool, Parameter(name="--json", negative=(), show_default=False)]
Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
Texts = Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)]

# Wide enough for any row: where stdout is no terminal, nothing is folded, so that lines can be searched and cut.
_UNBOUNDED_COLUMNS = 10_000

_COLOURS = {
    "active": "green",
    "succeeded": "green",
    "ok": "green",
    "retrying": "yellow",
    "pending": "yellow",
    "sending": "yellow",
    "warn": "yellow",
    "muted": "yellow",
    "failed": "red",
    "disabled": "red",
    "fail": "red",
    "cancelled": "dim",
}


def clean(text: object) -> str:
    """Text of foreign origin with control characters made visible; line breaks and tabs stay."""
    return "".join(
        char if char in "\n\t" or not (ord(char) < 32 or 127 <= ord(char) < 160) else f"\\x{ord(char):02x}"
        for char in str(text)
    )


def say(text: str = "") -> None:
    """A line for the person, on stderr."""
    print(clean(text), file=sys.stderr, flush=True)


def put(text: str) -> None:
    """A line of data, on stdout."""
    print(clean(text), flush=True)


def put_json(data: Any) -> None:
    """One JSON document, indented."""
    print(json.dumps(data, ensure_ascii=False, indent=2))


def put_json_line(data: Any) -> None:
    """One JSON document on a line of its own."""
    print(json.dumps(data, ensure_ascii=False, separators=(",", ":")), flush=True)


def console(*, stderr: bool = False) -> "Console":
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=False)
    if not made.is_terminal:
        made.width = _UNBOUNDED_COLUMNS
    return made


def put_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """A table without frames; a cell that is the name of a state has its colour."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown := clean(_cell(cell)), style=_COLOURS.get(shown, "")) for cell in row))
    _print(table)


def put_pairs(pairs: Mapping[str, object]) -> None:
    """Names and values, one a line; those without a value are left out."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs.items():
        if value is not None and value not in ("", [], {}):
            shown = clean(_cell(value))
            table.add_row(name, Text(shown, style=_COLOURS.get(shown, "")))
    _print(table)


def put_text(text: str, *, style: str = "", indent: int = 0) -> None:
    """Text on stdout, as wide as it is."""
    from rich.text import Text

    lines = clean(text).split("\n")
    console().print(Text("\n".join(" " * indent + line for line in lines), style=style), soft_wrap=True)


def heading(text: str) -> None:
    put_text(text, style="bold")


def pretty_body(text: str) -> str:
    """JSON indented for reading; anything else as it is. Only for showing: numbers may be written differently."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except ValueError:
        return text


def ago(instant: str | None, now: float) -> str:
    """An RFC 3339 instant with its distance from `now` (seconds since 1970): ``… (3 m ago)``, ``… (in 2 h)``."""
    if not instant:
        return "never"
    from datetime import datetime

    distance_s = datetime.fromisoformat(instant).timestamp() - now
    size = span(abs(distance_s))
    return f"{instant} ({f'in {size}' if distance_s > 0 else f'{size} ago'})"


def span(seconds: float) -> str:
    """A length of time in its largest fitting unit: ``850 ms``, ``5 s``, ``3 m``, ``2 h``, ``4 d``."""
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1000:.0f} ms"


def _print(table: "Table") -> None:
    """A table, and where it goes to no terminal without the spaces that fill its last column."""
    out = console()
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    print("\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n")))


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
