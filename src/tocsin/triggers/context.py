"""What a rule is given, and where it says what it found."""

from typing import Any
from zoneinfo import ZoneInfo

from tocsin.clock import Millis
from tocsin.triggers.occurrences import NAMES, Judgement, Occurrence
from tocsin.triggers.settings import TriggerSettings
from tocsin.triggers.state import State


class Context:
    """One account, one activity (or tick) at a time.

    `wanted`: the occurrences that the account's dialect makes events of; work for others may be left out, but what is
    counted (caps, budgets, alerts, summaries) is counted for every dialect that can show it.
    """

    __slots__ = ("found", "judgement", "settings", "settled", "state", "timezone", "wanted")

    def __init__(
        self, state: State, settings: TriggerSettings, timezone: ZoneInfo, wanted: frozenset[str] = NAMES
    ) -> None:
        self.state = state
        self.settings = settings
        self.timezone = timezone
        self.wanted = wanted
        self.judgement: Judgement | None = None  # set by `scoring.judge`, read by the rules after it
        self.settled = False  # by a rule: what the ones after it would count was counted before
        self.found: list[Occurrence] = []

    def occur(self, name: str, at: Millis, facts: dict[str, Any]) -> None:
        """Says that something happened; in the order in which events are to fire."""
        if name in self.wanted:
            self.found.append(Occurrence(name=name, at=at, facts=facts))
