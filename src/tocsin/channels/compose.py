"""From an event to what people are told."""

from collections.abc import Iterator, Mapping
from typing import Any

from tocsin.channels import wording
from tocsin.channels.message import Line, Link, Message, Section, Span, SpanKind, Tone
from tocsin.channels.occasion import Occasion
from tocsin.channels.options import ChatOptions
from tocsin.channels.templates import applied
from tocsin.model import NOTICE_TYPE
from tocsin.profiles.details import Kind
from tocsin.profiles.messages import ICONS, Messages, Wording
from tocsin.profiles.readable import readable

# CONTRACT §6: a line in Telegram begins with an icon. The others set labels apart by bold type or columns.
WITH_ICONS = frozenset({"telegram"})

# Of data that nothing is known of: so much is read at a glance.
_MAX_PLAIN_LINES = 10
_MAX_DEPTH = 4
_MAX_LISTED = 5
_MAX_LABEL = 60
_MAX_TITLE = 150  # UTF-16 units; no service takes less


def compose(occasion: Occasion, options: ChatOptions, channel: str) -> Message:
    """The message of an event, as the channel of that name words it. Never raises, whatever the data."""
    if occasion.type == NOTICE_TYPE:
        return _notice(occasion)
    return applied(_worded(occasion, options, channel), occasion, options.templates, options.locale)


def _worded(occasion: Occasion, options: ChatOptions, channel: str) -> Message:
    messages = occasion.profile.messages
    found = messages.wording(occasion.type, channel)
    if found is None:
        return _message(occasion, readable(occasion.type), ICONS["info"], Tone.INFO, _plain(occasion.data))
    details = messages.details(occasion.type, occasion.data)
    values = _values(found, messages, details, options.locale)
    title = next(text for phrase in found.titles if (text := phrase.fill(values)) is not None)
    lines: list[Line] = []
    sections: list[Section] = []
    for line in found.lines:
        names = line.texts[0].names
        if len(names) == 1 and messages.kinds[names[0]] is Kind.RANKING:
            if ranked := _ranked(details.get(names[0], ()), options.locale):
                sections.append(Section(heading=line.label, lines=ranked))
            continue
        value = next((text for phrase in line.texts if (text := phrase.fill(values)) is not None), None)
        if value is not None:
            lines.append(Line(label=line.label, value=value, icon=line.icon if channel in WITH_ICONS else ""))
    return _message(
        occasion,
        title,
        found.icon,
        Tone(found.tone),
        tuple(lines) if lines or sections else _plain(occasion.data),
        tuple(sections),
    )


def _message(
    occasion: Occasion, title: str, icon: str, tone: Tone, lines: tuple[Line, ...], sections: tuple[Section, ...] = ()
) -> Message:
    return Message(
        title=wording.words(title, _MAX_TITLE),
        icon=icon,
        tone=tone,
        at=occasion.timestamp,
        lines=lines,
        sections=sections,
        link=Link(label="Open in Tocsin", url=occasion.link) if occasion.link else None,
        footer=footer(occasion),
    )


def footer(occasion: Occasion) -> str:
    """Whose message it is, and whether it is a test."""
    name = wording.words(occasion.account_name, 80)
    return " · ".join(filter(None, (name, "This is a test: nothing happened" if occasion.test else "")))


def _values(found: Wording, messages: Messages, details: Mapping[str, Any], locale: str) -> dict[str, str]:
    """What the wording names, written; without what is not known."""
    named = {name for phrase in found.titles for name in phrase.names}
    named |= {name for line in found.lines for phrase in line.texts for name in phrase.names}
    written = (
        (name, wording.write(messages.kinds[name], details[name], details, locale)) for name in named & details.keys()
    )
    return {name: text for name, text in written if text}


def _ranked(ranking: tuple[tuple[str, int], ...], locale: str) -> tuple[Line, ...]:
    lines = (
        Line(label=wording.words(readable(name), _MAX_LABEL), value=wording.number(count, locale))
        for name, count in ranking[:_MAX_LISTED]
    )
    return tuple(line for line in lines if line.label)


# --- events that nothing is known of ------------------------------------------------------------------------------


def _plain(data: Any) -> tuple[Line, ...]:
    """The first values of the data, under their keys made readable."""
    lines: list[Line] = []
    for keys, value in _scalars(data if isinstance(data, dict) else {"data": data}, ()):
        label = wording.words(" ".join(readable(key) for key in keys), _MAX_LABEL)
        if label and (text := wording.words(value)):
            lines.append(Line(label=label, value=text))
        if len(lines) == _MAX_PLAIN_LINES:
            break
    return tuple(lines)


def _scalars(data: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, value in data.items():
        keys = (*above, key)
        if isinstance(value, dict):
            if len(keys) < _MAX_DEPTH:
                yield from _scalars(value, keys)
        elif isinstance(value, list):
            if value:
                yield keys, _listed(value)
        elif (text := _scalar(value)) is not None:
            yield keys, text


def _listed(value: list[Any]) -> str:
    shown = [text for item in value[:_MAX_LISTED] if (text := _scalar(item))]
    if not shown:
        return f"{len(value)} items" if len(value) > 1 else "1 item"
    more = len(value) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _scalar(value: Any) -> str | None:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, str):
        return value
    # Not grouped by thousands: it may be an id.
    return str(value) if isinstance(value, float) or (isinstance(value, int) and value.bit_length() < 64) else None


# --- notices of ours ----------------------------------------------------------------------------------------------

_CHANNELS = {"standard": "HTTP", "email": "e-mail", "postback": "postback"}


def _notice(occasion: Occasion) -> Message:
    """That another of the account's webhooks was stopped."""
    data = occasion.data if isinstance(occasion.data, dict) else {}

    def said(key: str) -> str:
        value = data.get(key)
        return wording.words(value) if isinstance(value, str) else ""

    name = said("name") or said("url_shown") or said("webhook") or "one of your webhooks"
    channel = said("channel")
    kind = _CHANNELS.get(channel) or readable(channel)
    spans = [Span(text="Nothing is sent to "), Span(text=name, kind=SpanKind.BOLD)]
    where = ", ".join(text for text in (kind, said("url_shown")) if text and text != name)
    spans.append(Span(text=f"{f' ({where})' if where else ''} any more"))
    reason = said("reason").rstrip(". ")
    spans.append(Span(text=f": {reason}." if reason else "."))
    spans.append(
        Span(
            text="\nTo mend it: put right what the reason names, then enable the webhook. What waits for it goes out "
            "then; what comes in the meantime can be replayed."
        )
    )
    webhook = said("webhook")
    return Message(
        title="Webhook Failed" if said("state") == "failed" else "Webhook Stopped",
        icon="🔌",
        tone=Tone.WARNING,
        at=occasion.timestamp,
        text=tuple(spans),
        lines=(Line(label="Webhook", value=webhook),) if webhook else (),
        link=Link(label="Open in Tocsin", url=occasion.link) if occasion.link else None,
        footer=footer(occasion),
    )
