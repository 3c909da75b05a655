"""A webhook's `options` where its channel is a chat or a postback: shapes, bounds, defaults."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

# CONTRACT §6: the defaults of digests. A window of more than a day would be yesterday's news.
WindowSeconds = Annotated[
    int,
    Meta(ge=1, le=86_400, description="seconds", extra={"says": "expected whole seconds, from 1 to 86400"}),
]
Singles = Annotated[
    int,
    Meta(
        ge=0,
        le=1_000,
        description="messages of a window that are sent at once",
        extra={"says": "expected a whole number, from 0 to 1000"},
    ),
]
TimeOfDay = Annotated[
    str,
    Meta(
        pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$",
        examples=["22:00"],
        extra={"says": "expected a time of day with four digits, such as 07:00"},
    ),
]
Pattern = Annotated[str, Meta(min_length=1, max_length=130)]
# A template is some lines; what it makes is bounded where it is run.
TemplateText = Annotated[str, Meta(max_length=4_096)]


def _such_as(example: str) -> Meta:
    return Meta(extra={"says": f"expected an object, such as {example}"})


class DigestRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first `max` of a window are sent at once, the others in one summary at its end."""

    window_s: WindowSeconds = 60
    max: Singles = 5


class QuietHours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """From one time of day to another, past midnight too. `timezone`: IANA; the account's unless said."""

    from_: TimeOfDay
    to: TimeOfDay
    timezone: Annotated[str, Meta(max_length=64)] | None = None


class Template(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """MiniJinja over the event's details; what is left out stays as it is without a template."""

    title: TemplateText | None = None
    text: TemplateText | None = None


class ChatOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`urgent`: event types (or families) that break through digests and quiet hours. `locale`: how money, countries
    and numbers are written, such as ``de_DE``. `templates`: by event type, ``prefix.*`` or ``*``.
    """

    digest: Annotated[DigestRule, _such_as('{"window_s": 60, "max": 5}')] = DigestRule()
    quiet_hours: Annotated[QuietHours, _such_as('{"from": "22:00", "to": "07:00"}')] | None = None
    urgent: Annotated[tuple[Pattern, ...], Meta(max_length=100)] = ()
    locale: Annotated[str, Meta(max_length=32)] = "en_US"
    templates: Annotated[Mapping[Pattern, Template], Meta(max_length=100)] = {}


class PostbackOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`statuses`: what `{status}` becomes, by the event's own word for it, else by the event's type."""

    method: Literal["GET", "POST"] = "GET"
    statuses: Annotated[Mapping[str, Annotated[str, Meta(max_length=128)]], Meta(max_length=50)] = {}
