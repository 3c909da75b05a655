"""What the lists' queries share."""

from datetime import datetime

from tocsin import ids
from tocsin.clock import Millis
from tocsin.control.values import millis
from tocsin.errors import Fault, Invalid


def since_until(since: datetime | None, until: datetime | None) -> tuple[Millis | None, Millis | None]:
    """The bounds of a span; `until` is exclusive."""
    return (
        None if since is None else millis(since, "?since"),
        None if until is None else millis(until, "?until"),
    )


def id_of(prefix: str, text: str, pointer: str, *others: str) -> int:
    """`others`: prefixes that do as well. Raises `Invalid`: a filter by what is no id is a slip, not an empty list."""
    number = ids.parse_any((prefix, *others), text)
    if number is None:
        raise Invalid("that is no id", faults=[Fault(pointer, f"such ids look like {ids.show(prefix, 0)}")])
    return number
