"""What people are told of a dialect's events, read from messages.toml.

It says where campaign, payout, country … stand in the data, and how each event type is worded:

    [details]                           by name: a dotted path, several of which the first that is there counts, or a
                                        table with `paths`, `unit` (major, cents) and `otherwise`; a name that not every
                                        dialect has also needs a `kind`, and may have a `label` and an `icon`
    [events."<type>"]                   title, tone, lines, icon; `details` of this type alone
    [events."<type>".channels.<name>]   title, lines and icon where that channel words them otherwise

A line is a detail's name, or a table of `label`, `text` and `icon`, or of `detail` and what is otherwise about it. In
titles and texts ``{name}`` stands for a detail; of several the first counts of which all is known.

How values are written, in which language and form, is not decided here.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from tocsin.nearest import did_you_mean
from tocsin.profiles.details import DETAILS, Detail, Kind, read, walk
from tocsin.profiles.readable import readable

Tone = Literal["conversion", "fraud", "warning", "info"]
ChannelName = Literal["slack", "telegram", "discord", "email"]

ICONS: Mapping[Tone, str] = {"conversion": "🎉", "fraud": "🚨", "warning": "⚠️", "info": "🔔"}

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
_SLOT = re.compile(r"\{([^{}]*)\}")
_CURRENCY = "currency"

# --- what messages.toml holds -------------------------------------------------------------------------------------

Texts = str | tuple[str, ...]


class PlaceSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`otherwise`: what holds where none of the paths leads to anything; only of the currency, which a document may
    leave to be understood.
    """

    paths: Texts
    unit: Literal["major", "cents"] = "major"
    otherwise: str | None = None
    kind: Kind | None = None
    label: str | None = None
    icon: str | None = None


class LineSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    detail: str | None = None
    label: str | None = None
    text: Texts | None = None
    icon: str | None = None


class ChannelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: Texts | None = None
    icon: str | None = None
    lines: tuple[str | LineSpec, ...] | None = None


class EventSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: Texts
    tone: Tone
    lines: tuple[str | LineSpec, ...]
    icon: str | None = None
    details: Mapping[str, str | tuple[str, ...] | PlaceSpec] = {}
    channels: Mapping[ChannelName, ChannelSpec] = {}


class MessagesSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    details: Mapping[str, str | tuple[str, ...] | PlaceSpec] = {}
    events: Mapping[str, EventSpec] = {}


# --- what is made of it -------------------------------------------------------------------------------------------


class Phrase(msgspec.Struct, frozen=True):
    """A text with details in it: `literals` stand around the `names`, one more of them than of those."""

    literals: tuple[str, ...]
    names: tuple[str, ...]

    def fill(self, values: Mapping[str, str]) -> str | None:
        """None where one of the details is not known."""
        if any(name not in values for name in self.names):
            return None
        parts = [self.literals[0]]
        for name, literal in zip(self.names, self.literals[1:], strict=True):
            parts += values[name], literal
        return "".join(parts)


class WordedLine(msgspec.Struct, frozen=True):
    """`texts`: the first of which all is known is shown; none of them: there is no such line."""

    label: str
    icon: str
    texts: tuple[Phrase, ...]


class Wording(msgspec.Struct, frozen=True):
    """Of one event type in one channel. The last of the `titles` needs no detail."""

    titles: tuple[Phrase, ...]
    icon: str
    tone: Tone
    lines: tuple[WordedLine, ...]


class _Place(msgspec.Struct, frozen=True):
    kind: Kind
    paths: tuple[tuple[str, ...], ...]
    cents: bool
    otherwise: str | None

    def find(self, data: Any) -> Any:
        for path in self.paths:
            value = walk(data, path)
            if value is not None and (found := read(self.kind, value)) is not None:
                return found.scaleb(-2) if self.cents else found
        return None


class Messages:
    """Of one dialect. Made by `build`."""

    __slots__ = ("_kinds", "_of_types", "_places", "_wordings")

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        places: Mapping[str, _Place],
        of_types: Mapping[str, Mapping[str, _Place]],
        wordings: Mapping[tuple[str, str | None], Wording],
    ) -> None:
        self._kinds = kinds
        self._places = places
        self._of_types = of_types
        self._wordings = wordings

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """Every detail that the dialect's events may have, by name."""
        return self._kinds

    def details(self, type_: str, data: Any, names: Iterable[str] | None = None) -> dict[str, Any]:
        """What is to be said of an event of that type: only what is there, in the form of its kind.

        Never raises, whatever the data: what is there in another form is left out.

        Args:
            data: parsed JSON.
            names: no others than these; all of them take some 50 µs.
        """
        found: dict[str, Any] = {}
        money = False
        places = self._of_types.get(type_, self._places)
        for name in places if names is None else names:
            place = places.get(name)
            value = None if place is None else place.find(data)
            if place is not None and value is not None:
                found[name] = value
                money = money or place.kind is Kind.MONEY
        if money and _CURRENCY not in found and _CURRENCY in places and (usual := places[_CURRENCY].otherwise):
            found[_CURRENCY] = usual
        return found

    def wording(self, type_: str, channel: str) -> Wording | None:
        """None of a type that has none, such as an account's own."""
        return self._wordings.get((type_, channel)) or self._wordings.get((type_, None))

    def tone(self, type_: str) -> Tone:
        """What sort of news it is; `info` where nothing is said about the type."""
        found = self._wordings.get((type_, None))
        return found.tone if found else "info"

    def label(self, type_: str) -> str:
        """What it is called among others, as in a summary: its title without details, or its name made readable."""
        found = self._wordings.get((type_, None))
        return found.titles[-1].literals[0].rstrip("!.") if found else readable(type_)

    def icon(self, type_: str) -> str:
        """One emoji."""
        found = self._wordings.get((type_, None))
        return found.icon if found else ICONS["info"]


# --- from the one to the other ------------------------------------------------------------------------------------


def build(spec: MessagesSpec, types: Iterable[str], default: MessagesSpec | None = None) -> Messages:
    """Checks the file.

    Args:
        types: those of the catalogue.
        default: whose details hold where the file names none.

    Raises:
        ValueError: the key, and what is wrong with it.
    """
    known = frozenset(types)
    details = spec.details or (default.details if default else {})
    own = {name: _own(f"details.{name}", name, place) for name, place in details.items() if name not in DETAILS}
    vocabulary = {**DETAILS, **own}
    places = {name: _place(f"details.{name}", vocabulary[name].kind, place) for name, place in details.items()}
    of_types: dict[str, Mapping[str, _Place]] = {}
    wordings: dict[tuple[str, str | None], Wording] = {}
    for type_, event in spec.events.items():
        key = f"events.{type_}"
        if type_ not in known:
            raise ValueError(f"{key}: the catalogue has no such event type{did_you_mean(type_, known)}")
        if event.details:
            of_types[type_] = {**places, **_places_of_type(f"{key}.details", event.details, vocabulary)}
        wordings[type_, None] = _wording(key, event, ChannelSpec(), vocabulary)
        for channel, changed in event.channels.items():
            wordings[type_, channel] = _wording(f"{key}.channels.{channel}", event, changed, vocabulary)
    return Messages({name: detail.kind for name, detail in vocabulary.items()}, places, of_types, wordings)


def _places_of_type(
    key: str, details: Mapping[str, str | tuple[str, ...] | PlaceSpec], vocabulary: Mapping[str, Detail]
) -> dict[str, _Place]:
    if unknown := [name for name in details if name not in vocabulary]:
        raise ValueError(
            f"{key}.{unknown[0]}: no detail is called so{did_you_mean(unknown[0], vocabulary)}; [details] can add one"
        )
    return {name: _place(f"{key}.{name}", vocabulary[name].kind, place) for name, place in details.items()}


def _own(key: str, name: str, place: str | tuple[str, ...] | PlaceSpec) -> Detail:
    if not isinstance(place, PlaceSpec) or place.kind is None:
        raise ValueError(f"{key}: no detail is called so{did_you_mean(name, DETAILS)}; one of your own needs a kind")
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{key}: a-z, 0-9 and _, beginning with a letter")
    return Detail(place.kind, place.label or readable(name), place.icon or "▫️")


def _place(key: str, kind: Kind, given: str | tuple[str, ...] | PlaceSpec) -> _Place:
    place = given if isinstance(given, PlaceSpec) else PlaceSpec(paths=given)
    if place.kind not in (None, kind):
        raise ValueError(f"{key}.kind: it is {kind.value!r} in every dialect")
    if place.unit == "cents" and kind is not Kind.MONEY:
        raise ValueError(f"{key}.unit: only money is counted in cents")
    if place.otherwise is not None and kind is not Kind.CURRENCY:
        raise ValueError(f"{key}.otherwise: only the currency can be understood; what else is not there is not shown")
    paths = tuple(tuple(path.split(".")) for path in _several(place.paths))
    if not paths or any(not part for path in paths for part in path):
        raise ValueError(f"{key}: a path is keys joined by full stops, such as campaign.name")
    return _Place(kind, paths, cents=place.unit == "cents", otherwise=place.otherwise)


def _wording(key: str, event: EventSpec, changed: ChannelSpec, vocabulary: Mapping[str, Detail]) -> Wording:
    titles = _phrases(f"{key}.title", changed.title or event.title, vocabulary)
    if titles[-1].names:
        raise ValueError(f"{key}.title: the last one has to do without details")
    lines = event.lines if changed.lines is None else changed.lines
    return Wording(
        titles=titles,
        icon=changed.icon or event.icon or ICONS[event.tone],
        tone=event.tone,
        lines=tuple(_line(f"{key}.lines.{at}", line, vocabulary) for at, line in enumerate(lines)),
    )


def _line(key: str, given: str | LineSpec, vocabulary: Mapping[str, Detail]) -> WordedLine:
    line = LineSpec(detail=given) if isinstance(given, str) else given
    if line.detail is not None:
        detail = _detail(key, line.detail, vocabulary)
        texts = line.text or detail.texts or (f"{{{line.detail}}}",)
        return WordedLine(line.label or detail.label, line.icon or detail.icon, _phrases(key, texts, vocabulary))
    if line.label is None or line.text is None:
        raise ValueError(f"{key}: a line is a detail, or a label and a text")
    phrases = _phrases(f"{key}.text", line.text, vocabulary)
    named = next((name for phrase in phrases for name in phrase.names), None)
    if named is None:
        raise ValueError(f"{key}.text: it says nothing of the event; name a detail in it, such as {{campaign}}")
    return WordedLine(line.label, line.icon or vocabulary[named].icon, phrases)


def _phrases(key: str, texts: Texts, vocabulary: Mapping[str, Detail]) -> tuple[Phrase, ...]:
    if not (several := _several(texts)) or not all(several):
        raise ValueError(f"{key}: it is empty")
    return tuple(_phrase(key, text, vocabulary) for text in several)


def _phrase(key: str, text: str, vocabulary: Mapping[str, Detail]) -> Phrase:
    parts = _SLOT.split(text)
    literals, names = parts[::2], parts[1::2]
    if any("{" in literal or "}" in literal for literal in literals):
        raise ValueError(f"{key}: {text!r}: a brace that nothing closes or opens")
    for name in names:
        _detail(key, name, vocabulary)
    return Phrase(tuple(literals), tuple(names))


def _detail(key: str, name: str, vocabulary: Mapping[str, Detail]) -> Detail:
    found = vocabulary.get(name)
    if found is None:
        raise ValueError(f"{key}: no detail is called {name!r}{did_you_mean(name, vocabulary)}")
    return found


def _several(texts: Texts) -> Sequence[str]:
    return (texts,) if isinstance(texts, str) else texts
