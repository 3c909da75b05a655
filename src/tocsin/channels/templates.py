"""Templates that users write for their messages: Jinja, by MiniJinja, over an event's details.

They are foreign code: `template_text` says what they may be made of, `template_engine` what they may cost. A template
makes the neutral markup of `markup`; what is inserted is escaped, so that no campaign's name can become a mark or link.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import orjson

from tocsin.channels import markup, template_engine, template_text, wording
from tocsin.channels.limits import clean, cut
from tocsin.channels.message import Message
from tocsin.channels.occasion import Occasion
from tocsin.channels.options import Template
from tocsin.channels.template_engine import Failed, Members, plain, render
from tocsin.channels.template_text import Wrong
from tocsin.clock import Millis, rfc3339_seconds
from tocsin.errors import Fault
from tocsin.model import EventType
from tocsin.nearest import did_you_mean
from tocsin.profiles import Profile

_MAX_TITLE = 150  # UTF-16 units, as of all titles
_MAX_TRIED = 20  # examples of event types that a template is tried on

# Beside the details, for every event.
OWN: Mapping[str, str] = {
    "type": "the event's type, such as conversion.created",
    "event_id": "the event's id",
    "at": "when it happened",
    "account": "the account's name",
    "title": "the title without a template",
    "data": "the event's data as they were published; texts shortened, at most 20 items of a list",
    "text": "each detail as it is written without a template: text.payout is $45.00",
}


# --- when it is saved ---------------------------------------------------------------------------------------------


def check(
    templates: Mapping[str, Template],
    profile: Profile,
    types: Mapping[str, EventType],
    *,
    takes: Callable[[str, str], bool],
    locale: str,
) -> list[Fault]:
    """Reads each template, and tries it on the examples of the event types that it is for.

    Args:
        takes: whether a pattern takes an event type.

    Returns:
        What is wrong, with pointers such as ``/options/templates/conversion.*/text``.
    """
    faults = []
    for pattern, template in templates.items():
        step = pattern.replace("~", "~0").replace("/", "~1")
        tried = [of_type for name, of_type in types.items() if takes(pattern, name)][:_MAX_TRIED]
        for part, text in (("title", template.title), ("text", template.text)):
            if text is not None and (why := _fault(text, profile, tried, locale)) is not None:
                faults.append(Fault(f"/options/templates/{step}/{part}", why))
    return faults


def _fault(text: str, profile: Profile, types: Sequence[EventType], locale: str) -> str | None:
    try:
        names = template_text.read(text).lines
    except Wrong as wrong:
        return str(wrong)
    known = {*OWN, *profile.messages.kinds}
    for name, line in names.items():
        if name not in known:
            more = did_you_mean(name, known) or "; details have names such as campaign, payout and country"
            return f"line {line}: no detail is called {name}{more}"
    try:
        template_engine.check(text)  # also where there is no type to try it on
    except Failed as failed:
        return str(failed)
    for of_type in types:
        occasion = Occasion(
            event_id="evt_0",
            type=of_type.name,
            timestamp=Millis(0),
            data=orjson.loads(orjson.dumps(of_type.example)),
            profile=profile,
            account_name="Example",
        )
        try:
            render(text, values_of(occasion, names, locale, title=""), locale)
        except Failed as failed:
            return f"{failed} (with the example of {of_type.name})"
    return None


# --- when it is used ----------------------------------------------------------------------------------------------


def applied(message: Message, occasion: Occasion, templates: Mapping[str, Template], locale: str) -> Message:
    """The message in the words of the webhook's own template, if it has one for the event. One that fails leaves the
    message as it was, and a word in its footer.
    """
    template = _chosen(templates, occasion.type)
    if template is None:
        return message
    try:
        return _filled(message, occasion, template, locale)
    except Failed as failed:
        why = cut(clean(f"The template failed: {failed}"), 200)
        return msgspec.structs.replace(message, footer=" · ".join(filter(None, (message.footer, why))))


def _chosen(templates: Mapping[str, Template], type: str) -> Template | None:
    """The one of that type, else of the narrowest family that it is in, else of all."""
    if type in templates:
        return templates[type]
    families = (pattern for pattern in templates if pattern.endswith(".*") and type.startswith(pattern[:-1]))
    return templates.get(max(families, key=len, default="*"))


def _filled(message: Message, occasion: Occasion, template: Template, locale: str) -> Message:
    texts = [text for text in (template.title, template.text) if text is not None]
    try:
        names = {name for text in texts for name in template_text.read(text).lines}
    except Wrong as wrong:  # an older version took it
        raise Failed(str(wrong)) from None
    values = values_of(occasion, names, locale, title=message.title)
    if template.title is not None:
        title = cut(clean(markup.plain(render(template.title, values, locale))), _MAX_TITLE)
        message = msgspec.structs.replace(message, title=title or message.title)
    if template.text is not None:
        spans = markup.cleaned(markup.spans(render(template.text, values, locale)))
        message = msgspec.structs.replace(message, text=spans, lines=(), sections=())
    return message


def values_of(occasion: Occasion, names: Iterable[str], locale: str, *, title: str) -> dict[str, Any]:
    """What stands for the names: plain and bounded, so that whatever is done with them is."""
    messages = occasion.profile.messages
    details = messages.details(occasion.type, occasion.data)
    named = set(names)
    values: dict[str, Any] = {
        "type": occasion.type,
        "event_id": occasion.event_id,
        "at": rfc3339_seconds(occasion.timestamp),
        "account": clean(occasion.account_name),
        "title": title,
    }
    if "data" in named:
        values["data"] = plain(occasion.data)
    if "text" in named:
        written = (
            (name, wording.write(messages.kinds[name], value, details, locale)) for name, value in details.items()
        )
        values["text"] = Members(written)
    values |= {name: plain(value) for name, value in details.items() if name in named}
    values["currency"] = details.get("currency")  # of amounts, also where the template does not name it
    values["timezone"] = details.get("timezone")
    return values
