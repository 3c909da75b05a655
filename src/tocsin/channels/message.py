"""What people are told, before it takes a channel's form."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from tocsin.clock import Millis


class Tone(StrEnum):
    """CONTRACT §6: green conversions, red fraud, orange warnings, blue the rest."""

    CONVERSION = "conversion"
    FRAUD = "fraud"
    WARNING = "warning"
    INFO = "info"


COLOURS: Mapping[Tone, int] = {
    Tone.CONVERSION: 0x2ECC71,
    Tone.FRAUD: 0xE74C3C,
    Tone.WARNING: 0xE67E22,
    Tone.INFO: 0x3498DB,
}


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One labelled value, as text: ``💰 Payout: $45.00``. Not escaped yet, not cut yet."""

    label: str
    value: str
    icon: str = ""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Lines under a heading of their own, such as the campaigns of a summary."""

    heading: str
    lines: tuple[Line, ...]


class SpanKind(StrEnum):
    TEXT = "text"
    BOLD = "bold"
    CODE = "code"
    LINK = "link"


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A run of free text. `url`: of a link, http(s) only."""

    text: str
    kind: SpanKind = SpanKind.TEXT
    url: str = ""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    label: str
    url: str


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message, the same for all channels. All text is plain and may be hostile: whoever renders it escapes it, cuts
    it to the service's limits, and lets nobody be mentioned by it.
    """

    title: str  # "New Conversion!"
    icon: str  # one emoji
    tone: Tone
    at: Millis  # of the event
    lines: tuple[Line, ...] = ()
    text: tuple[Span, ...] = ()  # of a template: stands where the lines would
    sections: tuple[Section, ...] = ()
    link: Link | None = None
    footer: str = ""  # whose it is: the account's name, and whether it is a test
    id: str = ""  # of what it tells, "evt_…", on each try the same; set where it is sent, not where it is only shown
