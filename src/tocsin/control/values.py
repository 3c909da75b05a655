"""The bounds of what people write: each text has a length, and no control characters but, in prose, line breaks.

Used as the types of request bodies, so that they are checked while decoding and shown in the API's description.
"""

from datetime import datetime
from functools import cache
from typing import Annotated
from zoneinfo import available_timezones

from msgspec import Meta

from tocsin.clock import Millis
from tocsin.errors import Fault, Invalid
from tocsin.nearest import did_you_mean

# Patterns end in `$(?!\n)`: Python's `$` alone lets a line break follow.
# `says`: what to tell people where the pattern does not fit.
_ONE_LINE = {"says": "expected text without control characters or line breaks"}
_LINES = {"says": "expected text without control characters"}

# C0, DEL and C1: nothing that a terminal, a header or a database could take for a command.
Line = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$(?!\n)", extra=_ONE_LINE)]
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$(?!\n)", extra=_ONE_LINE)]
Prose = Annotated[str, Meta(max_length=2_000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$(?!\n)", extra=_LINES)]

# CONTRACT §1: a publisher's own id.
ExternalId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9_.:-]+$(?!\n)",
        extra={"says": "expected 1 to 128 of A–Z a–z 0–9 _ . : -"},
        examples=["order-4711"],
    ),
]

# RFC 5321 §4.5.3.1: 254 characters. Whether it works is shown by mail, not by a pattern.
Email = Annotated[
    str,
    Meta(
        max_length=254,
        pattern=r"^[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+$(?!\n)",
        extra={"says": "expected an e-mail address"},
        examples=["ops@example.com"],
    ),
]

Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339, with an offset or Z")]


def millis(at: datetime, pointer: str) -> Millis:
    """Raises `Invalid` for instants before 1970."""
    found = round(at.timestamp() * 1000)
    if found < 0:
        raise Invalid(
            "an instant lies before 1970", faults=[Fault(pointer, "instants before 1970-01-01T00:00:00Z are not taken")]
        )
    return Millis(found)


def check_timezone(name: str, pointer: str = "/timezone") -> None:
    """Raises `Invalid` unless it is a name of the IANA time zone database."""
    if name not in _zones():
        raise Invalid(
            "the time zone is unknown",
            faults=[
                Fault(
                    pointer,
                    f"no zone is called {name[:64]!r}{did_you_mean(name, _zones())}; write one such as Europe/Berlin",
                )
            ],
        )


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
