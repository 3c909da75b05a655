"""Erasure of visitors."""

import msgspec

from tocsin.api.operations import Access, Answer, Call, Reply, operation
from tocsin.errors import Fault, Invalid

_EXAMPLE = {"events": 12, "deliveries": 1, "attempts": 14, "digests": 1, "activities": 31, "remembered": 3}

# Longer than any that is in use, and short enough for an address.
_MAX_CHARS = 1_024


class ErasureReport(msgspec.Struct, frozen=True, kw_only=True):
    """How much was taken out. `events` and `activities`: bodies, and whom they were about. `deliveries`: those that
    waited, cancelled. `attempts`: bodies kept of requests and answers. `digests`: summaries that held something of the
    visitor, and lost all particulars. `remembered`: what triggers had counted.
    """

    events: int
    deliveries: int
    attempts: int
    digests: int
    activities: int
    remembered: int


@operation(
    "DELETE",
    "/v1/visitors/{visitor}",
    access=Access.MANAGE,
    answers=(Answer(200, ErasureReport, "What was taken out", _EXAMPLE),),
    problems=("invalid",),
)
async def erase_visitor(call: Call) -> Reply:
    """Erase a visitor.

    Takes out what the account has of the visitor: the bodies of events and activities, bodies kept with attempts, what
    triggers remember, the particulars of digests that hold something of the visitor; deliveries that wait are
    cancelled. That something happened, and when, stays until its retention
    ends. What is being sent at that moment may still arrive. A second time it erases what came since. The id is encoded
    in the path, as any value is.
    """
    visitor_id = call.path["visitor"]
    if not 1 <= len(visitor_id) <= _MAX_CHARS:
        raise Invalid(f"a visitor's id has 1 to {_MAX_CHARS} characters", faults=[Fault("/visitor", "it has not")])
    erased = await call.services.control.visitors.erase(call.actor, call.account_id, visitor_id)
    return Reply(200, msgspec.convert(msgspec.structs.asdict(erased), ErasureReport))


OPERATIONS = (erase_visitor,)
