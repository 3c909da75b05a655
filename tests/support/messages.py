"""Messages for people, as text."""

import orjson

from tocsin.channels.compose import compose
from tocsin.channels.message import Message
from tocsin.channels.occasion import Occasion
from tocsin.channels.options import ChatOptions
from tocsin.clock import Millis
from tocsin.profiles import Profile
from tocsin.profiles.masking import mask_ips

AT = Millis(1_773_480_413_080)  # 2026-03-14T09:26:53.080Z


def occasion(profile: Profile, type_: str, data: object, **changed: object) -> Occasion:
    """An event as the engine hands it over: with its addresses masked."""
    data = orjson.loads(mask_ips(orjson.dumps(data)))
    given = {"event_id": "evt_06f3k9w2zq8rt", "timestamp": AT, "account_name": "Fibre “Spring”"} | changed
    return Occasion(type=type_, profile=profile, data=data, **given)  # type: ignore[arg-type]


def example(profile: Profile, type_: str, channel: str, locale: str = "en_US", **changed: object) -> Message:
    """The message of an event type's example."""
    data = profile.catalogue[type_].event_type.example
    return compose(occasion(profile, type_, data, **changed), ChatOptions(locale=locale), channel)


def as_text(message: Message) -> str:
    """Title, lines and sections, as they stand below one another."""
    lines = [f"{message.icon} {message.title}"]
    if message.text:
        lines.append("".join(span.text for span in message.text))
    lines += [f"{line.icon} {line.label}: {line.value}".lstrip() for line in message.lines]
    for section in message.sections:
        lines.append(section.heading)
        lines += [f"  {line.label}: {line.value}" for line in section.lines]
    return "\n".join(lines)
