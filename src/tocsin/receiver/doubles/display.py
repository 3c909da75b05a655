"""What a person sees of a message: blocks of styled text, the same for every service. The page draws them, tests read
them as text.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

Mark = Literal["bold", "italic", "underline", "strike", "code", "spoiler", "mention"]

Look = Literal["plain", "heading", "title", "author", "small", "quote", "pre", "list"]


class Run(msgspec.Struct, frozen=True, omit_defaults=True):
    """Text in one style. `href`: where it leads, http(s) or mailto only."""

    text: str
    marks: tuple[Mark, ...] = ()
    href: str = ""


Runs = tuple[Run, ...]


class Text(msgspec.Struct, frozen=True, tag_field="kind", tag="text", omit_defaults=True):
    """`look`: a heading, small print, a quotation, or a block of code."""

    runs: Runs
    look: Look = "plain"
    level: int = 0  # of a heading: 1 to 3


class Field(msgspec.Struct, frozen=True, omit_defaults=True):
    name: Runs
    value: Runs = ()
    short: bool = False  # stands beside others


class Fields(msgspec.Struct, frozen=True, tag_field="kind", tag="fields", omit_defaults=True):
    fields: tuple[Field, ...]


class Divider(msgspec.Struct, frozen=True, tag_field="kind", tag="divider"):
    pass


class Picture(msgspec.Struct, frozen=True, tag_field="kind", tag="picture", omit_defaults=True):
    """Not loaded: shown by what it is called."""

    alt: str
    url: str = ""


class Button(msgspec.Struct, frozen=True, omit_defaults=True):
    label: str
    href: str = ""


class Buttons(msgspec.Struct, frozen=True, tag_field="kind", tag="buttons"):
    buttons: tuple[Button, ...]


class Card(msgspec.Struct, frozen=True, tag_field="kind", tag="card", omit_defaults=True):
    """What stands beside a coloured bar. `colour`: ``#rrggbb``; empty: the service's own grey."""

    blocks: "tuple[Block, ...]"
    colour: str = ""


class Mail(msgspec.Struct, frozen=True, tag_field="kind", tag="mail", omit_defaults=True):
    """`text`: its part in plain text. `frame`: where its HTML part is shown by itself, without any rights."""

    headers: tuple[tuple[str, str], ...]
    text: str = ""
    frame: str = ""

    @property
    def subject(self) -> str:
        return dict(self.headers).get("Subject", "")


Block = Text | Fields | Divider | Picture | Buttons | Card | Mail


def plain(text: str, *marks: Mark) -> Runs:
    return (Run(text, marks),) if text else ()


def as_text(blocks: Iterable[Block]) -> str:
    """As it is read, without any styling."""
    return "\n".join(part for part in map(_block_text, blocks) if part)


def runs_text(runs: Sequence[Run]) -> str:
    return "".join(run.text for run in runs)


def mentions_of(blocks: Iterable[Block]) -> tuple[str, ...]:
    """Whoever is called by it, in order."""
    return tuple(run.text for runs in _all_runs(blocks) for run in runs if "mention" in run.marks)


def links_of(blocks: Iterable[Block]) -> tuple[str, ...]:
    """Where it leads, in order."""
    found: list[str] = []
    for block in blocks:
        if isinstance(block, Card):
            found += links_of(block.blocks)
        elif isinstance(block, Buttons):
            found += [button.href for button in block.buttons if button.href]
        else:
            found += [run.href for runs in _all_runs((block,)) for run in runs if run.href]
    return tuple(found)


def _all_runs(blocks: Iterable[Block]) -> Iterable[Runs]:
    for block in blocks:
        match block:
            case Text():
                yield block.runs
            case Fields():
                for field in block.fields:
                    yield field.name
                    yield field.value
            case Card():
                yield from _all_runs(block.blocks)


def _block_text(block: Block) -> str:
    match block:
        case Text():
            return runs_text(block.runs)
        case Fields():
            return "\n".join(
                part for field in block.fields for part in (runs_text(field.name), runs_text(field.value)) if part
            )
        case Picture():
            return block.alt
        case Buttons():
            return "\n".join(button.label for button in block.buttons)
        case Card():
            return as_text(block.blocks)
        case Mail():
            return f"{block.subject}\n{block.text}".strip("\n")
        case Divider():
            return ""
