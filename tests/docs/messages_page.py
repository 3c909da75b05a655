"""The page of messages: what chats and mails say of each event type's example, and where it stands in the data."""

import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from tests.support.messages import as_text, example
from tocsin import profiles
from tocsin.profiles.details import Kind

_HEAD = """\
# Messages

{note}

What people are told in Slack, Telegram, Discord and e-mail, event type by event type: the message of each type's
[example](events.md), as Slack has it. In Telegram each line begins with an icon; where a channel words a message
otherwise, it stands beside. Colours: green for conversions, red for fraud, orange for warnings, blue for the rest.

- What an event does not say has no line. What it says beyond that stays in the event; a template can show it.
- Money, numbers, dates and countries are written as in the webhook's `locale`, here `en_US`. An amount whose currency
  nobody names is a plain number.
- IP addresses are masked, always.
- Each message ends with the account's name, and says so where it is a test.
- [Event types of your own](../how-to/custom-event-types.md) have their name as the title, and the first ten values of
  the data as lines. For a dialect of your own, [say it yourself](../how-to/add-a-dialect.md#what-messages-can-say).

Below each profile: its details, the names by which a value is known in every dialect, and the path that leads to it in
the event's `data`; of several paths the first counts that leads to something.
"""

_MEANINGS: Mapping[Kind, str] = {
    Kind.TEXT: "text",
    Kind.WORD: "a word of a program's, made readable",
    Kind.ID: "id",
    Kind.URL: "address",
    Kind.IP: "IP address",
    Kind.DATE: "date",
    Kind.INSTANT: "instant",
    Kind.COUNTRY: "country",
    Kind.CURRENCY: "currency",
    Kind.MONEY: "money",
    Kind.NUMBER: "number",
    Kind.PERCENT: "percent",
    Kind.MEASURE: "money, percent or number, by the metric",
    Kind.COMPARISON: "comparison",
    Kind.SECONDS: "seconds",
    Kind.WORDS: "list of words",
    Kind.RANKING: "names with how often",
}


def write(note: str) -> str:
    """The page."""
    lines = [_HEAD.format(note=note).rstrip()]
    for name in profiles.names():
        lines += ["", f"## {name}", *_messages(name), "", f"### Details of {name}", "", *_details(name)]
    return "\n".join(lines) + "\n"


def _messages(name: str) -> Iterator[str]:
    profile = profiles.load(name)
    for type_ in sorted(profile.catalogue):
        yield from ("", f"### {type_}")
        plain = example(profile, type_, "slack")
        yield from ("", f"{plain.tone.value.capitalize()}.", "", "```text norun='a message'", as_text(plain), "```")
        for channel in ("telegram", "discord", "email"):
            other = example(profile, type_, channel)
            if [(line.label, line.value) for line in other.lines] != [(line.label, line.value) for line in plain.lines]:
                yield from ("", f"In {channel.capitalize()}:", "", "```text norun='a message'", as_text(other), "```")


def _details(name: str) -> Iterator[str]:
    path = files("tocsin.profiles").joinpath(f"data/{name}/messages.toml")
    spec = tomllib.loads(path.read_text(encoding="utf-8"))
    kinds = profiles.load(name).messages.kinds
    yield from ("| detail | form | path |", "|---|---|---|")
    for detail, place in spec["details"].items():
        yield f"| `{detail}` | {_MEANINGS[kinds[detail]]} | {_paths(place)} |"
    for type_, event in spec["events"].items():
        for detail, place in event.get("details", {}).items():
            yield f"| `{detail}` of `{type_}` | {_MEANINGS[kinds[detail]]} | {_paths(place)} |"


def _paths(place: Any) -> str:
    given = place["paths"] if isinstance(place, dict) else place
    said = ", ".join(f"`{path}`" for path in ([given] if isinstance(given, str) else given))
    if isinstance(place, dict) and place.get("unit") == "cents":
        said += " (in cents)"
    if isinstance(place, dict) and "otherwise" in place:
        said += f", else `{place['otherwise']}` where there is an amount"
    return said
