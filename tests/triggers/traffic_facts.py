"""Clicks and visits as the rules get them, and an account that decides one after another."""

import zoneinfo
from collections.abc import Sequence
from typing import Any

from tocsin.clock import Millis
from tocsin.triggers.activity import Activity, ActivityId, AddressFacts, AgentFacts, Kind
from tocsin.triggers.context import Context
from tocsin.triggers.decide import Decision, decide
from tocsin.triggers.occurrences import NAMES
from tocsin.triggers.settings import TriggerSettings
from tocsin.triggers.state import State, Unread

AT = 1_767_225_600_000  # 2026-01-01T00:00:00Z
UTC = zoneinfo.ZoneInfo("UTC")
BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0"


def activity(
    at: float = 0,
    *,
    kind: Kind = Kind.CLICK,
    ip: str | None = None,
    agent: str | None = BROWSER,
    campaign: str | int | None = 7,
    visitor: str | None = None,
    accepted_at: float | None = None,
    address: AddressFacts | None = None,
    agent_facts: AgentFacts | None = None,
    **data: Any,
) -> Activity:
    """`at` and `accepted_at` in seconds after the year began."""
    who = {"id": visitor, "ip": ip, "user_agent": agent}
    data["visitor"] = {name: value for name, value in who.items() if value is not None}
    if campaign is not None:
        data["campaign"] = {"id": campaign, "name": "Spring"}
    return Activity(
        id=ActivityId(1),
        kind=kind,
        at=Millis(AT + round(at * 1000)),
        accepted_at=Millis(AT + round((at if accepted_at is None else accepted_at) * 1000)),
        external_id=None,
        data=data,
        address=address,
        agent=agent_facts,
    )


class Account:
    """Decides one activity after another, as the runner does: what is asked for is read, what is changed is kept."""

    def __init__(self, settings: TriggerSettings | None = None, wanted: frozenset[str] = NAMES) -> None:
        self.state = State()
        self.ctx = Context(self.state, settings or TriggerSettings(), UTC, wanted)

    def take(self, one: Activity) -> Decision:
        self.state.now = one.accepted_at
        while True:
            try:
                decision = decide(self.ctx, one)
            except Unread as unread:
                self.state.load(dict.fromkeys(unread.keys))
            else:
                self.state.keep()
                return decision

    def reasons(self, one: Activity) -> list[str]:
        judgement = self.take(one).judgement
        assert judgement
        return [rule for rule, _ in judgement.reasons]

    def facts(self, one: Activity, name: str) -> dict[str, Any] | None:
        """Of the occurrence of that name, if there was one."""
        found: Sequence[dict[str, Any]] = [dict(it.facts) for it in self.take(one).occurrences if it.name == name]
        assert len(found) < 2
        return found[0] if found else None
