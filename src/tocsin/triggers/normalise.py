"""From what was posted to an `Activity`: checked and completed."""

from typing import Any

from tocsin.clock import Millis
from tocsin.triggers.activity import Activity, ActivityId, AddressFacts, AgentFacts, Kind
from tocsin.triggers.knowledge import Knowledge


def normalise(
    kind: Kind,
    raw: dict[str, Any],
    *,
    id: ActivityId,
    external_id: str | None,
    at: Millis,
    accepted_at: Millis,
    knowledge: Knowledge,
) -> Activity:
    """Raises `errors.Invalid` with pointers relative to the activity."""
    address: AddressFacts | None = None
    agent: AgentFacts | None = None
    visitor = raw.get("visitor")
    if isinstance(visitor, dict):
        if isinstance(ip := visitor.get("ip"), str):
            address = knowledge.address(ip)
        if isinstance(user_agent := visitor.get("user_agent"), str):
            agent = knowledge.agent(user_agent)
    return Activity(
        id=id,
        kind=kind,
        at=at,
        accepted_at=accepted_at,
        external_id=external_id,
        data=raw,
        address=address,
        agent=agent,
    )
