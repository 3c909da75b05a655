"""Rules by themselves: an account's memory without a store, and activities by hand."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from tocsin.clock import Millis, parse_rfc3339
from tocsin.triggers.activity import Activity, ActivityId, Kind
from tocsin.triggers.context import Context
from tocsin.triggers.occurrences import Judgement, Occurrence
from tocsin.triggers.settings import TriggerSettings
from tocsin.triggers.state import State, Unread

_ids = itertools.count(1)
_SCORES = {"CLEAN": 10, "SUSPICIOUS": 50, "FRAUD": 90}
_ACTIONS = {"CLEAN": "ALLOW", "SUSPICIOUS": "REVIEW", "FRAUD": "BLOCK"}


def instant(text: str | int) -> Millis:
    return parse_rfc3339(text) if isinstance(text, str) else Millis(text)


def activity(kind: str, at: str | int, *, accepted_at: str | int | None = None, **data: Any) -> Activity:
    return Activity(
        id=ActivityId(next(_ids)),
        kind=Kind(kind),
        at=instant(at),
        accepted_at=instant(at if accepted_at is None else accepted_at),
        external_id=None,
        data=data,
    )


def judged(label: str, *rules: str) -> Judgement:
    return Judgement(
        score=_SCORES[label], label=label, action=_ACTIONS[label], reasons=tuple((rule, 10) for rule in rules)
    )


class Memory:
    """What one account remembers. Every activity's state goes through its bytes, as it does in the store."""

    def __init__(self, zone: str = "UTC") -> None:
        self.zone = zone
        self.values: dict[str, bytes] = {}
        self.timers: dict[str, Millis] = {}

    def apply(self, change: Callable[[Context], Any], judgement: Judgement | None = None) -> Sequence[Occurrence]:
        state = State()
        while True:
            ctx = Context(state, TriggerSettings(), ZoneInfo(self.zone))
            ctx.judgement = judgement
            try:
                change(ctx)
            except Unread as unread:
                state.undo()
                state.load({key: self.values.get(key) for key in unread.keys})
                continue
            break
        state.keep()
        changes = state.changes()
        for key, (value, _) in changes.puts.items():
            self.values[key] = value
        for key in changes.drops:
            self.values.pop(key, None)
        for name, due in changes.timers.items():
            if due is None:
                self.timers.pop(name, None)
            else:
                self.timers[name] = due
        return ctx.found

    def wait_until(self, then: str | int, by: dict[str, Callable[[Context, str, Millis], None]]) -> list[Occurrence]:
        """Runs what is due until then, the longest due first."""
        found: list[Occurrence] = []
        while True:
            due = sorted((at, name) for name, at in self.timers.items() if at <= instant(then))
            if not due:
                return found
            at, name = due[0]
            del self.timers[name]
            rule = by[name.partition(":")[0]]
            found += self.apply(lambda ctx, rule=rule, name=name, at=at: rule(ctx, name, at))
