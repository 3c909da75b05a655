"""What chats over HTTP answer alike: waits, bodies of JSON or of one word, and no answer at all."""

import re
from typing import Any

import orjson

from tocsin.channels.chat import Reading, Rejected, Retry
from tocsin.channels.limits import clean, cut
from tocsin.model import MASK, Outcome, OutcomeKind

# CONTRACT §4: what a service asks for can lengthen a wait, up to a day.
MAX_WAIT_S = 86_400.0
# A service that says "too fast" without saying how long: shorter than the shortest digest window but for one's own.
DEFAULT_WAIT_S = 30.0
_SECONDS = re.compile(r"[0-9]{1,10}(?:\.[0-9]+)?")
_MAX_QUOTED = 200  # characters of what a service says, inside a reason


def header(outcome: Outcome, name: str) -> str | None:
    """Its value; of several the first. `name`: in lower case."""
    return next((value for key, value in outcome.headers if key.lower() == name), None)


def seconds(value: object) -> float | None:
    """A wait in seconds as a service says it, at most a day; None where that is none."""
    if isinstance(value, str) and _SECONDS.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return min(float(value), MAX_WAIT_S)
    return None


def json_object(body: bytes) -> dict[str, Any] | None:
    """The body, if it is an object of JSON."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return said if isinstance(said, dict) else None


def quoted(text: object, *, hide: str) -> str:
    """What a service says, fit for a sentence of ours. `hide`: the credential, which it may say after us."""
    return cut(clean(str(text).replace(hide, MASK)), _MAX_QUOTED).rstrip(".")


def is_page(outcome: Outcome) -> bool:
    """Whether a web page came: what answers there is no chat, or something stands before it."""
    return outcome.body.lstrip()[:1] == b"<"


def unanswered(outcome: Outcome) -> Reading | None:
    """What it means that no whole answer came, or one that leads elsewhere; None where one came."""
    if outcome.kind is OutcomeKind.UNSENDABLE:
        return Rejected(reason=outcome.error or "The message cannot be sent.")
    if outcome.kind in {OutcomeKind.SUCCEEDED, OutcomeKind.HTTP_ERROR}:
        return None
    return Retry(reason=outcome.error or "No answer came.")
