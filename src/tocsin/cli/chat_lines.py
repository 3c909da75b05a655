"""What arrives at a double, on a terminal: each message as it would be read, or as JSON."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tocsin.cli.output import clean, console, put_json_line

if TYPE_CHECKING:
    from rich.text import Text

    from tocsin.receiver.doubles import Refused, Shown
    from tocsin.receiver.doubles.display import Block, Runs

_STYLES = {
    "bold": "bold",
    "italic": "italic",
    "underline": "underline",
    "strike": "strike",
    "code": "magenta",
    "spoiler": "reverse",
    "mention": "bold yellow",
}
_LOOKS = {"heading": "bold", "title": "bold", "author": "bold", "small": "dim"}


class JsonLines:
    """Each message when it comes and when it changes, and each refusal."""

    def __call__(self, entry: "Shown | Refused") -> None:
        put_json_line(entry.shown())


class Lines:
    """Each message as it would be read."""

    def __init__(self) -> None:
        self._out = console()

    def __call__(self, entry: "Shown | Refused") -> None:
        from tocsin.receiver.doubles import Refused

        for line in _refused(entry) if isinstance(entry, Refused) else _shown(entry):
            self._out.print(line, soft_wrap=True)
        self._out.file.flush()


def put_unsent(channel: str, body: str) -> bool:
    """Prints a message that was not sent as it would be read. False: nobody reads that channel, and nothing is said."""
    from tocsin.receiver.doubles.unsent import blocks_unsent

    blocks = blocks_unsent(channel, body)
    for block in blocks or ():
        for line in _block(block, _plain("  ")):
            console().print(line, soft_wrap=True)
    return blocks is not None


def _refused(refused: "Refused") -> "Iterator[Text]":
    yield _plain(f"REFUSED with {refused.status or 'no answer'} {refused.name}: {refused.why}", "red")


def _shown(message: "Shown") -> "Iterator[Text]":
    from tocsin.clock import rfc3339

    what = ", deleted" if message.deleted else ", edited" if message.edits else ""
    yield _plain(f"{rfc3339(message.at)} {message.sender} to {message.chat} (message {message.id}{what})", "dim")
    if not message.deleted:
        for block in message.blocks:
            yield from _block(block, _plain("  "))
    yield _plain("")


def _block(block: "Block", indent: "Text") -> "Iterator[Text]":
    from tocsin.receiver.doubles.display import Card, Fields, Text

    match block:
        case Text():
            edge = "│ " if block.look == "quote" else ""
            yield from _lines(block.runs, indent + _plain(edge, "dim"), _LOOKS.get(block.look, ""))
        case Fields():
            for field in block.fields:
                yield from _lines(field.name, indent, "bold")
                yield from _lines(field.value, indent, "")
        case Card():
            for inner in block.blocks:
                yield from _block(inner, indent + _plain("┃ ", block.colour or "dim"))
        case _:
            yield from _other(block, indent)


def _other(block: "Block", indent: "Text") -> "Iterator[Text]":
    from tocsin.receiver.doubles.display import Buttons, Divider, Mail, Picture

    match block:
        case Buttons():
            for button in block.buttons:
                yield indent + _plain(f"[{button.label}] {button.href}")
        case Picture():
            yield indent + _plain(f"[{block.alt}]", "dim")
        case Divider():
            yield indent + _plain("──────", "dim")
        case Mail():
            for name, value in block.headers:
                yield indent + _plain(f"{name}: {value}", "bold" if name == "Subject" else "dim")
            for line in block.text.split("\n"):
                yield indent + _plain(line)


def _lines(runs: "Runs", indent: "Text", style: str) -> "Iterator[Text]":
    """A run that leads somewhere else than it says has its address behind it."""
    from rich.text import Text

    whole = Text("")
    for run in runs:
        whole.append(clean(run.text), style=" ".join(filter(None, [style, *(_STYLES[mark] for mark in run.marks)])))
        if run.href and run.href != run.text:
            whole.append(clean(f" ({run.href})"), style="dim")
    if whole.plain:
        for line in whole.split("\n", allow_blank=True):
            yield indent + line


def _plain(text: str, style: str = "") -> "Text":
    from rich.text import Text

    return Text(clean(text), style=style)
